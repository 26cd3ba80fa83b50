"""Losses and likelihoods of `_networks.losses` as nodes of a graph.

Shapes: n rows, d columns, S draws.
"""

import math

import numpy as np
import torch

from .._inference.projection import row_weights
from .._networks.column_likelihoods import ColumnLikelihoods
from .._networks.losses import LOG_2PI, AbsoluteError, LogLoss
from .._networks.modules import Autoencoder
from .._networks.variational import VariationalAutoencoder
from ._column_likelihoods import ColumnDensities
from ._graph import Value
from ._layers import to_array


class Losses:
    """What a module compares outputs with rows by.

    Parameters
    ----------
    module : Autoencoder
        The fitted module, in double precision.

    takes_missing : bool
        Whether cells of rows may be NaN, which then have no part in anything.
    """

    def __init__(self, module: Autoencoder, takes_missing: bool):
        self.module = module
        self.loss = module.loss_function
        self.takes_missing = takes_missing
        precision, self.prior = row_weights(module)
        self.precision = to_array(precision)
        self.densities: ColumnDensities | None = None
        if isinstance(self.loss, ColumnLikelihoods):
            assert isinstance(module, VariationalAutoencoder)
            self.densities = ColumnDensities(self.loss, to_array(module.log_noise))

    @property
    def is_square(self) -> bool:
        """Whether a row's loss is one number times the squares of its differences."""
        is_other = isinstance(self.loss, AbsoluteError | LogLoss) or self.takes_missing
        return not is_other and self.precision.ndim == 0

    def linked(self, output: Value) -> Value:
        if self.densities is not None:
            return self.densities.linked(output)
        return output.of("Sigmoid") if isinstance(self.loss, LogLoss) else output

    def known(self, x: Value) -> Value:
        """Which cells of rows are there, as ones and zeros."""
        return 1.0 - x.graph.cast(x.of("IsNaN"), x.graph.dtype)

    def has_holes(self, x: Value) -> Value:
        """Of rows (n, d), as ones and zeros: (n, 1)."""
        return 1.0 - self.known(x).of("ReduceMin", np.array([1]), keepdims=1)

    def entries(self, output: Value, x: Value) -> Value:
        """The loss of each entry (..., d), zero where its cell is missing."""
        if not self.takes_missing:
            return self._all_entries(output, x)
        graph, missing = output.graph, x.of("IsNaN")
        entries = self._all_entries(output, graph.where(missing, output, x))
        return graph.where(missing, 0.0, entries)

    def _all_entries(self, output: Value, x: Value) -> Value:
        if isinstance(self.loss, LogLoss):
            fading = (1.0 + (-output.of("Abs")).of("Exp")).of("Log")
            return output.of("Max", 0.0) - output * x + fading
        if isinstance(self.loss, AbsoluteError):
            return (output - x).of("Abs")
        return (output - x).square()

    def error(self, output: Value, x: Value) -> Value:
        """Mean over the cells of each row: (n,)."""
        entries = self.entries(output, x)
        if not self.takes_missing:
            return entries.mean(-1)
        return entries.sum(-1) / self.known(x).sum(-1).of("Max", 1.0)

    def derivatives(self, output: Value, x: Value) -> tuple[Value, Value | float]:
        """Slope and curvature of each entry's loss (n, d)."""
        if not self.takes_missing:
            return self._all_derivatives(output, x)
        graph, missing = output.graph, x.of("IsNaN")
        there = graph.where(missing, output, x)
        slope, curvature = self._all_derivatives(output, there)
        return (
            graph.where(missing, 0.0, slope),
            graph.where(missing, 0.0, curvature),
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
        least = float(np.finfo(output.graph.dtype).tiny) ** 0.5
        distances = distances.of("Max", floor, least)
        return difference / distances, 1.0 / distances

    def information(self, output: Value, x: Value) -> Value | np.ndarray:
        """Fisher's information of each output, or what broadcasts: (n, 1, d)."""
        module = self.module
        assert isinstance(module, VariationalAutoencoder)
        if isinstance(self.loss, LogLoss):
            p = output.of("Sigmoid")
            weights: Value | np.ndarray = (p * (1.0 - p)).unsqueeze(1)
        else:
            with torch.no_grad():
                weights = to_array(
                    self.loss.information(torch.zeros(1), module.log_noise)
                )
        return self.known(x).unsqueeze(1) * weights if self.takes_missing else weights

    def log_likelihood(
        self, output: Value, x: Value, log_noise: Value | None = None
    ) -> Value:
        """Of outputs (n, S, d) and rows (n, 1, d): (n, S).

        Logarithms of the noise (n, S, d) where it is not the same for all rows.
        """
        if self.densities is not None:
            return self.densities.log_likelihood(output, x, log_noise)
        if isinstance(self.loss, LogLoss):
            return -self.entries(output, x).sum(-1)
        module = self.module
        assert isinstance(module, VariationalAutoencoder)
        is_laplace = isinstance(self.loss, AbsoluteError)
        each = math.log(2.0) if is_laplace else 0.5 * LOG_2PI
        if log_noise is not None:
            power = float(self.loss.scale_power)
            weights = (-power * log_noise).of("Exp") * (1.0 if is_laplace else 0.5)
            parts = self.entries(output, x) * weights + (log_noise + each)
            if self.takes_missing:
                parts = output.graph.where(x.of("IsNaN"), 0.0, parts)
            return -parts.sum(-1)
        shape = module.center.shape
        constants = np.broadcast_to(to_array(module.log_noise) + each, shape)
        total = -(self.entries(output, x) * self.precision).sum(-1)
        if not self.takes_missing:
            return total - float(constants.sum())
        return total - self.known(x) @ constants

    def log_volume(self, x: Value) -> Value | np.ndarray:
        """What densities of rows (n, d) lose by their units: () or (n,)."""
        module = self.module
        assert isinstance(module, VariationalAutoencoder)
        if not self.takes_missing:
            return to_array(module.log_volume)
        scale = np.broadcast_to(to_array(module.scale), module.center.shape)
        return -(self.known(x) @ (np.log(scale) * self.loss.has_noise))
