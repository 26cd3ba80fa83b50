"""Seconds and memory: ours beside others and beside the bare matrix products.

Run it from the repository's root as ``python -m benchmarks.speed``; README.md, beside
this file, says what is measured and how.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import parallel_config
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks._common import RESULTS, Results, Row, describe_run, format_table
from benchmarks._memory import in_new_process, peak_memory
from benchmarks._steps import (
    HAS_PYOD,
    HandWrittenLoop,
    Run,
    Shape,
    inference_products,
    make_epochs,
    make_regressor,
    our_epoch,
)
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._networks.sizes import hidden_layer_sizes
from sklearn_ae._tables import rows as _rows
from sklearn_ae._tables.rows import block_rows
from sklearn_ae._training import recipe as _recipe
from sklearn_ae._training.recipe import n_validation_rows

MB = 1e6
BLOCK_ROWS = 8192  # of tables as they are made
BATCH_SIZE = 128  # where the estimator's own is not the point
EPOCHS_BESIDE_A_FIT = 5  # before it and after it, to know what its steps cost


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    shapes: tuple[Shape, ...]
    repeats: int = 7  # of what takes seconds
    long_repeats: int = 3  # of what takes minutes
    n_calls: int = 2000  # for one row
    fit_rows: int = 20_000
    fit_columns: tuple[tuple[int, int], ...] = ((30, 4), (100, 8))  # with latents
    max_iter: int | Literal["auto"] = "auto"
    # Rows, columns, latents, and the seconds that a default fit may take.
    default_fits: tuple[tuple[int, int, int, float], ...] = (
        (100, 4, 2, 0.5),
        (10_000, 50, 8, 10.0),
    )
    transform_shape: tuple[int, int] = (100_000, 784)
    memory_mb: tuple[float, ...] = (100.0, 1000.0)
    # A mapped file whose fit's memory is measured, and one whose fit's error is.
    mapped_mb: float = 4000.0
    mapped_error_mb: float = 65.0
    table_rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    n_epochs: int = 5  # of tables of different lengths
    # Lengths of training that are tried, and epochs after which others give up.
    trained_epochs: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 75)
    most_epochs: int = 150
    grid_rows: int = 2000


FULL = Size(
    shapes=(
        Shape(784, (300, 300), 2, 256, n_steps=30, limit=1.15),
        Shape(100, (256, 128), 8, 256, n_steps=100, limit=1.3),
        Shape(30, (256, 128), 4, 128, n_steps=200, limit=1.35),
        Shape(30, (64, 32), 4, 128, n_steps=400, limit=2.2),
        Shape(784, (1024, 512), 32, 256, n_steps=10, limit=np.inf),
    )
)
QUICK = Size(
    shapes=(
        Shape(6, (8, 4), 2, 16, n_steps=3, limit=2.2),
        Shape(9, (8,), 3, 16, n_steps=3, limit=np.inf),
    ),
    repeats=2,
    long_repeats=1,
    n_calls=3,
    fit_rows=1000,
    fit_columns=((5, 2),),
    max_iter=2,
    default_fits=((100, 4, 2, 0.5),),
    transform_shape=(300, 12),
    memory_mb=(0.1,),
    mapped_mb=0.5,
    mapped_error_mb=0.2,
    table_rows=(1000, 2000),
    n_epochs=1,
    trained_epochs=(1, 2),
    most_epochs=2,
    grid_rows=60,
)


class Target(NamedTuple):
    """A measured value beside what it should be."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit


Measured = tuple[list[Row], list[Target]]


# Measuring ----------------------------------------------------------------------------


def interleaved(runs: Mapping[Any, Run], repeats: int) -> pd.DataFrame:
    """Seconds of every run (a column each), in rounds (rows) in which each has a turn.

    What slows the machine down for a while slows a whole round down, so that ratios
    within a round stand. Before the first round, every run is called once.
    """
    seconds = []
    for _ in range(1 + repeats):
        times = {}
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name] = time.perf_counter() - start
        seconds.append(times)
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


# Training -----------------------------------------------------------------------------


def measure_steps(size: Size) -> Measured:
    """Cost of a training step, as ratios to the bare matrix products."""
    rows, targets = [], []
    for shape in size.shapes:
        X = make_table(shape.n_rows, shape.n_columns)
        X = StandardScaler().fit_transform(X)
        seconds = interleaved(make_epochs(shape, X), size.repeats)
        ratios = seconds.div(seconds["products"], axis=0).median()
        products = seconds.pop("products").median() / shape.n_steps
        row = {"shape": shape.name, "products_us": 1e6 * products}
        rows.append(row | {name: ratios[name] for name in seconds})
        what = f"step, {shape.name}: over the bare products"
        if np.isfinite(shape.limit):
            targets.append(Target(what, ratios["ours"], shape.limit))
        if shape.n_columns >= 784:
            what = f"step, {shape.name}, bfloat16: over the bare float32 products"
            targets.append(Target(what, ratios["bfloat16"], 0.6))
        for name in ("mlp", "fused"):
            ratio = median_ratio(seconds["ours"], seconds[name])
            what = f"step, {shape.name}: over {NAMES[name]}"
            targets.append(Target(what, ratio, 1.0))
    return rows, targets


# Everybody whose steps are timed, as the tables and the targets call them.
NAMES = {
    "ours": "ours, the same layers",
    "bfloat16": "ours, bfloat16 products",
    "default": "ours, default network",
    "loop": "hand-written loop",
    "fused": "the same with fused Adam",
    "mlp": "MLPRegressor",
    "skorch": "skorch as it comes",
    "pyod": "pyod's AutoEncoder",
}


def measure_fit(size: Size) -> Measured:
    """What a whole default fit costs, over its steps."""
    rows, targets = [], []
    for n_columns, k in size.fit_columns:
        X = make_table(size.fit_rows, n_columns).astype(np.float64)
        model = AutoencoderTransformer(k, max_iter=size.max_iter, device="cpu")
        n_train = len(X) - n_validation_rows(len(X), model.validation_fraction)
        batch_size = _recipe.batch_size(n_train)
        n_batches = -(-n_train // batch_size)
        epoch = our_epoch(model, X, n_train)

        def epochs(epoch: Run = epoch) -> None:
            for _ in range(EPOCHS_BESIDE_A_FIT):
                epoch()

        fit = clone(model)
        seconds = interleaved(
            {"before": epochs, "fit": partial(fit.fit, X), "after": epochs},
            size.long_repeats,
        )
        n_steps_beside = 2 * EPOCHS_BESIDE_A_FIT * n_batches
        step = (seconds["before"] + seconds["after"]) / n_steps_beside
        n_steps = fit.n_iter_ * n_batches
        ratio = median_ratio(seconds["fit"], n_steps * step)
        shape = f"{len(X)} x {n_columns}, k={k}"
        row = {"table": shape, "fit_s": seconds["fit"].median(), "n_steps": n_steps}
        rows.append(row | {"step_us": 1e6 * step.median(), "fit_over_steps": ratio})
        targets.append(Target(f"fit of {shape}: over its steps", ratio, 1.15))
    return rows, targets


def measure_rows(size: Size) -> Measured:
    """Time per row and epoch on tables of different lengths."""
    tables = {n: make_table(n, 30) for n in size.table_rows}
    models = {
        n: AutoencoderTransformer(
            4, batch_size=BATCH_SIZE, max_iter=size.n_epochs, device="cpu"
        )
        for n in tables
    }
    seconds = interleaved(
        {n: partial(models[n].fit, X) for n, X in tables.items()}, size.long_repeats
    )
    per_row = seconds / {n: n * len(m.loss_curve_) for n, m in models.items()}
    # skorch's history has the epochs without what comes before and after them.
    epochs = {n: np.median(model.history_[:, "dur"]) / n for n, model in models.items()}
    shortest, longest = size.table_rows[0], size.table_rows[-1]
    rows = [
        {
            "rows": n,
            "fit_s": seconds[n].median(),
            "us_per_row_and_epoch": 1e6 * per_row[n].median(),
            "ratio": median_ratio(per_row[n], per_row[shortest]),
            "us_without_start": 1e6 * epochs[n],
            "ratio_without_start": epochs[n] / epochs[shortest],
        }
        for n in tables
    ]
    what = f"time per row and epoch, {longest} rows over {shortest}: "
    return rows, [
        Target(f"{what}whole fits", rows[-1]["ratio"], 1.2),
        Target(f"{what}epochs alone", rows[-1]["ratio_without_start"], 1.2),
    ]


def measure_seconds(size: Size) -> Measured:
    """Seconds of whole default fits."""
    rows, targets = [], []
    for n_rows, n_columns, k, limit in size.default_fits:
        X = make_table(n_rows, n_columns).astype(np.float64)
        model = AutoencoderTransformer(k, max_iter=size.max_iter, device="cpu")
        seconds = interleaved({"fit": partial(model.fit, X)}, size.long_repeats)
        shape = f"{n_rows} x {n_columns}"
        rows.append({"table": shape, "k": k, "seconds": seconds["fit"].median()})
        what = f"seconds of a fit of {shape}"
        targets.append(Target(what, seconds["fit"].median(), limit))
    return rows, targets


# Inference ----------------------------------------------------------------------------


def _model_for_inference(X: NDArray[Any]) -> AutoencoderTransformer:
    model = AutoencoderTransformer(
        2, hidden_layer_sizes=(300, 300), max_iter=1, device="cpu"
    )
    return model.fit(X)


def measure_throughput(size: Size) -> Measured:
    """transform and inverse_transform of many rows, beside their matrix products."""
    X = make_table(*size.transform_shape)
    model = _model_for_inference(X[:2000])
    Z = model.transform(X)
    module = model.module_
    seconds = interleaved(
        {
            "transform": partial(model.transform, X),
            "its products": inference_products(
                module.encoder, torch.from_numpy(X), block_rows(X.shape[1])
            ),
            "inverse_transform": partial(model.inverse_transform, Z),
            "their products": inference_products(
                module.decoder, torch.from_numpy(Z), block_rows(Z.shape[1])
            ),
        },
        size.repeats,
    )
    rows = []
    shape = "{} x {}".format(*X.shape)
    for method, products in (
        ("transform", "its products"),
        ("inverse_transform", "their products"),
    ):
        row = {"what": f"{method}, {shape}", "ours_s": seconds[method].median()}
        row["products_s"] = seconds[products].median()
        row["speed"] = median_ratio(seconds[products], seconds[method])
        rows.append(row)
    what = f"transform of {shape}: speed, as a share of its products'"
    return rows, [Target(what, rows[0]["speed"], 0.8, at_least=True)]


def measure_one_row(size: Size) -> Measured:
    """Latency of one row, beside PCA's."""
    rows, targets = [], []
    X = make_table(2000, size.transform_shape[1])
    for dtype in ("float32", "float64"):
        row = X[:1].astype(dtype)
        model = _model_for_inference(X.astype(dtype))
        pca = PCA(2).fit(X.astype(dtype))
        for method, argument in (
            ("transform", row),
            ("inverse_transform", pca.transform(row)),
        ):
            ours, theirs = getattr(model, method), getattr(pca, method)
            seconds = interleaved(
                {
                    "ours": partial(ours, argument),
                    "pca": partial(theirs, argument),
                },
                size.n_calls,
            ).median()
            ratio = seconds["ours"] / seconds["pca"]
            what = f"{method}, one row of {dtype}"
            result = {"what": what, "ours_us": 1e6 * seconds["ours"]}
            rows.append(result | {"pca_us": 1e6 * seconds["pca"], "ratio": ratio})
            if method == "transform":
                targets.append(Target(f"{what}: over PCA", ratio, 3.0))
    return rows, targets


# Memory -------------------------------------------------------------------------------


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
    with use_threads(n_threads), _without_convergence_warnings():
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
            expected = _error(test, clone(model).fit(X).reconstruct(test))
        with _all_in_memory(min(X.size - 1, _rows.RESIDENT_SIZE)):
            error = _error(test, clone(model).fit(mapped).reconstruct(test))
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
    start = time.perf_counter()
    with use_threads(n_threads), _without_convergence_warnings():
        model.fit(np.load(path, mmap_mode="r"))
    return peak_memory(), time.perf_counter() - start


@contextmanager
def _all_in_memory(size: int) -> Iterator[None]:
    """Let tables of up to so many numbers count as small enough for a copy."""
    before = _rows.RESIDENT_SIZE
    _rows.RESIDENT_SIZE = size
    try:
        yield
    finally:
        _rows.RESIDENT_SIZE = before


# Seconds until the error is below a share of PCA's ------------------------------------

SHARES = (0.9, 0.6)
Curve = Iterator[tuple[float, float]]  # seconds spent, and the held-out error then


def measure_error(size: Size) -> Measured:
    """Seconds until the held-out error is below 0.9 and 0.6 of PCA's."""
    rows = []
    tables = {"digits": (load_digits().data, 8)}
    tables["bent surface"] = (make_table(size.fit_rows, 30), 4)
    for name, (X, k) in tables.items():
        train, test = train_test_split(X, random_state=0)
        scaler = StandardScaler().fit(train)
        train, test = (
            scaler.transform(part).astype(np.float32) for part in (train, test)
        )
        pca = PCA(k).fit(train)
        pca_error = _error(test, pca.inverse_transform(pca.transform(test)))
        limits = [share * pca_error for share in SHARES]
        seconds: dict[str, list[list[float]]] = {}
        for _ in range(size.long_repeats):
            for method, make_curve in CURVES.items():
                curve = make_curve(train, test, k, size)
                seconds.setdefault(method, []).append(first_below(curve, limits))
        for method, of_repeats in seconds.items():
            row = {"table": name, "method": method, "pca_error": pca_error}
            medians = np.median(of_repeats, axis=0)
            names = [f"s_to_{share}" for share in SHARES]
            rows.append(row | dict(zip(names, medians, strict=True)))
    return rows, []


def first_below(curve: Curve, limits: Sequence[float]) -> list[float]:
    """Seconds at which a curve is first below each limit, infinity where it is not."""
    found = dict.fromkeys(limits, np.inf)
    for seconds, error in curve:
        for limit, earlier in found.items():
            if error < limit:
                found[limit] = min(seconds, earlier)
        if all(np.isfinite(value) for value in found.values()):
            break
    return [found[limit] for limit in limits]


def _our_curve(train: NDArray[Any], test: NDArray[Any], k: int, size: Size) -> Curve:
    # Whole fits of more and more epochs: a schedule ends where max_iter says, and
    # nothing of a fit is left out.
    for n_epochs in size.trained_epochs:
        model = AutoencoderTransformer(k, max_iter=n_epochs, device="cpu")
        start = time.perf_counter()
        model.fit(train)
        seconds = time.perf_counter() - start
        yield seconds, _error(test, model.reconstruct(test))


def _loop_curve(train: NDArray[Any], test: NDArray[Any], k: int, size: Size) -> Curve:
    x_train, x_test = torch.from_numpy(train), torch.from_numpy(test)
    loop = HandWrittenLoop(_widths_like_ours(train, k), BATCH_SIZE, fused=True)
    epochs = repeat(partial(loop.epoch, x_train), size.most_epochs)
    return _after_epochs(epochs, lambda: _error(test, loop.predict(x_test)))


def _mlp_curve(train: NDArray[Any], test: NDArray[Any], k: int, size: Size) -> Curve:
    model = make_regressor(_widths_like_ours(train, k), BATCH_SIZE)
    epochs = repeat(partial(model.partial_fit, train, train), size.most_epochs)
    return _after_epochs(epochs, lambda: _error(test, model.predict(test)))


CURVES: dict[str, Callable[..., Curve]] = {
    "ours, whole fits": _our_curve,
    "hand-written loop": _loop_curve,
    "MLPRegressor": _mlp_curve,
}


def _after_epochs(epochs: Iterator[Run], error: Callable[[], float]) -> Curve:
    """Seconds of the epochs alone; the clock stands still while errors are taken."""
    seconds = 0.0
    for epoch in epochs:
        start = time.perf_counter()
        epoch()
        seconds += time.perf_counter() - start
        yield seconds, error()


def _widths_like_ours(X: NDArray[Any], k: int) -> list[int]:
    hidden = hidden_layer_sizes(X.shape[1], k)
    return Shape(X.shape[1], hidden, k, BATCH_SIZE, n_steps=1, limit=np.inf).widths


def _error(X: NDArray[Any], X_back: NDArray[Any]) -> float:
    return float(np.mean((X - X_back) ** 2, dtype=np.float64))


# Processes ----------------------------------------------------------------------------


def measure_grid(size: Size) -> Measured:
    """A grid search of 8 fits in two processes, beside one after the other."""
    X = make_table(size.grid_rows, 20)
    grid = {"n_components": [2, 3, 4, 5]}

    def search(n_jobs: int) -> None:
        model = AutoencoderTransformer(max_iter=size.max_iter, device="cpu")
        search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, refit=False)
        # joblib's own choice on two cores. The processes stay from round to round:
        # what they import is not part of a fit.
        with parallel_config("loky", inner_max_num_threads=1):
            search.fit(X)

    try:
        seconds = interleaved(
            {n: partial(search, n) for n in (1, 2)}, size.long_repeats
        )
    finally:
        get_reusable_executor().shutdown(wait=True)
    speedup = median_ratio(seconds[1], seconds[2])
    row = {"what": f"8 fits of {X.shape[0]} x {X.shape[1]}, 2 folds"}
    row |= {f"n_jobs_{n}_s": seconds[n].median() for n in seconds}
    target = Target("grid search: n_jobs=2, times faster", speedup, 1.6, at_least=True)
    return [row | {"times_faster": speedup}], [target]


# Text ---------------------------------------------------------------------------------

SECTIONS: dict[str, Callable[[Size], Measured]] = {
    "step": measure_steps,
    "fit": measure_fit,
    "seconds": measure_seconds,
    "throughput": measure_throughput,
    "one_row": measure_one_row,
    "memory": measure_memory,
    "mapped": measure_mapped,
    "rows": measure_rows,
    "error": measure_error,
    "grid": measure_grid,
}


def format_section(name: str, rows: Sequence[Row]) -> str:
    """The section's title, and its rows as a table; - stands for never."""
    title = (SECTIONS[name].__doc__ or "").strip()
    keys = [key for key in rows[0] if key != "section"]
    lines = [[_text(row[key]) for key in keys] for row in rows]
    text = f"{name}: {title}\n\n{format_table(keys, lines)}"
    if name == "step":
        legend = [f"{key}: {what}" for key, what in NAMES.items() if key in keys]
        if "pyod" not in keys:
            legend.append("pyod is not installed")
        text += "\n\n" + "\n".join(legend)
    return text


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def format_targets(targets: Sequence[Row]) -> str:
    lines = [
        [
            target["what"],
            _text(target["value"]),
            f"{target['bound']} {target['limit']:g}",
            "met" if target["met"] else "not met",
        ]
        for target in targets
    ]
    return format_table(["target", "measured", "wanted", ""], lines)


def describe_target(target: Target) -> Row:
    return {
        "what": target.what,
        "value": significant(target.value),
        "bound": "at least" if target.at_least else "at most",
        "limit": significant(target.limit),
        "met": bool(target.is_met),
    }


def significant(value: Any) -> Any:
    """Five digits of a number; None for what JSON does not know; else what it was."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if np.isfinite(value) else None


# The command --------------------------------------------------------------------------


@contextmanager
def _without_convergence_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # Short trainings are what is measured.
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=(__doc__ or "").partition("\n\n")[0],
    )
    add = parser.add_argument
    add(
        "--sections",
        nargs="+",
        choices=list(SECTIONS),
        metavar="SECTION",
        default=list(SECTIONS),
        help=f"of {', '.join(SECTIONS)} (default: all)",
    )
    add(
        "--threads",
        type=int,
        default=1,
        help="threads of torch and of BLAS (default: %(default)s)",
    )
    add("--repeats", type=int, help=f"of short measurements, default: {FULL.repeats}")
    add(
        "--memory-mb",
        nargs="+",
        type=float,
        metavar="MB",
        help="sizes of the tables whose fits' memory is measured, default: 100 1000",
    )
    add("--quick", action="store_true", help="tiny sizes, only to see that it runs")
    add(
        "--output",
        type=Path,
        default=RESULTS / "speed.json",
        help="file of results (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="replace --output where it exists")
    args = parser.parse_args(argv)
    if args.threads < 1 or (args.repeats is not None and args.repeats < 1):
        parser.error("--threads and --repeats must be at least 1")
    if args.output.exists() and not args.overwrite:
        parser.error(
            f"{args.output} exists. Replace it (--overwrite) or give another file "
            "(--output)."
        )
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = _parse(argv)
    size = QUICK if args.quick else FULL
    if args.repeats:
        size = replace(size, repeats=args.repeats)
    if args.memory_mb:
        size = replace(size, memory_mb=tuple(args.memory_mb))
    with use_threads(args.threads), _without_convergence_warnings():
        run = describe_run("benchmarks.speed", argv)
        if HAS_PYOD:
            run["versions"]["pyod"] = version("pyod")
        settings = {"sections": args.sections, "quick": args.quick}
        results = Results(args.output, settings, runs=[run])
        results.summary["targets"] = []
        for name in args.sections:
            rows, targets = SECTIONS[name](size)
            rows = [{key: significant(row[key]) for key in row} for row in rows]
            results.rows += [{"section": name} | row for row in rows]
            results.summary["targets"] += map(describe_target, targets)
            results.save()
            print(f"{format_section(name, rows)}\n", flush=True)
    if results.summary["targets"]:
        print(format_targets(results.summary["targets"]))


if __name__ == "__main__":
    main()
