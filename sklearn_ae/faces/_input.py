"""What a `FaceSwapper` takes: faces as rows or pictures, and whose they are."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data

from .._networks.images import ImageShape, check_image_shape
from .._utils.warnings import warn
from ._modules import LARGEST_LAST_SIDE, n_halvings

# Below so many pictures of a person, a decoder learns these rather than the person.
FEW_PICTURES = 25


@dataclass(frozen=True)
class FaceTable:
    """What a fit is of, for its checkpoint."""

    X: np.ndarray
    identities: np.ndarray  # (n,), numbers
    names: str


class FaceInput:
    """The checks of faces and identities: a part of `FaceSwapper`."""

    image_shape: Any
    image_shape_: ImageShape
    classes_: np.ndarray
    _layout: tuple[int, ...]

    def _validate_faces(self, X: Any, *y: Any, reset: bool) -> Any:
        """Faces as rows (n, d), uint8 or floats in [0, 1]; with y, both."""
        X, shape = with_shape(X)
        is_uint8 = getattr(X, "dtype", None) == np.uint8
        if len(shape) in (3, 4):
            shape = (*shape, 1)[:4]
            if not shape[0]:
                raise ValueError("X holds no faces: 0 sample(s), at least 1 expected.")
            X = np.asarray(X).reshape(shape[0], -1)
        elif len(shape) > 4:
            raise ValueError(
                "X must be faces of shape (n_samples, n_features), (n_samples, height, "
                f"width) or (n_samples, height, width, channels); got {shape}."
            )
        check = partial(
            validate_data,
            self,
            dtype=np.uint8 if is_uint8 else [np.float64, np.float32],
            reset=reset,
        )
        if y:
            # The check of y is scikit-learn's, for numbers and for names.
            labels = self._validate_labels(y[0])
            if not reset:
                self._check_face_shape(shape)
            X = check(X)
            check_consistent_length(X, labels)
        else:
            self._check_face_shape(shape)
            X = check(X)
        X = self._to_unit_interval(X)
        if reset:
            image_shape = self._find_image_shape(shape, X.shape[1])
            self.image_shape_ = image_shape
            self._layout = _find_layout(shape, image_shape)
        return (X, labels) if y else X

    def _validate_labels(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(
                "FaceSwapper requires y to be passed, but the target y is None: it "
                "says whose face each is."
            )
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return y

    def _check_face_shape(self, shape: tuple[int, ...]) -> None:
        """Raise where pictures differ in shape from those of the fit."""
        if len(shape) == 4 and shape[1:] != self.image_shape_:
            raise ValueError(
                f"FaceSwapper was fitted to faces of shape {self.image_shape_} "
                f"(height, width, channels); X has faces of shape {shape[1:]}."
            )

    def _to_unit_interval(self, X: np.ndarray) -> np.ndarray:
        if X.dtype == np.uint8:
            return X
        low, high = X.min(), X.max()
        rounding = 8 * np.finfo(X.dtype).eps
        if low < -rounding or high > 1 + rounding:
            raise ValueError(
                "X must hold floats in [0, 1], or uint8; it has values from "
                f"{low:g} to {high:g}. Divide pictures that count to 255 by 255."
            )
        return X

    def _find_image_shape(self, shape: tuple[int, ...], n_features: int) -> ImageShape:
        """Height, width and channels of the training faces, which may be rows."""
        wanted = None
        if self.image_shape is not None:
            wanted = check_image_shape(self.image_shape)
        if len(shape) == 4:
            found = shape[1], shape[2], shape[3]
            if wanted not in (None, found):
                raise ValueError(
                    f"image_shape={self.image_shape!r}, but X has faces of shape "
                    f"{found}."
                )
        elif wanted is None:
            found = _square(n_features)
        else:
            found = wanted
        if math.prod(found) != n_features:
            raise ValueError(
                f"image_shape={self.image_shape!r} has {math.prod(found)} values, but "
                f"X has {n_features} features."
            )
        self._check_sides(found)
        return found

    def _check_sides(self, shape: ImageShape) -> None:
        height, width, n_channels = shape
        if n_channels not in (1, 3):
            raise ValueError(
                f"Faces must be grey (1 channel) or have 3 colours; got {n_channels} "
                f"channels, in faces of shape {shape}."
            )
        n = n_halvings(shape)
        last = height // 2**n, width // 2**n
        if not n or max(last) > LARGEST_LAST_SIDE:
            raise ValueError(
                f"The sides of a face must halve without a rest down to "
                f"{LARGEST_LAST_SIDE} pixels or fewer, as 64 and 128 do; {height} x "
                f"{width} halves to {last[0]} x {last[1]}. Resize the faces."
            )

    def _codes(self, labels: Any, n: int, argument: str) -> np.ndarray:
        """Numbers of decoders, one for each of n faces."""
        known = {name: code for code, name in enumerate(self.classes_.tolist())}
        labels = np.asarray(labels)
        if labels.ndim > 1 or (labels.ndim == 1 and len(labels) != n):
            raise ValueError(
                f"{argument} must be one identity, or one for each of {n} faces; got "
                f"shape {labels.shape}."
            )
        names = np.broadcast_to(labels, (n,)).tolist()
        unknown = list(dict.fromkeys(name for name in names if name not in known))
        if unknown:
            raise ValueError(
                f"{argument}: there is no decoder of {unknown[0]!r}; classes_ holds "
                f"{self.classes_.tolist()}."
            )
        return np.array([known[name] for name in names], dtype=int)


def find_identities(
    y: np.ndarray, classes: Any, known: np.ndarray | None
) -> np.ndarray:
    """The identities of a fit: those known, or else those given, or else those of y."""
    asked = y if classes is None else np.asarray(classes)
    if known is None:
        known = np.unique(asked)
    if len(known) < 2:
        raise ValueError(
            "FaceSwapper needs faces of at least two identities; y holds one "
            f"class: {known.tolist()}."
        )
    for names in (asked, y):
        unknown = sorted(set(names.tolist()) - set(known.tolist()))
        if unknown:
            raise ValueError(
                f"y holds {unknown}, which are not among the identities that the "
                f"networks were made for: {known.tolist()}. Use add_identity, "
                "or fit with warm_start=False."
            )
    return known


def check_counts(y: np.ndarray) -> None:
    names, counts = np.unique(y, return_counts=True)
    of_names = dict(zip(names.tolist(), counts.tolist(), strict=True))
    single = [name for name, n in of_names.items() if n < 2]
    if single:
        raise ValueError(
            "A person cannot be learned from one picture: there is only 1 sample "
            f"of {single}. At least {FEW_PICTURES} are advised."
        )
    few = {name: n for name, n in of_names.items() if n < FEW_PICTURES}
    if few:
        warn(
            f"Fewer than {FEW_PICTURES} pictures of {few}: a decoder learns these "
            "pictures rather than the person.",
            UserWarning,
        )


def _find_layout(shape: tuple[int, ...], image_shape: ImageShape) -> tuple[int, ...]:
    """Shape of a face as it is given back: a row, or what the pictures had."""
    if len(shape) == 2:
        return (shape[1],)
    return image_shape[: 2 if image_shape[2] == 1 else 3]


def with_shape(X: Any) -> tuple[Any, tuple[int, ...]]:
    """X, as an array where it has no shape itself, and its shape."""
    if not hasattr(X, "shape"):
        X = np.asarray(X)
    return X, tuple(X.shape)


def _square(n_features: int) -> ImageShape:
    """The shape of square pictures with so many values, grey or in colours."""
    for n_channels in (1, 3):
        side = math.isqrt(n_features // n_channels)
        if side * side * n_channels == n_features:
            return side, side, n_channels
    raise ValueError(
        f"Rows of {n_features} values are no square pictures, grey or in 3 colours: "
        "give image_shape=(height, width) or (height, width, channels)."
    )


def as_float(X: np.ndarray) -> np.ndarray:
    return X.astype(np.float32) / np.float32(255) if X.dtype == np.uint8 else X
