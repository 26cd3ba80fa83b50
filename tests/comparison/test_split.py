from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from small_comparisons import only_row

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.comparison import compare_reducers
from sklearn_ae.comparison._split import MIN_ROWS, read_target


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


def test_sparse_rows_are_refused(iris):
    with pytest.raises(TypeError, match="toarray"):
        compare_reducers(sparse.csr_matrix(iris[0]), reducers=["PCA"])


def test_missing_values_are_refused_unless_the_scaler_fills_them(iris):
    X = iris[0].copy()
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        compare_reducers(X, reducers=["PCA"])


def test_y_of_another_length_is_refused(iris):
    with pytest.raises(ValueError, match="X has 150 rows, y has 149"):
        compare_reducers(iris[0], iris[1][:-1], reducers=["PCA"])


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (np.repeat([0, 1], 50).astype(object), "discrete"),
        (np.arange(100).astype(object) / 7, "continuous"),
        (pd.array(np.repeat([0, 1], 50), dtype="Int64"), "discrete"),
        (pd.array(["u", "v"] * 50, dtype="string"), "discrete"),
        (pd.Categorical(np.repeat([0.5, 1.0], 50)), "continuous"),
        (pd.date_range("2020-01-01", periods=100), "continuous"),
        (pd.Series(pd.date_range("2020", periods=100)).astype(object), "continuous"),
        (pd.timedelta_range("1h", periods=100), "continuous"),
        (pd.period_range("2020-01", periods=100, freq="M"), "continuous"),
        (np.array([Decimal("0.5"), Decimal("1.25")] * 50), "continuous"),
        (np.repeat([True, False], 50).astype(object), "discrete"),
    ],
    ids=lambda y: str(getattr(y, "dtype", y)),
)
def test_y_is_what_its_values_are(y, kind):
    X = np.random.RandomState(0).normal(size=(len(y), 3))
    table = compare_reducers(X, y, reducers=["PCA"])
    assert table.attrs["target_type"] == kind


def test_dates_count_in_days():
    days = pd.date_range("2020-01-01", periods=3, freq="36h")
    assert np.diff(read_target(days)).tolist() == [1.5, 1.5]


def test_half_stars_may_be_classes(iris):
    stars = np.repeat([0.5, 1.0, 1.5], 50)
    table = compare_reducers(iris[0], stars, reducers=["PCA"], target_type="discrete")
    expected = compare_reducers(*iris, reducers=["PCA"])
    assert table.loc[0, "knn_accuracy"] == expected.loc[0, "knn_accuracy"]


def test_text_is_no_quantity(iris):
    with pytest.raises(ValueError, match="'continuous' needs numbers; y holds text"):
        compare_reducers(
            iris[0], ["a"] * 150, reducers=["PCA"], target_type="continuous"
        )


@pytest.mark.parametrize(
    "y", [pd.array([1, None] * 75, dtype="Int64"), np.array(["a", None] * 75, object)]
)
def test_missing_targets_are_refused(iris, y):
    with pytest.raises(ValueError, match="y has missing values"):
        compare_reducers(iris[0], y, reducers=["PCA"])


def test_target_of_mixed_types_is_refused(iris):
    y = np.array([1, "a"] * 75, dtype=object)
    with pytest.raises(TypeError, match="mixes values of the types int, str"):
        compare_reducers(iris[0], y, reducers=["PCA"])


@pytest.mark.parametrize("n_rows", [2, MIN_ROWS - 1])
def test_a_handful_of_rows_is_refused(iris, n_rows):
    with pytest.raises(ValueError, match=f"at least {MIN_ROWS} rows.*got {n_rows}"):
        compare_reducers(iris[0][:n_rows], reducers=["PCA"])


def test_mixed_columns_are_compared_by_factor_analysis():
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(rng.standard_normal((60, 3)), columns=list("abc"))
    frame["level"] = rng.choice(["x", "y", "z"], 60)
    table = compare_reducers(frame, reducers=["PCA"])
    assert table.attrs["columns"] == [
        ["a", "numbers"],
        ["b", "numbers"],
        ["c", "numbers"],
        ["level", "3 levels"],
    ]
    assert table.attrs["n_scaled_columns"] == 6

    train, test = train_test_split(frame, test_size=0.25, random_state=0)
    famd = AutoencoderTransformer(2, max_iter=0).fit(train)
    error = -famd.score(test)
    assert only_row(table)["reconstruction_error"] == pytest.approx(error, rel=1e-4)
    frame.loc[3, "a"] = np.nan
    table = compare_reducers(frame, reducers=["PCA"])
    assert np.isfinite(only_row(table)["reconstruction_error"])


def test_numbers_of_any_type_are_standardised_as_before(iris):
    X = pd.DataFrame(iris[0]).round().astype(int)
    table = compare_reducers(X, reducers=["PCA"])
    assert table.attrs["columns"] is None
