"""Columns of drawn rows that follow those of given rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ks_2samp, spearmanr

from sklearn_ae._inference.marginals import match_columns


def match(X, reference, like, seed=0):
    return match_columns(X, reference, like, np.random.RandomState(seed))


@pytest.fixture
def draws():
    """Two sets of correlated Gaussian rows: some to change, others to rank them."""
    rng = np.random.default_rng(0)
    rows = rng.multivariate_normal([3.0, -1.0], [[4.0, 1.5], [1.5, 1.0]], 14_000)
    return rows[:4000], rows[4000:]


def test_columns_follow_those_of_the_given_rows(draws):
    rng = np.random.default_rng(1)
    like = np.column_stack([rng.lognormal(size=5000), rng.uniform(size=5000)])
    result = match(*draws, like)
    for column, wanted in zip(result.T, like.T, strict=True):
        assert ks_2samp(column, wanted).statistic < 0.03


def test_values_of_a_grid_have_their_shares_and_nothing_is_between(draws):
    like = np.random.default_rng(1).choice(
        [0.0, 1.0, 7.0], (3000, 2), p=[0.6, 0.3, 0.1]
    )
    result = match(*draws, like)
    for column, wanted in zip(result.T, like.T, strict=True):
        values, counts = np.unique(column, return_counts=True)
        assert_array_equal(values, [0.0, 1.0, 7.0])
        shares = np.unique(wanted, return_counts=True)[1] / len(wanted)
        assert_allclose(counts / len(column), shares, atol=0.025)


def test_whole_numbers_stay_whole_where_they_hardly_repeat(draws):
    like = np.random.default_rng(1).permutation(5000)[:400].reshape(200, 2) * 1.0
    result = match(*draws, like)
    assert_array_equal(result, result.round())
    for column, wanted in zip(result.T, like.T, strict=True):
        assert ks_2samp(column, wanted).statistic < 0.08
        assert set(column) > set(wanted) & set(column)  # and values between


def test_equal_draws_are_spread_over_their_ranks():
    X = np.zeros((2000, 1))
    reference = np.repeat([0.0, 1.0], 500)[:, None]
    like = np.linspace(0.0, 10.0, 101)[:, None]
    result = match(X, reference, like)
    assert ks_2samp(result[:, 0], np.linspace(0.0, 5.0, 2000)).statistic < 0.05


def test_columns_go_together_as_before(draws):
    like = np.exp(draws[1][:, ::-1])
    before, after = spearmanr(draws[0])[0], spearmanr(match(*draws, like))[0]
    assert after == pytest.approx(before, abs=0.002)


def test_columns_that_are_right_already_hardly_move(draws):
    X, reference = draws
    inner = np.abs(X - X.mean(axis=0)) < 2 * X.std(axis=0)
    moved = np.abs(match(X, reference, reference) - X)
    assert moved[inner].max() < 0.02 * X.std()


numbers = st.floats(-1e6, 1e6, width=32)
tables = st.integers(1, 30).flatmap(
    lambda n: arrays(np.float64, (n, 1), elements=numbers)
)


@settings(deadline=None)
@given(tables, tables, tables)
def test_order_and_range_are_kept(X, reference, like):
    result = match(X, reference, like)[:, 0]
    assert like.min() <= result.min()
    assert result.max() <= like.max()
    # Where a value of the reference lies between two, they cannot change places.
    for value in reference[:, 0]:
        below, above = result[X[:, 0] < value], result[X[:, 0] > value]
        if len(below) and len(above):
            assert below.max() <= above.min()


def test_inputs_stay_as_they_are(draws):
    like = draws[1][:50].copy()
    before = [part.copy() for part in (*draws, like)]
    match(*draws, like)
    for part, was in zip((*draws, like), before, strict=True):
        assert_array_equal(part, was)
