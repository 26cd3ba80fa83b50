"""Tables larger than memory, as `fit`, `transform` and `score_samples` take them.

An estimator reads any object with ``shape``, ``dtype`` and slices block by block:
`numpy.memmap`, datasets of h5py, arrays of zarr, and `ParquetTable`.
"""

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._tables.arrow import index_columns
from ._tables.rows import block_rows
from ._utils.extras import import_extra

__all__ = ["ParquetTable", "to_npy"]

# A row group is decoded as a whole. Files that are written without a thought about it
# have groups of a million rows.
_LARGE_GROUP_BYTES = 2**28


class ParquetTable:
    """Numeric columns of Parquet files, read row group by row group.

    Training reads row groups in random order and shuffles the rows of as many as fit
    into a buffer of 32 MB. Small row groups, of some thousand rows, serve that best;
    for files with large ones, and for many epochs, `to_npy` makes a faster copy.

    Parameters
    ----------
    path : path-like or list of path-like
        A file, several, or a folder, of which all files that end in ``.parquet`` are
        taken, in the order of their names.

    columns : list of str or None, default=None
        Columns to take, in this order. None takes all but those that pandas wrote as
        its index, which name the rows; they all must hold numbers or truth values.

    Attributes
    ----------
    shape : tuple of int
        Numbers of rows and columns.

    dtype : numpy.dtype
        float32 where all columns fit into it, else float64.

    columns : list of str
        Names of the columns: an estimator's ``feature_names_in_``.

    index_columns : list of str
        Columns that the files say are pandas' index. They are left out unless they are
        named in `columns`.

    chunk_rows : int
        Rows of the largest row group.

    See Also
    --------
    to_npy : Writes a table to a file that `numpy.load` can map into memory.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.data import ParquetTable
    >>> X = load_wine(as_frame=True).data
    >>> with TemporaryDirectory() as folder:
    ...     X.to_parquet(Path(folder, "wine.parquet"))
    ...     table = ParquetTable(folder, columns=["alcohol", "hue", "ash"])
    ...     autoencoder = AutoencoderTransformer(2).fit(table)
    >>> table.shape
    (178, 3)
    >>> list(autoencoder.feature_names_in_)
    ['alcohol', 'hue', 'ash']
    """

    def __init__(
        self,
        path: str | os.PathLike | Iterable[str | os.PathLike],
        columns: Sequence[str] | None = None,
    ) -> None:
        parquet = import_extra("pyarrow.parquet", "parquet", "ParquetTable")
        self.path = path
        self._files = [_open_parquet(parquet, file) for file in _find_files(path)]
        first = self._files[0].schema_arrow
        self.index_columns = index_columns(first)
        if isinstance(columns, str):
            raise TypeError(f"columns must be a list of names; got {columns!r}.")
        if columns is None:
            columns = [name for name in first.names if name not in self.index_columns]
        self.columns = list(columns)
        if not self.columns:
            raise ValueError(
                f"There are no columns to take; the file has {first.names}."
            )
        kinds = [kind for file in self._files for kind in self._kinds(file)]
        # Integers of 16 bits fit into the digits of float32; so do booleans.
        is_small = np.result_type("f4", *kinds) == "f4"
        self.dtype = np.dtype("f4" if is_small else "f8")
        # Every row group: its file, its number there, and its first row.
        self._groups = [
            (file, i) for file in self._files for i in range(file.num_row_groups)
        ]
        sizes = [file.metadata.row_group(i).num_rows for file, i in self._groups]
        self._starts = np.cumsum([0, *sizes])
        self.shape = (int(self._starts[-1]), len(self.columns))
        self.chunk_rows = max(sizes, default=1)
        self._last: tuple[int, np.ndarray] | None = None
        group_bytes = self.chunk_rows * self.shape[1] * self.dtype.itemsize
        if group_bytes > _LARGE_GROUP_BYTES:
            warnings.warn(
                f"A row group of these files takes {group_bytes / 2**20:.0f} MB in "
                "memory. Write them with a smaller row_group_size, or copy the table "
                "with sklearn_ae.data.to_npy and fit on "
                'numpy.load(path, mmap_mode="r").',
                UserWarning,
                stacklevel=2,
            )

    def _kinds(self, file: Any) -> list[np.dtype]:
        """Return the types of the columns in one file, which all must be numbers."""
        schema = file.schema_arrow
        missing = [name for name in self.columns if name not in schema.names]
        if missing:
            raise ValueError(
                f"There are no columns {missing} in a file of {self.path}; it has "
                f"{schema.names}."
            )
        names = self.columns
        twice = {n for n in names if max(names.count(n), schema.names.count(n)) > 1}
        if twice:
            raise ValueError(
                f"Columns must differ in their names; twice there are {sorted(twice)}."
            )
        types = {name: schema.field(name).type for name in self.columns}
        kinds = {name: _number_type(kind) for name, kind in types.items()}
        others = [f"{name} ({types[name]})" for name in kinds if kinds[name] is None]
        if others:
            raise ValueError(
                f"Columns must be numeric; not so {', '.join(others)}. Name those to "
                "take in columns=."
            )
        return [kind for kind in kinds.values() if kind is not None]

    def __getstate__(self) -> dict[str, Any]:
        # Open files do not pickle; they are opened anew.
        groups = [(self._files.index(file), i) for file, i in self._groups]
        files = [os.path.abspath(file) for file in _find_files(self.path)]
        return {**self.__dict__, "_files": files, "_groups": groups, "_last": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parquet = import_extra("pyarrow.parquet", "parquet", "ParquetTable")
        self.__dict__.update(state)
        self._files = [_open_parquet(parquet, Path(file)) for file in self._files]
        self._groups = [(self._files[number], i) for number, i in self._groups]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("The rows of files are always a copy; copy=False.")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Rows (n, n_columns) of a slice, a mask or numbers; one row (n_columns,)."""
        if isinstance(rows, slice):
            return self._slice(*rows.indices(len(self)))
        if isinstance(rows, tuple):
            raise TypeError(
                "A ParquetTable is indexed by rows alone; name the columns to take in "
                "columns=, or take them from the rows: table[:100][:, 0]."
            )
        numbers = np.asarray(rows)
        if numbers.ndim > 1 or (numbers.size and numbers.dtype.kind not in "iub"):
            raise TypeError(
                f"Rows must be a slice, row numbers or a mask; got {rows!r}."
            )
        if numbers.ndim == 0:
            return self._take(numbers[None].astype(np.intp))[0]
        return self._take(numbers)

    def _slice(self, start: int, stop: int, step: int) -> np.ndarray:
        if step != 1:
            return self._take(np.arange(start, stop, step))
        parts = [np.empty((0, self.shape[1]), dtype=self.dtype)]
        group = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            first, end = self._starts[group], self._starts[group + 1]
            parts.append(self._read(group)[start - first : stop - first])
            start = end
            group += 1
        return np.concatenate(parts)

    def _take(self, numbers: np.ndarray) -> np.ndarray:
        if numbers.dtype == bool:
            if len(numbers) != len(self):
                raise IndexError(
                    f"The mask has {len(numbers)} values for {len(self)} rows."
                )
            numbers = np.flatnonzero(numbers)
        numbers = numbers.astype(np.intp)
        wrong = numbers[(numbers < -len(self)) | (numbers >= len(self))]
        if len(wrong):
            raise IndexError(f"There is no row {wrong[0]}; there are {len(self)} rows.")
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        rows = np.empty((len(numbers), self.shape[1]), dtype=self.dtype)
        groups = np.searchsorted(self._starts, numbers, side="right") - 1
        for group in np.unique(groups):
            here = groups == group
            rows[here] = self._read(group)[numbers[here] - self._starts[group]]
        return rows

    def _read(self, group: int) -> np.ndarray:
        """The rows of a row group; the last one is kept for the next slice."""
        if self._last is None or self._last[0] != group:
            file, i = self._groups[group]
            table = file.read_row_group(i, columns=self.columns)
            values = np.empty((table.num_rows, self.shape[1]), dtype=self.dtype)
            for j, name in enumerate(self.columns):
                # Null becomes NaN, which an estimator refuses.
                values[:, j] = _as_floats(table.column(name))
            self._last = group, values
        return self._last[1]


def _open_parquet(parquet: Any, file: Path) -> Any:
    try:
        return parquet.ParquetFile(file)
    except OSError:
        raise
    except ValueError as error:  # what pyarrow's own errors are
        raise ValueError(f"{file} is no Parquet file: {error}") from error


def _number_type(kind: Any) -> np.dtype | None:
    """Return NumPy's type for an Arrow type of numbers; None for any other."""
    types = import_extra("pyarrow.types", "parquet", "ParquetTable")
    if types.is_dictionary(kind):
        return _number_type(kind.value_type)
    if types.is_decimal(kind):
        return np.dtype("f8")
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype())
    return None


def _as_floats(column: Any) -> np.ndarray:
    """Return the numbers of an Arrow column, NaN where there is none."""
    types = import_extra("pyarrow.types", "parquet", "ParquetTable")
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_decimal(column.type) or types.is_boolean(column.type):
        column = column.cast("uint8" if types.is_boolean(column.type) else "float64")
    return column.to_numpy()


def _find_files(path: Any) -> list[Path]:
    if not isinstance(path, str | os.PathLike):
        files = [Path(file) for file in path]
    elif Path(path).is_dir():
        files = sorted(Path(path).glob("*.parquet"))
    else:
        files = [Path(path)]
    if not files:
        raise FileNotFoundError(f"There is no file in {path} that ends in .parquet.")
    return files


def to_npy(table: Any, path: str | os.PathLike) -> Path:
    """Copy a table into an .npy file, block by block.

    Parameters
    ----------
    table : array-like of shape (n_samples, n_features)
        An array, or anything with ``shape``, ``dtype`` and slices.

    path : path-like
        The file to write; one that is there is replaced once the copy is whole.

    Returns
    -------
    path : pathlib.Path
        The file: fit on ``numpy.load(path, mmap_mode="r")``.

    See Also
    --------
    ParquetTable : Columns of Parquet files, where they are.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_ae.data import to_npy
    >>> with TemporaryDirectory() as folder:
    ...     path = to_npy(np.eye(3), Path(folder, "eye.npy"))
    ...     np.load(path, mmap_mode="r").shape
    (3, 3)
    """
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    shape = tuple(table.shape)
    try:
        copy = np.lib.format.open_memmap(
            unfinished, mode="w+", dtype=table.dtype, shape=shape
        )
        n_rows = max(block_rows(math.prod(shape[1:])), getattr(table, "chunk_rows", 1))
        for start in range(0, shape[0], n_rows):
            copy[start : start + n_rows] = table[start : start + n_rows]
        copy.flush()
        del copy
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
