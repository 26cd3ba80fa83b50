"""Latents of which the first ones do without the others.

Shapes: n rows, k latents, d columns.
"""

import torch
from torch import Tensor

from .._networks.modules import Autoencoder
from .objectives import Objective


class NestedObjective(Objective):
    """Every step sees the rows twice: with all latents, and with the first few alone.

    Where the others are dropped is drawn anew for each step, early cuts more often
    (nested dropout: O. Rippel, M. Gelbart and R. Adams, "Learning ordered
    representations with nested dropout", ICML 2014). A cut's loss counts by the root of
    what all latents leave over what it leaves, so that the full decoder hardly suffers
    by what few latents cannot do.

    Parameters
    ----------
    n_components : int
        Latents, k > 1.
    """

    is_of_rows = False
    has_fast_networks = True

    def __init__(self, n_components: int):
        self.often = 1.0 / torch.arange(1.0, n_components)  # (k - 1,)

    def step_loss(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        z = module.encode(module.filled(module.corrupted(x, generator)))  # (n, k)
        cut = torch.multinomial(self.often.to(z.device), 1, generator=generator)
        kept = torch.arange(z.shape[1], device=z.device) <= cut  # (k,)
        outputs = module.decode(torch.cat([z, z * kept]))  # (2n, d)
        with_all, with_few = (
            module.error(output, x).mean() for output in outputs.chunk(2)
        )
        least = torch.finfo(with_few.dtype).tiny
        weight = (with_all / with_few.clamp(min=least)).sqrt().detach()
        # What is reported is the loss with all latents.
        return with_all + weight * (with_few - with_few.detach())
