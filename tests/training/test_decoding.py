"""The way back from latents that are known."""

import torch
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression

from sklearn_ae._training.decoding import regress


def test_a_regression_in_blocks_is_that_of_all_rows():
    generator = torch.Generator().manual_seed(0)
    z = 20.0 * torch.randn(20_000, 2, generator=generator) + 5.0
    x = z @ torch.randn(2, 4, generator=generator) + 3.0
    x += torch.randn(20_000, 4, generator=generator)
    weight, intercept = regress(z, x)
    exact = LinearRegression().fit(z.double().numpy(), x.double().numpy())
    assert_allclose(weight, exact.coef_, atol=1e-10)
    assert_allclose(intercept, exact.intercept_, atol=1e-10)


def test_latents_in_one_place_tell_the_mean():
    weight, intercept = regress(torch.ones(5, 2), torch.arange(5.0)[:, None])
    assert_allclose(weight, 0.0)
    assert_allclose(intercept, 2.0)
