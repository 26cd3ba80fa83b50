"""Distances of rows by most of the rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_ae._inference.outlying import outlyingness, robust_precision


@pytest.fixture(scope="module")
def Z():
    """Normal latents, of which a fifth are moved far away, last."""
    Z = np.random.default_rng(0).normal(size=(400, 2))
    Z[320:] = 0.1 * Z[320:] + 50.0
    return Z


def test_a_cluster_far_away_has_no_say(Z):
    location, precision = robust_precision(Z, 0.1, None)
    assert_allclose(location, 0.0, atol=0.15)
    assert_allclose(precision, np.eye(2), atol=0.3)


def test_rows_without_weight_have_no_say(Z):
    weights = np.repeat([1.0, 0.0], [100, 300])
    location, _ = robust_precision(Z + (np.arange(400) >= 100)[:, None], 0.1, weights)
    assert_allclose(location, 0.0, atol=0.3)


def test_units_of_the_latents_do_not_matter(Z):
    turn = np.array([[3.0, 1.0], [0.0, 1e-3]])
    distances = []
    for latents in (Z, Z @ turn + 7.0):
        location, precision = robust_precision(latents, 0.1, None)
        away = latents - location
        distances.append(np.einsum("ni,ij,nj->n", away, precision, away))
    assert_allclose(*distances, rtol=1e-6)


@pytest.mark.parametrize(
    "Z", [np.zeros((9, 2)), np.eye(40, 3) * 1e3, np.eye(2)], ids=["same", "most", "two"]
)
def test_latents_without_spread_are_measured_by_what_there_is(Z):
    location, precision = robust_precision(Z, 0.1, None)
    assert np.isfinite(location).all()
    assert np.isfinite(precision).all()


def test_a_row_is_as_far_out_as_its_distances_are_beyond_their_means():
    together = outlyingness(
        np.array([1.0, 1.0, 9.0]),
        np.array([[0.0], [5.0], [0.0]]),
        median_error=1.0,
        n_residual=1,
        location=np.zeros(1),
        precision=np.eye(1),
    )
    # The median of a squared normal is .455, its mean 1, its variance 2.
    assert_allclose(together, [0.0, 24 / 2**0.5, (9 * 0.454936 - 1) / 2**0.5], 1e-5)
