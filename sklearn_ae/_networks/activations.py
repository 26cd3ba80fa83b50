"""The activations by name, each with its hand-written backward pass.

Engine and inference differentiate the package's own networks without autograd.
"""

from collections.abc import Callable
from functools import partial

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

Call = Callable[[], object]


def _in_place(backward: Callable[..., object], grad: Tensor, *operands: object) -> Call:
    return partial(backward, grad, *operands, grad_input=grad)


def _leave() -> None:
    """The gradient is what it was."""


# The same as calls that are made again and again, on memory that is there: of a and h,
# what turns a into h; and of g, a and h, what turns the gradient of h into that of a.
CALLS: dict[
    type[nn.Module],
    tuple[Callable[[Tensor, Tensor], Call], Callable[[Tensor, Tensor, Tensor], Call]],
] = {
    nn.Identity: (lambda a, h: partial(h.copy_, a), lambda g, a, h: _leave),
    nn.Sigmoid: (
        lambda a, h: partial(torch.sigmoid, a, out=h),
        lambda g, a, h: _in_place(_aten.sigmoid_backward.grad_input, g, h),
    ),
    nn.Tanh: (
        lambda a, h: partial(torch.tanh, a, out=h),
        lambda g, a, h: _in_place(_aten.tanh_backward.grad_input, g, h),
    ),
    nn.ReLU: (
        lambda a, h: partial(torch.clamp_min, a, 0, out=h),
        lambda g, a, h: _in_place(_aten.threshold_backward.grad_input, g, h, 0),
    ),
    nn.LeakyReLU: (
        lambda a, h: partial(_aten.leaky_relu.out, a, out=h),
        lambda g, a, h: _in_place(
            _aten.leaky_relu_backward.grad_input, g, a, 0.01, False
        ),
    ),
    nn.ELU: (
        lambda a, h: partial(_aten.elu.out, a, out=h),
        lambda g, a, h: _in_place(
            _aten.elu_backward.grad_input, g, 1.0, 1.0, 1.0, False, a
        ),
    ),
    nn.GELU: (
        lambda a, h: partial(_aten.gelu.out, a, out=h),
        lambda g, a, h: _in_place(_aten.gelu_backward.grad_input, g, a),
    ),
    nn.SiLU: (
        lambda a, h: partial(_aten.silu.out, a, out=h),
        lambda g, a, h: _in_place(_aten.silu_backward.grad_input, g, a),
    ),
}
