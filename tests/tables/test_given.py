"""What new rows may be asked to hold of levels that were learned together."""

import numpy as np
import pandas as pd
import pytest

from sklearn_ae._tables.given import in_words, read_given
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
    assert in_words(texts | {"since": "2026-01-02.."}, kinds) == {
        "city": ["Rome", "Oslo"],
        "old": [True],
        "grade": [1.0],
        "age": (30.0, 40.0),
        "since": ("2026-01-02", None),
    }
    assert in_words({"city": "St, Ives", "age": "31"}, kinds) == {
        "city": ["St, Ives"],
        "age": 31.0,
    }
