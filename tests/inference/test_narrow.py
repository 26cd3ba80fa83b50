"""Wide decoders in the span of what they can give."""

import gc
import weakref

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


def test_the_span_is_found_once_and_again_where_weights_change():
    decoder = _decoder("anchored")
    with torch.inference_mode():
        first = Outputs.of(decoder, SquaredError(), SCALAR)
        assert Outputs.of(decoder, SquaredError(), SCALAR) is first
    with torch.no_grad():
        decoder.linear.weight.mul_(2.0)
    with torch.inference_mode():
        second = Outputs.of(decoder, SquaredError(), SCALAR)
        z = torch.randn(4, 2).double()
        given = second.decoder(z)[:, :-1] @ second.axes.mT + second.bias
        torch.testing.assert_close(given, decoder(z))


def test_training_always_finds_the_span_anew():
    # Weights that are trained in one buffer do not count their changes.
    decoder = _decoder("mlp")
    with torch.no_grad():
        first = Outputs.of(decoder, SquaredError(), SCALAR)
        assert Outputs.of(decoder, SquaredError(), SCALAR) is not first


def test_what_is_kept_goes_with_its_decoder():
    decoder = _decoder("anchored")
    with torch.inference_mode():
        Outputs.of(decoder, SquaredError(), SCALAR)
    known = weakref.ref(decoder)
    del decoder
    gc.collect()
    assert known() is None
