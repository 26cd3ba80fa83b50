"""One figure of a comparison: the maps side by side, and the scores by k."""

import functools
import io
import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._utils.extras import import_extra
from .._utils.text import printable
from ..plotting._drawing import open_frame, plain_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Okabe and Ito's colours, which most colour-blind readers can tell apart; the
# markers tell the reducers apart without any colour.
_REDUCER_COLORS = (
    "#000000",
    "#999999",
    "#56B4E9",
    "#009E73",
    "#D55E00",
    "#E69F00",
    "#CC79A7",
    "#0072B2",
)
_MARKERS = "osD^vPX*"
_MAX_POINTS = 3000  # a map says no more with more, and its file grows
_MAX_LEGEND = 20  # classes with a colour of their own; the rest share grey
_GREY = "#b0b0b0"
_MAX_BYTES = 250_000


def comparison_figure(
    table: "pd.DataFrame",
    latents: Mapping[tuple[str, int], "pd.DataFrame"],
    y: NDArray[Any] | None = None,
    *,
    title: str = "",
    target: str = "y",
) -> "Figure":
    """Draw the maps of the held-out rows, and the scores by the number of latents.

    Parameters
    ----------
    table, latents : DataFrame, dict
        As `compare_reducers(..., return_latents=True)` returns them.
    y : array-like of shape (n_samples,), default=None
        What colours the maps, for all rows.
    title : str, default=""
        Heading of the figure.
    target : str, default="y"
        What y is called.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Not known to pyplot: save it with ``figure.savefig(...)``.
    """
    mpl_figure = import_extra("matplotlib.figure")
    names = list(dict.fromkeys(table["reducer"]))
    k = _map_size(latents)
    maps = [name for name in names if (name, k) in latents]
    has_key = y is not None and bool(maps)
    n_columns, n_lines = _grid(len(maps) + has_key)

    map_height = 0.3 + 2.35 * n_lines if maps else 0.0  # inches
    figure = mpl_figure.Figure(figsize=(11, 0.5 + map_height + 3.2), dpi=120)
    figure.set_layout_engine("constrained", hspace=0.04)
    if title:
        figure.suptitle(plain_text(title), fontsize=13, fontweight="bold")
    if maps:
        upper, lower = figure.subfigures(2, 1, height_ratios=(map_height, 3.2))
        upper.suptitle(_caption(latents[maps[0], k]), fontsize=10)
        axes = upper.subplots(n_lines, n_columns, squeeze=False).ravel()
        colors = _Colors(y, table.attrs["target_type"] == "discrete")
        for ax, name in zip(axes, maps, strict=False):
            _draw_map(ax, latents[name, k], colors)
            _label_map(ax, table, name, k)
        for ax in axes[len(maps) :]:
            ax.set_axis_off()
        if has_key:
            colors.draw_key(upper, axes[len(maps)], target)
    else:
        lower = figure.subfigures(1, 1)
    _draw_scores(lower, table, names)
    return figure


def save_png(figure: "Figure", path: Path) -> None:
    """Write the figure, with a palette of 256 colours where it is large without."""
    buffer = io.BytesIO()
    _use_fonts_that_show(figure)
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    with warnings.catch_warnings():
        # Of letters that no installed font has, which are drawn as boxes, and of
        # weights that the fonts for the others do not come in.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        log.setLevel(logging.ERROR)
        try:
            figure.savefig(buffer, format="png", pil_kwargs={"optimize": True})
        finally:
            log.setLevel(level)
    if buffer.tell() <= _MAX_BYTES:
        path.write_bytes(buffer.getvalue())
        return
    image = import_extra("PIL.Image").open(buffer).convert("RGB")
    image.quantize(256, dither=0).save(path, optimize=True)


def _caption(latents: "pd.DataFrame") -> str:
    n_rows, k = latents.shape
    shown = f"{_MAX_POINTS} of {n_rows}" if n_rows > _MAX_POINTS else f"{n_rows}"
    which = "in 2 latents" if k == 2 else f"in the first 2 of {k} latents"
    return f"{shown} held-out rows {which}"


def _map_size(latents: Mapping[tuple[str, int], "pd.DataFrame"]) -> int:
    """Return the k whose first two latents are drawn: 2, or else the next above."""
    return min((k for _, k in latents if k >= 2), default=2)


def _grid(n_cells: int) -> tuple[int, int]:
    n_lines = max(1, math.ceil(n_cells / 4))
    return max(1, math.ceil(n_cells / n_lines)), n_lines


class _Colors:
    """Colours of the rows by y, and the key that explains them."""

    def __init__(self, y: NDArray[Any] | None, discrete: bool):
        matplotlib = import_extra("matplotlib")
        self.y = None if y is None else np.asarray(y)
        self.discrete = discrete
        self.handles: list[tuple[str, Any]] = []
        if self.y is None:
            return
        if not discrete:
            self.norm = import_extra("matplotlib.colors").Normalize(
                *np.quantile(self.y, [0.02, 0.98])  # outliers must not grey the rest
            )
            self.cmap = matplotlib.colormaps["viridis"]
            return
        classes, counts = np.unique(self.y, return_counts=True)
        if len(classes) > _MAX_LEGEND:
            kept = np.sort(np.argsort(-counts, kind="stable")[: _MAX_LEGEND - 1])
            classes = classes[kept]
        palette = matplotlib.colormaps["tab10" if len(classes) <= 10 else "tab20"]
        self.handles = [(str(c), palette(i)) for i, c in enumerate(classes)]
        self.by_class = dict(zip(classes.tolist(), palette.colors, strict=False))
        if len(self.by_class) < len(counts):
            self.handles.append((f"{len(counts) - len(classes)} others", _GREY))

    def of(self, index: NDArray[np.intp]) -> Any:
        if self.y is None:
            return _REDUCER_COLORS[-1]
        if not self.discrete:
            return self.cmap(self.norm(self.y[index].astype(float)))
        return [self.by_class.get(c, _GREY) for c in self.y[index].tolist()]

    def draw_key(self, figure: "SubFigure", ax: "Axes", target: str) -> None:
        """Explain the colours in a cell of the grid that is free."""
        if self.discrete:
            lines = import_extra("matplotlib.lines")
            marks = [
                lines.Line2D([], [], color=color, marker="o", ls="", ms=6)
                for _, color in self.handles
            ]
            labels = [_shortened(label, 18) for label, _ in self.handles]
            ax.legend(
                marks,
                labels,
                title=_shortened(target, 30),
                ncols=1 if len(labels) <= 6 else 2,
                loc="center",
                frameon=False,
                fontsize=9 if len(labels) <= 12 else 7.5,
                handletextpad=0.2,
                columnspacing=1.2,
            )
            return
        mappable = import_extra("matplotlib.cm").ScalarMappable(self.norm, self.cmap)
        figure.colorbar(
            mappable, cax=ax.inset_axes((0.12, 0.06, 0.09, 0.88)), extend="both"
        ).set_label(_shortened(target, 30))


def _shortened(text: str, width: int) -> str:
    text = printable(text)
    return plain_text(text if len(text) <= width else text[: width - 3] + "...")


def _use_fonts_that_show(figure: "Figure") -> None:
    """Give the texts of a figure the fonts that have their letters."""
    texts = figure.findobj(import_extra("matplotlib.text").Text)
    letters = {letter for text in texts for letter in text.get_text()}
    families = find_fonts("".join(sorted(letters)))
    if len(families) > 1:
        for text in texts:
            text.set_fontfamily(families)


def find_fonts(letters: str, first: str | None = None) -> list[str]:
    """Return the families of fonts that together have these letters, as far as any do.

    Parameters
    ----------
    letters : str
        What is to be drawn.
    first : str, default=None
        The family to use where it has a letter; None: matplotlib's default.
    """
    manager = import_extra("matplotlib.font_manager")
    default = manager.findfont(manager.FontProperties(first))
    families = [manager.get_font(default).family_name]
    lacking = {ord(letter) for letter in letters if letter.isprintable()}
    lacking -= _letters_of(default)
    for font in manager.fontManager.ttflist if lacking else ():
        found = lacking & _letters_of(font.fname)
        if found and "Last Resort" not in font.name:  # which has boxes for letters
            families.append(font.name)
            lacking -= found
    return families


@functools.cache
def _letters_of(path: str) -> frozenset[int]:
    """Return the code points that a font has."""
    try:
        font = import_extra("matplotlib.ft2font").FT2Font(path)
        return frozenset(font.get_charmap())
    except (OSError, RuntimeError):  # a file that is no longer there, or no font
        return frozenset()


def _draw_map(ax: "Axes", latents: "pd.DataFrame", colors: _Colors) -> None:
    shown = latents.iloc[:_MAX_POINTS]
    Z = shown.to_numpy()
    ax.scatter(
        Z[:, 0],
        Z[:, 1],
        c=colors.of(shown.index.to_numpy()),
        s=max(3.0, min(16.0, 6000 / len(Z))),
        alpha=0.8,
        linewidths=0,
    )
    ax.set(xticks=[], yticks=[])
    open_frame(ax)


def _label_map(ax: "Axes", table: "pd.DataFrame", name: str, k: int) -> None:
    row = table[(table["reducer"] == name) & (table["n_components"] == k)].iloc[0]
    said = []
    if row["error_ratio_to_pca"] == row["error_ratio_to_pca"]:  # not NaN
        said.append(f"error {row['error_ratio_to_pca']:.2f} of PCA's")
    for column, label in (("knn_accuracy", "k-NN"), ("knn_r2", "k-NN R²")):
        if row[column] == row[column]:
            said.append(f"{label} {row[column]:.2f}".replace("-0", "\N{MINUS SIGN}0"))
    star = "" if row["has_transform"] else "*"
    ax.set_title(_shortened(name, 24) + star, fontsize=11, fontweight="bold", pad=14)
    ax.text(
        0.5,
        1.03,
        " · ".join(said),
        transform=ax.transAxes,
        ha="center",
        fontsize=8,
        color="#444444",
    )
    of = f" of {k}" if k > 2 else ""
    ax.set_xlabel(f"latent 1{of}", fontsize=8, color="#444444", labelpad=2)
    ax.set_ylabel(f"latent 2{of}", fontsize=8, color="#444444", labelpad=2)


def _draw_scores(figure: "SubFigure", table: "pd.DataFrame", names: list[str]) -> None:
    columns = [
        (column, label)
        for column, label in (
            ("reconstruction_error", "Held-out reconstruction error"),
            ("knn_accuracy", "k-NN accuracy on held-out rows"),
            ("knn_r2", "k-NN R² on held-out rows"),
        )
        if table[column].notna().any()
    ]
    axes = figure.subplots(1, max(1, len(columns)), squeeze=False).ravel()
    if not columns:
        axes[0].set_axis_off()
        return
    sizes = sorted(set(table["n_components"]))
    handles: dict[str, Any] = {}
    for ax, (column, label) in zip(axes, columns, strict=True):
        for number, name in enumerate(names):
            rows = table[table["reducer"] == name].sort_values("n_components")
            rows = rows[rows[column].notna()]
            if rows.empty:
                continue
            (handles[name],) = ax.plot(
                [sizes.index(k) for k in rows["n_components"]],
                rows[column],
                color=_REDUCER_COLORS[number % len(_REDUCER_COLORS)],
                marker=_MARKERS[number % len(_MARKERS)],
                lw=1.5,
                ms=6,
                alpha=0.9,
                clip_on=False,  # an error of almost zero lies on the axis
            )
        ax.set_xticks(range(len(sizes)), [str(k) for k in sizes])
        ax.set_xlim(-0.3, len(sizes) - 0.7)
        ax.set_xlabel("number of latents k")
        ax.set_title(label, fontsize=11, loc="left")
        ax.grid(axis="y", color="#e0e0e0")
        open_frame(ax)
        if column == "reconstruction_error":
            ax.set_ylim(bottom=0)
    starred = set(table.loc[~table["has_transform"] & table["error"].eq(""), "reducer"])
    figure.legend(
        [handles[name] for name in names if name in handles],
        [
            _shortened(name, 24) + ("*" if name in starred else "")
            for name in names
            if name in handles
        ],
        loc="outside right center",
        frameon=False,
    )
    if starred & set(handles):
        figure.text(
            0.995,
            0.02,
            "* fitted to the held-out rows too",
            ha="right",
            fontsize=8,
            color="#444444",
        )
