"""Rounds of measurements, threads, and the table that is measured on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks._measuring import timed

MB = 1e6
BATCH_SIZE = 128  # where the estimator's own is not the point
BLOCK_ROWS = 8192  # of tables as they are made

Run = Callable[[], object]


def interleaved(runs: Mapping[Any, Run], repeats: int) -> pd.DataFrame:
    """Seconds of every run (a column each), in rounds (rows) in which each has a turn.

    What slows the machine down for a while slows a whole round down, so that ratios
    within a round stand. Before the first round, every run is called once.
    """
    seconds = []
    for _ in range(1 + repeats):
        seconds.append({name: timed(run).wall for name, run in runs.items()})
    return pd.DataFrame(seconds[1:])


def median_ratio(numerator: pd.Series, denominator: pd.Series) -> float:
    return float((numerator / denominator).median())


@contextmanager
def use_threads(n: int) -> Iterator[None]:
    """Let torch and numpy's BLAS have n threads each."""
    before = torch.get_num_threads()
    with threadpool_limits(n):
        torch.set_num_threads(n)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def make_table(n_rows: int, n_columns: int, n_factors: int = 4) -> NDArray[np.float32]:
    """A bent surface with noise; columns of mean near 0 and variance near 1.

    It is filled block by block: no more memory is ever held than the table's own.
    """
    rng = np.random.default_rng(0)
    width = 4 * n_factors
    bends = 0.7 * rng.normal(size=(n_factors, width))
    mixing = rng.normal(size=(width, n_columns)) / np.sqrt(0.5 * width)
    X = np.empty((n_rows, n_columns), dtype=np.float32)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = X[start : start + BLOCK_ROWS]
        factors = rng.normal(size=(len(block), n_factors))
        block[:] = np.sin(factors @ bends) @ mixing
        block += 0.1 * rng.standard_normal(block.shape, dtype=np.float32)
    return X
