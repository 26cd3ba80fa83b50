"""Training rows that tell what a fit has come to: error, axes, density."""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from .._networks.modules import Autoencoder, over_blocks
from .._networks.variational import VariationalAutoencoder
from .._tables.rows import block_rows
from .._tables.weights import draw_counts, weighted_mean
from .._utils.device import enough_threads, steady_convolutions
from .inference import Inference


@dataclass(frozen=True)
class DescribedRows:
    """Rows of a fit in the networks' units, with the latents that users get."""

    x: Tensor  # (n, d + m)
    z: Tensor  # (n, k)
    inference: Inference
    n_samples: int  # that they stand for
    order: Tensor | None = None  # (d + m,), of the columns of X as they are in x
    weights: Tensor | None = None  # (n,)
    known: Tensor | None = None  # (n, k), modes of posteriors that are not at z

    @torch.no_grad()
    def turned(
        self, module: Autoencoder, rotation: Tensor, shift: Tensor
    ) -> "DescribedRows":
        """The same after the module's latents z become (z - shift) @ rotation."""
        rotation, shift = rotation.to(self.z), shift.to(self.z)
        module.rotate(rotation.to(module.dtype), shift.to(module.dtype))
        z = (self.z - shift) @ rotation
        return replace(self, z=z, inference=self.inference.turned(rotation, shift))

    def finding_modes(self, module: VariationalAutoencoder) -> "DescribedRows":
        """The same with modes of their posteriors, after a change of the noise."""
        with (
            steady_convolutions(self.x.device),
            enough_threads(module, block_rows(module.row_size)),
        ):
            modes = partial(self.inference.modes, module)
            return replace(self, known=over_blocks(module, modes, self.x, self.z))

    @property
    def modes(self) -> Tensor:
        """Of their posteriors: (n, k)."""
        return self.z if self.known is None else self.known

    @property
    def drawn(self) -> "DescribedRows":
        """Rows as often as their weights say, for what knows of no weights."""
        if self.weights is None:
            return self
        generator = torch.Generator().manual_seed(0)
        counts = draw_counts(self.weights, len(self.x), generator).to(self.x.device)

        def as_often(part: Tensor) -> Tensor:
            return part.repeat_interleave(counts, dim=0)

        known = None if self.known is None else as_often(self.known)
        x, z = as_often(self.x), as_often(self.z)
        return replace(self, x=x, z=z, known=known, weights=None)

    def mean_error(self, module: Autoencoder) -> Tensor:
        return weighted_mean(self.errors(module).double(), self.weights)

    @torch.no_grad()
    def errors(self, module: Autoencoder) -> Tensor:
        """Loss between each row and its reconstruction: (n,)."""
        n_block = block_rows(module.row_size)
        blocks = zip(self.x.split(n_block), self.z.split(n_block), strict=True)
        return torch.cat([self.inference.errors(module, x, z) for x, z in blocks])


def describe(
    module: Autoencoder,
    x: Tensor,
    inference: Inference,
    n_samples: int,
    is_trained: bool = True,
    weights: Tensor | None = None,
) -> DescribedRows:
    """Rows that stand for all of a fit, as the inference sees them afterwards.

    It remembers some of them where the module was trained on them. Where it learns from
    draws of rows, these are draws.
    """
    module.eval()
    generator = torch.Generator(x.device).manual_seed(0)
    if weights is not None:
        weights = inference.described(weights)
    x = module.drawn(inference.described(x), generator)
    with (
        steady_convolutions(x.device),
        enough_threads(module, block_rows(module.row_size)),
    ):
        with torch.no_grad():
            inference = inference.remembering(module, x) if is_trained else inference
        # Rows with missing cells as they are would tell of latents that cells do not.
        filled = module.filled(x)
        z = over_blocks(module, partial(inference.latents, module), filled)
        if is_trained:
            with torch.no_grad():
                inference = inference.expecting(module, x, z, weights)
        has_holes = module.parts(x)[0].isnan().any(dim=1)
        if has_holes.any():
            latents = partial(inference.latents, module)
            z = z.index_copy(
                0, has_holes.nonzero()[:, 0], over_blocks(module, latents, x[has_holes])
            )
    return DescribedRows(x, z, inference, n_samples, weights=weights)
