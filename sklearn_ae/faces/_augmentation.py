"""Faces moved, warped and recoloured while the network learns.

The encoder sees a warped face, the loss compares with the same face unwarped: what the
encoder gives is then the face without accidents of the picture. Rotation, zoom, shift,
mirroring, a slighter warp and colour are those of both, for they are what faces differ
in anyway. Random numbers come from a generator of the faces' device.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FaceAugmentation(nn.Module):
    """Draw a training pair for each face: (n, c, h, w) -> seen and clean, same shape.

    In evaluation mode both are the faces given.

    Parameters
    ----------
    rotation : float
        Largest angle, in degrees.

    zoom : float
        Largest change of size, as a share of it.

    shift : float
        Largest shift, as a share of the side.

    flip : float
        Probability of mirroring.

    warp : float
        Standard deviation of the 5 x 5 knots that the seen face is bent by, as a share
        of the side.

    deform : float
        The same for the seen and the clean face alike: people of whom there are few
        pictures get more faces.

    color : float
        Largest change of contrast, and of brightness as a share of the range; each
        channel differs by up to half as much from the others.

    Attributes
    ----------
    warp_share : float
        What the warp is multiplied by: training lets it fall to 0.
    """

    N_KNOTS = 5

    def __init__(
        self,
        rotation: float = 10.0,
        zoom: float = 0.05,
        shift: float = 0.05,
        flip: float = 0.4,
        warp: float = 5.0 / 160.0,
        deform: float = 0.015,
        color: float = 0.1,
    ):
        super().__init__()
        self.rotation = rotation
        self.zoom = zoom
        self.shift = shift
        self.flip = flip
        self.warp = warp
        self.deform = deform
        self.color = color
        self.warp_share = 1.0

    def forward(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        if not self.training:
            return x, x
        height, width = x.shape[-2:]
        matrices = self.draw_matrices(x, width / height, generator)  # (n, 2, 3)
        grid = F.affine_grid(matrices, list(x.shape), align_corners=False)
        bend = self.draw_bend(self.deform, x, matrices, generator)
        grid = grid + bend  # (n, h, w, 2)
        x = self.recolour(x, generator)
        clean = _sample(x, grid)
        warp = self.warp * self.warp_share
        if not warp:
            return clean, clean
        bend = self.draw_bend(warp, x, matrices, generator)
        return _sample(x, grid + bend), clean

    def draw_matrices(
        self, x: Tensor, aspect: float, generator: torch.Generator | None
    ) -> Tensor:
        """Maps from places in the pair to places in the face, (n, 2, 3) in [-1, 1]."""
        draw = _uniform(x, 5, generator)  # (n, 5)
        angle = draw[:, 0] * math.radians(self.rotation)
        scale = 1.0 / (1.0 + draw[:, 1] * self.zoom)
        mirror = torch.where(draw[:, 2] < 2.0 * self.flip - 1.0, -1.0, 1.0)
        cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
        rows = [
            torch.stack(
                [mirror * cos, -sin / aspect, 2.0 * self.shift * draw[:, 3]], 1
            ),
            torch.stack([mirror * sin * aspect, cos, 2.0 * self.shift * draw[:, 4]], 1),
        ]
        return torch.stack(rows, 1)

    def draw_bend(
        self,
        std: float,
        x: Tensor,
        matrices: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Smooth displacements of places in faces (n, h, w, 2), in half sides.

        They lie on the face and turn with it. ``std`` is that of the knots, as a share
        of the side.
        """
        knots = x.new_empty(len(x), 2, self.N_KNOTS, self.N_KNOTS)
        knots = knots.normal_(0.0, 2.0 * std, generator=generator)
        # Knots are at the corners and between them.
        bent = F.interpolate(
            knots, size=x.shape[-2:], mode="bicubic", align_corners=True
        )
        return torch.einsum("nij,njhw->nhwi", matrices[:, :, :2], bent)

    def recolour(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.color:
            return x
        n_channels = x.shape[1]
        draw = _uniform(x, 2 + 2 * n_channels, generator) * self.color
        contrast = 1.0 + draw[:, :1] + 0.5 * draw[:, 2 : 2 + n_channels]  # (n, c)
        brightness = draw[:, 1:2] + 0.5 * draw[:, 2 + n_channels :]
        middle = x.mean(dim=(1, 2, 3), keepdim=True)
        changed = (x - middle) * contrast[:, :, None, None] + middle
        return (changed + brightness[:, :, None, None]).clamp(0.0, 1.0)


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    """The images at the places of a grid, mirrored where it leaves them.

    Cubic: what is interpolated linearly is blurred, and the network learns that too.
    """
    sampled = F.grid_sample(
        x, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return sampled.clamp(0.0, 1.0)


def _uniform(x: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
    """Numbers between -1 and 1, k for each image: (n, k)."""
    return x.new_empty(len(x), k).uniform_(-1.0, 1.0, generator=generator)
