"""Losses, each with the likelihood it stands for.

A loss compares the decoder's raw output with the (standardised) data. It knows
three things: the error of a row that the deterministic autoencoders minimise, the
log-likelihood of a row that the variational one maximises, and the link that turns
raw output into data. Everything else is the same for all of them.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LOG_2PI = math.log(2.0 * math.pi)

NoiseScale = float | np.ndarray  # of all columns, or of each (d,)


class SquaredError:
    """Squared error, that is a Gaussian likelihood with standard deviation sigma."""

    # The exponent p of the global scale in this loss: loss(a X) = a^p loss(X).
    scale_power = 2
    has_noise = True
    needs_unit_interval = False
    # Whether entries are squares of differences, to which rotations do nothing.
    is_square = True
    # Whether missing cells (NaN) have no part in it.
    takes_missing = False

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

    def entries(self, output: Tensor, x: Tensor) -> Tensor:
        """The loss of each entry (..., d), whose mean over a row is its error."""
        return (output - x).square()

    def slopes(self, output: Tensor, x: Tensor) -> Tensor:
        """Slope of each entry's loss in the output (..., d)."""
        return 2.0 * (output - x)

    def derivatives(self, output: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Slope of each entry's loss in the output (..., d), and its curvature.

        The curvature, which broadcasts with the slope, is never negative: with it the
        Hessian is that of Gauss and Newton.
        """
        return 2.0 * (output - x), output.new_tensor(2.0)

    def precision(self, log_sigma: Tensor) -> Tensor:
        """What -log p(x) multiplies the entries by, constants aside: () or (d,)."""
        return 0.5 * torch.exp(-2.0 * log_sigma)

    def log_normaliser(self, log_sigma: Tensor) -> Tensor:
        """What the density of a cell is divided by, in logs."""
        return log_sigma + 0.5 * LOG_2PI

    def information(self, output: Tensor, log_sigma: Tensor) -> Tensor:
        """Fisher's information of each output (..., d), or what broadcasts to it."""
        return torch.exp(-2.0 * log_sigma)

    def log_likelihood(self, output: Tensor, x: Tensor, log_sigma: Tensor) -> Tensor:
        """log p(x) of each row.

        log_sigma is that of all columns (), of each (d,), or of each entry (..., d).
        """
        difference = output - x  # (..., d)
        if log_sigma.ndim:
            squares = (difference * torch.exp(-log_sigma)).square().sum(dim=-1)
        else:
            # One multiplication per row, not per element.
            squares = torch.exp(-2.0 * log_sigma) * difference.square().sum(dim=-1)
        return -0.5 * squares - _of_row(log_sigma + 0.5 * LOG_2PI, x)

    def noise_scale(self, noise_variance: float) -> float:
        return math.sqrt(noise_variance)

    def noise_variance(self, noise_scale: NoiseScale) -> NoiseScale:
        return noise_scale**2

    def draw(
        self,
        X: np.ndarray,
        noise_scale: NoiseScale,
        random_state: np.random.RandomState,
    ) -> np.ndarray:
        """Rows from the likelihood around X, the decoder's output behind its link."""
        return X + noise_scale * random_state.standard_normal(X.shape)

    def link(self, output: Tensor) -> Tensor:
        return output

    def inverse_link(self, x: Tensor) -> Tensor:
        return x


class SpanSquaredError(SquaredError):
    """Squared error of coordinates in a span, of which each is as good as some columns.

    Their mean is that of the columns; the likelihood is of all columns.
    """

    def __init__(self, n_columns_each: float):
        self.n_columns_each = n_columns_each

    def precision(self, log_sigma: Tensor) -> Tensor:
        return super().precision(log_sigma) * self.n_columns_each

    def log_normaliser(self, log_sigma: Tensor) -> Tensor:
        return super().log_normaliser(log_sigma) * self.n_columns_each

    def information(self, output: Tensor, log_sigma: Tensor) -> Tensor:
        return super().information(output, log_sigma) * self.n_columns_each

    def log_likelihood(self, output: Tensor, x: Tensor, log_sigma: Tensor) -> Tensor:
        return super().log_likelihood(output, x, log_sigma) * self.n_columns_each


class AbsoluteError(SquaredError):
    """Absolute error, that is a Laplace likelihood with scale b."""

    scale_power = 1
    is_square = False
    # Distances shorter than this share of the row's mean count as if they were it.
    LEAST_SHARE = 1e-2

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        return (output - x).abs().mean(dim=-1)  # (..., d) -> (...)

    def mean_error_and_gradient(
        self, output: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        difference = output.sub_(x)
        loss = difference.abs().mean()
        return loss, difference.sign_().div_(difference.numel())

    def entries(self, output: Tensor, x: Tensor) -> Tensor:
        return (output - x).abs()

    def slopes(self, output: Tensor, x: Tensor) -> Tensor:
        return torch.sign(output - x)

    def derivatives(self, output: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        # Weighted squares that touch the distances from above: Lawson's reweighting.
        # Near zero, where they would be infinite, they are those of the row's mean.
        difference = output - x
        distances = difference.abs()
        floor = self.LEAST_SHARE * distances.mean(dim=-1, keepdim=True)
        distances = torch.maximum(distances, floor)
        distances = distances.clamp(min=torch.finfo(output.dtype).tiny ** 0.5)
        return difference / distances, 1.0 / distances

    def precision(self, log_b: Tensor) -> Tensor:
        return torch.exp(-log_b)

    def log_normaliser(self, log_b: Tensor) -> Tensor:
        return log_b + math.log(2.0)

    def log_likelihood(self, output: Tensor, x: Tensor, log_b: Tensor) -> Tensor:
        distances = (output - x).abs()  # (..., d)
        if log_b.ndim:
            distances = (distances * torch.exp(-log_b)).sum(dim=-1)
        else:
            distances = torch.exp(-log_b) * distances.sum(dim=-1)
        return -distances - _of_row(log_b + math.log(2.0), x)

    def noise_scale(self, noise_variance: float) -> float:
        return math.sqrt(noise_variance / 2.0)

    def noise_variance(self, noise_scale: NoiseScale) -> NoiseScale:
        return 2.0 * noise_scale**2

    def draw(
        self,
        X: np.ndarray,
        noise_scale: NoiseScale,
        random_state: np.random.RandomState,
    ) -> np.ndarray:
        return X + noise_scale * random_state.laplace(size=X.shape)


class _BernoulliLogLikelihood(torch.autograd.Function):
    """sum_d x_d log p_d + (1 - x_d) log(1 - p_d) of logits (..., d) and x: (...).

    With many draws per row the logits are larger than any cache, and the time is that
    of going through them, which a backward pass by hand does half as often.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        return (logits * x).sub_(F.softplus(logits)).sum(dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, x = ctx.saved_tensors
        grad = grad[..., None]
        grad_x = None
        if ctx.needs_input_grad[1]:
            grad_x = (logits * grad).sum_to_size(x.shape)
        return torch.sigmoid(logits).sub_(x).mul_(-grad), grad_x


class LogLoss(SquaredError):
    """Log loss (binary cross-entropy) of data in [0, 1]: a Bernoulli likelihood.

    The decoder gives logits: the loss is then finite and exact however sure the
    network is. Data between 0 and 1 are read as probabilities.
    """

    scale_power = 0
    has_noise = False
    needs_unit_interval = True
    is_square = False

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        losses = F.binary_cross_entropy_with_logits(output, x, reduction="none")
        return losses.mean(dim=-1)  # (..., d) -> (...)

    def mean_error_and_gradient(
        self, output: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        loss = F.binary_cross_entropy_with_logits(output, x)
        return loss, output.sigmoid_().sub_(x).div_(output.numel())

    def entries(self, output: Tensor, x: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, x, reduction="none")

    def slopes(self, output: Tensor, x: Tensor) -> Tensor:
        return torch.sigmoid(output) - x

    def derivatives(self, output: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        p = torch.sigmoid(output)
        return p - x, p * (1.0 - p)

    def precision(self, log_sigma: Tensor) -> Tensor:
        return torch.ones_like(log_sigma)

    def log_normaliser(self, log_sigma: Tensor) -> Tensor:
        return torch.zeros_like(log_sigma)

    def information(self, output: Tensor, log_sigma: Tensor) -> Tensor:
        p = torch.sigmoid(output)
        return p * (1.0 - p)

    def log_likelihood(self, output: Tensor, x: Tensor, log_sigma: Tensor) -> Tensor:
        return _BernoulliLogLikelihood.apply(output, x)  # (..., d) -> (...)

    def draw(
        self,
        X: np.ndarray,
        noise_scale: NoiseScale,
        random_state: np.random.RandomState,
    ) -> np.ndarray:
        return random_state.binomial(1, X).astype(np.float64)

    def link(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)

    def inverse_link(self, x: Tensor) -> Tensor:
        # Half a grey level of an 8-bit image keeps the logit of 0 and 1 finite.
        return torch.logit(x, eps=1.0 / 512.0)


def mean_of_known(entries: Tensor, x: Tensor) -> Tensor:
    """Mean over the cells of each row x (..., d) that are there, of which none is 0."""
    return entries.sum(dim=-1) / (~x.isnan()).sum(dim=-1).clamp(min=1)


class ObservedCells(SquaredError):
    """A loss of rows with missing cells (NaN), which have no part in it.

    The error of a row is the mean over the cells that are there; of a row without any
    it is zero.
    """

    is_square = False  # rotations would mix missing cells with others

    def __init__(self, loss: SquaredError):
        self.loss = loss
        self.scale_power = loss.scale_power
        self.has_noise = loss.has_noise
        self.needs_unit_interval = loss.needs_unit_interval

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        return mean_of_known(self.entries(output, x), x)

    def mean_error_and_gradient(
        self, output: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights = (~x.isnan()).sum(dim=-1, keepdim=True).clamp(min=1) * len(x)
        loss = (self.entries(output, x) / weights).sum()
        return loss, self.slopes(output, x) / weights

    def entries(self, output: Tensor, x: Tensor) -> Tensor:
        missing = x.isnan()
        # Several outputs may stand against the same rows.
        x = torch.where(missing, 0.0, x).expand_as(output)
        return torch.where(missing, 0.0, self.loss.entries(output, x))

    def slopes(self, output: Tensor, x: Tensor) -> Tensor:
        return self.loss.slopes(output, x).masked_fill_(x.isnan(), 0.0)

    def derivatives(self, output: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        missing = x.isnan()
        slope, curvature = self.loss.derivatives(
            output, torch.where(missing, output, x)
        )
        return (
            torch.where(missing, 0.0, slope),
            torch.where(missing, 0.0, curvature.expand_as(output)),
        )

    def precision(self, log_sigma: Tensor) -> Tensor:
        return self.loss.precision(log_sigma)

    def log_normaliser(self, log_sigma: Tensor) -> Tensor:
        return self.loss.log_normaliser(log_sigma)

    def information(self, output: Tensor, log_sigma: Tensor) -> Tensor:
        return self.loss.information(output, log_sigma)

    def log_likelihood(self, output: Tensor, x: Tensor, log_sigma: Tensor) -> Tensor:
        missing = x.isnan()
        losses = self.entries(output, x) * self.precision(log_sigma)
        constants = self.log_normaliser(log_sigma).expand_as(losses)
        return -losses.sum(dim=-1) - torch.where(missing, 0.0, constants).sum(dim=-1)

    def noise_scale(self, noise_variance: float) -> float:
        return self.loss.noise_scale(noise_variance)

    def noise_variance(self, noise_scale: NoiseScale) -> NoiseScale:
        return self.loss.noise_variance(noise_scale)

    def draw(
        self,
        X: np.ndarray,
        noise_scale: NoiseScale,
        random_state: np.random.RandomState,
    ) -> np.ndarray:
        return self.loss.draw(X, noise_scale, random_state)

    def link(self, output: Tensor) -> Tensor:
        return self.loss.link(output)

    def inverse_link(self, x: Tensor) -> Tensor:
        return self.loss.inverse_link(x)


def _of_row(constants: Tensor, x: Tensor) -> Tensor:
    """Sum over the cells of a row x of what is the same () or of each (..., d)."""
    n_equal = 1 if constants.ndim else x.shape[-1]
    return constants.sum(dim=-1) * n_equal


def of_observed(loss: SquaredError, x: Tensor) -> SquaredError:
    """The loss for rows x, of which cells may be missing."""
    return ObservedCells(loss) if not loss.takes_missing and x.isnan().any() else loss


LOSSES = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "log_loss": LogLoss,
}
