"""Training for projected rows: the decoder learns from where these will be decoded.

Shapes: n rows, k latents, d columns.
"""

from typing import Any

import torch
from torch import Tensor

from .._inference.projection import step_on
from .._networks.modules import Autoencoder
from .objectives import Objective

# Share of a schedule in which rows are projected, and latents up to which it is that: a
# Jacobian has a row for each, so that with more of them the share is smaller.
SHARE = 0.5
LATENTS_OF_SHARE = 4


class ProjectingObjective(Objective):
    """Reconstruction from projected latents, in the last part of a schedule.

    Where rows are projected, what the encoder says of them is a start and no more. A
    decoder that learns from there alone bends to make up for poor guesses too. So each
    step first takes the rows one step nearer to their projections, and the decoder
    learns to give them from there. The encoder goes on as before, down the gradient at
    its own guess, and stays a good start (semi-amortized inference: Y. Kim, S. Wiseman,
    A. Miller, D. Sontag and A. Rush, ICML 2018). In the first part, when the rate is
    high, such a step may lead anywhere.

    Parameters
    ----------
    n_components : int
        Latents, k.
    """

    def __init__(self, n_components: int):
        self.share = SHARE * min(1.0, (LATENTS_OF_SHARE + 2) / (n_components + 2))
        self.is_projecting = False

    def follow(self, module: Any, progress: float) -> None:
        self.is_projecting = progress >= 1.0 - self.share

    def step_on(
        self, module: Autoencoder, x: Tensor, z: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        return step_on(module, x, z) if self.is_projecting else None

    def step_losses(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        if not self.is_projecting:
            return super().step_losses(module, x, generator)
        z = module.encode(module.filled(module.corrupted(x, generator)))  # (n, k)
        nearer, gradient = step_on(module, x, z.detach())
        losses = module.error(module.decode(nearer), x)
        guide = len(x) * (z * gradient).sum(dim=1)
        # What is reported is the loss of what is decoded.
        return losses + guide - guide.detach()
