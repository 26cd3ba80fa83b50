"""Display of a latent plane: what its points stand for."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from .._estimators.vae import VAETransformer
from .._utils.types import Shape
from ._drawing import (
    brightness,
    check_feature_names,
    check_has,
    check_image_shape,
    draw_mosaic,
    find_feature_names,
    find_features,
    find_image_shape,
    gap_between,
    holding_numbers,
    last_step,
    make_axes,
    numbers_in,
    plain_text,
    soften_ticks,
    tile_centers,
)


class LatentMapDisplay:
    """What the points of a latent plane stand for: a grid of them, decoded.

    Rows that are images make a mosaic, with the image of each point in its place. For
    tables there is a panel per feature, coloured by its value at each point; features
    are columns of numbers or truth values.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    x : array-like of shape (n_columns,)
        Values of the first latent, from left to right.

    y : array-like of shape (n_lines,)
        Values of the second latent, from bottom to top.

    decoded : array-like of shape (n_lines, n_columns, n_features)
        The decoded rows: ``decoded[i, j]`` is that of latents ``(x[j], y[i])``.

    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of a row; None is for tables.

    features : list of str or int, or None, default=None
        The features of a table to draw, by name or number; None draws the first nine.

    feature_names : sequence of str or None, default=None
        Titles of the panels; None names the features x0, x1 and so on.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage or None
        The mosaic; None for tables.

    surfaces_ : list of matplotlib.contour.QuadContourSet
        The coloured planes, one per feature drawn; empty for images.

    colorbars_ : list of matplotlib.colorbar.Colorbar
        Their scales.

    axes_ : ndarray of matplotlib.axes.Axes of shape (n_panels,)
        Axes with the mosaic, or one per feature drawn.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    LatentSpaceDisplay : Where given rows lie in the latent space.
    SamplesDisplay : New rows, from latents drawn at random.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import VAETransformer
    >>> from sklearn_ae.plotting import LatentMapDisplay
    >>> iris = load_iris(as_frame=True)
    >>> vae = VAETransformer(2, early_stopping=False).fit(iris.data)
    >>> display = LatentMapDisplay.from_estimator(vae)
    >>> display.axes_[0].get_title()
    'sepal length (cm)'
    """

    image_: Any
    surfaces_: list[Any]
    colorbars_: list[Any]
    axes_: np.ndarray
    figure_: Any

    def __init__(
        self,
        *,
        x: ArrayLike,
        y: ArrayLike,
        decoded: ArrayLike,
        image_shape: Shape = None,
        features: Sequence[str | int] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.x = x
        self.y = y
        self.decoded = decoded
        self.image_shape = image_shape
        self.features = features
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        grid_resolution: int | None = None,
        quantiles: tuple[float, float] = (0.02, 0.98),
        image_shape: Shape = None,
        features: Sequence[str | int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Decode a grid of latents and draw it.

        For a `VAETransformer` the grid's lines are quantiles of the prior N(0, 1), so
        that each point stands for an equal share of what the model would draw. For all
        others they are equally far apart, over the range of the latents of X.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `inverse_transform` and two latents: of this package,
            a Pipeline, PCA...

        X : array-like of shape (n_samples, n_features) or None, default=None
            Rows, such as the training rows, whose latents give the range. Not needed
            for a `VAETransformer`.

        grid_resolution : int or None, default=None
            Points along each axis, at least 2; None takes 15 for images and 40 for
            tables.

        quantiles : tuple of two float, default=(0.02, 0.98)
            Where the grid begins and ends: quantiles of the prior or of the latents of
            X.

        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels), where rows are images; None
            takes the estimator's ``image_shape``, if it has one.

        features : list of str or int, or None, default=None
            The features of a table to draw, by name or number; None draws the first
            nine.

        feature_names : sequence of str or None, default=None
            Names of all features; None takes the columns of X or the estimator's
            ``feature_names_in_``.

        ax : matplotlib.axes.Axes, array of them or None, default=None
            Axes to draw on, one per panel; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.imshow` for images, and to
            :meth:`matplotlib.axes.Axes.contourf` for tables.

        Returns
        -------
        display : LatentMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            Where the estimator has no `inverse_transform`.
        ValueError
            Where the latent space is not of two dimensions; where X is missing; where
            an option does not fit.
        """
        check_has(estimator, ["inverse_transform"], cls.__name__)
        image_shape = find_image_shape(image_shape, estimator, features)
        if grid_resolution is None:
            grid_resolution = 40 if image_shape is None else 15
        low, high = quantiles
        if not 0.0 <= low < high <= 1.0 or grid_resolution < 2:
            raise ValueError(
                "quantiles must rise between 0 and 1, and grid_resolution be at least "
                f"2; got {quantiles!r} and {grid_resolution!r}."
            )
        model = last_step(estimator)
        if isinstance(model, VAETransformer):
            check_is_fitted(model)
            _check_plane(model.n_components_, model)
            if low == 0.0 or high == 1.0:
                raise ValueError(
                    "The prior of a VAETransformer has no end: quantiles must lie "
                    f"between 0 and 1, without these; got {quantiles!r}."
                )
            x = y = norm.ppf(np.linspace(low, high, grid_resolution))
        elif X is None:
            raise ValueError(
                f"X is needed: the latents of {type(model).__name__} have no prior, "
                "and those of X give the range of the map."
            )
        else:
            check_has(estimator, ["transform"], cls.__name__)
            Z = np.asarray(estimator.transform(X))
            _check_plane(Z.shape[1], model)
            start, end = np.quantile(Z, quantiles, axis=0)
            x, y = np.linspace(start, end, grid_resolution).T
        points = np.stack(np.meshgrid(x, y), axis=-1)  # (n_lines, n_columns, 2)
        rows = numbers_in(estimator.inverse_transform(points.reshape(-1, 2)))
        n_features = rows.shape[1]
        display = cls(
            x=x,
            y=y,
            decoded=rows.reshape(*points.shape[:2], n_features),
            image_shape=image_shape,
            features=features,
            feature_names=find_feature_names(feature_names, X, estimator, n_features),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, array of them or None, default=None
            Axes to draw on, one per panel; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.imshow` for images, and to
            :meth:`matplotlib.axes.Axes.contourf` for tables.

        Returns
        -------
        display : LatentMapDisplay
            The display itself.

        Raises
        ------
        ValueError
            Where an option does not fit the decoded rows.
        """
        x, y, decoded = (np.asarray(a) for a in (self.x, self.y, self.decoded))
        if decoded.ndim != 3 or decoded.shape[:2] != (len(y), len(x)):
            raise ValueError(
                f"decoded must have shape ({len(y)}, {len(x)}, n_features), as y and x "
                f"say; got {decoded.shape}."
            )
        image_shape = check_image_shape(self.image_shape, decoded.shape[2])
        self.image_, self.surfaces_, self.colorbars_ = None, [], []
        if image_shape is not None:
            self._plot_images(ax, x, y, decoded, image_shape, kwargs)
        else:
            self._plot_features(ax, x, y, decoded, kwargs)
        self.figure_ = self.axes_[0].figure
        return self

    def _plot_images(self, ax, x, y, decoded, image_shape, kwargs):
        self.axes_ = make_axes(ax, 1, 1, (6.4, 6.4)).ravel()
        (ax,) = self.axes_
        rows = decoded[::-1].reshape(-1, decoded.shape[2])  # the highest y on top
        height, width = image_shape[:2]
        gap = gap_between(image_shape)
        style = brightness(decoded) | kwargs
        self.image_ = draw_mosaic(ax, rows, image_shape, len(x), gap=gap, **style)
        ax.set_facecolor(self.image_.cmap(0.0))  # between the images
        columns, lines = _ticks(len(x)), _ticks(len(y))
        ax.set_xticks(tile_centers(columns, width, gap), _rounded(x[columns]))
        from_top = len(y) - 1 - lines
        ax.set_yticks(tile_centers(from_top, height, gap), _rounded(y[lines]))
        ax.set(xlabel="latent 1", ylabel="latent 2")
        soften_ticks(ax)

    def _plot_features(self, ax, x, y, decoded, kwargs):
        names = check_feature_names(self.feature_names, decoded.shape[2])
        drawn = find_features(self.features, names, 9, holding_numbers(decoded))
        n_columns = min(len(drawn), 2 if len(drawn) in (2, 4) else 3)
        n_lines = -(-len(drawn) // n_columns)
        if ax is None:
            size = (0.4 + 3.1 * n_columns, 0.4 + 2.5 * n_lines)
            axes = make_axes(
                None, n_lines, n_columns, size, sharex=True, sharey=True
            ).ravel()
            for unused in axes[len(drawn) :]:
                unused.remove()
            self.axes_ = axes[: len(drawn)]
            self.axes_[0].figure.supxlabel("latent 1", fontsize="medium")
            self.axes_[0].figure.supylabel("latent 2", fontsize="medium")
            for above in self.axes_[-n_columns:]:
                above.tick_params(labelbottom=True)
        else:
            self.axes_ = make_axes(ax, 1, len(drawn), (0, 0)).ravel()
            for given in self.axes_:
                given.set(xlabel="latent 1", ylabel="latent 2")
        style = {"cmap": "viridis", "levels": 12} | kwargs
        for panel, feature in zip(self.axes_, drawn, strict=True):
            surface = panel.contourf(x, y, decoded[:, :, feature], **style)
            self.surfaces_.append(surface)
            bar = panel.figure.colorbar(surface, ax=panel)
            bar.ax.tick_params(labelsize="small")
            self.colorbars_.append(bar)
            panel.set_title(plain_text(names[feature]), fontsize="medium")
            panel.locator_params(nbins=5)
            soften_ticks(panel)


def _check_plane(n_components, model):
    if n_components != 2:
        raise ValueError(
            "LatentMapDisplay draws a latent space of two dimensions, and that of this "
            f"{type(model).__name__} has {n_components}. Fit with n_components=2; for "
            "pairs of more latents there is LatentSpaceDisplay."
        )


def _ticks(n_tiles):
    """Places of five tiles or fewer, equally far apart where that is possible."""
    n_ticks = next((n for n in (5, 4, 3) if (n_tiles - 1) % (n - 1) == 0), 4)
    return np.unique(np.linspace(0, n_tiles - 1, n_ticks).round().astype(int))


def _rounded(values):
    """Tick labels with two digits of what lies between two ticks."""
    digits = max(0, 1 - int(np.floor(np.log10(np.ptp(values) / 4 or 1.0))))
    labels = [f"{round(value, digits) + 0.0:.{digits}f}" for value in values]
    return [label.replace("-", "\N{MINUS SIGN}") for label in labels]
