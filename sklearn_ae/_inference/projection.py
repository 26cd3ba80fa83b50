"""The latents from which a decoder gives a row best: its projection.

The encoder's latents are a guess; a few damped Gauss-Newton steps from there find the
nearest point of all that the decoder can give, as PCA's `transform` does in a plane.
K. Levenberg, Quarterly of Applied Mathematics 2, 164-168, 1944, and D. W. Marquardt,
Journal of SIAM 11, 431-441, 1963; with losses other than the squared error the matrix
is the generalised one of N. N. Schraudolph, Neural Computation 14, 1723-1738, 2002.

Each row has its own damping, steps and end: what comes with it does not matter.

Shapes: n rows, k latents, m numbers of conditions, d features.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._networks.losses import SquaredError
from .._networks.modules import Autoencoder, beside
from .._networks.variational import VariationalAutoencoder
from .tangents import TangentMap, tangent_map

# Damping of the first step, in units of the mean curvature, and what changes it: a step
# that gains this share of what it promised, or one that does not.
_DAMPING, _EASED, _RAISED = 1e-2, 1.0 / 3.0, 5.0
_LEAST_KEPT = 0.25
_MOST_DAMPING = 1e4
_LEAST_DAMPING = 1e-6
# A step that lowers the loss by a smaller share than this was the row's last.
_LEAST_GAIN = 1e-4
# Memory of a block's Jacobians, in numbers.
_JACOBIAN_SIZE = 2**22


@dataclass(frozen=True)
class RowLoss:
    """What a row's latents are to make small, with its quadratic approximation.

    Parameters
    ----------
    decode_only : callable
        Latents, with conditions behind them, to outputs.

    decode : callable
        The same to outputs and Jacobians.

    loss : SquaredError
        Compares outputs with rows, entry by entry.

    precision : Tensor of shape () or (d,)
        What entries are multiplied by.

    prior_precision : float
        Of a normal prior at zero: 1 where its log-density counts, else 0.
    """

    decode_only: Callable[[Tensor], Tensor]
    decode: TangentMap
    loss: SquaredError
    precision: Tensor
    prior_precision: float

    def value(self, z: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """Of each row: (n,)."""
        entries = self.loss.entries(output, x) * self.precision
        total = entries.sum(dim=-1)
        if self.prior_precision:
            total = total + 0.5 * self.prior_precision * z.square().sum(dim=-1)
        return total

    def expansion(
        self, z: Tensor, output: Tensor, jacobian: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradient (n, k) and Gauss-Newton Hessian (n, k, k) in the latents."""
        slope, curvature = self.loss.derivatives(output, x)
        slope, curvature = slope * self.precision, curvature * self.precision
        gradient = torch.matmul(jacobian, slope[..., None])[..., 0]
        if curvature.ndim == 0:
            hessian = torch.matmul(jacobian, jacobian.mT) * curvature
        else:
            weighted = jacobian * curvature.expand_as(output)[:, None]
            hessian = torch.matmul(weighted, jacobian.mT)
        if self.prior_precision:
            gradient = gradient + self.prior_precision * z
            hessian.diagonal(dim1=-2, dim2=-1).add_(self.prior_precision)
        return gradient, hessian


@dataclass
class _State:
    """Rows on their way: latents, with the loss there and what it looks like."""

    z: Tensor  # (n, k)
    value: Tensor  # (n,)
    gradient: Tensor  # (n, k)
    hessian: Tensor  # (n, k, k)

    @classmethod
    def at(
        cls, row_loss: RowLoss, z: Tensor, conditions: Tensor, x: Tensor
    ) -> "_State":
        output, jacobian = row_loss.decode(beside(z, conditions))
        value = row_loss.value(z, output, x)
        return cls(z, value, *row_loss.expansion(z, output, jacobian, x))

    def replaced(self, where: Tensor, other: "_State") -> "_State":
        """The other's rows where (n,) is true."""
        return _State(
            torch.where(where[:, None], other.z, self.z),
            torch.where(where, other.value, self.value),
            torch.where(where[:, None], other.gradient, self.gradient),
            torch.where(where[:, None, None], other.hessian, self.hessian),
        )

    def of(self, rows: Tensor) -> "_State":
        return _State(
            self.z[rows], self.value[rows], self.gradient[rows], self.hessian[rows]
        )

    def put(self, rows: Tensor, other: "_State") -> None:
        self.z[rows], self.value[rows] = other.z, other.value
        self.gradient[rows], self.hessian[rows] = other.gradient, other.hessian


def _descend(
    row_loss: RowLoss, z: Tensor, conditions: Tensor, x: Tensor, n_steps: int
) -> _State:
    """From latents z (n, k), go down for at most so many steps."""
    here = ended = _State.at(row_loss, z, conditions, x)
    rows = None  # those that still go down, of all
    damping = torch.full_like(here.value, _DAMPING)
    for step in range(n_steps):
        change, promised = _damped_newton(here, damping)
        there = _State.at(row_loss, here.z - change, conditions, x)
        gain = here.value - there.value
        is_lower = gain >= -_rounding(here.value)
        is_last = is_lower & (gain <= _LEAST_GAIN * here.value)
        keeps_promise = gain > _LEAST_KEPT * promised
        damping = torch.where(keeps_promise, damping * _EASED, damping * _RAISED)
        here = here.replaced(is_lower, there)
        goes_on = ~(is_last | (damping > _MOST_DAMPING))
        if step == n_steps - 1 or not goes_on.any():
            break
        if goes_on.all():
            continue
        if rows is None:
            rows, ended = torch.arange(len(z), device=z.device), here
        else:
            ended.put(rows, here)
        rows, here = rows[goes_on], here.of(goes_on)
        damping, conditions, x = damping[goes_on], conditions[goes_on], x[goes_on]
    if rows is None:
        return here
    ended.put(rows, here)
    return ended


def _rounding(value: Tensor) -> Tensor:
    """How much of a loss (n,) may be rounding errors.

    Were steps that change as little taken or not by chance, then rows near their end
    would come out differently by the root of that, beside other rows. They are taken.
    NaN, from a singular matrix or beyond the range, is never low enough.
    """
    return 16.0 * torch.finfo(value.dtype).eps * value


def _polished(row_loss: RowLoss, here: _State, conditions: Tensor, x: Tensor) -> _State:
    """One step more that is hardly damped: of a plane, it ends at the projection.

    It takes no Jacobian, as nothing follows it.
    """
    z = here.z - _damped_newton(here, torch.full_like(here.value, _LEAST_DAMPING))[0]
    value = row_loss.value(z, row_loss.decode_only(beside(z, conditions)), x)
    is_lower = value <= here.value + _rounding(here.value)
    return replace(
        here,
        z=torch.where(is_lower[:, None], z, here.z),
        value=torch.where(is_lower, value, here.value),
    )


def _damped_newton(here: _State, damping: Tensor) -> tuple[Tensor, Tensor]:
    """What to subtract from the latents (n, k), and the gain that it promises (n,)."""
    curvature = here.hessian.diagonal(dim1=-2, dim2=-1).mean(dim=-1)  # (n,)
    # Where nothing curves, the gradient is zero too, and so is the step.
    added = damping * curvature + torch.finfo(curvature.dtype).tiny
    matrix = here.hessian + torch.diag_embed(added[:, None].expand_as(here.z))
    factor, _ = torch.linalg.cholesky_ex(matrix)
    change = torch.cholesky_solve(here.gradient[..., None], factor)[..., 0]
    downhill = here.gradient + added[:, None] * change
    return change, 0.5 * (change * downhill).sum(dim=-1)


@torch.no_grad()
def project(
    module: Autoencoder,
    x: Tensor,
    starts: list[Tensor],
    n_steps: int,
) -> Tensor:
    """The best latents found from each of the starts (n, k) for rows x (n, d + m)."""
    precision, prior_precision = module.row_weights
    row_loss = RowLoss(
        module.decode,
        tangent_map(module.decoder, starts[0].shape[1]),
        module.loss_function,
        precision.to(x.dtype),
        prior_precision,
    )
    target, conditions = module.parts(x)
    n_block = _rows_at_once(module, starts[0].shape[1])
    parts = []
    for first in range(0, len(x), n_block):
        block = slice(first, first + n_block)
        states = [
            _descend(row_loss, z[block], conditions[block], target[block], n_steps)
            for z in starts
        ]
        best = states[0]
        for other in states[1:]:
            best = best.replaced(other.value < best.value, other)
        best = _polished(row_loss, best, conditions[block], target[block])
        parts.append(best.z)
    return torch.cat(parts)


@torch.no_grad()
def information(module: VariationalAutoencoder, x: Tensor, z: Tensor) -> Tensor:
    """Fisher's information of the latents z (n, k), and the prior's: (n, k, k).

    The inverse covariance of the posterior around its mode.
    """
    decode = tangent_map(module.decoder, z.shape[1])
    _, conditions = module.parts(x)
    n_block = _rows_at_once(module, z.shape[1])
    parts = []
    for z_block, of_block in zip(
        z.split(n_block), conditions.split(n_block), strict=True
    ):
        output, jacobian = decode(beside(z_block, of_block))
        weights = module.information(output).expand_as(output)[:, None]  # (n, 1, d)
        parts.append(torch.matmul(jacobian * weights, jacobian.mT))
    total = torch.cat(parts)
    total.diagonal(dim1=-2, dim2=-1).add_(module.row_weights[1])
    return total


def _rows_at_once(module: Autoencoder, n_latents: int) -> int:
    return max(1, _JACOBIAN_SIZE // (n_latents * module.row_size))
