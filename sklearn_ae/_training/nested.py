"""Latents of which the first ones do without the others.

Shapes: n rows, k latents, d columns.
"""

import copy

import torch
from torch import Tensor, nn

from .._networks.modules import Autoencoder
from .._networks.truncation import PaddedInputs, rungs, with_first_latents
from .objectives import Objective


class NestedObjective(Objective):
    """Rows are seen with all latents and with the first few alone; the mean counts.

    One encoder serves all cuts, and each has a decoder of its own: a surface of few
    dimensions that goes near all rows bends in other ways than the first dimensions of
    one of many. A decoder of the user's is one for all. The losses of some cuts are
    added up as in A. Kusupati et al., "Matryoshka representation learning", NeurIPS
    2022.

    Parameters
    ----------
    n_components : int
        Latents, k > 1.
    """

    is_of_rows = False
    has_fast_networks = True

    def __init__(self, n_components: int):
        self.n_components = n_components

    def prepare(self, module: Autoencoder) -> None:
        k = self.n_components
        # Networks that go on training have the decoders.
        if module.is_own and not module.cut_decoders:
            module.keep_cuts(
                {
                    size: copy.deepcopy(with_first_latents(module, k, size).decoder)
                    for size in rungs(k)
                }
            )

    def step_loss(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        z = module.encode(module.filled(module.corrupted(x, generator)))  # (n, k)
        with_all = module.error(module.decode(z), x)
        return torch.stack([with_all, *self._errors(module, z, x)]).mean()

    def judge(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        with_all = super().judge(module, x, generator)
        z = module.encode(module.filled(x))
        return torch.stack([with_all, *self._errors(module, z, x)]).mean(dim=0)

    def _errors(self, module: Autoencoder, z: Tensor, x: Tensor) -> list[Tensor]:
        """What each cut of the latents leaves of the rows: (n,)."""
        k = self.n_components
        decoders: dict[int, nn.Module] = module.cut_decoders or {
            size: PaddedInputs(module.decoder, k, size) for size in rungs(k)
        }
        return [
            module.error(decoder(z[:, :size]), x) for size, decoder in decoders.items()
        ]
