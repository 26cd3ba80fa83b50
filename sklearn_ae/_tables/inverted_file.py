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
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

# Columns beyond which as many principal components stand for a row. On 50 of them the
# neighbours of new rows of images are others too often: on a map they had .285 of
# their own, with 100 .296, with 150 .299, at as much time more.
_N_COMPONENTS = 100
# Cells that are looked through for a row. Of twice as many cells, with half the rows in
# each, as many take as long.
_N_PROBES = 8
# Rows per cell that k-means sees, and how often.
_N_SEEN, _N_SWEEPS = 32, 10
# Distances that are held at once, and rows that are looked for together: their numbers
# have 16 bits.
_BLOCK_SIZE, _BLOCK_ROWS = 2**22, 2**14


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
        if x.shape[1] > _N_COMPONENTS:
            pca = PCA(_N_COMPONENTS, svd_solver="covariance_eigh").fit(x.numpy())
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
        found = [self._kneighbors(rows) for rows in x.split(_BLOCK_ROWS)]
        distances, numbers = zip(*found, strict=True)
        return torch.cat(distances).numpy(), torch.cat(numbers).numpy()

    def _kneighbors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, K = _reduced(x, self.center, self.components), self.n_neighbors
        probed = self._probed(x)  # (m, cells)
        # The nearest cell has K rows that others must come as near as.
        limits = np.full(len(x), np.inf, dtype=np.float32)
        parts = []
        for cells in (probed[:, :1], probed[:, 1:]):
            for asking, first, squared in self._asked(x, cells):
                if cells.shape[1] == 1 and squared.shape[1] >= K:
                    limits[asking] = np.partition(squared, K - 1, axis=1)[:, K - 1]
                is_far = squared > limits[asking, None]
                near = np.flatnonzero(~is_far)  # half the time of nonzero
                row, place = np.divmod(near, squared.shape[1])
                parts.append((asking[row], place + first, squared.ravel()[near]))
        asked, places, squared = map(np.concatenate, zip(*parts, strict=True))
        # Numbers of 16 bits are sorted in a few sweeps.
        order = np.lexsort((squared, asked.astype(np.uint16)))
        counts = np.bincount(asked, minlength=len(x))[:, None]
        # Where cells have fewer than K rows in all, the last stands for those missing.
        ranks = np.minimum(np.arange(K), counts - 1)  # (m, K)
        nearest = order[counts.cumsum()[:, None] - counts + ranks]
        chosen = torch.from_numpy(places[nearest])  # (m, K)
        # Products leave rounding noise where differences leave none.
        away = torch.cat(
            [
                (self.rows[near] - rows[:, None]).square_().sum(dim=2).sqrt_()
                for near, rows in zip(chosen.split(256), x.split(256), strict=True)
            ]
        )
        away, sorting = away.sort(dim=1, stable=True)
        return away, self.numbers[chosen.gather(1, sorting)]

    def _probed(self, x: Tensor) -> np.ndarray:
        """Cells to look through for rows (m, p), the nearest first: (m, cells)."""
        to_centers = _squared_distances(x, self.centers, _squares(self.centers)).numpy()
        n_probes = min(_N_PROBES, len(self.centers))
        probed = np.argpartition(to_centers, n_probes - 1, axis=1)[:, :n_probes]
        away = np.take_along_axis(to_centers, probed, axis=1)
        return np.take_along_axis(probed, away.argsort(axis=1, kind="stable"), axis=1)

    def _asked(
        self, x: Tensor, cells: np.ndarray
    ) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
        """Per cell the rows that ask for it (m, a), its first row, and distances."""
        order = cells.ravel().argsort(kind="stable")
        ends = np.bincount(cells.ravel(), minlength=len(self.centers)).cumsum()
        pieces = itertools.pairwise([0, *ends.tolist()])
        starts = itertools.pairwise(self.starts.tolist())
        for piece, (first, last) in zip(pieces, starts, strict=True):
            rows, squares = self.rows[first:last], self.squares[first:last]
            step = max(1, _BLOCK_SIZE // len(rows))
            for start in range(*piece, step):
                asking = order[start : min(start + step, piece[1])] // cells.shape[1]
                asked = x[torch.from_numpy(asking)]
                yield asking, first, _squared_distances(asked, rows, squares).numpy()


def _reduced(x: Tensor, center: Tensor, components: Tensor | None) -> Tensor:
    if components is None:
        return x - center
    return torch.cat([(rows - center) @ components.mT for rows in x.split(256)])


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
