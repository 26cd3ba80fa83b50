import numpy as np
import pandas as pd
import pytest

from sklearn_ae.comparison._files import TableError
from sklearn_ae.comparison._files.cells import cells_of
from sklearn_ae.comparison._files.columns import make_columns
from sklearn_ae.comparison._files.numbers import Convention
from sklearn_ae.comparison._tables import named_as_ids, prepare_table


def prepare(frame, *args, **options):
    """Prepare a table whose columns of text are read as those of a file."""
    columns = {
        name: cells_of(frame[name].astype(object).where(frame[name].notna(), None))
        if frame[name].dtype in (object, "str")
        else frame[name]
        for name in frame
    }
    read = make_columns(columns, Convention())
    return prepare_table(read.frame, *args, spelled=read.spelled, **options)


def column(values, **options):
    """Prepare one column, next to one that is always kept."""
    other = np.sin(np.arange(len(values)))
    return prepare(pd.DataFrame({"other": other, "it": values}), **options)


def action(table, name="it"):
    (found,) = [a for a, columns in table.actions.items() if has(columns, name)]
    return found


def has(columns, name):
    return any(c == name or c.startswith(f"{name} (") for c in columns)


# --------------------------------------------------------------------------- columns


def test_numbers_stay_as_they_are():
    table = column([1, 2.5, 4])
    assert table.X["it"].tolist() == [1, 2.5, 4]
    assert action(table) == "numbers"


def test_missing_numbers_become_the_median_of_the_training_rows():
    table = column([1.0, np.nan, 3.0, 100.0], scaler=None)
    fitted = table.preprocessor.fit(table.X[:3])
    assert fitted.transform(table.X)[:, 1].tolist() == [1, 2, 3, 100]
    assert "median" in action(table)


def test_infinite_numbers_are_missing():
    assert column([1.0, np.inf, 3.0]).X["it"].isna().tolist() == [False, True, False]


def test_infinite_numbers_are_counted():
    table = column([1.0, np.inf, 3.0, np.nan, -np.inf])
    (said,) = table.actions[action(table)]
    assert said == "it (3, of them 2 infinite)"


def test_booleans_become_ones_and_zeros():
    assert column([True, False, True]).X["it"].tolist() == [1, 0, 1]


def test_nullable_types_become_floats():
    table = column(pd.array([1, None, 3], dtype="Int64"))
    assert table.X["it"].dtype == np.float64
    assert table.X["it"].isna().sum() == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", " 2.5", "-3e2"], [1, 2.5, -300]),
        (["1,234.5", "12,000", "1,000,000"], [1234.5, 12000, 1e6]),
        (["1.234,5", "2,25", "0,5"], [1234.5, 2.25, 0.5]),
        (["12 %", "3%", "4.5 %"], [12, 3, 4.5]),
        (["$5", "$ 6.5", "€7"], [5, 6.5, 7]),
        (["5", "?", "7", "8"], [5, np.nan, 7, 8]),
        (["5", "unknown", "7", "-", "NA", "6"], [5, np.nan, 7, np.nan, np.nan, 6]),
    ],
)
def test_text_that_spells_numbers_is_read(values, expected):
    table = column(values)
    np.testing.assert_array_equal(table.X["it"], expected)
    assert action(table).startswith("text read as numbers")


def test_a_few_odd_words_among_numbers_are_missing_values():
    table = column([*map(str, np.arange(60) % 7), "see below"])
    assert table.X["it"].isna().sum() == 1


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-01", "2024-01-03", "2024-01-11"],
        ["2024-01-01 06:00", "2024-01-03 06:00", "2024-01-11 06:00"],
        ["2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z", "2024-01-11T00:00:00Z"],
        ["01.01.2024", "03.01.2024", "11.01.2024"],
        ["31/12/2023", "02/01/2024", "10/01/2024"],
        ["12/31/2023 10:00", "01/02/2024 10:00", "01/10/2024 10:00"],
        ["12/31/2023 10:00", "01/02/2024 10:00:00", "01/10/2024 10:00 AM"],
        pd.to_datetime(["2024-01-01", "2024-01-03", "2024-01-11"]),
        pd.to_timedelta([1, 3, 11], unit="D"),
    ],
)
def test_dates_become_days(values):
    assert np.diff(column(values).X["it"]).tolist() == [2, 8]


def test_days_in_a_row_are_kept():
    table = column(["2024-01-01", "2024-01-02", "2024-01-03"])
    assert "it" in table.X


def test_text_is_one_hot_encoded():
    table = column(["a", "b", "c", "a", "b", "c"], scaler="minmax")
    assert table.preprocessor.fit_transform(table.X)[:, 1:].tolist() == [
        *np.eye(3).tolist(),
        *np.eye(3).tolist(),
    ]
    assert action(table) == "text, one-hot encoded"


def test_text_is_weighed_as_in_factor_analysis_of_mixed_data():
    table = column(["a", "b", "c", "a", None, "c", "a"])
    made = table.preprocessor.fit_transform(table.X)[:, 1:]
    indicators = np.eye(3)[[0, 1, 2, 0, 0, 2, 0]]
    share = np.array([3, 1, 2]) / 6
    expected = (indicators - share) / np.sqrt(share)
    expected[4] = 0.0  # what is missing is at the mean
    np.testing.assert_allclose(made, expected)
    assert action(table) == "text, levels over the root of their share"
    assert table.actions[action(table)] == ["it (3 levels, 1 missing at their mean)"]


@pytest.mark.parametrize("scaler", ["standard", "minmax"])
def test_text_of_two_levels_becomes_one_column(scaler):
    table = column(["a", "b", "a", "b"], scaler=scaler)
    assert table.preprocessor.fit_transform(table.X).shape == (4, 2)


def test_text_whose_training_rows_all_differ_is_no_error():
    table = column(["a", "b", "c"] * 12, scaler="standard")
    few = table.X[:3]
    assert np.isfinite(table.preprocessor.fit(few).transform(table.X)).all()


def test_missing_text_is_a_level_of_its_own():
    table = column(["a", "b", None, "a", "b", "?"], scaler="minmax")
    Z = table.preprocessor.fit_transform(table.X)[:, 1:]
    assert Z.shape == (6, 3)
    assert Z[2].tolist() == Z[5].tolist()


def test_many_levels_share_a_column_beyond_the_most_frequent():
    values = np.repeat(np.array([f"v{i}" for i in range(30)]), np.arange(2, 32))
    table = column(values, max_levels=5, scaler=None)
    assert table.preprocessor.fit_transform(table.X).shape[1] == 1 + 5
    assert "the 4 most frequent and the rest" in action(table)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_level_that_no_training_row_has_is_no_error():
    table = column(["a", "b", "c", "a", "b", "c", "d", "d"], scaler="minmax")
    fitted = table.preprocessor.fit(table.X[:6])
    assert fitted.transform(table.X[6:])[:, 1:].tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(6, 3.0), "all values are the same"),
        (["a"] * 6, "all values are the same"),
        ([3.0, np.nan] * 3, "all values are the same"),
        ([np.nan] * 6, "all values are missing"),
        ([None] * 6, "all values are missing"),
        (["?", ""] * 3, "all values are missing"),
        ([np.inf, np.nan] * 3, "no value is finite"),
        ([f"name {i}" for i in range(6)], "text that differs from row to row"),
        ([[i] for i in range(6)], "text that differs from row to row"),
        (np.arange(6), "it numbers the rows"),
        (np.arange(6) + 1j, "complex numbers"),
    ],
)
def test_columns_that_say_nothing_are_dropped(values, reason):
    table = column(values)
    assert table.X.columns.tolist() == ["other"]
    assert action(table) == f"dropped, {reason}"


@pytest.mark.parametrize("first", [0, 1])
def test_columns_that_count_the_rows_are_dropped(first):
    frame = pd.DataFrame({"x": [0.5, 1.5, 0.7, 3], "n": np.arange(first, first + 4)})
    assert prepare_table(frame).X.columns.tolist() == ["x"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("year", np.arange(1950, 2010)),
        ("PAID", [7, 3, 99, 12]),
        ("price_index", [103, 101, 99, 102]),
        ("UV index", [1, 3, 2, 4]),
        ("user_id", [7, 3, 99, 12]),
        ("countdown", [4, 3, 2, 1]),
    ],
)
def test_columns_that_do_not_count_the_rows_are_kept(name, values):
    frame = pd.DataFrame({"x": np.sin(np.arange(len(values))), name: values})
    assert name in prepare_table(frame).X


@pytest.mark.parametrize(
    ("name", "values", "is_named"),
    [
        ("user_id", [7, 3, 99, 12], True),
        ("CustomerID", [7, 3, 99, 12], True),
        ("id", [7, 3, 7, 12], False),
        ("id", [7.5, 3, 6, 12], False),
        ("PAID", [7, 3, 99, 12], False),
        ("humid", [7, 3, 99, 12], False),
    ],
)
def test_columns_kept_although_they_are_called_ids_are_named(name, values, is_named):
    frame = pd.DataFrame({"x": [0.5, 1.5, 0.7, 3], name: values})
    assert named_as_ids(prepare_table(frame)) == [name] * is_named


def test_columns_can_be_dropped_by_name():
    table = column([1, 5, 2], drop=["it"])
    assert table.X.columns.tolist() == ["other"]
    assert action(table) == "dropped, as asked"


def test_every_column_is_accounted_for():
    frame = pd.DataFrame(
        {
            "a": [1.0, 2.5, np.nan, 4],
            "b": ["x", "y", "x", "y"],
            "c": [1, 1, 1, 1],
            "d": pd.to_datetime(["2020-01-01"] * 3 + ["2021-01-01"]),
        }
    )
    table = prepare_table(frame)
    told = [name for columns in table.actions.values() for name in columns]
    assert sorted(name.split(" (")[0] for name in told) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("scaler", "mean", "low"),
    [("standard", 0, -1), ("minmax", 0.5, 0), (None, 3, 2)],
)
def test_scaler_is_for_numbers(scaler, mean, low):
    table = column([2.0, 4.0, 2.0, 4.0], scaler=scaler)
    values = table.preprocessor.fit_transform(table.X)[:, 1]
    assert values.mean() == pytest.approx(mean)
    assert values.min() == pytest.approx(low)


def test_column_without_values_in_the_training_rows_keeps_its_place():
    table = column([np.nan, np.nan, 1.0, 2.0])
    fitted = table.preprocessor.fit(table.X[:2])  # warnings are errors here
    assert np.isfinite(fitted.transform(table.X)).all()


# ------------------------------------------------------------------- target and rows


def target(values):
    """Prepare a table of which one column is the target."""
    other = np.sin(np.arange(len(values)))
    return prepare(pd.DataFrame({"x": other, "y": values}), "y")


def test_target_is_no_column():
    table = target([0, 1, 0])
    assert table.X.columns.tolist() == ["x"]
    assert table.y.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("values", "expected", "kind"),
    [
        ([0.0, 1.0, 2.0], [0, 1, 2], "i"),
        (["3", "1", "2"], [3, 1, 2], "i"),
        ([0.5, 1.0, 2.0], [0.5, 1.0, 2.0], "f"),
        (["a", "None", "b"], ["a", "None", "b"], "U"),
        ([True, False, True], ["True", "False", "True"], "U"),
        (pd.Categorical(["u", "v", "u"]), ["u", "v", "u"], "U"),
    ],
)
def test_target_has_the_type_of_its_values(values, expected, kind):
    y = target(values).y
    assert y.tolist() == expected
    assert y.dtype.kind == kind


@pytest.mark.parametrize(
    ("values", "expected", "said"),
    [
        ([1.0, np.nan, 3.0], [1, 3], "1 row"),
        (["a", None, "b"], ["a", "b"], "1 row"),
        (["a", "?", ""], ["a"], "2 rows"),
    ],
)
def test_rows_without_target_are_left_out(values, expected, said):
    table = target(values)
    assert table.y.tolist() == expected
    assert len(table.X) == len(expected)
    assert table.rows == [f"{said} without 'y' left out"]


def test_row_numbers_are_found_although_rows_are_left_out():
    frame = pd.DataFrame({"x": [0.1, 0.5, 0.2, 0.9], "n": [1, 2, 3, 4], "y": "abca"})
    frame["y"] = ["a", None, "b", "a"]
    assert prepare_table(frame, "y").X.columns.tolist() == ["x"]


def test_rows_are_drawn_with_their_targets():
    x = np.random.RandomState(0).normal(size=100)
    table = prepare_table(pd.DataFrame({"x": x, "y": x}), "y", max_rows=10)
    assert len(table.X) == 10
    assert table.X["x"].tolist() == table.y.tolist()
    assert "10 of 100 rows used, drawn at random" in table.rows


def test_rows_are_drawn_by_the_random_state():
    frame = pd.DataFrame({"x": np.sin(np.arange(100.0))})
    draws = [
        prepare_table(frame, max_rows=10, random_state=seed).X["x"].tolist()
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_unknown_column_lists_the_columns():
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    with pytest.raises(TableError, match="no column 'c'; the columns are: a, b"):
        prepare_table(frame, "c")


@pytest.mark.parametrize("asked", ["Price", "prize"])
def test_unknown_column_that_is_almost_one(asked):
    frame = pd.DataFrame({"Name": [1, 2], "price": [3, 4]})
    with pytest.raises(TableError, match="did you mean 'price'"):
        prepare_table(frame, asked)


def test_target_without_values():
    with pytest.raises(TableError, match="the target 'y' has no values"):
        target([None, None, None])


def test_no_usable_column():
    frame = pd.DataFrame({"a": [1, 1, 1], "b": ["x", "y", "z"]})
    with pytest.raises(TableError, match=r"no column is left.*same: a; .*row: b"):
        prepare_table(frame)
