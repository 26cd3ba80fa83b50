"""Swap a face in frames, one after the other: it is followed, and does not tremble."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._blending import Outline
from ._crops import (
    NoFaceError,
    check_photo,
    find_detector,
    find_faces,
    import_cv2,
    invert,
    matrix_scale,
)
from ._photos import (
    PhotoOptions,
    Place,
    Swap,
    check_face_shape,
    find_place,
    put_faces,
)

# Side of the grey pictures by which frames are compared, and their mean absolute
# difference from which a frame is of another scene.
_SMALL, _CUT = 32, 0.18


def swap_video(
    swap: Swap,
    face_shape: tuple[int, int, int],
    frames: Iterable[Any],
    options: PhotoOptions,
    smoothing: float,
    max_gap: int,
    own: Swap | None = None,
) -> Iterator[NDArray[Any]]:
    """Frames with the largest face, or the one followed so far, swapped.

    A place is the mean of that found and the place before, weighted by ``smoothing``.
    Where no face is found, the last place holds for ``max_gap`` frames, but not in
    another scene.
    """
    import_cv2("Swapping faces in videos")
    options.check()  # now, not with the first frame
    size = check_face_shape(face_shape)
    follower = _Follower(size, smoothing, max_gap)
    return _swap_frames(swap, face_shape, frames, options, follower, own)


def _swap_frames(
    swap: Swap,
    face_shape: tuple[int, int, int],
    frames: Iterable[Any],
    options: PhotoOptions,
    follower: "_Follower",
    own: Swap | None,
) -> Iterator[NDArray[Any]]:
    detector = find_detector(options.detector)
    size, _, n_channels = face_shape
    for number, frame in enumerate(frames):
        photo = check_photo(frame, n_channels)
        boxes, landmarks = find_faces(photo, detector)
        found = [
            find_place(
                box, None if landmarks is None else landmarks[i], size, options.coverage
            )
            for i, box in enumerate(boxes)
        ]
        place = follower.follow(photo, found)
        if place is None:
            if options.on_no_face == "raise":
                raise NoFaceError(
                    f"No face was found in frame {number}. With "
                    'on_no_face="unchanged" such frames stay as they are.'
                )
            yield np.array(frame)
            continue
        yield put_faces(swap, size, n_channels, frame, photo, [place], options, own)


@dataclass
class _Follower:
    """Where the face is, frame by frame."""

    size: int
    smoothing: float
    max_gap: int
    last: Place | None = None
    n_missing: int = 0
    small: NDArray[np.float64] | None = None

    def follow(self, photo: NDArray[np.uint8], found: list[Place]) -> Place | None:
        """The face's place in the next frame, if it has one."""
        if self.is_cut(photo):
            self.last = None
        if found:
            self.last, self.n_missing = self.move(found), 0
        else:
            self.n_missing += 1
            if self.n_missing > self.max_gap:
                self.last = None
        return self.last

    def is_cut(self, photo: NDArray[np.uint8]) -> bool:
        """Whether the frame looks so unlike the one before that it is another scene."""
        cv2 = import_cv2()
        grey = photo if photo.ndim == 2 else photo.mean(axis=2)
        small = cv2.resize(
            grey.astype(np.float64) / 255.0,
            (_SMALL, _SMALL),
            interpolation=cv2.INTER_AREA,
        )
        before, self.small = self.small, small
        return before is not None and float(np.abs(small - before).mean()) > _CUT

    def move(self, found: list[Place]) -> Place:
        """The face nearest to that of the frame before, moved a part of the way to it.

        A face that is further than its own size from where it was is another scene's.
        """
        if self.last is None:
            return found[0]
        middle = np.full(2, (self.size - 1) / 2.0)
        # Corners of the crop in the picture can be averaged where matrices cannot.
        inverses = [invert(place.matrix) for place in found]
        last = invert(self.last.matrix)
        centers = [inverse[:, :2] @ middle + inverse[:, 2] for inverse in inverses]
        here = last[:, :2] @ middle + last[:, 2]
        distances = [float(np.linalg.norm(center - here)) for center in centers]
        nearest = int(np.argmin(distances))
        if distances[nearest] > self.size / matrix_scale(self.last.matrix):
            return found[0]
        share = self.smoothing
        matrix = invert(share * last + (1.0 - share) * inverses[nearest])
        before, now = self.last.outline.points, found[nearest].outline.points
        if before is None or now is None:
            return Place(matrix, found[nearest].outline)
        return Place(matrix, Outline(share * before + (1.0 - share) * now))
