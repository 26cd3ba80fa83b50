"""The file of results: rows of what was measured, and sums of them.

A cell is a table, a number of latents k and a seed; every method is measured on it.
"""

import argparse
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

CELL = ["set", "k", "seed"]
Row = dict[str, Any]


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
            go_on = "" if args.resume is None else "go on with it (--resume), "
            raise FileExistsError(
                f"{path} exists: {go_on}replace it (--overwrite) or give another file "
                "(--output)."
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
        of_sets = [row for row in self.rows if "set" in row]
        self._done = {_key(row) for row in of_sets}
        self._n_columns = {row["set"]: row["n_columns"] for row in of_sets}

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self._done.add(_key(row))

    def has(self, name: str, k: int, seed: int, method: str) -> bool:
        return (name, k, seed, method) in self._done

    def holds(self, **cell: Any) -> bool:
        """Whether a row has these values, for cells of other names."""
        return any(cell.items() <= row.items() for row in self.rows)

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


def listed(values: pd.Series) -> list[list]:
    """Each cell, or run, with its value behind it."""
    return [[*cell, finite(value, 4)] for cell, value in values.items()]


def _key(row: Row) -> tuple[str, int, int, str]:
    return row["set"], row["k"], row["seed"], row["method"]
