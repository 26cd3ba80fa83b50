"""Records -> cells by column: names, lines of more or fewer values, names of rows.

A line with more values than there are names shifts the columns after it. It is refused
with its number, unless all lines are so and begin with the name of their row.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from .cells import Cells, CellsBuilder
from .errors import TableError
from .lines import Record
from .odd_rows import find_odd_rows
from .words import is_number

_BLOCK = 5000
NAMES_LEFT_OUT = (
    "the first column has no name and tells the rows apart: left out as their names"
)
_MAX_NAMED = 5
_MANY_LINES = 10  # in one row: a quote may be missing
_NO_NAME = re.compile(r"(Unnamed: \d+)?")  # as pandas calls them


@dataclass
class Layout:
    """What stands where in a file.

    Attributes
    ----------
    columns : dict of str to Cells
        The columns by their names, which are unique.
    lines : ndarray of shape (n_rows,)
        Where each row stands in the file.
    remarks : list of str
        What was left out, and why.
    """

    columns: dict[str, Cells]
    lines: NDArray[np.intp]
    remarks: list[str] = field(default_factory=list)


def lay_out(
    records: Iterable[Record], names: Sequence[str] | None, separator: str
) -> Layout | None:
    """Return the columns of a file of text; None where it has no rows.

    Parameters
    ----------
    records : iterable of Record
        The lines of values.
    names : sequence of str or None
        The names of the columns. None: there are none.
    separator : str
        What separates the values.
    """
    if names is not None:
        names = [*names]
        while len(names) > 1 and not names[-1]:  # a separator at the end of the line
            names.pop()
    rows = _Rows(names, separator)
    rows.read(iter(records))
    return rows.lay_out() if rows.lines else None


class _Rows:
    """The rows of a file, with one column more than there are names."""

    def __init__(self, names: Sequence[str] | None, separator: str):
        self.names = names
        self.separator = separator
        self.n_names = 0 if names is None else len(names)
        self.builders: list[CellsBuilder] = []
        self.lines: list[int] = []
        self.lengths: list[int] = []
        self.first_long: Record | None = None
        self.are_quoted = True
        self.n_empty = 0
        self.repeated: list[int] = []
        self.single: list[Record] = []
        self.tallest: Record | None = None

    def read(self, records: Iterator[Record]) -> None:
        """Take all lines, block by block."""
        while block := [*islice(records, _BLOCK)]:
            if not self.builders:
                self.n_names = self.n_names or len(block[0].cells)
                self.builders = [CellsBuilder() for _ in range(self.n_names + 1)]
            rows = [row for record in block if (row := self._row(record)) is not None]
            if rows:
                for builder, words in zip(
                    self.builders, zip(*rows, strict=True), strict=True
                ):
                    builder.extend(words)

    def _row(self, record: Record) -> list[str] | None:
        """Return the cells of a row, filled up; None for a line that is no row."""
        cells = record.cells
        if not any(cells):
            self.n_empty += 1
            return None
        if cells == self.names and len(cells) > 1:
            self.repeated.append(record.line)
            return None
        if len(cells) == 1 and self.n_names > 2:
            self.single.append(record)
            return None
        if self.tallest is None or record.n_lines > self.tallest.n_lines:
            self.tallest = record
        width = self.n_names + 1
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if len(cells) > width:
            raise TableError(self._shifted(record))
        if len(cells) == width and cells[-1] and self.first_long is None:
            self.first_long = record
        self.are_quoted &= record.is_quoted
        self.lines.append(record.line)
        self.lengths.append(len(cells))
        return cells + [""] * (width - len(cells))

    def _shifted(self, record: Record) -> str:
        what = "in the first line" if self.names is None else "names of columns"
        mark = self.separator if self.separator.strip() else " "
        return (
            f"line {record.line} has {len(record.cells)} values, and there are "
            f"{self.n_names} {what}: {mark.join(record.cells)[:80]!r}. A value that "
            "holds the separator must stand in quotes; a column that names the rows "
            "needs a name"
        )

    def lay_out(self) -> Layout:
        """Return the columns, now that all lines are known."""
        columns = [builder.build() for builder in self.builders]
        names = [*(self.names or [""] * self.n_names)]
        remarks = []
        if self.first_long is not None:
            if not self._begin_with_names(columns):
                raise TableError(self._shifted(self.first_long))
            remarks.append(
                "each line has one value more than there are names of columns: the "
                "first is left out as the row's name"
            )
            columns = columns[1:]
        else:
            columns = columns[: self.n_names]
            is_named = self.names is not None
            if is_named and len(columns) > 1 and names_rows(names[0], columns[0]):
                remarks.append(NAMES_LEFT_OUT)
                columns, names = columns[1:], names[1:]
        names = [name or f"column {i + 1}" for i, name in enumerate(names)]
        table = dict(zip(unique_names(names), columns, strict=True))
        lines = np.array(self.lines, dtype=np.intp)
        layout = without_odd_rows(table, lines, self._left_out() + remarks)
        layout.remarks += self._short(layout.lines)
        if self.tallest is not None and self.tallest.n_lines > _MANY_LINES:
            layout.remarks.append(
                f"the row of line {self.tallest.line} goes on for "
                f"{self.tallest.n_lines} lines, within quotes"
            )
        return layout

    def _begin_with_names(self, columns: list[Cells]) -> bool:
        """Say whether the first value of all lines, one too many, is the row's name."""
        first, others = columns[0], columns[1:]
        if set(self.lengths) != {self.n_names + 1} or not _tell_rows_apart(first):
            return False
        has_numbers = any(map(is_number, first.words))
        if self.separator == "," and has_numbers and not self.are_quoted:
            return False
        # An unquoted 1,100 in every line looks the same.
        return self.separator != "," or not any(
            _all_match(left, r"-?\d{1,3}") and _all_match(right, r"\d{3}(\.\d+)?")
            for left, right in zip([first, *others], others, strict=False)
        )

    def _left_out(self) -> list[str]:
        """Say which lines are no rows."""
        said = []
        if self.n_empty:
            noun = "line" if self.n_empty == 1 else "lines"
            said.append(f"{self.n_empty} {noun} without any value left out")
        if self.repeated:
            said.append(
                "the names of the columns stand again in "
                f"{_lines(self.repeated)}: left out"
            )
        said += [
            f"line {record.line} is one value, {record.cells[0][:60]!r}, and no row: "
            "left out"
            for record in self.single[:_MAX_NAMED]
        ]
        if len(self.single) > _MAX_NAMED:
            said.append(f"so are {len(self.single) - _MAX_NAMED} more")
        return said

    def _short(self, lines: NDArray[np.intp]) -> list[str]:
        """Say which of these lines have fewer values than there are names."""
        expected = self.n_names + (self.first_long is not None)
        lengths = dict(zip(self.lines, self.lengths, strict=True))
        short = [line for line in lines.tolist() if lengths[line] < expected]
        if not short:
            return []
        return [
            f"fewer values than names in {_lines(short)}: the last columns are missing "
            "there"
        ]


def without_odd_rows(
    columns: dict[str, Cells],
    lines: NDArray[np.intp],
    remarks: list[str],
    place: str = "line",
) -> Layout:
    """Leave out rows that differ in kind from all others, and say so."""
    odd = find_odd_rows([*columns.values()], lines)
    kept = np.ones(len(lines), dtype=bool)
    for row, kind in odd.items():
        kept[row] = False
        first = next(
            (word for c in columns.values() if (word := c.words[c.codes[row]])), ""
        )
        remarks.append(f"{place} {lines[row]} ({first!r}, ...) is {kind}: left out")
    if odd:
        columns = {name: cells.take(kept) for name, cells in columns.items()}
    return Layout(columns, lines[kept], remarks)


def names_rows(name: str, first: Cells) -> bool:
    """Say whether the first column of a file, of this name, is an index."""
    return bool(_NO_NAME.fullmatch(name)) and _tell_rows_apart(first)


def _tell_rows_apart(cells: Cells) -> bool:
    """Say whether a column is distinct in each row, and holds no measured numbers."""
    words = [*map(str, cells.words)]
    if len(words) < len(cells) or "" in words or "None" in words:
        return False
    return not any(map(is_number, words)) or all(map(str.isdecimal, words))


def _all_match(cells: Cells, pattern: str) -> bool:
    return all(re.fullmatch(pattern, word) for word in cells.words)


def unique_names(names: Iterable[object]) -> list[str]:
    """Return names that differ, in their order: a, a becomes a, a.1."""
    unique: dict[str, None] = {}
    for name in (str(name).strip() for name in names):
        candidate, number = name, 1
        while candidate in unique:
            candidate, number = f"{name}.{number}", number + 1
        unique[candidate] = None
    return list(unique)


def names_look_like_values(names: Iterable[str]) -> bool:
    """Say whether most columns are named by a number, as where no line names them."""
    spelled = [*names]
    return 2 * sum(map(is_number, spelled)) > len(spelled)


def _lines(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[:_MAX_NAMED]))
    if len(numbers) > _MAX_NAMED:
        text += f" and {len(numbers) - _MAX_NAMED} more"
    return f"line{'s' if len(numbers) > 1 else ''} {text}"
