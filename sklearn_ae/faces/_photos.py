"""Put a face back into its photo, with neither a box nor an edge of colours to see."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._crops import (
    COVERAGE,
    NoFaceError,
    check_boxes,
    check_landmarks,
    check_photo,
    choose_faces,
    cut_face,
    face_matrix,
    find_detector,
    find_faces,
    import_cv2,
    matrix_scale,
)
from ._input import as_float
from ._pictures import in_colors, to_uint8

COLORS = ("lab", "mean", "hist", None)
BLENDS = ("feather", "seamless")
# Half axes of the oval that is replaced, as shares of the crop, and how wide its soft
# rim is, as a share of the oval.
_HALF_AXES = (0.44, 0.48)
_RIM = 0.38
# Standard deviation of what is smooth in a face, as a share of the crop's side.
_SHARPEN_WIDTH = 1.5 / 64.0

Swap = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class PhotoOptions:
    """How faces are found in a photo, and how they are put back."""

    color: str | None = "lab"
    sharpen: float = 1.0
    blend: str = "feather"
    coverage: float = COVERAGE
    detector: Any = None
    on_no_face: str = "raise"
    which: Any = "largest"

    def check(self) -> None:
        if self.color not in COLORS:
            raise ValueError(
                f'color must be "lab", "mean", "hist" or None; got {self.color!r}.'
            )
        if self.blend not in BLENDS:
            raise ValueError(
                f'blend must be "feather" or "seamless"; got {self.blend!r}.'
            )
        if not 0 <= self.sharpen < np.inf:
            raise ValueError(f"sharpen must be 0 or more; got {self.sharpen!r}.")
        if not self.coverage > 0:
            raise ValueError(f"coverage must be positive; got {self.coverage!r}.")
        if self.on_no_face not in ("raise", "unchanged"):
            raise ValueError(
                f'on_no_face must be "raise" or "unchanged"; got {self.on_no_face!r}.'
            )
        if not isinstance(self.which, int | np.integer):
            choose_faces(0, self.which)
        find_detector(self.detector)


def swap_photo(
    swap: Swap,
    face_shape: tuple[int, int, int],
    image: Any,
    boxes: Any,
    landmarks: Any,
    options: PhotoOptions,
) -> NDArray[Any]:
    """The photo with faces swapped: of its shape and type, its other pixels the same.

    Parameters
    ----------
    swap : callable
        From crops (n, size, size, channels) in [0, 1] to such crops.

    face_shape : tuple of int
        Height, width and channels of a crop.
    """
    import_cv2("Swapping faces in photos")
    options.check()
    size = check_face_shape(face_shape)
    photo = check_photo(image, face_shape[2])
    landmarks = check_landmarks(landmarks)
    if boxes is None and landmarks is None:
        boxes, landmarks = find_faces(photo, find_detector(options.detector))
        chosen = None
    else:
        # Faces that were named are all meant, unless one is picked out of them.
        boxes = check_boxes([] if boxes is None else boxes)
        n = len(boxes) if landmarks is None else len(landmarks)
        if landmarks is not None and len(boxes) not in (0, n):
            raise ValueError(
                f"There are {len(boxes)} boxes and landmarks of {n} faces: give as "
                "many, or only one of the two."
            )
        chosen = list(range(n)) if options.which == "largest" else None
    n = len(boxes) if landmarks is None else len(landmarks)
    if not n:
        if options.on_no_face == "unchanged":
            return np.array(image)
        raise NoFaceError(
            "No face was found in the photo. Give boxes= or landmarks=, another "
            'detector=, or on_no_face="unchanged".'
        )
    matrices = [
        face_matrix(
            np.zeros(4) if landmarks is not None else boxes[number],
            None if landmarks is None else landmarks[number],
            size,
            options.coverage,
        )
        for number in (choose_faces(n, options.which) if chosen is None else chosen)
    ]
    return put_faces(swap, size, face_shape[2], image, photo, matrices, options)


def check_face_shape(face_shape: tuple[int, int, int]) -> int:
    """The side of the crops that a model takes."""
    if face_shape[0] != face_shape[1]:
        raise ValueError(
            "Photos take a FaceSwapper of square faces; it was fitted to faces of "
            f"{face_shape[0]} x {face_shape[1]} pixels."
        )
    return face_shape[0]


def put_faces(
    swap: Swap,
    size: int,
    n_channels: int,
    image: Any,
    photo: NDArray[np.uint8],
    matrices: list[NDArray[np.float64]],
    options: PhotoOptions,
) -> NDArray[Any]:
    """Swap the faces at these places of the photo."""
    is_grey = photo.ndim == 2
    canvas = as_float(in_colors(photo))  # (h, w, 3)
    crops = np.stack([cut_face(canvas, matrix, size) for matrix in matrices])
    crops = np.clip(crops, 0.0, 1.0)
    given = crops if n_channels == 3 else crops.mean(axis=3, keepdims=True)
    swapped = np.asarray(swap(given.astype(np.float32)), dtype=np.float32)
    swapped = np.broadcast_to(swapped.reshape(given.shape), crops.shape)
    if is_grey:
        swapped = np.broadcast_to(swapped.mean(axis=3, keepdims=True), crops.shape)
    result = canvas
    for crop, face, matrix in zip(crops, swapped, matrices, strict=True):
        matched = match_colors(sharpen_face(face, options.sharpen), crop, options.color)
        result = paste_face(result, matched, matrix, options.blend)
    return _as_given(image, canvas, result)


def _as_given(
    image: Any, before: NDArray[np.float32], after: NDArray[np.float32]
) -> NDArray[Any]:
    """The result in the photo's shape and type; what was not touched keeps its bits."""
    given = np.asarray(image)
    if given.ndim == 2 or given.shape[2] == 1:
        before, after = before.mean(axis=2), after.mean(axis=2)
    before, after = before.reshape(given.shape), after.reshape(given.shape)
    after = np.clip(after, 0.0, 1.0)
    result = to_uint8(after) if given.dtype == np.uint8 else after.astype(given.dtype)
    return np.where(before == after, given, result)


def sharpen_face(face: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Unsharp masking: what a network learned of faces is smoother than a photo is."""
    if not amount:
        return face
    face = np.ascontiguousarray(face)
    smooth = import_cv2().GaussianBlur(face, (0, 0), _SHARPEN_WIDTH * face.shape[0])
    return np.clip(face + np.float32(amount) * (face - smooth), 0.0, 1.0)


# Colours ------------------------------------------------------------------------------


def match_colors(
    face: NDArray[np.float32], reference: NDArray[np.float32], color: str | None
) -> NDArray[np.float32]:
    """The face (size, size, 3) in the reference's colours, those within the oval."""
    if color is None:
        return face
    inside = _oval(*_grid(face.shape[0])) > 0.5
    if color == "mean":
        shift = reference[inside].mean(axis=0) - face[inside].mean(axis=0)
        return np.clip(face + shift, 0.0, 1.0)
    if color == "hist":
        return _match_histograms(face, reference, inside)
    cv2 = import_cv2()
    face_lab = cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_RGB2Lab)
    wanted = cv2.cvtColor(np.ascontiguousarray(reference), cv2.COLOR_RGB2Lab)
    mean, std = face_lab[inside].mean(axis=0), face_lab[inside].std(axis=0)
    gain = wanted[inside].std(axis=0) / np.maximum(std, 1e-3)
    # More would make noise of a flat face.
    gain = np.clip(gain, 0.5, 2.0)
    lab = (face_lab - mean) * gain + wanted[inside].mean(axis=0)
    return np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_Lab2RGB), 0.0, 1.0)


def _match_histograms(
    face: NDArray[np.float32], reference: NDArray[np.float32], inside: NDArray[Any]
) -> NDArray[np.float32]:
    """Each channel of the face by the ranks of its values within the oval."""
    matched = np.empty_like(face)
    ranks = np.linspace(0.0, 1.0, 256)
    for channel in range(face.shape[2]):
        values, wanted = face[..., channel], reference[..., channel][inside]
        knots = np.quantile(values[inside], ranks)
        # Equal values share the mean of their ranks' values.
        knots, places = np.unique(knots, return_inverse=True)
        levels = np.quantile(wanted, ranks)
        levels = np.bincount(places, levels) / np.bincount(places)
        matched[..., channel] = np.interp(values, knots, levels)
    return matched


# Blending -----------------------------------------------------------------------------


def _grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of a crop's pixels, between 0 and 1: (1, size) and (size, 1)."""
    places = (np.arange(size) + 0.5) / size
    return places[None, :], places[:, None]


def _oval(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """How much of the face shows at places of the crop: 1 inside, 0 outside."""
    radius = np.hypot((x - 0.5) / _HALF_AXES[0], (y - 0.5) / _HALF_AXES[1])
    share = np.clip((1.0 - radius) / _RIM, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)  # without a kink at either end


def paste_face(
    canvas: NDArray[np.float32],
    face: NDArray[np.float32],
    matrix: NDArray[np.float64],
    blend: str,
) -> NDArray[np.float32]:
    """The canvas (h, w, 3) with the face (size, size, 3) at its place."""
    cv2 = import_cv2()
    size = face.shape[0]
    left, top, width, height = _bounds(matrix, size)
    # From pixels of the patch, which may reach over the canvas, to those of the crop.
    place = matrix.copy()
    place[:, 2] += matrix[:, :2] @ [left, top]
    scale = matrix_scale(matrix)
    if scale > 1.0:  # the face gets smaller: each pixel a mean
        face = cv2.GaussianBlur(face, (0, 0), 0.5 * scale)
    patch = cv2.warpAffine(
        face,
        place,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    patch = np.clip(patch, 0.0, 1.0)
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    in_crop = [
        (place[axis, 0] * x + place[axis, 1] * y + place[axis, 2] + 0.5) / size
        for axis in (0, 1)
    ]
    alpha = _oval(*in_crop).astype(np.float32)[:, :, None]

    below = _reach(canvas, left, top, width, height)
    if blend == "seamless":
        patch, alpha = _clone(patch, below, alpha)
    mixed = below + alpha * (patch - below)
    result = canvas.copy()
    rows = slice(max(0, top), min(canvas.shape[0], top + height))
    columns = slice(max(0, left), min(canvas.shape[1], left + width))
    if rows.start < rows.stop and columns.start < columns.stop:
        result[rows, columns] = mixed[
            rows.start - top : rows.stop - top,
            columns.start - left : columns.stop - left,
        ]
    return result


def _bounds(matrix: NDArray[np.float64], size: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of the crop in the picture, with a pixel around."""
    inverse = np.linalg.inv(matrix[:, :2])
    ends = np.array([[x, y] for x in (-0.5, size - 0.5) for y in (-0.5, size - 0.5)])
    corners = (ends - matrix[:, 2]) @ inverse.T  # (4, 2)
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _reach(
    canvas: NDArray[np.float32], left: int, top: int, width: int, height: int
) -> NDArray[np.float32]:
    """A part of the canvas; over its border it is mirrored."""
    cv2 = import_cv2()
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    return cv2.warpAffine(
        canvas,
        shift,
        (width, height),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _clone(
    patch: NDArray[np.float32], below: NDArray[np.float32], alpha: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Poisson blending: the patch's gradients with the photo's colours at the rim.

    It crashes where its mask touches a border, so there are pixels around.
    """
    cv2 = import_cv2()
    around = 8
    pads = [
        np.pad(
            to_uint8(x),
            ((around, around), (around, around), (0, 0)),
            mode="edge",
        )
        for x in (patch, below)
    ]
    mask = np.pad((alpha[:, :, 0] > 0.05).astype(np.uint8) * 255, around)
    if not mask.any():
        return patch, alpha
    left, top, width, height = cv2.boundingRect(mask)
    center = (left + width // 2, top + height // 2)
    cloned = cv2.seamlessClone(pads[0], pads[1], mask, center, cv2.NORMAL_CLONE)
    inner = slice(around, -around)
    cloned = cloned[inner, inner].astype(np.float32) / 255.0
    # A soft rim hides the rounding that cloning leaves.
    return cloned, np.minimum(1.0, 4.0 * alpha)


# Videos -------------------------------------------------------------------------------


def swap_video(
    swap: Swap,
    face_shape: tuple[int, int, int],
    frames: Iterable[Any],
    options: PhotoOptions,
    smoothing: float,
    max_gap: int,
) -> Iterator[NDArray[Any]]:
    """Frames with the largest face, or the one followed so far, swapped.

    A box is the mean of that found and the box before, weighted by ``smoothing``. Where
    no face is found, the last box holds for ``max_gap`` frames.
    """
    import_cv2("Swapping faces in videos")
    options.check()  # now, not with the first frame
    size = check_face_shape(face_shape)
    return _swap_frames(swap, size, face_shape[2], frames, options, smoothing, max_gap)


def _swap_frames(
    swap: Swap,
    size: int,
    n_channels: int,
    frames: Iterable[Any],
    options: PhotoOptions,
    smoothing: float,
    max_gap: int,
) -> Iterator[NDArray[Any]]:
    detector = find_detector(options.detector)
    matrix, n_missing = None, 0
    for number, frame in enumerate(frames):
        photo = check_photo(frame, n_channels)
        boxes, landmarks = find_faces(photo, detector)
        found = [
            face_matrix(
                box, None if landmarks is None else landmarks[i], size, options.coverage
            )
            for i, box in enumerate(boxes)
        ]
        if found:
            matrix, n_missing = _follow(matrix, found, size, smoothing), 0
        else:
            n_missing += 1
            if n_missing > max_gap:
                matrix = None
        if matrix is None:
            if options.on_no_face == "raise":
                raise NoFaceError(
                    f"No face was found in frame {number}. With "
                    'on_no_face="unchanged" such frames stay as they are.'
                )
            yield np.array(frame)
            continue
        yield put_faces(swap, size, n_channels, frame, photo, [matrix], options)


def _follow(
    before: NDArray[np.float64] | None,
    found: list[NDArray[np.float64]],
    size: int,
    smoothing: float,
) -> NDArray[np.float64]:
    """The face nearest to that of the frame before, and moved a part of the way to it.

    A face that is further than its own size from where it was is another scene's.
    """
    if before is None:
        return found[0]
    middle = np.full(2, (size - 1) / 2.0)
    # Corners of the crop in the picture, which can be averaged where matrices cannot.
    inverses = [_invert(matrix) for matrix in found]
    last = _invert(before)
    centers = [inverse[:, :2] @ middle + inverse[:, 2] for inverse in inverses]
    distances = [
        float(np.linalg.norm(c - (last[:, :2] @ middle + last[:, 2]))) for c in centers
    ]
    nearest = int(np.argmin(distances))
    if distances[nearest] > size / matrix_scale(before):
        return found[0]
    return _invert(smoothing * last + (1.0 - smoothing) * inverses[nearest])


def _invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])
