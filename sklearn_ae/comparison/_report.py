"""A comparison as text for the terminal, and as JSON."""

import json
import math
import textwrap
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 100


def _score(value: float) -> str:
    """Write a number that is usually between -1 and 1."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.2g}"


def _short(value: float) -> str:
    """Write a number of any size in few letters: 0.04312, 1240, 3.1e-07."""
    return f"{value:.4g}"


def _rate(value: float) -> str:
    """Write a rate with two digits and a unit prefix: 85, 1.2k, 340k, 2.5M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            scaled = value / limit
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{value:.0f}"


def _seconds(value: float) -> str:
    return "<0.01" if value < 0.01 else f"{value:.2f}"


def _yes_no(value: object) -> str:
    return "yes" if value else "no"


# column of the table -> two lines of heading, how to write a value
_COLUMNS: dict[str, tuple[str, str, Callable[[Any], str]]] = {
    "reconstruction_error": ("", "error", _short),
    "error_ratio_to_pca": ("error /", "PCA's", _score),
    "explained_variance": ("expl.", "var.", _score),
    "knn_accuracy": ("k-NN", "acc.", _score),
    "knn_r2": ("k-NN", "R^2", _score),
    "trustworthiness": ("trust-", "worth.", _score),
    "continuity": ("conti-", "nuity", _score),
    "fit_seconds": ("fit", "s", _seconds),
    "transform_rows_per_second": ("transf.", "rows/s", _rate),
    "has_transform": ("new", "rows", _yes_no),
    "has_inverse_transform": ("way", "back", _yes_no),
}
_ALWAYS_THERE = ("has_transform", "has_inverse_transform")


def format_table(table: "pd.DataFrame") -> str:
    """Return the table of `compare_reducers` as text that fits 100 columns.

    Parameters
    ----------
    table : DataFrame
        As `compare_reducers` returns it.

    Returns
    -------
    text : str
        A block of lines for every number of latents, then the notes, warnings and
        errors, each told once and referred to by its number.
    """
    shown = [
        name for name in _COLUMNS if name in _ALWAYS_THERE or table[name].notna().any()
    ]
    rows = table.to_dict("records")
    cells = [
        [_COLUMNS[name][0] for name in shown],
        [_COLUMNS[name][1] for name in shown],
        *([_cell(row[name], _COLUMNS[name][2]) for name in shown] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = ["  ".join(map(str.rjust, line, widths)) for line in cells]
    room = WIDTH - len(numbers[0]) - 2
    remarks: dict[str, int] = {}
    names = ["", "", *(_name_with_marks(row, remarks, room) for row in rows)]
    room = max(map(len, names))
    lines = [
        f"{name:<{room}}  {line}" for name, line in zip(names, numbers, strict=True)
    ]

    text = lines[:2]
    previous = None
    for row, line in zip(rows, lines[2:], strict=True):
        k = row["n_components"]
        if k != previous:
            heading = f"-- {_count_latents(k)} "
            text.append(heading.ljust(len(line), "-"))
        text.append(line)
        previous = k
    if remarks:
        text.append("")
    for remark, number in remarks.items():
        text += wrap(remark, f"[{number}] ")
    return "\n".join(text)


def _count_latents(k: int) -> str:
    return f"{k} latent{'s' if k > 1 else ''}"


def _cell(value: Any, write: Callable[[Any], str]) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "-"
    return write(value)


def _name_with_marks(row: dict[str, Any], remarks: dict[str, int], room: int) -> str:
    """Return the name with the numbers of its remarks, cut so that these fit."""
    prefixes = {"note": "", "warnings": "warned: ", "error": "failed, "}
    marks = ""
    for kind, prefix in prefixes.items():
        if row[kind]:
            number = remarks.setdefault(prefix + row[kind], len(remarks) + 1)
            marks += f"[{number}]"
    if marks:
        marks = " " + marks
    name = row["reducer"]
    if len(name) + len(marks) > room:
        name = name[: max(0, room - len(marks) - 3)] + "..."
    return name + marks


def format_legend(table: "pd.DataFrame") -> str:
    """Return a line on what each column of `format_table` means."""
    settings = table.attrs
    n_neighbors = settings["n_neighbors"]
    knn = (
        f"{n_neighbors} nearest neighbours among the latents, on held-out rows"
        + _of_all_columns(settings)
    )
    meanings = {
        "reconstruction_error": (
            "error",
            "mean squared error of held-out rows after the way there and back, in the "
            "units of the scaled columns, squared",
        ),
        "error_ratio_to_pca": (
            "error / PCA's",
            "below 1: better than PCA with as many latents",
        ),
        "explained_variance": (
            "expl. var.",
            "1 - error / error of the training mean, on held-out rows",
        ),
        "knn_accuracy": ("k-NN acc.", f"accuracy of {knn}"),
        "knn_r2": ("k-NN R^2", f"R^2 of {knn}"),
        "trustworthiness": (
            "trustworth.",
            f"how far the {n_neighbors} nearest among the latents are near among the "
            "rows; continuity: the converse (1 is perfect; "
            f"{settings['neighborhood_rows']} held-out rows)",
        ),
        "transform_rows_per_second": (
            "rows/s",
            "held-out rows transformed per second; k, M: thousands, millions",
        ),
    }
    lines = []
    for column, (name, meaning) in meanings.items():
        if table[column].notna().any():
            lines += wrap(meaning, f"{name:<14}")
    return "\n".join(lines)


def _of_all_columns(settings: dict[str, Any]) -> str:
    score = settings["knn_all_columns"]
    if score is None:
        return ""
    return f" (with all {settings['n_scaled_columns']} columns: {score:.3f})"


def format_best(table: "pd.DataFrame") -> str:
    """Return a line per k: who has the lowest error, who the best k-NN score."""
    lines = []
    for k, group in table.groupby("n_components", sort=False):
        said = []
        errors = group.dropna(subset=["reconstruction_error"])
        if len(errors) > 1:
            best = errors.loc[errors["reconstruction_error"].idxmin()]
            said.append(f"lowest error {best['reducer']}")
            ratio = best["error_ratio_to_pca"]
            if not math.isnan(ratio) and ratio != 1:
                said[-1] += f" ({ratio:.3f} of PCA's)"
        for column, label in (("knn_accuracy", "k-NN"), ("knn_r2", "k-NN")):
            scores = group.dropna(subset=[column])
            if len(scores) > 1:
                best = scores.loc[scores[column].idxmax()]
                said.append(f"best {label} {best['reducer']} ({best[column]:.3f})")
        if said:
            lines += wrap("; ".join(said), f"{_count_latents(k)}: ")
    return "\n".join(lines)


def wrap(text: str, heading: str = "") -> list[str]:
    """Break text into lines, all but the first indented by the heading's length."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=heading,
        subsequent_indent=" " * min(len(heading), 20),
        break_on_hyphens=False,
    ) or [heading.rstrip()]


def format_columns(
    actions: dict[str, list[str]], max_numbers: int = 12, max_others: int = 60
) -> list[str]:
    """Return lines that say what was done with each column, kind by kind."""
    lines = []
    for action, columns in actions.items():
        # Plain numbers, to which nothing was done, are of the least interest.
        limit = max_numbers if action == "numbers" else max_others
        text = ", ".join(columns[:limit])
        if len(columns) > limit:
            text += f" and {len(columns) - limit} more"
        lines += wrap(f"{action}: {text}", "  - ")
    return lines


def to_json(table: "pd.DataFrame", **more: Any) -> str:
    """Return settings and rows as strict JSON, with null for what does not apply."""
    rows = [
        {name: _plain(value) for name, value in row.items()}
        for row in table.to_dict("records")
    ]
    document = {"settings": {**table.attrs, **more}, "rows": rows}
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def listed(names: Iterable[object]) -> str:
    """Join names for a sentence."""
    return ", ".join(map(str, names))
