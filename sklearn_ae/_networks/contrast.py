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
        return max(super().loss_size, len(self.landmarks))

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
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
    n_pairs = len(z) // 2
    nearness = squared_distances(z, z).add_(1.0).reciprocal_().fill_diagonal_(0.0)
    total = nearness.sum(dim=1)  # (2B,)
    step = z[:n_pairs] - z[n_pairs:]
    spread = step.square().sum(dim=1) + 1.0  # (B,)
    loss = exaggeration * spread.log().mean() + total.log().mean()
    # From here on, half the gradient. That of log total is -q^2 / total in d^2.
    push = nearness.square_().div_(total[:, None])  # (2B, 2B)
    of_rows = (push.sum(dim=1) + push.sum(dim=0))[:, None]
    half = (push @ z).add_(push.mT @ z).addcmul_(of_rows, z, value=-1.0).div_(len(z))
    pull = step * (exaggeration / n_pairs / spread)[:, None]
    half[:n_pairs] += pull
    half[n_pairs:] -= pull
    return loss, half.mul_(2.0)


class _PairLoss(torch.autograd.Function):
    """The loss with its gradient in one pass, of which autograd would make twelve."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, exaggeration: float) -> Tensor:
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
    nearest = distances.masked_fill_(~is_other, torch.inf).argmin(dim=1)  # (n,)
    log_nearness = -squared_distances(z, z_landmarks).log1p_()
    log_nearness = log_nearness.masked_fill_(~is_other, -torch.inf)
    log_total = log_nearness.logsumexp(dim=1)
    log_nearest = log_nearness.gather(1, nearest[:, None])[:, 0]
    return torch.where(is_other.any(dim=1), log_total - log_nearest, 0.0)
