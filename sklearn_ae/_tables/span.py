"""Rows of many more columns than there are rows, as what they are in their span.

Rows span no more dimensions than there are of them. Networks on coordinates of that
span learn what networks on all columns would, with layers a fraction as wide. Lengths
and distances stay, and so does every squared error.

Shapes: n rows, d columns, r coordinates, m numbers that stand behind a row.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .columns import Columns

# Columns for each row from which on a table is wide.
_LEAST_RATIO = 4
# Directions with a smaller share of the largest one's squares are rounding errors.
_LEAST_SHARE = 1e-10
# Numbers that are held in double precision at a time.
_BLOCK_SIZE = 2**21


def is_wide(n_rows: int, n_columns: int) -> bool:
    """Whether the rows span so few dimensions that it pays to work in these."""
    return n_rows > 1 and _LEAST_RATIO * n_rows <= n_columns


@dataclass(frozen=True)
class Span:
    """Coordinates of rows in the span of those of a fit, on axes drawn at random.

    On random axes all coordinates vary about as much, as columns of a table do. They
    are in units in which their mean square is that of the columns: a mean over
    coordinates is the mean over the columns.

    Parameters
    ----------
    axes : Tensor of shape (d, r)
        Orthonormal columns.
    """

    axes: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "Span | None":
        """The span of standardised rows x (n, d); None where they do not vary.

        Rotated columns have the same coordinates, rounding errors aside.
        """
        n = len(x)
        blocks = x.split(max(1, _BLOCK_SIZE // n), dim=1)
        products = torch.zeros(n, n, dtype=torch.float64)
        for block in blocks:
            part = block.cpu().double()
            products += part @ part.T
        squares, vectors = torch.linalg.eigh(products)  # ascending, in columns
        kept = squares > _LEAST_SHARE * squares[-1]
        if not kept.any():
            return None
        squares, vectors = squares[kept], vectors[:, kept]  # (r,), (n, r)
        largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
        vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
        to_axes = vectors / squares.sqrt() @ _random_rotation(len(squares))
        axes = [(block.cpu().double().T @ to_axes).to(x) for block in blocks]
        return cls(torch.cat(axes))

    @property
    def n_columns(self) -> int:
        return self.axes.shape[0]

    @property
    def n_coordinates(self) -> int:
        return self.axes.shape[1]

    @property
    def scale(self) -> float:
        """Coordinates in units of the columns are divided by this."""
        return math.sqrt(self.n_columns / self.n_coordinates)

    def coordinates(self, x: Tensor) -> Tensor:
        """Of rows (n, d + m), with what stands behind them as it is: (n, r + m)."""
        own, behind = x[:, : self.n_columns], x[:, self.n_columns :]
        return torch.cat([own @ self.axes / self.scale, behind], dim=1)

    def columns(self, columns: Columns) -> Columns:
        """What the columns are in coordinates."""
        d, r = self.n_columns, self.n_coordinates
        behind = columns.center[d:]
        center = torch.cat([torch.zeros(r, dtype=behind.dtype), behind])
        scale = columns.scale
        if scale.ndim:
            scale = torch.cat([torch.ones(r, dtype=scale.dtype), scale[d:]])
        return Columns(center, scale, None if columns.n_seen is None else r)

    def to_inputs(self, weight: Tensor) -> Tensor:
        """Weights (h, r + m) of a layer that takes coordinates, for columns."""
        own, behind = weight.tensor_split([self.n_coordinates], dim=1)
        return torch.cat([own @ self.axes.T.to(own) / self.scale, behind], dim=1)

    def to_outputs(self, weight: Tensor) -> Tensor:
        """Weights (r, ...) of a layer that gives coordinates, for columns."""
        return self.axes.to(weight) @ weight * self.scale


def _random_rotation(n: int) -> Tensor:
    """Always the same one: (n, n)."""
    normal = np.random.RandomState(0).standard_normal((n, n))
    rotation, triangle = np.linalg.qr(normal)
    return torch.from_numpy(rotation * np.sign(np.diag(triangle)))
