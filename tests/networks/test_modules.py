"""The torch modules: networks, losses per row, units, rotations of the latents."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from small_networks import D, K, loss_with_fixed_noise, network, rows, unit_rows
from torch import nn

from sklearn_ae._networks.corruptions import (
    GaussianCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from sklearn_ae._networks.losses import (
    LOSSES,
    AbsoluteError,
    LogLoss,
    SpanSquaredError,
    SquaredError,
)
from sklearn_ae._networks.modules import (
    ACTIVATIONS,
    MLP,
    Anchored,
    Autoencoder,
    over_blocks,
)
from sklearn_ae._networks.variational import VariationalAutoencoder
from sklearn_ae._tables.columns import Columns
from sklearn_ae._tables.span import Span

each_loss = pytest.mark.parametrize("loss", [loss() for loss in LOSSES.values()])


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def autoencoder(loss=None, kind="mlp", **options):
    options = {"center": torch.zeros(D), "scale": torch.tensor(1.0)} | options
    return Autoencoder(
        network(D, K, kind), network(K, D, kind), loss or SquaredError(), **options
    ).double()


def vae(loss=None, kind="mlp", **options):
    options = {"center": torch.zeros(D), "scale": torch.tensor(1.0)} | options
    return VariationalAutoencoder(
        network(D, 2 * K, kind), network(K, D, kind), loss or SquaredError(), **options
    ).double()


# The networks -------------------------------------------------------------------------


def test_mlp_has_an_activation_between_layers_and_none_after_the_last():
    layers = [
        (layer.in_features, layer.out_features)
        if isinstance(layer, nn.Linear)
        else type(layer)
        for layer in MLP.of_sizes(7, (5, 3), 2, "leaky_relu")
    ]
    assert layers == [(7, 5), nn.LeakyReLU, (5, 3), nn.LeakyReLU, (3, 2)]


def test_mlp_without_hidden_layers_is_linear():
    (layer,) = MLP.of_sizes(7, (), 2, "relu")
    assert (layer.in_features, layer.out_features) == (7, 2)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("identity", lambda a: a),
        ("logistic", lambda a: 1 / (1 + np.exp(-a))),
        ("tanh", np.tanh),
        ("relu", lambda a: np.maximum(a, 0)),
        ("leaky_relu", lambda a: np.where(a > 0, a, 0.01 * a)),
        ("elu", lambda a: np.where(a > 0, a, np.expm1(a))),
        ("gelu", lambda a: a * 0.5 * (1 + np.vectorize(math.erf)(a / math.sqrt(2)))),
        ("silu", lambda a: a / (1 + np.exp(-a))),
    ],
)
def test_activation_is_the_function_of_its_name(name, function):
    a = np.linspace(-3, 3, 13)
    result = ACTIVATIONS[name]()(torch.from_numpy(a)).numpy()
    np.testing.assert_allclose(result, function(a), atol=1e-15)


@pytest.mark.parametrize("hidden", [(), (6,), (6, 4)])
def test_anchored_mlp_is_linear_before_the_first_step(hidden):
    weight, bias, x = torch.randn(3, D), torch.randn(3), torch.randn(8, D)
    mlp = MLP.of_sizes(D, hidden, 3, "tanh")
    anchored = Anchored(weight, bias, mlp, torch.full((D,), 0.1))
    torch.testing.assert_close(anchored(x), x @ weight.T + bias)


def test_anchored_mlp_can_bend_in_the_first_step():
    anchored = Anchored(
        torch.randn(3, D),
        torch.randn(3),
        MLP.of_sizes(D, (6,), 3, "tanh"),
        torch.ones(D),
    )
    anchored(torch.randn(8, D)).square().sum().backward()
    assert anchored.network[-1].weight.grad.abs().min() > 0


def test_anchored_mlp_bends_alike_whatever_the_spread_of_a_column():
    spread = torch.tensor([1.0, 0.1, 10.0, 2.0, 0.5])
    anchored, x = network(D, 3, "anchored").double(), rows()
    mlp_part = []
    for s in (torch.ones(D), spread):
        anchored.input_spread.copy_(s)
        mlp_part.append(anchored(x * s) - anchored.linear(x * s))
    torch.testing.assert_close(*mlp_part)


def test_anchored_mlp_learns_its_linear_path():
    anchored = network(D, 3, "anchored")
    assert anchored.linear.weight.requires_grad
    assert "input_spread" not in dict(anchored.named_parameters())


# The autoencoder ----------------------------------------------------------------------


@each_loss
def test_loss_is_the_error_of_each_rows_reconstruction(loss):
    module, x = autoencoder(loss), unit_rows()
    expected = loss.error(module.decoder(module.encoder(x)), x)
    torch.testing.assert_close(module.loss(x), expected)
    torch.testing.assert_close(module.reconstruction_error(x), expected)


class Replace(nn.Module):
    """A corruption that leaves nothing of the row."""

    def forward(self, x):
        return torch.full_like(x, 0.5)


def test_corrupted_row_is_compared_with_the_clean_one():
    module, x = autoencoder(corruption=Replace()).train(), rows()
    output = module.decode(module.encode(torch.full_like(x, 0.5)))
    torch.testing.assert_close(module.loss(x), SquaredError().error(output, x))


def test_corruption_is_inactive_in_eval_mode():
    module, x = autoencoder(corruption=Replace()), rows()
    clean = module.reconstruction_error(x)
    assert not torch.allclose(module.train().loss(x), clean)
    torch.testing.assert_close(module.eval().loss(x), clean)


def test_reconstruction_error_is_of_clean_rows_in_training_mode_too():
    module, x = autoencoder(corruption=Replace()).train(), rows()
    torch.testing.assert_close(
        module.reconstruction_error(x), module.eval().reconstruction_error(x)
    )


# Units --------------------------------------------------------------------------------


def in_other_units(module, factor, shift):
    """The same networks for rows X * factor + shift."""
    module.center.mul_(factor).add_(shift)
    module.scale.mul_(factor)


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_results_follow_the_units_of_the_data(factor):
    module, X, shift = autoencoder(), rows(), 100 * factor
    Z, back, score = module.transform(X), module(X), module.score_samples(X)
    in_other_units(module, factor, shift)
    Y = X * factor + shift
    torch.testing.assert_close(module.transform(Y), Z * factor)
    torch.testing.assert_close(module(Y), back * factor + shift)
    torch.testing.assert_close(module.score_samples(Y), score * factor**2)


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError()])
def test_score_is_minus_the_error_in_the_units_of_the_data(loss):
    module = autoencoder(loss, center=torch.arange(5.0), scale=torch.tensor(3.0))
    X = rows()
    torch.testing.assert_close(module.score_samples(X), -loss.error(module(X), X))


def test_score_of_log_loss_is_minus_the_cross_entropy():
    module, X = autoencoder(LogLoss()), unit_rows()
    P = module(X)
    expected = (X * P.log() + (1 - X) * (1 - P).log()).mean(dim=1)
    torch.testing.assert_close(module.score_samples(X), expected)


def test_inverse_transform_of_log_loss_gives_probabilities():
    X = autoencoder(LogLoss()).inverse_transform(100 * rows(d=K))
    assert X.min() >= 0
    assert X.max() <= 1


def test_forward_is_transform_and_back():
    module = autoencoder(center=torch.arange(5.0), scale=torch.tensor(3.0))
    X = rows()
    torch.testing.assert_close(module(X), module.inverse_transform(module.transform(X)))


def test_standardize_keeps_the_digits_of_columns_far_from_zero():
    center = torch.full((D,), 1e8, dtype=torch.float64)
    module = Autoencoder(
        network(D, K),
        network(K, D),
        SquaredError(),
        center=center,
        scale=torch.tensor(2.0, dtype=torch.float64),
    )  # networks in float32, which has steps of 8 there
    x = rows()
    standardized = module.standardize(2 * x + center)
    assert standardized.dtype == torch.float32
    torch.testing.assert_close(standardized.double(), x, rtol=0, atol=1e-6)


def test_inverse_transform_keeps_the_digits_of_columns_far_from_zero():
    center = torch.full((D,), 1e8, dtype=torch.float64)
    scale = torch.tensor(2.0, dtype=torch.float64)
    module = Autoencoder(
        network(D, K), network(K, D), SquaredError(), center=center, scale=scale
    )
    Z = torch.randn(7, K)
    with torch.no_grad():
        expected = module.decoder(Z / 2).double() * 2
    torch.testing.assert_close(
        module.inverse_transform(Z).detach() - center, expected, rtol=0, atol=1e-6
    )


def test_units_are_part_of_the_exported_module():
    state = autoencoder().state_dict()
    assert {"columns.center", "columns.scale"} <= set(state)


def test_dtype_is_that_of_the_networks():
    assert autoencoder().dtype == torch.float64
    assert autoencoder().float().dtype == torch.float32


def test_dtype_without_networks_is_float32():
    module = Autoencoder(
        nn.Identity(),
        nn.Identity(),
        SquaredError(),
        center=torch.zeros(D, dtype=torch.float64),
        scale=torch.tensor(1.0, dtype=torch.float64),
    )
    assert module.standardize(rows()).dtype == torch.float32


# Rotating the latents -----------------------------------------------------------------

each_kind = pytest.mark.parametrize("kind", ["mlp", "anchored"])


def orthogonal(k):
    return torch.linalg.qr(torch.randn(k, k, dtype=torch.float64))[0]


@each_kind
def test_rotated_latents_are_the_shifted_ones_times_the_rotation(kind):
    module, x = autoencoder(kind=kind), rows()
    rotation, shift = orthogonal(K), torch.randn(K, dtype=torch.float64)
    z = module.encode(x)
    module.rotate(rotation, shift)
    torch.testing.assert_close(module.encode(x), (z - shift) @ rotation)


@each_kind
@each_loss
def test_rotation_leaves_reconstruction_and_loss_unchanged(kind, loss):
    module, x = autoencoder(loss, kind), unit_rows()
    reconstruction, losses = module(x), module.loss(x)
    module.rotate(orthogonal(K), torch.randn(K, dtype=torch.float64))
    torch.testing.assert_close(module(x), reconstruction)
    torch.testing.assert_close(module.loss(x), losses)


@pytest.mark.parametrize("make", [autoencoder, vae])
def test_rotation_of_networks_without_hidden_layers(make):
    module, x = make(), rows()
    n_encoded = 2 * K if make is vae else K
    module.encoder = MLP.of_sizes(D, (), n_encoded, "tanh").double()
    module.decoder = MLP.of_sizes(K, (), D, "tanh").double()
    swap = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    z, reconstruction = module.encode(x), module(x)
    module.rotate(swap, torch.ones(K, dtype=torch.float64))
    torch.testing.assert_close(module.encode(x), (z - 1) @ swap)
    torch.testing.assert_close(module(x), reconstruction)


@each_kind
def test_rotation_adds_no_weights(kind):
    module = autoencoder(kind=kind)
    before = {name: p.shape for name, p in module.state_dict().items()}
    module.rotate(orthogonal(K), torch.ones(K, dtype=torch.float64))
    assert {name: p.shape for name, p in module.state_dict().items()} == before


# Signed permutations are what keeps a diagonal covariance diagonal.


@pytest.mark.parametrize("kinds", [("mlp", "anchored"), ("anchored", "mlp")])
def test_networks_of_the_package_are_known_as_such(kinds):
    module = autoencoder()
    module.encoder = network(D, K, kinds[0])
    module.decoder = network(K, D, kinds[1])
    assert module.is_own


@pytest.mark.parametrize("role", ["encoder", "decoder"])
def test_networks_of_the_user_are_not_taken_for_the_packages(role):
    # Linear layers at both ends are not enough: the bias may be missing, a layer may
    # stand there twice, and forward may do more than go through them.
    module = autoencoder()
    setattr(module, role, nn.Sequential(*network(D, K)))
    assert not module.is_own


# The order of the columns -------------------------------------------------------------

ORDER = torch.tensor([3, 0, 4, 2, 1])


@each_kind
@pytest.mark.parametrize("make", [autoencoder, vae])
def test_columns_put_back_are_taken_where_they_stand(make, kind):
    module, x = make(kind=kind), rows()
    z, output = module.encode(x[:, ORDER]), module(x[:, ORDER])
    module.put_columns_back(ORDER)
    torch.testing.assert_close(module.encode(x), z)
    torch.testing.assert_close(module(x)[:, ORDER], output)


@each_loss
def test_columns_put_back_leave_the_loss_unchanged(loss):
    module, x = autoencoder(loss), unit_rows()
    losses = module.loss(x[:, ORDER])
    module.put_columns_back(ORDER)
    torch.testing.assert_close(module.loss(x), losses)


@pytest.mark.parametrize(
    "make",
    [
        lambda rows: GaussianCorruption(0.5, rows.std(dim=0)),
        lambda rows: MaskingCorruption(0.5, rows.mean(dim=0)),
        lambda rows: SaltAndPepperCorruption(0.5, *torch.aminmax(rows, dim=0)),
    ],
    ids=["gaussian", "masking", "salt_and_pepper"],
)
def test_columns_put_back_are_put_back_in_the_corruption(make):
    x = rows() * torch.tensor([1.0, 10.0, 100.0, 1e3, 1e4])
    module = autoencoder(corruption=make(x[:, ORDER]))
    module.put_columns_back(ORDER)
    torch.testing.assert_close(module.corruption.state_dict(), make(x).state_dict())


def test_columns_put_back_leave_the_units_where_they_are():
    # The centre was never sorted: it is for X.
    module = autoencoder(center=torch.arange(5.0))
    module.put_columns_back(ORDER)
    torch.testing.assert_close(module.center, torch.arange(5.0).double())


def test_users_networks_whose_columns_were_not_sorted_are_left_alone():
    module = autoencoder()
    module.encoder = nn.Sequential(nn.Unflatten(1, (1, D)), nn.Flatten())
    module.put_columns_back(torch.arange(D))


# Blocks of rows -----------------------------------------------------------------------


def test_a_function_over_blocks_is_that_of_all_rows():
    module, x = autoencoder(), rows(10)
    sizes = []

    def encode(part):
        sizes.append(len(part))
        return module.encode(part)

    z = over_blocks(module, encode, x, n_block=4)
    assert sizes == [4, 4, 2]
    torch.testing.assert_close(z, module.encode(x).detach())
    assert not z.requires_grad


# Rows in their span -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "anchored"])
@pytest.mark.parametrize("is_variational", [False, True])
@torch.no_grad()
def test_losses_stay_where_a_module_leaves_the_span(kind, is_variational):
    x = rows(n=4, d=20)
    span = Span.of(x)
    make = (
        partial(VariationalAutoencoder, noise_scale=0.3)
        if is_variational
        else Autoencoder
    )
    r, n_encoded = span.n_coordinates, K * (1 + is_variational)
    columns = Columns(torch.zeros(20), torch.tensor(1.0))
    narrow = span.columns(columns)
    module = make(
        network(r, n_encoded, kind),
        network(K, r, kind),
        SpanSquaredError(span.scale**2),
        center=narrow.center,
        scale=narrow.scale,
    ).double()
    before = loss_with_fixed_noise(module, span.coordinates(x))
    module.leave_span(span, columns, SquaredError())
    torch.testing.assert_close(loss_with_fixed_noise(module, x), before)
    assert module.row_size == module.n_inputs == 20
