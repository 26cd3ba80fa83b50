"""Maps of columns to scores: rising, with an inverse, a slope and atoms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from sklearn_ae._tables.column_maps import ColumnMap


def columns():
    """Columns of many shapes: tails, spikes, few values, large and small units."""
    return st.builds(
        _column,
        st.integers(0, 2**16),
        st.sampled_from(["normal", "tails", "spike", "whole", "modes", "same", "two"]),
        st.sampled_from([1e-30, 1.0, 1e12, 1e300]),
        st.integers(1, 400),
    )


def _column(seed, shape, unit, n):
    rng = np.random.RandomState(seed)
    z = rng.normal(size=n)
    values = {
        "normal": z,
        "tails": np.exp(3.0 * z),
        "spike": np.where(rng.uniform(size=n) < 0.4, 0.0, np.exp(z)),
        "whole": rng.poisson(4, n).astype(float),
        "modes": z + 10.0 * (rng.uniform(size=n) < 0.5),
        "same": np.full(n, 2.0),
        "two": np.where(z > 0, 1.0, -1.0),
    }[shape]
    return values * unit / max(1.0, np.abs(values).max())


def points(column, n=300):
    """Values within the range of a column, and its own."""
    between = np.linspace(0.0, 1.0, n)
    inside = column.min() * (1.0 - between) + column.max() * between
    return np.unique(np.concatenate([column, inside]))


@settings(max_examples=60, deadline=None)
@given(columns())
def test_values_come_back_within_a_millionth_of_the_range(column):
    known = ColumnMap.of(column)
    values = points(column)
    back = known.decode(known.encode(values))
    size = np.ptp(column) or np.abs(column).max()
    np.testing.assert_allclose(back / size, values / size, rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(columns())
def test_larger_values_have_larger_scores(column):
    known = ColumnMap.of(column)
    scores = known.encode(points(column))
    assert np.isfinite(scores).all()
    assert (np.diff(scores) >= -1e-12).all()


@settings(max_examples=60, deadline=None)
@given(columns())
def test_scores_come_back_where_they_are_of_no_atom(column):
    known = ColumnMap.of(column)
    scores = np.linspace(-5.0, 5.0, 301)
    back = known.encode(known.decode(scores))
    on_atom = (
        (scores[:, None] >= known.lower - 1e-9)
        & (scores[:, None] <= known.upper + 1e-9)
    ).any(axis=1)
    step = known.log_slopes.max()  # a rounded value may be a step of scores
    error = 1e-6 + 1e-12 * np.abs(column).max() * np.exp(min(step, 600.0))
    assert (np.abs(back - scores)[~on_atom] <= error).all()


@settings(max_examples=60, deadline=None)
@given(columns())
def test_all_scores_within_an_atom_are_its_value_exactly(column):
    known = ColumnMap.of(column)
    for value, lower, upper in zip(
        known.values[known.is_atom],
        known.lower[known.is_atom],
        known.upper[known.is_atom],
        strict=True,
    ):
        inside = lower + (upper - lower) * np.array([0.01, 0.5, 0.99])
        np.testing.assert_array_equal(known.decode(inside), value)


def test_slope_is_that_of_finite_differences():
    rng = np.random.RandomState(0)
    known = ColumnMap.of(np.exp(rng.normal(size=500)))
    values = np.linspace(-3.0, 60.0, 400)
    step = 1e-7
    low, high = known.encode(values - step), known.encode(values + step)
    at = known.log_slope(known.encode(values))
    # Where both ends lie in one piece.
    is_one = np.isclose(known.log_slope(low), known.log_slope(high), atol=1e-5)
    assert is_one.mean() > 0.9
    np.testing.assert_allclose(
        np.exp(at)[is_one], ((high - low) / (2 * step))[is_one], rtol=1e-4
    )


def test_a_spike_has_the_probability_of_its_rows():
    column = np.concatenate([np.zeros(30), np.linspace(1.0, 2.0, 70)])
    known = ColumnMap.of(column)
    at = known.values == 0.0
    mass = norm.cdf(known.upper[at]) - norm.cdf(known.lower[at])
    assert mass == pytest.approx([0.3], abs=0.01)


def test_scores_of_a_skewed_column_are_about_standard_normal():
    rng = np.random.RandomState(1)
    scores = ColumnMap.of(np.exp(2.0 * rng.normal(size=2000)))
    scores = scores.encode(np.exp(2.0 * rng.normal(size=2000)))
    assert abs(scores.mean()) < 0.1
    assert scores.std() == pytest.approx(1.0, abs=0.1)


def test_missing_values_stay_missing():
    known = ColumnMap.of(np.array([1.0, np.nan, 2.0, 3.0]))
    assert np.isnan(known.encode(np.array([np.nan, 2.0]))).tolist() == [True, False]
    assert np.isnan(known.decode(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    ("values", "step"),
    [([1.0, 2.0, 30.0], 1.0), ([5.0, 25.0, 35.0], 10.0), ([0.25, 1.5], 1.25)]
    + [([1 / 3, 1.0], 0.0), ([1e300, 2e300], 0.0), ([7.0], 1.0)],
)
def test_rounded_values_are_as_far_apart_as_those_seen(values, step):
    known = ColumnMap.of(np.array(values))
    assert known.step == pytest.approx(step)
    near = np.array(values) * (1.0 + 1e-9)
    np.testing.assert_allclose(known.rounded(near), values if step else near)


def test_what_is_drawn_is_never_between_values_with_none_between_them():
    column = np.repeat([0.0, 1.5, 4.0], 30)
    known = ColumnMap.of(column)
    scores = np.concatenate([np.linspace(-6, 6, 2001), known.edges, known.edges + 1e-9])
    assert set(known.decode(scores, only_seen=True)) == {0.0, 1.5, 4.0}
    assert known.decode(known.encode(np.array([2.0])), only_seen=False)[
        0
    ] == pytest.approx(2.0)


def test_interval_of_a_range_has_the_atoms_at_its_ends():
    known = ColumnMap.of(np.repeat(np.arange(5.0), 20))
    lower, upper = known.interval(1.0, 3.0)
    assert norm.cdf(upper) - norm.cdf(lower) == pytest.approx(0.6, abs=0.02)
    assert known.interval(-np.inf, np.inf) == (-np.inf, np.inf)


def test_scores_between_atoms_are_not_those_of_values_beyond():
    found = ColumnMap.of(np.repeat([1.0, 2.0, 7.0], 20))
    lower, upper = found.seen(*found.interval(3.0, np.inf))
    scores = np.linspace(lower, min(upper, 6.0), 50)
    assert set(found.decode(scores, only_seen=True)) == {7.0}
    nothing = found.seen(*found.interval(3.0, 6.0))
    assert nothing[0] > nothing[1]


@pytest.mark.parametrize("fitted", [np.float32, np.float64])
def test_values_of_another_precision_are_at_the_atoms_that_they_were_rounded_from(
    fitted,
):
    column = _column(0, "normal", 1.0, 200)
    column[:60], column[60:90] = 0.1, -0.7  # of which single precision has none
    other = np.float32 if fitted == np.float64 else np.float64
    seen, given_rows = (column.astype(d).astype(np.float64) for d in (fitted, other))
    known = ColumnMap.of(seen, is_single=fitted == np.float32)
    scores = known.encode(given_rows, is_single=other == np.float32)
    expected = known.encode(seen, is_single=fitted == np.float32)
    assert (scores[:90] == expected[:90]).all()
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert known.interval(0.1, np.inf)[0] == known.interval(float(seen[0]), np.inf)[0]
