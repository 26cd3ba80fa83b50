"""Which density of latents rows held out prefer, and what is learned of it."""

import contextlib

import numpy as np
import pytest
import torch
from scipy.stats import norm

from sklearn_ae._inference.latents import LatentDensity
from sklearn_ae._inference.priors import AggregatedPosterior
from sklearn_ae._training import latent_density
from sklearn_ae._training.latent_density import autoregressive_where_better

K, WIDTH = 6, 0.3


def of_sides(n, seed=0):
    """Latents that are each on one of two sides, which takes a mixture 2^K normals.

    Beside them is one that says nothing.
    """
    rng = np.random.default_rng(seed)
    sides = rng.choice([-1.0, 1.0], (n, K + 1))
    sides[:, K] = 0.0
    return sides + np.where(sides, WIDTH, 1.0) * rng.normal(size=sides.shape)


def log_density_of_sides(Z):
    parts = [norm.pdf(Z[:, :K], side, WIDTH) for side in (-1.0, 1.0)]
    return np.log(np.mean(parts, axis=0)).sum(axis=1) + norm.logpdf(Z[:, K])


def learned(Z, axes=range(K)):
    known, axes = LatentDensity(Z), np.array(axes, dtype=int)
    known.fit_mixture(Z, np.random.RandomState(0), axes=axes)
    mixture, std = AggregatedPosterior(known), np.zeros_like(Z)
    return mixture, autoregressive_where_better(mixture, Z, std, axes, seed=0)


def learned_beside_a_bad_mixture(Z):
    mixture = AggregatedPosterior(LatentDensity(Z + 100.0))
    std, axes = np.zeros_like(Z), np.arange(K)
    return autoregressive_where_better(mixture, Z, std, axes, seed=0)


@contextlib.contextmanager
def double_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module", autouse=True)
def few_rows_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_density, "_LEAST_ROWS", 600)
        yield


@pytest.fixture(scope="module")
def densities():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_density, "_N_EPOCHS", 30)
        return learned(of_sides(1000))


def test_is_closer_to_the_density_than_the_mixture(densities):
    Z = of_sides(1000, seed=1)
    of_mixture, of_network = (
        prior.log_prob(torch.from_numpy(Z)).mean().item() for prior in densities
    )
    known = log_density_of_sides(Z).mean()
    assert of_mixture < of_network
    assert known - 0.7 < of_network < known


def test_draws_lie_where_the_latents_do(densities):
    Z = densities[1].sample(2000, np.random.RandomState(0))
    off = np.abs(np.abs(Z[:, :K]) - 1.0)
    assert np.median(off, axis=0) == pytest.approx(norm.ppf(0.75, scale=WIDTH), abs=0.1)


def test_latents_that_say_nothing_are_standard_normal(densities):
    Z = densities[1].sample(4000, np.random.RandomState(0))
    assert Z[:, K].std() == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.corrcoef(Z.T)[K, :K]).max() < 0.05


def test_a_mixture_that_is_better_stays(monkeypatch):
    monkeypatch.setattr(latent_density, "_N_EPOCHS", 1)
    z = np.random.RandomState(0).normal(size=(600, 1))
    Z = np.hstack([z, z + 0.1 * np.random.RandomState(1).normal(size=(600, 1))])
    assert learned(Z, axes=(0, 1))[1] is None


@pytest.mark.parametrize(("n", "axes"), [(599, (0, 1)), (600, ())])
def test_few_rows_or_no_latents_have_the_mixture(n, axes):
    assert learned(of_sides(n), axes)[1] is None


def test_equal_seeds_give_equal_bits_and_leave_the_global_generator(monkeypatch):
    monkeypatch.setattr(latent_density, "_N_EPOCHS", 2)
    Z = of_sides(600)
    before = torch.get_rng_state()
    first, second = (latent_density._learn(Z, 0.1 + 0 * Z, 0)[0] for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_one_that_diverges_leaves_the_mixture(monkeypatch):
    monkeypatch.setattr(latent_density, "_N_EPOCHS", 2)
    Z = of_sides(600)
    assert learned_beside_a_bad_mixture(Z) is not None
    monkeypatch.setattr(latent_density, "_LEARNING_RATE", 1e20)
    assert learned_beside_a_bad_mixture(Z) is None


def test_what_the_user_has_set_in_torch_changes_nothing(monkeypatch):
    monkeypatch.setattr(latent_density, "_N_EPOCHS", 2)
    Z = of_sides(600)
    expected = learned_beside_a_bad_mixture(Z).density
    with double_by_default():
        density = learned_beside_a_bad_mixture(Z).density
    for a, b in zip(density.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)
