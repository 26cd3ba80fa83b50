"""What a conditional model is told beside each row: labels or a table, as numbers."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.multiclass import type_of_target

from .._utils.processes import current
from .columns import pooled_moments

Column = np.ndarray  # (n_samples,)


class Conditions:
    """Conditions as numbers of about unit size: (n_samples, n_numbers).

    Labels become one column of zeros and ones each. Numbers are standardised. One
    column alone holds numbers where it is continuous and labels otherwise; in a table,
    columns of a numeric type hold numbers and all others labels.
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
        if len(columns[0]) not in (1, n_samples):
            raise ValueError(
                f"y must hold a condition for each of {n_samples} rows; got "
                f"{len(columns[0])}."
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
    def __init__(self, column: Column):
        own = np.unique(column)
        self.labels = np.unique(np.concatenate(current().gather_known(own)))

    @property
    def n_numbers(self) -> int:
        return len(self.labels)

    def encode(self, column: Column) -> np.ndarray:
        places = {label: i for i, label in enumerate(self.labels.tolist())}
        codes = np.array([places.get(value, -1) for value in column.tolist()])
        if (codes < 0).any():
            unknown = column.tolist()[int(np.argmin(codes))]
            raise ValueError(
                f"y holds {unknown!r}, which was not in fit; there were {[*places]}."
            )
        indicators = np.zeros((len(codes), len(places)))
        indicators[np.arange(len(codes)), codes] = 1.0
        return indicators


class _Numbers:
    n_numbers = 1

    def __init__(self, column: Column):
        numbers = column.astype(np.float64)
        own = len(numbers), numbers.mean(), numbers.var()
        self.mean, variance = pooled_moments(*np.array(current().gather_known(own)).T)
        self.scale = np.sqrt(variance) or 1.0

    def encode(self, column: Column) -> np.ndarray:
        try:
            numbers = column.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"y must hold numbers, as in fit: {error}.") from error
        return ((numbers - self.mean) / self.scale)[:, None]  # (n, 1)


def _columns(y: Any) -> tuple[list[Column], list | None]:
    """The columns of labels (n,) or of a table (n, .), and the names of a frame's."""
    if hasattr(y, "iloc") and np.ndim(y) == 2:
        columns = [np.asarray(y[name]) for name in y.columns]
        names = list(y.columns)
    else:
        table = np.asarray(y)
        if table.ndim not in (1, 2) or table.size == 0:
            raise ValueError(
                "y must hold one condition or a row of conditions for each row of X; "
                f"got an array of shape {table.shape}."
            )
        columns, names = list(table.reshape(len(table), -1).T), None
    columns = [_typed(column) for column in columns]
    for column in columns:
        if any(map(_is_missing, column.tolist())):
            raise ValueError("y has missing values; every row needs its conditions.")
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise ValueError("y has infinite values.")
    return columns, names


def _typed(column: Column) -> Column:
    """The column in a type of its own, whatever its table holds besides."""
    if column.dtype.kind in "mM":
        return np.where(np.isnat(column), np.nan, column.astype("i8").astype("f8"))
    if column.dtype != object:
        return column
    values = column.tolist()
    if all(isinstance(v, Real) and not isinstance(v, bool) for v in values):
        return np.array(values)
    if all(hasattr(v, "isoformat") for v in values):
        moments = np.array(values, dtype="datetime64[us]")
        return moments.astype(np.int64).astype(np.float64)
    return column


def _is_missing(value: Any) -> bool:
    """Whatever does not equal itself is missing, or cannot say so, as pandas' NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def _encoder(column: Column, is_of_table: bool) -> _Labels | _Numbers:
    if is_of_table:
        holds_numbers = column.dtype.kind in "fiu"
    else:
        holds_numbers = type_of_target(column) == "continuous"
    holds_numbers = any(current().gather_known(holds_numbers))
    return _Numbers(column) if holds_numbers else _Labels(column)
