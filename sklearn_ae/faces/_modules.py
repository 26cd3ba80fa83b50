"""The face-swapping network: one encoder for everybody, one decoder per identity.

The layers are those of the original program of 2017 ("faceswap"), with a width: 128 is
the original. The encoder halves the image until its maps have a side of about 4, two
dense layers mix all positions, and a first doubling ends what identities share. Each
decoder doubles its maps back to the image.

Rows hold values between 0 and 1 in the order height, width, channels. Shapes: n faces
of d = h * w * c values, k latents.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._networks.images import ImageShape
from ._augmentation import FaceAugmentation

SLOPE = 0.1  # of LeakyReLU below zero
# Where halving stops, and the largest side that the dense layers should have to mix.
SMALLEST_SIDE = 4
LARGEST_LAST_SIDE = 8


def n_halvings(shape: ImageShape) -> int:
    """How often the sides can be halved without a rest, down to about 4 pixels."""
    height, width, _ = shape
    n = 0
    while height % 2 == width % 2 == 0 and min(height, width) > SMALLEST_SIDE:
        height, width, n = height // 2, width // 2, n + 1
    return n


class _Upscale(nn.Sequential):
    """Twice the height and width: (n, a, h, w) -> (n, b, 2h, 2w)."""

    def __init__(self, n_inputs: int, n_outputs: int):
        super().__init__(
            nn.Conv2d(n_inputs, 4 * n_outputs, 3, padding=1, dtype=torch.float32),
            nn.LeakyReLU(SLOPE),
            nn.PixelShuffle(2),
        )


def _conv5(n_inputs: int, n_outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_inputs, n_outputs, 5, stride, padding=2, dtype=torch.float32)


class FaceEncoder(nn.Sequential):
    """Convolutions that halve the image, and a dense layer: (n, c, h, w) -> (n, k)."""

    def __init__(self, shape: ImageShape, channels: Sequence[int], n_components: int):
        height, width, n_inputs = shape
        layers: list[nn.Module] = []
        for n_maps in channels:
            layers += [_conv5(n_inputs, n_maps, stride=2), nn.LeakyReLU(SLOPE)]
            height, width, n_inputs = height // 2, width // 2, n_maps
        layers += [nn.Flatten()]
        layers += [nn.Linear(n_inputs * height * width, n_components).float()]
        super().__init__(*layers)


class FaceTrunk(nn.Sequential):
    """What all decoders share, from the latents to maps: (n, k) -> (n, b, h', w')."""

    def __init__(self, n_components: int, size: tuple[int, int], channels: list[int]):
        height, width = size
        layers: list[nn.Module] = [
            nn.Linear(n_components, channels[0] * height * width).float(),
            nn.Unflatten(1, (channels[0], height, width)),
        ]
        if len(channels) > 1:
            layers += [_Upscale(channels[0], channels[1])]
        super().__init__(*layers)


class FaceDecoder(nn.Sequential):
    """One identity's way from the shared maps to its face: (n, c, h, w) in (0, 1)."""

    def __init__(self, channels: Sequence[int], n_outputs: int):
        pairs = itertools.pairwise(channels)
        doublings = [_Upscale(n_inputs, n_maps) for n_inputs, n_maps in pairs]
        super().__init__(*doublings, _conv5(channels[-1], n_outputs), nn.Sigmoid())


class FaceNetwork(nn.Module):
    """The whole network, and the loss that training minimises.

    In training mode the encoder sees warped faces and the loss compares with the faces
    as they are, both moved alike; in evaluation mode nothing is changed.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels of a face.

    width : int
        Channels of the first maps of a face of 64 pixels; the others follow.

    n_components : int
        Number of latents.

    n_identities : int
        Number of decoders.

    augmentation : FaceAugmentation
        Moves, warps and recolours faces in training mode.

    ssim_weight : float
        Share of the structural dissimilarity in the loss.
    """

    def __init__(
        self,
        shape: ImageShape,
        width: int,
        n_components: int,
        n_identities: int,
        augmentation: FaceAugmentation,
        ssim_weight: float,
    ):
        super().__init__()
        self.shape = shape
        self.ssim_weight = ssim_weight
        self.augmentation = augmentation
        n = n_halvings(shape)
        # From the smallest maps to those as large as the face: 8w, 4w, 2w, w, w/2, and
        # for a face of 128 pixels w/2 once more.
        channels = [max(4, width // 2, 8 * width // 2**i) for i in range(n + 1)]
        self.encoder = FaceEncoder(shape, channels[:n][::-1], n_components)
        size = shape[0] // 2**n, shape[1] // 2**n
        self.trunk = FaceTrunk(n_components, size, channels[:2])
        self.decoders = nn.ModuleList(
            FaceDecoder(channels[1:] or channels, shape[2]) for _ in range(n_identities)
        )
        # Convolutions on a CPU are a quarter faster so, and rows lie like this anyway.
        _lay_channels_last(self)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.encoder.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def to_images(self, x: Tensor) -> Tensor:
        return x.unflatten(1, self.shape).permute(0, 3, 1, 2)  # (n, d) -> (n, c, h, w)

    def to_rows(self, images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1).flatten(1)  # (n, c, h, w) -> (n, d)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.to_images(x.to(self.dtype)))  # (n, d) -> (n, k)

    def decode(self, z: Tensor, identity: int) -> Tensor:
        shared = self.trunk(z.to(self.dtype))
        return self.to_rows(self.decoders[identity](shared))  # (n, k) -> (n, d)

    def forward(self, x: Tensor, identity: int) -> Tensor:
        return self.decode(self.encode(x), identity)  # (n, d) -> (n, d)

    def error(self, x: Tensor, identity: int) -> Tensor:
        """Mean absolute error of each face under its own decoder: (n,)."""
        return (self.forward(x, identity) - x).abs().mean(dim=1)

    def losses(
        self,
        parts: Sequence[tuple[int, Tensor]],
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mean loss of each part (p,), and how far the latents of parts are apart ().

        A part is an identity's number and its faces (n, d). The encoder takes all faces
        together, each decoder those of its identity.
        """
        x = torch.cat([faces for _, faces in parts])
        images = self.to_images(x.to(self.dtype))
        seen, clean = self.augmentation(images, generator)
        z = self.encoder(seen)  # (n, k)
        shared = self.trunk(z)
        counts = [len(faces) for _, faces in parts]
        of_parts = zip(parts, shared.split(counts), clean.split(counts), strict=True)
        losses = [
            self.image_loss(self.decoders[identity](maps), faces)
            for (identity, _), maps, faces in of_parts
        ]
        discrepancy = mean_discrepancy(z.to(clean.dtype).split(counts))
        return torch.stack(losses), discrepancy

    def image_loss(self, output: Tensor, clean: Tensor) -> Tensor:
        """Absolute error, with a share of structural dissimilarity where asked for.

        Structure is that of the brightness, as in Wang et al.: colours add a fifth to
        the time of a step and little else.
        """
        output = output.to(clean.dtype)
        loss = F.l1_loss(output, clean)
        if self.ssim_weight:
            similarity = structural_similarity(
                output.mean(dim=1, keepdim=True), clean.mean(dim=1, keepdim=True)
            )
            dissimilarity = 0.5 * (1.0 - similarity.mean())
            loss = (1.0 - self.ssim_weight) * loss + self.ssim_weight * dissimilarity
        return loss


def mean_discrepancy(parts: Sequence[Tensor]) -> Tensor:
    """Squared maximum mean discrepancy of samples (n_i, k), averaged over pairs.

    It is zero where the samples are of one distribution: the unbiased estimate of
    Gretton et al. (2012), of a sum of Gaussian kernels whose widths are a quarter of
    the mean squared distance to twice it, as Long et al. (2015) take it for networks.
    """
    z = torch.cat(list(parts))  # (n, k)
    if len(parts) < 2 or min(len(part) for part in parts) < 2:
        return z.new_zeros(())
    norms = z.square().sum(dim=1)
    distances = (norms[:, None] + norms[None] - 2.0 * z @ z.T).clamp(min=0.0)
    width = distances.detach().sum() / (len(z) * (len(z) - 1))
    width = width.clamp(min=torch.finfo(z.dtype).tiny)
    kernel = torch.stack(
        [torch.exp(-distances / (share * width)) for share in (0.25, 0.5, 1.0, 2.0)]
    ).mean(dim=0)  # (n, n)
    counts = [len(part) for part in parts]
    blocks = [row.split(counts, dim=1) for row in kernel.split(counts)]
    # A face's kernel with itself, which is 1, says nothing.
    within = [(blocks[i][i].sum() - n) / (n * (n - 1)) for i, n in enumerate(counts)]
    pairs = list(itertools.combinations(range(len(parts)), 2))
    total = sum(within[i] + within[j] - 2.0 * blocks[i][j].mean() for i, j in pairs)
    return total / len(pairs)


def _lay_channels_last(module: Any) -> None:
    module.to(memory_format=torch.channels_last)


def structural_similarity(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """SSIM of images (n, c, h, w) in [0, 1], at each place of a square window.

    As Wang et al. (2004) with a uniform window, which is what scikit-image's
    `structural_similarity` computes with ``use_sample_covariance=False``.
    """
    moments = torch.stack([a, b, a * a, b * b, a * b]).contiguous()
    for dim in (-2, -1):
        moments = _moving_mean(moments, dim, min(window, a.shape[dim]))
    mean_a, mean_b, square_a, square_b, product = moments
    var_a = square_a - mean_a * mean_a
    var_b = square_b - mean_b * mean_b
    covariance = product - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return ((2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)) / (
        (mean_a * mean_a + mean_b * mean_b + c1) * (var_a + var_b + c2)
    )


def _moving_mean(x: Tensor, dim: int, window: int) -> Tensor:
    """Mean over a window: sums of slices, five times as fast as pooling on a CPU."""
    n_places = x.shape[dim] - window + 1
    total = x.narrow(dim, 0, n_places)
    for start in range(1, window):
        total = total + x.narrow(dim, start, n_places)
    return total / window
