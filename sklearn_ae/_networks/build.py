"""From what is asked for to an encoder and a decoder.

The user's own networks are built, copied and tried on two rows before any training.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .images import SkipDecoder, SkipEncoder
from .linear import Layer
from .modules import Anchored, OwnNetwork

Network = nn.Module | Callable[..., nn.Module]


def keep_spread(network: nn.Module) -> None:
    """Draw weights anew that keep the spread of the activations from layer to layer.

    A zero last layer then learns at the pace of the others. Networks with skips do
    without: from weights so wide, their dense layers learn images by heart before the
    convolutions have learned to see.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def anchor(network: OwnNetwork, layer: Layer, input_variances: Tensor) -> Anchored:
    """The network beside a linear path, for inputs of these variances (n_inputs,)."""
    if not isinstance(network, SkipEncoder | SkipDecoder):
        keep_spread(network)
    weight, bias = (part.to(torch.float32) for part in layer)
    spread = input_variances.sqrt()
    # What is left of a constant input is rounding noise, and no spread to divide by.
    widest = spread.max() if spread.max() > 0 else torch.ones_like(spread).max()
    spread = torch.where(spread > 1e-5 * widest, spread, widest)
    return Anchored(weight, bias, network, spread.to(torch.float32))


def start_at(decoder: OwnNetwork, output: Tensor) -> None:
    """Let an untrained decoder give about this output (d,): the mean row's."""
    with torch.no_grad():
        list(decoder.parameters())[-1].add_(output)  # the last layer's bias


def make_own_network(
    network: Network, role: str, n_inputs: int, n_outputs: int
) -> nn.Module:
    """The user's network: an instance is copied, a class or factory is called.

    A class or factory is called with the widths of its input and its output, or
    without arguments where it takes none.
    """
    if isinstance(network, nn.Module):
        return copy.deepcopy(network).cpu()
    try:
        takes_widths = _can_be_called(network, n_inputs, n_outputs)
        made = network(n_inputs, n_outputs) if takes_widths else network()
    except TypeError as error:
        raise TypeError(
            f"{role} must take the widths of its input and its output, or nothing: "
            f"{error}"
        ) from error
    if not isinstance(made, nn.Module):
        raise TypeError(
            f"{role} must be a torch.nn.Module, or a class or function that gives one; "
            f"{network!r} gave {type(made).__name__}."
        )
    return made


def _can_be_called(function: Callable[..., Any], *args: Any) -> bool:
    try:
        inspect.signature(function).bind(*args)
    except (TypeError, ValueError):  # ValueError: no signature to be found
        return False
    return True


def check_own_network(
    network: nn.Module, role: str, x: Tensor, n_outputs: int, meaning: str
) -> None:
    """Let the network see two rows (2, n_inputs) and compare what comes out."""
    was_training = network.training
    network.eval()
    wanted = (len(x), n_outputs)
    try:
        with torch.no_grad():
            output = network(x)
    except Exception as error:
        raise ValueError(
            f"{role} cannot take a batch of shape {tuple(x.shape)}: {error}"
        ) from error
    finally:
        network.train(was_training)
    if not isinstance(output, Tensor):
        raise TypeError(
            f"{role} must return a tensor of shape {wanted}, {meaning}; got "
            f"{type(output).__name__}."
        )
    if tuple(output.shape) != wanted:
        raise ValueError(
            f"{role} must turn a batch of shape {tuple(x.shape)} into one of shape "
            f"{wanted}, {meaning}; got shape {tuple(output.shape)}."
        )
