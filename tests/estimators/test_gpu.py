"""The same on a GPU; skipped where there is none."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import (
    AutoencoderDetector,
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    FaceSwapper,
    NeighborMapTransformer,
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


# Every estimator, and all that is asked of it -----------------------------------------

QUICK = {"hidden_layer_sizes": (16,), "max_iter": 3}
ANSWERS = ["transform", "reconstruct", "score_samples", "predict", "predict_proba"]
short_trainings = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)
SETTINGS = {
    "autoencoder": AutoencoderTransformer(2, **QUICK),
    "encoder alone": AutoencoderTransformer(2, inference="encoder", **QUICK),
    "absolute": AutoencoderTransformer(2, loss="absolute_error", **QUICK),
    "nested": AutoencoderTransformer(2, nested=True, **QUICK),
    "number found": AutoencoderTransformer(0.9, **QUICK),
    "denoising": DenoisingAutoencoderTransformer(2, inference="refined", **QUICK),
    "swap": DenoisingAutoencoderTransformer(2, corruption="swap", **QUICK),
    "vae": VAETransformer(2, **QUICK),
    "vae, noise of columns": VAETransformer(2, noise="per_column", **QUICK),
    "vae, many draws": VAETransformer(2, n_importance_samples=3, **QUICK),
    "regressor": EncoderDecoderRegressor(2, **QUICK),
    "map": NeighborMapTransformer(2, n_neighbors=5, **QUICK),
    "detector": AutoencoderDetector(AutoencoderTransformer(2, **QUICK)),
    "pictures": AutoencoderTransformer(2, image_shape=(2, 2), **QUICK),
    "noisy pictures": DenoisingAutoencoderTransformer(
        2, image_shape=(2, 2), corruption="block", **QUICK
    ),
    "vae of pictures": VAETransformer(2, image_shape=(2, 2), **QUICK),
}


def answers(estimator, X):
    methods = (getattr(estimator, name, None) for name in ANSWERS)
    return [np.asarray(method(X)) for method in methods if method is not None]


def on_the_cpu(estimator):
    """The same fitted estimator, with its networks on the CPU."""
    copied = copy.deepcopy(estimator)
    for part in (copied, getattr(copied, "estimator_", copied)):
        if "device" in part.get_params(deep=False):
            part.set_params(device="cpu")
    return pickle.loads(pickle.dumps(copied))


@short_trainings
@pytest.mark.parametrize("setting", SETTINGS)
def test_answers_are_those_of_a_cpu_with_the_same_weights(setting, X):
    estimator = clone(SETTINGS[setting]).fit(X[:300], X[:300, :2])
    for found, expected in zip(
        answers(estimator, X), answers(on_the_cpu(estimator), X), strict=True
    ):
        assert np.isfinite(found).all()
        assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@short_trainings
@pytest.mark.parametrize("setting", SETTINGS)
def test_refits_of_every_estimator_have_the_same_bits(setting, X):
    first, second = (
        clone(SETTINGS[setting]).fit(X[:300], X[:300, :2]) for _ in range(2)
    )
    for a, b in zip(answers(first, X), answers(second, X), strict=True):
        assert_array_equal(a, b)


@short_trainings
@each_estimator
def test_mixed_tables_with_holes_and_weights(Estimator, X):
    table = pd.DataFrame(X[:300], columns=list("abcd"))
    table["kind"] = pd.Categorical(np.where(X[:300, 0] > 5.0, "high", "low"))
    table.loc[::7, "b"] = np.nan
    weights = np.random.default_rng(0).gamma(2.0, size=300)
    model = Estimator(2, **QUICK).fit(table, sample_weight=weights)
    assert not model.impute(table).isna().any(axis=None)
    assert model.reconstruct(table).dtypes.equals(table.dtypes)
    assert np.isfinite(model.score(table, sample_weight=weights))


@short_trainings
def test_conditions_posteriors_and_samples(X):
    y = (X[:300, 0] > 5.0).astype(int)
    vae = VAETransformer(2, conditional=True, **QUICK).fit(X[:300], y)
    mean, covariance = vae.posterior(X[:300], y, return_cov=True)
    assert np.isfinite(mean).all()
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.isfinite(vae.sample(5, y=[0, 1, 0, 1, 0])).all()
    assert np.isfinite(vae.score_samples(X[:300], y)).all()


@short_trainings
@each_estimator
def test_passes_and_warm_starts_go_on(Estimator, X):
    model = Estimator(2, **QUICK).partial_fit(X[:100]).partial_fit(X[100:200])
    model.set_params(warm_start=True, max_iter=4).fit(X[:300])
    assert np.isfinite(model.transform(X)).all()


@short_trainings
def test_a_checkpoint_is_taken_up_on_the_device(tmp_path, X):
    path = tmp_path / "fit.safetensors"
    model = AutoencoderTransformer(2, checkpoint=path, **QUICK)
    expected = clone(model).set_params(checkpoint=None).fit(X[:300]).transform(X)
    assert_array_equal(model.fit(X[:300]).transform(X), expected)
