"""The nearest rows of a long table, by its cells."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs
from sklearn.neighbors import NearestNeighbors

from sklearn_ae._tables import inverted_file
from sklearn_ae._tables.inverted_file import InvertedFile

X, _ = make_blobs(2400, 6, centers=30, cluster_std=2.0, random_state=0)
X_TRAIN, X_NEW = X[:2000].astype(np.float32), X[2000:].astype(np.float32)


@pytest.fixture(scope="module")
def index():
    return InvertedFile.of(X_TRAIN, 5, seed=0)


def test_nearly_all_neighbours_are_found_with_their_distances(index):
    distances, numbers = index.kneighbors(X_NEW)
    exact, _ = NearestNeighbors(n_neighbors=5).fit(X_TRAIN).kneighbors(X_NEW)
    assert np.isclose(distances, exact, rtol=1e-4).mean() > 0.97
    between = np.linalg.norm(X_NEW[:, None] - X_TRAIN[numbers], axis=2)
    assert_allclose(distances, between, rtol=1e-4)
    assert (np.diff(distances, axis=1) >= 0.0).all()


def test_a_row_of_the_table_is_found_at_no_distance(index):
    distances, numbers = index.kneighbors(X_TRAIN)
    assert_array_equal(numbers[:, 0], np.arange(2000))
    assert_array_equal(distances[:, 0], 0.0)


def test_every_row_is_in_a_cell(index):
    assert_array_equal(np.sort(index.numbers), np.arange(2000))
    assert index.starts[-1] == 2000
    assert (index.starts.diff() > 0).all()


def test_neighbours_are_the_same_whatever_is_asked_with_them(index):
    distances, numbers = index.kneighbors(X_NEW)
    for i in range(0, 400, 50):
        alone, number = index.kneighbors(X_NEW[[i]])
        assert_array_equal(number[0], numbers[i])
        assert_allclose(alone[0], distances[i], rtol=1e-6)


def test_same_seed_same_bits(index):
    again = InvertedFile.of(X_TRAIN, 5, seed=0)
    assert_array_equal(again.centers, index.centers)
    assert_array_equal(again.numbers, index.numbers)


def test_of_many_columns_components_are_compared():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 110))
    index = InvertedFile.of(X, 3, seed=0)
    assert index.rows.shape == (500, 100)
    exact, _ = NearestNeighbors(n_neighbors=3).fit(X).kneighbors(X[:50] + 0.1)
    found, _ = index.kneighbors(X[:50] + 0.1)
    assert np.isclose(found, exact, rtol=0.2).mean() > 0.9


@pytest.mark.parametrize("n_places", [1, 3])
def test_duplicates_are_neighbours(n_places):
    X = np.repeat(np.eye(4)[:n_places], 300, axis=0)
    distances, numbers = InvertedFile.of(X, 5, seed=0).kneighbors(X[::100])
    assert_allclose(distances, 0.0, atol=1e-6)
    assert_array_equal(X[numbers], np.repeat(X[::100, None], 5, axis=1))


def test_with_every_cell_looked_through_the_neighbours_are_exact(index, monkeypatch):
    monkeypatch.setattr(inverted_file, "_N_PROBES", 1000)
    exact, numbers = NearestNeighbors(n_neighbors=5).fit(X_TRAIN).kneighbors(X_NEW)
    distances, found = index.kneighbors(X_NEW)
    assert_array_equal(found, numbers)
    assert_allclose(distances, exact, rtol=1e-4)


def test_up_to_a_hundred_columns_are_compared_as_they_are():
    X = np.random.RandomState(0).normal(size=(300, 100)).astype(np.float32)
    assert InvertedFile.of(X, 3, seed=0).components is None


def test_neighbours_are_the_same_in_blocks(index, monkeypatch):
    distances, numbers = index.kneighbors(X_NEW)
    monkeypatch.setattr(inverted_file, "_BLOCK_ROWS", 64)
    monkeypatch.setattr(inverted_file, "_BLOCK_SIZE", 256)
    in_blocks = index.kneighbors(X_NEW)
    assert_array_equal(in_blocks[1], numbers)
    assert_allclose(in_blocks[0], distances, rtol=1e-6)


def test_of_cells_with_too_few_rows_the_last_one_stands_for_those_missing(monkeypatch):
    monkeypatch.setattr(inverted_file, "_N_PROBES", 1)
    X = np.repeat(np.eye(3) * 100.0, [40, 40, 2], axis=0)
    _, numbers = InvertedFile.of(X, 5, seed=0).kneighbors(X[-1:])
    assert set(numbers[0]) == {80, 81}
