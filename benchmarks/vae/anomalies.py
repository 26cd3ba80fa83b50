"""Scores of rows, and how well they tell anomalies from normal rows."""

import argparse
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from benchmarks._results import Row, finite
from benchmarks.datasets import Table
from sklearn_ae import AutoencoderDetector, AutoencoderTransformer, VAETransformer

N_EXEMPLARS = 2000
CLIP = 20.0  # standard deviations

Array = NDArray[Any]


def split_normal(
    table: Table, seed: int, max_rows: int
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Half of the normal rows to train on; the others and the anomalies to score.

    At most max_rows of each kind, standardised by the training rows and clipped.
    """
    assert table.y is not None
    random_state = np.random.RandomState(seed)
    normal = random_state.permutation(np.flatnonzero(table.y == 0))
    anomalies = random_state.permutation(np.flatnonzero(table.y != 0))[:max_rows]
    train, test = (part[:max_rows] for part in np.split(normal, [len(normal) // 2]))
    varies = np.ptp(table.X[train], axis=0) > 0
    scaler = StandardScaler().fit(table.X[train][:, varies])
    rows = np.concatenate([test, anomalies])
    X_train, X_test = (
        np.clip(scaler.transform(table.X[part][:, varies]), -CLIP, CLIP)
        for part in (train, rows)
    )
    return X_train, X_test, np.repeat([0, 1], [len(test), len(anomalies)])


def neighbour_distance(X: Array, X_test: Array) -> Array:
    """Distance to the fifth nearest training row."""
    return NearestNeighbors(n_neighbors=5).fit(X).kneighbors(X_test)[0][:, -1]


def mean_neighbour_distance(X: Array, X_test: Array) -> Array:
    """Distance to the mean of the five nearest training rows."""
    middle = KNeighborsRegressor(n_neighbors=5).fit(X, X).predict(X_test)
    return np.linalg.norm(X_test - middle, axis=1)


def pyod_scores(X: Array, X_test: Array, seed: int) -> Array:
    from pyod.models.auto_encoder import AutoEncoder

    detector = AutoEncoder(random_state=seed, verbose=0)
    return detector.fit(X).decision_function(X_test)


def abnormality(
    X: Array, X_test: Array, seed: int
) -> Iterator[tuple[str, Callable[[], Array]]]:
    """Methods, and functions that train on X and say how abnormal X_test is."""
    yield (
        "AutoencoderTransformer",
        lambda: -AutoencoderTransformer(random_state=seed).fit(X).score_samples(X_test),
    )
    detector = AutoencoderDetector(AutoencoderTransformer(random_state=seed))
    yield "AutoencoderDetector", lambda: -detector.fit(X).score_samples(X_test)
    # A density has a use for every latent that stands out of the noise.
    for k in (2, 8, 16):
        vae = VAETransformer(
            min(k, X.shape[1]), n_exemplars=N_EXEMPLARS, random_state=seed
        )
        name = "VAETransformer" if k == 2 else f"VAETransformer({k})"
        yield name, lambda vae=vae: -vae.fit(X).score_samples(X_test)
        for prior in ("aggregated", "exemplars"):  # the fit is that of the line before
            yield (
                f"{name}, {prior}",
                lambda vae=vae, prior=prior: -vae.score_samples(X_test, prior=prior),
            )
    forest = IsolationForest(random_state=seed)
    yield "isolation forest", lambda: -forest.fit(X).score_samples(X_test)
    yield "5-NN distance", lambda: neighbour_distance(X, X_test)
    yield "distance to 5-NN mean", lambda: mean_neighbour_distance(X, X_test)
    # As many components as the autoencoders have latents.
    yield "PCA likelihood", lambda: -PCA(2).fit(X).score_samples(X_test)
    if find_spec("pyod"):
        yield "pyod AutoEncoder", lambda: pyod_scores(X, X_test, seed)


def measure_anomalies(
    table: Table, args: argparse.Namespace, seed: int
) -> Iterator[Row]:
    X, X_test, labels = split_normal(table, seed, args.max_rows)
    for method, score in abnormality(X, X_test, seed):
        start = time.perf_counter()
        auc = roc_auc_score(labels, score())
        yield {
            "k": 2,
            "method": method,
            "n_columns": X.shape[1],
            "n_train": len(X),
            "n_test": len(X_test),
            "auroc": finite(auc, 4),
            "seconds": round(time.perf_counter() - start, 2),
        }
