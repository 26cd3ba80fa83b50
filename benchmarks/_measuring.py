"""What is measured of a model in more than one benchmark, and how."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning


class Seconds(NamedTuple):
    """How long something took."""

    wall: float
    cpu: float  # of the processor, which other work does not lengthen


def timed(run: Callable[[], object]) -> Seconds:
    cpu = time.process_time()
    wall = time.perf_counter()  # innermost: some runs take microseconds
    run()
    wall = time.perf_counter() - wall
    return Seconds(wall, time.process_time() - cpu)


def reconstruct(model: Any, X: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(model.inverse_transform(model.transform(X)))


def squared_error(X: NDArray[Any], X_back: NDArray[Any]) -> float:
    return float(np.mean((X - X_back) ** 2, dtype=np.float64))


@contextmanager
def without_convergence_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # Settings are as stated; that an upper bound was met is part of it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def failure_of(error: Exception) -> str:
    """What a row says of a measurement that failed."""
    return f"{type(error).__name__}: {error}".partition("\n")[0]
