"""What of scikit-learn's takes estimators, and ways of Python's and torch's own."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import FeatureUnion, make_pipeline

from sklearn_ae import AutoencoderTransformer, EncoderDecoderRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)
X, LABELS = load_iris(return_X_y=True)
X, LABELS = X[::2], LABELS[::2]
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 1, "early_stopping": False}
AUTOENCODER = AutoencoderTransformer(2, inference="encoder", **QUICK)
REGRESSOR = EncoderDecoderRegressor(2, **QUICK)


@pytest.fixture(scope="module")
def fitted():
    return AutoencoderTransformer(2, inference="encoder", **QUICK).fit(X)


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV(AUTOENCODER, {"n_components": [1, 2]}, cv=2),
        RandomizedSearchCV(AUTOENCODER, {"n_components": [1, 2]}, n_iter=1, cv=2),
        HalvingGridSearchCV(AUTOENCODER, {"n_components": [1, 2]}, cv=2),
    ],
    ids=lambda search: type(search).__name__,
)
def test_searches(search):
    assert search.fit(X).best_estimator_.n_components_ in (1, 2)


def test_unions_and_column_transformers():
    union = FeatureUnion([("a", AUTOENCODER), ("b", AUTOENCODER)])
    assert union.fit_transform(X).shape == (len(X), 4)
    columns = ColumnTransformer([("a", AUTOENCODER, [0, 1, 2])], remainder="drop")
    assert columns.fit_transform(X).shape == (len(X), 2)


@pytest.mark.parametrize(
    "ensemble",
    [
        BaggingRegressor(REGRESSOR, n_estimators=2, random_state=0),
        StackingRegressor([("a", REGRESSOR)], Ridge(), cv=2),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
def test_ensembles(ensemble):
    assert ensemble.fit(X, X[:, 0]).predict(X).shape == (len(X),)


def test_calibration():
    pipeline = make_pipeline(AUTOENCODER, LogisticRegression())
    calibrated = CalibratedClassifierCV(pipeline, cv=2).fit(X, LABELS)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)


def test_permutation_importance(fitted):
    found = permutation_importance(fitted, X, LABELS, n_repeats=1, random_state=0)
    assert found.importances_mean.shape == (4,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols_of_pickle(protocol, fitted):
    loaded = pickle.loads(pickle.dumps(fitted, protocol=protocol))
    assert_array_equal(loaded.transform(X), fitted.transform(X))


def test_joblib_s_threads(fitted):
    with joblib.parallel_config("threading", n_jobs=2):
        parts = joblib.Parallel()(
            joblib.delayed(fitted.transform)(part) for part in (X[:40], X[40:])
        )
    assert_array_equal(np.concatenate(parts), fitted.transform(X))


def test_torch_exports_networks(fitted):
    rows = torch.tensor(X, dtype=torch.float32)
    exported = torch.export.export(fitted.encoder_, (rows,))
    with torch.no_grad():
        assert_array_equal(exported.module()(rows), fitted.encoder_(rows))
