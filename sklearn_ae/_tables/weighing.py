"""Weights of rows: how often each of them counts.

Whole weights count copies, and rows are repeated by them. Other weights, which matter
up to a factor, have a mean of one: statistics are weighted, and every epoch of a
training has a row as often as its weight says, the fraction by lot.
"""

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from .._utils.processes import ALONE, Processes
from .rows import is_lazy, is_long
from .table_kinds import gives_frames

# Whole weights of a higher mean are no counts of copies, but of what rows stand for.
_MOST_COPIES = 10


def check_weights(
    sample_weight: Any, n_samples: int, processes: Processes = ALONE
) -> np.ndarray:
    """Weights (n,) of as many rows, in double precision."""
    weights = np.asarray(sample_weight)
    if weights.dtype == object or weights.dtype.kind not in "fiub":
        try:
            weights = weights.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"sample_weight must hold numbers: {error}.") from error
    weights = weights.astype(np.float64)
    if weights.ndim == 0:
        weights = np.full(n_samples, weights)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight must be of shape ({n_samples},), one weight for each "
            f"row of X; got {weights.shape}."
        )
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"sample_weight must be finite and not negative; it is {weights[row]} in "
            f"row {row}."
        )
    if not processes.any(bool(weights.any())):
        raise ValueError(
            "sample_weight is zero for all rows: at least one sample must have a "
            "weight above zero."
        )
    return weights


def weigh(
    X: Any, y: Any, sample_weight: Any, processes: Processes = ALONE
) -> tuple[Any, Any, np.ndarray | None]:
    """Rows that count, with their targets, and their weights unless these are one.

    Rows of weight zero are gone, and those of whole weights stand there repeatedly.
    Several processes have weights, of what is theirs of the rows, or all have none.
    """
    if sample_weight is None:
        return X, y, None
    weights = check_weights(sample_weight, _num_samples(X), processes)
    is_fraction = processes.any(bool((weights != np.round(weights)).any()))
    if not is_fraction and _mean(weights, processes) <= _MOST_COPIES:
        if not processes.any(bool((weights != 1).any())):
            return X, y, None
        index = np.repeat(np.arange(len(weights)), weights.astype(np.int64))
        return _rows(X, index), _rows(y, index), None
    index = np.flatnonzero(weights)
    if len(index) < len(weights):
        X, y, weights = _rows(X, index), _rows(y, index), weights[index]
    # By the largest first: sums of weights of any size stay finite.
    weights = weights / max(processes.gather(weights.max(initial=0.0)))
    if not processes.any(bool((weights != 1).any())):
        return X, y, None
    return X, y, weights / _mean(weights, processes)


def _mean(weights: np.ndarray, processes: Processes) -> float:
    """Of the weights (n,) in all processes."""
    parts = processes.gather((weights.sum(), len(weights)))
    total, n = (sum(part) for part in zip(*parts, strict=True))
    return total / n


def mean_score(scores: np.ndarray, sample_weight: Any) -> float:
    """The mean of the rows' scores (n,)."""
    if sample_weight is None:
        return float(np.mean(scores, dtype=np.float64))
    weights = check_weights(sample_weight, len(scores))
    counts = weights > 0  # nothing is known of the others, not even that it is finite
    weights = weights[counts] / weights.max()
    return float(
        np.average(np.asarray(scores, dtype=np.float64)[counts], weights=weights)
    )


def _rows(X: Any, index: np.ndarray) -> Any:
    if X is None:
        return None
    if is_lazy(X) or (isinstance(X, np.ndarray) and X.ndim == 2 and is_long(X)):
        of_kind = _ChosenFrames if gives_frames(X) else _ChosenRows
        return of_kind(X, index)
    if not hasattr(X, "__getitem__"):
        X = np.asarray(X)
    return _safe_indexing(X.tocsr() if issparse(X) else X, index)


class _ChosenRows:
    """Rows of a table that is read in slices, with these numbers in rising order."""

    def __init__(self, X: Any, index: np.ndarray):
        self.X = X
        self.index = index
        self.shape = len(index), X.shape[1]
        self.dtype = X.dtype
        if hasattr(X, "columns"):
            self.columns = X.columns

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: slice) -> np.ndarray:
        near, places = self._span(rows)
        return np.asarray(self.X[near])[places]

    def _span(self, rows: slice) -> tuple[slice, np.ndarray]:
        """A slice of the table that has the rows, and where they are in it."""
        index = self.index[rows]
        if not len(index):
            return slice(0, 0), index
        first = int(index[0])
        return slice(first, int(index[-1]) + 1), index - first


class _ChosenFrames(_ChosenRows):
    """The same of a table that gives its rows as frames."""

    def to_arrow(self, rows: slice = slice(None)) -> Any:
        near, places = self._span(rows)
        return self.X.to_arrow(near).take(places)


def order_of_content(X: np.ndarray) -> np.ndarray | None:
    """An order of the rows (n, d) that follows from what these are, if some repeat.

    Copies of a row may stand anywhere, or be a weight: to a fit that is to be the same.
    """
    rows = np.ascontiguousarray(X) + X.dtype.type(0.0)  # zeros have no sign
    keys = rows.view(f"V{rows.itemsize * rows.shape[1]}")[:, 0]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    return order if (keys[1:] == keys[:-1]).any() else None
