"""Columns of drawn rows, made to be distributed as the columns of given rows."""

import numpy as np


def match_columns(
    X: np.ndarray,
    reference: np.ndarray,
    like: np.ndarray,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Give each column of X (n, d) the distribution that it has in like (m, d).

    A value's rank is its rank in the reference (r, d), rows that come from where X
    comes from, and it becomes the value of that rank in like; where values hardly
    repeat, one between two of them, but a whole number where all are. The order in a
    column, and with it the dependence between columns, stays as it was.
    """
    result = np.empty_like(X)
    for j in range(X.shape[1]):
        drawn, values = np.sort(reference[:, j]), np.sort(like[:, j])
        low = np.searchsorted(drawn, X[:, j], side="left")  # (n,)
        high = np.searchsorted(drawn, X[:, j], side="right")
        # Equal values share their ranks, and between two ranks every place is as good.
        rank = low + random_state.uniform(size=len(X)) * (high - low + 1)
        place = rank * (len(values) / (len(drawn) + 1))  # from 0 to m
        if _repeats(values):
            # Just below m is m after rounding.
            result[:, j] = values[np.minimum(place.astype(np.intp), len(values) - 1)]
            continue
        between = np.interp(place - 0.5, np.arange(len(values)), values)
        is_whole = np.array_equal(values, np.rint(values))
        result[:, j] = np.rint(between) if is_whole else between
    return result


def _repeats(values: np.ndarray) -> bool:
    """Whether sorted values are those of a grid, on which there is nothing between."""
    n_distinct = 1 + int(np.count_nonzero(np.diff(values)))
    return 2 * n_distinct <= len(values)
