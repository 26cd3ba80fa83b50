"""Held-out log-likelihood of the variational autoencoder and its linear relatives.

Run it from the repository's root as ``python -m benchmarks.likelihood``; README.md,
beside this file, says what is measured and how.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import StandardScaler

from benchmarks._cells import Split, make_cells_parser, measure_cells, start
from benchmarks._command import describe_run, finish
from benchmarks._measuring import timed
from benchmarks._results import (
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
    percent,
)
from sklearn_ae import VAETransformer

# Method: what it is called in tables.
METHODS = {
    "vae": "VAETransformer",
    "pca": "probabilistic PCA",
    "factor_analysis": "factor analysis",
    "path_gradient": "VAETransformer(path_gradient=True)",
}
OTHERS = [method for method in METHODS if method != "vae"]
LINEAR = ("pca", "factor_analysis")
# Gains are compared with zero to three decimals.
ROUNDING = 5e-4


def make_model(method: str, k: int, seed: int) -> Any:
    if method == "vae":
        return VAETransformer(k, random_state=seed)
    if method == "path_gradient":
        return VAETransformer(k, path_gradient=True, random_state=seed)
    if method == "pca":
        return PCA(k, random_state=seed)
    if method == "factor_analysis":
        return FactorAnalysis(k, random_state=seed)
    raise ValueError(f"Unknown method {method!r}; there are {', '.join(METHODS)}.")


def measure(
    method: str, k: int, seed: int, split: Split, measured: dict[str, Row]
) -> Row:
    """Fit a method and take the mean log-likelihood of the held-out rows."""
    model = make_model(method, k, seed)
    seconds = timed(lambda: model.fit(split.X_train)).wall
    log_likelihood = float(np.mean(model.score_samples(split.X_test)))
    if not np.isfinite(log_likelihood):
        raise ValueError("its log-likelihood is not finite")
    return {"log_likelihood": log_likelihood, "fit_seconds": round(seconds, 4)}


def gains(frame: pd.DataFrame, over: str) -> pd.Series:
    """Nats per row by which the VAE is above another method, per run."""
    values = by_method(frame, "log_likelihood", failed=-np.inf)
    values = values[np.isfinite(values[over])]
    return (values["vae"] - values[over]).dropna()


def summarize(frame: pd.DataFrame) -> Row:
    """Everything the report says, in numbers."""
    measured = succeeded(frame)
    summary: Row = {"n_tables": int(frame["set"].nunique())}
    for other in OTHERS:
        if not {"vae", other} <= measured:
            continue
        runs = gains(frame, other)
        cells = over_seeds(runs)
        summary[f"gain_over_{other}"] = {
            "n_cells": len(cells),
            "n_runs": len(runs),
            "worst_run": listed(runs.nsmallest(1)),
            "worst_cell": listed(cells.nsmallest(1)),
            "median_of_cells": finite(cells.median()),
            "share_of_cells_at_least_0": finite((cells > -ROUNDING).mean()),
            "share_of_runs_at_least_0": finite((runs > -ROUNDING).mean()),
            "runs_below_0": listed(runs[runs <= -ROUNDING]),
        }
    summary["fit_seconds"] = total_seconds(frame, METHODS)
    return summary


def report(frame: pd.DataFrame, summary: Row) -> str:
    parts = []
    if "gain_over_pca" in summary:
        parts.append(_format_gains(frame))
    for other in OTHERS:
        if f"gain_over_{other}" in summary:
            lines = _format_summary(
                other, summary[f"gain_over_{other}"], summary["n_tables"]
            )
            parts.append("\n".join(lines))
    return "\n\n".join([*parts, format_seconds(summary["fit_seconds"], METHODS)])


def _format_gains(frame: pd.DataFrame) -> str:
    cells = {
        other: over_seeds(gains(frame, other))
        for other in LINEAR
        if other in succeeded(frame)
    }

    def show(name: str, k: int) -> str:
        return _format_cell([of.get((name, k), np.nan) for of in cells.values()])

    table = format_cells(frame, cells["pca"].index, show)
    return (
        "Held-out log-likelihood of VAETransformer, mean over the seeds, in nats per "
        "row above\nthat of probabilistic PCA, and in brackets above that of factor "
        f"analysis. ! marks cells\nbelow probabilistic PCA.\n\n{table}"
    )


def _format_cell(values: Sequence[float]) -> str:
    over_pca, *over_others = map(_short, values)
    brackets = "".join(f" ({value})" for value in over_others)
    return f"{over_pca}{brackets}{' ' if values[0] > -ROUNDING else '!'}"


def _short(gain: float) -> str:
    # Adding zero takes the sign off a zero.
    return f"{round(gain, 2) + 0.0:.2f}" if abs(gain) < 1e5 else f"{gain:.1e}"


def _format_summary(other: str, what: Row, n_tables: int) -> Iterator[str]:
    yield f"Gain over {METHODS[other]}"
    yield format_counts(n_tables, what["n_cells"], what["n_runs"])
    for key, title in (("worst_run", "Worst run"), ("worst_cell", "Worst cell")):
        yield from (f"{title}: {format_listed(item)}" for item in what[key])
    yield f"Median of the cells: {format_number(what['median_of_cells'], 3)}"
    yield (
        f"At least 0: {percent(what['share_of_cells_at_least_0'])} of the cells, "
        f"{percent(what['share_of_runs_at_least_0'])} of the runs"
    )
    if what["runs_below_0"]:
        yield "Runs below 0:"
        yield from (f"  {format_listed(item)}" for item in what["runs_below_0"])


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_cells_parser("likelihood", __doc__, METHODS)
    args = parser.parse_args(argv)
    args.methods = args.methods or list(METHODS)
    results, names = start(parser, args, {"max_rows": args.max_rows})
    run = describe_run("benchmarks.likelihood", argv)
    measure_cells(results, names, args, run, StandardScaler, measure)
    frame = results.frame("log_likelihood", "fit_seconds")
    finish(results, frame, summarize, report)


if __name__ == "__main__":
    main()
