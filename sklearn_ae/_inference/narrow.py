"""A wide decoder in the span of what it can give.

The last layer of a dense decoder has as many directions as it has inputs, however many
columns it gives. In squares of one weight, what a row has beside these directions is
the same for all latents: in coordinates of the span every step towards a projection is
the same step, and its Jacobian a fraction as wide.

Shapes: n rows, d outputs, p directions.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .._networks.linear import linear_layer
from .._networks.losses import SquaredError
from .._networks.modules import MLP, Anchored, nonlinear_part
from .._networks.sizes import narrow_outputs
from .derived import Derived


@dataclass(frozen=True)
class Outputs:
    """A decoder with what it is compared with: as it is, or in coordinates."""

    decoder: nn.Module
    axes: Tensor | None = None  # (d, p), orthonormal
    bias: Tensor | None = None  # (d,), where the coordinates are zero

    @classmethod
    def of(cls, decoder: nn.Module, loss: SquaredError, precision: Tensor) -> "Outputs":
        """In coordinates where these are far fewer, and losses are the same in them."""
        network = nonlinear_part(decoder)
        if not (loss.is_square and precision.ndim == 0 and isinstance(network, MLP)):
            return cls(decoder)
        layers = _last_layers(decoder)
        n_directions = sum(layer.in_features for layer in layers)
        n_outputs = layers[0].out_features
        if narrow_outputs(n_outputs, n_directions) == n_outputs:
            return cls(decoder)
        if torch.is_inference_mode_enabled():  # where nothing is trained
            return _NARROW.of(decoder, lambda: cls._narrow(decoder))
        return cls._narrow(decoder)

    @classmethod
    @torch.inference_mode(False)
    @torch.no_grad()
    def _narrow(cls, decoder: nn.Module) -> "Outputs":
        network = cast(MLP, nonlinear_part(decoder))
        layers = _last_layers(decoder)
        weight = torch.cat([layer.weight for layer in layers], dim=1)  # (d, p)
        bias = torch.stack([layer.bias for layer in layers]).sum(dim=0)
        axes, triangle = torch.linalg.qr(weight)  # (d, p), (p, p)
        # One coordinate more is nothing that latents could change.
        triangle = nn.functional.pad(triangle, (0, 0, 0, 1))  # (p + 1, p)
        bent, straight = triangle.tensor_split([layers[0].in_features], dim=1)
        narrow = MLP(*list(network)[:-1], _without_bias(bent))
        if not isinstance(decoder, Anchored):
            return cls(narrow, axes, bias)
        spread = decoder.input_spread
        anchored = Anchored.around(narrow, _without_bias(straight), spread)
        return cls(anchored, axes, bias)

    @property
    def width(self) -> int:
        """Of the widest layer in coordinates; 0 where the decoder is as it was."""
        layers = (m for m in self.decoder.modules() if isinstance(m, nn.Linear))
        return 0 if self.axes is None else max(m.out_features for m in layers)

    def rows(self, target: Tensor) -> Tensor:
        """Standardised rows (n, d) as the decoder's outputs are compared with them.

        The last coordinate is the length of what no latents reach.
        """
        if self.axes is None or self.bias is None:
            return target
        rest = target - self.bias
        inside = rest @ self.axes  # (n, p)
        outside = torch.linalg.vector_norm(rest - inside @ self.axes.mT, dim=1)
        return torch.cat([inside, outside[:, None]], dim=1)


# To find the span takes longer than many a row.
_NARROW: Derived[Outputs] = Derived()


def _last_layers(decoder: nn.Module) -> list[nn.Linear]:
    """The layers whose sum a dense decoder gives."""
    if not isinstance(decoder, Anchored):
        return [cast(nn.Linear, cast(MLP, decoder)[-1])]
    return [cast(nn.Linear, decoder.network[-1]), decoder.linear]


def _without_bias(weight: Tensor) -> nn.Linear:
    return linear_layer(weight, weight.new_zeros(len(weight)))
