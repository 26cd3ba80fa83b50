"""Fits side by side: in processes, and in threads."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_ae import AutoencoderTransformer

from .sizes import Size
from .steps import our_epoch
from .targets import Measured, Target
from .timing import interleaved, make_table, median_ratio, use_threads


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


N_FITS = 4  # as many as threads
Weights = dict[str, torch.Tensor]


def measure_threads(size: Size) -> Measured:
    """Four fits in as many threads of one process, over one after the other."""
    rows, targets = [], []
    for n_columns, hidden in size.thread_shapes:
        X = make_table(size.thread_rows, n_columns)
        model = AutoencoderTransformer(
            hidden_layer_sizes=hidden,
            early_stopping=False,
            max_iter=size.thread_epochs,
            device="cpu",
        )
        with use_threads(1):
            seconds = time_in_threads(model, X, size.repeats)
            without = share_without_products(model, X, size.repeats)
        ratio = median_ratio(seconds[N_FITS], seconds[1])
        shape = f"{n_columns}/{'-'.join(map(str, hidden))}"
        row = {"what": f"{N_FITS} fits of {len(X)} rows, {shape}"}
        row |= {f"n_jobs_{n}_s": seconds[n].median() for n in seconds}
        rows.append(row | {"ratio": ratio, "without_products": without})
        what = f"{N_FITS} fits in threads, {shape}: over one after the other"
        targets.append(Target(what, ratio, 0.65))
    return rows, targets


def time_in_threads(
    model: AutoencoderTransformer, X: NDArray[Any], repeats: int
) -> pd.DataFrame:
    """Seconds of fits with several seeds, by number of threads."""
    models = [clone(model).set_params(random_state=seed) for seed in range(N_FITS)]
    of_rounds: list[list[Weights]] = []

    def fit_all(n_jobs: int) -> None:
        fits = (delayed(fitted_weights)(model, X) for model in models)
        of_rounds.append(Parallel(n_jobs, backend="threading")(fits))

    seconds = interleaved({n: partial(fit_all, n) for n in (1, N_FITS)}, repeats)
    alone = [fitted_weights(model, X) for model in models]
    for weights in of_rounds:
        check_same_bits(weights, alone)
    return seconds


def share_without_products(
    model: AutoencoderTransformer, X: NDArray[Any], repeats: int
) -> float:
    """What is left of a step where layers have one unit, and batches one row.

    Python, which holds the interpreter's lock, and torch's dispatch, which does not.
    """
    ones = (1,) * len(model.hidden_layer_sizes)
    tiny = clone(model).set_params(
        n_components=1, hidden_layer_sizes=ones, batch_size=1, precision="float32"
    )
    n_steps = 24  # of 125 of 3000 rows, about as many as a fit takes at once
    batch = clone(model).set_params(batch_size=len(X) // n_steps)
    epochs = {"step": our_epoch(batch, X), "tiny": our_epoch(tiny, X[:n_steps, :2])}
    seconds = interleaved(epochs, repeats)
    return median_ratio(seconds["tiny"], seconds["step"])


def fitted_weights(model: AutoencoderTransformer, X: NDArray[Any]) -> Weights:
    return clone(model).fit(X).module_.state_dict()


def check_same_bits(weights: Sequence[Weights], alone: Sequence[Weights]) -> None:
    """Raise where a fit beside others is not what it is alone."""
    for seed, (of_fit, expected) in enumerate(zip(weights, alone, strict=True)):
        for name, values in expected.items():
            if not torch.equal(of_fit[name], values):
                raise RuntimeError(
                    f"A fit with random_state={seed} beside others has other bits than "
                    f"alone, in {name}."
                )
