"""Arguments of the command line on how a table's file is to be read."""

import argparse
from pathlib import Path

from ._files import Convention, ReadOptions, is_text_path
from ._files.dates import ORDERS
from ._files.numbers import DECIMALS, THOUSANDS

# Flags on how a file is written.
SPELLINGS = ("decimal", "thousands", "date_order", "encoding")


class UsageError(ValueError):
    """What was asked for cannot be done; the message is for the user."""


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what may have to be said of a file, under the same names everywhere."""
    add = parser.add_argument
    add(
        "--no-header",
        action="store_true",
        help="the first line of the file holds values, not the names of columns",
    )
    add(
        "--decimal",
        choices=DECIMALS,
        help="decimal mark of the numbers in the file (default: what fits all columns)",
    )
    add(
        "--thousands",
        choices=[*THOUSANDS],
        help="what stands between thousands in the file (default: what is found there)",
    )
    add(
        "--date-order",
        choices=ORDERS,
        help="whether the day (dmy) or the month (mdy) is first in dates such as "
        "01/02/2020 (default: what fits all columns)",
    )
    add(
        "--encoding",
        metavar="NAME",
        help="encoding of the file, such as cp1252, cp1251, shift_jis, gbk, utf-16 "
        "(default: UTF-8 where it fits, else a guess, which is told)",
    )


def add_drop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--drop",
        metavar="COLUMN",
        nargs="+",
        default=[],
        help="columns of the file to leave out",
    )


def read_options(
    path: str, arguments: argparse.Namespace, wanted: list[str]
) -> ReadOptions:
    """Return what the arguments say of the file, of which some columns are wanted."""
    if not is_text_path(path):
        kind = Path(path).suffix or "folders"
        if arguments.no_header and not path.lower().endswith((".xlsx", ".xlsm")):
            raise UsageError(
                f"--no-header is for CSV files; {path!r} has names of columns"
            )
        if arguments.encoding is not None and "json" not in kind.lower():
            raise UsageError(f"--encoding is for files of text; {path!r} is none")
    thousands = arguments.thousands
    if thousands is not None and thousands == arguments.decimal:
        raise UsageError(f"--decimal and --thousands are both {thousands!r}")
    return ReadOptions(
        has_header=not arguments.no_header,
        convention=Convention(
            arguments.decimal, None if thousands is None else THOUSANDS[thousands]
        ),
        encoding=arguments.encoding,
        date_order=arguments.date_order,
        index_columns=wanted,
    )
