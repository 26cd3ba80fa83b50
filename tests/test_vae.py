"""VAETransformer: probabilistic PCA at the start, a density, samples of the prior."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA

from sklearn_ae import VAETransformer

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
    grid = np.linspace(0.0, 2000.0, 4001)[:, None]
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
    S = estimator.sample(100_000, random_state=0)
    S += rng.normal(scale=math.sqrt(estimator.noise_variance_), size=S.shape)
    cell = np.all(np.abs(S - [0.5, 0.3]) < 0.1, axis=1)
    grid = np.stack(np.meshgrid(*[np.linspace(-0.1, 0.1, 21)] * 2), -1).reshape(-1, 2)
    density = np.exp(estimator.score_samples(grid + [0.5, 0.3], n_samples=300))
    # The corners count less; 5 % cover that and the draws.
    assert density.mean() * 0.04 == pytest.approx(cell.mean(), rel=0.1)


def test_scores_rise_with_the_number_of_draws_on_average(trained, X):
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
    monkeypatch.setattr("sklearn_ae._vae._SCORE_BLOCK", 3 * 100 * X.shape[1])
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


def test_transform_is_the_posterior_mean(trained, X):
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
