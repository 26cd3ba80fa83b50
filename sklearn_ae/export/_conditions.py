"""What rows are conditioned on, in a graph: given apart from them, or columns of them.

Shapes: n rows, d numbers of the rows' own, m of their conditions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._tables.condition_columns import ConditionColumns
from .._tables.conditions import Conditions, _Labels
from .._tables.containers import read_columns
from .._tables.kinds import Numbers
from ._cells import Cells, encoded_table
from ._column_maps import taken
from ._graph import Graph, Value

_DOUBLE = np.dtype(np.float64)


class GivenConditions:
    """Conditions apart from rows, as inputs of a file.

    Parameters
    ----------
    known : Conditions
        As they were in `fit`.

    y : array-like
        Those of the rows to compare on.
    """

    def __init__(self, known: Conditions, y: Any):
        self.known = known
        self.columns = _columns_of(y)  # (n, 1) each, by name

    def encoded(self, graph: Graph, columns: Sequence[Value]) -> Value:
        """Numbers (n, m), from columns of labels or numbers (n, 1)."""
        parts = []
        for encoder, column in zip(self.known.encoders, columns, strict=True):
            if isinstance(encoder, _Labels):
                labels = encoder.labels
                if labels.dtype.kind in "OU":
                    labels = labels.astype(str).astype(object)
                is_label = column.of("Equal", labels[None])
                parts.append(graph.cast(is_label, graph.dtype))
            else:
                numbers = graph.cast(column, graph.dtype)
                parts.append((numbers - float(encoder.mean)) / float(encoder.scale))
        return graph.concat(parts, axis=1)


def _columns_of(y: Any) -> dict[str, np.ndarray]:
    """Conditions as inputs: columns (n, 1) of numbers or words."""
    if hasattr(y, "iloc") and np.ndim(y) == 2:
        columns = [np.asarray(y[name]) for name in y.columns]
    else:
        table = np.asarray(y)
        columns = list(table.reshape(len(table), -1).T)
    names = ["y"] if np.ndim(y) == 1 else [f"y{i}" for i in range(len(columns))]
    words = [
        column.astype(str).astype(object) if column.dtype.kind in "OU" else column
        for column in columns
    ]
    return {name: column[:, None] for name, column in zip(names, words, strict=True)}


class ColumnsOfRows:
    """Conditions that are columns of the rows, in a graph.

    Parameters
    ----------
    known : ConditionColumns
        As they were in `fit`.
    """

    def __init__(self, known: ConditionColumns):
        self.known = known
        kinds = known.kinds or [Numbers(name, "float", 1.0) for name in known.names]
        self.cells = [Cells(kind) for kind in kinds]

    def fed(self, y: Any, n_rows: int) -> dict[str, np.ndarray]:
        """Conditions of rows to be as the file takes them: columns (n, 1), by name."""
        columns = read_columns(self.known.table(y, n_rows))
        return {
            cells.name: np.resize(cells.feed(column), (n_rows, 1))
            for cells, column in zip(self.cells, columns, strict=True)
        }

    def numbers(self, graph: Graph, columns: Sequence[Value]) -> Value:
        """Numbers (n, m), from columns (n, 1)."""
        return encoded_table(graph, self.cells, columns)

    def split(self, X: Value) -> tuple[Value, Value]:
        """Rows' own numbers (n, d), and those of their conditions (n, m)."""
        own, conditions = self._places
        return taken(X, own), taken(X, conditions)

    def standardized(self, graph: Graph, conditions: Value) -> Value:
        mean = graph.constant(self.known.mean, _DOUBLE)
        scale = graph.constant(self.known.scale, _DOUBLE)
        numbers = (graph.cast(conditions, _DOUBLE) - mean) / scale
        return graph.cast(numbers, graph.dtype)

    def whole(self, own: Value, conditions: Value) -> Value:
        """Rows of both, in the order of their columns."""
        graph = own.graph
        both = graph.concat([own, graph.cast(conditions, graph.dtype)], axis=1)
        return taken(both, np.argsort(np.concatenate(self._places)))

    @property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        is_condition = self.known.is_condition
        return np.flatnonzero(~is_condition), np.flatnonzero(is_condition)
