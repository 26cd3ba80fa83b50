"""What a conditional model is told beside each row: labels or a table, as numbers."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.multiclass import type_of_target

from .._utils.processes import current
from .columns import pooled_moments
from .containers import read_columns
from .kinds import other_zone


@dataclass(frozen=True)
class _Column:
    """Conditions of one kind.

    Parameters
    ----------
    name : str
        What an error calls them.

    values : ndarray of shape (n_samples,)
        Labels, or numbers; of times microseconds.

    is_time, has_zone : bool
        Whether they are times, and whether these have a time zone.
    """

    name: str
    values: np.ndarray
    is_time: bool = False
    has_zone: bool = False


class Conditions:
    """Conditions as numbers of about unit size: (n_samples, n_numbers).

    Labels become one column of zeros and ones each. Numbers are standardised. One
    column alone holds numbers where it is continuous and labels otherwise; in a table,
    columns of a numeric type hold numbers and all others labels. Times are numbers.
    """

    def __init__(self, y: Any):
        columns, self.names = _columns(y)
        self.is_table = np.ndim(y) == 2
        self.encoders = [_encoder(column, self.is_table) for column in columns]
        self.n_numbers = sum(encoder.n_numbers for encoder in self.encoders)

    def is_one_for_all(self, y: Any) -> bool:
        """Whether y is the condition of one row, or the row of a table."""
        return np.ndim(y) == (1 if self.is_table else 0)

    def encode(self, y: Any, n_samples: int, dtype: np.dtype) -> np.ndarray:
        """The conditions of n_samples rows; one condition alone is that of them all."""
        if self.is_one_for_all(y):
            y = np.asarray(y, dtype=object)[None] if self.is_table else [y]
        columns, names = _columns(y)
        if len(columns) != len(self.encoders):
            raise ValueError(
                f"y must have {len(self.encoders)} columns of conditions, as in fit; "
                f"got {len(columns)}."
            )
        if None not in (names, self.names) and names != self.names:
            raise ValueError(
                f"The columns of y must be {self.names}, as in fit; got {names}."
            )
        n_given = len(columns[0].values)
        if n_given not in (1, n_samples):
            raise ValueError(
                f"y must hold a condition for each of {n_samples} rows; got {n_given}."
            )
        parts = [
            encoder.encode(column)
            for encoder, column in zip(self.encoders, columns, strict=True)
        ]
        numbers = np.concatenate(parts, axis=1).astype(dtype)  # (n or 1, m)
        return np.broadcast_to(numbers, (n_samples, self.n_numbers))


def conditions_by_name(y: Mapping[Any, Any], names: Sequence[Any] | None) -> np.ndarray:
    """A dict from names to a value for all rows or one for each: a row, or rows."""
    if names is None:
        raise ValueError(
            "y may be a dict where the conditions of fit had names: those of a frame, "
            "or of condition_columns."
        )
    by_name = {str(name): value for name, value in y.items()}
    known = [str(name) for name in names]
    check_has_conditions(list(by_name), known)
    values = [by_name[name] for name in known]
    if not any(map(np.ndim, values)):
        return np.array(values, dtype=object)
    columns = [  # with None, a cell that is a list stays one
        np.array([*(value if np.ndim(value) else [value]), None], dtype=object)[:-1]
        for value in values
    ]
    lengths = {len(column) for column in columns}
    if len(lengths - {1}) > 1:
        raise ValueError(
            f"y holds conditions of different numbers of rows: {sorted(lengths)}."
        )
    return np.column_stack(np.broadcast_arrays(*columns))


def check_has_conditions(found: list[str], names: list[str]) -> None:
    """Raise where conditions are not among the columns of y."""
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"y has the columns {found}, and lacks the conditions {missing}."
        )


class _Labels:
    def __init__(self, column: _Column):
        own = np.unique(column.values)
        self.labels = np.unique(np.concatenate(current().gather_known(own)))

    @property
    def n_numbers(self) -> int:
        return len(self.labels)

    def encode(self, column: _Column) -> np.ndarray:
        places = {label: i for i, label in enumerate(self.labels.tolist())}
        values = column.values.tolist()
        codes = np.array([places.get(value, -1) for value in values])
        if (codes < 0).any():
            unknown = values[int(np.argmin(codes))]
            raise ValueError(
                f"y holds {unknown!r}, which was not in fit; there were {[*places]}."
            )
        indicators = np.zeros((len(codes), len(places)))
        indicators[np.arange(len(codes)), codes] = 1.0
        return indicators


class _Numbers:
    n_numbers = 1
    # Of times; what are none, and files of older versions, do not say.
    has_zone: bool | None = None

    def __init__(self, column: _Column):
        if column.is_time:
            self.has_zone = column.has_zone
        numbers = column.values.astype(np.float64)
        own = len(numbers), numbers.mean(), numbers.var()
        self.mean, variance = pooled_moments(*np.array(current().gather_known(own)).T)
        self.scale = np.sqrt(variance) or 1.0

    def encode(self, column: _Column) -> np.ndarray:
        if column.is_time and self.has_zone not in (None, column.has_zone):
            raise ValueError(other_zone(column.name, column.has_zone, "in fit"))
        try:
            numbers = column.values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must hold numbers, as in fit: {error}.") from error
        return ((numbers - self.mean) / self.scale)[:, None]  # (n, 1)


def _columns(y: Any) -> tuple[list[_Column], list | None]:
    """The columns of labels (n,) or of a table (n, .), and the names of a frame's."""
    names: list | None = None
    if hasattr(y, "iloc") and np.ndim(y) == 2:
        names = list(y.columns)
        columns = [_column(str(name), y[name]) for name in names]
    else:
        table = np.asarray(y)
        if table.ndim not in (1, 2) or table.size == 0:
            raise ValueError(
                "y must hold one condition or a row of conditions for each row of X; "
                f"got an array of shape {table.shape}."
            )
        cells = [y] if table.ndim == 1 else table.T
        columns = [_column("y", column) for column in cells]
    for column in columns:
        if any(map(_is_missing, column.values.tolist())):
            raise ValueError("y has missing values; every row needs its conditions.")
        if column.values.dtype.kind == "f" and not np.isfinite(column.values).all():
            raise ValueError("y has infinite values.")
    return columns, names


def _column(name: str, cells: Any) -> _Column:
    """Cells (n,) in a type of their own, whatever their table holds besides."""
    values = np.asarray(cells)
    kind = values.dtype.kind
    if kind == "M" and hasattr(cells, "to_list"):
        # An array of numpy's has lost the zone that a series of polars has.
        values, kind = np.array([*cells.to_list(), None], dtype=object)[:-1], "O"
    if kind in "mM":
        us = values.astype(f"{kind}8[us]").astype(np.float64)
        return _Column(name, np.where(np.isnat(values), np.nan, us), is_time=True)
    if kind != "O":
        return _Column(name, values)
    objects = values.tolist()
    if all(isinstance(v, Real) and not isinstance(v, bool) for v in objects):
        return _Column(name, np.array(objects))
    if all(isinstance(v, _TIMES) for v in objects):
        read = read_columns(values[:, None])[0]
        return _Column(name, read.values, is_time=True, has_zone=read.has_zone)
    return _Column(name, values)


# What times are as objects; those of pandas are too, its missing one among them.
_TIMES = (dt.date, dt.time, dt.timedelta, np.datetime64, np.timedelta64)


def _is_missing(value: Any) -> bool:
    """Whatever does not equal itself is missing, or cannot say so, as pandas' NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def _encoder(column: _Column, is_of_table: bool) -> _Labels | _Numbers:
    if column.is_time:
        holds_numbers = True
    elif is_of_table:
        holds_numbers = column.values.dtype.kind in "fiu"
    else:
        holds_numbers = type_of_target(column.values) == "continuous"
    holds_numbers = any(current().gather_known(holds_numbers))
    return _Numbers(column) if holds_numbers else _Labels(column)
