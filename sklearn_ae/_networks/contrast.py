"""The loss of a map: of each row, its neighbour is told from all other rows.

InfoNC-t-SNE (Damrich et al., ICLR 2023). How near two rows with latents z and z' are is
t-SNE's q = 1 / (1 + |z - z'|^2), and the loss of a pair i, j is

    -log(q_ij / sum over the others o of q_io)

Shapes: B pairs, n rows, l landmarks, k latents.
"""

from typing import Any

import torch
from torch import Tensor

from .modules import Autoencoder

# Numbers of a block of distances that stay in a processor's cache: 1 MB.
_BLOCK_SIZE = 2**18
# Numbers per row and landmark that are held at once.
_N_HELD = 6


class NeighborMap(Autoencoder):
    """An autoencoder whose latents are a map: nearness halves at a distance of one.

    Its loss is not the reconstruction's. A row alone is judged by some rows of the
    training, the landmarks: is the nearest of them the nearest on the map?
    """

    landmarks: Tensor

    def __init__(self, *networks: Any, landmarks: Tensor, **options: Any):
        super().__init__(*networks, **options)
        self.register_buffer("landmarks", landmarks)  # (l, d)

    @property
    def latent_scale(self) -> Tensor:
        return torch.ones_like(super().latent_scale)

    @property
    def loss_size(self) -> int:
        return max(super().loss_size, _N_HELD * len(self.landmarks))

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        x = self.filled(x)
        return self.landmark_losses(x, self.encode(x), self.encode(self.landmarks))

    def landmark_losses(self, x: Tensor, z: Tensor, z_landmarks: Tensor) -> Tensor:
        """Loss of each row with these latents, for these latents of the landmarks."""
        return landmark_losses(z, x, z_landmarks, self.landmarks)  # (n,)

    def score_samples(self, X: Tensor) -> Tensor:
        return -self.loss(self.standardize(X))  # (n,), in nats


def squared_distances(z: Tensor, others: Tensor) -> Tensor:
    """Of latents (n, k) and others (l, k), as products: (n, l)."""
    squares = z.square().sum(dim=1)[:, None] + others.square().sum(dim=1)
    return torch.addmm(squares, z, others.mT, alpha=-2.0).clamp_(min=0.0)


def pair_loss_and_gradient(z: Tensor, exaggeration: float) -> tuple[Tensor, Tensor]:
    """Mean loss of pairs, and its gradient, for rows (B, k) and their neighbours.

    Both ends of a pair are told from all other rows of the batch. The pull between
    neighbours counts ``exaggeration`` times.
    """
    n_rows, n_pairs = len(z), len(z) // 2
    squares = z.square().sum(dim=1) + 0.5  # (2B,): two of them make 1 + d^2
    ones = torch.ones_like(z[:, :1])
    z_and_one = torch.cat([z, ones], dim=1)  # (2B, k + 1)
    log_total = z.new_zeros(())
    pushes = torch.zeros_like(z_and_one)
    # Half the gradient of the mean of log total, -q^2 / total of each d^2, is made of
    # products. In blocks of rows that a processor's cache holds.
    for start in range(0, n_rows, block := max(1, _BLOCK_SIZE // n_rows)):
        rows = slice(start, start + block)
        sums = squares[rows, None] + squares
        nearness = torch.addmm(sums, z[rows], z.mT, alpha=-2.0, out=sums)
        nearness = nearness.clamp_(min=1.0).reciprocal_()
        nearness.diagonal(start).zero_()
        total = nearness.sum(dim=1, keepdim=True)
        log_total += total.log().sum()
        push = nearness.square_().div_(total)
        pushes[rows].addmm_(push, z_and_one)
        pushes.addmm_(push.mT, z_and_one[rows])
    half = pushes[:, :-1].addcmul(pushes[:, -1:], z, value=-1.0).div_(n_rows)
    step = z[:n_pairs] - z[n_pairs:]
    spread = step.square().sum(dim=1) + 1.0  # (B,)
    loss = exaggeration * spread.log().mean() + log_total / n_rows
    pull = step * (exaggeration / n_pairs / spread)[:, None]
    half[:n_pairs] += pull
    half[n_pairs:] -= pull
    return loss, half.mul_(2.0)


class _PairLoss(torch.autograd.Function):
    """The loss with its gradient in one pass, of which autograd would make twelve."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, exaggeration: float) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            loss, gradient = pair_loss_and_gradient(z, exaggeration)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return grads[0] * gradient, None


def pair_loss(z: Tensor, exaggeration: float = 1.0) -> Tensor:
    """Mean loss () of pairs of rows (B, k) and their neighbours behind them (B, k)."""
    return _PairLoss.apply(z, exaggeration)


def landmark_losses(
    z: Tensor, x: Tensor, z_landmarks: Tensor, x_landmarks: Tensor
) -> Tensor:
    """Loss of each row (n,): whether its nearest landmark is the nearest on the map.

    A row that is a landmark, or the same as one, is told from the others.
    """
    distances = squared_distances(x, x_landmarks)  # (n, l)
    # What is left of the distance to itself is rounding noise.
    size = x.square().sum(dim=1)[:, None] + x_landmarks.square().sum(dim=1)
    is_other = distances > 1e-6 * size
    distances = distances.masked_fill_(~is_other, torch.inf)
    # Of several that are as near, which differ by rounding, each is the right one.
    is_nearest = distances <= distances.min(dim=1, keepdim=True).values + 1e-6 * size
    log_nearness = -squared_distances(z, z_landmarks).log1p_()
    log_total = log_nearness.masked_fill(~is_other, -torch.inf).logsumexp(dim=1)
    log_nearest = log_nearness.masked_fill(~is_nearest, -torch.inf).logsumexp(dim=1)
    return torch.where(is_other.any(dim=1), log_total - log_nearest, 0.0)
