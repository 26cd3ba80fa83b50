"""How a map is learned: steps see pairs of neighbours.

Shapes: B pairs, n rows, d features.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from .._networks.contrast import pair_loss
from .._networks.modules import Autoencoder
from .._tables.neighbors import Edges
from .._tables.rows import Batches, TrainingRows
from .._tables.shards import SharedRows
from .objectives import Objective
from .recipe import Recipe

# Steps of a training, pairs of neighbours in each, and epochs at most.
N_STEPS, N_PAIRS, N_EPOCHS = 3000, 1024, 300
# Where rows settle afterwards.
ROUGH_STEPS, ROUGH_PAIRS = 500, 512
# Hidden layers of an encoder, and of one that only says where rows settle.
SIZES, ROUGH_SIZES = (512, 512, 512), (256, 256)
# Peak rate of the encoder, which goes far from where it starts.
LEARNING_RATE = 2e-3


class PairBatches(Batches):
    """Rows in a random order, and behind them a neighbour of each: (2B, d)."""

    def __init__(
        self, x: Tensor, edges: Edges, batch_size: int, generator: torch.Generator
    ):
        super().__init__(x, batch_size, generator)
        self.n_rows = 2 * len(x)
        self.edges = edges

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.x), generator=self.generator)
        for rows in torch.tensor_split(order, self.n_batches):
            both = torch.cat([rows, self.edges.draw(rows, self.generator)])
            yield self.x.index_select(0, both.to(self.device))


class NeighborObjective(Objective):
    """Neighbours lie nearer to each other on the map than to other rows.

    Parameters
    ----------
    graph : csr_matrix of shape (n, n)
        An edge from each row to each of its neighbours.
    """

    is_of_rows = False
    has_fast_networks = True

    def __init__(self, graph: csr_matrix):
        self.graph, self.edges = graph, Edges(graph)

    def batches(
        self,
        rows: TrainingRows | SharedRows,
        batch_size: int,
        order: torch.Generator,
    ) -> PairBatches:
        assert isinstance(rows, Tensor)  # a neighbour may be anywhere in the table
        return PairBatches(rows, self.edges, batch_size, order)

    def step_loss(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        return pair_loss(module.encode(module.filled(module.corrupted(x, generator))))


@dataclass(frozen=True)
class MapRecipe(Recipe):
    """How the encoder of a map is trained: few epochs, or many pairs in each step.

    Parameters
    ----------
    is_rough : bool
        Whether the encoder only says where training rows start to settle.
    """

    is_rough: bool = False

    def n_epochs(self, n_samples: int) -> int:
        n_steps = ROUGH_STEPS if self.is_rough else N_STEPS
        n_batches = math.ceil(n_samples / self.rows_per_step(n_samples))
        return min(N_EPOCHS, math.ceil(n_steps / n_batches))

    def rows_per_step(self, n_samples: int) -> int:
        if not isinstance(self.batch_size, str):
            return self.batch_size
        return min(n_samples, ROUGH_PAIRS if self.is_rough else N_PAIRS)
