"""Posteriors of rows, against torch's distributions."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from sklearn_ae._inference.gaussians import DiagonalGaussians, FullGaussians

N, K = 4, 3


@pytest.fixture
def information():
    root = torch.randn(
        N, K, K, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    return root @ root.mT + torch.eye(K, dtype=torch.float64)


@pytest.fixture
def diagonal():
    generator = torch.Generator().manual_seed(1)
    mean, log_var = torch.randn(2, N, K, dtype=torch.float64, generator=generator)
    return DiagonalGaussians(mean, log_var)


@pytest.fixture
def full(information, diagonal):
    return FullGaussians.of_information(diagonal.mean, information, diagonal)


def standard_normal():
    return MultivariateNormal(torch.zeros(K).double(), torch.eye(K).double())


def as_torch(gaussians):
    covariance = gaussians.factor @ gaussians.factor.mT
    return MultivariateNormal(gaussians.mean, covariance)


def test_covariance_is_the_inverse_of_the_information(full, information):
    covariance = full.factor @ full.factor.mT
    identity = torch.eye(K).double().expand(N, K, K)
    torch.testing.assert_close(covariance @ information, identity)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_parts_of_the_divergence_add_up_to_it(kind, request):
    gaussians = request.getfixturevalue(kind)
    exact = kl_divergence(as_torch(gaussians), standard_normal())
    torch.testing.assert_close(gaussians.kl.sum(dim=1), exact)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_standard_deviations_are_those_of_each_latent(kind, request):
    gaussians = request.getfixturevalue(kind)
    torch.testing.assert_close(gaussians.std, as_torch(gaussians).stddev)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
@pytest.mark.parametrize("n_noise", [1, N])
def test_log_ratio_is_that_of_the_two_densities(kind, n_noise, request):
    gaussians = request.getfixturevalue(kind)
    eps = torch.randn(
        5, n_noise, K, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    z = gaussians.draw(eps)  # (5, N, K)
    exact = standard_normal().log_prob(z) - as_torch(gaussians).log_prob(z)
    torch.testing.assert_close(gaussians.log_ratio(z, eps), exact)


def test_rows_without_an_inverse_are_those_given_instead(information, diagonal):
    information[1] = 0.0
    information[2] = torch.nan
    mean = torch.zeros_like(diagonal.mean)
    full = FullGaussians.of_information(mean, information, diagonal)
    for row in (1, 2):
        torch.testing.assert_close(full.mean[row], diagonal.mean[row])
        torch.testing.assert_close(full.std[row], diagonal.std[row])
    torch.testing.assert_close(full.mean[0], mean[0])


def test_divergence_of_a_latent_by_itself_is_that_of_its_marginal(full):
    marginals = torch.distributions.Normal(full.mean, full.std)
    exact = kl_divergence(marginals, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(full.marginal_kl, exact)


def test_some_rows(full, diagonal):
    for gaussians in (full, diagonal):
        some = gaussians.of(slice(1, 3))
        torch.testing.assert_close(some.kl, gaussians.kl[1:3])
