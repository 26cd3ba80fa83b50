"""Fourier features of places on a map."""

import torch
from torch import nn

from sklearn_ae._networks.fourier import FourierDecoder, FourierFeatures


def test_products_of_features_are_a_gaussian_kernel_of_the_distance():
    features = FourierFeatures(2, seed=0)
    z = 4.0 * torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    waves = features(z)[:, 2:]
    products = waves @ waves.T / (waves.shape[1] / 2)
    kernel = torch.exp(-torch.cdist(z, z).square() / 8.0)
    assert (products - kernel).abs().max() < 0.35
    assert (products - kernel).square().mean().sqrt() < 0.1


def test_a_linear_map_of_latents_is_the_same_beside_the_features():
    features = FourierFeatures(2, seed=0)
    linear = nn.Linear(2, 3)
    of_all = nn.Linear(2 + len(features.phases), 3)
    of_all.load_state_dict(
        {"weight": features.beside(linear.weight), "bias": linear.bias}
    )
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(FourierDecoder(features, of_all)(z), linear(z))


def test_variances_are_those_of_features_of_a_wide_map():
    features = FourierFeatures(2, seed=0)
    z = 30.0 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        features.variances(z.var(dim=0)), features(z).var(dim=0), atol=0.06, rtol=0.1
    )
