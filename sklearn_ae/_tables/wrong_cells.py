"""Which cell is wrong, where scikit-learn says that one is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import issparse

from .containers import has_times, is_frame, quoted, read_columns
from .kinds import NUMBERS, other_type


@contextmanager
def naming_cells(X: Any, first_row: int = 0) -> Iterator[None]:
    """Add to an error about rows of numbers which column it is about, and which row.

    Parameters
    ----------
    X : array-like
        The rows that are checked.

    first_row : int, default=0
        Where they begin in their table.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        found = wrong_cell(X, first_row)
        if found is None:
            raise
        raise ValueError(f"{str(error).rstrip('.')}. {found}") from error


def check_hold_no_times(X: Any) -> None:
    """Raise where columns of a frame are dates or durations, which pass for numbers."""
    if has_times(X) and (found := wrong_cell(X)):
        raise ValueError(found)


def wrong_cell(X: Any, first_row: int = 0) -> str | None:
    """Say what of X is no row of finite numbers, if that is so."""
    if issparse(X):
        cells = X.tocoo()
        places = np.flatnonzero(np.isinf(cells.data))
        if not len(places):
            return None
        return _infinite(f"column {cells.col[places[0]]}", cells.row[places[0]])
    table = X
    if not is_frame(X):
        table = _as_array(X)
        if table is None:
            return None
        if table.ndim > 2:
            return (
                "Pictures are rows of X: give X.reshape(len(X), -1), and for "
                f"convolutions image_shape={table.shape[1:]}."
            )
        if table.ndim < 2:
            if table.dtype.kind in "fiub":
                return None  # which the error has said
            return (
                "X must be a table of rows and columns; got "
                f"{type(X).__name__} of {table.ndim} dimensions."
            )
        if table.dtype.kind == "f":
            rows, columns = np.nonzero(np.isinf(table))
            if not len(rows):
                return None
            return _infinite(f"column {columns[0]}", first_row + rows[0])
        if table.dtype.kind not in "OU":
            return None
        table = table.astype(object)
    for column in read_columns(table):  # raises where a cell is no value
        if column.type not in NUMBERS and not column.is_missing.all():
            return other_type(column, "float")
        if column.is_numeric and np.isinf(column.values).any():
            return _infinite(column.name, int(np.argmax(np.isinf(column.values))))
    return None


def _as_array(X: Any) -> np.ndarray | None:
    try:
        return np.asarray(X)
    except (TypeError, ValueError):
        return None


def _infinite(name: str, row: int) -> str:
    return f"{quoted(name)} has an infinite value in row {row}."
