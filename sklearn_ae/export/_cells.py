"""Tables of several kinds of columns in a graph: cells to numbers, and back.

Every column is an input of its own name, of shape (n rows, 1). Numbers are in double
precision, and missing as NaN. What is whole (integers, truth values, dates and times in
microseconds) is int64, and missing as the least of these, which is what NumPy's NaT is.
Text and categories are strings, and missing as the empty one; as any other that `fit`
did not see, it says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._tables.containers import RawColumn
from .._tables.kinds import WORDS, Categories, Kind, Nothing, Truths
from .._tables.patterns import MissingPatterns
from .._tables.table_kinds import TableKinds, columns_of
from ._graph import Graph, Value

MISSING_WHOLE = np.iinfo(np.int64).min
_REALS = ("float", "decimal")
_OBJECT, _WHOLE = np.dtype(object), np.dtype(np.int64)
_DOUBLE, _TRUTH = np.dtype(np.float64), np.dtype(bool)


@dataclass(frozen=True)
class Cells:
    """A column of a table as an input of a graph, or as an output.

    Parameters
    ----------
    kind : Kind
        What `fit` took it for.
    """

    kind: Kind

    @property
    def name(self) -> str:
        """Of the input."""
        return self.kind.name

    @property
    def dtype(self) -> np.dtype:
        """Of the input."""
        if self.kind.type in WORDS:
            return _OBJECT
        return _DOUBLE if self.kind.type in _REALS else _WHOLE

    @property
    def missing(self) -> Any:
        """What stands in the input for a cell that is missing."""
        if self.dtype == _DOUBLE:
            return np.nan
        if self.dtype == _WHOLE:
            return MISSING_WHOLE
        # Where it is a level itself, another that is none.
        word = ""
        while word in self._words:
            word += "?"
        return word

    @property
    def description(self) -> dict[str, Any]:
        """For the file's metadata."""
        types = {_OBJECT: "string", _WHOLE: "int64", _DOUBLE: "double"}
        missing = "NaN" if self.dtype == _DOUBLE else self.missing
        known = {"name": self.name, "holds": self.kind.type}
        return {**known, "type": types[self.dtype], "missing": missing}

    @property
    def _levels(self) -> list[Any]:
        kind = self.kind
        return [*kind.levels, *kind.rare] if isinstance(kind, Categories) else []

    @property
    def _words(self) -> list[str]:
        return [str(level) for level in self._levels]

    def feed(self, column: RawColumn) -> np.ndarray:
        """Cells (n, 1) as the file takes them."""
        missing = column.is_missing
        if self.dtype == _OBJECT:
            words = [
                self.missing if is_gone else str(value)
                for value, is_gone in zip(column.values.tolist(), missing, strict=True)
            ]
            return np.array(words, dtype=object)[:, None]
        if not column.is_numeric:  # all of it is missing
            return np.full((len(missing), 1), self.missing, dtype=self.dtype)
        if self.dtype == _DOUBLE:
            return column.values[:, None]
        whole = np.full(len(missing), self.missing, dtype=np.int64)
        whole[~missing] = column.values[~missing].astype(np.int64)
        return whole[:, None]

    # To numbers -----------------------------------------------------------------------

    def encoded(self, graph: Graph, cells: Value) -> Value | None:
        """The numbers (n, n_numbers) of cells (n, 1), NaN where they are missing."""
        if isinstance(self.kind, Nothing):
            return None
        if isinstance(self.kind, Categories):
            # Of each level the numbers that it has in the table, and of all else NaN.
            known = self.kind.encode(self._column([*self._levels, None]))
            codes = self._codes(graph, cells)
            return graph.add("Gather", known, codes.squeeze(1), axis=0)
        numbers = graph.cast(cells, graph.dtype)
        if self.dtype == _DOUBLE:
            return numbers
        nothing = graph.constant(np.asarray(np.nan))
        return graph.where(self.is_missing(cells), nothing, numbers)

    def is_missing(self, cells: Value) -> Value:
        """Which cells (n, 1) are missing."""
        if self.dtype == _DOUBLE:
            return cells.of("IsNaN")
        return cells.of("Equal", np.array([self.missing], dtype=self.dtype))

    def _codes(self, graph: Graph, cells: Value) -> Value:
        """Places of cells among the levels, or behind them: (n, 1)."""
        levels = self._levels
        if self.dtype == _OBJECT:
            return cells.of(
                "LabelEncoder",
                domain="ai.onnx.ml",
                keys_strings=self._words,
                values_int64s=list(range(len(levels))),
                default_int64=len(levels),
            )
        known = np.asarray(levels, dtype=np.float64).astype(self.dtype)
        is_level = graph.cast(cells.of("Equal", known[None]), graph.dtype)
        # What is at no place is at -1, the last.
        places = (is_level @ np.arange(1.0, len(levels) + 1)[:, None]) - 1.0
        return graph.cast(places, _WHOLE)

    def _column(self, values: list[Any]) -> RawColumn:
        if self.dtype == _OBJECT:
            array = np.empty(len(values), dtype=object)
            array[:] = values
        else:
            array = np.array([np.nan if v is None else v for v in values], dtype=float)
        kind = self.kind
        return RawColumn(
            *(self.name, kind.type, array), unit=kind.unit, has_zone=kind.has_zone
        )

    # And back -------------------------------------------------------------------------

    @property
    def output_dtype(self) -> np.dtype:
        return _TRUTH if isinstance(self.kind, Truths) else self.dtype

    def decoded(
        self, graph: Graph, numbers: Value, limits: tuple[float, float] | None
    ) -> Value:
        """Cells (n, 1) for their numbers, as `Kind.decode` has them.

        Whole numbers are no further out than the limits of their type in `fit`.
        """
        kind = self.kind
        if isinstance(kind, Truths):
            return numbers > 0.5
        if isinstance(kind, Categories):
            if kind.n_numbers == 1:
                both = graph.concat([1.0 - numbers, numbers], axis=1)
                numbers = both.slice(2 - kind.n_shares, 2, axis=1)
            codes = numbers.of("ArgMax", axis=1, keepdims=1)
            levels = kind.share_levels
            if self.dtype == _OBJECT:
                levels = [str(level) for level in levels]
            values = np.array(levels, dtype=self.dtype)
            return graph.add("Gather", values, codes, axis=0)
        if kind.type != "float":
            numbers = (numbers / kind.unit).of("Round") * kind.unit
        if limits is not None:
            numbers = numbers.of("Max", limits[0]).of("Min", limits[1])
        return numbers if self.dtype == _DOUBLE else graph.cast(numbers, _WHOLE)


def cells_of(kinds: TableKinds) -> list[Cells]:
    """The columns of a table, each with what it is in a file."""
    return [Cells(kind) for kind in kinds.kinds]


def feeds_of(columns: Sequence[Cells], X: Any) -> dict[str, np.ndarray]:
    """Rows of a table as the inputs of a file."""
    return {
        cells.name: cells.feed(column)
        for cells, column in zip(columns, columns_of(X), strict=True)
    }


def encoded_table(
    graph: Graph, columns: Sequence[Cells], values: Sequence[Value]
) -> Value:
    """The numbers (n, n_numbers) of a table's columns (n, 1)."""
    parts = [
        cells.encoded(graph, value)
        for cells, value in zip(columns, values, strict=True)
    ]
    return graph.concat([part for part in parts if part is not None], axis=1)


def encoded_patterns(patterns: MissingPatterns, missing: Value) -> Value:
    """Indicators (n, p) of which cells (n, c) are missing, as ones; NaN of new ones."""
    graph, of_each = missing.graph, patterns.patterns.astype(float)  # (p, c)
    # How many cells differ from each pattern.
    n_missing = missing.sum(1, keepdims=True)
    differ = n_missing + of_each.sum(axis=1) - 2.0 * (missing @ of_each.T)
    indicators = graph.cast(differ < 0.5, graph.dtype)
    is_known = indicators.sum(1, keepdims=True) > 0.5
    return graph.where(is_known, indicators, graph.constant(np.asarray(np.nan)))


def decoded_table(
    graph: Graph, columns: Sequence[Cells], kinds: TableKinds, numbers: Value
) -> list[tuple[Cells, Value]]:
    """The columns of a table, each with its cells (n, 1), for numbers (n, n_numbers).

    Columns of which `fit` knew no cell are not among them.
    """
    limits = kinds.container.limits_of(len(columns))
    parts = [kinds.numbers_of(i) for i in range(len(columns))]
    return [
        (cells, cells.decoded(graph, numbers.slice(part.start, part.stop, axis=1), of))
        for cells, part, of in zip(columns, parts, limits, strict=True)
        if part.start < part.stop
    ]
