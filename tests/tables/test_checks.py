"""Checks of rows on their way in."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from sklearn_ae import (
    AutoencoderDetector,
    AutoencoderTransformer,
    EncoderDecoderRegressor,
    VAETransformer,
)
from sklearn_ae._tables.checks import check_rows_differ
from sklearn_ae._tables.rows import Table


@pytest.mark.parametrize("X", [np.ones((1, 3)), np.ones((5, 3))])
def test_first_rows_of_a_stream_must_differ(X):
    for estimator in (
        AutoencoderTransformer(2),
        VAETransformer(2),
        EncoderDecoderRegressor(2),
    ):
        with pytest.raises(ValueError, match="do not differ"):
            estimator.partial_fit(X, X[:, :1])
        assert not hasattr(estimator, "module_")


def test_later_rows_of_a_stream_may_be_equal():
    X = np.random.RandomState(0).standard_normal((40, 3))
    estimator = AutoencoderTransformer(1, hidden_layer_sizes=(2,)).partial_fit(X)
    estimator.partial_fit(X[:1])
    assert estimator.n_iter_ == 2


def test_columns_beside_the_rows_do_not_count():
    X = np.column_stack([np.ones(4), np.arange(4.0)])
    with pytest.raises(ValueError, match="4 row"):
        check_rows_differ(X, 1)
    check_rows_differ(X, 2)


class SlicesOf:
    """An object with shape, dtype and slices, as large_tables.md promises to read."""

    def __init__(self, X, **attributes):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype
        vars(self).update(attributes)

    def __getitem__(self, rows):
        return self.X[rows]


def test_chunks_of_dask_are_numbers_of_each_chunk():
    X = np.zeros((10, 2))
    table = Table(SlicesOf(X, chunks=((4, 4, 2), (2,))), lambda rows: None)
    assert table.chunk_rows == 4


def test_chunks_of_zarr_are_one_number():
    X = np.zeros((10, 2))
    assert Table(SlicesOf(X, chunks=(3, 2)), lambda rows: None).chunk_rows == 3


def test_dask_arrays_are_read():
    da = pytest.importorskip("dask.array")
    X = np.random.RandomState(0).standard_normal((12, 3))
    table = Table(da.from_array(X, chunks=(5, 3)), lambda rows: None)
    assert table.chunk_rows == 5
    np.testing.assert_array_equal(table[3:7], X[3:7])
    np.testing.assert_array_equal(table.take(np.array([7, 1])), X[[7, 1]])


def test_sparse_slices_are_refused():
    table = Table(SlicesOf(csr_array(np.eye(4))), lambda rows: None)
    with pytest.raises(TypeError, match="Slices of SlicesOf are sparse"):
        table[:2]


def test_a_stream_of_arrow_is_a_table():
    pa = pytest.importorskip("pyarrow")
    rng = np.random.RandomState(0)
    columns = {"a": rng.standard_normal(30), "level": ["x", "y", "z"] * 10}
    table = pa.table(columns)

    def stream():
        return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(10))

    fitted = AutoencoderTransformer(2, max_iter=0).fit(stream())
    np.testing.assert_array_equal(fitted.transform(stream()), fitted.transform(table))
    # Once for the fit and for the latents of it.
    start = AutoencoderTransformer(2, max_iter=0)
    np.testing.assert_array_equal(
        start.fit_transform(stream()), fitted.transform(table)
    )
    assert fitted.impute(stream()).equals(table)
    assert fitted.score(stream()) == fitted.score(table)
    detectors = [
        AutoencoderDetector(AutoencoderTransformer(2, max_iter=0)).fit(rows)
        for rows in (stream(), table)
    ]
    assert detectors[0].offset_ == detectors[1].offset_


def test_a_long_table_may_begin_with_a_missing_cell():
    X = np.random.RandomState(0).standard_normal((40, 3))
    X[0, 1] = np.nan

    class Slices:
        shape, dtype = X.shape, X.dtype

        def __getitem__(self, rows):
            return X[rows]

    start = AutoencoderTransformer(2, max_iter=0)
    Z = start.fit(Slices()).transform(Slices())
    np.testing.assert_array_equal(Z, start.fit(X).transform(X))
