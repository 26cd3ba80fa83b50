"""How much is measured: at full length, and only to see that it runs."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Shape:
    """A network, its batches, and how many of them make an epoch."""

    n_columns: int
    hidden: tuple[int, ...]
    n_components: int
    batch_size: int
    n_steps: int  # long enough that what is done once per call does not count
    limit: float  # target: a step of ours over the bare products

    @property
    def name(self) -> str:
        widths = "-".join(map(str, self.hidden))
        return f"{self.n_columns}/{widths}/{self.n_components}, {self.batch_size}"

    @property
    def n_rows(self) -> int:
        return self.n_steps * self.batch_size

    @property
    def widths(self) -> list[int]:
        """Of all layers, from the columns through the latents back to the columns."""
        inner = [*self.hidden, self.n_components, *self.hidden[::-1]]
        return [self.n_columns, *inner, self.n_columns]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    shapes: tuple[Shape, ...]
    repeats: int = 7  # of what takes seconds
    long_repeats: int = 3  # of what takes minutes
    n_calls: int = 2000  # for one row
    fit_rows: int = 20_000
    fit_columns: tuple[tuple[int, int], ...] = ((30, 4), (100, 8))  # with latents
    max_iter: int | Literal["auto"] = "auto"
    # Rows, columns, latents, and the seconds that a default fit may take.
    default_fits: tuple[tuple[int, int, int, float], ...] = (
        (100, 4, 2, 0.5),
        (10_000, 50, 8, 10.0),
    )
    transform_shape: tuple[int, int] = (100_000, 784)
    projected_shape: tuple[int, int] = (100_000, 30)
    memory_mb: tuple[float, ...] = (100.0, 1000.0)
    # A mapped file whose fit's memory is measured, and one whose fit's error is.
    mapped_mb: float = 4000.0
    mapped_error_mb: float = 65.0
    table_rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    n_epochs: int = 5  # of tables of different lengths
    # Lengths of training that are tried, and epochs after which others give up.
    trained_epochs: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 75)
    most_epochs: int = 150
    n_digits: int | None = None  # whose error is followed; None takes all
    grid_rows: int = 2000
    # Columns and hidden layers of fits in threads, their rows and epochs.
    thread_shapes: tuple[tuple[int, tuple[int, ...]], ...] = (
        (100, (300, 300)),
        (784, (300, 300)),
        (30, (128, 128, 128)),
    )
    thread_rows: int = 3000
    thread_epochs: int = 5


FULL = Size(
    shapes=(
        Shape(784, (300, 300), 2, 256, n_steps=30, limit=1.15),
        Shape(100, (256, 128), 8, 256, n_steps=100, limit=1.3),
        Shape(30, (256, 128), 4, 128, n_steps=200, limit=1.35),
        Shape(30, (64, 32), 4, 128, n_steps=400, limit=2.2),
        Shape(784, (1024, 512), 32, 256, n_steps=10, limit=np.inf),
    )
)
QUICK = Size(
    shapes=(
        Shape(6, (8, 4), 2, 16, n_steps=3, limit=2.2),
        Shape(9, (8,), 3, 16, n_steps=3, limit=np.inf),
    ),
    repeats=1,
    long_repeats=1,
    n_calls=3,
    fit_rows=1000,
    fit_columns=((5, 2),),
    max_iter=2,
    default_fits=((100, 4, 2, 0.5),),
    transform_shape=(300, 12),
    projected_shape=(200, 12),
    memory_mb=(0.1,),
    mapped_mb=0.5,
    mapped_error_mb=0.2,
    table_rows=(1000, 2000),
    n_epochs=1,
    trained_epochs=(1, 2),
    most_epochs=2,
    n_digits=200,
    grid_rows=60,
    thread_shapes=((5, (8, 4)),),
    thread_rows=60,
    thread_epochs=1,
)
