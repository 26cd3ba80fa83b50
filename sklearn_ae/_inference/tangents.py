"""What a decoder does to small changes of its latents: outputs with their Jacobians.

The package's dense networks are differentiated by hand, without a graph or tracing, so
that one row takes no longer than its products; all others by forward mode.

Shapes: n rows, k latents, m numbers of conditions, d outputs, h numbers of a layer.
"""

import threading
import warnings
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from .._networks.activations import DERIVATIVES
from .._networks.modules import MLP, Anchored, nonlinear_part

_FORWARD_MODE = threading.Lock()

# Latents (n, k + m) to outputs (n, d) and the latents' Jacobians (n, k, d).
TangentMap = Callable[[Tensor], tuple[Tensor, Tensor]]


def tangent_map(decoder: nn.Module, n_latents: int) -> TangentMap:
    """The decoder, as it is now, with derivatives by its first inputs."""
    dense = nonlinear_part(decoder)
    if isinstance(dense, MLP):
        return _of_dense(decoder, dense, n_latents)
    return partial(_by_forward_mode, decoder, n_latents)


def _of_dense(decoder: nn.Module, network: MLP, n_latents: int) -> TangentMap:
    """An MLP, or one beside a linear path: products of its layers' derivatives."""
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    weights = [layer.weight.t() for layer in layers]  # (n_inputs, n_outputs) each
    biases = [layer.bias for layer in layers]
    first = weights[0]
    linear: nn.Linear | None = None
    if isinstance(decoder, Anchored):
        linear = decoder.linear
        first = weights[0] = first / decoder.input_spread[:, None]
        straight, straight_bias = linear.weight.t(), linear.bias
    activate, activate_backward = DERIVATIVES[
        type(network[1]) if len(network) > 1 else nn.Identity
    ]

    def expand(z: Tensor) -> tuple[Tensor, Tensor]:
        h, tangents = z, None  # tangents: (n, k, h)
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            a = torch.addmm(bias, h, weight)
            h = activate(a)
            slopes = activate_backward(torch.ones_like(a), a, h)[:, None]  # (n, 1, h)
            if tangents is None:
                tangents = first[:n_latents] * slopes
            else:
                tangents = torch.matmul(tangents, weight).mul_(slopes)
        output = torch.addmm(biases[-1], h, weights[-1])
        if tangents is None:
            jacobian = first[:n_latents].expand(len(z), -1, -1)
        else:
            jacobian = torch.matmul(tangents, weights[-1])  # (n, k, d)
        if linear is not None:
            output = output.add_(straight_bias).addmm_(z, straight)
            jacobian = jacobian + straight[:n_latents]
        return output, jacobian

    return expand


@cache
def _load_forward_mode() -> None:
    """Let torch load what it needs, once: with a warning of deprecation to itself."""
    with _FORWARD_MODE, warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


def _by_forward_mode(
    decoder: nn.Module, n_latents: int, z: Tensor
) -> tuple[Tensor, Tensor]:
    """Any decoder that torch can differentiate: one latent's tangent after another."""
    units = torch.eye(n_latents, z.shape[1], dtype=z.dtype, device=z.device)  # (k, k+m)

    _load_forward_mode()
    tangents = []
    # Tensors made in inference mode cannot carry tangents, and torch has one level of
    # them for all threads.
    with (
        _FORWARD_MODE,
        torch.inference_mode(False),
        torch.no_grad(),
        forward_ad.dual_level(),
    ):
        z, units = z.clone(), units.clone()
        for unit in units:
            dual = forward_ad.make_dual(z, unit.expand_as(z).contiguous())
            output, tangent = forward_ad.unpack_dual(decoder(dual))
            tangents.append(tangent)
        if all(tangent is None for tangent in tangents):
            raise RuntimeError("no tangent reaches its output")
        zero = torch.zeros_like(output)
        tangents = [zero if tangent is None else tangent for tangent in tangents]
        jacobian = torch.stack(tangents, dim=1)
    return output, jacobian
