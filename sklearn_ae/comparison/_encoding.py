"""A table of columns of several kinds, as the numbers that all reducers get."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from .._tables.columns import Columns
from .._tables.containers import is_frame, read_columns
from .._tables.table_kinds import TableKinds


class MixedEncoder(TransformerMixin, BaseEstimator):
    """Cells as factor analysis of mixed data has them: of its numbers PCA is FAMD.

    Numbers and dates are standardised, levels are indicators over the root of their
    share. A missing cell is at its column's mean.

    Parameters
    ----------
    categorical_features : "from_dtype" or array-like, default="from_dtype"
        Columns that are categories, however many levels they have.
    """

    kinds_: TableKinds
    columns_: Columns

    def __init__(self, categorical_features: Any = "from_dtype"):
        self.categorical_features = categorical_features

    def fit(self, X: Any, y: Any = None) -> "MixedEncoder":
        self.kinds_ = TableKinds(X, self.categorical_features)
        numbers = self.kinds_.encode(X)
        n_columns, is_indicator = numbers.shape[1], self.kinds_.is_indicator
        self.columns_ = Columns.of_kinds(numbers, n_columns, is_indicator)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        numbers = torch.from_numpy(self.kinds_.encode(X))
        x = self.columns_.standardize(numbers, dtype=torch.float64)
        return np.nan_to_num(x.numpy())

    @property
    def kinds(self) -> list[list[str]]:
        """The name of each column, and what it was taken for."""
        return [list(pair) for pair in self.kinds_.columns]


def needs_encoding(X: Any) -> bool:
    """Whether a frame has cells that are missing, or are no numbers."""
    if not is_frame(X):
        return False
    return any(
        column.type not in ("float", "integer", "boolean") or column.is_missing.any()
        for column in read_columns(X)
    )
