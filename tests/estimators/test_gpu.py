"""The same on a GPU; skipped where there is none."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    FaceSwapper,
    VAETransformer,
)
from sklearn_ae._tables import rows as _rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

each_estimator = pytest.mark.parametrize(
    "Estimator",
    [AutoencoderTransformer, DenoisingAutoencoderTransformer, VAETransformer],
)


@pytest.fixture
def X():
    """A curved surface of dimension 2 in 4 columns."""
    t = np.random.default_rng(0).uniform(-1, 1, size=(1500, 2))
    return np.c_[t, t[:, 0] * t[:, 1], t[:, 0] ** 2] * 3.0 + 5.0


def test_auto_takes_the_gpu(X):
    model = AutoencoderTransformer(2, max_iter=0).fit(X)
    assert model.module_.center.device.type == "cuda"


def test_without_a_step_it_is_pca(X):
    model = AutoencoderTransformer(2, max_iter=0).fit(X)
    assert_allclose(model.transform(X), PCA(2).fit_transform(X), atol=1e-4)


@each_estimator
@pytest.mark.parametrize("n_rows", [300, 1500], ids=["cross-validated", "held out"])
def test_refits_have_the_same_bits(Estimator, X, n_rows):
    model = Estimator(2, hidden_layer_sizes=(16,))
    first = clone(model).fit(X[:n_rows]).transform(X)
    assert_array_equal(model.fit(X[:n_rows]).transform(X), first)


@each_estimator
def test_error_is_about_that_of_a_cpu(Estimator, X):
    errors = [
        np.mean((Estimator(2, device=device).fit(X).reconstruct(X) - X) ** 2)
        for device in ("cpu", "cuda")
    ]
    assert errors[1] < 2.0 * errors[0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images(precision):
    X = np.random.default_rng(0).uniform(size=(64, 30))
    model = AutoencoderTransformer(2, image_shape=(5, 6), precision=precision)
    assert model.fit(X).reconstruct(X).shape == X.shape


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_masks(precision):
    X = np.random.default_rng(0).uniform(size=(64, 30))
    model = EncoderDecoderRegressor(
        2, image_shape=(5, 6), loss="log_loss", precision=precision
    )
    P = model.fit(X, X > 0.5).predict(X)
    assert P.shape == X.shape
    assert_array_equal(clone(model).fit(X, X > 0.5).predict(X), P)


def test_own_networks_may_be_anywhere(X):
    encoder = nn.Linear(4, 2).to("cuda")
    model = AutoencoderTransformer(2, encoder=encoder).fit(X[:300])
    assert encoder.weight.device.type == "cuda"
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize("is_resident", [True, False])
def test_long_tables_stay_on_the_device_or_come_in_buffers(monkeypatch, X, is_resident):
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 1000)
    monkeypatch.setattr(_rows.Table, "fits", lambda self, device: is_resident)
    model = AutoencoderTransformer(2, hidden_layer_sizes=(16,)).fit(X)
    error = np.mean((model.reconstruct(X) - X) ** 2)
    pca = PCA(2).fit(X)
    assert error < np.mean((pca.inverse_transform(pca.transform(X)) - X) ** 2)


def test_a_file_loads_on_the_cpu(X):
    model = AutoencoderTransformer(2, hidden_layer_sizes=(16,)).fit(X)
    content = pickle.dumps(model.set_params(device="cpu"))
    loaded = pickle.loads(content)
    assert loaded.module_.center.device.type == "cpu"
    assert_allclose(loaded.transform(X), model.transform(X), rtol=1e-3, atol=1e-3)


def test_the_generators_are_as_they_were(X):
    before = torch.cuda.get_rng_state()
    VAETransformer(2, hidden_layer_sizes=(16,)).fit(X[:300])
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_faces(tmp_path):
    X = np.random.default_rng(0).random((60, 16, 16, 3))
    y = np.repeat(["ann", "bob"], 30)
    swapper = FaceSwapper(width=4, max_iter=3, random_state=0).fit(X, y)
    assert swapper.module_.device.type == "cuda"
    again = clone(swapper).fit(X, y)
    assert_array_equal(again.swap(X, "bob"), swapper.swap(X, "bob"))
    loaded = pickle.loads(pickle.dumps(swapper))
    assert_allclose(loaded.swap(X, "bob"), swapper.swap(X, "bob"), atol=1e-6)
    swapper.set_params(warm_start=True, max_iter=4).fit(X, y)
    swapper.partial_fit(X, y).add_identity(X[:30], "cyd", max_iter=1)
