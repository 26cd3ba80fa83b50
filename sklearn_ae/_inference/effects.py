"""What latents do to columns, and which columns of a row they miss.

Shapes: n rows, k latents, d columns, m numbers of conditions.
"""

import torch
from torch import Tensor

from .._networks.modules import Autoencoder, UnitsDecoder
from .inference import Inference
from .tangents import tangent_map


def jacobians(module: Autoencoder, Z: Tensor) -> Tensor:
    """Changes of the columns, in their units, along latents Z (n, k): (n, k, d)."""
    # The decoder with its link and units, which are differentiated too.
    _, jacobian = tangent_map(UnitsDecoder(module), Z.shape[1])(Z)
    return jacobian


def column_losses(module: Autoencoder, X: Tensor, inference: Inference) -> Tensor:
    """Loss of each cell and its reconstruction, NaN where it is missing: (n, d)."""
    x = module.standardize(X)
    output = inference.decoded(module, x, inference.latents(module, x))
    target = module.parts(x)[0]
    entries = module.loss_of(target).entries(output, target).double()
    return torch.where(target.isnan(), torch.nan, entries * module.loss_scale)
