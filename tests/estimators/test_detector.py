"""The outlier protocol around estimators that score rows."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.datasets import load_iris
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


def test_scores_are_those_of_the_estimator(detector):
    expected = AutoencoderTransformer(2, **QUICK).fit(X).score_samples(X)
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
