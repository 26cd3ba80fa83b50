"""What reducers are measured on: the rows, split once and scaled."""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import _safe_indexing, check_array, column_or_1d

from .._tables.containers import is_frame
from .._utils.extras import import_extra
from ._encoding import MixedEncoder, needs_encoding

SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler}

# A comparison of fewer rows says nothing: two or three of them would be held out.
MIN_ROWS = 8

# An integer y with more distinct values than this is read as a quantity.
_MAX_DISCRETE_VALUES = 50


@dataclass
class Split:
    """The split and scaled rows, the same for every reducer."""

    X_train: NDArray[Any]  # (n_train, n_features)
    X_test: NDArray[Any]  # (n_test, n_features)
    y_train: NDArray[Any] | None
    y_test: NDArray[Any] | None
    test_index: NDArray[np.intp]  # positions of the held-out rows in X
    discrete: bool
    stratified: bool
    n_neighbors: int
    neighborhood_rows: int
    seed: int
    # What each column was taken for, where these are of several kinds.
    columns: list[list[str]] | None = None
    # PCA's squared errors by k, (n_test,) each: computed once, for all reducers.
    pca_errors: dict[int, NDArray[Any]] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        return len(self.X_train) + len(self.X_test)

    @property
    def target_type(self) -> str | None:
        if self.y_train is None:
            return None
        return "discrete" if self.discrete else "continuous"


def split_rows(
    X: Any,
    y: Any,
    *,
    test_size: Any,
    scaler: Any,
    target_type: str,
    n_neighbors: Any,
    max_neighborhood_rows: int,
    seed: int,
) -> Split:
    """Check X and y, split their rows and scale them."""
    if sparse.issparse(X):
        raise TypeError(
            "Sparse X is not supported by compare_reducers. Use X.toarray(), "
            "if it fits into memory."
        )
    if not isinstance(n_neighbors, Integral) or n_neighbors < 1:
        raise ValueError(f"n_neighbors must be an integer >= 1; got {n_neighbors!r}.")
    if not is_frame(X):  # data frames keep their column names and types
        X = np.asarray(X)
    if len(X) < MIN_ROWS:
        raise ValueError(
            f"A comparison needs at least {MIN_ROWS} rows, some of which are held out; "
            f"got {len(X)}."
        )
    if y is not None:
        y = read_target(y)
        if len(y) != len(X):
            raise ValueError(f"X has {len(X)} rows, y has {len(y)}.")
    discrete = y is not None and _is_discrete(y, target_type)

    if discrete:  # classes may be anything: half stars, text, dates
        y = np.unique(y, return_inverse=True)[1]
    index = np.arange(len(X))
    stratified = discrete and _can_stratify(y, test_size)
    train, test = train_test_split(
        index,
        test_size=test_size,
        stratify=y if stratified else None,
        random_state=seed,
    )
    X_train, X_test = _safe_indexing(X, train), _safe_indexing(X, test)
    is_mixed = scaler == "standard" and needs_encoding(X)
    scaler = MixedEncoder() if is_mixed else _check_scaler(scaler)
    if scaler is not None:
        X_train = scaler.fit(X_train).transform(X_train)
        X_test = scaler.transform(X_test)
    return Split(
        X_train=check_array(X_train, dtype=[np.float64, np.float32]),
        X_test=check_array(X_test, dtype=[np.float64, np.float32]),
        y_train=None if y is None else y[train],
        y_test=None if y is None else y[test],
        test_index=test,
        discrete=discrete,
        stratified=stratified,
        n_neighbors=int(n_neighbors),
        neighborhood_rows=min(int(max_neighborhood_rows), len(test)),
        seed=seed,
        columns=scaler.kinds if isinstance(scaler, MixedEncoder) else None,
    )


def read_target(y: Any) -> NDArray[Any]:
    """Return y as numbers, truth values or text, by what it holds.

    Dates and durations are quantities, in days. An object array is what its values
    are; missing values are refused.
    """
    pandas = import_extra("pandas")
    values = pandas.Series(column_or_1d(y))
    if values.isna().any():
        raise ValueError("y has missing values: leave these rows out.")
    types = pandas.api.types
    if values.dtype == object:
        values = values.infer_objects()
    if values.dtype == object and all(isinstance(v, Decimal) for v in values):
        values = values.astype(float)
    if isinstance(values.dtype, pandas.PeriodDtype):
        values = values.dt.to_timestamp()
    if isinstance(values.dtype, pandas.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if types.is_datetime64_any_dtype(values.dtype):
        values = pandas.to_datetime(values, utc=True)
        start = pandas.Timestamp("1970-01-01", tz="UTC")
        return ((values - start).dt.total_seconds() / 86400).to_numpy()
    if types.is_timedelta64_dtype(values.dtype):
        return (values.dt.total_seconds() / 86400).to_numpy()
    if types.is_bool_dtype(values.dtype):
        return values.to_numpy(dtype=bool)
    if types.is_integer_dtype(values.dtype):
        return values.to_numpy(dtype=np.int64)
    if types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64)
    kinds = {type(value).__name__ for value in values}
    if len(kinds) > 1:
        raise TypeError(
            f"y mixes values of the types {', '.join(sorted(kinds))}: make them all "
            "numbers or all text."
        )
    return values.to_numpy(dtype=str)


def _is_discrete(y: NDArray[Any], target_type: str) -> bool:
    if target_type == "auto":
        if y.dtype.kind not in "iuf":
            return True
        values = np.unique(y)
        whole = bool(np.all(values == np.round(values)))
        return whole and len(values) <= max(2, min(_MAX_DISCRETE_VALUES, len(y) // 5))
    if target_type not in ("discrete", "continuous"):
        raise ValueError(
            "target_type must be one of 'auto', 'discrete', 'continuous'; "
            f"got {target_type!r}."
        )
    if target_type == "continuous" and y.dtype.kind not in "iufb":
        raise ValueError(
            f"target_type='continuous' needs numbers; y holds text, such as {y[0]!s}."
        )
    return target_type == "discrete"


def _can_stratify(y: NDArray[Any], test_size: Any) -> bool:
    """Say whether both parts can hold a row of every class."""
    counts = np.unique(y, return_counts=True)[1]
    whole = isinstance(test_size, Integral)
    n_test = float(test_size) if whole else test_size * len(y)
    smallest_part = math.floor(min(n_test, len(y) - n_test))
    return bool(counts.min() >= 2 and smallest_part >= len(counts))


def _check_scaler(scaler: Any) -> Any:
    if scaler is None:
        return None
    if isinstance(scaler, str):
        if scaler not in SCALERS:
            raise ValueError(
                f"scaler must be one of {sorted(SCALERS)}, a transformer or None; "
                f"got {scaler!r}."
            )
        return SCALERS[scaler]()
    return clone(scaler)
