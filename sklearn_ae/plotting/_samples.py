"""Display of new rows, beside real ones."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state, check_scalar

from .._utils.types import RandomState, Shape
from ._drawing import (
    BLUE,
    ORANGE,
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
    make_axes,
    numbers_in,
    plain_text,
    split_pipeline,
    styled,
    unclutter,
)


class SamplesDisplay:
    """New rows drawn by an estimator, beside real ones.

    Images make a mosaic. For tables there is a scatter of every two features, with
    their histograms on the diagonal; features are columns of numbers or truth values.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    samples : array-like of shape (n_samples, n_features)
        The new rows.

    X : array-like of shape (n_rows, n_features) or None, default=None
        Real rows.

    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of a row; None is for tables.

    features : list of str or int, or None, default=None
        The features of a table to draw, by name or number; None draws the first four.

    feature_names : sequence of str or None, default=None
        Names of a table's features; None names them x0, x1 and so on.

    Attributes
    ----------
    images_ : list of matplotlib.image.AxesImage
        The mosaics: of real rows, where there are any, and of samples; empty for
        tables.

    scatters_ : dict of str to list of matplotlib.collections.PathCollection
        The points of "real rows", where there are any, and of "samples", pair by pair;
        empty for images.

    axes_ : ndarray of matplotlib.axes.Axes
        Axes with the mosaics, of shape (n_mosaics,), or one for each two features, of
        shape (n_drawn, n_drawn), those above the diagonal empty.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    LatentMapDisplay : A whole latent plane, decoded.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import VAETransformer
    >>> from sklearn_ae.plotting import SamplesDisplay
    >>> X = load_iris(as_frame=True).data
    >>> vae = VAETransformer(2, early_stopping=False).fit(X)
    >>> display = SamplesDisplay.from_estimator(vae, X, features=[0, 1, 2])
    >>> display.axes_.shape
    (3, 3)
    """

    images_: list[Any]
    scatters_: dict[str, list[Any]]
    axes_: np.ndarray
    figure_: Any

    def __init__(
        self,
        *,
        samples: ArrayLike,
        X: Any = None,
        image_shape: Shape = None,
        features: Sequence[str | int] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        self.samples = samples
        self.X = X
        self.image_shape = image_shape
        self.features = features
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        n_samples: int | None = None,
        random_state: RandomState = None,
        image_shape: Shape = None,
        features: Sequence[str | int] | None = None,
        feature_names: Sequence[str] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw new rows from the estimator, and show them.

        Parameters
        ----------
        estimator : object
            Fitted estimator with ``sample(n_samples, random_state)``, or a Pipeline
            that ends in one and can be inverted.

        X : array-like of shape (n_rows, n_features) or None, default=None
            Real rows to compare with: as many as there are samples, at most, chosen at
            random.

        n_samples : int or None, default=None
            Number of new rows; None takes 100 images, or as many rows of a
            table as X has, at most 500.

        random_state : int, RandomState instance or None, default=None
            Seed of the samples; None takes the estimator's own ``random_state``.

        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels), where rows are images; None
            takes the estimator's ``image_shape``, if it has one.

        features : list of str or int, or None, default=None
            The features of a table to draw, by name or number; None draws the first
            four.

        feature_names : sequence of str or None, default=None
            Names of all features; None takes the columns of X or the estimator's
            ``feature_names_in_``.

        ax : matplotlib.axes.Axes, array of them or None, default=None
            Axes to draw on: one per mosaic, or one for each two features (the empty
            ones included). None makes a new figure.

        **kwargs : dict
            For images, passed to :meth:`matplotlib.axes.Axes.imshow`; for tables, to
            :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : SamplesDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            Where the estimator has no `sample`.
        ValueError
            Where an option does not fit.
        """
        before, model = split_pipeline(estimator)
        check_has(model, ["sample"], cls.__name__)

        image_shape = find_image_shape(image_shape, estimator, features)
        if n_samples is None:
            if image_shape is not None:
                n_samples = 100
            else:
                n_samples = 500 if X is None else min(500, len(X))
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        samples = model.sample(n_samples=n_samples, random_state=random_state)
        if before is not None:
            samples = before.inverse_transform(samples)
        samples = numbers_in(samples)
        n_features = samples.shape[1]
        names = find_feature_names(feature_names, X, estimator, n_features)
        if X is not None:
            X = numbers_in(X)
            if len(X) > n_samples:
                rng = check_random_state(0 if random_state is None else random_state)
                X = X[rng.choice(len(X), n_samples, replace=False)]
        display = cls(
            samples=samples,
            X=X,
            image_shape=image_shape,
            features=features,
            feature_names=names,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the samples.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, array of them or None, default=None
            Axes to draw on: one per mosaic, or one for each two features (the empty
            ones included). None makes a new figure.

        **kwargs : dict
            For images, passed to :meth:`matplotlib.axes.Axes.imshow`; for tables, to
            :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : SamplesDisplay
            The display itself.

        Raises
        ------
        ValueError
            Where samples and real rows differ in their features, or an option does not
            fit them.
        """
        rows = {} if self.X is None else {"real rows": numbers_in(self.X)}
        rows["samples"] = numbers_in(self.samples)
        widths = {kind: values.shape[1:] for kind, values in rows.items()}
        if len(set(widths.values())) > 1 or rows["samples"].ndim != 2:
            raise ValueError(
                "Samples and real rows must have the same features; got shapes "
                + " and ".join(str(values.shape) for values in rows.values())
            )
        (n_features,) = widths["samples"]
        image_shape = check_image_shape(self.image_shape, n_features)
        self.images_, self.scatters_ = [], {}
        if image_shape is not None:
            self._plot_images(ax, rows, image_shape, kwargs)
        else:
            names = check_feature_names(self.feature_names, n_features)
            holds_numbers = holding_numbers(*rows.values())
            drawn = find_features(self.features, names, 4, holds_numbers)
            self._plot_pairs(ax, rows, drawn, names, kwargs)
        self.figure_ = self.axes_.flat[0].figure
        return self

    def _plot_images(self, ax, rows, image_shape, kwargs):
        height, width = image_shape[:2]
        self.axes_ = make_axes(ax, 1, len(rows), (5.2 * len(rows), 5.2)).ravel()
        reference = rows.get("real rows", rows["samples"])
        style = brightness(reference)
        if self.X is not None:
            style |= {"vmin": reference.min(), "vmax": reference.max()}
        for panel, (kind, values) in zip(self.axes_, rows.items(), strict=True):
            n_columns = int(np.ceil(np.sqrt(len(values) * height / width)))
            image = draw_mosaic(
                panel,
                values,
                image_shape,
                n_columns,
                gap=gap_between(image_shape),
                highest=reference.max(),
                **(style | kwargs),
            )
            self.images_.append(image)
            panel.set_axis_off()
            if len(rows) > 1:
                panel.set_title(kind)

    def _plot_pairs(self, ax, rows, drawn, names, kwargs):
        k = len(drawn)
        self.axes_ = axes = make_axes(ax, k, k, (1.0 + 2.0 * k, 0.8 + 1.9 * k))
        colors = {"real rows": BLUE, "samples": ORANGE}
        self.scatters_ = {kind: [] for kind in rows}
        for panel in axes[np.triu_indices(k, 1)]:
            panel.set_axis_off()
        for i, second in enumerate(drawn):
            for j, first in enumerate(drawn[:i]):
                for kind, values in rows.items():
                    looks = {"s": 10, "alpha": 0.5, "lw": 0, "color": colors[kind]}
                    style = styled(looks, kwargs, "collections.PathCollection")
                    points = axes[i, j].scatter(
                        values[:, first], values[:, second], **style
                    )
                    self.scatters_[kind].append(points)
            columns = {kind: values[:, second] for kind, values in rows.items()}
            known = {kind: cells[~np.isnan(cells)] for kind, cells in columns.items()}
            together = np.concatenate(list(known.values()))
            bins = np.histogram_bin_edges(together, bins=25)
            for kind, cells in known.items():
                axes[i, i].hist(
                    cells,
                    bins,
                    density=True,
                    color=colors[kind],
                    alpha=0.5,
                    label=kind,
                )
            axes[i, i].set_yticks([])
            axes[i, i].spines["left"].set_visible(False)
            if i:
                axes[i, 0].set_ylabel(plain_text(names[second]), fontsize="small")
            axes[k - 1, i].set_xlabel(plain_text(names[second]), fontsize="small")
            for j, panel in enumerate(axes[i, : i + 1]):
                unclutter(panel)
                panel.locator_params(nbins=4)
                panel.tick_params(labelleft=j == 0, labelbottom=i == k - 1)
        if len(rows) > 1:
            handles, labels = axes[0, 0].get_legend_handles_labels()
            axes[0, -1].legend(handles, labels, loc="upper right", frameon=False)
