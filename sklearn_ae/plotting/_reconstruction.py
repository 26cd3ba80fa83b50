"""Display of rows beside their reconstructions."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import _safe_indexing, check_scalar

from .._utils.device import isolated_generators
from .._utils.random import SEED_LIMIT, make_random_state
from .._utils.types import RandomState, Shape
from ._drawing import (
    ORANGE,
    check_feature_names,
    check_has,
    check_image_shape,
    draw_mosaic,
    find_feature_names,
    find_image_shape,
    gap_between,
    holding_numbers,
    make_axes,
    numbers_in,
    plain_text,
    split_pipeline,
    styled,
    tile_centers,
    unclutter,
)

_MOST_NAMES = 40  # of features along an axis, before they overlap


class ReconstructionDisplay:
    """Rows, what an estimator makes of them and, if so wished, what it was given.

    Images are shown as pictures, one row of X below the other in a column. Rows of a
    table have a panel each: bars for the row, dots for its reconstruction. Columns that
    hold neither numbers nor truth values are left out.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    original : array-like of shape (n_samples, n_features)
        The rows.

    reconstruction : array-like of shape (n_samples, n_features)
        Their reconstructions.

    corrupted : array-like of shape (n_samples, n_features) or None, default=None
        What was reconstructed, where that is not the rows themselves.

    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of a row; None is for tables.

    feature_names : sequence of str or None, default=None
        Names of a table's features; None names them x0, x1 and so on.

    center, scale : array-like of shape (n_features,) or None, default=None
        What a table's values are counted from and in, such as the columns' means and
        standard deviations; None draws them as they are.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage or None
        All pictures, as one image; None for tables.

    bars_ : list of matplotlib.container.BarContainer
        The rows of a table; empty for images.

    points_ : dict of str to list of matplotlib.lines.Line2D
        A table's "reconstruction" and, where there is one, its "corrupted" rows.

    axes_ : ndarray of matplotlib.axes.Axes of shape (n_panels,)
        Axes with the pictures, or one per row of a table.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    LatentMapDisplay : What the points of a latent plane stand for.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import DenoisingAutoencoderTransformer
    >>> from sklearn_ae.plotting import ReconstructionDisplay
    >>> X = load_iris(as_frame=True).data
    >>> dae = DenoisingAutoencoderTransformer(2).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(dae, X, X_corrupted="draw")
    >>> [text.get_text() for text in display.axes_[0].get_yticklabels()]
    ['sepal length (cm)', 'sepal width (cm)', 'petal length (cm)', 'petal width (cm)']
    """

    image_: Any
    bars_: list[Any]
    points_: dict[str, list[Any]]
    axes_: np.ndarray
    figure_: Any

    def __init__(
        self,
        *,
        original: ArrayLike,
        reconstruction: ArrayLike,
        corrupted: ArrayLike | None = None,
        image_shape: Shape = None,
        feature_names: Sequence[str] | None = None,
        center: ArrayLike | None = None,
        scale: ArrayLike | None = None,
    ) -> None:
        self.original = original
        self.reconstruction = reconstruction
        self.corrupted = corrupted
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.center = center
        self.scale = scale

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        X_corrupted: Any = None,
        n_samples: int | None = None,
        random_state: RandomState = None,
        image_shape: Shape = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Reconstruct the first rows of X and draw them.

        The values of a table are drawn in standard deviations from the mean, those of
        the columns of X.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `reconstruct`, or with `transform` and
            `inverse_transform`: of this package, a Pipeline, PCA...

        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        X_corrupted : array-like of shape (n_samples, n_features), "draw" or None, \
                default=None
            What to reconstruct in place of X. "draw" corrupts X as a
            `DenoisingAutoencoderTransformer` does in training.

        n_samples : int or None, default=None
            Rows to draw, from the first; None draws ten images or four rows of a table.

        random_state : int, RandomState instance or None, default=None
            Seed of the corruption; None takes the estimator's own ``random_state``.

        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels), where rows are images; None
            takes the estimator's ``image_shape``, if it has one.

        feature_names : sequence of str or None, default=None
            Names of the features; None takes the columns of X or the estimator's
            ``feature_names_in_``.

        ax : matplotlib.axes.Axes, array of them or None, default=None
            Axes to draw on: one for images, one per row of a table. None makes a new
            figure.

        **kwargs : dict
            For images, passed to :meth:`matplotlib.axes.Axes.imshow`; for tables, to
            :meth:`matplotlib.axes.Axes.barh`.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            Where the estimator has no way back to the rows.
        ValueError
            Where "draw" meets an estimator without a corruption; where X and
            X_corrupted differ in shape; where an option does not fit.
        """
        if not hasattr(estimator, "reconstruct"):
            check_has(estimator, ["transform", "inverse_transform"], cls.__name__)
        original = numbers_in(X)
        image_shape = find_image_shape(image_shape, estimator)
        if isinstance(X_corrupted, str):
            if X_corrupted != "draw":
                raise ValueError(
                    f'X_corrupted must be rows, "draw" or None; got {X_corrupted!r}.'
                )
            X_corrupted = _draw_corrupted(estimator, X, random_state)
        if X_corrupted is not None and np.shape(X_corrupted) != original.shape:
            raise ValueError(
                f"X_corrupted must have the shape of X, {original.shape}; got "
                f"{np.shape(X_corrupted)}."
            )
        if n_samples is None:
            n_samples = 4 if image_shape is None else 10
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        shown = slice(min(n_samples, len(original)))
        given = _safe_indexing(X if X_corrupted is None else X_corrupted, shown)
        if hasattr(estimator, "reconstruct"):
            reconstruction = estimator.reconstruct(given)
        else:
            reconstruction = estimator.inverse_transform(estimator.transform(given))
        center, scale = _mean_and_spread(original)
        display = cls(
            original=original[shown],
            reconstruction=numbers_in(reconstruction),
            corrupted=None if X_corrupted is None else numbers_in(given),
            image_shape=image_shape,
            feature_names=find_feature_names(
                feature_names, X, estimator, original.shape[1]
            ),
            center=center,
            scale=np.where(scale > 0, scale, 1.0),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, array of them or None, default=None
            Axes to draw on: one for images, one per row of a table. None makes a new
            figure.

        **kwargs : dict
            For images, passed to :meth:`matplotlib.axes.Axes.imshow`; for tables, to
            :meth:`matplotlib.axes.Axes.barh`.

        Returns
        -------
        display : ReconstructionDisplay
            The display itself.

        Raises
        ------
        ValueError
            Where the rows differ in shape, or an option does not fit them.
        """
        rows = {"original": numbers_in(self.original)}
        if self.corrupted is not None:
            rows["corrupted"] = numbers_in(self.corrupted)
        rows["reconstruction"] = numbers_in(self.reconstruction)
        shapes = {kind: values.shape for kind, values in rows.items()}
        n_features = shapes["original"][-1]
        if len(set(shapes.values())) > 1 or rows["original"].ndim != 2:
            raise ValueError(
                "The rows must have one shape, (n_samples, n_features); got "
                + ", ".join(f"{kind} {shape}" for kind, shape in shapes.items())
            )
        image_shape = check_image_shape(self.image_shape, n_features)
        self.image_, self.bars_, self.points_ = None, [], {}
        if image_shape is not None:
            self._plot_images(ax, rows, image_shape, kwargs)
        else:
            names = check_feature_names(self.feature_names, n_features)
            self._plot_table(ax, rows, names, kwargs)
        self.figure_ = self.axes_[0].figure
        return self

    def _plot_images(self, ax, rows, image_shape, kwargs):
        height, width = image_shape[:2]
        original = rows["original"]
        n_columns, n_lines = len(original), len(rows)
        gap = gap_between(image_shape)
        size = (1.3 + 0.9 * n_columns, 0.2 + 0.9 * n_lines * height / width)
        self.axes_ = make_axes(ax, 1, 1, size).ravel()
        (ax,) = self.axes_
        # One brightness for all, that of the original.
        style = {"vmin": original.min(), "vmax": original.max()} | kwargs
        self.image_ = draw_mosaic(
            ax,
            np.concatenate(list(rows.values())),
            image_shape,
            n_columns,
            gap=gap,
            highest=original.max(),
            **style,
        )
        ax.set_yticks(tile_centers(range(n_lines), height, gap), list(rows))
        ax.set_xticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)

    def _plot_table(self, ax, rows, names, kwargs):
        center = 0.0 if self.center is None else np.asarray(self.center)
        scale = 1.0 if self.scale is None else np.asarray(self.scale)
        is_drawn = holding_numbers(*rows.values())
        names = [name for name, drawn in zip(names, is_drawn, strict=True) if drawn]
        rows = {
            kind: ((values - center) / scale)[:, is_drawn]
            for kind, values in rows.items()
        }
        n_samples, n_features = rows["original"].shape
        size = (1.2 + 2.1 * n_samples, 1.3 + 0.25 * min(n_features, _MOST_NAMES))
        is_new = ax is None
        self.axes_ = make_axes(ax, 1, n_samples, size, sharex=True, sharey=True).ravel()
        places = np.arange(n_features)
        looks = {
            "corrupted": {"color": "black", "marker": "x", "ms": 5, "mew": 1.2},
            "reconstruction": {"color": ORANGE, "marker": "o", "ms": 5},
        }
        self.points_ = {kind: [] for kind in looks if kind in rows}
        style = {"color": "#9ECAE1", "height": 0.8, "label": "original"}
        style = styled(style, kwargs, "patches.Rectangle")
        for number, panel in enumerate(self.axes_):
            self.bars_.append(panel.barh(places, rows["original"][number], **style))
            for kind, points in self.points_.items():
                points += panel.plot(
                    rows[kind][number], places, ls="", label=kind, **looks[kind]
                )
            panel.axvline(0.0, color="#808080", lw=0.8)
            panel.set_ylim(n_features - 0.5, -0.5)  # the first feature on top
            panel.set_title(f"row {number}", fontsize="medium")
            unclutter(panel)
            panel.spines["left"].set_visible(False)
            if is_new and number:
                panel.tick_params(left=False)
            elif n_features <= _MOST_NAMES:
                panel.set_yticks(places, [*map(plain_text, names)])
            else:
                panel.set_ylabel("feature")
        what = "value" if self.scale is None else "standard deviations from the mean"
        if is_new:
            figure = self.axes_[0].figure
            figure.supxlabel(what, fontsize="medium")
            figure.legend(
                [self.bars_[0], *(points[0] for points in self.points_.values())],
                list(rows),
                loc="outside upper center",
                ncols=3,
                frameon=False,
            )
        else:
            self.axes_[-1].legend(frameon=False)
            for panel in self.axes_:
                panel.set_xlabel(what)


def _mean_and_spread(X):
    """Mean and standard deviation of the cells of each column that are there."""
    is_known = ~np.isnan(X)
    n_known = np.maximum(is_known.sum(axis=0), 1)
    center = np.where(is_known, X, 0.0).sum(axis=0) / n_known
    squares = np.where(is_known, (X - center) ** 2, 0.0)
    return center, np.sqrt(squares.sum(axis=0) / n_known)


def _draw_corrupted(estimator, X, random_state):
    """Rows as a denoising autoencoder gets to see them in training."""
    before, model = split_pipeline(estimator)
    corruption = getattr(getattr(model, "module_", None), "corruption", None)
    if corruption is None:
        raise ValueError(
            f'X_corrupted="draw" needs a fitted DenoisingAutoencoderTransformer, and '
            f"{type(model).__name__} has no corruption: give the corrupted rows."
        )
    module = model.module_
    seed = model.random_state if random_state is None else random_state
    seed = int(make_random_state(seed).randint(SEED_LIMIT))
    rows = X if before is None else before.transform(X)
    try:
        rows = np.array(rows, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            'X_corrupted="draw" takes tables of numbers alone: give the corrupted rows.'
        ) from error
    device = module.center.device
    with torch.no_grad(), isolated_generators(seed, device):
        x = corruption(module.standardize(torch.from_numpy(rows).to(device)))
        corrupted = (x.double() * module.scale + module.center).cpu().numpy()
    if before is not None:
        corrupted = np.asarray(before.inverse_transform(corrupted))
    if hasattr(X, "iloc"):  # with the names that the estimator was fitted to
        corrupted = type(X)(corrupted, index=X.index, columns=X.columns)
    return corrupted
