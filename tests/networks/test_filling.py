"""What a linear model expects of missing cells."""

import numpy as np
import pytest
import torch

from sklearn_ae._networks import filling
from sklearn_ae._networks.filling import Filling, find_filling
from sklearn_ae._networks.linear import LinearStart

D, Q = 6, 2


def linear_rows(n=400, noise=0.0, seed=0):
    rng = np.random.RandomState(seed)
    rows = rng.normal(size=(n, Q)) @ rng.normal(size=(Q, D))
    return torch.from_numpy(rows + noise * rng.normal(size=rows.shape)).float()


def with_holes(x, share=0.2, seed=1):
    rng = np.random.RandomState(seed)
    return torch.where(
        torch.from_numpy(rng.uniform(size=x.shape) < share), torch.nan, x
    )


def test_missing_cells_are_the_conditional_mean():
    loadings = torch.randn(D, Q, generator=torch.Generator().manual_seed(0)).double()
    mean, noise = torch.arange(D).double(), 0.3
    filling = Filling(mean, loadings, noise).double()
    x = linear_rows(1).double()[0] + mean
    missing = torch.tensor([True, False, False, True, False, False])
    covariance = loadings @ loadings.T + filling.noise_variance * torch.eye(D)
    known = ~missing
    gain = covariance[missing][:, known] @ covariance[known][:, known].inverse()
    expected = mean[missing] + gain @ (x - mean)[known]
    found = filling(torch.where(missing, torch.nan, x))
    torch.testing.assert_close(found[missing], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[known], x[known])


def test_complete_rows_are_left_as_they_are():
    x = linear_rows()
    assert Filling(torch.zeros(D), torch.ones(D, Q))(x) is x


def test_conditions_behind_the_rows_stay():
    x = torch.tensor([[torch.nan, 2.0, 7.0]])
    filling = Filling.by_mean(torch.tensor([1.0, 5.0]))
    assert filling(x).tolist() == [[1.0, 2.0, 7.0]]


def test_a_row_without_a_known_cell_is_the_mean():
    mean = torch.arange(D).float()
    filling = Filling(mean, torch.ones(D, Q))
    torch.testing.assert_close(filling(torch.full((1, D), torch.nan))[0], mean)


def test_cells_of_a_plane_are_found_again():
    x = linear_rows(noise=0.01)
    holes = with_holes(x)
    filling = find_filling(holes, Q, np.random.RandomState(0))
    missing = holes.isnan()
    error = (filling(holes) - x)[missing].square().mean()
    assert error < 0.02 * x[missing].square().mean()


def test_model_is_about_that_of_complete_rows():
    x = linear_rows(noise=0.3)
    found = find_filling(with_holes(x, 0.05), Q, np.random.RandomState(0))
    complete = Filling.of(LinearStart.from_rows(x, Q, np.random.RandomState(0)))
    covariances = [f.loadings @ f.loadings.T for f in (found, complete)]
    torch.testing.assert_close(*covariances, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("n_components", [1, 8])
def test_one_column_is_filled_with_its_mean(n_components):
    x = torch.tensor([[1.0], [3.0], [torch.nan]])
    filling = find_filling(x, n_components, np.random.RandomState(0))
    assert filling(x)[2].item() == 2.0


def test_column_that_is_all_missing_is_zero():
    x = torch.tensor([[1.0, torch.nan], [3.0, torch.nan]])
    assert find_filling(x, 1, np.random.RandomState(0))(x)[:, 1].tolist() == [0.0, 0.0]


def test_columns_are_put_back():
    x = with_holes(linear_rows())
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    filling = find_filling(x, Q, np.random.RandomState(0))
    expected = filling(x)
    sorted_ = Filling(
        filling.mean[order], filling.loadings[order], filling.noise_variance.item()
    )
    sorted_.put_columns_back(torch.argsort(order))
    torch.testing.assert_close(sorted_(x), expected)


def test_many_axes_are_found_from_fewer_rows(monkeypatch):
    monkeypatch.setattr(filling, "_MOST_PRODUCTS", 100 * Q**2)
    x = with_holes(linear_rows(400))
    x[:, 0] = torch.arange(400.0)  # tells which rows have a part in it
    state = np.random.RandomState(0)
    mean = find_filling(x, Q, state).mean[0]
    chosen = np.random.RandomState(0).choice(400, 100, replace=False)
    assert mean == pytest.approx(chosen.mean(), rel=0.2)
    assert mean != pytest.approx(199.5, rel=1e-4)
