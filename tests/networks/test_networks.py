"""The linear start against scikit-learn's PCA, and the user's own networks."""

import functools

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import AutoencoderTransformer
from sklearn_ae._networks.build import (
    anchor,
    check_own_network,
    make_own_network,
    start_at,
)
from sklearn_ae._networks.linear import MIN_NOISE_VARIANCE, LinearStart
from sklearn_ae._networks.modules import MLP
from sklearn_ae._tables.columns import column_order


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def table(n, d, rank=None, seed=0):
    """Correlated rows (n, d) of the given rank about a mean that is not zero."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(rank or d, d))
    return rng.normal(size=(n, rank or d)) @ mixing + rng.normal(size=d)


def linear_start(X, n_components):
    x = torch.from_numpy(X)
    return LinearStart.from_rows(x, n_components, np.random.RandomState(0))


def apply(layer, x):
    weight, bias = layer
    return x @ weight.T + bias


# The linear start ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 5), (6, 20)], ids=["tall", "wide"])
def test_linear_start_is_scikit_learns_pca_signs_included(shape):
    X = table(*shape)
    pca = PCA(3).fit(X)
    start = linear_start(X, 3)
    np.testing.assert_allclose(start.components, pca.components_, atol=1e-9)
    np.testing.assert_allclose(start.variances, pca.explained_variance_)
    np.testing.assert_allclose(start.mean, pca.mean_, atol=1e-12)
    assert start.noise_variance == pytest.approx(pca.noise_variance_)


def test_linear_start_in_float32_is_that_of_float64():
    X = table(60, 5).astype(np.float32)
    # What is computed from float32 rows is computed in double precision.
    np.testing.assert_allclose(
        linear_start(X, 3).components,
        linear_start(X.astype(np.float64), 3).components,
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize(("shape", "rank"), [((60, 3), 3), ((4, 9), 3)])
def test_components_beyond_rows_and_columns_are_zeros(shape, rank):
    start = linear_start(table(*shape), 5)
    np.testing.assert_allclose(
        start.components[:rank], PCA(rank).fit(table(*shape)).components_, atol=1e-9
    )
    assert not start.components[rank:].any()
    assert not start.variances[rank:].any()


@pytest.mark.parametrize(
    "X", [np.full((7, 3), 0.1), np.ones((1, 3))], ids=["equal rows", "one row"]
)
def test_linear_start_of_rows_without_variance_is_their_mean(X):
    start = linear_start(X, 2)
    assert not start.components.any()
    assert not start.variances.any()
    np.testing.assert_allclose(start.mean, X[0])
    assert start.noise_variance == MIN_NOISE_VARIANCE


def test_noise_variance_has_a_floor_where_pca_leaves_nothing():
    assert linear_start(table(60, 3), 3).noise_variance == MIN_NOISE_VARIANCE


def test_pca_layers_are_pca():
    X = table(60, 5)
    pca, x = PCA(2).fit(X), torch.from_numpy(X)
    encoder, decoder, *_ = linear_start(X, 2).pca_layers()
    Z = pca.transform(X)
    np.testing.assert_allclose(apply(encoder, x), Z, atol=1e-9)
    np.testing.assert_allclose(
        apply(decoder, torch.from_numpy(Z)), pca.inverse_transform(Z), atol=1e-9
    )


def test_decoder_of_probabilistic_pca_has_pcas_covariance():
    X = table(60, 5)
    start = linear_start(X, 2)
    _, (weight, bias), *_ = start.probabilistic_pca_layers()
    covariance = weight @ weight.T + start.noise_variance * torch.eye(5)
    pca = PCA(2).fit(X)
    np.testing.assert_allclose(covariance, pca.get_covariance(), atol=1e-9)
    np.testing.assert_allclose(bias, pca.mean_, atol=1e-9)


def test_encoder_of_probabilistic_pca_is_the_posterior_of_its_decoder():
    X = table(60, 5)
    x = torch.from_numpy(X)
    start = linear_start(X, 2)
    encoder, (weight, bias), *_ = start.probabilistic_pca_layers()
    mean, log_var = apply(encoder, x).chunk(2, dim=1)
    # Bayes' rule: covariance s2 M^-1 and mean M^-1 W^T (x - b), M = W^T W + s2 I.
    m = weight.T @ weight + start.noise_variance * torch.eye(2)
    inverse = torch.linalg.inv(m)
    torch.testing.assert_close(mean, (x - bias) @ weight @ inverse)
    torch.testing.assert_close(
        log_var, torch.log(start.noise_variance * inverse.diagonal()).expand(60, 2)
    )


def test_components_that_are_noise_have_the_prior_as_posterior():
    X = table(60, 3)
    (weight, bias), (decoder_weight, _), *_ = linear_start(
        X, 5
    ).probabilistic_pca_layers()
    # Latents 3 and 4 carry nothing: mean 0, variance 1, and the decoder ignores them.
    assert not weight[[3, 4]].any()
    assert not bias[[3, 4, 8, 9]].any()
    assert not decoder_weight[:, 3:].any()


# Beside an MLP ------------------------------------------------------------------------


def anchored_start(variances, n_outputs=3):
    n_inputs = len(variances)
    layer = torch.randn(n_outputs, n_inputs).double(), torch.randn(n_outputs).double()
    mlp = MLP.of_sizes(n_inputs, (4,), n_outputs, "tanh")
    return anchor(mlp, layer, torch.tensor(variances)), layer


def test_anchor_starts_as_the_linear_layer():
    network, layer = anchored_start([1.0, 4.0])
    x = torch.randn(5, 2)
    expected = apply(layer, x.double())
    torch.testing.assert_close(network(x).double(), expected, rtol=1e-5, atol=1e-5)


def test_anchor_shows_the_mlp_inputs_of_unit_spread():
    network, _ = anchored_start([1.0, 4.0, 0.25])
    torch.testing.assert_close(network.input_spread, torch.tensor([1.0, 2.0, 0.5]))


def test_anchor_leaves_constant_inputs_alone():
    network, _ = anchored_start([1.0, 0.0])
    assert network.input_spread[1] == 1


def test_anchor_is_float32_throughout():
    network, _ = anchored_start([1.0, 0.0])
    assert {t.dtype for t in network.state_dict().values()} == {torch.float32}


def test_anchor_does_not_take_rounding_noise_for_spread():
    # A column (or latent) of 1e-8 of the others' spread is what float32 leaves of a
    # constant one. Divided by its own spread it would rule the MLP.
    network, _ = anchored_start([1.0, 1e-16])
    assert network.input_spread[1] > 1e-6


few_epochs = pytest.mark.filterwarnings(
    "ignore:Training ended at max_iter:sklearn.exceptions.ConvergenceWarning"
)


@few_epochs
@pytest.mark.parametrize("n_components", [3, 5])
def test_more_latents_than_the_rank_of_collinear_columns(n_components):
    # PCA's surplus components are noise of 1e-8 here, and must stay harmless.
    X = table(200, 5, rank=2)
    autoencoder = AutoencoderTransformer(
        n_components, max_iter=3, early_stopping=False
    ).fit(X)
    assert autoencoder.reconstruction_err_ < 1e-6


@few_epochs
@pytest.mark.parametrize("noise", [1e-16, 1e-9])
def test_nearly_constant_column_may_take_another_value_later(noise):
    t = np.linspace(-1, 1, 200)
    rng = np.random.default_rng(0)
    X = np.column_stack([t, t**2, np.sin(3 * t), 0.3 + noise * rng.normal(size=200)])
    autoencoder = AutoencoderTransformer(
        1, hidden_layer_sizes=(16,), max_iter=20, early_stopping=False
    ).fit(X)
    assert autoencoder.best_iter_ > 0
    row = X[:1] + [[0.0, 0.0, 0.0, 0.1]]
    # Generous: the difference is a tenth of the other columns' spread.
    assert abs(autoencoder.transform(row) - autoencoder.transform(X[:1])) < 1e4


# The order of the columns -------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [1, 2, 60, 3000])
def test_column_order_belongs_to_the_columns(n_rows):
    x = torch.from_numpy(table(3000, 5))[:n_rows]
    permuted = torch.tensor([3, 0, 4, 2, 1])
    order, order_permuted = column_order(x), column_order(x[:, permuted])
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert torch.equal(permuted[order_permuted], order)


def test_column_order_with_equal_columns():
    x = torch.from_numpy(table(60, 3))[:, [0, 1, 1, 2]]
    x = torch.cat([x, torch.zeros(60, 2)], dim=1)
    permuted = torch.tensor([3, 5, 0, 4, 2, 1])
    ordered = x[:, column_order(x)]
    x = x[:, permuted]
    assert torch.equal(x[:, column_order(x)], ordered)


# A start from noise -------------------------------------------------------------------


def test_start_at_shifts_the_output_of_an_untrained_decoder():
    decoder = MLP.of_sizes(2, (4,), 3, "tanh")
    z, output = torch.randn(5, 2), torch.tensor([1.0, 2.0, 3.0])
    before = decoder(z).detach()
    start_at(decoder, output)
    torch.testing.assert_close(decoder(z), before + output)


# The user's own networks --------------------------------------------------------------


class WithoutArguments(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear,
        lambda n_inputs, n_outputs: nn.Linear(n_inputs, n_outputs),
        functools.partial(nn.Linear, bias=False),
        WithoutArguments,
        lambda: nn.Linear(4, 2),
    ],
    ids=["class", "factory", "partial", "class without arguments", "bare factory"],
)
def test_class_or_factory_is_called(network):
    made = make_own_network(network, "encoder", 4, 2)
    assert isinstance(made, nn.Linear)
    assert (made.in_features, made.out_features) == (4, 2)


def test_instance_is_copied():
    network = nn.Linear(4, 2)
    made = make_own_network(network, "encoder", 4, 2)
    torch.testing.assert_close(made.weight, network.weight)
    with torch.no_grad():
        made.weight.zero_()
    assert network.weight.any()


def test_factory_whose_body_raises_is_not_called_again_without_arguments():
    calls = []

    def factory(*sizes):
        calls.append(sizes)
        raise TypeError("from inside")

    with pytest.raises(TypeError, match="from inside"):
        make_own_network(factory, "encoder", 4, 2)
    assert calls == [(4, 2)]


def test_factory_that_gives_no_module_is_told_what_it_gave():
    with pytest.raises(TypeError, match=r"decoder must be a torch\.nn\.Module.* list"):
        make_own_network(lambda: [1, 2], "decoder", 4, 2)


def check(network, x=None, n_outputs=2):
    x = torch.zeros(2, 4) if x is None else x
    check_own_network(network, "encoder", x, n_outputs, "(n_samples, n_components)")


@pytest.mark.parametrize("n_rows", [1, 2])
def test_network_of_the_right_shape_passes(n_rows):
    check(nn.Linear(4, 2), torch.zeros(n_rows, 4))


def test_output_of_the_wrong_shape_is_told_both_shapes():
    match = (
        r"encoder must turn a batch of shape \(2, 4\) into one of shape \(2, 2\), "
        r"\(n_samples, n_components\); got shape \(2, 3\)"
    )
    with pytest.raises(ValueError, match=match):
        check(nn.Linear(4, 3))


def test_output_without_the_rows_is_told_both_shapes():
    with pytest.raises(ValueError, match=r"shape \(2, 2\).*got shape \(4,\)"):
        check(nn.Sequential(nn.Linear(4, 2), nn.Flatten(0)))


def test_network_of_another_input_width_is_told_the_shape_it_cannot_take():
    with pytest.raises(ValueError, match=r"encoder cannot take .*shape \(2, 4\)"):
        check(nn.Linear(5, 2))


class Images(nn.Module):
    def forward(self, x):
        n_rows, height, width = x.shape
        return x.view(n_rows, height * width)


class LastAxis(nn.Module):
    def forward(self, x):
        return x[:, :, 0]


@pytest.mark.parametrize("network", [Images(), LastAxis()])
def test_network_for_other_than_rows_is_told_the_shape_it_cannot_take(network):
    # Unpacking a shape raises ValueError, indexing IndexError.
    with pytest.raises(ValueError, match=r"encoder cannot take .*shape \(2, 4\)"):
        check(network)


class Two(nn.Module):
    def forward(self, x):
        return x, x


def test_output_that_is_no_tensor_is_told_its_type():
    with pytest.raises(TypeError, match=r"encoder must return a tensor.*got tuple"):
        check(Two())


@pytest.mark.parametrize("is_training", [True, False])
def test_check_leaves_the_mode_as_it_was(is_training):
    network = nn.Linear(4, 2).train(is_training)
    check(network)
    assert network.training == is_training


def test_check_leaves_the_mode_as_it_was_where_the_network_fails():
    network = nn.Linear(5, 2).train()
    with pytest.raises(ValueError, match="cannot take"):
        check(network)
    assert network.training


def test_check_does_not_move_running_statistics():
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = network[0].running_mean.clone()
    check(network, torch.ones(1, 4))
    torch.testing.assert_close(network[0].running_mean, before)
