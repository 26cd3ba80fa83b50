"""sample_weight of every estimator of tables."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    AutoencoderDetector,
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    VAETransformer,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, D = 40, 5
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 2, "early_stopping": False}
ESTIMATORS = [
    AutoencoderTransformer(2, **SMALL),
    DenoisingAutoencoderTransformer(2, **SMALL),
    VAETransformer(2, **SMALL),
    EncoderDecoderRegressor(2, **SMALL),
]


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return rng.standard_normal((N, D)) @ rng.standard_normal((D, D)) + 3.0


@pytest.fixture(scope="module")
def counts():
    return np.random.RandomState(1).randint(0, 3, N)


@pytest.fixture(scope="module")
def weights():
    return np.random.RandomState(2).gamma(1.0, size=N)


def weighted_pca(X, weights):
    mean = np.average(X, axis=0, weights=weights)
    covariance = np.cov(X.T, aweights=weights)
    axes = np.linalg.eigh(covariance)[1][:, ::-1]
    return (X - mean) @ axes[:, :2]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_partial_fit_takes_whole_weights_as_copies(estimator, X, counts):
    y = X[:, :2]
    copies = X.repeat(counts, axis=0), y.repeat(counts, axis=0)
    one = sklearn.base.clone(estimator).partial_fit(X, y, sample_weight=counts)
    one.partial_fit(X, y, sample_weight=counts)
    other = sklearn.base.clone(estimator).partial_fit(*copies).partial_fit(*copies)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))


def test_start_is_weighted_pca(X, weights):
    start = AutoencoderTransformer(2, max_iter=0).fit(X, sample_weight=weights)
    Z = weighted_pca(X, weights)
    wanted = Z * np.sign(Z[0]) * np.sign(start.transform(X)[0])
    np.testing.assert_allclose(start.transform(X), wanted, atol=1e-4)


def test_start_of_mixed_columns_is_that_of_copies(X, counts):
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame["level"] = np.array(["x", "y", "z"])[np.arange(N) % 3]
    frame.loc[3, "a"] = np.nan
    frame["only here"] = np.where(counts > 0, "seen", "unseen")
    settings = {"n_components": 2, "max_iter": 0}
    one = AutoencoderTransformer(**settings).fit(frame, sample_weight=counts)
    rows = np.arange(N).repeat(counts)
    other = AutoencoderTransformer(**settings).fit(frame.iloc[rows])
    np.testing.assert_array_equal(one.transform(frame), other.transform(frame))
    assert one.columns_ == other.columns_


@pytest.mark.parametrize(
    "estimator",
    [
        # Rows held out by weight, folds, networks from noise, and the encoder's view.
        AutoencoderTransformer(2, max_iter=2, validation_fraction=0.25),
        AutoencoderTransformer(2, init="random", **SMALL),
        VAETransformer(2, noise="per_column", **SMALL),
    ],
    ids=str,
)
def test_weights_matter_up_to_a_factor(estimator, X, weights):
    fits = [
        sklearn.base.clone(estimator).fit(X, sample_weight=factor * weights)
        for factor in (1.0, 4.0)
    ]
    one, other = (fitted.transform(X) for fitted in fits)
    np.testing.assert_array_equal(one, other)


def test_latents_are_uncorrelated_by_weight(X, weights):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 30, "early_stopping": False}
    settings |= {"init": "random", "learning_rate_init": 0.02, "inference": "encoder"}
    fitted = AutoencoderTransformer(2, **settings)
    fitted.fit(X, sample_weight=weights)
    covariance = np.cov(fitted.transform(X).T, aweights=weights)
    assert abs(covariance[0, 1]) < 1e-4 * covariance[1, 1]
    assert fitted.best_iter_ > 0


def test_training_goes_where_the_weight_is(X):
    weights = np.where(np.arange(N) < 6, 50.5, 0.5)
    settings = {"hidden_layer_sizes": (16,), "max_iter": 60, "init": "random"}
    settings |= {"learning_rate_init": 0.02, "early_stopping": False}
    plain = AutoencoderTransformer(2, **settings).fit(X)
    weighted = AutoencoderTransformer(2, **settings).fit(X, sample_weight=weights)
    assert weighted.score(X[:6]) > plain.score(X[:6])
    assert weighted.score(X[6:]) < plain.score(X[6:])


def test_score_is_weighted_and_the_error_too(X, weights):
    fitted = AutoencoderTransformer(2, max_iter=0).fit(X, sample_weight=weights)
    score = fitted.score(X, sample_weight=weights)
    assert score == pytest.approx(np.average(fitted.score_samples(X), weights=weights))
    assert -score == pytest.approx(fitted.reconstruction_err_, rel=1e-5)


def test_a_vae_scores_by_weight(X, weights):
    fitted = VAETransformer(2, max_iter=0).fit(X)
    wanted = np.average(fitted.score_samples(X), weights=weights)
    assert fitted.score(X, sample_weight=weights) == pytest.approx(wanted)


def test_weights_of_long_tables(X, counts, monkeypatch):
    for room in ("_tables.rows", "_tables.weighing", "_tables.checks"):
        module = __import__(f"sklearn_ae.{room}", fromlist=["is_long"])
        monkeypatch.setattr(module, "is_long", lambda X: len(X.shape) == 2)
    estimator = AutoencoderTransformer(2, max_iter=1, hidden_layer_sizes=(8,))
    one = estimator.fit(X, sample_weight=counts).transform(X)
    other = estimator.fit(X.repeat(counts, axis=0)).transform(X)
    np.testing.assert_array_equal(one, other)


def test_metadata_is_routed_through_a_pipeline(X, weights):
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        last = AutoencoderTransformer(2, max_iter=0)
        last = last.set_fit_request(sample_weight=True)
        last = last.set_score_request(sample_weight=True)
        pipeline = make_pipeline(scaler, last).fit(X, sample_weight=weights)
        score = pipeline.score(X, sample_weight=weights)
    scaled = StandardScaler().fit(X, sample_weight=weights).transform(X)
    alone = AutoencoderTransformer(2, max_iter=0).fit(scaled, sample_weight=weights)
    assert score == alone.score(scaled, sample_weight=weights)


@pytest.mark.parametrize("kind", [AutoencoderTransformer, VAETransformer])
def test_fit_transform_takes_weights(kind, X, weights):
    one = kind(2, max_iter=0).fit_transform(X, sample_weight=weights)
    other = kind(2, max_iter=0).fit(X, sample_weight=weights).transform(X)
    np.testing.assert_array_equal(one, other)


def test_bad_weights_leave_the_estimator_as_it_was(X):
    estimator = AutoencoderTransformer(2, max_iter=0).fit(X)
    before = estimator.transform(X)
    with pytest.raises(ValueError, match="sample_weight must be finite"):
        estimator.fit(2 * X, sample_weight=-np.ones(N))
    np.testing.assert_array_equal(estimator.transform(X), before)


def test_conditions_go_with_their_rows(X, counts):
    y = np.arange(N) % 3
    estimator = VAETransformer(2, conditional=True, **SMALL)
    one = estimator.fit(X, y, sample_weight=counts).transform(X, y)
    rows = np.arange(N).repeat(counts)
    other = estimator.fit(X[rows], y[rows]).transform(X, y)
    np.testing.assert_array_equal(one, other)


def test_every_estimator_of_tables_asks_for_weights():
    for estimator in ESTIMATORS:
        request = sklearn.utils.metadata_routing.get_routing_for_object(estimator)
        for method in ("fit", "partial_fit", "score"):
            assert "sample_weight" in getattr(request, method).requests, method


@pytest.fixture(scope="module")
def detectors(X, weights):
    """Plain, of the same in a Pipeline, and with whole weights."""
    inner = AutoencoderTransformer(2, max_iter=0)
    pipeline = make_pipeline(StandardScaler(with_std=False), inner)
    return [
        AutoencoderDetector(estimator, contamination=0.2, use_latents=False).fit(
            X, sample_weight=weights
        )
        for estimator in (inner, pipeline)
    ]


def test_a_detector_hands_weights_on(X, weights, detectors):
    alone = AutoencoderTransformer(2, max_iter=0).fit(X, sample_weight=weights)
    scores = alone.score_samples(X)
    for detector in detectors:
        np.testing.assert_allclose(detector.score_samples(X), scores, rtol=1e-3)


def test_a_detector_counts_outliers_by_weight(X, weights, detectors):
    for detector in detectors:
        share = np.average(detector.predict(X) == -1, weights=weights)
        assert share <= 0.2 < share + weights.max() / weights.sum()


def test_a_detector_repeats_rows_for_any_estimator(X, counts, weights):
    detector = AutoencoderDetector(PCA(2), contamination=0.2)
    one = detector.fit(X, sample_weight=counts).offset_
    other = detector.fit(X.repeat(counts, axis=0)).offset_
    assert one == pytest.approx(other)
    with pytest.raises(TypeError, match="PCA takes no sample_weight in fit"):
        detector.fit(X, sample_weight=weights)


@pytest.mark.parametrize("max_iter", [0, 1])
def test_long_tables_start_as_short_ones_do(X, weights, monkeypatch, max_iter):
    estimator = AutoencoderTransformer(2, max_iter=0)
    short = estimator.fit(X, sample_weight=weights).transform(X)
    for room in ("_tables.rows", "_tables.weighing", "_tables.checks"):
        module = __import__(f"sklearn_ae.{room}", fromlist=["is_long"])
        monkeypatch.setattr(module, "is_long", lambda X: len(X.shape) == 2)
    estimator.set_params(max_iter=max_iter, validation_fraction=0.25)
    long = estimator.fit(X, sample_weight=weights)
    if max_iter == 0:
        np.testing.assert_allclose(long.transform(X), short, atol=1e-4)
    else:
        assert np.isfinite(long.validation_loss_curve_).all()


@pytest.fixture
def far():
    """Rows of which every other is far, and counts for nothing."""
    is_far = np.arange(N) % 2 == 1
    X = (
        np.random.RandomState(3).standard_normal((N, D))
        * np.where(is_far, 1e3, 1.0)[:, None]
    )
    return X, np.where(is_far, 1e-9, 1.99)


def test_rows_that_describe_a_fit_keep_their_weights(far, monkeypatch):
    monkeypatch.setattr("sklearn_ae._inference.inference._MOST_DESCRIBED", N // 2)
    X, weights = far
    estimator = AutoencoderTransformer(2, max_iter=0).fit(X, sample_weight=weights)
    assert estimator.reconstruction_err_ < 2.0


def test_rows_that_networks_are_compared_by_keep_their_weights(far, monkeypatch):
    monkeypatch.setattr("sklearn_ae._inference.inference._LEAST_COMPARED", 10)
    X, weights = far
    estimator = AutoencoderTransformer(2, max_iter=1, warm_start=True)
    estimator.set_params(validation_fraction=0.5).fit(X, sample_weight=weights)
    estimator.set_params(max_iter=2).fit(X, sample_weight=weights)
    assert max(estimator.validation_loss_curve_) < 10.0
