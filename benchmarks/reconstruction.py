"""Held-out reconstruction error of the autoencoder, PCA and what else is in use.

Run it from the repository's root as ``python -m benchmarks.reconstruction``; README.md,
beside this file, says what is measured and how.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from benchmarks._alternatives import LectureAutoencoder
from benchmarks._cells import Split, make_cells_parser, measure_cells, start
from benchmarks._command import describe_run, finish
from benchmarks._figure import ratio_figure
from benchmarks._measuring import reconstruct, squared_error, timed
from benchmarks._ratios import at_most_one, error_ratios
from benchmarks._results import (
    CELL,
    Row,
    by_method,
    finite,
    listed,
    over_seeds,
    succeeded,
    total_seconds,
)
from benchmarks._text import (
    format_cells,
    format_counts,
    format_listed,
    format_number,
    format_seconds,
    format_table,
    name_cell,
    percent,
)
from sklearn_ae import AutoencoderTransformer

# Method: what it is called in tables and figures.
METHODS = {
    "ours": "AutoencoderTransformer",
    "pca": "PCA",
    "kernel_pca": "kernel PCA",
    "mlp": "MLPRegressor",
    "lecture": "lecture autoencoder",
}
LOSSES = ("squared_error", "absolute_error", "log_loss")
ACCURACIES = {"knn_accuracy": "5-NN", "logistic_accuracy": "logistic regression"}
# Kernel PCA's time grows with the cube of the rows, its memory with the square.
KERNEL_PCA_ROWS = 2000
# Ridge penalty of its way back; with scikit-learn's 1.0 it reconstructs much worse.
KERNEL_PCA_ALPHA = 1e-3
# Probabilities from methods that know no limits are put this far inside [0, 1]: half a
# grey level of an 8-bit image.
MARGIN = 1.0 / 512.0


# Methods ------------------------------------------------------------------------------


def make_model(
    method: str, k: int, seed: int, loss: str, layers: Sequence[int] = ()
) -> Any:
    """Return an unfitted model; `layers` are the hidden ones of MLPRegressor."""
    if method == "ours":
        return AutoencoderTransformer(k, loss=loss, random_state=seed)
    if method == "pca":
        return PCA(k, random_state=seed)
    if method == "kernel_pca":
        # Its gamma is 1 / n_features, as scikit-learn has it.
        return KernelPCA(
            k,
            kernel="rbf",
            fit_inverse_transform=True,
            alpha=KERNEL_PCA_ALPHA,
            random_state=seed,
        )
    if method == "mlp":
        return MLPRegressor(
            hidden_layer_sizes=tuple(layers), early_stopping=True, random_state=seed
        )
    if method == "lecture":
        return LectureAutoencoder(k, random_state=seed)
    raise ValueError(f"Unknown method {method!r}; there are {', '.join(METHODS)}.")


def layers_of(model: AutoencoderTransformer) -> list[int]:
    """Widths of a fitted autoencoder's layers, the latents in the middle."""

    def hidden(network: nn.Module) -> list[int]:
        own = getattr(network, "network", network)  # beside a linear path, or alone
        linear = [part for part in own.modules() if isinstance(part, nn.Linear)]
        return [part.out_features for part in linear[:-1]]

    module = model.module_
    return [*hidden(module.encoder), model.n_components_, *hidden(module.decoder)]


# Measuring ----------------------------------------------------------------------------


def measure(
    method: str,
    k: int,
    seed: int,
    split: Split,
    measured: dict[str, Row],
    loss: str = "squared_error",
) -> Row:
    """Fit a method and measure it on the held-out rows."""
    layers: Sequence[int] = ()
    if method == "mlp":
        if "ours" in measured:
            layers = measured["ours"]["layers"]
        else:
            untrained = AutoencoderTransformer(k, loss=loss, max_iter=0)
            layers = layers_of(untrained.fit(split.X_train))
    model = make_model(method, k, seed, loss, layers)
    rows = split.X_train[: KERNEL_PCA_ROWS if method == "kernel_pca" else None]
    seconds = timed(lambda: model.fit(rows, rows)).wall
    if hasattr(model, "transform"):
        X_back = reconstruct(model, split.X_test)
    else:
        X_back = model.predict(split.X_test).reshape(split.X_test.shape)
    knows_limits = method == "ours"  # with a log loss, it gives probabilities
    error = held_out_error(loss, split.X_test, X_back, knows_limits=knows_limits)
    if not np.isfinite(error):
        raise ValueError("its error is not finite")
    row: Row = {"error": error, "fit_seconds": round(seconds, 4)}
    if loss == "log_loss":
        row["floor"] = lowest_log_loss(split.X_test)
    if method == "mlp":
        row["layers"] = list(layers)
    if method == "ours":
        row |= {"n_epochs": model.n_iter_, "best_epoch": model.best_iter_}
        row["layers"] = layers_of(model)
    if split.y_train is not None and hasattr(model, "transform"):
        row |= accuracies(model, split)
    return row


def held_out_error(
    loss: str, X: NDArray[Any], X_back: NDArray[Any], *, knows_limits: bool = False
) -> float:
    """Mean over rows and columns of the loss between rows and reconstructions."""
    X_back = np.asarray(X_back, dtype=np.float64)
    if loss == "squared_error":
        return squared_error(X, X_back)
    if loss == "absolute_error":
        return float(np.mean(np.abs(X - X_back)))
    if loss == "log_loss":
        margin = 1e-12 if knows_limits else MARGIN
        P = np.clip(X_back, margin, 1.0 - margin)
        return float(-np.mean(X * np.log(P) + (1.0 - X) * np.log1p(-P)))
    raise ValueError(f"Unknown loss {loss!r}; there are {', '.join(LOSSES)}.")


def lowest_log_loss(X: NDArray[Any]) -> float:
    """What even a perfect reconstruction has: above 0 for values within (0, 1)."""
    return held_out_error("log_loss", X, X, knows_limits=True)


def accuracies(model: Any, split: Split) -> Row:
    """Accuracy on held-out rows of two classifiers that see the latents only."""
    assert split.y_train is not None
    if len(np.unique(split.y_train)) < 2:
        return {}
    classifiers = {
        "knn_accuracy": KNeighborsClassifier(n_neighbors=5),
        "logistic_accuracy": make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=1000)
        ),
    }
    Z_train, Z_test = model.transform(split.X_train), model.transform(split.X_test)
    return {
        name: float(classifier.fit(Z_train, split.y_train).score(Z_test, split.y_test))
        for name, classifier in classifiers.items()
    }


# Summing up ---------------------------------------------------------------------------


def summarize(frame: pd.DataFrame) -> Row:
    """Everything the report says, in numbers."""
    methods = succeeded(frame)
    summary: Row = {"n_tables": int(frame["set"].nunique())}
    if {"ours", "pca"} <= methods:
        summary |= _summarize_ratios(frame, has_others=len(methods) > 2)
    summary["fit_seconds"] = total_seconds(frame, METHODS)
    summary["accuracy"] = {
        column: _summarize_accuracy(frame, column)
        for column in ACCURACIES
        if column in frame and frame[column].notna().any()
    }
    return summary


def _summarize_ratios(frame: pd.DataFrame, has_others: bool) -> Row:
    ratios = error_ratios(frame)
    runs, cells = ratios.runs["ours"].dropna(), ratios.cells["ours"].dropna()
    n_rows = frame.groupby(CELL)[["n_train", "n_test"]].first().sum(axis=1)
    summary: Row = {
        "n_cells": len(cells),
        "n_runs": len(runs),
        "worst_run": _worst(runs),
        "worst_run_from_1000_rows_on": _worst(runs[n_rows[runs.index] >= 1000]),
        "worst_cell": _worst(cells),
        "median_of_cells": finite(cells.median()),
        "share_of_cells_at_most_1": finite(at_most_one(cells).mean()),
        "share_of_runs_at_most_1": finite(at_most_one(runs).mean()),
        "runs_above_1": listed(runs[~at_most_one(runs)]),
    }
    if has_others:
        against_best = cells / ratios.best("ours")[cells.index]
        summary["share_of_cells_as_good_as_best"] = finite(
            at_most_one(against_best).mean()
        )
    if "floor" in frame:
        above = frame.assign(error=frame["error"] - frame["floor"])
        median = error_ratios(above).cells["ours"].median()
        summary["median_of_cells_above_floor"] = finite(median)
    return summary


def _worst(ratios: pd.Series) -> list | None:
    return listed(ratios.nlargest(1))[0] if len(ratios) else None


def _summarize_accuracy(frame: pd.DataFrame, column: str) -> Row:
    """Means per k and method, and the cells in which ours is below PCA."""
    runs = by_method(frame, column, failed=np.nan).dropna(axis=1, how="all").dropna()
    cells = over_seeds(runs)[[method for method in METHODS if method in runs]]
    summary: Row = {
        "means": {
            int(k): {method: finite(mean, 4) for method, mean in means.items()}
            for k, means in cells.groupby("k").mean().iterrows()
        },
        "n_tables": {int(k): int(n) for k, n in cells.groupby("k").size().items()},
    }
    if {"ours", "pca"} <= set(cells):
        below = cells.loc[cells["ours"] < cells["pca"], ["ours", "pca"]]
        summary["cells_below_pca"] = [
            [*cell, finite(ours, 4), finite(pca, 4)]
            for cell, ours, pca in below.itertuples(name=None)
        ]
    return summary


# Text ---------------------------------------------------------------------------------


def report(frame: pd.DataFrame, summary: Row) -> str:
    parts = []
    if "n_cells" in summary:
        parts += [_format_ratios(frame), "\n".join(_format_summary(summary))]
    parts.append(format_seconds(summary["fit_seconds"], METHODS))
    if summary["accuracy"]:
        parts.append("\n".join(_format_accuracy(summary["accuracy"])))
    return "\n\n".join(parts)


def _format_ratios(frame: pd.DataFrame) -> str:
    ratios = error_ratios(frame)
    ours, best = ratios.cells["ours"].dropna(), ratios.best("ours")
    table = format_cells(
        frame,
        ours.index,
        lambda name, k: _format_ratio(ours[name, k], best[name, k]),
    )
    return (
        "Held-out error divided by PCA's, mean over the seeds: AutoencoderTransformer, "
        "and in\nbrackets the best of the others, PCA included. - marks cells in which "
        f"that is better,\n! those in which PCA is.\n\n{table}"
    )


def _format_ratio(ours: float, best: float) -> str:
    mark = " " if at_most_one(ours / best) else "-"
    return f"{_short(ours)} ({_short(best)}){mark if at_most_one(ours) else '!'}"


def _short(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 100 else f"{ratio:.2g}"


def _format_summary(summary: Row) -> Iterator[str]:
    yield format_counts(summary["n_tables"], summary["n_cells"], summary["n_runs"])
    for key, title in (
        ("worst_run", "Worst run"),
        ("worst_run_from_1000_rows_on", "Worst run with 1000 rows or more"),
        ("worst_cell", "Worst cell"),
    ):
        if summary[key] is not None:
            yield f"{title}: {format_listed(summary[key])}"
    yield f"Median of the cells: {format_number(summary['median_of_cells'], 3)}"
    if "median_of_cells_above_floor" in summary:
        yield (
            "Median, counting only what exceeds the log loss of the rows themselves: "
            f"{format_number(summary['median_of_cells_above_floor'], 3)}"
        )
    yield (
        f"At most 1.000: {percent(summary['share_of_cells_at_most_1'])} of the cells, "
        f"{percent(summary['share_of_runs_at_most_1'])} of the runs"
    )
    if "share_of_cells_as_good_as_best" in summary:
        share = percent(summary["share_of_cells_as_good_as_best"])
        yield f"At least as good as the best of the others: {share} of the cells"
    if summary["runs_above_1"]:
        yield "Runs above 1.000:"
        yield from (f"  {format_listed(item)}" for item in summary["runs_above_1"])


def _format_accuracy(accuracy: Row) -> Iterator[str]:
    lines = []
    methods: list[str] = []
    for column, what in accuracy.items():
        for k, means in what["means"].items():
            methods = list(means)
            numbers = [f"{mean:.4f}" for mean in means.values()]
            n_tables = str(what["n_tables"][k])
            lines.append([ACCURACIES[column], str(k), *numbers, n_tables])
    yield "Accuracy on held-out rows from latents, mean over labelled tables and seeds"
    yield format_table(["", "k", *methods, "tables"], lines)
    for column, what in accuracy.items():
        if "cells_below_pca" not in what:
            continue
        below = what["cells_below_pca"]
        yield f"{ACCURACIES[column]}: {len(below)} cells below PCA"
        for name, k, ours, pca in below:
            yield f"  {ours:.4f}, PCA {pca:.4f} ({name_cell(name, k)})"


# The command --------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_cells_parser("reconstruction", __doc__, METHODS)
    parser.add_argument(
        "--loss",
        choices=LOSSES,
        default=LOSSES[0],
        help="what ours minimises and every method is judged by; with other than the "
        "default, squared_error, only ours and pca are measured unless --methods asks",
    )
    parser.add_argument(
        "--figure", type=Path, help="PNG; beside --output where it is not given"
    )
    args = parser.parse_args(argv)
    if args.methods is None:
        args.methods = list(METHODS) if args.loss == LOSSES[0] else ["ours", "pca"]
    settings = {"loss": args.loss, "max_rows": args.max_rows}
    results, names = start(parser, args, settings)
    measure_cells(
        results,
        names,
        args,
        describe_run("benchmarks.reconstruction", argv),
        partial(MinMaxScaler, clip=True) if args.loss == "log_loss" else StandardScaler,
        partial(measure, loss=args.loss),
    )
    frame = results.frame("error", "fit_seconds")
    finish(results, frame, summarize, report)
    if "n_cells" in results.summary:
        path = args.figure or args.output.with_suffix(".png")
        ratio_figure(frame, METHODS["ours"], args.loss).savefig(path)


if __name__ == "__main__":
    main()
