"""Where training rows settle on a map: each goes down t-SNE's objective on its own.

With q = 1 / (1 + |z - z'|^2) of two rows' latents, Q the sum of q over all pairs, and
the edges of the graph, both ways, as t-SNE's probabilities p, the objective is the
Kullback-Leibler divergence of q / Q from p. A row is pulled by its neighbours, with
p q, and pushed by every other row, with q^2 / Q. On a line or a plane the sums over all
rows are made on a grid, by Fourier transforms (Linderman et al., Nature Methods 2019),
so that a step takes time in proportion to the rows. With more latents a row is pushed
by a sample of the others, as the encoder was.

Shapes: n rows, k latents, m charges, g nodes of the grid.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from scipy.sparse import csr_matrix
from scipy.spatial.distance import cdist
from sklearn.utils import gen_batches
from torch import Tensor

from .._networks.contrast import pair_loss_and_gradient
from .._tables.neighbors import Edges

Rows = NDArray[np.float32]

# Latents up to which all rows push.
MOST_GRIDDED = 2
# Steps of each row, and how far it goes in one at first, in units of the map.
_N_STEPS, _RATE = 500, 3.0
# How often neighbours' pulls count, for a share of the steps: rows pass each other.
_EXAGGERATION, _EXAGGERATED = 2.0, 0.2
# Rows from which on there are more steps, by the root of the rows and twice as many at
# most, and there what is added for twice as many: to the rate, and to the pulls' count
# in all later steps. Maps of many rows are wide.
_MANY_ROWS, _FARTHER, _CLOSER = 15_000, 2.0, 0.2
_DECAYS = 0.9, 0.99
# Pairs of rows that settle together where a sample pushes: twice as many rows.
_PAIRS_TOGETHER, _N_SWEEPS = 2048, 300
# Share of the rows, on either side, that may lie far from the others.
_FAR = 0.005
# Rows up to which their distances take less time than a grid.
_FEW_ROWS = 1000
# Rows whose edges and nodes are looked at together: what is held for them is small.
_BLOCK_ROWS = 8192
# Nodes of the grid: how far apart, and how many along an axis at most. On a wider map
# they lie farther apart; maps grow with the root of the rows.
_SPACING, _MOST_NODES = 0.7, 1000
_FEW_NODES, _NODES_OF_ROOT = 100, 3.0
# Sizes that a map grows through, so that a grid serves many steps.
_SIZE_STEP = 16


def settle(z: Tensor, graph: csr_matrix, seed: int) -> Tensor:
    """Latents (n, k) after every one has gone down the objective of the map."""
    if z.shape[1] > MOST_GRIDDED:
        return _settle_by_pairs(z, graph, seed)
    settled = _without_far_ones(z.cpu().float())
    growth = min(2.0, max(1.0, math.sqrt(len(z) / _MANY_ROWS)))
    n_steps, rate = round(growth * _N_STEPS), _RATE + _FARTHER * (growth - 1.0)
    divergence, descent = Divergence(graph), _Descent(settled, n_steps, rate)
    for i in range(n_steps):
        is_early = i < _EXAGGERATED * n_steps
        exaggeration = _EXAGGERATION if is_early else 1.0 + _CLOSER * (growth - 1.0)
        gradient = divergence.gradient(settled.numpy(), exaggeration)
        descent.step(torch.from_numpy(gradient))
    return settled.to(z)


def _without_far_ones(z: Tensor) -> Tensor:
    """Latents (n, k) where those that lie far from nearly all others have come nearer.

    One row that an encoder has put a thousand times as far as the others would make the
    grid a thousand times as coarse, and could not come back in time.
    """
    low = np.quantile(z.numpy(), _FAR, axis=0, method="higher")
    high = np.quantile(z.numpy(), 1.0 - _FAR, axis=0, method="lower")
    margin = 3.0 * max(_RATE, float((high - low).max()))
    least, most = torch.from_numpy(low - margin), torch.from_numpy(high + margin)
    return z.clamp(least, most).to(z)


def _settle_by_pairs(z: Tensor, graph: csr_matrix, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    edges = Edges(graph)
    settled = z.cpu().float().clone()
    n_batches = math.ceil(len(z) / _PAIRS_TOGETHER)
    descent = _Descent(settled, _N_SWEEPS * n_batches, rate=1.0)
    for _ in range(_N_SWEEPS):
        order = torch.randperm(len(z), generator=generator)
        for rows in torch.tensor_split(order, n_batches):
            both = torch.cat([rows, edges.draw(rows, generator)])
            _, gradient = pair_loss_and_gradient(settled[both], 1.0)
            descent.step(torch.zeros_like(settled).index_add_(0, both, gradient))
    return settled.to(z)


class _Descent:
    """Adam with one scale for all latents of a row: it does not matter how they turn.

    Its rate falls to zero with a cosine.
    """

    def __init__(self, z: Tensor, n_steps: int, rate: float):
        self.z, self.n_steps, self.rate, self.n_done = z, n_steps, rate, 0
        self.direction, self.square = torch.zeros_like(z), torch.zeros_like(z[:, :1])

    def step(self, gradient: Tensor) -> None:
        slow, slower = _DECAYS
        self.direction.lerp_(gradient, 1.0 - slow)
        self.square.lerp_(gradient.square().sum(dim=1, keepdim=True), 1.0 - slower)
        rate = self.rate * 0.5 * (1.0 + math.cos(math.pi * self.n_done / self.n_steps))
        self.n_done += 1
        size = (self.square / (1.0 - slower**self.n_done)).sqrt_().add_(1e-12)
        rate /= 1.0 - slow**self.n_done
        self.z.sub_(self.direction / size, alpha=rate)


class Divergence:
    """t-SNE's objective for a graph whose edges all count the same.

    Parameters
    ----------
    graph : csr_matrix of shape (n, n)
        An edge from each row to each of its neighbours.
    """

    def __init__(self, graph: csr_matrix):
        both = csr_matrix(graph + graph.T, dtype=np.float32)
        self.starts, self.ends = both.indptr, both.indices
        # Times the rows, so that they are of the same size on every table.
        self.probabilities = both.data
        self.probabilities *= both.shape[0] / max(1, 2 * graph.nnz)
        self.pushes = Pushes()

    def gradient(self, Z: Rows, exaggeration: float = 1.0) -> Rows:
        """How the divergence grows with each latent (n, k), times the rows.

        The pulls between neighbours count ``exaggeration`` times.
        """
        others, total, pushes = _with_ones(Z), *self.pushes(Z)
        gradient = pushes  # (n, k)
        gradient *= -len(Z) / total
        for rows in gen_batches(len(Z), _BLOCK_ROWS):
            starts = self.starts[rows.start : rows.stop + 1]
            edges = slice(starts[0], starts[-1])
            ends = self.ends[edges]
            step = np.repeat(Z[rows], np.diff(starts), axis=0)
            step -= Z.take(ends, axis=0)
            pulls = np.einsum("ij,ij->i", step, step)
            pulls += 1.0
            np.divide(self.probabilities[edges], pulls, out=pulls)
            shape = len(starts) - 1, len(Z)
            sums = csr_matrix((pulls, ends, starts - starts[0]), shape=shape) @ others
            gradient[rows] += exaggeration * (sums[:, :1] * Z[rows] - sums[:, 1:])
        gradient *= 4.0
        return gradient


class Pushes:
    """Sums over all other rows of q, and of q^2 times the way from them.

    Of many rows the charges are put on the nodes of a grid, each on the nearest four
    along each axis by cubic interpolation, and what these do to each other is a
    convolution.
    """

    def __init__(self) -> None:
        self.spacing, self.sizes = 0.0, (0,)
        # What rows give to nodes, in one place for all steps.
        self.nodes = np.empty((0, 0), dtype=np.int32)
        self.weights = np.empty((0, 0), dtype=np.float32)

    def __call__(self, Z: Rows) -> tuple[float, Rows]:
        """The sum of q over all pairs of rows, and of each row's pushes (n, k)."""
        charges = _with_ones(Z)  # (n, 1 + k)
        if len(Z) <= _FEW_ROWS:
            q = 1.0 / (1.0 + cdist(Z, Z, "sqeuclidean").astype(np.float32))
            total, sums = q.sum(dtype=np.float64), (q * q) @ charges
        else:
            weights = self._interpolation(Z)
            potentials = weights @ self._convolved(weights.T @ charges)  # (n, 2 + k)
            total, sums = potentials[:, 0].sum(dtype=np.float64), potentials[:, 1:]
        # A row is at no distance from itself, and is not pushed by itself.
        least = float(np.finfo(np.float32).tiny)
        return max(float(total) - len(Z), least), sums[:, :1] * Z - sums[:, 1:]

    def _interpolation(self, Z: Rows) -> csr_matrix:
        """What each latent gives to nodes of the grid, and takes from them: (n, g)."""
        low, (n, k) = Z.min(axis=0), Z.shape
        most = min(_MOST_NODES, _FEW_NODES + _NODES_OF_ROOT * math.sqrt(n))
        extent = Z.max(axis=0) - low
        spacing = max(_SPACING, float(extent.max()) / most)
        longest = (extent / spacing).astype(np.int32) + 4
        sizes = tuple((-(-longest // _SIZE_STEP) * _SIZE_STEP).tolist())
        if (spacing, sizes) != (self.spacing, self.sizes):
            self.spacing, self.sizes = spacing, sizes
            self._transform_kernels()
        if self.nodes.shape != (n, 4**k):
            self.nodes = np.empty((n, 4**k), dtype=np.int32)
            self.weights = np.empty((n, 4**k), dtype=np.float32)
        for rows in gen_batches(n, _BLOCK_ROWS):
            places = (Z[rows] - low) / spacing
            self.nodes[rows], self.weights[rows] = _by_cubics(places, sizes)
        starts = np.arange(0, self.nodes.size + 1, 4**k)
        parts = self.weights.ravel(), self.nodes.ravel(), starts
        return csr_matrix(parts, shape=(n, math.prod(sizes)))

    def _transform_kernels(self) -> None:
        """q and q^2 of nodes, for each way from one to another, transformed."""
        padded = [fft.next_fast_len(2 * size, real=True) for size in self.sizes]
        squares = [
            np.square(np.minimum(np.arange(size), size - np.arange(size)))
            for size in padded
        ]
        distances = self.spacing**2 * np.asarray(sum(np.ix_(*squares)))
        q = (1.0 / (1.0 + distances)).astype(np.float32)
        self.padded, self.kernels = padded, (fft.rfftn(q), fft.rfftn(q * q))

    def _convolved(self, charges: Rows) -> Rows:
        """Of charges on the nodes (g, m): q of the first, and q^2 of all (g, 1 + m)."""
        axes = range(1, 1 + len(self.sizes))
        maps = np.ascontiguousarray(charges.T).reshape(-1, *self.sizes)
        waves = fft.rfftn(maps, s=self.padded, axes=axes)
        of_q, of_squares = self.kernels
        waves = np.concatenate([waves[:1] * of_q, waves * of_squares])
        maps = fft.irfftn(waves, s=self.padded, axes=axes)
        maps = maps[(slice(None), *map(slice, self.sizes))]
        return np.ascontiguousarray(maps.reshape(len(maps), -1).T)


def _by_cubics(places: Rows, sizes: tuple[int, ...]) -> tuple[NDArray[np.int32], Rows]:
    """Nodes about places (n, k) on the grid, and their weights: (n, 4 ** k)."""
    f, first = np.modf(places)
    cells = first.astype(np.int32)  # (n, k), of the first of four nodes
    of_axes = np.stack(
        [
            f * (f - 1.0) * (2.0 - f) / 6.0,
            (f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0,
            (f + 1.0) * f * (2.0 - f) / 2.0,
            (f + 1.0) * f * (f - 1.0) / 6.0,
        ],
        axis=2,
    )  # (n, k, 4)
    n = len(places)
    nodes: Any = np.zeros((n, 1), dtype=np.int32)
    weights: Any = np.ones((n, 1), dtype=np.float32)
    for axis, size in enumerate(sizes):
        along = cells[:, axis, None] + np.arange(4, dtype=np.int32)
        nodes = (nodes[:, :, None] * size + along[:, None]).reshape(n, -1)
        weights = (weights[:, :, None] * of_axes[:, axis, None]).reshape(n, -1)
    return nodes, weights


def _with_ones(Z: Rows) -> Rows:
    return np.concatenate([np.ones_like(Z[:, :1]), Z], axis=1)
