"""Mixed tables with missing cells: what is kept of them, and what is imputed.

Run it from the repository's root as ``python -m benchmarks.mixed --data-home FOLDER``;
README.md, beside this file, says what is measured and how.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks._command import describe_run, make_parser, open_results
from benchmarks._measuring import timed, without_convergence_warnings
from benchmarks._results import Row
from benchmarks._text import format_table
from sklearn_ae import AutoencoderTransformer, VAETransformer
from sklearn_ae._tables.table_kinds import TableKinds

# Name of the folder: columns that name rows, and the column to be predicted.
TABLES: dict[str, tuple[list[str], str | None]] = {
    "adult": ([], "income"),
    "ames_housing": ([], None),
    "beijing_pm25": ([], None),
    "california_housing": ([], None),
    "credit_default": ([], None),
    "kddcup99_10pct": ([], None),
    "mushroom": ([], "class"),
    "titanic": (["cabin"], "survived"),
}
MAX_ROWS = 5000
SIZES = (2, 4, 8)
SHARES = (0.1, 0.3)


def read(folder: Path, seed: int) -> tuple[pd.DataFrame, pd.Series | None]:
    """Rows of a table of the folder, and its labels if it has any."""
    import json

    of_all = json.loads((folder.parent / "MANIFEST.json").read_text())
    about = next(entry for entry in of_all if entry["name"] == folder.name)
    text = dict.fromkeys(about["categorical"], str)
    parts = [
        pd.read_csv(
            folder / entry["file"],
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            dtype=text,
        )
        for entry in about["files"]
    ]
    frame = pd.concat(parts, ignore_index=True)
    named, _ = TABLES[folder.name]
    target = about["target"]
    y = frame[target] if target else None
    left_out = [*about["drop"], *named, *([target] if target else [])]
    X = frame.drop(columns=[name for name in left_out if name in frame])
    n_rows = min(len(X), MAX_ROWS * 4 // 3)
    chosen = np.random.RandomState(seed).permutation(len(X))[:n_rows]
    return X.iloc[chosen], None if y is None else y.iloc[chosen]


# What the latents keep ----------------------------------------------------------------


def measure_kept(X: pd.DataFrame, y: Any, k: int, seed: int) -> Row:
    """Held-out error in the metric of FAMD, over that of FAMD."""
    labels = y if y is not None and y.nunique() <= 20 else None
    train, test = train_test_split(np.arange(len(X)), random_state=seed)
    A, B = X.iloc[train], X.iloc[test]
    model = AutoencoderTransformer(k, random_state=seed)
    seconds = timed(lambda: model.fit(A))
    linear = AutoencoderTransformer(k, max_iter=0, random_state=seed).fit(A)
    row = {
        "n_numbers": len(model.module_.center),
        "ours": -model.score(B),
        "famd": -linear.score(B),
        "fit_s": seconds.cpu,
    }
    row["ratio"] = row["ours"] / row["famd"]
    for name, fitted in (("ours", model), ("famd", linear)):
        row |= {f"{what}_{name}": v for what, v in restored(B, fitted).items()}
        if labels is not None:
            row[f"accuracy_{name}"] = accuracy(fitted, A, B, labels, train, test)
    return row


def restored(X: pd.DataFrame, model: Any) -> Row:
    """Share of categories given back, and error of numbers in standard deviations."""
    back = model.reconstruct(X)
    right, errors = [], []
    for name in X:
        known = X[name].notna().to_numpy()
        if not known.any():
            continue
        given, made = X[name][known], back[name][known]
        if pd.api.types.is_numeric_dtype(X[name]):
            spread = float(given.std()) or 1.0
            errors.append(float(np.sqrt(np.mean((given - made) ** 2))) / spread)
        else:
            right.append(float(np.mean(given.astype(str) == made.astype(str))))
    return {
        "right": float(np.mean(right)) if right else None,
        "rmse": float(np.mean(errors)) if errors else None,
    }


def accuracy(model: Any, A: Any, B: Any, y: Any, train: Any, test: Any) -> float:
    """Of a logistic regression on the latents."""
    scaler = StandardScaler()
    Z = scaler.fit_transform(model.transform(A))
    classifier = LogisticRegression(max_iter=1000).fit(Z, y.iloc[train])
    return float(classifier.score(scaler.transform(model.transform(B)), y.iloc[test]))


# What is imputed ----------------------------------------------------------------------

Impute = Callable[[pd.DataFrame, pd.DataFrame, int], pd.DataFrame]


def ours(make: Callable[[int], Any]) -> Impute:
    return lambda A, B, seed: make(seed).fit(A).impute(B)


def of_numbers(make: Callable[[int], Any]) -> Impute:
    """An imputer of numbers, on the numbers of all columns, standardised."""

    def impute(A: pd.DataFrame, B: pd.DataFrame, seed: int) -> pd.DataFrame:
        kinds, scaler = TableKinds(A), StandardScaler()
        train = scaler.fit_transform(kinds.encode(A))
        imputer = make(seed).set_params(keep_empty_features=True).fit(train)
        filled = imputer.transform(scaler.transform(kinds.encode(B)))
        return kinds.fill(B, scaler.inverse_transform(filled))

    return impute


IMPUTERS: dict[str, Impute] = {
    "AE": ours(lambda seed: AutoencoderTransformer(8, random_state=seed)),
    "VAE": ours(lambda seed: VAETransformer(8, random_state=seed)),
    "mean, likeliest level": of_numbers(lambda seed: SimpleImputer()),
    "KNNImputer": of_numbers(lambda seed: KNNImputer()),
    "IterativeImputer": of_numbers(lambda seed: IterativeImputer(random_state=seed)),
    "IterativeImputer, ExtraTrees": of_numbers(
        lambda seed: IterativeImputer(
            ExtraTreesRegressor(20, random_state=seed), max_iter=3, random_state=seed
        )
    ),
}


def measure_imputed(X: pd.DataFrame, share: float, method: str, seed: int) -> Row:
    """Error of cells that were hidden by chance, and CPU seconds."""
    rng = np.random.RandomState(seed)
    hidden = pd.DataFrame(
        rng.uniform(size=X.shape) < share, index=X.index, columns=X.columns
    )
    given = X.mask(hidden)
    train, test = train_test_split(np.arange(len(X)), random_state=seed)
    A, B = given.iloc[train], given.iloc[test]
    filled: list[pd.DataFrame] = []
    seconds = timed(lambda: filled.append(IMPUTERS[method](A, B, seed)))
    made, truth = filled[0], X.iloc[test]
    gone = hidden.iloc[test] & truth.notna()
    errors, right = [], []
    for name in X:
        cells = gone[name].to_numpy()
        if not cells.any():
            continue
        known, found = truth[name][cells], made[name][cells]
        if pd.api.types.is_numeric_dtype(X[name]):
            spread = float(X[name].std()) or 1.0
            error = np.sqrt(np.mean((known - found.astype(float)) ** 2)) / spread
            errors.append(float(error))
        else:
            right.append(float(np.mean(known.astype(str) == found.astype(str))))
    return {
        "rmse": float(np.mean(errors)) if errors else None,
        "right": float(np.mean(right)) if right else None,
        "seconds": seconds.cpu,
    }


# The run ------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("mixed", __doc__, can_resume=False)
    add = parser.add_argument
    add("--data-home", type=Path, required=True, help="folder with the tables")
    add("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    add("--sizes", nargs="*", type=int, default=list(SIZES), metavar="K")
    add("--shares", nargs="*", type=float, default=list(SHARES), metavar="SHARE")
    add("--imputers", nargs="+", choices=IMPUTERS, default=list(IMPUTERS))
    add("--impute-rows", type=int, default=2000, help="rows of which cells are hidden")
    add("--seeds", type=int, default=1)
    args = parser.parse_args(argv)
    settings = {"max_rows": MAX_ROWS, "impute_rows": args.impute_rows}
    results = open_results(parser, args, settings)
    results.runs.append(describe_run("benchmarks.mixed", argv))
    with without_convergence_warnings(), warnings.catch_warnings():
        for name in args.tables:
            for seed in range(args.seeds):
                X, y = read(args.data_home / name, seed)
                for k in args.sizes:
                    row = {"table": name, "k": k, "seed": seed}
                    row |= measure_kept(X, y, k, seed)
                    print(row, flush=True)
                    results.rows.append(row)
                    results.save()
                some = X.iloc[: args.impute_rows]
                for share in args.shares:
                    for method in args.imputers:
                        row = {"table": name, "share": share, "seed": seed}
                        row |= {"method": method}
                        row |= measure_imputed(some, share, method, seed)
                        print(row, flush=True)
                        results.rows.append(row)
                        results.save()
    frame = pd.DataFrame(results.rows)
    results.summary = summarize(frame)
    results.save()
    print(report(frame))


def summarize(frame: pd.DataFrame) -> Row:
    kept = frame[frame["ratio"].notna()] if "ratio" in frame else frame[:0]
    if kept.empty:
        return {}
    return {
        "median_ratio": float(kept["ratio"].median()),
        "worst_ratio": float(kept["ratio"].max()),
        "n_cells": len(kept),
    }


def report(frame: pd.DataFrame) -> str:
    parts = []
    if "ratio" in frame:
        kept = frame[frame["ratio"].notna()]
        cells = [
            [r["table"], str(r["k"]), f"{r['famd']:.3f}", f"{r['ours']:.3f}"]
            + [f"{r['ratio']:.3f}"]
            for r in kept.to_dict("records")
        ]
        parts.append(format_table(["table", "k", "FAMD", "ours", "ratio"], cells))
        parts.append(
            f"median {kept['ratio'].median():.3f}, worst {kept['ratio'].max():.3f}"
        )
    if "share" in frame:
        imputed = frame[frame["share"].notna()]
        for what in ("rmse", "right", "seconds"):
            table = imputed.pivot_table(what, ["table", "share"], "method")
            parts.append(f"{what}\n{table.round(3).to_string()}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
