"""Held-out errors as ratios to PCA's."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks._results import by_method, over_seeds

# Errors below this come from rounding to single precision; they count as equal.
ROUNDING = 1e-10


class Ratios(NamedTuple):
    """Errors divided by PCA's, with a column per method."""

    runs: pd.DataFrame  # a row per table, k and seed
    cells: pd.DataFrame  # their means over the seeds: a row per table and k

    def best(self, *left_out: str) -> pd.Series:
        """Least mean of a cell among the methods that are not left out."""
        return self.cells.drop(columns=[*left_out], errors="ignore").min(axis=1)


def error_ratios(frame: pd.DataFrame) -> Ratios:
    """Divide by PCA's error where there is one; what failed is infinitely bad."""
    errors = by_method(frame, "error", failed=np.inf).clip(lower=ROUNDING)
    errors = errors[np.isfinite(errors["pca"])]
    runs = errors.div(errors["pca"], axis=0)
    return Ratios(runs, over_seeds(runs))


def at_most_one(ratio: Any) -> Any:
    """Whether a ratio is at most 1.000, to three decimals."""
    return ratio < 1.0005
