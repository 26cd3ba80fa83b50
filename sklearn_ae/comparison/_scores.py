"""How good latents are, and the way back from them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.utils import check_array

from ._reducers import is_umap
from ._split import Split

# UMAP's way back triangulates the training latents, whose simplices multiply with
# every dimension (3 are seconds, 5 are minutes, 8 exhaust the memory), and then
# optimises row by result.
_UMAP_INVERSE_MAX_COMPONENTS = 3
_UMAP_INVERSE_MAX_ROWS = 500


@dataclass
class Result:
    """One row of the table; the fields are its columns."""

    reducer: str
    n_components: int
    reconstruction_error: float = np.nan
    explained_variance: float = np.nan
    error_ratio_to_pca: float = np.nan
    knn_accuracy: float = np.nan
    knn_r2: float = np.nan
    trustworthiness: float = np.nan
    continuity: float = np.nan
    fit_seconds: float = np.nan
    transform_rows_per_second: float = np.nan
    has_transform: bool = False
    has_inverse_transform: bool = False
    note: str = ""
    warnings: str = ""
    error: str = ""

    def add_note(self, text: str) -> None:
        self.note += f"; {text}" if self.note else text


def score_neighborhoods(
    Z_train: NDArray[Any], Z_test: NDArray[Any], split: Split, result: Result
) -> None:
    """Set how far neighbours and labels of the rows survive in the latents."""
    score = knn_score(Z_train, Z_test, split)
    if split.discrete:
        result.knn_accuracy = score
    else:
        result.knn_r2 = score
    X, Z = split.X_test[: split.neighborhood_rows], Z_test[: split.neighborhood_rows]
    # scikit-learn's measure is defined for less than half as many neighbours as rows.
    n_neighbors = min(split.n_neighbors, (len(X) - 1) // 2)
    if n_neighbors >= 1:
        result.trustworthiness = trustworthiness(X, Z, n_neighbors=n_neighbors)
        result.continuity = trustworthiness(Z, X, n_neighbors=n_neighbors)


def knn_score(
    Z_train: NDArray[Any], Z_test: NDArray[Any], split: Split, n_rows: int | None = None
) -> float:
    """Return the score of the nearest neighbours' labels; NaN where there are none."""
    if split.y_train is None or split.y_test is None:
        return np.nan
    Model = KNeighborsClassifier if split.discrete else KNeighborsRegressor
    model = Model(n_neighbors=min(split.n_neighbors, len(Z_train)))
    model.fit(Z_train, split.y_train)
    if not split.discrete and len(split.y_test[:n_rows]) < 2:
        return np.nan  # R^2 is undefined for one row
    return float(model.score(Z_test[:n_rows], split.y_test[:n_rows]))


def score_reconstruction(
    reducer: Any, Z_test: NDArray[Any], split: Split, result: Result
) -> None:
    """Set how near the way back from the latents comes to the rows."""
    n_rows = len(Z_test)
    if is_umap(reducer):
        if result.n_components > _UMAP_INVERSE_MAX_COMPONENTS:
            result.add_note(
                "inverse_transform not tried: its time and memory explode beyond "
                f"{_UMAP_INVERSE_MAX_COMPONENTS} latents"
            )
            return
        n_rows = min(n_rows, _UMAP_INVERSE_MAX_ROWS)
        if n_rows < len(Z_test):
            result.add_note(
                f"reconstruction error of {n_rows} held-out rows only: "
                "inverse_transform is slow"
            )
    X = split.X_test[:n_rows]
    X_back = check_array(reducer.inverse_transform(Z_test[:n_rows]))
    if X_back.shape != X.shape:
        raise ValueError(
            f"it returned rows of shape {X_back.shape} instead of {X.shape}"
        )
    error = float(_row_errors(X, X_back).mean())
    spread = float(_row_errors(X, split.X_train.mean(axis=0)).mean())
    pca_error = float(_pca_errors(result.n_components, split)[:n_rows].mean())
    result.reconstruction_error = error
    if spread > 0:
        result.explained_variance = 1 - error / spread
    # PCA with as many latents as columns leaves rounding errors only: no yardstick.
    if pca_error > 1e-12 * spread:
        result.error_ratio_to_pca = error / pca_error


def _pca_errors(k: int, split: Split) -> NDArray[Any]:
    """Return PCA's squared error for every held-out result, shape (n_test,)."""
    if k not in split.pca_errors:
        pca = PCA(min(k, *split.X_train.shape), random_state=split.seed)
        pca.fit(split.X_train)
        X_back = pca.inverse_transform(pca.transform(split.X_test))
        split.pca_errors[k] = _row_errors(split.X_test, X_back)
    return split.pca_errors[k]


def _row_errors(X: NDArray[Any], X_back: NDArray[Any]) -> NDArray[Any]:
    # In double precision whatever the reducer computes in, so that its precision
    # is measured and not that of the measure.
    difference = np.subtract(X, X_back, dtype=np.float64)
    return np.square(difference).mean(axis=1)
