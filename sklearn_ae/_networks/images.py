"""Convolutional encoder and decoder for rows that are flattened images.

A row holds an image of shape (height, width, channels), its last axis fastest. The
encoder halves height and width at every stage, the decoder doubles them back and cuts
off what is too much: any size will do. A decoder of images of the same size may see
the encoder's maps too. Shapes: n images, d = h * w * c values, k latents.
"""

import itertools
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

ImageShape = tuple[int, int, int]  # height, width, channels

# Widths of the dense layers between the smallest maps and the latents. Without them,
# few latents cannot bend the decoder's maps enough, and one does less than two.
DENSE_WIDTHS = (256, 256)
# Where the maps themselves go to the decoder, the latents have little left to say.
DENSE_WIDTH_BESIDE_SKIPS = 256

MakeActivation = Callable[[], nn.Module]


def check_image_shape(image_shape: Any, name: str = "image_shape") -> ImageShape:
    """Height, width and channels, which are 1 where they are not given."""
    try:
        sizes = tuple(image_shape)
    except TypeError:
        sizes = ()
    are_sizes = all(isinstance(size, Integral) and int(size) >= 1 for size in sizes)
    if len(sizes) not in (2, 3) or not are_sizes:
        raise ValueError(
            f"{name} must be (height, width) or (height, width, channels), "
            f"integers of at least 1, or None; got {image_shape!r}."
        )
    height, width, n_channels = (int(size) for size in (*sizes, 1)[:3])
    return height, width, n_channels


class _ToImages(nn.Module):
    """Rows (n, d) to images (n, c, h, w), as torch's convolutions take them."""

    def __init__(self, shape: ImageShape):
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, self.shape).permute(0, 3, 1, 2)


class _ToRows(nn.Module):
    """Images (n, c, h, w) to rows (n, d), with a bias for each value of a row."""

    def __init__(self, n_values: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_values, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1) + self.bias


class _Doubled(nn.Module):
    """Maps of twice the height and width, up to the size wanted.

    A convolution gives four values for each position, which are laid out two by two:
    the same as a transposed convolution can do, but it learns faster.
    """

    def __init__(
        self, n_inputs: int, n_outputs: int, size: tuple[int, int], bias: bool
    ):
        super().__init__()
        self.size = size
        self.convolution = _convolution(n_inputs, 4 * n_outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.size
        doubled = nn.functional.pixel_shuffle(self.convolution(x), 2)
        return doubled[:, :, :height, :width]


def _convolution(
    n_inputs: int, n_outputs: int, stride: int = 1, bias: bool = True
) -> nn.Conv2d:
    convolution = nn.Conv2d(
        *(n_inputs, n_outputs, 3, stride, 1), bias=bias, dtype=torch.float32
    )
    # As the values of a row are: a tenth faster.
    weight = convolution.weight
    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return convolution


def _dense(n_inputs: int, n_outputs: int) -> nn.Linear:
    return nn.Linear(n_inputs, n_outputs, dtype=torch.float32)


def _dense_layers(
    widths: Sequence[int], make_activation: MakeActivation
) -> list[nn.Module]:
    """Layers from one width to the next, each with an activation behind it."""
    return [
        layer
        for n_inputs, n_outputs in itertools.pairwise(widths)
        for layer in (_dense(n_inputs, n_outputs), make_activation())
    ]


class ConvolutionalNetwork(nn.Sequential):
    """Common part of encoder and decoder: the sizes of the maps between them.

    The layer at the latents, the encoder's last and the decoder's first, is linear.
    The last two parameters are those of the output: all zero, so is the output.
    """

    # Numbers that the widest maps hold per row, and multiplications of a layer.
    row_size: int
    largest_layer: int

    def __init__(self, shape: ImageShape, channels: Sequence[int], layers: Sequence):
        super().__init__(*layers)
        self._set_sizes(shape, channels)

    def _set_sizes(self, shape: ImageShape, channels: Sequence[int]) -> None:
        widths = [shape[2], *channels]
        areas = [height * width for height, width in map_sizes(shape, len(channels))]
        stages = list(zip(widths, channels, areas[1:], strict=False))
        # A stage of the decoder makes four maps of each that it is to give.
        self.row_size = max(area * max(4 * n, m) for n, m, area in stages)
        self.largest_layer = max(area * 4 * n * m * 3 * 3 for n, m, area in stages)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (..., n_inputs) -> (n, n_inputs)
        return super().forward(rows).view(*x.shape[:-1], -1)


class ConvolutionalEncoder(ConvolutionalNetwork):
    """Convolutions that each halve the image, then dense layers: (n, d) -> (n, k).

    ``channels`` are those of the stages, first to last, and at least one.
    """

    def __init__(
        self,
        shape: ImageShape,
        channels: Sequence[int],
        n_outputs: int,
        make_activation: MakeActivation,
    ):
        layers: list[nn.Module] = [_ToImages(shape)]
        for n_inputs, n_maps in itertools.pairwise([shape[2], *channels]):
            layers += [_convolution(n_inputs, n_maps, stride=2), make_activation()]
        height, width = map_sizes(shape, len(channels))[-1]
        widths = [channels[-1] * height * width, *DENSE_WIDTHS]
        layers += [nn.Flatten(), *_dense_layers(widths, make_activation)]
        layers += [_dense(DENSE_WIDTHS[-1], n_outputs)]
        super().__init__(shape, channels, layers)


class ConvolutionalDecoder(ConvolutionalNetwork):
    """The encoder mirrored: (n, k) -> (n, d).

    ``channels`` are those of the encoder, in the encoder's order.
    """

    def __init__(
        self,
        shape: ImageShape,
        channels: Sequence[int],
        n_inputs: int,
        make_activation: MakeActivation,
    ):
        sizes = map_sizes(shape, len(channels))
        height, width = sizes[-1]
        n_values = channels[-1] * height * width
        dense_widths = [n_inputs, *reversed(DENSE_WIDTHS), n_values]
        layers: list[nn.Module] = [
            *_dense_layers(dense_widths, make_activation),
            nn.Unflatten(1, (channels[-1], height, width)),
        ]
        widths = [shape[2], *channels]
        for i in range(len(channels) - 1, 0, -1):
            layers += [
                _Doubled(widths[i + 1], widths[i], sizes[i], bias=True),
                make_activation(),
            ]
        layers += [_Doubled(widths[1], widths[0], sizes[0], bias=False)]
        layers += [_ToRows(shape[0] * shape[1] * shape[2])]
        super().__init__(shape, channels, layers)


class SkipEncoder(ConvolutionalNetwork):
    """The way down of a U-Net, to latents at its lowest point: (n, d) -> (n, k).

    The first stage of maps is as large as the image, each further one half as large.
    """

    def __init__(
        self,
        shape: ImageShape,
        channels: Sequence[int],
        n_outputs: int,
        make_activation: MakeActivation,
    ):
        layers: list[nn.Module] = [_ToImages(shape)]
        self.stage_ends: list[int] = []
        for n_inputs, n_maps in itertools.pairwise([shape[2], *channels]):
            if len(layers) > 1:
                layers += [nn.MaxPool2d(2, ceil_mode=True)]
            layers += [_convolution(n_inputs, n_maps), make_activation()]
            layers += [_convolution(n_maps, n_maps), make_activation()]
            self.stage_ends.append(len(layers) - 1)
        height, width = map_sizes(shape, len(channels) - 1)[-1]
        widths = [channels[-1] * height * width, DENSE_WIDTH_BESIDE_SKIPS]
        layers += [nn.Flatten(), *_dense_layers(widths, make_activation)]
        layers += [_dense(DENSE_WIDTH_BESIDE_SKIPS, n_outputs)]
        super().__init__(shape, channels, layers)

    def _set_sizes(self, shape: ImageShape, channels: Sequence[int]) -> None:
        self.row_size, self.largest_layer = _sizes_with_skips(shape, channels)

    def forward(self, x: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """Encode rows, and add the maps of each stage to a list given."""
        for i, layer in enumerate(self):
            x = layer(x)
            if maps is not None and i in self.stage_ends:
                maps.append(x)
        return x


class SkipDecoder(ConvolutionalNetwork):
    """The way up of a U-Net, from latents and the encoder's maps: (n, k) -> (n, d).

    The latents say what the image is as a whole, the maps where its edges are.
    O. Ronneberger, P. Fischer and T. Brox, "U-Net", MICCAI 2015, has no latents.
    """

    def __init__(
        self,
        shape: ImageShape,
        channels: Sequence[int],
        n_inputs: int,
        make_activation: MakeActivation,
    ):
        sizes = map_sizes(shape, len(channels) - 1)
        height, width = sizes[-1]
        n_values = channels[-1] * height * width
        dense_widths = [n_inputs, DENSE_WIDTH_BESIDE_SKIPS, n_values]
        layers: list[nn.Module] = [
            *_dense_layers(dense_widths, make_activation),
            nn.Unflatten(1, (channels[-1], height, width)),
        ]
        self.stage_starts: list[int] = []
        for i in range(len(channels) - 1, -1, -1):
            n_maps = channels[i]
            if i < len(channels) - 1:
                layers += [_Doubled(channels[i + 1], n_maps, sizes[i], bias=True)]
            self.stage_starts.append(len(layers))
            layers += [_convolution(2 * n_maps, n_maps), make_activation()]
            layers += [_convolution(n_maps, n_maps), make_activation()]
        layers += [_convolution(channels[0], shape[2], bias=False)]
        layers += [_ToRows(shape[0] * shape[1] * shape[2])]
        super().__init__(shape, channels, layers)

    def _set_sizes(self, shape: ImageShape, channels: Sequence[int]) -> None:
        self.row_size, self.largest_layer = _sizes_with_skips(shape, channels)

    def forward(self, z: Tensor, maps: Sequence[Tensor] = ()) -> Tensor:
        """Decode latents, with the maps of the encoder's stages, finest first."""
        x, deeper = z, list(maps)
        for i, layer in enumerate(self):
            if i in self.stage_starts:
                x = torch.cat([x, deeper.pop()], dim=1)
            x = layer(x)
        return x


def _sizes_with_skips(shape: ImageShape, channels: Sequence[int]) -> tuple[int, int]:
    """Numbers that the widest maps hold per row, multiplications of a layer."""
    areas = [height * width for height, width in map_sizes(shape, len(channels) - 1)]
    n_first = max(shape[2], 2 * channels[0])
    numbers, products = [areas[0] * n_first], [areas[0] * n_first * channels[0]]
    for area, n_maps in zip(areas, channels, strict=True):
        numbers += [area * 2 * n_maps]
        products += [area * 2 * n_maps * n_maps]
    for area, (n_maps, n_below) in zip(
        areas[1:], itertools.pairwise(channels), strict=True
    ):
        numbers += [area * 4 * n_maps]  # a doubling makes four maps of each
        products += [area * 4 * n_maps * n_below]
    return max(numbers), 3 * 3 * max(products)


def map_sizes(shape: ImageShape, n_stages: int) -> list[tuple[int, int]]:
    """Height and width of the image, and of the maps after each stage."""
    height, width, _ = shape
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(n_stages + 1)]
