"""Wide decoders in the span of what they can give."""

import pytest
import torch

from sklearn_ae._inference.narrow import Outputs
from sklearn_ae._networks.losses import AbsoluteError, LogLoss, SquaredError
from sklearn_ae._networks.modules import MLP, Anchored

SCALAR = torch.tensor(1.0)


def _decoder(kind, n_outputs=60):
    torch.manual_seed(0)
    network = MLP.of_sizes(2, [5], n_outputs, "silu").double()
    if kind == "mlp":
        return network
    decoder = Anchored(
        torch.randn(n_outputs, 2).double(),
        torch.randn(n_outputs).double(),
        network,
        torch.tensor([1.0, 3.0]).double(),
    )
    torch.nn.init.normal_(network[-1].weight)
    torch.nn.init.normal_(network[-1].bias)
    return decoder


@pytest.mark.parametrize("kind", ["mlp", "anchored"])
@torch.no_grad()
def test_squared_distances_are_those_of_whole_rows(kind):
    decoder = _decoder(kind)
    outputs = Outputs.of(decoder, SquaredError(), SCALAR)
    x, z = torch.randn(7, 60).double(), torch.randn(7, 2).double()
    narrow = (outputs.decoder(z) - outputs.rows(x)).square().sum(dim=1)
    torch.testing.assert_close(narrow, (decoder(z) - x).square().sum(dim=1))
    assert outputs.rows(x).shape[1] == outputs.width < 10


@pytest.mark.parametrize(
    ("loss", "precision"),
    [
        (AbsoluteError(), SCALAR),
        (LogLoss(), SCALAR),
        (SquaredError(), torch.ones(60)),  # noise of its own for each column
    ],
)
def test_other_losses_take_the_decoder_as_it_is(loss, precision):
    decoder = _decoder("anchored")
    outputs = Outputs.of(decoder, loss, precision)
    assert outputs.decoder is decoder
    x = torch.randn(3, 60)
    assert outputs.rows(x) is x


def test_a_decoder_of_few_columns_stays_as_it_is():
    decoder = _decoder("anchored", n_outputs=27)
    assert Outputs.of(decoder, SquaredError(), SCALAR).decoder is decoder
