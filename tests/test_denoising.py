"""DenoisingAutoencoderTransformer: corrupted rows in, clean rows out.

The corruptions themselves are tested in test_corruptions.py.
"""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sklearn_ae import AutoencoderTransformer, DenoisingAutoencoderTransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

NAMED = ["gaussian", "masking", "salt_and_pepper", "swap"]


@pytest.fixture
def denoiser(quick):
    def make(**params):
        return quick(DenoisingAutoencoderTransformer, **params)

    return make


@pytest.mark.parametrize("corruption", NAMED)
def test_without_corruption_it_is_the_autoencoder(corruption, denoiser, quick, X):
    denoising = denoiser(corruption=corruption, corruption_level=0.0).fit(X)
    plain = quick(AutoencoderTransformer).fit(X)
    assert_array_equal(denoising.reconstruct(X), plain.reconstruct(X))


@pytest.mark.parametrize("corruption", NAMED)
def test_corruption_changes_what_is_learned(corruption, denoiser, quick, X):
    params = {"corruption_level": 0.3, "init": "random"}
    denoising = denoiser(corruption=corruption, **params).fit(X)
    plain = quick(AutoencoderTransformer, init="random").fit(X)
    assert np.any(denoising.reconstruct(X) != plain.reconstruct(X))


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "log_loss"])
@pytest.mark.parametrize("corruption", NAMED)
def test_every_corruption_goes_with_every_loss(corruption, loss, denoiser, X_unit):
    estimator = denoiser(corruption=corruption, loss=loss, corruption_level=0.5)
    assert np.isfinite(estimator.fit(X_unit).transform(X_unit)).all()


@pytest.mark.parametrize("corruption", NAMED)
def test_level_means_the_same_in_any_units(corruption, denoiser, X):
    params = {"corruption": corruption, "corruption_level": 0.2, "init": "random"}
    R = denoiser(**params).fit(X).reconstruct(X)
    # A power of two, so that not a bit is rounded otherwise.
    assert_array_equal(denoiser(**params).fit(1024 * X).reconstruct(1024 * X), 1024 * R)


def test_training_sees_corrupted_rows(denoiser, X):
    # Nothing of the row is left: the best reconstruction is the mean row.
    def erase(x):
        return torch.zeros_like(x)

    estimator = denoiser(corruption=erase, init="random", max_iter=40).fit(X)
    scale = estimator.module_.scale.item()
    lowest = min(estimator.loss_curve_) * scale**2
    assert lowest == pytest.approx(X.var(axis=0).mean(), rel=0.05)


def test_target_is_the_clean_row(denoiser, X):
    # The corruption moves every row by the same; the clean row is what comes out.
    def move(x):
        return x + 100.0

    estimator = denoiser(
        corruption=move, init="random", max_iter=100, learning_rate_init=0.01
    )
    # Training minimises the error on moved rows; the clean ones are new to it.
    estimator.fit(X)
    with torch.no_grad():
        z = estimator.transform(X + 100.0)
    error = np.mean((estimator.inverse_transform(z) - X) ** 2)
    assert error < X.var(axis=0).mean()


class Count:
    """A corruption that counts its calls and changes nothing."""

    def __init__(self):
        self.n_calls = 0
        self.rows = []

    def __call__(self, x):
        self.n_calls += 1
        self.rows.append(x.clone())
        return x


@pytest.mark.parametrize("early_stopping", [True, False])
def test_only_training_is_corrupted(early_stopping, denoiser, X):
    count = Count()
    estimator = denoiser(
        corruption=count, early_stopping=early_stopping, max_iter=3, batch_size=40
    ).fit(X)
    # Neither validation, nor errors, nor latents for their axes and their density.
    assert count.n_calls == 3 * 2
    for method in ("transform", "reconstruct", "score_samples"):
        getattr(estimator, method)(X)
    assert count.n_calls == 3 * 2


def test_callable_sees_the_columns_of_the_table(denoiser, X):
    count = Count()
    denoiser(corruption=count, max_iter=1, batch_size=80).fit(X)
    (seen,) = count.rows
    assert seen.shape == X.shape
    order = np.argsort(seen[:, 0].numpy())
    np.testing.assert_allclose(seen.numpy()[order], X[X[:, 0].argsort()], rtol=1e-5)


def test_callable_draws_reproducibly_from_torch(denoiser, X):
    def noise(x):
        return x + 0.1 * torch.randn_like(x)

    first = denoiser(corruption=noise, init="random").fit(X).reconstruct(X)
    torch.rand(3)  # whatever the user draws in between
    second = denoiser(corruption=noise, init="random").fit(X).reconstruct(X)
    assert_array_equal(first, second)


def test_callable_without_effect_is_as_no_corruption(denoiser, X):
    # Columns far from zero keep their digits on the way to the function and back.
    X = X + 1e6
    params = {"init": "random", "hidden_layer_sizes": (8,)}
    named = denoiser(corruption_level=0.0, **params)
    named.fit(X)
    # Own functions see the columns in the table's order; so do own networks only.
    own = denoiser(corruption=lambda x: x, **params).fit(X)
    assert own.score(X) == pytest.approx(named.score(X), rel=0.5)


def test_noise_is_new_in_every_step(denoiser, X):
    seen = []

    def noise(x):
        seen.append(torch.randn(1).item())
        return x

    denoiser(corruption=noise, max_iter=2).fit(X)
    assert len(set(seen)) == len(seen) == 2 * 5


def test_fit_of_a_clone_is_the_same(denoiser, X):
    estimator = denoiser(corruption="swap").fit(X)
    assert_array_equal(clone(estimator).fit(X).transform(X), estimator.transform(X))


def test_denoises(more_rows):
    # The rows lie on a surface; noise takes them off it.
    X, X_test = np.split(more_rows(600), 2)
    std = X.std(axis=0)
    rng = np.random.default_rng(0)
    noisy = X_test + 0.3 * std * rng.standard_normal(X_test.shape)
    estimator = DenoisingAutoencoderTransformer(2, corruption_level=0.3, max_iter=60)
    R = estimator.fit(X).reconstruct(noisy)
    assert np.mean(((R - X_test) / std) ** 2) < np.mean(((noisy - X_test) / std) ** 2)
