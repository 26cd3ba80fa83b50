"""Held-out errors of fits by one, two and four processes of the same rows.

Beside them stands one process whose rows differ in the last digit of single precision:
what rounding alone does to a training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from benchmarks._cells import Split, split_rows
from benchmarks._measuring import (
    reconstruct,
    squared_error,
    without_convergence_warnings,
)
from benchmarks._text import format_table
from benchmarks.datasets import load_tables
from benchmarks.scale.group import in_processes
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._estimators.checkpoints import digest_of_module

N_PROCESSES = (1, 2, 4)


def measure(
    names: Sequence[str], data_home: str | None, k: int, max_rows: int, max_iter: Any
) -> Iterator[dict[str, Any]]:
    """Of each table with more columns than latents, errors by numbers of processes."""
    for table in load_tables(data_home, names):
        split = split_rows(table, 0, max_rows, StandardScaler())
        if split.X_train.shape[1] <= k:
            continue
        nudged = replace(split, X_train=_nudged(split.X_train))
        (of_nudged,) = in_processes(1, _fit, 1, nudged, k, max_iter)
        found = {n: in_processes(n, _fit, n, split, k, max_iter) for n in N_PROCESSES}
        yield {
            "set": table.name,
            "rows": len(split.X_train),
            "columns": split.X_train.shape[1],
            "start": {n: of_n[0]["start"] for n, of_n in found.items()},
            "error": {n: of_n[0]["error"] for n, of_n in found.items()},
            "error_nudged": of_nudged["error"],
            "equal_bits": all(
                len({of_rank["digest"] for of_rank in of_n}) == 1
                for of_n in found.values()
            ),
        }


def _fit(rank: int, n: int, split: Split, k: int, max_iter: Any) -> dict[str, Any]:
    own = np.array_split(split.X_train, n)[rank]
    start = _fitted(own, k, max_iter=0)
    trained = _fitted(own, k, max_iter=max_iter)
    return {
        "start": _error(start, split.X_test),
        "error": _error(trained, split.X_test),
        "digest": digest_of_module(trained.module_),
    }


def _fitted(X: NDArray[Any], k: int, max_iter: Any) -> AutoencoderTransformer:
    with without_convergence_warnings():
        return AutoencoderTransformer(k, max_iter=max_iter, device="cpu").fit(X)


def _nudged(X: NDArray[Any]) -> NDArray[Any]:
    signs = np.random.RandomState(0).choice([-1.0, 1.0], X.shape)
    return np.asarray(X * (1.0 + signs * np.finfo(np.float32).eps))


def _error(model: AutoencoderTransformer, X: NDArray[Any]) -> float:
    return squared_error(X, reconstruct(model, X))


def report(rows: Sequence[dict[str, Any]]) -> str:
    of_each = ("start", "of 2", "of 4", "error", "of 2", "of 4", "nudged")
    heading = ["table", "rows", *of_each, "bits"]
    lines = []
    for row in rows:
        line = [row["set"], f"{row['rows']:,}"]
        for what in ("start", "error"):
            one, *others = row[what].values()
            line += [f"{one:.3g}", *(f"{other / one - 1:+.1e}" for other in others)]
        nudged = f"{row['error_nudged'] / row['error'][1] - 1:+.1e}"
        lines.append([*line, nudged, "equal" if row["equal_bits"] else "differ"])
    return (
        "Held-out squared error of one process with all rows, and relative to it of "
        "two and of four with\nparts, and of one whose rows differ in their last "
        f"digit\n\n{format_table(heading, lines)}"
    )
