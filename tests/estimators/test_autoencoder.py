"""AutoencoderTransformer: PCA at the start, the user's networks, samples."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

EPS32 = np.finfo(np.float32).eps

# What starts as PCA. The VAE starts as probabilistic PCA: see test_vae.py.
PLAIN = [AutoencoderTransformer, DenoisingAutoencoderTransformer]


# At the start it is PCA ---------------------------------------------------------------

rng = np.random.default_rng(0)
TABLES = {
    "tall": rng.normal(size=(60, 6)) * [5.0, 3.0, 2.0, 1.0, 0.5, 0.1] + 7.0,
    "wide": rng.normal(size=(12, 30)) * np.linspace(1.0, 4.0, 30),
    "tiny units": 1e-9 * rng.normal(size=(40, 4)) * [1.0, 2.0, 3.0, 4.0],
    "far from zero": rng.normal(size=(40, 4)) * [1.0, 2.0, 3.0, 4.0] + 1e6,
}


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("Estimator", PLAIN)
class TestUntrainedIsPCA:
    # PCA is computed in float64, from rows rounded to float32, and stored in float32.
    def tolerance(self, X):
        return {"rtol": 0, "atol": 32 * EPS32 * np.ptp(X, axis=0).max()}

    def test_transform(self, Estimator, table, n_components, loss):
        X = TABLES[table]
        # From PCA's latents, the projection goes on to lower absolute errors.
        inference = "encoder" if loss == "absolute_error" else "auto"
        estimator = Estimator(n_components, loss=loss, max_iter=0, inference=inference)
        Z = estimator.fit(X).transform(X)
        pca = PCA(n_components, svd_solver="full").fit(X)
        assert_allclose(Z, pca.transform(X), **self.tolerance(X))

    def test_inverse_transform(self, Estimator, table, n_components, loss):
        X = TABLES[table]
        estimator = Estimator(n_components, loss=loss, max_iter=0).fit(X)
        pca = PCA(n_components, svd_solver="full").fit(X)
        Z = np.random.default_rng(1).normal(size=(9, n_components)) * X.std()
        R = estimator.inverse_transform(Z)
        assert_allclose(R, pca.inverse_transform(Z), **self.tolerance(X))


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_untrained_is_pca_in_float32(offset):
    X = (TABLES["tall"] + offset).astype(np.float32)
    Z = AutoencoderTransformer(2, max_iter=0).fit_transform(X)
    wanted = PCA(2, svd_solver="full").fit_transform(X.astype(np.float64))
    # Differences from a centre that is float32, too: half its last digit.
    atol = 32 * EPS32 * np.ptp(X, axis=0).max() + EPS32 * offset
    assert_allclose(Z, wanted, atol=atol, rtol=0)


@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
def test_components_that_pca_does_not_have_are_zero():
    X = TABLES["tall"][:4]  # rank 3 at most
    Z = AutoencoderTransformer(8, max_iter=0).fit_transform(X)
    wanted = PCA(3, svd_solver="full").fit_transform(X)
    assert_allclose(Z[:, :3], wanted, atol=1e-5, rtol=0)
    assert_array_equal(Z[:, 3:], 0.0)


@pytest.mark.parametrize("Estimator", PLAIN)
def test_auto_is_pca_where_it_can_be(Estimator, X):
    assert_array_equal(
        Estimator(init="auto", max_iter=0).fit_transform(X),
        Estimator(init="pca", max_iter=0).fit_transform(X),
    )


def test_random_is_not_pca(X):
    Z = AutoencoderTransformer(init="random", max_iter=0).fit_transform(X)
    assert np.abs(np.corrcoef(Z.T, PCA(2).fit_transform(X).T)[:2, 2:]).min() < 0.99


def test_finds_what_pca_cannot(more_rows):
    X, X_test = np.split(more_rows(600), 2)
    estimator = AutoencoderTransformer(2).fit(X)
    pca = PCA(2).fit(X)
    R = pca.inverse_transform(pca.transform(X_test))
    assert -estimator.score(X_test) < 0.3 * np.mean((X_test - R) ** 2)


def test_nothing_to_find_leaves_pca():
    X = np.random.default_rng(0).normal(size=(300, 5)) * [3.0, 2.0, 1.0, 1.0, 1.0]
    estimator = AutoencoderTransformer(2).fit(X)
    assert estimator.best_iter_ == 0
    wanted = PCA(2, svd_solver="full").fit_transform(X)
    assert_allclose(estimator.transform(X), wanted, atol=1e-5)


# The lecture's network ----------------------------------------------------------------


class Optimizer(Callback):
    """Remembers the optimizer as it is when training begins."""

    def on_train_begin(self, net, **kwargs):
        self.type = type(net.optimizer_)
        self.groups = copy.deepcopy(net.optimizer_.param_groups)


@pytest.fixture(scope="module")
def lecture():
    X = np.random.default_rng(0).random((64, 784), dtype=np.float32)
    optimizer = Optimizer()
    estimator = AutoencoderTransformer(
        10,
        hidden_layer_sizes=(300, 300),
        activation="leaky_relu",
        loss="absolute_error",
        init="random",
        max_iter=1,
        callbacks=[optimizer],
    )
    return estimator.fit(X), optimizer


def layers(network):
    return [
        (layer.in_features, layer.out_features)
        if isinstance(layer, nn.Linear)
        else (type(layer), layer.negative_slope)
        for layer in network
    ]


def test_lectures_encoder(lecture):
    leaky = (nn.LeakyReLU, 0.01)
    wanted = [(784, 300), leaky, (300, 300), leaky, (300, 10)]
    assert layers(lecture[0].module_.encoder) == wanted


def test_lectures_decoder(lecture):
    leaky = (nn.LeakyReLU, 0.01)
    wanted = [(10, 300), leaky, (300, 300), leaky, (300, 784)]
    assert layers(lecture[0].module_.decoder) == wanted


def test_lectures_networks_are_all_there_is(lecture):
    n_parameters = 2 * (784 * 300 + 300 * 300 + 300 * 10) + 4 * 300 + 10 + 784
    assert sum(p.numel() for p in lecture[0].module_.parameters()) == n_parameters


def test_lectures_optimizer(lecture):
    _, optimizer = lecture
    assert optimizer.type is torch.optim.Adam
    for group in optimizer.groups:
        assert group["lr"] == 1e-3
        assert group["weight_decay"] == 0
        assert group["betas"] == (0.9, 0.999)


# Layers -------------------------------------------------------------------------------


def test_hidden_layers_of_the_decoder_are_the_encoders_reversed(Estimator, X):
    estimator = Estimator(
        3, hidden_layer_sizes=(7, 4), activation="tanh", init="random", max_iter=0
    ).fit(X)
    n_encoded = 6 if Estimator is VAETransformer else 3
    widths = [
        [layer.out_features for layer in network if isinstance(layer, nn.Linear)]
        for network in (estimator.module_.encoder, estimator.module_.decoder)
    ]
    assert widths == [[7, 4, n_encoded], [4, 7, 5]]


@pytest.mark.parametrize("sizes", [(), [], (3,), [3, 2], np.array([3, 2])])
def test_hidden_layer_sizes_may_be_any_sequence(Estimator, quick, sizes, X):
    estimator = quick(Estimator, init="random", hidden_layer_sizes=sizes, max_iter=1)
    estimator.fit(X)
    n_linear = sum(isinstance(layer, nn.Linear) for layer in estimator.module_.encoder)
    assert n_linear == len(sizes) + 1


def test_untrained_random_decoder_gives_about_the_mean_row(X_unit):
    # X_unit's columns have other means than 1/2.
    for loss in ("squared_error", "absolute_error", "log_loss"):
        estimator = AutoencoderTransformer(
            loss=loss, init="random", max_iter=0, inference="encoder"
        )
        R = estimator.fit(X_unit).reconstruct(X_unit)
        assert_allclose(R.mean(axis=0), X_unit.mean(axis=0), atol=0.15)


# Log loss -----------------------------------------------------------------------------


def test_log_loss_reconstructs_within_0_and_1(Estimator, quick, X_unit):
    estimator = quick(Estimator, loss="log_loss").fit(X_unit)
    R = estimator.reconstruct(X_unit)
    assert R.min() >= 0
    assert R.max() <= 1


@pytest.mark.parametrize("Estimator", PLAIN)
def test_log_loss_learns_binary_columns(Estimator, quick):
    # Four patterns, which two latents tell apart.
    patterns = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 0, 0, 1]] * 2, dtype=float)
    patterns[2:] = 1 - patterns[:2]
    X = np.tile(patterns, (20, 1))
    estimator = quick(Estimator, loss="log_loss", learning_rate_init=0.03, max_iter=40)
    assert_array_equal(estimator.fit(X).reconstruct(X).round(), X)


def test_log_loss_takes_the_bounds_themselves(Estimator, quick):
    X = np.tile([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]], (10, 1))
    estimator = quick(Estimator, loss="log_loss").fit(X)
    assert np.isfinite(estimator.score_samples(X)).all()


# The user's own networks --------------------------------------------------------------


class Encoder(nn.Module):
    """Takes the widths; not a Sequential, and with normalisation and dropout inside."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.hidden = nn.Linear(n_inputs, 8)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.1)
        self.last = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.last(self.dropout(torch.tanh(self.norm(self.hidden(x)))))


def make_decoder(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.Tanh(), nn.Linear(8, n_outputs))


class FixedDecoder(nn.Sequential):
    """Takes no arguments: for 2 latents and 5 columns."""

    def __init__(self):
        super().__init__(nn.Linear(2, 5, bias=False))


OWN = {
    "class": lambda n_encoded: {"encoder": Encoder, "decoder": nn.Linear},
    "class without arguments": lambda n_encoded: {"decoder": FixedDecoder},
    "function": lambda n_encoded: {"decoder": make_decoder},
    "instance": lambda n_encoded: {
        "encoder": Encoder(5, n_encoded),
        "decoder": make_decoder(2, 5),
    },
    "encoder alone": lambda n_encoded: {"encoder": nn.Linear(5, n_encoded)},
}


def own_networks(Estimator, kind):
    with torch.random.fork_rng():  # layers draw their weights from there
        torch.manual_seed(0)
        return OWN[kind](4 if Estimator is VAETransformer else 2)


@pytest.mark.parametrize("kind", OWN)
def test_own_networks_are_trained(Estimator, kind, quick, X):
    own = own_networks(Estimator, kind)
    estimator = quick(Estimator, **own)
    start = clone(estimator).set_params(max_iter=0).fit(X)
    assert estimator.fit(X).score(X) > start.score(X) + 1e-3


@pytest.mark.parametrize("kind", OWN)
def test_own_networks_stand_where_they_belong(Estimator, kind, quick, X):
    for role, network in own_networks(Estimator, kind).items():
        estimator = quick(Estimator, **{role: network}, max_iter=1).fit(X)
        own = getattr(estimator.module_, role)
        if isinstance(network, type):
            assert type(own) is network
        elif isinstance(network, nn.Module):
            assert type(own) is type(network)
            assert own is not network


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_own_instance_is_left_as_it_was(Estimator, method, quick, X):
    own = own_networks(Estimator, "instance")
    before = copy.deepcopy(own)
    getattr(quick(Estimator, **own), method)(X)
    for role, network in own.items():
        assert network.training == before[role].training
        for name, value in network.state_dict().items():
            assert torch.equal(value, before[role].state_dict()[name]), name
        assert all(p.grad is None for p in network.parameters())


def test_own_instance_starts_anew_on_a_refit(Estimator, quick, X):
    estimator = quick(Estimator, **own_networks(Estimator, "instance"))
    R = estimator.fit(X).reconstruct(X)
    assert_array_equal(estimator.fit(X).reconstruct(X), R)


def test_weights_of_an_own_instance_are_where_training_starts(Estimator, quick, X):
    own = own_networks(Estimator, "instance")
    estimator = quick(Estimator, **own, max_iter=0).fit(X)
    state = estimator.module_.encoder.state_dict()
    for name, value in own["encoder"].state_dict().items():
        assert torch.equal(value, state[name]), name


def test_own_class_is_drawn_from_the_seed(Estimator, quick, X):
    def scores(seed):
        estimator = quick(Estimator, encoder=Encoder, random_state=seed)
        return estimator.fit(X).score_samples(X)

    assert_array_equal(scores(0), scores(0))
    assert np.any(scores(0) != scores(1))


def weight_norm(n_inputs, n_outputs):
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(n_inputs, n_outputs))
    return nn.Sequential(layer)


class Doubled(nn.Sequential):
    """A Sequential that does more than its layers."""

    def forward(self, x):
        return 2.0 * super().forward(x)


def shared_layer(n_inputs, n_outputs):
    layer = nn.Linear(n_inputs, n_inputs)
    return nn.Sequential(layer, nn.Tanh(), layer)


@pytest.mark.parametrize(
    ("network", "n_components"),
    [
        (lambda i, o: nn.Sequential(nn.Linear(i, o, bias=False)), 2),
        (weight_norm, 2),
        (lambda i, o: Doubled(nn.Linear(i, o)), 2),
        (shared_layer, 5),
    ],
    ids=["no bias", "parametrised", "own forward", "shared layer"],
)
@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_own_networks_that_look_like_the_packages(
    network, n_components, role, quick, X
):
    # Their layers must not be turned as the package's own are: the error would change.
    watched = []

    class Watch(Callback):
        def on_epoch_end(self, net, dataset_train=None, **kwargs):
            module = copy.deepcopy(net.module_).eval()
            with torch.no_grad():
                error = module.reconstruction_error(dataset_train).mean()
            watched.append(error.item() * module.scale.item() ** 2)

    params = {
        role: network,
        "n_components": n_components,
        "inference": "encoder",
        "callbacks": [Watch()],
    }
    estimator = quick(AutoencoderTransformer, **params).fit(X)
    assert estimator.reconstruction_err_ == pytest.approx(min(watched), rel=1e-4)


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
def test_own_networks_see_one_row_at_a_time(Estimator, method, quick, X):
    # As scikit-learn's check of subsets wants it.
    estimator = quick(Estimator, encoder=nn.Linear, decoder=nn.Linear).fit(X)
    method = getattr(estimator, method)
    alone = np.concatenate([method(row[None]) for row in X])
    assert_allclose(alone, method(X), rtol=1e-7, atol=1e-7)


# Samples ------------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator", PLAIN)
def test_samples_have_the_moments_of_the_rows(Estimator):
    # A linear model of Gaussian rows: the samples' moments are those of the
    # reconstructions, up to 4 standard errors.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) @ [[3.0, 0.0, 1.0], [0.0, 1.0, 1.0]] + [0, 5, 9]
    estimator = Estimator(2, max_iter=0).fit(X)
    S = estimator.sample(20_000, random_state=0)
    error = 4 * X.std(axis=0) / np.sqrt(20_000)
    assert np.all(np.abs(S.mean(axis=0) - X.mean(axis=0)) < error)
    assert_allclose(np.cov(S.T), np.cov(X.T), atol=0.05 * X.var(axis=0).max())


@pytest.mark.parametrize("Estimator", PLAIN)
def test_samples_lie_in_the_clusters_of_the_rows(Estimator):
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 50.0], [0.0, 50.0, 50.0]])
    X = centers[rng.integers(0, 3, size=300)] + rng.normal(size=(300, 3))
    S = Estimator(2, max_iter=0).fit(X).sample(200, random_state=0)
    distances = np.linalg.norm(S[:, None] - centers, axis=2)
    assert distances.min(axis=1).max() < 8.0
    assert set(distances.argmin(axis=1)) == {0, 1, 2}


def test_sample_has_the_shape_asked_for(fitted, X):
    assert fitted.sample().shape == (1, X.shape[1])
    assert fitted.sample(7).shape == (7, X.shape[1])


def test_sample_follows_its_seed(fitted):
    S = fitted.sample(20, random_state=3)
    assert_array_equal(fitted.sample(20, random_state=3), S)
    assert np.any(fitted.sample(20, random_state=4) != S)


def test_sample_takes_the_estimators_seed(fitted):
    assert fitted.random_state == 0
    assert_array_equal(fitted.sample(5), fitted.sample(5, random_state=0))


def test_sample_goes_on_with_a_generator(fitted):
    rng = np.random.RandomState(0)
    first, second = (
        fitted.sample(5, random_state=rng),
        fitted.sample(5, random_state=rng),
    )
    assert np.any(first != second)


def test_sample_is_random_without_any_seed(Estimator, quick, X):
    estimator = quick(Estimator, max_iter=1, random_state=None).fit(X)
    assert np.any(estimator.sample(5) != estimator.sample(5))


def test_samples_of_log_loss_lie_between_0_and_1(Estimator, quick, X_unit):
    S = quick(Estimator, loss="log_loss").fit(X_unit).sample(500)
    assert S.min() >= 0
    assert S.max() <= 1


def test_samples_are_rows_of_the_table(fitted, X):
    # Each column within the table's range, widened by half of it.
    S = fitted.sample(200, random_state=0)
    margin = 0.5 * np.ptp(X, axis=0)
    share = (X.min(axis=0) - margin < S) & (X.max(axis=0) + margin > S)
    assert share.mean() > 0.9
