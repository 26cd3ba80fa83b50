"""What a fitted estimator does with rows, as nodes of a graph.

Shapes: n rows, d columns, k latents, m numbers of conditions, S draws.
"""

import copy
import math
from typing import Any

import numpy as np
import torch

from .._inference.inference import _DRAWS_TO_CHOOSE, Refined
from .._inference.posterior import Draws
from .._inference.row_noise import has_noise_of_rows
from .._networks.modules import Autoencoder, EncoderDecoder
from .._networks.variational import VariationalAutoencoder
from .._utils.random import SEED_LIMIT, make_random_state
from ._algebra import cholesky, products, solved
from ._graph import Graph, Value
from ._layers import apply, apply_with_maps, to_array
from ._losses import Losses
from ._projection import Projection
from ._row_noise import Modes, log_noise_of, mixed


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
        takes_missing: bool,
    ):
        self.graph = graph
        self.module = copy.deepcopy(module).cpu().double()
        self.takes_missing = takes_missing
        self.losses = Losses(self.module, takes_missing)
        self.projection: Projection | None = None
        if inference is not None:
            self.projection = Projection(self.module, self.losses, inference)
        # Where posteriors have their modes, if that is elsewhere.
        self.modes: Modes | None = None
        if inference is not None and has_noise_of_rows(self.module):
            assert isinstance(self.module, VariationalAutoencoder)
            self.modes = Modes(self.module, takes_missing, inference)

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
        encoded = self._encoded(x)[0]
        if self.projection is None:
            return encoded
        return self.projection.latents(encoded, *self._parts(x))

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
        rows = self.losses.linked(output) * to_array(columns.output_scale)
        return rows + to_array(columns.output_center)

    def predicted(self, x: Value) -> Value:
        """Targets of standardised rows."""
        module = self.module
        return self.restored(
            apply_with_maps(module.encoder, module.decoder, self.filled(x))[1]
        )

    def reconstructed(self, x: Value) -> Value:
        return self.restored(self.decoded(self.latents(x), self._parts(x)[1]))

    def errors(self, x: Value) -> Value:
        """Minus the loss of each row, in the data's units: (n, 1)."""
        target, conditions = self._parts(x)
        output = self.decoded(self.latents(x), conditions)
        error = self.losses.error(output, target)
        return (-error * to_array(self.module.loss_scale)).unsqueeze(1)

    def filled(self, x: Value) -> Value:
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
            rest = graph.where(own.of("IsNaN"), 0.0, own - mean)
            squares = loadings[:, :, None] * loadings[:, None]  # (d, q, q)
            matrix = self.losses.known(own) @ squares.reshape(n_own, -1)
            noise = to_array(filling.noise_variance) * np.eye(q)
            matrix = matrix.reshape(-1, q, q) + noise
            z = solved(matrix, (rest @ loadings).unsqueeze(2), q).squeeze(2)
            expected = mean + z @ loadings.T
        filled = graph.where(own.of("IsNaN"), expected, own)
        if n_own == n_all:
            return filled
        return graph.concat([filled, x.slice(n_own, n_all)], axis=1)

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
        both = apply(self.module.encoder, self.filled(x))
        if not isinstance(self.module, VariationalAutoencoder):
            return both, None
        k = self._n_latents
        limit = self.module.LOG_VAR_LIMIT
        log_var = both.slice(k, 2 * k).of("Max", -limit).of("Min", limit)
        return both.slice(0, k), log_var

    @property
    def _n_latents(self) -> int:
        outputs = [p for p in self.module.encoder.parameters() if p.ndim == 1]
        n_outputs = len(outputs[-1])
        is_pair = isinstance(self.module, VariationalAutoencoder)
        return n_outputs // 2 if is_pair else n_outputs

    # The density of rows --------------------------------------------------------------

    def log_density(self, x: Value, eps: np.ndarray) -> Value:
        """Importance-weighted estimate of log-densities by noise (S, k): (n, 1)."""
        module = self.module
        assert isinstance(module, VariationalAutoencoder)
        mean, log_var = self._encoded(x)
        assert log_var is not None
        std = (0.5 * log_var).of("Exp")
        factor = std.unsqueeze(1) * np.eye(self._n_latents)  # (n, k, k)
        if self.projection is not None:
            mean, factor = self._proposal(x, mean, factor)
        density = self._log_mean_weight(x, mean, factor, eps)
        density = density + self.losses.log_volume(self._parts(x)[0])
        return density.unsqueeze(1)

    def _proposal(self, x: Value, mean: Value, factor: Value) -> tuple[Value, Value]:
        """A posterior by a mode's curvature, or the encoder's: the highest bound.

        Where there are two kinds of noise, it may be that of the one or the other.
        """
        graph, k, encoded = self.graph, self._n_latents, (mean, factor)
        assert self.projection is not None
        z = self.latents(x)
        curved = [self._curved(self.projection, x, z, encoded)]
        if self.modes is not None:
            modes = self.modes.near(z, *self._parts(x))
            curved.insert(0, self._curved(self.modes, x, modes, encoded))
        generator = torch.Generator().manual_seed(0)
        # In single precision, as they are drawn where rows have it, too.
        eps = torch.randn(_DRAWS_TO_CHOOSE, 1, k, generator=generator)
        noise = to_array(eps)[:, 0]
        best, *others = curved
        highest = self._log_mean_weight(x, *best, noise)
        for other in [encoded, *others]:
            bound = self._log_mean_weight(x, *other, noise)
            is_better = bound > highest
            if other is encoded and self.takes_missing:
                # Its width is that of complete rows.
                has_holes = self.losses.has_holes(self._parts(x)[0]).squeeze(1)
                is_better = is_better & (has_holes < 0.5)
            highest = graph.where(is_better, bound, highest)
            best = (
                graph.where(is_better.unsqueeze(1), other[0], best[0]),
                graph.where(is_better.unsqueeze(1, 2), other[1], best[1]),
            )
        return best

    def _curved(
        self, likelihood: Projection, x: Value, z: Value, encoded: tuple[Value, Value]
    ) -> tuple[Value, Value]:
        """The posterior by the curvature at a mode z, or where it has none another."""
        graph, k = self.graph, self._n_latents
        lower = cholesky(self._information(likelihood, x, z), k)
        inverse = solved(lower, graph.zeros_like(lower) + np.eye(k), k)
        curved = inverse.transpose(0, 2, 1)
        is_good = graph.cast(curved.is_finite(), graph.dtype).sum(1, 2) > k * k - 0.5
        return (
            graph.where(is_good.unsqueeze(1), z, encoded[0]),
            graph.where(is_good.unsqueeze(1, 2), curved, encoded[1]),
        )

    def _information(self, likelihood: Projection, x: Value, z: Value) -> Value:
        """Fisher's information of the latents, and the prior's: (n, k, k)."""
        target, conditions = self._parts(x)
        k = self._n_latents
        given = z if conditions is None else self.graph.concat([z, conditions], axis=1)
        output, jacobian = likelihood.expand(given)
        weighted = jacobian * likelihood.losses.information(output, target)
        return products(weighted, jacobian, k) + np.eye(k)

    def _log_mean_weight(
        self, x: Value, mean: Value, factor: Value, eps: np.ndarray
    ) -> Value:
        """log mean p(x, z) / q(z | x) over draws z of these posteriors: (n,)."""
        graph, k, n_draws = self.graph, self._n_latents, len(eps)
        module = self.module
        assert isinstance(module, VariationalAutoencoder)
        target, conditions = self._parts(x)
        log_width = ((factor * np.eye(k)).sum(2)).of("Log").sum(1)  # (n,)
        # (k, S) noise to (n, S, k) latents
        z = mean.unsqueeze(1) + (factor @ eps.T).transpose(0, 2, 1)
        rows = z.reshape(-1, k)
        if conditions is not None:
            m = module.n_conditions
            same = graph.zeros_like(z.slice(0, 1)) + conditions.unsqueeze(1)
            rows = graph.concat([rows, same.reshape(-1, m)], axis=1)
        d = len(module.center)
        output = apply(module.decoder, rows).reshape(-1, n_draws, d)
        target = target.unsqueeze(1)
        log_likelihood = self.losses.log_likelihood(output, target)  # (n, S)
        if has_noise_of_rows(module):
            log_noise = log_noise_of(module, rows).reshape(-1, n_draws, d)
            of_row = self.losses.log_likelihood(output, target, log_noise)
            log_likelihood = mixed(module, of_row, log_likelihood)
        entropy = 0.5 * np.square(eps).sum(axis=1)  # (S,)
        log_ratio = log_width.unsqueeze(1) + entropy - 0.5 * z.square().sum(-1)
        log_weights = log_likelihood + log_ratio
        largest = log_weights.of("ReduceMax", np.array([1]), keepdims=1)
        total = (log_weights - largest).of("Exp").sum(1).of("Log")
        return total + largest.squeeze(1) - math.log(n_draws)


def draws_of(estimator: Any, n_samples: int) -> np.ndarray:
    """The noise (S, k) that `score_samples` draws with by default."""
    seed = int(make_random_state(0).randint(SEED_LIMIT))
    width = estimator.module_.row_size
    draws = Draws(n_samples, estimator.n_components_, seed, width)
    return np.concatenate([to_array(eps)[:, 0] for eps, _ in draws])
