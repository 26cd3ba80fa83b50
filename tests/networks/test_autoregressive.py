"""The autoregressive density: what sees what, and what it is before the first step."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from sklearn_ae._networks.autoregressive import AutoregressiveDensity

K = 4


def of_numbers(center, scale, furthest=math.inf):
    ends = (torch.full((len(center),), end) for end in (-furthest, furthest))
    return AutoregressiveDensity(center, scale, *ends)


@pytest.fixture(scope="module")
def density():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = of_numbers(torch.arange(float(K)), torch.full((K,), 2.0))
        torch.nn.init.normal_(made.last.weight, std=0.1)
    return made.requires_grad_(False)


def test_a_number_depends_on_those_before_it_and_on_no_other(density):
    z = torch.randn(1, K, generator=torch.Generator().manual_seed(0))

    def means(z):
        return density._conditionals(z)[1].sum(dim=-1)[0]  # (k,)

    slopes = torch.autograd.functional.jacobian(means, z)[:, 0]  # (k, k)
    is_before = torch.ones(K, K).tril(diagonal=-1).bool()
    assert torch.equal(slopes != 0, is_before)


def test_density_integrates_to_one_and_draws_have_it():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        density = of_numbers(torch.zeros(2), torch.ones(2))
        torch.nn.init.normal_(density.last.weight, std=0.1)
    density.requires_grad_(False)
    axis = torch.linspace(-8.0, 8.0, 161)
    log_prob = density.log_prob(torch.cartesian_prod(axis, axis)).double()
    shares = log_prob.exp() * 0.1**2
    assert shares.sum() == pytest.approx(1.0, abs=1e-3)
    Z = torch.from_numpy(density.sample(4000, np.random.RandomState(0))).float()
    of_draws = density.log_prob(Z)
    error = of_draws.std() / 4000**0.5
    assert abs(of_draws.mean() - (shares * log_prob).sum()) < 4.0 * error


def test_starts_as_about_standard_normal():
    start = of_numbers(torch.zeros(1), torch.ones(1)).requires_grad_(False)
    drawn = start.sample(2000, np.random.RandomState(0))[:, 0]
    assert kstest(drawn / drawn.std(), "norm").statistic < 0.04
    assert drawn.std() == pytest.approx(1.1, abs=0.1)


def test_no_number_is_drawn_beyond_the_ends():
    center, scale = torch.tensor([5.0, -5.0]), torch.tensor([2.0, 0.5])
    ends = torch.tensor([2.0, -5.5]), torch.tensor([6.0, -4.0])
    density = AutoregressiveDensity(center, scale, *ends).requires_grad_(False)
    drawn = density.sample(2000, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.min(axis=0), ends[0])
    np.testing.assert_allclose(drawn.max(axis=0), ends[1])
