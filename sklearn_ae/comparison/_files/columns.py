"""Cells -> columns: numbers, dates, truth values or text, by what a whole file shows.

`make_columns` looks at all columns before it reads one, for what stands in one column
tells how the next is spelled.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._utils.extras import import_extra
from .cells import Cells
from .dates import DateColumn, find_order, read_dates, read_times
from .numbers import (
    Convention,
    FileDecimal,
    NumberColumn,
    find_decimal,
    read_numbers,
    read_plain_numbers,
)
from .words import is_missing, is_no_number, truth_of

if TYPE_CHECKING:
    import pandas as pd

_MAX_NAMED = 5
_MOST_NAMES, _MOST_LINES = 12, 8


@dataclass
class Columns:
    """The columns of a file as a frame, and what was made of them.

    Attributes
    ----------
    frame : DataFrame
        Numbers, truth values, dates and durations by their dtype, all else text.
    spelled : set of str
        Columns of numbers that had to be read from text.
    remarks : list of str
        What a reader of the file should know, in sentences.
    """

    frame: "pd.DataFrame"
    spelled: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)


def make_columns(
    columns: Mapping[str, "Cells | pd.Series"],
    convention: Convention,
    *,
    separator: str | None = None,
    date_order: str | None = None,
    place_of: Callable[[int], str] = "row {}".format,
) -> Columns:
    """Return columns of the types that their words are of.

    Parameters
    ----------
    columns : mapping of str to Cells or Series
        By name; a Series is of a type that its file stores, and stays.
    convention : Convention
        How numbers are written, as far as it is known.
    separator : str, default=None
        What separates values in a file of text; None for a file that has types.
    date_order : {"dmy", "mdy"}, default=None
        Whether day or month stands first in dates like 01/02/2020; None: find out.
    place_of : callable
        Says where a row stands: "line 7".
    """
    readers = {
        name: _Reader(cells, convention, date_order)
        for name, cells in columns.items()
        if isinstance(cells, Cells)
    }
    numbers = [r.numbers for r in readers.values() if r.numbers is not None]
    decimal = find_decimal(numbers, convention, separator)
    dates = [r.dates for r in readers.values() if r.dates is not None]
    order, is_sure = find_order(dates)
    made: dict[str, Any] = {}
    notes = _Notes(decimal, place_of, are_typed=separator is None)
    for name, column in columns.items():
        reader = readers.get(name)
        made[name] = column if reader is None else reader.read(name, order, notes)
        if reader is not None and reader.dates is not None and reader.dates.is_open:
            notes.open_dates += [name] * (not is_sure)
    frame = import_extra("pandas").DataFrame(made)
    return Columns(frame, notes.spelled, notes.sentences(order))


class _Reader:
    """One column, and all that it may be."""

    def __init__(self, cells: Cells, convention: Convention, order: str | None):
        self.cells = cells
        self.numbers: NumberColumn | None = None
        self.dates: DateColumn | None = None
        self.times: Any = None
        self.is_empty = self.is_truth = False
        # Nearly all columns of nearly all files are told by this alone, and quickly.
        self.is_missing = self.is_no_number = [word == "" for word in cells.words]
        if not self._are_days():
            self.numbers = read_plain_numbers(cells, self.is_no_number, convention)
        if self.numbers is None:
            self._look_closer(convention, order)

    def _look_closer(self, convention: Convention, order: str | None) -> None:
        """Find out what a column is that does not hold plain numbers."""
        words = self.cells.words
        self.is_missing = [is_missing(word) for word in words]
        present = [
            w for w, none in zip(words, self.is_missing, strict=True) if not none
        ]
        self.is_empty = not present
        self.is_truth = all(truth_of(word) is not None for word in present)
        self.is_no_number = [
            none or is_no_number(word)
            for word, none in zip(words, self.is_missing, strict=True)
        ]
        if self.is_truth or all(self.is_no_number):
            return
        if not self._are_days():
            self.numbers = read_numbers(self.cells, self.is_no_number, convention)
        if self.numbers is None:
            self.dates = read_dates(self.cells, self.is_no_number, order)
        if self.numbers is None and self.dates is None:
            self.times = read_times(self.cells, self.is_no_number)

    def _are_days(self) -> bool:
        """Say whether eight digits are days: 20200105."""
        if not any(isinstance(w, str) and len(w) == 8 for w in self.cells.words[:2]):
            return False
        words = [
            word
            for word, none in zip(self.cells.words, self.is_no_number, strict=True)
            if not none
        ]
        return all(
            isinstance(w, str)
            and len(w) == 8
            and w.isdecimal()
            and w[:2] in "1920"
            and w[4:6] <= "12"
            and w[6:] <= "31"
            and "00" not in (w[4:6], w[6:])
            for w in words
        )

    def read(self, name: str, order: str, notes: "_Notes") -> Any:
        """Return the column as it stands in the frame."""
        if self.is_empty:
            return self.cells.spread([np.nan] * len(self.cells.words), np.float64)
        if self.is_truth:
            return self._truths()
        if self.numbers is not None:
            mark = self.numbers.decimal_for(notes.decimal.mark)
            if mark is not None:
                return self._numbers(name, mark, notes)
            notes.two_spellings.append(name)
        if self.dates is not None:
            dates = self.dates.dates
            chosen = dates.get(order, next(iter(dates.values())))
            return self._moments(name, chosen, notes)
        if self.times is not None:
            return self._moments(name, self.times, notes)
        return self.cells.spread(
            None if none else str(word)
            for word, none in zip(self.cells.words, self.is_missing, strict=True)
        )

    def _truths(self) -> Any:
        values = [
            None if none else truth_of(word)
            for word, none in zip(self.cells.words, self.is_missing, strict=True)
        ]
        dtype = "boolean" if any(self.is_missing) else "bool"
        return import_extra("pandas").array(self.cells.spread(values), dtype=dtype)

    def _numbers(self, name: str, mark: str, notes: "_Notes") -> Any:
        assert self.numbers is not None
        numbers = self.numbers.numbers[mark]
        if not self.numbers.is_plain:
            self._note_unread(name, np.isnan(numbers), notes)
        notes.tell_numbers(name, self.cells.words, self.numbers, mark)
        has_missing = bool(np.isnan(numbers[self.cells.counts > 0]).any())
        values = self.cells.spread(numbers, np.float64)
        present = numbers[~np.isnan(numbers)]
        is_whole = self.numbers.is_whole or all(
            _is_whole(word, mark)
            for word, number in zip(self.cells.words, numbers, strict=True)
            if number == number
        )
        is_whole = is_whole and bool(np.all(np.abs(present) < 2**53))
        if not is_whole:
            return values
        if not has_missing:
            return values.astype(np.int64)
        return import_extra("pandas").array(values, dtype="Int64")

    def _moments(self, name: str, moments: Any, notes: "_Notes") -> Any:
        self._note_unread(name, moments.isna(), notes)
        return moments.take(self.cells.codes)

    def _note_unread(self, name: str, is_unread: Any, notes: "_Notes") -> None:
        """Name the cells that count as missing though they hold something."""
        places = [
            place
            for place, (unread, none) in enumerate(
                zip(is_unread, self.is_no_number, strict=True)
            )
            if unread and not none
        ]
        if places:
            n_cells = int(self.cells.counts[places].sum())
            notes.unread.append((name, n_cells, self.cells, places))


def _is_whole(word: Any, decimal: str) -> bool:
    """Say whether a number is spelled without any part of one."""
    if isinstance(word, str):
        return not re.search(rf"[{decimal}e∞f]", word, re.IGNORECASE)
    return bool(word == np.round(word))


def _is_spelled(word: Any, number: float) -> bool:
    """Say whether a cell is not as programs write a number, or its absence."""
    if not isinstance(word, str) or is_missing(word):
        return False
    try:
        return float(word) != number
    except ValueError:
        return True


class _Notes:
    """What is said of the columns, collected by kind."""

    def __init__(
        self, decimal: FileDecimal, place_of: Callable[[int], str], are_typed: bool
    ):
        self.are_typed = are_typed  # so that text in the file is meant as text
        self.decimal = decimal
        self.place_of = place_of
        self.spelled: set[str] = set()
        self.commas: list[str] = []
        self.points: list[str] = []
        self.grouped: list[str] = []
        self.ambiguous: list[str] = []
        self.units: list[str] = []
        self.unread: list[tuple[str, int, Cells, list[int]]] = []
        self.two_spellings: list[str] = []
        self.open_dates: list[str] = []

    def tell_numbers(
        self, name: str, words: Sequence[Any], column: NumberColumn, mark: str
    ) -> None:
        """Note how a column of numbers was read."""
        is_other = mark != self.decimal.mark and column.vote is not None
        if is_other and mark == ".":
            self.points.append(name)
        if self.are_typed:
            if any(isinstance(word, str) for word in words):
                self.spelled.add(name)
        elif not column.is_plain and any(
            map(_is_spelled, words, column.numbers[mark].tolist())
        ):
            self.spelled.add(name)
        if column.is_plain:
            return
        if mark == "," and any("," in word for word in words if isinstance(word, str)):
            self.commas.append(f"{name} (unlike others)" if is_other else name)
        units = sorted(set(column.units.values()))
        if len(units) > 1:
            self.units.append(
                f"{name} has {' and '.join(units)}: the numbers are taken as they stand"
            )
        if column.example is None:
            return
        word = words[column.example]
        value = f"{column.numbers[mark][column.example]:.12g}"
        is_undecided = len(set(column.fits.values())) == 1 and not self.decimal.is_sure
        if is_undecided or max(column.fits.values()) > column.fits[mark]:
            other = "," if mark == "." else "."
            second = f"{column.numbers[other][column.example]:.12g}"
            self.ambiguous.append(
                f"{name}: {word!r} can be {value} or {second}, and the file does not "
                f"say which; it was read as {value}. If that is wrong, add "
                f"--decimal '{other}'"
            )
        elif mark not in word:
            self.grouped.append(f"{name} ({word!r} is {value})")

    def sentences(self, order: str) -> list[str]:
        """Return all notes as sentences."""
        said = []
        if self.commas:
            said.append(f"numbers with a decimal comma: {_few(self.commas)}")
        if self.points:
            said.append(
                "numbers with a decimal point, unlike others of this file: "
                + _few(self.points)
            )
        if self.grouped:
            said.append(f"numbers with grouped thousands: {_few(self.grouped)}")
        said += _few_lines(self.ambiguous)
        said += _few_lines(self.units)
        said += _few_lines([self._unread(*unread) for unread in self.unread])
        if self.two_spellings:
            said.append(
                "left as text, for their numbers are written in two ways: "
                f"{_few(self.two_spellings)}"
            )
        if self.open_dates:
            name = {"dmy": "the day first", "mdy": "the month first"}[order]
            other = "mdy" if order == "dmy" else "dmy"
            said.append(
                f"dates read with {name}, for the file does not say: "
                f"{_few(self.open_dates)}. If that is wrong, add --date-order {other}"
            )
        return said

    def _unread(self, name: str, n_cells: int, cells: Cells, places: list[int]) -> str:
        few = [
            f"{cells.words[i]!r} ({self.place_of(cells.row_of(i))})"
            for i in places[:_MAX_NAMED]
        ]
        more = len(places) - len(few)
        noun = (
            "cell that cannot be read so counts"
            if n_cells == 1
            else ("cells that cannot be read so count")
        )
        return f"{name}: {n_cells} {noun} as missing: {', '.join(few)}" + (
            f" and {more} other words" if more else ""
        )


def _few(names: Sequence[str]) -> str:
    text, n_more = ", ".join(names[:_MOST_NAMES]), len(names) - _MOST_NAMES
    return text if n_more <= 0 else f"{text} and {n_more} more"


def _few_lines(sentences: list[str]) -> list[str]:
    n_more = len(sentences) - _MOST_LINES
    if n_more <= 0:
        return sentences
    return [*sentences[:_MOST_LINES], f"the same holds for {n_more} more columns"]
