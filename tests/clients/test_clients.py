"""Programs that use scikit-learn's estimators, each as its users use it."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    VAETransformer,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::DeprecationWarning"
)
X, LABELS = load_iris(return_X_y=True)
X, LABELS = X[::2], LABELS[::2]
QUICK = {"hidden_layer_sizes": (4,), "max_iter": 1, "early_stopping": False}
ESTIMATORS = [
    AutoencoderTransformer(2, **QUICK),
    DenoisingAutoencoderTransformer(2, **QUICK),
    VAETransformer(2, **QUICK),
    EncoderDecoderRegressor(2, **QUICK),
]


@pytest.fixture(scope="module", params=ESTIMATORS, ids=lambda e: type(e).__name__)
def fitted(request):
    return request.param.fit(X, X[:, :2])


@pytest.fixture(scope="module")
def autoencoder():
    return AutoencoderTransformer(2, **QUICK).fit(X)


def test_joblib_hashes_a_fit_alike(fitted):
    assert joblib.hash(fitted) == joblib.hash(fitted)


def test_skops(fitted):
    io = pytest.importorskip("skops.io")
    data = io.dumps(fitted)
    types = io.get_untrusted_types(data=data)
    cls = type(fitted)
    assert types == [f"{cls.__module__}.{cls.__qualname__}"]
    loaded = io.loads(data, trusted=types)
    assert_array_equal(loaded.transform(X), fitted.transform(X))


def test_skops_refuses_changed_files(autoencoder):
    io = pytest.importorskip("skops.io")
    data = io.dumps(make_pipeline(StandardScaler(), autoencoder))
    rng = np.random.default_rng(0)
    for _ in range(20):
        cut = data[: rng.integers(len(data))]
        with pytest.raises(Exception, match=r".*"):  # zipfile's own
            io.loads(cut, trusted=io.get_untrusted_types(data=cut))


def test_cloudpickle(autoencoder):
    cloudpickle = pytest.importorskip("cloudpickle")
    loaded = cloudpickle.loads(cloudpickle.dumps(autoencoder))
    assert_array_equal(loaded.transform(X), autoencoder.transform(X))


def test_dask_arrays_are_transformed_in_parts(autoencoder):
    da = pytest.importorskip("dask.array")
    parts = da.from_array(X, chunks=(20, 4))
    Z = parts.map_blocks(autoencoder.transform, dtype=float, chunks=(20, 2))
    assert_array_equal(Z.compute(scheduler="sync"), autoencoder.transform(X))


def test_dask_names_an_estimator_alike(autoencoder):
    tokenize = pytest.importorskip("dask.base").tokenize
    first = tokenize(autoencoder.transform, ensure_deterministic=True)
    assert first == tokenize(autoencoder.transform, ensure_deterministic=True)


class Counting(BaseEstimator):
    """A step that counts its fits."""

    n_fits = 0

    def fit(self, X, y=None):
        Counting.n_fits += 1
        self.fitted_ = True
        return self

    def transform(self, X):
        return X


def test_memory_behind_a_frozen_estimator_is_hit(autoencoder, tmp_path):
    steps = FrozenEstimator(autoencoder), Counting(), LogisticRegression()
    for _ in range(2):
        make_pipeline(*steps, memory=str(tmp_path)).fit(X, LABELS)
    assert Counting.n_fits == 1


def test_mlflow_logs_no_inner_fits(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("mlflow.sklearn")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)  # for what it writes beside its database
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    try:
        AutoencoderTransformer(2, **QUICK).fit(X)
        VAETransformer(2, **QUICK).fit(X)
        assert len(mlflow.search_runs(output_format="list")) == 0
        LogisticRegression().fit(X, LABELS)  # which is the user's
        assert len(mlflow.search_runs(output_format="list")) == 1
    finally:
        mlflow.sklearn.autolog(disable=True)


def test_optuna(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):
        k = trial.suggest_int("n_components", 1, 2)
        return AutoencoderTransformer(k, **QUICK).fit(X).score(X)

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=2)
    assert study.best_value < 0


def test_imbalanced_learn():
    pipeline = pytest.importorskip("imblearn.pipeline")
    sampling = pytest.importorskip("imblearn.under_sampling")
    steps = pipeline.make_pipeline(
        sampling.RandomUnderSampler(random_state=0),
        AutoencoderTransformer(2, **QUICK),
        LogisticRegression(),
    )
    assert steps.fit(X, LABELS).predict(X).shape == LABELS.shape
