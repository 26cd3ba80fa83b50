"""Where faces are in a picture, and how they are cut out: needs the extra ``faces``.

Pixels are counted from the left and from the top, and the middle of the first is 0, as
OpenCV has it. A box is (left, top, width, height), in pixels. A face's matrix (2, 3)
takes a place in the picture to its place in the crop.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._utils.extras import import_extra
from ._landmarks import detect_mtcnn, has_mtcnn
from ._pictures import in_colors, to_uint8

# Side of a crop over that of the box: the detector's box ends at chin and hair.
COVERAGE = 1.1
# Longest side of a shrunken picture, smallest face as a share of it, and overlapping
# finds that a face must have: large faces first, which hardly anything looks like.
_TRIES = ((480, 0.15, 4), (600, 0.04, 6), (600, 0.04, 3), (1200, 0.02, 6))
# A picture is searched in these sizes, and what is a face is found in more than one.
_SIZES = (1.0, 5.0 / 6.0, 2.0 / 3.0)
_SMALLEST = 24  # pixels of the cascade's window
# Where landmarks lie in a detector's box: eyes; eyes, nose and corners of the mouth.
# The places of five, to each other, are those of 432 press photographs (medians).
_EYES = ((0.32, 0.37), (0.68, 0.37))
_FIVE = (*_EYES, (0.5, 0.568), (0.348, 0.759), (0.652, 0.759))
_LANDMARKS = {2: np.array(_EYES), 5: np.array(_FIVE)}


class NoFaceError(ValueError):
    """No face was found in a picture, or none where one was asked for.

    See Also
    --------
    extract_faces : Raises it where no picture shows a face.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ae.faces import NoFaceError, extract_faces
    >>> try:
    ...     extract_faces(np.zeros((100, 100, 3)))
    ... except NoFaceError as error:
    ...     print(error)
    No face was found in 1 pictures. 0: no face was found.
    """


def import_cv2(user: str = "sklearn_ae.faces") -> Any:
    """Import OpenCV, or say what to install."""
    return import_extra("cv2", extra="faces", user=user)


def check_photo(image: Any, n_channels: int | None = None) -> NDArray[np.uint8]:
    """The photo as whole numbers to 255, (h, w) or (h, w, 3).

    With the channels of a model, raise where it cannot show such a photo.
    """
    photo = np.asarray(image)
    if photo.ndim == 3 and photo.shape[2] == 1:
        photo = photo[:, :, 0]
    is_picture = photo.ndim == 2 or (photo.ndim == 3 and photo.shape[2] == 3)
    if not is_picture or 0 in photo.shape:
        raise ValueError(
            "A photo must have shape (height, width) or (height, width, 3); got "
            f"{np.shape(image)}."
        )
    if n_channels == 1 and photo.ndim == 3:
        raise ValueError(
            "FaceSwapper was fitted to grey faces and the photo is in colours: convert "
            "it to grey, or fit to faces in colours."
        )
    if photo.dtype == np.uint8:
        return photo
    if photo.dtype.kind != "f" or not np.isfinite(photo).all():
        raise ValueError(
            f"A photo must hold uint8, or finite floats in [0, 1]; got {photo.dtype}."
        )
    low, high = photo.min(), photo.max()
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(
            "A photo must hold uint8, or floats in [0, 1]; it has values from "
            f"{low:g} to {high:g}."
        )
    return to_uint8(photo)


# Finding ------------------------------------------------------------------------------

Detector = Callable[[NDArray[Any]], Any]


def find_detector(detector: Any) -> Detector:
    """The detector named, or the callable given."""
    if detector is None:
        detector = default_detector()
    if detector == "mtcnn":
        return detect_mtcnn
    if detector == "lbp":
        return detect_lbp
    if detector == "haar":
        return detect_haar
    if callable(detector):
        return detector
    raise ValueError(
        'detector must be None, "mtcnn", "lbp", "haar" or a callable that takes a '
        f"picture and returns boxes, or boxes and landmarks; got {detector!r}."
    )


def default_detector() -> Literal["mtcnn", "lbp"]:
    """The best detector of those installed."""
    return "mtcnn" if has_mtcnn() else "lbp"


def detect_lbp(image: NDArray[Any]) -> NDArray[np.float64]:
    """Boxes (n, 4) of upright faces by scikit-image's cascade of local patterns."""
    in_doubt = np.empty((0, 4))
    for longest, smallest, n_neighbors in _TRIES:
        longest = min(longest, max(image.shape[:2]))
        boxes = [
            _run_lbp(image, round(longest * size), smallest, n_neighbors)
            for size in _SIZES
        ]
        merged, n_found = merge_boxes(np.concatenate(boxes))
        if (n_found > 1).any():
            return merged[n_found > 1]
        if not len(in_doubt):
            in_doubt = merged
    return in_doubt


def _run_lbp(
    image: NDArray[Any], longest: int, smallest: float, n_neighbors: int
) -> NDArray[np.float64]:
    small, scale = _shrink(image, longest)
    least = max(_SMALLEST, round(smallest * longest))
    if min(small.shape[:2]) < least:
        return np.empty((0, 4))
    found = _load_lbp().detect_multi_scale(
        small,
        scale_factor=1.1,
        step_ratio=1,
        min_size=(least, least),
        max_size=(min(small.shape[:2]),) * 2,
        min_neighbor_number=n_neighbors,
    )
    boxes = [[face["c"], face["r"], face["width"], face["height"]] for face in found]
    return np.array(boxes, dtype=float).reshape(-1, 4) / scale


@lru_cache(maxsize=1)
def _load_lbp() -> Any:
    feature = import_extra("skimage.feature", extra="faces", user="Finding faces")
    data = import_extra("skimage.data", extra="faces", user="Finding faces")
    return feature.Cascade(data.lbp_frontal_face_cascade_filename())


def detect_haar(image: NDArray[Any]) -> NDArray[np.float64]:
    """Boxes (n, 4) by OpenCV's Haar cascade, where the installed OpenCV has it."""
    cascade = _load_haar()
    small, scale = _shrink(image, 400)
    grey = import_cv2().cvtColor(small, import_cv2().COLOR_RGB2GRAY)
    found = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5)
    return merge_boxes(np.array(found, dtype=float).reshape(-1, 4) / scale)[0]


@lru_cache(maxsize=1)
def _load_haar() -> Any:
    cv2 = import_cv2()
    path = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path += "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(path) if hasattr(cv2, "CascadeClassifier") else None
    if cascade is None or cascade.empty():
        raise ValueError(
            f"OpenCV {cv2.__version__} has no Haar cascades (those of version 4 have): "
            'use detector="lbp", or a callable.'
        )
    return cascade


def _shrink(image: NDArray[Any], longest: int) -> tuple[NDArray[Any], float]:
    """The picture with sides of at most so many pixels, in colours, and its scale."""
    cv2 = import_cv2()
    image = in_colors(image)
    height, width = image.shape[:2]
    scale = min(1.0, longest / max(height, width))
    if scale < 1.0:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return image, scale


def merge_boxes(
    boxes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Medians of boxes (n, 4) that overlap, the largest first, and of how many each."""
    boxes = boxes[np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")]
    groups: list[list[NDArray[np.float64]]] = []
    for box in boxes:
        for group in groups:
            if _overlap(box, group[0]) > 0.5:
                group.append(box)
                break
        else:
            groups.append([box])
    merged = np.array([np.median(group, axis=0) for group in groups]).reshape(-1, 4)
    counts = np.array([len(group) for group in groups], dtype=np.int64)
    order = np.argsort(-merged[:, 2] * merged[:, 3], kind="stable")
    return merged[order], counts[order]


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Common area as a share of the smaller box."""
    sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    common = np.prod(np.clip(sides, 0.0, None))
    return float(common / min(np.prod(a[2:]), np.prod(b[2:])))


def check_boxes(boxes: Any) -> NDArray[np.float64]:
    """Boxes as (n, 4); one box may be given by itself."""
    array = np.asarray(boxes, dtype=float)
    if array.size == 0:
        return np.empty((0, 4))
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise ValueError(
            "boxes must be finite numbers of shape (n_faces, 4): left, top, width and "
            f"height in pixels; got {boxes!r}."
        )
    if (array[:, 2:] <= 0).any():
        raise ValueError(f"boxes must have a width and a height; got {boxes!r}.")
    return array


def check_landmarks(landmarks: Any) -> NDArray[np.float64] | None:
    """Landmarks as (n, k, 2), k = 2 or 5; those of one face may be given alone."""
    if landmarks is None:
        return None
    array = np.asarray(landmarks, dtype=float)
    array = array[None] if array.ndim == 2 else array
    is_known = array.ndim == 3 and array.shape[1] in _LANDMARKS and array.shape[2] == 2
    if not is_known or not np.isfinite(array).all():
        raise ValueError(
            "landmarks must be finite numbers of shape (n_faces, 2, 2), the eyes, left "
            "in the picture first, or (n_faces, 5, 2), eyes, nose and corners of the "
            f"mouth; got shape {array.shape}."
        )
    return array


def find_faces(
    image: NDArray[Any], detector: Detector
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Boxes (n, 4) and, where the detector gives them, landmarks (n, k, 2)."""
    found = detector(image)
    if isinstance(found, tuple) and len(found) == 2:
        boxes, landmarks = check_boxes(found[0]), found[1]
        landmarks = check_landmarks(landmarks) if len(boxes) else None
        if landmarks is not None and len(landmarks) != len(boxes):
            raise ValueError(
                f"The detector gave {len(boxes)} boxes and landmarks of "
                f"{len(landmarks)} faces."
            )
        return boxes, landmarks
    return check_boxes(found), None


# Cutting ------------------------------------------------------------------------------


def face_matrix(
    box: NDArray[np.float64],
    landmarks: NDArray[np.float64] | None,
    size: int,
    coverage: float = COVERAGE,
) -> NDArray[np.float64]:
    """From the picture to a crop of size x size pixels: (2, 3).

    The box's middle is the crop's, and upright stays upright. Landmarks decide instead,
    where there are any: shift, rotation and scale that bring them nearest to where a
    face has them.
    """
    if landmarks is None:
        side = coverage * (box[2] + box[3]) / 2.0
        scale = size / side
        corner = box[:2] + box[2:] / 2.0 - side / 2.0
        # The middle of a pixel is half a pixel from its edge, whatever its size.
        shift = (0.5 - corner) * scale - 0.5
        return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
    wanted = 0.5 + (_LANDMARKS[len(landmarks)] - 0.5) / coverage
    return similarity(landmarks, wanted * size - 0.5)


def similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least-squares shift, rotation and scale from points (k, 2) to points (k, 2).

    With points as complex numbers, target = a * source + b.
    """
    p, q = source @ [1, 1j], target @ [1, 1j]
    centred = p - p.mean()
    spread = np.vdot(centred, centred).real
    if spread <= 0:
        raise ValueError(f"landmarks must be apart; got {source.tolist()}.")
    a = np.vdot(centred, q - q.mean()) / spread
    b = q.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def matrix_scale(matrix: NDArray[np.float64]) -> float:
    """Pixels of the crop per pixel of the picture."""
    return float(np.sqrt(np.abs(np.linalg.det(matrix[:, :2]))))


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the crop back to the picture: (2, 3)."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def cut_face(
    image: NDArray[Any], matrix: NDArray[np.float64], size: int
) -> NDArray[Any]:
    """The crop (size, size[, channels]); over the border the picture is mirrored."""
    cv2 = import_cv2()
    # A shrinking crop is sampled finely first, so that each pixel is a mean.
    n_fine = max(1, int(np.ceil(1.0 / matrix_scale(matrix))))
    fine = matrix * n_fine
    fine[:, 2] += (n_fine - 1) / 2.0
    crop = cv2.warpAffine(
        image,
        fine,
        (size * n_fine, size * n_fine),
        flags=cv2.INTER_LINEAR if n_fine > 1 else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if n_fine > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return crop


def choose_faces(n: int, which: Any) -> list[int]:
    """Numbers of the faces asked for, of n that are sorted by size."""
    if isinstance(which, str) and which in ("largest", "all"):
        return list(range(n)) if which == "all" else [0]
    if isinstance(which, int | np.integer) and not isinstance(which, bool):
        if not -n <= which < n:
            raise NoFaceError(f"which={which}, but there are {n} faces.")
        return [int(which) % n]
    raise ValueError(
        'which must be "largest", "all" or the number of a face, the largest being 0; '
        f"got {which!r}."
    )
