"""How much of a table a map of it shows: neighbours, and the whole."""

from numbers import Integral
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Bunch, check_array, check_consistent_length, check_scalar

from .._utils.random import make_random_state
from .._utils.types import RandomState

# Rows whose distances are ranked, all pairs of them.
_N_RANKED = 1000


def map_quality(
    X: Any,
    Z: Any,
    *,
    n_neighbors: int = 10,
    max_rows: int = 5000,
    random_state: RandomState = 0,
) -> Any:
    """Measure how well a map shows which rows are near each other, and which far.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows, at least 3 of them.

    Z : array-like of shape (n_samples, n_components)
        Their places on the map, by whatever reducer.

    n_neighbors : int, default=10
        Neighbours that are looked at; less than half as many as there are rows.

    max_rows : int, default=5000
        Of more rows than that, so many are drawn, and measured among themselves.

    random_state : int, RandomState instance or None, default=0
        Seed of the draw.

    Returns
    -------
    quality : sklearn.utils.Bunch
        Numbers by name, each at best 1. "trustworthiness": neighbours on the map are
        near in X. "continuity": neighbours in X are near on the map. "knn_recall":
        the share of each row's neighbours in X that are among as many on the map.
        "distance_correlation": Spearman's correlation of distances in X and on the
        map, between all pairs of up to 1000 of the rows: how well the map shows the
        whole.

    See Also
    --------
    compare_reducers : Several reducers on one table.
    sklearn.manifold.trustworthiness : The first of the measures.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ae.comparison import map_quality
    >>> X = load_iris().data
    >>> quality = map_quality(X, PCA(2).fit_transform(X))
    >>> bool(quality.distance_correlation > 0.99)
    True
    >>> bool(quality.knn_recall < quality.trustworthiness)
    True
    """
    X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
    Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
    check_consistent_length(X, Z)
    check_scalar(max_rows, "max_rows", Integral, min_val=3)
    if len(X) > max_rows:
        rows = make_random_state(random_state).permutation(len(X))[:max_rows]
        X, Z = X[rows], Z[rows]
    check_scalar(n_neighbors, "n_neighbors", Integral, min_val=1)
    if 2 * n_neighbors >= len(X):
        raise ValueError(
            f"n_neighbors={n_neighbors} must be less than half of the {len(X)} rows."
        )
    return Bunch(
        trustworthiness=float(trustworthiness(X, Z, n_neighbors=n_neighbors)),
        continuity=float(trustworthiness(Z, X, n_neighbors=n_neighbors)),
        knn_recall=_recall(X, Z, n_neighbors),
        distance_correlation=_correlation(X[:_N_RANKED], Z[:_N_RANKED]),
    )


def _recall(X: np.ndarray, Z: np.ndarray, n_neighbors: int) -> float:
    near, near_on_map = (
        NearestNeighbors(n_neighbors=n_neighbors).fit(A).kneighbors_graph()
        for A in (X, Z)
    )
    return float(near.multiply(near_on_map).sum() / near.sum())


def _correlation(X: np.ndarray, Z: np.ndarray) -> float:
    """Of distances; NaN where all rows, or all places, are the same."""
    distances = [pdist(A.astype(np.float64)) for A in (X, Z)]
    if any(np.ptp(d) == 0 for d in distances):
        return np.nan
    return float(spearmanr(*distances).statistic)
