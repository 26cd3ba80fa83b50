"""How a new face gets the outline, the colours and the grain of the one it replaces.

Faces (size, size, 3) lie in [0, 1]; masks (size, size) say how much of a face shows.
Places in a crop are shares of its side: the first pixel's middle is half a pixel in.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._crops import import_cv2

COLORS = ("lab", "mean", "hist", None)
# Half axes of the oval that is replaced where no landmarks are known, as shares of the
# crop, and how wide its soft rim is, as a share of the oval.
_HALF_AXES = (0.44, 0.48)
_RIM = 0.38
# How wide the fall to the crop's border is, as a share of its side.
_CROP_RIM = 0.08
# The outline by landmarks, in distances of the eyes from the middle between them: how
# far cheeks are to the side, the brow up, the chin below the mouth; and the soft rim.
_CHEEK, _BROW, _CHIN, _OUTLINE_RIM = 1.06, 0.85, 0.72, 0.3
# Around eyes and mouth is no skin: half axes in distances of the eyes.
_EYE_AXES, _MOUTH_AXES = (0.33, 0.22), (0.6, 0.33)
# Least and largest factors of brightness and of the two colours in CIELAB.
_GAINS = (0.7, 0.8, 0.8), (1.4, 1.2, 1.2)
# Standard deviation of what is smooth in a face, as a share of the crop's side.
_SHARPEN_WIDTH = 1.5 / 64.0
# Bands of detail that are matched: standard deviations in pixels of the photo. In each
# pass details are made stronger by so much at most; what is missing of the finest at
# the end is grain.
_BANDS = (0.7, 1.4, 2.8)
_PASSES, _LARGEST_GAIN = 8, 1.2
# Errors of the source's own decoder (mean absolute, after a blur), above that of the
# whole face, from which something else is before it, and from which nothing shows.
_HIDDEN = 0.14, 0.22

Mask = NDArray[np.float32]
Face = NDArray[np.float32]


@dataclass(frozen=True)
class Outline:
    """Where a face is in its crop: by five landmarks, as shares, if they are known."""

    points: NDArray[np.float64] | None = None

    def mask(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        """How much of the face shows at places of the crop: 1 inside, 0 outside."""
        if self.points is None:
            radius = np.hypot((x - 0.5) / _HALF_AXES[0], (y - 0.5) / _HALF_AXES[1])
            return _soft(radius, _RIM)
        across, down, unit, length, turn = self._frame(x, y)
        middle = 0.35 * length  # where a face is widest
        up, low = middle + _BROW * unit, length - middle + _CHIN * unit
        height = np.where(down < middle, up, low)
        # Of a head that is turned, the side that the nose points to is the narrower.
        width = _CHEEK * unit * np.where(across * turn > 0, 1.0 - 0.6 * abs(turn), 1.0)
        radius = np.hypot(across / width, (down - middle) / height)
        return _soft(radius, _OUTLINE_RIM) * _inside_crop(x, y)

    def skin(self, size: int) -> NDArray[np.bool_]:
        """Where skin is likely to be seen in the crop: (size, size)."""
        x, y = grid(size)
        inside = self.mask(x, y) > 0.5
        if self.points is None:
            return inside
        for place, axes in [
            *((point, _EYE_AXES) for point in self.points[:2]),
            (self.points[3:].mean(axis=0), _MOUTH_AXES),
        ]:
            unit = self._frame(x, y)[2]
            offset = (x - place[0]) / axes[0], (y - place[1]) / axes[1]
            inside = inside & (np.hypot(*offset) > unit)
        return inside

    def _frame(self, x: Any, y: Any) -> tuple[Any, Any, float, float, float]:
        """Places across and down the face, its unit, eyes to mouth, and its turn."""
        assert self.points is not None
        eyes, mouth = self.points[:2].mean(axis=0), self.points[3:].mean(axis=0)
        axis = mouth - eyes
        length = float(np.linalg.norm(axis))
        axis = axis / length
        # Eyes come together as a head turns; the distance to the mouth stays.
        unit = max(float(np.linalg.norm(self.points[1] - self.points[0])), 0.9 * length)
        across = (x - eyes[0]) * axis[1] - (y - eyes[1]) * axis[0]
        down = (x - eyes[0]) * axis[0] + (y - eyes[1]) * axis[1]
        nose = self.points[2] - eyes
        turn = (nose[0] * axis[1] - nose[1] * axis[0]) / unit
        return across, down, unit, length, float(np.clip(2.0 * turn, -1.0, 1.0))


WHOLE_OVAL = Outline()  # of faces whose landmarks are not known


def grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of a crop's pixels, between 0 and 1: (1, size) and (size, 1)."""
    places = (np.arange(size) + 0.5) / size
    return places[None, :], places[:, None]


def _soft(radius: NDArray[Any], rim: float) -> NDArray[np.float64]:
    share = np.clip((1.0 - radius) / rim, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)  # without a kink at either end


def _inside_crop(x: NDArray[Any], y: NDArray[Any]) -> Any:
    """1 in the crop, falling to 0 at its border: there the network's face ends."""
    edge = np.minimum(np.minimum(x, 1.0 - x), np.minimum(y, 1.0 - y))
    return _soft(1.0 - edge, _CROP_RIM)


# Colours ------------------------------------------------------------------------------


def match_colors(
    face: Face,
    reference: Face,
    color: str | None,
    inside: NDArray[np.bool_] | None = None,
) -> Face:
    """The face in the reference's colours, those of the pixels inside."""
    if color is None:
        return face
    if inside is None or inside.sum() < 16:
        inside = Outline().skin(face.shape[0])
    if color == "mean":
        shift = reference[inside].mean(axis=0) - face[inside].mean(axis=0)
        return np.clip(face + shift, 0.0, 1.0)
    if color == "hist":
        return _match_histograms(face, reference, inside)
    cv2 = import_cv2()
    face_lab = cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2Lab)
    wanted = cv2.cvtColor(np.ascontiguousarray(reference), cv2.COLOR_RGB2Lab)
    given, other = _typical(face_lab[inside]), _typical(wanted[inside])
    gain = other.std(axis=0) / np.maximum(given.std(axis=0), 1e-3)
    # More would make noise of a flat face, and of lips and teeth other colours.
    gain = np.clip(gain, *_GAINS)
    lab = (face_lab - given.mean(axis=0)) * gain + other.mean(axis=0)
    return np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_Lab2RGB), 0.0, 1.0)


def _typical(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours (n, 3) without those far from the median: hair, glasses and shine."""
    distance = np.abs(colors - np.median(colors, axis=0))
    spread = np.median(distance, axis=0) + 1e-3
    return colors[(distance <= 4.0 * spread).all(axis=1)]


def _match_histograms(
    face: Face, reference: Face, inside: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Each channel of the face by the ranks of its values inside."""
    matched = np.empty_like(face)
    ranks = np.linspace(0.0, 1.0, 256)
    for channel in range(face.shape[2]):
        values, wanted = face[..., channel], reference[..., channel][inside]
        knots = np.quantile(values[inside], ranks)
        # Equal values share the mean of their ranks' values.
        knots, places = np.unique(knots, return_inverse=True)
        levels: NDArray[Any] = np.quantile(wanted, ranks)
        levels = np.bincount(places, levels) / np.bincount(places)
        matched[..., channel] = np.interp(values, knots, levels)
    return matched


# Detail -------------------------------------------------------------------------------


def sharpen_face(face: Face, amount: float) -> Face:
    """Unsharp masking: what a network learned of faces is smoother than a photo is."""
    if not amount:
        return face
    face = np.ascontiguousarray(face)
    smooth = import_cv2().GaussianBlur(face, (0, 0), _SHARPEN_WIDTH * face.shape[0])
    return np.clip(face + np.float32(amount) * (face - smooth), 0.0, 1.0)


def match_detail(patch: Face, below: Face, mask: Mask) -> Face:
    """The patch with as much fine detail as what it replaces, band by band.

    What a photograph is too coarse or too blurred to show, the new face must not show
    either, and it needs the same grain.
    """
    weights = mask / max(float(mask.sum()), 1e-6)
    wanted = [_spread(band, weights) for band in _bands(below)[0]]
    for _ in range(_PASSES):  # bands overlap: a change of one is one of its neighbours
        detail, patch = _bands(patch)
        for band, needs in zip(detail, wanted, strict=True):
            gain = needs / max(_spread(band, weights), 1e-6)
            patch = patch + np.float32(min(gain, _LARGEST_GAIN)) * band
    has = _spread(_bands(patch)[0][0], weights)
    if wanted[0] > has:
        grain = np.float32(np.sqrt(wanted[0] ** 2 - has**2)) * _grain(patch.shape)
        patch = patch + grain
    return np.clip(patch, 0.0, 1.0)


def _bands(image: Face) -> tuple[list[Face], Face]:
    """What each blur takes away after the one before, and what is left."""
    cv2 = import_cv2()
    bands = []
    for width in _BANDS:
        smooth = cv2.GaussianBlur(image, (0, 0), width)
        bands.append(image - smooth)
        image = smooth
    return bands, image


def _spread(band: Face, weights: Mask) -> float:
    """Mean absolute brightness of a band: a few strong edges should not rule."""
    return float((np.abs(band.mean(axis=2)) * weights).sum())


def _grain(shape: tuple[int, ...]) -> Face:
    """Noise of the finest band, the same every time, grey, of mean absolute value 1."""
    noise = np.random.default_rng(0).standard_normal(shape[:2]).astype(np.float32)
    noise -= import_cv2().GaussianBlur(noise, (0, 0), _BANDS[0])
    return (noise / np.abs(noise).mean())[:, :, None]


# What hides a face --------------------------------------------------------------------


def shown(crop: Face, own: Face) -> Mask:
    """How much of the face is to be seen (size, size), by its own decoder's error.

    A hand or a microphone before a face is nothing that a decoder of the person makes.
    A face that is badly made as a whole is in an unusual light, or of somebody else.
    """
    error = np.abs(crop - own).mean(axis=2).astype(np.float32)
    error = import_cv2().GaussianBlur(error, (0, 0), 0.04 * crop.shape[0])
    error = error - np.median(error[WHOLE_OVAL.skin(crop.shape[0])])
    low, high = _HIDDEN
    return _soft(1.0 - np.clip((high - error) / (high - low), 0.0, 1.0), 1.0).astype(
        np.float32
    )
