"""What a fitted estimator does with rows, as nodes of a graph.

Shapes: n rows, d columns, k latents, m numbers of conditions, S draws.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .._inference.inference import _DRAWS_TO_CHOOSE, Refined
from .._inference.posterior import Draws
from .._inference.projection import (
    _DAMPING,
    _EASED,
    _LEAST_DAMPING,
    _LEAST_GAIN,
    _LEAST_KEPT,
    _LEAST_NATS,
    _MOST_DAMPING,
    _RAISED,
    row_weights,
)
from .._networks.losses import LOG_2PI, AbsoluteError, LogLoss
from .._networks.modules import Autoencoder, EncoderDecoder
from .._networks.variational import VariationalAutoencoder
from .._tables.conditions import Conditions, _Labels
from .._utils.random import SEED_LIMIT, make_random_state
from ._graph import Graph, Value
from ._layers import apply, apply_with_maps, dense_with_jacobian, to_array


class Writer:
    """Writes what a fitted module says of rows.

    Parameters
    ----------
    graph : Graph
        Where nodes are added.

    module : Autoencoder
        The fitted module.

    inference : Refined or None
        Which latents rows are given; None is the encoder's.

    takes_missing : bool
        Whether cells of rows may be NaN, which then have no part in anything.
    """

    def __init__(
        self,
        graph: Graph,
        module: Autoencoder,
        inference: Refined | None,
        takes_missing: bool = False,
    ):
        self.graph = graph
        self.module = copy.deepcopy(module).cpu().double()
        self.inference = inference
        self.takes_missing = takes_missing
        self.loss = module.loss_function

    def standardized(self, X: Value, conditions: Value | None = None) -> Value:
        """Rows in the networks' units, from rows in their own (n, d)."""
        columns = self.module.columns
        n_seen = len(columns.center) if columns.n_seen is None else columns.n_seen
        double = np.dtype(np.float64)
        center = to_array(columns.center)[:n_seen]
        scale = to_array(columns.scale)
        scale = scale[:n_seen] if scale.ndim else scale
        # In double precision: a column far from zero keeps its digits.
        x = self.graph.cast(X, double) - self.graph.constant(center, double)
        x = self.graph.cast(x / self.graph.constant(scale, double), self.graph.dtype)
        return x if conditions is None else self.graph.concat([x, conditions], axis=1)

    def latents(self, x: Value) -> Value:
        """Of standardised rows (n, d + m): (n, k), in the networks' units."""
        if self.inference is None:
            return self._encoded(x)[0]
        return self._projected(x)

    def transform(self, x: Value) -> Value:
        return self.latents(x) * to_array(self.module.latent_scale)

    def decoded(self, z: Value, conditions: Value | None) -> Value:
        """What the decoder gives, in the networks' units, before the link."""
        if conditions is not None:
            z = self.graph.concat([z, conditions], axis=1)
        return apply(self.module.decoder, z)

    def restored(self, output: Value) -> Value:
        """The decoder's output in the data's units."""
        columns = self.module.columns
        rows = self._linked(output) * to_array(columns.output_scale)
        return rows + to_array(columns.output_center)

    def predicted(self, x: Value) -> Value:
        """Targets of standardised rows."""
        module = self.module
        return self.restored(
            apply_with_maps(module.encoder, module.decoder, self._filled(x))[1]
        )

    def errors(self, x: Value) -> Value:
        """Minus the loss of each row, in the data's units: (n,)."""
        target, conditions = self._parts(x)
        output = self.decoded(self.latents(x), conditions)
        entries = self._entries(output, target)
        if self.takes_missing:
            n_known = self._known(target).sum(-1).of("Max", 1.0)
            error = entries.sum(-1) / n_known
        else:
            error = entries.mean(-1)
        return -error * to_array(self.module.loss_scale)

    # Parts ----------------------------------------------------------------------------

    def _parts(self, x: Value) -> tuple[Value, Value | None]:
        """Rows without their conditions, and these."""
        module = self.module
        n_columns = len(module.center)
        if isinstance(module, EncoderDecoder) or module.n_inputs == n_columns:
            return x, None
        return x.slice(0, n_columns), x.slice(n_columns, module.n_inputs)

    def _encoded(self, x: Value) -> tuple[Value, Value | None]:
        """What the encoder gives: latents, or their means and log-variances."""
        both = apply(self.module.encoder, self._filled(x))
        if not isinstance(self.module, VariationalAutoencoder):
            return both, None
        k = self._n_latents
        limit = self.module.LOG_VAR_LIMIT
        log_var = both.slice(k, 2 * k).of("Max", -limit).of("Min", limit)
        return both.slice(0, k), log_var

    def _known(self, x: Value) -> Value:
        """Which cells of rows are there, as ones and zeros."""
        return 1.0 - x.graph.cast(x.of("IsNaN"), x.graph.dtype)

    def _filled(self, x: Value) -> Value:
        """Rows whose missing cells are what the others let one expect."""
        filling, graph = self.module.filling, self.graph
        if not self.takes_missing or filling is None:
            return x
        n_own, n_all = len(filling.mean), self.module.n_inputs
        own = x.slice(0, n_own) if n_own < n_all else x
        mean, loadings = to_array(filling.mean), to_array(filling.loadings)
        q = loadings.shape[1]
        if q == 0:
            expected = graph.constant(mean[None])
        else:
            rest = graph.where(own.of("IsNaN"), graph.constant(0.0), own - mean)
            squares = loadings[:, :, None] * loadings[:, None]  # (d, q, q)
            matrix = (self._known(own) @ squares.reshape(n_own, -1)).reshape(-1, q, q)
            matrix = matrix + to_array(filling.noise_variance) * np.eye(q)
            z = solved(matrix, (rest @ loadings).unsqueeze(2), q).squeeze(2)
            expected = mean + z @ loadings.T
        filled = graph.where(own.of("IsNaN"), expected, own)
        if n_own == n_all:
            return filled
        return graph.concat([filled, x.slice(n_own, n_all)], axis=1)

    @property
    def _n_latents(self) -> int:
        outputs = [p for p in self.module.encoder.parameters() if p.ndim == 1]
        n_outputs = len(outputs[-1])
        is_pair = isinstance(self.module, VariationalAutoencoder)
        return n_outputs // 2 if is_pair else n_outputs

    def _linked(self, output: Value) -> Value:
        return output.of("Sigmoid") if isinstance(self.loss, LogLoss) else output

    def _entries(self, output: Value, x: Value) -> Value:
        """The loss of each entry (n, d), zero where its cell is missing."""
        if not self.takes_missing:
            return self._all_entries(output, x)
        graph, missing = output.graph, x.of("IsNaN")
        entries = self._all_entries(output, graph.where(missing, output, x))
        return graph.where(missing, graph.constant(0.0), entries)

    def _all_entries(self, output: Value, x: Value) -> Value:
        if isinstance(self.loss, LogLoss):
            fading = (1.0 + (-output.of("Abs")).of("Exp")).of("Log")
            return output.of("Max", 0.0) - output * x + fading
        if isinstance(self.loss, AbsoluteError):
            return (output - x).of("Abs")
        return (output - x).square()

    def _derivatives(self, output: Value, x: Value) -> tuple[Value, Value | float]:
        """Slope and curvature of each entry's loss, as `_networks.losses` has them."""
        if not self.takes_missing:
            return self._all_derivatives(output, x)
        graph, missing = output.graph, x.of("IsNaN")
        there = graph.where(missing, output, x)
        slope, curvature = self._all_derivatives(output, there)
        zero = graph.constant(0.0)
        if not isinstance(curvature, Value):
            curvature = graph.constant(curvature)
        return (
            graph.where(missing, zero, slope),
            graph.where(missing, zero, curvature),
        )

    def _all_derivatives(self, output: Value, x: Value) -> tuple[Value, Value | float]:
        if isinstance(self.loss, LogLoss):
            p = output.of("Sigmoid")
            return p - x, p * (1.0 - p)
        difference = output - x
        if not isinstance(self.loss, AbsoluteError):
            return 2.0 * difference, 2.0
        distances = difference.of("Abs")
        floor = self.loss.LEAST_SHARE * distances.mean(-1, keepdims=True)
        least = float(np.finfo(self.graph.dtype).tiny) ** 0.5
        distances = distances.of("Max", floor, least)
        return difference / distances, 1.0 / distances

    # The projection -------------------------------------------------------------------

    def _projected(self, x: Value) -> Value:
        """The steps of `_inference.projection`."""
        graph, inference = self.graph, self.inference
        assert inference is not None
        target, conditions = self._parts(x)
        starts = [self._encoded(x)[0]]
        if inference.remembered is not None:
            starts.append(self._nearest(x, inference.remembered))
        ends = [
            self._descended(start, target, conditions, inference.n_steps)
            for start in starts
        ]
        z, value = ends[0]
        for other, lower in ends[1:]:
            is_lower = lower < value - _rounding(value)
            z = graph.where(is_lower.unsqueeze(1), other, z)
            value = graph.where(is_lower, lower, value)
        return z

    def _nearest(self, x: Value, remembered: torch.Tensor) -> Value:
        """The remembered latents whose row is nearest to each."""
        known = remembered.double()
        with torch.no_grad():
            decoded = to_array(self.loss.link(self.module.decoder(known)))  # (a, d)
        if self.takes_missing:
            there, zero = self._known(x), self.graph.constant(0.0)
            x = self.graph.where(x.of("IsNaN"), zero, x)
            distances = there @ np.square(decoded).T - 2.0 * (x @ decoded.T)
        else:
            distances = np.square(decoded).sum(axis=1) - 2.0 * (x @ decoded.T)
        nearest = distances.of("ArgMin", axis=1, keepdims=0)
        return self.graph.add("Gather", to_array(known), nearest, axis=0)

    def _descended(
        self, z: Value, x: Value, conditions: Value | None, n_steps: int
    ) -> tuple[Value, Value]:
        graph, k = self.graph, self._n_latents
        ends = [z, *self._expansion(z, x, conditions)]
        ones = graph.zeros_like(ends[1]) + 1.0
        first = graph.constant(np.asarray(0, dtype=np.int64))
        place = graph.add("CumSum", ones, first, exclusive=1)
        given = [x] if conditions is None else [x, conditions]
        n_parts = len(ends)

        def step(state: Sequence[Value]) -> tuple[list[Value], Value]:
            """One step of the rows that go on; where they are now is put in its place.

            Most rows are there long before the last: these take no more time.
            """
            everywhere, here = state[:n_parts], state[n_parts : 2 * n_parts]
            damping, place, *rows = state[2 * n_parts :]
            inner = place.graph
            change, promised = _newton(here[2], here[3], damping, k)
            goes_on = promised > self._least_gain(here[1])
            goes_on = goes_on & (damping <= _MOST_DAMPING)
            z, value, gradient, hessian, damping, place, change, promised, *rows = (
                part.of("Compress", goes_on, axis=0)
                for part in (*here, damping, place, change, promised, *rows)
            )
            new_z = z - change
            new_value, *expansion = self._expansion(new_z, *rows)
            gain = value - new_value
            is_taken = gain >= -_rounding(value)
            keeps = gain > _LEAST_KEPT * promised
            of_row, of_matrix = is_taken.unsqueeze(1), is_taken.unsqueeze(1, 2)
            here = [
                inner.where(of_row, new_z, z),
                inner.where(is_taken, new_value, value),
                inner.where(of_row, expansion[0], gradient),
                inner.where(of_matrix, expansion[1], hessian),
            ]
            places = inner.cast(place, np.dtype(np.int64)).unsqueeze(1)
            everywhere = [
                inner.add("ScatterND", part, places, new)
                for part, new in zip(everywhere, here, strict=True)
            ]
            damping = inner.where(keeps, damping * _EASED, damping * _RAISED)
            is_any = inner.cast(goes_on, inner.dtype).of("ReduceMax", keepdims=0) > 0.5
            return [*everywhere, *here, damping, place, *rows], is_any

        start = [*ends, *ends, ones * _DAMPING, place, *given]
        z, value, gradient, hessian, *_ = graph.loop(n_steps, start, step)
        change, _ = _newton(gradient, hessian, ones * _LEAST_DAMPING, k)
        polished = z - change
        lower = self._value(polished, self.decoded(polished, conditions), x)
        is_lower = lower <= value + _rounding(value)
        return (
            graph.where(is_lower.unsqueeze(1), polished, z),
            graph.where(is_lower, lower, value),
        )

    def _value(self, z: Value, output: Value, x: Value) -> Value:
        """What a row's latents are to make small: (n,)."""
        precision, prior = self._weights()
        total = (self._entries(output, x) * precision).sum(-1)
        if prior:
            total = total + 0.5 * prior * z.square().sum(-1)
        if self._expects:
            distance, slope, _ = self._from_expected(z, x)
            total = total + 0.5 * (distance * slope).sum(-1)
        return total

    @property
    def _expects(self) -> bool:
        """Whether latents of rows with missing cells have a density of their own."""
        inference = self.inference
        return (
            self.takes_missing
            and inference is not None
            and inference.expected is not None
        )

    def _from_expected(self, z: Value, x: Value) -> tuple[Value, Value, Value]:
        """As `RowLoss` has them: distances, their slopes and curvatures (n, k, k)."""
        assert self.inference is not None
        assert self.inference.expected is not None
        mean, precision = self.inference.expected.to(torch.zeros(1).double())
        known = self._known(x).of("ReduceMin", np.array([1]), keepdims=1)
        has_holes = 1.0 - known  # (n, 1)
        distance = z - to_array(mean)
        slope = (distance @ to_array(precision)) * has_holes
        return distance, slope, has_holes.unsqueeze(2) * to_array(precision)

    def _expansion(
        self, z: Value, x: Value, conditions: Value | None = None
    ) -> tuple[Value, Value, Value]:
        """Value (n,), gradient (n, k) and Gauss-Newton Hessian (n, k, k)."""
        precision, prior = self._weights()
        k = self._n_latents
        graph = z.graph
        given = z if conditions is None else graph.concat([z, conditions], axis=1)
        output, jacobian = dense_with_jacobian(self.module.decoder, k, given)
        slope, curvature = self._derivatives(output, x)
        gradient = (jacobian @ (slope * precision).unsqueeze(2)).squeeze(2)
        if isinstance(curvature, Value):
            weighted = jacobian * (curvature * precision).unsqueeze(1)
        else:
            weighted = jacobian * (curvature * precision)
        hessian = weighted @ jacobian.transpose(0, 2, 1)
        if prior:
            gradient = gradient + prior * z
            hessian = hessian + prior * np.eye(k)
        if self._expects:
            _, slope, of_latents = self._from_expected(z, x)
            gradient, hessian = gradient + slope, hessian + of_latents
        return self._value(z, output, x), gradient, hessian

    def _weights(self) -> tuple[np.ndarray, float]:
        precision, prior = row_weights(self.module)
        return to_array(precision), prior

    def _least_gain(self, value: Value) -> Value:
        least = _LEAST_GAIN * value
        return least.of("Min", _LEAST_NATS) if self._weights()[1] else least

    # The density of rows --------------------------------------------------------------

    def log_density(self, x: Value, eps: np.ndarray) -> Value:
        """Importance-weighted estimate of each row's log-density, with noise (S, k)."""
        module = self.module
        assert isinstance(module, VariationalAutoencoder)
        mean, log_var = self._encoded(x)
        assert log_var is not None
        std = (0.5 * log_var).of("Exp")
        factor = std.unsqueeze(1) * np.eye(self._n_latents)  # (n, k, k)
        if self.inference is not None:
            mean, factor = self._proposal(x, mean, factor)
        density = self._log_mean_weight(x, mean, factor, eps)
        if not self.takes_missing:
            return density + to_array(module.log_volume)
        known = self._known(self._parts(x)[0])
        scale = np.broadcast_to(to_array(module.scale), module.center.shape)
        return density - known @ (np.log(scale) * module.loss_function.has_noise)

    def _proposal(self, x: Value, mean: Value, factor: Value) -> tuple[Value, Value]:
        """The posterior of the mode's curvature, or the encoder's: the higher bound."""
        graph, k = self.graph, self._n_latents
        z = self._projected(x)
        information = self._information(x, z)
        lower = cholesky(information, k)
        inverse = solved(lower, graph.zeros_like(lower) + np.eye(k), k)
        curved = inverse.transpose(0, 2, 1)
        is_good = graph.cast(curved.is_finite(), graph.dtype).sum(1, 2) > k * k - 0.5
        z = graph.where(is_good.unsqueeze(1), z, mean)
        curved = graph.where(is_good.unsqueeze(1, 2), curved, factor)
        generator = torch.Generator().manual_seed(0)
        # In single precision, as they are drawn where rows have it, too.
        eps = torch.randn(_DRAWS_TO_CHOOSE, 1, k, generator=generator)
        noise = to_array(eps)[:, 0]
        is_encoded = self._log_mean_weight(x, mean, factor, noise) > (
            self._log_mean_weight(x, z, curved, noise)
        )
        if self.takes_missing:  # the encoder's width is that of complete rows
            known = self._known(self._parts(x)[0])
            is_encoded = is_encoded & (
                known.of("ReduceMin", np.array([1]), keepdims=0) > 0.5
            )
        return (
            graph.where(is_encoded.unsqueeze(1), mean, z),
            graph.where(is_encoded.unsqueeze(1, 2), factor, curved),
        )

    def _information(self, x: Value, z: Value) -> Value:
        """Fisher's information of the latents, and the prior's: (n, k, k)."""
        target, conditions = self._parts(x)
        k = self._n_latents
        given = z if conditions is None else self.graph.concat([z, conditions], axis=1)
        output, jacobian = dense_with_jacobian(self.module.decoder, k, given)
        if isinstance(self.loss, LogLoss):
            p = output.of("Sigmoid")
            weighted = jacobian * (p * (1.0 - p)).unsqueeze(1)
        else:
            weighted = jacobian * _noise_information(self.module)
        if self.takes_missing:
            weighted = weighted * self._known(target).unsqueeze(1)
        return weighted @ jacobian.transpose(0, 2, 1) + np.eye(k)

    def _log_mean_weight(
        self, x: Value, mean: Value, factor: Value, eps: np.ndarray
    ) -> Value:
        """log mean p(x, z) / q(z | x) over draws z of these posteriors: (n,)."""
        graph, k, n_draws = self.graph, self._n_latents, len(eps)
        target, conditions = self._parts(x)
        log_width = ((factor * np.eye(k)).sum(2)).of("Log").sum(1)  # (n,)
        # (k, S) noise to (n, S, k) latents
        z = mean.unsqueeze(1) + (factor @ eps.T).transpose(0, 2, 1)
        rows = z.reshape(-1, k)
        if conditions is not None:
            m = self.module.n_inputs - len(self.module.center)
            same = graph.zeros_like(z.slice(0, 1)) + conditions.unsqueeze(1)
            rows = graph.concat([rows, same.reshape(-1, m)], axis=1)
        d = len(self.module.center)
        output = apply(self.module.decoder, rows).reshape(-1, n_draws, d)
        log_likelihood = self._log_likelihood(output, target.unsqueeze(1))  # (n, S)
        entropy = 0.5 * np.square(eps).sum(axis=1)  # (S,)
        log_ratio = log_width.unsqueeze(1) + entropy - 0.5 * z.square().sum(-1)
        log_weights = log_likelihood + log_ratio
        largest = log_weights.of("ReduceMax", np.array([1]), keepdims=1)
        total = (log_weights - largest).of("Exp").sum(1).of("Log")
        return total + largest.squeeze(1) - math.log(n_draws)

    def _log_likelihood(self, output: Value, x: Value) -> Value:
        """Of outputs (n, S, d) and rows (n, 1, d): (n, S)."""
        if isinstance(self.loss, LogLoss):
            return -self._entries(output, x).sum(-1)
        module = self.module
        assert isinstance(module, VariationalAutoencoder)
        log_noise = to_array(module.log_noise)
        n_equal = len(module.center) // log_noise.size
        precision, _ = self._weights()
        each = math.log(2.0) if isinstance(self.loss, AbsoluteError) else 0.5 * LOG_2PI
        total = -(self._entries(output, x) * precision).sum(-1)
        if not self.takes_missing:
            return total - float((log_noise + each).sum() * n_equal)
        constants = np.broadcast_to(log_noise + each, module.center.shape)
        return total - self._known(x) @ constants


def draws_of(estimator: Any, n_samples: int) -> np.ndarray:
    """The noise (S, k) that `score_samples` draws with by default."""
    seed = int(make_random_state(0).randint(SEED_LIMIT))
    width = estimator.module_.row_size
    draws = Draws(n_samples, estimator.n_components_, seed, width)
    return np.concatenate([to_array(eps)[:, 0] for eps, _ in draws])


def encoded_conditions(
    graph: Graph, known: Conditions, columns: Sequence[Value]
) -> Value:
    """Conditions as numbers (n, m), from columns of labels or numbers (n, 1)."""
    parts = []
    for encoder, column in zip(known.encoders, columns, strict=True):
        if isinstance(encoder, _Labels):
            labels = encoder.labels
            if labels.dtype.kind in "OU":
                labels = labels.astype(str).astype(object)
            is_label = column.of("Equal", labels[None])
            parts.append(graph.cast(is_label, graph.dtype))
        else:
            numbers = graph.cast(column, graph.dtype)
            parts.append((numbers - float(encoder.mean)) / float(encoder.scale))
    return graph.concat(parts, axis=1)


def solved(matrix: Value, right: Value, k: int) -> Value:
    """Solutions of systems (n, k, k) with right sides (n, k, r).

    By elimination without pivots, which positive definite and triangular matrices need
    none of: ONNX has no solver among its operators.
    """
    whole = matrix.graph.concat([matrix, right], axis=2)
    for j in range(k):
        row = whole.slice(j, j + 1, axis=1)  # (n, 1, k + r)
        row = row / row.slice(j, j + 1, axis=2)
        column = whole.slice(j, j + 1, axis=2) - np.eye(k)[:, j : j + 1]
        whole = whole - column * row
    return whole.slice(k, 2**31 - 1, axis=2)


def cholesky(matrix: Value, k: int) -> Value:
    """Lower factors of positive definite matrices (n, k, k)."""
    columns, rest = [], matrix
    for j in range(k):
        pivot = rest.slice(j, j + 1, axis=1).slice(j, j + 1, axis=2)
        column = rest.slice(j, j + 1, axis=2) / pivot.of("Sqrt")
        column = column * (np.arange(k) >= j).astype(float)[:, None]
        columns.append(column)
        rest = rest - column * column.transpose(0, 2, 1)
    return matrix.graph.concat(columns, axis=2)


def _rounding(value: Value) -> Value:
    return 16.0 * float(np.finfo(value.graph.dtype).eps) * value


def _newton(
    gradient: Value, hessian: Value, damping: Value, k: int
) -> tuple[Value, Value]:
    """What to subtract from the latents (n, k), and the gain it promises (n,)."""
    trace = (hessian * np.eye(k)).sum(1, 2)
    least = float(np.finfo(hessian.graph.dtype).tiny)
    added = damping * trace * (1.0 / k) + least
    matrix = hessian + added.unsqueeze(1, 2) * np.eye(k)
    change = solved(matrix, gradient.unsqueeze(2), k).squeeze(2)
    downhill = gradient + added.unsqueeze(1) * change
    return change, 0.5 * (change * downhill).sum(1)


def _noise_information(module: Autoencoder) -> np.ndarray:
    assert isinstance(module, VariationalAutoencoder)
    with torch.no_grad():
        return to_array(
            module.loss_function.information(torch.zeros(1), module.log_noise)
        )
