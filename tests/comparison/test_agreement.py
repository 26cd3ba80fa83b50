import numpy as np
import pytest
from sklearn.cross_decomposition import CCA

from sklearn_ae.comparison import latent_agreement


@pytest.fixture(scope="module")
def Z():
    return np.random.default_rng(0).normal(size=(200, 3))


def test_order_and_signs_do_not_matter(Z):
    found = latent_agreement(Z, Z[:, [2, 0, 1]] * [1.0, -1.0, 5.0] + 7.0)
    np.testing.assert_allclose(found.correlations, 1.0)
    assert found.order.tolist() == [1, 2, 0]
    assert found.signs.tolist() == [-1.0, 1.0, 1.0]
    np.testing.assert_allclose(found.canonical_correlations, 1.0)


def test_mixtures_span_the_same_space(Z):
    mixed = Z @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    found = latent_agreement(Z, mixed)
    assert found.correlations.min() < 0.95
    np.testing.assert_allclose(found.canonical_correlations, 1.0)


def test_canonical_correlations_are_those_of_cca(Z):
    other = Z + np.random.default_rng(1).normal(size=Z.shape)
    found = latent_agreement(Z, other).canonical_correlations
    pairs = CCA(3, max_iter=5000, tol=1e-12).fit(Z, other).transform(Z, other)
    expected = [
        np.corrcoef(a, b)[0, 1] for a, b in zip(*np.swapaxes(pairs, 1, 2), strict=True)
    ]
    np.testing.assert_allclose(found, sorted(expected, reverse=True), atol=1e-4)


def test_a_latent_that_does_not_vary_agrees_with_nothing(Z):
    constant = Z * [1.0, 0.0, 1.0] + 0.1
    found = latent_agreement(Z, constant)
    assert found.correlations.round(6).tolist() == [1.0, 0.0, 1.0]
    assert found.canonical_correlations.round(6).tolist() == [1.0, 1.0, 0.0]


def test_as_many_latents_are_expected(Z):
    with pytest.raises(ValueError, match="Z1 has 3 latents and Z2 has 2"):
        latent_agreement(Z, Z[:, :2])
