"""Text -> records of cells: what separates them, comments, quotes.

The dialect is read from the start of a file (`find_dialect`), the records are read
line by line with the standard library's `csv` (`read_records`).
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from .words import is_number

_SEPARATORS = ",;\t|"
_COMMENTS = ("#", "%", "//")
_SAMPLE_LINES = 200
_NAMES = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "upright strokes",
    " ": "blanks",
    "": "nothing: there is one column",
}


@dataclass(frozen=True)
class Dialect:
    """How the lines of a file are to be read.

    Attributes
    ----------
    separator : str
        What stands between values; "" in a file of one column.
    comment : str
        What lines without values begin with; "" where there are none.
    has_commented_names : bool
        Whether the last comment above the values holds the names of the columns.
    has_hint : bool
        Whether the first line is "sep=;", as spreadsheets understand it.
    escape : str or None
        What stands before a quote within quotes; None: another quote.
    quoting : bool
        Whether quotes have a meaning at all.
    has_breaks : bool
        Whether a quoted cell may hold line breaks.
    """

    separator: str
    comment: str = ""
    has_commented_names: bool = False
    has_hint: bool = False
    escape: str | None = None
    quoting: bool = True
    has_breaks: bool = True

    @property
    def name(self) -> str:
        """Return what separates the values, as a word."""
        return _NAMES[self.separator]

    def variants(self, head: Iterable[str]) -> list["Dialect"]:
        """Return ways to read quotes, by how likely they are with these first lines."""
        has_escapes = any('\\"' in line for line in head)
        # Without a sign that quotes are escaped, one that does not end on its line is
        # a fault, and what follows would vanish in one cell.
        escaped = [replace(self, escape="\\", has_breaks=has_escapes)]
        # A quote that is not doubled is most often no quote where tabs separate.
        bare = [replace(self, quoting=False)] * (self.separator == "\t")
        return [self, *(escaped + bare if has_escapes else bare + escaped)]


@dataclass(frozen=True)
class Record:
    """The cells of a line, or of several where a quoted cell holds line breaks."""

    line: int
    cells: list[str]
    is_quoted: bool
    n_lines: int = 1


class QuoteError(ValueError):
    """Quotes that a dialect cannot read; holds the line's number."""

    def __init__(self, line: int, reason: str):
        super().__init__(f"line {line}: {reason}")


def find_dialect(head: Iterable[str]) -> Dialect:
    """Return how to read a file with these first lines."""
    lines = [line for line in head if line.strip()]
    hint = (
        re.fullmatch(r"\ufeff?\"?sep=(.)\"?", lines[0].strip("\r\n")) if lines else None
    )
    if hint:
        lines = lines[1:]
    comment, comments = _leading_comments(lines)
    lines = [line for line in lines if not (comment and line.startswith(comment))]
    separator = hint[1] if hint else _find_separator(lines or comments[-1:], comments)
    dialect = Dialect(separator, comment, has_hint=hint is not None)
    if comments and _names_are_commented(comments[-1], lines, dialect):
        dialect = replace(dialect, has_commented_names=True)
    return dialect


def _leading_comments(lines: list[str]) -> tuple[str, list[str]]:
    """Return the mark of the comments above the values, and these comments."""
    mark = next((m for m in _COMMENTS if lines and lines[0].startswith(m)), "")
    if not mark:
        return "", []
    n_comments = next(
        (i for i, line in enumerate(lines) if not line.startswith(mark)), len(lines)
    )
    return mark, lines[:n_comments]


def _names_are_commented(comment: str, lines: list[str], dialect: Dialect) -> bool:
    """Say whether the last comment names the columns of the lines below it."""
    names = split_names(comment, dialect)
    rows = [record.cells for record in _records(lines[:2], dialect)]
    if not rows or len(names) != len(rows[0]) or (len(names) == 1 and len(rows) == 1):
        return False
    # The line below holds numbers, so that it names nothing.
    return any(map(_is_number, rows[0])) and not any(map(_is_number, names))


def split_names(comment: str, dialect: Dialect) -> list[str]:
    """Return the names in a comment above the values: "# a b", or "#,a,b"."""
    bare = comment.removeprefix(dialect.comment)
    names = next((record.cells for record in _records([bare], dialect)), [])
    if names and not names[0] and dialect.separator != " ":
        names[0] = dialect.comment  # a column that is called "#"
    return names


def _find_separator(lines: list[str], comments: list[str]) -> str:
    """Return what separates the values of these lines, the first being a header."""
    lines = lines[:_SAMPLE_LINES]
    counts = {s: _counts(lines, s) for s in _SEPARATORS}
    # A comma may stand in numbers and in texts, anything else that is regular may not.
    regular = [s for s in ";\t|" if _is_regular(counts[s])]
    if regular:
        return max(regular, key=lambda s: counts[s][0])
    if counts[","][:1] > [1]:
        return ","
    if any(counts[s][:1] > [1] for s in ";\t|"):
        return max(";\t|", key=lambda s: counts[s][0])
    if _are_separated_by_blanks(lines):
        return " "
    body = lines[1:]
    is_column = all(_is_number(line) or not line.strip(" \r\n\t?-") for line in body)
    if is_column or all(count == 1 for s in _SEPARATORS for count in counts[s]):
        return ""
    # The header holds one value and the others more: the reader will say so.
    return max(_SEPARATORS, key=lambda s: max(counts[s], default=0))


def _counts(lines: list[str], separator: str) -> list[int]:
    return [len(record.cells) for record in _records(lines, Dialect(separator))]


def _is_regular(counts: list[int]) -> bool:
    """Say whether nearly all lines have as many values as the first, or one more."""
    if not counts or counts[0] < 2:
        return False
    alike = sum(counts[0] <= count <= counts[0] + 1 for count in counts)
    return alike >= 0.8 * len(counts)


def _are_separated_by_blanks(lines: list[str]) -> bool:
    """Say whether blanks separate values: as many in all lines, numbers among them."""
    records = [*_records(lines, Dialect(" "))]
    rows = [record.cells for record in records[1:]] or [r.cells for r in records]
    sizes = {len(row) for row in rows}
    if len(sizes) != 1 or max(sizes) < 2:
        return False
    (size,) = sizes
    has_numbers = all(any(map(_is_number, row)) for row in rows)
    return has_numbers and size - len(records[0].cells) in (0, 1)


def _is_number(cell: str) -> bool:
    return is_number(cell.strip().strip('"'))


def _records(lines: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """Read a few lines, as far as their quotes allow."""
    try:
        yield from read_records(lines, replace(dialect, comment=""), is_strict=False)
    except QuoteError:
        return


def read_records(
    lines: Iterable[str], dialect: Dialect, *, is_strict: bool = True
) -> Iterator[Record]:
    """Yield the records of a file; blank lines and comments are left out.

    Raises
    ------
    QuoteError
        Where the quotes of a line make no sense.
    """
    number = 0  # of the line that was read last
    first = 0  # of the record's first line
    is_quoted = False

    def feed() -> Iterator[str]:
        nonlocal number, first, is_quoted
        for line in lines:
            number += 1
            if not first:
                is_hint = number == 1 and dialect.has_hint
                is_comment = dialect.comment and line.startswith(dialect.comment)
                # The last is how DOS ended a file.
                if is_hint or is_comment or not line.strip(" \t\r\n\v\f\x1a"):
                    continue
                first = number
                is_quoted = line.lstrip().startswith('"')
            if dialect.separator == " ":
                line = line.replace("\t", " ").strip() + "\n"
            yield line

    reader = csv.reader(
        feed(),
        delimiter=dialect.separator or "\0",
        escapechar=dialect.escape,
        doublequote=dialect.escape is None,
        quoting=csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE,
        skipinitialspace=True,
        strict=is_strict,
    )
    with _long_cells():
        try:
            for cells in reader:
                n_lines = number - first + 1
                if n_lines > 1 and not dialect.has_breaks:
                    raise QuoteError(first, "a quote does not end on its line")
                yield Record(
                    first, [cell.strip() for cell in cells], is_quoted, n_lines
                )
                first = 0
        except csv.Error as error:
            raise QuoteError(first or number, str(error)) from None


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells be of any length; the module's own limit is 131,072 characters."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def read_head(file: io.TextIOBase) -> list[str]:
    """Return the first lines of a file."""
    return list(islice(file, 2 * _SAMPLE_LINES))
