"""Display of what latents explain: the curve that says how many to take."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ._drawing import (
    BLUE,
    ORANGE,
    check_has,
    last_step,
    make_axes,
    styled,
    unclutter,
)


class ExplainedVarianceDisplay:
    """Share of the variance that the first latents explain, by their number.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    explained_variance_ratio : array-like of shape (n_components,)
        Share of the variance that each latent adds.

    linear_explained_variance_ratio : array-like of shape (n_components,), default=None
        The same of principal components, to draw beside it.

    Attributes
    ----------
    lines_ : list of matplotlib.lines.Line2D
        The curves: latents and, where they are known, principal components.

    ax_ : matplotlib.axes.Axes
        Axes with the curves.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    ColumnEffectsDisplay : What each of the latents does.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.plotting import ExplainedVarianceDisplay
    >>> ae = AutoencoderTransformer(4, max_iter=0).fit(load_wine().data)
    >>> display = ExplainedVarianceDisplay.from_estimator(ae)
    >>> [line.get_label() for line in display.lines_]
    ['latents', 'principal components']
    """

    lines_: list[Any]
    ax_: Any
    figure_: Any

    def __init__(
        self,
        *,
        explained_variance_ratio: ArrayLike,
        linear_explained_variance_ratio: ArrayLike | None = None,
    ) -> None:
        self.explained_variance_ratio = explained_variance_ratio
        self.linear_explained_variance_ratio = linear_explained_variance_ratio

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw what the latents of an estimator explain.

        Parameters
        ----------
        estimator : object
            Fitted estimator with ``explained_variance_ratio_``: of this package, PCA,
            or a Pipeline that ends in one. Those of this package also know the
            principal components of the rows that they were fitted to.

        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for both curves.

        Returns
        -------
        display : ExplainedVarianceDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            Where the estimator has no ``explained_variance_ratio_``.
        """
        model = last_step(estimator)
        check_has(model, ["explained_variance_ratio_"], cls.__name__)
        explained = getattr(model, "_explained", None)
        display = cls(
            explained_variance_ratio=model.explained_variance_ratio_,
            linear_explained_variance_ratio=(
                None if explained is None else explained.linear_ratios
            ),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for both curves.

        Returns
        -------
        display : ExplainedVarianceDisplay
            The display itself.
        """
        curves = {"latents": (self.explained_variance_ratio, BLUE)}
        if self.linear_explained_variance_ratio is not None:
            linear = self.linear_explained_variance_ratio
            curves["principal components"] = (linear, ORANGE)
        ax = make_axes(ax, 1, 1, (6.4, 4.0))[0, 0]
        self.ax_, self.figure_, self.lines_ = ax, ax.figure, []
        for name, (ratios, color) in curves.items():
            shares = np.cumsum(np.asarray(ratios, dtype=float))
            style = {"color": color, "label": name, "lw": 1.8, "marker": "o"}
            style = styled(style, kwargs, "lines.Line2D")
            self.lines_ += ax.plot(np.arange(1, len(shares) + 1), shares, **style)
        ax.set(xlabel="number of latents", ylabel="explained share of the variance")
        ax.set_ylim(top=1.02)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(frameon=False, loc="lower right")
        unclutter(ax)
        return self
