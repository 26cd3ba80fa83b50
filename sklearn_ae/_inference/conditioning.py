"""Rows of which some cells are given: latents by their weights, then the cells.

Latents of the prior are weighted by the probability that their rows hold what is given
(self-normalised importance resampling), and the given cells are drawn from what is left
of their distributions. The other cells follow the latents.

Shapes: n rows, d numbers of a row.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr, ndtri

from .._networks.column_likelihoods import log_interval
from .._tables.given import Given, GivenShares
from .._utils.warnings import warn

# Draws of the prior at a time and in all, and how many of them count for each row.
_AT_ONCE, _AT_MOST = 10_000, 500_000
_FOR_EACH = 2
# A probability of rows such as those given that is as good as none.
_LEAST_PROBABILITY = 1e-9


@dataclass(frozen=True)
class GivenSampler:
    """Draws rows whose cells hold what is given.

    Parameters
    ----------
    draw : callable
        ``draw(n)``: rows of numbers (n, d) for latents of the prior, without noise, and
        the noise's scale of each number (n, d); 0 of shares, by which levels are drawn.

    given : list
        What cells are to hold.
    """

    draw: Callable[[int], tuple[np.ndarray, np.ndarray]]
    given: Given

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Rows (n_samples, d), with noise, of which given levels are certain."""
        X, scale = self._resampled(n_samples, random_state)
        drawn = X + scale * random_state.standard_normal(X.shape)
        for part in self.given:
            if isinstance(part, GivenShares):
                shares = np.where(part.is_allowed, part.shares(X), 0.0)
                shares /= shares.sum(axis=1, keepdims=True)
                drawn[:, part.numbers] = shares[:, -drawn[:, part.numbers].shape[1] :]
            else:
                i = part.number
                drawn[:, i] = draw_within(
                    X[:, i], scale[:, i], part.lower, part.upper, random_state
                )
        return drawn

    def _resampled(
        self, n_samples: int, random_state: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the prior and their scales, by their weights."""
        rows: list[np.ndarray] = []
        scales: list[np.ndarray] = []
        logs: list[np.ndarray] = []
        n_drawn, effective = 0, 0.0
        while n_drawn < _AT_MOST and effective < _FOR_EACH * n_samples:
            X, scale = self.draw(_AT_ONCE)
            log_weights = self._log_weights(X, scale)
            n_drawn += len(X)
            is_possible = log_weights > -np.inf
            rows.append(X[is_possible])
            scales.append(scale[is_possible])
            logs.append(log_weights[is_possible])
            of_all = np.concatenate(logs)
            if len(of_all):
                weights = np.exp(of_all - of_all.max())
                effective = weights.sum() ** 2 / np.square(weights).sum()
        if not len(of_all) or (
            np.exp(of_all).sum() / n_drawn < _LEAST_PROBABILITY and not self._is_point
        ):
            raise ValueError(
                "given: the model gives such rows no probability: of "
                f"{n_drawn} draws none is near to what the columns are to hold."
            )
        if effective < n_samples / 10:
            warn(
                f"Rows such as those given are rare: the {n_samples} rows come from "
                f"about {effective:.0f} different latents.",
                UserWarning,
            )
        # Even steps along the weights: none is taken more often than it is due.
        edges = np.cumsum(weights)
        places = (np.arange(n_samples) + random_state.uniform()) * edges[-1] / n_samples
        chosen = np.searchsorted(edges, places).clip(0, len(edges) - 1)
        chosen = random_state.permutation(chosen)
        return np.concatenate(rows)[chosen], np.concatenate(scales)[chosen]

    @property
    def _is_point(self) -> bool:
        """Whether a weight is a density, whose size says nothing."""
        return any(
            not isinstance(part, GivenShares) and part.lower == part.upper
            for part in self.given
        )

    def _log_weights(self, X: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Log of the probability, or density, of what is given: (n,)."""
        total = np.zeros(len(X))
        for part in self.given:
            if isinstance(part, GivenShares):
                allowed = part.shares(X) @ part.is_allowed
                with np.errstate(divide="ignore"):
                    total += np.log(np.clip(allowed, 0.0, 1.0))
                continue
            mean, sigma = X[:, part.number], scale[:, part.number]
            lower, upper = (part.lower - mean) / sigma, (part.upper - mean) / sigma
            if part.lower == part.upper:
                total += -0.5 * np.square(lower) - np.log(sigma)
            else:
                ends = (
                    torch.from_numpy(np.clip(end, -1e6, 1e6)) for end in (lower, upper)
                )
                total += log_interval(*ends).numpy()
        return total


def draw_within(
    mean: np.ndarray,
    sigma: np.ndarray,
    lower: float,
    upper: float,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Normal numbers with these means (n,), all of them from lower to upper."""
    low, high = (lower - mean) / sigma, (upper - mean) / sigma
    # In the lower tail, where probabilities keep their digits.
    is_above = low + high > 0
    low, high = np.where(is_above, -high, low), np.where(is_above, -low, high)
    share = random_state.uniform(size=len(mean))
    steps = ndtri(ndtr(low) + share * (ndtr(high) - ndtr(low)))
    # Beyond the digits of a probability, the nearer end has all of it.
    steps = np.clip(np.where(np.isfinite(steps), steps, high), low, high)
    return np.clip(mean + sigma * np.where(is_above, -steps, steps), lower, upper)
