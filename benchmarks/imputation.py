"""Missing cells of mixed and of numeric tables: what imputers make of them.

Run it from the repository's root as ``python -m benchmarks.imputation --data-home
FOLDER``; README.md, beside this file, says what is measured and how.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks._command import (
    at_least_one,
    describe_run,
    finish,
    make_parser,
    open_results,
)
from benchmarks._measuring import timed, without_convergence_warnings
from benchmarks._results import Row
from benchmarks._sdmetrics import is_number
from benchmarks._text import percent
from benchmarks.datasets import load_tables
from benchmarks.mixed import TABLES, read, scores
from sklearn_ae import AutoencoderImputer, AutoencoderTransformer, VAETransformer
from sklearn_ae._tables.table_kinds import TableKinds

NUMERIC = ("breast_cancer", "gas_turbine", "letter", "wine_quality")
K = 8
N_DRAWS = 100
# Cells that are hidden: a share of all by chance or, in half of the columns,
# by the rank of the row in one of the others.
HIDINGS = {"10 %": 0.1, "30 %": 0.3, "by a column": 0.3}
WHATS = {"rmse": "Error of numbers", "right": "Share of levels that are right"}


# Hiding -------------------------------------------------------------------------------


def read_table(data_home: Path, name: str, n_rows: int, seed: int) -> pd.DataFrame:
    if name in TABLES:
        return read(data_home, name, seed)[0].iloc[:n_rows]
    (table,) = load_tables(data_home, [name])
    X = pd.DataFrame(table.X).add_prefix("x")
    return X.iloc[np.random.RandomState(seed).permutation(len(X))[:n_rows]]


def hide(X: pd.DataFrame, hiding: str, rng: np.random.RandomState) -> pd.DataFrame:
    """Which cells are hidden; what was missing before may be among them."""
    share = np.full(X.shape, HIDINGS[hiding])
    if hiding == "by a column":
        order = rng.permutation(X.shape[1])
        seen, hidden = np.array_split(order, 2)
        share[:, seen] = 0.0
        for column in hidden:
            of = X.iloc[:, rng.choice(seen)]
            place = of.rank(pct=True) if is_number(of) else _shuffled_levels(of, rng)
            share[:, column] *= 2.0 * place.fillna(0.5)
    return pd.DataFrame(
        rng.uniform(size=X.shape) < share, index=X.index, columns=X.columns
    )


def _shuffled_levels(column: pd.Series, rng: np.random.RandomState) -> pd.Series:
    levels = pd.Series(rng.permutation(column.dropna().unique()))
    places = pd.Series(np.arange(len(levels)), index=levels.to_numpy())
    return column.map(places).rank(pct=True)


# Imputing -----------------------------------------------------------------------------

# The second table with its holes filled, and what was fitted to the first.
Impute = Callable[[pd.DataFrame, pd.DataFrame, int], tuple[pd.DataFrame, Any]]


def ours(make: Callable[[int], Any]) -> Impute:
    def impute(A: pd.DataFrame, B: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, Any]:
        imputer = AutoencoderImputer(K, estimator=make(seed)).fit(A)
        return imputer.transform(B), imputer

    return impute


def of_numbers(make: Callable[[int], Any]) -> Impute:
    """An imputer of numbers, on the numbers of all columns, standardised."""

    def impute(A: pd.DataFrame, B: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, Any]:
        kinds, scaler = TableKinds(A), StandardScaler()
        train = scaler.fit_transform(kinds.encode(A))
        imputer = make(seed).set_params(keep_empty_features=True).fit(train)
        filled = imputer.transform(scaler.transform(kinds.encode(B)))
        return kinds.fill(B, scaler.inverse_transform(filled)), imputer

    return impute


MEAN, TREES = "mean, likeliest level", "IterativeImputer, ExtraTrees"
OURS = ("AutoencoderTransformer", "VAETransformer")
IMPUTERS: dict[str, Impute] = {
    OURS[0]: ours(lambda seed: AutoencoderTransformer(random_state=seed)),
    OURS[1]: ours(lambda seed: VAETransformer(random_state=seed)),
    MEAN: of_numbers(lambda seed: SimpleImputer()),
    "KNNImputer": of_numbers(lambda seed: KNNImputer()),
    "IterativeImputer": of_numbers(lambda seed: IterativeImputer(random_state=seed)),
    TREES: of_numbers(
        lambda seed: IterativeImputer(
            ExtraTreesRegressor(20, random_state=seed), max_iter=3, random_state=seed
        )
    ),
}


# Measuring ----------------------------------------------------------------------------


def split(X: pd.DataFrame, hiding: str, seed: int) -> tuple[pd.DataFrame, ...]:
    """Rows to learn from and held-out ones with cells hidden, the truth, and where."""
    hidden = hide(X, hiding, np.random.RandomState(seed))
    given = X.mask(hidden)
    train, test = train_test_split(np.arange(len(X)), random_state=seed)
    truth = X.iloc[test]
    return given.iloc[train], given.iloc[test], truth, hidden.iloc[test] & truth.notna()


def measure(X: pd.DataFrame, hiding: str, method: str, seed: int) -> tuple[Row, Any]:
    """Error of the hidden cells of held-out rows, CPU seconds, and what was fitted."""
    A, B, truth, gone = split(X, hiding, seed)
    made: list[tuple[pd.DataFrame, Any]] = []
    seconds = timed(lambda: made.append(IMPUTERS[method](A, B, seed)))
    filled, model = made[0]
    row = {**scores(truth, filled, gone, X), "seconds": round(seconds.cpu, 3)}
    return row, model


def measure_cover(X: pd.DataFrame, hiding: str, seed: int, model: Any) -> Row:
    """Share of the hidden numbers that lie in the intervals of draws, where 90 % do.

    The imputer is the variational one of `measure`; None fits it here.
    """
    A, B, truth, gone = split(X, hiding, seed)
    if model is None:
        _, model = IMPUTERS[OURS[1]](A, B, seed)
    draws = model.estimator_.impute(B, n_draws=N_DRAWS, random_state=seed)
    covers: list[NDArray[np.bool_]] = []
    for name in X:
        here = gone[name].to_numpy()
        if is_number(X[name]) and here.any():
            drawn = np.array([draw[name][here] for draw in draws], dtype=float)
            low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
            known = truth[name][here].astype(float)
            covers.append(((low <= known) & (known <= high)).to_numpy())
    return {"cover": float(np.concatenate(covers).mean()) if covers else None}


# The run ------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("imputation", __doc__)
    add = parser.add_argument
    add("--data-home", type=Path, required=True, help="folder with the tables")
    add("--tables", nargs="+", default=[*TABLES, *NUMERIC])
    add("--hidings", nargs="+", choices=HIDINGS, default=list(HIDINGS))
    add("--methods", nargs="+", choices=IMPUTERS, default=list(IMPUTERS))
    add("--no-cover", action="store_true", help="leave the intervals of draws out")
    add("--rows", type=at_least_one, default=1000, help="of a table")
    add("--seeds", type=at_least_one, default=1)
    args = parser.parse_args(argv)
    results = open_results(parser, args, {"rows": args.rows, "k": K})
    results.runs.append(describe_run("benchmarks.imputation", argv))
    with without_convergence_warnings():
        for name in args.tables:
            for seed in range(args.seeds):
                X = read_table(args.data_home, name, args.rows, seed)
                for hiding in args.hidings:
                    cell = {"table": name, "hiding": hiding, "seed": seed}
                    rows, variational = [], None
                    for method in args.methods:
                        if results.holds(**cell, method=method):
                            continue
                        found, model = measure(X, hiding, method, seed)
                        rows.append({**cell, "method": method, **found})
                        variational = model if method == OURS[1] else variational
                    if not args.no_cover and not results.holds(**cell, method="draws"):
                        cover = measure_cover(X, hiding, seed, variational)
                        rows.append({**cell, "method": "draws", **cover})
                    for row in rows:
                        print(row, flush=True)
                    results.rows.extend(rows)
                    results.save()
    finish(results, pd.DataFrame(results.rows), summarize, report)


def by_cell(frame: pd.DataFrame) -> pd.DataFrame:
    """Errors, lower is better, one row per cell and one column per method."""
    frame = frame[frame["method"] != "draws"].assign(right=lambda f: 1.0 - f["right"])
    long = frame.melt(
        ["table", "hiding", "seed", "method"], list(WHATS), "what", "error"
    )
    return long.pivot_table("error", ["table", "hiding", "seed", "what"], "method")


def summarize(frame: pd.DataFrame) -> Row:
    cells = by_cell(frame)
    others = [method for method in IMPUTERS if method in cells and method not in OURS]
    summary: Row = {}
    for name in OURS:
        if name not in cells or not others:
            continue
        measured = cells[[name, *others]].dropna()
        mine = measured[name]
        best = measured[others].min(axis=1)
        summary[name] = {
            "n_cells": len(measured),
            "best": float((mine <= best).mean()),
            "worse_than_mean": (
                [[*cell] for cell in mine.index[mine > measured[MEAN] + 1e-9]]
                if MEAN in cells
                else None
            ),
        }
    seconds = frame.groupby("method")["seconds"].sum()
    summary["seconds"] = {m: round(float(s), 1) for m, s in seconds.items() if s > 0}
    if "cover" in frame:
        cover = frame["cover"].dropna()
        summary["cover"] = {
            "least": float(cover.min()),
            "median": float(cover.median()),
            "most": float(cover.max()),
            "within": float(cover.between(0.85, 0.95).mean()),
        }
    return summary


def report(frame: pd.DataFrame, summary: Row) -> str:
    parts = []
    for what, title in WHATS.items():
        table = frame[frame[what].notna()].pivot_table(
            what, ["table", "hiding"], "method"
        )
        parts.append(f"{title}\n{table.round(3).to_string()}")
    for name in OURS:
        if name in summary:
            of = summary[name]
            parts.append(
                f"{name}: best in {percent(of['best'])} of {of['n_cells']} cells; "
                f"worse than the mean in {of['worse_than_mean']}"
            )
    parts.append(f"CPU seconds: {summary['seconds']}")
    if "cover" in summary:
        parts.append(f"Intervals of 90 %: {summary['cover']}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
