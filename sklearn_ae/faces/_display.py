"""Display of faces beside what every decoder makes of them."""

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from .._utils.types import PathLike
from ..plotting._drawing import draw_mosaic, import_matplotlib, make_axes, tile_centers
from ._pictures import SYNTHETIC, write_atomically


class SwapDisplay:
    """Faces, each beside its own decoder's picture of it and every other's.

    It is recommended to use `from_estimator`, with faces that were held out.

    Parameters
    ----------
    faces : ndarray of shape (n_faces, height, width, channels)
        The faces, in [0, 1].

    labels : sequence of shape (n_faces,)
        Whose they are.

    swapped : ndarray of shape (n_identities, n_faces, height, width, channels)
        The faces by each decoder.

    classes : sequence of shape (n_identities,)
        Whose decoders they are.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        All pictures, as one image: a line for each face. In the columns are the face,
        its own decoder's picture, and those of the others in the order of ``classes``.

    ax_ : matplotlib.axes.Axes
        Axes with the pictures.

    figure_ : matplotlib.figure.Figure
        Figure containing the axes.

    See Also
    --------
    Preview : Writes the display to a file while the networks learn.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ae import FaceSwapper
    >>> from sklearn_ae.faces import SwapDisplay
    >>> X = np.random.default_rng(0).random((50, 8, 8))
    >>> y = np.repeat(["ann", "bob"], 25)
    >>> swapper = FaceSwapper(width=1, max_iter=1).fit(X, y)
    >>> display = SwapDisplay.from_estimator(swapper, X, y, n_samples=2)
    >>> [text.get_text() for text in display.ax_.get_yticklabels()]
    ['ann', 'ann', 'bob', 'bob']
    """

    image_: Any
    ax_: Any
    figure_: Any

    def __init__(
        self,
        *,
        faces: np.ndarray,
        labels: Sequence[Any],
        swapped: np.ndarray,
        classes: Any,
    ) -> None:
        self.faces = faces
        self.labels = labels
        self.swapped = swapped
        self.classes = classes

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n_samples: int = 4,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Let every decoder show the first faces of each identity, and draw them.

        Parameters
        ----------
        estimator : FaceSwapper
            The fitted estimator.

        X : array-like
            Faces, as for `FaceSwapper.fit`.

        y : array-like of shape (n_samples,)
            Whose face each is.

        n_samples : int, default=4
            Faces of each identity.

        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : SwapDisplay
            The display, drawn.
        """
        check_is_fitted(estimator)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        X, y = np.asarray(X), np.asarray(y)
        if len(X) != len(y):
            raise ValueError(f"X holds {len(X)} faces and y {len(y)} names.")
        classes = estimator.classes_.tolist()
        shown = [np.flatnonzero(y == name)[:n_samples] for name in classes]
        places = np.concatenate(shown).astype(int)
        if not len(places):
            raise ValueError(f"y names nobody of classes_, which holds {classes}.")
        faces = X[places]
        shape = estimator.image_shape_
        swapped = [estimator.swap(faces, name) for name in classes]
        scale = 255.0 if faces.dtype == np.uint8 else 1.0
        display = cls(
            faces=faces.reshape(-1, *shape) / scale,
            labels=y[places].tolist(),
            swapped=np.stack(swapped).reshape(len(classes), -1, *shape),
            classes=classes,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the faces.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None makes a new figure.

        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : SwapDisplay
            The display itself.
        """
        faces, swapped = np.asarray(self.faces), np.asarray(self.swapped)
        n_faces, height, width, n_channels = faces.shape
        n_columns = 1 + len(self.classes)
        pictures, orders = [], []
        for number, (face, label) in enumerate(zip(faces, self.labels, strict=True)):
            own = list(self.classes).index(label)
            others = [i for i in range(len(self.classes)) if i != own]
            orders.append([own, *others])
            pictures += [face, *(swapped[i, number] for i in orders[-1])]
        shape = (height, width) if n_channels == 1 else (height, width, n_channels)
        gap = max(1, width // 16)
        size = _figure_size(n_faces, height / width, len(self.classes))
        self.ax_ = make_axes(ax, 1, 1, size)[0, 0]
        if ax is None:
            # "constrained" cuts off long names beside pictures of a fixed shape.
            self.ax_.figure.set_layout_engine("compressed")
        style = {"vmin": 0.0, "vmax": 1.0} | kwargs
        self.image_ = draw_mosaic(
            self.ax_, np.stack(pictures), shape, n_columns, gap=gap, **style
        )
        lines = tile_centers(range(n_faces), height, gap)
        self.ax_.set_yticks(lines, [str(label) for label in self.labels])
        if len(self.classes) == 2:
            heads = ["face", "as itself", "as the other"]
        else:
            heads = ["face", "as itself", *["as another:"] * (n_columns - 2)]
            self._name_swaps(orders, height + gap, width + gap)
        self.ax_.set_xticks(tile_centers(range(n_columns), width, gap), heads)
        self.ax_.tick_params(length=0, labeltop=True, labelbottom=False)
        self.ax_.spines[:].set_visible(False)
        self.figure_ = self.ax_.figure
        return self

    def _name_swaps(self, orders, height, width):
        """Write into each swap who is seen: it differs from line to line."""
        box = {"facecolor": "black", "alpha": 0.5, "linewidth": 0, "pad": 1.5}
        for line, order in enumerate(orders):
            for column, i in enumerate(order[1:], start=2):
                self.ax_.text(
                    column * width,
                    line * height,
                    str(self.classes[i]),
                    color="white",
                    fontsize="x-small",
                    verticalalignment="top",
                    bbox=box,
                )


def _figure_size(n_faces, ratio, n_classes):
    """Inches for a line per face, of pictures so many times as high as wide."""
    return 1.2 + 1.1 * (1 + n_classes), 0.4 + 1.1 * n_faces * ratio


class Preview:
    """A callback of `FaceSwapper` that draws a `SwapDisplay` every few epochs.

    Parameters
    ----------
    path : str or path
        A picture file of matplotlib's formats, which is replaced every time.

    X : array-like
        Faces to look at: better some that are not trained on.

    y : array-like of shape (n_samples,)
        Whose face each is.

    every : int, default=50
        Epochs between two pictures.

    n_samples : int, default=4
        Faces of each identity.

    See Also
    --------
    SwapDisplay : What is drawn.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sklearn_ae import FaceSwapper
    >>> from sklearn_ae.faces import Preview
    >>> X = np.random.default_rng(0).random((50, 8, 8))
    >>> y = np.repeat(["ann", "bob"], 25)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "preview.png")
    ...     look = Preview(path, X[::5], y[::5], every=2)
    ...     _ = FaceSwapper(width=1, max_iter=2, callbacks=[look]).fit(X, y)
    ...     os.path.exists(path)
    True
    """

    def __init__(
        self, path: PathLike, X: Any, y: Any, *, every: int = 50, n_samples: int = 4
    ) -> None:
        check_scalar(every, "every", Integral, min_val=1)
        self.path = path
        self.X = X
        self.y = y
        self.every = every
        self.n_samples = n_samples

    def __call__(self, swapper: Any, epoch: int) -> None:
        """Draw the display where it is time to.

        Parameters
        ----------
        swapper : FaceSwapper
            The estimator as it is after the epoch.

        epoch : int
            The epoch's number.
        """
        if epoch % self.every and epoch != swapper.max_iter:
            return
        # Outside of pyplot, which would keep the figure.
        n_classes = len(swapper.classes_)
        height, width, _ = swapper.image_shape_
        size = _figure_size(self.n_samples * n_classes, height / width, n_classes)
        figure = import_matplotlib("matplotlib.figure").Figure(
            figsize=size, layout="compressed"
        )
        ax = figure.subplots()
        SwapDisplay.from_estimator(
            swapper, self.X, self.y, n_samples=self.n_samples, ax=ax
        )
        ax.set_title(f"epoch {epoch}", fontsize="medium")
        path = Path(self.path)
        metadata = {"Description": SYNTHETIC} if path.suffix == ".png" else None
        write_atomically(
            path, lambda temporary: figure.savefig(temporary, metadata=metadata)
        )
