"""The losses are the likelihoods that they stand for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import log_loss, mean_absolute_error, mean_squared_error
from torch.distributions import Bernoulli, Laplace, Normal

from sklearn_ae._networks.losses import LOSSES, AbsoluteError, LogLoss, SquaredError

LOG_SCALE = torch.tensor(-0.7, dtype=torch.float64)

# What each loss calls its likelihood.
DISTRIBUTIONS = {
    "squared_error": lambda output: Normal(output, LOG_SCALE.exp()),
    "absolute_error": lambda output: Laplace(output, LOG_SCALE.exp()),
    "log_loss": lambda output: Bernoulli(logits=output),
}

each_loss = pytest.mark.parametrize("name", list(LOSSES))
each_noisy_loss = pytest.mark.parametrize(
    ("loss", "distribution"), [(SquaredError(), Normal), (AbsoluteError(), Laplace)]
)


def output_and_rows(name, n_samples=6, n_features=4):
    """Raw output of a decoder and the rows it is compared with, in float64."""
    generator = torch.Generator().manual_seed(0)
    shape = (n_samples, n_features)
    output = torch.randn(shape, generator=generator, dtype=torch.float64)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return output, (x > 0).double() if name == "log_loss" else x


def test_every_loss_has_its_distribution():
    assert set(LOSSES) == set(DISTRIBUTIONS)


# The likelihoods ----------------------------------------------------------------------


@each_loss
def test_log_likelihood_is_that_of_the_distribution(name):
    output, x = output_and_rows(name)
    expected = DISTRIBUTIONS[name](output).log_prob(x).sum(dim=-1)
    torch.testing.assert_close(
        LOSSES[name]().log_likelihood(output, x, LOG_SCALE), expected
    )


@each_loss
def test_log_likelihood_of_several_outputs_per_row(name):
    output, x = output_and_rows(name)
    outputs = torch.stack([output, output + 1.0, output - 2.0])  # (S, n, d)
    loss = LOSSES[name]()
    expected = torch.stack([loss.log_likelihood(o, x, LOG_SCALE) for o in outputs])
    torch.testing.assert_close(loss.log_likelihood(outputs, x, LOG_SCALE), expected)


@each_loss
def test_log_likelihood_falls_by_a_multiple_of_the_error(name):
    # Whoever minimises the one maximises the other: they cannot drift apart.
    loss = LOSSES[name]()
    output, x = output_and_rows(name)
    other = output.flip(0)
    sigma = LOG_SCALE.exp().item()
    weight = {"squared_error": 0.5 / sigma**2, "absolute_error": 1 / sigma}
    gain = loss.log_likelihood(output, x, LOG_SCALE) - loss.log_likelihood(
        other, x, LOG_SCALE
    )
    fall = (loss.error(other, x) - loss.error(output, x)) * x.shape[1]
    torch.testing.assert_close(gain, weight.get(name, 1.0) * fall)


def test_log_loss_reads_data_between_0_and_1_as_probabilities():
    output, _ = output_and_rows("log_loss")
    p = torch.full_like(output, 0.3)
    bernoulli = Bernoulli(logits=output)
    ones, zeros = torch.ones_like(output), torch.zeros_like(output)
    expected = 0.3 * bernoulli.log_prob(ones) + 0.7 * bernoulli.log_prob(zeros)
    torch.testing.assert_close(
        LogLoss().log_likelihood(output, p, LOG_SCALE), expected.sum(dim=-1)
    )


@pytest.mark.parametrize("logit", [-1e4, -50.0, 50.0, 1e4])
@pytest.mark.parametrize("x", [0.0, 0.25, 1.0])
def test_log_likelihood_of_a_sure_logit_is_linear_in_it(logit, x):
    # log p = x log sigmoid(l) + (1 - x) log sigmoid(-l); the larger one of both is 0.
    wanted = logit * x if logit < 0 else -logit * (1.0 - x)
    output = torch.tensor([[logit]], dtype=torch.float32)
    log_likelihood = LogLoss().log_likelihood(output, torch.tensor([[x]]), LOG_SCALE)
    torch.testing.assert_close(log_likelihood, torch.tensor([wanted]))


def test_log_loss_knows_no_noise():
    output, x = output_and_rows("log_loss")
    log_likelihood = LogLoss().log_likelihood
    torch.testing.assert_close(
        log_likelihood(output, x, LOG_SCALE), log_likelihood(output, x, LOG_SCALE + 5)
    )


@each_loss
def test_gradients_of_the_log_likelihood(name):
    output, x = output_and_rows(name)
    log_likelihood = LOSSES[name]().log_likelihood
    assert torch.autograd.gradcheck(
        lambda output, log_scale: log_likelihood(output, x, log_scale),
        (output.requires_grad_(), LOG_SCALE.clone().requires_grad_()),
    )


@each_loss
def test_gradients_reach_rows_that_several_draws_share(name):
    output, x = output_and_rows(name)
    outputs = torch.stack([output, output.flip(0)])  # (2, n, d)
    assert torch.autograd.gradcheck(
        lambda outputs, x: LOSSES[name]().log_likelihood(outputs, x, LOG_SCALE),
        (outputs.requires_grad_(), x.requires_grad_()),
    )


# The errors ---------------------------------------------------------------------------


def per_row(metric, x, output):
    """A metric of scikit-learn, row by row."""
    return torch.tensor(
        [metric(*pair) for pair in zip(x.numpy(), output.numpy(), strict=True)],
        dtype=torch.float64,
    )


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("squared_error", mean_squared_error),
        ("absolute_error", mean_absolute_error),
        ("log_loss", lambda x, output: log_loss(x, expit(output), labels=[0, 1])),
    ],
)
def test_error_is_the_mean_over_the_columns(name, metric):
    output, x = output_and_rows(name)
    torch.testing.assert_close(
        LOSSES[name]().error(output, x), per_row(metric, x, output)
    )


@each_loss
def test_gradient_of_the_error(name):
    output, x = output_and_rows(name)
    error = LOSSES[name]().error
    assert torch.autograd.gradcheck(
        lambda output: error(output, x), output.requires_grad_()
    )


@each_loss
def test_mean_error_and_its_gradient_are_those_of_autograd(name):
    output, x = output_and_rows(name)
    loss = LOSSES[name]()
    variable = output.clone().requires_grad_()
    expected = loss.error(variable, x).mean()
    expected.backward()
    error, gradient = loss.mean_error_and_gradient(output, x)
    torch.testing.assert_close(error, expected.detach())
    torch.testing.assert_close(gradient, variable.grad)


@each_noisy_loss
@given(factor=st.floats(1e-6, 1e6))
def test_error_is_homogeneous_of_degree_scale_power(loss, distribution, factor):
    output, x = output_and_rows("squared_error")
    torch.testing.assert_close(
        loss.error(factor * output, factor * x),
        factor**loss.scale_power * loss.error(output, x),
    )


@pytest.mark.parametrize("logit", [1e2, 1e4, 1e30])
def test_log_loss_of_a_sure_and_wrong_network_is_its_logit(logit):
    output = torch.tensor([[logit, -logit]], requires_grad=True)
    error = LogLoss().error(output, torch.tensor([[0.0, 1.0]]))
    error.sum().backward()
    torch.testing.assert_close(error.detach(), torch.tensor([logit]))
    torch.testing.assert_close(output.grad, torch.tensor([[0.5, -0.5]]))


# Noise and link -----------------------------------------------------------------------


@each_noisy_loss
def test_noise_variance_is_that_of_the_distribution(loss, distribution):
    expected = distribution(torch.tensor(0.0), torch.tensor(0.3)).variance
    assert loss.noise_variance(0.3) == pytest.approx(expected.item())


@each_noisy_loss
@given(variance=st.floats(1e-12, 1e12))
def test_noise_scale_inverts_noise_variance(loss, distribution, variance):
    assert loss.noise_variance(loss.noise_scale(variance)) == pytest.approx(variance)


@each_loss
def test_link_inverts_inverse_link(name):
    x = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    loss = LOSSES[name]()
    torch.testing.assert_close(loss.link(loss.inverse_link(x)), x)


def test_inverse_link_of_log_loss_is_finite_at_0_and_1():
    logits = LogLoss().inverse_link(torch.tensor([0.0, 1.0]))
    assert torch.isfinite(logits).all()
    # The nearest grey level of an 8-bit image is still 0 and 1.
    np.testing.assert_allclose(LogLoss().link(logits) * 255, [0, 255], atol=0.5)


def test_link_of_log_loss_gives_probabilities():
    x = LogLoss().link(torch.tensor([-math.inf, -1e4, 0.0, 1e4, math.inf]))
    torch.testing.assert_close(x, torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))


def test_only_log_loss_asks_for_the_unit_interval():
    asking = [name for name, loss in LOSSES.items() if loss.needs_unit_interval]
    assert asking == ["log_loss"]


# What projections ask for -------------------------------------------------------------


@each_loss
def test_error_is_the_mean_of_the_entries(name):
    output, x = torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 3).double()
    loss = LOSSES[name]()
    entries = loss.entries(output, x)
    torch.testing.assert_close(entries.mean(dim=1), loss.error(output, x))


@each_loss
def test_slopes_are_those_of_autograd(name):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    x = torch.rand(4, 3, dtype=torch.float64, generator=generator)
    loss = LOSSES[name]()
    output.requires_grad_()
    loss.entries(output, x).sum().backward()
    slope, curvature = loss.derivatives(output.detach(), x)
    # Near zero the absolute error is rounded off.
    far = (output.detach() - x).abs() > 0.1
    torch.testing.assert_close(slope[far], output.grad[far])
    assert (curvature >= 0).all()


@each_loss
def test_entries_and_their_precision_are_the_likelihood(name):
    output, x = torch.randn(2, 3, dtype=torch.float64), torch.rand(2, 3).double()
    loss = LOSSES[name]()
    log_scale = torch.tensor([-0.5, 0.1, 0.7], dtype=torch.float64)
    energy = (loss.entries(output, x) * loss.precision(log_scale)).sum(dim=1)
    constant = energy + loss.log_likelihood(output, x, log_scale)
    torch.testing.assert_close(constant[0], constant[1])


@each_loss
def test_information_is_the_mean_square_of_the_score(name):
    # Fisher's definition, from draws of the likelihood's own distribution.
    loss = LOSSES[name]()
    log_scale = torch.tensor(0.3, dtype=torch.float64)
    output = torch.tensor([[0.4]], dtype=torch.float64).expand(200_000, 1)
    output = output.clone().requires_grad_()
    means = loss.link(output).detach().numpy()
    drawn = loss.draw(means, math.exp(0.3), np.random.RandomState(0))
    loss.log_likelihood(output, torch.from_numpy(drawn), log_scale).sum().backward()
    information = loss.information(output.detach()[:1], log_scale).expand(1, 1).item()
    assert output.grad.square().mean().item() == pytest.approx(information, rel=0.02)
