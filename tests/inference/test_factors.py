"""The factor model: against the Gaussian that it stands for, and against units."""

import numpy as np
import pytest
import torch

from sklearn_ae._inference.factors import Factors


def rows(n=400, d=6, hidden=0.0):
    """Rows of two factors, and the same without some cells."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d)) + 1.0
    X += 0.3 * rng.normal(size=(n, d))
    X = torch.from_numpy(X)
    gone = torch.from_numpy(rng.uniform(size=(n, d)) < hidden)
    return X, X.masked_fill(gone, torch.nan)


def test_expected_cells_are_the_conditional_mean():
    model = Factors.of(rows()[0], 2)
    covariance = (model.loadings @ model.loadings.T + model.noise.diag()).double()
    mean = model.mean.double()
    _, x = rows(5, hidden=0.4)
    filled = model.fill(x)
    for row, made in zip(x, filled, strict=True):
        known = ~row.isnan()
        gain = covariance[~known][:, known] @ torch.linalg.inv(
            covariance[known][:, known]
        )
        expected = mean[~known] + gain @ (row - mean)[known]
        torch.testing.assert_close(made[~known], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(made[known], row[known])


def test_model_is_that_of_complete_rows():
    whole, x = rows(2000, hidden=0.2)
    covariance = torch.cov(whole.T)
    model = Factors.of(x, 2)
    found = model.loadings @ model.loadings.T + model.noise.diag()
    np.testing.assert_allclose(found, covariance, atol=0.12)


def test_units_of_columns_do_not_matter():
    _, x = rows(hidden=0.2)
    units = 10.0 ** torch.arange(-3, 3)
    filled = Factors.of(x, 2).fill(x)
    in_units = Factors.of(x * units, 2).fill(x * units)
    np.testing.assert_allclose(in_units / units, filled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("x", [torch.ones(4, 3), torch.tensor([[1.0, torch.nan]] * 3)])
def test_columns_that_say_nothing(x):
    x = x.clone()
    x[0, 0] = torch.nan
    filled = Factors.of(x, 2).fill(x)
    assert filled.isfinite().all()
    assert filled[0, 0] == 1.0
