"""What the first latents of a fit explain of its rows, one latent after the other.

Shapes: n rows, k latents, d columns.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .._networks.modules import Autoencoder, over_blocks
from .._networks.truncation import rungs, with_first_latents
from .._tables.rows import block_rows
from .._utils.device import enough_threads
from .described import DescribedRows
from .inference import N_REMEMBERED, Inference, Refined, some

# A fit should hardly take longer by it: multiplications of all cuts together, and rows
# that are cut.
_MOST_PRODUCTS = 10**10
_LEAST_ROWS, _MOST_ROWS = 100, 1000
# Rows or columns whose principal components are found.
_MOST_AXES = 1000
# Decoder's passes that the projection of a row takes for each latent.
_PASSES = 4


@dataclass(frozen=True)
class Explained:
    """What cuts after 1 to k latents leave of rows.

    Parameters
    ----------
    total : float
        Variance of the rows, all columns together, in the units of X; in those of the
        networks where columns have units of their own.

    shares : ndarray of shape (k,)
        Of that, what the first latents explain.

    linear_shares : ndarray of shape (k,)
        What as many principal components of the rows explain.

    errors : ndarray of shape (k,)
        Mean loss of a row with these latents.

    mean : ndarray of shape (d,)
        Means of the columns, in the units of X.

    latents : Tensor of shape (m, k)
        Of some of the rows, in the networks' units.

    conditions : Tensor of shape (m, c) or None
        What these rows are conditioned on; None in files of older versions.
    """

    total: float
    shares: np.ndarray
    linear_shares: np.ndarray
    errors: np.ndarray
    mean: np.ndarray
    latents: Tensor
    conditions: Tensor | None = None

    @property
    def ratios(self) -> np.ndarray:
        """What each latent adds to the share."""
        return np.diff(self.shares, prepend=0.0)

    @property
    def linear_ratios(self) -> np.ndarray:
        return np.diff(self.linear_shares, prepend=0.0)

    def first(self, n_kept: int) -> "Explained":
        """Of a cut after so many latents."""
        return replace(
            self,
            shares=self.shares[:n_kept],
            linear_shares=self.linear_shares[:n_kept],
            errors=self.errors[:n_kept],
            latents=self.latents[:, :n_kept],
        )


@torch.no_grad()
def explain(module: Autoencoder, rows: DescribedRows) -> Explained:
    """Cut the latents of described rows, after each or, of many, after some of them."""
    k, (own, conditions) = rows.z.shape[1], module.parts(rows.x)
    latents = some(rows.z, N_REMEMBERED).cpu()
    n_rows = _n_rows(module, k, isinstance(rows.inference, Refined))
    x, z = some(rows.x, n_rows), some(rows.z, n_rows)
    target = module.parts(x)[0]
    mean = own.double().nanmean(dim=0).nan_to_num()  # (d,)
    squares_in_all = (target.double() - mean).square().nansum()
    # What is near depends on conditions, if there are any.
    near = None if rows.x.shape[1] > own.shape[1] else latents
    # As PCA has it: with one degree of freedom less.
    total = (own.double() - mean).square().nanmean(dim=0).nansum()
    total = (
        total * (rows.n_samples / max(1, rows.n_samples - 1)) * module.columns.unit**2
    )
    cuts, shares, errors = [*rungs(k), k], [], []
    with enough_threads(module, block_rows(module.row_size)):
        for n_kept in cuts:
            if n_kept < k:
                cut = with_first_latents(module, k, n_kept)
                inference = rows.inference.of_first(n_kept, near)
                left = over_blocks(module, partial(_left, cut, inference), x)
            else:
                left = over_blocks(module, partial(_left, module, rows.inference), x, z)
            left = left.double()
            explained = squares_in_all - left[:, 0].sum()
            # Rows that do not differ have nothing to explain.
            shares.append((explained / squares_in_all).nan_to_num(0.0, 0.0, 0.0))
            errors.append(left[:, 1].mean() * module.loss_scale)
    back = torch.arange(len(mean)) if rows.order is None else torch.argsort(rows.order)
    restored = module.columns.restore(mean[back[: len(mean)]].to(module.center.device))
    linear = _linear_shares(module.parts(module.filled(rows.x))[0], k)
    return Explained(
        float(total),
        1.0 - _between(cuts, 1.0 - _numbers(shares), 1.0 - linear),
        linear,
        _between(cuts, _numbers(errors), 1.0 - linear),
        restored.double().cpu().numpy(),
        latents,
        some(conditions, N_REMEMBERED).cpu(),
    )


def _between(cuts: list[int], left: np.ndarray, of_linear: np.ndarray) -> np.ndarray:
    """What cuts leave, for all numbers: between those known as principal components.

    Their course (k,) is followed, times what is left beside them where it is known.
    """
    k = len(of_linear)
    if len(cuts) == k:
        return left
    follows = np.maximum(of_linear, 1e-9)
    beside = left / follows[np.array(cuts) - 1]
    return np.interp(np.arange(1, k + 1), cuts, beside) * follows


def _linear_shares(x: Tensor, k: int) -> np.ndarray:
    """What the first k principal components of rows (n, d) explain of them."""
    if x.shape[1] > _MOST_AXES:
        x = some(x, _MOST_AXES)
    x = x.double()
    x = x - x.mean(dim=0)
    products = x @ x.mT if len(x) < x.shape[1] else x.mT @ x
    variances = torch.linalg.eigvalsh(products).flip(0).clamp(min=0.0)
    shares = (variances.cumsum(0) / variances.sum()).nan_to_num(0.0, 0.0, 0.0)
    # More latents than axes explain what all axes do.
    last = shares[-1:].expand(max(0, k - len(shares)))
    return torch.cat([shares, last])[:k].cpu().numpy()


def _left(
    cut: Autoencoder, inference: Inference, x: Tensor, z: Tensor | None = None
) -> Tensor:
    """Squares and loss that latents, if not these, leave of each row: (n, 2)."""
    target = cut.parts(x)[0]
    z = inference.latents(cut, x) if z is None else z
    output = inference.decoded(cut, x, z)
    made = cut.loss_function.link(output)
    squares = (made - target).square().nansum(dim=1)
    return torch.stack([squares, cut.error(output, target)], dim=1)


def _n_rows(module: Autoencoder, k: int, is_projected: bool) -> int:
    n_products = sum(p.numel() for p in module.decoder.parameters())
    n_passes = k + _PASSES * k * (k + 1) // 2 * is_projected
    n_rows = _MOST_PRODUCTS // max(1, n_products * n_passes)
    return min(_MOST_ROWS, max(_LEAST_ROWS, n_rows))


def _numbers(values: list[Tensor]) -> np.ndarray:
    return torch.stack(values).double().cpu().numpy()
