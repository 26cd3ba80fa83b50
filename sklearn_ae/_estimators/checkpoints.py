"""Fits that go on where a process ended: what says that it is the same fit.

A fit that diverges starts anew at a lower rate, and what is kept is of the last start.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TypeVar

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor, nn

from .._training.checkpoints import CheckpointFile, Checkpoints
from .._training.trainer import DivergenceError
from .._utils.device import resolve_device
from .._utils.processes import current
from .._utils.version import __version__
from .design import Design

_LOGGER = logging.getLogger("sklearn_ae")

Result = TypeVar("Result")

# Bytes of an array whose cells are all compared, and parts of larger tables, from all
# over them, with so many rows each.
_FEW_BYTES = 2**24
_N_PARTS, _N_TOGETHER = 20, 50
# Parameters that change nothing about what is learned.
_IRRELEVANT = frozenset({"callbacks", "checkpoint", "device", "verbose"})


def at_lower_rates(
    estimator: Any,
    design: Design,
    train: Callable[[Design], Result],
    checkpoints: Checkpoints,
) -> Result:
    """Train as designed; where that diverges anew, at a tenth and a hundredth.

    A rate of our own choice is ours to lower: heavy tails need it.
    """
    for attempt, slowdown in enumerate((1.0, 10.0, 100.0)):
        if not checkpoints.begin(attempt, estimator.random_state):
            continue
        recipe = replace(design.recipe, slowdown=slowdown, checkpoints=checkpoints)
        try:
            return train(replace(design, recipe=recipe))
        except DivergenceError:
            if not recipe.can_slow_down or slowdown == 100.0:
                raise
            _LOGGER.info(
                "%s diverged and starts anew at a tenth of the rate.",
                type(estimator).__name__,
            )
    raise AssertionError("The last attempt ends in a result or an error.")


@contextlib.contextmanager
def checkpoints_of(
    estimator: Any, table: Any, goes_on: bool, may_have_callbacks: bool = False
) -> Iterator[Checkpoints]:
    """Where the trainings of a fit are kept, while it lasts.

    Callbacks are skorch's, unless they may be there.
    """
    if estimator.checkpoint is None:
        yield Checkpoints()
        return
    if not os.fspath(estimator.checkpoint):
        raise ValueError(
            "checkpoint must name a file or a folder, or be None; got an empty name."
        )
    if estimator.callbacks and not may_have_callbacks:
        raise ValueError(
            "checkpoint= and callbacks= exclude each other: what callbacks remember is "
            "not in a checkpoint. Leave one of them out."
        )
    if estimator.random_state is None:
        raise ValueError(
            "checkpoint= needs a random_state, an integer for one: with None no fit "
            "is like another, and none can go on."
        )
    processes = current()
    made_of = _made_of(estimator, table, goes_on)
    if processes.are_several:
        made_of["processes"] = str(processes.n)
    path = _file_of(estimator.checkpoint, made_of, processes.is_first)
    checkpoints = CheckpointFile(path, made_of, processes)
    with checkpoints.ending_well():
        yield checkpoints


def _file_of(path: str | os.PathLike, made_of: dict[str, str], may_make: bool) -> Path:
    """The file, or in a folder that of a fit that is made of this."""
    name, path = os.fspath(path), Path(path)
    if not path.is_dir() and not name.endswith(("/", os.sep)):
        return path
    if may_make:
        path.mkdir(parents=True, exist_ok=True)
    of_fit = {key: word for key, word in made_of.items() if "version" not in key}
    digest = hashlib.sha256(json.dumps(of_fit, sort_keys=True).encode()).hexdigest()
    return path / f"{made_of['estimator']}-{digest[:16]}.safetensors"


def _made_of(estimator: Any, table: Any, goes_on: bool) -> dict[str, str]:
    """All that decides about the result of a fit, by name and in words."""
    made_of = {
        "estimator": type(estimator).__name__,
        "version of sklearn_ae": __version__,
        "version of torch": torch.__version__,
        "device": resolve_device(estimator.device).type,
    }
    for name, value in estimator.get_params(deep=False).items():
        if name not in _IRRELEVANT:
            made_of[f"parameter {name}"] = in_words(value)
    for name, value in vars(table).items():
        if value is not None and hasattr(value, "shape"):
            made_of |= _table_in_words(name, value)
        elif isinstance(value, int | str):
            made_of[name] = str(value)
    if goes_on:
        weights = digest_of_module(estimator.module_)
        made_of["warm start"] = f"after {estimator.n_iter_} epochs ({weights})"
    return made_of


def _table_in_words(name: str, X: Any) -> dict[str, str]:
    words = {
        f"shape of {name}": str(tuple(X.shape)),
        f"dtype of {name}": str(X.dtype),
    }
    if issparse(X):
        cells = [X.data, X.indices, X.indptr]
    else:
        is_whole = isinstance(X, np.ndarray) and X.nbytes <= _FEW_BYTES
        starts = np.linspace(0, max(0, len(X) - _N_TOGETHER), _N_PARTS).astype(int)
        parts = [slice(start, start + _N_TOGETHER) for start in starts.tolist()]
        cells = [X] if is_whole else [X[part] for part in parts]
    return words | {f"digest of cells of {name}": _digest(*cells)}


def in_words(value: Any) -> str:
    if isinstance(value, np.random.RandomState):
        _, keys, *rest = value.get_state()
        return f"generator {_digest(np.asarray(keys), np.array(rest))}"
    if isinstance(value, nn.Module):
        return f"{type(value).__qualname__} with weights {digest_of_module(value)}"
    if isinstance(value, np.ndarray):
        # Bytes of objects are where these lie in memory.
        is_short = value.size <= 20 or value.dtype == object
        return repr(value.tolist()) if is_short else f"array {_digest(value)}"
    if callable(value):
        return _callable_in_words(value)
    return repr(value)


def _callable_in_words(value: Any) -> str:
    """The name of a function or class, with what tells it from others of that name."""
    if isinstance(value, functools.partial):
        given = *value.args, *sorted(value.keywords.items())
        return f"partial of {in_words(value.func)} with {given!r}"
    if not hasattr(value, "__qualname__"):  # an object that can be called
        own = {
            name: in_words(held)
            for name, held in sorted(getattr(value, "__dict__", {}).items())
        }
        return f"{_callable_in_words(type(value))} with {own}"
    name = f"{value.__module__}.{value.__qualname__}"
    if not isinstance(value, FunctionType):
        return name
    defaults = value.__defaults__, value.__kwdefaults__
    held = [cell.cell_contents for cell in value.__closure__ or ()]
    # What a closure holds may hold the function itself.
    named = [
        h.__qualname__ if isinstance(h, FunctionType) else in_words(h) for h in held
    ]
    words = f"{_code_in_words(value.__code__)} {defaults!r} {named}"
    return f"{name} ({hashlib.sha256(words.encode()).hexdigest()[:16]})"


def _code_in_words(code: CodeType) -> str:
    constants = [
        _code_in_words(constant) if isinstance(constant, CodeType) else repr(constant)
        for constant in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def digest_of_module(module: nn.Module) -> str:
    """A word that differs where the weights of networks do."""
    tensors: list[Tensor] = list(module.state_dict().values())
    return _digest(*(tensor.cpu().double().numpy() for tensor in tensors))


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
