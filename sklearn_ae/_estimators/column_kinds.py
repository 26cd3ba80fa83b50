"""A fit that learns every column as what it is: ``column_maps="quantile"``."""

from numbers import Integral
from typing import Any

from .._networks.column_likelihoods import ColumnLikelihoods
from .._networks.losses import SquaredError
from .._networks.starts import LinkedStart, RandomStart, Start
from .base import FitTable


def check_goes_with_maps(estimator: Any) -> None:
    """Raise where a parameter asks for what columns of several kinds have not."""
    for name, value, wanted in (
        ("loss", estimator.loss, "squared_error"),
        ("image_shape", estimator.image_shape, None),
        ("condition_columns", estimator.condition_columns, None),
    ):
        if value != wanted:
            raise ValueError(
                f"column_maps={estimator.column_maps!r} gives every column a "
                f"likelihood of its own, which goes with {name}={wanted!r}; got "
                f"{name}={value!r}."
            )
    if not isinstance(estimator.n_components, Integral):
        raise ValueError(
            f"column_maps={estimator.column_maps!r} takes a whole number of latents; "
            f"got n_components={estimator.n_components!r}."
        )
    if estimator.inference == "refined":
        raise ValueError(
            f"column_maps={estimator.column_maps!r} takes the latents of the encoder; "
            'got inference="refined". Use "auto" or "encoder".'
        )


def by_columns(table: FitTable, start: Start) -> tuple[SquaredError, Start]:
    """The likelihood of a table's rows, and a start for the networks behind it."""
    kinds = table.kinds
    assert kinds is not None  # maps are kinds of columns
    maps = {
        kinds.numbers_of(i).start: kind.map
        for i, kind in enumerate(kinds.kinds)
        if kind.map is not None
    }
    loss = ColumnLikelihoods.of(kinds.n_numbers, maps, kinds.groups)
    is_random = isinstance(start, RandomStart)
    return loss, start if is_random else LinkedStart(start, loss)
