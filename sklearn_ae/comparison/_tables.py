"""Tables as people have them: read a file, and make numbers of its columns.

`read_table` reads CSV and Parquet, `prepare_table` decides column by column, and
keeps a record of what it decided. What depends on the values of many rows (medians,
levels, scale) is left to a `ColumnTransformer`, which is fitted to the training rows
only; what is decided here looks at the types and the spelling of the values.
"""

import csv
import difflib
import functools
import gzip
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from .._utils.extras import import_extra
from ._split import SCALERS

if TYPE_CHECKING:
    import pandas as pd

CSV_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")

# Text counts as numbers or dates if this part of its values can be read as such;
# the few others are then missing values.
_READABLE = 0.95
# Text of which more than this part is distinct describes single rows.
_MOSTLY_DISTINCT = 0.5
_MISSING_WORDS = {"", "?", "na", "n/a", "#n/a", "nan", "null", "<na>"}
# Words for a missing number, each of which may well be a class of its own.
_NO_NUMBERS = {"-", "--", ".", "none", "missing", "unknown"}
_MISSING_LEVEL = "(missing)"
# As a word of its own ("user_id") or with its own capital ("userId", "PID").
_ID_NAME = re.compile(r"(^|[_\W])((?i:id|index|key|unnamed)($|[_\W]))|I[dD]$")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?")
_DATE_FORMATS = ("ISO8601", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d")


class TableError(ValueError):
    """A table that cannot be used; the message is for the one who brought it."""


@dataclass
class PreparedTable:
    """A table ready to be split.

    Attributes
    ----------
    X : DataFrame of shape (n_samples, n_columns)
        Numbers (NaN where missing) and text; no column is constant.
    y : ndarray of shape (n_samples,) or None
        The target, without missing values.
    preprocessor : ColumnTransformer
        Unfitted; it makes of X the finite numbers that the reducers get.
    actions : dict
        What was done -> the columns that it was done to, each with its details.
    rows : list of str
        What was done to the rows.
    """

    X: "pd.DataFrame"
    y: NDArray[Any] | None
    preprocessor: ColumnTransformer
    actions: dict[str, list[str]] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)


def is_table_path(name: str) -> bool:
    """Say whether a name ends as the files do that `read_table` reads."""
    return name.lower().endswith(CSV_ENDINGS + PARQUET_ENDINGS)


def read_table(path: str | Path, *, has_header: bool = True) -> "pd.DataFrame":
    """Read a CSV (also with semicolons or tabs, also gzipped) or Parquet file.

    Parameters
    ----------
    path : str or Path
        The file; its ending says how to read it.
    has_header : bool, default=True
        Whether the first line of a CSV file names the columns; else they are called
        "column 1", "column 2" and so on.

    Returns
    -------
    frame : DataFrame
        With unique column names, all of them text.

    Raises
    ------
    TableError
        Where the file is missing, empty or not readable as a table.
    """
    pandas = import_extra("pandas")
    path = Path(path)
    if not path.is_file():
        raise TableError(f"there is no file {str(path)!r}")
    name = path.name.lower()
    if not is_table_path(name):
        raise TableError(
            f"cannot read {path.name!r}: files must end in one of "
            + ", ".join(CSV_ENDINGS + PARQUET_ENDINGS)
        )
    try:
        if name.endswith(PARQUET_ENDINGS):
            import_extra("pyarrow")
            frame = pandas.read_parquet(path)
        else:
            frame = _read_csv(path, has_header)
    except (ImportError, TableError):
        raise
    except pandas.errors.EmptyDataError:
        raise TableError(f"{path.name!r} is empty") from None
    except Exception as error:  # every reader has exceptions of its own
        raise TableError(f"cannot read {path.name!r}: {error}") from error
    if frame.empty:
        raise TableError(f"{path.name!r} has no rows of data")
    frame.columns = _unique_names(frame.columns)
    return frame


def _read_csv(path: Path, has_header: bool) -> "pd.DataFrame":
    pandas = import_extra("pandas")
    encoding, separator, has_surplus = _csv_dialect(path)
    read = functools.partial(
        pandas.read_csv,
        path,
        sep=separator,
        encoding=encoding,
        low_memory=False,
        # Which words mean missing is for `prepare_table` to say: pandas would turn a
        # class "None" into missing values, for one.
        keep_default_na=False,
        na_values=[""],
    )
    if not has_header:
        frame = read(header=None)
        frame.columns = [f"column {i + 1}" for i in range(frame.shape[1])]
        return frame
    frame = read()
    # Where lines hold a value more than the header names, pandas takes the first value
    # as the name of the row, as R writes it. But if nothing follows the last separator,
    # it is one too many, and names and values have been shifted.
    if has_surplus and frame.iloc[:, -1].isna().all():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pandas.errors.ParserWarning)
            frame = read(index_col=False)
    return frame


def _csv_dialect(path: Path) -> tuple[str, str, bool]:
    """Return encoding and separator, and whether lines hold more than the header."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    for encoding in ("utf-8-sig", "cp1252", "latin-1"):
        try:
            with opener(path, "rt", encoding=encoding, newline="") as file:
                lines = (line for line in file if line.strip())
                header, second = next(lines, ""), next(lines, "")
                for _ in file:  # to its end: the first odd letter may come late
                    pass
        except UnicodeDecodeError:
            continue
        break
    separator = _separator(header, second)
    n_names, n_values = _n_values(header, separator), _n_values(second, separator)
    if n_names == 1 and n_values > 1:
        raise TableError(
            f"cannot read {path.name!r}: its first line, {header.strip()!r}, names one "
            "column, but the next line has several values. Remove what stands above "
            "the columns' names"
        )
    return encoding, separator, n_values > n_names


def _separator(header: str, second: str) -> str:
    """Return what separates the values of a file with these two lines."""
    if _NUMBER.fullmatch(second.strip()) and "," not in header:
        return ";"  # one column, of numbers
    # What the header says counts first; where it holds one value, the next line does.
    counts = {s: (_n_values(header, s), _n_values(second, s)) for s in ",;\t|"}
    # A comma may stand in numbers and in texts.
    agreeing = [s for s in ";\t|" if 1 < counts[s][0] <= counts[s][1]]
    return max(agreeing or counts, key=lambda s: counts[s])


def _n_values(line: str, separator: str) -> int:
    return len(next(csv.reader([line], delimiter=separator), []))


def _unique_names(names: Iterable[Any]) -> list[str]:
    unique: dict[str, None] = {}
    for name in (str(name).strip() for name in names):
        candidate, number = name, 1
        while candidate in unique:
            candidate, number = f"{name}.{number}", number + 1
        unique[candidate] = None
    return list(unique)


def names_look_like_values(names: Iterable[str]) -> bool:
    """Say whether most columns are named by a number, as where no line names them."""
    spelled = list(names)
    n_numbers = sum(bool(_NUMBER.fullmatch(name)) for name in spelled)
    return 2 * n_numbers > len(spelled)


def prepare_table(
    frame: "pd.DataFrame",
    target: str | None = None,
    *,
    drop: Iterable[str] = (),
    scaler: str | None = "standard",
    max_levels: int = 20,
    max_rows: int | None = None,
    random_state: int = 0,
) -> PreparedTable:
    """Decide for every column what to do with it.

    Parameters
    ----------
    frame : DataFrame
        As read from a file: any types, missing values.
    target : str, default=None
        The column to predict. It does not become part of X, and rows without it are
        left out.
    drop : iterable of str, default=()
        Columns to leave out.
    scaler : {"standard", "minmax"} or None, default="standard"
        For the columns that are numbers; one-hot columns stay 0 and 1.
    max_levels : int, default=20
        Largest number of one-hot columns per column of text.
    max_rows : int, default=None
        Use at most this many rows, drawn at random.
    random_state : int, default=0
        Decides which rows are drawn.

    Returns
    -------
    table : PreparedTable
        The columns, the preprocessor that makes numbers of them, and the record.

    Raises
    ------
    TableError
        For unknown columns, and where no usable row or column is left.
    """
    names = list(map(str, frame.columns))
    for name in [*([] if target is None else [target]), *drop]:
        if name not in names:
            lower = {known.lower(): known for known in names}
            close = difflib.get_close_matches(name.lower(), lower, n=1)
            hint = f" (did you mean {lower[close[0]]!r}?)" if close else ""
            raise TableError(
                f"there is no column {name!r}{hint}; the columns are: "
                + ", ".join(names)
            )
    actions: dict[str, list[str]] = {}
    rows: list[str] = []
    y = None
    if target is not None:
        y = _prepare_target(frame[target])
        known = y.notna()
        if not known.any():
            raise TableError(f"the target {target!r} has no values")
        if not known.all():
            n_missing = int((~known).sum())
            noun = "row" if n_missing == 1 else "rows"
            rows.append(f"{n_missing} {noun} without {target!r} left out")

    drop = set(drop)
    columns: dict[str, Any] = {}
    for name in frame.columns:
        if name == target:
            continue
        if name in drop:
            action, detail, column = "dropped, as asked", "", None
        else:
            action, detail, column = _prepare_column(name, frame[name], max_levels)
        actions.setdefault(action, []).append(f"{name} ({detail})" if detail else name)
        if column is not None:
            columns[name] = column
    if not columns:
        raise TableError(
            "no column is left to compare reducers on: "
            + "; ".join(f"{action}: {', '.join(c)}" for action, c in actions.items())
        )
    X = import_extra("pandas").DataFrame(columns)
    if y is not None:
        X, y = X[known], y[known]
    if max_rows is not None and len(X) > max_rows:
        chosen = np.random.RandomState(random_state).permutation(len(X))[:max_rows]
        chosen.sort()
        rows.append(f"{max_rows} of {len(X)} rows used, drawn at random")
        X, y = X.iloc[chosen], None if y is None else y.iloc[chosen]
    return PreparedTable(
        X=X.reset_index(drop=True),
        y=None if y is None else np.array(y.tolist()),
        preprocessor=_preprocessor(X, scaler, max_levels),
        actions=actions,
        rows=rows,
    )


def _preprocessor(
    X: "pd.DataFrame", scaler: str | None, max_levels: int
) -> ColumnTransformer:
    numbers = [name for name in X.columns if X[name].dtype.kind == "f"]
    text = [name for name in X.columns if X[name].dtype.kind != "f"]
    # A column may have no value at all among the training rows: it then stays,
    # filled with zeros, so that no warning and no change of shape comes of it.
    steps = [("impute", SimpleImputer(strategy="median", keep_empty_features=True))]
    if scaler is not None:
        steps.append(("scale", SCALERS[scaler]()))
    encoder = OneHotEncoder(
        drop="if_binary",
        # Levels of the held-out rows that no training row has are rare as well.
        handle_unknown="infrequent_if_exist",
        max_categories=max_levels,
        sparse_output=False,
    )
    return ColumnTransformer(
        [("numbers", Pipeline(steps), numbers), ("levels", encoder, text)]
    )


def _prepare_column(
    name: str, column: "pd.Series", max_levels: int
) -> tuple[str, str, "pd.Series | None"]:
    """Return what is done with a column, a detail, and the column (None: dropped)."""
    if not column.notna().any():
        return "dropped, all values are missing", "", None
    if column.dtype.kind == "c":
        return "dropped, complex numbers", "", None
    numbers, origin = _numbers_of(column)
    if numbers is None:
        return _prepare_text(column, max_levels)
    numbers = numbers.where(np.isfinite(numbers))
    values = numbers.dropna()
    if values.empty:
        return "dropped, no value is finite", "", None
    if values.nunique() == 1:
        return "dropped, all values are the same", "", None
    if origin in ("numbers", "text read as numbers") and _is_row_number(name, numbers):
        return "dropped, it numbers the rows", "", None
    n_missing = len(numbers) - len(values)
    if n_missing:
        return f"{origin}, missing values become the median", f"{n_missing}", numbers
    return origin, "", numbers


def _prepare_text(
    column: "pd.Series", max_levels: int
) -> tuple[str, str, "pd.Series | None"]:
    text = _text_of(column)
    n_levels = text.nunique()
    n_values = int(text.notna().sum())
    if n_values == 0:
        return "dropped, all values are missing", "", None
    if n_levels > 2 and n_levels > _MOSTLY_DISTINCT * n_values:
        detail = f"{n_levels} different"
        return "dropped, text that differs from row to row", detail, None
    if n_levels == 1 and n_values == len(text):
        return "dropped, all values are the same", "", None
    detail = f"{n_levels} levels"
    if n_values < len(text):
        detail += f", {len(text) - n_values} missing as one more"
        n_levels += 1
    text = text.astype(object).where(text.notna(), _MISSING_LEVEL)
    if n_levels <= max_levels:
        return "text, one-hot encoded", detail, text
    action = f"text, one-hot encoded: the {max_levels - 1} most frequent and the rest"
    return action, detail, text


def _prepare_target(column: "pd.Series") -> "pd.Series":
    """Return the target as whole numbers, numbers or text; missing stays missing."""
    if column.dtype.kind == "b":
        return column.map({True: "True", False: "False"})
    numbers, _ = _numbers_of(column)
    if numbers is None:
        return _text_of(column).astype(object)
    numbers = numbers.where(np.isfinite(numbers))
    whole = numbers.dropna()
    # Classes written as 0, 1, 2 must not show as 0.0, 1.0, 2.0.
    if (whole == whole.round()).all() and (whole.abs() < 2**53).all():
        return numbers.astype("Int64").astype(object)
    return numbers


def _numbers_of(column: "pd.Series") -> tuple["pd.Series | None", str]:
    """Return a column as floats, and what it held; None where it holds text."""
    pandas = import_extra("pandas")
    types = pandas.api.types
    if types.is_bool_dtype(column.dtype):
        return _as_float(column), "true/false as 1 and 0"
    if types.is_numeric_dtype(column.dtype):
        return _as_float(column), "numbers"
    if types.is_datetime64_any_dtype(column.dtype):
        return _days(pandas.to_datetime(column, utc=True)), "dates as days"
    if types.is_timedelta64_dtype(column.dtype):
        return column.dt.total_seconds() / 86400, "durations as days"
    text = _text_of(column)
    if not text.notna().any():
        return None, ""
    numbers = _read_numbers(text)
    if numbers is not None:
        return numbers, "text read as numbers"
    dates = _read_dates(text)
    if dates is not None:
        return _days(dates), "dates as days"
    return None, ""


def _as_float(column: "pd.Series") -> "pd.Series":
    pandas = import_extra("pandas")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pandas.Series(values, index=column.index)


def _text_of(column: "pd.Series") -> "pd.Series":
    """Return any values as text without outer blanks; missing stays missing."""
    text = column.astype(object).map(lambda value: str(value).strip(), "ignore")
    return text.where(~text.astype("str").str.lower().isin(_MISSING_WORDS))


def _without_words(text: "pd.Series") -> "pd.Series":
    spelled = text.dropna().astype("str")
    return spelled[~spelled.str.lower().isin(_NO_NUMBERS)]


def _read_numbers(text: "pd.Series") -> "pd.Series | None":
    """Return the numbers that text spells: "1,234.5", "1.234,5", "12 %", "$5"."""
    pandas = import_extra("pandas")
    spelled = _without_words(text)
    if spelled.empty:
        return None
    plain = spelled.str.replace(r"^[$€£]\s*|\s*[%$€£]$", "", regex=True)
    commas = plain[plain.str.contains(",", regex=False)]
    if len(commas):
        grouped = commas.str.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?").mean()
        if grouped >= _READABLE:
            plain = plain.str.replace(",", "", regex=False)
        else:
            decimal = plain.str.fullmatch(r"[+-]?\d*(\.\d{3})*(,\d+)?")
            swapped = plain.str.replace(".", "", regex=False)
            plain = plain.mask(decimal, swapped.str.replace(",", ".", regex=False))
    numbers = pandas.to_numeric(plain, errors="coerce").astype(np.float64)
    if numbers.notna().mean() < _READABLE:
        return None
    return numbers.reindex(text.index)


def _read_dates(text: "pd.Series") -> "pd.Series | None":
    pandas = import_extra("pandas")
    spelled = _without_words(text)
    # A digit first and a separator between digits: spares most text the attempts.
    if (
        spelled.empty
        or spelled.str.match(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}").mean() < _READABLE
    ):
        return None
    for date_format in _DATE_FORMATS:
        # Only ISO 8601 has a spelling of the time of day that all agree on.
        whole = date_format == "ISO8601"
        dates = pandas.to_datetime(
            spelled if whole else spelled.str.split().str[0],
            format=date_format,
            errors="coerce",
            utc=True,
        )
        if dates.notna().mean() >= _READABLE:
            return dates.reindex(text.index)
    return None


def _days(dates: "pd.Series") -> "pd.Series":
    start = import_extra("pandas").Timestamp("1970-01-01", tz="UTC")
    return (dates - start).dt.total_seconds() / 86400


def _is_row_number(name: str, numbers: "pd.Series") -> bool:
    """Say whether a column only tells the rows apart: 1, 2, 3, ... or a unique id."""
    if numbers.isna().any() or len(numbers) < 3:
        return False
    values = numbers.to_numpy()
    if np.any(values != np.round(values)) or numbers.nunique() < len(numbers):
        return False
    return bool(_ID_NAME.search(name)) or bool(np.all(np.diff(values) == 1))
