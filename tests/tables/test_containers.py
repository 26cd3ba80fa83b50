"""Frames and arrays of objects, read and given back."""

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sklearn_ae._tables.containers import (
    Array,
    Frame,
    check_names,
    has_only_floats,
    is_frame,
    read_columns,
    rows_of,
)

pl = pytest.importorskip("polars")

MOMENT = dt.datetime(2020, 2, 29, 13, 5, 7, 123456)
CELLS = {
    "whole": [3, None],
    "number": [1.5, None],
    "text": ["a b", None],
    "truth": [True, None],
    "moment": [MOMENT, None],
    "day": [MOMENT.date(), None],
    "span": [dt.timedelta(seconds=90), None],
    "clock": [MOMENT.time(), None],
    "money": [decimal.Decimal("1.25"), None],
}
TYPES = {
    "whole": "integer",
    "number": "float",
    "text": "text",
    "truth": "boolean",
    "moment": "datetime",
    "day": "date",
    "span": "duration",
    "clock": "time",
    "money": "decimal",
}


def pandas_frame():
    moments = pd.Series(pd.to_datetime([MOMENT, None]))
    return pd.DataFrame(
        {
            "i8": np.array([1, -2], dtype="int8"),
            "nullable": pd.array([1, None], dtype="Int64"),
            "f4": np.array([0.5, np.nan], dtype="f4"),
            "text": ["a", None],
            "string": pd.array(["a", None], dtype="string"),
            "arrow": pd.array([1.5, None], dtype="float32[pyarrow]"),
            "ordered": pd.Categorical(["low", "high"], ["low", "high"], ordered=True),
            "numbers": pd.Categorical([2, 1]),
            "truth": [True, False],
            "object": pd.Series([True, None], dtype=object),
            "moment": moments,
            "zoned": moments.dt.tz_localize("Europe/Berlin"),
            "span": pd.to_timedelta([1, None], unit="s"),
            "day": [MOMENT.date(), None],
        },
        index=["first", "second"],
    )


def polars_frame():
    frame = pl.DataFrame(CELLS)
    levels = pl.Series(["a", "b"])
    return frame.with_columns(
        levels.cast(pl.Categorical).alias("category"),
        levels.cast(pl.Enum(["b", "a"])).alias("enum"),
        pl.Series([1, 2], dtype=pl.UInt8).alias("u8"),
        pl.col("moment").dt.replace_time_zone("America/New_York").alias("zoned"),
    )


def test_pandas_frame_comes_back_with_its_types_and_rows_names():
    X = pandas_frame()
    back = Frame(X).restore(read_columns(X), rows_of(X))
    pd.testing.assert_frame_equal(back, X)


def test_polars_frame_comes_back_with_its_types():
    X = polars_frame()
    back = Frame(X).restore(read_columns(X))
    assert back.schema == X.schema
    assert back.equals(X)


def test_arrow_table_comes_back_with_its_types():
    X = pa.table(CELLS)
    back = Frame(X).restore(read_columns(X))
    assert back.schema == X.schema
    assert back.to_pylist() == X.to_pylist()


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_the_largest_integers_come_back_as_their_type(make):
    X = make({"n": np.array([2**63 + 2**40, 1], dtype="uint64")})
    back = Frame(X).restore(read_columns(X))
    assert [int(n) for n in back["n"].to_numpy()] == [2**63 + 2**40, 1]
    assert str(back["n"].to_numpy().dtype) == "uint64"


@pytest.mark.parametrize("cells", [["a", None, "b"], ["a", "b"], [None]])
@pytest.mark.parametrize("is_coded", [False, True])
def test_text_of_arrow_is_read_as_that_of_python(cells, is_coded):
    array = pa.array(cells, pa.string())
    chunks = [array, array.slice(1)] if len(cells) > 1 else [array]
    column = pa.chunked_array(chunks)
    X = pa.table({"c": column.dictionary_encode() if is_coded else column})
    (found,) = read_columns(X)
    known = np.array([cell is None for cell in column.to_pylist()])
    np.testing.assert_array_equal(found.is_missing, known)
    assert list(found.values[~known]) == [c for c in column.to_pylist() if c]


def test_array_of_objects_comes_back():
    X = np.array([[1, "a", 0.5], [None, None, 2.5]], dtype=object)
    back = Array(object).restore(read_columns(X))
    np.testing.assert_array_equal(back, X)


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
def test_types_are_told_apart(make):
    assert {c.name: c.type for c in read_columns(make(CELLS))} == TYPES


def test_text_of_digits_is_text():
    column = read_columns(np.array([["0"], ["1"]], dtype=object))[0]
    assert column.type == "text"


def test_what_libraries_have_for_missing_is_missing():
    values = [np.nan, None, pd.NA, pd.NaT, np.ma.masked, decimal.Decimal("NaN"), "a"]
    X = np.empty((len(values), 1), dtype=object)
    X[:, 0] = values
    assert read_columns(X)[0].is_missing.tolist() == [True] * 6 + [False]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([1, "a"], r"mixes types: it holds 1 \(integer\) and 'a' \(text\)"),
        ([dt.date(2020, 1, 1), "a"], "mixes types"),
        ([[1, 2], [3]], r"holds \[1, 2\], of type list"),
        ([{"a": 1}, None], "of type dict"),
        ([object(), None], "of type object"),
    ],
)
def test_cells_that_are_no_values_are_named(cells, says):
    X = pd.DataFrame({"odd": pd.Series(cells, dtype=object)})
    with pytest.raises(ValueError, match=f"Column 'odd' .*{says}"):
        read_columns(X)


def test_categories_may_be_intervals():
    classes = pd.cut(pd.Series([1.0, 5.0, np.nan, 9.0]), 2)
    X = pd.DataFrame({"ordered": classes, "not": classes.cat.as_unordered()})
    columns = read_columns(X)
    assert [column.type for column in columns] == ["category"] * 2
    assert columns[0].levels == tuple(classes.cat.categories)
    pd.testing.assert_frame_equal(Frame(X).restore(columns), X)


def test_categories_of_several_types_are_named():
    X = pd.DataFrame({"odd": pd.Categorical([1, "a"])})
    with pytest.raises(ValueError, match="mixes types"):
        read_columns(X)


def test_nested_types_are_named():
    X = pa.table({"list": [[1, 2], [3]]})
    with pytest.raises(ValueError, match="Column 'list' holds List"):
        read_columns(X)


def test_names_that_stand_twice_are_named():
    X = pd.DataFrame([[1, "a"]], columns=["twin", "twin"])
    with pytest.raises(ValueError, match="several columns of one name: 'twin'"):
        check_names(X)


def test_whole_numbers_stay_in_the_range_of_their_type():
    X = pl.DataFrame({"u8": pl.Series([1, 2], dtype=pl.UInt8)})
    column = read_columns(X)[0]
    column.values[:] = [-3.0, 300.0]
    assert Frame(X).restore([column])["u8"].to_list() == [0, 255]


def test_durations_keep_their_last_microsecond():
    # Of which a double of seconds is a little less than it should be.
    span = dt.timedelta(microseconds=536_115_381)
    (column,) = read_columns(pd.DataFrame({"span": [span, None]}))
    np.testing.assert_array_equal(column.values, [536_115_381, np.nan])


def test_frames_are_told_from_arrays():
    assert is_frame(pd.DataFrame({"a": [1.0]}))
    assert is_frame(pl.DataFrame({"a": [1.0]}))
    assert is_frame(pa.table({"a": [1.0]}))
    assert not is_frame(np.zeros((2, 2)))
    assert not is_frame([[1.0]])


def test_frames_of_floats_are_matrices():
    assert has_only_floats(pd.DataFrame({"a": [1.0], "b": np.array([1], dtype="f4")}))
    assert not has_only_floats(pd.DataFrame({"a": [1.0], "b": [1]}))
