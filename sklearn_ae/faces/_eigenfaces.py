"""Eigenfaces: the linear part of the face network, and its start in closed form.

Faces that are cut out by their landmarks have eyes and mouth at the same places, and
differ by little more than a few hundred directions (Turk and Pentland, "Eigenfaces for
recognition", 1991). The encoder sees a face's scores on those in which all faces
differ; each decoder adds up those in which the faces of its person do. They come from
the training faces, and training leaves them as they are: it learns the small matrices
between scores and latents, which start as the solution of least squares. So a network
shows sharp faces before its first step, and its convolutions learn what is left.

Shapes: n faces of d = c * h * w values, m eigenfaces, k latents.
"""

import torch
from torch import Tensor, nn

from .._networks.images import ImageShape
from ._restoration import n_rings

# Rows that eigenfaces are computed of: their Gram matrix is decomposed.
LARGEST_GRAM = 2560
_TINY = 1e-6  # of the largest variance, or of one: what is less is rounding
# Ridge of the regression of a person's faces on latents, as a share of the latents'
# mean square: a person's pictures are few.
_RIDGE = 0.03


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

        Those from one mean to another, which say who is seen, are taken out: what is
        left says what decoders of all people understand. Weights (d,) are of pixels.
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

    @torch.no_grad()
    def start(self, faces: Tensor, latents: Tensor) -> None:
        """Eigenfaces of a person's faces (n, d), and ridge regression on latents.

        The ridge is as if on scores before `EigenfaceEncoder` made them more equal.
        """
        mean = faces.mean(dim=0)
        axes, stds = principal_axes(faces - mean, self.axes.shape[1])
        scores = (faces - mean) @ axes / stds.clamp(min=1e-12)
        z = latents.double()
        moments = z.T @ z
        power = moments.diagonal().clone()
        ridge = _RIDGE * power.square().mean() / power.clamp(min=1e-9)
        moments.diagonal().add_(ridge.clamp(min=1e-9))
        solution = torch.linalg.solve(moments, z.T @ scores.double())  # (k, m)
        self.set(mean, axes * stds, solution.T.float())
        nn.init.zeros_(self.linear.bias)


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
