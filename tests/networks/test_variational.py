"""The variational module: its posterior, noise, objectives, densities, conditions."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import laplace, multivariate_normal, norm
from sklearn.linear_model import LinearRegression
from small_networks import (
    D,
    K,
    log_prob,
    loss_with_fixed_noise,
    network,
    rows,
    unit_rows,
)
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from sklearn_ae._inference.inference import Encoded
from sklearn_ae._networks.linear import LinearStart
from sklearn_ae._networks.losses import LOSSES, AbsoluteError, LogLoss, SquaredError
from sklearn_ae._networks.variational import VariationalAutoencoder

each_loss = pytest.mark.parametrize("loss", [loss() for loss in LOSSES.values()])


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vae(loss=None, kind="mlp", n_conditions=0, **options):
    options = {"center": torch.zeros(D), "scale": torch.tensor(1.0)} | options
    return VariationalAutoencoder(
        network(D + n_conditions, 2 * K, kind),
        network(K + n_conditions, D, kind),
        loss or SquaredError(),
        n_conditions=n_conditions,
        **options,
    ).double()


# Posterior and loss -------------------------------------------------------------------


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


# Noise --------------------------------------------------------------------------------


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


# Densities ----------------------------------------------------------------------------


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


def linear_vae(x, center=None, scale=1.0, **options):
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
        **options,
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
        log_prob(module, x, eps), exact_log_prob(module, x), rtol=0, atol=1e-5
    )


def test_log_prob_rises_with_the_number_of_draws(wrong_posterior):
    # Jensen: the estimate from all draws is at least the mean of those from parts.
    module, x = wrong_posterior
    eps = torch.randn(64, 1, K, dtype=torch.float64)
    means = [
        torch.stack([log_prob(module, x, part) for part in eps.split(size)]).mean(dim=0)
        for size in (1, 4, 16, 64)
    ]
    for fewer, more in itertools.pairwise(means):
        assert (more > fewer).all()


def test_exp_of_log_prob_is_unbiased(wrong_posterior):
    module, x = wrong_posterior
    parts = torch.randn(200, 500, 1, K, dtype=torch.float64)
    log_ratios = torch.stack([log_prob(module, x, eps) for eps in parts])
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
    alone = torch.cat([log_prob(module, row[None], eps) for row in x])
    torch.testing.assert_close(log_prob(module, x, eps), alone)


def test_log_density_is_in_the_units_of_the_data():
    x = linear_data()
    center = torch.linspace(-100, 100, D, dtype=torch.float64)
    module = linear_vae(x, center, scale=3.0)
    eps = torch.randn(1, 1, K, dtype=torch.float64)
    X = 3 * x + center
    exact = exact_log_prob(module, x) - D * math.log(3.0)
    found = log_prob(module, module.standardize(X), eps) + module.log_volume
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)


def test_log_density_of_log_loss_is_a_probability():
    module = vae(LogLoss())
    eps = torch.randn(1, 1, K, dtype=torch.float64)
    assert (log_prob(module, unit_rows().round(), eps) < 0).all()


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


# Rotating the latents -----------------------------------------------------------------

each_kind = pytest.mark.parametrize("kind", ["mlp", "anchored"])
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
    density, reconstruction = log_prob(module, x, eps), module(x)
    module.rotate(SIGNED_PERMUTATION, torch.zeros(K, dtype=torch.float64))
    torch.testing.assert_close(log_prob(module, x, eps @ SIGNED_PERMUTATION), density)
    torch.testing.assert_close(module(x), reconstruction)


@each_kind
def test_rotation_leaves_a_conditional_model_unchanged(kind):
    module, x = vae(kind=kind, n_conditions=2), rows(d=D + 2)
    eps = torch.randn(3, 1, K, dtype=torch.float64)
    density, reconstruction = log_prob(module, x, eps), module(x)
    module.rotate(SIGNED_PERMUTATION, torch.zeros(K, dtype=torch.float64))
    torch.testing.assert_close(log_prob(module, x, eps @ SIGNED_PERMUTATION), density)
    torch.testing.assert_close(module(x), reconstruction)


# Noise of each column -----------------------------------------------------------------


def uneven(module):
    """The module with a noise of its own for every column."""
    with torch.no_grad():
        module.noise.add_(torch.linspace(-0.03, 0.03, D))
    return module


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError()])
def test_noise_of_each_column_starts_as_that_of_all(loss):
    shared = vae(loss, noise_scale=0.3)
    each = vae(loss, noise_scale=0.3, noise_per_column=True)
    each.load_state_dict(shared.state_dict() | {"noise": each.noise})
    x = rows()
    assert each.noise.shape == (D,)
    torch.testing.assert_close(
        loss_with_fixed_noise(each, x), loss_with_fixed_noise(shared, x)
    )


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError()])
def test_log_likelihood_with_noise_of_each_column_is_that_of_scipy(loss):
    module, x = uneven(vae(loss, noise_per_column=True)), rows()
    z = torch.randn(len(x), K, dtype=torch.float64)
    output = module.decode(z).detach().numpy()
    scale = module.log_noise.exp().detach().numpy()
    family = laplace if isinstance(loss, AbsoluteError) else norm
    expected = family(output, scale).logpdf(x.numpy()).sum(axis=1)
    torch.testing.assert_close(module.log_likelihood(z, x), torch.from_numpy(expected))


def test_columns_put_back_take_their_noise_along():
    order = torch.tensor([3, 0, 4, 2, 1])
    module, x = uneven(vae(noise_per_column=True)), rows()
    losses = loss_with_fixed_noise(module, x[:, order])
    module.put_columns_back(order)
    torch.testing.assert_close(loss_with_fixed_noise(module, x), losses)


def test_estimate_is_unbiased_with_noise_of_each_column():
    # Factor analysis, whose posterior is not diagonal: the exact density is scipy's.
    x = linear_data()
    module = uneven(linear_vae(x, noise_per_column=True))
    x = x[:6]
    with torch.no_grad():
        module.encoder[-1].bias[K:] += 0.3  # the wider, the steadier the weights
    decoder = module.decoder[-1]
    weight, bias = decoder.weight.detach().numpy(), decoder.bias.detach().numpy()
    noise = np.diag(module.log_noise.exp().detach().numpy() ** 2)
    exact = multivariate_normal(bias, weight @ weight.T + noise).logpdf(x.numpy())
    parts = torch.randn(200, 500, 1, K, dtype=torch.float64)
    ratios = torch.stack([log_prob(module, x, eps) for eps in parts]).detach()
    ratios = (ratios - torch.from_numpy(exact)).exp()
    std_error = ratios.std(dim=0) / math.sqrt(len(parts))
    assert std_error.max() < 0.02
    assert ((ratios.mean(dim=0) - 1) / std_error).abs().max() < 6


# Objectives ---------------------------------------------------------------------------

OBJECTIVES = {
    "beta": {"beta": 0.7},
    "warm-up": {"kl_warmup": 4},
    "free bits": {"free_bits": 0.2},
    "importance": {"n_importance_samples": 3},
    "all of it": {"n_importance_samples": 3, "kl_warmup": 4, "beta": 2.0},
    "noise": {"noise_per_column": True},
    "conditions": {"n_conditions": 2},
}


@each_loss
@pytest.mark.parametrize("name", ["encoder.0.weight", "decoder.2.weight", "noise"])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_gradient_of_the_objectives(objective, loss, name):
    module = vae(loss, **objective).train()
    module.epoch = 1  # in the middle of a warm-up
    x = unit_rows(n=3, d=module.n_inputs)
    if name == "noise" and not loss.has_noise:
        pytest.skip("no noise to learn")

    def loss_of(value):
        return torch.func.functional_call(
            LossWithFixedNoise(module), {f"module.{name}": value}, (x,)
        )

    value = module.get_parameter(name).detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss_of, value)


def mean_kl(module, x):
    return kl_divergence(
        Normal(module.posterior(x)[0], (0.5 * module.posterior(x)[1]).exp()),
        Normal(torch.zeros(K, dtype=torch.float64), 1.0),
    )


@pytest.mark.parametrize(
    ("epoch", "weight"), [(1, 0.25), (2, 0.5), (4, 1.0), (5, 1.0), (100, 1.0)]
)
def test_weight_of_the_kl_divergence_rises_with_the_epochs(epoch, weight):
    module, x = vae(beta=3.0, kl_warmup=4).train(), rows()
    module.epoch = epoch
    warm = loss_with_fixed_noise(module, x)
    module.beta = 0.0
    without = loss_with_fixed_noise(module, x)
    torch.testing.assert_close(
        warm - without, weight * 3.0 * mean_kl(module, x).sum(dim=1)
    )


@pytest.mark.parametrize("objective", [{"kl_warmup": 4}, {"free_bits": 5.0}])
def test_what_is_watched_knows_no_warm_up_and_no_free_bits(objective):
    plain, x = vae().eval(), rows()
    eased = vae(**objective).eval()
    eased.load_state_dict(plain.state_dict())
    eased.epoch = 1
    torch.testing.assert_close(
        loss_with_fixed_noise(eased, x), loss_with_fixed_noise(plain, x)
    )
    assert not torch.allclose(
        loss_with_fixed_noise(eased.train(), x), loss_with_fixed_noise(plain, x)
    )


def test_free_bits_are_charged_whether_they_are_used_or_not():
    # Kingma et al. 2016: per latent the larger of the batch's mean and the free bits.
    module, x = vae(beta=1.0).train(), rows()
    kl = mean_kl(module, x).mean(dim=0)  # (k,)
    module.free_bits = kl.mean().item()  # between the two latents'
    charged = loss_with_fixed_noise(module, x).mean()
    module.beta = 0.0
    free = loss_with_fixed_noise(module, x).mean()
    torch.testing.assert_close(charged - free, kl.clamp(min=module.free_bits).sum())


def test_latent_below_its_free_bits_is_not_pulled_to_the_prior():
    # With the decoder deaf to the latents, only the KL divergence can pull.
    module, x = vae(free_bits=100.0).train(), rows()
    with torch.no_grad():
        module.decoder[0].weight.zero_()
    module.loss(x).sum().backward()
    assert all(not p.grad.any() for p in module.encoder.parameters())


@each_loss
def test_importance_weighted_loss_is_minus_log_prob_with_the_same_draws(loss):
    module, x = vae(loss, n_importance_samples=6), unit_rows()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        eps = torch.randn(6, len(x), K, dtype=torch.float64)
    torch.testing.assert_close(
        loss_with_fixed_noise(module, x), -log_prob(module, x, eps)
    )


# What is left of a gradient that goes along the path of the draws alone.
PATHS = {
    "bound": {},
    "warm-up": {"kl_warmup": 4},
    "importance": {"n_importance_samples": 4},
    "importance, warm-up, beta": {
        "n_importance_samples": 4,
        "kl_warmup": 4,
        "beta": 1.6,
    },
}
each_path = pytest.mark.parametrize("objective", PATHS.values(), ids=PATHS)


def gradient(module, x, seed=1):
    """Of the encoder's last bias, which every row adds to, and the decoder's."""
    module.zero_grad()
    loss_with_fixed_noise(module, x, seed).sum().backward()
    return torch.cat([module.encoder[-1].bias.grad, module.decoder[-1].bias.grad])


@each_path
def test_gradient_along_the_path_is_the_gradient_in_the_mean(
    objective, wrong_posterior
):
    module, x = wrong_posterior
    for name, value in objective.items():
        setattr(module, name, value)
    module.epoch = 1  # in the middle of a warm-up
    n_draws = 3000
    x = x.repeat(n_draws, 1)
    both = []
    for module.path_gradient in (False, True):
        seeds = range(30)
        draws = torch.stack([gradient(module, x, seed) for seed in seeds]) / n_draws
        both.append((draws.mean(dim=0), draws.std(dim=0) / math.sqrt(len(draws))))
    (whole, whole_error), (path, path_error) = both
    error = (whole_error.square() + path_error.square()).sqrt()
    assert (error < 0.02 * whole.abs().max()).all()
    assert ((whole - path) / error).abs().max() < 5


@pytest.mark.parametrize("n_samples", [1, 5])
def test_gradient_along_the_path_has_no_noise_where_q_is_the_posterior(n_samples):
    x = linear_data()
    module = linear_vae(x, n_importance_samples=n_samples)
    gradient(module, x)
    assert module.encoder[0].weight.grad.abs().max() > 1
    module.path_gradient = True
    gradient(module, x)
    for parameter in module.encoder.parameters():
        assert parameter.grad.abs().max() < 1e-3


@each_path
def test_gradient_along_the_path_differs_in_the_posterior_alone(objective):
    module, x = vae(**objective), rows()
    module.epoch = 1
    whole = gradient(module, x)
    module.path_gradient = True
    path = gradient(module, x)
    torch.testing.assert_close(path[2 * K :], whole[2 * K :])
    assert not torch.isclose(path[: 2 * K], whole[: 2 * K]).any()


@pytest.mark.parametrize("n_samples", [1, 6])
def test_loss_with_a_gradient_along_the_path_is_minus_log_prob_with_the_same_draws(
    n_samples,
):
    module, x = vae(n_importance_samples=n_samples, path_gradient=True), rows()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        eps = torch.randn(n_samples, len(x), K, dtype=torch.float64)
    torch.testing.assert_close(
        loss_with_fixed_noise(module, x), -log_prob(module, x, eps)
    )


def test_path_gradient_is_of_the_training_alone():
    module, x = vae().eval(), rows()
    whole = loss_with_fixed_noise(module, x)
    module.path_gradient = True
    torch.testing.assert_close(loss_with_fixed_noise(module, x), whole)


def test_encoder_without_parameters_to_learn_takes_a_gradient_along_the_path():
    module, x = vae(path_gradient=True), rows()
    module.encoder.requires_grad_(False)
    module.loss(x).sum().backward()
    assert all(p.grad is not None for p in module.decoder.parameters())


def test_importance_weighted_loss_falls_with_the_number_of_samples(wrong_posterior):
    module, x = wrong_posterior
    x = x.repeat(2000, 1)
    means = []
    for n_samples in (1, 5, 25):
        module.n_importance_samples = n_samples
        means.append(loss_with_fixed_noise(module, x).view(2000, -1).mean(dim=0))
    means.append(-exact_log_prob(module, x[:4]))
    for fewer, more in itertools.pairwise(means):
        assert (more < fewer).all()


def test_loss_holds_as_many_numbers_as_it_draws():
    assert vae(n_importance_samples=7).loss_size == 7 * vae().loss_size


def test_expected_log_likelihood_and_divergences_are_the_parts_of_the_bound():
    center = torch.linspace(-3.0, 3.0, D, dtype=torch.float64)
    x = linear_data()
    module = linear_vae(x, center, scale=3.0)
    X, eps = 3 * x + center, torch.randn(4000, 1, K, dtype=torch.float64)
    q = Encoded().posterior(module, module.standardize(X))
    likelihood = module.log_likelihood(q.draw(eps), module.standardize(X)).mean(dim=0)
    elbo = likelihood + module.log_volume - q.kl.sum(dim=1)
    exact = exact_log_prob(module, x) - D * math.log(3.0)
    # The posterior is exact, so the bound is the density, but for the draws.
    assert (elbo - exact).abs().max() < 0.3
    torch.testing.assert_close(elbo.mean(), exact.mean(), rtol=0, atol=0.1)


# Conditions ---------------------------------------------------------------------------


def conditional_linear_vae(x):
    start = LinearStart.beside_conditions(x, 2, K, np.random.RandomState(0))
    encoder, decoder, *_ = start.probabilistic_pca_layers()
    return VariationalAutoencoder(
        linear(*encoder),
        linear(*decoder),
        SquaredError(),
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
        noise_scale=math.sqrt(start.noise_variance),
        n_conditions=2,
    ).double()


def test_linear_start_beside_conditions_has_the_exact_conditional_density():
    conditions = rows(200, 2)
    x = linear_data() + conditions @ rows(2, D) + 1.0
    module = conditional_linear_vae(torch.cat([x, conditions], dim=1))
    both = torch.cat([x, conditions], dim=1)
    layer = module.decoder[-1]
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    noise_variance = module.log_noise.exp().item() ** 2
    covariance = weight[:, :K] @ weight[:, :K].T + noise_variance * np.eye(D)
    mean = conditions.numpy() @ weight[:, K:].T + bias
    exact = multivariate_normal(np.zeros(D), covariance).logpdf(x.numpy() - mean)
    eps = torch.randn(3, 1, K, dtype=torch.float64)
    torch.testing.assert_close(
        log_prob(module, both, eps), torch.from_numpy(exact), rtol=0, atol=1e-5
    )


def test_linear_start_beside_conditions_is_that_of_the_regressions_residuals():
    conditions = rows(200, 2)
    x = linear_data() + conditions @ rows(2, D) + 1.0
    start = LinearStart.beside_conditions(
        torch.cat([x, conditions], dim=1), 2, K, np.random.RandomState(0)
    )
    regression = LinearRegression().fit(conditions.numpy(), x.numpy())
    residuals = torch.from_numpy(x.numpy() - regression.predict(conditions.numpy()))
    wanted = LinearStart.from_rows(residuals, K, np.random.RandomState(0))
    np.testing.assert_allclose(start.regression, regression.coef_, atol=1e-8)
    np.testing.assert_allclose(start.mean, regression.intercept_, atol=1e-8)
    np.testing.assert_allclose(start.variances, wanted.variances, rtol=1e-8)
    assert start.noise_variance == pytest.approx(wanted.noise_variance)


def test_conditions_are_not_standardised():
    module = vae(n_conditions=2, center=torch.arange(5.0), scale=torch.tensor(3.0))
    X = rows(d=D + 2)
    x = module.standardize(X)
    torch.testing.assert_close(x[:, D:], X[:, D:])
    torch.testing.assert_close(x[:, :D], (X[:, :D] - torch.arange(5.0)) / 3.0)


def test_decoder_sees_the_conditions():
    module, X = vae(n_conditions=2), rows(d=D + 2)
    Z = torch.cat([module.transform(X), X[:, D:]], dim=1)
    torch.testing.assert_close(module(X), module.inverse_transform(Z))
    other = torch.cat([module.transform(X), X[:, D:] + 1.0], dim=1)
    assert not torch.allclose(module(X), module.inverse_transform(other))
    assert module(X).shape == (len(X), D)


# Draws ----------------------------------------------------------------------------


def test_rows_are_taken_as_they_are_unless_drawn():
    x = unit_rows()
    assert vae(LogLoss()).drawn(x) is x


def test_drawn_rows_are_one_as_often_as_they_say():
    x = unit_rows(1).expand(20_000, D)
    drawn = vae(LogLoss(), binarize=True).drawn(x)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    # 6 standard errors of a share of 20,000.
    torch.testing.assert_close(drawn.mean(dim=0), x[0], atol=6 * 0.0036, rtol=0)


def test_conditions_are_not_drawn():
    module = vae(LogLoss(), n_conditions=2, binarize=True)
    x = torch.cat([unit_rows(), rows(d=2)], dim=1)
    torch.testing.assert_close(module.drawn(x)[:, D:], x[:, D:])


def test_loss_of_drawn_rows_is_that_of_binary_ones():
    module, x = vae(LogLoss(), binarize=True), unit_rows()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        drawn = module.drawn(x)
        module.binarize = False
        wanted = module.loss(drawn)
    module.binarize = True
    torch.testing.assert_close(loss_with_fixed_noise(module, x), wanted)


def test_draws_of_the_posterior_have_its_mean_and_spread():
    module, x = vae(), rows(1)
    z = module.draw_posterior(x.expand(40_000, D), torch.Generator().manual_seed(0))
    mean, log_var = module.posterior(x)
    std = torch.exp(0.5 * log_var)[0]
    assert ((z.mean(dim=0) - mean[0]) / std).abs().max() < 6 / math.sqrt(40_000)
    torch.testing.assert_close(z.std(dim=0), std, rtol=0.03, atol=0)


def test_draws_taken_by_their_weights_come_from_the_true_posterior():
    x = linear_data()
    module = linear_vae(x, n_importance_samples=100)
    # An encoder that is wrong about the spread, as one that was not trained for it.
    with torch.no_grad():
        module.encoder[-1].bias[K:] += 2.0 * math.log(2.0)
    one = x[:1].expand(20_000, D)
    with torch.no_grad():
        z = module.draw_posterior(one, torch.Generator().manual_seed(0))
    exact = exact_posterior(module, x[:1])
    q_std = torch.exp(0.5 * module.posterior(x[:1])[1])[0]
    std = exact.variance[0].sqrt()
    assert (q_std / std).min() > 1.8
    assert ((z.mean(dim=0) - exact.mean[0]) / std).abs().max() < 0.05
    torch.testing.assert_close(z.std(dim=0), std, rtol=0.05, atol=0)


# Another prior ------------------------------------------------------------------------


def gaussians():
    """Two correlated Gaussians of the latents: weights, means and covariances."""
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    means = torch.tensor([[0.5, -1.0], [-1.0, 0.3]], dtype=torch.float64)
    covariances = [[[0.5, 0.2], [0.2, 0.8]], [[1.0, -0.5], [-0.5, 0.6]]]
    return weights, means, torch.tensor(covariances, dtype=torch.float64)


def as_prior(weights, means, covariances):
    """Their mixture's log-density, less that of N(0, I)."""
    mixture = MixtureSameFamily(
        Categorical(weights), MultivariateNormal(means, covariances)
    )
    return SimpleNamespace(
        log_ratio=lambda z: mixture.log_prob(z) - prior().log_prob(z)
    )


def test_standard_normal_as_the_prior_changes_nothing():
    module, x = vae(), rows()
    eps = torch.randn(5, 1, K, dtype=torch.float64)
    normal = [torch.ones(1), torch.zeros(1, K), torch.eye(K)[None]]
    normal = [part.double() for part in normal]
    torch.testing.assert_close(
        log_prob(module, x, eps, as_prior(*normal)), log_prob(module, x, eps)
    )


def test_estimate_is_unbiased_with_a_mixture_as_the_prior():
    # A linear decoder turns a mixture of Gaussians into one of rows.
    x = linear_data()
    module = linear_vae(x)
    weight = module.decoder[-1].weight.detach().numpy()
    bias = module.decoder[-1].bias.detach().numpy()
    noise = module.log_noise.exp().item() ** 2 * np.eye(D)
    density = 0.0
    for share, mean, covariance in zip(*(p.numpy() for p in gaussians()), strict=True):
        of_rows = multivariate_normal(
            weight @ mean + bias, weight @ covariance @ weight.T + noise
        )
        density = density + share * of_rows.pdf(x[:6].numpy())
    parts = torch.randn(200, 500, 1, K, dtype=torch.float64)
    mixture = as_prior(*gaussians())
    with torch.no_grad():
        log_probs = torch.stack([log_prob(module, x[:6], e, mixture) for e in parts])
    ratios = (log_probs - torch.from_numpy(np.log(density))).exp()
    std_error = ratios.std(dim=0) / math.sqrt(len(parts))
    assert std_error.max() < 0.02
    assert ((ratios.mean(dim=0) - 1) / std_error).abs().max() < 6
