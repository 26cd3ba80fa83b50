"""The loop over cells: tables, numbers of latents, seeds, and every method on them."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks._command import at_least_one, make_parser, open_results
from benchmarks._measuring import failure_of, without_convergence_warnings
from benchmarks._results import Results, Row
from benchmarks.datasets import (
    ENVIRONMENT_VARIABLE,
    GROUPS,
    Table,
    find_tables,
    load_tables,
    select_names,
)

TRAIN_SHARE = 0.75


# Rows ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Scaled rows to learn from and rows held out; y only where it holds classes."""

    X_train: NDArray[np.float64]
    X_test: NDArray[np.float64]
    y_train: NDArray[Any] | None = None
    y_test: NDArray[Any] | None = None


def split_rows(table: Table, seed: int, max_rows: int, scaler: Any) -> Split:
    """Draw rows, three quarters of them (at most max_rows) to learn from.

    Of long tables each seed draws other rows. A column that is constant in the
    training rows is left out: it has no spread to be divided by.
    """
    n_rows = min(len(table.X), round(max_rows / TRAIN_SHARE))
    rows = np.random.RandomState(seed).permutation(len(table.X))[:n_rows]
    train, test = np.split(rows, [round(TRAIN_SHARE * n_rows)])
    varies = np.ptp(table.X[train], axis=0) > 0
    X_train, X_test = table.X[train][:, varies], table.X[test][:, varies]
    X_train = scaler.fit_transform(X_train)
    X_test = scaler.transform(X_test)
    if table.y is None or not table.is_discrete:
        return Split(X_train, X_test)
    return Split(X_train, X_test, table.y[train], table.y[test])


# method, k, seed, split, rows of the cell so far: what to add to a row
Measure = Callable[[str, int, int, Split, dict[str, Row]], Row]


# Options ------------------------------------------------------------------------------


def make_cells_parser(
    name: str, description: str | None, methods: Iterable[str]
) -> argparse.ArgumentParser:
    parser = make_parser(name, description, methods)
    groups = "; ".join(f"{group}: {what}" for group, what in GROUPS.items())
    add = parser.add_argument
    add("--data-home", help=f"folder of data sets (default: {ENVIRONMENT_VARIABLE})")
    add("--sets", nargs="+", help=f"tables or groups, default: all ({groups})")
    add(
        "--k",
        nargs="+",
        type=at_least_one,
        default=[2, 4, 8, 16],
        help="numbers of latents, default: 2 4 8 16; left out for tables with no more "
        "columns than that",
    )
    add(
        "--seeds",
        type=at_least_one,
        default=3,
        help="number of random splits (default: %(default)s)",
    )
    add(
        "--max-rows",
        type=at_least_one,
        default=10_000,
        help="most rows to learn from (default: %(default)s)",
    )
    return parser


def start(
    parser: argparse.ArgumentParser, args: argparse.Namespace, settings: Row
) -> tuple[Results, list[str]]:
    """Return the results to fill, and the names of the tables to fill them with."""
    try:
        names = select_names(find_tables(args.data_home), args.sets)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return open_results(parser, args, settings), names


# The loop -----------------------------------------------------------------------------


def measure_cells(
    results: Results,
    names: Sequence[str],
    args: argparse.Namespace,
    run: Row,
    make_scaler: Callable[[], Any],
    measure: Measure,
) -> None:
    """Fill the results, one table at a time, and save them after every cell.

    An exception becomes the row's "failure", and the others have their turn.
    """
    methods = args.methods
    names = [
        name for name in names if not results.has_all(name, args.k, args.seeds, methods)
    ]
    if not names:
        return
    results.runs.append(run)
    _warm_up(methods, measure)
    for i, table in enumerate(load_tables(args.data_home, names)):
        label = f"{table.name} ({i + 1}/{len(names)})"
        total = len(args.k) * args.seeds * len(methods)
        # disable=None: no bar where nobody sees it, such as in a file.
        with tqdm(total=total, desc=label, leave=False, disable=None) as bar:
            for seed in range(args.seeds):
                split = split_rows(table, seed, args.max_rows, make_scaler())
                for k in args.k:
                    _measure_cell(results, table, k, seed, split, methods, measure, bar)
        tqdm.write(f"{label}: done", file=sys.stderr)


def _measure_cell(
    results: Results,
    table: Table,
    k: int,
    seed: int,
    split: Split,
    methods: Sequence[str],
    measure: Measure,
    bar: tqdm,
) -> None:
    for method in methods:
        bar.set_postfix_str(f"k={k}, seed {seed}, {method}")
        bar.update()
        if k >= min(split.X_train.shape) or results.has(table.name, k, seed, method):
            continue
        row = {
            "set": table.name,
            "k": k,
            "seed": seed,
            "method": method,
            "n_columns": table.X.shape[1],
            "n_train": len(split.X_train),
            "n_test": len(split.X_test),
        }
        of_cell = results.of_cell(table.name, k, seed)
        try:
            with without_convergence_warnings():
                row |= measure(method, k, seed, split, of_cell)
        except Exception as error:
            row["failure"] = failure_of(error)
        results.add(row)
        results.save()


def _warm_up(methods: Sequence[str], measure: Measure) -> None:
    """Use every method once: what Python imports late is not part of a fit."""
    X = np.random.RandomState(0).uniform(size=(40, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in methods:
            measure(method, 2, 0, Split(X, X), {})
