"""Rows that lie in several processes: each has a part, and knows the size of the whole.

Shapes: n rows in all, n_own of them here, d columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor

from .._utils.processes import Processes, current
from .rows import Table, TrainingRows, WeightedRows, block_rows, make_batches


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


def own_part(values: np.ndarray, X: np.ndarray | Table) -> np.ndarray:
    """Of one value for each row of X (n,), those of the rows that are here."""
    return values[X.first :][: len(X.own)] if isinstance(X, Shard) else values


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
class CommonRows:
    """The rows that are trained on in the batches of one process that has them all.

    Each process has what is its own of a batch: about a share, as luck will have it.
    Gradients are then the same, however many processes there are, at the price of some
    waiting.

    Parameters
    ----------
    own : Tensor of shape (n_own, d)
        Those of this process.

    sample : Tensor of shape (n_sampled, d)
        Some of all rows, which every process has.

    places : Tensor or WeightedRows
        Of all rows, in the order in which one process would have them, where they are
        in ``own``: -1 of those of other processes.
    """

    own: Tensor
    sample: Tensor
    places: Tensor | WeightedRows

    def __len__(self) -> int:
        return len(self.places)

    def batches(self, batch_size: int, generator: torch.Generator) -> "CommonBatches":
        return CommonBatches(self, batch_size, generator)


class CommonBatches:
    """What is here of the batches of one process."""

    def __init__(self, rows: CommonRows, batch_size: int, generator: torch.Generator):
        self.own = rows.own
        self.n_rows = len(rows)
        self.device = rows.own.device
        self.generator = generator
        self.places = make_batches(rows.places, batch_size, generator)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[ShardBatch]:
        for places in self.places:
            here = places[places >= 0].to(self.device)
            yield ShardBatch(self.own.index_select(0, here), len(places))


@dataclass(frozen=True)
class ShardRows:
    """The rows that are trained on, in batches that each process draws from its own.

    Parameters
    ----------
    own : Tensor, WeightedRows or StreamedRows
        Those of this process.

    sample : Tensor of shape (n_sampled, d)
        Some of all rows, which every process has.

    lengths : list of int
        How many rows each process has.
    """

    own: TrainingRows
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
        self.generator = generator.manual_seed(current().seed(generator.initial_seed()))
        self.n_batches = -(-self.n_rows // batch_size)
        self.own = make_batches(rows.own, batch_size, generator)
        self.own.n_batches = self.n_batches

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[ShardBatch]:
        sizes, n_larger = np.divmod(self.rows.lengths, self.n_batches)
        for i, x in enumerate(self.own):
            yield ShardBatch(x, int(sizes.sum() + (i < n_larger).sum()))


# Rows of several processes, and what trainings go over.
SharedRows = ShardRows | CommonRows
SharedBatches = ShardBatches | CommonBatches
