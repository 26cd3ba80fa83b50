"""Density, samples and anomalies: the variational autoencoder beside other methods.

Run it from the repository's root as ``python -m benchmarks.vae``; README.md, in the
folder above, says what is measured and how. A section has a file of its own; this one
has the command.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import pandas as pd

from benchmarks._command import describe_run, finish, make_parser, open_results
from benchmarks._measuring import failure_of, without_convergence_warnings
from benchmarks._results import Results, Row, finite
from benchmarks._text import format_table
from benchmarks.datasets import find_tables, load_tables, select_names

from .anomalies import measure_anomalies
from .digits import DIGITS, FEW_DRAWS, measure_digits
from .samples import measure_samples

SECTIONS = {
    "mnist": "negative log-likelihood of binary MNIST digits",
    "samples": "how well a classifier tells samples from held-out rows",
    "anomalies": "how well scores tell anomalies from normal rows",
}
NATS = ("-ELBO", "-log p(x)", "with the aggregated prior")


def measure(args: argparse.Namespace, results: Results) -> None:
    """Fill the results, and save them after every cell."""
    done = {(row["section"], row["set"], row["seed"]) for row in results.rows}
    for section, name, seed, cell in _cells(args):
        if (section, name, seed) in done:
            continue
        place = {"section": section, "set": name, "seed": seed}
        try:
            with without_convergence_warnings():
                for row in cell():
                    results.add(place | row)
                    results.save()
        except Exception as error:
            row = {"k": 0, "method": "all", "n_columns": 0}
            results.add(place | row | {"failure": failure_of(error)})
            results.save()
        print(f"{section}: {name}, seed {seed}: done", flush=True)


def _cells(
    args: argparse.Namespace,
) -> Iterator[tuple[str, str, int, Callable[[], Iterable[Row]]]]:
    """Section, name, seed, and a function that gives the rows."""
    for seed in range(args.seeds):
        if "mnist" in args.sections:
            for name in args.digits or DIGITS:
                digits = DIGITS[name]
                yield (
                    *("mnist", name, seed),
                    lambda digits=digits, seed=seed: measure_digits(digits, args, seed),
                )
        tables = {
            "samples": (measure_samples, ("bundled", "tables")),
            "anomalies": (measure_anomalies, ("anomaly",)),
        }
        for section, (function, groups) in tables.items():
            if section not in args.sections:
                continue
            sources = find_tables(args.data_home)
            known = [g for g in groups if any(s.group == g for s in sources.values())]
            names = select_names(sources, args.sets or known)
            for name in names:
                yield (
                    *(section, name, seed),
                    lambda f=function, name=name, seed=seed: f(
                        next(load_tables(args.data_home, [name])), args, seed
                    ),
                )


def summarize(frame: pd.DataFrame) -> Row:
    """Means and medians of each method, over the tables."""
    summary: Row = {}
    for section, column in (("samples", "auc"), ("anomalies", "auroc")):
        if column not in frame:
            continue
        values = _by_method(frame[frame["section"] == section], column)
        summary[section] = {
            "n_tables": len(values),
            "mean": {m: finite(v, 4) for m, v in values.mean().items()},
            "median": {m: finite(v, 4) for m, v in values.median().items()},
        }
    return summary


def _by_method(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row per table, means over the seeds, and one column per method."""
    frame = frame.dropna(subset=[column])
    order = frame["method"].drop_duplicates()
    means = frame.groupby(["set", "method"], sort=False)[column].mean()
    return means.unstack("method")[list(order)]


def report(frame: pd.DataFrame, summary: Row) -> str:
    parts = []
    if "nll" in frame:
        lines = [
            [
                row["set"],
                row["method"],
                *(f"{row[c]:.0f}" for c in ("n_train", "n_test", "epochs")),
                f"{row['fit_minutes']:.1f}",
                f"{row['n_active']:.0f} of {row['k']}",
                f"{row['negative_elbo']:.2f}",
                f"{row['nll']:.2f} +- {row['std_error']:.2f}",
                f"{row.get('nll_aggregated', math.nan):.2f}",
            ]
            for row in frame.dropna(subset=["nll"]).to_dict("records")
        ]
        heading = ["MNIST", "by", "rows", "test", "epochs", "minutes", "active"]
        parts.append(format_table([*heading, *NATS], lines))
    for section, column in (("samples", "auc"), ("anomalies", "auroc")):
        if column not in frame:
            continue
        values = _by_method(frame[frame["section"] == section], column)
        lines = [[name, *map(_short, row)] for name, row in values.iterrows()]
        lines += [
            ["mean", *map(_short, values.mean())],
            ["median", *map(_short, values.median())],
        ]
        parts.append(format_table([section, *values.columns], lines))
    return "\n\n".join(parts)


def _short(value: float) -> str:
    return f"{value:.3f}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("vae", __doc__)
    add = parser.add_argument
    about = "; ".join(f"{section}: {what}" for section, what in SECTIONS.items())
    add("--data-home", help="folder of data sets")
    add("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help=about)
    add("--sets", nargs="+", help="tables or groups (default: those of the section)")
    add("--digits", nargs="+", choices=DIGITS, help="models of MNIST (default: all)")
    add("--seeds", type=int, default=1, help="splits (default: %(default)s)")
    add("--max-rows", type=int, default=5000, help="rows of tables (%(default)s)")
    add("--epochs", type=int, default=200, help="on MNIST (%(default)s)")
    add("--batch-size", type=int, default=200, help="on MNIST (%(default)s)")
    add("--kl-warmup", type=float, default=0, help="epochs, on MNIST (%(default)s)")
    add("--path-gradient", action="store_true", help="on MNIST, train with it")
    about = f"epochs with {FEW_DRAWS} importance samples before those with more"
    add("--few-draws", type=int, default=0, help=f"{about} (%(default)s)")
    add("--no-pythae", action="store_true", help="leave pythae out")
    add("--learning-rate", type=float, default=4e-3, help="on MNIST (%(default)s)")
    add("--alpha", type=float, default=1.0, help="on MNIST (%(default)s)")
    add("--train-rows", type=int, default=60_000, help="of MNIST (%(default)s)")
    add("--test-rows", type=int, default=10_000, help="of MNIST (%(default)s)")
    add("--importance-samples", type=int, default=5000, help="(%(default)s)")
    args = parser.parse_args(argv)
    results = open_results(parser, args, {"max_rows": args.max_rows})
    results.runs.append(describe_run("benchmarks.vae", argv))
    measure(args, results)
    if not results.rows:
        raise SystemExit("There was nothing to measure.")
    finish(results, pd.DataFrame(results.rows), summarize, report)
