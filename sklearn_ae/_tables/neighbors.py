"""Which rows of a table are near each other: exactly, or on long tables nearly.

No matrix of all distances is ever held.
"""

import warnings
from typing import Any, get_args

import numpy as np
import torch
from scipy.sparse import csr_matrix, issparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from .._utils.extras import import_extra
from .._utils.packing import CONVERTERS, Converter
from .._utils.types import Metric
from .columns import Columns

# Multiplications up to which all distances are looked at: tens of seconds of a core.
_MOST_PRODUCTS = 4e11
# Columns beyond which as many principal components stand for a row, where rows are many
# and compared by their Euclidean distance.
_N_COMPONENTS = 50

# Those that both ways to find neighbours know.
METRICS = tuple(name for name in get_args(Metric) if name != "precomputed")


def find_neighbors(
    X: np.ndarray, n_neighbors: int, metric: str, random_state: np.random.RandomState
) -> np.ndarray:
    """Numbers of each row's nearest other rows, nearest first: (n, n_neighbors)."""
    if _is_long(X) and metric == "euclidean" and X.shape[1] > _N_COMPONENTS:
        pca = PCA(_N_COMPONENTS, svd_solver="covariance_eigh")
        X = pca.fit_transform(X.astype(np.float32, copy=False))
    if not _is_long(X):
        index = NearestNeighbors(n_neighbors=n_neighbors, metric=metric)
        return index.fit(X).kneighbors(return_distance=False)
    pynndescent = import_extra("pynndescent", "maps", "A map of so many rows")
    with warnings.catch_warnings():
        # Of rows that were not reached: they have other neighbours.
        warnings.simplefilter("ignore")
        index = pynndescent.NNDescent(
            np.asarray(X, dtype=np.float32),
            metric=metric,
            n_neighbors=n_neighbors + 1,  # with the row itself
            random_state=random_state,
            n_jobs=1,  # with more of them two fits differ
        )
    return _without_themselves(index.neighbor_graph[0], n_neighbors)


def comparable(X: np.ndarray, columns: Columns) -> np.ndarray:
    """Rows without gaps, and in the units of X, or of each column where kinds differ.

    What is missing is taken for the column's mean.
    """
    center, scale = columns.center.cpu().numpy(), columns.scale.cpu().numpy()
    missing = np.isnan(X)
    if missing.any():
        X = np.where(missing, center, X).astype(X.dtype)
    if scale.ndim:
        X = ((X - center) / scale).astype(X.dtype)
    return X


def _is_long(X: np.ndarray) -> bool:
    return len(X) ** 2 * X.shape[1] > _MOST_PRODUCTS


def _without_themselves(numbers: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Lists of neighbours (n, n_neighbors + 1) without the row that each belongs to.

    Among duplicates the row itself may be missing: then the last one is.
    """
    rows = np.arange(len(numbers))
    is_self = numbers == rows[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    kept = numbers[~is_self].reshape(len(numbers), n_neighbors)
    # -1 stands for a neighbour that was not found.
    return np.where(kept < 0, rows[:, None], kept)


def as_graph(numbers: np.ndarray) -> csr_matrix:
    """A graph with an edge from each row to each of its neighbours (n, k)."""
    n_samples, k = numbers.shape
    ones = np.ones(n_samples * k, dtype=np.float32)
    starts = np.arange(0, n_samples * k + 1, k)
    shape = (n_samples, n_samples)
    graph = csr_matrix((ones, numbers.ravel(), starts), shape=shape)
    graph.sort_indices()
    return graph


def check_graph(graph: Any, n_samples: int) -> csr_matrix:
    """A graph of the user's, as scikit-learn's kneighbors_graph gives them."""
    if not issparse(graph) and not isinstance(graph, np.ndarray):
        raise TypeError(
            "graph must be a sparse matrix, as sklearn.neighbors.kneighbors_graph "
            f"gives it; got {type(graph).__name__}."
        )
    if graph.shape != (n_samples, n_samples):
        raise ValueError(
            f"graph must have a row and a column for each of the {n_samples} rows of "
            f"X; its shape is {graph.shape}."
        )
    edges = csr_matrix(graph).tocoo()
    is_edge = edges.row != edges.col  # a row is no neighbour of its own
    rows, columns = edges.row[is_edge], edges.col[is_edge]
    ones = np.ones(len(rows), dtype=np.float32)
    return csr_matrix((ones, (rows, columns)), shape=graph.shape)


# In files ----------------------------------------------------------------------------


def _plain_graph(graph: csr_matrix) -> list[Any]:
    return [list(graph.shape), graph.indptr, graph.indices, graph.data]


def _graph_of(plain: list[Any]) -> csr_matrix:
    shape, starts, numbers, values = plain
    graph = csr_matrix((values, numbers, starts), shape=shape)
    graph.check_format(full_check=True)  # no edge leads out of it
    return graph


def _plain_index(index: NearestNeighbors) -> list[Any]:
    return [index.get_params(deep=False), index._fit_X]


def _index_of(plain: list[Any]) -> NearestNeighbors:
    """The index made again, which takes milliseconds: no release of a tree is kept."""
    parameters, X = plain
    return NearestNeighbors(**parameters).fit(X)


CONVERTERS["graph"] = Converter(csr_matrix, _plain_graph, _graph_of)
CONVERTERS["neighbors"] = Converter(NearestNeighbors, _plain_index, _index_of)


# Drawing from it ----------------------------------------------------------------------


class Edges:
    """The edges of a graph, to draw a neighbour of any row from."""

    def __init__(self, graph: csr_matrix):
        starts = torch.from_numpy(graph.indptr.astype(np.int64))
        self.starts, self.counts = starts[:-1], starts.diff()  # (n,)
        self.ends = torch.from_numpy(graph.indices)  # (number of edges,)

    def draw(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """A neighbour of each row (B,); a row without any is its own."""
        shares = torch.rand(len(rows), generator=generator, dtype=torch.float64)
        counts = self.counts[rows]
        edges = self.starts[rows] + (shares * counts).long()
        has_any = counts > 0
        partners = rows.clone()
        partners[has_any] = self.ends[edges[has_any]].long()
        return partners
