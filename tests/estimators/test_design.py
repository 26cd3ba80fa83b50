"""Fits of wide tables, in the span of their rows."""

import pickle

import numpy as np
import pytest
import torch

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    VAETransformer,
)

N, D = 30, 400


def _fit(Estimator, X, **params):
    params = {
        "max_iter": 4,
        "early_stopping": False,
        "hidden_layer_sizes": (8,),
    } | params
    if Estimator is EncoderDecoderRegressor:
        return Estimator(2, **params).fit(X, X[:, :2] ** 2)
    return Estimator(2, **params).fit(X)


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(N, 2))
    bent = np.tanh(z @ rng.normal(size=(2, 9))) @ rng.normal(size=(9, D))
    return bent + 0.3 * rng.normal(size=(N, D)) + 5.0


@pytest.fixture(scope="module")
def rotation():
    return np.linalg.qr(np.random.default_rng(1).normal(size=(D, D)))[0]


@pytest.mark.filterwarnings("ignore:Training ended")
@pytest.mark.parametrize("Estimator", [AutoencoderTransformer, VAETransformer])
def test_rotated_columns_have_the_same_errors(Estimator, X, rotation):
    one, other = _fit(Estimator, X), _fit(Estimator, X @ rotation)
    # At the optimum gradients are rounding errors, which Adam makes steps of.
    assert one.reconstruction_err_ == pytest.approx(other.reconstruction_err_, rel=1e-2)


@pytest.mark.filterwarnings("ignore:Training ended")
@pytest.mark.parametrize(
    "Estimator", [AutoencoderTransformer, VAETransformer, EncoderDecoderRegressor]
)
def test_the_module_takes_and_gives_all_columns(Estimator, X):
    model = _fit(Estimator, X)
    rows = torch.from_numpy(X).float()
    n_outputs = 2 if Estimator is EncoderDecoderRegressor else D
    assert model.module_(rows).shape == (N, n_outputs)
    assert len(model.module_.encoder.input_spread) == D
    copy = pickle.loads(pickle.dumps(model))
    if Estimator is EncoderDecoderRegressor:
        np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    else:
        np.testing.assert_array_equal(copy.transform(X), model.transform(X))


@pytest.mark.filterwarnings("ignore:Training ended")
def test_what_lies_outside_the_span_counts_in_scores(X):
    model = _fit(AutoencoderTransformer, X)
    outside = np.random.default_rng(2).normal(size=(N, D))
    centred = np.vstack([X - X.mean(axis=0), model.inverse_transform(np.eye(2)) - 5.0])
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    outside -= outside @ axes.T @ axes
    np.testing.assert_allclose(
        model.score_samples(X + outside),
        model.score_samples(X) - (outside**2).mean(axis=1),
        rtol=1e-3,
    )


@pytest.mark.parametrize(
    ("Estimator", "params"),
    [
        (AutoencoderTransformer, {"loss": "absolute_error"}),
        (AutoencoderTransformer, {"image_shape": (20, 20)}),
        (VAETransformer, {"noise": "per_column"}),
        (DenoisingAutoencoderTransformer, {}),
    ],
)
@pytest.mark.filterwarnings("ignore:Training ended")
def test_where_columns_are_more_than_a_span_all_are_seen(
    Estimator, params, X, monkeypatch
):
    def refuse(x):
        raise AssertionError("the span was asked for")

    monkeypatch.setattr("sklearn_ae._estimators.design.Span.of", refuse)
    _fit(Estimator, X, max_iter=1, **params)


@pytest.mark.filterwarnings("ignore:Training ended")
def test_a_wide_fit_goes_on_warm(X):
    model = _fit(AutoencoderTransformer, X, warm_start=True)
    before = model.reconstruction_err_
    model.set_params(max_iter=8, learning_rate_init=1e-4).fit(X)
    assert model.n_iter_ == 8
    assert model.reconstruction_err_ <= before
