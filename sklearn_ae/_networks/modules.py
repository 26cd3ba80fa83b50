"""The torch modules: encoder, decoder and one loss per row.

The networks work on standardised rows, x = (X - center) / scale, with one global
scale; both are buffers of the module, so that an exported module takes and gives
rows in the data's own units. Shapes: n rows, d features, k latents, S samples.
"""

import copy
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .._tables.columns import Columns
from .._tables.rows import block_rows
from .._tables.span import Span
from .activations import ACTIVATIONS
from .corruptions import Corruption
from .filling import Filling
from .fourier import FourierDecoder
from .images import ConvolutionalNetwork, SkipDecoder
from .linear import linear_layer
from .losses import SquaredError, of_observed


def _float32(n_inputs: int, n_outputs: int) -> nn.Linear:
    # Whatever the user has made torch's default.
    return nn.Linear(n_inputs, n_outputs, dtype=torch.float32)


class MLP(nn.Sequential):
    """Linear layers with an activation between them, and none after the last."""

    @classmethod
    def of_sizes(
        cls,
        n_inputs: int,
        hidden_sizes: Sequence[int],
        n_outputs: int,
        activation: str,
    ) -> "MLP":
        layers: list[nn.Module] = []
        for n_hidden in hidden_sizes:
            layers += [_float32(n_inputs, n_hidden), ACTIVATIONS[activation]()]
            n_inputs = n_hidden
        return cls(*layers, _float32(n_inputs, n_outputs))


OwnNetwork = MLP | ConvolutionalNetwork


class Anchored(nn.Module):
    """A linear path plus a network that starts as zero: linear before the first step.

    The network sees its inputs divided by their spread, so that a column (or a latent)
    of small variance can bend the map as much as one of large variance.
    """

    input_spread: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor, network: OwnNetwork, input_spread: Tensor
    ):
        super().__init__()
        self.linear = linear_layer(weight.detach().clone(), bias.detach().clone())
        self.network = network
        self.register_buffer("input_spread", input_spread)  # (n_inputs,)
        with torch.no_grad():
            for parameter in list(network.parameters())[-2:]:  # the output layer's
                parameter.zero_()

    @classmethod
    def around(
        cls, network: OwnNetwork, linear: nn.Linear, input_spread: Tensor
    ) -> "Anchored":
        """Of a network and a linear path that are something already."""
        anchored = cls.__new__(cls)
        nn.Module.__init__(anchored)
        anchored.linear, anchored.network = linear, network
        anchored.register_buffer("input_spread", input_spread)
        return anchored

    def forget_spread(self, n_more_inputs: int = 0) -> None:
        """Make spreads part of the weights, where there may be more inputs soon."""
        _linear(self.network, 0).weight.div_(self.input_spread)
        n_inputs = len(self.input_spread) + n_more_inputs
        self.input_spread = self.input_spread.new_ones(n_inputs)

    def forward(self, x: Tensor, *maps: list[Tensor]) -> Tensor:
        """The sum of both paths; maps to fill or to see are the network's affair."""
        if torch.is_autocast_enabled(x.device.type):
            # The linear path is precise: it is what the network corrects.
            with torch.autocast(x.device.type, enabled=False):
                linear = self.linear(x.to(self.linear.weight.dtype))
            return linear + self.network(x / self.input_spread, *maps)
        return self.linear(x) + self.network(x / self.input_spread, *maps)


class Autoencoder(nn.Module):
    """Encoder and decoder with the loss between a row and its reconstruction.

    With a corruption, which is active in training mode only, as dropout is, this is
    the denoising autoencoder: the encoder sees the corrupted row, the loss the clean
    one.
    """

    n_conditions = 0  # columns beside those of a row that it is conditioned on
    cut_sizes: tuple[int, ...] = ()  # numbers of first latents with their own decoders

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        loss: SquaredError,
        *,
        center: Tensor,
        scale: Tensor,
        n_seen: int | None = None,
        corruption: nn.Module | None = None,
    ):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.loss_function = loss
        self.corruption = corruption
        self.columns = Columns(center, scale, n_seen)
        self.whiten(None)
        # What missing cells are for the encoder, and whether training rows have any.
        self.filling: Filling | None = None
        self.has_missing = False
        # Epochs of the training that its weights come from: an objective may follow a
        # schedule, and a warm start goes on from there.
        self.epoch = 0
        self._measure()

    @property
    def cut_decoders(self) -> dict[int, nn.Module]:
        """Decoders that take the first latents alone, by their number."""
        decoders = self._modules.get("of_cuts") or ()
        return dict(zip(self.cut_sizes, cast(nn.ModuleList, decoders), strict=True))

    def keep_cuts(self, decoders: dict[int, nn.Module]) -> None:
        self._modules.pop("of_cuts", None)
        self.cut_sizes = tuple(decoders)
        if decoders:
            self.of_cuts = nn.ModuleList(decoders.values())

    @property
    def _decoders(self) -> list[nn.Module]:
        return [self.decoder, *self.cut_decoders.values()]

    def _measure(self) -> None:
        """Take the sizes that say what a row costs."""
        images = [m for m in self.modules() if isinstance(m, ConvolutionalNetwork)]
        # Multiplications per row say how much work a layer is, and numbers per row how
        # much memory; asked for on every call, so kept.
        self.largest_layer = max(
            (
                *(p.numel() for p in self.parameters()),
                *(network.largest_layer for network in images),
            ),
            default=0,
        )
        self.row_size = max(len(self.center), *(0, *(m.row_size for m in images)))
        layers = (m for m in self.decoder.modules() if isinstance(m, nn.Linear))
        self.decoder_width = max(self.row_size, *(m.out_features for m in layers), 1)

    @property
    def center(self) -> Tensor:
        return self.columns.center  # (d,)

    @property
    def scale(self) -> Tensor:
        return self.columns.scale  # (), or (d,) where what is seen and wanted differ

    @property
    def n_inputs(self) -> int:
        """Columns that the encoder sees."""
        return len(self.center)

    @property
    def is_own(self) -> bool:
        """Whether both networks are this file's, rather than the user's."""
        own = OwnNetwork | FourierDecoder
        networks = self.encoder, self.decoder
        return all(isinstance(nonlinear_part(network), own) for network in networks)

    @property
    def is_fast(self) -> bool:
        """Whether both networks are MLPs of this file, which `_fast` computes."""
        networks = self.encoder, self.decoder
        return all(isinstance(nonlinear_part(network), MLP) for network in networks)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows without their conditions (n, d), and these (n, m), if there are any."""
        n_features = len(self.center)
        return x[..., :n_features], x[..., n_features:]

    @property
    def loss_size(self) -> int:
        """Numbers per row that the loss holds at a time."""
        return self.row_size

    # In the networks' units ------------------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)  # (n, d) -> (n, k)

    @property
    def may_miss(self) -> bool:
        """Whether to look for missing cells: in training that is known before."""
        return self.has_missing or not self.training

    def filled(self, x: Tensor) -> Tensor:
        """Rows whose missing cells are what the others let one expect."""
        return x if self.filling is None or not self.may_miss else self.filling(x)

    def loss_of(self, x: Tensor) -> SquaredError:
        """The loss for rows x, of which cells may be missing."""
        loss = self.loss_function
        return of_observed(loss, x) if self.may_miss else loss

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)  # (n, k) -> (n, d), before the loss's link

    def error(self, output: Tensor, x: Tensor) -> Tensor:
        """Mean loss over the cells of each row x that are there: (n,)."""
        return self.loss_of(x).error(output, x)

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Loss of each row: what training minimises and validation watches."""
        if self.training and self.corruption is not None:
            seen = self.filled(self.corrupted(x, generator))
            return self.error(self.decode(self.encode(seen)), x)  # (n,)
        return self.reconstruction_error(x)

    def drawn(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The rows that the module learns from, where those given are probabilities."""
        return x

    def corrupted(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """What the encoder sees of the rows in training: (n, d)."""
        if isinstance(self.corruption, Corruption):
            return self.corruption(x, generator)
        return x if self.corruption is None else self.corruption(x)

    def reconstruction_error(self, x: Tensor) -> Tensor:
        """Loss between each row and its reconstruction, averaged over the features."""
        return self.error(self.decode(self.encode(self.filled(x))), x)  # (n,)

    def answer(self, x: Tensor) -> Tensor:
        """What is given for standardised rows, in their units: (n, d)."""
        output = self.decode(beside(self.encode(x), self.parts(x)[1]))
        return self.loss_function.link(output)

    @property
    def loss_of_nonsense(self) -> float:
        """What the loss of a row is where the networks know nothing, or more."""
        return 1.0  # the mean column's variance, in these units

    # In the data's units -----------------------------------------------------------

    @property
    def dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.parameters()), torch.float32)

    @property
    def latent_scale(self) -> Tensor:
        """Latents are in the data's units, as those of PCA are, or of unit variance."""
        spread = self._buffers.get("latent_spread")  # which older files have not
        return self.columns.unit if spread is None else 1.0 / spread

    def whiten(self, spread: Tensor | None) -> None:
        """Give latents divided by their spread (k,); without one, in the data's units.

        It is no part of the networks: steps of inference see latents as they were.
        """
        self.register_buffer("latent_spread", spread)

    @property
    def loss_scale(self) -> Tensor:
        """What takes errors to the data's units."""
        return self.columns.unit**self.loss_function.scale_power

    def standardize(self, X: Tensor) -> Tensor:
        return self.columns.standardize(X, self.dtype)  # (n, d)

    def transform(self, X: Tensor) -> Tensor:
        return self.encode(self.standardize(X)) * self.latent_scale  # (n, k)

    def inverse_transform(self, Z: Tensor) -> Tensor:
        output = self.decode((Z / self.latent_scale).to(self.dtype))  # (n, d)
        return self.to_targets(output)

    def to_targets(self, output: Tensor) -> Tensor:
        """The decoder's output in the data's units."""
        return self.columns.restore(self.loss_function.link(output))

    def score_samples(self, X: Tensor) -> Tensor:
        """Minus the loss of each row, in the data's units: higher is more normal."""
        return -self.loss(self.standardize(X)) * self.loss_scale  # (n,)

    def forward(self, X: Tensor) -> Tensor:
        return self.inverse_transform(self.transform(X))  # (n, d) -> (n, d)

    # Latents one can read ------------------------------------------------------------

    @torch.no_grad()
    def rotate(self, rotation: Tensor, shift: Tensor) -> None:
        """Change latents z to (z - shift) @ rotation, for an orthogonal rotation.

        The map is folded into the layers around the latents: reconstructions and losses
        are what they were, and nothing is computed in addition. Where cuts have their
        own decoders, it has to leave the first latents among themselves.
        """
        map_outputs(self.encoder, rotation.T, shift)
        map_inputs(self.decoder, rotation, shift)
        for k, decoder in self.cut_decoders.items():
            map_inputs(decoder, rotation[:k, :k], shift[:k])

    @torch.no_grad()
    def leave_span(self, span: Span, columns: Columns, loss: SquaredError) -> None:
        """Let the networks take and give columns where they had coordinates of rows.

        The axes are folded into the layers at both ends.
        """
        if isinstance(self.encoder, Anchored):
            self.encoder.forget_spread(span.n_columns - span.n_coordinates)
        for layer in _outer_layers(self.encoder, 0):
            layer.weight = nn.Parameter(span.to_inputs(layer.weight))
            layer.in_features = layer.weight.shape[1]
        if columns.n_seen is None:
            for layer in self._output_layers():
                layer.weight = nn.Parameter(span.to_outputs(layer.weight))
                layer.bias = nn.Parameter(span.to_outputs(layer.bias))
                layer.out_features = len(layer.bias)
        if self.filling is not None:
            self.filling = self.filling.out_of(span)
        self.columns = copy.deepcopy(columns).to(self.center.device)
        self.loss_function = loss
        self._measure()

    def _output_layers(self) -> list[nn.Linear]:
        return [layer for one in self._decoders for layer in _outer_layers(one, -1)]

    @torch.no_grad()
    def put_columns_back(self, order: Tensor) -> None:
        """Let the networks take X where they took X[:, order]."""
        if torch.equal(order, torch.arange(len(order))):
            return
        back = torch.argsort(order).to(self.center.device)
        for layer in _outer_layers(self.encoder, 0):
            layer.weight.copy_(layer.weight[:, back])
        for layer in self._output_layers():
            layer.weight.copy_(layer.weight[back])
            layer.bias.copy_(layer.bias[back])
        if isinstance(self.encoder, Anchored):
            self.encoder.input_spread.copy_(self.encoder.input_spread[back])
        if self.filling is not None:
            self.filling.put_columns_back(back[: len(self.filling.mean)])
        if self.corruption is not None:
            for per_column in self.corruption.buffers():
                per_column.copy_(per_column[back])


class UnitsEncoder(nn.Module):
    """The encoder alone: rows in the data's units to latents in theirs."""

    def __init__(self, module: Autoencoder):
        super().__init__()
        self.module = module

    def forward(self, X: Tensor) -> Tensor:
        return self.module.transform(X)


class UnitsDecoder(nn.Module):
    """The decoder alone: latents to rows in the data's units."""

    def __init__(self, module: Autoencoder):
        super().__init__()
        self.module = module

    def forward(self, Z: Tensor) -> Tensor:
        return self.module.inverse_transform(Z)


def draws_globally(module: Autoencoder) -> bool:
    """Whether code of the user's is part of it, which may draw as torch does."""
    corruption = module.corruption
    has_own = corruption is None or isinstance(corruption, Corruption)
    return not (module.is_own and has_own)


def set_mode(module: Autoencoder, training: bool) -> None:
    """Let losses be those of training, or of evaluation, for a while.

    Of the package's own parts only the module itself asks for its mode, and a walk
    through all of them takes as long as a pass over a few rows.
    """
    if draws_globally(module):
        module.train(training)
    else:
        module.training = training


class EncoderDecoder(Autoencoder):
    """Encoder of rows x, decoder of their targets y: hetero-associative networks.

    Where it learns, and is judged, its rows are pairs [x | y] of d + m columns; the
    first d of them are all that the encoder sees, and all that there need be where it
    is used. Columns of x have scales of their own, those of y share one.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        loss: SquaredError,
        *,
        center: Tensor,
        scale: Tensor,
        n_inputs: int,
    ):
        super().__init__(
            encoder, decoder, loss, center=center, scale=scale, n_seen=n_inputs
        )
        self._n_inputs = n_inputs

    @property
    def n_inputs(self) -> int:
        return self._n_inputs

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.columns.seen(x))  # (n, d) or (n, d + m) -> (n, k)

    def respond(self, x: Tensor) -> Tensor:
        """What the decoder gives for each row (n, m), before the loss's link."""
        if not isinstance(nonlinear_part(self.decoder), SkipDecoder):
            return self.decode(self.encode(self.filled(self.columns.seen(x))))
        maps: list[Tensor] = []
        z = self.encoder(self.filled(self.columns.seen(x)), maps)  # (n, k)
        return self.decoder(z, maps)

    def answer(self, x: Tensor) -> Tensor:
        return self.loss_function.link(self.respond(x))

    def reconstruction_error(self, x: Tensor) -> Tensor:
        """Loss between each row's targets and what is predicted: (n, d + m) -> (n,)."""
        return self.error(self.respond(x), self.columns.wanted(x))

    def forward(self, X: Tensor) -> Tensor:
        return self.to_targets(self.respond(self.standardize(X)))  # (n, d) -> (n, m)


class DecoderAlone(EncoderDecoder):
    """A decoder that learns rows x from latents z which are known: rows [z | x].

    It sees features of the latents, in which there is nothing to learn.
    """

    def __init__(
        self,
        features: nn.Module,
        decoder: nn.Module,
        loss: SquaredError,
        n_latents: int,
        d: int,
    ):
        super().__init__(
            features,
            decoder,
            loss,
            center=torch.zeros(n_latents + d),
            scale=torch.ones(n_latents + d),
            n_inputs=n_latents,
        )

    @property
    def is_own(self) -> bool:
        return isinstance(nonlinear_part(self.decoder), OwnNetwork)

    @property
    def is_fast(self) -> bool:
        return isinstance(nonlinear_part(self.decoder), MLP)


def nonlinear_part(network: nn.Module) -> nn.Module:
    """The network without the linear path beside it."""
    return network.network if isinstance(network, Anchored) else network


def _linear(network: nn.Module, position: int) -> nn.Linear:
    return cast(nn.Linear, cast(nn.Sequential, network)[position])


def _outer_layers(network: nn.Module, position: int) -> list[nn.Linear]:
    """The linear layers at the network's input (position 0) or output (-1)."""
    if isinstance(network, Anchored):
        return [network.linear, _linear(network.network, position)]
    return [_linear(network, position)]


def map_outputs(network: nn.Module, matrix: Tensor, shift: Tensor) -> None:
    """Change the network's output y to matrix @ (y - shift)."""
    layers = _outer_layers(network, -1)
    layers[0].bias.sub_(shift)
    for layer in layers:
        layer.weight.copy_(matrix @ layer.weight)
        layer.bias.copy_(matrix @ layer.bias)


def map_inputs(network: nn.Module, rotation: Tensor, shift: Tensor) -> None:
    """Let the network take (z - shift) @ rotation where it took z."""
    if isinstance(network, Anchored):
        network.forget_spread()  # it belongs to the old axes
    for layer in _outer_layers(network, 0):
        layer.bias.add_(layer.weight @ shift)
        layer.weight.copy_(layer.weight @ rotation)


def beside(rows: Tensor, conditions: Tensor) -> Tensor:
    """Rows (..., n, .) with the conditions (n, m), if there are any, behind them."""
    if conditions.shape[-1] == 0:
        return rows
    conditions = conditions.to(rows.dtype).expand(*rows.shape[:-1], -1)
    return torch.cat([rows, conditions], dim=-1)


@torch.no_grad()
def over_blocks(
    module: Autoencoder,
    function: Callable[..., Tensor],
    *rows: Tensor,
    n_block: int | None = None,
) -> Tensor:
    """A function of rows, which go through the module, in bounded memory."""
    n_block = n_block or block_rows(module.row_size)
    blocks = zip(*(part.split(n_block) for part in rows), strict=True)
    return torch.cat([function(*block) for block in blocks])
