"""VAETransformer: probabilistic PCA at the start, a density, samples of the prior."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kurtosis
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

from sklearn_ae import VAETransformer
from sklearn_ae._inference import diagnostics, posterior, sampling
from sklearn_ae._inference.inference import Encoded
from sklearn_ae._networks.variational import VariationalAutoencoder
from sklearn_ae._tables import rows as _rows

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

rng = np.random.default_rng(0)
TABLES = {
    "tall": rng.normal(size=(60, 6)) * [5.0, 3.0, 2.0, 1.0, 0.5, 0.3] + 7.0,
    "wide": rng.normal(size=(12, 30)) * np.linspace(1.0, 4.0, 30),
    "tiny units": 1e-9 * rng.normal(size=(40, 4)) * [1.0, 2.0, 3.0, 4.0],
    "far from zero": rng.normal(size=(40, 4)) * [1.0, 2.0, 3.0, 4.0] + 1e6,
}


@pytest.fixture
def vae(quick):
    def make(**params):
        return quick(VAETransformer, **params)

    return make


@pytest.fixture(scope="module")
def trained(quick, X):
    with pytest.warns(UserWarning, match="max_iter"):
        return quick(VAETransformer).fit(X)


# At the start it is probabilistic PCA -------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("table", TABLES)
class TestUntrainedIsProbabilisticPCA:
    def fit(self, table, n_components):
        X = TABLES[table]
        pca = PCA(n_components, svd_solver="full").fit(X)
        return X, VAETransformer(n_components, max_iter=0).fit(X), pca

    def test_noise_variance(self, table, n_components):
        _, vae, pca = self.fit(table, n_components)
        assert vae.noise_variance_ == pytest.approx(pca.noise_variance_, rel=1e-5)

    @pytest.mark.parametrize("n_samples", [1, 100])
    def test_score_samples(self, table, n_components, n_samples):
        # The posterior is exact, so the estimate is, too, for any number of draws.
        X, vae, pca = self.fit(table, n_components)
        scores = vae.score_samples(X, n_samples=n_samples)
        assert_allclose(scores, pca.score_samples(X), rtol=1e-4, atol=1e-4)

    def test_transform_is_the_posterior_mean(self, table, n_components):
        X, vae, pca = self.fit(table, n_components)
        # M^-1 W^T (x - mean), with W of shape (d, k) and M = W^T W + s2 I.
        s2 = pca.noise_variance_
        signal = np.sqrt(pca.explained_variance_ - s2)
        W = pca.components_.T * signal
        M = W.T @ W + s2 * np.eye(n_components)
        wanted = (X - X.mean(axis=0)) @ W @ np.linalg.inv(M)
        assert_allclose(vae.transform(X), wanted, atol=1e-4)

    def test_inverse_transform_is_the_mean_of_x_given_z(self, table, n_components):
        X, vae, pca = self.fit(table, n_components)
        signal = np.sqrt(pca.explained_variance_ - pca.noise_variance_)
        Z = np.random.default_rng(0).normal(size=(9, n_components))
        wanted = Z @ (pca.components_ * signal[:, None]) + X.mean(axis=0)
        atol = 1e-5 * np.ptp(X, axis=0).max()
        assert_allclose(vae.inverse_transform(Z), wanted, atol=atol, rtol=0)


def test_untrained_posterior_variance_is_noise_over_eigenvalue():
    X = TABLES["tall"]
    vae = VAETransformer(3, max_iter=0).fit(X)
    pca = PCA(3, svd_solver="full").fit(X)
    with torch.no_grad():
        _, log_var = vae.module_.posterior(vae.module_.standardize(torch.tensor(X)))
    wanted = pca.noise_variance_ / pca.explained_variance_
    assert_allclose(log_var.exp().numpy(), np.tile(wanted, (len(X), 1)), rtol=1e-4)


def test_untrained_bound_is_tight():
    # The ELBO is the log-density itself where the posterior is exact.
    X = TABLES["tall"]
    vae = VAETransformer(3, max_iter=0).fit(X)
    with torch.no_grad():
        x = vae.module_.standardize(torch.tensor(np.tile(X, (500, 1))))
        torch.manual_seed(0)
        losses = vae.module_.loss(x).double()
    elbo = -losses.mean().item() + vae.module_.log_volume.item()
    # The draws of z leave a standard error.
    error = losses.std().item() / math.sqrt(len(losses))
    assert elbo == pytest.approx(vae.score(X), abs=5 * error)


def test_absolute_error_starts_with_the_same_noise_variance():
    X = TABLES["tall"]
    vae = VAETransformer(3, loss="absolute_error", max_iter=0).fit(X)
    assert vae.noise_variance_ == pytest.approx(PCA(3).fit(X).noise_variance_, 1e-5)


@pytest.mark.filterwarnings("ignore:n_components=:UserWarning")
@pytest.mark.parametrize("n_components", [4, 7])
def test_no_noise_left_over(n_components):
    # PCA's noise variance is then 0, and its density has no limit.
    X = TABLES["far from zero"]
    vae = VAETransformer(n_components, max_iter=0).fit(X)
    assert 0 < vae.noise_variance_ < 1e-5 * X.var(axis=0).mean()
    assert np.isfinite(vae.score_samples(X)).all()


# It is a density ----------------------------------------------------------------------


@pytest.mark.parametrize("init", ["pca", "random"])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_density_integrates_to_1(loss, init, vae):
    # In units far from 1, so that the volume of the standardisation counts.
    rng = np.random.default_rng(0)
    X = 50.0 * np.abs(rng.standard_normal((200, 1))) + 1000.0
    estimator = vae(loss=loss, init=init, n_components=1).fit(X)
    grid = np.linspace(0.0, 2000.0, 2001)[:, None]
    density = np.exp(estimator.score_samples(grid, n_samples=400))
    # Draws of the posterior estimate each value without bias, but not without error:
    # most where the posterior is far from Gaussian, as with the absolute error.
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1.0, abs=0.1)


def test_probabilities_of_all_binary_rows_sum_to_1(vae):
    rows = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    X = rows[np.random.default_rng(0).integers(0, 5, size=200)]
    estimator = vae(loss="log_loss", n_components=1).fit(X)
    probabilities = np.exp(estimator.score_samples(rows, n_samples=2000))
    assert probabilities.sum() == pytest.approx(1.0, abs=0.03)


def test_density_of_two_columns_is_that_of_its_samples(vae):
    # Against a histogram of x = decoder(z) + noise, in one coarse cell.
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=300)
    X = np.column_stack([t, t**2]) + 0.1 * rng.standard_normal((300, 2))
    estimator = vae(n_components=1).fit(X)
    S = estimator.sample(100_000, random_state=0, noise=True)
    cell = np.all(np.abs(S - [0.5, 0.3]) < 0.1, axis=1)
    grid = np.stack(np.meshgrid(*[np.linspace(-0.1, 0.1, 21)] * 2), -1).reshape(-1, 2)
    density = np.exp(estimator.score_samples(grid + [0.5, 0.3], n_samples=300))
    # The corners count less; 5 % cover that and the draws.
    assert density.mean() * 0.04 == pytest.approx(cell.mean(), rel=0.1)


def test_scores_rise_with_the_number_of_draws_on_average(vae, X):
    trained = vae(inference="encoder").fit(X)
    few = [trained.score(X, None)] + [
        np.mean(trained.score_samples(X, n_samples=1, random_state=seed))
        for seed in range(20)
    ]
    many = np.mean(trained.score_samples(X, n_samples=1000))
    assert np.mean(few[1:]) < few[0] <= many + 0.02


def test_elbo_is_below_the_density(trained, X):
    with torch.no_grad():
        x = trained.module_.standardize(torch.tensor(np.tile(X, (200, 1))))
        torch.manual_seed(0)
        elbo = -trained.module_.loss(x).mean().item()
    elbo += trained.module_.log_volume.item()
    assert elbo < np.mean(trained.score_samples(X, n_samples=1000)) + 0.02


def test_score_samples_follow_their_seed(trained, X):
    first, again, other = (trained.score_samples(X, random_state=s) for s in (1, 1, 2))
    assert_array_equal(again, first)
    assert np.any(other != first)


def test_score_samples_have_the_same_seed_by_default(trained, X):
    wanted = trained.score_samples(X, random_state=0)
    assert_array_equal(trained.score_samples(X), wanted)


def test_equal_rows_have_equal_scores(trained, X):
    # The draws are shared: no row has luck of its own.
    scores = trained.score_samples(np.repeat(X[:1], 50, axis=0))
    assert_allclose(scores, scores[0], rtol=1e-12)


def test_scores_do_not_depend_on_the_size_of_a_block(trained, X, monkeypatch):
    scores = trained.score_samples(X)
    monkeypatch.setattr(posterior, "_BLOCK_SIZE", 3 * 100 * X.shape[1])
    # Blocks of 3 rows: the sums over the draws round otherwise.
    assert_allclose(trained.score_samples(X), scores, rtol=1e-12)


def test_rows_far_from_the_table_score_low(trained, X):
    far = X + 20 * X.std(axis=0)
    assert trained.score_samples(far).max() < trained.score_samples(X).min()


# What is learned ----------------------------------------------------------------------


def test_noise_variance_is_that_of_the_residuals(vae, more_rows):
    X = more_rows(300)
    estimator = vae(max_iter=60).fit(X)
    error = np.mean((X - estimator.reconstruct(X)) ** 2)
    # A little above: the posterior has a width.
    assert 0.8 * error < estimator.noise_variance_ < 2.0 * error


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_noise_variance_is_in_squared_units(loss, vae, X):
    params = {"loss": loss, "max_iter": 5}
    variance = vae(**params).fit(X).noise_variance_
    assert vae(**params).fit(1024 * X).noise_variance_ == 1024**2 * variance


def test_log_loss_has_no_noise_variance(vae, X_unit):
    assert math.isnan(vae(loss="log_loss").fit(X_unit).noise_variance_)


def kl_per_latent(estimator, X):
    with torch.no_grad():
        mean, log_var = estimator.module_.posterior(
            estimator.module_.standardize(torch.tensor(X))
        )
    q = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
    p = torch.distributions.Normal(0.0, 1.0)
    return torch.distributions.kl_divergence(q, p).mean(dim=0).numpy()


@pytest.mark.parametrize("init", ["pca", "random"])
def test_latents_are_ordered_by_their_kl_divergence(init, vae, X):
    estimator = vae(n_components=4, init=init).fit(X)
    assert np.all(np.diff(kl_per_latent(estimator, X)) <= 1e-5)


def test_beta_weighs_the_kl_divergence(vae, X):
    kls = [
        kl_per_latent(vae(beta=beta, init="random").fit(X), X).sum()
        for beta in (0.1, 1.0, 20.0)
    ]
    assert kls[0] > kls[1] > kls[2]


def test_beta_0_asks_nothing_of_the_posterior(vae, X):
    estimator = vae(beta=0.0, init="random", max_iter=60).fit(X)
    assert (
        kl_per_latent(estimator, X).sum()
        > 2 * kl_per_latent(vae(init="random", max_iter=60).fit(X), X).sum()
    )


def test_transform_is_the_posterior_mean(vae, X):
    trained = vae(inference="encoder").fit(X)
    with torch.no_grad():
        x = trained.module_.standardize(torch.tensor(X))
        mean, _ = trained.module_.posterior(x)
    assert_allclose(trained.transform(X), mean.numpy(), atol=1e-5)


def test_loss_curves_are_minus_the_elbo(vae, X):
    # One step per epoch, at the start, which is probabilistic PCA.
    estimator = vae(batch_size=len(X), max_iter=1).fit(X)
    start = VAETransformer(max_iter=0).fit(X)
    elbo = -estimator.loss_curve_[0] + start.module_.log_volume.item()
    # One draw of z for each of 80 rows.
    assert elbo == pytest.approx(start.score(X), abs=1.0)


# Samples ------------------------------------------------------------------------------


def test_samples_are_decoded_draws_of_the_prior():
    # x = W z + mean, so that the covariance is W W^T, up to 5 standard errors.
    X = TABLES["tall"]
    vae = VAETransformer(2, max_iter=0).fit(X)
    S = vae.sample(20_000, random_state=0)
    W = vae.inverse_transform(np.eye(2)) - vae.inverse_transform(np.zeros((1, 2)))
    assert_allclose(np.cov(S.T), W.T @ W, atol=0.05 * np.abs(W.T @ W).max())
    assert_allclose(S.mean(axis=0), X.mean(axis=0), atol=0.2)


def test_samples_do_not_depend_on_how_many_are_drawn(trained):
    few, more = (trained.sample(n, random_state=0) for n in (5, 9))
    assert_allclose(more[:5], few, rtol=1e-9)


def test_samples_with_noise_are_draws_of_the_density(vae, X):
    # The entropy, by the model's own scores, is that of its samples.
    estimator = vae(n_components=2, max_iter=30).fit(X)
    S = estimator.sample(4000, random_state=0, noise=True)
    centred = S - estimator.sample(4000, random_state=0)
    assert centred.var() == pytest.approx(estimator.noise_variance_, rel=0.05)


@pytest.mark.parametrize("noise", ["shared", "per_column"])
def test_samples_with_noise_have_the_covariance_of_the_model(noise):
    X = TABLES["tall"]
    vae = VAETransformer(2, max_iter=0, noise=noise).fit(X)
    S = vae.sample(40_000, random_state=0, noise=True)
    wanted = PCA(2, svd_solver="full").fit(X).get_covariance()
    assert_allclose(np.cov(S.T), wanted, atol=0.03 * np.abs(wanted).max())


def test_samples_with_laplace_noise_have_its_variance():
    X = TABLES["tall"]
    vae = VAETransformer(2, loss="absolute_error", max_iter=0).fit(X)
    noise = vae.sample(20_000, 0, noise=True) - vae.sample(20_000, 0)
    assert noise.var() == pytest.approx(vae.noise_variance_, rel=0.05)
    assert kurtosis(noise, axis=None) == pytest.approx(3.0, abs=0.5)


def test_samples_with_noise_of_a_bernoulli_are_binary(vae, X_unit):
    estimator = vae(loss="log_loss").fit(X_unit)
    means = estimator.sample(20_000, random_state=0)
    draws = estimator.sample(20_000, random_state=0, noise=True)
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert_allclose(draws.mean(axis=0), means.mean(axis=0), atol=0.02)


# Grey rows as probabilities of binary ones ----------------------------------------


def grey(n=400):
    """Two groups of rows: their pixels are one with these probabilities."""
    return np.repeat([[0.9, 0.8, 0.1, 0.2], [0.2, 0.1, 0.9, 0.8]], n // 2, axis=0)


def test_binarized_training_learns_the_density_of_binary_rows():
    X = grey()
    params = {
        "loss": "log_loss",
        "hidden_layer_sizes": (16,),
        "max_iter": 60,
        "learning_rate_init": 3e-2,
        "early_stopping": False,
    }
    estimator = VAETransformer(1, binarize=True, **params).fit(X)
    B = (np.random.default_rng(0).random(X.shape) < X).astype(float)
    # All 16 binary rows, by the mixture of two groups that they come from.
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    groups = [np.prod(np.where(states, p, 1 - p), axis=1) for p in (X[0], X[-1])]
    truth = np.mean(groups, axis=0)
    learned = np.exp(estimator.score_samples(states, n_samples=5000))
    assert learned.sum() == pytest.approx(1.0, abs=0.02)
    assert_allclose(learned, truth, atol=0.03)
    # Grey rows that are learned as they are tell how binary ones fall less well.
    with_grey = VAETransformer(1, **params).fit(X)
    assert estimator.score(B) > with_grey.score(B)


def test_binarized_training_has_its_latents_in_falling_order():
    estimator = VAETransformer(
        3,
        loss="log_loss",
        binarize=True,
        max_iter=5,
        hidden_layer_sizes=(8,),
        inference="encoder",
    )
    with pytest.warns(ConvergenceWarning):
        kl = estimator.fit(grey()).kl_per_component_
    assert np.all(np.diff(kl) <= 0)


def test_divergence_of_drawn_rows_is_the_same_on_every_look(vae):
    estimator = vae(loss="log_loss", binarize=True).fit(grey(100))
    x = torch.from_numpy(grey(100)).float()
    looks = [diagnostics.mean_kl(estimator.module_, x, Encoded()) for _ in range(2)]
    assert_array_equal(*looks)


def test_error_of_binarized_training_is_of_binary_rows(quick):
    # Of one latent's rows that say nothing of each other no more is known than a share.
    X = np.full((2000, 4), 0.1)
    estimator = quick(
        VAETransformer, loss="log_loss", binarize=True, max_iter=1, inference="encoder"
    ).fit(X)
    B = np.random.default_rng(0).random(X.shape) < X
    P = estimator.reconstruct(B.astype(float))
    error = -np.mean(np.where(B, np.log(P), np.log1p(-P)))
    assert estimator.reconstruction_err_ == pytest.approx(error, rel=0.05)
    assert estimator.module_.drawn(torch.tensor(X)).unique().tolist() == [0.0, 1.0]


def test_binarized_training_gives_the_same_bits_again(quick):
    vaes = [quick(VAETransformer, loss="log_loss", binarize=True) for _ in range(2)]
    first, second = (vae.fit(grey(100)).transform(grey(100)) for vae in vaes)
    assert_array_equal(first, second)


def test_binarize_goes_with_the_log_loss():
    with pytest.raises(ValueError, match=r"binarize=True .* got loss='squared_error'"):
        VAETransformer(binarize=True).fit(grey())


@pytest.mark.parametrize("prior", ["aggregated", "exemplars"])
def test_prior_is_where_the_training_rows_are(prior):
    # Two far groups: N(0, I) draws from the gap between them, the others do not.
    rng = np.random.default_rng(0)
    X = np.repeat([[-5.0, 0.0, 1.0], [5.0, 1.0, 0.0]], 150, axis=0)
    X += 0.3 * rng.standard_normal(X.shape)
    estimator = VAETransformer(1, n_exemplars=300, max_iter=0).fit(X)
    in_gap = [
        np.mean(np.abs(estimator.sample(2000, 0, prior=name)[:, 0]) < 2.5)
        for name in ("standard", prior)
    ]
    assert in_gap[0] > 0.2
    assert in_gap[1] < 0.02


@pytest.mark.parametrize("method", ["sample", "score_samples"])
def test_exemplars_have_to_be_asked_for(trained, X, method):
    rows = [X] if method == "score_samples" else []
    with pytest.raises(ValueError, match=r"fit with n_exemplars.* it was 0"):
        getattr(trained, method)(*rows, prior="exemplars")


def test_exemplars_of_a_sample_stand_for_the_whole_table(vae, monkeypatch):
    monkeypatch.setattr(_rows, "RESIDENT_SIZE", 100)
    monkeypatch.setattr(_rows, "_SAMPLE_SIZE", 200)
    X = np.random.default_rng(0).normal(size=(90, 4))
    estimator = vae(n_exemplars=7, max_iter=1).fit(X)
    assert estimator._exemplars.n_rows == 90
    assert estimator._latent_density.n_samples == 90


def test_as_many_exemplars_are_kept_as_were_asked_for(vae, X):
    estimator = vae(n_exemplars=7).fit(X)
    kept = np.hstack([estimator._exemplars.mean, estimator._exemplars.std])
    of_rows = np.hstack(estimator.posterior(X.astype(np.float32)))
    assert kept.shape == (7, 2 * estimator.n_components_)
    gaps = np.abs(kept[:, None] - of_rows[None]).max(axis=2).min(axis=1)
    assert_allclose(gaps, 0.0, atol=1e-4)


def test_mixture_is_of_the_active_latents_alone(vae, X, monkeypatch):
    kl = vae(n_components=3).fit(X).kl_per_component_
    monkeypatch.setattr(diagnostics, "ACTIVE_KL", (kl[1] + kl[2]) / 2)
    estimator = vae(n_components=3).fit(X)
    assert_array_equal(estimator._latent_density.axes, [0, 1])
    assert np.isfinite(estimator.score_samples(X, prior="aggregated")).all()


def test_mixture_of_many_rows_is_large():
    rng = np.random.default_rng(0)
    group = np.arange(6000) % 24
    X = 10.0 * np.stack([group % 6, group // 6, 0 * group], axis=1)
    X += rng.normal(size=X.shape)
    estimator = VAETransformer(2, max_iter=0).fit(X)
    assert len(estimator._latent_density.mixture.weights) > 16


@pytest.mark.parametrize("n_importance_samples", [1, 4])
def test_mixture_is_fitted_to_draws_of_the_bounds_posterior(
    vae, X, monkeypatch, n_importance_samples
):
    n_draws = []
    draw_posterior = VariationalAutoencoder.draw_posterior

    def spy(self, x, generator):
        n_draws.append(self.n_importance_samples)
        return draw_posterior(self, x, generator)

    monkeypatch.setattr(VariationalAutoencoder, "draw_posterior", spy)
    vae(n_importance_samples=n_importance_samples, inference="encoder").fit(X)
    assert set(n_draws) == {n_importance_samples}


def test_unknown_prior_is_told(trained):
    with pytest.raises(ValueError, match="'aggregated' or 'exemplars'; got 'flat'"):
        trained.sample(prior="flat")


# Noise of each column -----------------------------------------------------------------


def test_noise_of_each_column_starts_as_probabilistic_pca():
    X = TABLES["tall"]
    vae = VAETransformer(3, noise="per_column", max_iter=0).fit(X)
    pca = PCA(3, svd_solver="full").fit(X)
    assert_allclose(vae.noise_variance_, np.full(6, pca.noise_variance_), rtol=1e-5)
    assert_allclose(vae.score_samples(X), pca.score_samples(X), rtol=1e-4, atol=1e-4)


def test_noise_of_each_column_is_that_of_its_residuals():
    rng = np.random.default_rng(0)
    wanted = np.array([0.4, 0.6, 0.8, 1.2, 1.6, 1.6])
    X = rng.normal(size=(2000, 1)) @ np.ones((1, 6)) * 3.0
    X += wanted * rng.standard_normal((2000, 6))
    X = X[:, ::-1]
    vae = VAETransformer(1, noise="per_column", hidden_layer_sizes=()).fit(X)
    assert_allclose(np.sqrt(vae.noise_variance_), wanted[::-1], rtol=0.2)
    shared = VAETransformer(1, noise="shared", hidden_layer_sizes=()).fit(X)
    assert vae.score(X) > shared.score(X) + 0.3


def test_noise_of_each_column_follows_the_order_of_the_columns(vae, X):
    order = [3, 0, 4, 1, 2]
    variances = vae(noise="per_column").fit(X).noise_variance_
    permuted = vae(noise="per_column").fit(X[:, order]).noise_variance_
    assert_array_equal(permuted, variances[order])


# Parts of the bound -------------------------------------------------------------------


def test_parts_of_the_bound_are_exact_where_the_posterior_is():
    X = TABLES["tall"]
    vae = VAETransformer(3, max_iter=0).fit(X)
    parts = vae.elbo(X, n_samples=4000)
    assert_allclose(parts.elbo, parts.reconstruction - parts.kl.sum(axis=1))
    exact = PCA(3, svd_solver="full").fit(X).score_samples(X)
    assert_allclose(parts.elbo.mean(), exact.mean(), atol=0.1)


def test_bound_is_the_loss_with_its_sign_turned(vae, X):
    trained = vae(noise="shared").fit(X)
    with torch.no_grad():
        x = trained.module_.standardize(torch.tensor(np.tile(X, (300, 1))))
        torch.manual_seed(0)
        loss = trained.module_.loss(x).mean().item()
    wanted = -loss + trained.module_.log_volume.item()
    assert trained.elbo(X, n_samples=1000).elbo.mean() == pytest.approx(wanted, abs=0.1)


def test_bound_is_below_the_density_of_each_row(vae, X):
    # With Laplace noise no Gaussian is the posterior, so that there is a gap.
    estimator = vae(loss="absolute_error", inference="encoder").fit(X)
    scores = estimator.score_samples(X, n_samples=1000)
    gap = scores - estimator.elbo(X, n_samples=1000).elbo
    assert gap.min() > -0.1
    assert gap.mean() > 0.03


def test_divergences_of_the_bound_are_those_of_the_diagnostics(vae, X):
    trained = vae(inference="encoder").fit(X)
    parts = trained.elbo(X)
    assert_allclose(parts.kl.mean(axis=0), trained.kl_per_component_, rtol=1e-4)
    assert_allclose(trained.kl_per_component_, kl_per_latent(trained, X), rtol=1e-4)


def test_scores_and_bounds_take_any_number_of_draws_part_by_part(
    trained, X, monkeypatch
):
    scores = trained.score_samples(X, n_samples=48)
    bound = trained.elbo(X, n_samples=48).elbo
    monkeypatch.setattr(posterior, "_DRAWS_AT_ONCE", 16)
    assert_allclose(trained.score_samples(X, n_samples=48), scores, rtol=1e-9)
    assert_allclose(trained.elbo(X, n_samples=48).elbo, bound, rtol=1e-9)


@pytest.mark.parametrize("prior", ["standard", "exemplars"])
def test_scores_hold_few_numbers_at_a_time(vae, X, monkeypatch, prior):
    sizes = []
    trained = vae(n_exemplars=len(X), inference="encoder").fit(X)
    log_likelihood = type(trained.module_).log_likelihood
    # For a row and a draw: the row's own numbers, or one for each exemplar.
    width = X.shape[1] if prior == "standard" else len(X)

    def spy(self, z, x):
        sizes.append(len(z) * len(x) * width)
        return log_likelihood(self, z, x)

    monkeypatch.setattr(type(trained.module_), "log_likelihood", spy)
    monkeypatch.setattr(posterior, "_BLOCK_SIZE", 150 * width)
    trained.score_samples(X, n_samples=1000, prior=prior)
    assert len(sizes) > 1
    assert max(sizes) <= 150 * width


def test_scores_do_not_depend_on_the_other_rows_nor_on_their_order(trained, X):
    scores = trained.score_samples(X)
    order = np.random.default_rng(0).permutation(len(X))
    assert_allclose(trained.score_samples(X[order]), scores[order], rtol=1e-12)
    assert_allclose(trained.score_samples(X[:3]), scores[:3], rtol=1e-12)


# Posterior and latents ----------------------------------------------------------------


def test_posterior_is_that_of_probabilistic_pca_at_the_start():
    X = TABLES["tall"]
    vae = VAETransformer(3, max_iter=0).fit(X)
    mean, std = vae.posterior(X)
    pca = PCA(3, svd_solver="full").fit(X)
    assert_array_equal(mean, vae.transform(X))
    variance = pca.noise_variance_ / pca.explained_variance_
    assert_allclose(std**2, np.tile(variance, (len(X), 1)), rtol=1e-4)


def test_draws_of_the_posterior_have_its_moments(trained, X):
    Z = trained.sample_posterior(X, 5000, random_state=0)
    mean, std = trained.posterior(X)
    assert Z.shape == (5000, len(X), 2)
    assert_allclose(Z.mean(axis=0), mean, atol=0.08)
    assert_allclose(Z.std(axis=0), std, atol=0.08)


def test_draws_of_the_posterior_follow_their_seed(trained, X):
    first, again, other = (
        trained.sample_posterior(X, random_state=s) for s in (1, 1, 2)
    )
    assert_array_equal(again, first)
    assert np.any(other != first)


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_interpolation_goes_from_reconstruction_to_reconstruction(trained, X, path):
    way = trained.interpolate(X[:4], X[4:8], 7, path=path)
    assert way.shape == (7, 4, 5)
    assert_allclose(way[0], trained.reconstruct(X[:4]), rtol=1e-6, atol=1e-6)
    assert_allclose(way[-1], trained.reconstruct(X[4:8]), rtol=1e-6, atol=1e-6)


def test_linear_interpolation_is_half_way_in_the_middle(trained, X):
    middle = trained.interpolate(X[:4], X[4:8], 3)[1]
    Z = trained.transform(X[:8])
    assert_allclose(middle, trained.inverse_transform((Z[:4] + Z[4:]) / 2))


def test_interpolation_between_unlike_numbers_of_rows(trained, X):
    with pytest.raises(ValueError, match="X_start has 2 rows and X_end 3"):
        trained.interpolate(X[:2], X[:3])


def test_interpolation_on_an_unknown_path(trained, X):
    with pytest.raises(ValueError, match="'linear' or 'spherical'; got 'long'"):
        trained.interpolate(X[:2], X[:2], path="long")


# Collapse -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uneven():
    """One strong direction and five weak ones, all above the noise."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(20, 6)))[0]
    Z = rng.normal(size=(600, 6)) * [20.0, 3.0, 3.0, 3.0, 3.0, 3.0]
    return Z @ axes.T + rng.normal(size=(600, 20))


def from_noise(uneven, **params):
    """Six latents, by default without the help of PCA."""
    settings = {
        "init": "random",
        "inference": "encoder",
        "noise": "shared",
        "hidden_layer_sizes": (32, 32),
        "early_stopping": False,
        "max_iter": 60,
        "batch_size": 64,
        "learning_rate_init": 3e-3,
    }
    return VAETransformer(6, **{**settings, **params}).fit(uneven)


@pytest.fixture(scope="module")
def collapsed(uneven):
    with pytest.warns(ConvergenceWarning, match="4 of 6 latents carry less") as caught:
        estimator = from_noise(uneven)
    return estimator, str(caught[0].message)


def test_collapsed_latents_are_counted(collapsed):
    estimator, _ = collapsed
    assert estimator.n_active_components_ == 2
    assert np.all(estimator.kl_per_component_[2:] < 0.01)


REMEDIES = {
    "kl_warmup": {"kl_warmup": 30},
    "free_bits": {"free_bits": 0.2},
    "n_importance_samples": {"n_importance_samples": 10},
    "init": {"init": "pca"},
}


@pytest.mark.parametrize("remedy", REMEDIES)
def test_remedy_against_collapse(collapsed, uneven, remedy):
    plain, warning = collapsed
    assert f"{remedy}=" in warning
    estimator = from_noise(uneven, **REMEDIES[remedy])
    assert estimator.n_active_components_ >= 2 * plain.n_active_components_
    assert estimator.score(uneven) > plain.score(uneven)


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_no_warning_where_there_is_nothing_to_find():
    noise = np.random.default_rng(0).normal(size=(600, 20))
    estimator = from_noise(noise, max_iter=30)
    assert estimator.n_active_components_ < 3


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_no_warning_where_the_start_was_better(uneven):
    # From PCA every latent was alive: what is dead was given up for a higher bound.
    from_noise(uneven, init="pca", beta=30.0, max_iter=75)


@pytest.mark.parametrize("n_eased", [0, 5])
def test_patience_counts_from_the_end_of_the_warm_up(vae, more_rows, n_eased):
    # Nothing is progress. A callback keeps one training, with rows held out.
    params = {"early_stopping": True, "n_iter_no_change": 2, "tol": 1e9}
    estimator = vae(kl_warmup=n_eased, max_iter=60, callbacks=[Callback()], **params)
    assert estimator.fit(more_rows(300)).n_iter_ == n_eased + 2


def test_patience_ends_cross_validation_after_the_warm_up(vae, more_rows):
    params = {"early_stopping": True, "n_iter_no_change": 2, "tol": 1e9}
    estimator = vae(kl_warmup=5, max_iter=60, **params)
    assert estimator.fit(more_rows(60)).n_iter_ == 5 + 2


# Conditions ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled():
    """Rows of three kinds, which differ in their mean and in their shape."""
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], size=400)
    t = rng.uniform(-1, 1, size=400)
    bend = np.select([y == "a", y == "b"], [t**2, -(t**2)], t)
    shift = np.select([y == "a", y == "b"], [-20.0, 0.0], 20.0)
    X = np.column_stack([t, bend, t + shift]) + 0.02 * rng.standard_normal((400, 3))
    return X, y


@pytest.fixture(scope="module")
def conditional(labelled):
    X, y = labelled
    return VAETransformer(
        1, conditional=True, hidden_layer_sizes=(32,), early_stopping=False
    ).fit(X, y)


def test_samples_of_a_condition_are_of_its_kind(conditional):
    for label, sign in (("a", 1.0), ("b", -1.0)):
        S = conditional.sample(500, random_state=0, y=label)
        # The parabola of the kind, opened its way, at its place.
        assert abs(S[:, 2].mean() - (-20.0 if label == "a" else 0.0)) < 1.0
        assert np.corrcoef(S[:, 0] ** 2, S[:, 1])[0, 1] * sign > 0.7


def test_samples_of_several_conditions_are_in_their_order(conditional):
    S = conditional.sample(3, random_state=0, y=["c", "a", "b"])
    assert_allclose(S[:, 2], [20.0, -20.0, 0.0], atol=3.0)


def test_rows_are_less_likely_under_other_conditions(conditional, labelled):
    X, y = labelled
    other = np.select([y == "a", y == "b"], ["b", "c"], "a")
    assert conditional.score(X, y) > conditional.score(X, other) + 100


def test_conditional_density_is_higher_than_that_without(conditional, labelled):
    X, y = labelled
    plain = VAETransformer(1, hidden_layer_sizes=(32,), early_stopping=False).fit(X, y)
    assert conditional.score(X, y) > plain.score(X) + 1.0


def test_conditional_start_is_probabilistic_pca_within_the_kinds():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, size=300)
    X = TABLES["tall"][rng.integers(0, 60, size=300)] + 10.0 * y[:, None]
    means = np.array([X[y == label].mean(axis=0) for label in range(3)])
    vae = VAETransformer(2, conditional=True, max_iter=0).fit(X, y)
    pca = PCA(2, svd_solver="full").fit(X - means[y])
    wanted = pca.score_samples(X - means[y])
    assert_allclose(vae.score_samples(X, y), wanted, rtol=1e-4, atol=1e-3)


def test_conditions_go_through_every_method(conditional, labelled):
    X, y = labelled
    X, y = X[:6], y[:6]
    Z = conditional.transform(X, y)
    assert Z.shape == (6, 1)
    assert_allclose(conditional.reconstruct(X, y), conditional.inverse_transform(Z, y))
    mean, _ = conditional.posterior(X, y)
    assert mean.shape == Z.shape
    assert conditional.sample_posterior(X, 2, y=y).shape == (2, 6, 1)
    assert conditional.interpolate(X, X[::-1], 3, y=y).shape == (3, 6, 3)
    assert conditional.elbo(X, y).kl.shape == (6, 1)
    assert conditional.score(X, y) == conditional.score_samples(X, y).mean()


def test_fit_transform_is_fit_and_transform(labelled):
    X, y = labelled
    vae = VAETransformer(1, conditional=True, max_iter=0)
    assert_array_equal(vae.fit_transform(X, y), vae.transform(X, y))


@pytest.mark.parametrize(
    "use",
    [
        lambda vae, X: vae.transform(X),
        lambda vae, X: vae.score(X),
        lambda vae, X: vae.sample(2),
        lambda vae, X: vae.inverse_transform([[0.0]]),
        lambda vae, X: vae.fit(X),
        lambda vae, X: vae.partial_fit(X),
    ],
    ids=["transform", "score", "sample", "inverse_transform", "fit", "partial_fit"],
)
def test_conditional_model_asks_for_conditions(conditional, labelled, use):
    X, _ = labelled
    with pytest.raises(ValueError, match="conditional=True requires y to be passed"):
        use(copy.deepcopy(conditional), X)


def test_conditions_of_too_few_rows(labelled):
    X, y = labelled
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        VAETransformer(conditional=True).fit(X, y[:-1])


def test_conditional_images_need_networks_of_ones_own(labelled):
    X, y = labelled
    with pytest.raises(ValueError, match="conditional=True needs networks"):
        VAETransformer(conditional=True, image_shape=(1, 3)).fit(X, y)


def test_networks_of_ones_own_get_the_conditions_beside_the_rows(vae, labelled):
    X, y = labelled
    estimator = vae(
        n_components=2, conditional=True, encoder=nn.Linear, decoder=nn.Linear
    ).fit(X, y)
    assert estimator.module_.encoder.in_features == 3 + 3
    assert estimator.module_.decoder.in_features == 2 + 3
    assert np.isfinite(estimator.score(X, y))


def test_y_is_ignored_without_conditions(vae, X):
    y = np.arange(len(X))
    with_y, without = vae().fit(X, y), vae().fit(X)
    assert_array_equal(with_y.transform(X, y), without.transform(X))
    assert_array_equal(with_y.score_samples(X, y), without.score_samples(X))


def test_conditional_model_of_a_table_too_long_to_copy(labelled, monkeypatch):
    X, y = labelled
    monkeypatch.setattr("sklearn_ae._tables.rows.RESIDENT_SIZE", 600)
    vae = VAETransformer(1, conditional=True, hidden_layer_sizes=(32,)).fit(X, y)
    S = vae.sample(3, random_state=0, y=["c", "a", "b"])
    assert_allclose(S[:, 2], [20.0, -20.0, 0.0], atol=3.0)
    parts = [vae.transform(X[part], y[part]) for part in (slice(100), slice(100, None))]
    assert_allclose(vae.transform(X, y), np.concatenate(parts))


def test_conditional_model_goes_on_where_it_was(labelled):
    X, y = labelled
    params = {"conditional": True, "hidden_layer_sizes": (8,)}
    vae = VAETransformer(1, warm_start=True, max_iter=3, **params).fit(X, y)
    vae.set_params(max_iter=6).fit(X, y)
    # The start stayed after the first three, so that all six were left.
    assert vae.n_iter_ == 9
    vae.set_params(conditional=False, max_iter=9)
    with pytest.raises(ValueError, match="fitted with conditional=True"):
        vae.fit(X, y)


def test_conditional_model_learns_in_passes(labelled):
    X, y = labelled
    vae = VAETransformer(1, conditional=True, hidden_layer_sizes=(8,))
    first = vae.partial_fit(X, y).score(X, y)
    for _ in range(5):
        vae.partial_fit(X, y)
    assert vae.score(X, y) > first


@pytest.mark.parametrize(
    ("image_shape", "rate"), [(None, 6e-3), ((2, 4), 2e-3)], ids=["table", "images"]
)
def test_images_are_learned_at_a_lower_rate(image_shape, rate):
    X = np.random.default_rng(0).random((60, 8))
    params = {"image_shape": image_shape, "max_iter": 2, "early_stopping": False}
    usual = VAETransformer(2, **params).fit_transform(X)
    given = VAETransformer(2, **params, learning_rate_init=rate).fit_transform(X)
    assert_array_equal(usual, given)


# Parameters that do not go together ---------------------------------------------------


def test_free_bits_do_not_go_with_the_importance_weighted_bound(X):
    with pytest.raises(ValueError, match=r"free_bits=0.5 with n_importance"):
        VAETransformer(free_bits=0.5, n_importance_samples=5).fit(X)


def test_free_bits_do_not_go_with_a_gradient_along_the_path(X):
    with pytest.raises(ValueError, match=r"path_gradient=True .* got free_bits=0.5"):
        VAETransformer(free_bits=0.5, path_gradient=True).fit(X)


@pytest.mark.parametrize(
    ("name", "value"),
    [("noise", "both"), ("kl_warmup", -1), ("free_bits", -0.1)]
    + [("n_importance_samples", 0), ("n_importance_samples", 1.5)]
    + [
        ("path_gradient", 2),
        ("n_exemplars", -1),
        ("binarize", 2),
        ("conditional", "yes"),
    ],
)
def test_bad_value_of_a_parameter(name, value, X):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of VAETransformer"):
        VAETransformer(**{name: value}).fit(X)


def test_conditional_latents_come_as_a_frame_where_frames_are_wanted(labelled):
    pytest.importorskip("pandas")
    X, y = labelled
    vae = VAETransformer(1, conditional=True, max_iter=0).set_output(transform="pandas")
    assert list(vae.fit_transform(X, y).columns) == ["vaetransformer0"]
    assert vae.interpolate(X[:2], X[2:4], 3, y=y[:2]).shape == (3, 2, 3)


def test_conditional_model_is_scored_by_a_grid_search(labelled):
    X, y = labelled
    vae = VAETransformer(conditional=True, max_iter=0)
    search = GridSearchCV(vae, {"n_components": [1, 2]}, cv=2).fit(X, y)
    assert np.isfinite(search.best_score_)


def test_aggregated_prior_of_passes_is_that_of_all_of_them(vae):
    rng = np.random.default_rng(0)
    chunks = [rng.normal(size=(60, 3)) + shift for shift in (0.0, 5.0)]
    estimator = vae(n_components=1, n_exemplars=1000)
    for chunk in chunks:
        estimator.partial_fit(chunk)
    assert estimator._latent_density.n_samples == 120
    assert estimator.sample(4, prior="aggregated").shape == (4, 3)
    assert estimator._exemplars.n_rows == len(estimator._exemplars.mean) == 120
    assert estimator.sample(4, prior="exemplars").shape == (4, 3)


@pytest.mark.parametrize("max_iter", [0, 2])
def test_exemplars_of_a_pass_after_fit_are_added_to_those_of_the_fit(
    vae, more_rows, max_iter
):
    X = more_rows(330)
    estimator = vae(n_exemplars=1000, max_iter=max_iter).fit(X[:300])
    known = estimator._exemplars.mean
    estimator.partial_fit(X[300:])
    assert estimator._exemplars.n_rows == len(estimator._exemplars.mean) == 330
    assert set(map(tuple, known)) <= set(map(tuple, estimator._exemplars.mean))
    assert estimator.fit(X[:40])._exemplars.n_rows == 40


@pytest.mark.parametrize("prior", ["aggregated", "exemplars"])
def test_density_is_that_of_samples_with_the_same_prior(prior):
    rng = np.random.default_rng(0)
    X = np.repeat([-5.0, 5.0], 150)[:, None] + 0.5 * rng.standard_normal((300, 1))
    estimator = VAETransformer(1, n_exemplars=300, max_iter=0)
    estimator.fit(np.hstack([X, X[::-1]]))
    S = estimator.sample(100_000, 0, noise=True, prior=prior)
    grid = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, 9)] * 2), -1).reshape(-1, 2)
    corner = np.array([5.0, -5.0])
    density = np.exp(estimator.score_samples(grid + corner, n_samples=500, prior=prior))
    inside = np.all(np.abs(S - corner) < 1.0 + 0.125, axis=1).mean()
    assert density.sum() * 0.25**2 == pytest.approx(inside, rel=0.1)


def test_training_rows_are_likelier_under_the_aggregated_prior():
    rng = np.random.default_rng(0)
    X = np.repeat([[-5.0, 0.0, 1.0], [5.0, 1.0, 0.0]], 150, axis=0)
    X += 0.3 * rng.standard_normal(X.shape)
    estimator = VAETransformer(1, max_iter=0).fit(X)
    aggregated = estimator.score_samples(X, prior="aggregated")
    assert aggregated.mean() > estimator.score_samples(X).mean() + 0.3
    with pytest.raises(ValueError, match="'aggregated' or 'exemplars'; got 'flat'"):
        estimator.score_samples(X, prior="flat")


# Samples like given rows --------------------------------------------------------------


@pytest.fixture(scope="module")
def counts():
    """Whole numbers that are never negative, skewed, and go together."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(2.0, size=(600, 1))
    return rng.poisson(rate * [1.0, 2.0, 4.0]).astype(np.float64)


@pytest.fixture(scope="module")
def of_counts(counts):
    return VAETransformer(1, max_iter=0).fit(counts)


def test_samples_like_rows_have_their_values_and_shares(of_counts, counts):
    S = of_counts.sample(5000, 0, noise=True, like=counts)
    for column, wanted in zip(S.T, counts.T, strict=True):
        assert set(column) <= set(wanted)
        assert (column == 0).mean() == pytest.approx((wanted == 0).mean(), abs=0.03)
        assert column.mean() == pytest.approx(wanted.mean(), rel=0.1)


def test_samples_like_rows_rank_as_the_models_do(of_counts, counts):
    plain = of_counts.sample(2000, 0, noise=True)
    S = of_counts.sample(2000, 0, noise=True, like=counts)
    for j in range(3):
        is_higher = plain[:1000, j] > plain[1000:, j]
        assert np.all((S[:1000, j] >= S[1000:, j])[is_higher])


def test_samples_like_rows_follow_their_seed(of_counts, counts):
    first, again, other = (of_counts.sample(9, s, like=counts) for s in (1, 1, 2))
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_few_samples_like_rows_are_as_many_are(of_counts, counts, monkeypatch):
    # Ranks among fewer draws are as coarse as a mean of so few samples.
    monkeypatch.setattr(sampling, "_N_RANKED", 1000)
    few = [of_counts.sample(1, s, noise=True, like=counts)[0] for s in range(200)]
    many = of_counts.sample(4000, 0, noise=True, like=counts)
    assert_allclose(np.mean(few, axis=0), many.mean(axis=0), rtol=0.25)


def test_rows_to_be_like_are_checked(of_counts, counts):
    with pytest.raises(ValueError, match=r"like must be rows as in fit: .* 2 features"):
        of_counts.sample(like=counts[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        of_counts.sample(like=np.full((3, 3), np.nan))


@pytest.mark.parametrize("y", ["a", ["a", "a", "a"], [["a"], ["a"], ["a"]]])
def test_samples_of_a_condition_are_like_its_rows(conditional, labelled, y):
    X, labels = labelled
    S = conditional.sample(3, 0, y=y, noise=True, like=X[labels == "a"])
    low, high = X[labels == "a"].min(axis=0), X[labels == "a"].max(axis=0)
    assert np.all((low <= S) & (high >= S))
