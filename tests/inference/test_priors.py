"""The priors: densities of latents, their draws, and exemplars that are pooled."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid
from scipy.special import logsumexp
from scipy.stats import kstest, multivariate_normal, norm
from torch.distributions import Independent, Normal

from sklearn_ae._inference.latents import LatentDensity
from sklearn_ae._inference.priors import (
    AggregatedPosterior,
    AutoregressivePosterior,
    Exemplars,
    StandardNormal,
)
from sklearn_ae._networks.autoregressive import AutoregressiveDensity

K = 2


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def standard_normal(z):
    return Normal(0.0, 1.0).log_prob(z).sum(dim=-1)


# Densities that integrate to one, and draws of them -----------------------------------


def fitted_density(Z, **options):
    density = LatentDensity(Z)
    density.fit_mixture(Z, np.random.RandomState(0), **options)
    return density


def groups(n=400, k=1):
    """Latents (n, k) in two groups of unlike widths."""
    rng = np.random.default_rng(0)
    is_right = rng.random((n, 1)) < 0.3
    noise = rng.normal(size=(n, k))
    return np.where(is_right, 2.0 + 0.2 * noise, -1.0 + 0.5 * noise)


ONE_LATENT = {
    "standard": StandardNormal(1),
    "mixture": AggregatedPosterior(fitted_density(groups())),
    "one Gaussian": AggregatedPosterior(LatentDensity(groups())),
    "no axes": AggregatedPosterior(
        fitted_density(groups(), axes=np.array([], dtype=int))
    ),
    "autoregressive": AutoregressivePosterior(
        AutoregressiveDensity(
            torch.zeros(1), torch.ones(1), torch.tensor([-9.0]), torch.tensor([9.0])
        ).requires_grad_(False),
        *(np.array([0]), 1),
    ),
    "exemplars": Exemplars(
        50, groups(50), np.random.default_rng(1).uniform(0.05, 0.5, size=(50, 1))
    ),
}
each_prior = pytest.mark.parametrize("prior", ONE_LATENT.values(), ids=ONE_LATENT)
GRID = np.linspace(-12.0, 12.0, 48_001)


def cumulated(prior):
    """The distribution function of one latent at the points of the grid."""
    density = prior.log_prob(torch.from_numpy(GRID[:, None])).exp().numpy()
    return cumulative_trapezoid(density, GRID, initial=0.0)


@each_prior
def test_density_integrates_to_one(prior):
    assert cumulated(prior)[-1] == pytest.approx(1.0, abs=1e-6)


@each_prior
def test_draws_have_the_density(prior):
    Z = prior.sample(5000, np.random.RandomState(0))
    assert Z.shape == (5000, 1)
    distribution = cumulated(prior)
    assert kstest(Z[:, 0], lambda z: np.interp(z, GRID, distribution)).pvalue > 1e-3


@each_prior
def test_draws_follow_their_seed(prior):
    first, again, other = (
        prior.sample(9, np.random.RandomState(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(again, first)
    assert (other != first).any()


@each_prior
def test_log_ratio_is_relative_to_a_standard_normal(prior):
    z = 2.0 * torch.randn(4, 3, 1, dtype=torch.float64)
    torch.testing.assert_close(
        prior.log_ratio(z), prior.log_prob(z) - standard_normal(z)
    )


@each_prior
def test_single_precision_gives_the_same_density(prior):
    z = torch.randn(20, 1)
    torch.testing.assert_close(
        prior.log_prob(z).double(), prior.log_prob(z.double()), rtol=1e-4, atol=1e-4
    )


def test_standard_normal_is_that_of_scipy():
    z = torch.randn(4, 3, K, dtype=torch.float64)
    expected = norm.logpdf(z.numpy()).sum(axis=-1)
    np.testing.assert_allclose(StandardNormal(K).log_prob(z), expected)
    assert (StandardNormal(K).log_ratio(z) == 0).all()


# The mixture --------------------------------------------------------------------------


class GivenGaussians:
    """A mixture of two correlated Gaussians of some latents."""

    weights = np.array([0.3, 0.7])
    means = np.array([[0.5, -1.0], [-1.0, 0.3]])
    covariances = np.array([[[0.5, 0.2], [0.2, 0.8]], [[1.0, -0.5], [-0.5, 0.6]]])

    def __init__(self, axes):
        self.axes = np.array(axes)

    def gaussians(self):
        whitening = np.linalg.cholesky(np.linalg.inv(self.covariances))
        return np.log(self.weights), self.means, whitening, self.axes

    def logpdf(self, z):
        parts = zip(self.weights, self.means, self.covariances, strict=True)
        return np.log(sum(w * multivariate_normal(*both).pdf(z) for w, *both in parts))


def test_log_density_of_a_mixture_is_that_of_scipy():
    mixture = GivenGaussians([0, 1])
    z = torch.randn(4, 3, K, dtype=torch.float64)
    expected = torch.from_numpy(mixture.logpdf(z.numpy()))
    prior = AggregatedPosterior(mixture)
    torch.testing.assert_close(prior.log_prob(z), expected)
    torch.testing.assert_close(prior.log_ratio(z), expected - standard_normal(z))


def test_log_density_of_a_fitted_mixture_is_that_of_its_gaussians():
    Z = groups(k=K)
    density = fitted_density(Z)
    assert len(density.mixture.weights) > 1
    scaled = (Z - density.mean) / density.scale
    wanted = density.mixture.log_density(scaled) - np.log(density.scale).sum()
    log_prob = AggregatedPosterior(density).log_prob(torch.from_numpy(Z))
    np.testing.assert_allclose(log_prob, wanted, rtol=1e-6)


def test_latents_beside_those_of_the_mixture_are_standard_normal():
    mixture = GivenGaussians([3, 1])
    z = torch.randn(4, 3, 5, dtype=torch.float64)
    of_mixture = torch.from_numpy(mixture.logpdf(z[..., [3, 1]].numpy()))
    expected = of_mixture + standard_normal(z[..., [0, 2, 4]])
    prior = AggregatedPosterior(mixture)
    torch.testing.assert_close(prior.log_prob(z), expected)
    torch.testing.assert_close(prior.log_ratio(z), expected - standard_normal(z))


def test_mixture_without_latents_is_a_standard_normal():
    Z = groups(k=K)
    density = fitted_density(Z, axes=np.array([], dtype=int))
    z = torch.randn(4, 3, K, dtype=torch.float64)
    assert (AggregatedPosterior(density).log_ratio(z) == 0).all()


def test_standard_normal_as_a_mixture_changes_nothing():
    class Normal:
        def gaussians(self):
            return np.zeros(1), np.zeros((1, K)), np.eye(K)[None], np.arange(K)

    ratio = AggregatedPosterior(Normal()).log_ratio(torch.randn(5, K).double())
    torch.testing.assert_close(ratio, torch.zeros(5).double())


def test_draws_of_the_mixture_are_those_of_its_density():
    density = fitted_density(groups(k=K))
    drawn = AggregatedPosterior(density).sample(9, np.random.RandomState(0))
    np.testing.assert_array_equal(drawn, density.sample(9, np.random.RandomState(0)))


# Exemplars ----------------------------------------------------------------------------


def exemplars(n_rows, n_kept, at):
    return Exemplars(n_rows, np.full((n_kept, 2), at), np.full((n_kept, 2), 0.1))


def test_draws_of_exemplars_are_those_of_their_average():
    both = Exemplars(2, np.array([[-5.0, 0.0], [5.0, 0.0]]), np.array([[1, 2], [1, 2]]))
    drawn = both.sample(20_000, np.random.RandomState(0))
    # 6 standard errors; the two differ by 10 and have a variance of 1 each.
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=0.22)
    np.testing.assert_allclose(drawn.std(axis=0), [np.sqrt(26.0), 2.0], rtol=0.03)


def test_few_exemplars_are_all_kept():
    first, second = exemplars(30, 30, 0.0), exemplars(50, 50, 1.0)
    pooled = first.pooled_with(second, 100, np.random.RandomState(0))
    assert pooled.n_rows == len(pooled.mean) == len(pooled.std) == 80
    assert pooled.mean[:, 0].sum() == 50


def test_many_exemplars_are_kept_by_their_shares_of_the_rows():
    limit = 200
    first, second = exemplars(9 * limit, limit, 0.0), exemplars(limit, limit, 1.0)
    pooled = first.pooled_with(second, limit, np.random.RandomState(0))
    assert len(pooled.mean) == limit
    # 6 standard errors of a share of 200.
    assert pooled.mean[:, 0].mean() == pytest.approx(0.1, abs=0.13)


def test_late_exemplars_are_kept_too():
    pooled = exemplars(20, 20, 0.0)
    for i in range(1, 400):
        random_state = np.random.RandomState(i)
        pooled = pooled.pooled_with(exemplars(20, 20, float(i)), 50, random_state)
    assert pooled.n_rows == 8000
    assert len(pooled.mean) == 50
    # Of 50 even shares of 400 passes, 25 are of the later half.
    assert (pooled.mean[:, 0] >= 200).sum() == pytest.approx(25, abs=6 * 3.6)


@pytest.mark.parametrize("least_std", [0.5, 1e-5])
def test_density_of_exemplars_is_the_mean_of_their_gaussians(least_std):
    means, z = torch.randn(9, K), torch.randn(4, 3, K)
    stds = least_std + torch.rand(9, K) * (1.0 - least_std)
    stds[0] = least_std
    z[0, 0] = means[0] + 2.0 * least_std
    of_each = Independent(Normal(means.double(), stds.double()), 1)
    log_probs = of_each.log_prob(z.double()[..., None, :])  # (4, 3, 9)
    wanted = torch.logsumexp(log_probs, dim=-1) - math.log(9)
    prior = Exemplars(9, means.numpy(), stds.numpy())
    torch.testing.assert_close(
        prior.log_ratio(z), wanted - standard_normal(z.double()), rtol=1e-6, atol=1e-4
    )


def test_density_of_exemplars_is_that_of_scipy():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(9, K)), rng.uniform(0.1, 1.0, size=(9, K))
    z = torch.randn(4, K, dtype=torch.float64)
    parts = norm(mean, std).logpdf(z.numpy()[:, None]).sum(axis=-1)  # (4, 9)
    wanted = logsumexp(parts, axis=1) - np.log(9)
    np.testing.assert_allclose(Exemplars(9, mean, std).log_prob(z), wanted)


def test_standard_normal_exemplars_change_nothing():
    prior = Exemplars(3, np.zeros((3, K)), np.ones((3, K)))
    ratio = prior.log_ratio(torch.randn(5, K).double())
    torch.testing.assert_close(ratio, torch.zeros(5).double())


def test_priors_say_how_many_numbers_their_density_holds():
    assert exemplars(30, 7, 0.0).width == 7
    assert StandardNormal(K).width == 0
    density = AutoregressiveDensity(
        *torch.tensor([[0.0], [1.0], [-9.0], [9.0]]).expand(4, K)
    )
    wide = AutoregressivePosterior(density, np.arange(K), K + 1)
    parts = density._conditionals(torch.zeros(1, K))
    assert wide.width == sum(part.numel() for part in parts)
