"""What posteriors tell: draws of latents, and the density of rows and its bound.

Shapes: n rows, k latents, S draws.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor

from .._networks.modules import over_blocks
from .._networks.variational import VariationalAutoencoder
from .._tables.rows import block_rows
from .inference import Inference, log_mean_weight
from .priors import Prior

# Entries of an array (draws, rows, features) that are held at a time, and the draws
# that are taken at once.
_BLOCK_SIZE = 2**22
_DRAWS_AT_ONCE = 128


# New rows -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Draws:
    """Standard normal noise for draws of posteriors, the same for every row."""

    n_samples: int
    n_components: int
    seed: int
    width: int  # numbers that a row and a draw take

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        """The noise (S, 1, k) in parts, each with how many rows to take at once."""
        generator = torch.Generator().manual_seed(self.seed)
        at_once = max(1, min(_DRAWS_AT_ONCE, _BLOCK_SIZE // self.width))
        for first in range(0, self.n_samples, at_once):
            n_draws = min(at_once, self.n_samples - first)
            eps = torch.randn(
                n_draws, 1, self.n_components, generator=generator, dtype=torch.float64
            )
            yield eps, max(1, _BLOCK_SIZE // (n_draws * self.width))


def log_density(
    module: VariationalAutoencoder,
    X: Tensor,
    inference: Inference,
    draws: Draws,
    prior: Prior,
) -> Tensor:
    """Importance-weighted estimate of each row's log-density: (n,) in nats."""
    x = module.standardize(X)
    posterior = inference.proposal(module, x)
    total = torch.full_like(x[:, 0], -math.inf, dtype=torch.float64)
    for eps, n_block in draws:
        eps = eps.to(x)
        parts = [
            log_mean_weight(module, x[rows], posterior.of(rows), eps, prior)
            for rows in gen_batches(len(x), n_block)
        ]
        part = torch.cat(parts).double() + math.log(len(eps))
        total = torch.logaddexp(total, part)  # log of the sum of the weights
    return total - math.log(draws.n_samples) + module.log_volume_of(x)


def bound_and_kl(
    module: VariationalAutoencoder, X: Tensor, inference: Inference, draws: Draws
) -> Tensor:
    """The reconstruction term of each row's bound, and its divergences: (n, 1 + k)."""
    x = module.standardize(X)
    posterior = inference.best_bound(module, x)
    total = torch.zeros_like(x[:, 0])
    for eps, n_block in draws:
        eps = eps.to(x)
        parts = [
            module.log_likelihood(posterior.of(rows).draw(eps), x[rows]).sum(dim=0)
            for rows in gen_batches(len(x), n_block)
        ]
        total += torch.cat(parts)
    reconstruction = total / draws.n_samples + module.log_volume_of(x)
    return torch.cat([reconstruction[:, None], posterior.kl], dim=1)


def moments(module: VariationalAutoencoder, X: Tensor, inference: Inference) -> Tensor:
    """Means and standard deviations of the posteriors side by side: (n, 2k)."""
    return inference.posterior(module, module.standardize(X)).moments


def mean_and_factor(
    module: VariationalAutoencoder, X: Tensor, inference: Inference
) -> Tensor:
    """Means of the posteriors, and factors of their covariances: (n, 1 + k, k)."""
    posterior = inference.posterior(module, module.standardize(X))
    return torch.cat([posterior.mean[:, None], posterior.factor], dim=1)


def draw_latents(
    mean: np.ndarray,
    factor: np.ndarray,
    n_samples: int,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Draws (S, n, k) of posteriors with these means (n, k) and factors (n, k, k)."""
    eps = random_state.standard_normal((n_samples, *mean.shape)).astype(mean.dtype)
    return mean + np.einsum("nij,snj->sni", factor, eps)


# Standardised rows of a fit -----------------------------------------------------------


def training_draws(
    module: VariationalAutoencoder,
    x: Tensor,
    n_rows: int,
    random_state: np.random.RandomState,
    generator: torch.Generator,
    inference: Inference,
    z: Tensor | None = None,
) -> np.ndarray:
    """A draw of the latents of each of at most n_rows of the rows x: (n_rows, k).

    z are the rows' latents (n, k), where they are known: of rows that are not drawn.
    """

    def draw(x: Tensor, *z: Tensor) -> Tensor:
        return inference.draw(module, module.drawn(x, generator), generator, *z)

    rows = _some_rows(x, z, n_rows, random_state)
    Z = over_blocks(module, draw, *rows, n_block=block_rows(module.loss_size))
    return Z.cpu().numpy().astype(np.float64)


def training_moments(
    module: VariationalAutoencoder,
    x: Tensor,
    n_rows: int,
    random_state: np.random.RandomState,
    generator: torch.Generator,
    inference: Inference,
    z: Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of at most n_rows posteriors: 2 of (n_rows, k)."""

    def of_rows(x: Tensor, *z: Tensor) -> Tensor:
        return inference.posterior(module, module.drawn(x, generator), *z).moments

    both = over_blocks(module, of_rows, *_some_rows(x, z, n_rows, random_state))
    mean, std = np.split(both.cpu().numpy(), 2, axis=1)
    return mean, std


def _some_rows(
    x: Tensor, z: Tensor | None, n_rows: int, random_state: np.random.RandomState
) -> list[Tensor]:
    """At most n_rows of the rows of x, by chance, and their latents where known."""
    rows = [x] if z is None else [x, z]
    if len(x) <= n_rows:
        return rows
    chosen = torch.from_numpy(random_state.choice(len(x), n_rows, replace=False))
    return [part[chosen.to(x.device)] for part in rows]
