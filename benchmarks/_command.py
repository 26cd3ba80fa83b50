"""What the commands share: options, the run that is noted, the beginning, the end."""

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

import sklearn_ae
from benchmarks._results import Results, Row
from benchmarks._text import format_failures

RESULTS = Path("benchmarks", "results")
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "skorch")


# Options ------------------------------------------------------------------------------


def make_parser(
    name: str,
    description: str | None,
    methods: Iterable[str] = (),
    can_resume: bool = True,
) -> argparse.ArgumentParser:
    """A parser with the options of the file of results, and of methods if there are."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=(description or "").partition("\n\n")[0],
    )
    methods = list(methods)
    add = parser.add_argument
    add(
        "--output",
        type=Path,
        default=RESULTS / f"{name}.json",
        help="file of results (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="start anew though --output exists")
    if can_resume:
        add(
            "--resume",
            action="store_true",
            help="go on with the results in --output: what is there is not done again",
        )
    else:
        parser.set_defaults(resume=None)
    if methods:
        add(
            "--methods",
            nargs="+",
            choices=methods,
            metavar="METHOD",
            help=f"of {', '.join(methods)} (default: all)",
        )
        add(
            "--redo",
            nargs="+",
            choices=methods,
            metavar="METHOD",
            default=[],
            help="with --resume: forget the results of these methods",
        )
    else:
        parser.set_defaults(redo=[])
    return parser


def at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def open_results(
    parser: argparse.ArgumentParser, args: argparse.Namespace, settings: Row
) -> Results:
    try:
        return Results.open(args, settings)
    except (OSError, ValueError) as error:
        parser.error(str(error))


# The run ------------------------------------------------------------------------------


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
