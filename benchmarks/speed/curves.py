"""Seconds until the error is below a share of PCA's."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks._measuring import squared_error, timed
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._networks.sizes import hidden_layer_sizes

from .sizes import Shape, Size
from .steps import HandWrittenLoop, make_regressor
from .targets import Measured
from .timing import BATCH_SIZE, Run, make_table

SHARES = (0.9, 0.6)
Curve = Iterator[tuple[float, float]]  # seconds spent, and the held-out error then


def measure_error(size: Size) -> Measured:
    """Seconds until the held-out error is below 0.9 and 0.6 of PCA's."""
    rows = []
    tables = {"digits": (load_digits().data[: size.n_digits], 8)}
    tables["bent surface"] = (make_table(size.fit_rows, 30), 4)
    for name, (X, k) in tables.items():
        train, test = train_test_split(X, random_state=0)
        scaler = StandardScaler().fit(train)
        train, test = (
            scaler.transform(part).astype(np.float32) for part in (train, test)
        )
        pca = PCA(k).fit(train)
        pca_error = squared_error(test, pca.inverse_transform(pca.transform(test)))
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
        seconds = timed(partial(model.fit, train)).wall
        yield seconds, squared_error(test, model.reconstruct(test))


def _loop_curve(train: NDArray[Any], test: NDArray[Any], k: int, size: Size) -> Curve:
    x_train, x_test = torch.from_numpy(train), torch.from_numpy(test)
    loop = HandWrittenLoop(_widths_like_ours(train, k), BATCH_SIZE, fused=True)
    epochs = repeat(partial(loop.epoch, x_train), size.most_epochs)
    return _after_epochs(epochs, lambda: squared_error(test, loop.predict(x_test)))


def _mlp_curve(train: NDArray[Any], test: NDArray[Any], k: int, size: Size) -> Curve:
    model = make_regressor(_widths_like_ours(train, k), BATCH_SIZE)
    epochs = repeat(partial(model.partial_fit, train, train), size.most_epochs)
    return _after_epochs(epochs, lambda: squared_error(test, model.predict(test)))


CURVES: dict[str, Callable[..., Curve]] = {
    "ours, whole fits": _our_curve,
    "hand-written loop": _loop_curve,
    "MLPRegressor": _mlp_curve,
}


def _after_epochs(epochs: Iterator[Run], error: Callable[[], float]) -> Curve:
    """Seconds of the epochs alone; the clock stands still while errors are taken."""
    seconds = 0.0
    for epoch in epochs:
        seconds += timed(epoch).wall
        yield seconds, error()


def _widths_like_ours(X: NDArray[Any], k: int) -> list[int]:
    hidden = hidden_layer_sizes(k, may_be_slim=True)
    return Shape(X.shape[1], hidden, k, BATCH_SIZE, n_steps=1, limit=np.inf).widths
