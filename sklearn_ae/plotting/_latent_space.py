"""Display of the latent space: where rows lie in it."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_consistent_length

from ._drawing import (
    CLASS_COLORS,
    GREY,
    Labels,
    check_has,
    import_matplotlib,
    make_axes,
    plain_text,
    styled,
    unclutter,
)

# Points beyond which they hide each other: how dense they lie is drawn instead.
_MOST_POINTS = 20_000
# Pixels along the longer side, and parts of it in which a class may be densest.
_N_PIXELS, _N_PARTS = 400, 25


class LatentSpaceDisplay:
    """Scatter of rows in two of their latents, coloured by label.

    More than 20,000 rows are shaded by how dense they lie, in the mean colour of what
    lies in a place, and each class has its name where most of it is. Whoever gives a
    style of points gets points.

    It is recommended to use `from_estimator`. The constructor takes latents from
    anywhere, such as those of t-SNE.

    Parameters
    ----------
    latents : array-like of shape (n_samples, n_components)
        Latents of the rows, at least two of each.

    y : array-like of shape (n_samples,) or None, default=None
        What colours the points: classes (strings, booleans, categories, or whole
        numbers with at most 20 different values) or a quantity (all other numbers).
        Of more than 20 classes the 19 most frequent have a colour of their own.
        Missing labels are grey.

    components : tuple of two int, default=(0, 1)
        The latents along the two axes, counted from 0.

    y_name : str or None, default=None
        What y is called: the title of the legend or the label of the colour bar; None
        takes the name of a pandas Series.

    Attributes
    ----------
    scatter_ : matplotlib.collections.PathCollection or None
        The points; None where they are shaded.

    image_ : matplotlib.image.AxesImage or None
        The shading; None where there are points.

    texts_ : list of matplotlib.text.Text
        Names of the classes, on a shading.

    legend_ : matplotlib.legend.Legend or None
        The classes' names; None without classes.

    colorbar_ : matplotlib.colorbar.Colorbar or None
        The scale of a quantity; None without one.

    ax_ : matplotlib.axes.Axes
        Axes with the points.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    LatentMapDisplay : What the points of a latent space of two dimensions stand for.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.plotting import LatentSpaceDisplay
    >>> iris = load_iris()
    >>> ae = AutoencoderTransformer(2).fit(iris.data)
    >>> display = LatentSpaceDisplay.from_estimator(
    ...     ae, iris.data, iris.target_names[iris.target]
    ... )
    >>> display.ax_.get_xlabel()
    'latent 1'
    """

    scatter_: Any
    image_: Any
    texts_: list[Any]
    legend_: Any
    colorbar_: Any
    ax_: Any
    figure_: Any

    def __init__(
        self,
        *,
        latents: ArrayLike,
        y: Any = None,
        components: tuple[int, int] = (0, 1),
        y_name: str | None = None,
    ) -> None:
        self.latents = latents
        self.y = y
        self.components = components
        self.y_name = y_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        components: tuple[int, int] = (0, 1),
        y_name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Encode the rows of X and draw their latents.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `transform`: of this package, a Pipeline, PCA...

        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        y : array-like of shape (n_samples,) or None, default=None
            Classes or a quantity; see the class.

        components : tuple of two int, default=(0, 1)
            The latents along the two axes, counted from 0.

        y_name : str or None, default=None
            What y is called; None takes the name of a pandas Series.

        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.scatter`, which then draws points
            however many there are.

        Returns
        -------
        display : LatentSpaceDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            Where the estimator has no `transform`.
        ValueError
            Where it has a single latent, which spans no plane, or not the components
            asked for; where X and y differ in length.
        """
        check_has(estimator, ["transform"], cls.__name__)
        latents = np.asarray(estimator.transform(X))
        display = cls(latents=latents, y=y, components=components, y_name=y_name)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the points, or how dense they lie.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.scatter`, which then draws points
            however many there are.

        Returns
        -------
        display : LatentSpaceDisplay
            The display itself.

        Raises
        ------
        ValueError
            As `from_estimator`.
        """
        Z = np.asarray(self.latents)
        first, second = self._check_components(Z)
        labels = None
        if self.y is not None:
            check_consistent_length(Z, self.y)
            labels = Labels(self.y)
        name = self.y_name
        if name is None and getattr(self.y, "name", None) is not None:
            name = str(self.y.name)

        ax = make_axes(ax, 1, 1, (6.4, 5.2))[0, 0]
        self.ax_, self.figure_ = ax, ax.figure
        self.scatter_ = self.image_ = self.legend_ = self.colorbar_ = None
        self.texts_ = []
        places = Z[:, [first, second]]
        is_long = len(Z) > _MOST_POINTS and bool(np.isfinite(places).all())
        if is_long and not kwargs:
            colored = self.image_ = _draw_density(ax, places, labels)
            if labels is not None and labels.values is None:
                self.texts_ = _name_classes(ax, places, labels)
        else:
            colored = self.scatter_ = _draw_points(ax, places, labels, kwargs)
        if labels is not None and labels.values is None:
            self.legend_ = labels.draw_legend(ax, name)
        elif labels is not None and colored.get_array() is not None:
            self.colorbar_ = self.figure_.colorbar(
                colored, ax=ax, shrink=0.8, label=plain_text(name or "")
            )
            self.colorbar_.solids.set_alpha(1.0)
        ax.set_xlabel(f"latent {first + 1}")
        ax.set_ylabel(f"latent {second + 1}")
        # One unit is as long along both axes, and the axes keep their size.
        ax.set_aspect("equal", adjustable="datalim")
        ax.locator_params(nbins=5)
        unclutter(ax)
        return self

    def _check_components(self, Z):
        if Z.ndim != 2 or Z.shape[1] < 2:
            raise ValueError(
                "LatentSpaceDisplay draws two latents against each other; got latents "
                f"of shape {Z.shape}. Fit with n_components=2 or more; a single latent "
                "is better drawn as a histogram."
            )
        n_components = Z.shape[1]
        components = tuple(self.components)
        if len(components) != 2 or not all(0 <= c < n_components for c in components):
            raise ValueError(
                "components must be two numbers of latents from 0 to "
                f"{n_components - 1}; got {self.components!r}."
            )
        return components


def _viridis() -> Any:
    viridis = import_matplotlib("matplotlib").colormaps["viridis"]
    return viridis.with_extremes(bad=GREY)


def _draw_points(ax: Any, Z: NDArray[Any], labels: Labels | None, kwargs: Any) -> Any:
    style: dict[str, Any] = {
        "s": float(np.clip(15_000 / max(1, len(Z)), 3, 30)),
        "alpha": 0.8,
        "linewidths": 0,
    }
    if labels is not None and labels.values is None:
        style["c"] = labels.colors
    elif labels is not None:
        style |= {"c": labels.values, "cmap": _viridis(), "plotnonfinite": True}
    style = styled(style, kwargs, "collections.PathCollection")
    return ax.scatter(Z[:, 0], Z[:, 1], **style)


def _draw_density(ax: Any, Z: NDArray[Any], labels: Labels | None) -> Any:
    """Draw pixels, opaque where many rows lie, in the mean colour of these."""
    low, size = Z.min(axis=0), np.ptp(Z, axis=0).max() / _N_PIXELS or 1.0
    columns, lines = np.floor((Z - low) / size).astype(int).T
    shape = lines.max() + 1, columns.max() + 1
    pixels = lines * shape[1] + columns

    def total(weights: NDArray[Any] | None = None) -> NDArray[Any]:
        return np.bincount(pixels, weights, minlength=shape[0] * shape[1])

    counts = total()
    is_any = counts > 0
    dense = np.quantile(counts[is_any], 0.99)
    opacity = np.where(is_any, 0.15 + 0.85 * np.log1p(counts) / np.log1p(dense), 0.0)
    opacity = opacity.clip(max=1.0).reshape(shape)
    if labels is not None and labels.values is not None:
        is_known = np.isfinite(labels.values)
        values = total(np.where(is_known, labels.values, 0.0))
        n_known = total(is_known.astype(float))
        missing = np.full(len(counts), np.nan)
        picture = np.divide(values, n_known, out=missing, where=n_known > 0)
        style = {"cmap": _viridis(), "alpha": opacity}
    else:
        colors = import_matplotlib("matplotlib.colors")
        names = ["C0"] * len(Z) if labels is None else labels.colors
        of_name = {name: colors.to_rgb(name) for name in set(names)}
        rows = np.array([of_name[name] for name in names])  # (n, 3)
        totals = np.stack([total(channel) for channel in rows.T], axis=1)
        picture = np.c_[totals / counts.clip(min=1)[:, None], opacity.ravel()]
        style = {}
    (left, bottom), (height, width) = low, shape
    return ax.imshow(
        picture.reshape(*shape, *picture.shape[1:]),
        origin="lower",
        extent=(left, left + width * size, bottom, bottom + height * size),
        interpolation="nearest",
        **style,
    )


def _name_classes(ax: Any, Z: NDArray[Any], labels: Labels) -> list[Any]:
    """Write the name of each class where most of its rows lie."""
    effects = import_matplotlib("matplotlib.patheffects")
    size = np.ptp(Z, axis=0).max() / _N_PARTS or 1.0
    texts = []
    for code, (name, color) in enumerate(zip(labels.names, CLASS_COLORS, strict=False)):
        rows = Z[labels.codes == code]
        _, part, counts = np.unique(
            np.floor(rows / size), axis=0, return_inverse=True, return_counts=True
        )
        x, y = rows[part.ravel() == counts.argmax()].mean(axis=0)
        text = ax.text(
            *(x, y, plain_text(name)),
            color=color,
            weight="bold",
            ha="center",
            va="center",
        )
        text.set_path_effects([effects.withStroke(linewidth=3, foreground="white")])
        texts.append(text)
    return texts
