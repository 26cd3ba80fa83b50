"""Noise that depends on the latents, where it is known how."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.decomposition import PCA

from sklearn_ae import VAETransformer
from sklearn_ae._estimators.noise import Noise
from sklearn_ae._inference.described import DescribedRows
from sklearn_ae._inference.inference import Encoded
from sklearn_ae._networks.variational import make_noise_network
from sklearn_ae._training import row_noise
from sklearn_ae._training.row_noise import learn_row_noise

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIRECTION = np.array([1.0, -0.5, 0.8, 0.6, -1.2, 0.4])


def log_scales(z):
    """Of a column the noise grows with the latent, of the others it is the same."""
    of_columns = np.full((len(z), len(DIRECTION)), -1.5)
    of_columns[:, 0] += 0.8 * z
    return of_columns


def made(n, seed):
    rng = np.random.RandomState(seed)
    z = rng.normal(size=n)
    noise = np.exp(log_scales(z)) * rng.normal(size=(n, len(DIRECTION)))
    return z[:, None] * DIRECTION + noise


def fitted(noise="per_row", n=1500, **options):
    options = {"max_iter": 40, "early_stopping": False, **options}
    options = {"hidden_layer_sizes": (), **options}
    return VAETransformer(1, noise=noise, random_state=0, **options).fit(made(n, 0))


@pytest.fixture(scope="module")
def vae():
    return fitted()


@pytest.fixture(scope="module")
def shared():
    return fitted("shared")


def scales_at(vae, Z):
    return vae._noise.scale(Z)


def true_log_density(rows):
    z = np.linspace(-4.0, 4.0, 2001)
    means, scales = z[:, None] * DIRECTION, np.exp(log_scales(z))
    joint = norm.logpdf(rows[:, None], means, scales).sum(axis=2) + norm.logpdf(z)
    return np.log(np.trapezoid(np.exp(joint), z, axis=1))


def test_scales_are_those_that_rows_were_made_with(vae):
    z = np.linspace(-1.5, 1.5, 13)
    sign = np.sign(vae.inverse_transform([[1.0]])[0, 0] - vae.mean_[0])
    off = np.log(scales_at(vae, sign * z[:, None])) - log_scales(z)
    # Were it the same for all rows, it would be off by 0.6 in the first column.
    assert np.abs(off).mean(axis=0).max() < 0.3


def test_new_rows_are_nearly_as_likely_as_they_are(vae, shared):
    rows = made(100, seed=1)
    truth = true_log_density(rows).mean()
    assert truth - 0.1 < vae.score(rows) < truth + 0.02
    assert shared.score(rows) < truth - 0.2


def integrated(vae, rows):
    """Log-densities by integrals over the latent, of noise of the row and of shared."""
    z = np.linspace(-8.0, 8.0, 5001)
    means, scales = vae.inverse_transform(z[:, None]), scales_at(vae, z[:, None])
    densities = []
    for scale in (scales, np.sqrt(vae.noise_variance_)):
        joint = norm.logpdf(rows[:, None], means, scale).sum(axis=2) + norm.logpdf(z)
        densities.append(logsumexp(joint, axis=1) + np.log(z[1] - z[0]))
    return densities


def test_scores_are_integrals_over_the_latent(vae):
    rows = made(5, seed=2)
    of_row, shared = integrated(vae, rows)
    wanted = np.logaddexp(of_row + np.log(0.95), shared + np.log(0.05))
    scores = vae.score_samples(rows, n_samples=4000)
    np.testing.assert_allclose(scores, wanted, atol=0.02)


def test_a_row_like_no_other_costs_little_more_than_by_shared_noise(vae, shared):
    rows = made(5, seed=2)
    rows[:, 1:] += [4.0, 4.0, -4.0, 4.0, 4.0]
    of_row, _ = integrated(vae, rows)
    scores, least = vae.score_samples(rows), shared.score_samples(rows)
    assert (scores > of_row + 10.0).any()
    assert (scores > least + np.log(0.05) - 0.1).all()


def test_means_of_posteriors_are_where_nothing_is_steeper(vae):
    rows = made(20, seed=3)
    module = vae.module_
    z = torch.from_numpy(vae.posterior(rows)[0]).float().requires_grad_()
    x = module.standardize(torch.from_numpy(rows))
    of_row = module.loss_function.log_likelihood(
        module.decode(z), x, module.log_noise_of(z)
    )
    joint = of_row - 0.5 * z.square().sum(dim=1)
    (slope,) = torch.autograd.grad(joint.sum(), z)
    _, variance = vae.posterior(rows, return_cov=True)
    # In units of the posterior's width.
    off = np.abs(slope.numpy()) * np.sqrt(variance[:, 0])
    assert off.max() < 0.05


def test_networks_are_those_of_noise_that_all_rows_share(vae, shared):
    Z = np.linspace(-2.0, 2.0, 5)[:, None]
    assert (vae.inverse_transform(Z) == shared.inverse_transform(Z)).all()
    rows = made(10, seed=4)
    X = torch.from_numpy(rows)
    with torch.no_grad():
        assert vae.encoder_(X).equal(shared.encoder_(X))


def test_samples_vary_as_their_latents_say(vae):
    clean = vae.sample(20_000, 0)
    noise = vae.sample(20_000, 0, noise=True) - clean
    wide = clean[:, 0] > np.quantile(clean[:, 0], 0.9)
    narrow = clean[:, 0] < np.quantile(clean[:, 0], 0.1)
    ratio = noise[wide].std(axis=0) / noise[narrow].std(axis=0)
    assert ratio[0] > 5.0
    assert np.all((ratio[1:] > 0.6) & (ratio[1:] < 1.7))


@pytest.mark.parametrize(
    "ask",
    [
        lambda vae, X: vae.transform(X),
        lambda vae, X: vae.reconstruct(X),
        lambda vae, X: vae.interpolate(X[:2], X[2:4]),
        lambda vae, X: vae.impute(with_a_hole(X)),
        lambda vae, X: vae.score_columns(X),
        lambda vae, X: vae.reconstruction_err_,
        lambda vae, X: vae.explained_variance_ratio_,
        lambda vae, X: vae.noise_variance_,
        lambda vae, X: vae.sample(5, 0),
    ],
)
def test_projections_are_those_of_noise_that_all_rows_share(vae, shared, ask):
    rows = made(20, seed=6)
    np.testing.assert_array_equal(ask(vae, rows), ask(shared, rows))


def with_a_hole(X):
    X = X.copy()
    X[0, 2] = np.nan
    return X


def test_posteriors_are_not_where_the_projections_are(vae, shared):
    rows = made(20, seed=6)
    (mean, std), (_, shared_std) = vae.posterior(rows), shared.posterior(rows)
    assert (np.abs(mean - vae.transform(rows)) > 0.1 * std).any()
    assert np.abs(np.log(std / shared_std)).max() > 0.1


def test_divergences_are_those_of_the_posteriors(vae):
    mean, std = vae.posterior(made(1500, 0))
    kl = 0.5 * (std**2 + mean**2 - 1.0) - np.log(std)
    np.testing.assert_allclose(vae.kl_per_component_, kl.mean(axis=0), rtol=1e-3)


@pytest.mark.parametrize("noise", ["auto", "per_row"])
def test_errors_of_weighted_rows_are_those_of_noise_that_all_rows_share(noise):
    options = {"max_iter": 3, "hidden_layer_sizes": ()}
    weights = np.random.RandomState(0).uniform(0.5, 2.0, size=200)
    errors = [
        VAETransformer(1, noise=name, **options)
        .fit(made(200, 0), sample_weight=weights)
        .reconstruction_err_
        for name in (noise, "shared")
    ]
    assert errors[0] == errors[1]


def test_a_share_of_rows_is_drawn_with_the_noise_that_all_share(vae):
    module = copy.deepcopy(vae.module_)
    with torch.no_grad():  # the noise of rows is as small as can be
        list(module.noise_network.parameters())[-1].sub_(100.0)
    noise = Noise(module)
    scale = noise.scale(np.zeros((20_000, 1)))
    drawn = noise.add(np.zeros((20_000, 6)), scale, np.random.RandomState(0))
    far = np.abs(drawn) > 0.1 * np.sqrt(vae.noise_variance_)
    is_far = far.any(axis=1)
    assert is_far.mean() == pytest.approx(0.05, abs=0.005)
    np.testing.assert_allclose(
        drawn[is_far].std(), np.sqrt(vae.noise_variance_), rtol=0.05
    )


def test_going_on_starts_from_noise_that_all_rows_share(vae):
    estimator = fitted(n=100, max_iter=3)
    estimator.partial_fit(made(100, 5))
    assert estimator.module_.noise_network is None
    assert np.ndim(estimator.noise_variance_) == 0


def test_a_warm_start_learns_it_anew():
    estimator = fitted(n=100, max_iter=3, warm_start=True)
    before = estimator.module_.noise_network
    estimator.fit(made(100, 5))
    assert estimator.module_.noise_network not in (None, before)


def test_networks_that_do_not_go_on_keep_their_noise():
    estimator = fitted(n=100, max_iter="auto", warm_start=True)
    before, kl = estimator.score_samples(made(5, 1)), estimator.kl_per_component_
    estimator.set_params(max_iter=0).fit(made(100, 0))
    np.testing.assert_array_equal(estimator.score_samples(made(5, 1)), before)
    np.testing.assert_allclose(estimator.kl_per_component_, kl, rtol=1e-4)


def test_noise_follows_the_latents_by_default(vae):
    found = fitted("auto")
    rows = made(20, seed=1)
    np.testing.assert_array_equal(found.score_samples(rows), vae.score_samples(rows))


def test_by_default_noise_is_shared_where_held_out_rows_are_no_likelier(monkeypatch):
    monkeypatch.setattr(row_noise, "_is_better", lambda *_: False)
    found, shared = fitted("auto", max_iter=3), fitted("shared", max_iter=3)
    rows = made(20, seed=1)
    assert found.module_.noise_network is None
    np.testing.assert_array_equal(found.score_samples(rows), shared.score_samples(rows))
    np.testing.assert_array_equal(found.kl_per_component_, shared.kl_per_component_)


@pytest.mark.parametrize("wrong", [-3.0, 3.0])
def test_noise_that_is_wrong_is_not_better(vae, wrong):
    module = copy.deepcopy(vae.module_)
    x = module.standardize(torch.from_numpy(made(300, 7))).float()
    z = torch.from_numpy(vae.transform(made(300, 7))).float()
    rows = DescribedRows(x, z, vae._inference, len(x)).finding_modes(module)
    assert row_noise._is_better(module, rows, 0)
    with torch.no_grad():
        list(module.noise_network.parameters())[-1].add_(wrong)
    rows = rows.finding_modes(module)
    assert not row_noise._is_better(module, rows, 0)


@pytest.mark.parametrize("n", [2, 8, 20, 90])
def test_few_rows_do_not_tell_whether_noise_follows_the_latents(n):
    # Rows of equal noise: by what one or two that are held out gain, it would follow.
    X = np.random.RandomState(0).normal(size=(n, 4))
    options = {"hidden_layer_sizes": (), "max_iter": 20, "early_stopping": False}
    vae = VAETransformer(1, random_state=0, **options).fit(X)
    assert vae.module_.noise_network is None


def test_with_column_maps_noise_is_shared_by_default():
    options = {"column_maps": "quantile", "max_iter": 2}
    assert fitted("auto", n=60, **options).module_.noise_network is None


def test_with_no_step_it_is_probabilistic_pca_by_default():
    X = made(100, 0)
    estimator = VAETransformer(1, max_iter=0).fit(X)
    wanted = PCA(1).fit(X).score_samples(X)
    np.testing.assert_allclose(estimator.score_samples(X), wanted, atol=1e-3)


def test_rows_of_equal_noise_are_no_less_likely():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5))
    X += 0.3 * rng.normal(size=X.shape)
    options = {"max_iter": 20, "hidden_layer_sizes": (), "early_stopping": False}
    scores = [
        VAETransformer(2, noise=noise, **options).fit(X[:200]).score(X[200:])
        for noise in ("shared", "per_row")
    ]
    assert scores[1] > scores[0] - 0.1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_that_diverges_leaves_the_noise_as_it_was(shared, monkeypatch):
    monkeypatch.setattr(row_noise, "_LEARNING_RATE", 1e30)
    x = shared.module_.standardize(torch.from_numpy(made(200, 0)))
    z = shared.module_.encode(x).detach()
    start = make_noise_network(1, x.shape[1], "silu")
    assert learn_row_noise(shared.module_, x, z, Encoded(), start, 0, 20) is start


def test_log_loss_has_no_noise_of_rows():
    X = np.random.RandomState(0).uniform(size=(40, 4))
    estimator = VAETransformer(1, noise="per_row", loss="log_loss", max_iter=2).fit(X)
    assert np.isnan(estimator.noise_variance_)
