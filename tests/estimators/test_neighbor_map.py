"""NeighborMapTransformer: neighbours stay neighbours, there and back."""

import pickle

import numpy as np
import pytest
import torch
from contract import with_checks
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    kneighbors_graph,
)
from torch import nn

from sklearn_ae import NeighborMapTransformer, load, save
from sklearn_ae._estimators import neighbor_map

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"max_iter": 2, "hidden_layer_sizes": (8,), "n_neighbors": 3}


@pytest.mark.filterwarnings("ignore:n_neighbors=", "ignore:n_components=")
@with_checks(
    [
        NeighborMapTransformer(**SMALL),
        NeighborMapTransformer(**SMALL, inference="encoder", init="random"),
        NeighborMapTransformer(1, **SMALL, metric="cosine", encoder=nn.Linear),
    ]
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def blobs():
    """Five clusters of 40 rows in 8 columns, and which one each row is of."""
    return make_blobs(200, 8, centers=5, cluster_std=0.5, random_state=0)


@pytest.fixture(scope="module")
def fitted(blobs):
    return NeighborMapTransformer(**SMALL).fit(blobs[0][::2])


# What a map is ------------------------------------------------------------------------


def test_new_digits_lie_among_their_own():
    X, y = load_digits(return_X_y=True)
    model = NeighborMapTransformer(max_iter=20).fit(X[:600])
    knn = KNeighborsClassifier(5).fit(model.transform(X[:600]), y[:600])
    pca = PCA(2).fit(X[:600])
    of_pca = KNeighborsClassifier(5).fit(pca.transform(X[:600]), y[:600])
    assert knn.score(model.transform(X[600:]), y[600:]) > 0.88
    assert of_pca.score(pca.transform(X[600:]), y[600:]) < 0.65


def test_clusters_stay_apart(fitted, blobs):
    X, y = blobs
    knn = KNeighborsClassifier(5).fit(fitted.transform(X[::2]), y[::2])
    assert knn.score(fitted.transform(X[1::2]), y[1::2]) == 1.0


def test_the_encoder_alone_is_a_map(blobs):
    X, y = blobs
    model = NeighborMapTransformer(inference="encoder", max_iter=30).fit(X[::2])
    knn = KNeighborsClassifier(5).fit(model.transform(X[::2]), y[::2])
    assert knn.score(model.transform(X[1::2]), y[1::2]) == 1.0


def test_the_way_back_is_better_than_linear_regression_on_the_map(fitted, blobs):
    X = blobs[0][::2]
    Z = fitted.transform(X)
    linear = LinearRegression().fit(Z, X).predict(Z)
    assert np.mean((fitted.inverse_transform(Z) - X) ** 2) < np.mean((linear - X) ** 2)
    assert_allclose(
        fitted.reconstruction_err_,
        np.mean((fitted.reconstruct(X) - X) ** 2),
        rtol=1e-3,
    )


def test_the_way_back_tells_near_places_apart():
    X = load_digits().data[:400] / 16
    model = NeighborMapTransformer(max_iter=5).fit(X)
    Z = model.transform(X)
    near = KNeighborsRegressor(6).fit(Z, X).predict(Z)  # the row and five others
    error = np.mean((model.inverse_transform(Z) - X) ** 2)
    assert error < 1.3 * np.mean((near - X) ** 2)


def test_neighbours_score_higher_on_the_map_of_the_rows(fitted, blobs):
    X = blobs[0]
    other = clone(fitted).set_params(max_iter=0).fit(X[::2])
    assert fitted.score(X[1::2]) > other.score(X[1::2])


def test_untrained_it_is_pca_of_unit_spread(blobs):
    X = blobs[0]
    model = NeighborMapTransformer(max_iter=0).fit(X)
    Z = PCA(2).fit_transform(X)
    assert_allclose(model.transform(X), Z / Z[:, 0].std(ddof=1), atol=1e-4)
    assert_allclose(model.reconstruct(X), PCA(2).fit(X).inverse_transform(Z), atol=1e-3)


def test_training_rows_stay_where_they_settled(fitted, blobs):
    Z = fitted.transform(blobs[0][::2])
    assert_allclose(Z, fitted._inference.known.double(), atol=1e-4)


def test_new_rows_are_placed_the_same_whatever_comes_with_them(fitted, blobs):
    X = blobs[0][1::2]
    alone = np.vstack([fitted.transform(X[[i]]) for i in range(0, 100, 9)])
    assert_allclose(fitted.transform(X)[::9], alone, atol=1e-9)


def test_samples_are_rows_of_the_clusters(fitted, blobs):
    X, y = blobs
    drawn = fitted.sample(20, random_state=0)
    centers = np.array([X[y == c].mean(axis=0) for c in range(5)])
    assert drawn.shape == (20, 8)
    assert np.linalg.norm(drawn[:, None] - centers, axis=2).min(axis=1).mean() < 8.0


# Same seed, same bits -----------------------------------------------------------------


@pytest.mark.parametrize("inference", ["refined", "encoder"])
def test_refits_have_the_same_bits(inference, blobs):
    X = blobs[0]
    model = NeighborMapTransformer(**SMALL, inference=inference)
    first = clone(model).fit(X)
    before = torch.get_rng_state()
    second = model.fit(X)
    assert torch.equal(before, torch.get_rng_state())
    assert_array_equal(first.transform(X), second.transform(X))
    assert_array_equal(first.reconstruct(X), second.reconstruct(X))


def test_a_file_holds_the_map(fitted, blobs):
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.transform(blobs[0]), fitted.transform(blobs[0]))


# The graph ----------------------------------------------------------------------------


def test_graph_is_that_of_scikit_learn(fitted, blobs):
    expected = kneighbors_graph(blobs[0][::2], 3)
    assert (fitted.graph_ != expected).nnz == 0


def test_a_graph_of_the_users_is_what_is_learned(blobs):
    X = blobs[0]
    model = NeighborMapTransformer(**SMALL, inference="encoder").fit(X)
    given = NeighborMapTransformer(**SMALL, metric="precomputed")
    given.fit(X, graph=kneighbors_graph(X, 3, mode="distance"))
    assert_array_equal(given.transform(X), model.transform(X))


def test_a_row_is_no_neighbour_of_its_own(blobs):
    X = blobs[0]
    graph = kneighbors_graph(X, 3, include_self=True)
    model = NeighborMapTransformer(**SMALL, metric="precomputed").fit(X, graph=graph)
    assert not model.graph_.diagonal().any()


def test_rows_without_neighbours_are_only_pushed(blobs):
    X = blobs[0]
    graph = csr_matrix((len(X), len(X)))
    model = NeighborMapTransformer(**SMALL, metric="precomputed").fit(X, graph=graph)
    assert np.isfinite(model.transform(X)).all()


# Unusual tables -----------------------------------------------------------------------


@pytest.mark.parametrize("inference", ["refined", "encoder"])
@pytest.mark.parametrize(
    "X",
    [
        np.ones((1, 3)),
        np.ones((30, 3)),
        np.repeat(np.random.RandomState(0).normal(size=(3, 4)), 100, axis=0),
        np.r_[np.zeros((20, 2)), 1e6 + np.arange(40).reshape(20, 2)],
        np.arange(12.0).reshape(12, 1),
    ],
    ids=["one row", "constant", "duplicates", "far apart", "one column"],
)
@pytest.mark.filterwarnings("ignore:n_neighbors=", "ignore:n_components=")
def test_tables_that_are_hardly_any(X, inference):
    model = NeighborMapTransformer(**SMALL, inference=inference).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert np.isfinite(model.reconstruct(X)).all()
    assert np.isfinite(model.score(X))


def test_duplicates_lie_in_one_place():
    X = np.repeat(np.random.RandomState(0).normal(size=(3, 4)), 100, axis=0)
    Z = NeighborMapTransformer(**SMALL).fit_transform(X)
    assert len(np.unique(Z.round(6), axis=0)) == 3


@pytest.mark.parametrize("n_components", [1, 8])
def test_any_number_of_latents(n_components, blobs):
    X, y = blobs
    model = NeighborMapTransformer(n_components, **SMALL).fit(X[::2])
    Z = model.transform(X[1::2])
    assert Z.shape == (100, n_components)
    knn = KNeighborsClassifier(5).fit(model.transform(X[::2]), y[::2])
    assert knn.score(Z, y[1::2]) > 0.95


def test_images_have_convolutions():
    X = load_digits().data[:100]
    model = NeighborMapTransformer(
        image_shape=(8, 8), max_iter=1, hidden_layer_sizes=(4,)
    )
    assert model.fit(X).reconstruct(X).shape == X.shape
    assert any(isinstance(part, nn.Conv2d) for part in model.module_.modules())


def test_log_loss_gives_back_values_between_0_and_1():
    X = load_digits().data[:100] / 16
    model = NeighborMapTransformer(**SMALL, loss="log_loss").fit(X)
    assert 0 < model.reconstruct(X).min() < model.reconstruct(X).max() < 1


def test_callbacks_follow_the_encoder(blobs):
    from skorch.callbacks import Callback

    class Count(Callback):
        n_epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs += 1

    count = Count()
    NeighborMapTransformer(**SMALL, callbacks=[count]).fit(blobs[0])
    assert count.n_epochs == 2


# Messages -----------------------------------------------------------------------------


def test_more_neighbours_than_rows_are_reduced_with_a_warning():
    X = np.random.RandomState(0).normal(size=(10, 3))
    model = NeighborMapTransformer(**{**SMALL, "n_neighbors": 15})
    expected = "n_neighbors=15 is more than .* all 9.*ask for fewer"
    with pytest.warns(UserWarning, match=expected):
        model.fit(X)
    assert_array_equal(model.graph_.sum(axis=1), np.full((10, 1), 9))


def test_as_many_neighbours_as_other_rows_warn():
    X = np.random.RandomState(0).normal(size=(4, 3))
    expected = "n_neighbors=3 is as many as .* all 3.*ask for fewer"
    with pytest.warns(UserWarning, match=expected):
        NeighborMapTransformer(**SMALL).fit(X)


def test_a_training_that_is_cut_short_warns(blobs):
    model = NeighborMapTransformer(**SMALL)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        model.fit(blobs[0])


@pytest.mark.parametrize(
    ("params", "graph", "message"),
    [
        ({"metric": "precomputed"}, None, "takes the neighbours from fit"),
        ({}, csr_matrix((200, 200)), 'graph= is for metric="precomputed"'),
        ({"metric": "precomputed"}, csr_matrix((9, 9)), r"200 rows .* \(9, 9\)"),
        (
            {"metric": "precomputed", "inference": "refined"},
            csr_matrix((200, 200)),
            "needs a metric",
        ),
        ({"metric": "hyperbolic"}, None, "'metric' parameter"),
        ({"n_neighbors": 0}, None, "'n_neighbors' parameter"),
    ],
)
def test_what_cannot_be(params, graph, message, blobs):
    model = NeighborMapTransformer(**{**SMALL, **params})
    with pytest.raises(ValueError, match=message):
        model.fit(blobs[0], graph=graph)
    assert not hasattr(model, "module_")


def test_a_graph_of_another_kind_is_refused(blobs):
    model = NeighborMapTransformer(**SMALL, metric="precomputed")
    with pytest.raises(TypeError, match="got list"):
        model.fit(blobs[0], graph=[[1]])


# Categories and missing cells ---------------------------------------------------------


@pytest.mark.parametrize("inference", ["refined", "encoder"])
def test_frames_with_categories_and_holes_go_there_and_back(inference, blobs):
    pd = pytest.importorskip("pandas")
    X, y = blobs
    frame = pd.DataFrame(X).rename(columns=str)
    frame["cluster"] = pd.Series(list("abcde"))[y].to_numpy()
    frame.iloc[::7, 2] = np.nan
    model = NeighborMapTransformer(**SMALL, inference=inference).fit(frame)
    back = model.reconstruct(frame)
    assert list(back.columns) == list(frame.columns)
    assert back["cluster"].isin(list("abcde")).all()
    assert np.isfinite(model.transform(frame)).all()
    assert np.isfinite(model.score(frame))


# Long tables --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(blobs):
    """A map that is taken for that of a long table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbor_map, "_MOST_COMPARED", 50)
        return NeighborMapTransformer(**SMALL).fit(blobs[0][::2])


def test_rows_of_long_tables_settle_too(long, fitted, blobs):
    X = blobs[0]
    assert_allclose(long.transform(X[::2]), fitted.transform(X[::2]), atol=1e-4)
    y = blobs[1]
    knn = KNeighborsClassifier(5).fit(long.transform(X[::2]), y[::2])
    assert knn.score(long.transform(X[1::2]), y[1::2]) == 1.0


def test_a_new_row_of_a_long_table_is_put_between_ten_rows(long, fitted):
    assert long._inference.index.n_neighbors == 10
    assert fitted._inference.index.n_neighbors == 5


def test_a_file_holds_the_map_of_a_long_table(long, blobs, tmp_path):
    save(long, tmp_path / "map.safetensors")
    loaded = load(tmp_path / "map.safetensors")
    assert_array_equal(loaded.transform(blobs[0]), long.transform(blobs[0]))


@pytest.mark.parametrize("params", [{"metric": "cosine"}, {"n_components": 3}])
def test_of_long_tables_without_quick_neighbours_the_encoder_is_the_map(
    params, blobs, monkeypatch
):
    X = blobs[0][::2]
    monkeypatch.setattr(neighbor_map, "_MOST_COMPARED", 50)
    model = NeighborMapTransformer(**SMALL, **params).fit(X)
    with torch.no_grad():
        z = model.module_.encoder(model.module_.standardize(torch.from_numpy(X)))
    assert_allclose(model.transform(X), z, atol=1e-4)
