"""What is expected of a row's latents before any of its cells is seen.

Of a row with missing cells that counts: the cells that are there may not tell all
latents, and those which fit them best may be far from any row. With a decoder that is
linear the latents are then the conditional mean of a Gaussian model, as in
probabilistic PCA.

Shapes: n rows, k latents, d features.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._networks.losses import SquaredError

# Variances below this share of the largest are as good as it: of latents without use.
_LEAST_VARIANCE = 1e-7


@dataclass(frozen=True)
class ExpectedLatents:
    """A normal distribution, and how much it counts beside the loss of a row.

    Parameters
    ----------
    mean : Tensor of shape (k,)
    covariance : Tensor of shape (k, k)
    weight : float
        What the entries of the loss are in -log p(x), upside down.
    """

    mean: Tensor
    covariance: Tensor
    weight: float

    @classmethod
    def of(
        cls,
        z: Tensor,
        output: Tensor,
        x: Tensor,
        loss: SquaredError,
        weights: Tensor | None = None,
    ) -> "ExpectedLatents | None":
        """Of the latents (n, k) of rows (n, d), and what is decoded from them."""
        n, k = z.shape
        if weights is None:
            weights = z.new_ones(n)
        weights = (weights.to(z.device) / weights.mean()).double()[:, None]  # (n, 1)
        rest = torch.where(x.isnan(), 0.0, loss.link(output) - x).double()
        # As of principal components: k numbers of each row were free to fit it.
        n_free = (weights * ~x.isnan()).sum().item() - n * k
        variance = (weights * rest.square()).sum().item() / max(n, n_free)
        if n < 2 or not 0.0 < variance < float("inf"):
            return None
        sigma = torch.tensor(loss.noise_scale(variance), dtype=torch.float64)
        z = z.double()
        mean = (weights * z).mean(dim=0)
        centred = z - mean
        return cls(
            mean.cpu(),
            (centred.mT @ (weights * centred) / n).cpu(),
            1.0 / loss.precision(sigma.log()).item(),
        )

    def to(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (k,) and precision (k, k), times the weight, in the type of latents."""
        variances, axes = torch.linalg.eigh(self.covariance)
        variances = variances.clamp(min=_LEAST_VARIANCE * variances[-1])
        variances = variances.clamp(min=torch.finfo(variances.dtype).tiny)
        precision = (axes * (self.weight / variances)) @ axes.mT
        return self.mean.to(z), precision.to(z)

    def turned(self, rotation: Tensor, shift: Tensor) -> "ExpectedLatents":
        """Where latents z have become (z - shift) @ rotation."""
        rotation, shift = rotation.cpu().double(), shift.cpu().double()
        return replace(
            self,
            mean=(self.mean - shift) @ rotation,
            covariance=rotation.mT @ self.covariance @ rotation,
        )

    def of_first(self, n_kept: int) -> "ExpectedLatents":
        first = slice(n_kept)
        return replace(
            self, mean=self.mean[first], covariance=self.covariance[first, first]
        )
