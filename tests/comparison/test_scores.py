import sys
import types

import numpy as np
import pytest
from sklearn.decomposition import PCA, FactorAnalysis, KernelPCA
from sklearn.exceptions import FitFailedWarning
from sklearn.manifold import trustworthiness
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small_comparisons import Failing, only_row

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.comparison import _reducers, _scores, compare_reducers


def test_reconstruction_error_is_that_of_pca_by_hand(iris, iris_split):
    X_train, X_test, *_ = iris_split
    pca = PCA(2).fit(X_train)
    expected = mean_squared_error(X_test, pca.inverse_transform(pca.transform(X_test)))
    row = only_row(compare_reducers(*iris, reducers=["PCA"]))
    assert row["reconstruction_error"] == pytest.approx(expected)


def test_explained_variance_is_relative_to_the_training_mean(iris, iris_split):
    X_train, X_test, *_ = iris_split
    pca = PCA(1).fit(X_train)
    residual = X_test - pca.inverse_transform(pca.transform(X_test))
    spread = X_test - X_train.mean(axis=0)
    expected = 1 - (residual**2).sum() / (spread**2).sum()
    row = only_row(compare_reducers(*iris, reducers=["PCA"], n_components=1))
    assert row["explained_variance"] == pytest.approx(expected)


def test_ratio_of_pca_to_itself_is_one(iris):
    table = compare_reducers(*iris, reducers={"mine": PCA()}, n_components=(1, 2, 3))
    assert table["error_ratio_to_pca"].tolist() == [1.0, 1.0, 1.0]


def test_ratio_needs_no_pca_among_the_reducers(iris):
    def error_of(reducer):
        row = only_row(compare_reducers(*iris, reducers={"one": reducer}))
        return row["reconstruction_error"], row["error_ratio_to_pca"]

    pca_error, _ = error_of(PCA())
    error, ratio = error_of(KernelPCA(kernel="rbf", fit_inverse_transform=True))
    assert ratio == pytest.approx(error / pca_error)


def test_ratio_is_undefined_where_pca_has_no_error(iris):
    row = only_row(compare_reducers(*iris, reducers=["PCA"], n_components=4))
    assert np.isnan(row["error_ratio_to_pca"])
    assert row["explained_variance"] == pytest.approx(1)


def test_constant_columns_have_no_variance_to_explain():
    row = only_row(compare_reducers(np.ones((20, 3)), reducers={"zero": Failing()}))
    assert np.isnan(row["explained_variance"])


def test_reducer_without_a_way_back_has_no_error_of_reconstruction(iris):
    row = only_row(compare_reducers(*iris, reducers={"fa": FactorAnalysis()}))
    assert row["has_transform"]
    assert not row["has_inverse_transform"]
    assert np.isnan(row["reconstruction_error"])
    assert row["error"] == ""


def test_way_back_to_the_wrong_shape_is_an_error_of_the_reducer(iris):
    reducers = {"bad": lambda k: FunctionTransformer(inverse_func=lambda Z: Z[:, :1])}
    with pytest.warns(FitFailedWarning, match=r"\(38, 1\) instead of \(38, 4\)"):
        compare_reducers(*iris, reducers=reducers)


@pytest.fixture
def umap_stub(monkeypatch):
    """A module in the place of umap, which takes half a minute to be compiled."""
    calls = []

    class UMAP(PCA):
        __module__ = "umap.umap_"

        def __init__(
            self, n_components=2, n_neighbors=15, n_epochs=0, n_jobs=1, random_state=0
        ):
            super().__init__(n_components)
            self.n_neighbors = n_neighbors
            self.n_epochs = n_epochs
            self.n_jobs = n_jobs
            self.random_state = random_state

        def inverse_transform(self, X):
            calls.append(X.shape)
            return super().inverse_transform(X)

    module = types.ModuleType("umap")
    module.__spec__ = types.SimpleNamespace()
    module.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", module)
    _reducers._compile_umap.cache_clear()
    yield calls
    _reducers._compile_umap.cache_clear()


def test_way_back_of_umap_is_tried_up_to_three_latents(iris, umap_stub):
    table = compare_reducers(*iris, reducers=["UMAP"], n_components=(3, 4))
    assert umap_stub == [(38, 3)]
    assert table["has_inverse_transform"].all()
    assert "not tried" in table.loc[1, "note"]
    assert np.isnan(table.loc[1, "reconstruction_error"])


def test_way_back_of_umap_is_compared_with_pca_on_the_same_rows(
    iris, umap_stub, monkeypatch
):
    monkeypatch.setattr(_scores, "_UMAP_INVERSE_MAX_ROWS", 20)
    umap = sys.modules["umap"].UMAP()
    row = only_row(compare_reducers(*iris, reducers={"u": make_pipeline(PCA(4), umap)}))
    assert umap_stub == [(20, 2)]
    assert "20 held-out rows only" in row["note"]
    assert row["error_ratio_to_pca"] == pytest.approx(1)


def test_knn_accuracy_is_that_of_latents_by_hand(iris, iris_split):
    X_train, X_test, y_train, y_test = iris_split
    pca = PCA(1).fit(X_train)
    knn = KNeighborsClassifier(3).fit(pca.transform(X_train), y_train)
    row = only_row(
        compare_reducers(*iris, reducers=["PCA"], n_components=1, n_neighbors=3)
    )
    assert row["knn_accuracy"] == knn.score(pca.transform(X_test), y_test)
    assert np.isnan(row["knn_r2"])


def test_continuous_y_is_scored_by_r2(iris):
    X, y = iris[0][:, :3], iris[0][:, 3] + 0.05  # no whole numbers
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    knn = KNeighborsRegressor(5).fit(X_train, y_train)
    identity = FunctionTransformer()
    table = compare_reducers(X, y, reducers={"all": lambda k: identity}, scaler=None)
    row = only_row(table)
    assert row["knn_r2"] == pytest.approx(knn.score(X_test, y_test))
    assert np.isnan(row["knn_accuracy"])


def test_knn_of_all_columns_is_that_of_rows_that_are_not_reduced(iris):
    reducers = {"all": lambda k: FunctionTransformer()}
    table = compare_reducers(*iris, reducers=reducers)
    assert table.attrs["knn_all_columns"] == only_row(table)["knn_accuracy"]


def test_continuity_is_trustworthiness_with_the_spaces_swapped(iris, iris_split):
    X_train, X_test, *_ = iris_split
    Z_test = PCA(1).fit(X_train).transform(X_test)
    row = only_row(compare_reducers(*iris, reducers=["PCA"], n_components=1))
    assert row["trustworthiness"] == trustworthiness(X_test, Z_test, n_neighbors=5)
    assert row["continuity"] == trustworthiness(Z_test, X_test, n_neighbors=5)


def test_neighborhoods_are_measured_on_so_many_rows_at_most(iris, iris_split):
    X_train, X_test, *_ = iris_split
    Z_test = PCA(1).fit(X_train).transform(X_test)
    table = compare_reducers(
        *iris, reducers=["PCA"], n_components=1, max_neighborhood_rows=20
    )
    expected = trustworthiness(X_test[:20], Z_test[:20], n_neighbors=5)
    assert table.loc[0, "trustworthiness"] == expected
    assert table.attrs["neighborhood_rows"] == 20


def test_neighborhoods_are_perfect_where_nothing_is_lost(iris):
    row = only_row(compare_reducers(*iris, reducers=["PCA"], n_components=4))
    assert row["trustworthiness"] == row["continuity"] == 1


def test_few_held_out_rows_have_fewer_neighbours(iris):
    row = only_row(compare_reducers(iris[0], reducers=["PCA"], test_size=4))
    assert 0 <= row["trustworthiness"] <= 1  # with one neighbour, not with five


def test_single_held_out_row_has_no_neighbourhood(iris):
    row = only_row(compare_reducers(iris[0], reducers=["PCA"], test_size=1))
    assert np.isnan(row["trustworthiness"])
    assert np.isfinite(row["reconstruction_error"])


def test_untrained_autoencoder_has_the_error_of_pca(iris):
    reducers = {"AE": AutoencoderTransformer(max_iter=0, early_stopping=False)}
    row = only_row(compare_reducers(*iris, reducers=reducers))
    assert row["error_ratio_to_pca"] == pytest.approx(1, rel=1e-4)
