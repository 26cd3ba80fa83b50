"""Maps of columns to scores and back, as `_tables.column_maps` has them, in a graph.

Shapes: n rows, c columns with maps, m edges, q facts of a piece.
"""

from collections.abc import Callable, Sequence

import numpy as np

from .._tables.column_maps import ColumnMap
from .._tables.table_kinds import TableKinds
from ._graph import Value, integers

_LARGEST = float(np.finfo(np.float64).max)


class Maps:
    """The maps of a table's columns.

    Parameters
    ----------
    kinds : TableKinds
        What the columns are; some have maps.
    """

    def __init__(self, kinds: TableKinds):
        self.n_numbers = sum(kind.n_numbers for kind in kinds.kinds)
        known = {
            kinds.numbers_of(i).start: kind.map
            for i, kind in enumerate(kinds.kinds)
            if kind.map is not None
        }
        self.places = np.array(list(known), dtype=np.int64)
        self.maps = list(known.values())

    def encode(self, numbers: Value) -> Value:
        """Numbers (n, n_numbers), of which those with maps become scores."""
        return self._replaced(numbers, self._scores)

    def decode(self, numbers: Value) -> Value:
        """And back: scores become the values that have them, as far apart as those."""
        return self._replaced(numbers, self._values)

    def _replaced(self, numbers: Value, function: Callable[[Value], Value]) -> Value:
        if not self.maps:
            return numbers
        others = np.setdiff1d(np.arange(self.n_numbers), self.places)
        parts = [function(taken(numbers, self.places)), taken(numbers, others)]
        order = np.argsort(np.concatenate([self.places, others]))
        return taken(numbers.graph.concat(parts, axis=1), order)

    def _scores(self, v: Value) -> Value:
        pieces = padded([m.values for m in self.maps], np.nan)
        place = searched(v, pieces, with_equal=True)
        facts = facts_at(place, [_of_pieces(m) for m in self.maps])
        base, half_width, start, height, log_slope, atom, center = facts
        half = v / 2.0 - base / 2.0
        # Where a piece has ends, its log-slope is that of nothing beyond; where it has
        # none, its width is infinite.
        within = start + half / half_width * height
        log_steps = half.of("Abs").of("Log") + (log_slope + np.log(2.0))
        scores = within + half.of("Sign") * softplus(log_steps)
        return v.graph.where(v.of("Equal", atom), center, scores)

    def _values(self, y: Value) -> Value:
        edges = padded([m.edges for m in self.maps], np.nan)
        place = searched(y, edges, with_equal=False)
        facts = facts_at(place, [_of_places(m) for m in self.maps])
        base, far, start, height, log_slope = facts
        step = y - start
        share = step / height
        within = (1.0 - share) * base + share * far
        log_steps = (step.of("Abs").of("Exp") - 1.0).of("Log") - log_slope
        values = within + step.of("Sign") * log_steps.of("Exp")
        return self._rounded(values.of("Max", -_LARGEST).of("Min", _LARGEST))

    def _rounded(self, values: Value) -> Value:
        step = np.array([m.step for m in self.maps])
        has_step = step > 0
        if not has_step.any():
            return values
        first = np.array([m.values[0] for m in self.maps])
        tens = 10.0 ** np.array([m.decimals for m in self.maps])
        step = np.where(has_step, step, 1.0)
        whole = first + ((values - first) / step).of("Round") * step
        whole = (whole * tens).of("Round") / tens
        return values.graph.where(values.graph.constant(has_step), whole, values)


def _of_pieces(known: ColumnMap) -> np.ndarray:
    """What encodes values in each piece between knots, or beyond them: (p + 1, 7)."""
    piece = np.arange(len(known.values) + 1)
    left, right, start = known.ends(piece)
    is_outer = left == right
    base, far = known.values[left], known.values[right]
    half_width = np.where(is_outer, np.inf, far / 2 - base / 2)
    height = np.where(is_outer, 0.0, known.lower[right] - start)
    log_slope = np.where(is_outer, known.log_slopes, -np.inf)
    is_atom = known.is_atom[left] & (piece > 0)
    atom = np.where(is_atom, base, np.nan)  # which nothing equals
    center = known.centers()[left]
    return np.stack([base, half_width, start, height, log_slope, atom, center], 1)


def _of_places(known: ColumnMap) -> np.ndarray:
    """What decodes scores before, at, between and after the knots: (2p + 1, 5)."""
    place = np.arange(2 * len(known.values) + 1)
    piece, is_knot = place // 2, place % 2 == 1
    left, right, start = known.ends(piece)
    is_outer = (left == right) & ~is_knot
    has_width = (left < right) & ~is_knot
    base = known.values[np.where(is_knot, right, left)]
    far = known.values[right]
    start = np.where(is_knot, known.lower[right], start)
    height = np.where(has_width, known.lower[right] - start, np.inf)
    log_slope = np.where(is_outer, known.log_slopes[piece], np.inf)
    return np.stack([base, far, start, height, log_slope], axis=1)


# Tables by columns --------------------------------------------------------------------


def taken(numbers: Value, places: np.ndarray) -> Value:
    """Some of the columns of numbers (n, .), in this order."""
    return numbers.of("Gather", np.asarray(places, dtype=np.int64), axis=1)


def padded(columns: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """Of each column its numbers, and behind them what makes all of one length."""
    size = max(map(len, columns))
    rows = [
        np.concatenate([column, np.full((size - len(column), *column.shape[1:]), fill)])
        for column in columns
    ]
    return np.stack(rows)


def searched(x: Value, edges: np.ndarray, with_equal: bool) -> Value:
    """How many edges (c, m) of its column are below each number (n, c): int64.

    Or at it, where those that are equal count as well. The edges rise, and may have NaN
    behind them.
    """
    graph, integer = x.graph, np.dtype(np.int64)
    n_steps = int(edges.shape[1]).bit_length()
    size = 2**n_steps - 1
    table = np.full((len(edges), size), np.nan)  # which nothing is above
    table[:, : edges.shape[1]] = edges
    offsets = np.arange(len(edges)) * size
    place = None
    for i in reversed(range(n_steps)):
        step = 2**i
        if place is None:
            edge = graph.constant(table[:, step - 1])
        else:
            at = place + integers(*(offsets + step - 1))
            edge = graph.constant(table.ravel()).of("Gather", at, axis=0)
        is_below = x >= edge if with_equal else x > edge
        more = graph.cast(is_below, integer) * integers(step)
        place = more if place is None else place + more
    assert place is not None
    return place


def facts_at(place: Value, tables: Sequence[np.ndarray]) -> list[Value]:
    """What tables (., q) of each column say of places (n, c) in it: q of (n, c)."""
    together = padded(tables, 0.0)
    n_columns, size, n_facts = together.shape
    at = place + integers(*(np.arange(n_columns) * size))
    return [
        place.graph.constant(together[..., i].ravel()).of("Gather", at, axis=0)
        for i in range(n_facts)
    ]


def softplus(x: Value) -> Value:
    return x.of("Max", 0.0) + (1.0 + (-x.of("Abs")).of("Exp")).of("Log")
