"""Patterns of missing cells: read, encoded, drawn."""

import numpy as np

from sklearn_ae._tables.containers import RawColumn
from sklearn_ae._tables.patterns import MissingPatterns


def two_columns(n=100, n_missing=20):
    number = np.arange(n, dtype=float)
    text = np.array(["a"] * n, dtype=object)
    number[:n_missing], text[:n_missing] = np.nan, None  # together
    return [RawColumn("number", "float", number), RawColumn("text", "text", text)]


def test_cells_that_are_missing_together_are_one_pattern():
    patterns = MissingPatterns.of(two_columns())
    assert patterns.patterns.tolist() == [[False, False], [True, True]]


def test_where_all_rows_are_whole_there_are_none():
    assert MissingPatterns.of(two_columns(n_missing=0)) is None


def test_indicators_say_the_pattern_and_nothing_of_one_that_was_not_seen():
    patterns = MissingPatterns.of(two_columns())
    number, text = two_columns(n=3, n_missing=1)
    number.values[2] = np.nan
    expected = [[0.0, 1.0], [1.0, 0.0], [np.nan, np.nan]]
    np.testing.assert_array_equal(patterns.encode([number, text]), expected)


def test_patterns_are_drawn_by_their_shares():
    patterns = MissingPatterns.of(two_columns())
    whole = two_columns(n=1000, n_missing=0)
    shares = np.tile([0.7, 0.3], (1000, 1))
    number, text = patterns.blank(whole, shares, np.random.RandomState(0))
    assert abs(number.is_missing.mean() - 0.3) < 0.05
    np.testing.assert_array_equal(number.is_missing, text.is_missing)
    assert not whole[0].is_missing.any()  # as it was
