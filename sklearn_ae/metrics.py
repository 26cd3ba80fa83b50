"""Scores that choose between estimators, and what new rows tell of training rows."""

from typing import Any

import numpy as np
from sklearn.utils import check_array, gen_batches

from ._tables.containers import RawColumn, is_frame
from ._tables.table_kinds import columns_of, needs_kinds

__all__ = ["distance_to_closest_record", "reconstruction_r2"]

# Distances that are held at a time.
_BLOCK_SIZE = 2**22


def reconstruction_r2(estimator: Any, X: Any, y: Any = None) -> float:
    """Share of the columns' variance that an estimator gives back: 1 is perfect.

    For ``scoring=`` in searches and cross-validation. The estimators' own `score` is in
    the units that they are given, so that a search over scalers takes the one that
    makes the numbers small. This one compares with the rows of X as they came, column
    by column in units of its variance: no scaler before the estimator changes what is
    measured.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Fitted, with `transform` and `inverse_transform`: those of this package, PCA,
        and Pipelines of such steps.

    X : array-like of shape (n_samples, n_features)
        Rows, at least two.

    y : array-like or None, default=None
        Ignored: here for scikit-learn's searches.

    Returns
    -------
    score : float
        One minus the squared error over the variance, averaged over the columns of X
        that vary. 0 is what the columns' means give, and there is no lower bound.

    See Also
    --------
    sklearn.metrics.r2_score : The same of predictions.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn.preprocessing import MinMaxScaler, StandardScaler
    >>> from sklearn_ae.metrics import reconstruction_r2
    >>> X = load_wine().data
    >>> pipeline = Pipeline([("scale", None), ("reduce", PCA(2))])
    >>> scalers = [None, StandardScaler(), MinMaxScaler()]
    >>> search = GridSearchCV(pipeline, {"scale": scalers}, scoring=reconstruction_r2)
    >>> search.fit(X).best_params_
    {'scale': StandardScaler()}
    """
    rows = check_array(X, dtype=np.float64, ensure_min_samples=2)
    given = estimator.inverse_transform(estimator.transform(X))
    error = np.square(rows - np.asarray(given, dtype=np.float64)).mean(axis=0)
    variance = rows.var(axis=0)
    varies = variance > 1e-20 * np.square(rows).mean(axis=0)
    if not varies.any():
        raise ValueError("No column of X varies: there is nothing to give back.")
    return float(np.mean(1.0 - error[varies] / variance[varies]))


def distance_to_closest_record(X: Any, X_train: Any) -> np.ndarray:
    """Distance of each row of X to the training row that is closest to it.

    Where rows that a model has drawn are closer to its training rows than rows that it
    never saw, it repeats what it was trained on. Compare, therefore, with the distances
    of rows that were held out: their fifth percentile, and the share that is 0.

    The distance is Gower's [1]_: the mean over the columns of 0 or 1 for equal or
    other levels, and for numbers of the difference over the range of the training rows,
    at most 1. A cell that is missing is equal to another such and at 1 from all others.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows, as `sample` gives them, or rows that were held out.

    X_train : array-like of shape (n_train, n_features)
        Training rows, with the same columns; frames may have them in another order.

    Returns
    -------
    distances : ndarray of shape (n_samples,)
        From 0, a row that is among the training rows, to 1.

    See Also
    --------
    sklearn_ae.VAETransformer : Its `sample` draws rows.

    References
    ----------
    .. [1] J. C. Gower, "A general coefficient of similarity and some of its
       properties", Biometrics 27, 857-871, 1971.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae.metrics import distance_to_closest_record
    >>> X = load_iris().data
    >>> distance_to_closest_record(X[:2], X[1:]).round(3)
    array([0.01, 0.  ])
    """
    columns, known = _cells(X, "X"), _cells(X_train, "X_train")
    if len(columns) != len(known):
        raise ValueError(
            f"X has {len(columns)} columns and X_train has {len(known)}: the same are "
            "expected."
        )
    places = {column.name: i for i, column in enumerate(columns)}
    is_unique = len(places) == len(columns)
    if is_unique and places.keys() == {column.name for column in known}:
        columns = [columns[places[column.name]] for column in known]
    pairs = [_comparable(*both) for both in zip(columns, known, strict=True)]
    n_rows, n_train = len(columns[0].values), len(known[0].values)
    distances = np.empty(n_rows)
    for rows in gen_batches(n_rows, max(1, _BLOCK_SIZE // n_train)):
        total = np.zeros((rows.stop - rows.start, n_train))
        for new, old, is_level in pairs:
            block = new[rows]
            if is_level:
                total += block[:, None] != old
                continue
            difference = np.minimum(np.abs(block[:, None] - old), 1.0)
            is_gone = np.isnan(difference)
            if is_gone.any():
                differs = np.isnan(block)[:, None] != np.isnan(old)
                difference = np.where(is_gone, differs, difference)
            total += difference
        distances[rows] = total.min(axis=1) / len(pairs)
    return distances


def _cells(X: Any, name: str) -> list[RawColumn]:
    """The columns of a frame, or of an array of numbers or objects."""
    if not is_frame(X) and not needs_kinds(X):
        X = check_array(
            X, dtype=np.float64, ensure_all_finite="allow-nan", input_name=name
        )
    return columns_of(X, name)


def _comparable(new: RawColumn, old: RawColumn) -> tuple[np.ndarray, np.ndarray, bool]:
    """Numbers in units of the range of the old, or numbers of levels."""
    if new.is_numeric and old.is_numeric:
        known = old.values[~np.isnan(old.values)]
        extent = float(np.ptp(known)) if len(known) else 0.0
        # Of a column that is constant any difference is all there is.
        extent = extent or float(np.finfo(np.float64).tiny)
        with np.errstate(over="ignore"):
            return new.values / extent, old.values / extent, False
    codes: dict[Any, int] = {None: -1}
    return (
        np.array([codes.setdefault(v, len(codes)) for v in new.values.tolist()]),
        np.array([codes.setdefault(v, len(codes)) for v in old.values.tolist()]),
        True,
    )
