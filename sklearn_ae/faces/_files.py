"""A face swapper in one file, which holds numbers and names and no code to run."""

import os
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_scalar

from .._estimators.files import load, write_estimator
from .._inference.latents import LatentDensity
from .._utils.device import resolve_device
from .._utils.types import Callbacks, Device, PathLike
from ._swapper import FaceSwapper

_FORMAT = "sklearn_ae.FaceSwapper"
_VERSION = 2
# What parameters were, in effect, before files had them.
_BEFORE = {
    "n_blocks": 0,
    "n_eigenfaces": 0,
    "gradient_weight": 0.0,
    "focus": 0.0,
    "adversarial_weight": 0.0,
    "detector": "lbp",
}


def save_face_swapper(swapper: "FaceSwapper", path: PathLike) -> None:
    """Write a fitted `FaceSwapper` to a file, whole or not at all.

    An earlier file stays until the new one is complete. Unlike a pickle, the file holds
    the optimizer's state, so that `resume_training` goes on where it was, and can be
    read from people one does not trust.

    Parameters
    ----------
    swapper : FaceSwapper
        The fitted estimator.

    path : str or path
        Where to write it.

    See Also
    --------
    load_face_swapper : The way back.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sklearn_ae import FaceSwapper
    >>> from sklearn_ae.faces import load_face_swapper, save_face_swapper
    >>> X = np.random.default_rng(0).random((50, 8, 8))
    >>> swapper = FaceSwapper(width=1, max_iter=1).fit(X, np.repeat(["a", "b"], 25))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "swapper.safetensors")
    ...     save_face_swapper(swapper, path)
    ...     loaded = load_face_swapper(path)
    >>> bool((loaded.swap(X, "b") == swapper.swap(X, "b")).all())
    True
    """
    if not isinstance(swapper, FaceSwapper):
        raise TypeError(f"save_face_swapper takes a FaceSwapper; got {swapper!r}.")
    write_estimator(swapper, path, with_moments=True)


def load_face_swapper(path: PathLike, device: Device = "auto") -> FaceSwapper:
    """Read a `FaceSwapper` that `save_face_swapper` or `Checkpoint` has written.

    Parameters
    ----------
    path : str or path
        The file.

    device : str or torch.device, default="auto"
        Where the network goes, and later computations.

    Returns
    -------
    swapper : FaceSwapper
        The estimator, fitted.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where the file holds something else.

    See Also
    --------
    save_face_swapper : Writes such files, with an example.

    Examples
    --------
    >>> from sklearn_ae.faces import load_face_swapper
    >>> load_face_swapper("no_such_file.safetensors")
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'no_such_file.safetensors'.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {os.fspath(path)!r}.")
    if _is_of_first_format(path):
        return _load_first_format(path, device)
    try:
        swapper = load(path, device=device)
    except ValueError as error:
        raise ValueError(
            f"{os.fspath(path)!r} holds no FaceSwapper: {error}"
        ) from error
    if not isinstance(swapper, FaceSwapper):
        raise ValueError(
            f"{os.fspath(path)!r} holds no FaceSwapper: {type(swapper).__name__}."
        )
    return swapper


def _is_of_first_format(path: str | os.PathLike) -> bool:
    """Whether it is a file of torch's, as version 0.1.0 wrote them."""
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _load_first_format(path: str | os.PathLike, device: Any) -> FaceSwapper:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        is_swapper = content["format"] == _FORMAT
    except Exception as error:  # torch raises whatever the bytes lead it to
        raise ValueError(
            f"{os.fspath(path)!r} holds no FaceSwapper: {type(error).__name__}."
        ) from error
    if not is_swapper or content["version"] > _VERSION:
        raise ValueError(
            f"{os.fspath(path)!r} holds no FaceSwapper that this release can read: "
            f"{content['format']!r}, version {content['version']}."
        )
    swapper = FaceSwapper(**_BEFORE | content["params"], device=device)
    swapper._validate_params()
    swapper.classes_ = np.array(content["classes"])
    swapper.image_shape_ = tuple(content["image_shape"])
    swapper._layout = tuple(content["layout"])
    for name, value in {**content["numbers"], **content["curves"]}.items():
        setattr(swapper, name, value)
    if content["error"] is not None:
        swapper.reconstruction_err_ = content["error"]
    swapper._structure = swapper._current_structure(swapper.image_shape_)
    swapper._moments = content["moments"]
    if content["latents"] is not None:
        swapper._latent_density = _make_density(content["latents"])
    network = swapper._make_network(swapper.__dict__)
    network.load_state_dict(content["network"])
    network.to(resolve_device(device))
    swapper.module_ = network.eval()
    return swapper


def resume_training(
    path: PathLike,
    X: Any,
    y: Any,
    *,
    max_iter: int | None = None,
    callbacks: Callbacks = None,
    every: int = 10,
) -> FaceSwapper:
    """Go on with a training that `Checkpoint` has kept, and keep what follows there.

    The epochs, the schedule and the random numbers go on as if nothing had happened:
    the same faces lead to the weights that the training would have reached.

    Parameters
    ----------
    path : str or path
        The file that `Checkpoint` has written.

    X : array-like
        Faces, as for `FaceSwapper.fit`.

    y : array-like of shape (n_samples,)
        Whose face each is: the identities of the file.

    max_iter : int or None, default=None
        Epochs in all; None takes those planned at first.

    callbacks : list of callable or None, default=None
        Called besides.

    every : int, default=10
        Epochs between two files.

    Returns
    -------
    swapper : FaceSwapper
        The fitted estimator.

    Raises
    ------
    FileNotFoundError
        Where there is no such file: nothing is trained.
    ValueError
        Where the file holds no swapper, or one of other people or faces: it stays as it
        is.

    See Also
    --------
    Checkpoint : Writes the files.

    Examples
    --------
    >>> from sklearn_ae.faces import resume_training
    >>> resume_training("no_such_file.safetensors", [], [])
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'no_such_file.safetensors'.
    """
    swapper = load_face_swapper(path)
    names = np.unique(np.asarray(y)).tolist()
    if names != sorted(swapper.classes_.tolist()):
        raise ValueError(
            f"{os.fspath(path)!r} holds a training of {swapper.classes_.tolist()}, and "
            f"y the identities {names}."
        )
    if max_iter is not None:
        swapper.set_params(max_iter=max_iter)
    if swapper.n_iter_ >= swapper.max_iter:
        raise ValueError(
            f"{os.fspath(path)!r} holds {swapper.n_iter_} epochs, and "
            f"max_iter={swapper.max_iter}: there is nothing left. Raise max_iter."
        )
    keep = Checkpoint(path, every, overwrite=True)
    was_warm = swapper.warm_start
    swapper.set_params(warm_start=True, callbacks=[keep, *(callbacks or [])])
    swapper.fit(X, y)
    swapper.set_params(warm_start=was_warm, callbacks=callbacks)
    save_face_swapper(swapper, path)
    return swapper


class Checkpoint:
    """A callback of `FaceSwapper` that writes it to a file every few epochs.

    Parameters
    ----------
    path : str or path
        The file, as `load_face_swapper` and `resume_training` read it.

    every : int, default=10
        Epochs between two writings.

    overwrite : bool, default=False
        Whether a file that is there already may be replaced.

    Raises
    ------
    FileExistsError
        Where the file is there already, before anything is trained.

    See Also
    --------
    resume_training : Goes on from such a file.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sklearn_ae import FaceSwapper
    >>> from sklearn_ae.faces import Checkpoint, resume_training
    >>> X = np.random.default_rng(0).random((50, 8, 8))
    >>> y = np.repeat(["a", "b"], 25)
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "training.pt")
    >>> callbacks = [Checkpoint(path, every=2), lambda swapper, epoch: epoch == 2]
    >>> swapper = FaceSwapper(width=1, max_iter=4, callbacks=callbacks).fit(X, y)
    >>> resume_training(path, X, y).n_iter_
    4
    >>> folder.cleanup()
    """

    def __init__(
        self, path: PathLike, every: int = 10, *, overwrite: bool = False
    ) -> None:
        check_scalar(every, "every", Integral, min_val=1)
        if not overwrite and Path(path).exists():
            raise FileExistsError(
                f"{os.fspath(path)!r} is there already. Go on with it by "
                "resume_training, give another path, or overwrite=True."
            )
        self.path = path
        self.every = every

    def __call__(self, swapper: "FaceSwapper", epoch: int) -> None:
        """Write the file where it is time to.

        Parameters
        ----------
        swapper : FaceSwapper
            The estimator as it is after the epoch.

        epoch : int
            The epoch's number.
        """
        if epoch % self.every == 0 or epoch == swapper.max_iter:
            save_face_swapper(swapper, self.path)


def _make_density(content: dict[str, Any]) -> LatentDensity:
    mean = content["mean"].numpy()
    density = LatentDensity(mean[None])
    density.n_samples = content["n_samples"]
    density.mean = mean
    density.covariance = content["covariance"].numpy()
    return density
