"""Rows that differ in kind from all others: units, totals, footnotes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .cells import Cells
from .numbers import READABLE
from .words import is_missing, is_no_number, is_number

if TYPE_CHECKING:
    import pandas as pd

_TOTALS = {
    *("total", "totals", "grand total", "subtotal", "sum", "average", "mean", "median"),
    *("summe", "gesamt", "gesamtsumme", "insgesamt", "mittelwert", "durchschnitt"),
    *("somme", "moyenne", "totale", "media", "suma", "promedio", "soma", "totaal"),
    *("итого", "всего", "合计", "合計", "总计", "總計"),
}
_HEADING = "of units or names, with no number where all others have one"
_MAX_HEADINGS, _MAX_TOTALS, _MAX_NOTES = 2, 3, 20
_MIN_ROWS = 3  # fewer rows do not show what is usual


def find_odd_rows(columns: Sequence[Cells], lines: NDArray[np.intp]) -> dict[int, str]:
    """Return the rows that are not of the table's kind, and what they are.

    Parameters
    ----------
    columns : sequence of Cells
        The table.
    lines : ndarray of shape (n_rows,)
        Where each row stands in its file: a gap is a blank line.
    """
    odd: dict[int, str] = {}
    n_rows = len(lines)
    for n_headings in range(min(_MAX_HEADINGS, n_rows - _MIN_ROWS + 1), 0, -1):
        if all(_names_units(columns, row, n_headings) for row in range(n_headings)):
            odd |= dict.fromkeys(range(n_headings), _HEADING)
            break
    end = n_rows
    for row in range(n_rows - 1, max(n_rows - _MAX_NOTES, _MIN_ROWS) - 1, -1):
        if not _is_note(columns, row):
            continue
        has_gap = lines[row] - lines[row - 1] > 1
        if row == end - 1 or has_gap:  # what follows a note below the table is one too
            odd |= dict.fromkeys(range(row, end), "a note below the table")
            end = row
    for row in range(end - 1, max(end - 1 - _MAX_TOTALS, _MIN_ROWS - 1), -1):
        if not _has_label_of_total(columns, row):
            break
        odd[row] = "a total"
    return odd


def ends_with_sums(frame: "pd.DataFrame") -> bool:
    """Say whether the numbers of the last row are the sums of those above it."""
    if len(frame) < 2 * _MIN_ROWS:
        return False
    n_sums = 0
    for name in frame.columns:
        if frame[name].dtype.kind not in "if":
            continue
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        above, total = values[:-1], values[-1]
        if np.isnan(total) or not np.isfinite(above[~np.isnan(above)]).all():
            continue
        expected = np.nansum(above)
        if abs(total - expected) > 1e-9 * np.nansum(np.abs(above)):
            return False
        n_sums += int(np.count_nonzero(above[~np.isnan(above)]) >= _MIN_ROWS)
    return n_sums > 0


def _word(cells: Cells, row: int) -> object:
    return cells.words[cells.codes[row]]


def _names_units(columns: Iterable[Cells], row: int, first: int) -> bool:
    """Say whether a row holds text wherever the rows from `first` on hold numbers."""
    found = []
    for cells in columns:
        word, below = _word(cells, row), _word(cells, first)
        if is_missing(word) or is_no_number(word):
            continue
        if is_number(word):
            if is_number(below) or is_missing(below):
                return False
        elif is_number(below) and _hold_numbers(cells, first):
            found.append(str(word))
    return len(found) > 1 or (len(found) == 1 and not any(map(str.isdigit, found[0])))


def _hold_numbers(cells: Cells, first: int) -> bool:
    """Say whether a column holds numbers from a row on."""
    counts = np.bincount(cells.codes[first:], minlength=len(cells.words)).tolist()
    present = [
        (count, is_number(word))
        for word, count in zip(cells.words, counts, strict=True)
        if count and not is_missing(word) and not is_no_number(word)
    ]
    n_numbers = sum(count for count, is_one in present if is_one)
    return n_numbers >= READABLE * sum(count for count, _ in present)


def _is_note(columns: Sequence[Cells], row: int) -> bool:
    """Say whether a row holds nothing but text in its first cell."""
    if len(columns) < 2:
        return False
    first, *others = (_word(cells, row) for cells in columns)
    return bool(first) and not is_number(first) and not any(others)


def _has_label_of_total(columns: Iterable[Cells], row: int) -> bool:
    for cells in columns:
        place = cells.codes[row]
        word = cells.words[place]
        if isinstance(word, str) and word.strip(" :.").casefold() in _TOTALS:
            return bool(np.count_nonzero(cells.codes == place) == 1)
    return False
