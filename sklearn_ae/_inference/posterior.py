"""What posteriors tell: draws of latents, and the density of rows and its bound.

New rows go through the module as the estimator lets them: ``compute(method, X, *args,
n_block=n)`` walks over X with a method of the module, n rows at a time.

Shapes: n rows, k latents, S draws.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import Bunch
from torch import Tensor

from .._networks.modules import over_blocks
from .._networks.variational import VariationalAutoencoder
from .._tables.rows import Table, block_rows
from .priors import Prior

Compute = Callable[..., np.ndarray]

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
    compute: Compute, X: np.ndarray | Table, draws: Draws, prior: Prior
) -> np.ndarray:
    """Importance-weighted estimate of each row's log-density: (n,) in nats."""
    total = np.full(len(X), -np.inf)  # log of the sum of the weights
    for eps, n_block in draws:
        part = compute("log_density", X, eps, prior.log_ratio, n_block=n_block)
        np.logaddexp(total, part + math.log(len(eps)), out=total)
    return (total - math.log(draws.n_samples)).astype(X.dtype)


def bound(compute: Compute, X: np.ndarray | Table, draws: Draws) -> Bunch:
    """The evidence lower bound of each row, and its parts, in nats."""
    reconstruction = np.zeros(len(X))
    for eps, n_block in draws:
        part = compute("expected_log_likelihood", X, eps, n_block=n_block)
        reconstruction += len(eps) / draws.n_samples * part
    kl = compute("kl_divergences", X)  # (n, k)
    reconstruction = reconstruction.astype(X.dtype)
    return Bunch(
        elbo=reconstruction - kl.sum(axis=1), reconstruction=reconstruction, kl=kl
    )


def draw_latents(
    mean: np.ndarray,
    std: np.ndarray,
    n_samples: int,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Draws (n_samples, n, k) of posteriors with these moments (n, k)."""
    eps = random_state.standard_normal((n_samples, *mean.shape))
    return mean + std * eps.astype(mean.dtype)


# Standardised rows of a fit -----------------------------------------------------------


def training_draws(
    module: VariationalAutoencoder,
    x: Tensor,
    n_rows: int,
    random_state: np.random.RandomState,
    generator: torch.Generator,
) -> np.ndarray:
    """A draw of the latents of each of at most n_rows of the rows x: (n_rows, k)."""

    def draw(rows: Tensor) -> Tensor:
        return module.draw_posterior(module.drawn(rows, generator), generator)

    rows = _some_rows(x, n_rows, random_state)
    Z = over_blocks(module, draw, rows, block_rows(module.loss_size))
    return Z.cpu().numpy().astype(np.float64)


def training_moments(
    module: VariationalAutoencoder,
    x: Tensor,
    n_rows: int,
    random_state: np.random.RandomState,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of at most n_rows posteriors: 2 of (n_rows, k)."""

    def moments(rows: Tensor) -> Tensor:
        return module.moments(module.drawn(rows, generator))

    both = over_blocks(module, moments, _some_rows(x, n_rows, random_state))
    mean, std = np.split(both.cpu().numpy(), 2, axis=1)
    return mean, std


def _some_rows(x: Tensor, n_rows: int, random_state: np.random.RandomState) -> Tensor:
    """At most n_rows of the rows of x, by chance."""
    if len(x) <= n_rows:
        return x
    chosen = random_state.choice(len(x), n_rows, replace=False)
    return x[torch.from_numpy(chosen).to(x.device)]
