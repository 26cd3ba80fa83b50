"""The figure of errors over PCA's, per table and number of latents."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks._ratios import at_most_one, error_ratios

OURS_COLOR, WORSE_COLOR, PEER_COLOR = "#0072B2", "#D55E00", "#555555"
# Inches: a panel, what a letter of a table's name takes, a table's line, and the
# margins above and below the panels.
_PANEL, _LETTER, _LINE, _ABOVE, _BELOW = 1.9, 0.062, 0.17, 0.7, 0.6
_LEAST_HIGH, _MOST_HIGH = 1.6, 5.0  # where the axis of ratios ends
_MARKER: dict[str, Any] = {"marker": "o", "markersize": 4.2, "linestyle": ""}


def ratio_figure(
    frame: pd.DataFrame, ours_label: str, loss: str = "squared_error"
) -> Figure:
    """Draw a panel per k with a line per table: ours, the best other method, PCA."""
    ratios = error_ratios(frame)
    runs, ours = ratios.runs["ours"].dropna(), ratios.cells["ours"].dropna()
    others = ratios.best("ours", "pca")[ours.index]
    ks = sorted(ours.index.unique("k"))
    # The greatest gains on top, by the mean over k of the ratio's logarithm.
    order = np.log(ours).groupby("set").mean().sort_values(ascending=False).index
    lines = {name: line for line, name in enumerate(order)}
    low = min(0.6, 0.85 * float(np.nanmin([*runs, *others])))
    high = min(max(_LEAST_HIGH, 1.15 * float(ours.max())), _MOST_HIGH)

    left = 0.2 + _LETTER * max(map(len, lines))
    width = left + _PANEL * max(3, len(ks)) + 0.15
    height = _ABOVE + _LINE * len(lines) + _BELOW
    figure = Figure(figsize=(width, height), dpi=110)
    panels = figure.subplots(1, len(ks), sharex=True, sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        left=left / width,
        right=1.0 - 0.15 / width,
        top=1.0 - _ABOVE / height,
        bottom=_BELOW / height,
        wspace=0.12,
    )
    for ax, k in zip(panels, ks, strict=True):
        title = f"{k} latents" if k > 1 else "1 latent"
        ax.set_title(title, fontsize=9, loc="left", fontweight="bold")
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        ax.set_ylim(-0.7, len(lines) - 0.3)
        ax.axvline(1.0, color="black", linewidth=0.9, zorder=1)
        ax.text(1.0, len(lines) - 0.3, "PCA", fontsize=7, ha="center", va="bottom")
        ax.grid(axis="y", color="#e8e8e8", linewidth=0.7)
        ax.set_axisbelow(True)
        ax.tick_params(which="both", labelsize=7, length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
        points = (ratio.xs(k, level="k") for ratio in (ours, others, runs))
        _draw_panel(ax, Points(*points), lines, high)
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if low < t < high]
    if len(ticks) > 5:
        ticks = [0.01, 0.1, 1]
    panels[0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[0].set_xticks([], minor=True)
    panels[0].set_yticks(range(len(lines)), list(lines))
    figure.supxlabel(
        f"held-out {loss.replace('_', ' ')} divided by PCA's, mean over the splits",
        fontsize=9,
        y=0.15 / height,
    )
    legend = {f"{ours_label} (bar: over the splits)": (OURS_COLOR, OURS_COLOR)}
    if not at_most_one(ours).all():
        legend["the same, worse than PCA"] = (WORSE_COLOR, WORSE_COLOR)
    if others.notna().any():
        legend["best of the others (triangle: off the axis)"] = (PEER_COLOR, "white")
    handles = [
        Line2D([], [], label=label, color=color, markerfacecolor=fill, **_MARKER)
        for label, (color, fill) in legend.items()
    ]
    figure.legend(
        handles=handles, loc="upper center", ncols=3, fontsize=8, frameon=False
    )
    return figure


class Points(NamedTuple):
    """Ratios of a panel by table, and by table and seed."""

    ours: pd.Series
    others: pd.Series
    runs: pd.Series


def _draw_panel(ax: Axes, points: Points, lines: dict[str, int], high: float) -> None:
    """Ours with its range over the seeds, and the others; triangles lie beyond."""
    ranges = points.runs.clip(upper=high).groupby("set").agg(["min", "max"])
    y = ranges.index.map(lines)
    ax.hlines(y, ranges["min"], ranges["max"], color=OURS_COLOR, linewidth=1.2)
    is_worse = ~at_most_one(points.ours)
    for values, color, fill in (
        (points.others.dropna(), PEER_COLOR, "white"),
        (points.ours[~is_worse], OURS_COLOR, OURS_COLOR),
        (points.ours[is_worse], WORSE_COLOR, WORSE_COLOR),
    ):
        style = {"color": color, "markerfacecolor": fill, "zorder": 3, **_MARKER}
        inside, beyond = values[values <= high], values[values > high]
        ax.plot(inside, inside.index.map(lines), **style)
        edge = np.full(len(beyond), high)
        ax.plot(edge, beyond.index.map(lines), **style | {"marker": ">"}, clip_on=False)
