"""What a group of one process costs a fit: the same fits in it and outside of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks._measuring import timed, without_convergence_warnings
from benchmarks.scale.group import in_processes
from benchmarks.speed.timing import make_table
from sklearn_ae import AutoencoderTransformer
from sklearn_ae.distributed import alone

N_ROWS, N_COLUMNS, N_LATENTS = 20_000, 30, 4


def measure(repeats: int, n_epochs: int) -> list[dict[str, Any]]:
    """Seconds of pairs of fits, of which the first of each is alone."""
    return in_processes(1, _measure, repeats, n_epochs)[0]


def _measure(rank: int, repeats: int, n_epochs: int) -> list[dict[str, Any]]:
    X = make_table(N_ROWS, N_COLUMNS)
    model = AutoencoderTransformer(
        N_LATENTS,
        hidden_layer_sizes=(64, 32),
        inference="encoder",
        max_iter=n_epochs,
        device="cpu",
    )

    def fit_alone() -> None:
        with alone():
            model.fit(X)

    pairs = []
    with without_convergence_warnings():
        for i in range(1 + repeats):  # the first warms up
            runs = [fit_alone, lambda: model.fit(X)]
            order = [0, 1] if i % 2 else [1, 0]
            seconds = {which: timed(runs[which]).cpu for which in order}
            pairs.append({"alone": seconds[0], "in_group": seconds[1]})
    return pairs[1:]


def report(pairs: Sequence[dict[str, Any]]) -> str:
    ratios = [pair["in_group"] / pair["alone"] for pair in pairs]
    return (
        f"Fits of {N_ROWS:,} rows of {N_COLUMNS} columns in a group of one process, "
        f"over the same without a group:\nprocessor time of {len(pairs)} pairs of "
        f"{np.median([pair['alone'] for pair in pairs]):.2f} s, median ratio "
        f"{np.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})"
    )
