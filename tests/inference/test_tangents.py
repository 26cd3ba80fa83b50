"""Jacobians of decoders, against those of automatic differentiation."""

import pytest
import torch
from torch import nn

from sklearn_ae._inference.tangents import tangent_map
from sklearn_ae._networks.activations import ACTIVATIONS
from sklearn_ae._networks.images import ConvolutionalDecoder
from sklearn_ae._networks.modules import MLP, Anchored

N, K, D = 6, 3, 5


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def by_autograd(decoder, z, n_latents):
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: decoder(row[None])[0]))(z)
    return jacobian[..., :n_latents].mT  # (n, k, d)


def check(decoder, n_conditions=0):
    z = torch.randn(N, K + n_conditions, dtype=torch.float64)
    with torch.no_grad():
        output, jacobian = tangent_map(decoder, K)(z)
        torch.testing.assert_close(output, decoder(z))
    torch.testing.assert_close(jacobian, by_autograd(decoder, z, K).detach())


def mlp(n_inputs, sizes, activation="tanh"):
    return MLP.of_sizes(n_inputs, sizes, D, activation).double()


def anchored(network, n_inputs):
    decoder = Anchored(
        torch.randn(D, n_inputs),
        torch.randn(D),
        network,
        torch.rand(n_inputs) + 0.5,
    ).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return decoder


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(), (7,), (7, 4)])
def test_dense_decoder(activation, sizes):
    check(mlp(K, sizes, activation))


@pytest.mark.parametrize("sizes", [(), (7,), (7, 4)])
def test_dense_decoder_beside_a_linear_path(sizes):
    check(anchored(mlp(K, sizes), K))


def test_conditions_have_no_tangents():
    check(anchored(mlp(K + 2, (7,)), K + 2), n_conditions=2)


def test_convolutional_decoder():
    decoder = ConvolutionalDecoder((5, 4, 2), (3,), K, nn.SiLU).double()
    check(decoder)


class Wavy(nn.Module):
    """A decoder that the package does not know."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(K, D, dtype=torch.float64)

    def forward(self, z):
        return torch.sin(self.layer(z)) * z.square().sum(dim=1, keepdim=True)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_any_decoder_that_torch_differentiates(mode):
    decoder = Wavy()
    z = torch.randn(N, K, dtype=torch.float64)
    with mode():
        _, jacobian = tangent_map(decoder, K)(z.clone())
        jacobian = jacobian.clone()
    torch.testing.assert_close(
        torch.tensor(jacobian.tolist(), dtype=torch.float64),
        by_autograd(decoder, z, K).detach(),
    )
