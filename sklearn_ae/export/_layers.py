"""Torch's layers and the package's networks as nodes of a graph.

Shapes: n rows, k latents, h numbers of a layer.
"""

import numpy as np
from scipy.special import erfcx
from torch import Tensor, nn

from .._networks.fourier import FourierDecoder
from .._networks.images import (
    ConvolutionalNetwork,
    SkipDecoder,
    SkipEncoder,
    _Doubled,
    _ToImages,
    _ToRows,
)
from .._networks.modules import MLP, Anchored, nonlinear_part
from ._graph import END, Value, integers

# Terms of the error function's series in double precision, which ONNX Runtime lacks.
_ERROR_TERMS = 40


class CannotExportError(ValueError):
    """A module has no counterpart among the nodes that are known."""


def to_array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def apply(network: nn.Module, x: Value) -> Value:
    """What a network gives for rows (n, .)."""
    if isinstance(network, Anchored):
        linear = _linear(network.linear, x)
        return linear + apply(network.network, x / to_array(network.input_spread))
    if isinstance(network, ConvolutionalNetwork):
        return _apply_images(network, x)[0]
    if isinstance(network, FourierDecoder):
        features = network.features
        angles = x @ to_array(features.frequencies) + to_array(features.phases)
        x = x.graph.concat([x, angles.of("Sin")], axis=1)
        return apply(network.network, x)
    if isinstance(network, nn.Sequential):
        for layer in network:
            x = apply(layer, x)
        return x
    if isinstance(network, nn.Linear):
        return _linear(network, x)
    if isinstance(network, nn.Dropout):
        return x
    if isinstance(network, nn.BatchNorm1d) and network.running_mean is not None:
        return _batch_norm(network, x)
    if type(network) in ACTIVATIONS:
        return activate(network, x)
    raise CannotExportError(
        f"There is no way to write {type(network).__name__} to ONNX: the networks may "
        "be the package's, or made of torch.nn's Sequential, Linear, Dropout, "
        f"BatchNorm1d and {', '.join(sorted(cls.__name__ for cls in ACTIVATIONS))}."
    )


def apply_with_maps(
    encoder: nn.Module, decoder: nn.Module, x: Value
) -> tuple[Value, Value]:
    """Latents, and what a decoder gives that may see the encoder's maps."""
    if not isinstance(nonlinear_part(decoder), SkipDecoder):
        z = apply(encoder, x)
        return z, apply(decoder, z)
    if isinstance(encoder, Anchored) and isinstance(decoder, Anchored):
        bent_z, maps = _apply_images(
            encoder.network, x / to_array(encoder.input_spread)
        )
        z = _linear(encoder.linear, x) + bent_z
        seen = z / to_array(decoder.input_spread)
        output, _ = _apply_images(decoder.network, seen, maps)
        return z, _linear(decoder.linear, z) + output
    z, maps = _apply_images(encoder, x)
    return z, _apply_images(decoder, z, maps)[0]


def dense_with_jacobian(
    decoder: nn.Module, n_latents: int, z: Value
) -> tuple[Value, Value]:
    """An MLP's outputs (n, d), alone or beside a linear path, and Jacobians (n, k, d).

    The products of its layers' derivatives, as `_inference.tangents` has them.
    """
    graph = z.graph
    anchored = decoder if isinstance(decoder, Anchored) else None
    network = nonlinear_part(decoder)
    if not isinstance(network, MLP):
        raise CannotExportError(
            f"Refined inference is exported of the package's dense networks; got "
            f'{type(network).__name__}. Export with inference="encoder".'
        )
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    weights = [to_array(layer.weight).T.astype(graph.dtype) for layer in layers]
    if anchored is not None:
        weights[0] = weights[0] / to_array(anchored.input_spread)[:, None]
    activation = network[1] if len(network) > 1 else nn.Identity()
    h, tangents = z, None  # tangents: (n, k, h)
    for i, layer in enumerate(layers[:-1]):
        a = h.of("Gemm", weights[i], to_array(layer.bias))
        h, slopes = activate_with_slopes(activation, a)
        slopes = slopes.unsqueeze(1)  # (n, 1, h)
        into = weights[0][:n_latents] if tangents is None else tangents @ weights[i]
        tangents = slopes * into
    output = h.of("Gemm", weights[-1], to_array(layers[-1].bias))
    linear = np.zeros((n_latents, weights[-1].shape[1]), dtype=graph.dtype)
    if anchored is not None:
        linear = to_array(anchored.linear.weight).T.astype(graph.dtype)
        output = output + z @ linear + to_array(anchored.linear.bias)
    linear = linear[:n_latents]
    if tangents is None:
        jacobian = graph.zeros_like(output).unsqueeze(1) + (
            weights[0][:n_latents] + linear
        )
    else:
        jacobian = tangents @ weights[-1] + linear
    return output, jacobian


def _linear(layer: nn.Linear, x: Value) -> Value:
    product = x @ to_array(layer.weight).T
    bias: Tensor | None = layer.bias
    return product if bias is None else product + to_array(bias)


def _batch_norm(layer: nn.BatchNorm1d, x: Value) -> Value:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    scale = 1.0 / np.sqrt(to_array(layer.running_var).astype(float) + layer.eps)
    shift = -to_array(layer.running_mean) * scale
    if layer.affine:
        weight = to_array(layer.weight)
        scale, shift = scale * weight, shift * weight + to_array(layer.bias)
    return x * scale + shift


# Activations --------------------------------------------------------------------------


def _gelu(x: Value) -> Value:
    return x * _normal_share(x)


def _normal_share(x: Value) -> Value:
    """The standard normal distribution function."""
    return 0.5 * (1.0 + _error_function(x * np.sqrt(0.5)))


def _error_function(x: Value) -> Value:
    if x.graph.dtype == np.float32:
        return x.of("Erf")
    # 1 - exp(-x^2) erfcx(|x|)
    share = _scaled_error(x.of("Abs"))
    return x.of("Sign") * (1.0 - (-x.square()).of("Exp") * share)


def _scaled_error(size: Value) -> Value:
    """erfcx, exp(x^2) (1 - erf(x)), of what is not negative."""
    # It is smooth in t = (x - 2) / (x + 2).
    series = np.polynomial.Chebyshev.interpolate(
        lambda t: erfcx(2.0 * (1.0 + t) / np.maximum(1.0 - t, 1e-300)), _ERROR_TERMS
    ).coef
    t = (size - 2.0) / (size + 2.0)
    twice = 2.0 * t
    later, last = size.graph.zeros_like(size), size.graph.zeros_like(size)
    for coefficient in series[:0:-1]:
        later, last = twice * later - last + coefficient, later
    return t * later - last + series[0]


def log_normal_share(x: Value) -> Value:
    """Log of the standard normal distribution function, in double precision."""
    half_square = 0.5 * x.square()
    tail = 0.5 * _scaled_error(x.of("Abs") * np.sqrt(0.5))
    below = tail.of("Log") - half_square
    above = (1.0 - tail * (-half_square).of("Exp")).of("Log")
    return x.graph.where(x > 0.0, above, below)


# ONNX Runtime has LeakyRelu and Elu of single precision only.
ACTIVATIONS = {
    nn.Identity: lambda x, layer: x,
    nn.Sigmoid: lambda x, layer: _sigmoid(x),
    nn.Tanh: lambda x, layer: x.of("Tanh"),
    nn.ReLU: lambda x, layer: x.of("Relu"),
    nn.LeakyReLU: lambda x, layer: (
        x.of("Max", 0.0) + layer.negative_slope * x.of("Min", 0.0)
    ),
    nn.ELU: lambda x, layer: (
        x.of("Max", 0.0) + layer.alpha * (x.of("Min", 0.0).of("Exp") - 1.0)
    ),
    nn.GELU: lambda x, layer: _gelu(x),
    nn.SiLU: lambda x, layer: x * _sigmoid(x),
}


def _sigmoid(x: Value) -> Value:
    if x.graph.dtype == np.float32:
        return x.of("Sigmoid")
    # ONNX Runtime's own of double precision takes the exponential twice.
    return 1.0 / (1.0 + (-x).of("Exp"))


def activate(layer: nn.Module, x: Value) -> Value:
    if isinstance(layer, nn.GELU) and layer.approximate != "none":
        raise CannotExportError("GELU can be exported with approximate='none' only.")
    return ACTIVATIONS[type(layer)](x, layer)


def activate_with_slopes(layer: nn.Module, a: Value) -> tuple[Value, Value]:
    """An activation h = activate(a), and its derivatives there."""
    graph = a.graph
    if isinstance(layer, nn.GELU):
        share = _normal_share(a)
        density = (-0.5 * a.square()).of("Exp") * (1.0 / np.sqrt(2.0 * np.pi))
        return a * share, share + a * density
    if isinstance(layer, nn.SiLU):
        share = _sigmoid(a)
        h = a * share
        return h, share + h * (1.0 - share)
    h = activate(layer, a)
    if isinstance(layer, nn.Sigmoid):
        return h, h * (1.0 - h)
    if isinstance(layer, nn.Tanh):
        return h, 1.0 - h.square()
    if isinstance(layer, nn.ReLU):
        return h, graph.where(a > 0.0, 1.0, 0.0)
    if isinstance(layer, nn.LeakyReLU):
        return h, graph.where(a > 0.0, 1.0, layer.negative_slope)
    if isinstance(layer, nn.ELU):
        return h, graph.where(a > 0.0, 1.0, h + layer.alpha)
    return h, graph.zeros_like(a) + 1.0


# Images -------------------------------------------------------------------------------


def _apply_images(
    network: nn.Module, x: Value, maps: list[Value] | None = None
) -> tuple[Value, list[Value]]:
    """A convolutional network, with the maps that it has or sees."""
    graph = x.graph
    deeper, seen = list(maps or []), []
    starts = network.stage_starts if isinstance(network, SkipDecoder) else []
    ends = network.stage_ends if isinstance(network, SkipEncoder) else []
    assert isinstance(network, ConvolutionalNetwork)
    for i, layer in enumerate(network):
        if i in starts:
            x = graph.concat([x, deeper.pop()], axis=1)
        if isinstance(layer, _ToImages):
            x = x.reshape(-1, *layer.shape).transpose(0, 3, 1, 2)
        elif isinstance(layer, _ToRows):
            x = x.transpose(0, 2, 3, 1).reshape(-1, len(layer.bias))
            x = x + to_array(layer.bias)
        elif isinstance(layer, _Doubled):
            height, width = layer.size
            x = _convolve(layer.convolution, x)
            x = x.of("DepthToSpace", blocksize=2, mode="CRD")
            x = x.slice(0, height, axis=2).slice(0, width, axis=3)
        elif isinstance(layer, nn.Conv2d):
            x = _convolve(layer, x)
        elif isinstance(layer, nn.MaxPool2d):
            x = x.of("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        elif isinstance(layer, nn.Flatten):
            x = x.of("Flatten", axis=1)
        elif isinstance(layer, nn.Unflatten):
            x = x.reshape(-1, *layer.unflattened_size)
        else:
            x = apply(layer, x)
        if i in ends:
            seen.append(x)
    return x, seen


def _convolve(layer: nn.Conv2d, x: Value) -> Value:
    assert isinstance(layer.padding, tuple)
    weight = to_array(layer.weight.contiguous())  # (o, c, p, q)
    bias = np.zeros(len(weight)) if layer.bias is None else to_array(layer.bias)
    pads, strides = [*layer.padding] * 2, list(layer.stride)
    if x.graph.dtype == np.float32:
        arrays = [x.graph.constant(array) for array in (weight, bias.astype("f"))]
        return x.of("Conv", *arrays, strides=strides, pads=pads)
    # ONNX Runtime has convolutions of single precision: these are one product of the
    # pixels that a window takes, side by side.
    x = x.transpose(0, 2, 3, 1)  # (n, h, w, c)
    top, left, bottom, right = pads
    x = x.of("Pad", integers(0, top, left, 0, 0, bottom, right, 0))
    height, width = layer.kernel_size
    windows = [
        x.of(
            "Slice",
            integers(i, j),
            # The last window starts so many pixels before the end.
            integers(*(k + 1 - size or END for k, size in ((i, height), (j, width)))),
            integers(1, 2),
            integers(*strides),
        )
        for i in range(height)
        for j in range(width)
    ]
    together = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))
    output = x.graph.concat(windows, axis=3) @ together + bias
    return output.transpose(0, 3, 1, 2)
