"""Weights of rows: checks, copies, statistics and draws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from sklearn_ae._networks.filling import Filling, find_filling
from sklearn_ae._networks.linear import LinearStart, RegressionStart
from sklearn_ae._tables.columns import Columns, column_moments
from sklearn_ae._tables.loading import load_rows
from sklearn_ae._tables.rows import StreamedRows, Table, make_batches, to_train_on
from sklearn_ae._tables.weighing import (
    check_weights,
    mean_score,
    order_of_content,
    weigh,
)
from sklearn_ae._tables.weights import draw_counts

N, D = 30, 4


class Slices:
    """Rows that can be read in slices alone."""

    def __init__(self, X):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return self.X[rows]


@pytest.fixture(scope="module")
def X():
    rng = np.random.RandomState(0)
    return rng.standard_normal((N, D)) @ rng.standard_normal((D, D))


@pytest.fixture(scope="module")
def counts():
    return np.random.RandomState(1).randint(1, 4, N)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -2.0, 1.0], r"it is -2\.0 in row 1"),
        ([1.0, 1.0, np.nan], "it is nan in row 2"),
        ([np.inf, 1.0, 1.0], "it is inf in row 0"),
        ([1.0, 1.0], r"of shape \(3,\).* got \(2,\)"),
        ([[1.0], [1.0], [1.0]], r"got \(3, 1\)"),
        ([0.0, 0.0, 0.0], "zero for all rows"),
        (["a", "b", "c"], "must hold numbers"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        check_weights(weights, 3)


def test_no_weights_and_ones_are_the_same(X):
    for weights in (None, np.ones(N), 1):
        same, y, left = weigh(X, None, weights)
        assert same is X
        assert y is None
        assert left is None


@pytest.mark.parametrize("kind", [np.asarray, csr_array, Slices, np.ndarray.tolist])
def test_whole_weights_are_copies(X, kind):
    weights = np.arange(N) % 3
    rows, y, left = weigh(kind(X), list(range(N)), weights)
    rows = rows.toarray() if kind is csr_array else rows[:]
    np.testing.assert_array_equal(rows, X.repeat(weights, axis=0))
    assert y == np.arange(N).repeat(weights).tolist()
    assert left is None


def test_parts_of_rows_chosen_from_slices(X):
    weights = np.arange(N) % 3
    rows = weigh(Slices(X), None, weights)[0]
    wanted = X.repeat(weights, axis=0)
    for part in (slice(0, 5), slice(7, 8), slice(20, None), slice(3, 3)):
        np.testing.assert_array_equal(rows[part], wanted[part])


def test_other_weights_have_a_mean_of_one_and_no_zeros(X):
    weights = np.linspace(0.0, 5.0, N)
    rows, _, left = weigh(X, None, weights)
    np.testing.assert_array_equal(rows, X[1:])
    np.testing.assert_allclose(left, weights[1:] / weights[1:].mean())


@pytest.mark.parametrize("factor", [1e-300, 1e-9, 0.3, 1e6, 1e300])
def test_other_weights_matter_up_to_a_factor(X, factor):
    weights = np.linspace(0.5, 5.0, N)
    wanted = weigh(X, None, weights)[2]
    np.testing.assert_allclose(weigh(X, None, factor * weights)[2], wanted)


def test_large_whole_weights_are_no_counts_of_copies(X):
    weights = np.arange(1, N + 1) * 100_000
    rows, _, left = weigh(X, None, weights)
    assert rows is X
    np.testing.assert_allclose(left, weights / weights.mean())


def test_equal_weights_of_any_size_are_none(X):
    assert weigh(X, None, np.full(N, 0.25))[2] is None


def test_order_is_that_of_content_where_rows_repeat(X):
    repeated = X.repeat(2, axis=0)
    shuffled = repeated[np.random.RandomState(0).permutation(2 * N)]
    ordered = [rows[order_of_content(rows)] for rows in (repeated, shuffled)]
    np.testing.assert_array_equal(*ordered)


def test_rows_that_differ_stay_in_their_order(X):
    assert order_of_content(X) is None


def test_zeros_have_no_sign():
    assert order_of_content(np.array([[0.0, 1.0], [-0.0, 1.0]])) is not None


def test_mean_score_leaves_out_what_has_no_weight():
    scores = np.array([1.0, -np.inf, 4.0])
    assert mean_score(scores, [1, 0, 3]) == pytest.approx(3.25)
    assert mean_score(scores, [1e-300, 0, 3e-300]) == pytest.approx(3.25)


@given(
    weights=st.lists(st.floats(1e-3, 50), min_size=1, max_size=40),
    seed=st.integers(0, 100),
)
@settings(max_examples=50, deadline=None)
def test_counts_are_weights_rounded_up_or_down(weights, seed):
    weights = torch.tensor(weights, dtype=torch.float64)
    n_rows = max(1, round(weights.sum().item()))
    counts = draw_counts(weights, n_rows, torch.Generator().manual_seed(seed))
    share = weights * n_rows / weights.sum()
    assert counts.sum() == n_rows
    assert ((counts - share).abs() < 1 + 1e-9).all()


def test_counts_are_weights_on_average():
    weights = torch.tensor([0.1, 0.5, 0.9, 2.5], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    draws = [draw_counts(weights, 4, generator) for _ in range(4000)]
    mean = torch.stack(draws).double().mean(dim=0)
    # Four standard errors of a share of a half are 0.03.
    torch.testing.assert_close(mean, weights, atol=0.03, rtol=0.0)


def test_whole_weights_are_counts_in_every_epoch(X):
    weights = torch.arange(1, N + 1, dtype=torch.float64)
    x = torch.arange(float(N))[:, None]
    rows = to_train_on(x, weights)
    generator = torch.Generator().manual_seed(0)
    batches = make_batches(rows, 64, generator)
    for _ in range(2):
        seen = torch.cat(list(batches))[:, 0].long()
        torch.testing.assert_close(seen.bincount(), weights.long())
    assert len(rows) == batches.n_rows == int(weights.sum())


def test_streamed_rows_come_by_their_weights_too():
    X = np.arange(50.0)[:, None]
    weights = torch.from_numpy(np.tile([0.5, 1.5], 25))
    held_out = np.array([0, 1, 49])
    for table in (Table(X, lambda X: None), Table(Slices(X), lambda X: None)):
        rows = StreamedRows(
            table, torch.from_numpy, torch.zeros(1, 1), held_out, weights
        )
        batches = make_batches(rows, 8, torch.Generator().manual_seed(0))
        seen = torch.cat(list(batches))[:, 0].long().bincount(minlength=50)
        assert seen.sum() == len(rows)
        assert seen[held_out].sum() == 0
        difference = (seen - weights)[np.setdiff1d(np.arange(50), held_out)]
        assert difference.abs().max() < 1.1


# Statistics: whole weights are copies -------------------------------------------------


def test_moments(X, counts):
    X = np.where(np.random.RandomState(0).uniform(size=X.shape) < 0.1, np.nan, X)
    weighted = column_moments(X, counts.astype(float))
    for one, other in zip(
        weighted, column_moments(X.repeat(counts, axis=0)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("way", ["rows", "blocks"])
def test_principal_components(X, counts, way):
    x, weights = torch.from_numpy(X), torch.from_numpy(counts.astype(float))

    def start(x, weights=None):
        if way == "blocks":
            return LinearStart.from_blocks(x.split(7), 2, weights)
        return LinearStart.from_rows(x, 2, np.random.RandomState(0), weights)

    one, other = start(x, weights), start(x.repeat_interleave(weights.long(), dim=0))
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.components, other.components)
    # The one number that tells copies from weights: how many rows there are.
    n, total = N, int(counts.sum())
    freedom = (n / (n - 1)) / (total / (total - 1))
    torch.testing.assert_close(one.variances, other.variances * freedom)
    assert one.noise_variance == pytest.approx(other.noise_variance * freedom)


def test_principal_components_beside_conditions(X, counts):
    x, weights = torch.from_numpy(X), torch.from_numpy(counts.astype(float))
    state = np.random.RandomState(0)
    one = LinearStart.beside_conditions(x, 1, 2, state, weights)
    repeated = x.repeat_interleave(weights.long(), dim=0)
    other = LinearStart.beside_conditions(repeated, 1, 2, state)
    for name in ("mean", "components", "regression", "condition_variances"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))


def test_regression(X, counts):
    x, weights = torch.from_numpy(X), torch.from_numpy(counts.astype(float))
    repeated = x.repeat_interleave(weights.long(), dim=0)
    state = np.random.RandomState(0)

    def coefficients(x, weights=None):
        start = RegressionStart.from_rows(x[:, :2], x[:, 2:], 2, state, weights)
        return start.decoder[0] @ start.encoder[0]

    # Up to the penalty, which depends on the number of rows and is small here.
    torch.testing.assert_close(
        coefficients(x, weights), coefficients(repeated), rtol=1e-2, atol=1e-2
    )


def test_filling(X, counts):
    X = np.where(np.random.RandomState(0).uniform(size=X.shape) < 0.1, np.nan, X)
    x, weights = torch.from_numpy(X).float(), torch.from_numpy(counts.astype(float))
    repeated = x.repeat_interleave(weights.long(), dim=0)
    state = np.random.RandomState(0)
    one, other = find_filling(x, 2, state, weights), find_filling(repeated, 2, state)
    assert isinstance(one, Filling)
    # Up to a prior that counts less the more rows there are. Without weights the cells
    # differ three times as much.
    torch.testing.assert_close(one(x), other(x), rtol=0.0, atol=0.06)


def test_rows_in_memory_are_not_streamed_for_their_weights():
    X, cpu = np.random.RandomState(0).standard_normal((N, D)), torch.device("cpu")
    columns, weights = Columns.of_one_scale(X, D), np.linspace(0.5, 1.5, N)
    for of_rows in (None, weights):
        assert not load_rows(X, columns, cpu, seed=0, weights=of_rows).is_streamed
    table = Table(X, lambda block: None)
    assert load_rows(table, columns, cpu, seed=0, weights=weights).is_streamed
