"""Tables of numbers in units of mean 0 and spread 1, as the command line fits them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.extras import import_extra
from ._reading import UsageError
from ._report import listed

if TYPE_CHECKING:
    import pandas as pd


def find_scaler(X: "pd.DataFrame") -> dict[str, Any]:
    """Mean and spread of each column, where all are numbers.

    A table with other columns the estimators bring to comparable units themselves.
    """
    if not all(_is_number(X[name]) for name in X.columns):
        return {}
    numbers = _numbers_of(X)
    center, scale = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
    return {
        "center": center.tolist(),
        "scale": np.where(scale > 0, scale, 1.0).tolist(),
        "is_whole": [bool(X[name].dtype.kind in "iu") for name in X.columns],
    }


def _is_number(column: "pd.Series") -> bool:
    types = import_extra("pandas").api.types
    return types.is_numeric_dtype(column.dtype) and not types.is_bool_dtype(
        column.dtype
    )


def _numbers_of(X: "pd.DataFrame") -> np.ndarray:
    return X.to_numpy(dtype=np.float64, na_value=np.nan)


def scaled(X: "pd.DataFrame", scaler: dict[str, Any]) -> "pd.DataFrame":
    """The rows as the estimator takes them."""
    if not scaler:
        return X
    words = [str(name) for name in X.columns if not _is_number(X[name])]
    if words:
        raise UsageError(f"these columns were numbers in the fit: {listed(words)}")
    numbers = (_numbers_of(X) - scaler["center"]) / scaler["scale"]
    return import_extra("pandas").DataFrame(numbers, columns=X.columns)
