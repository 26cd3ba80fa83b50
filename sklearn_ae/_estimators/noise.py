"""The noise of a fitted VAETransformer, in the units of X.

Shapes: n rows, d columns, k latents, m numbers of conditions.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._inference.compute import compute
from .._networks.losses import NoiseScale
from .._networks.variational import VariationalAutoencoder
from .._tables.table_kinds import TableKinds


@dataclass(frozen=True)
class Noise:
    """What rows vary by around what latents are decoded to.

    Parameters
    ----------
    module : VariationalAutoencoder
        The fitted module.

    kinds : TableKinds or None
        Kinds of the columns, if they are of several.
    """

    module: VariationalAutoencoder
    kinds: TableKinds | None = None

    def scale(self, latents: Any) -> NoiseScale:
        """At latents with their conditions (n, k + m): (), (d,) or (n, d)."""
        if self.module.noise_network is not None:
            return compute(self.module, _scales, latents)
        return self.shared_scale

    @property
    def shared_scale(self) -> NoiseScale:
        """That all rows share: () or (d,)."""
        log_noise = self.module.log_noise.detach().cpu().double()
        # () or (d,) of kinds
        scale = log_noise.exp() * self.module.scale.detach().cpu().double()
        return scale.item() if scale.ndim == 0 else scale.numpy()

    @property
    def shared_variance(self) -> NoiseScale:
        """The same squared, as the likelihood has it; nan where it has no noise."""
        loss = self.module.loss_function
        return loss.noise_variance(self.shared_scale) if loss.has_noise else math.nan

    def add(
        self, X: np.ndarray, scale: NoiseScale, random_state: np.random.RandomState
    ) -> np.ndarray:
        """Rows drawn from the likelihood around the decoder's output X (n, d)."""
        if np.ndim(scale) == 2 and self.module.noise_network is not None:
            is_shared = (
                random_state.uniform(size=(len(X), 1)) < self.module.SHARED_SHARE
            )
            scale = np.where(is_shared, self.shared_scale, scale)
        drawn = self.module.loss_function.draw(X, scale, random_state)
        # Levels are drawn by their shares, not by noise upon these.
        return drawn if self.kinds is None else np.where(self.kinds.is_share, X, drawn)


def _scales(module: VariationalAutoencoder, given: Tensor) -> Tensor:
    with torch.no_grad():
        return module.log_noise_of(given.to(module.dtype)).exp() * module.scale
