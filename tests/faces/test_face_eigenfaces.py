import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from sklearn_ae import FaceSwapper
from sklearn_ae.faces import _eigenfaces, _modules
from sklearn_ae.faces._augmentation import FaceAugmentation
from sklearn_ae.faces._eigenfaces import (
    EigenfaceDecoder,
    EigenfaceEncoder,
    principal_axes,
    slope_of_all,
)
from sklearn_ae.faces._modules import FaceNetwork
from sklearn_ae.faces._restoration import coarse_part

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


@pytest.fixture(scope="module")
def moods():
    """Faces of two people, of whom one laughs more, and who the second is (64,)."""
    rng = np.random.default_rng(0)
    mood, who, *others = np.linalg.qr(rng.standard_normal((64, 64)))[0].T
    faces = []
    for mean in (-1.0, 1.0):
        laugh = 0.1 * (mean + rng.standard_normal((60, 1)))
        rest = 0.001 * rng.standard_normal((60, 62)) @ np.stack(others)
        faces.append(0.5 + laugh * mood + 0.3 * (mean > 0) * who + rest)
    return [torch.from_numpy(x).float() for x in faces], 0.3 * who


def test_latents_do_not_say_who_is_seen(moods):
    faces, who = moods
    encoder = EigenfaceEncoder(SHAPE, 8, 8)
    encoder.start(faces, torch.ones(64))
    x = faces[0][:1]
    changed = x + torch.from_numpy(who).float()
    with torch.no_grad():
        z, z_changed = encoder(x), encoder(changed)
    # Half precision, and what noise has to do with who is seen.
    torch.testing.assert_close(z, z_changed, atol=0.05 * z.abs().max().item(), rtol=0)


def test_swaps_do_not_take_on_what_one_person_only_does_more_often(moods):
    faces, who = moods
    encoder = EigenfaceEncoder(SHAPE, 8, 8)
    encoder.start(faces, torch.ones(64))
    decoder = EigenfaceDecoder(SHAPE, 8, 8)
    with torch.no_grad():
        latents = [encoder(x) for x in faces]
        decoder.start(faces[1], latents[1], slope_of_all(faces, latents), 60)
        swapped = decoder(latents[0]).flatten(1)
    assert_allclose(swapped, faces[0].numpy() + who, atol=0.03)
    apart = (faces[1].mean(dim=0) - faces[0].mean(dim=0)).numpy() - who
    assert np.abs(apart).max() > 0.05  # what would be added by means alone


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
    z = 1.0 + z / z.std(dim=0, correction=0)  # equal ones have one ridge
    monkeypatch.setattr(_eigenfaces, "_RIDGE", 0.1 * 40)
    decoder = EigenfaceDecoder(SHAPE, 64, 6)
    decoder.start(x, z, torch.zeros(64, 6), 40)
    with torch.no_grad():
        made = decoder(z).flatten(1).numpy()
    expected = Ridge(alpha=0.1 * 40).fit(z.numpy(), x.numpy()).predict(z.numpy())
    assert_allclose(made, expected, atol=2e-4)  # eigenfaces have half precision


def test_with_few_pictures_faces_change_as_those_of_all_do(monkeypatch):
    x, z = rows(40, 30), torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    of_all = torch.randn(64, 6, generator=torch.Generator().manual_seed(1))
    coarse = coarse_part(of_all.T.reshape(6, 1, 8, 8)).reshape(6, 64).T
    monkeypatch.setattr(_eigenfaces, "_RIDGE", 1e6)
    decoder = EigenfaceDecoder(SHAPE, 64, 6)
    decoder.start(x, z, of_all, 1)
    torch.testing.assert_close(decoder.slope, coarse, atol=1e-3, rtol=0)
    with torch.no_grad():
        mean = decoder(z).mean(dim=0).flatten()
    torch.testing.assert_close(mean, x.mean(dim=0), atol=1e-3, rtol=0)


def test_people_count_alike_however_many_pictures_there_are(monkeypatch):
    counts = []
    start = EigenfaceEncoder.start

    def counted(self, faces, weights):
        counts.extend(map(len, faces))
        start(self, faces, weights)

    monkeypatch.setattr(EigenfaceEncoder, "start", counted)
    monkeypatch.setattr(_modules, "LARGEST_GRAM", 80)
    network = FaceNetwork(SHAPE, 2, 4, 2, FaceAugmentation(), 0.0, n_eigenfaces=4)
    network.start({0: rows(20, 6), 1: rows(4, 3)}, torch.Generator())
    assert counts == [40, 40]


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


def test_a_person_who_comes_later_changes_as_the_known_do(people, monkeypatch):
    X, y = people
    swapper = FaceSwapper(4, width=2, n_eigenfaces=6, max_iter=0).fit(X, y)
    known = [decoder.linear.slope for decoder in swapper.module_.decoders]
    expected = coarse_part(torch.stack(known).mean(dim=0).T.reshape(4, 1, 8, 8))
    monkeypatch.setattr(_eigenfaces, "_RIDGE", 1e6)
    swapper.add_identity(1.0 - X[:30], "cyd")
    cyd = swapper.module_.decoders[2].linear
    size = expected.abs().max().item()
    found = cyd.slope.T.reshape(4, 1, 8, 8)
    torch.testing.assert_close(found, expected, atol=0.01 * size, rtol=0)


def test_more_faces_than_a_matrix_holds_are_thinned(monkeypatch):
    monkeypatch.setattr(_eigenfaces, "LARGEST_GRAM", 20)
    x = rows(60, 4)
    axes, _ = principal_axes(x - x.mean(dim=0), 8)
    assert (axes[:, 4:] == 0).all()


def test_without_eigenfaces_there_are_none():
    network = FaceNetwork(SHAPE, 2, 4, 2, FaceAugmentation(), 0.0)
    network.start({0: torch.rand(3, 64)})
    assert not any("axes" in name for name in network.state_dict())
