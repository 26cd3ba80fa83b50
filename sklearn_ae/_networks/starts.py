"""Where networks start: at a linear optimum, or at random.

A start is an object that finds the linear paths of encoder and decoder for the rows of
a fit. Whether it is the optimum for what the fit minimises says whether only a clear
gain should replace it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .._tables.columns import Columns
from .._tables.span import Span
from .._tables.weights import mean_row
from .._utils.processes import ALONE, Processes
from .column_likelihoods import ColumnLikelihoods
from .filling import Filling
from .linear import EXACT_PCA_SIZE, Layer, LinearStart, RegressionStart


@dataclass(frozen=True)
class LinearPaths:
    """The two linear layers that networks stand beside, and what is between them."""

    encoder: Layer
    decoder: Layer
    latent_variances: Tensor  # (k,), or (k + m,) with what rows are conditioned on
    noise_variance: float = 1.0  # per column, of what the latents leave
    filling: Filling | None = None  # what the linear model says of missing cells


class Start(ABC):
    """Finds the linear paths for standardised rows, if the networks have any."""

    @abstractmethod
    def find(
        self,
        x: Tensor,
        columns: Columns,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> LinearPaths | None:
        """The paths, for rows (n, d) in memory."""

    def can_stream(self, n_features: int) -> bool:
        """Whether it is found from blocks of rows on their way past, not a sample."""
        return False

    def find_streamed(
        self,
        blocks: Iterable[Tensor],
        weights: Tensor | None = None,
        processes: Processes = ALONE,
    ) -> LinearPaths:
        raise NotImplementedError


class RandomStart(Start):
    """Plain networks, as torch draws their weights."""

    def find(
        self,
        x: Tensor,
        columns: Columns,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> None:
        return None


@dataclass(frozen=True)
class PCAStart(Start):
    """Principal component analysis."""

    n_components: int

    def find(
        self,
        x: Tensor,
        columns: Columns,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> LinearPaths:
        start = LinearStart.from_rows(x, self.n_components, random_state, weights)
        return self._paths(start)

    def can_stream(self, n_features: int) -> bool:
        return n_features <= EXACT_PCA_SIZE

    def find_streamed(
        self,
        blocks: Iterable[Tensor],
        weights: Tensor | None = None,
        processes: Processes = ALONE,
    ) -> LinearPaths:
        k = self.n_components
        return self._paths(LinearStart.from_blocks(blocks, k, weights, processes))

    def _paths(self, start: LinearStart) -> LinearPaths:
        filling = Filling.of(start)
        return LinearPaths(*start.pca_layers(), start.noise_variance, filling)


@dataclass(frozen=True)
class UnitPCAStart(PCAStart):
    """PCA with a first latent of unit variance: on a map, distances have a unit."""

    def _paths(self, start: LinearStart) -> LinearPaths:
        encoder, decoder, variances = start.pca_layers()
        largest = variances.max()
        scale = largest.sqrt() if largest > 0 else torch.ones_like(largest)
        return LinearPaths(
            (encoder[0] / scale, encoder[1] / scale),
            (decoder[0] * scale, decoder[1]),
            variances / scale**2,
            start.noise_variance,
        )


@dataclass(frozen=True)
class ProbabilisticPCAStart(PCAStart):
    """Probabilistic PCA, of what a linear regression on the conditions leaves."""

    n_conditions: int = 0

    def find(
        self,
        x: Tensor,
        columns: Columns,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> LinearPaths:
        if not self.n_conditions:
            return super().find(x, columns, random_state, weights)
        start = LinearStart.beside_conditions(
            x, self.n_conditions, self.n_components, random_state, weights
        )
        return self._paths(start)

    def can_stream(self, n_features: int) -> bool:
        return super().can_stream(n_features) and not self.n_conditions

    def _paths(self, start: LinearStart) -> LinearPaths:
        # With conditions, a row's mean is not that of all.
        filling = None if self.n_conditions else Filling.of(start)
        layers = start.probabilistic_pca_layers()
        return LinearPaths(*layers, start.noise_variance, filling)


@dataclass(frozen=True)
class LinkedStart(Start):
    """Another start for columns of which some are shares, behind a loss's link.

    It is found in the units of factor analysis of mixed data. The decoder's linear path
    is what has the same tangent, at the mean row, as that start behind the link.
    """

    start: Start
    loss: ColumnLikelihoods

    def find(
        self,
        x: Tensor,
        columns: Columns,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> LinearPaths | None:
        d = self.loss.n_numbers
        mean = mean_row(x[:, :d], weights)
        slopes = self.loss.link_slopes(mean)
        units = torch.ones_like(x[0])
        units[:d] = slopes.rsqrt()
        paths = self.start.find(x * units, columns, random_state, weights)
        if paths is None:
            return None
        weight, bias = paths.encoder
        encoder = weight * units.to(weight), bias
        weight, bias = paths.decoder
        mean, slopes = mean.to(weight), slopes.to(weight)
        own = units[:d].to(weight)
        weight, bias = weight / own[:, None], bias / own
        bias = self.loss.inverse_link(mean) + (bias - mean) / slopes
        decoder = weight / slopes[:, None], bias
        # Its filling is in units of its own.
        return replace(paths, encoder=encoder, decoder=decoder, filling=None)


@dataclass(frozen=True)
class ReducedRankStart(Start):
    """Reduced-rank ridge regression of what is wanted on what is seen.

    Of a long table a sample is enough for it.
    """

    n_components: int

    def find(
        self,
        x: Tensor,
        columns: Columns,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> LinearPaths:
        start = RegressionStart.from_rows(
            columns.seen(x),
            columns.wanted(x),
            self.n_components,
            random_state,
            weights,
        )
        return LinearPaths(start.encoder, start.decoder, start.variances)


@dataclass(frozen=True)
class SpanStart(Start):
    """Another start for rows in coordinates of their span: the same layers, narrower.

    It is found in the units of the columns, in which latents are as on all of them.
    """

    start: Start
    span: Span

    def find(
        self,
        x: Tensor,
        columns: Columns,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> LinearPaths | None:
        r, scale = self.span.n_coordinates, self.span.scale
        units = torch.ones_like(x[0])
        units[:r] = scale
        paths = self.start.find(x * units, columns, random_state, weights)
        if paths is None:
            return None
        if paths.filling is not None:
            paths = replace(paths, filling=paths.filling.times(1.0 / scale))
        weight, bias = paths.encoder
        n_inputs = weight.shape[1]
        encoder = weight * units[:n_inputs].to(weight), bias
        if columns.n_seen is not None:
            return replace(paths, encoder=encoder)
        weight, bias = paths.decoder
        return replace(paths, encoder=encoder, decoder=(weight / scale, bias / scale))
