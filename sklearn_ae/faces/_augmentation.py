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

# What is left of rotation, zoom and shift where the warp has fallen to nothing: as much
# as landmarks are wrong by. Eyes that are now here, now there come out blurred.
LEAST_MOVES = 0.2


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
        What the warp is multiplied by: training lets it fall to 0. Rotation, zoom and
        shift fall with it.
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
        # Places are more exact than lower precision is.
        with torch.autocast(x.device.type, enabled=False):
            return self.draw_pairs(x, generator)

    def draw_pairs(
        self, x: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
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
        moves = LEAST_MOVES + (1.0 - LEAST_MOVES) * self.warp_share
        draw = _uniform(x, 5, generator)  # (n, 5)
        angle = draw[:, 0] * math.radians(self.rotation * moves)
        scale = 1.0 / (1.0 + draw[:, 1] * self.zoom * moves)
        mirror = torch.where(draw[:, 2] < 2.0 * self.flip - 1.0, -1.0, 1.0)
        cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
        shift = 2.0 * self.shift * moves * draw[:, 3:]
        rows = [
            torch.stack([mirror * cos, -sin / aspect, shift[:, 0]], 1),
            torch.stack([mirror * sin * aspect, cos, shift[:, 1]], 1),
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
        knots = (matrices[:, :, :2] @ knots.flatten(2)).reshape(knots.shape)
        # Knots are at the corners and between them. Products with the weights of the
        # interpolation take a tenth of the time that the interpolation does.
        down, across = (_cubic_weights(self.N_KNOTS, size, x) for size in x.shape[-2:])
        return (down @ knots @ across.T).permute(0, 2, 3, 1)

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


def _cubic_weights(n_knots: int, size: int, like: Tensor) -> Tensor:
    """What each knot counts at each place between them: (size, n_knots)."""
    knots = torch.eye(n_knots, dtype=like.dtype, device=like.device)[None]
    weights = F.interpolate(
        knots[..., None], size=(size, 1), mode="bicubic", align_corners=True
    )
    return weights[0, :, :, 0].T


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
