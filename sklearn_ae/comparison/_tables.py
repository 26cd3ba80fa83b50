"""What a comparison makes of a table's columns: numbers for the reducers.

`prepare_table` decides column by column, and keeps a record of what it decided. It goes
by the columns' types; how text became numbers and dates is for `_files` to know. What
depends on the values of many rows (medians, levels, scale) is left to a
`ColumnTransformer`, which is fitted to the training rows only.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from .._utils.extras import import_extra
from ._encoding import MixedEncoder
from ._files import TableError
from ._split import SCALERS

if TYPE_CHECKING:
    import pandas as pd

# Text of which more than this part is distinct describes single rows.
_MOSTLY_DISTINCT = 0.5
_MISSING_LEVEL = "(missing)"
# As a word of its own ("user_id") or with its own capital ("userId", "PID").
_ID_NAME = re.compile(r"(^|[_\W])((?i:id|key)($|[_\W]))|[a-z]I[dD]$")


@dataclass
class PreparedTable:
    """A table ready to be split.

    Attributes
    ----------
    X : DataFrame of shape (n_samples, n_columns)
        Numbers (NaN where missing) and text; no column is constant.
    y : ndarray of shape (n_samples,) or None
        The target, without missing values.
    preprocessor : MixedEncoder or ColumnTransformer
        Unfitted; it makes of X the finite numbers that the reducers get.
    actions : dict
        What was done -> the columns that it was done to, each with its details.
    rows : list of str
        What was done to the rows.
    """

    X: "pd.DataFrame"
    y: NDArray[Any] | None
    preprocessor: MixedEncoder | ColumnTransformer
    actions: dict[str, list[str]] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)


def prepare_table(
    frame: "pd.DataFrame",
    target: str | None = None,
    *,
    drop: Iterable[str] = (),
    spelled: Collection[str] = (),
    scaler: str | None = "standard",
    max_levels: int = 20,
    max_rows: int | None = None,
    random_state: int = 0,
) -> PreparedTable:
    """Decide for every column what to do with it.

    Parameters
    ----------
    frame : DataFrame
        Any types, missing values; text is text, whatever it spells.
    target : str, default=None
        The column to predict. It does not become part of X, and rows without it are
        left out.
    drop : iterable of str, default=()
        Columns to leave out.
    spelled : collection of str, default=()
        Columns of numbers that were text in their file: the record says so.
    scaler : {"standard", "minmax"} or None, default="standard"
        "standard" makes the numbers of factor analysis of mixed data, as the estimators
        do: missing cells are at the mean. The others are for the columns that are
        numbers, whose missing cells are at the median; one-hot columns stay 0 and 1.
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

    drop, is_mixed = set(drop), scaler == "standard"
    columns: dict[str, Any] = {}
    for name in frame.columns:
        if name == target:
            continue
        if name in drop:
            action, detail, column = "dropped, as asked", "", None
        else:
            action, detail, column = _prepare_column(
                frame[name], name in spelled, None if is_mixed else max_levels
            )
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
) -> MixedEncoder | ColumnTransformer:
    numbers = [name for name in X.columns if X[name].dtype.kind == "f"]
    text = [name for name in X.columns if X[name].dtype.kind != "f"]
    if scaler == "standard":
        return MixedEncoder([X.columns.get_loc(name) for name in text])
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
    column: "pd.Series", is_spelled: bool, max_levels: int | None
) -> tuple[str, str, "pd.Series | None"]:
    """Return what is done with a column, a detail, and the column (None: dropped).

    With ``max_levels=None`` it becomes numbers as factor analysis of mixed data has
    them.
    """
    if not column.notna().any():
        return "dropped, all values are missing", "", None
    if column.dtype.kind == "c":
        return "dropped, complex numbers", "", None
    numbers, origin = _numbers_of(column)
    if numbers is None:
        return _prepare_text(column, max_levels)
    n_infinite = int(np.isinf(numbers).sum())
    numbers = numbers.where(np.isfinite(numbers))
    values = numbers.dropna()
    if values.empty:
        return "dropped, no value is finite", "", None
    if values.nunique() == 1:
        return "dropped, all values are the same", "", None
    if origin == "numbers" and _counts_rows(numbers):
        return "dropped, it numbers the rows", "", None
    if is_spelled:
        origin = "text read as numbers"
    n_missing = len(numbers) - len(values)
    if n_missing:
        detail = f"{n_missing}"
        if n_infinite:
            detail += f", of them {n_infinite} infinite"
        place = "median" if max_levels is not None else "mean"
        return f"{origin}, missing values become the {place}", detail, numbers
    return origin, "", numbers


def _prepare_text(
    column: "pd.Series", max_levels: int | None
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
    if max_levels is None:
        if n_values < len(text):
            detail += f", {len(text) - n_values} missing at their mean"
        text = text.astype(object).where(text.notna(), None)
        return "text, levels over the root of their share", detail, text
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
    return None, ""


def _as_float(column: "pd.Series") -> "pd.Series":
    pandas = import_extra("pandas")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pandas.Series(values, index=column.index)


def _days(dates: "pd.Series") -> "pd.Series":
    start = import_extra("pandas").Timestamp("1970-01-01", tz="UTC")
    return (dates - start).dt.total_seconds() / 86400


def _counts_rows(numbers: "pd.Series") -> bool:
    """Say whether a column counts the rows, in their order, from 0 or 1 on."""
    if len(numbers) < 3:
        return False
    values = numbers.to_numpy()
    return bool(values[0] in (0, 1) and np.all(np.diff(values) == 1))


def _text_of(column: "pd.Series") -> "pd.Series":
    """Return any values as text; missing stays missing."""
    return column.astype(object).map(str, "ignore")


def named_as_ids(table: PreparedTable) -> list[str]:
    """Return the columns of X that are called ids and differ from row to row."""
    return [
        name
        for name in table.X.columns
        if _ID_NAME.search(name)
        and table.X[name].dtype.kind == "f"
        and table.X[name].is_unique
        and (table.X[name] == table.X[name].round()).all()
    ]
