"""What refined inference promises of fitted estimators."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.decomposition import PCA
from torch import nn

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    VAETransformer,
)
from sklearn_ae._inference.inference import Encoded, Refined

# Short trainings do, and warn that they are short.
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

RECONSTRUCTING = [AutoencoderTransformer, DenoisingAutoencoderTransformer]
LOSSES = ["squared_error", "absolute_error", "log_loss"]


def encoding(estimator):
    """The same fitted estimator with the encoder's latents."""
    other = pickle.loads(pickle.dumps(estimator))
    other._inference = Encoded()
    return other


# Never worse than the encoder ---------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_components", [1, 3, 5])
@pytest.mark.parametrize("Estimator", RECONSTRUCTING)
def test_no_row_is_worse_than_the_encoder_s(
    Estimator, n_components, loss, quick, more_rows
):
    X, X_new = more_rows(80), more_rows(200, seed=1)
    if loss == "log_loss":
        low, high = X_new.min(axis=0), X_new.max(axis=0)
        X, X_new = (np.clip((part - low) / (high - low), 0, 1) for part in (X, X_new))
    estimator = quick(
        Estimator, n_components=n_components, loss=loss, inference="refined"
    ).fit(X)
    refined = estimator.score_samples(X_new)
    encoded = encoding(estimator).score_samples(X_new)
    assert (refined >= encoded - 1e-12 * np.abs(encoded)).all()
    assert refined.mean() > encoded.mean()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("noise", ["shared", "per_column"])
def test_no_row_of_a_vae_has_a_less_likely_latent(loss, noise, quick, X, X_unit):
    X = X_unit if loss == "log_loss" else X
    vae = quick(VAETransformer, loss=loss, noise=noise).fit(X)

    def log_joint(estimator):
        module = pickle.loads(pickle.dumps(estimator.module_)).double()
        z = torch.from_numpy(estimator.transform(X))
        with torch.no_grad():
            x = module.standardize(torch.from_numpy(X.copy()))
            likelihood = module.log_likelihood(z, x)
        return (likelihood - 0.5 * z.square().sum(dim=1)).numpy()

    refined, encoded = log_joint(vae), log_joint(encoding(vae))
    assert (refined >= encoded - 1e-10).all()
    assert refined.mean() > encoded.mean()


def test_a_poor_encoder_does_not_matter_for_planes(X):
    # The oracle: of a linear decoder it is PCA's projection, wherever it starts.
    estimator = AutoencoderTransformer(2, max_iter=0).fit(X)
    Z = PCA(2).fit_transform(X)
    with torch.no_grad():
        for parameter in estimator.module_.encoder.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    assert abs(encoding(estimator).transform(X) - Z).max() > 1.0
    assert_allclose(estimator.transform(X), Z, atol=1e-5 * abs(Z).max())


def test_a_poor_encoder_does_not_matter_for_linear_gaussians(X):
    # The oracle: probabilistic PCA, whose density is exact from a single draw.
    vae = VAETransformer(2, max_iter=0).fit(X)
    exact = PCA(2).fit(X).score_samples(X)
    with torch.no_grad():
        for parameter in vae.module_.encoder.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    assert abs(encoding(vae).score_samples(X) - exact).max() > 1.0
    for n_samples in (1, 7):
        scores = vae.score_samples(X, n_samples=n_samples)
        assert_allclose(scores, exact, rtol=0, atol=0.01)


def test_far_row_of_a_vae_has_the_density_that_others_have(more_rows):
    X = more_rows(300)
    X[0] = X.mean(axis=0) + 1e3 * X.std(axis=0)
    vae = VAETransformer(2).fit(X)
    gain = vae.score_samples(X) - PCA(2).fit(X).score_samples(X)
    assert np.median(gain) >= -1e-5
    assert gain[0] >= -max(np.median(gain), 1e-3)


# Densities ----------------------------------------------------------------------------


def log_joint(vae, X, grid):
    """log p(x, z) in the units of X for rows (n, d) and latents (m, k): (m, n)."""
    module = pickle.loads(pickle.dumps(vae.module_)).double()
    with torch.no_grad():
        x = module.standardize(torch.from_numpy(X.copy()))
        z = torch.from_numpy(grid)[:, None].expand(-1, len(X), -1)
        joint = module.log_likelihood(z, x).numpy() + module.log_volume.item()
    return joint + norm.logpdf(grid).sum(axis=1)[:, None]


def test_single_precision_is_that_of_rows_and_latents_alone(quick, X):
    estimator = quick(AutoencoderTransformer, inference="refined").fit(X)
    rows = X.astype(np.float32)
    expected = estimator.transform(rows.astype(np.float64)).astype(np.float32)
    assert_array_equal(estimator.transform(rows), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_density_with_one_latent_is_the_integral(loss, quick, X, X_unit):
    X = (X_unit if loss == "log_loss" else X)[:4]
    vae = quick(VAETransformer, n_components=1, loss=loss).fit(
        X_unit if loss == "log_loss" else X.repeat(5, axis=0)
    )
    scores = vae.score_samples(X, n_samples=5000)
    grid = np.linspace(-8.0, 8.0, 20_001)
    joint = log_joint(vae, X, grid[:, None])  # (20_001, 4)
    integrals = np.exp(joint - scores).sum(axis=0) * (grid[1] - grid[0])
    assert_allclose(np.log(integrals), 0.0, atol=0.05)


def test_density_with_two_latents_is_the_integral(quick, X):
    vae = quick(VAETransformer).fit(X)
    row = X[:1]
    score = vae.score_samples(row, n_samples=5000)
    mean, std = vae.posterior(row)
    sides = np.linspace(mean[0] - 6 * std[0], mean[0] + 6 * std[0], 201).T  # (2, 201)
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    cell = np.prod(sides[:, 1] - sides[:, 0])
    integral = np.exp(log_joint(vae, row, grid) - score).sum() * cell
    assert np.log(integral) == pytest.approx(0.0, abs=0.05)


def test_estimates_vary_less_than_the_encoder_s(quick, X):
    vae = quick(VAETransformer).fit(X)

    def spread(estimator):
        scores = [
            estimator.score_samples(X, n_samples=10, random_state=seed)
            for seed in range(10)
        ]
        return np.std(scores, axis=0).mean()

    assert spread(vae) < 0.5 * spread(encoding(vae))


def test_bound_is_that_of_the_better_posterior(quick, X):
    vae = quick(VAETransformer).fit(X)
    best, encoded = vae.elbo(X), encoding(vae).elbo(X)
    assert best.elbo.mean() > encoded.elbo.mean()
    # Which is better was told by other draws.
    assert (best.elbo > encoded.elbo - 0.2).mean() > 0.95
    assert_allclose(best.elbo, best.reconstruction - best.kl.sum(axis=1))


def test_covariances_are_those_of_the_draws(quick, X):
    vae = quick(VAETransformer, n_components=3).fit(X)
    mean, covariance = vae.posterior(X[:5], return_cov=True)
    _, std = vae.posterior(X[:5])
    assert_allclose(np.sqrt(covariance.diagonal(axis1=1, axis2=2)), std)
    Z = vae.sample_posterior(X[:5], 20_000, random_state=0)
    drawn = np.stack([np.cov(Z[:, i].T) for i in range(5)])
    # A few standard errors of 20,000 draws.
    scale = std[:, :, None] * std[:, None, :]
    assert abs((drawn - covariance) / scale).max() < 0.05
    assert_allclose(Z.mean(axis=0), mean, atol=5 * std.max() / np.sqrt(20_000))


def test_conditions_are_given(quick, X):
    group = np.arange(len(X)) % 2
    X = X + 5.0 * group[:, None]
    vae = quick(VAETransformer, conditional=True, init="pca").fit(X, group)
    assert isinstance(vae._inference, Refined)
    refined = vae.score_samples(X, group, n_samples=1000)
    encoded = encoding(vae).score_samples(X, group, n_samples=1000)
    assert refined.mean() == pytest.approx(encoded.mean(), abs=0.02)
    assert (vae.score_samples(X, 1 - group) < refined).mean() > 0.9


# Which inference ----------------------------------------------------------------------


def test_auto_is_what_a_row_has_the_time_for(quick, X):
    assert isinstance(quick(AutoencoderTransformer).fit(X)._inference, Refined)
    assert isinstance(quick(VAETransformer).fit(X)._inference, Refined)
    wide = AutoencoderTransformer(4, hidden_layer_sizes=(1200,) * 2, max_iter=0)
    assert isinstance(wide.fit(X)._inference, Encoded)
    images = AutoencoderTransformer(2, image_shape=(5, 1), max_iter=0)
    assert isinstance(images.fit(X)._inference, Encoded)
    denoising = DenoisingAutoencoderTransformer(2, max_iter=0)
    assert isinstance(denoising.fit(X)._inference, Encoded)


def test_unknown_inference_is_refused(Estimator, X):
    with pytest.raises(ValueError, match="'inference' parameter"):
        Estimator(inference="projected").fit(X)


def test_images_can_be_refined(quick, X):
    estimator = quick(AutoencoderTransformer, image_shape=(5, 1), inference="refined")
    estimator.set_params(hidden_layer_sizes=(4,)).fit(X)
    assert estimator.score(X) > encoding(estimator).score(X)


class Bent(nn.Module):
    """A decoder that the package does not know."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layer = nn.Linear(2 * n_inputs, n_outputs)

    def forward(self, z):
        return self.layer(torch.cat([z, torch.sin(z)], dim=1))


class Hidden(torch.autograd.Function):
    """An operation that has no forward mode."""

    @staticmethod
    def forward(ctx, z):
        return 2.0 * z

    @staticmethod
    def backward(ctx, grad):
        return 2.0 * grad


class Opaque(Bent):
    def forward(self, z):
        return super().forward(Hidden.apply(z))


def test_networks_of_the_user_s_can_be_refined(quick, X):
    estimator = quick(AutoencoderTransformer, decoder=Bent, inference="refined").fit(X)
    refined, encoded = estimator.score_samples(X), encoding(estimator).score_samples(X)
    assert (refined >= encoded - 1e-9).all()
    assert refined.mean() > encoded.mean()


def test_without_derivatives_the_encoder_s_latents_are_taken(quick, X):
    estimator = quick(AutoencoderTransformer, decoder=Opaque, inference="refined")
    with pytest.warns(UserWarning, match="no derivatives in forward mode") as caught:
        estimator.fit(X)
    assert [w.category for w in caught].count(UserWarning) == 1
    assert isinstance(estimator._inference, Encoded)
    assert np.isfinite(estimator.transform(X)).all()


# Fits ---------------------------------------------------------------------------------


def test_training_statistics_are_of_the_latents_that_users_get(quick, X):
    estimator = quick(AutoencoderTransformer).fit(X)
    assert -estimator.reconstruction_err_ == pytest.approx(estimator.score(X), rel=1e-4)
    density = estimator._latent_density
    Z = estimator.transform(X) / estimator.module_.latent_scale.item()
    assert_allclose(density.mean, Z.mean(axis=0), atol=1e-3 * Z.std())


def test_the_same_bits_on_a_refit_and_from_a_file(Estimator, quick, X):
    params = {"inference": "refined"}
    first = quick(Estimator, **params).fit(X)
    again = quick(Estimator, **params).fit(X)
    Z = first.transform(X)
    assert_array_equal(again.transform(X), Z)
    assert_array_equal(pickle.loads(pickle.dumps(first)).transform(X), Z)


def test_blocks_do_not_show(quick, X, monkeypatch):
    estimator = quick(AutoencoderTransformer).fit(X)
    Z = estimator.transform(X)
    monkeypatch.setattr("sklearn_ae._inference.projection._JACOBIAN_SIZE", 200)
    assert_allclose(estimator.transform(X), Z, rtol=0, atol=1e-12 * abs(Z).max())


def test_single_precision_stays_near_double(Estimator, quick, X):
    estimator = quick(Estimator, inference="refined").fit(X)
    Z, Z32 = estimator.transform(X), estimator.transform(X.astype(np.float32))
    assert Z32.dtype == np.float32
    # Of a loss that is known to 1e-7, the place of its minimum is known to the root.
    assert_allclose(Z32, Z, rtol=0, atol=2e-3 * abs(Z).max())


# Faults that were found, each as a test of its kind -----------------------------------


def test_the_order_of_rows_does_not_choose_the_weights(more_rows, monkeypatch):
    # Rows that come sorted: the first are all alike, and as many are compared.
    monkeypatch.setattr("sklearn_ae._inference.inference._LEAST_COMPARED", 500)
    X = more_rows(1200)
    X = np.concatenate([np.repeat(X.mean(axis=0)[None], 700, axis=0), X])
    estimator = AutoencoderTransformer(
        2, early_stopping=False, max_iter=10, hidden_layer_sizes=(32, 32)
    ).fit(X)
    assert estimator.best_iter_ >= 5


@pytest.mark.parametrize("second", [slice(1, None, 2), slice(1000, None)])
def test_what_describes_a_fit_is_of_all_rows(second, monkeypatch):
    # Two groups, in turn or one after the other, and room for half of the rows.
    monkeypatch.setattr("sklearn_ae._inference.inference._MOST_DESCRIBED", 1000)
    rng = np.random.default_rng(0)
    X = 0.1 * rng.standard_normal((2000, 3))
    X[second] += 5.0
    estimator = AutoencoderTransformer(1, early_stopping=False, max_iter=1).fit(X)
    share = (estimator.sample(1000)[:, 0] > 2.5).mean()
    assert share == pytest.approx(0.5, abs=0.1)


def test_beta_rules_which_weights_are_kept(more_rows):
    X = more_rows(600)
    kl = {
        beta: VAETransformer(
            2, beta=beta, max_iter=20, hidden_layer_sizes=(32,), early_stopping=False
        )
        .fit(X)
        .kl_per_component_.sum()
        for beta in (1.0, 10.0)
    }
    assert kl[10.0] < 0.7 * kl[1.0]


def test_threads_with_networks_of_the_user_s(quick, X):
    estimator = quick(AutoencoderTransformer, decoder=Bent, inference="refined").fit(X)
    Z = estimator.transform(X)
    with ThreadPoolExecutor(4) as pool:
        for other in pool.map(lambda _: estimator.transform(X), range(12)):
            assert_array_equal(other, Z)


def test_bounds_are_below_the_density_for_any_number_of_draws(quick, X):
    vae = quick(VAETransformer, n_components=3).fit(X)
    density = vae.score_samples(X, n_samples=2000).mean()
    elbos = [
        vae.elbo(X, n_samples=1, random_state=seed).elbo.mean() for seed in range(40)
    ]
    standard_error = np.std(elbos) / np.sqrt(len(elbos))
    assert np.mean(elbos) < density + 4 * standard_error


class OfRows(Bent):
    """A decoder that takes rows and nothing else."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__(n_inputs, n_outputs)
        self.norm = nn.BatchNorm1d(n_outputs)

    def forward(self, z):
        return self.norm(super().forward(z))


@pytest.mark.parametrize("inference", ["encoder", "refined"])
def test_decoders_of_a_vae_that_take_rows_only(inference, quick, X):
    vae = quick(VAETransformer, decoder=OfRows, inference=inference).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    assert np.isfinite(vae.elbo(X).elbo).all()


class Detached(Bent):
    def forward(self, z):
        output = super().forward(z)
        return output if self.training else output.detach()


def test_decoders_that_hide_their_derivatives_are_noticed(quick, X):
    estimator = quick(AutoencoderTransformer, decoder=Detached, inference="refined")
    with pytest.warns(UserWarning, match="no derivatives in forward mode"):
        estimator.fit(X)


def test_divergences_are_in_falling_order(quick, more_rows):
    kl = quick(VAETransformer, n_components=4).fit(more_rows(300)).kl_per_component_
    assert np.all(np.diff(kl) <= 1e-4)
