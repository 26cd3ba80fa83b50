import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter

from sklearn_ae import FaceSwapper
from sklearn_ae.faces import load_face_swapper, save_face_swapper
from sklearn_ae.faces._restoration import (
    amplitudes,
    coarse_part,
    equalize,
    n_rings,
)

WHOLE = torch.ones(32, 32)


def textures(n, sigma, seed=0, n_channels=1, side=32):
    """Pictures (n, c, side, side) of blurred noise, as light as faces are."""
    noise = np.random.default_rng(seed).standard_normal((n, n_channels, side, side))
    smooth = gaussian_filter(noise, (0, 0, sigma, sigma))
    return torch.from_numpy(0.5 + 0.1 * smooth / smooth.std()).float()


def ringed(spectra):
    return spectra.mean(dim=0).numpy()


def test_amplitudes_are_root_mean_squares_of_scipys_cosine_transform():
    x = textures(3, 1.0)
    grey = x[:, 0].double().numpy()
    grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    power = dctn(grey, axes=(1, 2), norm="ortho") ** 2
    radius = np.hypot(*np.mgrid[:32, :32] / 32)
    ring = np.minimum((8 * radius).astype(int), 7)
    expected = np.sqrt([power[:, ring == r].mean(axis=1) for r in range(8)]).T
    assert_allclose(amplitudes(x, WHOLE), expected, rtol=1e-4)


def test_the_coarse_part_is_what_a_filter_of_scipys_cosine_transform_leaves():
    x = textures(2, 1.0, n_channels=3, side=16)
    radius = np.hypot(*np.mgrid[:16, :16] / 16)
    kept = dctn(x.double().numpy(), axes=(2, 3), norm="ortho")
    kept = idctn(kept / (1.0 + (radius / 0.15) ** 6), axes=(2, 3), norm="ortho")
    assert_allclose(coarse_part(x), kept, atol=1e-6)


def test_blurred_faces_get_back_the_spectrum_of_sharp_ones():
    sharp = textures(20, 1.0)
    blurred = torch.from_numpy(gaussian_filter(sharp.numpy(), (0, 0, 0.5, 0.5)))
    wanted = amplitudes(sharp, WHOLE).mean(dim=0)
    made = equalize(blurred, wanted, WHOLE)
    before, after = (ringed(amplitudes(x, WHOLE)) for x in (blurred, made))
    # Up to where the blur took more than is given back.
    assert (before[2:5] < 0.95 * wanted.numpy()[2:5]).all()
    assert_allclose(after[2:5], wanted[2:5], rtol=0.1)
    assert (made - sharp).abs().mean() < 0.7 * (blurred - sharp).abs().mean()


def test_noise_is_not_made_stronger_than_bounds_allow():
    faces = textures(5, 2.0)
    made = equalize(faces, torch.full((8,), 1e3), WHOLE)
    gains = ringed(amplitudes(made, WHOLE)) / ringed(amplitudes(faces, WHOLE))
    assert gains.max() < 1.6


def test_coarse_light_and_colours_stay():
    faces = textures(5, 2.0, n_channels=3)
    made = equalize(faces, amplitudes(textures(5, 0.5), WHOLE).mean(dim=0), WHOLE)
    assert not torch.allclose(made, faces, atol=1e-3)
    difference = (made - faces).numpy()
    assert_allclose(difference - difference.mean(axis=1, keepdims=True), 0, atol=1e-6)
    coarse = dctn(difference.mean(axis=1), axes=(1, 2), norm="ortho")[:, :2, :2]
    assert_allclose(coarse, 0, atol=1e-5)


def test_a_face_without_any_detail_stays():
    flat = torch.full((1, 1, 32, 32), 0.4)
    assert_allclose(equalize(flat, torch.ones(8), WHOLE), flat, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (32, 16), (4, 4)])
def test_small_and_oblong_pictures_have_fewer_rings_and_none_is_empty(shape):
    x = textures(2, 0.5)[..., : shape[0], : shape[1]]
    spectra = amplitudes(x, torch.ones(shape))
    assert spectra.shape == (2, n_rings(*shape))
    assert (spectra > 0).all()
    assert equalize(x, spectra.mean(dim=0), torch.ones(shape)).isfinite().all()


# Swaps --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    """Two people; a few eigenfaces show them softer than they are."""
    base = textures(60, 2.0, side=16)[:, 0].numpy()
    fine = textures(60, 0.5, seed=1, side=16)[:, 0].numpy() - 0.5
    X = np.clip(base + 0.5 * fine + np.repeat([-0.1, 0.1], 30)[:, None, None], 0, 1)
    y = np.repeat(["ann", "bob"], 30)
    swapper = FaceSwapper(8, width=2, n_eigenfaces=8, max_iter=0, random_state=0)
    return swapper.fit(X, y), X, y


def test_swaps_have_more_of_the_detail_of_real_faces_than_what_is_decoded(fitted):
    swapper, X, y = fitted
    plain = swapper.inverse_transform(swapper.transform(X[y == "ann"]), "bob")
    swapped = swapper.swap(X[y == "ann"], "bob")

    def fine(faces):
        return np.abs(np.diff(faces, axis=2)).mean() / np.abs(np.diff(X, axis=2)).mean()

    assert fine(plain) < fine(swapped) <= 1.1
    assert fine(swapped) > 1.2 * fine(plain)
    # What is compared with the faces themselves is as the network makes it.
    own = swapper.inverse_transform(swapper.transform(X), y)
    assert_array_equal(swapper.reconstruct(X, y), own)


def test_a_model_of_before_there_were_spectra_swaps_without_until_it_learns(
    fitted, tmp_path
):
    swapper, X, y = fitted
    path = tmp_path / "old.safetensors"
    save_face_swapper(swapper, path)
    old = load_face_swapper(path)
    for decoder in old.module_.decoders:
        del decoder.linear.spectrum
    save_face_swapper(old, path)
    again = load_face_swapper(path)
    plain = swapper.inverse_transform(swapper.transform(X), "bob")
    assert_array_equal(again.swap(X, "bob"), plain)
    again.partial_fit(X, y)
    assert_array_equal(
        again.module_.decoders[0].linear.spectrum,
        swapper.module_.decoders[0].linear.spectrum,
    )


def test_a_person_who_comes_later_has_a_spectrum_of_their_own(fitted, tmp_path):
    save_face_swapper(fitted[0], tmp_path / "model.safetensors")
    swapper = load_face_swapper(tmp_path / "model.safetensors")
    X = textures(30, 0.7, seed=2, side=16)[:, 0].numpy().astype(float)
    swapper.add_identity(X, "cyd", max_iter=0)
    x = torch.from_numpy(X).float()[:, None]
    expected = amplitudes(x, swapper.module_.inside(x)).mean(dim=0)
    assert_allclose(swapper.module_.decoders[2].linear.spectrum, expected, rtol=1e-5)
