"""Columns of X that a conditional model is told beside the others of their row.

Shapes: n rows, d numbers of columns of the rows' own, m of the conditions.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

from .._utils.processes import current
from .checks import check_unit_interval
from .columns import column_moments
from .conditions import check_has_conditions
from .containers import is_frame, names_of, read_columns
from .rows import ChangedTable, Table, block_rows
from .table_kinds import TableKinds, which_columns

PARAMETER = "condition_columns"


class ConditionColumns:
    """Which columns of X are conditions, and these as numbers of about unit size.

    Numbers are standardised, and levels are indicators, as they are of other columns.

    Parameters
    ----------
    chosen : array-like
        Names, indices or a mask of columns.

    names : sequence of str
        Of the columns of X.

    X : ndarray or Table of shape (n, d + m)
        The rows of `fit` as numbers, in the order of their columns.

    kinds : TableKinds or None
        What its columns are, where these are more than numbers.

    in_unit_interval : bool, default=False
        Whether the others are to be between 0 and 1, as conditions need not be.
    """

    in_unit_interval = False

    def __init__(
        self,
        chosen: Any,
        names: Sequence[str],
        X: np.ndarray | Table,
        kinds: TableKinds | None,
        in_unit_interval: bool = False,
    ):
        self.in_unit_interval = in_unit_interval
        is_chosen = np.array(which_columns(chosen, names, PARAMETER), dtype=bool)
        self.places = np.flatnonzero(is_chosen).tolist()
        self.names = [names[place] for place in self.places]
        self.n_columns = len(names)
        sizes = [1] * len(names)
        self.kinds = self.of_own = None
        if kinds is not None:
            sizes = [kind.n_numbers for kind in kinds.kinds]
            self.kinds = kinds.of_columns(is_chosen).kinds
            self.of_own = kinds.of_columns(~is_chosen)
        of_each = np.arange(len(names)).repeat(sizes)
        self.is_condition = is_chosen[of_each]  # (d + m,)
        if not 0 < self.n_numbers < len(of_each):
            raise ValueError(
                f"{PARAMETER} must leave columns of X to describe, and name at least "
                f"one that is not all missing; got {chosen!r} of {list(names)}."
            )
        # Of which of the condition columns each of their numbers is.
        self.column_of = (np.cumsum(is_chosen) - 1)[of_each][self.is_condition]
        moments = column_moments(X, processes=current())
        means, variances = (part[self.is_condition] for part in moments)
        is_level = np.zeros(self.n_numbers, dtype=bool)
        if kinds is not None:
            is_level = kinds.is_indicator[self.is_condition]
        self.mean = np.where(is_level, 0.0, means)
        self.scale = np.where(is_level | (variances == 0), 1.0, np.sqrt(variances))

    @property
    def n_numbers(self) -> int:
        return int(self.is_condition.sum())

    def is_one_for_all(self, y: Any) -> bool:
        """Whether y is the condition of one row, or the row of a table."""
        return np.ndim(y) == (0 if len(self.names) == 1 else 1)

    # Rows as numbers (n, d + m), in the order of the columns of X ---------------------

    def split(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows' own numbers (n, d), and those of their conditions (n, m)."""
        conditions = X[:, self.is_condition]
        missing = np.isnan(conditions)
        if missing.any():
            row, number = np.argwhere(missing)[0]
            raise ValueError(
                f"{self.names[self.column_of[number]]!r} is one of {PARAMETER}, and "
                f"row {row} has no value there, or a level that was not in fit: every "
                "row needs its conditions."
            )
        return X[:, ~self.is_condition], conditions

    def to_the_end(self, X: np.ndarray | Table) -> np.ndarray | Table:
        """The rows with their conditions behind them, standardised."""
        if isinstance(X, Table):
            return _SplitTable(X, self)
        own, conditions = self.split(X)
        if self.in_unit_interval:
            check_unit_interval(own)
        return np.hstack([own, self._standardized(conditions, X.dtype)])

    def of_rows(self, X: np.ndarray | Table) -> np.ndarray:
        """The conditions (n, m) of rows."""
        blocks = gen_batches(len(X), block_rows(X.shape[1]))
        return np.vstack([self.split(X[block])[1] for block in blocks])

    def whole(self, own: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        """Rows of both."""
        X = np.empty((len(own), len(self.is_condition)), dtype=own.dtype)
        X[:, ~self.is_condition], X[:, self.is_condition] = own, conditions
        return X

    # Conditions of rows to be ---------------------------------------------------------

    def encode(self, y: Any, n_samples: int, dtype: np.dtype) -> np.ndarray:
        """Conditions y of so many rows, or one for them all, standardised: (n, m)."""
        return self._standardized(self.numbers(y, n_samples), dtype)

    def numbers(self, y: Any, n_samples: int) -> np.ndarray:
        """The same as they are: (n, m)."""
        table = self.table(y, n_samples)
        if self.kinds is None:
            numbers = np.asarray(table, dtype=np.float64)
        else:
            columns = read_columns(table)  # of an array they have numbers for names
            numbers = np.hstack(
                [
                    k.encode(replace(column, name=k.name))
                    for k, column in zip(self.kinds, columns, strict=True)
                ]
            )
        unknown = np.isnan(numbers)
        if unknown.any():
            row, number = np.argwhere(unknown)[0]
            name = self.names[self.column_of[number]]
            known = (
                ""
                if self.kinds is None
                else (f"; it has {self.kinds[self.column_of[number]].description}")
            )
            raise ValueError(
                f"y has no value of {name!r} in row {row}, or one that was not in "
                f"fit{known}."
            )
        return np.broadcast_to(numbers, (n_samples, self.n_numbers))

    def table(self, y: Any, n_samples: int) -> Any:
        """Conditions y of so many rows, or one for them all, as a table of columns."""
        if y is None:
            raise ValueError(
                "The conditions of rows to be are missing: give them as y, one row for "
                f"each or one for all, with the columns {self.names}."
            )
        if self.is_one_for_all(y):
            y = np.asarray([y], dtype=object)
        table = self._table(y)
        if len(table) not in (1, n_samples):
            raise ValueError(
                f"y must hold a condition for each of {n_samples} rows; got "
                f"{len(table)}."
            )
        return table

    def _table(self, y: Any) -> Any:
        """y as a table of as many columns: a frame, or an array of objects."""
        n_columns = len(self.names)
        if is_frame(y):
            names = names_of(y)
            check_has_conditions(names, self.names)
            places = [names.index(name) for name in self.names]
            if hasattr(y, "iloc"):
                return y.iloc[:, places]
            return y.select([names[place] for place in places])
        table = np.asarray(y, dtype=object)
        table = table[:, None] if table.ndim == 1 else table
        if table.ndim == 2 and table.shape[1] == self.n_columns:  # whole rows
            table = table[:, self.places]
        if table.ndim != 2 or table.shape[1] != n_columns:
            raise ValueError(
                f"y must have {n_columns} column(s) of conditions, {self.names}; got "
                f"an array of shape {np.shape(y)}."
            )
        return table

    def _standardized(self, conditions: np.ndarray, dtype: Any) -> np.ndarray:
        return ((conditions - self.mean) / self.scale).astype(dtype)


class _SplitTable(ChangedTable):
    """A table of which some columns stand behind the others."""

    def __init__(self, table: Table, conditions: ConditionColumns):
        super().__init__(table)
        self.conditions = conditions

    def _changed(self, block: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        both = self.conditions.to_the_end(block)
        assert isinstance(both, np.ndarray)
        return both
