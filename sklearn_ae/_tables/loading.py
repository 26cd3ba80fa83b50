"""The rows of a fit: in memory, or a sample of them and the way to the rest."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import gen_batches
from sklearn.utils.random import sample_without_replacement
from torch import Tensor

from .columns import Columns, column_order
from .rows import (
    StreamedRows,
    Table,
    TrainingRows,
    as_tensor,
    block_rows,
    sample_size,
    to_train_on,
)


@dataclass(frozen=True)
class Rows:
    """The rows of a fit, in the networks' units and in an order of their columns."""

    x: Tensor  # (n, d): all of them, or of a long table a sample
    train: TrainingRows
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
        return isinstance(self.train, StreamedRows)


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
    random_state = np.random.RandomState(seed)
    n_samples, n_features = X.shape
    table = X if isinstance(X, Table) and not X.fits(device) else None
    if table is not None:
        n_sampled = sample_size(n_samples, n_features)
        numbers = sample_without_replacement(
            n_samples, n_sampled, random_state=random_state
        )
        n_valid = min(n_valid, n_sampled // 2)
        X = table.take(numbers)
        n_samples = n_sampled
    elif n_valid:
        numbers = random_state.permutation(n_samples)
    else:
        numbers = np.arange(n_samples)
    if order is None:
        order = column_order(columns.standardize(as_tensor(X[:1000])))

    def standardize(rows: np.ndarray) -> Tensor:
        return columns.standardize(as_tensor(rows))[:, order]

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
