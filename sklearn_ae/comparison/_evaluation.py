"""One reducer, fitted, timed and scored; its warnings and its failure are kept."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from ._reducers import Builder, SkippedReducer
from ._scores import Result, score_neighborhoods, score_reconstruction
from ._split import Split

# A transform is timed at least so often, in all for so long, but not for longer than
# that (in seconds).
_MIN_TIMINGS, _MIN_TIMED, _MAX_TIMED = 10, 0.05, 1.0


def evaluate(
    name: str, build: Builder, k: int, split: Split
) -> tuple[Result, NDArray[Any] | None]:
    """Measure one reducer at one k; its exception ends up in the result."""
    result = Result(name, k)
    Z_test = None
    stage = ""
    with _collected_warnings() as messages:
        try:
            reducer = build(k, split)
            result.has_transform = hasattr(reducer, "transform")
            result.has_inverse_transform = hasattr(reducer, "inverse_transform")
            stage = "fit: "
            Z_train, Z_test = _fit_transform(reducer, split, result)
            stage = "scores: "
            score_neighborhoods(Z_train, Z_test, split, result)
            if result.has_inverse_transform:
                stage = "inverse_transform: "
                score_reconstruction(reducer, Z_test, split, result)
        except SkippedReducer as reason:
            result.add_note(f"skipped: {reason}")
        except Exception as exception:  # a failing reducer must not end the others
            result.error = f"{stage}{type(exception).__name__}: {_one_line(exception)}"
    result.warnings = "; ".join(dict.fromkeys(messages))
    return result, Z_test


def _fit_transform(
    reducer: Any, split: Split, result: Result
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the latents of the training and the held-out rows, and time both steps."""
    if not result.has_transform:
        result.add_note(
            "no transform for new rows: fitted to all rows, the held-out rows included"
        )
        start = time.perf_counter()
        Z = reducer.fit_transform(np.concatenate([split.X_train, split.X_test]))
        result.fit_seconds = time.perf_counter() - start
        Z = _check_latents(Z, split.n_samples)
        return Z[: len(split.X_train)], Z[len(split.X_train) :]

    start = time.perf_counter()
    reducer.fit(split.X_train)
    result.fit_seconds = time.perf_counter() - start
    Z_test, seconds = _timed(reducer.transform, split.X_test)
    result.transform_rows_per_second = len(split.X_test) / seconds
    Z_train = _check_latents(reducer.transform(split.X_train), len(split.X_train))
    return Z_train, _check_latents(Z_test, len(split.X_test))


def _check_latents(Z: Any, n_rows: int) -> NDArray[Any]:
    Z = check_array(Z, input_name="the latents")
    if len(Z) != n_rows:
        raise ValueError(f"it returned {len(Z)} latents for {n_rows} rows")
    return Z


def _timed(function: Callable[[Any], Any], X: NDArray[Any]) -> tuple[Any, float]:
    """Call the function; return its result and the seconds it takes.

    A short call is repeated, and its shortest time counts: the first call also pays
    for cold caches, and any call for what else the machine does.
    """
    times: list[float] = []
    while sum(times) < _MAX_TIMED:
        start = time.perf_counter()
        result = function(X)
        times.append(time.perf_counter() - start)
        if len(times) >= _MIN_TIMINGS and sum(times) >= _MIN_TIMED:
            break
    return result, min(times)


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Keep warnings from the screen, and collect their messages instead."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield messages
    messages += [f"{w.category.__name__}: {_one_line(w.message)}" for w in caught]


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
