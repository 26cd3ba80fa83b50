"""The latents from which a decoder gives a row best: its projection.

The encoder's latents are a guess; a few damped Gauss-Newton steps from there find the
nearest point of all that the decoder can give, as PCA's `transform` does in a plane.
K. Levenberg, Quarterly of Applied Mathematics 2, 164-168, 1944, and D. W. Marquardt,
Journal of SIAM 11, 431-441, 1963; with losses other than the squared error the matrix
is the generalised one of N. N. Schraudolph, Neural Computation 14, 1723-1738, 2002.

Each row has its own damping, steps and end: what comes with it does not matter.

Shapes: n rows, k latents, m numbers of conditions, d features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._networks.losses import SquaredError, of_observed
from .._networks.modules import Autoencoder, beside
from .._networks.variational import VariationalAutoencoder
from .expected import ExpectedLatents
from .narrow import Outputs
from .row_noise import NoisyDecoder, NoisyLoss, has_noise_of_rows
from .tangents import TangentMap, tangent_map

# Damping of the first step, in units of the mean curvature, and what changes it: a step
# that gains this share of what it promised, or one that does not.
_DAMPING, _EASED, _RAISED = 1e-2, 1.0 / 3.0, 5.0
_LEAST_KEPT = 0.25
_MOST_DAMPING = 1e4
_LEAST_DAMPING = 1e-10
# A step that promises to lower the loss by a smaller share than this is the last.
_LEAST_GAIN = 1e-3
# Where the loss is -log p(x, z), whose size says nothing, it is so many nats.
_LEAST_NATS = 1e-2
# An end has to be better than that of another start by this share of its loss.
_LEAST_BETTER = 16.0 * torch.finfo(torch.float32).eps
# Numbers of a block's tangents.
_JACOBIAN_SIZE = 2**19


@dataclass(frozen=True)
class RowLoss:
    """What a row's latents are to make small, with its quadratic approximation.

    Parameters
    ----------
    decode : callable
        Latents, with conditions behind them, to outputs.

    expand : callable
        The same to outputs and Jacobians.

    loss : SquaredError
        Compares outputs with rows, entry by entry.

    precision : Tensor of shape () or (d,)
        What entries are multiplied by.

    prior_precision : float
        Of a normal prior at zero: 1 where its log-density counts, else 0.

    expected : tuple of Tensor or None
        Mean (k,) and precision (k, k) of the latents, which count for rows with missing
        cells.
    """

    decode: Callable[[Tensor], Tensor]
    expand: TangentMap
    loss: SquaredError
    precision: Tensor
    prior_precision: float
    expected: tuple[Tensor, Tensor] | None = None

    def value(self, z: Tensor, output: Tensor, x: Tensor) -> Tensor:
        """Of each row: (n,)."""
        entries = self.loss.entries(output, x) * self.precision
        total = entries.sum(dim=-1)
        if self.prior_precision:
            total = total + 0.5 * self.prior_precision * z.square().sum(dim=-1)
        if self.expected is not None:
            distance, slope, _ = self._from_expected(z, x)
            total = total + 0.5 * (distance * slope).sum(dim=-1)
        return total

    def _from_expected(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distances (n, k), their slopes (n, k) and curvatures (n, k, k)."""
        assert self.expected is not None
        mean, precision = self.expected
        has_holes = x.isnan().any(dim=-1).to(z.dtype)[:, None]  # (n, 1)
        distance = z - mean
        slope = distance @ precision * has_holes
        return distance, slope, precision * has_holes[..., None]

    def least_gain(self, value: Tensor) -> Tensor:
        """What a step must promise of these losses (n,), or it is the last."""
        least = _LEAST_GAIN * value.abs()
        return least.clamp(max=_LEAST_NATS) if self.prior_precision else least

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
        if self.expected is not None:
            _, slope, curvature = self._from_expected(z, x)
            gradient, hessian = gradient + slope, hessian + curvature
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
        output, jacobian = row_loss.expand(beside(z, conditions))
        value = row_loss.value(z, output, x)
        return cls(z, value, *row_loss.expansion(z, output, jacobian, x))

    def of(self, rows: Tensor) -> "_State":
        return _State(*(part[rows] for part in self._parts()))

    def put(self, rows: Tensor, other: "_State") -> None:
        """Let the rows be those of the other."""
        for part, new in zip(self._parts(), other._parts(), strict=True):
            part[rows] = new

    def _parts(self) -> tuple[Tensor, ...]:
        return self.z, self.value, self.gradient, self.hessian


def _descend(
    row_loss: RowLoss, z: Tensor, conditions: Tensor, x: Tensor, n_steps: int
) -> tuple[Tensor, Tensor]:
    """From latents z (n, k) down to better ones, and their loss (n,)."""
    here = everywhere = _State.at(row_loss, z, conditions, x)
    everything = conditions, x
    rows: Tensor | None = None  # those that go on, where these are not all
    damping = torch.full_like(here.value, _DAMPING)
    for _ in range(n_steps):
        change, promised = _damped_newton(here, damping)
        goes_on = promised > row_loss.least_gain(here.value)
        goes_on &= damping <= _MOST_DAMPING
        if not goes_on.all():
            kept = goes_on.nonzero()[:, 0]
            if len(kept) == 0:
                break
            if rows is None:
                rows = kept
            else:
                everywhere.put(rows, here)
                rows = rows[kept]
            here, change, promised = here.of(kept), change[kept], promised[kept]
            damping, conditions, x = damping[kept], conditions[kept], x[kept]
        new_z = here.z - change
        value = row_loss.value(new_z, row_loss.decode(beside(new_z, conditions)), x)
        gain = here.value - value
        is_lower = gain >= -_rounding(here.value)
        keeps_promise = gain > _LEAST_KEPT * promised
        damping = torch.where(keeps_promise, damping * _EASED, damping * _RAISED)
        if is_lower.all():
            here = _State.at(row_loss, new_z, conditions, x)
        else:
            lower = is_lower.nonzero()[:, 0]
            if len(lower):
                here.put(
                    lower,
                    _State.at(row_loss, new_z[lower], conditions[lower], x[lower]),
                )
        if rows is None:
            everywhere = here
    if rows is not None:
        everywhere.put(rows, here)
    return _polished(row_loss, everywhere, *everything)


def _rounding(value: Tensor) -> Tensor:
    """How much of a loss (n,) may be rounding errors.

    Were steps that change as little taken or not by chance, then rows near their end
    would come out differently by the root of that, beside other rows. They are taken.
    NaN, from a singular matrix or beyond the range, is never low enough.
    """
    return 16.0 * torch.finfo(value.dtype).eps * value.abs()


def _polished(
    row_loss: RowLoss, here: _State, conditions: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """One step more that is hardly damped: of a plane, it ends at the projection.

    It takes no Jacobian, as nothing follows it.
    """
    change, _ = _damped_newton(here, torch.full_like(here.value, _LEAST_DAMPING))
    z = here.z - change
    value = row_loss.value(z, row_loss.decode(beside(z, conditions)), x)
    is_lower = value <= here.value + _rounding(here.value)
    return (
        torch.where(is_lower[:, None], z, here.z),
        torch.where(is_lower, value, here.value),
    )


def _best_of(zs: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Of the ends (n, k) with these losses (n,), for each row the best.

    Ends that are as good to the digits of single precision are one: in any precision
    chance does not choose among them.
    """
    best, least = zs[0], values[0]
    for z, value in zip(zs[1:], values[1:], strict=True):
        is_lower = (value < least - _LEAST_BETTER * least.abs()) | ~least.isfinite()
        best = torch.where(is_lower[:, None], z, best)
        least = torch.where(is_lower, value, least)
    return best


def _damped_newton(here: _State, damping: Tensor) -> tuple[Tensor, Tensor]:
    """What to subtract from the latents (n, k), and the gain that it promises (n,)."""
    curvature = here.hessian.diagonal(dim1=-2, dim2=-1).mean(dim=-1)  # (n,)
    # Where nothing curves, the gradient is zero too, and so is the step.
    added = torch.addcmul(
        here.value.new_tensor(torch.finfo(curvature.dtype).tiny), damping, curvature
    )
    matrix = here.hessian.clone()
    matrix.diagonal(dim1=-2, dim2=-1).add_(added[:, None])
    factor, _ = torch.linalg.cholesky_ex(matrix)
    change = torch.cholesky_solve(here.gradient[..., None], factor)[..., 0]
    downhill = torch.addcmul(here.gradient, added[:, None], change)
    return change, 0.5 * (change * downhill).sum(dim=-1)


def row_weights(module: Autoencoder) -> tuple[Tensor, float]:
    """What weighs a row's loss against the squares of its latents, if these count.

    Precision of the loss's entries () or (d,), and of the latents: of
    -log p(x, z) those of the noise and of the prior, constants aside.
    """
    if isinstance(module, VariationalAutoencoder):
        return module.loss_function.precision(module.log_noise), 1.0
    return torch.ones((), device=module.center.device), 0.0


@torch.no_grad()
def project(
    module: Autoencoder,
    x: Tensor,
    starts: list[Tensor],
    n_steps: int,
    expected: ExpectedLatents | None = None,
    by_row: bool = False,
) -> Tensor:
    """The best latents found from each of the starts (n, k) for rows x (n, d + m).

    Of rows with missing cells they are the likeliest, given what is expected of them.
    Unless it is to be by row, noise is that which all rows share.
    """
    target, conditions = module.parts(x)
    is_expected = expected is not None and bool(target.isnan().any())
    k = starts[0].shape[1]
    row_loss, target, n_block = _comparison(module, target, k, by_row)
    if is_expected:
        row_loss = replace(row_loss, expected=expected.to(starts[0]))  # type: ignore[union-attr]
    parts = []
    for first in range(0, len(x), n_block):
        block = slice(first, first + n_block)
        # All starts of a row are rows here.
        z, value = _descend(
            row_loss,
            torch.cat([start[block] for start in starts]),
            conditions[block].repeat(len(starts), 1),
            target[block].repeat(len(starts), 1),
            n_steps,
        )
        parts.append(_best_of(z.chunk(len(starts)), value.chunk(len(starts))))
    return torch.cat(parts)


@torch.no_grad()
def information(
    module: VariationalAutoencoder, x: Tensor, z: Tensor, by_row: bool = True
) -> Tensor:
    """Fisher's information of the latents z (n, k), and the prior's: (n, k, k).

    The inverse covariance of the posterior around its mode, by the noise of the row if
    it has any, or by that which all rows share.
    """
    target, conditions = module.parts(x)
    row_loss, target, n_block = _comparison(module, target, z.shape[1], by_row)
    parts = []
    for z_block, x_block, of_block in zip(
        *(rows.split(n_block) for rows in (z, target, conditions)), strict=True
    ):
        output, jacobian = row_loss.expand(beside(z_block, of_block))
        weights = row_loss.loss.information(output, module.log_noise).expand_as(output)
        weights = torch.where(x_block.isnan(), 0.0, weights)[:, None]  # (n, 1, d)
        parts.append(torch.matmul(jacobian * weights, jacobian.mT))
    total = torch.cat(parts)
    total.diagonal(dim1=-2, dim2=-1).add_(row_loss.prior_precision)
    return total


def _comparison(
    module: Autoencoder, target: Tensor, k: int, by_row: bool
) -> tuple[RowLoss, Tensor, int]:
    """What latents of rows (n, d) are to make small, and what it is compared with.

    It is by the noise of each row, or by that which all share. The rows are as wide as
    what the decoder gives. The last are the rows whose tangents
    are held at a time, so that they stay in the caches.
    """
    loss = of_observed(module.loss_function, target)
    precision, prior_precision = row_weights(module)
    if by_row and has_noise_of_rows(module):
        assert isinstance(module, VariationalAutoencoder)
        decoder = NoisyDecoder(module)
        expand, loss = decoder.tangent_map(k), NoisyLoss(loss)
        row_loss = RowLoss(decoder, expand, loss, torch.ones(()), prior_precision)
        width = 2 * module.decoder_width
        return row_loss, torch.cat([target, target], dim=1), _at_once(k, width)
    outputs = Outputs.of(module.decoder, loss, precision)
    row_loss = RowLoss(
        outputs.decoder,
        tangent_map(outputs.decoder, k),
        loss,
        precision.to(target.dtype),
        prior_precision,
    )
    n_block = _at_once(k, outputs.width or module.decoder_width)
    return row_loss, outputs.rows(target), n_block


def _at_once(n_latents: int, width: int) -> int:
    return max(1, _JACOBIAN_SIZE // (n_latents * width))
