import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_ae import AutoencoderTransformer, VAETransformer
from sklearn_ae._estimators import choosing

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 2, "hidden_layer_sizes": (8,)}


def table(n_samples, n_known, n_columns, noise, seed=0):
    rng = np.random.default_rng(seed)
    loadings = np.linalg.qr(rng.normal(size=(n_columns, n_known)))[0].T
    Z = rng.normal(size=(n_samples, n_known))
    return Z @ loadings + noise * rng.normal(size=(n_samples, n_columns))


@pytest.fixture(scope="module")
def X():
    return table(150, 3, 8, 0.1)


@pytest.fixture(scope="module")
def auto(X):
    return AutoencoderTransformer("auto", **QUICK).fit(X)


def test_auto_finds_a_known_dimension(auto):
    assert auto.n_components_ == 3


@pytest.mark.parametrize("n_known", [1, 2, 5])
def test_auto_finds_a_known_dimension_of_linear_tables(n_known):
    ae = AutoencoderTransformer("auto", max_iter=0)
    assert ae.fit(table(200, n_known, 10, 0.1, seed=1)).n_components_ == n_known


def test_fit_is_that_of_the_number_that_was_found(X, auto):
    assert (
        auto.transform(X) == AutoencoderTransformer(3, **QUICK).fit_transform(X)
    ).all()


def test_parameter_stays_as_it_was_given(auto):
    assert auto.n_components == "auto"
    assert clone(auto).n_components == "auto"


def test_a_fit_that_goes_on_keeps_its_number(X, auto):
    goes_on = clone(auto).set_params(warm_start=True).fit(X)
    goes_on.set_params(max_iter=3).fit(X[:, ::-1].copy())
    assert (goes_on.n_components_, goes_on.n_components) == (3, "auto")


def test_share_of_a_linear_table_takes_as_many_as_pca():
    X = table(2000, 4, 8, 0.02)
    share = PCA().fit(X).explained_variance_ratio_.cumsum()
    asked = (share[1] + share[2]) / 2
    ae = AutoencoderTransformer(asked, max_iter=0).fit(X)
    assert ae.n_components_ == 3


def test_a_bent_table_takes_fewer_than_pca():
    t = np.linspace(-1.0, 1.0, 300)
    rng = np.random.default_rng(0)
    X = np.c_[t, t**2, t**3] + 0.02 * rng.normal(size=(300, 3))
    ae = AutoencoderTransformer(0.95, hidden_layer_sizes=(32,)).fit(X)
    assert ae.n_components_ == 1
    assert np.searchsorted(PCA().fit(X).explained_variance_ratio_.cumsum(), 0.95) == 1


def test_none_takes_all_that_rows_and_columns_allow(X):
    fits = [(X, 8), (X[:5], 4), (np.tile(X, (1, 9)), 64)]
    for rows, n in fits:
        ae = AutoencoderTransformer(None, max_iter=0, inference="encoder").fit(rows)
        assert ae.n_components_ == n


def test_one_column_has_one_latent(X):
    assert AutoencoderTransformer("auto", max_iter=0).fit(X[:, :1]).n_components_ == 1


def test_of_rows_that_do_not_differ_one_latent_explains_any_share():
    model = AutoencoderTransformer(0.9, max_iter=1, hidden_layer_sizes=(4,))
    assert model.fit(np.full((20, 3), 7.0)).n_components_ == 1


def test_share_that_few_rows_do_not_tell():
    X = np.random.default_rng(0).normal(size=(8, 20))
    with pytest.warns(UserWarning, match=r"n_components=0\.99: no number of latents"):
        ae = AutoencoderTransformer(0.99, max_iter=0).fit(X)
    assert ae.n_components_ == 6


def test_parts_choose_by_the_first(X):
    ae = AutoencoderTransformer(0.9, hidden_layer_sizes=(4,))
    ae.partial_fit(X).partial_fit(X)
    assert (ae.n_components_, ae.n_components) == (3, 0.9)


def test_variational_autoencoder_chooses(X):
    assert VAETransformer("auto", max_iter=0).fit(X).n_components_ == 3


def test_networks_of_fixed_width_cannot_choose(X):
    ae = AutoencoderTransformer("auto", encoder=nn.Linear(8, 2), max_iter=0)
    with pytest.raises(ValueError, match="encoder is a network with its own"):
        ae.fit(X)
    assert ae.n_components == "auto"


@pytest.mark.parametrize("n_components", [0, 1.0, 1.5, -0.1, "mle"])
def test_what_is_no_number_of_latents(X, n_components):
    with pytest.raises(ValueError, match="n_components"):
        AutoencoderTransformer(n_components).fit(X)


def test_numbers_beyond_memory_are_refused(X):
    with pytest.raises(ValueError, match="n_components=1000000 asks for networks"):
        AutoencoderTransformer(10**6, **QUICK).fit(X)


def test_where_a_share_is_reached_a_single_training_tells(X, monkeypatch):
    trained = []
    find = choosing.Trials._trial

    def trial(self, k, n_epochs=None):
        trained.extend([k] if n_epochs is None else [])
        return find(self, k, n_epochs)

    monkeypatch.setattr(choosing.Trials, "_trial", trial)
    assert AutoencoderTransformer(0.9, **QUICK).fit(X).n_components_ == 3
    assert trained == [2]


class TrialsOfCurves(choosing.Trials):
    """Trained networks leave about the same of all numbers of latents but the first."""

    most, _in_all = 500, 1.0

    def _share_left(self, k, n_epochs=None):
        if n_epochs == 0:
            return np.exp(-0.02 * k)
        self.estimator.append(k)
        return max(np.exp(-0.04 * k), 0.0495)


def test_errors_that_are_hardly_low_enough_do_not_take_many_trainings():
    trained = []
    nothing = np.empty((0, 1))
    trials = TrialsOfCurves(trained, None, nothing, True, nothing)
    assert trials.reach(0.95) == 75
    assert len(trained) <= 16


def test_latents_that_follow_single_cells_are_too_many():
    # What is expected of latents would make up for them: then it is 15.
    X = StandardScaler().fit_transform(load_breast_cancer().data[:200])
    assert AutoencoderTransformer("auto", max_iter=0).fit(X).n_components_ == 6
