"""Latents of one fit: how many, what the first ones keep, whether seeds agree on them.

Run it from the repository's root as ``python -m benchmarks.latents``; README.md, beside
this file, says what is measured and how.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from benchmarks._cells import Split, split_rows
from benchmarks._command import (
    at_least_one,
    describe_run,
    finish,
    make_parser,
    open_results,
)
from benchmarks._measuring import timed, without_convergence_warnings
from benchmarks._results import Row
from benchmarks._text import format_table
from benchmarks.datasets import find_tables, load_tables, select_names
from sklearn_ae import AutoencoderTransformer
from sklearn_ae.comparison import latent_agreement

CUTS = (2, 4, 8)
MOST = 16
N_STABLE = 4


def fitted(k: Any, split: Split, **params: Any) -> tuple[Any, float]:
    model = AutoencoderTransformer(k, **params)
    return model, timed(lambda: model.fit(split.X_train)).cpu


def measure_cuts(split: Split, seed: int) -> list[Row]:
    """Errors of cuts of one fit, over those of fits with as many latents and of PCA."""
    d = split.X_train.shape[1]
    k = min(MOST, d - 1)
    plain, plain_s = fitted(k, split, random_state=seed)
    nested, nested_s = fitted(k, split, random_state=seed, nested=True)
    rows: list[Row] = []
    for cut in [*(cut for cut in CUTS if cut < k), k]:
        pca = PCA(cut).fit(split.X_train)
        made = pca.inverse_transform(pca.transform(split.X_test))
        row: Row = {
            "what": "cut" if cut < k else "full",
            "k": cut,
            "pca": float(np.mean((made - split.X_test) ** 2)),
            "plain": -plain.truncate(cut).score(split.X_test),
            "nested": -nested.truncate(cut).score(split.X_test),
            "time_ratio": nested_s / plain_s,
        }
        if cut < k:
            separate, _ = fitted(cut, split, random_state=seed)
            row["separate"] = -separate.score(split.X_test)
        rows.append(row)
    return rows


def measure_number(split: Split, asked: Any, seed: int) -> Row:
    """The number that comes out, its error, and its time over that of one fit."""
    model, seconds = fitted(asked, split, random_state=seed)
    k = model.n_components_
    _, of_one = fitted(k, split, random_state=seed)
    spread = float(np.mean((split.X_test - split.X_train.mean(axis=0)) ** 2))
    linear = PCA().fit(split.X_train)
    explained = linear.explained_variance_ratio_.cumsum()
    return {
        "what": str(asked),
        "k": k,
        "share": 1.0 + model.score(split.X_test) / spread,
        "pca_k": int(np.searchsorted(explained, 0.95)) + 1,
        "time_ratio": seconds / of_one,
    }


def measure_agreement(split: Split, seed: int) -> list[Row]:
    """Latents of two seeds, and of two halves of the rows, on rows held out.

    Beside them, how far the principal components of the same rows agree.
    """
    X = split.X_train
    halves = (X[::2], X[1::2])

    def latents(fit: tuple[Any, int]) -> Any:
        rows, of_seed = fit
        model = AutoencoderTransformer(N_STABLE, random_state=of_seed).fit(rows)
        return model.transform(split.X_test)

    def components(fit: tuple[Any, int]) -> Any:
        return PCA(N_STABLE).fit(fit[0]).transform(split.X_test)

    pairs = {
        "seeds": [(X, 2 * seed), (X, 2 * seed + 1)],
        "halves": [(half, seed) for half in halves],
    }
    rows: list[Row] = []
    for what, pair in pairs.items():
        agreement = latent_agreement(*map(latents, pair))
        of_pca = latent_agreement(*map(components, pair))
        rows.append(
            {
                "what": what,
                "k": N_STABLE,
                "least": float(agreement.correlations.min()),
                "mean": float(agreement.correlations.mean()),
                "canonical": float(agreement.canonical_correlations.min()),
                "least_of_pca": float(of_pca.correlations.min()),
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("latents", __doc__, can_resume=False)
    add = parser.add_argument
    add("--data-home", help="folder of data sets")
    add("--sets", nargs="+", default=["bundled", "tables"], help="tables or groups")
    add("--seeds", type=at_least_one, default=3)
    add("--max-rows", type=at_least_one, default=2000)
    parts = ("cuts", "numbers", "agreement")
    add("--parts", nargs="+", choices=parts, default=list(parts))
    args = parser.parse_args(argv)
    try:
        names = select_names(find_tables(args.data_home), args.sets)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    results = open_results(parser, args, {"max_rows": args.max_rows})
    results.runs.append(describe_run("benchmarks.latents", argv))
    with without_convergence_warnings():
        for table in load_tables(args.data_home, names):
            for seed in range(args.seeds):
                split = split_rows(table, seed, args.max_rows, StandardScaler())
                rows: list[Row] = []
                if "cuts" in args.parts:
                    rows += measure_cuts(split, seed)
                if "numbers" in args.parts:
                    rows += [measure_number(split, n, seed) for n in ("auto", 0.95)]
                if "agreement" in args.parts and split.X_train.shape[1] > N_STABLE:
                    rows += measure_agreement(split, seed)
                for row in rows:
                    row = {"set": table.name, "seed": seed} | row
                    print(row, flush=True)
                    results.rows.append(row)
                results.save()
    finish(results, pd.DataFrame(results.rows), summarize, report)


def summarize(frame: pd.DataFrame) -> Row:
    summary: Row = {}
    if "separate" in frame:
        cuts = frame[frame["what"] == "cut"]
        for kind in ("plain", "nested"):
            for beside in ("separate", "pca"):
                ratio = cuts[kind] / cuts[beside]
                summary[f"{kind}_over_{beside}"] = float(ratio.median())
                summary[f"worst_{kind}_over_{beside}"] = float(ratio.max())
        full = frame[frame["what"] == "full"]
        summary["full"] = float((full["nested"] / full["plain"]).median())
        summary["worst_full"] = float((full["nested"] / full["plain"]).max())
        summary["nested_time"] = float(full["time_ratio"].median())
    for what in ("auto", "0.95"):
        found = frame[frame["what"] == what]
        if len(found):
            summary[f"time_{what}"] = float(found["time_ratio"].median())
            summary[f"share_{what}"] = float(found["share"].median())
    for what in ("seeds", "halves"):
        pairs = frame[frame["what"] == what]
        if len(pairs):
            least = pairs.groupby("set")["least"].median()
            summary[f"n_{what}_agree"] = int((least >= 0.95).sum())
            summary[f"n_{what}"] = len(least)
    return summary


def report(frame: pd.DataFrame, summary: Row) -> str:
    tables = []
    for what, rows in frame.groupby("what", sort=False):
        columns = [
            name
            for name in rows.columns
            if name not in ("what", "seed") and rows[name].notna().any()
        ]
        of_table = rows.groupby("set", sort=False)[columns[1:]]
        means = (
            rows.groupby(["set", "k"], sort=False)[columns[2:]].mean().reset_index()
            if what in ("cut", "full", "seeds", "halves")
            else of_table.mean().reset_index()
        )
        cells = [
            [str(row["set"])] + [f"{row[name]:.4g}" for name in columns[1:]]
            for row in means.to_dict("records")
        ]
        tables.append(f"{what}\n{format_table(columns, cells)}")
    lines = [f"{name}: {value:.3f}" for name, value in summary.items()]
    return "\n\n".join([*tables, "\n".join(lines)])


if __name__ == "__main__":
    main()
