"""Whether two fits found the same latents."""

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils import Bunch, check_array, check_consistent_length


def latent_agreement(Z1: Any, Z2: Any) -> Any:
    """Measure how far two sets of latents of the same rows are the same.

    Latents of two seeds, of two halves of a table or of two estimators may come in
    another order and with other signs; and latents that are mixtures of the others'
    span the same space.

    Parameters
    ----------
    Z1, Z2 : array-like of shape (n_samples, n_components)
        Latents of the same rows, at least 2; as many of both.

    Returns
    -------
    agreement : sklearn.utils.Bunch
        With the attributes

        correlations : ndarray of shape (n_components,)
            Of each latent of Z1 with the one of Z2 that it is matched with, after
            signs: those matches that make their sum largest.
        order : ndarray of shape (n_components,)
            ``Z2[:, order] * signs`` are the latents of Z2 as those of Z1 are.
        signs : ndarray of shape (n_components,)
            1 or -1.
        canonical_correlations : ndarray of shape (n_components,)
            Of the two sets as spaces, falling: 1 where a direction in the one is a
            direction in the other, whichever latents it is a mixture of.

    See Also
    --------
    map_quality : How much of a table a map shows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ae.comparison import latent_agreement
    >>> Z = PCA(3).fit_transform(load_iris().data)
    >>> agreement = latent_agreement(Z, Z[:, [1, 0, 2]] * [1.0, -2.0, 3.0])
    >>> agreement.order, agreement.signs
    (array([1, 0, 2]), array([-1.,  1.,  1.]))
    >>> agreement.correlations.round(6)
    array([1., 1., 1.])
    """
    Z1 = check_array(Z1, input_name="Z1", ensure_min_samples=2, dtype=np.float64)
    Z2 = check_array(Z2, input_name="Z2", ensure_min_samples=2, dtype=np.float64)
    check_consistent_length(Z1, Z2)
    if Z1.shape[1] != Z2.shape[1]:
        raise ValueError(
            f"Z1 has {Z1.shape[1]} latents and Z2 has {Z2.shape[1]}: as many are "
            "expected."
        )
    units1, units2 = _units(Z1), _units(Z2)
    correlations = np.clip(units1.T @ units2, -1.0, 1.0)  # (k, k)
    _, order = linear_sum_assignment(-np.abs(correlations))
    matched = correlations[np.arange(len(order)), order]
    canonical = np.linalg.svd(_axes(units1).T @ _axes(units2), compute_uv=False)
    filled = np.zeros(len(order))
    filled[: len(canonical)] = np.clip(canonical, 0.0, 1.0)
    return Bunch(
        correlations=np.abs(matched),
        order=order,
        signs=np.where(matched < 0, -1.0, 1.0),
        canonical_correlations=filled,
    )


def _units(Z: np.ndarray) -> np.ndarray:
    """Centred columns of length 1; of those that do not vary, zeros."""
    centred = Z - Z.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    size = np.abs(Z).max(axis=0) * np.sqrt(len(Z))
    is_constant = lengths <= 1e-12 * size
    return np.where(is_constant, 0.0, centred / np.where(is_constant, 1.0, lengths))


def _axes(units: np.ndarray) -> np.ndarray:
    """Orthonormal axes of the space that columns span."""
    axes, lengths, _ = np.linalg.svd(units, full_matrices=False)
    return axes[:, lengths > 1e-10]
