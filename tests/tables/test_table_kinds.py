"""Tables whose columns are of several kinds: cells as numbers, and back."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.pandas import column, data_frames, range_indexes
from sklearn.preprocessing import OneHotEncoder

from sklearn_ae._tables.kinds import ColumnSummary, summaries_together
from sklearn_ae._tables.table_kinds import TableKinds, columns_of, needs_kinds

pl = pytest.importorskip("polars")

COLORS = ["red", "green", "blue"]


def shop():
    return pd.DataFrame(
        {
            "price": [1.5, 2.5, np.nan, 4.0],
            "pieces": [1, 2, 3, 4],
            "color": ["red", "green", "blue", None],
            "sold": [True, False, True, True],
            "day": pd.to_datetime(["2020-01-01", None, "2020-03-01", "2020-04-01"]),
        }
    )


def test_known_cells_come_back():
    X = shop()
    kinds = TableKinds(X)
    back = kinds.decode(kinds.encode(X), like=X)
    pd.testing.assert_frame_equal(back, X)


def test_days_come_back_as_days():
    X = shop()[["day"]]
    numbers = TableKinds(X).encode(X) + 1e9  # some minutes later
    pd.testing.assert_frame_equal(TableKinds(X).decode(numbers, like=X), X)
    X["day"] += pd.Timedelta("8h")
    later = TableKinds(X).decode(numbers, like=X)
    assert (later["day"].dropna().dt.minute == 16).all()


@settings(max_examples=40, deadline=None)
@given(
    data_frames(
        [
            column("number", elements=st.floats(-1e6, 1e6) | st.just(np.nan)),
            column("whole", dtype=np.int16),
            column("level", elements=st.sampled_from([*COLORS, None]), dtype=object),
            column("truth", dtype=bool),
        ],
        index=range_indexes(min_size=1, max_size=12),
    )
)
def test_any_table_comes_back(X):
    kinds = TableKinds(X)
    back = kinds.decode(kinds.encode(X))
    assert back.dtypes.equals(X.dtypes)
    pd.testing.assert_frame_equal(back.fillna({"level": "?"}), X.fillna({"level": "?"}))


def test_each_level_has_an_indicator_and_missing_cells_have_none():
    kinds = TableKinds(shop()[["color"]])
    np.testing.assert_array_equal(
        kinds.encode(shop()[["color"]]),
        [[0, 0, 1], [0, 1, 0], [1, 0, 0], [np.nan] * 3],
    )
    assert kinds.number_names == ["color_blue", "color_green", "color_red"]


def test_two_levels_are_one_number():
    X = pd.DataFrame({"sex": ["f", "m", "f"]})
    kinds = TableKinds(X)
    np.testing.assert_array_equal(kinds.encode(X), [[0], [1], [0]])
    pd.testing.assert_frame_equal(kinds.decode(np.array([[0.2], [0.7], [-1.0]])), X)


def test_levels_that_fit_did_not_see_are_as_missing():
    kinds = TableKinds(pd.DataFrame({"color": COLORS}))
    new = pd.DataFrame({"color": ["violet"]})
    assert np.isnan(kinds.encode(new)).all()


def test_rare_levels_share_an_indicator_and_come_back_as_the_most_frequent():
    colors = ["red"] * 600 + ["blue"] * 600 + ["mauve"] * 2 + ["beige"]
    X = pd.DataFrame({"color": colors})
    kinds = TableKinds(X)
    encoded = kinds.encode(X)
    assert kinds.number_names == ["color_blue", "color_red", "color_rare"]
    assert encoded[-3:].tolist() == [[0, 0, 1]] * 3
    assert kinds.decode(encoded)["color"].iloc[-1] == "mauve"
    assert "2 of them rare" in repr(kinds.columns)


def test_rare_levels_are_drawn_as_often_as_they_were_seen():
    X = counts_of_levels(a=600, b=600, c=3, d=1)
    kinds = TableKinds(X, min_frequency=5)
    drawn = kinds.decode(np.tile([0.0, 0.0, 1.0], (4000, 1)), np.random.RandomState(0))
    shares = drawn["c"].value_counts(normalize=True)
    assert shares["c"] == pytest.approx(0.75, abs=0.03)
    assert shares["d"] == pytest.approx(0.25, abs=0.03)


def counts_of_levels(**counts):
    return pd.DataFrame({"c": [c for c, n in counts.items() for _ in range(n)]})


@pytest.mark.parametrize("min_frequency", [1, 3, 5, 0.02, 0.2, 2000])
def test_rare_levels_are_those_of_one_hot_encoding(min_frequency):
    X = counts_of_levels(a=60, b=30, c=5, d=3, e=1, f=1)
    encoder = OneHotEncoder(min_frequency=min_frequency).fit(X)
    (kind,) = TableKinds(X, min_frequency=min_frequency).kinds
    infrequent = encoder.infrequent_categories_[0]
    assert {*kind.rare} == ({*infrequent} if infrequent is not None else set())


def test_a_lone_rare_level_keeps_its_indicator():
    (kind,) = TableKinds(counts_of_levels(a=9, b=9, c=1), min_frequency=2).kinds
    assert kind.levels == ("a", "b", "c")


def test_all_levels_are_kept_where_none_is_rare():
    X = pd.DataFrame({"c": [f"level {i % 80}" for i in range(800)]})
    assert "30 of them rare" in repr(TableKinds(X).columns)
    assert TableKinds(X, min_frequency=1).n_numbers == 80


def test_notebooks_show_columns_as_a_table():
    X = pd.DataFrame({"<size>": [1.0, 2.0], "sold": [True, False]})
    html = TableKinds(X).columns._repr_html_()
    assert "<td>&lt;size&gt;</td><td>numbers</td>" in html
    assert "<td>sold</td><td>truth values</td>" in html


@pytest.mark.parametrize("value", [5, 0.5, -1])
def test_truth_values_are_no_other_numbers(value):
    kinds = TableKinds(pd.DataFrame({"sold": [True, False]}))
    new = pd.DataFrame({"sold": [1, 0, value]})
    with pytest.raises(ValueError, match=f"'sold' holds {value} in row 2; .* truth"):
        kinds.encode(new)


def test_levels_that_are_numbers_are_no_text():
    kinds = TableKinds(pd.DataFrame({"n": [1, 2, 1]}), categorical_features=["n"])
    with pytest.raises(ValueError, match="'n' holds text; in fit it held whole"):
        kinds.encode(pd.DataFrame({"n": ["1", "2"]}))


def test_ordered_levels_keep_their_order():
    sizes = pd.Categorical(["S", "L", "M"], ["S", "M", "L"], ordered=True)
    kinds = TableKinds(pd.DataFrame({"size": sizes}))
    assert kinds.number_names == ["size_S", "size_M", "size_L"]


def test_levels_are_drawn_by_their_shares():
    X = pd.DataFrame({"color": COLORS, "sold": [True, False, True]})
    kinds = TableKinds(X)
    shares = np.tile([0.1, 0.2, 0.7, 0.25], (4000, 1))  # blue, green, red; sold
    drawn = kinds.decode(shares, np.random.RandomState(0))
    found = drawn["color"].value_counts(normalize=True)
    np.testing.assert_allclose(
        found[["blue", "green", "red"]], shares[0, :3], atol=0.03
    )
    assert drawn["sold"].mean() == pytest.approx(0.25, abs=0.03)


def test_fill_changes_missing_cells_alone():
    X = shop()
    kinds = TableKinds(X)
    numbers = np.nan_to_num(kinds.encode(X), nan=0.9)
    filled = kinds.fill(X, numbers)
    known = X.notna()
    pd.testing.assert_frame_equal(filled.where(known), X)
    assert filled.notna().all(axis=None)
    assert filled.dtypes.equals(X.dtypes)
    assert filled["price"][2] == 0.9


def test_fill_keeps_what_a_double_would_not_hold():
    X = pd.DataFrame(
        {
            "id": pd.array([2**60 + 1, None, 2**60 + 3], dtype="Int64"),
            "at": pd.Series(
                [pd.Timestamp("2020-01-01T00:00:00.123456789"), pd.NaT, pd.NaT],
                dtype="datetime64[ns]",
            ),
        }
    )
    for table in (X, pl.from_pandas(X), pl.from_pandas(X).to_arrow()):
        kinds = TableKinds(table)
        numbers = np.nan_to_num(kinds.encode(table), nan=1e9)
        filled = pl.DataFrame(kinds.fill(table, numbers))
        assert filled["id"].to_list()[::2] == [2**60 + 1, 2**60 + 3]
        assert filled["at"].dt.nanosecond()[0] == 123456789
        assert not filled.null_count().sum_horizontal().item()


def test_fill_keeps_cells_of_a_wider_type_than_in_fit():
    kinds = TableKinds(pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"]}))
    new = pd.DataFrame({"a": [1.75, np.nan], "b": ["x", None]})
    for table in (new, new.astype(object).to_numpy()):
        filled = kinds.fill(table, np.array([[0.0, 0.0], [2.6, 1.0]]))
        assert np.asarray(filled).tolist() == [[1.75, "x"], [3, "y"]]


def test_decimals_among_objects_come_back_as_decimals():
    X = np.array([[Decimal("1.25"), "a"], [2, "b"], [Decimal("-3"), "a"]], dtype=object)
    kinds = TableKinds(X)
    back = kinds.decode(kinds.encode(X))
    assert back.tolist() == X.tolist()
    assert isinstance(back[0, 0], Decimal)
    assert dict(kinds.columns)["column 0"] == "decimal numbers"


def test_column_without_a_known_cell_has_no_numbers_and_comes_back_missing():
    X = pd.DataFrame({"a": [1, 2], "nothing": [None, None]})
    kinds = TableKinds(X)
    assert kinds.encode(X).shape == (2, 1)
    assert kinds.decode(kinds.encode(X))["nothing"].isna().all()
    assert dict(kinds.columns) == {"a": "whole numbers", "nothing": "all missing"}


def test_table_without_a_known_cell_is_refused():
    with pytest.raises(ValueError, match="no cell that is not missing"):
        TableKinds(pd.DataFrame({"a": pd.Series([None, None], dtype=object)}))


def test_text_that_names_rows_is_refused_unless_it_was_asked_for():
    X = pd.DataFrame({"name": [f"row {i}" for i in range(30)], "b": range(30)})
    with pytest.raises(
        ValueError, match="Column 'name' holds 30 different texts in 30"
    ):
        TableKinds(X)
    assert TableKinds(X, ["name"]).n_numbers == 31


@pytest.mark.parametrize("asked", [["b"], [1], [False, True]])
def test_numbers_can_be_categories(asked):
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [10, 20, 30]})
    kinds = TableKinds(X, asked)
    assert kinds.n_numbers == 4
    pd.testing.assert_frame_equal(kinds.decode(kinds.encode(X)), X)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("dtype", 'must be "from_dtype", None, or names'),
        (["c"], "names 'c', and the columns of X are"),
        ([2], "has the index 2, and X has columns 0 to 1"),
        ([True], r"mask of shape \(1,\), and X has 2"),
        (None, r"must be numbers; these are not: \['b'\]"),
    ],
)
def test_wrong_categorical_features_are_refused(asked, says):
    with pytest.raises(ValueError, match=says):
        TableKinds(pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), asked)


def test_new_rows_of_another_kind_are_refused():
    kinds = TableKinds(shop())
    new = shop()
    new["pieces"] = pd.to_datetime("2020-01-01")
    with pytest.raises(ValueError, match=r"'pieces' holds dates.*whole numbers"):
        kinds.encode(new)


def test_infinite_values_are_named_with_their_row():
    X = shop()
    kinds = TableKinds(X)
    X.loc[2, "price"] = np.inf
    with pytest.raises(
        ValueError, match="Column 'price' has an infinite value in row 2"
    ):
        kinds.encode(X)


def test_what_needs_kinds():
    assert needs_kinds(shop())
    assert needs_kinds([[1.0, "a"]])
    assert needs_kinds(np.array([["0", "1"]]))
    assert needs_kinds(np.array([[dt.date(2020, 1, 1)]], dtype=object))
    assert needs_kinds(np.array([[dt.timedelta(days=1)]], dtype=object))
    assert not needs_kinds(np.array([[1.0, None]], dtype=object))
    assert not needs_kinds([[1.0, 2.0]])
    assert not needs_kinds(pd.DataFrame({"a": [1.0]}))


@pytest.mark.parametrize("as_given", [np.asarray, pd.DataFrame])
@pytest.mark.parametrize("fitted", [np.float32, np.float64])
def test_rows_of_another_precision_are_what_they_were_rounded_from(fitted, as_given):
    # Numbers that single precision does not have: many rows share one, and levels.
    X = np.random.RandomState(0).normal(size=(60, 2))
    X[:30, 0], X[:, 1] = 0.1, np.tile([0.1, 0.2, 0.3], 20)
    other = np.float32 if fitted == np.float64 else np.float64
    kinds = TableKinds(as_given(X.astype(fitted)), [1], column_maps="quantile")
    numbers, expected = (kinds.encode(as_given(X.astype(d))) for d in (other, fitted))
    np.testing.assert_array_equal(numbers[:30, 0], expected[:30, 0])
    np.testing.assert_array_equal(numbers[:, 1:], expected[:, 1:])
    assert not np.isnan(expected).any()


def test_levels_beyond_single_precision_are_none_of_its_rows():
    kinds = TableKinds(np.array([[1e300, 1.0], [2.0, 3.0], [3.0, 0.0]] * 4), [0])
    numbers = kinds.encode(np.array([[2.0, 1.0]], dtype=np.float32))
    assert numbers.tolist() == [[1.0, 0.0, 0.0, 1.0]]
    kinds = TableKinds(np.array([[1.0, 1.0], [2.0, 3.0]] * 4, dtype=np.float32), [0])
    assert np.isnan(kinds.encode(np.array([[1e300, 1.0]]))[0, 0])


def test_a_column_of_words_may_be_missing_in_single_precision():
    kinds = TableKinds(pd.DataFrame({"a": ["x", "y", "z"] * 4, "b": range(12)}))
    nothing = np.full(2, np.nan, dtype=np.float32)
    numbers = kinds.encode(pd.DataFrame({"a": nothing, "b": [1, 2]}))
    assert np.isnan(numbers[:, :3]).all()


MOMENTS = [dt.datetime(2020, 1, day, 13, 5) for day in (1, 2, 4)]


def frame_of(cells):
    return pd.DataFrame({"moment": cells})


def array_of(cells):
    return np.array([[cell, 1] for cell in cells], dtype=object)


@pytest.mark.parametrize("as_given", [frame_of, array_of])
def test_times_must_have_a_time_zone_where_those_of_fit_had_one(as_given):
    naive = as_given(MOMENTS)
    zoned = as_given([moment.replace(tzinfo=dt.UTC) for moment in MOMENTS])
    with pytest.raises(ValueError, match="without a time zone; in fit they had one"):
        TableKinds(zoned).encode(naive)
    with pytest.raises(ValueError, match="with a time zone; in fit they had none"):
        TableKinds(naive).encode(zoned)
    in_berlin = dt.timezone(dt.timedelta(hours=1))
    there = as_given([moment.replace(tzinfo=in_berlin) for moment in MOMENTS])
    hours = (TableKinds(zoned).encode(zoned) - TableKinds(zoned).encode(there)) / 3.6e9
    np.testing.assert_array_equal(hours[:, 0], 1.0)


def test_times_with_a_time_zone_come_back_with_one():
    zoned = array_of([moment.replace(tzinfo=dt.UTC) for moment in MOMENTS])
    kinds = TableKinds(zoned)
    assert kinds.decode(kinds.encode(zoned)).tolist() == zoned.tolist()


def test_a_column_of_objects_comes_back_with_its_time_zone():
    moments = [moment.replace(tzinfo=dt.UTC) for moment in MOMENTS]
    zoned = frame_of(pd.Series(moments, dtype=object))
    kinds = TableKinds(zoned)
    back = kinds.decode(kinds.encode(zoned))
    assert back["moment"].tolist() == moments
    np.testing.assert_array_equal(kinds.encode(back), kinds.encode(zoned))


def test_times_with_and_without_a_time_zone_do_not_mix():
    mixed = array_of([MOMENTS[0], MOMENTS[1].replace(tzinfo=dt.UTC)])
    with pytest.raises(ValueError, match="mixes times with a time zone"):
        TableKinds(mixed)


def test_blocks_of_rows_agree_about_the_time_zone():
    zoned = frame_of([moment.replace(tzinfo=dt.UTC) for moment in MOMENTS])
    parts = [
        [ColumnSummary.of(column, False) for column in columns_of(X)]
        for X in (zoned, frame_of(MOMENTS))
    ]
    with pytest.raises(ValueError, match="without a time zone; before the rest"):
        summaries_together(*parts, "the rest")
