"""Inside scikit-learn: pipelines, searches, column transformers."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    VAETransformer,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def search(quick, iris):
    reducer = quick(AutoencoderTransformer, max_iter=5)
    pipeline = make_pipeline(StandardScaler(), reducer, LogisticRegression())
    grid = {"autoencodertransformer__n_components": np.arange(1, 4)}
    with pytest.warns(UserWarning, match="max_iter"):
        return GridSearchCV(pipeline, grid, n_jobs=2, cv=3).fit(*iris)


def test_grid_search_over_n_components(search):
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.85


def test_best_of_a_grid_search_predicts(search, iris):
    X, y = iris
    assert np.mean(search.predict(X) == y) > 0.9


def test_grid_search_by_the_estimators_own_score(quick, iris):
    # More latents reconstruct better, and score says so: higher is better.
    X, _ = iris
    grid = {"n_components": [1, 2, 3]}
    search = GridSearchCV(quick(AutoencoderTransformer, max_iter=5), grid, cv=3).fit(X)
    assert search.best_params_ == {"n_components": 3}


def test_cross_validated_density_tells_the_better_model(quick, iris):
    X, _ = iris
    rng = np.random.default_rng(0)
    vae = quick(VAETransformer, max_iter=5)
    folds = cross_val_score(vae, X[rng.permutation(150)], cv=3)
    noise = cross_val_score(vae, rng.permuted(X, axis=0), cv=3)
    assert folds.mean() > noise.mean()


def test_pipeline_takes_pcas_place(Estimator, quick, iris):
    X, y = iris
    for reducer in (PCA(2), quick(Estimator)):
        pipeline = make_pipeline(StandardScaler(), reducer, LogisticRegression())
        assert pipeline.fit(X, y).score(X, y) > 0.85


def test_pipeline_goes_back_to_the_columns(Estimator, quick, iris):
    X, _ = iris
    pipeline = make_pipeline(StandardScaler(), quick(Estimator, n_components=3))
    R = pipeline.inverse_transform(pipeline.fit_transform(X))
    assert R.shape == X.shape
    assert np.mean((R - X) ** 2) < 0.1 * X.var(axis=0).mean()


def test_pipeline_names_the_latents(Estimator, quick, iris):
    pipeline = make_pipeline(StandardScaler(), quick(Estimator, max_iter=1)).fit(
        iris[0]
    )
    name = Estimator.__name__.lower()
    assert list(pipeline.get_feature_names_out()) == [f"{name}0", f"{name}1"]


def test_pipeline_for_log_loss(quick, iris):
    X, _ = iris
    pipeline = make_pipeline(
        MinMaxScaler(clip=True), quick(AutoencoderTransformer, loss="log_loss")
    )
    pipeline.fit(X[::2])
    assert np.isfinite(pipeline.transform(10 * X)).all()


def test_min_max_scaler_is_enough_for_log_loss(Estimator, quick):
    # It may miss 1 by a rounding error, as it does here.
    X = load_breast_cancer().data
    assert MinMaxScaler().fit_transform(X).max() > 1
    estimator = quick(Estimator, loss="log_loss", max_iter=1)
    Z = make_pipeline(MinMaxScaler(), estimator).fit_transform(X)
    assert np.isfinite(Z).all()


def test_parameters_are_set_through_a_pipeline(Estimator, iris):
    pipeline = Pipeline([("reduce", Estimator())])
    pipeline.set_params(reduce__n_components=3, reduce__max_iter=0)
    assert pipeline.fit_transform(iris[0]).shape == (150, 3)


@pytest.fixture
def frame(iris):
    frame = pd.DataFrame(iris[0], columns=["a", "b", "c", "d"])
    frame.index = [f"flower {i}" for i in range(len(frame))]
    frame["kind"] = np.where(iris[1] == 0, "small", "large")
    return frame


def test_set_output_inside_a_column_transformer(Estimator, quick, frame):
    reducer = quick(Estimator, max_iter=5)
    columns = ColumnTransformer(
        [
            ("latent", reducer, ["a", "b", "c", "d"]),
            ("kind", OneHotEncoder(sparse_output=False), ["kind"]),
        ]
    ).set_output(transform="pandas")
    table = columns.fit_transform(frame)
    name = f"latent__{Estimator.__name__.lower()}"
    kinds = ["kind__kind_large", "kind__kind_small"]
    assert list(table.columns) == [f"{name}0", f"{name}1", *kinds]
    assert list(table.index) == list(frame.index)
    wanted = reducer.fit_transform(frame[["a", "b", "c", "d"]])
    assert_array_equal(table.iloc[:, :2].to_numpy(), wanted)


def test_set_output_of_the_estimator_itself(Estimator, quick, frame):
    X = frame[["a", "b", "c", "d"]]
    estimator = quick(Estimator, max_iter=1).set_output(transform="pandas")
    table = estimator.fit(X).transform(X)
    assert list(table.columns) == list(estimator.get_feature_names_out())
    assert list(table.index) == list(X.index)


@pytest.mark.parametrize("method", ["transform", "fit_transform"])
@pytest.mark.parametrize(
    "make",
    [
        AutoencoderTransformer,
        DenoisingAutoencoderTransformer,
        VAETransformer,
        partial(VAETransformer, conditional=True),
        EncoderDecoderRegressor,
    ],
)
def test_set_output_rules_every_method_that_gives_latents(make, method, frame):
    X, y = frame[["a", "b", "c", "d"]], (frame["kind"] == "large").astype(float)
    model = make(2, max_iter=0).set_output(transform="pandas").fit(X, y)
    wants_y = method == "fit_transform" or getattr(model, "conditional", False)
    Z = getattr(model, method)(X, *([y] if wants_y else []))
    assert list(Z.columns) == list(model.get_feature_names_out())
    assert list(Z.index) == list(X.index)


def test_latents_in_a_frame_go_back(Estimator, quick, frame):
    X = frame[["a", "b", "c", "d"]]
    estimator = quick(Estimator, max_iter=1).set_output(transform="pandas").fit(X)
    R = estimator.inverse_transform(estimator.transform(X))
    assert_allclose(R, estimator.reconstruct(X), rtol=1e-12)


def test_latents_beside_principal_components(Estimator, quick, iris):
    X, _ = iris
    both = FeatureUnion([("pca", PCA(2)), ("ae", quick(Estimator, max_iter=1))])
    assert both.fit_transform(X).shape == (150, 4)


def test_y_is_ignored(Estimator, quick, iris):
    X, y = iris
    estimator = quick(Estimator, max_iter=1)
    Z = estimator.fit(X, y).transform(X)
    assert_array_equal(estimator.fit(X, y[::-1]).transform(X), Z)
    assert estimator.score(X, y) == estimator.score(X)
