"""Batches of pairs, the recipe of a map, and a decoder alone."""

import numpy as np
import torch
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import kneighbors_graph

from sklearn_ae._tables.neighbors import Edges
from sklearn_ae._training.decoding import regress
from sklearn_ae._training.pairs import MapRecipe, PairBatches


def test_behind_every_row_is_a_neighbour_of_it():
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    graph = kneighbors_graph(X, 4)
    order = torch.Generator().manual_seed(0)
    batches = PairBatches(torch.from_numpy(X), Edges(graph), 20, order)
    seen = []
    for batch in batches:
        rows, partners = (
            np.argmin(np.linalg.norm(X[:, None] - half.numpy(), axis=2), axis=0)
            for half in batch.chunk(2)
        )
        assert np.asarray(graph[rows, partners] == 1).all()
        seen.extend(rows)
    assert sorted(seen) == list(range(50))
    assert len(batches) == 3
    assert batches.n_rows == 100


def recipe(**changes):
    settings = {
        "learning_rate": "auto",
        "alpha": "auto",
        "batch_size": "auto",
        "max_iter": "auto",
        "auto_learning_rate": 1e-3,
        "n_columns": 0,
        "is_anchored": True,
    }
    return MapRecipe(**(settings | changes))


def test_long_tables_take_few_epochs():
    assert recipe().n_epochs(60_000) == 51
    assert recipe().n_epochs(1_000_000) == 4
    assert recipe(is_rough=True).n_epochs(5_000) == 50


def test_a_step_has_no_more_pairs_than_there_are_rows():
    assert recipe().rows_per_step(100) == 100
    assert recipe(batch_size=7).rows_per_step(100) == 7


def test_regression_is_scikit_learns():
    rng = np.random.default_rng(0)
    Z, X = rng.normal(size=(30, 2)), rng.normal(size=(30, 4))
    weight, bias = regress(torch.from_numpy(Z), torch.from_numpy(X))
    model = LinearRegression().fit(Z, X)
    assert_allclose(weight, model.coef_, atol=1e-12)
    assert_allclose(bias, model.intercept_, atol=1e-12)
