"""What the benchmarks print: numbers, tables, cells and failures."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from benchmarks._results import Row


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


def format_cells(
    frame: pd.DataFrame, cells: pd.Index, show: Callable[[str, int], str]
) -> str:
    """A line per table and a column per k, with the text of each of the cells."""
    ks = sorted(cells.unique("k"))
    sizes = frame.groupby("set")[["n_train", "n_columns"]].max()
    lines = [
        [
            name,
            *map(str, sizes.loc[name]),
            *(show(name, k) if (name, k) in cells else "" for k in ks),
        ]
        for name in cells.unique("set")
    ]
    return format_table(["set", "rows", "columns", *(f"k={k} " for k in ks)], lines)


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


def format_listed(item: list) -> str:
    """As `listed` gave it."""
    *cell, value = item
    return f"{format_number(value, 4)} ({name_cell(*cell)})"
