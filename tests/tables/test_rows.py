"""Tables larger than memory: blocks, samples, batches, and fits on them."""

import mmap

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)
from sklearn_ae._tables import rows as _rows
from sklearn_ae._tables.rows import StreamedRows, Table, is_lazy, is_long, make_batches

N, D = 1500, 4


class Lazy:
    """What h5py and zarr have in common: shape, dtype, chunks and slices."""

    def __init__(self, X, chunks=None):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype
        self.chunks = chunks
        self.n_read = 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        block = self.X[rows]
        self.n_read = max(self.n_read, len(block))
        return block


def bent_rows():
    """A curved surface of dimension 2 in 4 columns; rows sorted by the first."""
    t = np.random.default_rng(0).uniform(-1, 1, size=(N, 2))
    t = t[np.argsort(t[:, 0])]
    return np.c_[t, t[:, 0] * t[:, 1], t[:, 0] ** 2] * 3.0 + 5.0


@pytest.fixture
def X():
    return bent_rows()


@pytest.fixture
def mapped(X, tmp_path):
    np.save(tmp_path / "x.npy", X.astype("f4"))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.fixture
def tiny(monkeypatch):
    """Let tables of a few kB count as larger than memory."""
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 1000)
    monkeypatch.setattr(_rows, "_BLOCK_SIZE", 400)
    monkeypatch.setattr(_rows, "_BUFFER_SIZE", 1600)
    monkeypatch.setattr(_rows, "_SAMPLE_SIZE", 1200)
    monkeypatch.setattr(_rows, "_CHUNK_BYTES", 256)


def no_check(block):
    """Take every block as it is."""


def as_tensor(block):
    return torch.tensor(block, dtype=torch.float32)


# Tables -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (Lazy(np.ones((3, 2))), True),
        (np.ones((3, 2)), False),
        (torch.ones(3, 2), False),
        (csr_array(np.eye(3)), False),
        (pd.DataFrame({"a": [1.0]}), False),
        (Lazy(np.ones(3)), False),
        ([[1.0]], False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_lazy_tables_are_those_with_shape_dtype_and_slices(X, expected):
    assert is_lazy(X) is expected


def test_long_arrays_are_those_with_too_many_numbers(tiny):
    assert is_long(np.ones((501, 2)))
    assert not is_long(np.ones((500, 2)))
    assert not is_long(np.full((501, 2), "text"))


def test_blocks_are_checked(X):
    seen = []
    Table(X, seen.append)[3:5]
    assert_array_equal(seen[0], X[3:5])


@pytest.mark.parametrize(
    ("dtype", "expected"), [("f4", "f4"), ("f8", "f8"), ("u1", "f8"), ("?", "f8")]
)
def test_blocks_are_floats(dtype, expected):
    table = Table(np.ones((3, 2), dtype=dtype), no_check)
    assert table.dtype == table[:2].dtype == expected


@pytest.mark.parametrize("make", [np.asarray, Lazy], ids=["array", "lazy"])
def test_rows_are_taken_in_the_order_asked_for(X, make, tiny):
    numbers = np.random.default_rng(0).permutation(N)[:200]
    assert_array_equal(Table(make(X), no_check).take(numbers), X[numbers])


def test_chunks_are_those_of_the_file_format(X):
    assert Table(Lazy(X, chunks=(50, 2)), no_check).chunk_rows == 50


def test_any_row_of_an_array_is_as_near_as_the_next(X):
    assert Table(X, no_check).chunk_rows == 1


def test_rows_of_a_file_are_read_together(mapped, tiny):
    assert Table(mapped, no_check).chunk_rows == 256 // (4 * D)


@pytest.mark.parametrize(("mode", "is_released"), [("r", True), ("c", False)])
def test_pages_of_a_file_are_given_back_unless_they_hold_changes(
    tmp_path, X, mode, is_released
):
    np.save(tmp_path / "x.npy", X)
    table = Table(np.load(tmp_path / "x.npy", mmap_mode=mode), no_check)
    assert isinstance(table._mapping, mmap.mmap) is is_released


def test_changes_to_a_copy_on_write_array_stay(tmp_path, X):
    np.save(tmp_path / "x.npy", X)
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    changed[0] = 7.0
    table = Table(changed, no_check)
    table[:5]
    assert_array_equal(table[0:1], [[7.0] * D])


def test_blocks_outlive_the_pages_they_came_from(mapped, X):
    table = Table(mapped, no_check)
    blocks = [table[i : i + 100] for i in range(0, N, 100)]
    assert_array_equal(np.concatenate(blocks), X.astype("f4"))


class WithSpans(np.memmap):
    """A mapped file that notes from how far apart rows are asked for at once."""

    spans: list

    def __getitem__(self, rows):
        if isinstance(rows, np.ndarray):
            self.spans.append(np.ptp(rows))
        return super().__getitem__(rows)


def test_a_sample_of_a_file_is_taken_part_by_part(mapped, X, tiny):
    # With every row come the pages around it: all at once may be the whole file.
    spied = mapped.view(WithSpans)
    spied.spans = []
    numbers = np.random.default_rng(0).permutation(N)[:200]
    rows = Table(spied, no_check).take(numbers)
    assert_array_equal(rows, X.astype("f4")[numbers])
    assert max(spied.spans) < 400 // D


# Batches ------------------------------------------------------------------------------


@given(
    n=st.integers(2, 300),
    batch_size=st.integers(1, 70),
    chunk=st.integers(1, 40),
    n_held_out=st.integers(0, 100),
    buffer=st.integers(1, 200),
    is_lazy=st.booleans(),
)
def test_every_row_that_is_not_held_out_comes_once(
    n, batch_size, chunk, n_held_out, buffer, is_lazy
):
    held_out = np.random.default_rng(n).permutation(n)[: min(n_held_out, n - 1)]
    numbers = np.arange(n, dtype="f4")[:, None]
    table = Table(Lazy(numbers, (chunk, 1)) if is_lazy else numbers, no_check)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "_BUFFER_SIZE", buffer)
        patch.setattr(_rows, "_BLOCK_SIZE", buffer)
        rows = StreamedRows(table, as_tensor, torch.zeros(1, 1), held_out)
        batches = make_batches(rows, batch_size, torch.Generator().manual_seed(0))
        seen = list(batches)
    assert len(batches) == len(seen) == -(-batches.n_rows // batch_size)
    sizes = [len(x) for x in seen]
    assert max(sizes) - min(sizes) <= 1
    given_rows = torch.cat(seen)[:, 0].int().tolist()
    assert sorted(given_rows) == sorted(set(range(n)) - set(held_out.tolist()))


@pytest.mark.parametrize("make", [np.asarray, Lazy], ids=["array", "lazy"])
def test_sorted_rows_come_from_all_over_the_table(X, make, tiny):
    table = Table(make(X[:, :1].copy()), no_check)
    rows = StreamedRows(table, as_tensor, torch.zeros(1, 1), np.arange(0))
    batches = make_batches(rows, 100, torch.Generator().manual_seed(0))
    means = torch.tensor([x.mean() for x in batches])
    # Of batches drawn at random the means have a tenth of the rows' spread.
    assert means.std() < 0.2 * X[:, 0].std()


def test_batches_are_others_in_every_epoch_and_the_same_for_a_seed(X, tiny):
    def epochs(seed):
        rows = StreamedRows(Table(Lazy(X), no_check), as_tensor, torch.zeros(1, D), [])
        batches = make_batches(rows, 64, torch.Generator().manual_seed(seed))
        return torch.cat(list(batches)), torch.cat(list(batches))

    first, second = epochs(0)
    assert not torch.equal(first, second)
    again, _ = epochs(0)
    assert torch.equal(first, again)


# Estimators ---------------------------------------------------------------------------

ESTIMATORS = [
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
]
SOURCES = {"array": np.asarray, "lazy": Lazy}


def make(Estimator, **params):
    return Estimator(2, **{"hidden_layer_sizes": (16,), **params})


def fit_quickly(model, X):
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        return model.fit(X)


def error_of_other_rows(Estimator, X, source=np.asarray):
    train, test = source(X[::2]), X[1::2]
    model = fit_quickly(make(Estimator, max_iter=30, learning_rate_init=1e-2), train)
    return np.mean((model.reconstruct(test) - test) ** 2)


@pytest.fixture(scope="module", params=ESTIMATORS)
def error_in_memory(request):
    """An estimator, and its error without a stream."""
    return request.param, error_of_other_rows(request.param, bent_rows())


@pytest.mark.parametrize("source", SOURCES)
def test_a_streamed_fit_is_as_good_as_one_in_memory(error_in_memory, source, X, tiny):
    # In memory, so few rows are cross-validated and then trained on as a whole.
    Estimator, expected = error_in_memory
    assert error_of_other_rows(Estimator, X, SOURCES[source]) < 2.0 * expected


@pytest.mark.parametrize("source", SOURCES)
def test_without_a_step_a_streamed_fit_is_pca(source, X, tiny):
    model = AutoencoderTransformer(2, max_iter=0).fit(SOURCES[source](X))
    pca = PCA(2).fit(X)
    assert_allclose(model.transform(X), pca.transform(X), atol=1e-5)


def test_without_a_step_a_streamed_vae_is_probabilistic_pca(X, tiny):
    model = VAETransformer(2, max_iter=0).fit(Lazy(X))
    expected = PCA(2).fit(X).score_samples(X)
    assert_allclose(model.score_samples(X), expected, atol=1e-3)


def test_samples_can_be_like_the_rows_of_a_long_table(X, monkeypatch):
    model = VAETransformer(2, max_iter=0).fit(X)
    wanted = model.sample(20, 0, noise=True, like=X)
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 1000)
    assert_array_equal(model.sample(20, 0, noise=True, like=Lazy(X)), wanted)


@pytest.mark.parametrize(
    "method", ["transform", "reconstruct", "score_samples", "score"]
)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_methods_give_the_same_from_a_table(Estimator, method, X, tiny):
    model = fit_quickly(make(Estimator, max_iter=2), Lazy(X))
    expected = getattr(model, method)(X)
    assert_array_equal(getattr(model, method)(Lazy(X)), expected)


def test_blocks_stay_small(X, tiny):
    table = Lazy(X)
    fit_quickly(make(AutoencoderTransformer, max_iter=2), table).transform(table)
    assert table.n_read <= 400 // D


def test_a_mapped_file_is_trained_on_as_an_array_is(mapped, tiny):
    params = {"max_iter": 2, "random_state": 0}
    a = fit_quickly(make(AutoencoderTransformer, **params), mapped)
    b = fit_quickly(make(AutoencoderTransformer, **params), Lazy(np.array(mapped)))
    assert_array_equal(a.transform(mapped), b.transform(mapped))


def test_refits_have_the_same_bits(X, tiny):
    model = make(AutoencoderTransformer, max_iter=2)
    first = fit_quickly(clone(model), Lazy(X)).transform(X)
    assert_array_equal(fit_quickly(model, Lazy(X)).transform(X), first)


def test_columns_may_come_in_any_order(X, tiny):
    def fit(X):
        return fit_quickly(make(AutoencoderTransformer, max_iter=2), X).transform(X)

    order = [2, 0, 3, 1]
    assert_allclose(fit(X[:, order]), fit(X), atol=1e-4)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_training_goes_on(Estimator, X, tiny):
    model = fit_quickly(make(Estimator, max_iter=2, warm_start=True), Lazy(X))
    model.set_params(max_iter=4).fit(Lazy(X))
    assert model.n_iter_ == 4


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_chunks_may_be_tables(Estimator, X, tiny):
    model = make(Estimator, alpha=0.0)
    for _ in range(3):
        model.partial_fit(Lazy(X))
    assert model.n_iter_ == 3
    assert model.loss_curve_[2] < model.loss_curve_[0]


def test_callbacks_follow_a_streamed_training(X, tiny):
    from skorch.callbacks import EpochTimer

    model = make(AutoencoderTransformer, max_iter=2, callbacks=[EpochTimer()])
    fit_quickly(model, Lazy(X))
    assert len(model.history_[:, "dur"]) == 2


def test_without_held_out_rows_the_sample_is_watched(X, tiny):
    model = make(AutoencoderTransformer, max_iter=2, early_stopping=False)
    assert fit_quickly(model, Lazy(X)).validation_loss_curve_ is None


@pytest.mark.parametrize("row", [0, N - 1])
def test_infinity_is_found_wherever_it_is(row, X, tiny):
    X[row, 1] = np.inf
    with pytest.raises(ValueError, match="Input X contains infinity"):
        make(AutoencoderTransformer).fit(Lazy(X))


def test_log_loss_wants_the_unit_interval_in_every_block(X, tiny):
    P = (X - X.min()) / np.ptp(X)
    P[-1, 2] = 1.5
    with pytest.raises(ValueError, match=r"values in \[0, 1\]"):
        make(AutoencoderTransformer, loss="log_loss").fit(Lazy(P))


def test_columns_are_counted(X, tiny):
    model = fit_quickly(make(AutoencoderTransformer, max_iter=1), Lazy(X))
    with pytest.raises(ValueError, match="expecting 4 features as input"):
        model.transform(Lazy(X[:, :3]))


def test_bytes_are_read_as_numbers(tiny):
    X = np.random.default_rng(0).integers(0, 255, size=(400, 4)).astype("u1")
    model = fit_quickly(make(AutoencoderTransformer, max_iter=1), X)
    assert model.transform(X).dtype == np.float64


def test_a_small_lazy_table_is_read_as_a_whole(X):
    a = fit_quickly(make(AutoencoderTransformer, max_iter=2), Lazy(X))
    b = fit_quickly(make(AutoencoderTransformer, max_iter=2), X)
    assert_array_equal(a.transform(X), b.transform(X))
