"""Factor analysis of rows with missing cells: what cells say of those that are not.

Under x = mean + loadings f + noise, with factors f of N(0, I) and noise of a variance
of its own for each column: what the model says does not depend on the columns' units.

Shapes: n rows, d columns, q factors, p patterns of missing cells.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._networks.filling import Filling

# Noise as a share of a column's variance, at least: with none the factors would follow
# single columns.
_LEAST_NOISE = 0.001
# Rounds of the EM algorithm, and the change of what is expected of missing cells, in
# standard deviations, that is the last; of rows that miss none, a change of the noise.
_MOST_ROUNDS = 50
_LEAST_CHANGE = 1e-3
# A factor counts as one of at least this size where loadings are held back.
_LEAST_FACTOR = 1e-3


@dataclass(frozen=True)
class Factors:
    """A model of rows.

    Parameters
    ----------
    mean : Tensor of shape (d,)
    loadings : Tensor of shape (d, q)
    noise : Tensor of shape (d,)
        Variances.
    """

    mean: Tensor
    loadings: Tensor
    noise: Tensor

    @classmethod
    def none(cls, d: int) -> "Factors":
        """Of columns that say nothing of each other, with means of zero."""
        return cls(torch.zeros(d), torch.zeros(d, 0), torch.ones(d))

    @classmethod
    def of(cls, x: Tensor, n_factors: int) -> "Factors":
        """The likeliest model of rows (n, d), by the EM algorithm.

        From the cells that are there alone; loadings have a prior that lets go of
        factors which few cells would hold (A. Ilin and T. Raiko, "Practical approaches
        to principal component analysis in the presence of missing values", JMLR 11,
        1957-2000, 2010).
        """
        x = x.detach().cpu().double()
        center = x.nanmean(dim=0).nan_to_num()
        scale = (x - center).square().nanmean(dim=0).sqrt().nan_to_num()
        scale = torch.where(scale > 0, scale, 1.0)
        q = min(n_factors, x.shape[1] - 1, len(x) - 1)
        if q < 1:
            model = cls.none(x.shape[1])
        else:
            model = _Estimation((x - center) / scale).run(q)
        return cls(
            (center + scale * model.mean).float(),
            (scale[:, None] * model.loadings).float(),
            (scale.square() * model.noise).float(),
        )

    @classmethod
    def of_filling(cls, filling: Filling) -> "Factors":
        """The model that fills rows for the encoder, of one noise for all columns."""
        noise = filling.noise_variance.expand_as(filling.mean)
        return cls(filling.mean, filling.loadings, noise)

    def to(self, device: torch.device) -> "Factors":
        return Factors(*(part.to(device) for part in vars(self).values()))

    def with_columns(self, order: Tensor) -> "Factors":
        return replace(
            self,
            mean=self.mean[order],
            loadings=self.loadings[order],
            noise=self.noise[order],
        )

    def precision(self, known: Tensor) -> Tensor:
        """Of the factors, given which cells (p, d) are known: (p, q, q)."""
        loadings, q = self.loadings, self.loadings.shape[1]
        weighted = loadings / self.noise[:, None]
        squares = (weighted[:, :, None] * loadings[:, None, :]).flatten(1)
        matrix = (known @ squares).unflatten(-1, (q, q))
        matrix.diagonal(dim1=-2, dim2=-1).add_(1.0)
        return matrix

    def expect(self, x: Tensor) -> Tensor:
        """What is expected of all cells of rows (n, d), given those that are known."""
        if self.loadings.shape[1] == 0:
            return self.mean.to(x.dtype).expand_as(x)
        model = Factors(*(part.double() for part in vars(self).values()))
        known = ~x.isnan()
        patterns, number = torch.unique(known, dim=0, return_inverse=True)
        factor, _ = torch.linalg.cholesky_ex(model.precision(patterns.double()))
        rest = torch.where(known, x.double() - model.mean, 0.0)
        together = rest @ (model.loadings / model.noise[:, None])  # (n, q)
        f = torch.cholesky_solve(together[..., None], factor[number])[..., 0]
        return (model.mean + f @ model.loadings.T).to(x.dtype)

    def fill(self, x: Tensor) -> Tensor:
        missing = x.isnan()
        return torch.where(missing, self.expect(x), x) if missing.any() else x


class _Estimation:
    """Rows (n, d) of columns that are standardised, each pattern of cells once."""

    def __init__(self, x: Tensor):
        self.missing = x.isnan()
        self.known = (~self.missing).double()
        self.x = torch.nan_to_num(x)
        self.n_known = self.known.sum(dim=0).clamp(min=1.0)  # (d,)
        patterns, self.number, counts = torch.unique(
            ~self.missing, dim=0, return_inverse=True, return_counts=True
        )
        self.patterns = patterns.double()  # (p, d)
        self.counts = counts.double()  # (p,)
        self.counted = self.patterns * self.counts[:, None]

    def run(self, q: int) -> Factors:
        model = self.first(q)
        before = model.noise
        for _ in range(_MOST_ROUNDS):
            model, made = self.better(model)
            now = made[self.missing] if self.missing.any() else model.noise
            if len(now) == len(before):
                change = (now - before).square().mean().sqrt()
                if change < _LEAST_CHANGE:
                    break
            before = now
        return model

    def first(self, q: int) -> Factors:
        """Principal components of the rows with missing cells at the mean."""
        n, d = self.x.shape
        _, values, axes = torch.linalg.svd(self.x / n**0.5, full_matrices=False)
        variances = values[:q].square()
        total = self.x.square().sum(dim=0) / self.n_known  # (d,)
        left = (total.sum() - variances.sum()).clamp(min=_LEAST_NOISE) / d
        size = (variances - left).clamp(min=_LEAST_FACTOR).sqrt()
        loadings = axes[:q].T * size
        noise = (total - loadings.square().sum(dim=1)).clamp(min=_LEAST_NOISE)
        return Factors(torch.zeros(d, dtype=self.x.dtype), loadings, noise)

    def better(self, model: Factors) -> tuple[Factors, Tensor]:
        """The next model, and what this one makes of the rows (n, d)."""
        loadings, q = model.loadings, model.loadings.shape[1]
        # Factors of each row, given its cells: means and, of each pattern, covariances.
        rest = self.known * (self.x - model.mean)
        covariance = torch.linalg.inv(model.precision(self.patterns))  # (p, q, q)
        together = rest @ (loadings / model.noise[:, None])
        f = torch.einsum("nij,nj->ni", covariance[self.number], together)  # (n, q)
        # Loadings of each column, given the factors of the rows that know it.
        spreads = (self.counted.T @ covariance.flatten(1)).unflatten(1, (q, q))
        outer = (f[:, :, None] * f[:, None, :]).flatten(1)
        moments = spreads + (self.known.T @ outer).unflatten(1, (q, q))  # (d, q, q)
        size = loadings.square().mean(dim=0).clamp(min=_LEAST_FACTOR)  # (q,)
        moments.diagonal(dim1=1, dim2=2).add_(model.noise[:, None] / size)
        loadings = torch.linalg.solve(moments, (rest.T @ f)[..., None])[..., 0]
        made = f @ loadings.T
        mean = (self.known * (self.x - made)).sum(dim=0) / self.n_known
        left = (self.known * (self.x - mean - made).square()).sum(dim=0)
        unsure = torch.einsum("di,dij,dj->d", loadings, spreads, loadings)
        noise = ((left + unsure) / self.n_known).clamp(min=_LEAST_NOISE)
        # Factors are to be of unit variance: taken at once, that step saves many
        # (C. Liu, D. B. Rubin and Y. N. Wu, Biometrika 85, 755-770, 1998).
        of_all = self.counts[:, None, None] * covariance  # (p, q, q)
        spread = (of_all.sum(dim=0) + f.T @ f) / len(f)
        return Factors(mean, loadings @ torch.linalg.cholesky(spread), noise), made
