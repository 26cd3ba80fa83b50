"""One row at a time: what a call costs, and whether threads get their own rows.

python -m benchmarks.serving
uvicorn --factory benchmarks.serving:make_app    # with fastapi and uvicorn
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer

from sklearn_ae import AutoencoderTransformer
from sklearn_ae.serving import prepare


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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=8)
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


if __name__ == "__main__":
    main()
