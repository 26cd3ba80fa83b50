"""Training by several processes: errors, seconds, memory, and a model of more.

    python -m benchmarks.scale --sections errors steps files alone

`errors`: of tables, the held-out error of fits by one, two and four processes with
parts of the same rows. `steps`: seconds of a step of one process and of two, and of the
sums in it; from these the efficiency of up to 1,024. `files`: the memory of a fit to a
Parquet table of 10 million rows, by one process and by two, and rows per second.
`alone`: what it costs a fit to be in a group of one process.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks._command import RESULTS, describe_run
from benchmarks.datasets import find_tables, select_names
from benchmarks.scale import alone, errors, files, steps
from benchmarks.speed.sizes import FULL, QUICK

SECTIONS = ("errors", "steps", "files", "alone")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for, print it, and note it beside the other sections."""
    args = _parse(argv)
    content = json.loads(args.output.read_text()) if args.output.exists() else {}
    for section in args.sections:
        run, last = describe_run("benchmarks.scale", argv), ""
        for rows, text in _RUN[section](args):  # each time with more of them
            last = text
            content[section] = {"run": run, "results": rows}
            args.output.parent.mkdir(parents=True, exist_ok=True)
            args.output.write_text(json.dumps(content, indent=1) + "\n")
        print(last, flush=True)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    add("--output", type=Path, default=RESULTS / "scale.json")
    add("--quick", action="store_true", help="little of all, to see that it runs")
    of_errors = parser.add_argument_group("errors")
    add = of_errors.add_argument
    add("--data-home", help="folder of data sets")
    add("--sets", nargs="+", default=["tables"], help="tables or groups of them")
    add("--k", type=int, default=8, help="latents (default: %(default)s)")
    add("--max-rows", type=int, default=10**6, help="to learn from, at most")
    of_steps = parser.add_argument_group("steps")
    add = of_steps.add_argument
    add("--repeats", type=int, default=5, help="of each kind (default: %(default)s)")
    add(
        "--bandwidth",
        type=float,
        default=10.0,
        help="of each machine's network, in Gbit/s (default: %(default)s)",
    )
    add(
        "--latency",
        type=float,
        default=50.0,
        help="of a message, in microseconds (default: %(default)s)",
    )
    of_files = parser.add_argument_group("files")
    add = of_files.add_argument
    add("--rows", type=int, default=10**7, help="rows (default: %(default)s)")
    add("--epochs", type=int, default=1, help="of the fit (default: %(default)s)")
    add("--folder", type=Path, help="where the table is made (default: of the system)")
    return parser.parse_args(argv)


Measured = Iterator[tuple[list[dict[str, Any]], str]]


def _run_errors(args: argparse.Namespace) -> Measured:
    names = select_names(find_tables(args.data_home), args.sets)
    max_iter, max_rows = (1, 200) if args.quick else ("auto", args.max_rows)
    rows = []
    for row in errors.measure(names, args.data_home, args.k, max_rows, max_iter):
        rows.append(row)
        yield rows, errors.report(rows)


def _run_steps(args: argparse.Namespace) -> Measured:
    shapes = (QUICK if args.quick else FULL).shapes
    rows = steps.measure(shapes, args.repeats)
    network = steps.Network(args.bandwidth, args.latency)
    yield rows, f"{steps.format_measured(rows)}\n\n{steps.format_model(rows, network)}"


def _run_files(args: argparse.Namespace) -> Measured:
    n_rows = 20_000 if args.quick else args.rows
    rows = []
    for row in files.measure(n_rows, args.epochs, args.folder):
        rows.append(row)
        yield rows, files.report(rows)


def _run_alone(args: argparse.Namespace) -> Measured:
    repeats, n_epochs = (1, 0) if args.quick else (3 * args.repeats, 2)
    pairs = alone.measure(repeats, n_epochs)
    yield pairs, alone.report(pairs)


_RUN = {
    "errors": _run_errors,
    "steps": _run_steps,
    "files": _run_files,
    "alone": _run_alone,
}
