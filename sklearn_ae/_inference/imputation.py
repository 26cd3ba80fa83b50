"""What stands in missing cells: what the latents say, and what goes with the rest.

Few latents cannot say all of a cell that other cells of its row say. What they leave of
a row goes together too: what is left of the cells that are there tells what is left of
those that are not.

Shapes: n rows, d columns, m numbers of conditions.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .._networks.filling import Filling, find_filling
from .._networks.modules import Autoencoder, beside, over_blocks
from .described import DescribedRows
from .inference import Inference, some

# Axes of what goes together, and numbers of the rows that tell it: a fit should hardly
# take longer by it.
_N_AXES = 16
_MOST_NUMBERS = 2**17
_LEAST_ROWS, _MOST_ROWS = 256, 1000
# Wider rows are filled as the encoder sees them: axes would take longer than the fit.
_MOST_COLUMNS = 2000
# Share of the known cells that are hidden to try the models out.
_SHARE_HIDDEN = 0.2


@dataclass(frozen=True)
class Imputer:
    """Linear models of rows, and of what their reconstructions leave of them.

    A missing cell is first what the model of rows expects, given the others. Two
    reconstructions may know better: that of the row filled so, and that of the cells
    alone which are there. To each comes what the model of rests expects.

    Parameters
    ----------
    rows, rests : Filling
        The models.

    shares : Tensor of shape (2, d)
        How far cells of each column go from the expectation to either of the two.

    n_rows : int
        Rows that tell all this.
    """

    rows: Filling
    rests: Filling
    shares: Tensor
    n_rows: int

    @classmethod
    def of(cls, module: Autoencoder, described: DescribedRows) -> "Imputer":
        """Of training rows, in the networks' units."""
        d = len(module.center)
        n_rows = min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_NUMBERS // d))
        x, z = some(described.x, n_rows), some(described.z, n_rows)
        if d > _MOST_COLUMNS:
            assert module.filling is not None
            rows = copy.deepcopy(module.filling)
            return cls(
                rows.cpu(),
                Filling.by_mean(torch.zeros(d)),
                torch.tensor([[1.0], [0.0]]).expand(2, d),
                len(x),
            )
        random_state = np.random.RandomState(0)
        rows = find_filling(x[:, :d], _N_AXES, random_state).to(x.device)

        def rest(x: Tensor, z: Tensor) -> Tensor:
            # Latents of rows with nothing to fill are known.
            known = None if x.isnan().any() else z
            made = _reconstructed(module, described.inference, rows(x), known)
            return x[:, :d] - made

        rests = find_filling(over_blocks(module, rest, x, z), _N_AXES, random_state)
        rests = rests.to(x.device)
        untried = cls(rows, rests, x.new_zeros(2, d), len(x))
        shares = untried._try_out(module, x, described.inference, random_state)
        if described.order is not None:
            back = torch.argsort(described.order)[:d].to(x.device)
            shares = shares[:, back]
            for model in (rows, rests):
                model.put_columns_back(back)
        return cls(rows.cpu(), rests.cpu(), shares.cpu(), len(x))

    def without_networks(self) -> "Imputer":
        """What the model of rows says alone, where networks have changed."""
        return replace(self, shares=torch.zeros_like(self.shares))

    @torch.no_grad()
    def _try_out(
        self,
        module: Autoencoder,
        x: Tensor,
        inference: Inference,
        random_state: np.random.RandomState,
    ) -> Tensor:
        """The best shares (2, d) for cells of the rows (n, d + m) that are hidden."""
        d = self.shares.shape[1]
        hidden = torch.from_numpy(random_state.uniform(size=(len(x), d)))
        hidden = (hidden < _SHARE_HIDDEN).to(x.device)
        tried = beside(x[:, :d].masked_fill(hidden, torch.nan), x[:, d:])
        hidden &= ~x[:, :d].isnan()
        expected, further = self._expected(module, tried, inference)
        missed = torch.where(hidden, x[:, :d] - expected, 0.0).double()  # (n, d)
        further = torch.where(hidden, further, 0.0).double()  # (2, n, d)
        # Least squares of each column, held a little: both may be the same.
        products = torch.einsum("and,nd->da", further, missed)[..., None]  # (d, 2, 1)
        squares = torch.einsum("and,bnd->dab", further, further)  # (d, 2, 2)
        held = 1e-3 * squares.diagonal(dim1=1, dim2=2).sum(dim=1)
        held = held.clamp(min=torch.finfo(held.dtype).tiny)
        squares.diagonal(dim1=1, dim2=2).add_(held[:, None])
        shares = torch.linalg.solve(squares, products)[..., 0].T.clamp(min=0.0)
        return (shares / shares.sum(dim=0).clamp(min=1.0)).to(x.dtype)

    def _expected(
        self, module: Autoencoder, x: Tensor, inference: Inference
    ) -> tuple[Tensor, Tensor]:
        """What the model of rows expects (n, d); how the others differ (2, n, d)."""
        own = module.parts(x)[0]
        rows, rests = self.rows.to(x.device), self.rests.to(x.device)
        filled = rows(x)
        expected = module.parts(filled)[0]
        further = []
        for seen in (filled, x):
            made = _reconstructed(module, inference, seen)
            further.append(made + rests(own - made) - expected)  # NaN where missing
        return expected, torch.stack(further)

    @torch.no_grad()
    def fill_rows(self, module: Autoencoder, X: Tensor, inference: Inference) -> Tensor:
        """Rows X (n, d + m) with all cells there, without their conditions: (n, d)."""
        given = module.parts(X)[0]
        missing = given.isnan()
        if not missing.any():
            return given
        expected, further = self._expected(module, module.standardize(X), inference)
        x = expected + (self.shares.to(further)[:, None] * further).sum(dim=0)
        if module.loss_function.needs_unit_interval:
            x = x.clamp(0.0, 1.0)
        return torch.where(missing, module.columns.restore(x).to(X.dtype), given)


def _reconstructed(
    module: Autoencoder, inference: Inference, x: Tensor, z: Tensor | None = None
) -> Tensor:
    z = inference.latents(module, x) if z is None else z
    output = inference.decoded(module, x, z)
    return module.loss_function.link(output)
