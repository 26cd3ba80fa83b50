"""Targets, each beside the value that the benchmarks have measured."""

import math
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any

from _results import find, find_numbers, pivot, read_results, show

# Word in targets.toml: comparison, its text, which of several values is the worst, and
# which of several bounds is the hardest.
BOUNDS: dict[str, tuple[Callable[[float, float], bool], str, Any, Any]] = {
    "at_most": (le, "at most", max, min),
    "below": (lt, "below", max, min),
    "at_least": (ge, "at least", min, max),
    "above": (gt, "above", min, max),
}


@dataclass
class Target:
    """What is wanted, and what was measured: None where nothing was."""

    group: str
    what: str
    bound: str = ""
    limit: float | None = None
    value: float | None = None
    digits: int | None = None  # None: four that count
    file: str = ""
    tests: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.tests:
            return "met"
        if self.value is None or self.limit is None:
            return "not measured"
        is_met = BOUNDS[self.bound][0](self.value, self.limit)
        return "met" if is_met else "**not met**"

    def cells(self, pages: str) -> list[str]:
        """What, wanted, and measured, met or not; `pages` has one page per file."""
        if self.tests:
            return [self.what, "", f"tested on every change<br>{self.verdict}"]
        wanted = f"{BOUNDS[self.bound][1]} {self.number(self.limit)}"
        measured = self.verdict
        if self.value is not None:
            page = f"{pages}/{Path(self.file).stem}.md"
            measured = f"[{self.number(self.value)}]({page})<br>{measured}"
        return [self.what, wanted, measured]

    def number(self, value: float | None) -> str:
        """The bound or the value, as text; a bound may be a measured value too."""
        if value is None:
            return "that"
        if math.isnan(value):
            return "failed"
        return show(value) if self.digits is None else f"{value:.{self.digits}f}"


def read_targets(path: Path, results: Path) -> list[Target]:
    """The targets of a file, with what the files of results have measured."""
    targets = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["targets"]:
        content = read_results(results / entry["file"]) if "file" in entry else None
        if "each" in entry:  # the file has its own targets
            targets += targets_of_file(entry, content)
        else:
            targets.append(make_target(entry, content))
    return targets


def make_target(entry: dict[str, Any], content: Any) -> Target:
    common = {key: entry[key] for key in ("group", "what", "digits") if key in entry}
    if "tests" in entry:
        return Target(**common, tests=entry["tests"])
    (bound,) = BOUNDS.keys() & entry.keys()
    _, _, worst, hardest = BOUNDS[bound]
    limit = entry[bound]
    if isinstance(limit, list):
        limit = hardest(find_numbers(content, limit), default=None)
    values = measure(entry, content)
    # A value that failed is the worst of all, and so is one that is missing of a pair.
    value = next((v for v in values if math.isnan(v)), worst(values, default=None))
    return Target(**common, bound=bound, limit=limit, value=value, file=entry["file"])


def measure(entry: dict[str, Any], content: Any) -> list[float]:
    """All values of a target; none where its file or its place is missing."""
    if "measure" in entry:
        return MEASURES[entry["measure"]](content)
    values = find_numbers(content, entry["value"])
    for word, combine in (("minus", float.__sub__), ("over", float.__truediv__)):
        if word in entry:
            others = find_numbers(content, entry[word])
            if len(others) != len(values):
                return []
            values = [
                combine(float(a), float(b)) for a, b in zip(values, others, strict=True)
            ]
    return values


def targets_of_file(entry: dict[str, Any], content: Any) -> Iterable[Target]:
    rows = find(content, entry["each"])
    if not rows:
        yield Target(entry["group"], entry["what"], "at_most", file=entry["file"])
    for row in rows:
        yield Target(
            entry["group"],
            row["what"],
            row["bound"].replace(" ", "_"),
            row["limit"],
            math.nan if row["value"] is None else row["value"],
            file=entry["file"],
        )


# Values that take more than a way to them ---------------------------------------------

HEAVY_TAILED = ("credit_default", "gas_turbine", "kddcup99_10pct", "spambase")


def share_of_pca_on_heavy_tails(content: Any) -> list[float]:
    """Ours over PCA's error, where a random start gets below half of PCA's."""
    rows = [
        row for row in find(content, ["results", "*"]) if row["set"] in HEAVY_TAILED
    ]
    return [
        cell["ours"]
        for cell in pivot(rows, "error", is_over_pca=True).values()
        if cell.keys() >= {"ours", "mlp", "lecture"}
        and min(cell["mlp"], cell["lecture"]) < 0.5
    ]


MEASURES = {"share_of_pca_on_heavy_tails": share_of_pca_on_heavy_tails}
