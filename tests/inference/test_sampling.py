"""Rows from a prior, and rows that are like given ones."""

import numpy as np
import pytest

from sklearn_ae._inference.priors import Exemplars, StandardNormal
from sklearn_ae._inference.sampling import Sampler
from sklearn_ae._tables.rows import Table


def decode(Z, y):
    """Two columns: the latent itself, and the condition."""
    y = 0.0 if y is None else np.asarray(y, dtype=float)
    return np.column_stack([Z[:, 0], np.broadcast_to(y, len(Z))])


def add_noise(X, Z, y, random_state):
    return X + random_state.uniform(size=X.shape)


SAMPLER = Sampler(StandardNormal(1), decode)


def test_rows_are_decoded_draws_of_the_prior():
    prior = Exemplars(1, np.array([[5.0]]), np.array([[0.1]]))
    X = Sampler(prior, decode).draw(9, np.random.RandomState(0), y=3.0)
    wanted = prior.sample(9, np.random.RandomState(0))
    np.testing.assert_array_equal(X, np.hstack([wanted, np.full((9, 1), 3.0)]))


def test_noise_follows_the_latents_in_the_same_generator():
    X = Sampler(StandardNormal(1), decode, add_noise).draw(9, np.random.RandomState(0))
    random_state = np.random.RandomState(0)
    wanted = add_noise(SAMPLER.draw(9, random_state), None, None, random_state)
    np.testing.assert_array_equal(X, wanted)


def skewed(n=500):
    rng = np.random.default_rng(0)
    return np.column_stack([rng.poisson(2.0, n), rng.poisson(0.5, n)]).astype(float)


@pytest.mark.parametrize("as_table", [False, True])
def test_rows_like_others_have_their_values(as_table):
    like = skewed()
    given = Table(like, lambda rows: None) if as_table else like
    X = SAMPLER.draw_like(given, 3000, np.random.RandomState(0))
    assert set(X[:, 0]) <= set(like[:, 0])
    assert X[:, 0].mean() == pytest.approx(like[:, 0].mean(), rel=0.1)
    # The order is that of the latents.
    plain = SAMPLER.draw(3000, np.random.RandomState(0))
    assert np.all(np.diff(X[np.argsort(plain[:, 0]), 0]) >= 0)


def test_rows_are_ranked_among_rows_with_the_same_conditions():
    # All conditions are taken as often as they were given: ranks are even.
    y = np.arange(200) % 4
    like = np.column_stack([np.zeros(400), np.arange(400.0)])
    X = SAMPLER.draw_like(like, 200, np.random.RandomState(0), y=y, y_is_of_all=False)
    means = [X[y == condition, 1].mean() for condition in range(4)]
    np.testing.assert_allclose(means, [50, 150, 250, 350], atol=25)


def test_ranks_do_not_depend_on_the_seed_of_the_rows():
    drawn = []

    class Spy(StandardNormal):
        def sample(self, n_samples, random_state):
            drawn.append(super().sample(n_samples, random_state))
            return drawn[-1]

    for seed in (1, 2):
        sampler = Sampler(Spy(1), decode)
        sampler.draw_like(skewed(), 5, np.random.RandomState(seed))
    rows, reference, other_rows, same_reference = drawn
    assert np.all(rows != other_rows)
    np.testing.assert_array_equal(reference, same_reference)


def test_ranks_do_not_depend_on_the_number_of_rows():
    like = skewed()
    few = [SAMPLER.draw_like(like, 1, np.random.RandomState(s))[0] for s in range(200)]
    many = SAMPLER.draw_like(like, 4000, np.random.RandomState(0))
    np.testing.assert_allclose(np.mean(few, axis=0)[0], many[:, 0].mean(), rtol=0.2)
