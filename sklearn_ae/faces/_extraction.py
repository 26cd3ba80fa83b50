"""From folders of pictures to crops of faces."""

import warnings
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_scalar

from .._utils.types import DetectorName
from ._crops import (
    COVERAGE,
    NoFaceError,
    check_photo,
    cut_face,
    face_matrix,
    find_detector,
    find_faces,
    import_cv2,
)
from ._films import iterate_pictures
from ._pictures import in_colors

_NAMED = 10  # files named in a warning, of any number
SMALLEST_FACE = 40  # pixels: of fewer there is nothing to learn from


@dataclass
class ExtractedFaces:
    """Faces cut out of pictures, and where they were.

    Parameters
    ----------
    faces : ndarray of shape (n_faces, size, size, 3), uint8
        The crops.

    boxes : ndarray of shape (n_faces, 4)
        Left, top, width and height in the picture, as the detector gave them.

    matrices : ndarray of shape (n_faces, 2, 3)
        From places in the picture to places in the crop, in pixels.

    sources : list of str or int
        The file of each face, or the number of its picture or frame.

    skipped : dict of str to str
        What gave no face, with the reason.

    See Also
    --------
    extract_faces : Makes them.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from sklearn_ae.faces import extract_faces
    >>> extracted = extract_faces(astronaut())
    >>> len(extracted), extracted.faces.shape
    (1, (1, 64, 64, 3))
    """

    faces: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    matrices: NDArray[np.float64]
    sources: list[Any]
    skipped: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.faces)


class FaceExtractor:
    """Find faces in pictures and cut them out alike.

    Parameters
    ----------
    size : int, default=64
        Side of the crops in pixels.

    which : {"largest", "all"}, default="largest"
        Faces of a picture to take.

    coverage : float, default=1.1
        Side of a crop over that of the detector's box.

    detector : {"mtcnn", "lbp", "haar"}, callable or None, default=None
        "mtcnn" finds landmarks too, and needs the extra ``landmarks``; "lbp" is
        scikit-image's cascade; "haar" OpenCV's, which wheels of version 4 bring. None
        takes "mtcnn" where it is installed, else "lbp". A callable is given a picture
        (h, w, 3) and returns boxes (n, 4), or boxes and landmarks (n, 2, 2) of the eyes
        or (n, 5, 2) of eyes, nose and corners of the mouth, to which faces are aligned.

    verbose : int, default=0
        Whether to show a progress bar.

    See Also
    --------
    extract_faces : The same as a function.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from sklearn_ae.faces import FaceExtractor
    >>> extracted = FaceExtractor(size=32).extract([astronaut(), astronaut()])
    >>> extracted.sources, extracted.faces.shape
    ([0, 1], (2, 32, 32, 3))
    """

    def __init__(
        self,
        size: int = 64,
        *,
        which: Literal["largest", "all"] = "largest",
        coverage: float = COVERAGE,
        detector: DetectorName = None,
        verbose: int = 0,
    ) -> None:
        self.size = size
        self.which = which
        self.coverage = coverage
        self.detector = detector
        self.verbose = verbose

    def extract(self, pictures: Any) -> "ExtractedFaces":
        """Cut the faces out of pictures.

        Parameters
        ----------
        pictures : path, ndarray or sequence
            A folder of pictures, a picture file or a video file (with the extra
            ``video``); a picture or frames as arrays, uint8 or floats in [0, 1]; or a
            sequence of paths or arrays.

        Returns
        -------
        extracted : ExtractedFaces
            Crops, boxes, matrices and sources.

        Raises
        ------
        NoFaceError
            Where no picture shows a face.

        Warns
        -----
        UserWarning
            Where some pictures could not be read, or show no face: they are skipped.
        """
        import_cv2("Cutting out faces")
        check_scalar(self.size, "size", Integral, min_val=1)
        if self.which not in ("largest", "all"):
            raise ValueError(f'which must be "largest" or "all"; got {self.which!r}.')
        if not self.coverage > 0:
            raise ValueError(f"coverage must be positive; got {self.coverage!r}.")
        detector = find_detector(self.detector)
        skipped: dict[str, str] = {}
        items, n_items = iterate_pictures(pictures, skipped)
        if self.verbose:
            from tqdm.auto import tqdm

            items = tqdm(items, total=n_items, unit="picture")
        faces, boxes, matrices, sources = [], [], [], []
        for name, image in items:
            photo = in_colors(check_photo(image))
            found, landmarks = find_faces(photo, detector)
            reason = _reason_to_skip(photo, found)
            if reason:
                skipped[str(name)] = reason
                continue
            for number in range(len(found) if self.which == "all" else 1):
                if _side(found[number]) < SMALLEST_FACE:
                    continue
                points = None if landmarks is None else landmarks[number]
                matrix = face_matrix(found[number], points, self.size, self.coverage)
                faces.append(np.clip(cut_face(photo, matrix, self.size), 0, 255))
                boxes.append(found[number])
                matrices.append(matrix)
                sources.append(name)
        if not faces:
            raise NoFaceError(
                f"No face was found in {len(skipped)} pictures. " + _tell(skipped)
            )
        if skipped:
            warnings.warn(
                f"{len(skipped)} pictures gave no face and were skipped. "
                + _tell(skipped),
                UserWarning,
                stacklevel=2,
            )
        return ExtractedFaces(
            np.stack(faces), np.array(boxes), np.array(matrices), sources, skipped
        )


def extract_faces(
    pictures: Any,
    size: int = 64,
    *,
    which: Literal["largest", "all"] = "largest",
    coverage: float = COVERAGE,
    detector: DetectorName = None,
    verbose: int = 0,
) -> ExtractedFaces:
    """Find faces in pictures and cut them out alike.

    Parameters
    ----------
    pictures : path, ndarray or sequence
        A folder of pictures, a picture file or a video file (with the extra ``video``);
        a picture or frames as arrays, uint8 or floats in [0, 1]; or a sequence of paths
        or arrays.

    size : int, default=64
        Side of the crops in pixels.

    which : {"largest", "all"}, default="largest"
        Faces of a picture to take.

    coverage : float, default=1.1
        Side of a crop over that of the detector's box.

    detector : {"mtcnn", "lbp", "haar"}, callable or None, default=None
        As in `FaceExtractor`.

    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    extracted : ExtractedFaces
        Crops, boxes, matrices and sources.

    Raises
    ------
    NoFaceError
        Where no picture shows a face.

    Warns
    -----
    UserWarning
        Where some pictures could not be read, or show no face: they are skipped.

    See Also
    --------
    sklearn_ae.FaceSwapper : Learns from the crops.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from sklearn_ae.faces import extract_faces
    >>> extracted = extract_faces(astronaut(), size=32, detector="lbp")
    >>> extracted.faces.shape, extracted.boxes.round(-1).tolist()
    ((1, 32, 32, 3), [[170.0, 60.0, 100.0, 100.0]])
    """
    return FaceExtractor(
        size, which=which, coverage=coverage, detector=detector, verbose=verbose
    ).extract(pictures)


def _side(box: NDArray[np.float64]) -> float:
    """Mean of a box's sides, which are not the same to every detector."""
    return float(box[2] + box[3]) / 2.0


def _reason_to_skip(photo: NDArray[Any], boxes: NDArray[np.float64]) -> str:
    """Why a picture gives no face, if it does not."""
    needed = f"at least {SMALLEST_FACE} are needed"
    if len(boxes):
        side = max(_side(box) for box in boxes)
        if side >= SMALLEST_FACE:
            return ""
        return f"the face has {side:.0f} pixels, and {needed}"
    height, width = photo.shape[:2]
    if min(height, width) < SMALLEST_FACE:
        return f"no face was found in {width} x {height} pixels; {needed}"
    return "no face was found"


def _tell(skipped: dict[str, str]) -> str:
    named = [f"{name}: {reason}" for name, reason in list(skipped.items())[:_NAMED]]
    left = len(skipped) - len(named)
    return "; ".join(named) + (f"; and {left} more." if left else ".")
