"""What stands in missing cells: what the latents say, and what goes with the rest.

Few latents cannot say all of a cell that other cells of its row say. What they leave of
a row goes together too: what is left of the cells that are there tells what is left of
those that are not.

Shapes: n rows, d columns, m numbers of conditions.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._networks.filling import Filling
from .._networks.modules import Autoencoder, beside, over_blocks
from .._networks.variational import VariationalAutoencoder
from .described import DescribedRows
from .factors import Factors
from .inference import Inference, some

# Factors of what goes together, and numbers of the rows that tell it: a fit should
# hardly take longer by it. Half of these rows go through the networks.
_N_FACTORS = 16
_MOST_NUMBERS = 2**18
_LEAST_ROWS, _MOST_ROWS = 512, 2000
# Of wider rows the factors would take longer than the fit.
_MOST_COLUMNS = 2000
# Share of the known cells that are hidden to try the models out.
_SHARE_HIDDEN = 0.2
# Networks know the rows that they are tried out on better than others: how much of what
# they seem to be worth is believed.
_BELIEVED = 0.5
# Draws of each row's latents that tell how far draws vary, and how many cells of a
# column speak for that before any is tried.
_N_DRAWS = 16
_CELLS_FOR_MODEL = 20


@dataclass(frozen=True)
class Imputer:
    """Linear models of rows, and of what their reconstructions leave of them.

    A missing cell is first what the model of rows expects, given the others. Two
    reconstructions may know better: that of the row filled so, and that of the cells
    alone which are there. To each comes what the model of rests expects.

    Parameters
    ----------
    rows, rests : Factors
        The models.

    shares : Tensor of shape (3, d)
        How far cells of each column go from their mean to what is expected, and from
        there to either of the two.

    seen : Tensor of shape (2, d)
        Least and most of each column: networks do not lead beyond, as they may go
        anywhere where a cell of the row is far from all others.

    n_rows : int
        Rows that tell all this.

    spread : Tensor of shape (d,) or None
        How much further cells of each column lie from the middle of a variational
        model's draws than these do. None where its likelihood has no noise that draws
        could have more of, or where it is not the model that was tried out.
    """

    rows: Factors
    rests: Factors
    shares: Tensor
    seen: Tensor
    n_rows: int
    spread: Tensor | None = None

    @classmethod
    def of(
        cls, module: Autoencoder, described: DescribedRows, cell_of: np.ndarray
    ) -> "Imputer":
        """Of training rows, in the networks' units.

        Which cell of a row each of its numbers (d,) is of goes by the order of X.
        """
        d = len(module.center)
        n_rows = min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_NUMBERS // d))
        x, z = some(described.x, n_rows), some(described.z, n_rows)
        host, order = torch.device("cpu"), described.order
        order = torch.arange(d) if order is None else order[:d].cpu()
        back = torch.argsort(order)
        seen = _seen(x[:, :d]).cpu()
        if d > _MOST_COLUMNS:
            assert module.filling is not None
            rows = Factors.of_filling(module.filling).to(host).with_columns(back)
            shares = torch.tensor([[1.0], [1.0], [0.0]]).expand(3, d)
            return cls(rows, Factors.none(d), shares, seen[:, back], len(x))
        rows = Factors.of(x[:, :d], _N_FACTORS).to(x.device)
        n_tried = max(1, n_rows // 2)
        x, z = x[:n_tried], z[:n_tried]

        def rest(x: Tensor, z: Tensor) -> Tensor:
            # Latents of rows with nothing to fill are known.
            known = None if x.isnan().any() else z
            filled = beside(rows.fill(x[:, :d]), x[:, d:])
            made = _reconstructed(module, described.inference, filled, known)
            return x[:, :d] - made

        rests = Factors.of(over_blocks(module, rest, x, z), _N_FACTORS).to(x.device)
        untried = cls(rows, rests, x.new_zeros(3, d), seen, len(x))
        cell_of = cell_of[order.numpy()]
        shares, spread = untried._try_out(module, x, described.inference, cell_of)
        return cls(
            rows.to(host).with_columns(back),
            rests.to(host).with_columns(back),
            shares.cpu()[:, back],
            seen[:, back],
            len(x),
            None if spread is None else spread.cpu()[back],
        )

    @classmethod
    def of_file(cls, kept: Any) -> "Imputer":
        """What a file holds, which was of other parts before columns had noises."""
        if not isinstance(kept.rows, Filling):
            return kept
        rows, rests = (Factors.of_filling(part) for part in (kept.rows, kept.rests))
        shares = torch.cat([torch.ones_like(kept.shares[:1]), kept.shares])
        seen = torch.tensor([[-torch.inf], [torch.inf]]).expand_as(kept.shares)
        return cls(rows, rests, shares, seen, kept.n_rows)

    def without_networks(self) -> "Imputer":
        """What the model of rows says alone, where networks have changed."""
        shares = self.shares.clone()
        shares[1:] = 0.0
        return replace(self, shares=shares, spread=None)

    @torch.no_grad()
    def _try_out(
        self,
        module: Autoencoder,
        x: Tensor,
        inference: Inference,
        cell_of: np.ndarray,
    ) -> tuple[Tensor, Tensor | None]:
        """The best shares (3, d) for cells of rows (n, d + m) that are hidden.

        And how far they are from the middle of draws, beside these (d,).
        """
        d = self.shares.shape[1]
        random_state = np.random.RandomState(0)
        cells = random_state.uniform(size=(len(x), cell_of.max() + 1)) < _SHARE_HIDDEN
        hidden = torch.from_numpy(cells[:, cell_of]).to(x.device)  # (n, d)
        tried = beside(x[:, :d].masked_fill(hidden, torch.nan), x[:, d:])
        hidden &= ~x[:, :d].isnan()
        expected, further = self._expected(module, tried, inference)
        shares = self._best_shares(x[:, :d], hidden, expected, further)
        if not isinstance(module, VariationalAutoencoder):
            return shares, None
        if module.loss_function.scale_power == 0:
            return shares, None
        return shares, self._spread_of_draws(module, x, tried, hidden, inference)

    def _best_shares(
        self, x: Tensor, hidden: Tensor, expected: Tensor, further: Tensor
    ) -> Tensor:
        """Shares (3, d) of what there is to go by for cells (n, d) that are hidden."""
        # Columns with far values may be better off at their mean.
        mean = self.rows.mean.to(x)
        away = torch.where(hidden, expected - mean, 0.0).double()  # (n, d)
        missed = torch.where(hidden, x - mean, 0.0).double()
        least = torch.finfo(away.dtype).tiny
        of_expected = (away * missed).sum(dim=0) / away.square().sum(dim=0).clamp(least)
        of_expected = of_expected.clamp(0.0, 1.0)
        missed = missed - of_expected * away
        further = torch.where(hidden, further, 0.0).double()  # (2, n, d)
        # Least squares of each column, held a little: both may be the same.
        products = torch.einsum("and,nd->da", further, missed)[..., None]  # (d, 2, 1)
        squares = torch.einsum("and,bnd->dab", further, further)  # (d, 2, 2)
        held = 1e-3 * squares.diagonal(dim1=1, dim2=2).sum(dim=1)
        held = held.clamp(min=torch.finfo(held.dtype).tiny)
        squares.diagonal(dim1=1, dim2=2).add_(held[:, None])
        shares = torch.linalg.solve(squares, products)[..., 0].T.clamp(min=0.0)
        shares = _BELIEVED * shares / shares.sum(dim=0).clamp(min=1.0)
        return torch.cat([of_expected[None], shares]).to(x.dtype)

    def _spread_of_draws(
        self,
        module: VariationalAutoencoder,
        x: Tensor,
        tried: Tensor,
        hidden: Tensor,
        inference: Inference,
    ) -> Tensor:
        """How far hidden cells of rows (n, d + m) are off, beside draws: (d,)."""
        posterior = inference.posterior(module, tried)
        generator = torch.Generator().manual_seed(0)
        eps = torch.randn(
            (_N_DRAWS, *posterior.mean.shape), dtype=x.dtype, generator=generator
        ).to(x.device)
        decoded = [
            module.loss_function.link(inference.decoded(module, tried, z))
            for z in posterior.draw(eps)
        ]
        drawn = torch.stack(decoded).clamp(*self._bounds.to(x)).double()
        given = beside(posterior.mean, module.parts(tried)[1])
        scale = module.log_noise_of(given).detach().double().exp().cpu().numpy()
        noise = torch.as_tensor(module.loss_function.noise_variance(scale))
        varies = hidden * (drawn.var(dim=0) + noise.to(x.device))
        off = torch.where(hidden, drawn.mean(dim=0) - x[:, : len(hidden[0])], 0.0)
        least = torch.finfo(off.dtype).tiny
        ratio = off.square().sum(dim=0).clamp(least) / varies.sum(dim=0).clamp(least)
        n_tried = hidden.sum(dim=0)
        ratio = ratio ** (n_tried / (n_tried + _CELLS_FOR_MODEL))
        # That they are nearer is no news: networks know these rows.
        return ratio.sqrt().clamp(min=1.0).to(x.dtype)

    def _expected(
        self, module: Autoencoder, x: Tensor, inference: Inference
    ) -> tuple[Tensor, Tensor]:
        """What the model of rows expects (n, d); how the others differ (2, n, d)."""
        own = module.parts(x)[0]
        rows, rests = self.rows.to(x.device), self.rests.to(x.device)
        expected = rows.fill(own)
        least, most = self.seen.to(expected)
        least, most = least.minimum(expected), most.maximum(expected)
        further = []
        for row in (beside(expected, module.parts(x)[1]), x):
            made = _reconstructed(module, inference, row)
            made = made + rests.expect(own - made)
            further.append(made.clamp(least, most) - expected)
        return expected, torch.stack(further)

    @property
    def _bounds(self) -> Tensor:
        """What was seen, or no bounds where no cell was: (2, d)."""
        return torch.stack(torch.aminmax(self.seen, dim=0))

    def within_seen(self, module: Autoencoder, made: np.ndarray) -> np.ndarray:
        """What latents are decoded to, in the units of X, no farther than was seen."""
        bounds = module.columns.restore(self._bounds.to(module.center))
        return np.clip(made, *bounds.detach().cpu().numpy())

    @torch.no_grad()
    def fill_rows(self, module: Autoencoder, X: Tensor, inference: Inference) -> Tensor:
        """Rows X (n, d + m) with all cells there, without their conditions: (n, d)."""
        given = module.parts(X)[0]
        missing = given.isnan()
        if not missing.any():
            return given.clone()  # else what is done to it would be done to X
        expected, further = self._expected(module, module.standardize(X), inference)
        mean, shares = self.rows.mean.to(further), self.shares.to(further)
        x = mean + shares[0] * (expected - mean)
        x = x + (shares[1:, None] * further).sum(dim=0)
        if module.loss_function.needs_unit_interval:
            x = x.clamp(0.0, 1.0)
        return torch.where(missing, module.columns.restore(x).to(X.dtype), given)


def _reconstructed(
    module: Autoencoder, inference: Inference, x: Tensor, z: Tensor | None = None
) -> Tensor:
    z = inference.latents(module, x) if z is None else z
    output = inference.decoded(module, x, z)
    return module.loss_function.link(output)


def _seen(x: Tensor) -> Tensor:
    """Least and most of each column's cells that are there: (2, d)."""
    missing = x.isnan()
    least = x.masked_fill(missing, torch.inf).amin(dim=0)
    most = x.masked_fill(missing, -torch.inf).amax(dim=0)
    return torch.stack([least, most])
