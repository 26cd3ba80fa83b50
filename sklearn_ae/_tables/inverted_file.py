"""Nearest rows in a long table, for new rows: only the cells near each are looked at.

An inverted file (Sivic and Zisserman 2003; Jégou, Douze and Schmid 2011): k-means cuts
the table into cells, and a row's neighbours are looked for in the few cells whose
centres are nearest. With a cell for about as many rows as there are cells, the time for
a new row grows with the square root of the table's length. A row of the table lies in
the cell that is nearest to it, so it is found.

Shapes: n rows of the table, d columns, p of their principal components or columns, c
cells, m new rows, K neighbours.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

# Columns beyond which as many principal components stand for a row, where rows are many
# and compared by their Euclidean distance.
N_COMPONENTS = 50
# Cells that are looked through for a row.
_N_PROBES = 8
# Rows per cell that k-means sees, and how often.
_N_SEEN, _N_SWEEPS = 32, 10
# Distances that are held at once.
_BLOCK_SIZE = 2**22


@dataclass(frozen=True)
class InvertedFile:
    """A table in cells, that knows the nearest of its rows to any row."""

    n_neighbors: int
    center: Tensor  # (d,)
    components: Tensor | None  # (p, d), None where columns are few
    centers: Tensor  # (c, p)
    rows: Tensor  # (n, p), cell by cell
    squares: Tensor  # (n,), of their lengths
    numbers: Tensor  # (n,), of these rows in the table
    starts: Tensor  # (c + 1,), of the cells

    @classmethod
    def of(cls, X: np.ndarray, n_neighbors: int, seed: int) -> "InvertedFile":
        x, components = torch.from_numpy(np.asarray(X, dtype=np.float32)), None
        mean = x.numpy().mean(axis=0, dtype=np.float64)  # no double of the table
        center = torch.from_numpy(mean).float()
        if x.shape[1] > N_COMPONENTS:
            pca = PCA(N_COMPONENTS, svd_solver="covariance_eigh").fit(x.numpy())
            components = torch.from_numpy(pca.components_)
        x = _reduced(x, center, components)
        centers = _k_means(x, max(1, round(math.sqrt(len(x)))), seed)
        cells = torch.cat([_nearest(rows, centers) for rows in x.split(8192)])  # (n,)
        counts = torch.bincount(cells, minlength=len(centers))
        numbers = cells.argsort(stable=True)
        ends = counts[counts > 0].cumsum(0)
        x = x[numbers]
        return cls(
            n_neighbors=n_neighbors,
            center=center,
            components=components,
            centers=centers[counts > 0],
            rows=x,
            squares=_squares(x),
            numbers=numbers,
            starts=torch.cat([ends.new_zeros(1), ends]),
        )

    def kneighbors(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances and numbers of each row's neighbours, nearest first: (m, K)."""
        x = torch.from_numpy(np.asarray(X, dtype=np.float32))
        x = _reduced(x, self.center, self.components)
        n_probes, K = min(_N_PROBES, len(self.centers)), self.n_neighbors
        to_centers = _squared_distances(x, self.centers, _squares(self.centers))
        probed, _ = _smallest(to_centers.numpy(), n_probes)
        # What asks the same cell lies in one piece and is answered together.
        order = probed.ravel().argsort(kind="stable")
        ends = np.bincount(probed.ravel(), minlength=len(self.centers)).cumsum()
        asking = torch.from_numpy(order // n_probes)
        found = np.full((len(order), K), np.inf, dtype=np.float32)
        places = np.zeros((len(order), K), dtype=np.int64)
        pieces = itertools.pairwise([0, *ends.tolist()])
        cells = itertools.pairwise(self.starts.tolist())
        for piece, (first, last) in zip(pieces, cells, strict=True):
            rows, squares = self.rows[first:last], self.squares[first:last]
            step = max(1, _BLOCK_SIZE // len(rows))
            for start in range(*piece, step):
                asked = slice(start, min(start + step, piece[1]))
                squared = _squared_distances(x[asking[asked]], rows, squares).numpy()
                nearest, distances = _smallest(squared, min(K, len(rows)))
                places[asked, : nearest.shape[1]] = nearest + first
                found[asked, : nearest.shape[1]] = distances
        own = order.argsort(kind="stable")  # each row's answers, one after the other
        best, _ = _smallest(found[own].reshape(len(x), -1), K)
        places = np.take_along_axis(places[own].reshape(len(x), -1), best, axis=1)
        chosen = torch.from_numpy(places)
        # Products leave rounding noise where differences leave none.
        away = (self.rows[chosen] - x[:, None]).square_().sum(dim=2).sqrt_()
        away, sorting = away.sort(dim=1, stable=True)
        return away.numpy(), self.numbers[chosen.gather(1, sorting)].numpy()


def _smallest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values (m, k) of the k least of each row, which are overwritten.

    For a few of them sorting would take four times as long.
    """
    lines = np.arange(len(values))
    columns = np.empty((len(values), k), dtype=np.int64)
    least = np.empty((len(values), k), dtype=values.dtype)
    for i in range(k):
        columns[:, i] = values.argmin(axis=1)
        least[:, i] = values[lines, columns[:, i]]
        values[lines, columns[:, i]] = np.inf
    return columns, least


def _reduced(x: Tensor, center: Tensor, components: Tensor | None) -> Tensor:
    if components is None:
        return x - center
    return torch.cat([(rows - center) @ components.mT for rows in x.split(8192)])


def _squares(x: Tensor) -> Tensor:
    return torch.linalg.vecdot(x, x)


def _squared_distances(x: Tensor, others: Tensor, squares: Tensor) -> Tensor:
    """But for a row's own square, which makes no difference to what is nearest."""
    return torch.addmm(squares, x, others.mT, alpha=-2.0)


def _nearest(x: Tensor, centers: Tensor) -> Tensor:
    return _squared_distances(x, centers, _squares(centers)).argmin(dim=1)


def _k_means(x: Tensor, n_cells: int, seed: int) -> Tensor:
    """Centres (c, p) of some of the rows (n, p), by Lloyd's way."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(x), generator=generator)[: _N_SEEN * n_cells]
    x = x[chosen]
    centers = x[:n_cells].clone()
    for _ in range(_N_SWEEPS):
        cells = _nearest(x, centers)
        counts = torch.bincount(cells, minlength=n_cells)[:, None]
        sums = torch.zeros_like(centers).index_add_(0, cells, x)
        centers = torch.where(counts > 0, sums / counts.clamp(min=1), centers)
    return centers
