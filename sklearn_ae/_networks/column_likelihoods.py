"""The likelihood of rows whose columns are of several kinds, each as what it is.

Numbers are scores (`_tables/column_maps.py`): normal around the decoder's output. Where
a value is an atom, its probability is that of its interval of scores, spread over what
is nearer to it than to any other value of `fit`; elsewhere its density is that of the
score times the map's slope. All densities are in the data's units. Levels of a
category, and patterns of missing cells, have the softmax of their outputs for
probabilities; what is true or false has the sigmoid.

Shapes: n rows, d numbers of a row, c of them scores, m places along a map.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from .._tables.column_maps import ColumnMap
from .losses import LOG_2PI, SquaredError, mean_of_known

# An interval that is narrower than this share of the noise is as good as its middle.
_NARROW = 0.02
# Shares whose logarithms stand for those of levels that hardly are.
_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class _Maps:
    """Edges of the knots along the scores (c, m), and what is between them."""

    edges: Tensor
    # Log-slopes before, between and after the knots; at knots, minus their log-widths.
    log_slopes: Tensor  # (c, m + 1)
    ends: Tensor  # (c, 2), the first of the edges and the last

    @classmethod
    def of(cls, maps: list[ColumnMap]) -> "_Maps":
        n_knots = max((len(m.values) for m in maps), default=0)
        edges = torch.full((len(maps), 2 * n_knots), math.inf, dtype=torch.float64)
        log_slopes = torch.zeros(len(maps), 2 * n_knots + 1, dtype=torch.float64)
        for i, known in enumerate(maps):
            edges[i, : 2 * len(known.values)] = torch.from_numpy(known.edges)
            places = log_slopes[i, : 2 * len(known.values) + 1]
            places[::2] = torch.from_numpy(known.log_slopes)
            places[1::2] = -torch.from_numpy(known.log_widths)
        ends = torch.tensor([[m.lower[0], m.upper[-1]] for m in maps])
        return cls(edges, log_slopes, ends.double().reshape(-1, 2))

    def to(self, x: Tensor) -> "_Maps":
        return _Maps(self.edges.to(x), self.log_slopes.to(x), self.ends.to(x))

    def find(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Which scores (n, c) are of atoms, from where to where, and log-slopes.

        The slope of an atom is 1 over its width.
        """
        place = torch.searchsorted(self.edges, scores.mT.contiguous())  # (c, n)
        lower = self.edges.gather(1, (place - 1).clamp(min=0))
        upper = self.edges.gather(1, place.clamp(max=self.edges.shape[1] - 1))
        is_atom = place % 2 == 1
        log_slopes = self.log_slopes.gather(1, place)
        # Beyond the ends the map flattens.
        first, last = self.ends.mT
        beyond = torch.maximum(first - scores, scores - last).clamp(min=0.0)
        return is_atom.mT, lower.mT, upper.mT, log_slopes.mT - beyond


@dataclass(frozen=True)
class ColumnLikelihoods(SquaredError):
    """Normal scores, categories and truths side by side; missing cells have no part.

    Its error of a row is no likelihood: squares of differences between scores, and the
    log loss of categories, averaged over the row's numbers.

    Parameters
    ----------
    n_numbers : int
        Of a row, d.

    scores, truths : list of int
        Which of them are scores, and which stand for what is true or false.

    groups : list of pairs of int
        Where those that are shares of one whole start and stop.

    maps : _Maps
        The scores' maps.
    """

    scale_power = 0
    is_square = False
    takes_missing = True

    n_numbers: int
    scores: list[int]
    groups: list[tuple[int, int]]
    truths: list[int]
    maps: _Maps = field(repr=False)

    @classmethod
    def of(
        cls, n_numbers: int, maps: dict[int, ColumnMap], groups: list[slice]
    ) -> "ColumnLikelihoods":
        """By the numbers that have maps, and those that are shares of one whole."""
        grouped = {i for group in groups for i in range(group.start, group.stop)}
        truths = [i for i in range(n_numbers) if i not in grouped and i not in maps]
        pairs = [(group.start, group.stop) for group in groups]
        scores = sorted(maps)
        of_scores = _Maps.of([maps[i] for i in scores])
        return cls(n_numbers, scores, pairs, truths, of_scores)

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        return mean_of_known(self.entries(output, x), x)

    def mean_error_and_gradient(
        self, output: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("Rows of several likelihoods are trained by bounds.")

    def entries(self, output: Tensor, x: Tensor) -> Tensor:
        missing = x.isnan()
        x = torch.where(missing, 0.0, x).expand_as(output)
        parts = torch.zeros_like(output)
        parts[..., self.scores] = (output - x)[..., self.scores].square()
        for start, stop in self.groups:
            log_shares = torch.log_softmax(output[..., start:stop], dim=-1)
            parts[..., start:stop] = -log_shares * x[..., start:stop]
        parts[..., self.truths] = F.binary_cross_entropy_with_logits(
            output[..., self.truths], x[..., self.truths], reduction="none"
        )
        return torch.where(missing, 0.0, parts)

    def log_likelihood(self, output: Tensor, x: Tensor, log_sigma: Tensor) -> Tensor:
        known = ~x.isnan()
        x = torch.where(known, x, 0.0)
        total = self._log_density(output, x, known, log_sigma)
        for start, stop in self.groups:
            log_shares = torch.log_softmax(output[..., start:stop], dim=-1)
            # Of a missing cell all indicators are zero here.
            total = total + (log_shares * x[..., start:stop]).sum(dim=-1)
        if self.truths:
            logits = output[..., self.truths]
            sides = 2.0 * x[..., self.truths] - 1.0
            parts = F.logsigmoid(logits * sides) * known[..., self.truths]
            total = total + parts.sum(dim=-1)
        return total

    def _log_density(
        self, output: Tensor, x: Tensor, known: Tensor, log_sigma: Tensor
    ) -> Tensor:
        """Of the scores of each row, in the units of their values."""
        if not self.scores:
            return output.new_zeros(output.shape[:-1])
        output, log_sigma = output[..., self.scores], log_sigma[..., self.scores]
        x, known = x[..., self.scores], known[..., self.scores]
        is_atom, lower, upper, volume = self.maps.to(x).find(x)
        is_narrow = (upper - lower) < _NARROW * log_sigma.exp()
        is_interval = is_atom & ~is_narrow
        middle = torch.where(is_atom, 0.5 * (lower + upper), x)
        # The density at the middle, times the map's slope or the interval's width.
        width = torch.where(is_atom, upper - lower, 1.0).log()
        squares = ((middle - output) * torch.exp(-log_sigma)).square()
        density = -0.5 * squares - log_sigma - 0.5 * LOG_2PI + width
        # Where there is no interval, any will do: what comes out is not taken.
        lower = torch.where(is_interval, lower, -1.0)
        upper = torch.where(is_interval, upper, 1.0)
        scale = torch.exp(-log_sigma)
        mass = log_interval((lower - output) * scale, (upper - output) * scale)
        parts = torch.where(is_interval, mass, density) + volume
        return torch.where(known, parts, 0.0).sum(dim=-1)

    def link(self, output: Tensor) -> Tensor:
        linked = output.clone()
        for start, stop in self.groups:
            linked[..., start:stop] = torch.softmax(output[..., start:stop], dim=-1)
        linked[..., self.truths] = torch.sigmoid(output[..., self.truths])
        return linked

    def inverse_link(self, x: Tensor) -> Tensor:
        output = x.clone()
        for start, stop in self.groups:
            output[..., start:stop] = x[..., start:stop].clamp(min=_LEAST_SHARE).log()
        output[..., self.truths] = torch.logit(x[..., self.truths], eps=_LEAST_SHARE)
        return output

    def link_slopes(self, x: Tensor) -> Tensor:
        """How fast what is linked follows its own output, where it is x (d,)."""
        slopes = torch.ones_like(x)
        shares = x.clamp(_LEAST_SHARE, 1.0 - _LEAST_SHARE)
        of_shares = [*self.truths, *(i for pair in self.groups for i in range(*pair))]
        slopes[of_shares] = (shares * (1.0 - shares))[of_shares]
        return slopes


def log_interval(lower: Tensor, upper: Tensor) -> Tensor:
    """Log of a standard normal's probability between two bounds, lower < upper."""
    # On the side of the nearer tail, where differences keep their digits.
    is_above = lower + upper > 0
    low = torch.where(is_above, -upper, lower)
    high = torch.where(is_above, -lower, upper)
    log_high = torch.special.log_ndtr(high)
    ratio = torch.special.log_ndtr(low) - log_high
    return log_high + torch.log(-torch.expm1(ratio.clamp(max=-1e-6)))
