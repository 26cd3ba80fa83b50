"""Corruptions of the denoising autoencoder: x -> what its encoder gets to see.

Each is a small module that works on a batch of standardised rows (n, d).
Levels are relative to the column (its standard
deviation, its range, its own values), so that a level means the same on any table.
Random numbers come from the generator that is handed on, and without one from torch's
global generator, as those of the user's function do: for it the engine seeds the global
generator and restores it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def _normal(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def _uniform(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(x.shape, dtype=x.dtype, device=x.device, generator=generator)


class Corruption(nn.Module):
    """One of the package's own, which draws from the generator it is handed."""

    level: float


class GaussianCorruption(Corruption):
    """Add noise of ``level`` standard deviations of each column."""

    column_std: Tensor

    def __init__(self, level: float, column_std: Tensor):
        super().__init__()
        self.level = level
        self.register_buffer("column_std", column_std)  # (d,)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return x + self.level * self.column_std * _normal(x, generator)


class MaskingCorruption(Corruption):
    """Replace a fraction ``level`` of the entries by their column's mean."""

    column_mean: Tensor

    def __init__(self, level: float, column_mean: Tensor):
        super().__init__()
        self.level = level
        self.register_buffer("column_mean", column_mean)  # (d,)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.where(_uniform(x, generator) < self.level, self.column_mean, x)


class SaltAndPepperCorruption(Corruption):
    """Set a fraction ``level`` of the entries to their column's lowest or highest."""

    column_min: Tensor
    column_max: Tensor

    def __init__(self, level: float, column_min: Tensor, column_max: Tensor):
        super().__init__()
        self.level = level
        self.register_buffer("column_min", column_min)  # (d,)
        self.register_buffer("column_max", column_max)  # (d,)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        u = _uniform(x, generator)  # one draw decides both: hit or not, low or high
        extreme = torch.where(u < 0.5 * self.level, self.column_min, self.column_max)
        return torch.where(u < self.level, extreme, x)


class SwapCorruption(Corruption):
    """Replace a fraction ``level`` of the entries by the same column of another row.

    Each column keeps its own distribution, categories and outliers included, which
    makes this the natural noise for tables.
    """

    def __init__(self, level: float):
        super().__init__()
        self.level = level

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n = len(x)
        own = torch.arange(n, device=x.device)[:, None]  # (n, 1)
        rows = (
            own
            + torch.randint(1, max(n, 2), x.shape, device=x.device, generator=generator)
        ) % n
        return torch.where(_uniform(x, generator) < self.level, x.gather(0, rows), x)


class BlockCorruption(Corruption):
    """Replace a rectangle of each image by the mean image.

    Its area is a fraction ``level`` of the image's on average, whatever its place and
    shape; a level of 1 leaves nothing.
    """

    column_mean: Tensor

    def __init__(
        self, level: float, column_mean: Tensor, image_shape: tuple[int, int, int]
    ):
        super().__init__()
        self.level = level
        self.image_shape = image_shape
        self.register_buffer("column_mean", column_mean)  # (d,)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        n = len(x)
        height, width, n_channels = self.image_shape
        shape, *u = torch.rand(
            5, n, 1, device=x.device, dtype=torch.float32, generator=generator
        )
        # Shares of height and width whose product is the level.
        exponent = 0.25 + 0.5 * shape  # (n, 1)
        rows = _random_span(height, self.level**exponent, u[0], u[1])  # (n, height)
        columns = _random_span(width, self.level ** (1.0 - exponent), u[2], u[3])
        is_hit = rows[:, :, None] & columns[:, None, :]  # (n, height, width)
        is_hit = is_hit[..., None].expand(n, height, width, n_channels)
        return torch.where(is_hit.reshape(n, -1), self.column_mean, x)


def _random_span(size: int, share: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Which of ``size`` positions are hit (n, size): neighbours, from a random place.

    They are the share (n, 1) wanted on average: rounded up as often as is due.
    """
    length = torch.floor(share * size + u)
    start = torch.floor(v * (size - length + 1.0))
    position = torch.arange(size, device=share.device)
    return (position >= start) & (position < start + length)


class CallableCorruption(nn.Module):
    """Apply the user's function, which sees and returns rows in the data's units."""

    function: Callable[[Tensor], Tensor]
    center: Tensor
    scale: Tensor

    def __init__(
        self, function: Callable[[Tensor], Tensor], center: Tensor, scale: Tensor
    ):
        super().__init__()
        # Not as a submodule: a torch module of the user's is not ours to train.
        object.__setattr__(self, "function", function)
        self.register_buffer("center", center)  # (d,)
        self.register_buffer("scale", scale)  # ()

    @torch.no_grad()
    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        # In the precision of the centre: columns far from zero keep their digits.
        corrupted: Any = self.function(x * self.scale + self.center)
        if not isinstance(corrupted, Tensor) or corrupted.shape != x.shape:
            is_tensor = isinstance(corrupted, Tensor)
            got = tuple(corrupted.shape) if is_tensor else type(corrupted).__name__
            raise ValueError(
                "corruption must return a tensor of the shape it was given, "
                f"{tuple(x.shape)}; got {got}."
            )
        return ((corrupted - self.center) / self.scale).to(x.dtype)
