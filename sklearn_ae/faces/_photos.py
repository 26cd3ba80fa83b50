"""Put a face back into its photo, with neither a box nor an edge of colours to see."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._blending import (
    COLORS,
    WHOLE_OVAL,
    Outline,
    match_colors,
    match_detail,
    sharpen_face,
    shown,
)
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
    invert,
    matrix_scale,
    similarity,
)
from ._input import as_float
from ._landmarks import detect_mtcnn, has_mtcnn
from ._pictures import in_colors, to_uint8

BLENDS = ("feather", "seamless")
# Of a swapped face's eyes, in distances of the eyes.
_LEAST_MOVE, _LARGEST_MOVE = 0.01, 0.2
_TRIES = 4
_LONGEST_REGION = 400  # pixels, of what they are looked for in

Swap = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Place:
    """Where a face is: from the photo to its crop (2, 3), and its outline in that."""

    matrix: NDArray[np.float64]
    outline: Outline = WHOLE_OVAL


@dataclass(frozen=True)
class PhotoOptions:
    """How faces are found in a photo, and how they are put back."""

    color: str | None = "lab"
    sharpen: float | None = None
    blend: str = "feather"
    coverage: float = COVERAGE
    detector: Any = None
    on_no_face: str = "raise"
    which: Any = "largest"
    keep_eyes: bool = False  # not in films: what is found anew in each frame trembles

    def check(self) -> None:
        if self.color not in COLORS:
            raise ValueError(
                f'color must be "lab", "mean", "hist" or None; got {self.color!r}.'
            )
        if self.blend not in BLENDS:
            raise ValueError(
                f'blend must be "feather" or "seamless"; got {self.blend!r}.'
            )
        if self.sharpen is not None and not 0 <= self.sharpen < np.inf:
            raise ValueError(f"sharpen must be None, 0 or more; got {self.sharpen!r}.")
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
    own: Swap | None = None,
) -> NDArray[Any]:
    """The photo with faces swapped: of its shape and type, its other pixels the same.

    Parameters
    ----------
    swap : callable
        From crops (n, size, size, channels) in [0, 1] to such crops.

    face_shape : tuple of int
        Height, width and channels of a crop.

    own : callable or None
        From crops to what the decoder that knows the person best makes of them.
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
    places = [
        find_place(
            np.zeros(4) if landmarks is not None else boxes[number],
            None if landmarks is None else landmarks[number],
            size,
            options.coverage,
        )
        for number in (choose_faces(n, options.which) if chosen is None else chosen)
    ]
    return put_faces(swap, size, face_shape[2], image, photo, places, options, own)


def find_place(
    box: NDArray[np.float64],
    landmarks: NDArray[np.float64] | None,
    size: int,
    coverage: float,
) -> Place:
    """The place of a box, or of landmarks, of which five give an outline too."""
    matrix = face_matrix(box, landmarks, size, coverage)
    if landmarks is None or len(landmarks) != 5:
        return Place(matrix)
    points = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return Place(matrix, Outline((points + 0.5) / size))


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
    places: list[Place],
    options: PhotoOptions,
    own: Swap | None,
) -> NDArray[Any]:
    """Swap the faces at these places of the photo."""
    is_grey = photo.ndim == 2
    canvas = as_float(in_colors(photo))  # (h, w, 3)
    crops = np.stack([cut_face(canvas, place.matrix, size) for place in places])
    crops = np.clip(crops, 0.0, 1.0)
    given = crops if n_channels == 3 else crops.mean(axis=3, keepdims=True)
    given = given.astype(np.float32)

    def made_by(network: Swap) -> NDArray[np.float32]:
        made = np.asarray(network(given), dtype=np.float32).reshape(given.shape)
        if is_grey:
            made = made.mean(axis=3, keepdims=True)
        return np.broadcast_to(made, crops.shape)

    swapped, of_source = made_by(swap), None if own is None else made_by(own)
    result = canvas
    for number, (crop, face, place) in enumerate(
        zip(crops, swapped, places, strict=True)
    ):
        seen = None if of_source is None else shown(crop, of_source[number])
        put = partial(_put_face, result, crop, place, options, seen)
        if options.keep_eyes and place.outline.points is not None:
            eyes = size * place.outline.points[:2] - 0.5
            find = partial(_eyes_around, place.matrix, size)
            result = _with_eyes_at(face, eyes, find, put)
        else:
            result = put(face)
    return _as_given(image, canvas, result)


def _put_face(
    canvas: NDArray[np.float32],
    crop: NDArray[np.float32],
    at: Place,
    options: PhotoOptions,
    seen: NDArray[np.float32] | None,
    face: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The canvas with a swapped face in the place and the colours of the crop."""
    size = len(crop)
    skin = at.outline.skin(size) & _in_photo(at.matrix, size, canvas.shape)
    face = sharpen_face(face, options.sharpen or 0.0)
    face = match_colors(face, crop, options.color, skin)
    return paste_face(canvas, face, at, options, seen)


def _eyes_of(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """The eyes (n, 2, 2) of the faces that are found in a picture."""
    return detect_mtcnn(to_uint8(picture))[1][:, :2]


def _with_eyes_at(
    face: NDArray[np.float32],
    eyes: NDArray[np.float64],
    find: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    put: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """What `put` makes of a face whose eyes are moved to these places (2, 2).

    A network puts them nearly there: where most people have them, by five landmarks.
    The face is shifted, turned and scaled. ``find`` gives the eyes as they are found
    where it is to be seen. That is not quite exact, so the nearest of a few tries
    counts.
    """
    if not has_mtcnn():
        return put(face)
    cv2 = import_cv2()
    matrix, moved, least = np.eye(2, 3), face, np.inf
    nearest: NDArray[np.float32] | None = None
    distance = np.linalg.norm(eyes[1] - eyes[0])
    for _ in range(_TRIES):
        shown = put(moved)
        nearest = shown if nearest is None else nearest
        found = find(shown)
        if not len(found):
            break
        off = np.linalg.norm(found - eyes, axis=2).max(axis=1)
        if off.min() < least:
            nearest, least = shown, off.min()
        if not _LEAST_MOVE * distance < off.min() < _LARGEST_MOVE * distance:
            break  # they are there, or that is something else
        step = similarity(found[off.argmin()], eyes)
        matrix = step @ np.vstack([matrix, [0.0, 0.0, 1.0]])
        moved = cv2.warpAffine(
            np.ascontiguousarray(face),
            matrix,
            face.shape[1::-1],
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        moved = np.clip(moved, 0.0, 1.0)
    assert nearest is not None
    return nearest


def _eyes_around(
    matrix: NDArray[np.float64], size: int, photo: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The eyes (n, 2, 2), in pixels of its crop, around the place of a face."""
    cv2 = import_cv2()
    left, top, width, height = _bounds(matrix, size)
    around = width // 4
    left, top = max(0, left - around), max(0, top - around)
    region = photo[top : top + height + 2 * around, left : left + width + 2 * around]
    if not region.size:  # a face that is named beside the photo
        return np.empty((0, 2, 2))
    shrink = min(1.0, _LONGEST_REGION / max(region.shape[:2]))
    if shrink < 1.0:
        region = cv2.resize(
            region, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA
        )
    eyes = (_eyes_of(region) + 0.5) / shrink - 0.5 + [left, top]
    return eyes @ matrix[:, :2].T + matrix[:, 2]


def _in_photo(
    matrix: NDArray[np.float64], size: int, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Which pixels of a crop are of the photo: over its border they are mirrored."""
    inverse = invert(matrix)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    left, top = (row[0] * x + row[1] * y + row[2] for row in inverse)
    return (left >= 0) & (left <= shape[1] - 1) & (top >= 0) & (top <= shape[0] - 1)


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


# Blending -----------------------------------------------------------------------------


def paste_face(
    canvas: NDArray[np.float32],
    face: NDArray[np.float32],
    at: Place,
    options: PhotoOptions,
    seen: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """The canvas (h, w, 3) with the face (size, size, 3) at its place.

    Of a face that something hides, only what is seen is replaced.
    """
    cv2 = import_cv2()
    size, matrix = face.shape[0], at.matrix
    left, top, width, height = _bounds(matrix, size)
    # From pixels of the patch, which may reach over the canvas, to those of the crop.
    place = matrix.copy()
    place[:, 2] += matrix[:, :2] @ [left, top]

    def to_patch(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.warpAffine(
            image,
            place,
            (width, height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )

    scale = matrix_scale(matrix)
    if scale > 1.0:  # the face gets smaller: each pixel a mean
        face = cv2.GaussianBlur(face, (0, 0), 0.5 * scale)
    patch = np.clip(to_patch(face), 0.0, 1.0)
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    in_crop = [
        (place[axis, 0] * x + place[axis, 1] * y + place[axis, 2] + 0.5) / size
        for axis in (0, 1)
    ]
    alpha = at.outline.mask(*in_crop).astype(np.float32)
    if seen is not None:
        alpha = alpha * np.clip(to_patch(seen), 0.0, 1.0)

    below = _reach(canvas, left, top, width, height)
    if options.sharpen is None:
        patch = match_detail(patch, below, alpha)
    alpha = alpha[:, :, None]
    if options.blend == "seamless":
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
    back = invert(matrix)
    ends = np.array([[x, y] for x in (-0.5, size - 0.5) for y in (-0.5, size - 0.5)])
    corners = ends @ back[:, :2].T + back[:, 2]  # (4, 2)
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
