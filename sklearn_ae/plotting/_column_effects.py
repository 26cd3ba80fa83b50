"""Display of what latents do to columns: a heat map with names."""

from typing import Any, Self

import numpy as np

from ._drawing import check_has, last_step, make_axes, plain_text, soften_ticks


class ColumnEffectsDisplay:
    """Which columns change along each latent, and in which direction.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    effects, shares : DataFrame of shape (n_components, n_columns)
        As `column_effects` returns them.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        The heat map, a row for each column of the table and a column for each latent.
        A colour is the root of the latent's share in the changes of the column, with
        the sign of the mean change: columns of any units can be compared.

    ax_ : matplotlib.axes.Axes
        Axes with the heat map.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    ExplainedVarianceDisplay : How many latents there should be.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.plotting import ColumnEffectsDisplay
    >>> X = load_wine(as_frame=True).data
    >>> ae = AutoencoderTransformer(2, max_iter=0).fit(X / X.std())
    >>> display = ColumnEffectsDisplay.from_estimator(ae, max_columns=5)
    >>> display.image_.get_array().shape
    (5, 2)
    """

    image_: Any
    ax_: Any
    figure_: Any

    def __init__(self, *, effects: Any, shares: Any) -> None:
        self.effects = effects
        self.shares = shares

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        max_columns: int = 30,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what the latents of an estimator do.

        Parameters
        ----------
        estimator : object
            Fitted estimator of this package with `column_effects`, or a Pipeline that
            ends in one.

        X : array-like of shape (n_samples, n_features), default=None
            Rows at which the decoder is looked at, as the last step takes them; None
            takes some of the training rows.

        max_columns : int, default=30
            Of more columns, those with the largest effects in units of what latents
            change in all.

        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : ColumnEffectsDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            Where the estimator has no `column_effects`.
        """
        model = last_step(estimator)
        check_has(model, ["column_effects"], cls.__name__)
        tables = model.column_effects(X)
        display = cls(effects=tables.effects, shares=tables.shares)
        return display.plot(ax=ax, max_columns=max_columns, **kwargs)

    def plot(self, ax: Any = None, *, max_columns: int = 30, **kwargs: Any) -> Self:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        max_columns : int, default=30
            As in `from_estimator`.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : ColumnEffectsDisplay
            The display itself.
        """
        effects, shares = self.effects.to_numpy(), self.shares.to_numpy()
        size = np.abs(effects).max(axis=0)  # (d,)
        chosen = np.sort(np.argsort(-size, kind="stable")[:max_columns])
        signed = (np.sign(effects) * np.sqrt(shares))[:, chosen].T  # (d, k)
        n_columns, n_latents = signed.shape
        figsize = (2.6 + 0.5 * n_latents, 1.2 + 0.24 * n_columns)
        ax = make_axes(ax, 1, 1, figsize)[0, 0]
        self.ax_, self.figure_ = ax, ax.figure
        style = {"cmap": "RdBu_r", "vmin": -1.0, "vmax": 1.0, "aspect": "auto"}
        self.image_ = ax.imshow(signed, **(style | kwargs))
        names = [plain_text(name) for name in self.effects.columns[chosen]]
        ax.set_yticks(np.arange(n_columns), names)
        ax.set_xticks(np.arange(n_latents), np.arange(n_latents))
        ax.set_xlabel("latent")
        soften_ticks(ax)
        bar = self.figure_.colorbar(self.image_, ax=ax)
        bar.set_label("signed root of the share of changes")
        soften_ticks(bar.ax)
        return self
