"""Rows drawn from a prior over latents, and made to be like given rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from .._tables.rows import Table, sample_size
from .._utils.random import SEED_LIMIT
from .marginals import match_columns
from .priors import Prior

# Draws among which a value of a new row is ranked.
_N_RANKED = 10_000


@dataclass(frozen=True)
class Sampler:
    """Where rows come from: latents of the prior, decoded, with noise if there is any.

    decode(Z, y) takes latents (n, k) and conditions to rows (n, d), and
    add_noise(X, Z, y, random_state) draws from the likelihood around these.
    """

    prior: Prior
    decode: Callable[[np.ndarray, Any], np.ndarray]
    add_noise: Callable[..., np.ndarray] | None = None

    def draw(
        self, n_samples: int, random_state: np.random.RandomState, y: Any = None
    ) -> np.ndarray:
        """Rows (n_samples, d), with their conditions in y or with one for all."""
        Z = self.prior.sample(n_samples, random_state)
        X = self.decode(Z, y)
        return X if self.add_noise is None else self.add_noise(X, Z, y, random_state)

    def draw_like(
        self,
        like: np.ndarray | Table,
        n_samples: int,
        random_state: np.random.RandomState,
        y: Any = None,
        y_is_of_all: bool = True,
    ) -> np.ndarray:
        """As draw, with each column distributed as that of like (m, d)."""
        X = self.draw(n_samples, random_state, y)
        # Ranks do not depend on how many rows were asked for, nor on their seed.
        fixed = np.random.RandomState(SEED_LIMIT)
        if not y_is_of_all:
            y = _safe_indexing(y, fixed.randint(len(y), size=_N_RANKED))
        reference = self.draw(_N_RANKED, fixed, y)
        return match_columns(X, reference, _in_memory(like), random_state)


def _in_memory(like: np.ndarray | Table) -> np.ndarray:
    """The rows, or of a table as many as are enough, evenly from start to end."""
    if isinstance(like, Table):
        n_rows = sample_size(*like.shape)
        like = like.take(np.linspace(0, len(like) - 1, n_rows).astype(np.intp))
    if np.isnan(like).any():
        raise ValueError(
            "like has missing values (NaN), which no new value can be like; drop or "
            "impute them."
        )
    return like
