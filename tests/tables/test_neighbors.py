"""Which rows are near: exactly or nearly, as a graph, and one of them drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors, kneighbors_graph

from sklearn_ae._tables import neighbors
from sklearn_ae._tables.neighbors import Edges, as_graph, check_graph, find_neighbors
from sklearn_ae._utils.packing import pack, unpack


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)


@pytest.mark.parametrize("metric", neighbors.METRICS)
def test_neighbours_of_short_tables_are_exact(X, metric):
    index = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(X)
    expected = index.kneighbors(return_distance=False)
    found = find_neighbors(X, 5, metric, np.random.RandomState(0))
    assert np.mean(found == expected) > 0.999  # but for ties


class Descent:
    """Stands for pynndescent's, whose compilation takes longer than all tests here."""

    def __init__(self, X, metric, n_neighbors, random_state, n_jobs):
        index = NearestNeighbors(n_neighbors=n_neighbors, metric=metric).fit(X)
        numbers = index.kneighbors(X, return_distance=False)
        numbers[0] = numbers[0, ::-1]  # the row itself comes last
        numbers[1, 0] = numbers[2, 1]  # or is not among them
        numbers[3, -1] = -1  # not found
        self.neighbor_graph = numbers, None


def test_neighbours_of_long_tables_are_others_without_the_row_itself(X, monkeypatch):
    exact = find_neighbors(X, 5, "euclidean", np.random.RandomState(0))
    monkeypatch.setattr(neighbors, "_MOST_PRODUCTS", 0)
    monkeypatch.setattr(
        neighbors, "import_extra", lambda *args: SimpleNamespace(NNDescent=Descent)
    )
    found = find_neighbors(X, 5, "euclidean", np.random.RandomState(0))
    assert_array_equal(found[0], exact[0, ::-1])
    assert_array_equal(found[1], [exact[2, 0], *exact[1, :4]])
    assert_array_equal(found[3], [*exact[3, :4], 3])
    assert_array_equal(np.delete(found, [0, 1, 3], 0), np.delete(exact, [0, 1, 3], 0))


def test_long_rows_are_compared_by_their_components(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 60))
    expected = find_neighbors(X, 5, "euclidean", np.random.RandomState(0))
    monkeypatch.setattr(neighbors, "_MOST_PRODUCTS", 200**2 * 55)
    found = find_neighbors(X, 5, "euclidean", np.random.RandomState(0))
    assert np.mean(found == expected) > 0.99


def test_missing_pynndescent_is_missed_by_name(X, monkeypatch):
    monkeypatch.setattr(neighbors, "_MOST_PRODUCTS", 0)
    monkeypatch.setattr("sklearn_ae._utils.extras.has_extra", lambda name: False)
    with pytest.raises(ImportError, match=r"pynndescent.*sklearn_ae\[maps\]"):
        find_neighbors(X, 5, "euclidean", np.random.RandomState(0))


def test_graph_is_scikit_learns(X):
    found = find_neighbors(X, 5, "euclidean", np.random.RandomState(0))
    assert (as_graph(found) != kneighbors_graph(X, 5)).nnz == 0


def test_edges_of_length_zero_are_edges():
    X = np.zeros((4, 2))
    graph = check_graph(kneighbors_graph(X, 2, mode="distance"), 4)
    assert_array_equal(np.diff(graph.indptr), [2, 2, 2, 2])


def test_every_neighbour_is_drawn_as_often():
    graph = csr_matrix([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]])
    rows = torch.arange(4).repeat(3000)
    drawn = Edges(graph).draw(rows, torch.Generator().manual_seed(0)).view(-1, 4)
    counts = np.stack([np.bincount(ends, minlength=4) for ends in drawn.T.numpy()])
    expected = [[0, 1500, 1500, 0], [0, 0, 0, 3000], [0, 0, 3000, 0], [1000] * 3 + [0]]
    assert np.abs(counts - expected).max() < 120


def test_an_edge_that_leads_out_of_a_packed_graph_is_refused(X):
    packed = pack(as_graph(find_neighbors(X, 3, "euclidean", None)))
    packed["plain"][2][5] = len(X)
    with pytest.raises(ValueError, match="ind"):
        unpack(packed)
