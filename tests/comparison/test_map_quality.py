"""What is said of a map."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness

from sklearn_ae.comparison import map_quality


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(60, 4))


def test_the_rows_themselves_are_the_best_map(X):
    assert_allclose(list(map_quality(X, 3 * X, n_neighbors=5).values()), 1.0)


def test_chance_finds_its_share_of_neighbours(X):
    Z = np.random.default_rng(1).normal(size=(60, 2))
    quality = map_quality(X, Z, n_neighbors=20)
    # A little more: rows in the middle are everybody's neighbours.
    assert 0.9 < quality.knn_recall / (20 / 59) < 1.3
    assert abs(quality.distance_correlation) < 0.2


def test_measures_are_those_of_their_definitions(X):
    Z, n = X[:, :2], 5
    quality = map_quality(X, Z, n_neighbors=n)
    assert quality.trustworthiness == trustworthiness(X, Z, n_neighbors=n)
    assert quality.continuity == trustworthiness(Z, X, n_neighbors=n)
    far = [np.linalg.norm(A[:, None] - A, axis=2) for A in (X, Z)]
    above = np.triu_indices(60, 1)
    expected = spearmanr(far[0][above], far[1][above]).statistic
    assert_allclose(quality.distance_correlation, expected)
    near = [np.argsort(d, axis=1)[:, 1 : n + 1] for d in far]
    shares = [len(set(a) & set(b)) / n for a, b in zip(*near, strict=True)]
    assert_allclose(quality.knn_recall, np.mean(shares))


def test_of_many_rows_some_are_measured(X):
    Z = X[:, :2]
    rows = np.random.RandomState(3).permutation(60)[:30]
    sampled = map_quality(X, Z, n_neighbors=5, max_rows=30, random_state=3)
    assert sampled == map_quality(X[rows], Z[rows], n_neighbors=5)


def test_a_map_of_one_place_has_no_order(X):
    quality = map_quality(X, np.zeros((60, 2)), n_neighbors=5)
    assert np.isnan(quality.distance_correlation)


@pytest.mark.parametrize(
    ("n_rows", "n_neighbors", "message"),
    [(60, 30, "less than half of the 60 rows"), (59, 5, "inconsistent numbers")],
)
def test_what_cannot_be_measured(X, n_rows, n_neighbors, message):
    with pytest.raises(ValueError, match=message):
        map_quality(X, X[:n_rows], n_neighbors=n_neighbors)
