"""The likelihood of rows with columns of several kinds, as nodes of a graph.

As `_networks.column_likelihoods` has it. Shapes: n rows, S draws, d numbers of a row, c
of them scores, m edges.
"""

import numpy as np

from .._networks.column_likelihoods import _NARROW, ColumnLikelihoods
from .._networks.losses import LOG_2PI
from ._column_maps import facts_at, searched, softplus
from ._graph import Value
from ._layers import log_normal_share, to_array


class ColumnDensities:
    """Densities of scores, and probabilities of levels and of what is true.

    Parameters
    ----------
    loss : ColumnLikelihoods
        Of the fitted module.

    log_sigma : ndarray of shape (d,)
        Logarithms of the noise.
    """

    def __init__(self, loss: ColumnLikelihoods, log_sigma: np.ndarray):
        self.loss = loss
        self.log_sigma = log_sigma[loss.scores]
        self.edges = to_array(loss.maps.edges)  # (c, m)
        self.log_slopes = to_array(loss.maps.log_slopes)  # (c, m + 1)
        self.first, self.last = to_array(loss.maps.ends).T

    def linked(self, output: Value) -> Value:
        """Shares and scores for the decoder's output (..., d)."""
        parts, start = [], 0
        ends = dict(self.loss.groups)
        while start < self.loss.n_numbers:
            stop = ends.get(start, start + 1)
            part = output.slice(start, stop)
            if start in ends:
                part = part.of("Softmax", axis=-1)
            elif start in self.loss.truths:
                part = part.of("Sigmoid")
            parts.append(part)
            start = stop
        return output.graph.concat(parts, axis=-1)

    def log_likelihood(
        self, output: Value, x: Value, log_noise: Value | None = None
    ) -> Value:
        """Of outputs (n, S, d) and rows (n, 1, d), with NaN or without: (n, S).

        Logarithms of the noise (n, S, d) where it is not the same for all rows.
        """
        graph = x.graph
        missing = x.of("IsNaN")
        there = 1.0 - graph.cast(missing, graph.dtype)
        x = graph.where(missing, 0.0, x)
        parts = []
        scores, truths = np.array(self.loss.scores), np.array(self.loss.truths)
        if len(scores):
            of_scores = [v.of("Gather", scores, axis=-1) for v in (output, x, there)]
            log_sigma = graph.constant(self.log_sigma)
            if log_noise is not None:
                log_sigma = log_noise.of("Gather", scores, axis=-1)
            parts.append(self._of_scores(log_sigma, *of_scores))
        for start, stop in self.loss.groups:
            log_shares = output.slice(start, stop).of("LogSoftmax", axis=-1)
            parts.append((log_shares * x.slice(start, stop)).sum(-1))
        if len(truths):
            sides = 2.0 * x - 1.0
            of_truths = (
                v.of("Gather", truths, axis=-1) for v in (output, sides, there)
            )
            logits, sides, known = of_truths
            parts.append((-softplus(-(logits * sides)) * known).sum(-1))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _of_scores(
        self, log_sigma: Value, output: Value, x: Value, there: Value
    ) -> Value:
        """Log-densities in the units of the values, of outputs (n, S, c): (n, S)."""
        graph, sigma = x.graph, log_sigma.of("Exp")
        scores = x.squeeze(1)
        known = np.where(np.isinf(self.edges), np.nan, self.edges)
        place = searched(scores, known, with_equal=False)
        is_atom, lower, upper, log_slope = (
            fact.unsqueeze(1) for fact in facts_at(place, self._of_places())
        )
        beyond = (self.first - x).of("Max", x - self.last).of("Max", 0.0)
        volume = log_slope - beyond
        width = graph.where(is_atom > 0.5, upper - lower, 1.0)
        middle = graph.where(is_atom > 0.5, 0.5 * (lower + upper), x)
        squares = ((middle - output) / sigma).square()
        density = -0.5 * squares + (width.of("Log") - (log_sigma + 0.5 * LOG_2PI))
        is_interval = (is_atom > 0.5) & (width >= _NARROW * sigma)
        # Where there is no interval, any will do: what comes out is not taken.
        low = graph.where(is_interval, lower, -1.0)
        high = graph.where(is_interval, upper, 1.0)
        mass = _log_interval((low - output) / sigma, (high - output) / sigma)
        parts = graph.where(is_interval, mass, density) + volume
        return (parts * there).sum(-1)

    def _of_places(self) -> list[np.ndarray]:
        """Whether each place is an atom, from where to where, and its log-slope."""
        place = np.arange(self.edges.shape[1] + 1)
        is_atom = (place % 2 == 1).astype(float)
        edges = np.where(np.isinf(self.edges), 0.0, self.edges)
        return [
            np.stack(
                [
                    is_atom,
                    of_column[(place - 1).clip(0)],
                    of_column[place.clip(0, len(of_column) - 1)],
                    log_slopes,
                ],
                axis=1,
            )
            for of_column, log_slopes in zip(edges, self.log_slopes, strict=True)
        ]


def _log_interval(lower: Value, upper: Value) -> Value:
    """Log of a standard normal's probability between two bounds, lower < upper."""
    graph = lower.graph
    # On the side of the nearer tail, where differences keep their digits.
    is_above = lower + upper > 0.0
    low = graph.where(is_above, -upper, lower)
    high = graph.where(is_above, -lower, upper)
    log_high = log_normal_share(high)
    ratio = (log_normal_share(low) - log_high).of("Min", -1e-6)
    return log_high + (1.0 - ratio.of("Exp")).of("Log")
