"""Latents where the likelihood has a noise that depends on them.

What a decoder gives and the log of the noise's scale are then outputs alike, and
-log p(x | z) is a loss of both. Its curvature is Fisher's information, block by block:
the scale of a location-scale density is informed on by itself alone.

Shapes: n rows, k latents, d features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .._networks.losses import SquaredError
from .._networks.modules import Autoencoder
from .._networks.variational import VariationalAutoencoder
from .tangents import TangentMap, tangent_map


def has_noise_of_rows(module: Autoencoder) -> bool:
    """Whether the noise of a likelihood depends on the latents."""
    is_variational = isinstance(module, VariationalAutoencoder)
    return is_variational and module.noise_network is not None


@dataclass(frozen=True)
class NoisyDecoder:
    """Latents, with conditions behind them, to [outputs | log scales] (n, 2d)."""

    module: VariationalAutoencoder

    def __call__(self, given: Tensor) -> Tensor:
        log_noise = self.module.log_noise_of(given)
        return torch.cat([self.module.decode(given), log_noise], dim=-1)

    def tangent_map(self, n_latents: int) -> TangentMap:
        module = self.module
        assert module.noise_network is not None
        parts = [
            tangent_map(network, n_latents)
            for network in (module.decoder, module.noise_network)
        ]

        def expand(given: Tensor) -> tuple[Tensor, Tensor]:
            output, jacobian = parts[0](given)
            of_noise, slopes = parts[1](given)
            log_noise = module.limited(of_noise, module.log_noise)
            # At its limits the noise follows no latent.
            is_free = (log_noise == module.log_noise + of_noise)[:, None]  # (n, 1, d)
            slopes = torch.where(is_free, slopes, 0.0)
            return (
                torch.cat([output, log_noise], dim=-1),
                torch.cat([jacobian, slopes], dim=-1),
            )

        return expand


class NoisyLoss(SquaredError):
    """-log p(x | z), constants aside, of [outputs | log scales] and rows [x | x].

    Parameters
    ----------
    loss : SquaredError
        Of outputs alone. Missing cells have no part in it.
    """

    is_square = False

    def __init__(self, loss: SquaredError):
        self.loss = loss

    def entries(self, output: Tensor, x: Tensor) -> Tensor:
        output, log_scale = output.chunk(2, dim=-1)
        x = x.chunk(2, dim=-1)[0]
        weighted = self.loss.entries(output, x) * self.loss.precision(log_scale)
        return torch.cat([weighted, torch.where(x.isnan(), 0.0, log_scale)], dim=-1)

    def derivatives(self, output: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        output, log_scale = output.chunk(2, dim=-1)
        x = x.chunk(2, dim=-1)[0]
        precision, power = self.loss.precision(log_scale), self.loss.scale_power
        slope, curvature = self.loss.derivatives(output, x)
        weighted = self.loss.entries(output, x) * precision
        # Precisions go with exp(-power * log_scale), and so does the mean of what they
        # weigh, inversely: power * weighted is 1 in the mean.
        of_scale = 1.0 - power * weighted
        known = (~x.isnan()).to(output.dtype)
        return (
            torch.cat([slope * precision, of_scale * known], dim=-1),
            torch.cat([curvature * precision, power * known], dim=-1),
        )

    def information(self, output: Tensor, log_sigma: Tensor) -> Tensor:
        output, log_scale = output.chunk(2, dim=-1)
        of_output = self.loss.information(output, log_scale)
        of_scale = torch.full_like(log_scale, self.loss.scale_power)
        return torch.cat([of_output.expand_as(output), of_scale], dim=-1)
