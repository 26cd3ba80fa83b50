"""The axes of the latents, and the mixture that stands for their distribution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm, ortho_group
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from sklearn_ae._inference import latents as _latents
from sklearn_ae._inference.latents import (
    LatentDensity,
    principal_axes,
    signed_order,
)


def correlated(n=300, k=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)) @ rng.normal(size=(k, k)) + rng.normal(size=k)


def latents_and_rows(n=300, seed=0):
    """Correlated latents (n, 3), and rows (n, 4) that depend on them."""
    Z = correlated(n, seed=seed)
    X = Z @ np.random.default_rng(seed + 1).normal(size=(3, 4))
    return torch.from_numpy(Z), torch.from_numpy(X)


def largest_covariances(z, x):
    """Of each latent, its covariance with the column that has the largest one."""
    covariances = np.cov(z.numpy(), x.numpy(), rowvar=False)[: z.shape[1], z.shape[1] :]
    return covariances[np.arange(len(covariances)), abs(covariances).argmax(axis=1)]


# Principal axes -----------------------------------------------------------------------


def test_principal_axes_of_pcas_latents_are_pcas_own():
    X = correlated(k=5)
    Z = PCA(3).fit_transform(X)
    rotation, shift = principal_axes(torch.from_numpy(Z), torch.from_numpy(X))
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(shift, np.zeros(3), atol=1e-9)


def test_principal_axes_are_those_of_pca_on_the_latents():
    z, x = latents_and_rows()
    rotation, shift = principal_axes(z, x)
    pca = PCA(3).fit(z.numpy())
    same = abs(pca.components_ @ rotation.numpy())
    np.testing.assert_allclose(same, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(shift, pca.mean_)


@given(seed=st.integers(0, 50))
def test_latents_in_principal_axes_are_uncorrelated_and_ordered(seed):
    z, x = latents_and_rows(seed=seed)
    rotation, shift = principal_axes(z, x)
    turned = (z - shift) @ rotation
    covariance = turned.T @ turned / len(z)
    variances = covariance.diagonal()
    np.testing.assert_allclose(turned.mean(dim=0), 0, atol=1e-9)
    np.testing.assert_allclose(covariance, torch.diag(variances), atol=1e-9)
    assert (variances.diff() <= 0).all()


@given(seed=st.integers(0, 50))
def test_principal_axes_are_orthogonal(seed):
    rotation, _ = principal_axes(*latents_and_rows(seed=seed))
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)


@given(seed=st.integers(0, 50))
def test_two_turns_of_the_same_latents_end_in_the_same_axes(seed):
    z, x = latents_and_rows()
    turn = torch.from_numpy(ortho_group.rvs(3, random_state=seed))
    ends = []
    for start in (z, (z + 5.0) @ turn):
        rotation, shift = principal_axes(start, x)
        ends.append((start - shift) @ rotation)
    torch.testing.assert_close(*ends)


@given(seed=st.integers(0, 50))
def test_a_principal_latent_goes_up_with_its_column(seed):
    z, x = latents_and_rows(seed=seed)
    rotation, shift = principal_axes(z, x)
    assert (largest_covariances((z - shift) @ rotation, x) > 0).all()


@pytest.mark.parametrize(("first", "last"), [(1.0, 100.0), (100.0, 1.0)])
def test_signs_count_every_block_of_rows(first, last):
    # The first block of 8192 rows speaks for one sign, the last one for the other.
    z = torch.cat(
        [first * torch.linspace(-1, 1, 8192), last * torch.linspace(-1, 1, 5000)]
    )
    z = z[:, None].double()
    x = torch.cat([-z[:8192], z[8192:]])
    expected = np.sign(np.cov(z[:, 0], x[:, 0])[0, 1])
    importance = torch.ones(1)
    for sign in (1, -1):
        assert principal_axes(sign * z, x)[0].item() == sign * expected
        assert signed_order(sign * z, importance, x).item() == sign * expected


def test_principal_axes_of_constant_latents_turn_nothing_odd():
    z = torch.full((10, 3), 2.0)
    rotation, shift = principal_axes(z, torch.randn(10, 4))
    np.testing.assert_allclose(shift, [2, 2, 2])
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)


def test_principal_axes_are_found_in_double_precision():
    z, x = latents_and_rows()
    # 10^4 standard deviations from zero float32 sums would lose every digit.
    z = z.float() + 1e4
    rotation, shift = principal_axes(z, x.float())
    assert rotation.dtype == torch.float64
    turned = (z.double() - shift) @ rotation
    correlation = np.corrcoef(turned.numpy(), rowvar=False)
    np.testing.assert_allclose(correlation, np.eye(3), atol=1e-9)


# Signed order -------------------------------------------------------------------------

importances = st.lists(st.floats(0, 10), min_size=3, max_size=3)


@given(importance=importances, seed=st.integers(0, 50))
def test_signed_order_is_a_signed_permutation(importance, seed):
    z, x = latents_and_rows(seed=seed)
    matrix = signed_order(z, torch.tensor(importance), x).numpy()
    ones = np.ones(3)
    assert set(np.unique(matrix)) <= {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(abs(matrix).sum(axis=0), ones)
    np.testing.assert_array_equal(abs(matrix).sum(axis=1), ones)


@given(importance=importances)
def test_signed_order_sorts_by_falling_importance(importance):
    z, x = latents_and_rows()
    importance = torch.tensor(importance, dtype=torch.float64)
    turned = importance @ signed_order(z, importance, x).abs()
    np.testing.assert_array_equal(turned, sorted(importance.tolist(), reverse=True))


def test_latents_of_equal_importance_keep_their_order():
    z, x = latents_and_rows()
    matrix = signed_order(z, torch.zeros(3), x)
    np.testing.assert_array_equal(matrix.abs(), np.eye(3))


@given(seed=st.integers(0, 50))
def test_an_ordered_latent_goes_up_with_its_column(seed):
    z, x = latents_and_rows(seed=seed)
    turned = z @ signed_order(z, torch.tensor([1.0, 3.0, 2.0]), x)
    assert (largest_covariances(turned, x) > 0).all()


def test_signs_do_not_depend_on_where_the_latents_lie():
    z, x = latents_and_rows()
    importance = torch.tensor([1.0, 3.0, 2.0])
    expected = signed_order(z, importance, x)
    assert torch.equal(signed_order(z - 1000, importance, x + 1000), expected)


# The mixture --------------------------------------------------------------------------


def fitted_density(Z, random_state):
    density = LatentDensity(Z)
    density.fit_mixture(Z, random_state)
    return density


def draw(Z, n_samples, seed=0):
    random_state = np.random.RandomState(seed)
    return fitted_density(Z, random_state).sample(n_samples, random_state)


@pytest.mark.parametrize(
    "Z", [np.full((20, 2), 0.3), np.array([[1.0, -2.0]])], ids=["constant", "one row"]
)
def test_draws_of_constant_latents_are_that_constant(Z):
    np.testing.assert_allclose(draw(Z, 5), np.repeat(Z[:1], 5, axis=0))


def test_constant_latent_among_others_stays_constant():
    Z = correlated()
    Z[:, 1] = 0.3
    np.testing.assert_allclose(draw(Z, 50)[:, 1], 0.3, atol=0.02)


@pytest.mark.parametrize("n_rows", [2, 3, 5])
def test_few_rows(n_rows):
    drawn = draw(correlated(n_rows), 7)
    assert drawn.shape == (7, 3)
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize("n_rows", [300, 5000], ids=["all rows", "a part of them"])
def test_draws_have_the_moments_of_the_latents(n_rows):
    Z = correlated(n_rows)
    drawn = draw(Z, 20_000)
    # The mixture knows 300 or 2000 rows: 6 standard errors of a mean of so many.
    std = Z.std(axis=0)
    bound = 6 / np.sqrt(min(n_rows, 2000))
    shift = drawn.mean(axis=0) - Z.mean(axis=0)
    np.testing.assert_allclose(shift / std, 0, atol=bound)
    np.testing.assert_allclose(drawn.std(axis=0) / std, 1, atol=bound)
    np.testing.assert_allclose(
        np.corrcoef(drawn, rowvar=False), np.corrcoef(Z, rowvar=False), atol=bound
    )


def test_draws_of_one_gaussian_are_those_of_scikit_learns_fit():
    Z = correlated()
    mixture = GaussianMixture(1, reg_covar=1e-5).fit((Z - Z.mean(0)) / Z.std(0))
    fitted = fitted_density(Z, np.random.RandomState(0)).mixture
    assert len(fitted.weights) == 1
    np.testing.assert_allclose(fitted.covariances, mixture.covariances_, atol=1e-6)


def two_clusters(n=400):
    rng = np.random.default_rng(0)
    side = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    return side[:, None] * [5.0, 5.0] + 0.1 * rng.normal(size=(n, 2))


def test_a_mixture_of_many_latents_is_bounded_by_its_products(monkeypatch):
    monkeypatch.setattr(_latents, "_MOST_PRODUCTS", 3 * 600 * 2**2)
    rng = np.random.RandomState(0)
    Z = np.vstack([rng.normal(size=(100, 2)) + 20 * c for c in rng.normal(size=(6, 2))])
    density = LatentDensity(Z)
    density.fit_mixture(Z, rng)
    assert len(density.mixture.weights) == 2


def test_draws_lie_in_the_clusters_of_the_latents():
    drawn = draw(two_clusters(), 2000)
    np.testing.assert_allclose(abs(drawn), 5.0, atol=1.0)
    # Both clusters, in equal parts within 6 standard errors of 400 rows' share.
    assert abs((drawn[:, 0] > 0).mean() - 0.5) < 6 * 0.5 / np.sqrt(400)


def test_draws_do_not_come_sorted_by_cluster():
    drawn = draw(two_clusters(), 1000)
    is_right = drawn[:, 0] > 0
    # Sorted ones change sides once, and others about 500 times.
    assert np.abs(np.diff(is_right.astype(int))).sum() > 300


@pytest.mark.parametrize("exponent", [-60, -1, 20, 60])
def test_draws_follow_the_scale_of_the_latents(exponent):
    # A power of two, which floating-point numbers are multiplied by exactly.
    Z = correlated(40)
    factor = 2.0**exponent
    np.testing.assert_array_equal(draw(factor * Z, 5), factor * draw(Z, 5))


def test_same_seed_same_draws():
    Z = two_clusters()
    np.testing.assert_array_equal(draw(Z, 20, seed=1), draw(Z, 20, seed=1))
    assert (draw(Z, 20, seed=1) != draw(Z, 20, seed=2)).all()


def test_draws_depend_on_the_seed_given_alone():
    mixture = fitted_density(two_clusters(), np.random.RandomState(0))
    first = mixture.sample(20, np.random.RandomState(1))
    second = mixture.sample(20, np.random.RandomState(1))
    np.testing.assert_array_equal(first, second)


def many_clusters(n, seed):
    """As many rows in each of 24 groups, which do not touch."""
    group = np.arange(n) % 24
    noise = np.random.default_rng(seed).normal(size=(n, 2))
    return 10.0 * np.stack([group % 6, group // 6], axis=1) + noise


def large_mixture(Z):
    density = LatentDensity(Z)
    density.fit_mixture(Z, np.random.RandomState(0), max_rows=len(Z))
    return density


def test_many_rows_have_as_many_gaussians_as_rows_held_out_gain_by():
    Z, Z_new = many_clusters(6000, 0), many_clusters(6000, 1)
    large, small = large_mixture(Z), fitted_density(Z, np.random.RandomState(0))
    assert len(large.mixture.weights) > len(small.mixture.weights)
    assert log_density(large, Z_new).mean() > log_density(small, Z_new).mean() + 0.2


def test_many_rows_of_one_gaussian_have_one():
    assert len(large_mixture(correlated(5000)).mixture.weights) == 1


def test_latents_beside_the_axes_are_drawn_from_a_standard_normal():
    Z = np.insert(two_clusters(), 1, 7.0, axis=1)
    density = LatentDensity(Z)
    density.fit_mixture(Z, np.random.RandomState(0), axes=np.array([0, 2]))
    drawn = density.sample(5000, np.random.RandomState(0))
    np.testing.assert_allclose(abs(drawn[:, [0, 2]]), 5.0, atol=1.0)
    # 6 standard errors of 5000 rows' mean and standard deviation.
    assert abs(drawn[:, 1].mean()) < 0.09
    assert abs(drawn[:, 1].std() - 1.0) < 0.06


def test_density_of_latents_beside_the_axes_is_a_standard_normals():
    Z = two_clusters()
    wide = np.insert(Z, 1, 7.0, axis=1)
    density, of_axes = LatentDensity(wide), LatentDensity(Z)
    density.fit_mixture(wide, np.random.RandomState(0), axes=np.array([0, 2]))
    of_axes.fit_mixture(Z, np.random.RandomState(0))
    np.testing.assert_allclose(
        log_density(density, wide), log_density(of_axes, Z) + norm.logpdf(7.0)
    )


def test_numpys_global_generator_is_untouched():
    before = np.random.get_state()  # noqa: NPY002
    draw(correlated(3000), 20)
    after = np.random.get_state()  # noqa: NPY002
    assert before[2:] == after[2:]
    np.testing.assert_array_equal(before[1], after[1])


def test_mixture_leaves_its_rows_alone():
    Z = correlated()
    before = Z.copy()
    draw(Z, 5)
    np.testing.assert_array_equal(Z, before)


# Chunks -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_first", [1, 37, 299])
def test_pooled_chunks_have_the_moments_of_all_rows(n_first):
    Z = correlated()
    first, second = LatentDensity(Z[:n_first]), LatentDensity(Z[n_first:])
    pooled = first.pooled_with(second)
    np.testing.assert_allclose(pooled.mean, Z.mean(axis=0))
    np.testing.assert_allclose(pooled.covariance, np.cov(Z.T, bias=True))


def test_pooling_leaves_its_parts_alone():
    Z = correlated()
    density = fitted_density(Z[:200], np.random.RandomState(0))
    mean, mixture = density.mean.copy(), density.mixture
    density.pooled_with(LatentDensity(Z[200:]))
    np.testing.assert_array_equal(density.mean, mean)
    assert density.mixture is mixture


# As Gaussians -------------------------------------------------------------------------


def log_density(density, Z):
    log_weights, means, whitening, axes = density.gaussians()
    beside = np.delete(Z, axes, axis=1)
    Z = Z[:, axes]
    parts = [
        log_weight + multivariate_normal(mean, np.linalg.inv(m @ m.T)).logpdf(Z)
        for log_weight, mean, m in zip(log_weights, means, whitening, strict=True)
    ]
    return logsumexp(parts, axis=0) + norm.logpdf(beside).sum(axis=1)


def test_gaussians_are_those_of_the_mixture():
    Z = np.concatenate([correlated(seed=0), correlated(seed=1) + 20.0])
    density = LatentDensity(Z)
    density.fit_mixture(Z, np.random.RandomState(0))
    assert len(density.mixture.weights) > 1
    scaled = (Z - density.mean) / density.scale
    wanted = density.mixture.log_density(scaled) - np.log(density.scale).sum()
    np.testing.assert_allclose(log_density(density, Z), wanted, rtol=1e-6)


def test_without_a_mixture_there_is_one_gaussian():
    Z = correlated()
    wanted = multivariate_normal(Z.mean(axis=0), np.cov(Z.T, bias=True)).logpdf(Z)
    np.testing.assert_allclose(log_density(LatentDensity(Z), Z), wanted, atol=1e-3)


def test_latents_that_do_not_vary_have_a_finite_density():
    Z = np.zeros((5, 2))
    assert np.isfinite(log_density(LatentDensity(Z), Z)).all()


def test_without_axes_all_latents_are_standard_normal():
    density = LatentDensity(np.full((30, 3), 0.2))
    density.fit_mixture(
        np.full((30, 3), 0.2), np.random.RandomState(0), axes=np.array([], dtype=int)
    )
    log_weights, means, whitening, axes = density.gaussians()
    assert (len(log_weights), means.shape, whitening.shape) == (1, (1, 0), (1, 0, 0))
    assert len(axes) == 0
    drawn = density.sample(5000, np.random.RandomState(0))
    np.testing.assert_allclose(drawn.std(axis=0), 1.0, atol=0.06)
    assert drawn.shape == (5000, 3)


@pytest.mark.parametrize(
    ("scores", "chosen"), [([0, 1, 0, 2, 1, 1, 9], 8), ([3, 2, 1, 0, 4, 5, 4, 9], 32)]
)
def test_mixtures_grow_past_small_ones_that_are_worse(scores, chosen):
    Z = np.random.RandomState(0).normal(size=(600, 2))
    values = iter(scores)
    best = _latents._best_mixture(
        *(Z, _latents._LARGE_MIXTURE_SIZES, lambda mixture: next(values)),
        np.random.RandomState(0),
    )
    assert len(best.weights) == chosen
