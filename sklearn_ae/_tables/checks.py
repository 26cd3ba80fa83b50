"""Checks of X on its way in: an array, or a table whose blocks are checked as read."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import validate_data
from torch import Tensor

from .._utils.arrays import read_stream
from .._utils.processes import current
from .containers import is_frame, names_of, with_none
from .rows import KindsTable, SparseTable, Table, is_lazy, is_long
from .shards import own_blocks
from .table_kinds import NOTHING_KNOWN, TableKinds, gives_frames, needs_kinds
from .wrong_cells import check_hold_no_times, naming_cells, wrong_cell


def validate_rows(
    estimator: BaseEstimator, X: Any, reset: bool, needs_unit_interval: bool
) -> np.ndarray | Table:
    """X as an array of float64 or float32, or as a table read block by block.

    Missing cells are NaN. Of a table that holds more than numbers, `_kinds` of the
    estimator says how its cells are numbers; in fit it is made.
    """
    X = without_wrapping(X)
    has_maps = getattr(estimator, "column_maps", None) is not None
    if reset and has_maps and gives_frames(X) and X.dtype == object:
        _check_in_memory(is_long(X))
        X = X.to_arrow()
    if _are_mapped_numbers(estimator, X, reset):
        rows = _validate_numbers(estimator, X, reset, needs_unit_interval)
        return _mapped(estimator, rows, reset)
    kinds = read_kinds(estimator, X, reset)
    if kinds is not None:
        check = check_unit_interval if needs_unit_interval else None
        return encode_rows(estimator, X, kinds, reset, check)
    return _validate_numbers(estimator, X, reset, needs_unit_interval)


def _are_mapped_numbers(estimator: BaseEstimator, X: Any, reset: bool) -> bool:
    """Whether X is no frame, all its columns are numbers, and these have maps."""
    if not reset:
        kinds: TableKinds | None = estimator._kinds
        return kinds is not None and kinds.are_mapped_numbers
    if getattr(estimator, "column_maps", None) is None or is_frame(X):
        return False
    asked = getattr(estimator, "categorical_features", "from_dtype")
    by_type = asked is None or isinstance(asked, str)
    return by_type and (issparse(X) or is_lazy(X) or not needs_kinds(X))


def _mapped(
    estimator: BaseEstimator, rows: np.ndarray | Table, reset: bool
) -> np.ndarray:
    """Checked rows of numbers as scores; in fit their maps are made."""
    _check_in_memory(isinstance(rows, Table))
    if reset:
        estimator._kinds = TableKinds(rows, column_maps=estimator.column_maps)
    return estimator._kinds.encode(rows).astype(rows.dtype)


def _check_in_memory(is_read_in_blocks: bool) -> None:
    if is_read_in_blocks:
        raise ValueError(
            "column_maps takes rows in memory; X is read in blocks. Give some of its "
            "rows, or column_maps=None."
        )


def _validate_numbers(
    estimator: BaseEstimator, X: Any, reset: bool, needs_unit_interval: bool
) -> np.ndarray | Table:
    """X, which is numbers and no more, as an array or a table in blocks."""

    def check(rows: np.ndarray) -> None:
        assert_all_finite(
            rows,
            allow_nan=True,
            input_name="X",
            estimator_name=type(estimator).__name__,
        )
        if needs_unit_interval:
            check_unit_interval(rows)

    if issparse(X):
        return _validate_sparse(estimator, X, reset, check)
    if is_lazy(X) or (isinstance(X, np.ndarray) and is_long(X)):
        if gives_frames(X) and X.dtype == object:
            raise ValueError(
                wrong_cell(X.to_arrow(slice(0, 1000)))
                or "X has columns that are no numbers; in fit all were numbers."
            )
        table = Table(X, check)
        _check_columns(estimator, X, table[:1], reset)
        return table if is_long(X) else table[:]
    if not reset:
        check_hold_no_times(X)
    with naming_cells(X):
        X = validate_data(
            estimator,
            X,
            dtype=[np.float64, np.float32],
            order="C" if reset else None,  # so that sums have the same bits
            ensure_all_finite="allow-nan",
            reset=reset,
        )
    if reset:
        check_not_empty(X)
    if needs_unit_interval:
        check_unit_interval(X)
    return X


def _validate_sparse(
    estimator: BaseEstimator, X: Any, reset: bool, check: Callable[[np.ndarray], None]
) -> np.ndarray | Table:
    """Sparse rows as an array where it is short, else dense in blocks alone."""
    with naming_cells(X):
        X = validate_data(
            estimator,
            X,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            reset=reset,
        )
    if is_long(X):
        return SparseTable(X, check)
    rows = X.toarray()
    check(rows)
    return rows


def read_kinds(estimator: BaseEstimator, X: Any, reset: bool) -> TableKinds | None:
    """The kinds of the columns of X, or None where these are numbers and no more."""
    if reset:
        asked = getattr(estimator, "categorical_features", "from_dtype")
        by_type = asked is None or isinstance(asked, str)
        maps = getattr(estimator, "column_maps", None)
        is_asked_for = maps is not None or not by_type
        is_matrix = (is_lazy(X) and not gives_frames(X)) or issparse(X)
        if is_matrix and not by_type:
            raise ValueError(
                f"categorical_features={asked} is for frames, arrays in memory and "
                f"ParquetTable; got {type(X).__name__}, whose columns are taken for "
                "numbers."
            )
        has_kinds = not is_matrix and (is_asked_for or needs_kinds(X))
        least: Any = getattr(estimator, "min_frequency", "auto")
        estimator._kinds = TableKinds(X, asked, maps, least) if has_kinds else None
        estimator._column_names = _names_that_are_no_text(X)
    elif estimator._kinds is not None:
        # A frame is no array, and to make one of it takes long.
        n_dimensions = len(X.shape) if hasattr(X, "shape") else np.ndim(X)
        if n_dimensions != 2:
            raise ValueError(
                f"Expected a table with {len(estimator._kinds.kinds)} columns, as in "
                f"fit; got {type(X).__name__} with {n_dimensions} dimensions."
            )
    return estimator._kinds


def _names_that_are_no_text(X: Any) -> list[str] | None:
    """Names of a frame's columns that scikit-learn's `feature_names_in_` leaves out."""
    names = getattr(X, "columns", ()) if is_frame(X) else ()
    if all(isinstance(name, str) for name in names):
        return None
    return names_of(X)


def encode_rows(
    estimator: BaseEstimator,
    X: Any,
    kinds: TableKinds,
    reset: bool,
    check: Callable[[np.ndarray], None] | None = None,
) -> np.ndarray | Table:
    """Rows of several kinds as numbers, their number and names of columns checked."""
    if gives_frames(X):
        first = X.to_arrow(slice(0, 1))
        validate_data(estimator, first, skip_check_array=True, reset=reset)
        table = KindsTable(X, kinds, check or _pass)
        return table if is_long(table) else table.whole()
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    numbers = kinds.encode(X)
    if check is not None:
        check(numbers)
    return numbers


def _pass(rows: np.ndarray) -> None:
    """Find nothing wrong with rows."""


def check_rows_differ(X: np.ndarray | Table, n_own: int) -> None:
    """Raise where the first rows of a stream have no variance to take units from."""
    first = X[:1][:, :n_own]

    def is_like_first(rows: np.ndarray) -> bool:
        is_equal = (rows == first) | (np.isnan(rows) & np.isnan(first))
        return bool(is_equal.all())

    do_differ = not all(is_like_first(rows[:, :n_own]) for rows in own_blocks(X))
    if not current().any(do_differ):
        raise ValueError(
            f"The first call of partial_fit got {len(X)} row(s) that do not differ: "
            "the centre, the scale and the linear start are taken from them. Collect "
            "rows until they vary, a few hundred are better, and start with these."
        )


def without_wrapping(X: Any) -> Any:
    """X without what numpy would drop in silence, or cannot take.

    Masks, missing values of pandas among objects, gradients, streams.
    """
    X = read_stream(X)
    if type(X).__name__ == "LazyFrame":
        raise TypeError(
            "X is a LazyFrame, whose rows are not there yet; give X.collect()."
        )
    if isinstance(X, np.ndarray) and X.dtype.kind in "OU":
        is_masked = isinstance(X, np.ma.MaskedArray)
        return with_none(X.astype(object)) if is_masked or X.dtype == object else X
    if isinstance(X, np.ma.MaskedArray):
        if not np.ma.is_masked(X):
            return X.data
        numbers = np.asarray(X.data, dtype=np.result_type(X.dtype, np.float32))
        return np.where(np.ma.getmaskarray(X), np.nan, numbers)
    # Nothing flows back from here.
    return X.detach() if isinstance(X, Tensor) and X.requires_grad else X


def check_not_empty(X: np.ndarray) -> None:
    """Raise where all cells are missing."""
    if np.isnan(X[0]).all() and np.isnan(X).all():
        raise ValueError(NOTHING_KNOWN)


def check_unit_interval(X: np.ndarray, name: str = "X") -> None:
    if np.isnan(X).all():
        return
    low, high = np.nanmin(X), np.nanmax(X)
    rounding = 8 * np.finfo(X.dtype).eps  # as MinMaxScaler leaves it
    if low < -rounding or high > 1 + rounding:
        raise ValueError(
            f'loss="log_loss" expects values in [0, 1]; {name} has values from '
            f"{low:g} to {high:g}. Scale {name}, for instance with MinMaxScaler "
            '(clip=True), or use loss="squared_error".'
        )


def _check_columns(
    estimator: BaseEstimator, X: Any, first_row: np.ndarray, reset: bool
) -> None:
    """validate_data's checks of number and names of columns, for a table."""
    names = getattr(X, "columns", None)
    fitted_names = getattr(estimator, "feature_names_in_", None)
    if reset or names is None or fitted_names is None:
        validate_data(estimator, first_row, ensure_all_finite="allow-nan", reset=reset)
        if reset and names is not None:
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
    elif list(names) != list(fitted_names):
        raise ValueError(
            f"The columns of X are {list(names)}; {type(estimator).__name__} was "
            f"fitted with {list(fitted_names)}."
        )
