"""What the benchmarks share: the split, the loop over cells, and the file of results.

A cell is a table, a number of latents k and a seed; every method is measured on it.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

import sklearn_ae
from benchmarks.datasets import (
    ENVIRONMENT_VARIABLE,
    GROUPS,
    Table,
    find_tables,
    load_tables,
    select_names,
)

RESULTS = Path("benchmarks", "results")
TRAIN_SHARE = 0.75
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "skorch")
CELL = ["set", "k", "seed"]
Row = dict[str, Any]


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


# Results ------------------------------------------------------------------------------


@dataclass
class Results:
    """Measurements, one row per cell and method, and the file that holds them."""

    path: Path
    settings: Row
    runs: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    summary: Row = field(default_factory=dict)

    @classmethod
    def open(cls, args: argparse.Namespace, settings: Row) -> "Results":
        """Start anew, or go on with what an earlier run has measured."""
        path = args.output
        if not path.exists() or args.overwrite:
            return cls(path, settings)
        if not args.resume:
            raise FileExistsError(
                f"{path} exists. Go on with it (--resume), replace it (--overwrite) or "
                "give another file (--output)."
            )
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["settings"] != settings:
            raise ValueError(
                f"{path} was measured with other settings ({content['settings']}) than "
                f"these ({settings}): they do not belong into one file."
            )
        rows = [
            row
            for row in content["results"]
            # What failed is tried once more.
            if "failure" not in row and row["method"] not in args.redo
        ]
        return cls(path, settings, content["runs"], rows)

    def __post_init__(self) -> None:
        self._done = {_key(row) for row in self.rows}
        self._n_columns = {row["set"]: row["n_columns"] for row in self.rows}

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self._done.add(_key(row))

    def has(self, name: str, k: int, seed: int, method: str) -> bool:
        return (name, k, seed, method) in self._done

    def has_all(
        self, name: str, ks: Iterable[int], n_seeds: int, methods: Iterable[str]
    ) -> bool:
        """Whether nothing is left to measure on a table; one never seen has some."""
        return name in self._n_columns and all(
            self.has(name, k, seed, method)
            for k in ks
            if k < self._n_columns[name]
            for seed in range(n_seeds)
            for method in methods
        )

    def of_cell(self, name: str, k: int, seed: int) -> dict[str, Row]:
        """Rows of one cell by method."""
        return {
            row["method"]: row
            for row in self.rows
            if _key(row)[:3] == (name, k, seed) and "failure" not in row
        }

    def frame(self, *numbers: str) -> pd.DataFrame:
        """All rows, with at least these columns of numbers."""
        if not self.rows:
            raise SystemExit("No table has more columns than latents were asked for.")
        frame = pd.DataFrame(self.rows)
        for column in (*numbers, "failure"):
            if column not in frame:
                frame[column] = np.nan
        return frame.astype(dict.fromkeys(numbers, np.float64))

    def save(self) -> None:
        """Replace the file as a whole, so that it is valid whenever one stops."""
        content = {
            "runs": self.runs,
            "settings": self.settings,
            "summary": self.summary,
        }
        lines = ",\n".join("  " + json.dumps(row, allow_nan=False) for row in self.rows)
        text = json.dumps(content, indent=1, allow_nan=False).removesuffix("\n}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(self.path.name + ".part")
        unfinished.write_text(
            f'{text},\n "results": [\n{lines}\n ]\n}}\n', encoding="utf-8"
        )
        os.replace(unfinished, self.path)


def by_method(frame: pd.DataFrame, column: str, failed: float) -> pd.DataFrame:
    """One row per cell and one column per method, in the order of measuring.

    `failed` stands for what failed, NaN for what was not measured.
    """
    values = frame[column].mask(frame["failure"].notna(), failed)
    values.index = pd.MultiIndex.from_frame(frame[[*CELL, "method"]])
    order = pd.MultiIndex.from_frame(frame[CELL].drop_duplicates())
    return values.unstack("method").reindex(order)


def succeeded(frame: pd.DataFrame) -> set[str]:
    """Methods with at least one result."""
    return set(frame.loc[frame["failure"].isna(), "method"])


def over_seeds(runs: Any) -> Any:
    """Means over the seeds, for every table and k."""
    return runs.groupby(["set", "k"], sort=False).mean()


def total_seconds(frame: pd.DataFrame, methods: Iterable[str]) -> dict[str, float]:
    """Seconds of all fits, over the cells in which every method was measured."""
    seconds = by_method(frame, "fit_seconds", np.nan).dropna()
    return {m: round(float(seconds[m].sum()), 2) for m in methods if m in seconds}


def finite(value: Any, digits: int = 6) -> float | None:
    """As a number that JSON knows; None stands for infinity, that is a failure."""
    # Adding zero takes the sign off a zero.
    return round(float(value), digits) + 0.0 if np.isfinite(value) else None


def _key(row: Row) -> tuple[str, int, int, str]:
    return row["set"], row["k"], row["seed"], row["method"]


def describe_run(module: str, argv: Sequence[str] | None) -> Row:
    """What was called, when, and on what; nothing that names a machine."""
    argv = sys.argv[1:] if argv is None else argv
    words = [Path(word).name if Path(word).is_absolute() else word for word in argv]
    kind = platform.machine().replace("_", "-")
    machine = f"{kind}, {_n_cores()} cores"
    if torch.cuda.is_available():
        machine += ", CUDA"
    return {
        "command": shlex.join(["python", "-m", module, *words]),
        "date": date.today().isoformat(),
        "machine": machine,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "sklearn_ae": sklearn_ae.__version__,
            **{name: version(name) for name in PACKAGES},
        },
    }


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# Options ------------------------------------------------------------------------------


def make_parser(
    name: str, description: str | None, methods: Iterable[str]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=(description or "").partition("\n\n")[0],
    )
    groups = "; ".join(f"{group}: {what}" for group, what in GROUPS.items())
    methods = list(methods)
    add = parser.add_argument
    add("--data-home", help=f"folder of data sets (default: {ENVIRONMENT_VARIABLE})")
    add("--sets", nargs="+", help=f"tables or groups, default: all ({groups})")
    add(
        "--k",
        nargs="+",
        type=_positive,
        default=[2, 4, 8, 16],
        help="numbers of latents, default: 2 4 8 16; left out for tables with no more "
        "columns than that",
    )
    add(
        "--seeds",
        type=_positive,
        default=3,
        help="number of random splits (default: %(default)s)",
    )
    add(
        "--max-rows",
        type=_positive,
        default=10_000,
        help="most rows to learn from (default: %(default)s)",
    )
    add(
        "--methods",
        nargs="+",
        choices=methods,
        metavar="METHOD",
        help=f"of {', '.join(methods)} (default: all)",
    )
    add(
        "--output",
        type=Path,
        default=RESULTS / f"{name}.json",
        help="file of results (default: %(default)s)",
    )
    add(
        "--resume",
        action="store_true",
        help="go on with the results in --output: what is there is not done again",
    )
    add(
        "--redo",
        nargs="+",
        choices=methods,
        metavar="METHOD",
        default=[],
        help="with --resume: forget the results of these methods",
    )
    add("--overwrite", action="store_true", help="start anew though --output exists")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def start(
    parser: argparse.ArgumentParser, args: argparse.Namespace, settings: Row
) -> tuple[Results, list[str]]:
    """Return the results to fill, and the names of the tables to fill them with."""
    try:
        names = select_names(find_tables(args.data_home), args.sets)
        return Results.open(args, settings), names
    except (OSError, ValueError) as error:
        parser.error(str(error))


def finish(
    results: Results,
    frame: pd.DataFrame,
    summarize: Callable[[pd.DataFrame], Row],
    report: Callable[[pd.DataFrame, Row], str],
) -> None:
    """Sum up, save and print."""
    results.summary = summarize(frame)
    results.save()
    print(report(frame, results.summary))
    failures = format_failures(results.rows)
    if failures:
        print(f"\n{failures}")


# The loop -----------------------------------------------------------------------------


def measure_cells(
    results: Results,
    names: Sequence[str],
    args: argparse.Namespace,
    run: Row,
    make_scaler: Callable[[], Any],
    measure: Callable[[str, int, int, Split, dict[str, Row]], Row],
) -> None:
    """Fill the results, one table at a time, and save them after every cell.

    `measure(method, k, seed, split, rows of the cell so far)` gives what to add to a
    row. An exception becomes the row's "failure", and the others have their turn.
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
    measure: Callable[[str, int, int, Split, dict[str, Row]], Row],
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
        try:
            with warnings.catch_warnings():
                # Settings are as stated; that an upper bound was met is part of it.
                warnings.simplefilter("ignore", ConvergenceWarning)
                row |= measure(
                    method, k, seed, split, results.of_cell(table.name, k, seed)
                )
        except Exception as error:
            row["failure"] = f"{type(error).__name__}: {error}".partition("\n")[0]
        results.add(row)
        results.save()


def _warm_up(methods: Sequence[str], measure: Callable[..., Row]) -> None:
    """Use every method once: what Python imports late is not part of a fit."""
    X = np.random.RandomState(0).uniform(size=(40, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in methods:
            measure(method, 2, 0, Split(X, X), {})


# Text ---------------------------------------------------------------------------------


def format_table(heading: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Right-aligned columns, but the first."""
    table = [heading, *lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def format_failures(rows: Iterable[Row]) -> str:
    return "\n".join(
        f"Failed: {row['method']} on {name_cell(row['set'], row['k'], row['seed'])}: "
        f"{row['failure']}"
        for row in rows
        if "failure" in row
    )


def format_seconds(seconds: dict[str, float], labels: dict[str, str]) -> str:
    parts = [f"{labels[method]} {total:.1f}" for method, total in seconds.items()]
    return "Fit seconds in all: " + ", ".join(parts)


def format_counts(n_tables: int, n_cells: int, n_runs: int) -> str:
    return (
        f"Tables: {n_tables}; cells (table, k): {n_cells}; runs (with seed): {n_runs}"
    )


def format_number(value: float | None, digits: int) -> str:
    """As `finite` gave it."""
    return "failed" if value is None else f"{value:.{digits}f}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def name_cell(name: str, k: int, seed: int | None = None) -> str:
    return f"{name}, k={k}" + ("" if seed is None else f", seed {seed}")
