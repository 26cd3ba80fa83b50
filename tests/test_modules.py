"""The torch modules: networks, losses per row, units, rotations of the latents."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from sklearn_ae._corruptions import (
    GaussianCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)
from sklearn_ae._losses import LOSSES, AbsoluteError, LogLoss, SquaredError
from sklearn_ae._modules import (
    ACTIVATIONS,
    MLP,
    Anchored,
    Autoencoder,
)
from sklearn_ae._networks import LinearStart
from sklearn_ae._variational import VariationalAutoencoder

D, K = 5, 2  # columns and latents

each_loss = pytest.mark.parametrize("loss", [loss() for loss in LOSSES.values()])


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def rows(n=7, d=D):
    return torch.randn(n, d, dtype=torch.float64)


def unit_rows(n=7, d=D):
    return torch.rand(n, d, dtype=torch.float64)


def network(n_inputs, n_outputs, kind="mlp"):
    """A network of the package, with nothing left at its start value."""
    mlp = MLP.of_sizes(n_inputs, (6,), n_outputs, "tanh")
    if kind == "mlp":
        return mlp
    anchored = Anchored(
        torch.randn(n_outputs, n_inputs),
        torch.randn(n_outputs),
        mlp,
        0.5 + torch.rand(n_inputs),
    )
    for parameter in anchored.parameters():
        nn.init.normal_(parameter, std=0.5)
    return anchored


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


def loss_with_fixed_noise(module, x, seed=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return module.loss(x)


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
    assert {"center", "scale"} <= set(state)


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
SIGNED_PERMUTATION = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)


@each_kind
def test_rotated_posterior_has_permuted_means_and_variances(kind):
    module, x = vae(kind=kind), rows()
    shift = torch.randn(K, dtype=torch.float64)
    mean, log_var = module.posterior(x)
    module.rotate(SIGNED_PERMUTATION, shift)
    new_mean, new_log_var = module.posterior(x)
    torch.testing.assert_close(new_mean, (mean - shift) @ SIGNED_PERMUTATION)
    torch.testing.assert_close(new_log_var, log_var[:, [1, 0]])


@each_kind
@each_loss
def test_rotation_of_a_vae_leaves_its_densities_unchanged(kind, loss):
    module, x = vae(loss, kind), unit_rows()
    eps = torch.randn(3, 1, K, dtype=torch.float64)
    log_prob, reconstruction = module.log_prob(x, eps), module(x)
    module.rotate(SIGNED_PERMUTATION, torch.zeros(K, dtype=torch.float64))
    torch.testing.assert_close(module.log_prob(x, eps @ SIGNED_PERMUTATION), log_prob)
    torch.testing.assert_close(module(x), reconstruction)


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


# The variational autoencoder: its loss ------------------------------------------------


def posterior(module, x):
    mean, log_var = module.posterior(x)
    return Independent(Normal(mean, (0.5 * log_var).exp()), 1)


def prior():
    zeros = torch.zeros(K, dtype=torch.float64)
    return Independent(Normal(zeros, zeros + 1), 1)


def test_encoder_gives_means_then_log_variances():
    module, x = vae(), rows()
    output = module.encoder(x)
    mean, log_var = module.posterior(x)
    torch.testing.assert_close(mean, output[:, :K])
    torch.testing.assert_close(log_var, output[:, K:])
    torch.testing.assert_close(module.encode(x), mean)


def test_kl_divergence_is_that_of_torch_distributions():
    module, x = vae(beta=1.0), rows()
    once = loss_with_fixed_noise(module, x)
    module.beta = 3.0
    thrice = loss_with_fixed_noise(module, x)
    expected = kl_divergence(posterior(module, x), prior())
    torch.testing.assert_close((thrice - once) / 2, expected)


@each_loss
def test_loss_without_kl_is_minus_the_log_likelihood_of_a_draw(loss):
    module, x = vae(loss, beta=0.0), unit_rows()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        z = posterior(module, x).rsample()
    expected = loss.log_likelihood(module.decode(z), x, module.log_noise)
    torch.testing.assert_close(loss_with_fixed_noise(module, x), -expected)


class LossWithFixedNoise(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return loss_with_fixed_noise(self.module, x)


@each_loss
@pytest.mark.parametrize("name", ["encoder.0.weight", "encoder.2.bias", "noise"])
def test_gradient_of_the_reparameterised_loss(loss, name):
    # Against finite differences: the draw of z moves with mean and variance.
    module, x = vae(loss), unit_rows(n=3)
    if name == "noise" and not loss.has_noise:
        assert "noise" not in dict(module.named_parameters())
        return

    def loss_of(value):
        return torch.func.functional_call(
            LossWithFixedNoise(module), {f"module.{name}": value}, (x,)
        )

    value = module.get_parameter(name).detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss_of, value)


def test_loss_is_finite_for_rows_far_from_the_training_rows():
    module = vae().float()
    with torch.no_grad():
        # Log-variances of about 500 and -500: their exponentials are not finite.
        module.encoder[-1].bias.copy_(torch.tensor([1e6, -1e6, 500.0, -500.0]))
    losses = module.loss(torch.full((2, D), 1e6))
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


# The variational autoencoder: its noise -----------------------------------------------


@pytest.mark.parametrize("noise_scale", [0.01, 1.0, 50.0])
def test_noise_scale_is_where_the_noise_starts(noise_scale):
    module = vae(noise_scale=noise_scale)
    assert module.log_noise.exp().item() == pytest.approx(noise_scale, rel=1e-5)


def test_noise_is_learned():
    module = vae()
    assert isinstance(module.noise, nn.Parameter)


def test_log_loss_has_no_noise_to_learn():
    module = vae(LogLoss())
    assert not isinstance(module.noise, nn.Parameter)
    assert module.log_noise.item() == 0


def test_noise_has_a_floor():
    module = vae()
    with torch.no_grad():
        module.noise.fill_(-100.0)
    assert module.log_noise.item() == pytest.approx(module.MIN_LOG_NOISE)


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError()])
def test_noise_can_rise_from_below_its_floor(loss):
    # A start without noise (k at the rank of the data) lies there for the absolute
    # error, and one step of Adam can carry any other there.
    floor = math.exp(VariationalAutoencoder.MIN_LOG_NOISE)
    module = vae(loss, noise_scale=0.5 * floor)
    module.loss(rows()).sum().backward()  # errors a thousand times the noise
    assert module.noise.grad.item() < 0


# The variational autoencoder: densities -----------------------------------------------


def linear_data(n=200):
    """Correlated rows (n, D) with K directions that stand out."""
    factors = torch.randn(n, K, dtype=torch.float64)
    return factors @ torch.randn(K, D, dtype=torch.float64) + 0.5 * rows(n)


def linear(weight, bias):
    layer = nn.Linear(*weight.T.shape, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return nn.Sequential(layer)


def linear_vae(x, center=None, scale=1.0):
    """The VAE that is probabilistic PCA of x, for rows x * scale + center."""
    start = LinearStart.from_rows(x, K, np.random.RandomState(0))
    encoder, decoder, *_ = start.probabilistic_pca_layers()
    return VariationalAutoencoder(
        linear(*encoder),
        linear(*decoder),
        SquaredError(),
        center=torch.zeros(D) if center is None else center,
        scale=torch.tensor(scale),
        noise_scale=math.sqrt(start.noise_variance),
    ).double()


def exact_log_prob(module, x):
    """log p(x) of a linear Gaussian model from the weights of its decoder."""
    layer = module.decoder[-1]
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    noise_variance = module.log_noise.exp().item() ** 2
    covariance = weight @ weight.T + noise_variance * np.eye(D)
    return torch.from_numpy(multivariate_normal(bias, covariance).logpdf(x.numpy()))


def exact_posterior(module, x):
    """p(z | x) of a linear Gaussian model, by Bayes' rule."""
    layer = module.decoder[-1]
    weight, bias = layer.weight.detach(), layer.bias.detach()
    noise_variance = module.log_noise.exp().item() ** 2
    precision = torch.eye(K) + weight.T @ weight / noise_variance
    covariance = torch.linalg.inv(precision)
    mean = (x - bias) @ weight / noise_variance @ covariance
    return torch.distributions.MultivariateNormal(mean, covariance)


@pytest.fixture
def wrong_posterior():
    """A linear VAE whose encoder is not the posterior of its decoder, and its rows."""
    x = linear_data()
    module = linear_vae(x)
    with torch.no_grad():
        module.encoder[0].weight.mul_(0.95)
        module.encoder[0].bias.add_(torch.tensor([0.2, -0.2, 1.0, 1.0]))
    return module, x[:4]


@pytest.mark.parametrize("n_samples", [1, 3, 50])
def test_log_prob_is_exact_for_any_draws_where_q_is_the_posterior(n_samples):
    x = linear_data()
    module = linear_vae(x)
    eps = torch.randn(n_samples, 1, K, dtype=torch.float64)
    torch.testing.assert_close(
        module.log_prob(x, eps), exact_log_prob(module, x), rtol=0, atol=1e-5
    )


def test_log_prob_rises_with_the_number_of_draws(wrong_posterior):
    # Jensen: the estimate from all draws is at least the mean of those from parts.
    module, x = wrong_posterior
    eps = torch.randn(64, 1, K, dtype=torch.float64)
    means = [
        torch.stack([module.log_prob(x, part) for part in eps.split(size)]).mean(dim=0)
        for size in (1, 4, 16, 64)
    ]
    for fewer, more in itertools.pairwise(means):
        assert (more > fewer).all()


def test_exp_of_log_prob_is_unbiased(wrong_posterior):
    module, x = wrong_posterior
    parts = torch.randn(200, 500, 1, K, dtype=torch.float64)
    log_ratios = torch.stack([module.log_prob(x, eps) for eps in parts])
    ratios = (log_ratios - exact_log_prob(module, x)).exp().detach()  # of densities
    std_error = ratios.std(dim=0) / math.sqrt(len(parts))
    assert std_error.max() < 0.01
    assert ((ratios.mean(dim=0) - 1) / std_error).abs().max() < 6


def test_expected_loss_is_above_minus_log_prob_by_the_kl_from_the_posterior(
    wrong_posterior,
):
    module, x = wrong_posterior
    n_draws = 20_000
    draws = module.loss(x.repeat(n_draws, 1)).view(n_draws, len(x)).detach()
    mean, std_error = draws.mean(dim=0), draws.std(dim=0) / math.sqrt(n_draws)
    q = posterior(module, x)
    q = torch.distributions.MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    gap = kl_divergence(q, exact_posterior(module, x)).detach()
    assert gap.min() > 0.1
    deviation = (mean + exact_log_prob(module, x) - gap) / std_error
    assert deviation.abs().max() < 6


@each_loss
def test_log_prob_of_a_row_does_not_depend_on_the_others(loss):
    module, x = vae(loss), unit_rows()
    eps = torch.randn(4, 1, K, dtype=torch.float64)
    alone = torch.cat([module.log_prob(row[None], eps) for row in x])
    torch.testing.assert_close(module.log_prob(x, eps), alone)


def test_log_density_is_in_the_units_of_the_data():
    x = linear_data()
    center = torch.linspace(-100, 100, D, dtype=torch.float64)
    module = linear_vae(x, center, scale=3.0)
    eps = torch.randn(1, 1, K, dtype=torch.float64)
    X = 3 * x + center
    exact = exact_log_prob(module, x) - D * math.log(3.0)
    torch.testing.assert_close(module.log_density(X, eps), exact, rtol=0, atol=1e-5)


def test_log_density_of_log_loss_is_a_probability():
    module = vae(LogLoss())
    eps = torch.randn(1, 1, K, dtype=torch.float64)
    assert (module.log_density(unit_rows().round(), eps) < 0).all()


def test_probabilities_have_no_volume():
    assert vae(LogLoss(), scale=torch.tensor(3.0)).log_volume == 0


def test_score_of_a_vae_is_minus_its_loss_in_the_units_of_the_data():
    # As the docstring says: the bound on the log-density of the rows as they came.
    x = linear_data()
    module = linear_vae(x, scale=3.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        score = module.score_samples(3 * x)
    expected = -loss_with_fixed_noise(module, x) - D * math.log(3.0)
    torch.testing.assert_close(score, expected)


def test_latents_of_a_vae_are_in_the_units_of_the_prior():
    module, X = vae(center=torch.arange(5.0), scale=torch.tensor(3.0)), rows()
    torch.testing.assert_close(
        module.transform(X), module.encode(module.standardize(X))
    )
