"""Eigenfaces: the linear part of the face network, and its start in closed form.

Faces that are cut out by their landmarks have eyes and mouth at the same places, and
differ by little more than a few hundred directions (Turk and Pentland, "Eigenfaces for
recognition", 1991). The encoder sees a face's scores on those in which all faces
differ; each decoder adds up those that it can show of its person. They come from
the training faces, and training leaves them as they are: it learns the small matrices
between scores and latents, which start as the solution of least squares. So a network
shows sharp faces before its first step, and its convolutions learn what is left.

People are learned together, as in multi-task regression: what the pictures of all say
of light, pose and an open mouth, which are coarse, is where the regression of each
starts, and what is fine is a person's own.

Shapes: n faces of d = c * h * w values, m eigenfaces, k latents.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .._networks.images import ImageShape
from ._restoration import coarse_part, n_rings

# Rows that eigenfaces are computed of: their Gram matrix is decomposed.
LARGEST_GRAM = 2560
_TINY = 1e-6  # of the largest variance, or of one: what is less is rounding
# Ridge of the regression of a person's faces on latents, as a share of the latents'
# mean square, times the number of the person's pictures.
_RIDGE = 3.0
# The same of the regression of everybody's faces.
_RIDGE_OF_ALL = 0.01
# How much people differ along a direction because of who they are, in shares of all the
# variance of one person's faces. Where these vary much more, people were only
# photographed in other moods and lights.
_WHO = 0.006


class _Eigenfaces(nn.Module):
    """A mean face (d,), eigenfaces (d, m), and a matrix between scores and latents."""

    mean: Tensor
    axes: Tensor

    def __init__(self, shape: ImageShape, n_axes: int, linear: nn.Linear):
        super().__init__()
        height, width, n_channels = shape
        self.picture = n_channels, height, width
        n_values = n_channels * height * width
        self.register_buffer("mean", torch.zeros(n_values))
        self.register_buffer("axes", torch.zeros(n_values, n_axes))
        self.linear = linear
        for parameter in linear.float().parameters():
            nn.init.zeros_(parameter)

    @property
    def is_known(self) -> bool:
        return bool(self.axes.any())

    def forget(self) -> None:
        """Be as before the start."""
        self.axes.zero_()

    @property
    def gain(self) -> float:
        """What eigenfaces are multiplied by, and the weights beside them divided by.

        Adam changes each weight by as much, and hundreds of them add up: without it the
        first steps would undo the start.
        """
        return float(self.linear.in_features**-0.5)

    def set(self, mean: Tensor, axes: Tensor, weight: Tensor) -> None:
        """Take eigenfaces (d, m') and the weight between them and latents.

        They are most of a file, which takes half as much for numbers of half precision;
        faces are others by a tenth of a grey level at most. Of faces that hardly differ
        scores are larger than such numbers can be.
        """
        self.mean.copy_(mean)
        self.axes.zero_()
        axes = self.gain * axes
        halves = axes.half()
        self.axes[:, : axes.shape[1]] = halves if halves.isfinite().all() else axes
        self.linear.weight.zero_()
        height, width = weight.shape
        self.linear.weight[:height, :width] = weight / self.gain


class EigenfaceEncoder(_Eigenfaces):
    """Latents by the scores on everybody's eigenfaces: (n, c, h, w) -> (n, k)."""

    def __init__(self, shape: ImageShape, n_axes: int, n_components: int):
        super().__init__(shape, n_axes, nn.Linear(n_axes, n_components, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        # Lower precision would be seen: hundreds of scores add up.
        with torch.autocast(x.device.type, enabled=False):
            latents: Tensor = self.linear((x.flatten(1) - self.mean) @ self.axes)
        return latents

    @torch.no_grad()
    def start(self, faces: list[Tensor], weights: Tensor) -> None:
        """Directions in which faces (n_i, d) of each identity differ from its mean.

        Those from one mean to another that say who is seen are taken out: what is
        left says what decoders of all people understand. Of a difference between means
        the part that may as well be one of moods or light is left: somebody who is
        earnest is not to laugh as somebody who always does. Weights (d,) are of pixels.
        """
        means = torch.stack([x.mean(dim=0) for x in faces])
        scale = weights.sqrt()
        centred = torch.cat(faces)  # hundreds of megabytes, of which one copy does
        for x, mean in zip(centred.split([len(x) for x in faces]), means, strict=True):
            x.sub_(mean).mul_(scale)
        axes, stds = principal_axes(centred, self.axes.shape[1])
        del centred
        if len(faces) > 1:
            between = (means - means.mean(dim=0)) * scale
            power = stds.square()
            moods = power / (power + _WHO * power.sum()).clamp(min=1e-12)
            between = between - ((between @ axes) * moods) @ axes.T
            who, _ = principal_axes(between, len(faces) - 1)
            axes = axes - who @ (who.T @ axes)
            axes = torch.where(axes.square().sum(dim=0) > _TINY, axes, 0.0)
        # Half way to equal variances: what counts most stays in front.
        size = (stds * stds.mean()).sqrt()
        axes = torch.where(size > 0, axes / size.clamp(min=1e-12), 0.0)
        identity = torch.eye(self.linear.out_features, axes.shape[1])
        self.set(means.mean(dim=0), axes * scale[:, None], identity.to(axes.device))


class EigenfaceDecoder(_Eigenfaces):
    """A sum of one person's eigenfaces by latents: (n, k) -> (n, c, h, w).

    It knows how much detail the person's faces have besides: their spectrum (r,).
    """

    spectrum: Tensor

    def __init__(self, shape: ImageShape, n_axes: int, n_components: int):
        super().__init__(shape, n_axes, nn.Linear(n_components, n_axes))
        self.begin_spectrum()

    def begin_spectrum(self) -> None:
        """Have a spectrum that is not known yet."""
        self.register_buffer("spectrum", torch.zeros(n_rings(*self.picture[1:])))

    @property
    def has_spectrum(self) -> bool:
        return bool(self.spectrum.any())

    def forget(self) -> None:
        super().forget()
        self.spectrum.zero_()

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            rows = self.mean + self.linear(z.to(self.axes.dtype)) @ self.axes.T
        return rows.unflatten(1, self.picture)

    @property
    def slope(self) -> Tensor:
        """How faces change with latents: (d, k)."""
        return self.axes @ self.linear.weight

    @torch.no_grad()
    def start(
        self, faces: Tensor, latents: Tensor, of_all: Tensor, n_pictures: int
    ) -> None:
        """Ridge regression of a person's faces (n, d) on latents, and its directions.

        The fewer pictures there are, the nearer its slope is to the coarse part of
        that of all people (d, k).
        """
        mean, middle = faces.mean(dim=0), latents.mean(dim=0)
        # Detail that goes with a latent would be other people's.
        of_all = coarse_part(of_all.T.unflatten(1, self.picture)).flatten(1).T
        moments = Moments.of(faces, latents)
        slope = of_all + moments.without(of_all).slope(_RIDGE / n_pictures)
        # Directions by how much faces move along them, not latents of any size.
        stds = moments.latents.diagonal().sqrt().float()
        axes, sizes = principal_axes((slope * stds).T, self.axes.shape[1])
        sizes = sizes * len(stds) ** 0.5
        weight = torch.where(sizes > 0, axes / sizes.clamp(min=1e-12), 0.0).T @ slope
        self.set(mean, axes * sizes, weight)
        self.linear.bias.copy_(-(self.linear.weight @ middle))


@dataclass
class Moments:
    """Second moments of faces (n, d) and latents (n, k), each less its mean."""

    latents: Tensor  # (k, k)
    faces: Tensor  # (d, k)

    @classmethod
    def of(cls, faces: Tensor, latents: Tensor) -> "Moments":
        z = latents - latents.mean(dim=0)
        # The mean of faces need not be taken off as well.
        return cls((z.T @ z).double() / len(z), faces.T @ z / len(z))

    def without(self, slope: Tensor) -> "Moments":
        """Of what a slope (d, k) leaves of the faces."""
        return Moments(self.latents, self.faces - slope @ self.latents.float())

    def slope(self, ridge: float) -> Tensor:
        """Least squares of faces on latents (d, k), with a ridge.

        It is as if on scores before `EigenfaceEncoder` made them more equal.
        """
        power = self.latents.diagonal()
        ridges = ridge * power.square().mean() / power.clamp(min=1e-9)
        inverse = torch.linalg.inv(self.latents + ridges.clamp(min=1e-9).diag())
        return self.faces @ inverse.float()


def slope_of_all(faces: list[Tensor], latents: list[Tensor]) -> Tensor:
    """How faces of all identities (n_i, d) change with latents (n_i, k): (d, k).

    They count alike, however many faces of each there are.
    """
    of_each = [Moments.of(x, z) for x, z in zip(faces, latents, strict=True)]
    of_all = Moments(
        torch.stack([moments.latents for moments in of_each]).mean(dim=0),
        torch.stack([moments.faces for moments in of_each]).mean(dim=0),
    )
    return of_all.slope(_RIDGE_OF_ALL)


def principal_axes(x: Tensor, n_axes: int) -> tuple[Tensor, Tensor]:
    """Unit vectors (d, m) along which centred rows vary most, and how much (m,)."""
    if len(x) > LARGEST_GRAM:
        x = x[torch.linspace(0, len(x) - 1, LARGEST_GRAM).long()]
    n, d = x.shape
    # Faces mostly have more values than there are faces.
    square = (x @ x.T if n < d else x.T @ x).double()
    values, vectors = torch.linalg.eigh(square)
    values, vectors = values.flip(0)[:n_axes], vectors.flip(1)[:, :n_axes].float()
    is_real = (values > _TINY * values[:1]) & (values > 0)
    stds = torch.where(is_real, values / n, 0.0).sqrt().float()
    if n < d:
        vectors = x.T @ vectors / values.clamp(min=1e-30).sqrt().float()
    return torch.where(is_real, vectors, 0.0), stds
