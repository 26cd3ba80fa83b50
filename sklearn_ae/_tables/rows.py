"""Where batches come from: rows in memory, or a table too large for that.

A long table stays where it is, in an array, a file or a database, and is walked through
in blocks. What a fit needs besides batches (moments, held-out rows, latents) it takes
from the blocks as they pass, or from a sample of rows.
"""

import copy
import math
import mmap
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from torch import Tensor

from .weights import draw_counts
from .wrong_cells import naming_cells

# Tables with more numbers than this are streamed: 64 MB in single precision.
RESIDENT_SIZE = 2**24
# Numbers per block that is computed on, per buffer of shuffled rows, and per sample.
_BLOCK_SIZE = 2**21
_BUFFER_SIZE = 2**23
_SAMPLE_SIZE = 2**23
# Rows that lie side by side in a file are read together, up to so many bytes of them.
_CHUNK_BYTES = 2**17

Standardize = Callable[[np.ndarray], Tensor]  # rows of the table -> (n, d), float32


def block_rows(n_features: int) -> int:
    """Rows per block wherever a table is walked through: memory stays bounded."""
    return max(1, min(8192, _BLOCK_SIZE // n_features))


# Tables -------------------------------------------------------------------------------


def is_lazy(X: Any) -> bool:
    """Whether X is no array but can be read in slices, as h5py's datasets can."""
    if isinstance(X, np.ndarray | Tensor) or issparse(X) or hasattr(X, "iloc"):
        return False
    return (
        len(getattr(X, "shape", ())) == 2
        and isinstance(getattr(X, "dtype", None), np.dtype)
        and hasattr(X, "__getitem__")
        and not hasattr(X, "__array_namespace__")
    )


def is_long(X: Any) -> bool:
    """Whether X, with rows of numbers, is too large for a copy."""
    if isinstance(X, np.ndarray) and (X.ndim != 2 or X.dtype.kind not in "fiub"):
        return False
    return math.prod(X.shape) > RESIDENT_SIZE


class Table:
    """Rows that are read, converted and checked block by block: table[start:stop].

    Parameters
    ----------
    X : array-like
        An array, or anything with shape, dtype and slices.

    check : callable
        Raises where a block holds what it must not.
    """

    def __init__(self, X: Any, check: Callable[[np.ndarray], None]):
        if X.dtype.kind not in "fiubO":
            raise ValueError(
                f"X must hold real numbers; its dtype is {X.dtype}, which is not "
                "supported."
            )
        self.X = X
        self.check = check
        self.shape: tuple[int, int] = tuple(X.shape)
        self.dtype = np.dtype("f4" if X.dtype == np.float32 else "f8")
        self._mapping = _find_mapping(X)
        # Whether cells are missing in what was read so far.
        self.has_missing = False

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        block = self._read(rows)
        with naming_cells(block, getattr(rows, "start", None) or 0):
            self.check(block)
        self.has_missing |= bool(np.isnan(block).any())
        return block

    def _read(self, rows: slice | np.ndarray) -> np.ndarray:
        block = self.X[rows]
        if issparse(block):
            raise TypeError(
                f"Slices of {type(self.X).__name__} are sparse, and dense rows are "
                "expected. Densify X where it fits into memory, by "
                "X[:].toarray(), or store it dense, by sklearn_ae.data.to_npy or zarr."
            )
        block = np.asarray(block, dtype=self.dtype, order="C")
        if self._mapping is not None:
            # What was read of a mapped file counts as memory of this process.
            block = np.array(block)
            self._mapping.madvise(mmap.MADV_DONTNEED)
        return block

    def astype(self, dtype: Any) -> "Table":
        """The same rows as numbers of another type."""
        table = copy.copy(self)
        table.dtype = np.dtype(dtype)
        return table

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """The rows of these numbers, in their order."""
        if self.is_near:
            return self[numbers]
        # Part by part of the file: with every row come the pages around it.
        is_mapped = isinstance(self.X, np.ndarray)
        n_together = block_rows(self.shape[1]) if is_mapped else self.chunk_rows
        order = np.argsort(numbers)
        wanted = numbers[order]
        rows = np.empty((len(numbers), self.shape[1]), dtype=self.dtype)
        for start in range(0, len(self), n_together):
            stop = min(start + n_together, len(self))
            first, last = np.searchsorted(wanted, [start, stop])
            if last > first:
                here = wanted[first:last]
                block = self[here] if is_mapped else self[start:stop][here - start]
                rows[order[first:last]] = block
        return rows

    def fits(self, device: torch.device) -> bool:
        """Whether a GPU can hold all rows, and they can be picked one by one."""
        if device.type != "cuda" or not isinstance(self.X, np.ndarray):
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return 4 * math.prod(self.shape) <= free // 3

    @property
    def is_near(self) -> bool:
        """Whether any row is as near as the next: it is in memory already."""
        return isinstance(self.X, np.ndarray) and self._mapping is None

    @property
    def chunk_rows(self) -> int:
        """Rows that are best read together."""
        if self.is_near:
            return 1
        chunks = getattr(self.X, "chunks", None)  # of h5py and zarr
        if chunks:
            rows = chunks[0]  # of dask one number for each chunk
            return int(max(rows) if isinstance(rows, tuple) else rows)
        row_bytes = self.X.dtype.itemsize * self.shape[1]
        return getattr(self.X, "chunk_rows", None) or max(1, _CHUNK_BYTES // row_bytes)


class SparseTable(Table):
    """A table of sparse rows (CSR), dense where they are read."""

    def _read(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.X[rows].toarray()

    @property
    def is_near(self) -> bool:
        return True


class Kinds(Protocol):
    """What says which numbers cells of several kinds are."""

    @property
    def n_numbers(self) -> int: ...

    def encode(self, X: Any, first_row: int = 0) -> np.ndarray: ...


class KindsTable(Table):
    """A table in files whose cells are of several kinds: numbers, where they are read.

    Parameters
    ----------
    X : object
        Gives rows as frames.

    kinds : Kinds
        Those of the table of `fit`.

    check : callable
        Raises where a block of numbers holds what it must not.
    """

    def __init__(self, X: Any, kinds: Kinds, check: Callable[[np.ndarray], None]):
        super().__init__(X, check)
        self.kinds = kinds
        self.shape = len(X), kinds.n_numbers
        self.dtype = np.dtype("f8")

    def _read(self, rows: slice | np.ndarray) -> np.ndarray:
        assert isinstance(rows, slice)  # as of all tables whose rows are not near
        numbers = self.kinds.encode(self.X.to_arrow(rows), rows.start or 0)
        return numbers.astype(self.dtype, copy=False)

    def whole(self) -> np.ndarray:
        """All rows, read in blocks."""
        if not len(self):
            return self[:]  # raises
        blocks = gen_batches(len(self), block_rows(self.shape[1]))
        return np.concatenate([self[rows] for rows in blocks])


class ChangedTable(Table):
    """A table whose rows are changed as they are read."""

    def __init__(self, table: Table):
        super().__init__(table.X, table.check)
        self.table = table
        self.dtype = table.dtype

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        block = self.table[rows]
        self.has_missing = self.table.has_missing
        return self._changed(block, rows)

    def _changed(self, block: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @property
    def is_near(self) -> bool:
        return self.table.is_near


class WiderTable(ChangedTable):
    """A table whose rows have other numbers, conditions or targets, behind them."""

    def __init__(self, table: Table, numbers: np.ndarray):
        super().__init__(table)
        self.numbers = numbers  # (n, m)
        self.dtype = np.result_type(table.dtype, numbers.dtype)
        self.shape = len(table), table.shape[1] + numbers.shape[1]

    def _changed(self, block: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        return np.hstack([block, self.numbers[rows]])


def beside(X: np.ndarray | Table, numbers: np.ndarray) -> np.ndarray | Table:
    """The rows of X with those of numbers (n, m) behind them."""
    if isinstance(X, Table):
        return WiderTable(X, numbers)
    return np.concatenate([X, numbers], axis=1)


def _find_mapping(X: Any) -> mmap.mmap | None:
    """The mapped file behind an array, where its pages can be given back."""
    base = X
    while isinstance(base, np.ndarray):
        if getattr(base, "mode", None) == "c":  # changes that are in memory only
            return None
        base = base.base
    can_release = isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED")
    return base if can_release else None


def as_tensor(X: np.ndarray) -> Tensor:
    # torch has no read-only tensors and no negative strides, and warns or refuses.
    if not X.flags.writeable or any(stride < 0 for stride in X.strides):
        X = X.copy()
    return torch.from_numpy(X)


# Batches ------------------------------------------------------------------------------


class Batches:
    """Shuffled batches of nearly equal size, gathered as slices of one tensor."""

    def __init__(self, x: Tensor, batch_size: int, generator: torch.Generator):
        self.x = x
        self.n_rows = len(x)
        self.device = x.device
        # Equal sizes: a last batch of one or two rows would be the noisiest step.
        self.n_batches = math.ceil(len(x) / batch_size)
        self.generator = generator

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self.n_rows, generator=self.generator)
        for rows in torch.tensor_split(order.to(self.device), self.n_batches):
            yield self.x.index_select(0, rows)


class WeightedRows:
    """Rows in memory (n, d), and how often each of them counts (n,)."""

    def __init__(self, x: Tensor, weights: Tensor):
        self.sample = x
        self.weights = weights
        self.n_rows = max(1, round(weights.sum().item()))

    def __len__(self) -> int:
        return self.n_rows


class WeightedBatches(Batches):
    """Shuffled batches that rows come in as often as their weights say."""

    def __init__(self, rows: WeightedRows, batch_size: int, generator: torch.Generator):
        super().__init__(rows.sample, batch_size, generator)
        self.weights = rows.weights
        self.n_rows = len(rows)
        self.n_batches = math.ceil(self.n_rows / batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        counts = draw_counts(self.weights, self.n_rows, self.generator)
        copies = torch.arange(len(counts)).repeat_interleave(counts)
        order = torch.randperm(self.n_rows, generator=self.generator)
        rows = copies[order].to(self.device)
        for batch in torch.tensor_split(rows, self.n_batches):
            yield self.x.index_select(0, batch)


class StreamedRows:
    """The rows of a table that are trained on, in blocks on their way to the device.

    Parameters
    ----------
    table : Table
        All rows.

    standardize : callable
        Turns rows of the table into the networks' units.

    sample : Tensor of shape (n_sampled, n_features)
        Some of the rows, standardised.

    held_out : ndarray of int
        Numbers of the rows that are not trained on.

    weights : Tensor of shape (n_samples,), default=None
        How often each of all rows counts.
    """

    def __init__(
        self,
        table: Table,
        standardize: Standardize,
        sample: Tensor,
        held_out: np.ndarray,
        weights: Tensor | None = None,
    ):
        self.table = table
        self.standardize = standardize
        self.sample = sample
        self.device = sample.device
        # How often each row comes in an epoch.
        self.counts = torch.ones(len(table), dtype=torch.int64)
        self.counts[held_out] = 0
        self.n_rows = int(self.counts.sum())
        self.weights = None if weights is None else self.counts * weights
        if self.weights is not None:
            self.n_rows = max(1, round(self.weights.sum().item()))

    def __len__(self) -> int:
        return self.n_rows

    def groups(self, generator: torch.Generator) -> Iterator[np.ndarray]:
        """First rows of chunks from all over the table, as many as fill a buffer."""
        if self.weights is not None:
            self.counts = draw_counts(self.weights, self.n_rows, generator)
        starts = np.arange(0, len(self.table), self.table.chunk_rows)
        if self.table.is_near:
            starts = starts.repeat(self.counts.numpy())
        n_together = self._buffer_rows // self.table.chunk_rows
        order = torch.randperm(len(starts), generator=generator)
        for group in order.split(max(1, n_together)):
            yield np.sort(starts[group.numpy()])  # in the order of the file

    @property
    def _buffer_rows(self) -> int:
        # Where any row is near, a buffer need not be large to hold rows from all over.
        size = _BLOCK_SIZE if self.table.is_near else _BUFFER_SIZE
        return max(1, size // self.table.shape[1])

    def read(self, starts: np.ndarray, left: Tensor) -> Tensor:
        """A buffer with rows that were left of the last one, and those of chunks."""
        parts = [left]
        if self.table.is_near:
            parts.append(self._send(self.standardize(self.table[starts])))
        else:
            for start in starts.tolist():
                chunk = slice(
                    start, min(start + self.table.chunk_rows, len(self.table))
                )
                x = self.standardize(self.table[chunk])
                parts.append(self._send(x.repeat_interleave(self.counts[chunk], dim=0)))
        return torch.cat(parts)

    def _send(self, x: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return x.pin_memory().to(self.device, non_blocking=True)
        return x.to(self.device)


class StreamedBatches:
    """Batches of nearly equal size, drawn from buffers as they come."""

    def __init__(self, rows: StreamedRows, batch_size: int, generator: torch.Generator):
        self.rows = rows
        self.n_rows = len(rows)
        self.device = rows.device
        self.n_batches = math.ceil(self.n_rows / batch_size)
        self.generator = generator

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        size, n_larger = divmod(self.n_rows, self.n_batches)
        n_given = 0
        left = self.rows.sample[:0]
        for starts in self.rows.groups(self.generator):
            buffer = self.rows.read(starts, left)
            order = torch.randperm(len(buffer), generator=self.generator)
            order = order.to(self.device)
            while n_given < self.n_batches and (
                len(order) >= (n := size + (n_given < n_larger))
            ):
                yield buffer.index_select(0, order[:n])
                order = order[n:]
                n_given += 1
            left = buffer.index_select(0, order)


# What a training goes over.
TrainingRows = Tensor | WeightedRows | StreamedRows


def to_train_on(x: Tensor, weights: Tensor | None) -> Tensor | WeightedRows:
    """Rows (n, d) with their weights (n,), if they have any."""
    return x if weights is None else WeightedRows(x, weights)


def make_batches(
    rows: TrainingRows, batch_size: int, generator: torch.Generator
) -> Batches | StreamedBatches:
    if isinstance(rows, Tensor):
        return Batches(rows, batch_size, generator)
    if isinstance(rows, WeightedRows):
        return WeightedBatches(rows, batch_size, generator)
    return StreamedBatches(rows, batch_size, generator)


def sample_size(n_samples: int, n_features: int) -> int:
    """Rows of a long table that a fit holds in memory."""
    return min(n_samples, max(2, _SAMPLE_SIZE // n_features))
