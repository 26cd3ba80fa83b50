"""The face-swapping network: one encoder for everybody, one decoder per identity.

The layers are those of the original program of 2017 ("faceswap"), with a width: 128 is
the original. The encoder halves the image until its maps have a side of about 4, two
dense layers mix all positions, and a first doubling ends what identities share. Each
decoder doubles its maps back to the image.

Rows hold values between 0 and 1 in the order height, width, channels. Shapes: n faces
of d = h * w * c values, k latents.
"""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._networks.images import ImageShape
from ._augmentation import FaceAugmentation
from ._critic import SMALLEST_SEEN, FaceCritic
from ._eigenfaces import (
    LARGEST_GRAM,
    EigenfaceDecoder,
    EigenfaceEncoder,
    slope_of_all,
)
from ._restoration import amplitudes, equalize

SLOPE = 0.1  # of LeakyReLU below zero
# Where halving stops, and the largest side that the dense layers should have to mix.
SMALLEST_SIDE = 4
LARGEST_LAST_SIDE = 8
MOST_COPIES = 30  # of a face, moved, for the eigenfaces, where few are there


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
            _conv3(n_inputs, 4 * n_outputs),
            nn.LeakyReLU(SLOPE),
            nn.PixelShuffle(2),
        )


def _conv3(n_inputs: int, n_outputs: int) -> nn.Conv2d:
    return nn.Conv2d(n_inputs, n_outputs, 3, padding=1, dtype=torch.float32)


def _conv5(n_inputs: int, n_outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_inputs, n_outputs, 5, stride, padding=2, dtype=torch.float32)


class _BesideEigenfaces(nn.Sequential):
    """Layers one after the other, and beside them ``linear``, where it is there."""

    @property
    def has_linear(self) -> bool:
        return hasattr(self, "linear")

    def through_layers(self, x: Tensor) -> Tensor:
        for layer in self:
            if not isinstance(layer, EigenfaceEncoder | EigenfaceDecoder):
                x = layer(x)
        return x


class FaceEncoder(_BesideEigenfaces):
    """Convolutions that halve the image, and a dense layer: (n, c, h, w) -> (n, k)."""

    def __init__(
        self,
        shape: ImageShape,
        channels: Sequence[int],
        n_components: int,
        n_eigenfaces: int,
    ):
        height, width, n_inputs = shape
        layers: list[nn.Module] = []
        for n_maps in channels:
            layers += [_conv5(n_inputs, n_maps, stride=2), nn.LeakyReLU(SLOPE)]
            height, width, n_inputs = height // 2, width // 2, n_maps
        layers += [nn.Flatten()]
        layers += [nn.Linear(n_inputs * height * width, n_components).float()]
        super().__init__(*layers)
        if n_eigenfaces:
            self.linear = EigenfaceEncoder(shape, n_eigenfaces, n_components)

    def forward(self, x: Tensor) -> Tensor:
        z = self.through_layers(x)
        return z + self.linear(x) if self.has_linear else z


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


def _middle(x: Tensor, of: Tensor) -> Tensor:
    """The middle of pictures (..., h, w), of the size of others."""
    for dim in (-2, -1):
        size = of.shape[dim]
        x = x.narrow(dim, (x.shape[dim] - size) // 2, size)
    return x


class _Residual(nn.Module):
    """Maps plus what two convolutions find in them: (n, c, h, w), as before."""

    def __init__(self, n_maps: int):
        super().__init__()
        self.first = _conv3(n_maps, n_maps)
        self.second = _conv3(n_maps, n_maps)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.leaky_relu(self.first(x), SLOPE)
        return F.leaky_relu(x + self.second(inner), SLOPE)


class FaceDecoder(_BesideEigenfaces):
    """One identity's way from the shared maps to its face: (n, c, h, w) in (0, 1).

    Without residual blocks it is the original program's. With them, as many after each
    doubling, the last doubling makes the face: maps as large as it are what takes time.
    """

    def __init__(
        self,
        channels: Sequence[int],
        shape: ImageShape,
        n_blocks: int,
        n_components: int,
        n_eigenfaces: int,
    ):
        n_outputs = shape[2]
        layers: list[nn.Module] = []
        n_doublings = len(channels) - 1
        for i, (n_inputs, n_maps) in enumerate(itertools.pairwise(channels)):
            if n_blocks and i == n_doublings - 1:
                layers += [_conv3(n_inputs, 4 * n_outputs), nn.PixelShuffle(2)]
            else:
                layers += [_Upscale(n_inputs, n_maps)]
                if i < n_doublings - 2:
                    layers += [_Residual(n_maps) for _ in range(n_blocks)]
        if not n_blocks or not n_doublings:
            layers += [_conv5(channels[-1], n_outputs)]
        if not n_eigenfaces:
            layers += [nn.Sigmoid()]
        super().__init__(*layers)
        if n_eigenfaces:
            self.linear = EigenfaceDecoder(shape, n_eigenfaces, n_components)

    def forward(self, maps: Tensor, z: Tensor) -> Tensor:  # type: ignore[override]
        face = self.through_layers(maps)
        if not self.has_linear:
            return face
        face = face + self.linear(z)
        # In training, gradients lead back what is over the bounds.
        return face if self.training else face.clamp(0.0, 1.0)


@dataclass
class Made:
    """What a batch became, by its parts."""

    clean: list[Tensor]  # faces (n, c, h, w), as outputs are to be
    latents: list[Tensor]  # (n, k)
    shared: list[Tensor]  # maps that any decoder takes
    outputs: list[Tensor]  # (n, c, h, w), of each part's own decoder


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

    # As modules of tables have it: no part of it is the user's.
    is_own, corruption = True, None
    epoch = 0

    def __init__(
        self,
        shape: ImageShape,
        width: int,
        n_components: int,
        n_identities: int,
        augmentation: FaceAugmentation,
        ssim_weight: float,
        n_blocks: int = 0,
        gradient_weight: float = 0.0,
        focus: float = 0.0,
        has_critic: bool = False,
        n_eigenfaces: int = 0,
    ):
        super().__init__()
        self.shape = shape
        self.ssim_weight = ssim_weight
        self.gradient_weight = gradient_weight
        self.focus = focus
        self.augmentation = augmentation
        n = n_halvings(shape)
        # From the smallest maps to those as large as the face: 8w, 4w, 2w, w, w/2, and
        # for a face of 128 pixels w/2 once more. With residual blocks it is w for
        # half the face's side, and twice as many for half of that, up to 8w.
        channels = [max(4, width // 2, 8 * width // 2**i) for i in range(n + 1)]
        self.encoder = FaceEncoder(
            shape, channels[:n][::-1], n_components, n_eigenfaces
        )
        if n_blocks:
            channels = [min(8, 2 ** max(0, n - 1 - i)) * width for i in range(n + 1)]
        size = shape[0] // 2**n, shape[1] // 2**n
        self.trunk = FaceTrunk(n_components, size, channels[:2])
        self.decoders = nn.ModuleList(
            FaceDecoder(
                channels[1:] or channels, shape, n_blocks, n_components, n_eigenfaces
            )
            for _ in range(n_identities)
        )
        self.critic = (
            FaceCritic(shape[2], n_identities)
            if has_critic and min(shape[:2]) >= SMALLEST_SEEN
            else None
        )
        if n_blocks:
            _start_alike(self)
        if n_eigenfaces:
            _start_from_nothing(self)
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
        z = z.to(self.dtype)
        face = self.decoders[identity](self.trunk(z), z)
        return self.to_rows(face)  # (n, k) -> (n, d)

    def forward(self, x: Tensor, identity: int) -> Tensor:
        return self.decode(self.encode(x), identity)  # (n, d) -> (n, d)

    def swap(self, x: Tensor, identity: int) -> Tensor:
        """As `forward`, with as much detail as faces of the identity have."""
        rows = self.forward(x, identity)
        if not self.has_eigenfaces or not self.eigenfaces(identity).has_spectrum:
            return rows
        images = self.to_images(rows)
        wanted = self.eigenfaces(identity).spectrum
        return self.to_rows(equalize(images, wanted, self.inside(images)))

    def error(self, x: Tensor, identity: int) -> Tensor:
        """Mean absolute error of each face under its own decoder: (n,)."""
        return (self.forward(x, identity) - x).abs().mean(dim=1)

    def seen_and_made(
        self,
        parts: Sequence[tuple[int, Tensor]],
        generator: torch.Generator | None = None,
    ) -> "Made":
        """What the network makes of parts: an identity's number and its faces (n, d).

        The encoder takes all faces together, each decoder those of its identity.
        """
        x = torch.cat([faces for _, faces in parts])
        images = self.to_images(x.to(self.dtype))
        seen, clean = self.augmentation(images, generator)
        z = self.encoder(seen)  # (n, k)
        counts = [len(faces) for _, faces in parts]
        shared = self.trunk(z).split(counts)
        latents = list(z.to(clean.dtype).split(counts))
        outputs = [
            self.decoders[identity](maps, of_part)
            for (identity, _), maps, of_part in zip(parts, shared, latents, strict=True)
        ]
        clean_parts = list(clean.split(counts))
        return Made(clean_parts, latents, list(shared), outputs)

    def losses(
        self,
        parts: Sequence[tuple[int, Tensor]],
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mean loss of each part (p,), and how far parts' latents are apart ()."""
        return self.losses_of(self.seen_and_made(parts, generator))

    def losses_of(self, made: "Made") -> tuple[Tensor, Tensor]:
        """As `losses`, of what was made."""
        pairs = zip(made.outputs, made.clean, strict=True)
        losses = [self.image_loss(output, faces) for output, faces in pairs]
        latents = made.latents
        if self.has_eigenfaces:
            # Their start knows who is seen: means that differ are of moods and light.
            latents = [z - z.mean(dim=0) for z in latents]
        return torch.stack(losses), mean_discrepancy(latents)

    def swapped(
        self, made: "Made", parts: Sequence[tuple[int, Tensor]]
    ) -> list[Tensor]:
        """Faces of each part made of those of the next, half as many as it has."""
        identities = [identity for identity, _ in parts]
        others = [*made.shared[1:], made.shared[0]]
        latents = [*made.latents[1:], made.latents[0]]
        halves = [slice(max(1, len(maps) // 2)) for maps in others]
        return [
            self.decoders[identity](maps[half], z[half])
            for identity, maps, z, half in zip(
                identities, others, latents, halves, strict=True
            )
        ]

    @property
    def has_eigenfaces(self) -> bool:
        return self.encoder.has_linear

    def eigenfaces(self, identity: int) -> EigenfaceDecoder:
        """The linear part of an identity's decoder, where there is one."""
        part = self.decoders[identity].linear
        assert isinstance(part, EigenfaceDecoder)
        return part

    @torch.no_grad()
    def start(
        self, faces: dict[int, Tensor], generator: torch.Generator | None = None
    ) -> None:
        """Compute the eigenfaces that are not known yet, of training faces (n, d).

        Those may lie anywhere, and be whole numbers.

        Faces are moved besides, as they are at the end of the training: of the few
        directions in which a person's pictures differ more become known.
        """
        if not self.has_eigenfaces:
            return
        for identity, x in faces.items():
            part = self.eigenfaces(identity)
            if not part.has_spectrum:
                images = self._as_images(x)
                found = amplitudes(images, self.inside(images))
                part.spectrum.copy_(found.mean(dim=0))
        encoder = self.encoder.linear
        new = [i for i in faces if not self.eigenfaces(i).is_known]
        if not new and encoder.is_known:
            return
        changes = copy.deepcopy(self.augmentation).train()
        changes.warp_share = 0.0
        rows = {}  # (n, d) of each identity, with those moved
        for identity, x in faces.items():
            images = self._as_images(x)
            # As many of everybody, whose pictures are few most of all.
            n_copies = round(LARGEST_GRAM / len(faces) / len(x)) - 1
            n_copies = min(MOST_COPIES, max(0, n_copies))
            copies = [changes(images, generator)[1] for _ in range(n_copies)]
            rows[identity] = torch.cat([images, *copies]).flatten(1)
        if not encoder.is_known:
            weights = self.weights(images).expand_as(images[:1]).flatten()
            encoder.start([*rows.values()], weights)
        latents = {identity: encoder(x) for identity, x in rows.items()}
        parts = map(self.eigenfaces, range(len(self.decoders)))
        known = [part.slope for part in parts if part.is_known]
        of_all = (
            torch.stack(known).mean(dim=0)
            if known
            else slope_of_all([*rows.values()], [*latents.values()])
        )
        for identity in new:
            x, z = rows[identity], latents[identity]
            self.eigenfaces(identity).start(x, z, of_all, len(faces[identity]))

    def _as_images(self, x: Tensor) -> Tensor:
        """Training faces (n, d), wherever they are, as the network takes them."""
        rows = to_unit_interval(x).to(self.device, self.dtype)
        return self.to_images(rows).contiguous()

    def image_loss(self, output: Tensor, clean: Tensor) -> Tensor:
        """Absolute error, with a share of structural dissimilarity where asked for.

        Structure is that of the brightness, as in Wang et al.: colours add a fifth to
        the time of a step and little else.
        """
        output = output.to(clean.dtype)
        weights = self.weights(clean)
        loss = ((output - clean).abs() * weights).mean()
        if self.ssim_weight:
            similarity = structural_similarity(
                output.mean(dim=1, keepdim=True), clean.mean(dim=1, keepdim=True)
            )
            inner = _middle(weights, similarity)
            inner = inner / inner.mean()
            dissimilarity = 0.5 * (1.0 - (similarity * inner).mean())
            loss = (1.0 - self.ssim_weight) * loss + self.ssim_weight * dissimilarity
        if self.gradient_weight:
            error = output - clean
            for dim in (-2, -1):
                n_steps = weights.shape[dim] - 1
                if n_steps:
                    steps = error.diff(dim=dim).abs() * weights.narrow(dim, 1, n_steps)
                    loss = loss + self.gradient_weight * steps.mean()
        return loss

    def weights(self, x: Tensor) -> Tensor:
        """What errors count (1, 1, h, w): more in the face than around it."""
        weights = 1.0 - self.focus + self.focus * self.inside(x)
        return (weights / weights.mean())[None, None].to(x.dtype)

    @staticmethod
    def inside(x: Tensor) -> Tensor:
        """How much of the face is where (h, w): 1 in its middle, 0 outside."""
        height, width = x.shape[-2:]
        y = (torch.arange(height, device=x.device) + 0.5) / height - 0.5
        z = (torch.arange(width, device=x.device) + 0.5) / width - 0.5
        radius = torch.hypot(y[:, None] / 0.48, z / 0.44)
        return ((1.0 - radius) / 0.38).clamp(0.0, 1.0)


def to_unit_interval(x: Tensor) -> Tensor:
    """Faces as the network takes them: whole numbers count to 255."""
    return x.float() / 255.0 if x.dtype == torch.uint8 else x


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


def _start_alike(network: FaceNetwork) -> None:
    """Let each layer give on as much variance as it gets (He et al., ICCV 2015).

    By torch's own start a face is lost in the biases of a dozen layers at first, and a
    short training is over before they tell one from another. Residual blocks start as
    no change, and faces as grey.
    """
    parts = (network.encoder, network.trunk, network.decoders)
    for layer in itertools.chain.from_iterable(part.modules() for part in parts):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in network.decoders.modules():
        if isinstance(layer, _Residual):
            nn.init.zeros_(layer.second.weight)
    for decoder in network.decoders:
        with torch.no_grad():
            _last(decoder, nn.Conv2d).weight.mul_(0.1)


def _start_from_nothing(network: FaceNetwork) -> None:
    """Let convolutions add nothing yet to what eigenfaces show."""
    last = [_last(decoder, nn.Conv2d) for decoder in network.decoders]
    for layer in [_last(network.encoder, nn.Linear), *last]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


def _last(part: Any, kind: type[nn.Module]) -> Any:
    """The last layer of its kind; what is within another is no layer of the part's."""
    return [layer for layer in part if isinstance(layer, kind)][-1]


def _lay_channels_last(module: Any) -> None:
    module.to(memory_format=torch.channels_last)


def structural_similarity(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """SSIM of images (n, c, h, w) in [0, 1], at each place of a square window.

    As Wang et al. (2004) with a uniform window, which is what scikit-image's
    `structural_similarity` computes with ``use_sample_covariance=False``.
    """
    height, width = a.shape[-2:]
    moments = torch.stack([a, b, a * a, b * b, a * b])
    down, across = _moving_mean(height, window, a), _moving_mean(width, window, a)
    # Variances are small differences, which lower precision would lose.
    with torch.autocast(a.device.type, enabled=False):
        moments = down.T @ (moments @ across)
    mean_a, mean_b, square_a, square_b, product = moments
    var_a = square_a - mean_a * mean_a
    var_b = square_b - mean_b * mean_b
    covariance = product - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return ((2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)) / (
        (mean_a * mean_a + mean_b * mean_b + c1) * (var_a + var_b + c2)
    )


def _moving_mean(size: int, window: int, like: Tensor) -> Tensor:
    """The matrix (size, places) that takes means over a window at each of its places.

    On a CPU products with it take half the time of sums of slices, which are five times
    as fast as pooling.
    """
    window = min(window, size)
    rows = torch.arange(size, device=like.device)[:, None]
    offset = rows - torch.arange(size - window + 1, device=like.device)
    return ((offset >= 0) & (offset < window)).to(like.dtype) / window
