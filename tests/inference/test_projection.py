"""Projections of rows, against planes, curves and conditions that are known."""

import math

import pytest
import torch
from small_networks import D, K, network, rows, unit_rows
from torch import nn

from sklearn_ae._inference.projection import RowLoss, information, project, row_weights
from sklearn_ae._inference.tangents import tangent_map
from sklearn_ae._networks.losses import LOSSES, SquaredError
from sklearn_ae._networks.modules import Autoencoder
from sklearn_ae._networks.variational import VariationalAutoencoder

STEPS = 100


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def autoencoder(encoder, decoder, loss=None, d=D):
    return Autoencoder(
        encoder,
        decoder,
        SquaredError() if loss is None else loss,
        center=torch.zeros(d),
        scale=torch.tensor(1.0),
    ).double()


def variational(loss=None, kind="anchored", **options):
    return VariationalAutoencoder(
        network(D, 2 * K, kind),
        network(K, D, kind),
        SquaredError() if loss is None else loss,
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
        noise_scale=0.7,
        **options,
    ).double()


def rows_for(loss):
    return unit_rows(20) if loss.needs_unit_interval else rows(20)


def value_at(module, x, z):
    precision, prior_precision = row_weights(module)
    decode = tangent_map(module.decoder, z.shape[1])
    row_loss = RowLoss(
        module.decode, decode, module.loss_function, precision, prior_precision
    )
    return row_loss.value(z, module.decode(z), x)


def gradient_at(module, x, z):
    z = z.clone().requires_grad_()
    return torch.autograd.grad(value_at(module, x, z).sum(), z)[0]


def projected(module, x, n_steps=STEPS):
    with torch.no_grad():
        return project(module, x, [module.encode(x)], n_steps)


@pytest.mark.parametrize("loss", LOSSES)
def test_likelihoods_are_the_loss_and_constants(loss):
    module, x = variational(LOSSES[loss]()), rows_for(LOSSES[loss]())
    z = torch.randn(2, len(x), K, dtype=torch.float64)
    with torch.no_grad():
        first, second = (
            value_at(module, x, part)
            + module.log_likelihood(part, x)
            - 0.5 * part.square().sum(dim=1)
            for part in z
        )
    torch.testing.assert_close(first, second)


def test_of_a_plane_it_is_the_orthogonal_projection():
    decoder = nn.Linear(K, D).double()
    x = rows(20)
    z = projected(autoencoder(nn.Linear(D, K).double(), decoder), x, n_steps=20)
    exact = torch.linalg.lstsq(decoder.weight, (x - decoder.bias).T).solution.T
    torch.testing.assert_close(z, exact.detach(), rtol=1e-9, atol=1e-9)


class Circle(nn.Module):
    """The unit circle, by its angle."""

    def forward(self, z):
        return torch.cat([torch.cos(z), torch.sin(z)], dim=1)


class Angle(nn.Module):
    """A poor guess of the angle."""

    def forward(self, x):
        return torch.atan2(x[:, 1:], x[:, :1]) + 0.7


def test_of_a_circle_it_is_the_angle():
    x = torch.randn(50, 2, dtype=torch.float64)
    nearest = x / x.norm(dim=1, keepdim=True)
    x = nearest * torch.linspace(0.5, 1.5, 50).double()[:, None]
    z = projected(autoencoder(Angle(), Circle(), d=2), x)
    on_circle = torch.cat([torch.cos(z), torch.sin(z)], dim=1)
    torch.testing.assert_close(on_circle, nearest, rtol=0, atol=0.03)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_steps", [1, 3, STEPS])
def test_the_loss_is_never_higher_than_the_start_s(loss, n_steps):
    loss = LOSSES[loss]()
    module = autoencoder(network(D, K, "anchored"), network(K, D, "anchored"), loss)
    x = rows_for(loss)
    with torch.no_grad():
        start = value_at(module, x, module.encode(x))
        end = value_at(module, x, projected(module, x, n_steps))
    assert (end <= start).all()
    assert end.sum() < start.sum()


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_the_gradient_is_zero_there(loss):
    loss = LOSSES[loss]()
    for module in (
        autoencoder(network(D, K, "anchored"), network(K, D, "anchored"), loss),
        variational(loss),
    ):
        x = rows_for(loss)
        with torch.no_grad():
            start = module.encode(x)
        before = gradient_at(module, x, start).norm(dim=1)
        after = gradient_at(module, x, projected(module, x)).norm(dim=1)
        # The last step gains less than 1e-4 of the loss.
        assert (after < 0.1 * before.clamp(min=1.0)).all()
        assert after.median() < 0.02 * before.median()


def test_absolute_errors_find_the_median_of_a_constant_decoder():
    # One latent that all columns follow: the best is the row's median.
    decoder = nn.Linear(1, 5, bias=False).double()
    nn.init.ones_(decoder.weight)
    module = autoencoder(nn.Linear(5, 1).double(), decoder, LOSSES["absolute_error"]())
    x = rows(30)
    z = projected(module, x)
    median = x.median(dim=1, keepdim=True).values
    reached, least = ((x - at).abs().sum(dim=1) for at in (z, median))
    # The last step gains less than 1e-4.
    assert (reached < least * 1.02).all()


def test_the_prior_pulls_as_in_ridge_regression():
    module = variational()
    decoder = nn.Linear(K, D).double()
    module.decoder = decoder
    x = rows(20)
    z = projected(module, x)
    sigma2 = module.log_noise.exp().item() ** 2
    gram = decoder.weight.T @ decoder.weight + sigma2 * torch.eye(K).double()
    exact = torch.linalg.solve(gram, decoder.weight.T @ (x - decoder.bias).T).T
    torch.testing.assert_close(z, exact.detach(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_information_is_the_expected_curvature(loss):
    loss = LOSSES[loss]()
    module, z = variational(loss), torch.randn(4, K, dtype=torch.float64)
    found = information(module, unit_rows(4), z)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda r: module.decode(r[None])[0]))(
        z
    )
    with torch.no_grad():
        scale = module.log_noise.exp()
        p = torch.sigmoid(module.decode(z))
        weights = p * (1 - p) if loss.needs_unit_interval else 1 / scale**2
    curvature = (jacobian.mT * (weights * torch.ones(4, D))[:, None]) @ jacobian
    wanted = curvature + torch.eye(K).double()
    torch.testing.assert_close(found, wanted.detach())


def test_rows_do_not_depend_on_those_they_come_with(monkeypatch):
    module = autoencoder(network(D, K, "anchored"), network(K, D, "anchored"))
    x = rows(40)
    z = projected(module, x, n_steps=10)
    backwards = projected(module, x.flip(0), n_steps=10).flip(0)
    alone = torch.cat([projected(module, row[None], n_steps=10) for row in x])
    monkeypatch.setattr("sklearn_ae._inference.projection._JACOBIAN_SIZE", 30)
    in_blocks = projected(module, x, n_steps=10)
    for other in (backwards, alone, in_blocks):
        torch.testing.assert_close(other, z, rtol=1e-10, atol=1e-10)


def test_the_best_of_several_starts_counts():
    module = autoencoder(Angle(), Circle(), d=2)
    x = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    # From the opposite point there is no way down: its slope is zero.
    with torch.no_grad():
        stuck = torch.full((1, 1), math.pi, dtype=torch.float64)
        good = torch.full((1, 1), 0.3, dtype=torch.float64)
        both = project(module, x, [stuck, good], STEPS)
    torch.testing.assert_close(both, torch.zeros_like(both), rtol=0, atol=0.05)


class Flat(nn.Module):
    """Gives the same whatever the latents are."""

    def forward(self, z):
        return torch.zeros(len(z), D, dtype=z.dtype) + 0.0 * z.sum(dim=1, keepdim=True)


class Broken(nn.Module):
    """Gives NaN everywhere but where the encoder starts."""

    def forward(self, z):
        z = z.repeat(1, 3)[:, :D]
        return torch.where(z.abs() > 1e-12, torch.nan * z, z)


class Zeros(nn.Module):
    def forward(self, x):
        return torch.zeros(len(x), K, dtype=x.dtype)


@pytest.mark.parametrize("decoder", [Flat(), Broken()])
def test_where_nothing_is_better_the_encoder_s_latents_stay(decoder):
    x = rows(5)
    z = projected(autoencoder(Zeros(), decoder), x)
    assert torch.equal(z, torch.zeros_like(z))


@pytest.mark.parametrize("far", [1e6, 1e30, torch.inf])
def test_far_rows_spoil_no_others(far):
    module = autoencoder(network(D, K, "anchored"), network(K, D, "anchored")).float()
    x = rows(6).float()
    alone = projected(module, x)
    x[2] = far
    z = projected(module, x)
    others = [0, 1, 3, 4, 5]
    torch.testing.assert_close(z[others], alone[others], rtol=1e-4, atol=1e-4)
