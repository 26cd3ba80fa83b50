"""Missing cells: what a linear model expects of them, given the cells that are there.

Shapes: n rows, d columns, q axes of the model, m numbers of conditions.
"""

import numpy as np
import torch
from torch import Tensor, nn

from .._tables.span import Span
from .._tables.weights import with_mean_one
from .linear import LinearStart

# Noise below this share of the mean column's variance would leave the axes' places to
# rounding errors where few cells are known.
_LEAST_NOISE = 1e-3
# Numbers of the rows that axes are found from, and rounds of filling and finding:
# with more of these, what is expected of cells comes no nearer to what they are.
_MOST_NUMBERS = 2**21
_MOST_ROUNDS = 15
# Each row has a matrix of its axes: numbers of these at a time.
_MOST_PRODUCTS = 2**24
# Change of the missing cells, as a share of a standard deviation, that is the last.
_LEAST_CHANGE = 1e-3


class Filling(nn.Module):
    """Gives missing cells (NaN) their expected values, given the rest of their row.

    Under x = mean + loadings z + noise, with z of N(0, I).

    Parameters
    ----------
    mean : Tensor of shape (d,)
    loadings : Tensor of shape (d, q)
    noise_variance : float
    """

    mean: Tensor
    loadings: Tensor
    noise_variance: Tensor

    def __init__(self, mean: Tensor, loadings: Tensor, noise_variance: float = 1.0):
        super().__init__()
        self.register_buffer("mean", mean.to(torch.float32))
        self.register_buffer("loadings", loadings.to(torch.float32))
        noise = torch.tensor(max(noise_variance, _LEAST_NOISE), dtype=torch.float32)
        self.register_buffer("noise_variance", noise)

    @classmethod
    def by_mean(cls, mean: Tensor) -> "Filling":
        return cls(mean, mean.new_zeros(len(mean), 0))

    @classmethod
    def of(cls, start: LinearStart) -> "Filling":
        """The model that principal components and what they leave stand for."""
        signal = (start.variances - start.noise_variance).clamp(min=0.0).sqrt()  # (k,)
        return cls(
            start.mean, (signal[:, None] * start.components).T, start.noise_variance
        )

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Rows (..., d), or (..., d + m) with conditions, none of which are missing."""
        d = len(self.mean)
        missing = x[..., :d].isnan()
        if not missing.any():
            return x
        filled = x[..., :d].clone()
        rows = missing.any(dim=-1)  # (...,): the others have nothing to expect
        expected = self._expected(filled[rows], missing[rows]).to(x.dtype)
        filled[rows] = torch.where(missing[rows], expected, filled[rows])
        return filled if x.shape[-1] == d else torch.cat([filled, x[..., d:]], dim=-1)

    def _expected(self, x: Tensor, missing: Tensor) -> Tensor:
        q = self.loadings.shape[1]
        if q == 0:
            return self.mean.expand_as(x)
        loadings = self.loadings.to(x.dtype)
        rest = torch.where(missing, 0.0, x - self.mean)  # (..., d)
        matrix = self.information((~missing).to(x.dtype))
        factor, _ = torch.linalg.cholesky_ex(matrix)
        z = torch.cholesky_solve((rest @ loadings)[..., None], factor)  # (..., q, 1)
        return self.mean + z[..., 0] @ loadings.T

    def information(self, known: Tensor) -> Tensor:
        """What known cells (..., d), ones and zeros, say of the latents: (..., q, q).

        The inverse of their covariance, times the noise variance.
        """
        loadings, q = self.loadings.to(known.dtype), self.loadings.shape[1]
        squares = loadings[:, :, None] * loadings[:, None, :]  # (d, q, q)
        matrix = (known @ squares.flatten(1)).unflatten(-1, (q, q))
        matrix.diagonal(dim1=-2, dim2=-1).add_(self.noise_variance)
        return matrix

    def times(self, factor: float) -> "Filling":
        """In other units of the columns; noise is as it was."""
        noise = self.noise_variance.item()
        return Filling(self.mean * factor, self.loadings * factor, noise)

    def out_of(self, span: Span) -> "Filling":
        """Of columns, where this is of coordinates in a span."""
        mean, loadings = span.to_outputs(self.mean), span.to_outputs(self.loadings)
        return Filling(mean, loadings, self.noise_variance.item())

    @torch.no_grad()
    def put_columns_back(self, back: Tensor) -> None:
        self.mean.copy_(self.mean[back])
        self.loadings.copy_(self.loadings[back])


def find_filling(
    x: Tensor,
    n_components: int,
    random_state: np.random.RandomState,
    weights: Tensor | None = None,
) -> Filling:
    """The model of standardised rows (n, d), of which cells may be missing.

    Probabilistic PCA by the EM algorithm, from the cells that are there alone, with a
    prior on each axis that lets go of those which few cells would hold (A. Ilin and
    T. Raiko, "Practical approaches to principal component analysis in the presence of
    missing values", JMLR 11, 1957-2000, 2010).
    """
    n, d = x.shape
    n_products = max(1, n_components**2)
    n_rows = max(2, min(_MOST_NUMBERS // d, _MOST_PRODUCTS // n_products))
    if n > n_rows:
        chosen = torch.from_numpy(random_state.choice(n, n_rows, replace=False))
        x = x[chosen.to(x.device)]
        weights = None if weights is None else weights[chosen]
    x = x.cpu().double()
    mean = torch.nan_to_num(x.nanmean(dim=0))
    k = min(n_components, d - 1, len(x) - 1)
    if k < 1:
        return Filling.by_mean(mean)
    filled = torch.where(x.isnan(), mean, x)
    filling = Filling.of(
        LinearStart.from_rows(filled, k, random_state, weights)
    ).double()
    if x.isnan().any():
        steps = _Estimation(x, weights)
        filled = filling(x)
        for _ in range(_MOST_ROUNDS):
            filling, before = steps.better(filling), filled
            filled = filling(x)
            change = (filled - before)[steps.missing].square().mean().sqrt()
            if change <= _LEAST_CHANGE * steps.spread:
                break
    return filling.float()


class _Estimation:
    """Steps of the EM algorithm for rows (n, d) with missing cells."""

    def __init__(self, x: Tensor, weights: Tensor | None = None):
        self.missing = x.isnan()
        self.known = (~self.missing).double()  # (n, d)
        self.x = torch.nan_to_num(x)
        self.weights = x.new_ones(len(x))
        if weights is not None:
            self.weights = with_mean_one(weights).to(x)
        # Known cells, by the weights of their rows.
        self.counted = self.known * self.weights[:, None]
        self.n_known = self.counted.sum(dim=0)  # (d,)
        self.n_known = torch.where(self.n_known > 0, self.n_known, 1.0)
        variance = (self.counted * self.x.square()).sum() / self.counted.sum()
        self.spread = variance.sqrt().clamp(min=torch.finfo(x.dtype).tiny)

    def better(self, filling: Filling) -> Filling:
        loadings, mean = filling.loadings, filling.mean
        noise, q = filling.noise_variance, loadings.shape[1]
        # Latents of each row, given its cells: means and covariances.
        rest = self.known * (self.x - mean)
        counted_rest = self.counted * (self.x - mean)
        covariance = noise * torch.linalg.inv(filling.information(self.known))
        z = torch.einsum("nij,nj->ni", covariance, rest @ loadings) / noise  # (n, q)
        # Loadings of each column, given the latents of the rows that know it.
        spreads = (self.counted.T @ covariance.flatten(1)).unflatten(1, (q, q))
        outer = (z[:, :, None] * z[:, None, :]).flatten(1)
        moments = spreads + (self.counted.T @ outer).unflatten(1, (q, q))  # (d, q, q)
        of_axes = loadings.square().mean(dim=0)  # (q,)
        held = moments.clone()
        held.diagonal(dim1=1, dim2=2).add_(noise / of_axes.clamp(min=_LEAST_NOISE))
        together = counted_rest.T @ z  # (d, q)
        loadings = torch.linalg.solve(held, together[..., None])[..., 0]  # (d, q)
        made = z @ loadings.T
        mean = (self.counted * (self.x - made)).sum(dim=0) / self.n_known
        left = self.counted * (self.x - mean - made).square()
        unsure = torch.einsum("di,dij,dj->", loadings, spreads, loadings)
        noise = (left.sum() + unsure) / self.counted.sum()
        # Latents are to be of unit variance: taken at once, that step saves many
        # (C. Liu, D. B. Rubin and Y. N. Wu, Biometrika 85, 755-770, 1998).
        weights = self.weights / self.weights.sum()  # (n,)
        spread = (weights @ covariance.flatten(1)).unflatten(0, (q, q))
        spread = spread + z.T @ (weights[:, None] * z)
        loadings = loadings @ torch.linalg.cholesky(spread)
        return Filling(mean, loadings, float(noise)).double()
