"""Fourier features of places on a map, from which a decoder can tell them apart.

An MLP of two numbers learns what varies slowly with them, and on a map rows change from
one cluster to the next. Of sines of many directions and frequencies it learns both
(Tancik et al., "Fourier features let networks learn high frequency functions in low
dimensional domains", NeurIPS 2020).

Shapes: n rows, k latents, m frequencies, d features of a row.
"""

import math

import torch
from torch import Tensor, nn

# Over which distance of the map rows may change; nearness halves at a distance of one.
_DISTANCE = 2.0
_N_FREQUENCIES = 128


class FourierFeatures(nn.Module):
    """Latents (n, k) and sines and cosines of them beside: (n, k + 2 m)."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, n_latents: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shape = n_latents, _N_FREQUENCIES
        drawn = torch.randn(shape, generator=generator, dtype=torch.float32)
        self.register_buffer("frequencies", drawn.div_(_DISTANCE).repeat(1, 2))
        phases = torch.zeros(2 * _N_FREQUENCIES, dtype=torch.float32)
        phases[_N_FREQUENCIES:] = math.pi / 2
        self.register_buffer("phases", phases)  # (2 m,)

    def forward(self, z: Tensor) -> Tensor:
        # Angles of many turns are nothing for lower precision.
        with torch.autocast(z.device.type, enabled=False):
            angles = torch.addmm(self.phases, z, self.frequencies)
            return torch.cat([z, angles.sin_()], dim=1)

    def beside(self, weight: Tensor) -> Tensor:
        """A linear map of latents (d, k) as one of all features (d, k + 2 m)."""
        return torch.cat([weight, weight.new_zeros(len(weight), len(self.phases))], 1)

    def variances(self, variances: Tensor) -> Tensor:
        """Those of all features (k + 2 m,) where these are the latents' (k,)."""
        return torch.cat([variances, torch.full_like(self.phases, 0.5).to(variances)])


class FourierDecoder(nn.Module):
    """A decoder of Fourier features, as one of latents."""

    def __init__(self, features: FourierFeatures, network: nn.Module):
        super().__init__()
        self.features, self.network = features, network

    def forward(self, z: Tensor) -> Tensor:
        return self.network(self.features(z))
