"""DenoisingAutoencoderTransformer: corrupted rows in, clean rows out.

The corruptions themselves are tested in test_corruptions.py.
"""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback

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
    plain = quick(AutoencoderTransformer, inference="encoder").fit(X)
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


def test_training_compares_corrupted_rows_with_clean_ones(denoiser, X):
    # Nothing of a row is left: the best reconstruction is the mean row, and the least
    # loss the variance. A clean input or a corrupted target would let it fall to 0.
    def erase(x):
        return torch.zeros_like(x)

    estimator = denoiser(corruption=erase, init="random", max_iter=40).fit(X)
    scale = estimator.module_.scale.item()
    lowest = min(estimator.loss_curve_) * scale**2
    assert lowest == pytest.approx(X.var(axis=0).mean(), rel=0.05)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_corruption_of_the_fitted_module_knows_the_columns(method, denoiser, X):
    # Training has an order of the columns of its own; afterwards it is the table's.
    estimator = getattr(denoiser(corruption="salt_and_pepper"), method)(X)
    module = estimator.module_
    low, high = (
        (extreme * module.scale + module.center).numpy()
        for extreme in (module.corruption.column_min, module.corruption.column_max)
    )
    np.testing.assert_allclose(low, X.min(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(high, X.max(axis=0), rtol=1e-5, atol=1e-5)


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
    params = {"early_stopping": early_stopping, "max_iter": 3, "batch_size": 40}
    # With a callback, which does nothing here, there is one training.
    estimator = denoiser(corruption=count, callbacks=[Callback()], **params).fit(X)
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


def test_callable_keeps_the_digits_of_columns_far_from_zero(denoiser, X):
    # The function is given rows in the units of X. On the way there and back they
    # must lose no more than float32 loses of standardised rows.
    def losses(X):
        params = {"corruption": lambda x: x, "init": "random"}
        return denoiser(**params).fit(X).loss_curve_

    np.testing.assert_allclose(losses(X + 1e6), losses(X), rtol=1e-3)


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


def test_denoises_better_than_an_autoencoder(denoiser, quick, more_rows):
    X, X_test = np.split(more_rows(600, seed=1), 2)
    std = X.std(axis=0)
    rng = np.random.default_rng(0)
    noisy = X_test + 0.6 * std * rng.standard_normal(X_test.shape)

    def error(estimator):
        estimator.set_params(max_iter=60, learning_rate_init=5e-3, init="random")
        estimator.set_params(hidden_layer_sizes=(32,))
        R = estimator.fit(X).reconstruct(noisy)
        return np.mean(((R - X_test) / std) ** 2)

    plain = error(quick(AutoencoderTransformer, inference="encoder"))
    assert error(denoiser(corruption_level=0.6)) < 0.8 * plain
