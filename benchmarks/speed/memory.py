"""Peak memory of fits, each in a process of its own; and tables in files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sklearn.base import clone

from benchmarks._measuring import squared_error, timed, without_convergence_warnings
from benchmarks._memory import in_new_process, peak_memory
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._tables import rows as _rows

from .sizes import Size
from .targets import Measured, Target
from .timing import MB, make_table, use_threads


def measure_memory(size: Size) -> Measured:
    """Peak memory of fit above the data, each in a process of its own."""
    rows, targets = [], []
    for wanted in size.memory_mb:
        n_columns = 100
        n_rows = max(100, round(wanted * MB / (4 * n_columns)))
        peak = in_new_process(_peak_of_fit, n_rows, n_columns, torch.get_num_threads())
        n_bytes = 4 * n_rows * n_columns
        allowed = 0.2 * n_bytes + 300 * MB
        row = {"table": f"{n_rows} x {n_columns}", "input_mb": n_bytes / MB}
        row |= {"peak_above_mb": peak / MB, "share_of_input": peak / n_bytes}
        rows.append(row)
        what = f"memory of fit above {n_bytes / MB:.4g} MB of float32, MB"
        targets.append(Target(what, peak / MB, allowed / MB))
    return rows, targets


def _peak_of_fit(n_rows: int, n_columns: int, n_threads: int) -> int:
    """How far a fit raises the process's peak; to be called once per process."""
    X = make_table(n_rows, n_columns)
    model = AutoencoderTransformer(8, max_iter=1, device="cpu")
    before = peak_memory()
    with use_threads(n_threads), without_convergence_warnings():
        model.fit(X)
    return peak_memory() - before


def measure_mapped(size: Size) -> Measured:
    """A file larger than memory: peak of the whole process, and the error reached."""
    rows, targets = [], []
    with TemporaryDirectory() as folder:
        path = Path(folder, "table.npy")
        n_rows = _write_table(path, size.mapped_mb, n_columns=784)
        peak, seconds = in_new_process(_fit_mapped, path, torch.get_num_threads())
        row = {"table": f"{n_rows} x 784", "input_mb": size.mapped_mb}
        rows.append(row | {"peak_mb": peak / MB, "seconds": seconds})
        what = f"peak of the process that fits {size.mapped_mb:g} MB in a file, MB"
        targets.append(Target(what, peak / MB, 1200.0))

        n_rows = max(1000, round(size.mapped_error_mb * MB / (4 * 50)))
        X, test = np.split(make_table(n_rows + 2000, 50), [n_rows])
        X = X[np.argsort(X[:, 0])]  # the shuffling has something to do
        np.save(path, X)
        mapped = np.load(path, mmap_mode="r")
        model = AutoencoderTransformer(4, max_iter=size.max_iter, device="cpu")
        with _all_in_memory(X.size):
            expected = squared_error(test, clone(model).fit(X).reconstruct(test))
        with _all_in_memory(min(X.size - 1, _rows.RESIDENT_SIZE)):
            error = squared_error(test, clone(model).fit(mapped).reconstruct(test))
    rows[0]["error_over_in_memory"] = None
    row = {"table": f"{n_rows} x 50", "input_mb": size.mapped_error_mb}
    row["error_over_in_memory"] = error / expected
    rows.append({**dict.fromkeys(rows[0]), **row})
    what = "error after a fit on a file, over that of a fit in memory"
    targets.append(Target(what, error / expected, 1.02))
    return rows, targets


def _write_table(path: Path, n_megabytes: float, n_columns: int) -> int:
    """Write rows like make_table's, and return how many."""
    n_rows = max(1000, round(n_megabytes * MB / (4 * n_columns)))
    file = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(n_rows, n_columns)
    )
    block = make_table(min(n_rows, 100_000), n_columns)
    noise = np.random.default_rng(0)
    for start in range(0, n_rows, len(block)):
        part = block[: n_rows - start]
        file[start : start + len(part)] = part * noise.normal(1.0, 0.1)
    file.flush()
    return n_rows


def _fit_mapped(path: Path, n_threads: int) -> tuple[int, float]:
    """Peak of this process, and seconds of a short fit."""
    model = AutoencoderTransformer(8, max_iter=2, device="cpu")
    with use_threads(n_threads), without_convergence_warnings():
        seconds = timed(lambda: model.fit(np.load(path, mmap_mode="r"))).wall
    return peak_memory(), seconds


@contextmanager
def _all_in_memory(size: int) -> Iterator[None]:
    """Let tables of up to so many numbers count as small enough for a copy."""
    before = _rows.RESIDENT_SIZE
    _rows.RESIDENT_SIZE = size
    try:
        yield
    finally:
        _rows.RESIDENT_SIZE = before
