"""Tables as they are: text, categories, dates, truth values and missing cells."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    VAETransformer,
)

pl = pytest.importorskip("polars")

TRANSFORMERS = [
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
]
pytestmark = pytest.mark.filterwarnings(
    "ignore:Training ended:sklearn.exceptions.ConvergenceWarning"
)
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 3, "early_stopping": False}
LINEAR = {"hidden_layer_sizes": (), "max_iter": 0}


def shop(n=60, seed=0):
    rng = np.random.RandomState(seed)
    size = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "price": 10 + 2 * size + rng.normal(scale=0.1, size=n),
            "pieces": rng.poisson(5, n),
            "color": np.where(
                size > 0.5, "red", np.where(size < -0.5, "blue", "green")
            ),
            "sold": size > 0,
            "day": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(np.round(30 * size).astype(int), unit="D"),
            "grade": pd.Categorical(
                rng.choice(list("abc"), n), list("cba"), ordered=True
            ),
        }
    )
    holes = pd.DataFrame(rng.uniform(size=frame.shape) < 0.1, columns=frame.columns)
    holes["pieces"] = holes["sold"] = False
    return frame.mask(holes)


def numbers(n=80, d=6, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d))
    return X + 0.2 * rng.normal(size=X.shape)


def with_holes(X, share=0.2, seed=1):
    hidden = np.random.RandomState(seed).uniform(size=X.shape) < share
    return np.where(hidden, np.nan, X)


@pytest.fixture(scope="module", params=TRANSFORMERS)
def fitted(request):
    return request.param(2, **QUICK).fit(shop())


# The way there and back ---------------------------------------------------------------


def test_latents_of_a_mixed_table_are_finite(fitted):
    Z = fitted.transform(shop())
    assert Z.shape == (60, 2)
    assert np.isfinite(Z).all()


def test_reconstruction_has_types_columns_and_rows_of_the_table(fitted):
    X = shop().iloc[::-1]
    back = fitted.reconstruct(X)
    assert back.dtypes.equals(X.dtypes)
    assert back.index.equals(X.index)
    assert back.notna().all(axis=None)
    assert set(back["color"]) <= {"red", "blue", "green"}


def test_way_back_from_latents_is_a_table(fitted):
    X = shop()
    back = fitted.inverse_transform(fitted.transform(X))
    pd.testing.assert_frame_equal(back, fitted.reconstruct(X))


def test_way_back_keeps_the_names_of_the_rows(fitted):
    X = shop().iloc[::-1]
    Z = pd.DataFrame(fitted.transform(X), index=X.index)
    pd.testing.assert_frame_equal(fitted.inverse_transform(Z), fitted.reconstruct(X))


def test_samples_are_a_table(fitted):
    drawn = fitted.sample(5, random_state=0)
    assert drawn.dtypes.equals(shop().dtypes)
    assert len(drawn) == 5


def test_polars_in_polars_out():
    X = pl.from_pandas(shop())
    model = AutoencoderTransformer(2, **QUICK).fit(X)
    back = model.reconstruct(X)
    assert isinstance(back, pl.DataFrame)
    assert back.schema == X.schema


def test_library_of_the_frame_does_not_matter():
    by_pandas = AutoencoderTransformer(2, **QUICK).fit_transform(shop())
    by_polars = AutoencoderTransformer(2, **QUICK).fit_transform(pl.from_pandas(shop()))
    np.testing.assert_allclose(by_pandas, by_polars, rtol=1e-9)


def test_array_of_objects_in_array_of_objects_out():
    X = shop()[["price", "color", "sold"]].astype(object).to_numpy()
    back = AutoencoderTransformer(2, **QUICK).fit(X).reconstruct(X)
    assert back.dtype == object
    assert isinstance(back[0, 1], str)


def test_all_columns_come_back_where_latents_are_enough():
    X = shop(40).dropna()
    model = AutoencoderTransformer(8, **LINEAR).fit(X)
    back = model.reconstruct(X)
    pd.testing.assert_frame_equal(
        back.drop(columns="price"), X.drop(columns="price"), check_freq=False
    )
    np.testing.assert_allclose(back["price"], X["price"], rtol=1e-5)


MOMENT = dt.datetime(2020, 2, 29, 13, 5, 7)
CELLS = {
    "float": [1.5, -2.25, 1e6],
    "integer": [3, -1, 2**40],
    "boolean": [True, False, True],
    "text": ["a", "", "b c"],
    "one level": ["a", "a", "a"],
    "one number": [7.5, 7.5, 7.5],
    "datetime": [MOMENT, MOMENT + dt.timedelta(days=1), dt.datetime(1969, 1, 1)],
    "date": [MOMENT.date(), dt.date(1969, 1, 1), dt.date(2100, 1, 1)],
    "duration": [dt.timedelta(seconds=90), dt.timedelta(0), dt.timedelta(days=-1)],
    "time": [MOMENT.time(), dt.time(0), dt.time(23, 59)],
    "decimal": [Decimal("1.25"), Decimal("-3.50"), Decimal("0.75")],
}
LIBRARIES = {
    "pandas": lambda table: table.to_pandas(),
    "pandas of Arrow": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.from_arrow,
    "pyarrow": lambda table: table,
}


def types_of(frame):
    if isinstance(frame, pd.DataFrame):
        return [*frame.dtypes.astype(str).items()]
    return [
        *zip(
            getattr(frame, "column_names", None) or frame.columns,
            getattr(frame.schema, "types", None) or frame.dtypes,
            strict=True,
        )
    ]


@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([*LIBRARIES]),
    st.lists(st.sampled_from([*CELLS]), min_size=1, max_size=5),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 9),
)
def test_any_mix_of_columns_goes_there_and_back(library, kinds, n, share, seed):
    rng = np.random.RandomState(seed)
    columns = {"known": pa.array((["x", "y"] * n)[:n])}
    for i, kind in enumerate(kinds):
        cells = [CELLS[kind][j] for j in rng.randint(3, size=n)]
        missing = rng.uniform(size=n) < share
        type_of_all = pa.array(CELLS[kind]).type
        columns[f"{kind} {i}"] = pa.array(cells, type_of_all, mask=missing)
    X = LIBRARIES[library](pa.table(columns))
    model = AutoencoderTransformer(2, max_iter=0, early_stopping=False).fit(X)
    Z = model.transform(X)
    assert np.isfinite(Z).all()
    for made in (model.inverse_transform(Z), model.impute(X), model.sample(2)):
        assert types_of(made) == types_of(X)


def test_columns_tell_what_they_were_taken_for(fitted):
    assert dict(fitted.columns_) == {
        "price": "numbers",
        "pieces": "whole numbers",
        "color": "3 levels",
        "sold": "truth values",
        "day": "dates with times",
        "grade": "3 levels",
    }


def test_frames_of_floats_are_arrays_as_ever():
    X = pd.DataFrame(numbers(), columns=list("abcdef"))
    as_frame = AutoencoderTransformer(2, **QUICK).fit(X)
    as_array = AutoencoderTransformer(2, **QUICK).fit(X.to_numpy())
    back = as_frame.reconstruct(X)
    assert isinstance(back, np.ndarray)
    np.testing.assert_array_equal(back, as_array.reconstruct(X.to_numpy()))


def test_whole_numbers_have_the_units_of_floats():
    X = pd.DataFrame(np.round(10 * numbers()).astype(int), columns=list("abcdef"))
    of_whole = AutoencoderTransformer(2, **QUICK).fit_transform(X)
    of_floats = AutoencoderTransformer(2, **QUICK).fit_transform(X.to_numpy(float))
    np.testing.assert_array_equal(of_whole, of_floats)


# Oracles ------------------------------------------------------------------------------


def test_start_is_factor_analysis_of_mixed_data():
    X = shop().dropna()[["price", "pieces", "color", "grade"]]
    model = AutoencoderTransformer(2, **LINEAR).fit(X)
    indicators = pd.get_dummies(X[["color", "grade"]]).to_numpy(float)
    shares = indicators.mean(axis=0)
    table = np.hstack(
        [
            StandardScaler().fit_transform(X[["price", "pieces"]]),
            (indicators - shares) / np.sqrt(shares),
        ]
    )
    pca = PCA(2).fit(table)
    Z = pca.transform(table)
    np.testing.assert_allclose(np.abs(model.transform(X)), np.abs(Z), atol=1e-4)
    error = np.mean((table - pca.inverse_transform(Z)) ** 2)
    assert model.reconstruction_err_ == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("estimator", TRANSFORMERS)
def test_without_holes_nothing_changes(estimator):
    X = numbers()
    model = estimator(2, **QUICK).fit(X)
    assert not model.module_.has_missing
    assert model._kinds is None


def test_latents_of_a_row_with_holes_are_the_conditional_mean_of_a_gaussian():
    X = numbers()
    model = AutoencoderTransformer(2, **LINEAR).fit(X)
    rows = with_holes(X[:5], 0.4)
    centre = model.inverse_transform(np.zeros((1, 2)))[0]
    loadings = (model.inverse_transform(np.eye(2)) - centre).T
    Z = model.transform(X)
    noise = np.sum((X - model.reconstruct(X)) ** 2) / (X.size - Z.size)
    covariance = np.cov(Z.T, bias=True)
    expected = []
    for row in rows:
        known = ~np.isnan(row)
        of_known = loadings[known]
        of_cells = of_known @ covariance @ of_known.T + noise * np.eye(known.sum())
        gain = covariance @ of_known.T @ np.linalg.inv(of_cells)
        mean = Z.mean(axis=0)
        expected.append(mean + gain @ (row[known] - centre[known] - of_known @ mean))
    assert np.isnan(rows).any(axis=1).all()
    np.testing.assert_allclose(model.transform(rows), expected, rtol=1e-5)


def test_few_known_cells_do_not_take_latents_away():
    X = numbers()
    model = AutoencoderTransformer(5, **LINEAR).fit(X)
    row = np.full((1, 6), np.nan)
    row[0, 0] = X[0, 0]
    Z = model.transform(X)
    assert (np.abs(model.transform(row)) < np.abs(Z).max(axis=0)).all()


def test_density_of_a_row_with_holes_is_the_marginal_one():
    X = numbers()
    model = VAETransformer(2, **LINEAR).fit(X)
    decode = model.inverse_transform
    centre = decode(np.zeros((1, 2)))[0]
    loadings = (decode(np.eye(2)) - centre).T
    covariance = loadings @ loadings.T + model.noise_variance_ * np.eye(X.shape[1])
    rows = with_holes(X[:5], 0.4)
    expected = []
    for row in rows:
        known = ~np.isnan(row)
        of_known = covariance[np.ix_(known, known)]
        expected.append(multivariate_normal(centre[known], of_known).logpdf(row[known]))
    np.testing.assert_allclose(
        model.score_samples(rows, n_samples=3), expected, rtol=1e-6
    )


def test_score_is_of_the_cells_that_are_there():
    X = numbers()
    model = AutoencoderTransformer(2, **QUICK).fit(X)
    rows = with_holes(X)
    error = (rows - model.reconstruct(rows)) ** 2
    np.testing.assert_allclose(
        model.score_samples(rows), -np.nanmean(error, axis=1), rtol=1e-5, atol=1e-12
    )


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "log_loss"])
@pytest.mark.parametrize("inference", ["refined", "encoder"])
def test_what_stands_in_a_missing_cell_does_not_matter(loss, inference):
    X = np.clip(0.5 + 0.2 * numbers(), 0, 1)
    model = AutoencoderTransformer(2, loss=loss, inference=inference, **QUICK)
    Z = model.fit(with_holes(X)).transform(with_holes(X))
    assert np.isfinite(Z).all()
    assert np.isfinite(model.reconstruction_err_)


@pytest.mark.parametrize("estimator", TRANSFORMERS)
def test_fit_with_holes_learns_the_plane(estimator):
    X = numbers(300)
    model = estimator(2, max_iter=10, random_state=0).fit(with_holes(X))
    linear = PCA(2).fit(X)
    error = np.mean((X - model.reconstruct(X)) ** 2)
    best = np.mean((X - linear.inverse_transform(linear.transform(X))) ** 2)
    assert error < 1.5 * best


@pytest.mark.filterwarnings("ignore:The posterior collapsed")
@pytest.mark.parametrize("n_samples", [1, 5])
def test_bound_of_shares_with_holes_is_that_of_their_cells(n_samples):
    X = with_holes(np.clip(0.5 + 0.2 * numbers(40), 0, 1))
    model = VAETransformer(2, loss="log_loss", **QUICK).fit(X)
    scores = model.score_samples(X, n_samples=n_samples)
    known = ~np.isnan(X)
    assert np.isfinite(scores).all()
    # An empty row has the density 1, and each cell's entropy takes from it.
    nothing = np.full((1, 6), np.nan)
    assert model.score_samples(nothing, n_samples=n_samples)[0] == pytest.approx(0)
    assert np.corrcoef(scores, known.sum(axis=1))[0, 1] < -0.5


# Contract -----------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", TRANSFORMERS)
def test_refits_and_copies_are_the_same(estimator):
    X = shop()
    model = estimator(2, **QUICK)
    first, second = (clone(model).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))


def test_rows_with_holes_do_not_depend_on_others():
    X = with_holes(numbers())
    model = AutoencoderTransformer(2, **QUICK).fit(X)
    one_by_one = np.vstack([model.transform(row[None]) for row in X])
    np.testing.assert_allclose(model.transform(X), one_by_one, rtol=1e-9, atol=1e-9)


def test_partial_fit_takes_the_kinds_of_its_first_rows():
    X = shop()
    model = AutoencoderTransformer(2, **QUICK)
    for part in (X[:30], X[30:]):
        model.partial_fit(part)
    assert model.reconstruct(X).dtypes.equals(X.dtypes)


def test_holes_may_come_with_later_rows():
    X = numbers()
    model = AutoencoderTransformer(2, **QUICK).partial_fit(X[:40])
    model.partial_fit(with_holes(X[40:]))
    assert np.isfinite(model.transform(X)).all()


def test_missing_cells_of_new_rows_alone():
    X = numbers()
    model = AutoencoderTransformer(2, **QUICK).fit(X)
    assert np.isfinite(model.reconstruct(with_holes(X))).all()


def test_row_without_a_known_cell_is_reconstructed(fitted):
    nothing = pd.DataFrame([[None] * 6], columns=shop().columns, dtype=object)
    back = fitted.reconstruct(nothing)
    assert back.notna().all(axis=None)


def test_regressor_takes_mixed_tables():
    X = shop()
    y = np.linspace(0, 1, len(X))
    model = EncoderDecoderRegressor(2, **QUICK).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


def test_latents_stand_in_a_pipeline():
    X = shop()
    pipeline = make_pipeline(AutoencoderTransformer(2, **QUICK), StandardScaler())
    assert pipeline.fit_transform(X).shape == (60, 2)


def test_set_output_rules_transform_alone():
    X = shop()
    model = AutoencoderTransformer(2, **QUICK).set_output(transform="pandas").fit(X)
    assert list(model.transform(X).columns) == [
        "autoencodertransformer0",
        "autoencodertransformer1",
    ]


@pytest.mark.parametrize(
    "names", [[5, 4, 3, 2, 1, 0], pd.MultiIndex.from_product([["a", "b"], [0, 1, 2]])]
)
def test_columns_may_have_other_names_than_text(names):
    X = shop().set_axis(names, axis=1)
    model = AutoencoderTransformer(2, **QUICK).fit(X)
    np.testing.assert_array_equal(
        model.transform(X), clone(model).fit_transform(shop())
    )
    for table in (model.reconstruct(X), model.impute(X)):
        assert table.columns.equals(X.columns)
        assert table.dtypes.equals(X.dtypes)


@pytest.mark.parametrize("dtype", [int, float])
def test_masked_cells_are_missing(dtype):
    X = np.round(10 * numbers(30)).astype(dtype)
    hidden = np.isnan(with_holes(X.astype(float)))
    masked = np.ma.masked_array(X, hidden)
    model = AutoencoderTransformer(2, **QUICK).fit(masked)
    np.testing.assert_array_equal(
        model.transform(masked), model.transform(np.where(hidden, np.nan, X))
    )
    np.testing.assert_array_equal(model.impute(masked)[~hidden], X[~hidden])
    of_y = EncoderDecoderRegressor(2, **QUICK).fit(masked, X[:, 0])
    np.testing.assert_array_equal(
        of_y.predict(masked), of_y.predict(np.where(hidden, np.nan, X))
    )


def test_masked_text_is_missing():
    X = np.ma.masked_equal(np.array([["a", "?"], ["b", "y"], ["a", "z"]]), "?")
    model = AutoencoderTransformer(1, **QUICK).fit(X)
    assert [kind for _, kind in model.columns_] == ["2 levels", "2 levels"]


def test_missing_values_of_pandas_in_an_array_are_missing():
    X = numbers(20).astype(object)
    X[0, 0] = pd.NA
    model = AutoencoderTransformer(2, **QUICK).fit(X)
    with_nan = X.copy()
    with_nan[0, 0] = np.nan
    np.testing.assert_array_equal(
        model.transform(X), model.transform(with_nan.astype(float))
    )


def test_arrays_with_categories_stay_arrays_of_numbers():
    X = np.random.RandomState(0).randint(0, 3, (30, 4)).astype(np.uint8)
    model = AutoencoderTransformer(2, categorical_features=[0], **QUICK).fit(X)
    assert model.reconstruct(X).dtype == np.uint8


# Bad input ----------------------------------------------------------------------------


def test_other_columns_are_named(fitted):
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(shop().rename(columns={"price": "cost"}))


def test_other_types_are_named(fitted):
    other = shop()
    other["price"] = "dear"
    with pytest.raises(ValueError, match="Column 'price' holds text; in fit it held"):
        fitted.transform(other)


def test_kinds_take_no_row_of_one_dimension(fitted):
    with pytest.raises(ValueError, match="Expected a table with 6 columns"):
        fitted.transform([1, 2, 3])


def test_columns_of_one_name_are_named():
    X = shop()[["price", "color"]].set_axis(["a", "a"], axis=1)
    for table in (X, X[["a"]].iloc[:, [0, 0]]):
        with pytest.raises(ValueError, match="several columns of one name: 'a'"):
            AutoencoderTransformer(2).fit(table)


@pytest.mark.parametrize("make", [AutoencoderTransformer, EncoderDecoderRegressor])
def test_array_without_a_known_cell_is_refused(make):
    with pytest.raises(ValueError, match="no cell that is not missing"):
        make(1).fit(np.full((4, 2), np.nan), np.arange(4.0))


def test_table_without_rows_is_refused(fitted):
    with pytest.raises(ValueError, match=r"at least one row.*0 rows and 6 columns"):
        fitted.transform(shop()[:0])


# Imputation ---------------------------------------------------------------------------


def test_impute_fills_missing_cells_and_nothing_else(fitted):
    X = shop()
    full = fitted.impute(X)
    known = X.notna()
    pd.testing.assert_frame_equal(full.where(known), X.where(known))
    assert full.notna().all(axis=None)
    assert full.dtypes.equals(X.dtypes)


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_impute_gives_numbers_in_what_they_came_in(make):
    X = with_holes(numbers())
    named = make is not np.asarray
    table = make(dict(zip("abcdef", X.T, strict=True))) if named else X
    model = AutoencoderTransformer(2, **QUICK).fit(table)
    full = model.impute(table)
    assert type(full) is type(table)
    known = ~np.isnan(X)
    np.testing.assert_array_equal(np.asarray(full)[known], X[known])
    assert np.isfinite(np.asarray(full)).all()


@pytest.mark.parametrize("estimator", TRANSFORMERS)
def test_imputation_of_a_plane_is_that_of_its_model(estimator):
    X = numbers(300)
    holes = with_holes(X, 0.1)
    missing = np.isnan(holes)
    filled = estimator(2, **LINEAR).fit(holes).impute(holes)
    covariance, mean = np.cov(X.T), X.mean(axis=0)
    best = X.copy()
    for row, gone in zip(best, missing, strict=True):
        gain = covariance[np.ix_(gone, ~gone)] @ np.linalg.pinv(
            covariance[np.ix_(~gone, ~gone)]
        )
        row[gone] = mean[gone] + gain @ (row - mean)[~gone]
    errors = [np.mean((made - X)[missing] ** 2) for made in (filled, best)]
    assert errors[0] < 1.1 * errors[1]


def test_latents_help_where_columns_bend():
    t = np.linspace(-2, 2, 300)
    X = np.column_stack([t, t**2, np.sin(2 * t), np.cos(2 * t)])
    holes = with_holes(X, 0.15)
    missing = np.isnan(holes)
    filled = AutoencoderTransformer(1, early_stopping=False).fit(holes).impute(holes)
    linear = AutoencoderTransformer(1, **LINEAR).fit(holes).impute(holes)
    errors = [np.mean((made - X)[missing] ** 2) for made in (filled, linear)]
    assert errors[0] < 0.8 * errors[1]


def test_drawn_cells_vary_as_the_model_says():
    X = numbers(200)
    model = VAETransformer(2, **LINEAR).fit(X)
    rows = X[:3].copy()
    rows[:, 0] = np.nan
    drawn = np.stack(model.impute(rows, n_draws=400, random_state=0))
    decode = model.inverse_transform
    centre = decode(np.zeros((1, 2)))[0]
    loadings = (decode(np.eye(2)) - centre).T
    covariance = loadings @ loadings.T + model.noise_variance_ * np.eye(6)
    gain = covariance[0, 1:] @ np.linalg.inv(covariance[1:, 1:])
    expected = centre[0] + (rows[:, 1:] - centre[1:]) @ gain
    spread = np.sqrt(covariance[0, 0] - gain @ covariance[1:, 0])
    np.testing.assert_allclose(drawn[:, :, 0].mean(axis=0), expected, atol=0.2 * spread)
    np.testing.assert_allclose(drawn[:, :, 0].std(axis=0), spread, rtol=0.12)
    np.testing.assert_array_equal(drawn[0, :, 1:], rows[:, 1:])


def test_drawn_tables_repeat_by_their_seed():
    model = VAETransformer(2, **QUICK).fit(shop())
    first, second = (model.impute(shop(), n_draws=2, random_state=3) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert not first[0].equals(first[1])


def test_imputation_follows_networks_that_go_on():
    X = numbers(80)
    model = AutoencoderTransformer(2, **QUICK).partial_fit(X[:40])
    before = model._imputer
    model.partial_fit(X[40:])
    assert model._imputer is not before


def test_imputation_keeps_what_more_rows_have_told():
    X = numbers(80)
    model = AutoencoderTransformer(2, **QUICK).partial_fit(X[:70])
    before = model._imputer
    model.partial_fit(X[70:])
    assert model._imputer is before
