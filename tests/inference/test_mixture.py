"""The Gaussian mixture of latents, beside scikit-learn's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from sklearn_ae._inference.mixture import Mixture


@pytest.fixture(scope="module")
def Z():
    rng = np.random.RandomState(0)
    centers = np.array([[0.0, 0.0], [4.0, 1.0], [-3.0, 5.0]])
    return centers[rng.randint(3, size=300)] + rng.standard_normal((300, 2))


@pytest.fixture(scope="module")
def mixture(Z):
    return Mixture.fitted_to(Z, 3, np.random.RandomState(0))


def as_scikit_learns(mixture):
    other = GaussianMixture(len(mixture.weights))
    other.weights_, other.means_ = mixture.weights, mixture.means
    other.covariances_ = mixture.covariances
    other.precisions_cholesky_ = mixture.whitening
    return other


def test_log_density_is_that_of_scikit_learn(mixture, Z):
    expected = as_scikit_learns(mixture).score_samples(Z)
    assert_allclose(mixture.log_density(Z), expected, rtol=1e-10)


def test_bic_is_that_of_scikit_learn(mixture, Z):
    assert_allclose(mixture.bic(Z), as_scikit_learns(mixture).bic(Z), rtol=1e-10)


@pytest.mark.parametrize("n_gaussians", [1, 3])
def test_rows_are_as_likely_as_under_scikit_learns(Z, n_gaussians):
    mixture = Mixture.fitted_to(Z, n_gaussians, np.random.RandomState(0))
    other = GaussianMixture(n_gaussians, random_state=0, reg_covar=1e-5).fit(Z)
    # Both stop where a step gains less than this.
    assert_allclose(mixture.score(Z), other.score(Z), atol=1e-3)


def test_draws_have_the_moments_of_the_rows(mixture, Z):
    drawn = mixture.sample(20_000, np.random.RandomState(1))
    assert_allclose(drawn.mean(axis=0), Z.mean(axis=0), atol=0.1)
    assert_allclose(np.cov(drawn.T), np.cov(Z.T), atol=0.3)


def test_equal_rows_have_a_mixture(Z):
    mixture = Mixture.fitted_to(np.zeros((10, 2)), 1, np.random.RandomState(0))
    assert np.isfinite(mixture.log_density(Z)).all()


def test_more_gaussians_than_different_rows_leave_finite_densities():
    Z = np.repeat(np.eye(2), 10, axis=0)
    mixture = Mixture.fitted_to(Z, 4, np.random.RandomState(0))
    assert np.isfinite(mixture.log_density(Z)).all()


def test_some_numbers_have_the_marginal_density():
    random_state = np.random.RandomState(0)
    Z = random_state.normal(size=(300, 3)) @ random_state.normal(size=(3, 3))
    mixture = Mixture.fitted_to(Z, 2, random_state)
    kept = np.array([True, False, True])
    marginal = sum(
        weight
        * multivariate_normal.pdf(Z[:, kept], mean[kept], covariance[kept][:, kept])
        for weight, mean, covariance in zip(
            mixture.weights, mixture.means, mixture.covariances, strict=True
        )
    )
    found = np.exp(logsumexp(mixture.of(kept)._log_parts(Z[:, kept]), axis=1))
    np.testing.assert_allclose(found, marginal)
