"""AutoencoderImputer: missing cells filled in a step of a Pipeline."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ae import (
    AutoencoderImputer,
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    NeighborMapTransformer,
    VAETransformer,
)

pl = pytest.importorskip("polars")

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training ended:sklearn.exceptions.ConvergenceWarning"
)
QUICK = {"hidden_layer_sizes": (3,), "max_iter": 1, "early_stopping": False}
LINEAR = {"hidden_layer_sizes": (), "max_iter": 0}
VAE = VAETransformer(1, **LINEAR)


def linear(**parameters):
    """An imputer that takes next to no time."""
    parameters = {"estimator": AutoencoderTransformer(1, **LINEAR), **parameters}
    return AutoencoderImputer(**parameters)


@parametrize_with_checks(
    [
        AutoencoderImputer(estimator=AutoencoderTransformer(1, **QUICK)),
        # Draws, which are of missing cells alone, and columns behind those of X.
        AutoencoderImputer(
            estimator=VAETransformer(1, **QUICK),
            sample_posterior=True,
            add_indicator=True,
            missing_values=-1,
        ),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def rows(n=60, d=5, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d))
    return X + 0.1 * rng.normal(size=X.shape)


def with_holes(X, share=0.2, seed=1):
    hidden = np.random.RandomState(seed).uniform(size=X.shape) < share
    return np.where(hidden, np.nan, X)


def shop(n=40, seed=0):
    """A table of several kinds, with holes in three of its four columns."""
    rng = np.random.RandomState(seed)
    size = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "price": 10 + size,
            "pieces": rng.poisson(5, n),
            "color": np.where(size > 0, "red", "blue"),
            "day": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(np.round(9 * size).astype(int), unit="D"),
        }
    )
    hidden = rng.uniform(size=frame.shape) < 0.2
    hidden[:, 1] = False
    return frame.mask(hidden)


# What stands in the cells -------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        AutoencoderTransformer(2, **QUICK),
        DenoisingAutoencoderTransformer(2, **QUICK),
        VAETransformer(2, **QUICK),
    ],
)
def test_cells_are_those_of_the_estimator(estimator):
    X = with_holes(rows())
    imputer = AutoencoderImputer(estimator=estimator)
    assert_array_equal(imputer.fit_transform(X), clone(estimator).fit(X).impute(X))


def test_cells_of_a_plane_are_its_conditional_mean():
    X = rows(400)
    holes = with_holes(X, 0.1)
    filled = linear(n_components=2).fit_transform(holes)
    covariance, mean = np.cov(X.T), X.mean(axis=0)
    best = X.copy()
    for row, gone in zip(best, np.isnan(holes), strict=True):
        known = ~gone
        gain = covariance[np.ix_(gone, known)] @ np.linalg.pinv(
            covariance[np.ix_(known, known)]
        )
        row[gone] = mean[gone] + gain @ (row - mean)[known]
    errors = [np.mean((made - X)[np.isnan(holes)] ** 2) for made in (filled, best)]
    assert errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_table_without_holes_stays_as_it_is(dtype):
    X = rows().astype(dtype)
    filled = linear().fit_transform(X)
    assert_array_equal(filled, X)
    assert filled.dtype == dtype


def test_known_cells_of_a_mixed_table_stay_as_they_are():
    X = shop()
    filled = linear().fit_transform(X)
    pd.testing.assert_frame_equal(filled.where(X.notna()), X)
    assert filled.dtypes.equals(X.dtypes)
    assert filled.notna().all(axis=None)


@pytest.mark.parametrize("make", [pl.from_pandas, pa.Table.from_pandas])
@pytest.mark.parametrize("add_indicator", [False, True])
def test_library_of_the_frame_does_not_matter(make, add_indicator):
    X = shop()
    imputer = linear(add_indicator=add_indicator)
    expected = imputer.fit_transform(X)
    table = make(X)
    filled = imputer.fit_transform(table)
    assert type(filled) is type(table)
    pd.testing.assert_frame_equal(filled.to_pandas(), expected, check_dtype=False)


def test_rows_count_as_often_as_their_weights_say():
    X = with_holes(rows())
    weights = np.arange(len(X)) % 3
    weighted = linear().fit(X, sample_weight=weights)
    repeated = linear().fit(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(weighted.transform(X), repeated.transform(X))


# Parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n_columns", "k"), [(1, 1), (5, 2), (20, 8)])
def test_latents_are_half_as_many_as_columns_and_at_most_8(n_columns, k, monkeypatch):
    asked = []

    def fit(self, X, **told):
        asked.append(self.n_components)
        return self

    monkeypatch.setattr(AutoencoderTransformer, "fit", fit)
    AutoencoderImputer().fit(rows(d=n_columns))
    assert asked == [k]


def test_number_of_latents_is_handed_on():
    assert linear(n_components=3).fit(rows()).estimator_.n_components_ == 3


def test_estimator_is_cloned():
    inner = AutoencoderTransformer(2, **LINEAR)
    AutoencoderImputer(1, estimator=inner).fit(rows())
    assert inner.n_components == 2
    assert not hasattr(inner, "module_")


def test_drawn_cells_repeat_by_their_seed():
    X = with_holes(rows())
    one, same, other = (
        linear(estimator=VAE, sample_posterior=True, random_state=seed).fit(X)
        for seed in (0, 0, 1)
    )
    assert_array_equal(one.transform(X), same.transform(X))
    assert_array_equal(one.transform(X), one.transform(X))
    assert (one.transform(X) != other.transform(X))[np.isnan(X)].all()


def test_drawn_cells_are_those_of_the_estimator():
    X = with_holes(rows())
    imputer = linear(estimator=VAE, sample_posterior=True, random_state=5).fit(X)
    (drawn,) = clone(VAE).fit(X).impute(X, n_draws=1, random_state=5)
    assert_array_equal(imputer.transform(X), drawn)


def test_draws_need_an_estimator_that_draws():
    with pytest.raises(TypeError, match="VAETransformer; got AutoencoderTransformer"):
        linear(sample_posterior=True).fit(rows())


def test_estimators_that_fill_nothing_are_refused():
    with pytest.raises(ValueError, match="'impute'"):
        linear(estimator=NeighborMapTransformer()).fit(rows())


@pytest.mark.filterwarnings("ignore:Skipping features:UserWarning")
@pytest.mark.parametrize("keep", [False, True])
def test_columns_without_a_known_cell(keep):
    X = rows()
    X[:, 1] = np.nan
    imputer = linear(keep_empty_features=keep, add_indicator=True).fit(X)
    of_simple = SimpleImputer(keep_empty_features=keep, add_indicator=True).fit(X)
    filled = imputer.transform(X)
    assert_array_equal(filled, of_simple.transform(X))
    assert_array_equal(
        imputer.get_feature_names_out(), of_simple.get_feature_names_out()
    )


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, pl.from_pandas])
def test_empty_columns_of_frames_are_dropped(make):
    X = shop()
    X["price"] = np.nan
    filled = linear().fit_transform(make(X))
    assert filled.shape == (40, 3)


def test_indicators_are_those_of_scikit_learn():
    X = with_holes(rows())
    X[:, 0] = 1.5 * X[:, 1].clip(-1, 1)  # whose holes are those of another column
    X[:, 2] = rows()[:, 2]
    of_simple = SimpleImputer(add_indicator=True).fit(X)
    imputer = linear(add_indicator=True).fit(X)
    assert_array_equal(imputer.transform(X)[:, 5:], of_simple.transform(X)[:, 5:])
    assert_array_equal(
        imputer.get_feature_names_out(), of_simple.get_feature_names_out()
    )


def test_indicators_of_new_rows_are_of_the_columns_of_fit():
    X = rows()
    holes = X.copy()
    holes[0, 3] = np.nan
    new = with_holes(X)
    flags = linear(add_indicator=True).fit(holes).transform(new)[:, 5:]
    assert_array_equal(flags[:, 0], np.isnan(new[:, 3]))


def test_indicators_of_frames_are_truth_values():
    X = shop()
    filled = linear(add_indicator=True).fit_transform(X)
    flags = filled.filter(like="missingindicator_")
    assert flags.columns.tolist() == [
        "missingindicator_price",
        "missingindicator_color",
        "missingindicator_day",
    ]
    assert set(flags.dtypes) == {np.dtype(bool)}
    assert_array_equal(flags["missingindicator_day"], X["day"].isna())


# Values that stand for missing cells --------------------------------------------------


def test_indicators_of_many_columns_are_no_pieces():
    X = pd.DataFrame(rows(20, 120), index=[0] * 20).add_prefix("c")
    X[X > 0.5] = np.nan
    flagged = linear(add_indicator=True).fit(X).transform(X)
    assert_array_equal(flagged.iloc[:, 120:], X.isna().loc[:, X.isna().any()])
    assert_array_equal(flagged.index, X.index)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.from_pandas])
def test_names_of_indicators_have_to_be_free(make):
    X = pd.DataFrame(rows(20, 2), columns=["a", "missingindicator_a"])
    imputer = linear(add_indicator=True)
    assert imputer.fit_transform(make(X)).shape == (20, 2)  # nothing to append
    X.loc[3, "a"] = None
    with pytest.raises(ValueError, match=r"has already: \['missingindicator_a'\]"):
        imputer.fit(make(X))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
@pytest.mark.parametrize("value", [-1, "?"])
def test_values_may_stand_for_missing_cells(make, value):
    columns = {
        "a": [3, -1, 5, 6, 7, 2],
        "b": [1.5, 2.5, -1.0, 1.0, 0.0, 2.0],
        "c": ["u", "v", "?", "u", "v", "u"],
    }
    filled = linear(missing_values=value).fit_transform(make(columns))
    assert type(filled) is type(make({}))
    filled = filled if make is pd.DataFrame else filled.to_pandas()
    known = pd.DataFrame(columns)
    known = known.mask(known == value)
    assert not (filled == value).any(axis=None)
    pd.testing.assert_frame_equal(filled.where(known.notna()), known, check_dtype=False)
    assert filled["a"].dtype == np.int64


@pytest.mark.parametrize("make", [pd.DataFrame, pl.from_pandas])
@pytest.mark.parametrize("value", [1, "2020-01-05"])
def test_truth_values_and_times_are_neither_numbers_nor_text(make, value):
    X = shop()[["price", "day"]].ffill().bfill().assign(sold=shop()["price"] > 10)
    table = make(X)
    filled = linear(missing_values=value).fit_transform(table)
    assert filled.equals(table)


@pytest.mark.parametrize("dtype", [np.int64, np.float64, object])
def test_values_of_arrays_may_stand_for_missing_cells(dtype):
    X = np.round(10 * rows()).astype(dtype)
    X[::7, 2] = -99
    holes = X.astype(float)
    holes[::7, 2] = np.nan
    filled = linear(missing_values=-99).fit_transform(X)
    assert_array_equal(filled.astype(float), linear().fit_transform(holes))


def test_text_is_no_number():
    with pytest.raises(ValueError, match=r"'\?' is text, and X holds numbers"):
        linear(missing_values="?").fit(rows())


def test_values_of_sparse_rows_may_stand_for_missing_cells():
    X = np.round(2 * rows())
    X[::7, 2] = -9
    filled = linear(missing_values=-9).fit_transform(csr_array(X))
    assert_array_equal(filled, linear(missing_values=-9).fit_transform(X))


def test_zeros_of_sparse_rows_are_not_missing():
    with pytest.raises(ValueError, match="missing_values=0 is for dense rows"):
        linear(missing_values=0).fit(csr_array(rows()))


def test_sparse_rows_come_back_dense():
    X = with_holes(rows() * (rows(seed=3) > 0))
    filled = linear(add_indicator=True).fit_transform(csr_array(X))
    assert_array_equal(filled, linear(add_indicator=True).fit_transform(X))


# Where it stands ----------------------------------------------------------------------


def test_it_stands_before_a_classifier():
    X, y = load_iris(return_X_y=True)
    X = with_holes(X)
    classifier = LogisticRegression(max_iter=1000)
    pipeline = make_pipeline(linear(), classifier).fit(X, y)
    filled = AutoencoderTransformer(1, **LINEAR).fit(X).impute(X)
    expected = clone(classifier).fit(filled, y).predict_proba(filled)
    assert_array_equal(pipeline.predict_proba(X), expected)


def test_its_parameters_are_searched():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(linear(), LogisticRegression(max_iter=1000))
    grid = {
        "autoencoderimputer__n_components": [1, 2],
        "autoencoderimputer__estimator__alpha": [1.0],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(with_holes(X), y)
    assert search.best_score_ > 0.7


def test_it_stands_in_a_column_transformer():
    X = shop()
    columns = make_column_transformer(
        (linear(), ["price", "color"]), remainder="passthrough"
    ).set_output(transform="pandas")
    filled = columns.fit_transform(X)
    expected = linear().fit_transform(X[["price", "color"]])
    pd.testing.assert_frame_equal(
        filled.filter(like="imputer__"),
        expected.add_prefix("autoencoderimputer__"),
    )


@pytest.mark.parametrize("add_indicator", [False, True])
def test_set_output_names_columns_of_arrays(add_indicator):
    X = with_holes(rows())
    imputer = linear(add_indicator=add_indicator)
    expected = imputer.fit_transform(X)
    frame = imputer.set_output(transform="pandas").transform(X)
    assert frame.columns.tolist() == imputer.get_feature_names_out().tolist()
    assert_array_equal(frame, expected)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("make", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_set_output_turns_frames_into_others(make, library):
    imputer = linear(add_indicator=True).set_output(transform=library)
    filled = imputer.fit_transform(make(shop()))
    assert type(filled).__module__.startswith(library)
    expected = linear(add_indicator=True).fit_transform(shop())
    filled = filled if library == "pandas" else filled.to_pandas()
    pd.testing.assert_frame_equal(filled, expected, check_dtype=False)


def test_pickles_fill_the_same():
    X = with_holes(rows())
    imputer = linear(add_indicator=True).fit(X)
    copied = pickle.loads(pickle.dumps(imputer))
    assert_array_equal(copied.transform(X), imputer.transform(X))


def test_notebooks_show_the_estimator():
    assert "AutoencoderTransformer" in linear()._repr_html_()
