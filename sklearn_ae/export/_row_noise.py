"""The noise that follows the latents, as nodes of a graph.

As `_inference.row_noise` has it. Shapes: n rows, d columns, k latents.
"""

import math

import numpy as np

from .._inference.inference import Refined
from .._networks.losses import AbsoluteError
from .._networks.variational import VariationalAutoencoder
from ._graph import Value
from ._layers import apply, dense_with_jacobian, to_array
from ._losses import Losses
from ._projection import Projection


def log_noise_of(module: VariationalAutoencoder, given: Value) -> Value:
    """Log of the noise's scale at latents with their conditions: (n, d)."""
    assert module.noise_network is not None
    return _limited(apply(module.noise_network, given) + to_array(module.log_noise))


def _limited(log_noise: Value) -> Value:
    least = VariationalAutoencoder.MIN_LOG_NOISE
    return log_noise.of("Max", least).of("Min", -least)


def mixed(module: VariationalAutoencoder, of_row: Value, shared: Value) -> Value:
    """Log-densities where a share of the rows has the shared noise: (n, S)."""
    share = module.SHARED_SHARE
    of_row, shared = of_row + math.log1p(-share), shared + math.log(share)
    largest = of_row.of("Max", shared)
    distance = (of_row - shared).of("Abs")
    return largest + (1.0 + (-distance).of("Exp")).of("Log")


class RowNoiseLosses(Losses):
    """-log p(x | z), constants aside, of [outputs | log scales] (n, 2d) and rows."""

    def __init__(self, module: VariationalAutoencoder, takes_missing: bool):
        super().__init__(module, takes_missing)
        self.of_outputs = Losses(module, takes_missing)
        self.precision = np.ones(())
        self.power = float(module.loss_function.scale_power)

    @property
    def is_square(self) -> bool:
        return False

    def _split(self, both: Value) -> tuple[Value, Value, Value]:
        """Outputs, log scales, and what the losses of entries are multiplied by."""
        d = len(self.module.center)
        output, log_scale = both.graph.split(both, [d, d], axis=1)
        falling = (-self.power * log_scale).of("Exp")
        is_laplace = isinstance(self.loss, AbsoluteError)
        return output, log_scale, falling if is_laplace else 0.5 * falling

    def _of_known(self, values: Value, x: Value) -> Value:
        if not self.takes_missing:
            return values
        return x.graph.where(x.of("IsNaN"), 0.0, values)

    def entries(self, output: Value, x: Value) -> Value:
        output, log_scale, precision = self._split(output)
        weighted = self.of_outputs.entries(output, x) * precision
        return x.graph.concat([weighted, self._of_known(log_scale, x)], axis=1)

    def derivatives(self, output: Value, x: Value) -> tuple[Value, Value]:
        output, log_scale, precision = self._split(output)
        slope, curvature = self.of_outputs.derivatives(output, x)
        weighted = self.of_outputs.entries(output, x) * precision
        power = x.graph.zeros_like(log_scale) + self.power
        slopes = [slope * precision, self._of_known(1.0 - self.power * weighted, x)]
        curvatures = [precision * curvature, self._of_known(power, x)]
        return x.graph.concat(slopes, axis=1), x.graph.concat(curvatures, axis=1)

    def information(self, output: Value, x: Value) -> Value:
        """Fisher's information of outputs and log scales: (n, 1, 2d)."""
        log_scale = self._split(output)[1]
        of_outputs = (-2.0 * log_scale).of("Exp")
        of_scales = x.graph.zeros_like(log_scale) + self.power
        parts = [self._of_known(part, x) for part in (of_outputs, of_scales)]
        return x.graph.concat(parts, axis=1).unsqueeze(1)


class Modes(Projection):
    """Finds the modes of posteriors where the noise follows the latents.

    Parameters
    ----------
    module : VariationalAutoencoder
        The fitted module, in double precision.

    takes_missing : bool
        Whether cells of rows may be NaN.

    inference : Refined
        How many steps there are.
    """

    def __init__(
        self, module: VariationalAutoencoder, takes_missing: bool, inference: Refined
    ):
        super().__init__(module, RowNoiseLosses(module, takes_missing), inference)
        self.module = module

    def near(self, z: Value, x: Value, conditions: Value | None) -> Value:
        """Those that steps from latents (n, k) lead to: (n, k)."""
        d = len(self.module.center)
        rows = x if conditions is None else z.graph.concat([x, conditions], axis=1)
        return self._descended(self._expanded(z, rows, d), rows, d)[0]

    def decode(self, given: Value) -> Value:
        outputs = [super().decode(given), log_noise_of(self.module, given)]
        return given.graph.concat(outputs, axis=1)

    def expand(self, given: Value) -> tuple[Value, Value]:
        graph, network = given.graph, self.module.noise_network
        assert network is not None
        output, jacobian = super().expand(given)
        of_noise, slopes = dense_with_jacobian(network, self.k, given)
        whole = of_noise + to_array(self.module.log_noise)
        log_noise = _limited(whole)
        # At its limits the noise follows no latent.
        is_free = graph.cast(log_noise.of("Equal", whole), graph.dtype)
        return (
            graph.concat([output, log_noise], axis=1),
            graph.concat([jacobian, slopes * is_free.unsqueeze(1)], axis=2),
        )
