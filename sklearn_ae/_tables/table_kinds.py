"""A table whose columns are of several kinds: its cells as numbers, and back."""

import copy
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
from sklearn.utils import gen_batches

from .._utils.types import Auto
from .containers import (
    Array,
    Frame,
    RawColumn,
    check_names,
    has_only_floats,
    is_frame,
    read_columns,
    rows_of,
)
from .kinds import (
    ColumnSummary,
    Kind,
    kind_of,
    summaries_of_all,
    summaries_together,
)
from .patterns import MissingPatterns
from .rows import block_rows, is_lazy

# Of arrays, what is more than numbers.
_MORE_THAN_NUMBERS = (str, np.datetime64, np.timedelta64, dt.timedelta)
NOTHING_KNOWN = "X has no cell that is not missing; there is nothing to learn from."


class ColumnKinds(list):
    """What each column of a table was taken for: a list of pairs of name and kind.

    Printed, or shown in a notebook, it is a small table.
    """

    def __repr__(self) -> str:
        width = max((len(str(name)) for name, _ in self), default=0)
        return "\n".join(f"{name!s:<{width}}  {kind}" for name, kind in self)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(str(name))}</td><td>{escape(kind)}</td></tr>"
            for name, kind in self
        )
        head = "<tr><th>column</th><th>taken for</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


class TableKinds:
    """The kinds of a table's columns, as they were in `fit`.

    Parameters
    ----------
    X : DataFrame, Table or ndarray of object
        The rows of `fit`, or what gives them in blocks.

    categorical_features : "from_dtype", array-like or None
        Which columns are categories, besides those whose type says so.

    column_maps : "quantile" or None
        Whether numbers are scores by a map of each column. Which cells of a row are
        missing is then a part of the row, with numbers behind those of the columns.
        Of rows in memory alone.

    min_frequency : int, float or "auto"
        How many cells, or which share of them, hold a level that is not rare.
    """

    def __init__(
        self,
        X: Any,
        categorical_features: Any = "from_dtype",
        column_maps: str | None = None,
        min_frequency: float | Auto = "auto",
    ):
        self.has_maps = column_maps is not None
        summaries: list[ColumnSummary] | None = None
        for start, block in _blocks(X):
            columns = columns_of(block)
            chosen = _chosen(categorical_features, [column.name for column in columns])
            if categorical_features is None:
                _check_no_text(columns)
            here = list(map(ColumnSummary.of, columns, chosen))
            if summaries is not None:
                here = summaries_together(summaries, here, f"the rows from {start} on")
            summaries = here
        assert summaries is not None  # one block there is
        self.container = _container_of(block)
        mapped = columns if self.has_maps else [None] * len(columns)
        self.kinds: list[Kind] = [
            kind_of(summary, column, min_frequency)
            for summary, column in zip(summaries_of_all(summaries), mapped, strict=True)
        ]
        self.patterns = MissingPatterns.of(columns) if self.has_maps else None
        if not self.n_numbers:
            raise ValueError(NOTHING_KNOWN)

    def of_columns(self, is_chosen: np.ndarray) -> "TableKinds":
        """The same of some of the columns."""
        part = copy.copy(self)
        part.kinds = [
            kind for kind, is_one in zip(self.kinds, is_chosen, strict=True) if is_one
        ]
        return part

    @property
    def n_numbers(self) -> int:
        return self._of_columns + self._of_patterns

    @property
    def _of_columns(self) -> int:
        return sum(kind.n_numbers for kind in self.kinds)

    @property
    def _of_patterns(self) -> int:
        return 0 if self.patterns is None else self.patterns.n_numbers

    @property
    def number_names(self) -> list[str]:
        names = [name for kind in self.kinds for name in kind.number_names]
        return names if self.patterns is None else names + self.patterns.number_names

    @property
    def columns(self) -> ColumnKinds:
        return ColumnKinds((kind.name, kind.description) for kind in self.kinds)

    @property
    def are_mapped_numbers(self) -> bool:
        """Whether this is of an array of numbers, all with maps."""
        is_array = isinstance(self.container, Array) and self.container.dtype != object
        return (
            is_array
            and self.has_maps
            and not self.is_indicator[: self._of_columns].any()
        )

    @property
    def is_indicator(self) -> np.ndarray:
        """Which numbers say whether a cell has a level: (n_numbers,)."""
        return self._of_numbers([*(kind.is_indicator for kind in self.kinds), True])

    @property
    def is_share(self) -> np.ndarray:
        """Which numbers are shares of levels or of what is true: (n_numbers,)."""
        return self._of_numbers([*(kind.is_share for kind in self.kinds), True])

    @property
    def cell_of(self) -> np.ndarray:
        """Which cell of a row each number is of: (n_numbers,)."""
        return self._of_numbers(range(len(self.kinds) + 1))

    def _of_numbers(self, of_kinds: Sequence[Any]) -> np.ndarray:
        """What is said of kinds, and last of patterns, for each of their numbers."""
        numbers = [*(kind.n_numbers for kind in self.kinds), self._of_patterns]
        return np.repeat(of_kinds, numbers)

    def numbers_of(self, i: int) -> slice:
        """The numbers of the column at this place."""
        start = sum(kind.n_numbers for kind in self.kinds[:i])
        return slice(start, start + self.kinds[i].n_numbers)

    @property
    def groups(self) -> list[slice]:
        """Numbers that are shares of one whole: of levels, or of patterns."""
        groups = [
            self.numbers_of(i) for i, kind in enumerate(self.kinds) if kind.is_indicator
        ]
        if self.patterns is not None:
            groups.append(slice(self._of_columns, self.n_numbers))
        return groups

    @property
    def have_units(self) -> bool:
        """Whether all columns are numbers, whose units may be compared."""
        return all(kind.has_unit for kind in self.kinds)

    def encode(self, X: Any, first_row: int = 0) -> np.ndarray:
        """The cells of rows as numbers (n, n_numbers), NaN where they are missing.

        Of a block of rows an error says which row it is of the whole.
        """
        columns = [replace(column, first_row=first_row) for column in columns_of(X)]
        parts = [
            kind.encode(column)
            for kind, column in zip(self.kinds, columns, strict=True)
        ]
        if self.patterns is not None:
            parts.append(self.patterns.encode(columns))
        return np.hstack(parts)

    def decode(
        self,
        numbers: np.ndarray,
        random_state: np.random.RandomState | None = None,
        like: Any = None,
    ) -> Any:
        """A table such as that of `fit`, for numbers (n, n_numbers).

        With a generator levels are drawn by their probabilities, and so is which cells
        are missing; else levels are the likeliest, and no cell is missing. Rows are
        named as those of another frame.
        """
        columns = self._decode(numbers, random_state)
        if self.patterns is not None and random_state is not None:
            shares = numbers[:, self._of_columns :]
            columns = self.patterns.blank(columns, shares, random_state)
        return self.container.restore(columns, rows_of(like))

    def fill(self, X: Any, numbers: np.ndarray, random_state: Any = None) -> Any:
        """The table X with missing cells, and no others, as these numbers have them."""
        if gives_frames(X):
            X = X.to_arrow()
        container = _container_of(X)
        rows = X if isinstance(container, Frame) else _objects_of(X)
        return container.fill(rows, self._decode(numbers, random_state))

    def _decode(self, numbers: np.ndarray, random_state: Any) -> list[RawColumn]:
        ends = np.cumsum([kind.n_numbers for kind in self.kinds])
        parts = np.split(numbers, ends, axis=1)[: len(self.kinds)]
        return [
            kind.decode(part, random_state)
            for kind, part in zip(self.kinds, parts, strict=True)
        ]


def gives_frames(X: Any) -> bool:
    """Whether X is a table in files that gives its rows, in blocks, as frames."""
    return is_lazy(X) and hasattr(X, "to_arrow")


def _blocks(X: Any) -> Iterator[tuple[int, Any]]:
    """The rows of a table and where they begin: in blocks where it is in files."""
    if not gives_frames(X) or not len(X):
        yield 0, X.to_arrow() if gives_frames(X) else X
        return
    for rows in gen_batches(len(X), block_rows(X.shape[1])):
        yield rows.start, X.to_arrow(rows)


def fill_numbers(X: Any, numbers: np.ndarray) -> Any:
    """A frame of numbers whose missing cells, and no others, are as in (n, d)."""
    columns = [
        RawColumn(column.name, "float", made.astype(np.float64))
        for column, made in zip(read_columns(X), numbers.T, strict=True)
    ]
    return Frame(X).fill(X, columns)


def needs_kinds(X: Any) -> bool:
    """Whether X holds more than numbers: text, categories, dates, types of integers."""
    if gives_frames(X):
        return X.dtype == object
    if is_frame(X):
        check_names(X)
        return not has_only_floats(X)
    X = _as_objects(X)
    if X is None:
        return False
    return any(
        isinstance(value, _MORE_THAN_NUMBERS) or hasattr(value, "isoformat")
        for value in X.ravel().tolist()
    )


def _as_objects(X: Any) -> np.ndarray | None:
    """Rows of Python's objects, where they are no array of numbers."""
    if isinstance(X, list | tuple):
        array = np.asarray(X, dtype=object)
    elif isinstance(X, np.ndarray) and X.dtype.kind in "OUMm":
        array = X.astype(object)
    else:
        return None
    return array if array.ndim == 2 else None


def _objects_of(X: Any) -> np.ndarray:
    array = _as_objects(X)
    return np.asanyarray(X, dtype=object) if array is None else array


def columns_of(X: Any, input_name: str = "X") -> list[RawColumn]:
    """The columns of a frame, of an array of numbers, or of rows of objects."""
    if isinstance(X, np.ndarray) and X.dtype.kind == "f":
        columns = [
            RawColumn(f"column {i}", "float", values, is_single=X.dtype == np.float32)
            for i, values in enumerate(X.T.astype(np.float64))
        ]
    else:
        columns = read_columns(X if is_frame(X) else _objects_of(X))
    if not columns or not len(columns[0].values):
        raise ValueError(
            f"{input_name} must have at least one row and one column; got a table with "
            f"{len(X)} rows and {len(columns)} columns."
        )
    return columns


def _container_of(X: Any) -> Frame | Array:
    return Frame(X) if is_frame(X) else Array(getattr(X, "dtype", object))


def _chosen(categorical_features: Any, names: Sequence[str]) -> list[bool]:
    """Which columns were named as categories, by names, places or a mask."""
    if categorical_features is None or isinstance(categorical_features, str):
        if categorical_features not in (None, "from_dtype"):
            raise ValueError(_expected(categorical_features))
        return [False] * len(names)
    return which_columns(categorical_features, names, "categorical_features")


def which_columns(given: Any, names: Sequence[str], parameter: str) -> list[bool]:
    """Which columns a parameter gives by names, places or a mask."""
    chosen = np.asarray(given)
    if chosen.size == 0:
        return [False] * len(names)
    if chosen.dtype.kind == "b":
        if chosen.shape != (len(names),):
            raise ValueError(
                f"{parameter} is a mask of shape {chosen.shape}, and X has "
                f"{len(names)} columns."
            )
        return chosen.tolist()
    if chosen.dtype.kind in "iu":
        wrong = chosen[(chosen < 0) | (chosen >= len(names))]
        if len(wrong):
            raise ValueError(
                f"{parameter} has the index {wrong[0]}, and X has columns "
                f"0 to {len(names) - 1}."
            )
        return [i in chosen for i in range(len(names))]
    unknown = [str(name) for name in chosen.tolist() if str(name) not in names]
    if chosen.dtype.kind not in "UO" or unknown:
        raise ValueError(
            f"{parameter} names {unknown[0]!r}, and the columns of X are {list(names)}."
            if unknown
            else _expected(given, parameter)
        )
    return [name in chosen.tolist() for name in names]


def _expected(given: Any, parameter: str = "categorical_features") -> str:
    others = '"from_dtype", None, or ' * (parameter == "categorical_features")
    return (
        f"{parameter} must be {others}names, indices or a mask of columns; got "
        f"{given!r}."
    )


def _check_no_text(columns: Sequence[RawColumn]) -> None:
    text = [column.name for column in columns if not column.is_numeric]
    if text:
        raise ValueError(
            "With categorical_features=None all columns must be numbers; these are "
            f'not: {text}. Use categorical_features="from_dtype".'
        )
