"""Rows of which some cells are given: weights, draws, and what is impossible."""

import numpy as np
import pytest
from scipy.stats import kstest, norm, truncnorm

from sklearn_ae._inference.conditioning import GivenSampler, draw_within
from sklearn_ae._tables.given import GivenScores, GivenShares

NOISE = np.array([0.5, 1.0, 0.0, 0.0])


def latent_rows(noise, seed=0):
    """Rows of a number z with noise .5, a copy of z, and shares of two levels."""
    rng = np.random.RandomState(seed)

    def draw(n):
        z = rng.normal(size=n)
        p = norm.cdf(2.0 * z)
        X = np.column_stack([z, z, 1.0 - p, p])
        return X, np.broadcast_to(noise, X.shape)

    return draw


def sample(given, n=4000, noise=NOISE):
    sampler = GivenSampler(latent_rows(noise), given)
    return sampler.sample(n, np.random.RandomState(0))


@pytest.mark.parametrize(("lower", "upper"), [(-0.5, 1.0), (6.0, 7.0), (-np.inf, -2.0)])
def test_draws_within_bounds_are_those_of_a_truncated_normal(lower, upper):
    drawn = draw_within(np.full(4000, 0.3), 0.8, lower, upper, np.random.RandomState(0))
    assert ((drawn >= lower) & (drawn <= upper)).all()
    known = truncnorm((lower - 0.3) / 0.8, (upper - 0.3) / 0.8, 0.3, 0.8)
    assert kstest(drawn, known.cdf).pvalue > 1e-3


def test_bounds_beyond_the_digits_of_probabilities_hold():
    drawn = draw_within(np.zeros(5), 0.01, 1.0, 2.0, np.random.RandomState(0))
    assert ((drawn >= 1.0) & (drawn <= 2.0)).all()


def test_latents_have_the_posterior_of_one_value():
    drawn = sample([GivenScores(0, 1.0, 1.0)], noise=np.array([0.5, 1e-9, 0.0, 0.0]))
    # N(0, 1) times N(1; z, .25): the copy of the latent is N(.8, .2).
    assert (drawn[:, 0] == 1.0).all()
    assert drawn[:, 1].mean() == pytest.approx(0.8, abs=0.03)
    assert drawn[:, 1].var() == pytest.approx(0.2, abs=0.02)


def test_rows_of_a_range_are_those_that_rejection_leaves():
    drawn = sample([GivenScores(0, 0.5, 1.5)], noise=np.array([0.5, 1e-9, 0.0, 0.0]))
    z = latent_rows(0.0, seed=1)(100_000)[0][:, 0]
    x = z + 0.5 * np.random.RandomState(2).normal(size=len(z))
    kept = z[(x > 0.5) & (x < 1.5)]
    assert drawn[:, 1].mean() == pytest.approx(kept.mean(), abs=0.03)
    assert drawn[:, 1].std() == pytest.approx(kept.std(), abs=0.03)


def test_a_level_is_certain_and_moves_the_others():
    drawn = sample([GivenShares(slice(2, 4), np.array([False, True]))])
    np.testing.assert_array_equal(drawn[:, 2:], [[0.0, 1.0]] * len(drawn))
    assert drawn[:, 0].mean() > 0.5


def test_what_has_no_probability_is_an_error():
    with pytest.raises(ValueError, match="gives such rows no probability"):
        sample([GivenShares(slice(2, 4), np.array([False, False]))], n=5)
    with pytest.raises(ValueError, match="gives such rows no probability"):
        sample([GivenScores(0, 30.0, 31.0)], n=5)
