"""Display of a training: the losses by epoch."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ._drawing import (
    BLUE,
    ORANGE,
    import_matplotlib,
    last_step,
    make_axes,
    styled,
    unclutter,
)


class TrainingCurveDisplay:
    """Losses on the training and the held-out rows, epoch by epoch.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        Mean training loss of each epoch.

    validation_loss_curve : array-like of shape (n_epochs,) or None, default=None
        Mean loss of the held-out rows after each epoch.

    best_iter : int or None, default=None
        The best epoch, counted from 1; 0 is the state before the first one.

    Attributes
    ----------
    lines_ : list of matplotlib.lines.Line2D
        The curves: training and, where there is one, validation.

    best_line_ : matplotlib.lines.Line2D or None
        The upright line at the best epoch.

    ax_ : matplotlib.axes.Axes
        Axes with the curves.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores by the number of rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.plotting import TrainingCurveDisplay
    >>> ae = AutoencoderTransformer(2).fit(load_iris().data)
    >>> display = TrainingCurveDisplay.from_estimator(ae, log_scale=True)
    >>> [line.get_label() for line in display.lines_]
    ['training', 'validation']
    """

    lines_: list[Any]
    best_line_: Any
    ax_: Any
    figure_: Any

    def __init__(
        self,
        *,
        loss_curve: ArrayLike,
        validation_loss_curve: ArrayLike | None = None,
        best_iter: int | None = None,
    ) -> None:
        self.loss_curve = loss_curve
        self.validation_loss_curve = validation_loss_curve
        self.best_iter = best_iter

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, log_scale: bool = False, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw what the estimator has kept of its training.

        Parameters
        ----------
        estimator : object
            Fitted estimator with ``loss_curve_``: of this package, a Pipeline that ends
            in one, or scikit-learn's MLPs. ``validation_loss_curve_`` and
            ``best_iter_`` are drawn where it has them.

        log_scale : bool, default=False
            Whether the losses are on a logarithmic scale.

        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for both curves.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            Where the estimator has no ``loss_curve_``.
        ValueError
            Where there were no epochs; where a logarithmic scale meets losses that are
            not positive.
        """
        model = last_step(estimator)
        if not hasattr(model, "loss_curve_"):
            raise TypeError(
                f"{cls.__name__} needs a fitted estimator with loss_curve_; "
                f"{type(model).__name__} has none."
            )
        display = cls(
            loss_curve=model.loss_curve_,
            validation_loss_curve=getattr(model, "validation_loss_curve_", None),
            best_iter=getattr(model, "best_iter_", None),
        )
        return display.plot(ax=ax, log_scale=log_scale, **kwargs)

    def plot(self, ax: Any = None, *, log_scale: bool = False, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        log_scale : bool, default=False
            Whether the losses are on a logarithmic scale.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for both curves.

        Returns
        -------
        display : TrainingCurveDisplay
            The display itself.

        Raises
        ------
        ValueError
            As `from_estimator`.
        """
        curves = {"training": np.asarray(self.loss_curve, dtype=float)}
        if self.validation_loss_curve is not None:
            curves["validation"] = np.asarray(self.validation_loss_curve, dtype=float)
        if any(len(curve) == 0 for curve in curves.values()):
            raise ValueError("There were no epochs (max_iter=0): nothing to draw.")
        lowest = min(curve.min() for curve in curves.values())
        if log_scale and lowest <= 0:
            raise ValueError(
                f"log_scale=True needs positive losses, and the lowest is {lowest:g} "
                "(that of a VAETransformer is a negative log-density, and may be "
                "negative): use log_scale=False."
            )
        ax = make_axes(ax, 1, 1, (6.4, 4.0))[0, 0]
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.best_line_ = [], None
        colors = {"training": BLUE, "validation": ORANGE}
        for name, curve in curves.items():
            style = {"color": colors[name], "label": name, "lw": 1.8}
            style |= {"marker": "o"} if len(curve) == 1 else {}
            style = styled(style, kwargs, "lines.Line2D")
            self.lines_ += ax.plot(np.arange(1, len(curve) + 1), curve, **style)
        if self.best_iter is not None:
            label = f"best: epoch {self.best_iter}"
            if self.best_iter == 0:
                label = "best: before the first epoch"
            self.best_line_ = ax.axvline(
                self.best_iter, color="#606060", ls="--", lw=1.2, label=label, zorder=1
            )
        if log_scale:
            ax.set_yscale("log")
            plain = import_matplotlib("matplotlib.ticker").StrMethodFormatter("{x:g}")
            ax.yaxis.set_major_formatter(plain)
            low, high = ax.get_ylim()
            if high < 10 * low:  # a power of ten or none: the others need labels
                ax.yaxis.set_minor_formatter(plain)
            ax.tick_params(which="minor", labelsize="small", labelcolor="#404040")
        ax.set(xlabel="epoch", ylabel="mean loss per row")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(frameon=False)
        unclutter(ax)
        return self
