"""A Gaussian mixture of few dimensions: arrays, and the steps that find them.

As scikit-learn's `GaussianMixture`, whose fits programs that log every fit of the
user's (mlflow) would take for the user's own, and whose files depend on its version.

Shapes: n rows, a numbers of a row, c Gaussians.
"""

import math
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import kmeans_plusplus

# What is added to variances, so that no Gaussian shrinks to a point.
_LEAST_VARIANCE = 1e-5
_MOST_STEPS = 100
_MOST_REGROUPINGS = 100
_LEAST_GAIN = 1e-3  # nats a row


@dataclass(frozen=True)
class Mixture:
    """Weights (c,), means (c, a), covariances and whitening matrices (c, a, a).

    The whitening matrix W of a Gaussian, upper triangular, makes (z - mean) @ W
    standard normal: W @ W.T is the inverse covariance.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    whitening: np.ndarray

    @classmethod
    def fitted_to(
        cls, Z: np.ndarray, n_gaussians: int, random_state: np.random.RandomState
    ) -> "Mixture":
        """By expectation maximisation from a grouping by k-means: Z is (n, a)."""
        shares = np.eye(n_gaussians)[_groups(Z, n_gaussians, random_state)]  # (n, c)
        mixture = cls._of_shares(Z, shares)
        bound = -np.inf
        for _ in range(_MOST_STEPS):
            shares, log_density = _shares(mixture._log_parts(Z))
            mixture = cls._of_shares(Z, shares)
            before, bound = bound, float(np.mean(log_density))
            if abs(bound - before) < _LEAST_GAIN:
                break
        return mixture

    def of(self, kept: np.ndarray) -> "Mixture":
        """That of some of the numbers alone, by a mask (a,)."""
        covariances = self.covariances[:, kept][:, :, kept]
        means, whitening = self.means[:, kept], _whitening(covariances)
        return Mixture(self.weights, means, covariances, whitening)

    @classmethod
    def _of_shares(cls, Z: np.ndarray, shares: np.ndarray) -> "Mixture":
        """The best for rows that belong to the Gaussians by these shares (n, c)."""
        n_numbers = Z.shape[1]
        counts = shares.sum(axis=0) + 10 * np.finfo(Z.dtype).eps  # (c,)
        means = shares.T @ Z / counts[:, None]
        covariances = np.empty((len(counts), n_numbers, n_numbers))
        for i, (mean, count) in enumerate(zip(means, counts, strict=True)):
            centred = Z - mean
            covariances[i] = (shares[:, i] * centred.T) @ centred / count
        covariances += _LEAST_VARIANCE * np.eye(n_numbers)
        weights = counts / counts.sum()
        return cls(weights, means, covariances, _whitening(covariances))

    def _log_parts(self, Z: np.ndarray) -> np.ndarray:
        """Log of each Gaussian's part of the density: (n, c)."""
        constant = -0.5 * Z.shape[1] * math.log(2.0 * math.pi)
        scales = np.log(np.diagonal(self.whitening, axis1=1, axis2=2)).sum(axis=1)
        # As (c, n) in memory, or maxima and sums over a few Gaussians take longest.
        squares = np.empty((len(self.means), len(Z))).T
        for i, (mean, matrix) in enumerate(
            zip(self.means, self.whitening, strict=True)
        ):
            whitened = (Z - mean) @ matrix
            squares[:, i] = np.einsum("na,na->n", whitened, whitened)
        return constant + scales + np.log(self.weights) - 0.5 * squares

    def log_density(self, Z: np.ndarray) -> np.ndarray:
        """Of each row, in nats: (n,)."""
        return _shares(self._log_parts(Z))[1]

    def score(self, Z: np.ndarray) -> float:
        """Mean log-density of the rows."""
        return float(np.mean(self.log_density(Z)))

    def bic(self, Z: np.ndarray) -> float:
        """Schwarz's criterion: lower is better."""
        c, a = self.means.shape
        n_parameters = c * a + c * a * (a + 1) // 2 + c - 1
        return -2.0 * self.score(Z) * len(Z) + n_parameters * math.log(len(Z))

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw rows (n, a)."""
        counts = random_state.multinomial(n_samples, self.weights)
        drawn = [
            random_state.multivariate_normal(mean, covariance, count)
            for mean, covariance, count in zip(
                self.means, self.covariances, counts, strict=True
            )
        ]
        return random_state.permutation(np.concatenate(drawn))  # not one by one


def _shares(log_parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which Gaussians a row is from (n, c), and its log-density (n,)."""
    most = log_parts.max(axis=1, keepdims=True)  # (n, 1)
    parts = np.exp(log_parts - most)
    totals = parts.sum(axis=1, keepdims=True)
    return parts / totals, (most + np.log(totals))[:, 0]


def _whitening(covariances: np.ndarray) -> np.ndarray:
    """What makes rows of these covariances (c, a, a) standard normal: (c, a, a)."""
    lower = np.linalg.cholesky(covariances)
    return np.triu(np.linalg.inv(lower).transpose(0, 2, 1))


def _groups(
    Z: np.ndarray, n_groups: int, random_state: np.random.RandomState
) -> np.ndarray:
    """The number of each row's group (n,), by k-means."""
    if n_groups == 1:
        return np.zeros(len(Z), dtype=int)
    centers, _ = kmeans_plusplus(Z, n_groups, random_state=random_state)
    groups = np.full(len(Z), -1)
    for _ in range(_MOST_REGROUPINGS):
        # Of the squared distance, what differs between groups.
        distances = np.square(centers).sum(axis=1) - 2.0 * Z @ centers.T  # (n, c)
        before, groups = groups, distances.argmin(axis=1)
        if np.array_equal(before, groups):
            break
        counts = np.bincount(groups, minlength=n_groups)
        sums = np.eye(n_groups)[groups].T @ Z  # (c, a)
        is_empty = counts == 0  # stays where it is
        centers = np.where(
            is_empty[:, None], centers, sums / np.maximum(counts, 1)[:, None]
        )
    return groups
