"""Losses, each with the likelihood it stands for.

A loss compares the decoder's raw output with the (standardised) data. It knows
three things: the error of a row that the deterministic autoencoders minimise, the
log-likelihood of a row that the variational one maximises, and the link that turns
raw output into data. Everything else is the same for all of them.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LOG_2PI = math.log(2.0 * math.pi)


class SquaredError:
    """Squared error, that is a Gaussian likelihood with standard deviation sigma."""

    # The exponent p of the global scale in this loss: loss(a X) = a^p loss(X).
    scale_power = 2
    has_noise = True
    needs_unit_interval = False

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        return (output - x).square().mean(dim=-1)  # (..., d) -> (...)

    def mean_error_and_gradient(
        self, output: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """error(output, x).mean(), and its gradient in the memory of output (n, d)."""
        difference = output.sub_(x)
        flat = difference.view(-1)
        loss = torch.dot(flat, flat) / flat.numel()
        return loss, difference.mul_(2.0 / flat.numel())

    def log_likelihood(self, output: Tensor, x: Tensor, log_sigma: Tensor) -> Tensor:
        # A scalar log_sigma leaves one multiplication per row, not per element.
        n_features = x.shape[-1]
        squares = (output - x).square().sum(dim=-1)  # (..., d) -> (...)
        return (
            -0.5 * torch.exp(-2.0 * log_sigma) * squares
            - (log_sigma + 0.5 * LOG_2PI) * n_features
        )

    def noise_scale(self, noise_variance: float) -> float:
        return math.sqrt(noise_variance)

    def noise_variance(self, noise_scale: float) -> float:
        return noise_scale**2

    def link(self, output: Tensor) -> Tensor:
        return output

    def inverse_link(self, x: Tensor) -> Tensor:
        return x


class AbsoluteError(SquaredError):
    """Absolute error, that is a Laplace likelihood with scale b."""

    scale_power = 1

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        return (output - x).abs().mean(dim=-1)  # (..., d) -> (...)

    def mean_error_and_gradient(
        self, output: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        difference = output.sub_(x)
        loss = difference.abs().mean()
        return loss, difference.sign_().div_(difference.numel())

    def log_likelihood(self, output: Tensor, x: Tensor, log_b: Tensor) -> Tensor:
        n_features = x.shape[-1]
        distances = (output - x).abs().sum(dim=-1)  # (..., d) -> (...)
        return -torch.exp(-log_b) * distances - (log_b + math.log(2.0)) * n_features

    def noise_scale(self, noise_variance: float) -> float:
        return math.sqrt(noise_variance / 2.0)

    def noise_variance(self, noise_scale: float) -> float:
        return 2.0 * noise_scale**2


class LogLoss(SquaredError):
    """Log loss (binary cross-entropy) of data in [0, 1]: a Bernoulli likelihood.

    The decoder gives logits: the loss is then finite and exact however sure the
    network is. Data between 0 and 1 are read as probabilities.
    """

    scale_power = 0
    has_noise = False
    needs_unit_interval = True

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        losses = F.binary_cross_entropy_with_logits(output, x, reduction="none")
        return losses.mean(dim=-1)  # (..., d) -> (...)

    def mean_error_and_gradient(
        self, output: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        loss = F.binary_cross_entropy_with_logits(output, x)
        return loss, output.sigmoid_().sub_(x).div_(output.numel())

    def log_likelihood(self, output: Tensor, x: Tensor, log_sigma: Tensor) -> Tensor:
        x = x.expand_as(output)
        losses = F.binary_cross_entropy_with_logits(output, x, reduction="none")
        return -losses.sum(dim=-1)  # (..., d) -> (...)

    def link(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)

    def inverse_link(self, x: Tensor) -> Tensor:
        # Half a grey level of an 8-bit image keeps the logit of 0 and 1 finite.
        return torch.logit(x, eps=1.0 / 512.0)


LOSSES = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "log_loss": LogLoss,
}
