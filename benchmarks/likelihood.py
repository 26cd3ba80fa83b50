"""Held-out log-likelihood of the variational autoencoder and its linear relatives.

Run it from the repository's root as ``python -m benchmarks.likelihood``; README.md,
beside this file, says what is measured and how.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
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
    "shared": 'VAETransformer(noise="shared")',
    "per_row": 'VAETransformer(noise="per_row")',
    "path_gradient": "VAETransformer(path_gradient=True)",
    "maps": 'VAETransformer(column_maps="quantile", early_stopping=False)',
    "mixture": "a Gaussian mixture by BIC",
    "kernel_density": "kernel density on principal components",
}
# What is compared, and with what.
OWN = ("vae", "shared", "per_row", "maps")
OTHERS = [method for method in METHODS if method not in OWN]
# Asked for by name: tables of rounded values and few kinds are where they differ.
EXTRA = ("shared", "per_row", "maps", "mixture", "kernel_density")
LINEAR = ("pca", "factor_analysis")
# Gains are compared with zero to three decimals.
ROUNDING = 5e-4


class MixtureByBIC:
    """A Gaussian mixture of the size, from 1 to 16, with the lowest BIC."""

    def __init__(self, seed: int):
        self.seed = seed

    def fit(self, X: Any) -> "MixtureByBIC":
        models = [
            GaussianMixture(size, random_state=self.seed).fit(X)
            for size in (1, 2, 4, 8, 16)
            if size < len(X)
        ]
        self.best = min(models, key=lambda model: model.bic(X))
        return self

    def score_samples(self, X: Any) -> Any:
        return self.best.score_samples(X)


class KernelDensityOnComponents:
    """Kernels on principal components, cross-validated; what is left is Gaussian."""

    def __init__(self, k: int, seed: int):
        self.pca = PCA(k, random_state=seed)

    def fit(self, X: Any) -> "KernelDensityOnComponents":
        Z = self.pca.fit_transform(X)
        widths = {"bandwidth": np.logspace(-2.0, 0.3, 8)}
        self.kernels = GridSearchCV(KernelDensity(), widths, cv=3).fit(Z)
        return self

    def score_samples(self, X: Any) -> Any:
        Z = self.pca.transform(X)
        rest = np.square(X - self.pca.inverse_transform(Z)).sum(axis=1)
        variance, n_left = self.pca.noise_variance_, X.shape[1] - Z.shape[1]
        of_rest = rest / variance + n_left * np.log(2.0 * np.pi * variance)
        return self.kernels.best_estimator_.score_samples(Z) - 0.5 * of_rest


def make_model(method: str, k: int, seed: int) -> Any:
    if method == "vae":
        return VAETransformer(k, random_state=seed)
    if method in ("shared", "per_row"):
        return VAETransformer(k, noise=method, random_state=seed)
    if method == "path_gradient":
        return VAETransformer(k, path_gradient=True, random_state=seed)
    if method == "pca":
        return PCA(k, random_state=seed)
    if method == "factor_analysis":
        return FactorAnalysis(k, random_state=seed)
    if method == "maps":
        return VAETransformer(
            k, column_maps="quantile", early_stopping=False, random_state=seed
        )
    if method == "mixture":
        return MixtureByBIC(seed)
    if method == "kernel_density":
        return KernelDensityOnComponents(k, seed)
    raise ValueError(f"Unknown method {method!r}; there are {', '.join(METHODS)}.")


def measure(
    method: str, k: int, seed: int, split: Split, measured: dict[str, Row]
) -> Row:
    """Fit a method and take the mean log-likelihood of the held-out rows."""
    model = make_model(method, k, seed)
    seconds = timed(lambda: model.fit(split.X_train)).wall
    # That from which rows of tables are drawn.
    options = {"prior": "aggregated"} if method == "maps" else {}
    log_likelihood = float(np.mean(model.score_samples(split.X_test, **options)))
    if not np.isfinite(log_likelihood):
        raise ValueError("its log-likelihood is not finite")
    return {"log_likelihood": log_likelihood, "fit_seconds": round(seconds, 4)}


def gains(frame: pd.DataFrame, over: str, of: str = "vae") -> pd.Series:
    """Nats per row by which a VAE is above another method, per run."""
    values = by_method(frame, "log_likelihood", failed=-np.inf)
    values = values[np.isfinite(values[over])]
    return (values[of] - values[over]).dropna()


def _gain(own: str, other: str) -> str:
    return f"gain_over_{other}" if own == "vae" else f"{own}_gain_over_{other}"


def summarize(frame: pd.DataFrame) -> Row:
    """Everything the report says, in numbers."""
    measured = succeeded(frame)
    summary: Row = {"n_tables": int(frame["set"].nunique())}
    for own, other in itertools.product(OWN, OTHERS):
        if not {own, other} <= measured:
            continue
        runs = gains(frame, other, own)
        cells = over_seeds(runs)
        summary[_gain(own, other)] = {
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
    for own, other in itertools.product(OWN, OTHERS):
        if _gain(own, other) in summary:
            lines = _format_summary(
                *(own, other, summary[_gain(own, other)], summary["n_tables"])
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


def _format_summary(own: str, other: str, what: Row, n_tables: int) -> Iterator[str]:
    of = "" if own == "vae" else f" of {METHODS[own]}"
    yield f"Gain{of} over {METHODS[other]}"
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
    args.methods = args.methods or [name for name in METHODS if name not in EXTRA]
    results, names = start(parser, args, {"max_rows": args.max_rows})
    run = describe_run("benchmarks.likelihood", argv)
    measure_cells(results, names, args, run, StandardScaler, measure)
    frame = results.frame("log_likelihood", "fit_seconds")
    finish(results, frame, summarize, report)


if __name__ == "__main__":
    main()
