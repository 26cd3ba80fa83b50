"""What cells of new rows are to hold: levels, values or ranges of some columns."""

import contextlib
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .containers import is_missing, read_columns
from .kinds import OF_TIME, Categories, Kind
from .table_kinds import TableKinds


@dataclass(frozen=True)
class GivenShares:
    """Which levels a category may have, or which patterns of missing cells a row."""

    numbers: slice
    is_allowed: np.ndarray  # (n_shares,)

    def shares(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of all levels (n, n_shares), of rows of numbers (n, d)."""
        p = X[:, self.numbers]
        if p.shape[1] == len(self.is_allowed):
            return p
        return np.hstack([1.0 - p, p])  # of two levels one number says all


@dataclass(frozen=True)
class GivenScores:
    """From where to where a number's score may be; equal where it is one value."""

    number: int
    lower: float
    upper: float


# Levels that an error names.
_N_SHOWN = 3

Given = list[GivenShares | GivenScores]

# What is measured in time may be written, by ISO 8601.
_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "datetime": dt.datetime.fromisoformat,
    "date": dt.datetime.fromisoformat,
    "time": dt.time.fromisoformat,
}


def read_given(given: Any, kinds: TableKinds) -> Given:
    """What `sample` was asked for, in terms of the numbers of a row."""
    if not isinstance(given, Mapping) or not given:
        raise TypeError(
            "given must be a dict from columns to what they are to hold, for instance "
            f'{{"age": (30, 40), "sex": "female"}}; got {given!r}.'
        )
    names = [kind.name for kind in kinds.kinds]
    read: Given = []
    places = []
    for name, wanted in given.items():
        place = _place(name, names)
        places.append(place)
        kind, numbers = kinds.kinds[place], kinds.numbers_of(place)
        if hasattr(wanted, "__array__") and np.ndim(wanted) == 1:
            wanted = list(wanted)
        if kind.n_numbers == 0:
            raise ValueError(f"given: column {name!r} was all missing in fit.")
        if kind.map is not None:
            read.append(GivenScores(numbers.start, *_scores(name, wanted, kind)))
        else:
            read.append(GivenShares(numbers, _allowed(name, wanted, kind)))
    if kinds.patterns is not None:
        # What a cell is to hold is there.
        is_allowed = np.logical_not(kinds.patterns.patterns[:, places].any(axis=1))
        read.append(GivenShares(kinds.groups[-1], is_allowed))
    return read


def from_words(texts: Mapping[str, str], kinds: TableKinds) -> dict[str, Any]:
    """What columns are to hold, from what a user typed: for `read_given`.

    Two dots make a range, and commas part levels, unless a level is written so.
    """
    names = [kind.name for kind in kinds.kinds]
    given: dict[str, Any] = {}
    for name, text in texts.items():
        kind = kinds.kinds[_place(name, names)]
        if kind.map is None and kind.n_numbers:
            given[name] = _named_levels(text, kind)
        else:
            least, dots, most = text.partition("..")
            ends = _end(least, kind), _end(most, kind)
            given[name] = ends if dots else _end(text, kind)
    return given


def _named_levels(text: str, kind: Kind) -> list[Any]:
    levels = {str(level): level for level in _levels(kind)}
    # Whole numbers need no point.
    levels |= {f"{k:.15g}": k for k in levels.values() if isinstance(k, float)}
    if kind.type == "boolean":
        text = text.lower()
        levels |= {"false": False, "true": True}
    parts = [text] if text in levels else text.split(",")
    return [levels.get(part, part) for part in parts]


def _end(text: str, kind: Kind) -> Any:
    """A number, or text as it is, of times always; None where there is none."""
    if kind.type in _FROM_TEXT:
        return text or None
    try:
        return float(text)
    except ValueError:
        return text or None


def _place(name: Any, names: list[str]) -> int:
    if isinstance(name, int | np.integer) and str(name) not in names:
        if 0 <= name < len(names):
            return int(name)
    elif str(name) in names:
        return names.index(str(name))
    raise ValueError(f"given names {name!r}, and the columns of X are {names}.")


def _allowed(name: Any, wanted: Any, kind: Kind) -> np.ndarray:
    """Which levels were asked for: (n_shares,)."""
    chosen = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    rare: tuple[Any, ...] = ()
    if isinstance(kind, Categories):
        rare, levels = kind.rare, kind.share_levels
    else:
        levels = _levels(kind)
    others = [level for level in rare if level not in chosen]
    for level in chosen:
        if level in rare and others:
            raise ValueError(
                f"given: {level!r} of column {name!r} is so rare that it was learned "
                f"together with others ({_some(others)}). Ask for all of them, or fit "
                "with a lower min_frequency."
            )
        if level not in (*levels, *rare):
            raise ValueError(
                f"given: column {name!r} has no level {level!r}; it has {levels}."
            )
    if not len(chosen):
        raise ValueError(f"given: no level of column {name!r} is left; name some.")
    return np.array([level in chosen for level in levels])


def _levels(kind: Kind) -> list[Any]:
    """All levels of a category, the rare ones too, or of truth values."""
    return [*kind.levels, *kind.rare] if isinstance(kind, Categories) else [False, True]


def _some(levels: list[Any]) -> str:
    shown = ", ".join(map(repr, levels[:_N_SHOWN]))
    return shown if len(levels) <= _N_SHOWN else f"{shown} and more"


def _ends(name: Any, wanted: Any, kind: Kind) -> tuple[float, float]:
    """The least and the most of a range, or one value twice, as numbers."""
    is_range = isinstance(wanted, list | tuple)
    ends = list(wanted) if is_range else [wanted, wanted]
    if len(ends) != 2 or (not is_range and is_missing(wanted)):
        raise ValueError(
            f"given: column {name!r} takes a value, or a range (least, most) with None "
            f"for an open end; got {wanted!r}."
        )
    of_text = _FROM_TEXT.get(kind.type)
    with contextlib.suppress(ValueError):  # what is no time stays text
        ends = [
            of_text(end) if of_text and isinstance(end, str) else end for end in ends
        ]
    _check_zone(name, wanted, ends, kind)
    cells = np.empty((2, 1), dtype=object)
    cells[:, 0] = ends
    try:
        column = read_columns(cells)[0]
        is_of_kind = kind.takes(column) or bool(column.is_missing.all())
    except ValueError:
        is_of_kind = False
    if not is_of_kind:
        raise ValueError(
            f"given: column {name!r} holds {kind.description}; got {wanted!r}."
        )
    least, most = column.values
    least = -np.inf if np.isnan(least) else least
    most = np.inf if np.isnan(most) else most
    if least > most:
        raise ValueError(
            f"given: the range of column {name!r} goes from the least to the most; "
            f"got {wanted!r}."
        )
    return float(least), float(most)


def _check_zone(name: Any, wanted: Any, ends: list[Any], kind: Kind) -> None:
    """Raise where times have a zone, and those of the column none, or vice versa."""
    if kind.type not in OF_TIME:
        return
    for end in ends:
        is_time = isinstance(end, dt.date | np.datetime64) and not is_missing(end)
        has_zone = getattr(end, "tzinfo", None) is not None
        if is_time and has_zone and not kind.has_zone:
            raise ValueError(
                f"given: the times of column {name!r} have no time zone; got "
                f"{wanted!r}: take its zone off."
            )
        if is_time and kind.has_zone and not has_zone:
            raise ValueError(
                f"given: the times of column {name!r} have a time zone; got "
                f"{wanted!r}: give it one, as in '2026-01-31T12:00+01:00'."
            )


def _scores(name: Any, wanted: Any, kind: Kind) -> tuple[float, float]:
    """The scores of values that, rounded, are from the least to the most."""
    least, most = _ends(name, wanted, kind)
    known = kind.map
    assert known is not None
    ends = least, most
    if known.step:
        # To values that there are: a hair is what rounding leaves of one.
        first, step, hair = known.values[0], known.step, 1e-6
        low = first + np.ceil((least - first) / step - hair) * step
        high = first + np.floor((most - first) / step + hair) * step
        if low > high:
            raise ValueError(
                f"given: column {name!r} has values that are {step:g} apart, from "
                f"{first:g} on, of which none is from {least:g} to {most:g}."
            )
        is_atom = low == high and (known.values[known.is_atom] == low).any()
        # Short of the half, which would be rounded to either side.
        half = 0.0 if is_atom else 0.499 * step
        ends = low - half, high + half
    lower, upper = known.seen(*known.interval(*ends))
    if lower > upper:
        raise ValueError(
            f"given: fit saw no value of column {name!r} that {wanted!r} asks for."
        )
    return lower, upper
