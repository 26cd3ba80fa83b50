"""Mixed tables with missing cells: what is kept of them.

Run it from the repository's root as ``python -m benchmarks.mixed --data-home FOLDER``;
README.md, beside this file, says what is measured and how.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._alternatives import LectureAutoencoder
from benchmarks._cells import Split
from benchmarks._command import describe_run, finish, make_parser, open_results
from benchmarks._measuring import timed, without_convergence_warnings
from benchmarks._results import Row
from benchmarks._text import format_table, percent
from benchmarks.datasets import read_mixed
from benchmarks.reconstruction import accuracies
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._tables.table_kinds import TableKinds

# Columns that name rows, which no table of kinds takes.
NAMES_OF_ROWS = {"titanic": ["cabin"]}
TABLES = (
    "adult",
    "ames_housing",
    "beijing_pm25",
    "california_housing",
    "credit_default",
    "kddcup99_10pct",
    "mushroom",
    "titanic",
)
MAX_ROWS = 5000
MAX_CLASSES = 20
SIZES = (2, 4, 8)


def read(data_home: Path, name: str, seed: int) -> tuple[pd.DataFrame, Any]:
    """Rows of a table, and its labels if it has any."""
    X, y = read_mixed(data_home, name)
    X = X.drop(columns=NAMES_OF_ROWS.get(name, []))
    n_rows = min(len(X), MAX_ROWS * 4 // 3)
    chosen = np.random.RandomState(seed).permutation(len(X))[:n_rows]
    return X.iloc[chosen], None if y is None else y.iloc[chosen]


def scores(truth: pd.DataFrame, made: pd.DataFrame, cells: Any, spreads: Any) -> Row:
    """Share of categories that are right among these cells, and error of numbers.

    Both are means over the columns.
    """
    right, errors = column_scores(truth, made, cells, spreads)
    return {
        "right": float(np.mean([*right.values()])) if right else None,
        "rmse": float(np.mean([*errors.values()])) if errors else None,
    }


def column_scores(
    truth: pd.DataFrame, made: pd.DataFrame, cells: Any, spreads: Any
) -> tuple[dict[str, float], dict[str, float]]:
    """The same of each column of categories, and of each one of numbers.

    Errors are in standard deviations, the root mean square of each column.
    """
    right: dict[str, float] = {}
    errors: dict[str, float] = {}
    for name in truth:
        here = cells[name].to_numpy()
        if not here.any():
            continue
        known, found = truth[name][here], made[name][here]
        if pd.api.types.is_numeric_dtype(truth[name]):
            spread = float(spreads[name].std()) or 1.0
            error = np.sqrt(np.mean((known - found.astype(float)) ** 2)) / spread
            errors[name] = float(error)
        else:
            right[name] = float(np.mean(known.astype(str) == found.astype(str)))
    return right, errors


# What the latents keep ----------------------------------------------------------------


def measure_kept(
    X: pd.DataFrame, y: Any, k: int, seed: int, by_column: bool = False
) -> Row:
    """Held-out error in the metric of FAMD, over that of FAMD."""
    train, test = train_test_split(np.arange(len(X)), random_state=seed)
    A, B = X.iloc[train], X.iloc[test]
    has_classes = y is not None and y.nunique() <= MAX_CLASSES
    labels = (y.iloc[train], y.iloc[test]) if has_classes else (None, None)
    model = AutoencoderTransformer(k, random_state=seed)
    seconds = timed(lambda: model.fit(A))
    linear = AutoencoderTransformer(k, max_iter=0, random_state=seed).fit(A)
    row: Row = {
        "n_numbers": len(model.module_.center),
        "ours": -model.score(B),
        "famd": -linear.score(B),
        "fit_s": seconds.cpu,
    }
    row["ratio"] = row["ours"] / row["famd"]
    fitted: dict[str, Any] = {"ours": model, "famd": linear}
    if by_column:
        for name, make in OTHERS.items():
            fitted[name] = OfNumbers(make(k, seed)).fit(A)
    made = {name: one.reconstruct(B) for name, one in fitted.items()}
    for name, one in fitted.items():
        restored = scores(B, made[name], B.notna(), B)
        row |= {f"{what}_{name}": value for what, value in restored.items()}
        if has_classes:
            of_latents = accuracies(one, Split(A, B, *labels))
            row[f"accuracy_{name}"] = of_latents["logistic_accuracy"]
    if by_column:
        row["errors"] = {name: column_errors(B, table) for name, table in made.items()}
    return row


# Column by column ---------------------------------------------------------------------

OTHERS: dict[str, Callable[[int, int], Any]] = {
    "pipeline": lambda k, seed: AutoencoderTransformer(k, random_state=seed),
    "lecture": lambda k, seed: LectureAutoencoder(k, random_state=seed),
}


class OfNumbers:
    """A model of a table's numbers: holes at the mean, indicators, all scaled."""

    def __init__(self, model: Any):
        self.model = model

    def fit(self, X: pd.DataFrame) -> "OfNumbers":
        self.kinds, self.scaler = TableKinds(X), StandardScaler()
        self.prepare = make_pipeline(
            SimpleImputer(keep_empty_features=True), self.scaler
        )
        self.model.fit(self.prepare.fit_transform(self.kinds.encode(X)))
        return self

    def transform(self, X: pd.DataFrame) -> NDArray[Any]:
        return self.model.transform(self.prepare.transform(self.kinds.encode(X)))

    def reconstruct(self, X: pd.DataFrame) -> pd.DataFrame:
        numbers = self.model.inverse_transform(self.transform(X))
        return self.kinds.decode(self.scaler.inverse_transform(numbers), like=X)


def column_errors(truth: pd.DataFrame, made: pd.DataFrame) -> dict[str, float]:
    """Of each column: the share of categories that are wrong, or the error."""
    right, errors = column_scores(truth, made, truth.notna(), truth)
    return {name: 1.0 - share for name, share in right.items()} | errors


def best_columns(frame: pd.DataFrame) -> Row:
    """In which share of the columns ours is best or equal: of all, and beside each."""
    columns = pd.concat(pd.DataFrame(errors) for errors in frame["errors"].dropna())
    others = columns.drop(columns="ours")
    beside = {m: float((columns["ours"] <= others[m]).mean()) for m in others}
    best = float((columns["ours"] <= others.min(axis=1)).mean())
    return {"n_columns": len(columns), "best": best, "beside": beside}


# The run ------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("mixed", __doc__, can_resume=False)
    add = parser.add_argument
    add("--data-home", type=Path, required=True, help="folder with the tables")
    add("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    add("--sizes", nargs="+", type=int, default=list(SIZES), metavar="K")
    add("--seeds", type=int, default=1)
    add("--columns", action="store_true", help="other ways too, column by column")
    args = parser.parse_args(argv)
    results = open_results(parser, args, {"max_rows": MAX_ROWS})
    results.runs.append(describe_run("benchmarks.mixed", argv))
    with without_convergence_warnings():
        for name in args.tables:
            for seed in range(args.seeds):
                X, y = read(args.data_home, name, seed)
                for k in args.sizes:
                    row = {"table": name, "k": k, "seed": seed}
                    row |= measure_kept(X, y, k, seed, args.columns)
                    print(row, flush=True)
                    results.rows.append(row)
                    results.save()
    finish(results, pd.DataFrame(results.rows), summarize, report)


def summarize(frame: pd.DataFrame) -> Row:
    summary: Row = {
        "median_ratio": float(frame["ratio"].median()),
        "worst_ratio": float(frame["ratio"].max()),
        "n_cells": len(frame),
    }
    found = frame.filter(like="accuracy_").dropna()
    summary["accuracy"] = {
        name.removeprefix("accuracy_"): float(found[name].mean()) for name in found
    }
    if "errors" in frame:
        summary["columns"] = best_columns(frame)
    return summary


def report(frame: pd.DataFrame, summary: Row) -> str:
    cells = [
        [r["table"], str(r["k"]), f"{r['famd']:.3f}", f"{r['ours']:.3f}"]
        + [f"{r['ratio']:.3f}"]
        for r in frame.to_dict("records")
    ]
    table = format_table(["table", "k", "FAMD", "ours", "ratio"], cells)
    parts = [
        table,
        f"median {summary['median_ratio']:.3f}, worst {summary['worst_ratio']:.3f}",
    ]
    if summary["accuracy"]:
        of = ", ".join(f"{m} {mean:.3f}" for m, mean in summary["accuracy"].items())
        parts.append(f"accuracy of a logistic regression on the latents: {of}")
    if "columns" in summary:
        of = summary["columns"]
        beside = ", ".join(f"{m} {percent(share)}" for m, share in of["beside"].items())
        parts.append(
            f"best or equal in {percent(of['best'])} of {of['n_columns']} columns "
            f"({beside})"
        )
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
