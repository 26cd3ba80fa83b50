"""Noise for draws, scores and bounds from its parts, and draws for a fit's rows."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from small_networks import D, K, log_prob, network, rows

from sklearn_ae._inference import posterior
from sklearn_ae._inference.inference import Encoded, Refined
from sklearn_ae._inference.posterior import (
    Draws,
    bound_and_kl,
    draw_latents,
    log_density,
    training_draws,
    training_moments,
)
from sklearn_ae._inference.priors import StandardNormal
from sklearn_ae._networks.losses import SquaredError
from sklearn_ae._networks.variational import VariationalAutoencoder, kl_per_latent


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def module():
    return VariationalAutoencoder(
        network(D, 2 * K),
        network(K, D),
        SquaredError(),
        center=torch.arange(float(D)),
        scale=torch.tensor(2.0),
    ).double()


# Draws --------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [8, 16, 100])
def test_noise_does_not_depend_on_the_draws_taken_at_once(monkeypatch, at_once):
    # torch makes normal numbers 16 by 16: 8 draws of two latents.
    draws = Draws(32, K, seed=3, width=5)
    whole = torch.cat([eps for eps, _ in draws])
    monkeypatch.setattr(posterior, "_DRAWS_AT_ONCE", at_once)
    parts = [eps for eps, _ in draws]
    assert len(parts[0]) == min(at_once, 32)
    assert torch.equal(torch.cat(parts), whole)
    assert whole.shape == (32, 1, K)


@pytest.mark.parametrize("width", [1, 30, 5000])
def test_blocks_of_rows_and_draws_hold_few_numbers(monkeypatch, width):
    monkeypatch.setattr(posterior, "_BLOCK_SIZE", 3000)
    for eps, n_rows in Draws(200, K, seed=0, width=width):
        assert n_rows >= 1
        # One row and one draw are taken however wide they are.
        assert len(eps) * n_rows * width <= max(3000, width)


def test_draws_of_latents_have_the_moments_given():
    mean, std = np.array([[1.0, -2.0]]), np.array([[0.5, 3.0]])
    factor = np.array([[[0.3, 0.4], [0.0, 3.0]]])
    Z = draw_latents(mean, factor, 20_000, np.random.RandomState(0))
    assert Z.shape == (20_000, 1, 2)
    # 6 standard errors of 20,000 draws.
    assert (abs(Z.mean(axis=0) - mean) / std).max() < 6 / np.sqrt(20_000)
    np.testing.assert_allclose(Z.std(axis=0), std, rtol=0.03)
    covariance = np.cov(Z[:, 0].T)
    np.testing.assert_allclose(covariance, factor[0] @ factor[0].T, atol=0.3)


def test_draws_of_latents_keep_the_dtype():
    mean, factor = (np.ones(shape, dtype=np.float32) for shape in [(3, K), (3, K, K)])
    Z = draw_latents(mean, factor, 4, np.random.RandomState(0))
    assert Z.dtype == np.float32


# Scores and bounds --------------------------------------------------------------------


def test_density_of_parts_is_that_of_all_draws(module, monkeypatch):
    monkeypatch.setattr(posterior, "_DRAWS_AT_ONCE", 3)
    X = rows()
    draws = Draws(10, K, seed=0, width=D)
    eps = torch.cat([eps for eps, _ in draws])
    x = module.standardize(X)
    with torch.no_grad():
        of_each = torch.stack([log_prob(module, x, e[None]) for e in eps])
        scores = log_density(module, X, Encoded(), draws, StandardNormal(K))
    wanted = logsumexp(of_each.numpy(), axis=0) - np.log(10)
    wanted = wanted + module.log_volume.item()
    np.testing.assert_allclose(scores, wanted, rtol=1e-12)


def test_parts_of_the_bound_are_means_over_all_draws(module, monkeypatch):
    monkeypatch.setattr(posterior, "_DRAWS_AT_ONCE", 3)
    X = rows()
    draws = Draws(10, K, seed=0, width=D)
    eps = torch.cat([eps for eps, _ in draws])
    with torch.no_grad():
        parts = bound_and_kl(module, X, Encoded(), draws)
        posterior_of_rows = Encoded().posterior(module, module.standardize(X))
        z = posterior_of_rows.draw(eps)
        likelihood = module.log_likelihood(z, module.standardize(X)).mean(dim=0)
        kl = kl_per_latent(*module.posterior(module.standardize(X)))
    wanted = likelihood + module.log_volume
    np.testing.assert_allclose(parts[:, 0], wanted, rtol=1e-12)
    np.testing.assert_allclose(parts[:, 1:], kl, rtol=1e-12)


# Rows of a fit ------------------------------------------------------------------------


def test_training_draws_are_of_as_many_rows_as_were_asked_for(module):
    x = rows(50)

    def draw(n_rows):
        generator = torch.Generator().manual_seed(0)
        state = np.random.RandomState(0)
        return training_draws(module, x, n_rows, state, generator, Encoded())

    assert draw(20).shape == (20, K)
    with torch.no_grad():
        wanted = module.draw_posterior(x, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(draw(100), wanted)


def test_training_moments_are_those_of_some_rows(module):
    x = rows(50)
    mean, std = training_moments(
        module, x, 20, np.random.RandomState(0), torch.Generator(), Encoded()
    )
    with torch.no_grad():
        q = Encoded().posterior(module, x)
        of_all = torch.cat([q.mean, q.std], dim=1).numpy()
    kept = np.hstack([mean, std])
    assert kept.shape == (20, 2 * K)
    gaps = abs(kept[:, None] - of_all).max(axis=2).min(axis=1)
    np.testing.assert_allclose(gaps, 0.0, atol=1e-9)


@pytest.mark.parametrize("n_rows", [20, 50])
def test_rows_whose_latents_are_known_have_the_same_draws_and_moments(module, n_rows):
    x, refined = rows(50), Refined(K)
    z = refined.latents(module, x)

    def results(*known):
        draws = training_draws(
            *(module, x, n_rows, np.random.RandomState(0)),
            *(torch.Generator().manual_seed(0), refined, *known),
        )
        moments = training_moments(
            *(module, x, n_rows, np.random.RandomState(0), torch.Generator()),
            *(refined, *known),
        )
        return np.hstack([draws, *moments])

    np.testing.assert_allclose(results(z), results(), rtol=1e-9)
    assert not np.allclose(results(z + 1.0), results())
