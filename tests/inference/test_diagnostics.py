"""What latents say of the rows, and when a posterior counts as collapsed."""

import numpy as np
import pytest
import torch
from small_networks import D, K, network, rows, unit_rows
from torch import nn
from torch.distributions import Normal, kl_divergence

from sklearn_ae._inference.diagnostics import (
    ACTIVE_KL,
    active_latents,
    mean_kl,
    n_latents_missed,
    n_principal_components,
)
from sklearn_ae._inference.inference import Encoded, Refined
from sklearn_ae._networks.losses import LogLoss, SquaredError
from sklearn_ae._networks.variational import VariationalAutoencoder


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vae(loss=None, **options):
    return VariationalAutoencoder(
        network(D, 2 * K),
        network(K, D),
        loss or SquaredError(),
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
        **options,
    ).double()


# Divergences --------------------------------------------------------------------------


def test_mean_divergences_are_those_of_torch_distributions():
    module, x = vae(), rows(50)
    mean, log_var = module.posterior(x)
    expected = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(mean_kl(module, x, Encoded()), expected.mean(dim=0))


def test_divergences_of_rows_whose_latents_are_known_are_the_same():
    module, x = vae(), rows(50)
    refined = Refined(K)
    z = refined.latents(module, x)
    expected = mean_kl(module, x, refined)
    torch.testing.assert_close(mean_kl(module, x, refined, z), expected)
    assert not torch.allclose(mean_kl(module, x, refined, z + 1.0), expected)


def test_divergences_of_drawn_rows_are_the_same_on_every_call():
    module, x = vae(LogLoss(), binarize=True), unit_rows(50)
    of_drawn = mean_kl(module, x, Encoded())
    assert torch.equal(mean_kl(module, x, Encoded()), of_drawn)
    module.binarize = False
    assert not torch.allclose(mean_kl(module, x, Encoded()), of_drawn)


def test_latents_with_more_than_the_least_divergence_are_active():
    kl = np.array([1.0, 0.5 * ACTIVE_KL, 2.0 * ACTIVE_KL, 0.0])
    np.testing.assert_array_equal(active_latents(kl), [0, 2])


# Collapse -----------------------------------------------------------------------------


def five_directions(n=400):
    """Rows (n, 10) of five strong directions in noise."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(10, 5)))[0]
    x = 20.0 * rng.normal(size=(n, 5)) @ axes.T + rng.normal(size=(n, 10))
    return torch.from_numpy(x)


def of_ten_columns():
    return VariationalAutoencoder(
        nn.Identity(),
        nn.Identity(),
        SquaredError(),
        center=torch.zeros(10),
        scale=torch.tensor(1.0),
    )


@pytest.mark.parametrize(
    ("n_latents", "n_active", "n_missed"),
    [(6, 2, 5), (6, 3, 0), (6, 4, 0), (4, 1, 4), (4, 2, 4), (4, 3, 0), (2, 0, 2)],
)
def test_latents_are_missed_where_half_of_those_expected_or_more_are_dead(
    n_latents, n_active, n_missed
):
    kl = np.where(np.arange(n_latents) < n_active, 1.0, 0.0)
    assert n_latents_missed(of_ten_columns(), five_directions(), kl) == n_missed


def test_no_latents_are_missed_in_noise():
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 10)))
    assert n_latents_missed(of_ten_columns(), noise, np.zeros(4)) == 0


# What stands out of the noise ---------------------------------------------------------

NO_CONDITIONS = torch.empty(400, 0)


@pytest.mark.parametrize("n_columns", [5, 20, 600])
def test_noise_has_no_principal_components(n_columns):
    x = np.random.default_rng(0).normal(size=(400, n_columns))
    assert n_principal_components(torch.from_numpy(x), NO_CONDITIONS) == 0


@pytest.mark.parametrize("n_columns", [10, 600])
def test_principal_components_beyond_the_noise_are_counted(n_columns):
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(n_columns, 3)))[0]
    x = 20.0 * rng.normal(size=(400, 3)) @ axes.T + rng.normal(size=(400, n_columns))
    assert n_principal_components(torch.from_numpy(x), NO_CONDITIONS) == 3


def test_what_the_conditions_explain_is_no_principal_component():
    rng = np.random.default_rng(0)
    conditions = np.eye(3)[rng.integers(0, 3, size=400)]
    x = conditions @ rng.normal(size=(3, 10)) * 20.0 + rng.normal(size=(400, 10))
    x, conditions = torch.from_numpy(x), torch.from_numpy(conditions)
    assert n_principal_components(x, conditions) == 0
    assert n_principal_components(x, NO_CONDITIONS) == 2


def test_equal_rows_have_no_principal_components():
    assert n_principal_components(torch.ones(400, 3), NO_CONDITIONS) == 0
