"""What a fitted `FaceSwapper` does with faces, photos and videos."""

from collections.abc import Iterable, Iterator
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils import check_array, check_scalar
from sklearn.utils.validation import check_is_fitted

from .._inference.latents import LatentDensity
from .._inference.precision import in_precision_of
from .._utils.device import steady_convolutions
from .._utils.random import make_random_state
from .._utils.types import DetectorName, RandomState
from ._crops import COVERAGE
from ._input import FaceInput, as_float, with_shape
from ._modules import FaceNetwork, to_unit_interval
from ._photos import PhotoOptions, swap_photo
from ._training import BLOCK
from ._videos import swap_video


class FaceSwaps(FaceInput, TransformerMixin):
    """The methods of `FaceSwapper` that need a fitted one, and change nothing.

    A transformer itself, as `set_output` rules only methods of classes that are one.
    """

    detector: Any
    random_state: Any
    module_: FaceNetwork
    n_components_: int
    _latent_density: LatentDensity

    def transform(self, X: Any) -> np.ndarray:
        """Encode faces, of whomever.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces, as in `fit`.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latents: float64 where X is, else float32.
        """
        check_is_fitted(self)
        X = self._validate_faces(X, reset=False)
        return self._compute(lambda network, x, _: network.encode(x), X)

    def inverse_transform(self, Z: Any, identity: Any) -> np.ndarray:
        """Decode latents as the faces of an identity.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Latents, as `transform` gives them.

        identity : str or int, or array-like of shape (n_samples,)
            One of ``classes_``, for all or for each.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces in [0, 1], laid out as the training faces were.
        """
        check_is_fitted(self)
        Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but FaceSwapper was fitted with "
                f"{self.n_components_} latents: one column per latent is expected."
            )
        codes = self._codes(identity, len(Z), "identity")
        faces = self._compute(FaceNetwork.decode, Z, codes)
        return faces.reshape(-1, *self._layout)

    def swap(self, X: Any, target: Any) -> np.ndarray:
        """Show the faces of X as those of another identity.

        With eigenfaces, they have as much fine detail as that identity's training
        faces have on average, within bounds; `reconstruct` leaves faces as decoded.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces, as in `fit`; of whomever.

        target : str or int, or array-like of shape (n_samples,)
            One of ``classes_``, for all or for each.

        Returns
        -------
        X_swapped : ndarray of the shape of X
            Faces in [0, 1]: float64 where X is, else float32.
        """
        return self._decode_as(X, target, "target", FaceNetwork.swap)

    def reconstruct(self, X: Any, y: Any) -> np.ndarray:
        """Encode faces and decode them as their own identity.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces, as in `fit`.

        y : str or int, or array-like of shape (n_samples,)
            Whose face each is, of ``classes_``.

        Returns
        -------
        X_reconstructed : ndarray of the shape of X
            Faces in [0, 1]: float64 where X is, else float32.
        """
        return self._decode_as(X, y, "y", FaceNetwork.forward)

    def swap_photo(
        self,
        image: Any,
        target: Any,
        *,
        which: Literal["largest", "all"] | int = "largest",
        boxes: Any = None,
        landmarks: Any = None,
        color: Literal["lab", "mean", "hist"] | None = "lab",
        sharpen: float | None = None,
        blend: Literal["feather", "seamless"] = "feather",
        coverage: float = COVERAGE,
        detector: DetectorName = None,
        on_no_face: Literal["raise", "unchanged"] = "raise",
    ) -> np.ndarray:
        """Swap faces in a whole photo: find, cut out, swap, match colours, put back.

        It needs the extra ``faces``, and a network of square faces that were cut out
        with the same ``coverage``. Nobody should be shown doing what they did not do
        without their consent, nor anybody take the result for a photo:
        `sklearn_ae.faces.write_picture` writes it with a word that it is synthetic.

        Parameters
        ----------
        image : array-like of shape (height, width) or (height, width, 3)
            The photo: uint8, or floats in [0, 1].

        target : str or int
            Who is to be seen, of ``classes_``.

        which : {"largest", "all"} or int, default="largest"
            Faces to swap; a number counts from the largest. All boxes given are
            swapped, unless a number picks one.

        boxes : array-like of shape (n_faces, 4) or None, default=None
            Left, top, width and height of faces in pixels; None finds them.

        landmarks : array-like of shape (n_faces, 2, 2) or (n_faces, 5, 2) or None, \
                default=None
            Places of the eyes, or of eyes, nose and corners of the mouth, where faces
            are to be aligned to them as they were in training.

        color : {"lab", "mean", "hist"} or None, default="lab"
            How the face takes the photo's colours: mean and spread in CIELAB, means of
            the channels, their histograms, or not at all. With five landmarks it is
            the skin that counts, without eyes and mouth.

        sharpen : float or None, default=None
            None gives the face as much detail and grain as what it replaces has. A
            number is the amount of unsharp masking instead; 0 leaves the face as it is.

        blend : {"feather", "seamless"}, default="feather"
            A soft rim, of an oval or by five landmarks of the face's outline, or
            Poisson blending.

        coverage : float, default=1.1
            Side of a crop over that of the box.

        detector : {"mtcnn", "lbp", "haar"}, callable or None, default=None
            As in `sklearn_ae.faces.FaceExtractor`; None takes the estimator's own.

        on_no_face : {"raise", "unchanged"}, default="raise"
            What to do with a photo without a face.

        Returns
        -------
        swapped : ndarray of the shape and type of image
            The photo; outside of the faces every pixel is as it was.

        Raises
        ------
        NoFaceError
            Where no face is found.
        """
        check_is_fitted(self)
        self._codes(target, 1, "target")
        detector = self.detector if detector is None else detector
        options = PhotoOptions(
            color,
            sharpen,
            blend,
            coverage,
            detector,
            on_no_face,
            which,
            keep_eyes=True,
        )
        return swap_photo(
            partial(self.swap, target=target),
            self.image_shape_,
            image,
            boxes,
            landmarks,
            options,
            self._reconstruct_nearest,
        )

    def swap_video(
        self,
        frames: Iterable[Any],
        target: Any,
        *,
        color: Literal["lab", "mean", "hist"] | None = "lab",
        sharpen: float | None = None,
        blend: Literal["feather", "seamless"] = "feather",
        coverage: float = COVERAGE,
        detector: DetectorName = None,
        smoothing: float = 0.7,
        on_no_face: Literal["raise", "unchanged"] = "unchanged",
        max_gap: int = 5,
    ) -> Iterator[np.ndarray]:
        """Swap the largest face of each frame of a video, one after the other.

        Parameters
        ----------
        frames : iterable of array-like of shape (height, width[, 3])
            The frames, of which one is held in memory at a time.

        target : str or int
            Who is to be seen, of ``classes_``.

        color : {"lab", "mean", "hist"} or None, default="lab"
            As in `swap_photo`.

        sharpen : float, default=1.0
            As in `swap_photo`.

        blend : {"feather", "seamless"}, default="feather"
            As in `swap_photo`.

        coverage : float, default=1.1
            Side of a crop over that of the box.

        detector : {"mtcnn", "lbp", "haar"}, callable or None, default=None
            As in `sklearn_ae.faces.FaceExtractor`; None takes the estimator's own.

        smoothing : float, default=0.7
            Weight of the last frame's place when a face has moved: boxes that are found
            anew in every frame tremble.

        on_no_face : {"unchanged", "raise"}, default="unchanged"
            What to do with a frame without a face.

        max_gap : int, default=5
            For so many frames in which no face is found, it stays where it was.

        Returns
        -------
        swapped : iterator of ndarray
            The frames, each of its shape and type, made as they are asked for.

        Raises
        ------
        NoFaceError
            Where a frame shows no face and ``on_no_face`` is "raise".
        """
        check_is_fitted(self)
        self._codes(target, 1, "target")
        check_scalar(smoothing, "smoothing", Real, min_val=0, max_val=1)
        check_scalar(max_gap, "max_gap", Integral, min_val=0)
        detector = self.detector if detector is None else detector
        options = PhotoOptions(color, sharpen, blend, coverage, detector, on_no_face)
        swap = partial(self.swap, target=target)
        return swap_video(
            swap,
            self.image_shape_,
            frames,
            options,
            smoothing,
            max_gap,
            self._reconstruct_nearest,
        )

    def score(self, X: Any, y: Any) -> float:
        """Return minus the mean absolute error of faces under their own decoders.

        It says how sharp reconstructions are, and little about swaps.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces, as in `fit`.

        y : array-like of shape (n_samples,)
            Whose face each is, of ``classes_``.

        Returns
        -------
        score : float
            Minus the mean over all values, which lie in [0, 1].
        """
        check_is_fitted(self)
        X = self._validate_faces(X, reset=False)
        codes = self._codes(y, len(X), "y")
        back = self._compute(FaceNetwork.forward, X, codes)
        return -float(np.abs(back - as_float(X)).mean(dtype=np.float64))

    def sample(
        self, n_samples: int = 1, identity: Any = None, random_state: RandomState = None
    ) -> np.ndarray:
        """Draw faces that nobody made: latents from their density, decoded.

        The density is a Gaussian, that of the latents of all training faces.

        Parameters
        ----------
        n_samples : int, default=1
            Number of faces.

        identity : str or int, or array-like of shape (n_samples,), default=None
            Whose, of ``classes_``; None takes the first.

        random_state : int, RandomState instance or None, default=None
            Seed of the draw; None takes the estimator's own ``random_state``.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces in [0, 1], laid out as the training faces were.
        """
        check_is_fitted(self, "_latent_density")
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        seed = self.random_state if random_state is None else random_state
        Z = self._latent_density.sample(n_samples, make_random_state(seed))
        if identity is None:
            identity = self.classes_[0]
        return self.inverse_transform(Z, identity)

    def _reconstruct_nearest(self, crops: np.ndarray) -> np.ndarray:
        """Faces by the decoder that makes each best: whoever they are, or are like."""
        made = np.stack([self.reconstruct(crops, name) for name in self.classes_])
        errors = np.abs(made - crops).reshape(*made.shape[:2], -1).mean(axis=2)
        return made[errors.argmin(axis=0), np.arange(len(crops))]

    def _decode_as(self, X: Any, labels: Any, name: str, function: Any) -> np.ndarray:
        check_is_fitted(self)
        X, shape = with_shape(X)
        X = self._validate_faces(X, reset=False)
        codes = self._codes(labels, len(X), name)
        return self._compute(function, X, codes).reshape(shape)

    def _compute(
        self, function: Any, X: np.ndarray, codes: np.ndarray | None = None
    ) -> np.ndarray:
        """Let the network walk over X in blocks of faces with the same decoder.

        On a CPU the arithmetic has the precision of X: with float64 in, the result does
        not depend on how faces are put together into blocks.
        """
        network, device = in_precision_of(self.module_, X.dtype), self.module_.device
        result = np.empty(0)
        if codes is None:
            codes = np.zeros(len(X), dtype=int)
        with torch.inference_mode(), steady_convolutions(device):
            for code in np.unique(codes):
                places = np.flatnonzero(codes == code)
                for start in range(0, len(places), BLOCK):
                    part = places[start : start + BLOCK]
                    x = to_unit_interval(torch.from_numpy(X[part]).to(device))
                    output = function(network, x, int(code)).cpu().numpy()
                    if not len(result):
                        dtype = np.float64 if X.dtype == np.float64 else np.float32
                        result = np.empty((len(X), output.shape[1]), dtype=dtype)
                    result[part] = output
        return result

    @property
    def _n_features_out(self) -> int:
        """Number of latents: ClassNamePrefixFeaturesOutMixin asks for it."""
        return self.n_components_
