"""What checkpoints are for, tried: fits are killed at random moments and begun again.

    python -m benchmarks.checkpoints

Every trial starts a fit in a process of its own, kills it (SIGKILL) at a random moment,
and fits again: the result must have the bytes of an undisturbed fit. Checkpoints are
written after every step, so that many moments lie within a writing, and in every third
trial a limit on the size of files lets writings fail as a full disk does. Then the
share of time is measured that checkpoints take of a fit with the usual time between
them.
"""

import argparse
import hashlib
import os
import pickle
import random
import resource
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning

from sklearn_ae import (
    AutoencoderTransformer,
    FaceSwapper,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae._training import checkpoints
from sklearn_ae._utils.tensor_files import PART


def mixed_table() -> tuple[Any]:
    """Numbers, dates, truths and categories, each with holes."""
    random_state = np.random.RandomState(0)
    n = 400
    size = random_state.normal(size=n)
    frame = pd.DataFrame(
        {
            "size": size,
            "price": np.exp(size + 0.1 * random_state.normal(size=n)),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(100 * size, "D"),
            "new": pd.array(size > 0.5, dtype="boolean"),
            "kind": pd.Categorical(random_state.choice(list("abc"), n)),
        }
    )
    return (frame.mask(random_state.uniform(size=frame.shape) < 0.2),)


def discs() -> tuple[NDArray[Any], NDArray[Any]]:
    """Bright discs and dark ones, in places of their own, and which they are."""
    random_state = np.random.RandomState(0)
    h, w = np.mgrid[:16, :16]
    centers = random_state.uniform(5, 10, size=(30, 2, 1, 1))
    disc = (h - centers[:, 0]) ** 2 + (w - centers[:, 1]) ** 2 < 12
    signs = np.where(np.arange(30) % 2, 0.4, -0.4)
    return 0.5 + signs[:, None, None] * disc, np.array(["dark", "bright"] * 15)


def rows_of(load: Callable[[], Any]) -> Callable[[], tuple[NDArray[Any]]]:
    return lambda: (load().data,)


SIZES = {"hidden_layer_sizes": (16,)}
FITS: dict[str, tuple[Any, Callable[[], tuple], dict[str, Any]]] = {
    "cross-validated": (
        AutoencoderTransformer,
        rows_of(load_iris),
        {"max_iter": 3, **SIZES},
    ),
    "rows held out": (VAETransformer, rows_of(load_digits), {"max_iter": 2, **SIZES}),
    "a map": (NeighborMapTransformer, rows_of(load_iris), {"max_iter": 4, **SIZES}),
    "a mixed table with holes": (
        AutoencoderTransformer,
        mixed_table,
        {"max_iter": 4, "early_stopping": False, **SIZES},
    ),
    "columns by their quantiles": (
        VAETransformer,
        mixed_table,
        {"max_iter": 4, "column_maps": "quantile", "early_stopping": False, **SIZES},
    ),
    "faces": (
        FaceSwapper,
        discs,
        {"max_iter": 3, "width": 4, "n_eigenfaces": 8, "early_stopping": True},
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", choices=FITS, nargs="+", default=[*FITS])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=70.0, help="of the timed fit")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    chance = random.Random(arguments.seed)
    torch.set_num_threads(1)  # other threads do not outlive a fork
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.fits if arguments.trials else ():
            kill(name, arguments.trials, Path(folder), chance)
        if arguments.seconds:
            time_writing(arguments.seconds, Path(folder))


def kill(name: str, n_trials: int, folder: Path, chance: random.Random) -> None:
    expected = digest(name, None)
    start = time.monotonic()
    end(begin(name, folder / f"{name} timed", folder / "result"))
    seconds = time.monotonic() - start
    n_killed = n_found = n_within = n_full = n_equal = 0
    for trial in range(n_trials):
        path, result = folder / f"{name} {trial}", folder / "result"
        is_full = trial % 3 == 2
        limit = chance.randrange(5_000, 300_000) if is_full else 0
        process = begin(name, path, result, limit)
        time.sleep(chance.uniform(0.0, seconds))
        os.kill(process, signal.SIGKILL)
        n_killed += end(process) == -signal.SIGKILL
        n_found += path.exists()
        n_within += any(folder.glob(f"{path.name}*{PART}"))
        n_full += is_full
        result.unlink(missing_ok=True)
        end(begin(name, path, result))
        n_equal += result.exists() and result.read_text() == expected
    print(
        f"{name}: {n_trials} fits of {seconds:.1f} s, {n_killed} of them killed, "
        f"{n_within} within a writing, {n_full} with a full disk; {n_found} left a "
        f"checkpoint; {n_equal} of {n_trials} results equal to the undisturbed fit's",
        flush=True,
    )


def begin(name: str, path: Path, result: Path, limit: int = 0) -> int:
    """A process that fits, with a checkpoint after every step, and tells the result."""
    process = os.fork()
    if process:
        return process
    checkpoints.SECONDS_BETWEEN = checkpoints.COST_BETWEEN = 0.0
    if limit:  # writing beyond it fails
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        result.write_text(digest(name, path))
    finally:
        os._exit(0)


def end(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def digest(name: str, path: Path | None) -> str:
    warnings.simplefilter("ignore")
    kind, load, parameters = FITS[name]
    estimator = kind(2, **parameters, checkpoint=path).fit(*load())
    return hashlib.sha256(pickle.dumps(estimator)).hexdigest()


def time_writing(seconds: float, folder: Path) -> None:
    """Fit for about so long, and take the time within writings."""
    X = np.random.RandomState(0).normal(size=(20_000, 200)).cumsum(axis=1)
    spent, n_writings = 0.0, 0
    write = checkpoints.CheckpointFile.write

    def timed(self: checkpoints.CheckpointFile) -> None:
        nonlocal spent, n_writings
        start = time.monotonic()
        write(self)
        spent, n_writings = spent + time.monotonic() - start, n_writings + 1

    def fit(max_iter: int, path: Path | None) -> float:
        estimator = AutoencoderTransformer(
            8,
            hidden_layer_sizes=(512, 256),
            max_iter=max_iter,
            n_iter_no_change=max_iter,
            early_stopping=False,
            checkpoint=path,
        )
        start = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(X)
        return time.monotonic() - start

    once = fit(3, None)
    checkpoints.CheckpointFile.write = timed
    took = fit(max(3, round(3 * seconds / once)), folder / "timed.safetensors")
    print(
        f"a fit of {took:.0f} s: {n_writings} writings took {spent:.2f} s, "
        f"{100 * spent / took:.2f} % of it"
    )


if __name__ == "__main__":
    main()
