"""One row at a time: what a call costs, and whether threads get their own rows.

And many rows at once: `transform` beside the file of ONNX that `to_onnx` writes.

python -m benchmarks.serving
uvicorn --factory benchmarks.serving:make_app    # with fastapi and uvicorn
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.export import to_onnx
from sklearn_ae.serving import prepare

_PAIR = 5000  # rows that one has, and then the other


def make_app() -> Any:
    """A service that encodes rows, by FastAPI."""
    from fastapi import FastAPI, HTTPException  # only this function needs it

    X = load_breast_cancer().data
    transform = prepare(AutoencoderTransformer(2).fit(X))
    app = FastAPI()

    @app.post("/latents")
    def latents(row: list[float]) -> list[float]:
        try:
            return transform(row).tolist()
        except ValueError as error:
            raise HTTPException(422, str(error)) from error

    return app


def timed(call: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Seconds of the processor that each row takes."""
    seconds = []
    for row in rows:
        start = time.thread_time()
        call(row)
        seconds.append(time.thread_time() - start)
    return np.array(seconds)


def load(
    call: Callable[[np.ndarray], np.ndarray],
    X: np.ndarray,
    n_calls: int,
    n_threads: int,
) -> tuple[int, np.ndarray]:
    """Wrong rows of many calls from several threads, and the seconds of each."""
    expected = np.array([call(row) for row in X])

    def ask(i: int) -> tuple[bool, float]:
        start = time.perf_counter()
        answer = call(X[i % len(X)])
        seconds = time.perf_counter() - start
        return bool(np.any(answer != expected[i % len(X)])), seconds

    with ThreadPoolExecutor(n_threads) as threads:
        answers = list(threads.map(ask, range(n_calls)))
    return sum(wrong for wrong, _ in answers), np.array([s for _, s in answers])


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one thread, and after that with as many as before."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def beside_onnx(
    estimator: AutoencoderTransformer, X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of `transform` and of ONNX Runtime with a thread each, and differences.

    Some thousand rows by one and then by the other, until all are through: of each pair
    the seconds of the processor and of the clock, (n_pairs, 2, 2). Differences of rows
    (n,) are in units of the latents' spread.
    """
    import onnxruntime  # only this function needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = to_onnx(estimator, Path(folder, "model.onnx"), X[:500])
        session = onnxruntime.InferenceSession(path, options)

    def onnx(rows: np.ndarray) -> np.ndarray:
        return session.run(None, {"X": rows})[0]

    seconds, expected, answers = [], [], []
    with one_thread():
        estimator.transform(X[:_PAIR])  # what the first call alone does
        for start in range(0, len(X), _PAIR):
            marks = [(time.process_time(), time.perf_counter())]
            for call, found in ((estimator.transform, expected), (onnx, answers)):
                found.append(call(X[start : start + _PAIR]))
                marks.append((time.process_time(), time.perf_counter()))
            seconds.append(np.diff(marks, axis=0))
    Z = np.concatenate(expected)
    differences = np.abs(np.concatenate(answers) - Z).max(axis=1)
    return np.array(seconds), differences / Z.std(axis=0).max()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args(arguments)
    X = load_breast_cancer().data
    estimator = AutoencoderTransformer(2).fit(X)
    calls = {
        "transform": lambda row: estimator.transform(row[None])[0],
        "prepared": prepare(estimator),
        "prepared, encoder": prepare(estimator, inference="encoder"),
        "prepared, encoder, float32": prepare(
            estimator, inference="encoder", dtype=np.float32
        ),
    }
    for name, call in calls.items():
        timed(call, X[:50])
        seconds = timed(call, X[:300])
        print(f"{name}: {1e6 * np.median(seconds):.0f} us of the processor")
    wrong, seconds = load(calls["prepared, encoder"], X, options.calls, options.threads)
    print(
        f"{options.calls} calls from {options.threads} threads: {wrong} wrong rows, "
        f"median {1e3 * np.median(seconds):.2f} ms, "
        f"99th percentile {1e3 * np.quantile(seconds, 0.99):.2f} ms"
    )
    rng = np.random.RandomState(0)
    noise = 0.05 * X.std(axis=0) * rng.standard_normal((options.rows, X.shape[1]))
    rows = X[rng.randint(len(X), size=options.rows)] + noise
    for dtype in (np.float64, np.float32):
        seconds, differences = beside_onnx(estimator, rows.astype(dtype))
        own, theirs = seconds.sum(axis=0)  # each of the processor and of the clock
        share = np.median(seconds[:, 1] / seconds[:, 0], axis=0)
        print(
            f"{len(rows)} rows, {np.dtype(dtype)}, one thread each, seconds of the "
            f"processor (clock): transform {own[0]:.2f} ({own[1]:.2f}), ONNX Runtime "
            f"{theirs[0]:.2f} ({theirs[1]:.2f}), {share[0]:.2f} ({share[1]:.2f}) of it "
            f"in the median of {len(seconds)} pairs; they differ by up to "
            f"{differences.max():.1e} of the latents' spread, "
            f"{np.mean(differences > 1e-9):.2%} of rows by more than 1e-9"
        )


if __name__ == "__main__":
    main()
