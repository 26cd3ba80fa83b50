"""Held-out errors of fits by one, two and four processes of the same rows."""

from collections.abc import Iterator, Sequence
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
        found = {n: in_processes(n, _fit, n, split, k, max_iter) for n in N_PROCESSES}
        yield {
            "set": table.name,
            "rows": len(split.X_train),
            "columns": split.X_train.shape[1],
            "start": {n: of_n[0]["start"] for n, of_n in found.items()},
            "error": {n: of_n[0]["error"] for n, of_n in found.items()},
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


def _error(model: AutoencoderTransformer, X: NDArray[Any]) -> float:
    return squared_error(X, reconstruct(model, X))


def report(rows: Sequence[dict[str, Any]]) -> str:
    of_each = ("start", "of 2", "of 4", "error", "of 2", "of 4")
    heading = ["table", "rows", *of_each, "bits"]
    lines = []
    for row in rows:
        line = [row["set"], f"{row['rows']:,}"]
        for what in ("start", "error"):
            one, *others = row[what].values()
            line += [f"{one:.3g}", *(f"{other / one - 1:+.1e}" for other in others)]
        lines.append([*line, "equal" if row["equal_bits"] else "differ"])
    return (
        "Held-out squared error of one process with all rows, and relative to it of "
        f"two and of four with parts\n\n{format_table(heading, lines)}"
    )
