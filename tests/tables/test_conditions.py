"""Conditions as numbers: labels, continuous columns, tables, and bad ones."""

import datetime as dt

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_ae._tables.conditions import Conditions, conditions_by_name

LABELS = ["b", "a", "b", "c"]


def encode(fitted, y=None, n_samples=None):
    y = fitted if y is None else y
    n_samples = len(y) if n_samples is None else n_samples
    return Conditions(fitted).encode(y, n_samples, np.dtype(np.float64))


@pytest.mark.parametrize(
    "labels",
    [LABELS, np.array(LABELS), np.array(LABELS, dtype=object), [3, 1, 3, 7]]
    + [[True, False, True, True], [1.0, 0.0, 1.0, 2.0]],
    ids=str,
)
def test_labels_become_indicators_as_of_scikit_learn(labels):
    column = np.asarray(labels)[:, None]
    wanted = OneHotEncoder(sparse_output=False).fit_transform(column)
    assert_array_equal(encode(labels), wanted)


def test_numbers_are_standardised():
    y = np.random.default_rng(0).normal(50.0, 9.0, size=20)
    assert_allclose(encode(y), StandardScaler().fit_transform(y[:, None]))


def test_equal_numbers_are_zero():
    assert_array_equal(encode(np.full((3, 1), 2.5)), np.zeros((3, 1)))


def test_new_conditions_are_in_the_units_of_the_fit():
    assert_allclose(encode([1.5, 2.5, 3.5], [2.5, 4.5]), [[0.0], [2 / np.sqrt(2 / 3)]])


def test_array_of_numbers_is_a_table_of_numbers():
    # Whole numbers too: in a table, labels are told by their type.
    y = np.array([[1, 5], [2, 5], [3, 8]])
    assert_allclose(encode(y), StandardScaler().fit_transform(y))


def test_table_of_both():
    pd = pytest.importorskip("pandas")
    y = pd.DataFrame(
        {
            "size": [1.0, 2.0, 3.0],
            "kind": ["x", "y", "x"],
            "grade": pd.Categorical(["lo", "hi", "lo"]),
        }
    )
    half = np.sqrt(1.5)
    wanted = [[-half, 1, 0, 0, 1], [0, 0, 1, 1, 0], [half, 1, 0, 0, 1]]
    assert_allclose(encode(y), wanted)


def test_a_single_condition_is_that_of_all_rows():
    assert_array_equal(encode(LABELS, "a", n_samples=3), [[1, 0, 0]] * 3)
    assert_array_equal(encode(LABELS, ["a"], n_samples=3), [[1, 0, 0]] * 3)
    table = np.array([["x", "p"], ["y", "q"]])
    assert_array_equal(encode(table, ["y", "p"], n_samples=2), [[0, 1, 1, 0]] * 2)


def test_dtype_is_that_asked_for():
    numbers = Conditions(LABELS).encode(LABELS, 4, np.dtype(np.float32))
    assert numbers.dtype == np.float32


def test_unknown_label_is_named():
    with pytest.raises(
        ValueError, match=r"'d', which was not in fit; there were \['a'"
    ):
        encode(LABELS, ["a", "d"])


def test_labels_where_numbers_were():
    with pytest.raises(ValueError, match="y must hold numbers, as in fit"):
        encode([1.5, 2.5], ["a", "b"])


def test_other_number_of_columns():
    with pytest.raises(ValueError, match=r"must have 1 columns of conditions.*got 2"):
        encode(LABELS, np.array([["a", "b"], ["a", "b"]]))


def test_other_number_of_rows():
    with pytest.raises(ValueError, match="for each of 5 rows; got 4"):
        encode(LABELS, LABELS, n_samples=5)


def test_other_names_of_columns():
    pd = pytest.importorskip("pandas")
    y = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    with pytest.raises(ValueError, match=r"columns of y must be .*'b', 'a'"):
        encode(y, y[["b", "a"]])


@pytest.mark.parametrize(
    "y", [[1.5, np.nan], ["a", None], np.array(["a", np.nan], dtype=object)], ids=str
)
def test_missing_conditions_are_told(y):
    with pytest.raises(ValueError, match="y has missing values"):
        Conditions(y)


def test_missing_conditions_of_pandas_are_told():
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="y has missing values"):
        Conditions(pd.array([1, None, 2], dtype="Int64"))


def test_infinite_conditions_are_told():
    with pytest.raises(ValueError, match="y has infinite values"):
        Conditions([1.5, np.inf])


@pytest.mark.parametrize("y", [3, [], np.zeros((2, 2, 2))], ids=str)
def test_what_is_no_list_of_conditions(y):
    with pytest.raises(ValueError, match="y must hold one condition or a row"):
        Conditions(y)


def test_numbers_stay_numbers_in_a_table_of_other_things():
    ages = [31, 47, 52, 31]
    alone = np.array([[age] for age in ages])
    mixed = np.array(
        [[age, sex] for age, sex in zip(ages, "fmfm", strict=True)], dtype=object
    )
    numbers = Conditions(mixed).encode(mixed, 4, np.dtype(float))
    assert numbers.shape == (4, 3)
    np.testing.assert_allclose(
        numbers[:, :1], Conditions(alone).encode(alone, 4, np.dtype(float))
    )


def test_dates_are_numbers():
    days = np.array([["2020-01-01"], ["2020-01-03"], ["2020-01-02"]], "datetime64[D]")
    for y in (days, days.astype(object)):
        numbers = Conditions(y).encode(y, 3, np.dtype(float))[:, 0]
        np.testing.assert_allclose(numbers, [-(1.5**0.5), 1.5**0.5, 0], atol=1e-9)


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_of_a_frame_are_in_one_unit(unit):
    pd = pytest.importorskip("pandas")
    days = pd.date_range("2020-01-01", periods=3).as_unit(unit)
    known = Conditions(pd.DataFrame({"day": days}))
    middle = known.encode([days[1].to_pydatetime()], 1, np.dtype(float))
    assert_allclose(middle, [[0.0]], atol=1e-9)


def test_times_alone_are_numbers():
    days = np.array(["2020-01-01", "2020-01-03", "2020-01-02"], "datetime64[D]")
    assert_allclose(encode(days), encode(days[:, None]))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_times_have_a_zone_where_those_of_fit_had_one(library):
    series = pytest.importorskip(library).Series
    naive = [dt.datetime(2020, 1, day) for day in (1, 2, 3)]
    zoned = [moment.replace(tzinfo=dt.UTC) for moment in naive]
    in_berlin = [m.astimezone(dt.timezone(dt.timedelta(hours=1))) for m in zoned]
    assert_allclose(encode(series(zoned)), encode(naive))
    assert_allclose(encode(series(zoned), in_berlin), encode(naive))
    with pytest.raises(ValueError, match="without a time zone; in fit they had one"):
        encode(series(zoned), naive)
    with pytest.raises(ValueError, match="with a time zone; in fit they had none"):
        encode(naive, series(zoned))


def test_times_with_and_without_a_zone_do_not_mix():
    moment = dt.datetime(2020, 1, 1)
    with pytest.raises(ValueError, match="mixes times with a time zone"):
        Conditions([moment, moment.replace(tzinfo=dt.UTC)])


def test_a_dict_is_a_row_or_rows_in_the_order_of_fit():
    names = ["size", 1]
    row = conditions_by_name({"1": "x", "size": 2.0, "other": 0}, names)
    assert row.tolist() == [2.0, "x"]
    rows = conditions_by_name({1: ["x", "y"], "size": 2.0}, names)
    assert rows.tolist() == [[2.0, "x"], [2.0, "y"]]


def test_a_dict_needs_conditions_with_names():
    with pytest.raises(ValueError, match="where the conditions of fit had names"):
        conditions_by_name({"size": 2.0}, None)
