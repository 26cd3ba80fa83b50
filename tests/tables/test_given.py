"""What new rows may be asked to hold of levels that were learned together."""

import numpy as np
import pandas as pd
import pytest

from sklearn_ae._tables.given import from_words, read_given
from sklearn_ae._tables.table_kinds import TableKinds

KINDS = TableKinds(
    pd.DataFrame({"c": list("aaaabbbbcdefg")}), column_maps="quantile", min_frequency=2
)


def test_a_rare_level_is_not_to_be_had_by_itself():
    expected = r"'c' of column 'c' is so rare .*\('d', 'e', 'f' and more\).*min_freq"
    with pytest.raises(ValueError, match=expected):
        read_given({"c": "c"}, KINDS)


def test_all_rare_levels_are_to_be_had_together():
    (part,) = read_given({"c": ["a", *"cdefg"]}, KINDS)
    np.testing.assert_array_equal(part.is_allowed, [True, False, True])


def test_times_have_a_zone_where_those_of_fit_had_one():
    zoned = pd.date_range("2026-01-01", periods=9, tz="Europe/Zurich")
    kinds = TableKinds(pd.DataFrame({"t": zoned}), column_maps="quantile")
    for naive in ("2026-01-03", zoned[2].tz_localize(None), zoned[2].date()):
        with pytest.raises(ValueError, match="times of column 't' have a time zone"):
            read_given({"t": (naive, None)}, kinds)
    expected = read_given({"t": (zoned[2], None)}, kinds)
    assert read_given({"t": ("2026-01-03T00:00+01:00", pd.NaT)}, kinds) == expected


def test_times_have_no_zone_where_those_of_fit_had_none():
    naive = pd.date_range("2026-01-01", periods=9)
    kinds = TableKinds(pd.DataFrame({"t": naive}), column_maps="quantile")
    with pytest.raises(ValueError, match=r"'t' have no time zone; got .*take its zone"):
        read_given({"t": ("2026-01-03T00:00+01:00", None)}, kinds)


def test_words_are_levels_ranges_or_values():
    frame = pd.DataFrame(
        {
            "city": ["Rome", "Oslo", "St, Ives"],
            "old": [True, False, True],
            "grade": [1.0, 2.5, 2.5],
            "age": [31, 42, 28],
            "since": pd.date_range("2026-01-01", periods=3),
        }
    )
    kinds = TableKinds(
        frame, categorical_features=["city", "grade"], column_maps="quantile"
    )
    texts = {"city": "Rome,Oslo", "old": "true", "grade": "1", "age": "30..40"}
    assert from_words(texts | {"since": "2026-01-02.."}, kinds) == {
        "city": ["Rome", "Oslo"],
        "old": [True],
        "grade": [1.0],
        "age": (30.0, 40.0),
        "since": ("2026-01-02", None),
    }
    assert from_words({"city": "St, Ives", "age": "31"}, kinds) == {
        "city": ["St, Ives"],
        "age": 31.0,
    }


def test_truth_values_are_levels_in_words_whatever_their_case():
    frame = pd.DataFrame({"old": [True, False, True], "sold": [True, False, False]})
    kinds = TableKinds(frame, categorical_features=["sold"], column_maps="quantile")
    given = from_words({"old": "true,False", "sold": "TRUE"}, kinds)
    assert given == {"old": [True, False], "sold": [True]}
    old, sold = read_given(given, kinds)
    np.testing.assert_array_equal(old.is_allowed, [True, True])
    np.testing.assert_array_equal(sold.is_allowed, [False, True])


def test_long_whole_levels_need_no_point():
    frame = pd.DataFrame({"code": [1234567.0, 1234568.0, 1234568.0]})
    kinds = TableKinds(frame, categorical_features=["code"], column_maps="quantile")
    assert from_words({"code": "1234568"}, kinds) == {"code": [1234568.0]}


def test_times_in_words_may_be_digits_alone():
    naive = pd.date_range("2026-01-01", periods=9)
    kinds = TableKinds(pd.DataFrame({"t": naive}), column_maps="quantile")
    given = from_words({"t": "20260103.."}, kinds)
    assert read_given(given, kinds) == read_given({"t": (naive[2], None)}, kinds)
