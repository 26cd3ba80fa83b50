"""How the columns of X become the networks' numbers, and come back."""

import math

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from .._utils.processes import ALONE, Processes
from .rows import Table
from .shards import Shard, own_blocks, own_part


class Columns(nn.Module):
    """Rows of X as numbers of about unit size, x = (X - center) / scale, and back.

    Columns behind those of ``center`` are numbers already (what a row is conditioned
    on), and stay as they are. Of rows that are pairs, of what is seen and what is
    wanted, the first ``n_seen`` columns may come alone.

    Parameters
    ----------
    center : Tensor of shape (d,)
        What is subtracted, in the dtype of X, so that far columns keep their digits.

    scale : Tensor of shape () or (d,)
        What is divided by: one number for all columns, or one for each.

    n_seen : int, default=None
        Columns of pairs that are seen; those behind them are wanted. None takes rows
        that are wanted as they are seen.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, center: Tensor, scale: Tensor, n_seen: int | None = None):
        super().__init__()
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)
        self.n_seen = n_seen

    @classmethod
    def as_they_are(cls, X: np.ndarray | Table, n_own: int) -> "Columns":
        """For values between 0 and 1, with the first ``n_own`` columns for the rows."""
        center = torch.from_numpy(np.zeros(n_own, dtype=X.dtype))
        return cls(center, torch.tensor(1.0, dtype=torch.float64))

    @classmethod
    def of_one_scale(
        cls, X: np.ndarray | Table, n_own: int, weights: np.ndarray | None = None
    ) -> "Columns":
        """Centred, and divided by the mean column's spread: units keep their weight."""
        means, variances = (part[:n_own] for part in column_moments(X, weights))
        scale = torch.tensor(global_scale(variances, "X"), dtype=torch.float64)
        return cls(torch.from_numpy(means.astype(X.dtype)), scale)

    @classmethod
    def of_kinds(
        cls,
        X: np.ndarray | Table,
        n_own: int,
        is_indicator: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> "Columns":
        """Units of factor analysis of mixed data: numbers by their spread.

        Indicators of levels are divided by the root of their share, so that a rare
        level counts as much as a frequent one (J. Pages, "Analyse factorielle de
        donnees mixtes", Revue de statistique appliquee 52, 93-111, 2004).
        """
        means, variances = (part[:n_own] for part in column_moments(X, weights))
        scales = np.sqrt(np.where(is_indicator, means, variances))
        scales = np.where(scales > 0, scales, 1.0)
        center = torch.from_numpy(means.astype(X.dtype))
        return cls(center, torch.from_numpy(scales))

    @classmethod
    def of_pairs(
        cls,
        XY: np.ndarray | Table,
        n_seen: int,
        is_image: bool,
        is_unit_target: bool,
        weights: np.ndarray | None,
    ) -> "Columns":
        """Pairs: a scale for each column of X (or one, for images), and one for Y."""
        d = n_seen
        means, variances = column_moments(XY, weights)
        scales = np.ones_like(means)
        of_all = global_scale(variances[:d], "X")
        scales[:d] = of_all
        if not is_image:
            # What is left of a constant column is rounding noise.
            std = np.sqrt(variances[:d])
            scales[:d] = np.where(std > 1e-12 * of_all, std, of_all)
        if is_unit_target:
            means[d:] = 0.0
        else:
            scales[d:] = global_scale(variances[d:], "y")
        center = torch.from_numpy(means.astype(XY.dtype))
        return cls(center, torch.from_numpy(scales), n_seen)

    def standardize(self, X: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Rows of X (..., d) in the networks' units."""
        n_columns, n_known = X.shape[-1], len(self.center)
        center = self.center[:n_columns]
        scale = self.scale[:n_columns] if self.scale.ndim else self.scale
        # The difference is taken in the wider of the two types: a column far from
        # zero keeps its digits.
        x = (X[..., :n_known] - center).div_(scale).to(dtype)
        if n_columns <= n_known:
            return x
        return torch.cat([x, X[..., n_known:].to(dtype)], dim=-1)

    def restore(self, output: Tensor) -> Tensor:
        """What is wanted, in its own units: output * scale + center."""
        return torch.addcmul(self.output_center, output, self.output_scale)

    @property
    def output_center(self) -> Tensor:
        return self.center if self.n_seen is None else self.center[self.n_seen :]

    @property
    def output_scale(self) -> Tensor:
        return self.scale if self.n_seen is None else self.scale[-1]  # ()

    @property
    def n_own(self) -> int:
        """Columns of the rows themselves, in which cells may be missing."""
        return len(self.center) if self.n_seen is None else self.n_seen

    @property
    def unit(self) -> Tensor:
        """Of latents and of errors: () that of all columns that are wanted, or 1."""
        if self.output_scale.ndim:
            return torch.ones((), dtype=self.scale.dtype, device=self.scale.device)
        return self.output_scale

    def seen(self, x: Tensor) -> Tensor:
        """What the encoder sees of standardised rows."""
        return x if self.n_seen is None else x[..., : self.n_seen]

    def wanted(self, x: Tensor) -> Tensor:
        """What the decoder is to give for them."""
        n_known = len(self.center)
        return x[..., :n_known] if self.n_seen is None else x[..., self.n_seen :]


def column_moments(
    X: np.ndarray | Table,
    weights: np.ndarray | None = None,
    processes: Processes = ALONE,
) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances (d,) of the columns; constant ones have no variance.

    Those of all rows of a shard, or of all rows where processes have parts as X.
    """
    processes = X.processes if isinstance(X, Shard) else processes
    weights = None if weights is None else own_part(weights, X)
    # Blocks bound the memory, and the scaler sums them in double precision.
    moments = StandardScaler()
    with np.errstate(over="ignore", invalid="ignore"):
        n_seen = 0
        for rows in own_blocks(X):
            of_rows = None if weights is None else weights[n_seen : n_seen + len(rows)]
            moments.partial_fit(rows, sample_weight=of_rows)
            n_seen += len(rows)
        if processes.are_several:
            _pool(moments, X.shape[1], processes)
        # The scaler gives constant columns, rounding errors aside, scale 1.
        is_constant = (moments.scale_ == 1.0) & (np.sqrt(moments.var_) != 1.0)
    # A column that is all missing has neither; what else is not finite is too large.
    is_constant &= np.isfinite(moments.var_)
    is_constant |= np.equal(moments.n_samples_seen_, 0)
    return np.nan_to_num(moments.mean_), np.where(is_constant, 0.0, moments.var_)


def _pool(moments: StandardScaler, n_columns: int, processes: Processes) -> None:
    """Let moments of rows that are here become those of the rows of all processes."""
    own = None
    if hasattr(moments, "n_samples_seen_"):  # there are rows
        n = np.broadcast_to(moments.n_samples_seen_, n_columns).astype(np.float64)
        own = (
            n,
            np.nan_to_num(moments.mean_),
            np.nan_to_num(moments.var_, posinf=np.inf),
        )
    parts = processes.gather_known(own)
    n, means, variances = (np.stack(part) for part in zip(*parts, strict=True))
    total = n.sum(axis=0)
    mean, variance = pooled_moments(n, means, variances)
    # The scaler's own bound on what is left of a constant column by rounding.
    eps = np.finfo(np.float64).eps
    is_constant = variance <= total * eps * variance + (total * mean * eps) ** 2
    moments.n_samples_seen_, moments.mean_, moments.var_ = total, mean, variance
    moments.scale_ = np.where(is_constant, 1.0, np.sqrt(variance))


def pooled_moments(
    n: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances (...) of rows in p parts, of those of each part (p, ...)."""
    shares = n / np.maximum(n.sum(axis=0), 1.0)
    mean = (shares * means).sum(axis=0)
    return mean, (shares * (variances + (means - mean) ** 2)).sum(axis=0)


def global_scale(variances: np.ndarray, name: str) -> float:
    """The mean column's spread; 1 where no column varies."""
    # An exact sum does not depend on the order of the columns.
    scale = math.sqrt(math.fsum(variances) / len(variances))
    if not math.isfinite(scale):
        raise ValueError(
            f"{name} is too large: the variance of its columns is not finite. "
            f"Divide {name} by a constant."
        )
    return scale if scale > 0 else 1.0


def column_order(x: Tensor) -> Tensor:
    """An order of the columns of x (n, d) that is theirs however they are given.

    Columns are ranked by a random projection of their values. Training in this order
    gives the same table with its columns permuted the same networks, bit by bit.
    """
    rows = torch.nan_to_num(x[:1000].double())
    probe = np.random.RandomState(0).standard_normal(len(rows))
    return torch.argsort(torch.from_numpy(probe) @ rows, stable=True)
