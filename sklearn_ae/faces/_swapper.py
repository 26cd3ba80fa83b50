"""Faces of several people: one encoder for everybody, one decoder per person."""

import contextlib
import copy
import math
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._estimators.autoencoder import AutoencoderTransformer
from .._estimators.checkpoints import checkpoints_of
from .._estimators.fitted_state import FittedState
from .._estimators.several import share
from .._inference.latents import LatentDensity
from .._networks.images import ImageShape
from .._training.checkpoints import Checkpoints
from .._training.optimizer import load_moments
from .._utils.device import (
    as_global,
    check_device,
    cpu_multiplies_bfloat16,
    enable_gradients,
    resolve_device,
    seeded_generator,
    steady_convolutions,
)
from .._utils.processes import Processes, current, together
from .._utils.random import SEED_LIMIT, make_random_state
from .._utils.types import (
    Callbacks,
    DetectorName,
    Device,
    PathLike,
    Precision,
    RandomState,
    Shape,
)
from .._utils.warnings import warn
from ._augmentation import FaceAugmentation
from ._eigenfaces import EigenfaceDecoder
from ._input import FaceTable, check_counts, find_identities
from ._modules import FaceNetwork
from ._several import faces_of_all
from ._swaps import FaceSwaps
from ._training import (
    FaceCurves,
    FaceObjective,
    Faces,
    FaceTraining,
    FaceTrainingOptions,
    by_identity,
    describe,
    hold_out,
    make_optimizer,
)

# Parameters that may be what they may be for the estimators of tables.
_AS_FOR_TABLES = (
    *("early_stopping", "validation_fraction", "n_iter_no_change", "tol"),
    *("warm_start", "random_state", "verbose", "device", "precision", "callbacks"),
    "checkpoint",
)


class FaceSwapper(FaceSwaps, ClassNamePrefixFeaturesOutMixin, FittedState):
    """Autoencoder of faces with one encoder for all and one decoder per identity.

    The encoder learns what a face does (pose, expression, light), for it has to serve
    every decoder; each decoder learns what its person looks like. A face of one person,
    encoded and then decoded by the decoder of another, is that other person doing the
    same. In training the encoder sees faces that are bent at random, and the loss
    compares with the faces as they were.

    A picture that shows a person doing what they did not do needs their consent, and
    has to say that it is made up.

    Parameters
    ----------
    n_components : int or None, default=None
        Number of latents; None takes 8 times ``width``, or ``n_eigenfaces`` where that
        is more.

    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of the faces, where X holds them as
        rows; None takes rows for square pictures, grey or in colours. The sides must
        halve without a rest down to 8 pixels or fewer, as 64 and 128 do.

    width : int, default=24
        Channels of the network's first maps. The original program has 128; time goes
        with a little less than its square.

    ssim_weight : float, default=0.3
        Share of the structural dissimilarity, (1 - SSIM) / 2, in the loss; the rest is
        the mean absolute error.

    mmd_weight : float, default=0.3
        Weight of the maximum mean discrepancy between the latents of different
        identities. It keeps out of them who is seen: without it faces that are swapped
        keep traits of their own.

    rotation_range : float, default=10.0
        Faces are turned by up to so many degrees in training; where ``warp`` has fallen
        to zero, by a fifth of that, as they are resized and shifted.

    zoom_range : float, default=0.05
        And resized by up to so large a share.

    shift_range : float, default=0.05
        And shifted by up to so large a share of the side.

    flip_probability : float, default=0.4
        And mirrored so often.

    warp : float, default=0.03125
        What the encoder sees is bent besides: standard deviation of the shifts of 5 x 5
        knots, as a share of the side. It falls to zero between 30 % and 60 % of the
        training, as `fit` and `add_identity` have it: reconstructions and swaps of
        faces as they are become better.

    deform : float, default=0.015
        And both, what the encoder sees and what it is compared with, are bent by so
        much, in the same way: a person's few pictures become more.

    color_jitter : float, default=0.1
        Contrast and brightness change by up to so large a share.

    n_blocks : int, default=1
        Residual blocks after each doubling of the decoders; 0 takes the layers of the
        original program.

    n_eigenfaces : int, default=500
        Directions in which faces differ, that encoder and decoders have beside their
        convolutions, and start with in closed form: principal components of the
        training faces, and ridge regression. It is for faces that are cut out by
        their landmarks; 0 does without.

    gradient_weight : float, default=0.5
        Weight of the errors of differences between neighbouring pixels, for edges.

    focus : float, default=0.7
        By what share errors count less at the crop's border than in the face.

    adversarial_weight : float, default=0.0
        Weight of a critic of patches, which looks at faces and at swaps in the last
        part of the training, and is to make them as sharp as photos. 0 does without it:
        a network that has not learned faces by then learns patterns instead.

    learning_rate_init : float, default=0.0003
        Adam's learning rate, which rises to this value and falls to zero.

    batch_size : int, default=16
        Faces of each identity in a training step.

    detector : {"mtcnn", "lbp", "haar"}, callable or None, default=None
        How `swap_photo` and `swap_video` find faces: as those of X were found, so that
        they are cut out alike. As in `sklearn_ae.faces.FaceExtractor`.

    max_iter : int, default=100
        Number of epochs: passes over the identity with the most faces, of at least ten
        steps. With ``warm_start`` it counts those of earlier fits as well.

    early_stopping : bool, default=False
        Whether to hold faces out, to stop where their reconstruction does not improve,
        and to keep the best weights. Swaps go on improving for longer.

    validation_fraction : float, default=0.1
        Share of each identity's faces held out with ``early_stopping``.

    n_iter_no_change : int, default=50
        Epochs without progress after which ``early_stopping`` stops.

    tol : float, default=1e-4
        Relative improvement that counts as progress.

    warm_start : bool, default=False
        Whether `fit` goes on with the networks of the last fit.

    random_state : int, RandomState instance or None, default=0
        Seed of the weights, the batches and the changes of the faces. An integer gives
        the same bits on every fit; None takes fresh entropy. The global generators are
        never touched.

    verbose : int, default=0
        Whether to show a progress bar.

    device : str or torch.device, default="auto"
        Where to compute; "auto" takes CUDA where it is there.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What training steps multiply in; "auto" is bfloat16 on processors that have it.

    callbacks : list of callable or None, default=None
        Called after every epoch as ``callback(swapper, epoch)`` with the estimator as
        it is then; one that returns True ends the training.

    checkpoint : str, path or None, default=None
        File in which `fit` keeps its training on the way, at least a minute apart: a
        process that is killed loses no more, and the same `fit` in another goes on from
        there to the same bits. One of other faces, parameters or versions is refused.
        In a folder each fit has a file of its own. Epochs that are done are not told
        to callbacks again.

    Attributes
    ----------
    classes_ : ndarray of shape (n_identities,)
        The identities; those that `add_identity` learned are last.

    image_shape_ : tuple of int
        Height, width and channels.

    module_ : torch.nn.Module
        The network.

    n_components_ : int
        Number of latents.

    n_features_in_ : int
        Numbers in a face.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of X's columns, where they are all strings.

    n_iter_ : int
        Number of epochs trained.

    best_iter_ : int
        Epoch whose weights are kept.

    loss_curve_ : list of float
        Training loss by epoch, the mean over identities.

    identity_loss_curves_ : dict of list of float
        The same for each identity.

    validation_loss_curve_ : list of float or None
        Mean absolute error of the faces held out, by epoch.

    reconstruction_err_ : float
        Mean absolute error of the training faces under their own decoders.

    See Also
    --------
    DenoisingAutoencoderTransformer : One decoder, and rows of any kind.
    sklearn_ae.faces.extract_faces : Cut faces out of pictures.
    sklearn_ae.faces.write_picture : Write a picture that says it is synthetic.

    References
    ----------
    The program "faceswap" of 2017, https://github.com/deepfakes/faceswap, from which
    the layers and the changes of the faces are.

    M. Turk and A. Pentland, "Eigenfaces for recognition", Journal of Cognitive
    Neuroscience 3 (1991).

    A. Gretton, K. M. Borgwardt, M. J. Rasch, B. Schölkopf and A. Smola, "A kernel
    two-sample test", Journal of Machine Learning Research 13 (2012); M. Long, Y. Cao,
    J. Wang and M. I. Jordan, "Learning transferable features with deep adaptation
    networks", ICML 2015.

    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality assessment:
    from error visibility to structural similarity", IEEE Transactions on Image
    Processing 13 (2004).

    Examples
    --------
    Two kinds of discs, bright and dark, in places of their own:

    >>> import numpy as np
    >>> from sklearn_ae import FaceSwapper
    >>> rng = np.random.default_rng(0)
    >>> h, w = np.mgrid[:16, :16]
    >>> centers = rng.uniform(5, 10, size=(60, 2, 1, 1))
    >>> disc = (h - centers[:, 0]) ** 2 + (w - centers[:, 1]) ** 2 < 12
    >>> X = 0.5 + np.where(np.arange(60) < 30, 0.4, -0.4)[:, None, None] * disc
    >>> y = np.repeat(["bright", "dark"], 30)
    >>> swapper = FaceSwapper(width=4, max_iter=10, random_state=0).fit(X, y)
    >>> swapped = swapper.swap(X[:30], "dark")
    >>> swapped.shape, bool(swapped.min() < 0.3)
    ((30, 16, 16), True)

    Latents, shown as either; new latents; and a third kind, learned afterwards:

    >>> Z = swapper.transform(X[:3])
    >>> swapper.inverse_transform(Z, "bright").shape
    (3, 16, 16)
    >>> swapper.reconstruct(X[:3], y[:3]).shape  # each as what it is
    (3, 16, 16)
    >>> swapper.sample(2, "dark").shape
    (2, 16, 16)
    >>> swapper = swapper.add_identity(1.0 - X[:30], "inverse", max_iter=2)
    >>> swapper.classes_.tolist()
    ['bright', 'dark', 'inverse']
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "image_shape": [None, "array-like"],
        "width": [Interval(Integral, 1, None, closed="left")],
        "ssim_weight": [Interval(Real, 0, 1, closed="both")],
        "mmd_weight": [Interval(Real, 0, None, closed="left")],
        "rotation_range": [Interval(Real, 0, 180, closed="both")],
        "zoom_range": [Interval(Real, 0, 1, closed="left")],
        "shift_range": [Interval(Real, 0, 1, closed="left")],
        "flip_probability": [Interval(Real, 0, 1, closed="both")],
        "warp": [Interval(Real, 0, 1, closed="left")],
        "deform": [Interval(Real, 0, 1, closed="left")],
        "color_jitter": [Interval(Real, 0, 1, closed="left")],
        "n_blocks": [Interval(Integral, 0, None, closed="left")],
        "n_eigenfaces": [Interval(Integral, 0, None, closed="left")],
        "gradient_weight": [Interval(Real, 0, None, closed="left")],
        "focus": [Interval(Real, 0, 1, closed="both")],
        "adversarial_weight": [Interval(Real, 0, None, closed="left")],
        "detector": [None, StrOptions({"mtcnn", "lbp", "haar"}), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        **{
            name: AutoencoderTransformer._parameter_constraints[name]
            for name in _AS_FOR_TABLES
        },
    }

    classes_: np.ndarray
    image_shape_: ImageShape
    module_: FaceNetwork
    n_components_: int
    n_iter_: int
    best_iter_: int
    loss_curve_: list[float]
    identity_loss_curves_: dict[Any, list[float]]
    validation_loss_curve_: list[float] | None
    reconstruction_err_: float
    _moments: dict[str, Any] | None
    _seed: int
    _structure: dict[str, Any]
    _latent_density: LatentDensity

    def __init__(
        self,
        n_components: int | None = None,
        *,
        image_shape: Shape = None,
        width: int = 24,
        ssim_weight: float = 0.3,
        mmd_weight: float = 0.3,
        rotation_range: float = 10.0,
        zoom_range: float = 0.05,
        shift_range: float = 0.05,
        flip_probability: float = 0.4,
        warp: float = 0.03125,
        deform: float = 0.015,
        color_jitter: float = 0.1,
        n_blocks: int = 1,
        n_eigenfaces: int = 500,
        gradient_weight: float = 0.5,
        focus: float = 0.7,
        adversarial_weight: float = 0.0,
        learning_rate_init: float = 3e-4,
        batch_size: int = 16,
        detector: DetectorName = None,
        max_iter: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 50,
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: RandomState = 0,
        verbose: int = 0,
        device: Device = "auto",
        precision: Precision = "auto",
        callbacks: Callbacks = None,
        checkpoint: PathLike | None = None,
    ) -> None:
        self.n_components = n_components
        self.image_shape = image_shape
        self.width = width
        self.ssim_weight = ssim_weight
        self.mmd_weight = mmd_weight
        self.rotation_range = rotation_range
        self.zoom_range = zoom_range
        self.shift_range = shift_range
        self.flip_probability = flip_probability
        self.warp = warp
        self.deform = deform
        self.color_jitter = color_jitter
        self.n_blocks = n_blocks
        self.n_eigenfaces = n_eigenfaces
        self.gradient_weight = gradient_weight
        self.focus = focus
        self.adversarial_weight = adversarial_weight
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.detector = detector
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoint = checkpoint

    # Fitting --------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the encoder and a decoder for each identity.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces, cut out alike: floats in [0, 1], or uint8.

        y : array-like of shape (n_samples,)
            Whose face each is; at least two identities.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._fitting() as processes:
            goes_on = self.warm_start and hasattr(self, "module_")
            (X, y), known = faces_of_all(
                self, X, y, goes_on=goes_on, processes=processes
            )
            identities = self.classes_ if goes_on else None
            known["classes_"] = find_identities(y, None, identities)
            check_counts(y)
            if goes_on and self.n_iter_ >= self.max_iter:
                warn(
                    f"warm_start: the networks have had max_iter={self.max_iter} "
                    "epochs already and are left as they are. Raise max_iter to train "
                    "on.",
                    ConvergenceWarning,
                )
            names, codes = np.unique(y, return_inverse=True)
            table = FaceTable(X, codes, str(names.tolist()))
            kept = checkpoints_of(self, table, goes_on, may_have_callbacks=True)
            with kept as checkpoints:
                checkpoints.begin(0, self.random_state)
                fitted = self._train(
                    X, y, known, goes_on, self.max_iter, checkpoints=checkpoints
                )
            self._set_fitted(fitted, goes_on)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Go on learning with one pass over the faces, at the same learning rate.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces, as in `fit`.

        y : array-like of shape (n_samples,)
            Whose face each is.

        classes : array-like of shape (n_identities,) or None, default=None
            All identities, in the first call; None takes those of its y.

        Returns
        -------
        self : object
            The estimator after the pass.
        """
        with self._fitting() as processes:
            goes_on = hasattr(self, "module_")
            (X, y), known = faces_of_all(
                *(self, X, y),
                goes_on=goes_on,
                processes=processes,
                classes=None if classes is None else np.asarray(classes).tolist(),
            )
            identities = self.classes_ if goes_on else None
            known["classes_"] = find_identities(y, classes, identities)
            n_done = self.n_iter_ if goes_on else 0
            fitted = self._train(
                X, y, known, goes_on, n_epochs=n_done + 1, is_one_pass=True
            )
            self._set_fitted(fitted, goes_on)
        return self

    def add_identity(self, X: Any, name: Any, *, max_iter: int | None = None) -> Self:
        """Learn a decoder more, with everything else left as it is.

        It starts as a copy of the decoder whose person is nearest. The encoder has not
        seen the new person: where there is time, a new `fit` with everybody is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, height, width) or \
                (n_samples, height, width, channels)
            Faces of the new identity.

        name : str or int
            What to call it; not one of ``classes_``.

        max_iter : int or None, default=None
            Number of epochs; None takes ``max_iter`` of the estimator.

        Returns
        -------
        self : object
            The estimator with one identity more.
        """
        check_is_fitted(self)
        with self._fitting() as processes:
            asked = {"name": name, "max_iter": max_iter}
            X, known = faces_of_all(self, X, goes_on=True, processes=processes, **asked)
            names = np.asarray([name])
            if names.dtype.kind != self.classes_.dtype.kind and "O" not in (
                names.dtype.kind,
                self.classes_.dtype.kind,
            ):
                raise TypeError(
                    f"name must be of the type of classes_ ({self.classes_.dtype}); "
                    f"got {name!r}."
                )
            if name in self.classes_.tolist():
                raise ValueError(
                    f"{name!r} is one of the identities already: "
                    f"{self.classes_.tolist()}. To go on learning it, use partial_fit."
                )
            y = np.repeat(names, len(X))
            check_counts(y)
            if max_iter is None:
                max_iter = self.max_iter
            check_scalar(max_iter, "max_iter", Integral, min_val=0)
            known["classes_"] = np.append(self.classes_, names)
            fitted = self._train(
                X, y, known, True, n_epochs=max_iter, is_new_identity=True
            )
            of_all = ("n_iter_", "best_iter_", "loss_curve_", "validation_loss_curve_")
            fitted |= {name: getattr(self, name) for name in of_all}
            fitted["_moments"] = None  # of the new decoder alone
            self._set_fitted(fitted, True)
        return self

    @contextlib.contextmanager
    def _fitting(self) -> Iterator[Processes]:
        """What surrounds a fit, of which the parameters have been checked.

        Callbacks see the estimator as it is on the way, so it is put back on failure.
        """
        before = self.__dict__
        try:
            with enable_gradients(), together() as processes:
                self._validate_params()
                yield processes
        except BaseException:
            self.__dict__ = before
            raise

    def _train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        known: dict[str, Any],
        goes_on: bool,
        n_epochs: int,
        is_one_pass: bool = False,
        is_new_identity: bool = False,
        checkpoints: Checkpoints | None = None,
    ) -> dict[str, Any]:
        """All attributes of a fit; of its faces some are known before."""
        known = {**known, "_seed": self._seed if goes_on else self._draw_seed()}
        curves = FaceCurves.of(self) if goes_on else FaceCurves()
        n_done = 0 if is_new_identity else curves.n_epochs
        device = resolve_device(self.device)
        options = self._options(
            *(device, known["_seed"], n_epochs, n_done),
            is_one_pass=is_one_pass,
            is_new=is_new_identity,
        )
        with steady_convolutions(device):
            faces = by_identity(X, y, known["classes_"])
            held_out: Faces = {}
            is_of_all = len(faces) == len(known["classes_"])
            earlier = None
            if goes_on and not is_of_all:
                earlier = getattr(self, "_latent_density", None)
            network = self._network_to_train(known, goes_on).to(device)
            if is_new_identity:
                _add_nearest_decoder(network, next(iter(faces.values())))
            optimizer = make_optimizer(network, options.learning_rate)
            if goes_on and not is_new_identity and self._moments is not None:
                load_moments(optimizer, self._moments)
            if self.early_stopping and not is_one_pass:
                faces, held_out = hold_out(
                    faces, self.validation_fraction, options.seed
                )
            network.start(faces, seeded_generator(options.seed, device))
            current().equalize(network.state_dict().values())
            # A decoder more is no new epoch of the estimator.
            callbacks = () if is_new_identity else self.callbacks or ()

            def learned() -> dict[str, Any]:
                return self._learned(known, network, optimizer, curves)

            def after_epoch(epoch: int) -> bool:
                if callbacks:
                    self._set_fitted(learned(), goes_on)
                wishes = [callback(self, epoch) for callback in callbacks]
                return any(wishes)

            training = FaceTraining(
                *(network, optimizer, faces, held_out, options, curves, checkpoints)
            )
            training.run(after_epoch)
            fitted = learned() | describe(network, faces, earlier)
        processes = current()
        if processes.are_several:
            fitted = share(fitted, self.device, processes)
        return fitted

    def _draw_seed(self) -> int:
        return int(make_random_state(self.random_state).randint(SEED_LIMIT))

    def _options(
        self,
        device: torch.device,
        seed: int,
        n_epochs: int,
        n_done: int,
        is_one_pass: bool,
        is_new: bool,
    ) -> FaceTrainingOptions:
        return FaceTrainingOptions(
            learning_rate=float(self.learning_rate_init),
            batch_size=self.batch_size,
            n_epochs=n_epochs,
            n_done=n_done,
            seed=seed,
            precision=self._precision(device),
            mmd_weight=float(self.mmd_weight),
            # The critic knows the others, who are learned no more.
            adversarial_weight=0.0 if is_new else float(self.adversarial_weight),
            verbose=self.verbose if current().is_first and not is_one_pass else 0,
            is_scheduled=not is_one_pass,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
        )

    def _learned(
        self,
        known: dict[str, Any],
        network: FaceNetwork,
        optimizer: torch.optim.Optimizer,
        curves: FaceCurves,
    ) -> dict[str, Any]:
        network.eval()
        network.requires_grad_(True)
        structure = self._current_structure(known["image_shape_"])
        return {
            **known,
            **curves.attributes(known["classes_"].tolist()),
            "module_": network,
            "n_components_": structure["n_components"],
            "_structure": structure,
            "_moments": optimizer.state_dict(),
        }

    def _network_to_train(self, known: dict[str, Any], goes_on: bool) -> FaceNetwork:
        """A new network, or a copy of the fitted one with today's parameters."""
        if not goes_on:
            return self._make_network(known)
        self._check_structure()
        network = copy.deepcopy(self.module_)
        network.augmentation = self._augmentation()
        network.ssim_weight = float(self.ssim_weight)
        network.gradient_weight = float(self.gradient_weight)
        network.focus = float(self.focus)
        return network

    def _make_network(self, known: dict[str, Any]) -> FaceNetwork:
        image_shape = known["image_shape_"]
        with as_global(seeded_generator(known["_seed"], torch.device("cpu"))):
            return FaceNetwork(
                image_shape,
                self.width,
                self._n_latents(image_shape),
                len(known["classes_"]),
                self._augmentation(),
                float(self.ssim_weight),
                n_blocks=int(self.n_blocks),
                gradient_weight=float(self.gradient_weight),
                focus=float(self.focus),
                has_critic=self.adversarial_weight > 0,
                n_eigenfaces=self._n_eigenfaces(image_shape),
            )

    def _augmentation(self) -> FaceAugmentation:
        return FaceAugmentation(
            rotation=float(self.rotation_range),
            zoom=float(self.zoom_range),
            shift=float(self.shift_range),
            flip=float(self.flip_probability),
            warp=float(self.warp),
            deform=float(self.deform),
            color=float(self.color_jitter),
        )

    def _n_latents(self, image_shape: ImageShape) -> int:
        if self.n_components is not None:
            return int(self.n_components)
        return max(8 * self.width, self._n_eigenfaces(image_shape))

    def _n_eigenfaces(self, image_shape: ImageShape) -> int:
        """No more than a face has values."""
        return min(int(self.n_eigenfaces), math.prod(image_shape))

    def _precision(self, device: torch.device) -> torch.dtype | None:
        is_lower = self.precision == "bfloat16"
        if self.precision == "auto":
            is_lower = device.type == "cpu" and cpu_multiplies_bfloat16()
        return torch.bfloat16 if is_lower else None

    # Checks ---------------------------------------------------------------------------

    def _validate_params(self) -> None:
        super()._validate_params()
        for callback in self.callbacks or ():
            # A class can be called as well, but makes a callback rather than being one.
            if isinstance(callback, type) or not callable(callback):
                raise TypeError(
                    "callbacks must be callables that take the estimator and the "
                    f"number of the epoch; got {callback!r}. Callbacks of skorch are "
                    "for the estimators of tables."
                )
        check_device(self.device)

    def _current_structure(self, image_shape: ImageShape) -> dict[str, Any]:
        return {
            "width": int(self.width),
            "n_components": self._n_latents(image_shape),
            "n_blocks": int(self.n_blocks),
            "n_eigenfaces": int(self.n_eigenfaces),
            "adversarial_weight above 0": bool(self.adversarial_weight > 0),
        }

    def _check_structure(self) -> None:
        for name, value in self._current_structure(self.image_shape_).items():
            if value != self._structure[name]:
                raise ValueError(
                    f"The networks were fitted with {name}={self._structure[name]!r} "
                    f"and cannot go on with {name}={value!r}. Fit with "
                    "warm_start=False, or clone the estimator, to start anew."
                )

    def _set_state(self, state: dict[str, Any]) -> None:
        structure = state.get("_structure", {})
        if structure and "n_eigenfaces" not in structure:  # of before there were any
            none = {"n_eigenfaces": 0}
            state = {**state, **none, "_structure": {**structure, **none}}
        super()._set_state(state)
        for part in self.module_.modules() if hasattr(self, "module_") else ():
            # Files of before there were spectra have none.
            if isinstance(part, EigenfaceDecoder) and not hasattr(part, "spectrum"):
                part.begin_spectrum()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _add_nearest_decoder(network: FaceNetwork, x: Tensor) -> None:
    """A copy of the decoder that is best at these faces; all else is frozen."""
    decoders = network.decoders
    errors = FaceObjective().judge(network, dict.fromkeys(range(len(decoders)), x))
    nearest = min(errors, key=lambda identity: errors[identity].mean().item())
    network.requires_grad_(False)
    decoders.append(copy.deepcopy(decoders[nearest]).requires_grad_(True))
    if network.has_eigenfaces:
        network.eigenfaces(len(decoders) - 1).forget()
    if network.critic is not None:
        network.critic.add_identity(nearest)
