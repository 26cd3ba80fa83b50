"""Places on a map: training rows settle, and new rows go between their neighbours.

An encoder draws a map as well as a function of its size can, and of few rows it cannot
know where others belong. So the training rows settle, from where the encoder has put
them; and a new row is put where its nearest training rows are.

Shapes: n known rows, m new rows, K neighbours, k latents.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from .._networks.contrast import NeighborMap
from .._networks.modules import Autoencoder, over_blocks
from .._networks.variational import VariationalAutoencoder
from .._tables.inverted_file import InvertedFile
from .._tables.neighbors import comparable
from .gaussians import Gaussians
from .inference import Encoded, Inference
from .settling import settle

# Steps of a row on its way between its neighbours.
_N_STEPS = 30


def place(z: Tensor, distances: Tensor) -> Tensor:
    """Latents (m, k) between those of neighbours (m, K, k) at these distances (m, K).

    The sum over the neighbours of log(1 + |z - z'|^2), each divided by its squared
    distance, has a valley at every cluster of them. From the best neighbour the mean
    shift leads down into its own.
    """
    # Relative to the nearest: what is at no distance at all is where the row belongs.
    nearest = distances.min(dim=1, keepdim=True).values
    tiny = torch.finfo(distances.dtype).tiny
    weights = (nearest.clamp(min=tiny) / distances.clamp(min=tiny)).square()
    # The many rows last: short axes cost much where sums run along them.
    weights = weights.T.contiguous()  # (K, m)
    z = z.permute(2, 1, 0).contiguous()  # (k, K, m)
    between = (z[:, :, None] - z[:, None]).square_().sum(dim=0).log1p_()  # (K, K, m)
    best = (between * weights[:, None]).sum(dim=0).argmin(dim=0)  # (m,)
    place = z.gather(1, best.expand(len(z), 1, -1))  # (k, 1, m)
    for _ in range(_N_STEPS):
        pull = weights / (1.0 + (z - place).square_().sum(dim=0))  # (K, m)
        place = (pull * z).sum(dim=1, keepdim=True) / pull.sum(dim=0)
    return place[:, 0].T.contiguous()


@dataclass(frozen=True)
class Placed(Inference):
    """The place between a row's nearest training rows on the map.

    Parameters
    ----------
    index : NearestNeighbors or InvertedFile
        That finds them, fitted to the training rows in their own units.

    graph : csr_matrix of shape (n, n) or None
        The graph of the map; None where the training rows have settled.

    seed : int
        Of the order in which training rows settle.

    known : Tensor of shape (n, k) or None
        Where they have settled; None is before that.
    """

    index: NearestNeighbors | InvertedFile
    graph: csr_matrix | None
    seed: int
    known: Tensor | None = None

    def remembering(self, module: Autoencoder, x: Tensor) -> Inference:
        z = over_blocks(module, partial(Encoded().latents, module), x)
        assert self.graph is not None
        return replace(self, graph=None, known=settle(z, self.graph, self.seed))

    def turned(self, rotation: Tensor, shift: Tensor) -> Inference:
        assert self.known is not None
        return replace(self, known=(self.known - shift) @ rotation)

    def quick(self) -> Inference:
        return Encoded()

    def latents(self, module: Autoencoder, x: Tensor) -> Tensor:
        return self._placed(module, module.columns.restore(x)).to(x)

    def transform(self, module: Autoencoder, X: Tensor) -> Tensor:
        return self._placed(module, X)

    def _placed(self, module: Autoencoder, X: Tensor) -> Tensor:
        assert self.known is not None
        distances, rows = self.index.kneighbors(
            comparable(X.cpu().numpy(), module.columns)
        )
        known = self.known.to(X)  # (n, k)
        return place(known[torch.from_numpy(rows)], torch.from_numpy(distances).to(X))

    def score_samples(self, module: Autoencoder, X: Tensor) -> Tensor:
        assert isinstance(module, NeighborMap)
        z_landmarks = self.latents(module, module.landmarks)
        x = module.filled(module.standardize(X))
        z = self._placed(module, X).to(x)
        return -module.landmark_losses(x, z, z_landmarks)

    def losses(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        return module.loss(x, generator)

    def posterior(
        self, module: VariationalAutoencoder, x: Tensor, z: Tensor | None = None
    ) -> Gaussians:
        return Encoded().posterior(module, x, z)
