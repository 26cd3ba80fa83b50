"""Samples of densities, and how well a classifier tells them from held-out rows."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from benchmarks._cells import split_rows
from benchmarks._results import Row, finite
from benchmarks.datasets import Table
from sklearn_ae import VAETransformer
from sklearn_ae._inference.marginals import match_columns

N_SAMPLES = 2000
N_RANKED = 10_000
MIXTURE_SIZES = (1, 2, 4, 8, 16, 32)
LATENTS = (2, 4, 8, 16)

Array = NDArray[Any]
Draw = Callable[[int, int], Array]  # (number of rows, seed)


def best_vae(X: Array, seed: int) -> VAETransformer:
    """As the BIC chooses a mixture: the number of latents with the highest score.

    Scores are of a tenth of the rows, which are not trained on for them.
    """
    order = np.random.RandomState(seed).permutation(len(X))
    held_out, kept = np.split(order, [max(1, len(X) // 10)])
    sizes = [k for k in LATENTS if k < X.shape[1]] or [1]
    scores = [
        VAETransformer(k, random_state=seed).fit(X[kept]).score(X[held_out])
        for k in sizes
    ]
    return VAETransformer(sizes[int(np.argmax(scores))], random_state=seed).fit(X)


def best_mixture(X: Array, seed: int) -> GaussianMixture:
    """The Gaussian mixture with the lowest BIC."""
    mixtures = [
        GaussianMixture(size, random_state=seed, reg_covar=1e-5).fit(X)
        for size in MIXTURE_SIZES
        if size == 1 or len(X) >= 2 * size * X.shape[1]
    ]
    return min(mixtures, key=lambda mixture: mixture.bic(X))


def draw_pca(X: Array, n_components: int) -> Draw:
    """Draws of probabilistic PCA, whose covariance is `PCA.get_covariance`."""
    pca = PCA(n_components).fit(X)
    return lambda n, seed: np.random.default_rng(seed).multivariate_normal(
        pca.mean_, pca.get_covariance(), n, method="eigh"
    )


def draw_mixture(X: Array, seed: int) -> Draw:
    mixture = best_mixture(X, seed)

    def draw(n: int, seed: int) -> Array:
        return mixture.set_params(random_state=seed).sample(n)[0]

    return draw


def with_columns_of(X: Array, draw: Draw, seed: int) -> Array:
    """Samples with the columns of X, as `VAETransformer.sample` makes them."""
    reference = draw(N_RANKED, N_RANKED + seed)
    random_state = np.random.RandomState(seed)
    return match_columns(draw(N_SAMPLES, seed), reference, X, random_state)


def two_sample_auc(S: Array, X: Array, seed: int) -> float:
    """Cross-validated AUC of gradient boosting, told to separate two sets of rows."""
    rows = np.concatenate([S, X])
    order = np.random.RandomState(seed).permutation(len(rows))
    labels = np.repeat([0, 1], [len(S), len(X)])
    classifier = HistGradientBoostingClassifier(max_iter=50, random_state=seed)
    return float(
        cross_val_score(
            classifier, rows[order], labels[order], cv=3, scoring="roc_auc"
        ).mean()
    )


def measure_samples(table: Table, args: argparse.Namespace, seed: int) -> list[Row]:
    """AUC of samples of each model against held-out rows; 0.5 is not to be told."""
    split = split_rows(table, seed, args.max_rows, StandardScaler())
    X, held_out = split.X_train, split.X_test[:N_SAMPLES]
    vae = best_vae(X, seed)
    k = vae.n_components_
    of_vae = partial(vae.sample, N_SAMPLES, seed, noise=True)
    pca, mixture = draw_pca(X, k), draw_mixture(X, seed)
    samples = {
        "VAE": of_vae(),
        "VAE, aggregated": of_vae(prior="aggregated"),
        "PPCA": pca(N_SAMPLES, seed),
        "mixture": mixture(N_SAMPLES, seed),
        "VAE, aggregated, like": of_vae(prior="aggregated", like=X),
        "PPCA, like": with_columns_of(X, pca, seed),
        "mixture, like": with_columns_of(X, mixture, seed),
    }
    return [
        {
            "k": k,
            "method": method,
            "n_columns": X.shape[1],
            "n_train": len(X),
            "n_test": len(held_out),
            "auc": finite(two_sample_auc(S, held_out, seed), 4),
        }
        for method, S in samples.items()
    ]
