"""Display of the latent space: where rows lie in it."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_consistent_length

from ._drawing import (
    GREY,
    Labels,
    check_has,
    import_matplotlib,
    make_axes,
    plain_text,
    styled,
    unclutter,
)


class LatentSpaceDisplay:
    """Scatter of rows in two of their latents, coloured by label.

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
    scatter_ : matplotlib.collections.PathCollection
        The points.

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
            Passed to :meth:`matplotlib.axes.Axes.scatter`.

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
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.scatter`.

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
        style: dict[str, Any] = {
            "s": float(np.clip(15_000 / max(1, len(Z)), 3, 30)),
            "alpha": 0.8,
            "linewidths": 0,
        }
        labels = None
        if self.y is not None:
            check_consistent_length(Z, self.y)
            labels = Labels(self.y)
            if labels.values is None:
                style["c"] = labels.colors
            else:
                viridis = import_matplotlib("matplotlib").colormaps["viridis"]
                style |= {
                    "c": labels.values,
                    "cmap": viridis.with_extremes(bad=GREY),
                    "plotnonfinite": True,
                }
        name = self.y_name
        if name is None and getattr(self.y, "name", None) is not None:
            name = str(self.y.name)

        ax = make_axes(ax, 1, 1, (6.4, 5.2))[0, 0]
        self.ax_, self.figure_ = ax, ax.figure
        style = styled(style, kwargs, "collections.PathCollection")
        self.scatter_ = ax.scatter(Z[:, first], Z[:, second], **style)
        self.legend_ = self.colorbar_ = None
        if labels is not None and labels.values is None:
            self.legend_ = labels.draw_legend(ax, name)
        elif labels is not None and self.scatter_.get_array() is not None:
            self.colorbar_ = self.figure_.colorbar(
                self.scatter_, ax=ax, shrink=0.8, label=plain_text(name or "")
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
