import pytest
import torch
from small_networks import network
from torch import nn

from sklearn_ae._networks.images import ConvolutionalDecoder, ConvolutionalEncoder
from sklearn_ae._networks.losses import SquaredError
from sklearn_ae._networks.modules import Autoencoder
from sklearn_ae._networks.truncation import with_first_latents
from sklearn_ae._networks.variational import VariationalAutoencoder

D, K = 16, 3


def module_of(kind):
    torch.manual_seed(0)
    if kind == "convolutions":
        encoder = ConvolutionalEncoder((4, 4, 1), (2,), K, nn.Tanh)
        decoder = ConvolutionalDecoder((4, 4, 1), (2,), K, nn.Tanh)
    elif kind == "own":
        encoder, decoder = nn.Sequential(nn.Linear(D, K)), nn.Tanh()
        decoder = nn.Sequential(nn.Linear(K, D), decoder)
    else:
        encoder, decoder = network(D, K, kind), network(K, D, kind)
    center, scale = torch.zeros(D), torch.tensor(1.0)
    return Autoencoder(encoder, decoder, SquaredError(), center=center, scale=scale)


@pytest.mark.parametrize("kind", ["mlp", "anchored", "convolutions", "own"])
@torch.no_grad()
def test_the_other_latents_are_zero(kind):
    module = module_of(kind).eval()
    cut = with_first_latents(module, K, 2)
    x = torch.randn(5, D)
    z = module.encode(x)
    torch.testing.assert_close(cut.encode(x), z[:, :2])
    padded = torch.cat([z[:, :2], torch.zeros(5, 1)], dim=1)
    torch.testing.assert_close(cut.decode(z[:, :2]), module.decode(padded))
    assert module.encode(x).equal(z)


@pytest.mark.parametrize("make", [network, nn.Linear], ids=["mlp", "own"])
@torch.no_grad()
def test_moments_and_conditions_stay(make):
    torch.manual_seed(0)
    module = VariationalAutoencoder(
        make(D + 2, 2 * K),
        make(K + 2, D),
        SquaredError(),
        center=torch.zeros(D),
        scale=torch.tensor(1.0),
        n_conditions=2,
    ).eval()
    cut = with_first_latents(module, K, 1)
    x = torch.randn(5, D + 2)
    for part, of_all in zip(cut.posterior(x), module.posterior(x), strict=True):
        torch.testing.assert_close(part, of_all[:, :1])
    z, conditions = torch.randn(5, 1), x[:, D:]
    padded = torch.cat([z, torch.zeros(5, 2), conditions], dim=1)
    of_cut = cut.decode(torch.cat([z, conditions], dim=1))
    torch.testing.assert_close(of_cut, module.decode(padded))
