"""Mixed tables with missing cells: what is kept of them.

Run it from the repository's root as ``python -m benchmarks.mixed --data-home FOLDER``;
README.md, beside this file, says what is measured and how.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks._cells import Split
from benchmarks._command import describe_run, finish, make_parser, open_results
from benchmarks._measuring import timed, without_convergence_warnings
from benchmarks._results import Row
from benchmarks._text import format_table
from benchmarks.datasets import read_mixed
from benchmarks.reconstruction import accuracies
from sklearn_ae import AutoencoderTransformer

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

    The error is in standard deviations, the root mean square of each column.
    """
    right, errors = [], []
    for name in truth:
        here = cells[name].to_numpy()
        if not here.any():
            continue
        known, found = truth[name][here], made[name][here]
        if pd.api.types.is_numeric_dtype(truth[name]):
            spread = float(spreads[name].std()) or 1.0
            error = np.sqrt(np.mean((known - found.astype(float)) ** 2)) / spread
            errors.append(float(error))
        else:
            right.append(float(np.mean(known.astype(str) == found.astype(str))))
    return {
        "right": float(np.mean(right)) if right else None,
        "rmse": float(np.mean(errors)) if errors else None,
    }


# What the latents keep ----------------------------------------------------------------


def measure_kept(X: pd.DataFrame, y: Any, k: int, seed: int) -> Row:
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
    for name, fitted in (("ours", model), ("famd", linear)):
        restored = scores(B, fitted.reconstruct(B), B.notna(), B)
        row |= {f"{what}_{name}": value for what, value in restored.items()}
        if has_classes:
            of_latents = accuracies(fitted, Split(A, B, *labels))
            row[f"accuracy_{name}"] = of_latents["logistic_accuracy"]
    return row


# The run ------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("mixed", __doc__, can_resume=False)
    add = parser.add_argument
    add("--data-home", type=Path, required=True, help="folder with the tables")
    add("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    add("--sizes", nargs="+", type=int, default=list(SIZES), metavar="K")
    add("--seeds", type=int, default=1)
    args = parser.parse_args(argv)
    results = open_results(parser, args, {"max_rows": MAX_ROWS})
    results.runs.append(describe_run("benchmarks.mixed", argv))
    with without_convergence_warnings():
        for name in args.tables:
            for seed in range(args.seeds):
                X, y = read(args.data_home, name, seed)
                for k in args.sizes:
                    row = {"table": name, "k": k, "seed": seed}
                    row |= measure_kept(X, y, k, seed)
                    print(row, flush=True)
                    results.rows.append(row)
                    results.save()
    finish(results, pd.DataFrame(results.rows), summarize, report)


def summarize(frame: pd.DataFrame) -> Row:
    return {
        "median_ratio": float(frame["ratio"].median()),
        "worst_ratio": float(frame["ratio"].max()),
        "n_cells": len(frame),
    }


def report(frame: pd.DataFrame, summary: Row) -> str:
    cells = [
        [r["table"], str(r["k"]), f"{r['famd']:.3f}", f"{r['ours']:.3f}"]
        + [f"{r['ratio']:.3f}"]
        for r in frame.to_dict("records")
    ]
    table = format_table(["table", "k", "FAMD", "ours", "ratio"], cells)
    return (
        f"{table}\n\nmedian {summary['median_ratio']:.3f}, "
        f"worst {summary['worst_ratio']:.3f}"
    )


if __name__ == "__main__":
    main()
