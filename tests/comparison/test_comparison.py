import importlib.util
import json
import sys
import types
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import FeatureAgglomeration
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA, FactorAnalysis, KernelPCA, TruncatedSVD
from sklearn.exceptions import FitFailedWarning
from sklearn.impute import SimpleImputer
from sklearn.manifold import TSNE, trustworthiness
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from sklearn_ae import AutoencoderTransformer, comparison
from sklearn_ae.comparison import compare_reducers

TIMES = ["fit_seconds", "transform_rows_per_second"]


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def few(iris):
    """Every third row, for what is slow."""
    return iris[0][::3], iris[1][::3]


@pytest.fixture(scope="module")
def iris_split(iris):
    """The split and the scaling, done by hand."""
    X_train, X_test, y_train, y_test = train_test_split(
        *iris, test_size=0.25, stratify=iris[1], random_state=0
    )
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


def only_row(table):
    (row,) = table.to_dict("records")
    return row


class Failing(TransformerMixin, BaseEstimator):
    """A reducer that raises an exception or warns, or does neither."""

    def __init__(self, n_components=2, exception=None, where="fit"):
        self.n_components = n_components
        self.exception = exception
        self.where = where

    def _act(self, where):
        if where == self.where and self.exception is not None:
            raise self.exception

    def fit(self, X, y=None):
        self._act("fit")
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        self._act("transform")
        return X[:, : self.n_components]

    def inverse_transform(self, Z):
        self._act("inverse_transform")
        return np.zeros((len(Z), self.n_features_in_))


# ------------------------------------------------------------------------- measures


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


def test_more_latents_than_columns_fail_for_pca_alone(iris):
    reducers = {"PCA": "PCA", "copies": lambda k: Failing(k)}
    with pytest.warns(FitFailedWarning):
        table = compare_reducers(*iris, reducers=reducers, n_components=6)
    assert table.loc[0, "error"].startswith("fit: ValueError: n_components=6")
    assert table.loc[1, "error"] == ""
    assert np.isnan(table.loc[1, "error_ratio_to_pca"])


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


@pytest.mark.parametrize(
    ("y", "discrete"),
    [
        (np.repeat(["a", "b"], 50), True),
        (np.repeat([True, False], 50), True),
        (np.repeat([0.0, 1.0], 50), True),
        (np.repeat(np.arange(20), 5), True),
        (np.repeat(np.arange(50), 2), False),  # whole numbers, but hardly any twice
        (np.repeat(np.arange(60), 10), False),
        (np.repeat([0.5, 1.0], 50), False),
    ],
)
def test_y_is_read_as_classes_or_as_a_quantity(y, discrete):
    X = np.random.RandomState(0).normal(size=(len(y), 3))
    row = only_row(compare_reducers(X, y, reducers=["PCA"]))
    assert np.isfinite(row["knn_accuracy"]) == discrete
    assert np.isfinite(row["knn_r2"]) != discrete


def test_target_type_overrules_how_y_is_read(iris):
    table = compare_reducers(*iris, reducers=["PCA"], target_type="continuous")
    assert np.isfinite(table.loc[0, "knn_r2"])


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


def test_constant_columns_have_no_variance_to_explain():
    row = only_row(compare_reducers(np.ones((20, 3)), reducers={"zero": Failing()}))
    assert np.isnan(row["explained_variance"])


def test_times_are_positive(iris):
    table = compare_reducers(*iris, reducers=["PCA", "kernel PCA"])
    assert (table[TIMES] > 0).all(axis=None)


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        ([0.04] + [0.02] * 8 + [0.03], 0.02),  # ten calls, and long enough in all
        ([0.6, 0.5], 0.5),  # too long for a third call
        ([2.0], 2.0),
        ([0.021] + [0.001] * 29, 0.001),  # until it is long enough in all
    ],
)
def test_transforms_are_timed_by_their_fastest_call(monkeypatch, durations, expected):
    ticks = iter([t for d in durations for t in (0.0, d)])
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: next(ticks))
    _, seconds = comparison._timed(np.sqrt, np.ones(1))
    assert seconds == pytest.approx(expected)
    assert next(ticks, None) is None


# ---------------------------------------------------------------------------- split


def test_every_reducer_gets_the_same_rows(few):
    _, latents = compare_reducers(
        *few, reducers=["PCA", "kernel PCA", "t-SNE"], return_latents=True
    )
    _, expected = train_test_split(
        np.arange(50), test_size=0.25, stratify=few[1], random_state=0
    )
    assert len(latents) == 3
    for Z in latents.values():
        assert Z.index.tolist() == expected.tolist()


def test_latents_are_those_of_the_reducer(iris, iris_split):
    X_train, X_test, *_ = iris_split
    _, latents = compare_reducers(*iris, reducers=["PCA"], return_latents=True)
    expected = PCA(2).fit(X_train).transform(X_test)
    np.testing.assert_allclose(latents["PCA", 2], expected)


def test_split_is_stratified_by_class(iris):
    X, y = iris[0][:120], iris[1][:120]  # 50, 50 and 20 rows
    table, latents = compare_reducers(
        X, y, reducers=["PCA"], test_size=0.5, return_latents=True
    )
    assert np.bincount(y[latents["PCA", 2].index]).tolist() == [25, 25, 10]
    assert table.attrs["stratified"]


def test_class_of_one_row_does_not_stop_the_split(iris):
    X, y = iris[0][:101], iris[1][:101]  # one row of the last class
    table = compare_reducers(X, y, reducers=["PCA"])
    assert not table.attrs["stratified"]


def test_scaler_is_fitted_to_training_rows_only(iris):
    X, y = iris
    seen = []

    class Spy(StandardScaler):
        def fit(self, X, y=None):
            seen.append(len(X))
            return super().fit(X, y)

    compare_reducers(X, y, reducers=["PCA"], scaler=Spy())
    assert seen == [112]


@pytest.mark.parametrize(
    ("name", "scaler"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())]
)
def test_scaler_by_name_is_that_of_scikit_learn(iris, name, scaler):
    by_name = compare_reducers(*iris, reducers=["PCA"], scaler=name)
    own = compare_reducers(*iris, reducers=["PCA"], scaler=scaler)
    assert by_name.loc[0, "reconstruction_error"] == own.loc[0, "reconstruction_error"]


def test_scaler_may_impute(iris):
    X = iris[0].copy()
    X[::7, 0] = np.nan
    scaler = make_pipeline(SimpleImputer(), StandardScaler())
    row = only_row(compare_reducers(X, reducers=["PCA"], scaler=scaler))
    assert np.isfinite(row["reconstruction_error"])


def test_no_scaler_leaves_the_units_of_the_columns(iris):
    errors = [
        compare_reducers(
            factor * iris[0], reducers=["PCA"], scaler=None, n_components=2
        ).loc[0, "reconstruction_error"]
        for factor in (1, 10)
    ]
    assert errors[1] == pytest.approx(100 * errors[0])


def test_data_frame_keeps_its_columns_for_the_scaler(iris):
    X = pd.DataFrame(iris[0], columns=list("abcd"))
    select = FunctionTransformer(lambda X: X[["a", "b", "c"]])
    table = compare_reducers(X, reducers=["PCA"], scaler=select)
    assert table.attrs["n_columns"] == 4
    assert table.attrs["n_scaled_columns"] == 3


# ------------------------------------------------------------------------- reducers


def test_pipeline_gets_the_number_of_its_last_step(iris):
    pipeline = make_pipeline(StandardScaler(), PCA(1))
    _, latents = compare_reducers(
        *iris, reducers={"p": pipeline}, n_components=3, return_latents=True
    )
    assert latents["p", 3].shape == (38, 3)


@pytest.mark.parametrize("make", [PCA, lambda k: FeatureAgglomeration(n_clusters=k)])
def test_callable_gets_the_number_of_latents(iris, make):
    _, latents = compare_reducers(
        *iris, reducers={"made": make}, n_components=3, return_latents=True
    )
    assert latents["made", 3].shape == (38, 3)


def test_mapping_may_hold_known_names(iris):
    table = compare_reducers(*iris, reducers={"linear": "pca"})
    assert table.loc[0, "reducer"] == "linear"
    assert table.loc[0, "error_ratio_to_pca"] == 1


def test_reducers_of_the_user_are_left_as_they_were(iris):
    own = PCA(1)
    compare_reducers(*iris, reducers={"own": own}, n_components=3)
    assert own.n_components == 1
    assert not hasattr(own, "components_")


def test_transformer_without_n_components_is_refused(iris):
    with pytest.raises(ValueError, match=r"no parameter 'n_components'.*lambda k"):
        compare_reducers(*iris, reducers={"own": FeatureAgglomeration()})


def test_pipeline_without_n_components_is_refused(iris):
    pipeline = make_pipeline(PCA(), StandardScaler())
    with pytest.raises(ValueError, match="'standardscaler__n_components'"):
        compare_reducers(*iris, reducers={"own": pipeline})


def test_anything_but_an_estimator_is_refused(iris):
    with pytest.raises(TypeError, match="'own' must be a scikit-learn estimator"):
        compare_reducers(*iris, reducers={"own": 3})


@pytest.mark.parametrize("reducers", [["nonsense"], {"own": "nonsense"}, "nonsense"])
def test_unknown_name_lists_the_known_ones(iris, reducers):
    with pytest.raises(ValueError, match=r"'nonsense'.*PCA, kernel PCA, t-SNE, UMAP"):
        compare_reducers(*iris, reducers=reducers)


@pytest.mark.parametrize("spelling", ["t-SNE", "tsne", "TSNE", "t_sne"])
def test_names_are_found_whatever_their_spelling(spelling):
    assert comparison.find_reducer(spelling) == "t-SNE"


def test_autoencoders_by_name_have_every_score(few):
    table = compare_reducers(*few, reducers=["AE", "DAE", "VAE"])
    scores = table.select_dtypes("number").drop(columns="knn_r2")
    assert np.isfinite(scores).all(axis=None)
    assert table[["has_transform", "has_inverse_transform"]].all(axis=None)


def test_untrained_autoencoder_has_the_error_of_pca(iris):
    reducers = {"AE": AutoencoderTransformer(max_iter=0, early_stopping=False)}
    row = only_row(compare_reducers(*iris, reducers=reducers))
    assert row["error_ratio_to_pca"] == pytest.approx(1, rel=1e-4)


def test_tsne_is_scored_on_what_it_can_do_and_marked(few):
    row = only_row(compare_reducers(*few, reducers=["t-SNE"]))
    assert not row["has_transform"]
    assert not row["has_inverse_transform"]
    assert "held-out rows included" in row["note"]
    assert row["knn_accuracy"] > 0.9
    assert row["trustworthiness"] > 0.9
    assert np.isnan(row["reconstruction_error"])
    assert np.isnan(row["transform_rows_per_second"])


def test_tsne_is_skipped_beyond_three_latents(iris):
    row = only_row(compare_reducers(*iris, reducers=["t-SNE"], n_components=4))
    assert row["note"].startswith("skipped")
    assert row["error"] == ""
    assert np.isnan(row["fit_seconds"])


def test_own_reducer_without_transform_is_fitted_to_all_rows(iris):
    seen = []

    class Spy(TSNE):
        def fit_transform(self, X, y=None):
            seen.append(len(X))
            return X[:, : self.n_components]

    compare_reducers(*iris, reducers={"spy": Spy()})
    assert seen == [150]


@pytest.mark.parametrize("name", ["kernel PCA", "t-SNE"])
def test_reducers_of_pairs_are_skipped_for_many_rows(iris, monkeypatch, name):
    monkeypatch.setattr(comparison, "_MAX_ROWS_PAIRWISE", 100)
    row = only_row(compare_reducers(*iris, reducers=[name]))
    assert row["note"].startswith("skipped: more than 100")


def test_reducer_without_a_way_back_has_no_error_of_reconstruction(iris):
    row = only_row(compare_reducers(*iris, reducers={"fa": FactorAnalysis()}))
    assert row["has_transform"]
    assert not row["has_inverse_transform"]
    assert np.isnan(row["reconstruction_error"])
    assert row["error"] == ""


# ----------------------------------------------------------------------------- umap


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
    comparison._compile_umap.cache_clear()
    yield calls
    comparison._compile_umap.cache_clear()


def test_way_back_of_umap_is_tried_up_to_three_latents(iris, umap_stub):
    table = compare_reducers(*iris, reducers=["UMAP"], n_components=(3, 4))
    assert umap_stub == [(38, 3)]
    assert table["has_inverse_transform"].all()
    assert "not tried" in table.loc[1, "note"]
    assert np.isnan(table.loc[1, "reconstruction_error"])


def test_way_back_of_umap_is_compared_with_pca_on_the_same_rows(
    iris, umap_stub, monkeypatch
):
    monkeypatch.setattr(comparison, "_UMAP_INVERSE_MAX_ROWS", 20)
    umap = sys.modules["umap"].UMAP()
    row = only_row(compare_reducers(*iris, reducers={"u": make_pipeline(PCA(4), umap)}))
    assert umap_stub == [(20, 2)]
    assert "20 held-out rows only" in row["note"]
    assert row["error_ratio_to_pca"] == pytest.approx(1)


def without(monkeypatch, *packages):
    """Let these packages appear as not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name: None if name in packages else find_spec(name),
    )


def test_umap_that_is_not_installed_is_left_out_of_the_default(monkeypatch):
    without(monkeypatch, "umap")
    expected = ["PCA", "kernel PCA", "t-SNE", "AE", "DAE", "VAE"]
    assert list(comparison._check_reducers(None)) == expected


def test_umap_that_is_not_installed_is_missed_where_it_is_named(iris, monkeypatch):
    without(monkeypatch, "umap")
    with pytest.raises(ImportError, match=r"umap-learn.*sklearn_ae\[compare\]"):
        compare_reducers(*iris, reducers=["PCA", "UMAP"])


def test_pandas_that_is_not_installed_is_missed_by_the_name_of_the_extra(
    iris, monkeypatch
):
    without(monkeypatch, "pandas")
    with pytest.raises(ImportError, match=r"pip install 'sklearn_ae\[compare\]'"):
        compare_reducers(*iris)


# ------------------------------------------------------------------ what goes wrong


def test_failing_reducer_does_not_end_the_others(iris):
    reducers = {"bad": Failing(exception=MemoryError("too\n big")), "PCA": "PCA"}
    with pytest.warns(FitFailedWarning, match="bad with n_components=2: fit: Memory"):
        table = compare_reducers(*iris, reducers=reducers)
    assert table["error"].tolist() == ["fit: MemoryError: too big", ""]
    assert np.isnan(table.loc[0, "reconstruction_error"])
    assert np.isfinite(table.loc[1, "reconstruction_error"])


def test_failing_way_back_leaves_the_other_scores(iris):
    bad = Failing(exception=RuntimeError("lost"), where="inverse_transform")
    with pytest.warns(FitFailedWarning):
        row = only_row(compare_reducers(*iris, reducers={"bad": bad}))
    assert row["error"] == "inverse_transform: RuntimeError: lost"
    assert np.isfinite(row["knn_accuracy"])


def test_failing_callable_does_not_end_the_others(iris):
    reducers = {"bad": lambda k: 1 / 0, "PCA": "PCA"}
    with pytest.warns(FitFailedWarning):
        table = compare_reducers(*iris, reducers=reducers)
    assert table["error"].tolist() == ["ZeroDivisionError: division by zero", ""]


def test_latents_that_are_not_finite_are_an_error_of_the_reducer(iris):
    reducers = {"bad": lambda k: FunctionTransformer(lambda X: X * np.nan)}
    with pytest.warns(FitFailedWarning, match="latents contains NaN"):
        compare_reducers(*iris, reducers=reducers)


def test_way_back_to_the_wrong_shape_is_an_error_of_the_reducer(iris):
    reducers = {"bad": lambda k: FunctionTransformer(inverse_func=lambda Z: Z[:, :1])}
    with pytest.warns(FitFailedWarning, match=r"\(38, 1\) instead of \(38, 4\)"):
        compare_reducers(*iris, reducers=reducers)


def test_interrupt_by_the_user_passes_through(iris):
    with pytest.raises(KeyboardInterrupt):
        compare_reducers(
            *iris, reducers={"bad": Failing(exception=KeyboardInterrupt())}
        )


def test_warnings_of_reducers_are_collected_in_their_row(iris):
    class Noisy(Failing):
        def fit(self, X, y=None):
            for _ in range(2):
                warnings.warn("hear\nme", UserWarning, stacklevel=2)
            return super().fit(X, y)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        row = only_row(compare_reducers(*iris, reducers={"noisy": Noisy()}))
    assert row["warnings"] == "UserWarning: hear me"
    assert not shown


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "2"])
def test_number_of_latents_must_be_a_positive_integer(iris, k):
    with pytest.raises(ValueError, match="n_components must be integers >= 1"):
        compare_reducers(*iris, n_components=[k])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": []}, "n_components is empty"),
        ({"reducers": []}, "reducers is empty"),
        ({"scaler": "log"}, r"\['minmax', 'standard'\].*'log'"),
        ({"target_type": "odd"}, "'auto', 'discrete', 'continuous'.*'odd'"),
        ({"n_neighbors": 0}, "n_neighbors must be an integer >= 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(iris, options, message):
    with pytest.raises(ValueError, match=message):
        compare_reducers(*iris, **options)


def test_sparse_rows_are_refused(iris):
    with pytest.raises(TypeError, match="toarray"):
        compare_reducers(sparse.csr_matrix(iris[0]), reducers=["PCA"])


def test_missing_values_are_refused_unless_the_scaler_fills_them(iris):
    X = iris[0].copy()
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        compare_reducers(X, reducers=["PCA"])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_targets_are_refused(iris, missing):
    y = iris[1].astype(object)
    y[3] = missing
    with pytest.raises(ValueError, match="y has missing values"):
        compare_reducers(iris[0], y, reducers=["PCA"])


def test_y_of_another_length_is_refused(iris):
    with pytest.raises(ValueError, match="X has 150 rows, y has 149"):
        compare_reducers(iris[0], iris[1][:-1], reducers=["PCA"])


# ------------------------------------------------------------- table, seeds, progress


def test_table_has_a_row_per_reducer_and_k(iris):
    reducers = {"PCA": "PCA", "svd": TruncatedSVD(random_state=0)}
    table = compare_reducers(*iris, reducers=reducers, n_components=(1, 3, 1))
    pairs = list(zip(table["n_components"], table["reducer"], strict=True))
    assert pairs == [(1, "PCA"), (1, "svd"), (3, "PCA"), (3, "svd")]


def test_columns_do_not_depend_on_the_data(iris):
    with_y = compare_reducers(*iris, reducers=["PCA"])
    without_y = compare_reducers(iris[0], reducers=["PCA"])
    assert with_y.columns.tolist() == without_y.columns.tolist()


def test_attributes_of_the_table_can_be_written_as_json(iris):
    for y in (iris[1], None):
        table = compare_reducers(iris[0], y, reducers=["PCA"])
        assert json.loads(json.dumps(table.attrs, allow_nan=False)) == table.attrs


def test_comparison_is_repeatable(few):
    reducers = ["PCA", "kernel PCA", "t-SNE"]
    first = compare_reducers(*few, reducers=reducers, random_state=3)
    second = compare_reducers(*few, reducers=reducers, random_state=3)
    pd.testing.assert_frame_equal(first.drop(columns=TIMES), second.drop(columns=TIMES))


def test_random_state_may_be_a_generator_of_numpy(iris):
    tables = [
        compare_reducers(
            *iris, reducers=["PCA"], random_state=np.random.RandomState(seed)
        )
        for seed in (0, 0, 1)
    ]
    errors = [table.loc[0, "reconstruction_error"] for table in tables]
    assert errors[0] == errors[1] != errors[2]


def test_global_generators_are_left_alone(few):
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 - to see it unused
    torch_state = torch.get_rng_state()
    reducers = {
        "AE": AutoencoderTransformer(max_iter=1),
        "t-SNE": "t-SNE",
        "kernel PCA": "kernel PCA",
    }
    compare_reducers(*few, reducers=reducers)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_progress_is_shown_on_the_error_stream(iris, capsys):
    compare_reducers(*iris, reducers=["PCA"], n_components=(1, 2), verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "PCA, k=2" in err
    assert "2/2" in err


def test_silence_is_the_default(iris, capsys):
    compare_reducers(*iris, reducers=["PCA"])
    assert capsys.readouterr() == ("", "")


def test_without_a_seed_numpys_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - to see it unused
    assert len({comparison._as_seed(None) for _ in range(5)}) == 5
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
