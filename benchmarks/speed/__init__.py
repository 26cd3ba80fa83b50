"""Seconds and memory: ours beside others and beside the bare matrix products.

Run it from the repository's root as ``python -m benchmarks.speed``; README.md, in the
folder above, says what is measured and how. A file holds what belongs to a section or
two; this one the command.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version

from benchmarks._command import describe_run, make_parser, open_results
from benchmarks._measuring import without_convergence_warnings
from benchmarks._results import Row
from benchmarks._text import format_table

from .curves import measure_error
from .fits import measure_fit, measure_rows, measure_seconds
from .inference import measure_one_row, measure_projections, measure_throughput
from .memory import measure_mapped, measure_memory
from .parallel import measure_grid, measure_threads
from .sizes import FULL, QUICK, Size
from .steps import HAS_PYOD, NAMES, measure_steps
from .targets import Measured, as_text, describe_target, format_targets, significant
from .timing import use_threads

SECTIONS: dict[str, Callable[[Size], Measured]] = {
    "step": measure_steps,
    "fit": measure_fit,
    "seconds": measure_seconds,
    "throughput": measure_throughput,
    "one_row": measure_one_row,
    "projections": measure_projections,
    "memory": measure_memory,
    "mapped": measure_mapped,
    "rows": measure_rows,
    "error": measure_error,
    "grid": measure_grid,
    "threads": measure_threads,
}


def format_section(name: str, rows: Sequence[Row]) -> str:
    """The section's title, and its rows as a table; - stands for never."""
    title = (SECTIONS[name].__doc__ or "").strip()
    keys = [key for key in rows[0] if key != "section"]
    lines = [[as_text(row[key]) for key in keys] for row in rows]
    text = f"{name}: {title}\n\n{format_table(keys, lines)}"
    if name == "step":
        legend = [f"{key}: {what}" for key, what in NAMES.items() if key in keys]
        if "pyod" not in keys:
            legend.append("pyod is not installed")
        text += "\n\n" + "\n".join(legend)
    return text


def _make_parser() -> argparse.ArgumentParser:
    parser = make_parser("speed", __doc__, can_resume=False)
    add = parser.add_argument
    add(
        "--sections",
        nargs="+",
        choices=list(SECTIONS),
        metavar="SECTION",
        default=list(SECTIONS),
        help=f"of {', '.join(SECTIONS)} (default: all)",
    )
    add(
        "--threads",
        type=int,
        default=1,
        help="threads of torch and of BLAS (default: %(default)s)",
    )
    add("--repeats", type=int, help=f"of short measurements, default: {FULL.repeats}")
    add(
        "--memory-mb",
        nargs="+",
        type=float,
        metavar="MB",
        help="sizes of the tables whose fits' memory is measured, default: 100 1000",
    )
    add("--quick", action="store_true", help="tiny sizes, only to see that it runs")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = _make_parser()
    args = parser.parse_args(argv)
    if args.threads < 1 or (args.repeats is not None and args.repeats < 1):
        parser.error("--threads and --repeats must be at least 1")
    settings = {"sections": args.sections, "quick": args.quick}
    results = open_results(parser, args, settings)
    size = QUICK if args.quick else FULL
    if args.repeats:
        size = replace(size, repeats=args.repeats)
    if args.memory_mb:
        size = replace(size, memory_mb=tuple(args.memory_mb))
    with use_threads(args.threads), without_convergence_warnings():
        run = describe_run("benchmarks.speed", argv)
        if HAS_PYOD:
            run["versions"]["pyod"] = version("pyod")
        results.runs.append(run)
        results.summary["targets"] = []
        for name in args.sections:
            rows, targets = SECTIONS[name](size)
            rows = [{key: significant(row[key]) for key in row} for row in rows]
            results.rows += [{"section": name} | row for row in rows]
            results.summary["targets"] += map(describe_target, targets)
            results.save()
            print(f"{format_section(name, rows)}\n", flush=True)
    if results.summary["targets"]:
        print(format_targets(results.summary["targets"]))
