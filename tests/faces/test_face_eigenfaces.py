import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from sklearn_ae import FaceSwapper
from sklearn_ae.faces import _eigenfaces
from sklearn_ae.faces._augmentation import FaceAugmentation
from sklearn_ae.faces._eigenfaces import (
    EigenfaceDecoder,
    EigenfaceEncoder,
    principal_axes,
)
from sklearn_ae.faces._modules import FaceNetwork

SHAPE = (8, 8, 1)


def rows(n, rank, seed=0):
    """Rows (n, 64) that differ in so many directions."""
    rng = np.random.default_rng(seed)
    x = 0.5 + 0.05 * rng.standard_normal((n, rank)) @ rng.standard_normal((rank, 64))
    return torch.from_numpy(x).float()


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(3)
    mixing = rng.standard_normal((4, 64))
    faces = []
    for person in range(2):
        scores = rng.standard_normal((30, 4))
        other = mixing + 0.3 * np.random.default_rng(person).standard_normal((4, 64))
        faces.append(0.5 + 0.1 * person + 0.04 * scores @ other)
    X = np.clip(np.concatenate(faces), 0, 1).reshape(-1, 8, 8)
    return X, np.repeat(["ann", "bob"], 30)


# Fewer rows than columns, and more.
@pytest.mark.parametrize("n", [30, 200])
def test_axes_are_those_of_principal_component_analysis(n):
    x = rows(n, 40)
    axes, stds = principal_axes(x - x.mean(dim=0), 5)
    pca = PCA(5, svd_solver="full").fit(x.numpy())
    assert_allclose(np.abs(pca.components_ @ axes.numpy()), np.eye(5), atol=1e-3)
    assert_allclose(stds, pca.singular_values_ / n**0.5, rtol=1e-4)


def test_directions_that_faces_do_not_differ_in_are_zero():
    x = rows(30, 3)
    axes, stds = principal_axes(x - x.mean(dim=0), 10)
    assert (axes[:, 3:] == 0).all()
    assert (stds[3:] == 0).all()
    assert (stds[:3] > 0).all()


def test_latents_do_not_say_who_is_seen():
    faces = [rows(40, 6), rows(40, 6) + rows(1, 60, seed=1)]
    encoder = EigenfaceEncoder(SHAPE, 8, 8)
    encoder.start(faces, torch.ones(64))
    with torch.no_grad():
        z = [encoder(x.reshape(-1, 1, 8, 8)).mean(dim=0) for x in faces]
    torch.testing.assert_close(z[0], z[1], atol=1e-3, rtol=0)


def test_where_faces_differ_only_by_who_is_seen_there_are_no_directions():
    x = rows(40, 1)
    other = x + (x[0] - x[1])
    encoder = EigenfaceEncoder(SHAPE, 8, 8)
    encoder.start([x, other], torch.ones(64))
    assert not encoder.is_known


@pytest.mark.parametrize(("spread", "are_halves"), [(1.0, True), (1e-7, False)])
def test_eigenfaces_have_half_precision_where_that_can_hold_them(spread, are_halves):
    encoder = EigenfaceEncoder(SHAPE, 8, 8)
    x = 0.5 + spread * (rows(40, 6) - 0.5)
    encoder.start([x], torch.ones(64))
    assert encoder.axes.isfinite().all()
    assert encoder.is_known
    assert torch.equal(encoder.axes, encoder.axes.half().float()) == are_halves


def test_decoder_starts_with_ridge_regression(monkeypatch):
    x, z = rows(40, 30), torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    z = z / z.square().mean(dim=0).sqrt()  # equal ones have one ridge
    monkeypatch.setattr(_eigenfaces, "_RIDGE", 0.1)
    decoder = EigenfaceDecoder(SHAPE, 64, 6)
    decoder.start(x, z)
    with torch.no_grad():
        made = decoder(z).flatten(1).numpy()
    ridge = Ridge(alpha=0.1 * 40, fit_intercept=False)
    mean = x.numpy().mean(axis=0)
    expected = mean + ridge.fit(z.numpy(), x.numpy() - mean).predict(z.numpy())
    assert_allclose(made, expected, atol=2e-4)  # eigenfaces have half precision


def test_faces_are_shown_before_the_first_step(people):
    X, y = people
    swapper = FaceSwapper(
        max_iter=0, width=2, focus=0.0, deform=0.0, zoom_range=0.0, color_jitter=0.0
    )
    swapper.set_params(rotation_range=0.0, shift_range=0.0, flip_probability=0.0)
    swapper.fit(X, y)
    by_mean = np.abs(X[:30] - X[:30].mean(axis=0)).mean()
    assert np.abs(swapper.reconstruct(X, y) - X).mean() < 0.3 * by_mean
    assert np.abs(swapper.swap(X[:30], "bob").mean() - X[30:].mean()) < 0.02


def test_training_leaves_eigenfaces_as_they_are_and_learns_the_rest(people):
    X, y = people
    start, after = (
        FaceSwapper(4, width=2, max_iter=n, n_eigenfaces=6).fit(X, y).module_
        for n in (0, 2)
    )
    later = after.state_dict()
    for name, value in start.state_dict().items():
        is_kept = name.endswith((".axes", ".mean", ".spectrum"))
        assert torch.equal(value, later[name]) == is_kept, name


def test_a_person_who_comes_later_gets_eigenfaces_then(people):
    X, y = people
    swapper = FaceSwapper(4, width=2, n_eigenfaces=6)
    swapper.partial_fit(X[:30], y[:30], classes=["ann", "bob"])
    ann, bob = (decoder.linear for decoder in swapper.module_.decoders)
    assert ann.is_known
    assert not bob.is_known
    before = ann.axes.clone()
    swapper.partial_fit(X[30:], y[30:])
    ann, bob = (decoder.linear for decoder in swapper.module_.decoders)
    assert bob.is_known
    assert_array_equal(ann.axes, before)
    swapper.add_identity(1.0 - X[:30], "cyd", max_iter=1)
    cyd = swapper.module_.decoders[2].linear
    assert_allclose(cyd.mean.mean(), 1.0 - X[:30].mean(), atol=0.02)


def test_more_faces_than_a_matrix_holds_are_thinned(monkeypatch):
    monkeypatch.setattr(_eigenfaces, "LARGEST_GRAM", 20)
    x = rows(60, 4)
    axes, _ = principal_axes(x - x.mean(dim=0), 8)
    assert (axes[:, 4:] == 0).all()


def test_without_eigenfaces_there_are_none():
    network = FaceNetwork(SHAPE, 2, 4, 2, FaceAugmentation(), 0.0)
    network.start({0: torch.rand(3, 64)})
    assert not any("axes" in name for name in network.state_dict())
