"""Words -> dates, times of day and durations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._utils.extras import import_extra
from .cells import Cells
from .numbers import READABLE

if TYPE_CHECKING:
    import pandas as pd

ORDERS = ("dmy", "mdy")

_ISO = ("ISO8601",)
_MONTHS = ("%Y-%m", "%Y/%m", "%b-%Y", "%b %Y", "%B %Y", "%b-%y", "%m/%Y")
_NAMED = (
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%d/%b/%Y", "%b %d, %Y"),
    *("%B %d, %Y", "%b %d %Y", "%d%b%Y", "%a, %d %b %Y"),
)
_YEAR_FIRST = ("%Y/%m/%d", "%Y.%m.%d", "%Y%m%d")
# By which of day and month stands first; dots are only used with the day first.
_BY_ORDER = {
    "dmy": ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y"),
    "mdy": ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y"),
}
# Spares most text the attempts: digits, a mark, and more digits or a month's name.
_DATE = re.compile(
    r"\d{1,4}[-/. ]?(?:\d{1,2}|[a-z]{3,9})(?:[-/. ,]|\d|$)|[a-z]{3,9}[-., ]+\d", re.I
)
_TIME = re.compile(
    r"(?P<h>\d{1,3}):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d(?:[.,]\d+)?))?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?",
    re.IGNORECASE,
)
_WITH_TIME = re.compile(r"(?P<date>.*?)(?:,?\s+|T)(?P<time>\d{1,2}:\d\d.*)")
_ZONE = re.compile(r":\d\d(?:\.\d+)?\s*(?:Z|UTC|[+-]\d\d:?\d\d)$")


@dataclass
class DateColumn:
    """A column of text whose cells are dates.

    Attributes
    ----------
    dates : dict
        Order of day and month -> a date for each word, NaT where it is none. Both
        orders hold the same dates where the spelling leaves no choice.
    is_open : bool
        Whether the two orders read the same words as different dates.
    """

    dates: dict[str, "pd.DatetimeIndex"]
    is_open: bool = False

    @property
    def vote(self) -> str | None:
        """Return the order that this column speaks for."""
        return next(iter(self.dates)) if len(self.dates) == 1 else None


def read_dates(
    cells: Cells, is_missing: Sequence[bool], order: str | None
) -> DateColumn | None:
    """Return the dates of a column; None where it holds something else."""
    words = _spelled(cells, is_missing)
    if words is None or not _look_alike(words, _DATE):
        return None
    counts = np.where(is_missing, 0, cells.counts)
    dates = _first_that_fits(words, counts, _ISO + _YEAR_FIRST + _NAMED)
    if dates is not None:
        return DateColumn(dict.fromkeys(ORDERS, dates))
    by_order = {
        name: dates
        for name in (ORDERS if order is None else (order,))
        if (dates := _first_that_fits(words, counts, _BY_ORDER[name])) is not None
    }
    if by_order:
        return DateColumn(by_order, is_open=len(by_order) == 2)
    dates = _first_that_fits(words, counts, _MONTHS)
    return None if dates is None else DateColumn(dict.fromkeys(ORDERS, dates))


def read_times(cells: Cells, is_missing: Sequence[bool]) -> "pd.TimedeltaIndex | None":
    """Return a column of times of day or of durations ("36:15", "06:30 PM")."""
    words = _spelled(cells, is_missing)
    if words is None or not _look_alike(words, _TIME):
        return None
    times = _times(words)
    counts = np.where(is_missing, 0, cells.counts)
    if counts[times.notna()].sum() < READABLE * counts.sum():
        return None
    return times


def find_order(columns: Sequence[DateColumn]) -> tuple[str, bool]:
    """Return the order of day and month in a file, and whether its dates show it."""
    votes = [column.vote for column in columns]
    n_day, n_month = votes.count("dmy"), votes.count("mdy")
    if n_day == n_month:
        return "dmy", False
    return ("dmy" if n_day > n_month else "mdy"), min(n_day, n_month) == 0


def _spelled(cells: Cells, is_missing: Sequence[bool]) -> "pd.Series | None":
    """Return the words as a Series, None where missing; None if some are no text."""
    words = [
        None if none else word
        for word, none in zip(cells.words, is_missing, strict=True)
    ]
    if all(word is None for word in words):
        return None
    if not all(word is None or isinstance(word, str) for word in words):
        return None
    return import_extra("pandas").Series(words, dtype=object)


def _look_alike(words: "pd.Series", pattern: re.Pattern[str]) -> bool:
    few = words.dropna()[:50]
    return sum(bool(pattern.match(word)) for word in few) >= 0.8 * len(few)


def _first_that_fits(
    words: "pd.Series", counts: Any, formats: Sequence[str]
) -> "pd.DatetimeIndex | None":
    """Return the dates by the first format that reads nearly all cells."""
    pandas = import_extra("pandas")
    split = None
    for date_format in formats:
        if date_format == "ISO8601":
            dates = pandas.to_datetime(
                words, format=date_format, errors="coerce", utc=True
            )
            # Twenty digits are no date, and neither is a year alone.
            dates = dates.where(words.str.contains(r"\d-\d", na=False))
            if not words.str.contains(_ZONE, na=False).any():
                dates = dates.dt.tz_localize(None)
        else:
            if split is None:
                split = _split_times(words)
            dates = pandas.to_datetime(split[0], format=date_format, errors="coerce")
            if date_format == "%Y%m%d":
                dates = dates.where(dates.dt.year.between(1900, 2100))
            dates = dates + split[1]
        if counts[dates.notna()].sum() >= READABLE * counts.sum():
            return pandas.DatetimeIndex(dates)
    return None


def _split_times(words: "pd.Series") -> tuple["pd.Series", Any]:
    """Return the dates, and the times of day after them (0 where there is none)."""
    pandas = import_extra("pandas")
    matches = [_WITH_TIME.fullmatch(word) if word else None for word in words]
    dates = [m["date"] if m else w for m, w in zip(matches, words, strict=True)]
    times = pandas.Series([m["time"] if m else "0:00" for m in matches], dtype=object)
    return pandas.Series(dates, dtype=object), pandas.Series(_times(times))


def _times(words: "pd.Series") -> "pd.TimedeltaIndex":
    """Return the times that words spell, NaT where they spell none."""
    seconds = []
    for word in words:
        match = _TIME.fullmatch(word) if word else None
        if match is None:
            seconds.append(np.nan)
            continue
        hours = int(match["h"])
        if match["half"]:
            hours = hours % 12 + 12 * (match["half"].lower() == "p")
        rest = float((match["s"] or "0").replace(",", "."))
        seconds.append(3600.0 * hours + 60.0 * int(match["m"]) + rest)
    return import_extra("pandas").to_timedelta(seconds, unit="s")
