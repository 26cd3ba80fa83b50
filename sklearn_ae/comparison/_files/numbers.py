"""Words -> numbers, by the convention of their file.

A mark in a number is a decimal mark or groups thousands, and "1.234" does not say
which. So every column is read both ways; what fits one way only is evidence, and the
evidence of all columns decides for the file (`find_decimal`).
"""

import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Cells

DECIMALS = (".", ",")
# On the command line -> the mark, after `_PLAIN`.
THOUSANDS = {",": ",", ".": ".", "space": " ", "'": "'", "none": ""}

# A column holds numbers where so many of its cells can be read as such.
READABLE = 0.95
# So many of those that are numbers must fit one decimal mark; the others are named.
_FITTING = 0.8
_MIN_ROWS = 5  # in a column so long, one cell may always be odd
# Whole numbers of more digits are codes: double precision does not tell them apart.
_MAX_DIGITS = 15
_MAX_LENGTH = 60
# A column of numbers may hold more than a few cells of text, if these are few words
# ("refused", "below detection") among many numbers.
_MIN_NUMBERS, _MAX_WORDS = 10, 3

# Signs that mean the same in a number.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{HYPHEN}\N{FIGURE DASH}", "-"),
        **dict.fromkeys("\N{RIGHT SINGLE QUOTATION MARK}\N{PRIME}", "'"),
        **dict.fromkeys("\xa0\u2007\u2009\u202f\t", " "),
    }
)
_CURRENCY = (
    r"(?:US|R|A|C|HK|NZ|S)?\$|[€£¥₹₽₩₺₴₪฿₫₦]|z[łl]|Kč|kr\.?|Ft|lei|Fr\.|Rs\.?|"
    "CHF|EUR|USD|GBP|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|NZD|BRL|TRY|RUB|ZAR|MXN"
)
_AFFIXED = re.compile(
    rf"(?P<open>\()?\ *(?P<sign>[+-])?\ *(?P<before>{_CURRENCY})?\ *(?P<inner>[+-])?\ *"
    r"(?P<body>[.,]?\d(?:[\d.,' ]*\d)?(?:[.,](?!-))?(?:e[+-]?\d+)?)(?:[.,]--?)?"
    rf"\ *(?P<after>%|‰|{_CURRENCY})?\ *(?P<trail>-)?\ *(?P<close>\))?",
    re.IGNORECASE,
)
_INFINITE = re.compile(r"([+-]?)inf(?:inity)?|([+-]?)∞", re.IGNORECASE)
_SIMPLE = frozenset("0123456789+-.eE")
_DIGITS = frozenset("0123456789+-")
_UNDECIDED = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_CODE = re.compile(r"0\d{3,}")


@dataclass(frozen=True)
class Convention:
    """How numbers are written, as far as the user says; None: find out."""

    decimal: str | None = None
    thousands: str | None = None  # one of the values of THOUSANDS

    def __post_init__(self) -> None:
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError("the decimal mark cannot group thousands too")

    @property
    def decimals(self) -> tuple[str, ...]:
        """Return the decimal marks that are possible."""
        if self.decimal is not None:
            return (self.decimal,)
        return tuple(mark for mark in DECIMALS if mark != self.thousands)

    def grouping(self, decimal: str) -> str:
        """Return the marks that may group thousands beside this decimal mark."""
        if self.thousands is not None:
            return self.thousands
        return ",.' ".replace(decimal, "")


@functools.cache
def _body(decimal: str, grouping: str) -> re.Pattern[str]:
    whole = r"\d*"
    if grouping:
        marks = re.escape(grouping)
        # By threes, or as in India: 12,34,567. No number begins with 0 and a group.
        whole = (
            rf"(?:\d*|[1-9]\d{{0,2}}(?P<mark>[{marks}])\d{{3}}(?:(?P=mark)\d{{3}})*"
            + (r"|[1-9]\d?(?:,\d\d)+,\d{3}" if "," in grouping else "")
            + ")"
        )
    return re.compile(
        rf"(?P<whole>{whole})(?:{re.escape(decimal)}(?P<part>\d*))?(?P<power>e[+-]?\d+)?",
        re.IGNORECASE,
    )


def read_number(word: str, decimal: str, grouping: str) -> tuple[float, str] | None:
    """Return the number that a word spells, and the sign of its unit, if any.

    Parameters
    ----------
    word : str
        "-1,234.5", "$5", "12 %", "(1,200)", "5-", "1 234,5 kr".
    decimal : {".", ","}
        The decimal mark.
    grouping : str
        Marks that may stand between groups of digits.

    Returns
    -------
    number : tuple of float and str, or None
        None where the word spells no number with these marks.
    """
    if len(word) > _MAX_LENGTH:
        return None
    word = word.translate(_PLAIN)
    match = _AFFIXED.fullmatch(word)
    if match is None:
        match = _INFINITE.fullmatch(word)
        if match is None:
            return None
        return (-np.inf if word.startswith("-") else np.inf), ""
    signs = [match["sign"], match["inner"], match["trail"]]
    is_negative = "-" in signs
    is_bracketed = match["open"] is not None
    if is_bracketed != (match["close"] is not None) or len([*filter(None, signs)]) > 1:
        return None
    body = _body(decimal, grouping).fullmatch(match["body"])
    if body is None or (is_bracketed and is_negative):
        return None
    whole = re.sub(r"\D", "", body["whole"])
    number = float(f"{whole or 0}.{body['part'] or 0}{body['power'] or ''}")
    unit = match["before"] or match["after"] or ""
    if match["before"] and match["after"]:
        return None
    return (-number if is_negative or is_bracketed else number), unit


@dataclass
class NumberColumn:
    """A column of text whose cells are numbers, read with either decimal mark.

    Attributes
    ----------
    numbers : dict
        Decimal mark -> a number for each word, NaN where it is none.
    fits : dict
        Decimal mark -> how many cells can be read so.
    n_cells : int
        Cells that are not missing.
    n_against : dict
        Decimal mark -> how many words only the other mark can read.
    units : dict
        Word -> the sign of its unit.
    is_plain : bool
        Whether every cell is a number as programs write it.
    is_whole : bool
        Whether every cell is spelled as a whole number.
    example : int or None
        The place of a word that the two marks read as different numbers.
    """

    numbers: dict[str, NDArray[np.float64]]
    fits: dict[str, int]
    n_cells: int
    n_against: dict[str, int]
    units: dict[str, str]
    is_plain: bool
    example: int | None = None
    is_whole: bool = False

    @property
    def vote(self) -> str | None:
        """Return the decimal mark that this column speaks for."""
        if self.is_plain:  # either mark, or none but the point
            return None if len(self.fits) == 2 else next(iter(self.fits))
        if len(set(self.fits.values())) == 1:
            return None
        best = max(self.fits, key=lambda mark: self.fits[mark])
        return best if self.is_readable(best) else None

    def is_readable(self, decimal: str) -> bool:
        """Say whether the column holds numbers, if this is the decimal mark."""
        n_unread = self.n_cells - self.fits[decimal]
        return n_unread <= max((1 - _FITTING) * self.n_cells, self.n_cells >= _MIN_ROWS)

    def decimal_for(self, of_file: str) -> str | None:
        """Return the mark to read this column by in a file that uses `of_file`.

        The file's own, unless it leaves out words which the other reads, with all the
        rest. None: neither mark reads enough of the column.
        """
        if of_file not in self.fits:
            of_file = next(iter(self.fits))
        for other in self.fits:
            fits_all = self.fits[other] == self.n_cells
            if other != of_file and fits_all and self.n_against[of_file] > 1:
                return other
        if self.is_readable(of_file):
            return of_file
        return next((mark for mark in self.fits if self.is_readable(mark)), None)


def read_numbers(
    cells: Cells, is_missing: Sequence[bool], convention: Convention
) -> NumberColumn | None:
    """Return the numbers of a column; None where it holds text.

    Parameters
    ----------
    cells : Cells
        The column.
    is_missing : sequence of bool
        For each word, whether it stands for a missing value of a number.
    convention : Convention
        What is known of the file's way to write numbers.
    """
    present = [w for w, none in zip(cells.words, is_missing, strict=True) if not none]
    if not present:
        return None
    column = read_plain_numbers(cells, is_missing, convention)
    if column is not None:
        return column
    if _are_codes(present):
        return None
    counts = np.where(is_missing, 0, cells.counts)
    # Most text is told by a few of its words.
    if not any(_has_digit(word) for word in present[:1000]):
        return None
    readings = {}
    for mark in convention.decimals:
        grouping = convention.grouping(mark)
        readings[mark] = [
            None if none else _read(word, mark, grouping)
            for word, none in zip(cells.words, is_missing, strict=True)
        ]
    is_number = np.array([any(r) for r in zip(*readings.values(), strict=True)])
    if not _are_numbers(is_number, counts):
        return None
    units = _units(cells.words, readings, counts)
    numbers, fits = {}, {}
    for mark, reading in readings.items():
        numbers[mark] = np.array(
            # Nothing is nothing in every unit.
            [
                r[0] if r and (r[1] not in units.odd or not r[0]) else np.nan
                for r in reading
            ]
        )
        fits[mark] = int(counts[~np.isnan(numbers[mark])].sum())
    n_cells = int(counts[is_number].sum())
    against, example = _differences(numbers)
    return NumberColumn(
        numbers,
        fits,
        n_cells,
        against,
        units.by_word,
        is_plain=False,
        example=example,
    )


def _has_digit(word: Any) -> bool:
    return not isinstance(word, str) or any(letter.isdigit() for letter in word)


def _read(word: Any, decimal: str, grouping: str) -> tuple[float, str] | None:
    if isinstance(word, str):
        return read_number(word, decimal, grouping)
    if isinstance(word, bool) or not isinstance(word, int | float | np.number):
        return None
    return float(word), ""


def _are_codes(words: Iterable[Any]) -> bool:
    """Say whether words of digits are no quantity: "01067", or twenty digits."""
    spelled = [word for word in words if isinstance(word, str)]
    if any(len(word) > _MAX_DIGITS and word.isdecimal() for word in spelled):
        return True
    zeros = [word for word in spelled if word[:1] == "0" and len(word) > 3]
    has_zeros = any(map(_CODE.fullmatch, zeros))
    return has_zeros and all(word.isdecimal() for word in spelled)


def read_plain_numbers(
    cells: Cells, is_missing: Sequence[bool], convention: Convention
) -> NumberColumn | None:
    """Read a column as `float` does, where that is the one way to read it."""
    present = [w for w, none in zip(cells.words, is_missing, strict=True) if not none]
    try:
        text = "".join(present)
        if not text or not _SIMPLE.issuperset(text) or "." not in convention.decimals:
            return None
        values = [*map(float, present)]
    except (TypeError, ValueError):
        return None
    has_points = "." in text
    if has_points and not _has_decimals(present):
        return None
    if (not has_points or max(map(len, present)) > _MAX_DIGITS) and _are_codes(present):
        return None
    numbers = np.full(len(cells.words), np.nan)
    numbers[~np.asarray(is_missing, dtype=bool)] = values
    n_cells = int(cells.counts[~np.isnan(numbers)].sum())
    marks = (".",) if has_points else convention.decimals
    return NumberColumn(
        numbers=dict.fromkeys(marks, numbers),
        fits=dict.fromkeys(marks, n_cells),
        n_cells=n_cells,
        n_against=dict.fromkeys(marks, 0),
        units={},
        is_plain=True,
        is_whole=_DIGITS.issuperset(text),
    )


def _has_decimals(words: Iterable[str]) -> bool:
    """Say whether points are decimal marks beyond doubt: two words tell."""
    decided = (w for w in words if "." in w and not _UNDECIDED.fullmatch(w))
    return len([*itertools.islice(decided, 2)]) == 2


def _are_numbers(is_number: NDArray[np.bool_], counts: NDArray[np.intp]) -> bool:
    n_numbers, n_cells = counts[is_number].sum(), counts.sum()
    if n_numbers >= READABLE * n_cells:
        return True
    if n_numbers == n_cells - 1 and n_numbers >= _MIN_ROWS and is_number.sum() > 2:
        return True
    n_words = int((counts[~is_number] > 0).sum())
    many = max(_MIN_NUMBERS, 10 * n_words)
    return bool(
        2 * n_numbers >= n_cells and n_words <= _MAX_WORDS and is_number.sum() >= many
    )


@dataclass
class _Units:
    by_word: dict[str, str]
    odd: set[str]


def _units(words: Sequence[Any], readings: dict, counts: NDArray[np.intp]) -> _Units:
    """Return the units, and which of them are of another size than most.

    "12 %" and "0.12" do not stand in one column of numbers: the rarer kind is none.
    """
    by_word: dict[str, str] = {}
    weight = {"%": 0, "‰": 0, "": 0}
    for place, word in enumerate(words):
        found = next((r[place] for r in readings.values() if r[place]), None)
        if found is None:
            continue
        if found[1]:
            by_word[word] = found[1]
        if found[0] != 0:
            weight[found[1] if found[1] in weight else ""] += int(counts[place])
    main = max(weight, key=lambda unit: weight[unit])
    if weight[main] == sum(weight.values()):
        return _Units(by_word, set())
    odd = {unit for unit in weight if unit != main}
    if main:
        odd |= {unit for unit in by_word.values() if unit != main}
    return _Units(by_word, odd)


def _differences(
    numbers: dict[str, NDArray[np.float64]],
) -> tuple[dict[str, int], int | None]:
    """Return how many words speak against each mark, and one that is read two ways."""
    against = dict.fromkeys(numbers, 0)
    example = None
    if len(numbers) == 2:
        for a, b in (DECIMALS, DECIMALS[::-1]):
            only_b = np.isnan(numbers[a]) & ~np.isnan(numbers[b])
            against[a] = int(only_b.sum())
        both = ~np.isnan(numbers["."]) & ~np.isnan(numbers[","])
        differ = both & (numbers["."] != numbers[","])
        if differ.any():
            example = int(np.argmax(differ))
    return against, example


@dataclass(frozen=True)
class FileDecimal:
    """The decimal mark of a file, and whether anything in the file says so."""

    mark: str
    is_sure: bool


def find_decimal(
    columns: Iterable[NumberColumn], convention: Convention, separator: str | None
) -> FileDecimal:
    """Return the decimal mark that the columns of a file speak for.

    Where none does, what separates the values does: a comma there is none in numbers,
    and a semicolon is there because the comma is taken.
    """
    marks = convention.decimals
    if len(marks) == 1:
        return FileDecimal(marks[0], is_sure=True)
    votes = [column.vote for column in columns]
    n_points, n_commas = votes.count("."), votes.count(",")
    if n_points != n_commas:
        mark = "." if n_points > n_commas else ","
        return FileDecimal(mark, is_sure=min(n_points, n_commas) == 0)
    return FileDecimal("," if separator == ";" else ".", is_sure=False)
