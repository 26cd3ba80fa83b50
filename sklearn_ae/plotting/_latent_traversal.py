"""Display of what changes along a latent: curves of columns, or a row of pictures."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import check_scalar

from .._utils.random import some_rows
from .._utils.types import Shape
from ._drawing import (
    CLASS_COLORS,
    brightness,
    check_feature_names,
    check_has,
    check_image_shape,
    draw_mosaic,
    find_feature_names,
    find_image_shape,
    gap_between,
    make_axes,
    plain_text,
    soften_ticks,
    styled,
    tile_centers,
    unclutter,
)

# From here to there a latent goes, by the rows' own quantiles.
_ENDS = (0.05, 0.95)
_N_POINTS, _N_PICTURES = 25, 9
# Rows that are decoded at each point.
_MOST_ROWS = 100


class LatentTraversalDisplay:
    """What an estimator decodes along each latent.

    For tables there is a curve for each of the columns that change most: the mean over
    rows whose other latents stay as they are, as partial dependence has it, less the
    middle point's. Pictures are of latents that are the median but for one.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    latents : array-like of shape (n_latents, n_points)
        Values that each latent takes.

    decoded : array-like of shape (n_latents, n_points, n_features)
        Rows decoded there, in their units.

    spread : array-like of shape (n_features,)
        What a change of each column is measured by: its standard deviation.

    components : sequence of int or None, default=None
        Which latents these are; None counts from 0.

    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of a row; None is for tables.

    feature_names : sequence of str or None, default=None
        Names of a table's features; None names them x0, x1 and so on.

    Attributes
    ----------
    lines_ : list of list of matplotlib.lines.Line2D
        The curves of each latent, those that change most first; empty for images.

    image_ : matplotlib.image.AxesImage or None
        The pictures, a row for each latent; None for tables.

    axes_ : ndarray of matplotlib.axes.Axes
        Axes of each latent; of pictures one for all.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    ColumnEffectsDisplay : All columns at once, by their mean change.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.plotting import LatentTraversalDisplay
    >>> X = load_wine(as_frame=True).data
    >>> X = X / X.std()
    >>> ae = AutoencoderTransformer(2, max_iter=0).fit(X)
    >>> display = LatentTraversalDisplay.from_estimator(ae, X, max_columns=3)
    >>> [line.get_label() for line in display.lines_[0]]
    ['flavanoids', 'total_phenols', 'od280/od315_of_diluted_wines']
    """

    lines_: list[list[Any]]
    image_: Any
    axes_: np.ndarray
    figure_: Any

    def __init__(
        self,
        *,
        latents: ArrayLike,
        decoded: ArrayLike,
        spread: ArrayLike,
        components: Sequence[int] | None = None,
        image_shape: Shape = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.latents = latents
        self.decoded = decoded
        self.spread = spread
        self.components = components
        self.image_shape = image_shape
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        components: Sequence[int] | None = None,
        max_columns: int = 5,
        image_shape: Shape = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what an estimator decodes along its latents.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `transform` and `inverse_transform`, such as PCA or a
            Pipeline.

        X : array-like of shape (n_rows, n_features)
            Rows: each latent goes from the 5 % to the 95 % quantile of theirs. Of more
            than 100, so many by chance are decoded.

        components : sequence of int or None, default=None
            Which latents to draw; None draws the first four.

        max_columns : int, default=5
            Of more columns, those that change most along a latent, by their standard
            deviations.

        image_shape : tuple of int or None, default=None
            Shape of a row that is an image; None takes that of the estimator.

        feature_names : sequence of str or None, default=None
            Names of all features; None takes the columns of X or the estimator's
            ``feature_names_in_``.

        ax : matplotlib.axes.Axes, array of them or None, default=None
            Axes to draw on: one per latent, or for images one. None makes a new figure.

        **kwargs : dict
            For images, passed to :meth:`matplotlib.axes.Axes.imshow`; for tables, to
            :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : LatentTraversalDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            Where the estimator cannot decode.
        ValueError
            Where an option does not fit, or rows are not all numbers.
        """
        check_has(estimator, ["transform", "inverse_transform"], cls.__name__)
        Z = np.asarray(estimator.transform(X))
        image_shape = find_image_shape(image_shape, estimator)
        if components is None:
            components = range(min(4, Z.shape[1]))
        components = [int(i) for i in components]
        wrong = [i for i in components if not 0 <= i < Z.shape[1]]
        if wrong or not components:
            raise ValueError(
                f"components must be latents from 0 to {Z.shape[1] - 1}; got "
                f"{wrong or components}."
            )
        others = Z
        if image_shape is not None:
            others = np.median(Z, axis=0, keepdims=True)
        elif len(Z) > _MOST_ROWS:
            others = Z[some_rows(len(Z), _MOST_ROWS)]
        n_points = _N_POINTS if image_shape is None else _N_PICTURES
        first, last = np.quantile(Z[:, components], _ENDS, axis=0)
        latents = np.linspace(first, last, n_points, axis=1)  # (n_latents, n_points)
        decoded = [
            [_mean_row(estimator, others, i, value) for value in values]
            for i, values in zip(components, latents, strict=True)
        ]
        spread = np.nanstd(_numbers(X), axis=0)
        names = find_feature_names(feature_names, X, estimator, len(spread))
        display = cls(
            latents=latents,
            decoded=np.array(decoded),
            spread=spread,
            components=components,
            image_shape=image_shape,
            feature_names=names,
        )
        return display.plot(ax=ax, max_columns=max_columns, **kwargs)

    def plot(self, ax: Any = None, *, max_columns: int = 5, **kwargs: Any) -> Self:
        """Draw the curves, or the pictures.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, array of them or None, default=None
            Axes to draw on: one per latent, or for images one. None makes a new figure.

        max_columns : int, default=5
            As in `from_estimator`.

        **kwargs : dict
            For images, passed to :meth:`matplotlib.axes.Axes.imshow`; for tables, to
            :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : LatentTraversalDisplay
            The display itself.
        """
        check_scalar(max_columns, "max_columns", Integral, min_val=1)
        latents, decoded = np.asarray(self.latents), np.asarray(self.decoded)
        components = range(len(latents)) if self.components is None else self.components
        image_shape = check_image_shape(self.image_shape, decoded.shape[2])
        self.lines_, self.image_ = [], None
        if image_shape is not None:
            self._plot_pictures(ax, decoded, components, image_shape, kwargs)
        else:
            self._plot_curves(ax, latents, decoded, components, max_columns, kwargs)
        self.figure_ = self.axes_[0].figure
        return self

    def _plot_pictures(self, ax, decoded, components, image_shape, kwargs):
        n_latents, n_points, n_features = decoded.shape
        height, width = image_shape[:2]
        figsize = (0.8 * n_points, 0.3 + 0.8 * n_latents * height / width)
        self.axes_ = make_axes(ax, 1, 1, figsize).ravel()
        (panel,) = self.axes_
        gap = gap_between(image_shape)
        rows = decoded.reshape(-1, n_features)
        style = brightness(rows) | kwargs
        self.image_ = draw_mosaic(panel, rows, image_shape, n_points, gap=gap, **style)
        panel.set_xticks([])
        panel.set_yticks(tile_centers(range(n_latents), height, gap), components)
        panel.set_ylabel("latent")
        panel.spines[:].set_visible(False)
        soften_ticks(panel)

    def _plot_curves(self, ax, latents, decoded, components, max_columns, kwargs):
        names = check_feature_names(self.feature_names, decoded.shape[2])
        spread = np.asarray(self.spread)
        spread = np.where(spread > 0, spread, np.inf)  # what is constant stays flat
        n_latents = len(latents)
        self.axes_ = make_axes(
            ax, 1, n_latents, (3.4 * n_latents, 3.2 + 0.2 * max_columns)
        ).ravel()
        parts = zip(self.axes_, latents, decoded, components, strict=True)
        for panel, values, rows, number in parts:
            curves = (rows - rows[len(rows) // 2]) / spread  # (n_points, d)
            strongest = np.argsort(-np.ptp(curves, axis=0), kind="stable")
            lines = []
            for place, column in enumerate(strongest[:max_columns]):
                style = {"color": CLASS_COLORS[place % len(CLASS_COLORS)], "lw": 1.8}
                style["label"] = plain_text(names[column])
                style = styled(style, kwargs, "lines.Line2D")
                lines += panel.plot(values, curves[:, column], **style)
            self.lines_.append(lines)
            panel.set_xlabel(f"latent {number}")
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18)}
            panel.legend(fontsize="small", frameon=False, **below)
            unclutter(panel)
        self.axes_[0].set_ylabel("change, in standard deviations")


def _mean_row(estimator: Any, Z: np.ndarray, i: int, value: float) -> np.ndarray:
    """What is decoded of latents Z (n, k) where the i-th has a value: (d,)."""
    there = Z.copy()
    there[:, i] = value
    return _numbers(estimator.inverse_transform(there)).mean(axis=0)


def _numbers(rows: Any) -> np.ndarray:
    rows = rows.toarray() if issparse(rows) else rows
    try:
        return np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "LatentTraversalDisplay draws columns of numbers, and these rows hold "
            "others as well: ColumnEffectsDisplay draws the levels of categories too."
        ) from error
