"""Rows that lie in several processes: each has a part, and knows the size of the whole.

Shapes: n rows in all, n_own of them here, d columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor

from .._utils.processes import Processes
from .rows import StreamedRows, Table, block_rows, make_batches


class Shard(Table):
    """The rows of all processes, of which those of this one can be read.

    Numbers of rows count through the processes, in the order of their ranks.
    """

    def __init__(self, own: np.ndarray | Table, processes: Processes):
        self.own, self.processes = own, processes
        self.lengths: list[int] = processes.gather(len(own))
        self.shape = sum(self.lengths), own.shape[1]
        self.dtype = own.dtype
        self.first = sum(self.lengths[: processes.rank])

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Rows of any process: all processes ask for the same ones."""
        wanted = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        return self.take(wanted)

    def take(self, numbers: np.ndarray) -> np.ndarray:
        is_own, own = self.find_own(numbers)
        rows = np.zeros((len(numbers), self.shape[1]), dtype=self.dtype)
        if len(own):
            is_table = isinstance(self.own, Table)
            rows[is_own] = self.own.take(own) if is_table else self.own[own]
        return self.processes.sum(torch.from_numpy(rows)).numpy()

    def find_own(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of these rows are here (n,), and their numbers here."""
        here = numbers - self.first
        is_own = (here >= 0) & (here < len(self.own))
        return is_own, here[is_own]

    def lengths_without(self, numbers: np.ndarray) -> list[int]:
        """How many rows each process has besides these."""
        ends = np.cumsum(self.lengths)
        owners = np.searchsorted(ends, numbers, side="right")
        counts = np.bincount(owners, minlength=len(ends))
        return [n - int(gone) for n, gone in zip(self.lengths, counts, strict=True)]

    def astype(self, dtype: np.dtype) -> "Shard":
        return Shard(self.own.astype(dtype), self.processes)

    @property
    def has_missing(self) -> bool:  # type: ignore[override]
        """Whether cells are missing in what processes have read: all ask."""
        own = self.own
        has = own.has_missing if isinstance(own, Table) else np.isnan(own).any()
        return self.processes.any(bool(has))

    def fits(self, device: torch.device) -> bool:
        return False


def own_blocks(X: np.ndarray | Table) -> Iterator[np.ndarray]:
    """The rows of X, or those of a shard that are here, in blocks."""
    rows = X.own if isinstance(X, Shard) else X
    if len(rows):  # of a shard there may be none
        for block in gen_batches(len(rows), block_rows(X.shape[1])):
            yield rows[block]


@dataclass(frozen=True)
class ShardBatch:
    """A batch of which each process has a part."""

    x: Tensor  # (n_own, d)
    n_rows: int  # in all

    def __len__(self) -> int:
        return self.n_rows

    @property
    def share(self) -> float:
        return len(self.x) / self.n_rows


@dataclass(frozen=True)
class ShardRows:
    """The rows that are trained on, each in one of the processes.

    Parameters
    ----------
    own : Tensor or StreamedRows
        Those of this process.

    sample : Tensor of shape (n_sampled, d)
        Some of all rows, which every process has.

    lengths : list of int
        How many rows each process has.
    """

    own: Tensor | StreamedRows
    sample: Tensor
    lengths: list[int]

    def __len__(self) -> int:
        return sum(self.lengths)

    def batches(self, batch_size: int, generator: torch.Generator) -> "ShardBatches":
        return ShardBatches(self, batch_size, generator)


class ShardBatches:
    """As many batches in every process, which hold an equal share of its rows each."""

    def __init__(self, rows: ShardRows, batch_size: int, generator: torch.Generator):
        self.rows = rows
        self.n_rows = len(rows)
        self.device = rows.sample.device
        self.generator = generator
        self.n_batches = -(-self.n_rows // batch_size)
        own = rows.own
        self.own = make_batches(own, batch_size, generator)
        self.own.n_batches = self.n_batches

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[ShardBatch]:
        sizes, n_larger = np.divmod(self.rows.lengths, self.n_batches)
        for i, x in enumerate(self.own):
            yield ShardBatch(x, int(sizes.sum() + (i < n_larger).sum()))
