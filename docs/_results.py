"""What the benchmarks wrote: finding values in it, and tables of it in Markdown."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks._ratios import ROUNDING
from benchmarks._text import format_number
from benchmarks.alternatives import format_checks

# {(set, k): {method: value}}
Cells = dict[tuple[str, int], dict[str, float]]
OURS = ("ours", "vae")


def read_results(path: Path) -> Any:
    """What a benchmark wrote; None where it has not been run."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def find(content: Any, path: Sequence[Any]) -> list[Any]:
    """Everything at a path: keys and places, "*" for all, {key = value} for rows."""
    if not path:
        return [content]
    step, rest = path[0], path[1:]
    keyed = content if isinstance(content, dict) else {}
    rows = content if isinstance(content, list) else []
    if step == "*":
        parts = [*keyed.values(), *rows]
    elif isinstance(step, Mapping):
        parts = [row for row in rows if step.items() <= row.items()]
    elif isinstance(step, int):
        parts = rows[step : step + 1]
    else:
        parts = [keyed[step]] if step in keyed else []
    return [value for part in parts for value in find(part, rest)]


def find_numbers(content: Any, path: Sequence[Any]) -> list[float]:
    """Numbers at a path; a failure, which the files have as null, is as bad as NaN."""
    return [math.nan if value is None else value for value in find(content, path)]


def pivot(
    rows: Iterable[Mapping[str, Any]], quantity: str, is_over_pca: bool = False
) -> Cells:
    """Means over the seeds; NaN where one has failed, ratios if asked for."""
    runs: dict[tuple[str, int, int], dict[str, float]] = {}
    for row in rows:
        value = row.get(quantity)
        run = runs.setdefault((row["set"], row["k"], row["seed"]), {})
        run[row["method"]] = math.nan if value is None else value
    of_seeds: dict[tuple[str, int], dict[str, list[float]]] = {}
    for (name, k, _), run in runs.items():
        cell = of_seeds.setdefault((name, k), {})
        for method, value in (over_pca(run) if is_over_pca else run).items():
            cell.setdefault(method, []).append(value)
    return {
        place: {method: fmean(values) for method, values in cell.items()}
        for place, cell in of_seeds.items()
    }


def over_pca(run: Mapping[str, float]) -> dict[str, float]:
    """Errors over PCA's, by the rule of the benchmark's own report."""
    base = max(run.get("pca", math.nan), ROUNDING)
    return {method: max(error, ROUNDING) / base for method, error in run.items()}


# Tables -------------------------------------------------------------------------------


def table(heading: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A table of Markdown: numbers to the right, all else to the left."""
    lines = [list(line) for line in lines]
    is_number = [
        all(isinstance(line[i], int | float | None) for line in lines)
        for i in range(len(heading))
    ]
    rule = ["---:" if number else "---" for number in is_number]
    rows = [heading, rule, *([show(value) for value in line] for line in lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def show(value: Any) -> str:
    """Four digits of a number, in a form that is easy to read."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("|", r"\|")
    if isinstance(value, int) or abs(value) >= 1e4:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"


def code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def table_of_cells(cells: Cells) -> str:
    """Ours first, and a line for the median of the tables that all methods have."""
    methods = dict.fromkeys(m for cell in cells.values() for m in cell)
    methods = sorted(methods, key=lambda method: method not in OURS)
    lines: list[list[Any]] = [
        [name, k, *(cell.get(method) for method in methods)]
        for (name, k), cell in sorted(
            cells.items(), key=lambda item: item[0][0].lower()
        )
    ]
    columns = [[cell.get(m, math.nan) for cell in cells.values()] for m in methods]
    medians = [None if any(map(math.isnan, c)) else median(c) for c in columns]
    if any(medians):
        lines.append(["median", None, *medians])
    return table(["table", "k", *methods], lines)


def alternatives_table(summary: Mapping[str, Any]) -> str:
    """The summary of alternatives.json, as the page of alternatives has it."""
    heading = [
        *("", "lines", "error over PCA's, median (worst)", "cells", "seconds"),
        *("same bits on a refit", "generators left alone", "scikit-learn's checks"),
    ]
    lines = []
    for method in summary["methods"].values():
        middle, worst = (
            format_number(method[name], 2) for name in ("median_ratio", "worst_ratio")
        )
        lines.append(
            [
                method["label"],
                str(method["lines"]),
                f"{middle} ({worst})",
                str(method["n_cells"]),
                f"{method['median_seconds']:.2f}",
                "yes" if method["same_on_refit"] else "no",
                "yes" if method["leaves_generators"] else "no",
                format_checks(method["checks"]),
            ]
        )
    return table(heading, lines)
