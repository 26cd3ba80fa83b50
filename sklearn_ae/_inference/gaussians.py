"""Gaussian posteriors of latents, one for each row: diagonal, or with covariances.

Shapes: n rows, k latents, S draws.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussians(ABC):
    """A normal distribution for each row."""

    mean: Tensor  # (n, k)

    @property
    @abstractmethod
    def std(self) -> Tensor:
        """Standard deviation of each latent: (n, k)."""

    @property
    @abstractmethod
    def factor(self) -> Tensor:
        """Upper triangular (n, k, k), and the covariance is factor @ factor.T."""

    @property
    @abstractmethod
    def log_width(self) -> Tensor:
        """Logarithms whose sum is that of the covariance's root determinant: (n, k)."""

    @abstractmethod
    def draw(self, eps: Tensor) -> Tensor:
        """From standard normal numbers (S, 1 or n, k) latents (S, n, k)."""

    @abstractmethod
    def of(self, rows: slice) -> "Gaussians":
        """Those of some rows."""

    @property
    def moments(self) -> Tensor:
        """Means and standard deviations side by side: (n, 2k)."""
        return torch.cat([self.mean, self.std], dim=1)

    @property
    def kl(self) -> Tensor:
        """KL divergence from N(0, I), in parts that add up to it: (n, k) in nats.

        By the chain rule each is the share of one latent, given those after it.
        """
        squares = self.std.square() + self.mean.square()
        return 0.5 * (squares - 1.0) - self.log_width

    @property
    def marginal_kl(self) -> Tensor:
        """KL divergence of each latent by itself: (n, k) in nats.

        It does not depend on the order of the latents. Where they go together, it adds
        up to less than the whole.
        """
        variances = self.std.square()
        return 0.5 * (variances + self.mean.square() - 1.0 - variances.log())

    def log_ratio(self, z: Tensor, eps: Tensor) -> Tensor:
        """log N(z; 0, I) less the log-density here of the draws z of eps: (S, n)."""
        # The constants log(2 pi) cancel.
        entropy = 0.5 * eps.square() + self.log_width
        return (entropy - 0.5 * z.square()).sum(dim=-1)


@dataclass(frozen=True)
class DiagonalGaussians(Gaussians):
    """Independent latents."""

    log_var: Tensor  # (n, k)

    @property
    def std(self) -> Tensor:
        return torch.exp(0.5 * self.log_var)

    @property
    def factor(self) -> Tensor:
        return torch.diag_embed(self.std)

    @property
    def log_width(self) -> Tensor:
        return 0.5 * self.log_var

    def draw(self, eps: Tensor) -> Tensor:
        return self.mean + self.std * eps

    def of(self, rows: slice) -> "DiagonalGaussians":
        return DiagonalGaussians(self.mean[rows], self.log_var[rows])


@dataclass(frozen=True)
class FullGaussians(Gaussians):
    """Latents that go together."""

    upper: Tensor  # (n, k, k), the factor

    @classmethod
    def of_information(
        cls, mean: Tensor, information: Tensor, otherwise: Gaussians
    ) -> "FullGaussians":
        """With the inverse covariance (n, k, k), where that has an inverse."""
        lower, failed = torch.linalg.cholesky_ex(information)
        identity = torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device)
        factor = torch.linalg.solve_triangular(lower, identity, upper=False).mT
        is_good = (failed == 0) & factor.isfinite().flatten(1).all(dim=1)  # (n,)
        return cls(
            torch.where(is_good[:, None], mean, otherwise.mean),
            torch.where(
                is_good[:, None, None], factor, torch.diag_embed(otherwise.std)
            ),
        )

    @property
    def std(self) -> Tensor:
        return self.upper.square().sum(dim=-1).sqrt()

    @property
    def factor(self) -> Tensor:
        return self.upper

    @property
    def log_width(self) -> Tensor:
        return self.upper.diagonal(dim1=-2, dim2=-1).log()

    def draw(self, eps: Tensor) -> Tensor:
        if eps.shape[1] == 1:  # the same for all rows: one product for each
            spread = torch.matmul(eps[:, 0], self.upper.mT)  # (n, S, k)
            return self.mean + spread.transpose(0, 1)
        return self.mean + torch.matmul(self.upper, eps[..., None])[..., 0]

    def of(self, rows: slice) -> "FullGaussians":
        return FullGaussians(self.mean[rows], self.upper[rows])
