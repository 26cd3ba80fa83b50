"""Which cells of a table are missing, and tables as imputers take and give them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from .containers import is_frame, names_of
from .rows import block_rows, is_lazy
from .table_kinds import columns_of, gives_frames


def missing_cells(X: Any) -> np.ndarray:
    """Which cells of a table are missing: (n, d)."""
    return np.concatenate([*_missing_in_blocks(X)])


def missing_in_columns(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """In which columns of a table cells are missing, and in which all are: (d,)."""
    of_blocks = [(m.any(axis=0), m.all(axis=0)) for m in _missing_in_blocks(X)]
    some, whole = zip(*of_blocks, strict=True)
    return np.any(some, axis=0), np.all(whole, axis=0)


def _missing_in_blocks(X: Any) -> Iterator[np.ndarray]:
    if issparse(X):
        X = X.tocsr()
    elif not is_lazy(X):
        yield _missing(X)
        return
    for rows in gen_batches(X.shape[0], block_rows(X.shape[1])):
        if issparse(X):
            yield _missing(X[rows].toarray())
        else:
            yield _missing(X.to_arrow(rows) if gives_frames(X) else X[rows])


def _missing(X: Any) -> np.ndarray:
    if not is_frame(X):
        X = np.asarray(X)
        if X.dtype.kind in "fiub":
            return np.isnan(X)
    return np.column_stack([column.is_missing for column in columns_of(X)])


# Values that stand for missing cells --------------------------------------------------


def hide_value(X: Any, value: float | str) -> Any:
    """A table in memory whose cells that are equal to a value are missing.

    Whole numbers of pandas and of arrays take a type that has missing cells.
    """
    if is_lazy(X):
        raise TypeError(
            f"missing_values={value!r} is for rows in memory; got {type(X).__name__}. "
            "Mark its missing cells by NaN."
        )
    if issparse(X):
        return _hide_in_sparse(X, value)
    if is_frame(X):
        return _hide_in_frame(X, value)
    X = np.asarray(X)
    if X.dtype.kind in "fiub":
        if isinstance(value, str):
            raise ValueError(
                f"missing_values={value!r} is text, and X holds numbers alone."
            )
        return np.where(value == X, np.nan, X)
    if X.dtype.kind not in "OU":
        return X
    X = X.astype(object)
    return np.where(value == X, None, X)


def _hide_in_sparse(X: Any, value: float | str) -> Any:
    if value == 0:
        raise ValueError(
            "missing_values=0 is for dense rows; of sparse ones most cells would be "
            "missing. Give X.toarray()."
        )
    hidden = X.tocsr().astype(np.result_type(X.dtype, np.float32))
    hidden.data = np.where(hidden.data == value, np.nan, hidden.data)
    return hidden


def _hide_in_frame(X: Any, value: float | str) -> Any:
    import narwhals as nw

    is_text = isinstance(value, str)
    if not hasattr(X, "iloc"):
        frame = nw.from_native(X, eager_only=True)
        cells = {
            name: nw.col(name).cast(nw.String) if is_text else nw.col(name)
            for name, dtype in frame.schema.items()
            if (_may_be_text(dtype, nw) if is_text else dtype.is_numeric())
        }
        known = (
            nw.when(of != value).then(nw.col(name)).alias(name)
            for name, of in cells.items()
        )
        return frame.with_columns(*known).to_native()
    hidden = X.copy()
    for i in range(X.shape[1]):
        column = X.iloc[:, i]
        if (
            column.dtype.kind in "bmM"
        ):  # where True is 1, and times are compared to text
            continue
        is_value = (column == value).fillna(False).to_numpy(dtype=bool)
        if is_value.any():
            if column.dtype.kind in "iu" and isinstance(column.dtype, np.dtype):
                name = str(column.dtype)  # with missing cells: Int64, UInt8
                column = column.astype(name.replace("i", "I").replace("u", "U"))
            hidden.isetitem(i, column.mask(is_value))
    return hidden


def _may_be_text(dtype: Any, nw: Any) -> bool:
    return dtype in (nw.String, nw.Categorical) or isinstance(dtype, nw.Enum)


# Parts of tables ----------------------------------------------------------------------


def with_types_of(X: Any, like: Any) -> Any:
    """A frame of pandas whose columns have the types of another's; all else as is."""
    if not hasattr(X, "iloc") or not hasattr(like, "iloc"):
        return X
    changed = [i for i in range(X.shape[1]) if X.dtypes.iloc[i] != like.dtypes.iloc[i]]
    X = X.copy()
    for i in changed:
        if not X.iloc[:, i].isna().any():
            X.isetitem(i, X.iloc[:, i].astype(like.dtypes.iloc[i]))
    return X


def take_columns(X: Any, places: np.ndarray) -> Any:
    """Some columns of an array or a frame, by their places."""
    if isinstance(X, np.ndarray):
        return X[:, places]
    if hasattr(X, "iloc"):
        return X.iloc[:, places]
    names = names_of(X)
    return X.select([names[i] for i in places])


def with_flags(X: Any, flags: np.ndarray, names: Sequence[str]) -> Any:
    """A table with columns of truth values (n, m) behind its own.

    In an array of numbers they are 0 and 1.
    """
    if isinstance(X, np.ndarray):
        return np.hstack([X, flags.astype(X.dtype)])
    import narwhals as nw

    frame = nw.from_native(X, eager_only=True)
    if hasattr(X, "iloc"):  # whose rows have names
        of_flags = nw.from_native(X.__class__(flags, index=X.index, columns=names))
    else:
        cells = dict(zip(names, flags.T, strict=True))
        of_flags = nw.from_dict(cells, backend=frame.implementation)
    return nw.concat([frame, of_flags], how="horizontal").to_native()


def as_pandas(X: Any) -> Any:
    """A frame as one of pandas; an array as it is."""
    if isinstance(X, np.ndarray) or hasattr(X, "iloc"):
        return X
    import narwhals as nw

    return nw.from_native(X, eager_only=True).to_pandas()
