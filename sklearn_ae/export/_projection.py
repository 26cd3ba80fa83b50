"""The steps of `_inference.projection` as nodes of a graph.

Shapes: n rows, d columns, k latents, m numbers of conditions, s starts.
"""

from collections.abc import Sequence

import numpy as np
import torch

from .._inference.inference import Refined
from .._inference.projection import (
    _DAMPING,
    _EASED,
    _LEAST_BETTER,
    _LEAST_DAMPING,
    _LEAST_GAIN,
    _LEAST_KEPT,
    _LEAST_NATS,
    _MOST_DAMPING,
    _RAISED,
)
from .._inference.tangents import tangent_map
from .._networks.modules import Autoencoder
from ._algebra import eliminated, products
from ._graph import Value
from ._layers import apply, dense_with_jacobian, to_array
from ._losses import Losses

# Latents (n, k), outputs (n, d) and Jacobians (n, k, d).
Expanded = list[Value]


class Projection:
    """Finds the latents from which a decoder gives rows best.

    Parameters
    ----------
    module : Autoencoder
        The fitted module, in double precision.

    losses : Losses
        What rows are compared by.

    inference : Refined
        How many steps there are, and where they start.
    """

    def __init__(self, module: Autoencoder, losses: Losses, inference: Refined):
        self.decoder = module.decoder
        self.losses = losses
        self.inference = inference
        self.k = inference.n_components
        self.expected: tuple[np.ndarray, np.ndarray] | None = None
        if losses.takes_missing and inference.expected is not None:
            mean, precision = inference.expected.to(torch.zeros(1).double())
            self.expected = to_array(mean), to_array(precision)

    def latents(self, encoded: Value, x: Value, conditions: Value | None) -> Value:
        """The best from each row's starts: the encoder's, and a remembered one."""
        graph, d = x.graph, len(self.losses.module.center)
        rows = x if conditions is None else graph.concat([x, conditions], axis=1)
        starts = [self._expanded(encoded, rows, d)]
        if self.inference.remembered is not None:
            starts.append(self._nearest(x, self.inference.remembered))
        s = len(starts)
        # All starts of a row are rows here.
        start = starts[0]
        if s > 1:
            rows = graph.concat([rows] * s, axis=0)
            parts = zip(*starts, strict=True)
            start = [graph.concat([*part], axis=0) for part in parts]
        z, value = self._descended(start, rows, d)
        if s == 1:
            return z
        zs, values = z.reshape(s, -1, self.k), value.reshape(s, -1)
        ends = [
            (zs.slice(i, i + 1, 0).squeeze(0), values.slice(i, i + 1, 0).squeeze(0))
            for i in range(s)
        ]
        z, value = ends[0]
        for other, lower in ends[1:]:
            is_lower = lower < value - _LEAST_BETTER * value
            z = graph.where(is_lower.unsqueeze(1), other, z)
            value = graph.where(is_lower, lower, value)
        return z

    def _nearest(self, x: Value, remembered: torch.Tensor) -> Expanded:
        """The remembered latents whose row is nearest to each.

        What the decoder makes of them is in the file.
        """
        graph, known = x.graph, remembered.double()
        with torch.no_grad():
            output, jacobian = tangent_map(self.decoder, self.k)(known)
            decoded = to_array(self.losses.loss.link(output))  # (a, d)
        if self.losses.takes_missing:
            there = self.losses.known(x)
            x = graph.where(x.of("IsNaN"), 0.0, x)
            distances = there @ np.square(decoded).T - 2.0 * (x @ decoded.T)
        else:
            distances = np.square(decoded).sum(axis=1) - 2.0 * (x @ decoded.T)
        nearest = distances.of("ArgMin", axis=1, keepdims=0)
        return [
            graph.add("Gather", to_array(part), nearest, axis=0)
            for part in (known, output, jacobian)
        ]

    def decode(self, given: Value) -> Value:
        """What rows are compared with, of latents with their conditions: (n, d)."""
        return apply(self.decoder, given)

    def expand(self, given: Value) -> tuple[Value, Value]:
        """The same, with its Jacobian in the latents (n, k, d)."""
        return dense_with_jacobian(self.decoder, self.k, given)

    # Steps ----------------------------------------------------------------------------

    def _descended(self, start: Expanded, rows: Value, d: int) -> tuple[Value, Value]:
        """From latents (n, k) down to better ones, and their loss (n, 1).

        What a row is at is one array here: its latents, its loss, and what this looks
        like there. Most rows are there long before the last: these take no more time.
        """
        graph, k = rows.graph, self.k
        here = self._at(start, rows, d)
        ones = graph.zeros_like(here.slice(k, k + 1)) + 1.0
        first = graph.constant(np.asarray(0, dtype=np.int64))
        place = graph.add("CumSum", ones, first, exclusive=1)

        def step(state: Sequence[Value]) -> tuple[list[Value], Value]:
            """One step of the rows that go on; where they are is put in its place."""
            everywhere, here, damping, place, rows = state
            inner = here.graph
            change, promised = self._newton(here, damping)
            goes_on = promised > self._least_gain(here.slice(k, k + 1))
            goes_on = (goes_on & (damping <= _MOST_DAMPING)).squeeze(1)
            together = inner.concat([here, damping, change, promised, place], axis=1)
            together = together.of("Compress", goes_on, axis=0)
            rows = rows.of("Compress", goes_on, axis=0)
            here, damping, change, promised, place = inner.split(
                together, [self._width, 1, k, 1, 1], axis=1
            )
            z = here.slice(0, k) - change
            new = self._at(self._expanded(z, rows, d), rows, d)
            value = here.slice(k, k + 1)
            gain = value - new.slice(k, k + 1)
            here = inner.where(gain >= -_rounding(value), new, here)
            keeps = gain > _LEAST_KEPT * promised
            damping = damping * inner.where(keeps, _EASED, _RAISED)
            places = inner.cast(place, np.dtype(np.int64))
            everywhere = inner.add("ScatterND", everywhere, places, here)
            is_any = inner.cast(goes_on, inner.dtype).of("ReduceMax", keepdims=0) > 0.5
            return [everywhere, here, damping, place, rows], is_any

        start = [here, here, ones * _DAMPING, place, rows]
        here, *_ = graph.loop(self.inference.n_steps, start, step)
        return self._polished(here, rows, d, ones * _LEAST_DAMPING)

    def _polished(
        self, here: Value, rows: Value, d: int, damping: Value
    ) -> tuple[Value, Value]:
        """One step more that is hardly damped."""
        graph, k = here.graph, self.k
        change, _ = self._newton(here, damping)
        z, value = here.slice(0, k), here.slice(k, k + 1)
        polished = z - change
        x, given = self._given(polished, rows, d)
        lower = self._value(polished, self.decode(given), x)
        is_lower = lower <= value + _rounding(value)
        return graph.where(is_lower, polished, z), graph.where(is_lower, lower, value)

    @property
    def _width(self) -> int:
        """Numbers of what a row is at: latents, loss, gradient and Hessian."""
        return 1 + 2 * self.k + self.k**2

    def _newton(self, here: Value, damping: Value) -> tuple[Value, Value]:
        """What to subtract from the latents (n, k), and the gain it promises (n, 1)."""
        k = self.k
        tail = here.slice(k + 1, self._width)  # gradient and Hessian
        # Their sums and places as products with constants: one node each.
        mean_curvature = np.concatenate([np.zeros(k), np.eye(k).ravel() / k])
        tiny = float(np.finfo(here.graph.dtype).tiny)
        added = damping * (tail @ mean_curvature[:, None]) + tiny
        to_system = np.zeros((k + k * k, k, k + 1))
        for i in range(k):
            to_system[i, i, k] = 1.0
            for j in range(k):
                to_system[k + i * k + j, i, j] = 1.0
        diagonal = np.eye(k, k + 1).reshape(1, -1)
        system = tail @ to_system.reshape(len(to_system), -1) + added * diagonal
        change = eliminated(system.reshape(-1, k, k + 1), k).squeeze(2)
        downhill = tail.slice(0, k) + added * change
        return change, 0.5 * (change * downhill).sum(1, keepdims=True)

    def _least_gain(self, value: Value) -> Value:
        least = _LEAST_GAIN * value.of("Abs")
        return least.of("Min", _LEAST_NATS) if self.losses.prior else least

    # Losses of rows -------------------------------------------------------------------

    def _given(self, z: Value, rows: Value, d: int) -> tuple[Value, Value]:
        """Rows without their conditions, and what the decoder is given."""
        m = self.losses.module.n_conditions
        if m == 0:
            return rows, z
        x, conditions = z.graph.split(rows, [d, m], axis=1)
        return x, z.graph.concat([z, conditions], axis=1)

    def _expanded(self, z: Value, rows: Value, d: int) -> Expanded:
        """Latents, with the decoder's outputs (n, d) and Jacobians (n, k, d)."""
        return [z, *self.expand(self._given(z, rows, d)[1])]

    def _at(self, expanded: Expanded, rows: Value, d: int) -> Value:
        """Latents, their loss, its gradient and its Gauss-Newton Hessian: (n, .)."""
        z, output, jacobian = expanded
        graph, k, losses = z.graph, self.k, self.losses
        x = self._given(z, rows, d)[0]
        if losses.is_square:
            # All sums of products at once, and as in `products` none right behind a
            # transposition.
            difference = output - x
            whole = graph.concat([jacobian, difference.unsqueeze(1)], axis=1)
            turned = [jacobian.transpose(0, 2, 1), difference.unsqueeze(2)]
            both = (whole @ graph.concat(turned, axis=2)).reshape(-1, (k + 1) ** 2)
            here = both @ _from_products(k, float(losses.precision))
            if losses.prior:
                here = here + self._of_prior(z)
            return graph.concat([z, here], axis=1)
        slope, curvature = losses.derivatives(output, x)
        gradient = (jacobian @ (slope * losses.precision).unsqueeze(2)).squeeze(2)
        weights = curvature * losses.precision
        if isinstance(weights, Value):
            weights = weights.unsqueeze(1)
        hessian = products(jacobian * weights, jacobian, k)
        hessian = hessian.reshape(-1, k * k)
        if losses.prior:
            gradient = gradient + losses.prior * z
            hessian = hessian + losses.prior * np.eye(k).ravel()
        if self.expected is not None:
            precision = self.expected[1]
            _, slope = self._from_expected(z, x)
            gradient = gradient + slope
            hessian = hessian + losses.has_holes(x) * precision.reshape(1, -1)
        value = self._value(z, output, x)
        return graph.concat([z, value, gradient, hessian], axis=1)

    def _of_prior(self, z: Value) -> Value:
        """What a normal prior adds to the loss, its gradient and its Hessian."""
        prior, k = self.losses.prior, self.k
        squares = (0.5 * prior) * z.square().sum(1, keepdims=True)
        hessian = z.graph.zeros_like(squares) + prior * np.eye(k).reshape(1, -1)
        return z.graph.concat([squares, prior * z, hessian], axis=1)

    def _value(self, z: Value, output: Value, x: Value) -> Value:
        """What a row's latents are to make small: (n, 1)."""
        entries = self.losses.entries(output, x) * self.losses.precision
        total = entries.sum(1, keepdims=True)
        if self.losses.prior:
            squares = z.square().sum(1, keepdims=True)
            total = total + (0.5 * self.losses.prior) * squares
        if self.expected is not None:
            distance, slope = self._from_expected(z, x)
            total = total + 0.5 * (distance * slope).sum(1, keepdims=True)
        return total

    def _from_expected(self, z: Value, x: Value) -> tuple[Value, Value]:
        """Distances of latents from what is expected, and their slopes: (n, k)."""
        assert self.expected is not None
        mean, precision = self.expected
        distance = z - mean
        return distance, (distance @ precision) * self.losses.has_holes(x)


def _from_products(k: int, precision: float) -> np.ndarray:
    """From products of [Jacobian | difference] to loss, gradient and Hessian."""
    places = np.arange((k + 1) ** 2).reshape(k + 1, k + 1)
    chosen = np.concatenate([[places[k, k]], places[:k, k], places[:k, :k].ravel()])
    factors = np.full(len(chosen), 2.0 * precision)
    factors[0] = precision
    matrix = np.zeros((places.size, len(chosen)))
    matrix[chosen, np.arange(len(chosen))] = factors
    return matrix


def _rounding(value: Value) -> Value:
    return 16.0 * float(np.finfo(value.graph.dtype).eps) * value.of("Abs")
