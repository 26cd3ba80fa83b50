"""Where training rows settle: down t-SNE's objective, whose sums are made on a grid."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix

from sklearn_ae._inference import settling
from sklearn_ae._inference.settling import Divergence, Pushes, settle
from sklearn_ae._networks.contrast import pair_loss
from sklearn_ae._tables.neighbors import as_graph, find_neighbors


@pytest.fixture(scope="module")
def rows():
    return np.random.RandomState(0).normal(size=(200, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def graph(rows):
    return as_graph(find_neighbors(rows, 5, "euclidean", np.random.RandomState(0)))


def divergence(z, graph):
    """t-SNE's objective, term by term."""
    p = torch.from_numpy((graph + graph.T).toarray() / (2 * graph.nnz)).to(z)
    q = 1.0 / (1.0 + (z[:, None] - z).square().sum(dim=2))
    q = q * (1.0 - torch.eye(len(z)).to(z))
    is_edge = p > 0
    return (p[is_edge] * (p[is_edge] * q.sum() / q[is_edge]).log()).sum()


@pytest.mark.parametrize("n_latents", [1, 2])
@pytest.mark.parametrize("by", ["distances", "a grid"])
def test_gradient_is_that_of_the_divergence(n_latents, by, rows, graph, monkeypatch):
    if by == "a grid":
        monkeypatch.setattr(settling, "_FEW_ROWS", 0)
        monkeypatch.setattr(settling, "_SPACING", 0.25)
    Z = 4.0 * rows[:, :n_latents]
    z = torch.from_numpy(Z).double().requires_grad_()
    (expected,) = torch.autograd.grad(len(Z) * divergence(z, graph), z)
    found = Divergence(graph).gradient(Z)
    # Between nodes of the grid q is interpolated.
    share = 1e-5 if by == "distances" else 0.03
    assert_allclose(found, expected, atol=share * float(expected.abs().mean()))


def test_a_wide_map_has_a_coarse_grid(rows, monkeypatch):
    monkeypatch.setattr(settling, "_FEW_ROWS", 0)
    pushes = Pushes()
    total, of_rows = pushes(1000.0 * rows[:, :2])
    assert max(pushes.sizes) <= 100 + 3 * 15 + 20
    assert np.isfinite(of_rows).all()
    assert total > 0


@pytest.mark.parametrize("n_latents", [1, 2])
def test_rows_settle_downhill_and_the_same_each_time(n_latents, rows, graph):
    start = torch.from_numpy(rows[:, :n_latents])
    settled = settle(start, graph, seed=0)
    assert torch.equal(settled, settle(start, graph, seed=0))
    before, after = (float(divergence(z.double(), graph)) for z in (start, settled))
    assert after < before - 0.2


@pytest.mark.parametrize(
    ("many", "n_steps", "last"), [(800, 500, 1.0), (50, 1000, 1.2), (10, 1000, 1.2)]
)
def test_many_rows_settle_in_more_steps(many, n_steps, last, rows, graph, monkeypatch):
    counts = []

    def gradient(divergence, Z, exaggeration):
        counts.append(exaggeration)
        return np.zeros_like(Z)

    monkeypatch.setattr(settling, "_MANY_ROWS", many)
    monkeypatch.setattr(Divergence, "gradient", gradient)
    settle(torch.from_numpy(rows[:, :2]), graph, seed=0)
    early = n_steps // 5
    assert_allclose(counts, [2.0] * early + [last] * (n_steps - early))


def test_a_row_that_starts_far_out_comes_back(rows, graph, monkeypatch):
    monkeypatch.setattr(settling, "_FEW_ROWS", 0)
    monkeypatch.setattr(settling, "_N_STEPS", 100)
    start = torch.from_numpy(rows[:, :2]).clone()
    usual = settle(start, graph, seed=0)
    start[7] = 1e6
    settled = settle(start, graph, seed=0)
    assert settled.abs().max() < 2.0 * usual.abs().max()
    both = [float(divergence(z.double(), graph)) for z in (settled, usual)]
    assert both[0] < both[1] + 0.1


def test_with_many_latents_a_sample_pushes(rows, graph, monkeypatch):
    monkeypatch.setattr(settling, "_N_SWEEPS", 50)
    start = torch.from_numpy(rows[:, :3])
    settled = settle(start, graph, seed=0)
    assert torch.equal(settled, settle(start, graph, seed=0))
    neighbors = torch.from_numpy(graph.indices[graph.indptr[:-1]].copy()).long()
    before, after = (pair_loss(torch.cat([z, z[neighbors]])) for z in (start, settled))
    assert after < before - 0.1


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("n", [1, 5])
def test_rows_in_one_place_stay_there(n, few, monkeypatch):
    monkeypatch.setattr(settling, "_FEW_ROWS", few)
    start = torch.ones(n, 2)
    assert_array_equal(settle(start, csr_matrix((n, n)), seed=0), start)
