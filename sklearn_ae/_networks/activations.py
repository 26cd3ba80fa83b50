"""The activations by name, each with its hand-written backward pass.

Engine and inference differentiate the package's own networks without autograd.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

_aten = torch.ops.aten

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

Forward = Callable[[Tensor], Tensor]
Backward = Callable[[Tensor, Tensor, Tensor], Tensor]

# Activation: (forward of a, backward of (gradient, a, h)), where h = forward(a).
DERIVATIVES: dict[type[nn.Module], tuple[Forward, Backward]] = {
    nn.Identity: (lambda a: a, lambda g, a, h: g),
    nn.Sigmoid: (torch.sigmoid, lambda g, a, h: _aten.sigmoid_backward.default(g, h)),
    nn.Tanh: (torch.tanh, lambda g, a, h: _aten.tanh_backward.default(g, h)),
    nn.ReLU: (torch.relu, lambda g, a, h: _aten.threshold_backward.default(g, h, 0)),
    nn.LeakyReLU: (
        nn.functional.leaky_relu,
        lambda g, a, h: _aten.leaky_relu_backward.default(g, a, 0.01, False),
    ),
    nn.ELU: (
        nn.functional.elu,
        lambda g, a, h: _aten.elu_backward.default(g, 1.0, 1.0, 1.0, False, a),
    ),
    nn.GELU: (nn.functional.gelu, lambda g, a, h: _aten.gelu_backward.default(g, a)),
    nn.SiLU: (nn.functional.silu, lambda g, a, h: _aten.silu_backward.default(g, a)),
}
