"""Seeds and generators that are handed on, so that no global one is touched."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

SEED_LIMIT = 2**31 - 1


def make_random_state(seed: Any) -> np.random.RandomState:
    """As check_random_state, but None takes fresh entropy, not numpy's global one."""
    return np.random.RandomState() if seed is None else check_random_state(seed)


def some_rows(n_rows: int, n_most: int) -> np.ndarray:
    """Numbers of at most so many rows, by chance: the same ones on every call."""
    return np.random.RandomState(0).permutation(n_rows)[:n_most]
