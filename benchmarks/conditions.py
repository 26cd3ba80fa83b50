"""Rows drawn with ``given=``: whether they are what rows of the table are that hold it.

Run it from the repository's root as ``python -m benchmarks.conditions --data-home
FOLDER``; README.md, beside this file, says what is measured and how.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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
from benchmarks.synthetic import MAX_ROWS, METHODS_OF_OURS, read_all
from sklearn_ae import VAETransformer

TABLE = "adult"
N_DRAWN = 5000
# What rows are to hold: levels, or ranges with an open end.
GIVEN: tuple[dict[str, Any], ...] = (
    {"sex": "Female", "age": (30, 40)},
    {"education": "Bachelors"},
    {"hours-per-week": (50, None)},
    {"age": (60, None)},
    {"marital-status": "Divorced"},
    {"capital-gain": (1, None)},
)
# Whose shares among these rows are compared.
SECOND: tuple[dict[str, Any], ...] = (
    {"income": ">50K"},
    {"marital-status": "Married-civ-spouse"},
    {"sex": "Male"},
    {"age": (40, None)},
    {"hours-per-week": (41, None)},
)


def holds(X: pd.DataFrame, given: dict[str, Any]) -> np.ndarray:
    """Which rows hold all of it."""
    kept = np.ones(len(X), dtype=bool)
    for name, wanted in given.items():
        if isinstance(wanted, tuple):
            least, most = wanted
            kept &= (X[name] >= least).to_numpy()
            kept &= True if most is None else (X[name] <= most).to_numpy()
        else:
            kept &= (X[name] == wanted).to_numpy()
    return kept


def compare(
    A: pd.DataFrame, others: pd.DataFrame, made: pd.DataFrame, given: dict[str, Any]
) -> list[Row]:
    """Shares among rows made for what is given, beside those among the table's.

    The error is that of all three samples: of the rows A, which are all that the model
    knows, of the other rows and of those made.
    """
    known, unseen = (part[holds(part, given)] for part in (A, others))
    sizes = [len(known), len(unseen), len(made)]
    rows = []
    for second in SECOND:
        share = float(holds(unseen, second).mean())
        if second.keys() & given.keys() or not 0.0 < share < 1.0:
            continue
        drawn = float(holds(made, second).mean())
        error = float(np.sqrt(share * (1.0 - share) * np.sum(1.0 / np.array(sizes))))
        rows.append(
            {
                "given": str(given),
                "second": str(second),
                "n_known": len(known),
                "share": share,
                "drawn": drawn,
                "errors": (drawn - share) / error,
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("conditions", __doc__, METHODS_OF_OURS, can_resume=False)
    add = parser.add_argument
    add("--data-home", type=Path, required=True, help="folder with the tables")
    add("--max-rows", type=at_least_one, default=MAX_ROWS, help="rows to learn from")
    args = parser.parse_args(argv)
    results = open_results(parser, args, {"max_rows": args.max_rows})
    results.runs.append(describe_run("benchmarks.conditions", argv))
    X = read_all(args.data_home, TABLE)
    order = np.random.RandomState(0).permutation(len(X))
    A, others = (
        X.iloc[part].reset_index(drop=True) for part in np.split(order, [args.max_rows])
    )
    for method in args.methods or list(METHODS_OF_OURS)[:1]:
        k, parameters = METHODS_OF_OURS[method]
        model = VAETransformer(k, random_state=0, **parameters)
        with without_convergence_warnings():
            model.fit(A)
        for given in GIVEN:
            made: list[pd.DataFrame] = []
            seconds = timed(
                lambda given=given, model=model, made=made: made.append(
                    model.sample(N_DRAWN, random_state=1, given=given)
                )
            )
            for row in compare(A, others, made[0], given):
                results.rows.append(
                    {"method": method, **row, "seconds": round(seconds.cpu, 2)}
                )
            results.save()
    finish(results, pd.DataFrame(results.rows), summarize, report)


def summarize(frame: pd.DataFrame) -> Row:
    return {
        str(method): {
            "n_shares": len(part),
            "within_2_errors": float((part["errors"].abs() < 2.0).mean()),
            "within_3_errors": float((part["errors"].abs() < 3.0).mean()),
            "mean_difference": float((part["drawn"] - part["share"]).abs().mean()),
        }
        for method, part in frame.groupby("method", sort=False)
    }


def report(frame: pd.DataFrame, summary: Row) -> str:
    lines = [
        [row.method, row.given, row.second]
        + [f"{value:.3f}" for value in (row.share, row.drawn)]
        + [f"{row.errors:+.1f}"]
        for row in frame.itertuples()
    ]
    heads = ["method", "given", "share of", "table", "drawn", "errors"]
    counts = [
        f"{method}: of {of['n_shares']} shares {of['within_2_errors']:.0%} within two "
        f"errors, {of['within_3_errors']:.0%} within three"
        for method, of in summary.items()
    ]
    return "\n".join([format_table(heads, lines), "", *counts])


if __name__ == "__main__":
    main()
