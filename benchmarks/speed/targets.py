"""Measured values beside what they should be, as text and for the file of results."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks._results import Row
from benchmarks._text import format_table


class Target(NamedTuple):
    """A measured value beside what it should be."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit


# Rows of a section, and its targets.
Measured = tuple[list[Row], list[Target]]


def as_text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def format_targets(targets: Sequence[Row]) -> str:
    lines = [
        [
            target["what"],
            as_text(target["value"]),
            f"{target['bound']} {target['limit']:g}",
            "met" if target["met"] else "not met",
        ]
        for target in targets
    ]
    return format_table(["target", "measured", "wanted", ""], lines)


def describe_target(target: Target) -> Row:
    return {
        "what": target.what,
        "value": significant(target.value),
        "bound": "at least" if target.at_least else "at most",
        "limit": significant(target.limit),
        "met": bool(target.is_met),
    }


def significant(value: Any) -> Any:
    """Five digits of a number; None for what JSON does not know; else what it was."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if np.isfinite(value) else None
