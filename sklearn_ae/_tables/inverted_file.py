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
    numbers: Tensor  # (n,), of these rows in the table
    starts: Tensor  # (c + 1,), of the cells

    @classmethod
    def of(cls, X: np.ndarray, n_neighbors: int, seed: int) -> "InvertedFile":
        x, components = torch.from_numpy(np.asarray(X, dtype=np.float32)), None
        center = x.double().mean(dim=0).float()
        if x.shape[1] > N_COMPONENTS:
            pca = PCA(N_COMPONENTS, svd_solver="covariance_eigh").fit(x.numpy())
            components = torch.from_numpy(pca.components_)
        x = _reduced(x, center, components)
        centers = _k_means(x, max(1, round(math.sqrt(len(x)))), seed)
        cells = torch.cat([_nearest(rows, centers) for rows in x.split(8192)])  # (n,)
        counts = torch.bincount(cells, minlength=len(centers))
        numbers = cells.argsort(stable=True)
        ends = counts[counts > 0].cumsum(0)
        return cls(
            n_neighbors=n_neighbors,
            center=center,
            components=components,
            centers=centers[counts > 0],
            rows=x[numbers],
            numbers=numbers,
            starts=torch.cat([ends.new_zeros(1), ends]),
        )

    def kneighbors(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances and numbers of each row's neighbours, nearest first: (m, K)."""
        x = torch.from_numpy(np.asarray(X, dtype=np.float32))
        x = _reduced(x, self.center, self.components)
        n_probes, K = min(_N_PROBES, len(self.centers)), self.n_neighbors
        probed = _squared_distances(x, self.centers)
        probed = probed.topk(n_probes, dim=1, largest=False).indices.ravel()
        # What asks the same cell is answered together.
        order = probed.argsort(stable=True)
        n_asking = torch.bincount(probed, minlength=len(self.centers))
        asking = order.split(n_asking.tolist())
        found = torch.full((len(order), K), torch.inf)
        places = torch.zeros((len(order), K), dtype=torch.long)
        for cell, (start, end) in enumerate(itertools.pairwise(self.starts.tolist())):
            rows = self.rows[start:end]
            for asked in asking[cell].split(max(1, _BLOCK_SIZE // len(rows))):
                squared = _squared_distances(x[asked // n_probes], rows).numpy()
                lines = np.arange(len(squared))
                # For a few neighbours, sorting would take four times as long.
                for i in range(min(K, len(rows))):
                    nearest = squared.argmin(axis=1)
                    found[asked, i] = torch.from_numpy(squared[lines, nearest])
                    places[asked, i] = torch.from_numpy(nearest) + start
                    squared[lines, nearest] = np.inf
        best = found.view(len(x), -1).topk(K, dim=1, largest=False).indices
        places = places.view(len(x), -1).gather(1, best)
        # Products leave rounding noise where differences leave none.
        distances = (self.rows[places] - x[:, None]).square_().sum(dim=2).sqrt_()
        distances, order = distances.sort(dim=1, stable=True)
        return distances.numpy(), self.numbers[places.gather(1, order)].numpy()


def _reduced(x: Tensor, center: Tensor, components: Tensor | None) -> Tensor:
    x = x - center
    return x if components is None else x @ components.mT


def _squared_distances(x: Tensor, others: Tensor) -> Tensor:
    """But for a row's own square, which makes no difference to what is nearest."""
    return torch.addmm(others.square().sum(dim=1), x, others.mT, alpha=-2.0)


def _nearest(x: Tensor, centers: Tensor) -> Tensor:
    return _squared_distances(x, centers).argmin(dim=1)


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
