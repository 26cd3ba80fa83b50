"""Errors about rows of numbers name the column, and the row."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from sklearn_ae import AutoencoderTransformer, EncoderDecoderRegressor

pl = pytest.importorskip("polars")

LINEAR = {"max_iter": 0, "early_stopping": False}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


def numbers():
    rng = np.random.RandomState(0)
    return {name: rng.normal(size=8) for name in "ab"}


def with_infinity():
    cells = numbers()
    cells["b"][5] = -np.inf
    return cells


def as_array(cells):
    return np.column_stack(list(cells.values()))


@pytest.fixture(scope="module")
def fitted():
    return AutoencoderTransformer(1, **LINEAR).fit(pd.DataFrame(numbers()))


@pytest.mark.parametrize("library", FRAMES)
def test_infinite_cells_of_frames_are_named(library):
    X = FRAMES[library](with_infinity())
    with pytest.raises(ValueError, match=r"infinity.* Column 'b' has .* in row 5"):
        AutoencoderTransformer(1, **LINEAR).fit(X)


@pytest.mark.parametrize(
    "make",
    [
        as_array,
        lambda cells: as_array(cells).tolist(),
        lambda c: csr_array(as_array(c)),
    ],
    ids=["array", "list", "sparse"],
)
def test_infinite_cells_without_a_name_have_a_place(make):
    X = make(with_infinity())
    with pytest.raises(ValueError, match=r"infinity.* Column 1 has .* in row 5"):
        AutoencoderTransformer(1, **LINEAR).fit(X)


def test_a_regressor_names_them_too():
    X = pd.DataFrame(with_infinity())
    with pytest.raises(ValueError, match=r"Column 'b' has .* in row 5"):
        EncoderDecoderRegressor(1, **LINEAR).fit(X, np.arange(8.0))


OTHERS = {
    "text": ["x"] * 8,
    "dates": [dt.date(2020, 1, 1)] * 8,
    "dates with times": [dt.datetime(2020, 1, 1)] * 8,
}


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_number_is_named(fitted, library, kind):
    X = FRAMES[library]({"a": numbers()["a"], "b": OTHERS[kind]})
    with pytest.raises(
        ValueError, match=f"Column 'b' holds {kind}; in fit it held num"
    ):
        fitted.transform(X)


def test_dates_alone_are_no_numbers(fitted):
    X = pd.DataFrame(dict.fromkeys("ab", pd.date_range("2020", periods=8)))
    with pytest.raises(ValueError, match="Column 'a' holds dates with times"):
        fitted.transform(X)


def test_objects_that_are_no_numbers_have_a_place():
    fitted = AutoencoderTransformer(1, **LINEAR).fit(as_array(numbers()))
    X = as_array(numbers()).astype(object)
    X[:, 1] = "x"
    with pytest.raises(ValueError, match=r"could not convert.* Column 1 holds text"):
        fitted.transform(X)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_other_errors_are_as_they_were(fitted):
    with pytest.raises(ValueError, match=r"expecting 2 features as input\.$"):
        fitted.transform(np.ones((3, 3)))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.parametrize("X", [pd.Series(["a"] * 8), [{"a": 1.0}] * 8], ids=type)
def test_what_is_no_table_is_told_so(fitted, X):
    with pytest.raises(ValueError, match="X must be a table of rows and columns; got"):
        fitted.transform(X)


def test_rows_that_are_not_there_yet_are_asked_for(fitted):
    with pytest.raises(TypeError, match=r"X is a LazyFrame.*X\.collect"):
        fitted.transform(pl.LazyFrame(numbers()))


def test_pictures_that_are_no_rows_are_told_how_to_become_them():
    with pytest.raises(ValueError, match=r"dim 3.* image_shape=\(4, 5\)\."):
        AutoencoderTransformer(1, **LINEAR).fit(np.zeros((3, 4, 5)))
