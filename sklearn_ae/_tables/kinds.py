"""Kinds of columns: how the cells of each become numbers, and numbers become cells.

A kind is made from a column of `fit`, and says of how many numbers a cell consists,
what these are for given cells, and which cells numbers stand for. A cell that is
missing is NaN in all its numbers.
"""

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np

from .._utils.processes import current
from .._utils.types import Auto
from .column_maps import ColumnMap, in_single_precision
from .containers import RawColumn, quoted

# Levels of a category that are held by a smaller share of the rows are one together,
# and so are those beyond this number: their indicators would be nothing but rare. Where
# `min_frequency` says what is rare, its word counts alone.
LEAST_SHARE = 0.002
MOST_LEVELS = 50
# Text with more levels than half its rows, and than this, names rows.
_FEW_LEVELS = 10


@dataclass(frozen=True)
class Kind(ABC):
    """What a column is taken for.

    Parameters
    ----------
    name, type, unit, has_zone : str, str, float, bool
        As the column has them.
    """

    name: str
    type: str
    unit: float
    has_zone: bool = field(default=False, kw_only=True)

    @property
    def n_numbers(self) -> int:
        return 1

    @property
    def is_indicator(self) -> bool:
        """Whether its numbers say which level a cell has."""
        return False

    @property
    def is_share(self) -> bool:
        """Whether its numbers are shares: of levels, or of what is true."""
        return False

    @property
    def has_unit(self) -> bool:
        """Whether it is a number, whose unit may be that of other columns."""
        return False

    @property
    def map(self) -> ColumnMap | None:
        """What takes its values to scores, where it has such a map."""
        return None

    @property
    @abstractmethod
    def description(self) -> str:
        """What the column is taken for, in words."""

    @property
    def number_names(self) -> list[str]:
        return [self.name]

    @abstractmethod
    def encode(self, column: RawColumn) -> np.ndarray:
        """The numbers of each cell: (n, n_numbers)."""

    @abstractmethod
    def decode(
        self, numbers: np.ndarray, random_state: np.random.RandomState | None = None
    ) -> RawColumn:
        """The cells that numbers (n, n_numbers) stand for.

        Numbers of levels are their probabilities: the likeliest is taken, or with a
        generator one is drawn.
        """

    def check_type(self, column: RawColumn) -> None:
        """Raise where a column of new rows is of another kind."""
        if column.is_numeric and np.isnan(column.values).all():
            return  # nothing is known of it
        if not self.takes(column):
            raise ValueError(other_type(column, self.type))
        if column.type in OF_TIME and column.has_zone != self.has_zone:
            raise ValueError(other_zone(column.name, column.has_zone, "in fit"))

    def takes(self, column: RawColumn) -> bool:
        """Whether a column is of this kind, or may stand for one that is."""
        return (
            column.type == self.type
            or {column.type, self.type} <= NUMBERS
            or {column.type, self.type} <= OF_TIME
        )


# Types whose cells are numbers, or pass for them, and types whose cells are words.
NUMBERS = frozenset({"float", "decimal", "integer", "boolean"})
WORDS = frozenset({"text", "category"})
OF_TIME = frozenset({"datetime", "date"})
PLURALS = {
    "float": "numbers",
    "decimal": "decimal numbers",
    "integer": "whole numbers",
    "boolean": "truth values",
    "datetime": "dates with times",
    "date": "dates",
    "duration": "durations",
    "time": "times of day",
    "text": "text",
    "category": "categories",
}


def other_type(column: RawColumn, type_in_fit: str) -> str:
    """Say that a column of new rows is of another type than in `fit`."""
    return (
        f"{quoted(column.name)} holds {PLURALS[column.type]}; in fit it held "
        f"{PLURALS[type_in_fit]}."
    )


def other_zone(name: str, has_zone: bool, elsewhere: str) -> str:
    """Say that times have a time zone here or elsewhere, and not in both."""
    if has_zone:
        return (
            f"{quoted(name)} holds times with a time zone; {elsewhere} they had "
            "none. Take it off: in pandas by .dt.tz_localize(None)."
        )
    return (
        f"{quoted(name)} holds times without a time zone; {elsewhere} they had "
        "one. Give them theirs: in pandas by .dt.tz_localize."
    )


@dataclass(frozen=True)
class Numbers(Kind):
    """Numbers, and what is measured as numbers are: dates, durations, times of day."""

    @property
    def has_unit(self) -> bool:
        return self.type in ("float", "integer", "decimal")

    @property
    def description(self) -> str:
        return PLURALS[self.type]

    def encode(self, column: RawColumn) -> np.ndarray:
        self.check_type(column)
        is_infinite = np.isinf(column.values)
        if is_infinite.any():
            row = column.first_row + int(np.argmax(is_infinite))
            raise ValueError(
                f"{quoted(self.name)} has an infinite value in row {row} (of "
                f"{int(is_infinite.sum())} in all), and it must be finite or missing."
            )
        return column.values[:, None]

    def decode(
        self, numbers: np.ndarray, random_state: np.random.RandomState | None = None
    ) -> RawColumn:
        values = numbers[:, 0].astype(np.float64)
        if self.type != "float":
            values = np.round(values / self.unit) * self.unit
        return RawColumn(
            *(self.name, self.type, values), unit=self.unit, has_zone=self.has_zone
        )


@dataclass(frozen=True)
class MappedNumbers(Numbers):
    """Numbers as their scores, which are about standard normal."""

    column_map: ColumnMap

    @classmethod
    def of(cls, kind: Numbers, column: RawColumn) -> "MappedNumbers":
        """The kind with a map of the values in all processes; the column has some."""
        values = kind.encode(column)[:, 0]  # raises where they are not finite
        column_map = ColumnMap.of(values, current(), column.is_single)
        return cls(kind.name, kind.type, kind.unit, column_map, has_zone=kind.has_zone)

    @property
    def map(self) -> ColumnMap:
        return self.column_map

    @property
    def has_unit(self) -> bool:
        return False

    def encode(self, column: RawColumn) -> np.ndarray:
        values = super().encode(column)[:, 0]
        return self.column_map.encode(values, column.is_single)[:, None]

    def decode(
        self, numbers: np.ndarray, random_state: np.random.RandomState | None = None
    ) -> RawColumn:
        # What is drawn is a value as those that were seen.
        is_drawn = random_state is not None
        values = self.column_map.decode(numbers[:, 0], only_seen=is_drawn)
        return super().decode(self.column_map.rounded(values)[:, None])


@dataclass(frozen=True)
class Truths(Numbers):
    """Truth values: one number, which is the probability of what is true."""

    @property
    def is_share(self) -> bool:
        return True

    def encode(self, column: RawColumn) -> np.ndarray:
        numbers = super().encode(column)
        is_none = ~np.isin(numbers, [0.0, 1.0]) & ~np.isnan(numbers)
        if is_none.any():
            row = int(np.argmax(is_none))
            raise ValueError(
                f"{quoted(self.name)} holds {numbers[row, 0]:g} in row "
                f"{column.first_row + row}; in fit it held truth values, which are 0 "
                "or 1."
            )
        return numbers

    def decode(
        self, numbers: np.ndarray, random_state: np.random.RandomState | None = None
    ) -> RawColumn:
        p = numbers[:, 0].astype(np.float64)
        limit = 0.5 if random_state is None else random_state.uniform(size=len(p))
        values = np.where(np.isnan(p), np.nan, p > limit)
        return RawColumn(self.name, self.type, values)


@dataclass(frozen=True)
class Categories(Kind):
    """Levels: an indicator of each, or of two levels one number.

    Parameters
    ----------
    levels : tuple
        Those that have an indicator.

    rare : tuple
        Those that share one behind them, the most frequent first.

    rare_counts : tuple of int
        How often each of these was seen, or as much in any unit.

    is_single : bool
        Whether the column of `fit` was of numbers in single precision.
    """

    levels: tuple[Any, ...]
    rare: tuple[Any, ...] = ()
    # Files of older versions have none: rare levels come back as the first.
    rare_counts: tuple[float, ...] = ()
    is_single: bool = False

    @classmethod
    def of(
        cls, column: "ColumnSummary", min_frequency: float | Auto = "auto"
    ) -> "Categories":
        counts = column.counts
        n_known = sum(counts.values())
        if (
            column.type == "text"
            and not column.is_asked_for
            and _names_rows(len(counts), n_known)
        ):
            raise ValueError(
                f"{quoted(column.name)} holds {len(counts)} different texts in "
                f"{n_known} rows, so that it names rows rather than describes them. "
                "Drop it, make its parts columns of their own, or pass it in "
                "categorical_features where its levels are what you want."
            )
        order = column.levels or _sorted(counts)
        levels = [level for level in order if level in counts]
        if min_frequency == "auto":
            most, least = MOST_LEVELS, LEAST_SHARE * n_known
        else:
            is_count = isinstance(min_frequency, Integral)
            most, least = len(levels), min_frequency * (1 if is_count else n_known)
        by_count = sorted(levels, key=lambda level: -counts[level])
        n_kept = min(most, sum(n >= least for n in counts.values()))
        if n_kept == len(levels) - 1:  # alone it takes no more than together
            n_kept += 1
        kept, rare = set(by_count[:n_kept]), tuple(by_count[n_kept:])
        known_levels = tuple(level for level in levels if level in kept)
        return cls(
            *(column.name, column.type, column.unit, known_levels, rare),
            rare_counts=tuple(counts[level] for level in rare),
            is_single=column.is_single,
            has_zone=column.has_zone,
        )

    @property
    def n_shares(self) -> int:
        """Levels, those that are rare as one."""
        return len(self.share_levels)

    @property
    def share_levels(self) -> list[Any]:
        """What each share stands for: of levels that are rare the most frequent."""
        return [*self.levels, *self.rare[:1]]

    @property
    def n_numbers(self) -> int:
        # Of two levels one number says all; FAMD's metric is the same for it.
        return 1 if self.n_shares <= 2 else self.n_shares

    @property
    def is_indicator(self) -> bool:
        return self.n_numbers > 1

    @property
    def is_share(self) -> bool:
        return True

    @property
    def description(self) -> str:
        n = len(self.levels) + len(self.rare)
        levels = f"{n} level{'s' * (n != 1)}"
        return f"{levels}, {len(self.rare)} of them rare" if self.rare else levels

    @property
    def number_names(self) -> list[str]:
        names = [*map(str, self.levels), *["rare"] * bool(self.rare)]
        chosen = names[-1:] if self.n_numbers == 1 else names
        return [f"{self.name}_{name}" for name in chosen]

    def encode(self, column: RawColumn) -> np.ndarray:
        self.check_type(column)
        places = {level: i for i, level in enumerate(self.levels)}
        places |= dict.fromkeys(self.rare, len(self.levels))
        values = column.values
        are_numbers = column.is_numeric and self.type not in WORDS
        if are_numbers and column.is_single != self.is_single:
            values = in_single_precision(values)
            rounded = in_single_precision(np.array(list(places))).tolist()
            places = dict(zip(rounded, places.values(), strict=True))
        # A level that fit did not see says nothing: as one that is missing.
        codes = np.array([places.get(v, -1) for v in values.tolist()], dtype=int)
        if self.n_numbers == 1:
            numbers = (codes == self.n_shares - 1).astype(np.float64)[:, None]
        else:
            numbers = np.zeros((len(codes), self.n_numbers))
            numbers[np.arange(len(codes)), codes] = 1.0
        numbers[codes < 0] = np.nan
        return numbers

    def decode(
        self, numbers: np.ndarray, random_state: np.random.RandomState | None = None
    ) -> RawColumn:
        p = numbers.astype(np.float64)
        if self.n_numbers == 1:
            p = np.hstack([1.0 - p, p])[:, -self.n_shares :]
        codes = _likeliest(p) if random_state is None else drawn_levels(p, random_state)
        levels, is_number = self.share_levels, self.type not in WORDS
        values = np.empty(len(p), dtype=np.float64 if is_number else object)
        values[:] = [levels[code] for code in codes]
        is_rare = codes == len(self.levels)
        if random_state is not None and self.rare_counts and is_rare.any():
            shares = np.tile(self.rare_counts, (int(is_rare.sum()), 1))
            values[is_rare] = [
                self.rare[code] for code in drawn_levels(shares, random_state)
            ]
        values[np.isnan(p).any(axis=1)] = np.nan if is_number else None
        return RawColumn(
            *(self.name, self.type, values), unit=self.unit, has_zone=self.has_zone
        )

    def takes(self, column: RawColumn) -> bool:
        are_words = {column.type, self.type} <= WORDS
        return column.type == "category" or are_words or super().takes(column)


def _names_rows(n_levels: int, n_rows: int) -> bool:
    return n_levels > max(_FEW_LEVELS, n_rows // 2)


def _likeliest(p: np.ndarray) -> np.ndarray:
    return np.nan_to_num(p).argmax(axis=1)


def drawn_levels(p: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
    """One of the levels of each row, by shares (n, l) that are about probabilities."""
    shares = np.clip(np.nan_to_num(p), 1e-12, None)
    edges = np.cumsum(shares, axis=1)
    u = random_state.uniform(size=(len(p), 1)) * edges[:, -1:]
    return np.minimum((edges < u).sum(axis=1), p.shape[1] - 1)


def _sorted(counts: dict[Any, int]) -> list[Any]:
    try:
        return sorted(counts)
    except TypeError:  # levels of several types
        return sorted(counts, key=lambda level: (type(level).__name__, str(level)))


@dataclass(frozen=True)
class Nothing(Kind):
    """A column of which no cell is known: it has no numbers."""

    @property
    def n_numbers(self) -> int:
        return 0

    @property
    def number_names(self) -> list[str]:
        return []

    @property
    def description(self) -> str:
        return "all missing"

    def encode(self, column: RawColumn) -> np.ndarray:
        return np.empty((len(column.values), 0))

    def decode(
        self, numbers: np.ndarray, random_state: np.random.RandomState | None = None
    ) -> RawColumn:
        if self.type in WORDS:
            return RawColumn(self.name, self.type, np.full(len(numbers), None))
        values = np.full(len(numbers), np.nan)
        return RawColumn(self.name, self.type, values, unit=self.unit)


@dataclass(frozen=True)
class ColumnSummary:
    """What of a column of `fit` says what it is taken for.

    Parameters
    ----------
    name, type, unit, levels
        As the column has them.

    is_known : bool
        Whether any cell is there.

    is_category, is_asked_for : bool
        Whether its cells are levels, and whether that is the user's wish.

    counts : dict
        How many cells hold each level.

    is_single, has_zone : bool
        As the column has them.
    """

    name: str
    type: str
    unit: float
    levels: tuple[Any, ...] | None
    is_known: bool
    is_category: bool
    is_asked_for: bool
    counts: dict[Any, int] = field(default_factory=dict)
    is_single: bool = False
    has_zone: bool = False

    @classmethod
    def of(cls, column: RawColumn, is_asked_for: bool) -> "ColumnSummary":
        is_missing = column.is_missing
        is_category = is_asked_for or not column.is_numeric
        counts: dict[Any, int] = {}
        if is_category:
            counts = dict(Counter(column.values[~is_missing].tolist()))
        return cls(
            *(column.name, column.type, column.unit, column.levels),
            *(not is_missing.all(), is_category, is_asked_for, counts),
            is_single=column.is_single,
            has_zone=column.has_zone,
        )

    def with_rows_of(self, other: "ColumnSummary", place: str) -> "ColumnSummary":
        """The same of these rows and of those at another place."""
        if not (self.is_known and other.is_known):
            return self if self.is_known else other
        if self.type != other.type:
            raise ValueError(
                f"{quoted(self.name)} holds {PLURALS[other.type]} in {place}, and "
                f"{PLURALS[self.type]} in those before: give it the same type in all."
            )
        if self.has_zone != other.has_zone:
            raise ValueError(other_zone(self.name, other.has_zone, f"before {place}"))
        counts = dict(self.counts)
        for level, n in other.counts.items():
            counts[level] = counts.get(level, 0) + n
        levels = self.levels
        if levels is not None and other.levels is not None:
            levels = tuple(dict.fromkeys([*levels, *other.levels]))
        unit = min(self.unit, other.unit)
        return replace(self, counts=counts, levels=levels, unit=unit)


def kind_of(
    column: ColumnSummary,
    mapped: RawColumn | None,
    min_frequency: float | Auto,
) -> Kind:
    """What a column of `fit` is taken for; its numbers are mapped where it is given."""
    if not column.is_known:
        return Nothing(column.name, column.type, column.unit)
    if column.is_category:
        return Categories.of(column, min_frequency)
    if column.type == "boolean":
        return Truths(column.name, column.type, column.unit)
    numbers = Numbers(column.name, column.type, column.unit, has_zone=column.has_zone)
    return numbers if mapped is None else MappedNumbers.of(numbers, mapped)


def summaries_together(
    columns: list[ColumnSummary], others: list[ColumnSummary], place: str
) -> list[ColumnSummary]:
    """The summaries of some rows of all columns and of those at another place."""
    return [
        column.with_rows_of(other, place)
        for column, other in zip(columns, others, strict=True)
    ]


def summaries_of_all(columns: list[ColumnSummary]) -> list[ColumnSummary]:
    """The summaries of the rows of all processes, each of which has some."""
    parts = [
        (rank, part)
        for rank, part in enumerate(current().gather(columns))
        if part is not None
    ]
    (_, all_columns), *others = parts
    for rank, part in others:
        all_columns = summaries_together(all_columns, part, f"process {rank}")
    return all_columns
