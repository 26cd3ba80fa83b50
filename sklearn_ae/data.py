"""Tables larger than memory, as `fit`, `transform` and `score_samples` take them.

An estimator reads any object with ``shape``, ``dtype`` and slices block by block:
`numpy.memmap`, datasets of h5py, arrays of zarr, and `ParquetTable`.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """Columns of Parquet files, read row group by row group.

    Training reads row groups in random order and shuffles the rows of as many as fit
    into a buffer of 32 MB. Small row groups, of some thousand rows, serve that best;
    for files with large ones, and for many epochs, `to_npy` makes a faster copy of
    numbers.

    Parameters
    ----------
    path : path-like or list of path-like
        A file, several, or a folder, of which all files that end in ``.parquet`` are
        taken, in the order of their names.

    columns : list of str or None, default=None
        Columns to take, in this order. None takes all but those that pandas wrote as
        its index, which name the rows.

    Attributes
    ----------
    shape : tuple of int
        Numbers of rows and columns.

    dtype : numpy.dtype
        Of a table of numbers and truth values float32 where all columns fit into it,
        else float64; its rows are arrays. With text, categories, dates or times among
        the columns it is object, and rows are tables of pyarrow.

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
    ...     autoencoder = AutoencoderTransformer(2, early_stopping=False).fit(table)
    >>> table.shape
    (178, 3)
    >>> list(autoencoder.feature_names_in_)
    ['alcohol', 'hue', 'ash']

    Text and missing cells are what they are in a frame:

    >>> X["strength"] = X["alcohol"].map(lambda share: "high" if share > 13 else "low")
    >>> X.loc[::10, "hue"] = None
    >>> with TemporaryDirectory() as folder:
    ...     X.to_parquet(Path(folder, "wine.parquet"))
    ...     table = ParquetTable(folder, columns=["hue", "ash", "strength"])
    ...     autoencoder = AutoencoderTransformer(2, max_iter=0).fit(table)
    ...     first = table.to_arrow(slice(0, 2)).to_pylist()
    >>> autoencoder.columns_
    hue       numbers
    ash       numbers
    strength  2 levels
    >>> first[0]
    {'hue': None, 'ash': 2.43, 'strength': 'high'}
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
        self._schema, self.dtype = self._read_types()
        # Every row group: its file, its number there, and its first row.
        self._groups = [
            (file, i) for file in self._files for i in range(file.num_row_groups)
        ]
        sizes = [file.metadata.row_group(i).num_rows for file, i in self._groups]
        self._starts = np.cumsum([0, *sizes])
        self.shape = (int(self._starts[-1]), len(self.columns))
        self.chunk_rows = max(sizes, default=1)
        self._last: tuple[Any, Any] | None = None
        group_bytes = self.chunk_rows * self.shape[1] * self.dtype.itemsize
        if group_bytes > _LARGE_GROUP_BYTES:
            copy = (
                ", or copy the table with sklearn_ae.data.to_npy and fit on "
                'numpy.load(path, mmap_mode="r")'
            )
            warnings.warn(
                f"A row group of these files takes {group_bytes / 2**20:.0f} MB in "
                f"memory. Write them with a smaller row_group_size"
                f"{'' if self._has_kinds else copy}.",
                UserWarning,
                stacklevel=2,
            )

    @property
    def _has_kinds(self) -> bool:
        """Whether columns are more than numbers."""
        return self.dtype == object

    def _read_types(self) -> tuple[Any, np.dtype]:
        """Return the schema that all files fit into, and the rows' dtype."""
        arrow = import_extra("pyarrow", "parquet", "ParquetTable")
        types: dict[str, list] = {name: [] for name in self.columns}
        for file in self._files:
            schema = file.schema_arrow
            self._check_columns(schema.names)
            for name in self.columns:
                types[name].append(schema.field(name).type)
        taken = {name: _common_type(name, types[name]) for name in self.columns}
        others = [
            f"{name} ({taken[name]})" for name in taken if not _is_taken(taken[name])
        ]
        if others:
            raise ValueError(
                "Columns must hold numbers, text, categories, truth values, dates or "
                f"times; not so {', '.join(others)}. Name those to take in columns=."
            )
        # pandas' own types of the columns.
        known = self._files[0].schema_arrow.metadata
        schema = arrow.schema(list(taken.items()), metadata=known)
        if any(_number_type(kind) is None for kind in taken.values()):
            return schema, np.dtype(object)
        numbers = [_number_type(kind) for of in types.values() for kind in of]
        kinds = [kind for kind in numbers if kind is not None]
        # Integers of 16 bits fit into the digits of float32; so do booleans.
        is_small = np.result_type("f4", *kinds) == "f4"
        return schema, np.dtype("f4" if is_small else "f8")

    def _check_columns(self, names: list[str]) -> None:
        """Raise where a file with columns of these names lacks some, or has twins."""
        missing = [name for name in self.columns if name not in names]
        if missing:
            raise ValueError(
                f"There are no columns {missing} in a file of {self.path}; it has "
                f"{names}."
            )
        own = self.columns
        twice = {n for n in own if max(own.count(n), names.count(n)) > 1}
        if twice:
            raise ValueError(
                f"Columns must differ in their names; twice there are {sorted(twice)}."
            )

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
        if not self._has_kinds:
            return self[:].astype(self.dtype if dtype is None else dtype, copy=False)
        cells = np.empty(self.shape, dtype=object)
        for j, column in enumerate(self.to_arrow().columns):
            cells[:, j] = column.to_pylist()
        return cells if dtype is None else cells.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        """Rows of a slice, a mask or numbers; or one row.

        Arrays (n, n_columns) and (n_columns,), or tables of pyarrow.
        """
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                return self._take(np.arange(start, stop, step))
            return self._slice(start, stop)
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
            row = self._take(numbers[None].astype(np.intp))
            return row if self._has_kinds else row[0]
        return self._take(numbers)

    def to_arrow(self, rows: slice = slice(None)) -> Any:
        """Read rows as a table of pyarrow, with the types of the files.

        Parameters
        ----------
        rows : slice, default=slice(None)
            Which ones, side by side; by default all.

        Returns
        -------
        table : pyarrow.Table
            The rows.
        """
        start, stop, _ = rows.indices(len(self))
        parts = self._parts(start, stop, self._read_frame)
        return _concatenate(self._schema, parts)

    def _slice(self, start: int, stop: int) -> Any:
        if self._has_kinds:
            return self.to_arrow(slice(start, stop))
        none = np.empty((0, self.shape[1]), dtype=self.dtype)
        return np.concatenate([none, *self._parts(start, stop, self._read)])

    def _parts(
        self, start: int, stop: int, read: Callable[[int], Any]
    ) -> Iterator[Any]:
        """Rows from one number to another, row group by row group."""
        group = int(np.searchsorted(self._starts, start, side="right")) - 1
        while start < stop:
            first, end = self._starts[group], self._starts[group + 1]
            yield read(group)[start - first : stop - first]
            start = end
            group += 1

    def _take(self, numbers: np.ndarray) -> Any:
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
        groups = np.searchsorted(self._starts, numbers, side="right") - 1
        if self._has_kinds:
            order = np.argsort(groups, kind="stable")
            parts = [
                self._read_frame(group).take(
                    numbers[groups == group] - self._starts[group]
                )
                for group in np.unique(groups).tolist()
            ]
            return _concatenate(self._schema, parts).take(np.argsort(order))
        rows = np.empty((len(numbers), self.shape[1]), dtype=self.dtype)
        for group in np.unique(groups):
            here = groups == group
            rows[here] = self._read(group)[numbers[here] - self._starts[group]]
        return rows

    def _read(self, group: int) -> np.ndarray:
        """The rows of a row group as numbers."""
        return self._kept("numbers", group, self._read_numbers)

    def _read_numbers(self, group: int) -> np.ndarray:
        table = self._read_columns(group)
        values = np.empty((table.num_rows, self.shape[1]), dtype=self.dtype)
        for j, name in enumerate(self.columns):
            # Null becomes NaN, which an estimator takes for a missing cell.
            values[:, j] = _as_floats(table.column(name))
        return values

    def _read_frame(self, group: int) -> Any:
        """The rows of a row group as a table of pyarrow."""
        return self._kept(
            "frame", group, lambda i: self._read_columns(i).cast(self._schema)
        )

    def _read_columns(self, group: int) -> Any:
        file, i = self._groups[group]
        table = file.read_row_group(i, columns=self.columns)
        return table.select(self.columns)

    def _kept(self, kind: str, group: int, read: Callable[[int], Any]) -> Any:
        """A row group; the last one is kept for the next slice."""
        if self._last is None or self._last[0] != (kind, group):
            self._last = (kind, group), read(group)
        return self._last[1]


def _concatenate(schema: Any, parts: Iterable[Any]) -> Any:
    arrow = import_extra("pyarrow", "parquet", "ParquetTable")
    return arrow.concat_tables([schema.empty_table(), *parts])


def _open_parquet(parquet: Any, file: Path) -> Any:
    try:
        return parquet.ParquetFile(file)
    except OSError:
        raise
    except ValueError as error:  # what pyarrow's own errors are
        raise ValueError(f"{file} is no Parquet file: {error}") from error


def _common_type(name: str, types: list[Any]) -> Any:
    """The Arrow type that a column has in all files, or that these have in common."""
    arrow = import_extra("pyarrow", "parquet", "ParquetTable")
    if all(kind == types[0] for kind in types):
        return types[0]
    plain = [
        kind.value_type if arrow.types.is_dictionary(kind) else kind for kind in types
    ]
    fields = [arrow.schema([(name, kind)]) for kind in plain]
    try:
        common = arrow.unify_schemas(fields, promote_options="permissive")
    except (TypeError, ValueError) as error:  # what pyarrow's own errors are
        found = " and ".join(sorted({str(kind) for kind in types}))
        raise ValueError(
            f"Column {name!r} is of types that do not go together in these files: "
            f"{found}. Write it with one type in all."
        ) from error
    return common.field(0).type


def _is_taken(kind: Any) -> bool:
    """Whether estimators take columns of an Arrow type."""
    types = import_extra("pyarrow.types", "parquet", "ParquetTable")
    if types.is_dictionary(kind):
        return _is_taken(kind.value_type)
    is_text = any(
        is_one(kind)
        for is_one in (types.is_string, types.is_large_string, types.is_string_view)
    )
    is_time = types.is_temporal(kind) and not types.is_interval(kind)
    return is_text or is_time or types.is_null(kind) or _number_type(kind) is not None


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
    if types.is_boolean(column.type):
        column = column.cast("uint8")
    elif types.is_decimal(column.type) or types.is_null(column.type):
        column = column.cast("float64")
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
    if table.dtype == object:
        raise TypeError(
            "to_npy copies numbers, and the table holds objects: text, categories or "
            "dates. Fit on the ParquetTable itself, or name columns of numbers."
        )
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
