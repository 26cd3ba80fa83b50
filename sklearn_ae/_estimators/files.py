"""A fitted estimator in one file, which holds numbers and words and no code to run."""

import copy
import importlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._networks.architecture import NetworkSpec
from .._utils.device import check_device
from .._utils.packed_json import Encoder, decode, leave
from .._utils.packing import KIND, Packer, Unpacker, unpack
from .._utils.tensor_files import (
    TensorFileError,
    read_tensor_file,
    write_tensor_file,
)
from .._utils.types import Device, PathLike
from .._utils.version import __version__
from .._utils.warnings import warn
from .fitted_state import FittedState

_FORMAT = "sklearn_ae"
_FORMAT_VERSION = 1
_NETWORKS = ("encoder", "decoder")


def save(estimator: Any, path: PathLike) -> None:
    """Write a fitted estimator to one file, whole or not at all.

    The file holds the parameters, the networks and what using them takes, as numbers
    and words: the format of safetensors, with JSON beside the arrays. It holds no code,
    it does not depend on the versions of torch and scikit-learn, and equal fits have
    equal files. What it cannot hold are objects of the user's: callbacks, functions,
    generators of random numbers and the classes of networks of your own, whose weights
    are in the file all the same; `load` says what is missing.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this package. Steps of scikit-learn are not in the format:
        save a Pipeline by skops or pickle.

    path : str or path
        Where to write it; an earlier file stays until the new one is complete.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> import sklearn_ae
    >>> X = load_iris().data
    >>> autoencoder = sklearn_ae.AutoencoderTransformer(2, early_stopping=False)
    >>> autoencoder = autoencoder.fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.safetensors")
    ...     sklearn_ae.save(autoencoder, path)
    ...     loaded = sklearn_ae.load(path)
    >>> bool((loaded.transform(X) == autoencoder.transform(X)).all())
    True
    """
    write_estimator(estimator, path)


def write_estimator(
    estimator: Any,
    path: str | os.PathLike,
    with_moments: bool = False,
    beside: dict[str, Any] | None = None,
) -> None:
    """Write an estimator, with the optimizer's state or without.

    What is ``beside`` it, of JSON's types, no estimator reads: `read_beside` does.
    """
    name = type(estimator).__name__
    if not isinstance(estimator, FittedState) or _public_class(name) is not type(
        estimator
    ):
        raise TypeError(
            "save takes an estimator of sklearn_ae itself; got "
            f"{type(estimator).__name__}. Pipelines, searches, detectors, imputers "
            "and subclasses can be saved by skops, joblib or pickle."
        )
    check_is_fitted(estimator)
    state = estimator._packed_state(with_moments)
    if "_spec" in state:  # whose networks are parameters too
        of_none = dict.fromkeys(_NETWORKS)
        spec = state["_spec"]
        state["_spec"] = {**spec, "fields": {**spec["fields"], **of_none}}
    arrays: dict[str, np.ndarray] = {}
    content = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "package_version": __version__,
        "class": name,
        "state": Encoder(arrays).encode(_packed(estimator, state), ()),
    }
    if beside is not None:
        content["beside"] = beside
    write_tensor_file(path, arrays, json.dumps(content, allow_nan=False))


def read_beside(path: str | os.PathLike) -> dict[str, Any]:
    """What stands beside an estimator in a file that `load` takes."""
    return json.loads(read_tensor_file(path)[1]).get("beside", {})


def _packed(estimator: Any, state: dict[str, Any]) -> dict[str, Any]:
    """The state, in which parameters and networks alone may leave something out."""
    may_leave = {*estimator.get_params(deep=False), "module_"}

    def refuse(value: Any) -> Any:
        raise TypeError(
            f"A file cannot hold what {type(estimator).__name__} was fitted to: it has "
            f"a {type(value).__name__}. Save it by joblib or pickle."
        )

    keeping, leaving = Packer(refuse), Packer(leave)
    return {
        name: (leaving if name in may_leave else keeping).pack(value)
        for name, value in state.items()
    }


def load(
    path: PathLike,
    *,
    device: Device | None = None,
    encoder: nn.Module | None = None,
    decoder: nn.Module | None = None,
) -> Any:
    """Read an estimator that `save` has written.

    Nothing in the file is run, whoever has written it. A file that is cut off, changed
    or of another kind is refused.

    Parameters
    ----------
    path : str or path
        The file.

    device : str, torch.device or None, default=None
        Where to compute. None takes the parameter ``device`` of the estimator, or the
        CPU where that device is missing.

    encoder, decoder : torch.nn.Module or None, default=None
        Networks of your own that the estimator was fitted with, of the same shapes:
        their class is not in the file. They are copied, and given the file's weights.

    Returns
    -------
    estimator : estimator
        The fitted estimator.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where the file holds something else, or was changed or cut off.

    See Also
    --------
    save : Writes such files, with an example.

    Examples
    --------
    >>> import sklearn_ae
    >>> sklearn_ae.load("no_such_file.safetensors")
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'no_such_file.safetensors'.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {os.fspath(path)!r}.")
    if device is not None:
        check_device(device)
    given = {"encoder": encoder, "decoder": decoder}
    for role, network in given.items():
        if not isinstance(network, nn.Module | None):
            raise TypeError(
                f"{role} must be a torch.nn.Module or None; got {network!r}."
            )
    try:
        arrays, text = read_tensor_file(path)
        content = json.loads(text)
        if content["format"] != _FORMAT:
            raise TensorFileError(f"its format is {content['format']!r}")
        if content["format_version"] > _FORMAT_VERSION:
            raise TensorFileError(
                f"its format is version {content['format_version']} (of sklearn_ae "
                f"{content['package_version']}), and this release, {__version__}, "
                f"reads up to {_FORMAT_VERSION}"
            )
        cls = _public_class(content["class"])
        if cls is None:
            raise TensorFileError(f"{content['class']!r} is no estimator")
        state = decode(content["state"], arrays)
        missing = _fill_in(state, given)
        if not missing:
            return _made(cls, state, device)
    except ValueError as error:
        reason = str(error).rstrip(".")
        cause: Exception = error
    except (
        *(AttributeError, IndexError, KeyError, TypeError),
        *(RecursionError, RuntimeError),
    ) as error:
        reason, cause = f"it makes no sense ({type(error).__name__})", error
    else:
        raise ValueError(
            f"{cls.__name__} was fitted with networks of your own, whose classes are "
            f"not in the file: give them as {' and '.join(f'{m}=' for m in missing)}."
        )
    raise ValueError(
        f"{os.fspath(path)!r} holds no estimator of sklearn_ae that can be read: "
        f"{reason}."
    ) from cause


def _made(cls: type, state: dict[str, Any], device: Any) -> Any:
    """The estimator of a state in which only packed things are left."""
    names = cls._get_param_names()  # type: ignore[attr-defined]
    params = {name: state.pop(name) for name in names if name in state}
    left = sorted(name for name, value in params.items() if _holds_left(value))
    values = {name: params[name] for name in params if name not in left}
    left = [name for name in left if name != "callbacks"]  # no part of the model
    fitted = Unpacker()
    estimator = cls(**fitted.unpack(values))
    if left:
        warn(
            f"The file of this {cls.__name__} could not hold "
            f"{', '.join(left)}: {'they are' if len(left) > 1 else 'it is'} as by "
            "default, which counts where training goes on.",
            UserWarning,
        )
    if device is not None:
        estimator.device = device
    attributes = fitted.unpack(state)
    spec = attributes.get("_spec")
    if isinstance(spec, NetworkSpec):
        # The same objects, by which a warm start sees that nothing has changed.
        same = {name: getattr(estimator, name) for name in (*_NETWORKS,)}
        attributes["_spec"] = replace(spec, **same)
    estimator._validate_params()
    estimator._set_state({**vars(estimator), **attributes})
    check_is_fitted(estimator)
    return estimator


def _fill_in(state: dict[str, Any], given: dict[str, nn.Module | None]) -> list[str]:
    """Put the user's networks where the file has their weights alone.

    The names of those that are not given are returned.
    """
    children = state["module_"]["children"]
    missing = []
    for role in _NETWORKS:
        packed, network = children.get(role), given[role]
        if network is not None:
            if not _is_left(state.get(role)) and not _has_left(packed):
                raise TensorFileError(
                    f"{role}= is for networks of your own; the file's is the package's"
                )
            network = copy.deepcopy(network).cpu()
            tensors = {name: unpack(tensor) for name, tensor in _tensors_of(packed)}
            try:
                network.load_state_dict(tensors)
            except RuntimeError as error:
                raise TensorFileError(f"{role} does not fit: {error}") from error
            children[role] = network.eval()
        elif _has_left(packed):
            missing.append(role)
        if role in state and _is_left(state[role]) and role not in missing:
            state[role] = children[role]
    return missing


def _tensors_of(packed: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Names and tensors of a packed module, as in torch's state dicts."""
    tensors = [
        (prefix + name, parameter[0])
        for name, parameter in packed["parameters"].items()
        if parameter is not None
    ]
    tensors += [
        (prefix + name, buffer)
        for name, buffer in packed["buffers"].items()
        if buffer is not None and name not in packed["volatile"]
    ]
    for name, child in packed["children"].items():
        if child is not None:
            tensors += _tensors_of(child, f"{prefix}{name}.")
    return tensors


def _is_left(value: Any) -> bool:
    return isinstance(value, dict) and (
        value.get(KIND) == "left"
        or (value.get(KIND) == "module" and _is_left(value["class"]))
    )


def _holds_left(value: Any) -> bool:
    """Whether a parameter is, or has in it, what a file cannot hold."""
    if isinstance(value, list | tuple):
        return any(_holds_left(item) for item in value)
    return _is_left(value)


def _has_left(packed: Any) -> bool:
    """Whether a packed module has one whose class is not in the file."""
    if packed is None or _is_left(packed):
        return packed is not None
    return any(_has_left(child) for child in packed["children"].values())


def _public_class(name: Any) -> type | None:
    package = importlib.import_module(__name__.partition(".")[0])
    cls = getattr(package, name) if name in package.__all__ else None
    return cls if isinstance(cls, type) and issubclass(cls, FittedState) else None
