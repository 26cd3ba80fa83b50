"""Whole fits: over their steps, in seconds, and per row of longer and longer tables."""

from functools import partial

import numpy as np
from sklearn.base import clone

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._estimators.base import FitTable
from sklearn_ae._training.recipe import n_validation_rows

from .sizes import Size
from .steps import our_epoch
from .targets import Measured, Target
from .timing import BATCH_SIZE, Run, interleaved, make_table, median_ratio

EPOCHS_BESIDE_A_FIT = 5  # before it and after it, to know what its steps cost


def measure_fit(size: Size) -> Measured:
    """What a whole default fit costs, over its steps."""
    rows, targets = [], []
    for n_columns, k in size.fit_columns:
        X = make_table(size.fit_rows, n_columns).astype(np.float64)
        model = AutoencoderTransformer(k, max_iter=size.max_iter, device="cpu")
        n_train = len(X) - n_validation_rows(len(X), model.validation_fraction)
        design = model._make_design(FitTable(X, X.shape[1]), columns=None)
        n_batches = -(-n_train // design.recipe.rows_per_step(n_train))
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
