"""How far rows lie out: in their latents, and beyond what these give back.

As in robust principal component analysis there are two distances, the score distance
(among the latents) and the orthogonal one (the error), and both are measured by the
greater part of the rows, so that those that lie together far away cannot hide.
"""

import warnings

import numpy as np
from scipy.stats import chi2
from sklearn.covariance import MinCovDet

# Location and spread are those of so large a share of the rows: as few outliers as
# there are may be a fourth.
_SHARE = 0.75
# More rows say no more of either.
_MOST_ROWS = 10_000
# A direction of latents with less spread than this share of the widest has none.
_LEAST_SPREAD = 1e-6


def robust_precision(
    Z: np.ndarray, contamination: float, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Location (k,) and precision (k, k) of most rows of latents (n, k).

    Those of the minimum covariance determinant; where that is none, as most rows are
    the same, the mean and the covariance.
    """
    Z = Z.astype(np.float64)
    random_state = np.random.RandomState(0)
    if weights is not None or len(Z) > _MOST_ROWS:
        p = None if weights is None else weights / weights.sum()
        n = min(len(Z), _MOST_ROWS)
        Z = Z[random_state.choice(len(Z), n, replace=weights is not None, p=p)]
    mean = Z.mean(axis=0)
    _, spreads, axes = np.linalg.svd(Z - mean, full_matrices=False)
    axes = axes[spreads > _LEAST_SPREAD * max(spreads.max(), np.finfo(float).tiny)]
    stds = spreads[: len(axes)] / np.sqrt(len(Z))
    whitened = (Z - mean) @ axes.T / stds
    location, precision = np.zeros(len(axes)), np.eye(len(axes))
    if len(Z) > 2 * len(axes) > 0:
        share = min(_SHARE, 1.0 - contamination)
        most = MinCovDet(support_fraction=share, random_state=random_state)
        with warnings.catch_warnings():  # of determinants that are none
            warnings.simplefilter("ignore")
            try:
                most.fit(whitened)
            except ValueError:
                pass
            else:
                location, precision = most.location_, most.precision_
    back = axes / stds[:, None]  # (l, k), from latents to whitened ones
    return mean + location @ (axes * stds[:, None]), back.T @ precision @ back


def outlyingness(
    errors: np.ndarray,
    Z: np.ndarray,
    *,
    median_error: float,
    n_residual: int,
    location: np.ndarray,
    precision: np.ndarray,
) -> np.ndarray:
    """How far rows are out by their errors (n,) and latents (n, k), together: (n,).

    Squared distances of normal rows are about chi-squared. Each counts in its standard
    deviations above its mean: a row that lies below in one is not the more normal for
    it where it lies far out in the other.
    """
    squared = errors / median_error * chi2.ppf(0.5, n_residual)
    away = Z - location
    among_latents = np.einsum("ni,ij,nj->n", away, precision, away)
    rank = max(1, np.linalg.matrix_rank(precision, hermitian=True))
    return _excess(squared, n_residual) + _excess(among_latents, rank)


def _excess(squared: np.ndarray, n: int) -> np.ndarray:
    return np.maximum((squared - n) / np.sqrt(2.0 * n), 0.0)
