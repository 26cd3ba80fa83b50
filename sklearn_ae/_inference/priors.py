"""Where the latents of a fitted variational autoencoder come from: its priors.

Shapes: k latents, c Gaussians of a latents each, m exemplars; z is (..., k).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .._networks.autoregressive import AutoregressiveDensity
from .latents import LatentDensity


class Prior(ABC):
    """A density of latents that one can draw from and that has a log-density."""

    @property
    def width(self) -> int:
        """Numbers that log_prob holds for each row and draw, beside copies of z."""
        return 0

    @abstractmethod
    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw latents (n_samples, k)."""

    @abstractmethod
    def log_ratio(self, z: Tensor) -> Tensor:
        """Log-density of z (..., k), less that under N(0, I): (...,).

        The networks are trained with N(0, I), so this is what another prior adds to
        the importance weights. The constants log(2 pi) cancel in it.
        """

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z (..., k) in nats: (...,)."""
        squares = z.square().sum(dim=-1)
        return self.log_ratio(z) - 0.5 * (squares + z.shape[-1] * math.log(2 * math.pi))


@dataclass(frozen=True)
class StandardNormal(Prior):
    """N(0, I), the prior that the networks are trained with."""

    n_components: int

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        return random_state.standard_normal((n_samples, self.n_components))

    def log_ratio(self, z: Tensor) -> Tensor:
        return z.new_zeros(z.shape[:-1])


@dataclass(frozen=True)
class AggregatedPosterior(Prior):
    """A Gaussian mixture fitted to draws of the training rows' posteriors."""

    density: LatentDensity

    @cached_property
    def _gaussians(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.density.gaussians()

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        return self.density.sample(n_samples, random_state)

    def log_ratio(self, z: Tensor) -> Tensor:
        *parts, axes = self._gaussians
        # (c,), (c, a) and (c, a, a): what makes z minus the mean standard normal.
        log_weights, means, whitening = (_like(z, part) for part in parts)
        # The other latents are standard normal, in which there is no ratio.
        z = z[..., torch.tensor(axes, device=z.device)]  # (..., a)
        log_scales = whitening.diagonal(dim1=1, dim2=2).log().sum(dim=1)  # (c,)
        total = z.new_full(z.shape[:-1], -math.inf)
        # One Gaussian after the other: all at once would take c times the memory.
        for constant, mean, matrix in zip(
            log_weights + log_scales, means, whitening, strict=True
        ):
            part = constant - 0.5 * ((z - mean) @ matrix).square().sum(dim=-1)
            total = torch.logaddexp(total, part)
        return total + 0.5 * z.square().sum(dim=-1)


@dataclass(frozen=True)
class AutoregressivePosterior(Prior):
    """A masked network's density of the training rows' posteriors."""

    density: AutoregressiveDensity  # of a latents, in single precision
    axes: np.ndarray  # (a,); the other latents are standard normal
    n_components: int

    @property
    def width(self) -> int:
        return self.density.width

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        Z = random_state.standard_normal((n_samples, self.n_components))
        Z[:, self.axes] = self.density.sample(n_samples, random_state)
        return Z

    def log_ratio(self, z: Tensor) -> Tensor:
        # It stays where it was learned.
        own = z[..., torch.tensor(self.axes, device=z.device)]
        a = len(self.axes)
        log_prob = self.density.log_prob(own.float().cpu()).to(z)
        return log_prob + 0.5 * (own.square().sum(dim=-1) + a * math.log(2 * math.pi))


@dataclass(frozen=True)
class Exemplars(Prior):
    """Posteriors N(mean, std^2) of training rows, whose average is a density."""

    n_rows: int  # that they stand for
    mean: np.ndarray  # (m, k)
    std: np.ndarray  # (m, k)

    @property
    def width(self) -> int:
        return len(self.mean)

    def pooled_with(
        self, other: "Exemplars", limit: int, random_state: np.random.RandomState
    ) -> "Exemplars":
        """At most so many of both sets' rows, of each set by its share of the rows."""
        n_rows = self.n_rows + other.n_rows
        n_all = min(limit, len(self.mean) + len(other.mean))
        # By chance: rounded shares would leave out passes that are due less than one.
        n_own = random_state.hypergeometric(self.n_rows, other.n_rows, n_all)
        n_own = min(max(n_own, n_all - len(other.mean)), len(self.mean))
        own = random_state.permutation(len(self.mean))[:n_own]
        new = random_state.permutation(len(other.mean))[: n_all - n_own]
        return Exemplars(
            n_rows,
            np.concatenate([self.mean[own], other.mean[new]]),
            np.concatenate([self.std[own], other.std[new]]),
        )

    def of_first(self, n_kept: int) -> "Exemplars":
        """Of the first latents alone."""
        return Exemplars(self.n_rows, self.mean[:, :n_kept], self.std[:, :n_kept])

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        chosen = random_state.randint(len(self.mean), size=n_samples)
        mean, std = self.mean[chosen], self.std[chosen]
        return mean + std * random_state.standard_normal(mean.shape)

    def log_ratio(self, z: Tensor) -> Tensor:
        # The squares are multiplied out: an array (..., m, k) of differences would take
        # k times the memory. What cancels then needs the digits of double precision.
        z = z.double()
        means, precisions = _like(z, self.mean), _like(z, self.std) ** -2  # (m, k)
        squares = (
            z.square() @ precisions.T
            - 2.0 * (z @ (means * precisions).T)
            + (means.square() * precisions).sum(dim=1)
        )  # (..., m)
        log_densities = 0.5 * (precisions.log().sum(dim=1) - squares)
        average = torch.logsumexp(log_densities, dim=-1) - math.log(len(means))
        return average + 0.5 * z.square().sum(dim=-1)


def _like(z: Tensor, array: np.ndarray) -> Tensor:
    """A copy of the array where z is, in its precision."""
    return torch.tensor(array, dtype=z.dtype, device=z.device)
