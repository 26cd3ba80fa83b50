"""Files -> tables: which kind of file it is, and what was made of it."""

import datetime
import io
import json
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._tables.arrow import index_columns
from ..._utils.extras import import_extra
from .cells import Cells, cells_of
from .columns import make_columns
from .encodings import Encoding, find_encoding, open_bytes
from .errors import TableError
from .layout import (
    NAMES_LEFT_OUT,
    Layout,
    lay_out,
    names_rows,
    unique_names,
    without_odd_rows,
)
from .lines import (
    Dialect,
    QuoteError,
    find_dialect,
    read_head,
    read_records,
    split_names,
)
from .numbers import Convention
from .odd_rows import ends_with_sums

if TYPE_CHECKING:
    import pandas as pd

_COMPRESSIONS = ("", ".gz", ".bz2", ".xz")
TEXT_ENDINGS = tuple(
    ending + compression
    for ending in (".csv", ".tsv", ".txt", ".tab", ".dat")
    for compression in _COMPRESSIONS
)
JSON_ENDINGS = tuple(
    ending + compression
    for ending in (".jsonl", ".ndjson", ".json")
    for compression in _COMPRESSIONS
)
ARROW_ENDINGS = (".parquet", ".pq", ".feather", ".arrow")
EXCEL_ENDINGS = (".xlsx", ".xlsm")
_SHOWN_ENDINGS = (".csv", ".tsv", ".txt", *ARROW_ENDINGS[:3], ".xlsx", ".jsonl")


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of a file; None: find out.

    Attributes
    ----------
    has_header : bool
        Whether the first line of a file of text names the columns.
    convention : Convention
        How numbers are written.
    encoding : str or None
        Of a file of text.
    date_order : {"dmy", "mdy"} or None
        Whether day or month stands first.
    index_columns : collection of str
        Columns of the index to take all the same.
    """

    has_header: bool = True
    convention: Convention = field(default_factory=Convention)
    encoding: str | None = None
    date_order: str | None = None
    index_columns: Collection[str] = ()


@dataclass
class ReadTable:
    """A table out of a file.

    Attributes
    ----------
    frame : DataFrame
        With unique column names, all of them text, and columns of the dtypes that
        their values are of: numbers, truth values, dates, durations, text.
    spelled : set of str
        Columns of numbers that stand in the file as text.
    remarks : list of str
        What was made of the file, in sentences.
    words : mapping of str to Cells
        Of a file of text, its columns as they are spelled.
    """

    frame: "pd.DataFrame"
    spelled: set[str]
    remarks: list[str]
    words: Mapping[str, Cells] = field(default_factory=dict)


def is_table_path(name: str) -> bool:
    """Say whether a name ends as the files do that `read_table` reads."""
    endings = TEXT_ENDINGS + JSON_ENDINGS + ARROW_ENDINGS + EXCEL_ENDINGS
    return name.lower().endswith(endings)


def is_text_path(name: str) -> bool:
    """Say whether a name ends as files of lines and separators do."""
    return name.lower().endswith(TEXT_ENDINGS)


def read_table(path: str | Path, options: ReadOptions | None = None) -> ReadTable:
    """Read a table from a file, or from a folder of Parquet files.

    Parameters
    ----------
    path : str or Path
        The file; its ending says how to read it.
    options : ReadOptions, default=None
        What is known of it.

    Returns
    -------
    table : ReadTable
        The columns, and what was made of the file.

    Raises
    ------
    TableError
        Where the file is missing, empty or not readable as a table.
    """
    options = ReadOptions() if options is None else options
    path = Path(path)
    pandas = import_extra("pandas")
    read = _find_reader(path)
    try:
        table = read(path, options)
    except (ImportError, TableError):
        raise
    except Exception as error:  # every reader has exceptions of its own
        raise TableError(f"cannot read {path.name!r}: {error}") from error
    if table.frame.empty:
        raise TableError(f"{path.name!r} has no rows of data")
    if ends_with_sums(table.frame):
        table.remarks.append("the last row holds the sums of all others: left out")
        table.frame = table.frame.iloc[:-1]
    assert isinstance(table.frame, pandas.DataFrame)
    return table


def _find_reader(path: Path) -> "Callable[[Path, ReadOptions], ReadTable]":
    name = path.name.lower()
    if path.is_dir():
        return _read_folder
    if not path.is_file():
        raise TableError(f"there is no file {str(path)!r}")
    for endings, read in (
        (TEXT_ENDINGS, _read_text),
        (ARROW_ENDINGS, _read_arrow),
        (EXCEL_ENDINGS, _read_excel),
        (JSON_ENDINGS, _read_json),
    ):
        if name.endswith(endings):
            return read
    raise TableError(
        f"cannot read {path.name!r}: files must end in one of "
        + ", ".join(_SHOWN_ENDINGS)
    )


# Text ---------------------------------------------------------------------------------


def _read_text(path: Path, options: ReadOptions) -> ReadTable:
    encoding = find_encoding(path, options.encoding)
    with _open_text(path, encoding) as file:
        head = read_head(file)
    if not any(line.strip() for line in head):
        raise TableError(f"{path.name!r} is empty")
    dialect = find_dialect(head)
    layout = _read_layout(path, encoding, dialect, head, options)
    lines = layout.lines
    columns = make_columns(
        layout.columns,
        options.convention,
        separator=dialect.separator,
        date_order=options.date_order,
        place_of=lambda row: f"line {lines[row]}",
    )
    remarks = [_describe(encoding, dialect), *layout.remarks, *columns.remarks]
    return ReadTable(columns.frame, columns.spelled, remarks, layout.columns)


def _describe(encoding: Encoding, dialect: Dialect) -> str:
    """Say how the file was read."""
    name = encoding.name.removesuffix("-sig").upper()
    if encoding.example:
        name = (
            f"{encoding.name} (a guess: it is no UTF-8; {encoding.example!r} should "
            "read well, else give --encoding)"
        )
    said = f"read as {name}, values separated by {dialect.name}"
    if dialect.comment:
        said += f", lines beginning with {dialect.comment!r} left out as comments"
    if dialect.has_commented_names:
        said += " but the last before the values, which names the columns"
    return said


def _open_text(path: Path, encoding: Encoding) -> Any:
    return io.TextIOWrapper(open_bytes(path), encoding=encoding.name, newline="")


def _read_layout(
    path: Path,
    encoding: Encoding,
    dialect: Dialect,
    head: Sequence[str],
    options: ReadOptions,
) -> Layout:
    """Lay the records out, with the first way to read quotes that goes through."""
    first_error = None
    for variant in dialect.variants(head):
        try:
            with _open_text(path, encoding) as file:
                records = read_records(file, variant)
                names = _names(path, records, variant, head, options)
                layout = lay_out(records, names, variant.separator)
        except QuoteError as error:
            first_error = first_error or error
            continue
        if layout is None:
            raise TableError(f"{path.name!r} has no rows of data")
        return layout
    raise TableError(f"cannot read {path.name!r}: {first_error}") from None


def _names(
    path: Path,
    records: Any,
    dialect: Dialect,
    head: Sequence[str],
    options: ReadOptions,
) -> list[str] | None:
    """Return the names of the columns, and take their line off the records."""
    if not options.has_header:
        return None
    if dialect.has_commented_names:
        comments = []
        for line in head:
            if line.strip() and not line.startswith(dialect.comment):
                break
            comments += [line] * bool(line.strip())
        return split_names(comments[-1].strip(), dialect)
    first = next(records, None)
    if first is None:
        return []
    names = [" ".join(name.split()) for name in first.cells]
    if not dialect.separator and "  " in first.cells[0].strip():
        raise TableError(
            f"cannot read {path.name!r}: blanks seem to separate the values, but not "
            "all lines have as many. Save it with commas or semicolons between them"
        )
    _check_is_no_title(path, names, head, dialect)
    return names


def _check_is_no_title(
    path: Path, names: list[str], head: Sequence[str], dialect: Dialect
) -> None:
    if len(names) != 1 or not dialect.separator:
        return
    rows = read_records(head, dialect, is_strict=False)
    if any(len(record.cells) > 1 for record in rows):
        raise TableError(
            f"cannot read {path.name!r}: its first line, {names[0]!r}, names one "
            "column, but the next line has several values. Remove what stands above "
            "the columns' names"
        )


# Typed files --------------------------------------------------------------------------


def _read_arrow(path: Path, options: ReadOptions) -> ReadTable:
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        import_extra("pyarrow")
        table = import_extra("pyarrow.parquet").ParquetFile(path).read()
    else:
        table = import_extra("pyarrow.feather").read_table(path)
    return _from_arrow(table, options, [])


def _read_folder(path: Path, options: ReadOptions) -> ReadTable:
    files = sorted(
        file
        for file in path.rglob("*")
        if file.name.lower().endswith((".parquet", ".pq")) and file.is_file()
    )
    if not files:
        raise TableError(
            f"the folder {str(path)!r} holds no file that ends in .parquet"
        )
    dataset = import_extra("pyarrow.dataset").dataset(
        [str(file) for file in files],
        format="parquet",
        partitioning="hive",
        partition_base_dir=str(path),
    )
    noun = "file" if len(files) == 1 else "files"
    return _from_arrow(dataset.to_table(), options, [f"read {len(files)} {noun}"])


def _from_arrow(table: Any, options: ReadOptions, remarks: list[str]) -> ReadTable:
    """Return the columns, without those that the file says are pandas' index."""
    index = index_columns(table.schema)
    left_out = [name for name in index if name not in options.index_columns]
    if left_out:
        remarks.append(
            f"left out, for pandas wrote it as the index: {', '.join(left_out)} "
            "(reset_index() before writing makes columns of it)"
        )
    kept = [i for i, name in enumerate(table.column_names) if name not in left_out]
    names = unique_names(table.column_names[i] for i in kept)
    table = table.select(kept).rename_columns(names).replace_schema_metadata(None)
    return _from_frame(table.to_pandas(), options, remarks)


def _from_frame(
    frame: "pd.DataFrame",
    options: ReadOptions,
    remarks: list[str],
    lines: Any = None,
    place: str = "row",
) -> ReadTable:
    """Read the columns of text of a frame, and leave the others as they are."""
    lines = np.arange(1, len(frame) + 1) if lines is None else lines
    columns: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        is_text = column.dtype == object or isinstance(
            column.dtype, import_extra("pandas").StringDtype
        )
        columns[name] = cells_of(_plain(column)) if is_text else column
    if all(isinstance(column, Cells) for column in columns.values()):
        layout = without_odd_rows(columns, lines, remarks, place)
        columns, lines, remarks = dict(layout.columns), layout.lines, layout.remarks
    made = make_columns(
        columns,
        options.convention,
        date_order=options.date_order,
        place_of=lambda row: f"{place} {lines[row]}",
    )
    return ReadTable(made.frame, made.spelled, [*remarks, *made.remarks])


def _plain(column: "pd.Series") -> list[Any]:
    """Return values as cells hold them: text, numbers, truth values, None."""
    return [
        None if missing else _plain_value(value)
        for value, missing in zip(column, column.isna(), strict=True)
    ]


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _read_excel(path: Path, options: ReadOptions) -> ReadTable:
    openpyxl = import_extra("openpyxl", extra="excel", user="Reading .xlsx files")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and validation, which do not matter
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        sheets = book.sheetnames
        rows = [
            (number, [*row])
            for number, row in enumerate(book[sheets[0]].values, start=1)
            if any(cell not in (None, "") for cell in row)
        ]
    finally:
        book.close()
    remarks = []
    if len(sheets) > 1:
        remarks.append(
            f"read the first of {len(sheets)} sheets, {sheets[0]!r}; save another as a "
            "file of its own to read it"
        )
    if not rows:
        raise TableError(f"{path.name!r} is empty")
    if options.has_header:
        names = ["" if cell is None else str(cell) for cell in rows.pop(0)[1]]
        filled = [name for name in names if name]
        if len(filled) == 1 and rows and sum(c is not None for c in rows[0][1]) > 1:
            raise TableError(
                f"cannot read {path.name!r}: its first line, {filled[0]!r}, names one "
                "column, but the next line has several values. Remove what stands "
                "above the columns' names"
            )
    else:
        names = [""] * len(rows[0][1])
    if not rows:
        raise TableError(f"{path.name!r} has no rows of data")
    table = {
        i: [row[i] if i < len(row) else None for _, row in rows]
        for i in range(max(len(row) for _, row in rows))
    }
    names += [""] * (len(table) - len(names))
    # What is empty from top to bottom is the rim of the sheet.
    kept = [
        i
        for i, name in enumerate(names)
        if name or any(c is not None for c in table[i])
    ]
    has_names = options.has_header and len(kept) > 1
    if has_names and names_rows(names[kept[0]], cells_of(table[kept[0]])):
        remarks.append(NAMES_LEFT_OUT)
        kept = kept[1:]
    frame = import_extra("pandas").DataFrame(
        {i: import_extra("pandas").Series(table[i], dtype=object) for i in kept}
    )
    frame.columns = unique_names(names[i] or f"column {i + 1}" for i in kept)
    lines = np.array([number for number, _ in rows])
    return _from_frame(frame, options, remarks, lines, "line")


def _read_json(path: Path, options: ReadOptions) -> ReadTable:
    encoding = find_encoding(path, options.encoding)
    with _open_text(path, encoding) as file:
        text = file.read()
    if not text.strip():
        raise TableError(f"{path.name!r} is empty")
    records, lines = _json_records(path, text)
    frame = import_extra("pandas").json_normalize(records)
    frame.columns = unique_names(frame.columns)
    for name in frame.columns:
        frame[name] = frame[name].astype(object)
    return _from_frame(
        frame, options, [], lines, "line" if lines is not None else "row"
    )


def _json_records(path: Path, text: str) -> tuple[list[Mapping[str, Any]], Any]:
    """Return the objects of JSON lines or of one array, and the lines they are on."""
    if text.lstrip().startswith("["):
        records, lines = json.loads(text), None
    else:
        numbered = [
            (number, line)
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
        lines = np.array([number for number, _ in numbered])
        records = []
        for number, line in numbered:
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise TableError(
                    f"cannot read {path.name!r}: line {number} is no JSON ({error})"
                ) from None
    if not all(isinstance(record, dict) for record in records):
        raise TableError(
            f"cannot read {path.name!r}: each row must be an object, such as "
            '{"name": value}'
        )
    return records, lines
