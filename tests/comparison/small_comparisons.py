"""What the tests of comparisons share: one row of a table, and reducers that fail."""

import importlib.util

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

TIMES = ["fit_seconds", "transform_rows_per_second"]


def only_row(table):
    (row,) = table.to_dict("records")
    return row


class Failing(TransformerMixin, BaseEstimator):
    """A reducer that raises an exception or warns, or does neither."""

    def __init__(self, n_components=2, exception=None, where="fit"):
        self.n_components = n_components
        self.exception = exception
        self.where = where

    def _act(self, where):
        if where == self.where and self.exception is not None:
            raise self.exception

    def fit(self, X, y=None):
        self._act("fit")
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        self._act("transform")
        return X[:, : self.n_components]

    def inverse_transform(self, Z):
        self._act("inverse_transform")
        return np.zeros((len(Z), self.n_features_in_))


def without(monkeypatch, *packages):
    """Let these packages appear as not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name: None if name in packages else find_spec(name),
    )
