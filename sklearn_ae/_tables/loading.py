"""The rows of a fit: in memory, or a sample of them and the way to the rest."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import gen_batches
from sklearn.utils.random import sample_without_replacement
from torch import Tensor

from .columns import Columns, column_order
from .rows import (
    RESIDENT_SIZE,
    Standardize,
    StreamedRows,
    Table,
    TrainingRows,
    as_tensor,
    block_rows,
    sample_size,
    to_train_on,
)
from .shards import CommonRows, Shard, ShardRows, SharedRows, own_blocks, own_part


@dataclass(frozen=True)
class Rows:
    """The rows of a fit, in the networks' units and in an order of their columns."""

    x: Tensor  # (n, d): all of them, or of a long table a sample
    train: TrainingRows | SharedRows
    valid: Tensor | None  # (n_valid, d)
    order: Tensor  # (d,)
    weights: Tensor | None = None  # (n,), of x

    @property
    def n_samples(self) -> int:
        return len(self.train) + (0 if self.valid is None else len(self.valid))

    @property
    def watched_weights(self) -> Tensor | None:
        """Of the rows that tell how good networks are: held out, or trained on."""
        if self.weights is None or self.valid is None:
            return self.weights
        return self.weights[: len(self.valid)]

    @property
    def is_streamed(self) -> bool:
        return isinstance(self.train, StreamedRows | SharedRows)


def load_rows(
    X: np.ndarray | Table,
    columns: Columns,
    device: torch.device,
    seed: int,
    n_valid: int = 0,
    order: Tensor | None = None,
    weights: np.ndarray | None = None,
) -> Rows:
    """Rows of X in the networks' units, those to be held out first.

    Without an order given, columns come in one that follows from their content.
    """
    if isinstance(X, Shard):
        return _load_shard(X, columns, device, seed, n_valid, order, weights)
    n_features = X.shape[1]
    table = X if isinstance(X, Table) and not X.fits(device) else None
    numbers, n_valid = _choose_rows(X, table is not None, n_valid, seed)
    n_samples = len(numbers)
    if table is not None:
        X = table.take(numbers)
    order, standardize = _units_of(X, columns, order)
    x = torch.empty(n_samples, n_features, dtype=torch.float32, device=device)
    for part in gen_batches(n_samples, block_rows(n_features)):
        block = X[part] if table is not None else X[numbers[part]]
        x[part] = standardize(block).to(device)
    valid = x[:n_valid] if n_valid else None
    every = None if weights is None else torch.from_numpy(weights)
    of_x = None if every is None else every[torch.from_numpy(numbers)]
    if table is None:
        left = None if of_x is None else of_x[n_valid:]
        return Rows(x, to_train_on(x[n_valid:], left), valid, order, of_x)
    train = StreamedRows(table, standardize, x, numbers[:n_valid], every)
    return Rows(x, train, valid, order, of_x)


def _load_shard(
    X: Shard,
    columns: Columns,
    device: torch.device,
    seed: int,
    n_valid: int,
    order: Tensor | None,
    weights: np.ndarray | None,
) -> Rows:
    """The rows of this process, and those by which all processes judge.

    Where one process could hold all rows, they are in the order of its own fit, and so
    are the batches.
    """
    n_samples, n_features = X.shape
    is_long = n_samples * n_features > RESIDENT_SIZE
    numbers, n_valid = _choose_rows(X, is_long, n_valid, seed)
    order, standardize = _units_of(X, columns, order)
    x = standardize(X.take(numbers)).to(device)
    valid = x[:n_valid] if n_valid else None
    every = None if weights is None else torch.from_numpy(weights)
    of_x = None if every is None else every[torch.from_numpy(numbers)]

    _, held_out = X.find_own(numbers[:n_valid])
    kept = np.ones(len(X.own), dtype=bool)
    kept[held_out] = False
    table = X.own if isinstance(X.own, Table) and not X.own.fits(device) else None
    if not kept.any():
        table = None
    if not (is_long or X.processes.any(table is not None)):
        is_own, own_numbers = X.find_own(numbers[n_valid:])
        here = torch.full((n_samples - n_valid,), -1)
        here[torch.from_numpy(is_own)] = torch.from_numpy(
            kept.cumsum()[own_numbers] - 1
        )
        own = _own_rows(X, standardize, kept, x)
        left = None if of_x is None else of_x[n_valid:]
        return Rows(x, CommonRows(own, x, to_train_on(here, left)), valid, order, of_x)

    of_own = None if weights is None else torch.from_numpy(own_part(weights, X))
    trained: TrainingRows
    if table is not None:
        trained = StreamedRows(table, standardize, x[:0], held_out, of_own)
    else:
        trained = own = _own_rows(X, standardize, kept, x)
        if of_own is not None and len(own):
            trained = to_train_on(own, of_own[torch.from_numpy(kept)])
    train = ShardRows(trained, x, X.processes.gather(len(trained)))
    return Rows(x, train, valid, order, of_x)


def _own_rows(
    X: Shard, standardize: Standardize, kept: np.ndarray, x: Tensor
) -> Tensor:
    """The rows of this process that are kept, beside others of their kind (x)."""
    n_block = block_rows(X.shape[1])
    parts = [
        standardize(block[kept[i * n_block :][: len(block)]]).to(x.device)
        for i, block in enumerate(own_blocks(X))
    ]
    return torch.cat([x[:0], *parts])


def _choose_rows(
    X: np.ndarray | Table, is_long: bool, n_valid: int, seed: int
) -> tuple[np.ndarray, int]:
    """Numbers of the rows to hold in memory, and how many, the first, to hold out."""
    random_state = np.random.RandomState(seed)
    n_samples, n_features = X.shape
    if is_long:
        n_sampled = sample_size(n_samples, n_features)
        numbers = sample_without_replacement(
            n_samples, n_sampled, random_state=random_state
        )
        return numbers, min(n_valid, n_sampled // 2)
    if n_valid:
        return random_state.permutation(n_samples), n_valid
    return np.arange(n_samples), 0


def _units_of(
    X: np.ndarray | Table, columns: Columns, order: Tensor | None
) -> tuple[Tensor, Standardize]:
    """The order of the columns, and what takes rows to the networks' units in it."""
    if order is None:
        order = column_order(columns.standardize(as_tensor(X[:1000])))
    in_order = order

    def standardize(rows: np.ndarray) -> Tensor:
        return columns.standardize(as_tensor(rows))[:, in_order]

    return in_order, standardize
