"""What the displays share: matplotlib, axes, colours, images, names of features."""

import re
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from .._tables.containers import is_frame, names_of
from .._tables.kinds import NUMBERS
from .._tables.table_kinds import columns_of
from .._utils.extras import import_extra
from .._utils.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Paul Tol's "muted" colours and black, then ten more, each as far as can be (in CIELAB)
# from all before it: for normal sight and with either cone missing.
CLASS_COLORS = (
    *("#332288", "#CC6677", "#DDCC77", "#117733", "#88CCEE"),
    *("#882255", "#44AA99", "#999933", "#AA4499", "#000000"),
    *("#9435F7", "#8E89FA", "#01F61C", "#A7060B", "#53125C"),
    *("#0102F8", "#D617CA", "#C59B6E", "#003C22", "#AFDEAE"),
)
GREY = "#C8C8C8"
BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe and Ito's, for two things side by side
MAX_CLASSES = len(CLASS_COLORS)
_MISSING = ("nan", "None", "<NA>", "NaT")


def import_matplotlib(module: str = "matplotlib.pyplot") -> ModuleType:
    """Import matplotlib, or say what to install."""
    return import_extra(module, user="sklearn_ae.plotting")


# Estimators ---------------------------------------------------------------------------


def last_step(estimator: Any) -> Any:
    """Return what encodes and decodes, out of a search and a Pipeline around it."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def split_pipeline(estimator: Any) -> tuple[Any, Any]:
    """Return the steps before the last (None without such) and the last."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        return estimator[:-1], estimator[-1]
    return None, last_step(estimator)


def check_has(estimator: Any, methods: Sequence[str], display: str) -> None:
    """Raise a TypeError where the estimator lacks what the display calls."""
    missing = [method for method in methods if not hasattr(estimator, method)]
    if missing:
        raise TypeError(
            f"{display} needs a fitted estimator with {' and '.join(methods)}; "
            f"{type(estimator).__name__} has no {' and no '.join(missing)}."
        )


# Text ---------------------------------------------------------------------------------


def plain_text(text: object) -> str:
    """Return text from outside as it is drawn: no control characters, no formulas."""
    return printable(str(text)).replace("$", r"\$")


# Axes ---------------------------------------------------------------------------------


def make_axes(
    ax: Any, n_rows: int, n_columns: int, figsize: tuple[float, float], **options: Any
) -> NDArray[Any]:
    """Return the caller's axes, or those of a new figure, as (n_rows, n_columns)."""
    if ax is None:
        _, axes = import_matplotlib().subplots(
            n_rows,
            n_columns,
            figsize=figsize,
            layout="constrained",
            squeeze=False,
            **options,
        )
        return axes
    axes = np.asarray(ax, dtype=object).ravel()
    if len(axes) != n_rows * n_columns:
        raise ValueError(
            f"ax holds {len(axes)} axes, but {n_rows * n_columns} are drawn on: give "
            "as many, or None for a new figure."
        )
    return axes.reshape(n_rows, n_columns)


def styled(
    style: dict[str, Any], kwargs: dict[str, Any], artist: str
) -> dict[str, Any]:
    """The style of an artist, such as "lines.Line2D", but for what the caller says.

    Short and long names of matplotlib are one: of ``lw`` and ``linewidth``, and of
    ``c`` and ``color``, the caller's counts.
    """
    module, _, name = artist.partition(".")
    kind = getattr(import_matplotlib(f"matplotlib.{module}"), name)
    normalize = import_matplotlib("matplotlib.cbook").normalize_kwargs
    style, kwargs = normalize(style, kind), normalize(kwargs, kind)
    replaced = set()
    if "color" in kwargs:  # of a scatter, instead of values and their colours
        replaced = {"c", "cmap", "plotnonfinite"}
    elif "c" in kwargs:
        replaced = {"color"}
    return {k: v for k, v in style.items() if k not in replaced} | kwargs


def unclutter(ax: "Axes") -> None:
    """Ticks that stand back, and no frame where nothing is."""
    open_frame(ax)
    soften_ticks(ax)


def open_frame(ax: "Axes") -> None:
    """Draw no frame on top and on the right, where no axis is."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def soften_ticks(ax: "Axes") -> None:
    """Let ticks and their labels stand back behind what is drawn."""
    ax.tick_params(labelsize="small", color="#808080", labelcolor="#404040")


# Colours by label ---------------------------------------------------------------------


class Labels:
    """Class or value of each row, and how it is coloured.

    ``values`` holds numbers, where y is a quantity; otherwise ``names`` holds the
    classes, and ``codes`` the place of each row's class in it.
    """

    def __init__(self, y: Any):
        self.values: NDArray[np.float64] | None = None
        self.names: list[str] = []
        categories = getattr(getattr(y, "cat", y), "categories", None)
        y = np.asarray(y)
        if y.ndim != 1:
            raise ValueError(f"y must have one label per row; got shape {y.shape}.")
        labels = np.array([str(value) for value in y.tolist()], dtype=object)
        if y.dtype.kind in "fiu":
            present = y[~np.isnan(y)]
            is_whole = (np.isfinite(present) & (present == np.round(present))).all()
            if not is_whole or len(np.unique(present)) > MAX_CLASSES:
                self.values = y.astype(np.float64)
                return
            numbers = ["nan" if v != v else str(int(v)) for v in y.tolist()]
            labels = np.array(numbers, dtype=object)
        is_missing = np.isin(labels, _MISSING)
        names, counts = np.unique(labels[~is_missing].astype(str), return_counts=True)
        kept = set(names.tolist())
        if len(names) > MAX_CLASSES:
            most_frequent = np.argsort(-counts, kind="stable")[: MAX_CLASSES - 1]
            kept = set(names[most_frequent].tolist())
        if categories is not None:
            self.names = [str(name) for name in categories if str(name) in kept]
        else:
            self.names = sorted(kept, key=_by_number)
        place = {name: code for code, name in enumerate(self.names)}
        self.codes = np.array([place.get(label, -1) for label in labels], dtype=int)
        self.in_grey = [f"{len(names) - len(kept)} others"] * (len(kept) < len(names))
        self.in_grey += ["missing"] * bool(is_missing.any())

    @property
    def colors(self) -> NDArray[Any]:
        return np.array([*CLASS_COLORS, GREY])[self.codes]  # -1 is the last

    def draw_legend(self, ax: "Axes", title: str | None) -> Any:
        """Name the classes beside the axes, in their colours."""
        lines = import_matplotlib("matplotlib.lines")
        shown = [*zip(self.names, CLASS_COLORS, strict=False)]
        shown += [(name, GREY) for name in self.in_grey]
        return ax.legend(
            [lines.Line2D([], [], color=c, marker="o", ls="", ms=7) for _, c in shown],
            [plain_text(name) for name, _ in shown],
            title=None if title is None else plain_text(title),
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            ncols=1 + (len(shown) > 12),
            frameon=False,
            handletextpad=0.2,
        )


def _by_number(name: str) -> tuple[float, list[str]]:
    """Sort "2" before "10", and "class 2" before "class 10"."""
    try:
        return float(name), []
    except ValueError:
        parts = re.split(r"(\d+)", name)
        return np.inf, [part.zfill(20) if part.isdigit() else part for part in parts]


# Images -------------------------------------------------------------------------------


def find_image_shape(image_shape: Any, estimator: Any, features: Any = None) -> Any:
    """Return the shape given, else the estimator's own; None for a table.

    Where features are asked for, rows are a table.
    """
    if features is not None:
        return None
    if image_shape is None:
        return getattr(last_step(estimator), "image_shape", None)
    return image_shape


def check_image_shape(image_shape: Any, n_features: int) -> tuple[int, ...] | None:
    """Return the shape as `mosaic` takes it; None for a table."""
    if image_shape is None:
        return None
    shape = tuple(int(size) for size in image_shape)
    is_image = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    if not is_image or np.prod(shape) != n_features:
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), with 1, "
            f"3 or 4 channels and {n_features} values in all, as a row has; got "
            f"{image_shape!r}."
        )
    return shape[:2] if shape[2:] == (1,) else shape


def draw_mosaic(
    ax: "Axes",
    rows: NDArray[Any],
    image_shape: tuple[int, ...],
    n_columns: int,
    *,
    gap: int,
    highest: float | None = None,
    **style: Any,
) -> Any:
    """Draw images in lines, as `mosaic` lays them out: in grey, unless told else."""
    picture = mosaic(rows, image_shape, n_columns, gap=gap, highest=highest)
    return ax.imshow(picture, **({"cmap": "gray"} | style))


def gap_between(image_shape: tuple[int, ...]) -> int:
    """Return how far apart the images of a mosaic are, in their pixels."""
    return max(1, image_shape[1] // 12)


def tile_centers(places: Any, side: int, gap: int) -> NDArray[np.float64]:
    """Return where the middles of a mosaic's lines (or columns) are, by number."""
    return np.asarray(places) * (side + gap) + (side - 1) / 2


def mosaic(
    rows: NDArray[Any],
    image_shape: tuple[int, ...],
    n_columns: int,
    *,
    gap: int,
    highest: float | None,
) -> NDArray[Any]:
    """Lay images out in lines, the first on top left; what is left over is nan.

    Colours count from 0 to 1 or, where their highest value is over 2, to 255; they come
    out as red, green, blue and opacity between 0 and 1.
    """
    height, width, *channels = image_shape
    images = np.asarray(rows, dtype=float).reshape(-1, *image_shape)
    if channels:
        highest = images.max() if highest is None else highest
        images = np.clip(images / (255.0 if highest > 2.0 else 1.0), 0.0, 1.0)
        if channels == [3]:
            images = np.insert(images, 3, 1.0, axis=-1)
    n_lines = -(-len(images) // n_columns)
    size = (n_lines * (height + gap) - gap, n_columns * (width + gap) - gap)
    canvas = np.full((*size, *images.shape[3:]), 0.0 if channels else np.nan)
    for number, image in enumerate(images):
        line, column = divmod(number, n_columns)
        top, left = line * (height + gap), column * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def brightness(decoded: NDArray[Any]) -> dict[str, float]:
    """Return the values drawn black and white, where no real image says so.

    A decoder overshoots here and there: a few such points must not grey the rest.
    """
    low, high = np.quantile(decoded, [0.01, 0.99])
    return {"vmin": low, "vmax": high}


# Rows of tables -----------------------------------------------------------------------


def numbers_in(rows: Any) -> NDArray[Any]:
    """Rows (n, d) of any table as numbers: NaN where a column holds none, or a cell."""
    if not is_frame(rows):
        array = np.asarray(rows)
        if array.dtype.kind in "fiub":
            return array
    nothing = np.full(len(rows), np.nan)
    return np.column_stack(
        [
            column.values if column.type in NUMBERS else nothing
            for column in columns_of(rows)
        ]
    )


def holding_numbers(*tables: NDArray[Any]) -> NDArray[np.bool_]:
    """Which columns of tables (..., d) of the same columns hold any number: (d,)."""
    rows = [table.reshape(-1, table.shape[-1]) for table in tables]
    holds_any = ~np.isnan(np.concatenate(rows)).all(axis=0)
    if not holds_any.any():
        raise ValueError("There is no column of numbers, which are what is drawn.")
    return holds_any


# Names of features --------------------------------------------------------------------


def find_feature_names(
    feature_names: Any, X: Any, estimator: Any, n_features: int
) -> list[str]:
    """Return the names given, else X's columns, else the estimator's, else x0, x1..."""
    if feature_names is None:
        feature_names = names_of(X) if is_frame(X) else getattr(X, "columns", None)
    if feature_names is None:
        feature_names = getattr(estimator, "feature_names_in_", None)
    return check_feature_names(feature_names, n_features)


def check_feature_names(feature_names: Any, n_features: int) -> list[str]:
    """Return one name per feature: x0, x1... where there are none."""
    if feature_names is None:
        return [f"x{i}" for i in range(n_features)]
    names = [str(name) for name in feature_names]
    if len(names) != n_features:
        raise ValueError(
            f"feature_names must name each of the {n_features} features; got "
            f"{len(names)} names."
        )
    return names


def find_features(
    features: Any, names: list[str], default: int, holds_numbers: NDArray[np.bool_]
) -> list[int]:
    """Return the places of the features asked for, by name or number.

    All of them hold numbers, and by default they are the first that do.
    """
    if features is None:
        return np.flatnonzero(holds_numbers)[:default].tolist()
    if isinstance(features, str) or not np.iterable(features):
        features = [features]
    places = []
    for feature in features:
        if isinstance(feature, str) and feature in names:
            places.append(names.index(feature))
        elif isinstance(feature, int | np.integer) and -len(names) <= feature < len(
            names
        ):
            places.append(int(feature) % len(names))
        else:
            raise ValueError(
                f"features: there is no {feature!r}. Give names out of {names} or "
                f"numbers from 0 to {len(names) - 1}."
            )
    if not places:
        raise ValueError("features is empty: give at least one, or None.")
    for place in places:
        if not holds_numbers[place]:
            drawable = [names[i] for i in np.flatnonzero(holds_numbers)]
            raise ValueError(
                f"features: {names[place]!r} holds no numbers, which are what is "
                f"drawn. Give names out of {drawable}."
            )
    return places
