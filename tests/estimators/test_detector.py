"""The outlier protocol around estimators that score rows."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import clone, config_context
from sklearn.datasets import load_iris
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ae import AutoencoderDetector, AutoencoderTransformer, VAETransformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)
X = load_iris().data[::2]
QUICK = {"hidden_layer_sizes": (3,), "max_iter": 1, "early_stopping": False}


@parametrize_with_checks([AutoencoderDetector(AutoencoderTransformer(1, **QUICK))])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def detector():
    inner = AutoencoderTransformer(2, **QUICK)
    return AutoencoderDetector(inner, contamination=0.2).fit(X)


def test_share_of_outliers_among_training_rows(detector):
    assert np.mean(detector.predict(X) == -1) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "detector",
    [
        AutoencoderDetector(AutoencoderTransformer(2, **QUICK), use_latents=False),
        AutoencoderDetector(VAETransformer(2, **QUICK)),
    ],
)
def test_scores_are_those_of_the_estimator(detector):
    expected = clone(detector.estimator).fit(X).score_samples(X)
    detector.fit(X)
    assert_array_equal(detector.score_samples(X), expected)
    assert_array_equal(detector.decision_function(X), expected - detector.offset_)


def test_fit_predict_is_fit_and_predict(detector):
    assert_array_equal(detector.fit_predict(X), detector.predict(X))


def test_estimator_is_cloned():
    inner = AutoencoderTransformer(2, **QUICK)
    AutoencoderDetector(inner).fit(X)
    assert not hasattr(inner, "module_")


@pytest.mark.parametrize(
    "inner", [VAETransformer(2, **QUICK), AutoencoderTransformer(2, **QUICK)]
)
def test_pipelines_can_score(inner):
    pipeline = make_pipeline(StandardScaler(), inner)
    detector = AutoencoderDetector(pipeline).fit(X)
    assert detector.predict(X + 100.0).tolist() == [-1] * len(X)
    assert detector.n_features_in_ == 4


@pytest.fixture(scope="module")
def with_cluster():
    """Rows about a plane, and outliers in one place far away, last."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(160, 2)) @ rng.normal(size=(2, 6))
    rows = np.vstack([rows, 15.0 + 0.1 * rng.normal(size=(20, 6))])
    return rows + 0.3 * rng.normal(size=rows.shape)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_outliers_that_lie_together_are_found(with_cluster, in_pipeline):
    inner = AutoencoderTransformer(2, max_iter=0)
    is_outlier = np.arange(len(with_cluster)) >= 160
    errors = -clone(inner).fit(with_cluster).score_samples(with_cluster)
    assert roc_auc_score(is_outlier, errors) < 0.5
    inner = make_pipeline(StandardScaler(), inner) if in_pipeline else inner
    detector = AutoencoderDetector(inner).fit(with_cluster)
    assert roc_auc_score(is_outlier, -detector.score_samples(with_cluster)) > 0.98


def test_without_a_share_outliers_are_beyond_the_fence_of_tukey(with_cluster):
    inner = AutoencoderTransformer(2, max_iter=0)
    detector = AutoencoderDetector(inner, contamination="auto").fit(with_cluster)
    lower, upper = np.percentile(detector.score_samples(with_cluster), [25, 75])
    assert detector.offset_ == pytest.approx(lower - 1.5 * (upper - lower))
    assert set(detector.predict(with_cluster[160:])) == {-1}


def test_rows_that_come_back_as_they_were_are_scored():
    detector = AutoencoderDetector(AutoencoderTransformer(4, max_iter=0)).fit(X)
    scores = detector.score_samples(X)
    assert scores.min() > -1e3
    assert np.isfinite(scores).all()


def test_what_does_not_score_is_refused():
    with pytest.raises(ValueError, match="'score_samples'"):
        AutoencoderDetector(StandardScaler()).fit(X)


def test_weights_reach_a_pipeline_where_metadata_are_routed():
    def detector():
        inner = AutoencoderTransformer(2, **QUICK)
        scale = StandardScaler()
        with config_context(enable_metadata_routing=True):
            inner.set_fit_request(sample_weight=True)
            scale.set_fit_request(sample_weight=False)
        return AutoencoderDetector(make_pipeline(scale, inner))

    weights = np.linspace(0.1, 0.9, len(X))
    expected = detector().fit(X, sample_weight=weights).offset_
    with config_context(enable_metadata_routing=True):
        assert detector().fit(X, sample_weight=weights).offset_ == expected


def test_a_pipeline_within_another_is_scored_as_one():
    inner = AutoencoderTransformer(2, max_iter=0)
    flat = AutoencoderDetector(make_pipeline(StandardScaler(), inner))
    within = AutoencoderDetector(
        make_pipeline(StandardScaler(), make_pipeline(inner)),
    )
    weights = np.arange(len(X)) % 3
    scores = [
        detector.fit(X, sample_weight=weights / 2).score_samples(X)
        for detector in (flat, within)
    ]
    np.testing.assert_array_equal(*scores)
    assert within.location_ is not None
