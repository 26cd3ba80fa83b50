"""Detail of swapped faces: their amplitude spectra are brought to those of real ones.

A sum of many pictures is smoother than each of them. What is missing depends on how
fine a detail is rather than on its place, so a filter gives it back: power spectrum
equalization (Andrews and Hunt, "Digital image restoration", 1977), with the spectrum of
the person's training faces, and within bounds, for noise is detail too.

A spectrum has a value for each ring of about the same radial frequency: the root mean
square of the coefficients there of the cosine transform of the face's brightness.
Shapes: n faces of c channels, h rows and w columns, r rings.
"""

import math

import torch
from torch import Tensor

N_RINGS = 16  # in pictures that have so many frequencies
# What a ring is multiplied by at most, and divided by.
_LARGEST_GAIN = 1.5
# Up to this share of the frequencies it is light and pose, which are the source's.
_COARSE = 0.15
_STEEPNESS = 6  # of the filter that ends there


def n_rings(height: int, width: int) -> int:
    """How many rings are told apart in a picture: of four frequencies each, or more."""
    return max(2, min(N_RINGS, min(height, width) // 4))


def amplitudes(faces: Tensor, weights: Tensor) -> Tensor:
    """Spectra (n, r) of faces (n, c, h, w) whose pixels have weights (h, w)."""
    brightness = faces.mean(dim=1)
    middle = (brightness * weights).sum(dim=(1, 2), keepdim=True) / weights.sum()
    power = _transformed((brightness - middle) * weights).square()
    members = _members(power)
    return (power.flatten(1) @ members / members.sum(dim=0)).sqrt()


def equalize(faces: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Faces (n, c, h, w) in [0, 1] with the spectrum (r,) wanted, within bounds.

    Colours stay: the same is added to all channels.
    """
    found = amplitudes(faces, weights)
    gains = wanted / found.clamp(min=torch.finfo(found.dtype).tiny)
    gains = gains.clamp(1.0 / _LARGEST_GAIN, _LARGEST_GAIN)
    gains[:, : max(1, round(_COARSE * len(wanted)))] = 1.0
    brightness = faces.mean(dim=1)
    added = _transformed(brightness) * (_between_rings(gains, brightness) - 1.0)
    return (faces + _transformed(added, back=True)[:, None]).clamp(0.0, 1.0)


def coarse_part(pictures: Tensor) -> Tensor:
    """What pictures (n, c, h, w) show of light and pose: a soft low-pass filter."""
    x = pictures.flatten(0, 1)
    kept = 1.0 / (1.0 + (_radius(x) / _COARSE) ** _STEEPNESS)
    return _transformed(_transformed(x) * kept, back=True).view_as(pictures)


def _between_rings(values: Tensor, like: Tensor) -> Tensor:
    """Values (n, r) of the rings' middles at all frequencies (n, h, w)."""
    last = values.shape[1] - 1
    place = (_radius(like) * (last + 1) - 0.5).clamp(0.0, last)
    below = place.long().clamp(max=last - 1)
    share = place - below
    return values[:, below] * (1.0 - share) + values[:, below + 1] * share


def _members(like: Tensor) -> Tensor:
    """Which frequency (h * w, r) is of which ring."""
    n = n_rings(*like.shape[-2:])
    ring = (_radius(like) * n).long().clamp(max=n - 1).flatten()
    return torch.eye(n, dtype=like.dtype, device=like.device)[ring]


def _radius(like: Tensor) -> Tensor:
    """Radial frequencies (h, w); at 1 neighbours differ the most."""
    height, width = (
        torch.arange(size, dtype=like.dtype, device=like.device) / size
        for size in like.shape[-2:]
    )
    return torch.hypot(height[:, None], width)


def _transformed(x: Tensor, back: bool = False) -> Tensor:
    """The cosine transform of type II of pictures (n, h, w), orthonormal, or back."""
    height, width = (_cosines(size).to(x) for size in x.shape[-2:])
    return height.T @ x @ width if back else height @ x @ width.T


def _cosines(size: int) -> Tensor:
    places = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * places[:, None] * (places + 0.5))
    matrix[0] *= math.sqrt(0.5)
    return math.sqrt(2.0 / size) * matrix
