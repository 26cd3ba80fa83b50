"""Sparse rows: dense in blocks alone, and otherwise as any."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sklearn_ae import AutoencoderTransformer, EncoderDecoderRegressor, VAETransformer
from sklearn_ae._tables import rows as rows_module

QUICK = {"hidden_layer_sizes": (4,), "max_iter": 2, "early_stopping": False}
pytestmark = pytest.mark.filterwarnings(
    "ignore:Training ended:sklearn.exceptions.ConvergenceWarning"
)


def counts(n=60, d=12, seed=0):
    return np.random.RandomState(seed).poisson(0.4, (n, d)).astype(float)


@pytest.mark.parametrize(
    "make", [sparse.csr_matrix, sparse.csr_array, sparse.coo_array]
)
def test_sparse_rows_are_as_dense_ones(make):
    X = counts()
    model = AutoencoderTransformer(2, **QUICK)
    of_dense = model.fit(X).transform(X)
    of_sparse = model.fit(make(X)).transform(make(X))
    np.testing.assert_array_equal(of_sparse, of_dense)


@pytest.mark.parametrize("method", ["reconstruct", "score_samples"])
def test_methods_take_sparse_rows(method):
    X = counts()
    model = VAETransformer(2, **QUICK).partial_fit(sparse.csr_array(X))
    of_sparse, of_dense = (
        getattr(model, method)(rows) for rows in (sparse.csr_array(X), X)
    )
    np.testing.assert_array_equal(of_sparse, of_dense)


def test_long_sparse_rows_are_never_dense_as_a_whole(monkeypatch):
    monkeypatch.setattr(rows_module, "RESIDENT_SIZE", 100)
    monkeypatch.setattr(rows_module, "_BLOCK_SIZE", 10 * 12)
    X = sparse.csr_array(counts())
    sizes = []
    toarray = sparse.csr_array.toarray

    def noted(self, *args, **kwargs):
        sizes.append(self.shape[0])
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(sparse.csr_array, "toarray", noted)
    model = AutoencoderTransformer(2, **QUICK).fit(X)
    assert np.isfinite(model.transform(X)).all()
    # A sample of a long table is held in memory: here that is all of so short a one.
    assert max(sizes) <= len(X.toarray())
    assert min(sizes) <= 10


def test_column_transformer_hands_on_what_it_likes():
    X = pd.DataFrame({"a": list("abcdefgh") * 5, "b": list("stuvwxyz") * 5})
    encoder = ColumnTransformer([("levels", OneHotEncoder(), ["a", "b"])])
    pipeline = make_pipeline(encoder, AutoencoderTransformer(2, **QUICK))
    assert sparse.issparse(encoder.fit_transform(X))
    assert pipeline.fit_transform(X).shape == (40, 2)


def test_regressor_takes_sparse_rows():
    X = counts()
    model = EncoderDecoderRegressor(2, **QUICK)
    of_dense = model.fit(X, X[:, 0]).predict(X)
    of_sparse = model.fit(sparse.csr_array(X), X[:, 0]).predict(sparse.csr_array(X))
    np.testing.assert_array_equal(of_sparse, of_dense)


def test_infinite_values_are_refused():
    X = counts()
    X[3, 4] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        AutoencoderTransformer(2, **QUICK).fit(sparse.csr_array(X))
