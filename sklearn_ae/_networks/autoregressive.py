"""An autoregressive density of few numbers: each given those before it.

The conditional density of each is a mixture of normals, whose weights, means and widths
are outputs of one network that is masked so that no number sees itself or later ones
(Germain et al., "MADE: masked autoencoder for distribution estimation", 2015).

Shapes: n rows, k numbers of a row, c normals.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._utils.device import enough_threads

_N_HIDDEN = 192
_N_NORMALS = 24
# The normals of each number at the start: together about standard normal.
_FURTHEST_MEAN, _WIDTH = 1.5, 0.6
_LOG_WIDTHS = (-6.0, 3.0)
_ROWS_AT_ONCE = 8192


class _MaskedLinear(nn.Linear):
    """A linear layer of which only some weights are there: those where mask is 1."""

    mask: Tensor

    def __init__(self, mask: Tensor):
        n_outputs, n_inputs = mask.shape
        super().__init__(n_inputs, n_outputs, dtype=torch.float32)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class AutoregressiveDensity(nn.Module):
    """The density of k numbers that are about standardised by center and scale (k,).

    Before the first step they are independent, and about standard normal in these
    units. No number is drawn below lowest or above highest (k,), the ends of what the
    density is learned from. Beyond them the networks have seen nothing, and after a
    number that is far out others are further out.
    """

    is_fast = False  # none of the package's MLPs
    center: Tensor
    scale: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, center: Tensor, scale: Tensor, lowest: Tensor, highest: Tensor):
        super().__init__()
        k = len(center)
        self.n_normals = _N_NORMALS  # of files too, whatever later versions take
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)
        self.register_buffer("lowest", (lowest - center) / scale)
        self.register_buffer("highest", (highest - center) / scale)
        # The last input that a hidden unit sees, or -1; an output sees those before its
        # own.
        of_inputs = torch.arange(k)
        of_hidden = torch.arange(_N_HIDDEN) % k - 1
        of_outputs = torch.arange(k).repeat_interleave(3 * _N_NORMALS)
        self.first = _MaskedLinear((of_hidden[:, None] >= of_inputs).float())
        self.second = _MaskedLinear((of_hidden[:, None] >= of_hidden).float())
        self.last = _MaskedLinear((of_outputs[:, None] > of_hidden).float())
        self.largest_layer = self.last.weight.numel()
        with torch.no_grad():
            self.last.weight.zero_()
            parts = self.last.bias.view(k, 3, _N_NORMALS)
            parts[:, 0] = 0.0
            parts[:, 1] = torch.linspace(
                *(-_FURTHEST_MEAN, _FURTHEST_MEAN, _N_NORMALS), dtype=torch.float32
            )
            parts[:, 2] = math.log(_WIDTH)

    @property
    def width(self) -> int:
        """Numbers that log_prob holds for each row."""
        return self.last.out_features

    def _conditionals(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-widths of standardised numbers: 3 of (n, k, c)."""
        hidden = F.silu(self.first(z))
        hidden = hidden + F.silu(self.second(hidden))
        parts = self.last(hidden).unflatten(-1, (-1, 3, self.n_normals))
        log_weights, means, log_widths = parts.unbind(dim=-2)
        return log_weights.log_softmax(dim=-1), means, log_widths.clamp(*_LOG_WIDTHS)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of rows (..., k) in nats: (...,)."""
        z = (z - self.center) / self.scale
        log_weights, means, log_widths = self._conditionals(z)
        squares = ((z[..., None] - means) * torch.exp(-log_widths)).square()
        parts = torch.logsumexp(log_weights - log_widths - 0.5 * squares, dim=-1)
        constant = 0.5 * math.log(2.0 * math.pi) + self.scale.log()
        return (parts - constant).sum(dim=-1)

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw rows (n_samples, k)."""
        with enough_threads(self, _ROWS_AT_ONCE), torch.no_grad():
            parts = [
                self._draw(min(_ROWS_AT_ONCE, n_samples - start), random_state)
                for start in range(0, n_samples, _ROWS_AT_ONCE)
            ]
        return torch.cat(parts).numpy().astype(np.float64)

    def _draw(self, n_samples: int, random_state: np.random.RandomState) -> Tensor:
        """One number of each row after the other."""
        k = len(self.center)
        uniform = torch.from_numpy(random_state.uniform(size=(n_samples, k, 1)))
        noise = torch.from_numpy(random_state.standard_normal((n_samples, k, 1)))
        z = self.center.new_zeros(n_samples, k)
        for i in range(k):
            weights, means, widths = (part[:, i] for part in self._conditionals(z))
            below = weights.exp().cumsum(dim=-1)
            chosen = (uniform[:, i] > below).sum(dim=-1, keepdim=True)
            chosen = chosen.clamp(max=self.n_normals - 1)
            mean, width = (part.gather(-1, chosen) for part in (means, widths.exp()))
            drawn = (mean + width * noise[:, i])[:, 0]
            z[:, i] = drawn.clamp(self.lowest[i], self.highest[i])
        return self.center + self.scale * z
