"""A comparison as text for the terminal, and as JSON."""

import json
import math
import textwrap
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 100
_MAX_NAME = 24


def _decimals(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}f}"


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
    "error_ratio_to_pca": ("error /", "PCA's", _decimals(3)),
    "explained_variance": ("expl.", "var.", _decimals(3)),
    "knn_accuracy": ("k-NN", "acc.", _decimals(3)),
    "knn_r2": ("k-NN", "R^2", _decimals(3)),
    "trustworthiness": ("trust-", "worth.", _decimals(3)),
    "continuity": ("conti-", "nuity", _decimals(3)),
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
    remarks: dict[str, int] = {}
    shown = [
        name for name in _COLUMNS if name in _ALWAYS_THERE or table[name].notna().any()
    ]
    lines: list[list[str]] = [
        ["", *(_COLUMNS[name][0] for name in shown)],
        ["", *(_COLUMNS[name][1] for name in shown)],
    ]
    blocks: dict[int, str] = {}  # line number -> heading above it
    for k, group in table.groupby("n_components", sort=False):
        blocks[len(lines)] = f"{k} latent{'s' if k > 1 else ''}"
        for row in group.to_dict("records"):
            lines.append(
                [
                    _name_with_marks(row, remarks),
                    *(_cell(row[name], _COLUMNS[name][2]) for name in shown),
                ]
            )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for number, cells in enumerate(lines):
        if number in blocks:
            heading = f"-- {blocks[number]} "
            text.append(heading.ljust(sum(widths) + 2 * len(widths) - 2, "-"))
        first, *others = cells
        padded = [first.ljust(widths[0])]
        padded += [c.rjust(w) for c, w in zip(others, widths[1:], strict=True)]
        text.append("  ".join(padded).rstrip())
    if remarks:
        text.append("")
    for remark, number in remarks.items():
        text += wrap(remark, f"[{number}] ")
    return "\n".join(text)


def _cell(value: Any, write: Callable[[Any], str]) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "-"
    return write(value)


def _name_with_marks(row: dict[str, Any], remarks: dict[str, int]) -> str:
    name = row["reducer"]
    if len(name) > _MAX_NAME:
        name = name[: _MAX_NAME - 3] + "..."
    marks = []
    for kind in ("note", "warnings", "error"):
        if not row[kind]:
            continue
        prefix = {"note": "", "warnings": "warned: ", "error": "failed, "}[kind]
        number = remarks.setdefault(prefix + row[kind], len(remarks) + 1)
        marks.append(f"[{number}]")
    return f"{name} {''.join(marks)}" if marks else name


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
            if not math.isnan(best["error_ratio_to_pca"]):
                said[-1] += f" ({best['error_ratio_to_pca']:.3f} of PCA's)"
        for column, label in (("knn_accuracy", "k-NN"), ("knn_r2", "k-NN")):
            scores = group.dropna(subset=[column])
            if len(scores) > 1:
                best = scores.loc[scores[column].idxmax()]
                said.append(f"best {label} {best['reducer']} ({best[column]:.3f})")
        if said:
            lines += wrap("; ".join(said), f"{k} latent{'s' if k > 1 else ''}: ")
    return "\n".join(lines)


def wrap(text: str, heading: str = "", width: int = WIDTH) -> list[str]:
    """Break text into lines, all but the first indented by the heading's length."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=heading,
        subsequent_indent=" " * min(len(heading), 20),
        break_on_hyphens=False,
    ) or [heading.rstrip()]


def format_columns(actions: dict[str, list[str]], max_columns: int = 12) -> list[str]:
    """Return lines that say what was done with each column, kind by kind."""
    lines = []
    for action, columns in actions.items():
        text = ", ".join(columns[:max_columns])
        if len(columns) > max_columns:
            text += f" and {len(columns) - max_columns} more"
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
