"""Which networks are asked for, and how they are built for the rows of a fit."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from .._tables.span import Span
from .activations import ACTIVATIONS
from .build import Network, anchor, check_own_network, make_own_network, start_at
from .images import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    ImageShape,
    SkipDecoder,
    SkipEncoder,
    check_image_shape,
)
from .linear import Layer
from .losses import SquaredError
from .modules import MLP, Anchored, OwnNetwork
from .sizes import (
    channels,
    channels_with_skips,
    hidden_layer_sizes,
    narrow_outputs,
)
from .starts import LinearPaths


@dataclass(frozen=True)
class NetworkSpec:
    """The parameters that decide what the networks are.

    Networks that go on training must have been made for an equal one.
    """

    n_components: int
    hidden_layer_sizes: str | tuple[int, ...] = "auto"
    activation: str = "silu"
    loss: str = "squared_error"
    init: str = "auto"
    encoder: Network | None = None
    decoder: Network | None = None
    image_shape: ImageShape | None = None
    target_shape: str | ImageShape | None = None
    skip_connections: bool | str = False
    corruption: Any = None
    noise: str = "shared"
    column_maps: str | None = None
    conditional: bool = False
    condition_columns: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, params: dict[str, Any]) -> "NetworkSpec":
        """From an estimator's parameters, of which others are left out."""
        names = {field.name for field in fields(cls)}
        known = {name: value for name, value in params.items() if name in names}
        sizes = known.get("hidden_layer_sizes", "auto")
        if not isinstance(sizes, str):
            known["hidden_layer_sizes"] = tuple(int(size) for size in sizes)
        if known.get("condition_columns") is not None:
            known["condition_columns"] = tuple(known["condition_columns"])
        for name in ("image_shape", "target_shape"):
            shape = known.get(name)
            if shape is not None and not isinstance(shape, str):
                known[name] = check_image_shape(shape, name)
        return cls(**known)

    @property
    def has_own(self) -> bool:
        """Whether a network is the user's own."""
        return self.encoder is not None or self.decoder is not None

    @property
    def starts_linear(self) -> bool:
        """Whether the networks start at a linear optimum."""
        can_be_linear = not self.has_own and self.loss != "log_loss"
        return can_be_linear if self.init == "auto" else self.init != "random"

    def check_equal(self, now: "NetworkSpec") -> None:
        """Raise where networks fitted for this one cannot go on as another."""
        for field in fields(self):
            old, new = getattr(self, field.name), getattr(now, field.name)
            if new is not old and new != old:
                raise ValueError(
                    f"The networks were fitted with {field.name}={old!r} and cannot go "
                    f"on with {field.name}={new!r}. Fit with warm_start=False, or "
                    "clone the estimator, to start anew."
                )

    def images_of(self, n_columns: int) -> ImageShape | None:
        """Height, width and channels of the images in rows of X of so many columns."""
        return _fitting(self.image_shape, n_columns, "image_shape", "X", "features")

    def target_images_of(self, n_columns: int, n_targets: int) -> ImageShape | None:
        """The same of the targets, which "auto" takes for images like those of X."""
        if self.target_shape != "auto":
            shape: Any = self.target_shape
            return _fitting(shape, n_targets, "target_shape", "y", "columns")
        shape = self.images_of(n_columns)
        if shape is None:
            return None
        height, width, _ = shape
        n_channels, rest = divmod(n_targets, height * width)
        return None if rest else (height, width, n_channels)


def _fitting(
    shape: ImageShape | None, n_columns: int, name: str, of: str, columns: str
) -> ImageShape | None:
    if shape is not None and math.prod(shape) != n_columns:
        given = shape if shape[2] != 1 else shape[:2]
        raise ValueError(
            f"{name}={given!r} has {math.prod(shape)} values, but {of} has "
            f"{n_columns} {columns}."
        )
    return shape


def check_sizes(sizes: Any) -> None:
    """Raise where hidden_layer_sizes are not "auto" or widths."""
    if isinstance(sizes, str):
        return
    if any(not isinstance(size, Integral) or size < 1 for size in sizes):
        raise ValueError(
            "hidden_layer_sizes must be 'auto' or a sequence of integers of at "
            f"least 1; got {sizes!r}."
        )


@dataclass(frozen=True)
class Architecture:
    """Encoder and decoder for rows of a certain width.

    Parameters
    ----------
    spec : NetworkSpec
        What was asked for.

    n_inputs, n_outputs : int
        Numbers that the encoder sees of a row, and that the decoder gives.

    image_shape, target_shape : ImageShape or None
        Shapes of the images in what is seen, and in what is given.

    outputs_per_latent : int
        Numbers that the encoder gives for each latent.

    n_conditions : int
        Numbers that the decoder sees behind the latents.

    n_coordinates : int
        Inputs, the first ones, that are coordinates in a span and not columns.

    is_of_pairs : bool
        Whether what is given is something else than what is seen.

    keeps_order : bool
        Whether columns are to stay in their order, for what knows them by it.

    may_be_slim : bool
        Whether layers of our choice may be deep and narrow, not shallow and wide.

    encoded_as, decoded_as : str
        What the user's own networks are to give, in words.
    """

    spec: NetworkSpec
    n_inputs: int
    n_outputs: int
    image_shape: ImageShape | None = None
    target_shape: ImageShape | None = None
    outputs_per_latent: int = 1
    n_conditions: int = 0
    n_coordinates: int = 0
    is_of_pairs: bool = False
    keeps_order: bool = False
    may_be_slim: bool = False
    encoded_as: str = "(n_samples, n_components)"
    decoded_as: str = "(n_samples, n_features)"

    @property
    def n_own_inputs(self) -> int:
        """Numbers that the encoder sees of a row itself, without its conditions."""
        return self.n_inputs - self.n_conditions

    @property
    def has_skips(self) -> bool:
        """Whether the decoder sees the maps of the encoder's stages."""
        spec, seen, given = self.spec, self.image_shape, self.target_shape
        is_possible = (
            seen is not None
            and given is not None
            and seen[:2] == given[:2]
            and not spec.has_own
            and spec.hidden_layer_sizes != ()
        )
        if spec.skip_connections is True and not is_possible:
            raise ValueError(
                "skip_connections=True needs convolutional networks of the package's "
                "own, for images of X and y of the same height and width; got "
                f"image_shape={spec.image_shape!r}, "
                f"target_shape={spec.target_shape!r}, "
                f"hidden_layer_sizes={spec.hidden_layer_sizes!r}, "
                f"encoder={spec.encoder!r} and decoder={spec.decoder!r}."
            )
        return is_possible and bool(spec.skip_connections)

    @property
    def is_dense(self) -> bool:
        """Whether the decoder is an MLP of the package's."""
        is_mlp = self.target_shape is None or not self._sizes(self.target_shape)
        return is_mlp and self.spec.decoder is None

    @property
    def n_products(self) -> int:
        """Multiplications of a pass through a dense decoder, of which few are wide."""
        spec = self.spec
        n_latents = spec.n_components + self.n_conditions
        sizes = self._sizes(self.target_shape)
        widths = [n_latents, *sizes[::-1], self.n_outputs]
        if spec.loss == "squared_error" and spec.noise == "shared":
            n_directions = widths[-2] + (n_latents if spec.starts_linear else 0)
            widths[-1] = narrow_outputs(self.n_outputs, n_directions)
        return sum(n * m for n, m in itertools.pairwise(widths))

    @property
    def widest_layer(self) -> int:
        """The widest of the layers that were asked for; 0 where none were."""
        sizes = self.spec.hidden_layer_sizes
        return 0 if isinstance(sizes, str) else max(sizes, default=0)

    @property
    def is_slim(self) -> bool:
        """Whether hidden layers are of our choice, and others than of short tables."""
        k, is_ours = (
            self.spec.n_components,
            isinstance(self.spec.hidden_layer_sizes, str),
        )
        differ = hidden_layer_sizes(k, True) != hidden_layer_sizes(k)
        return self.may_be_slim and is_ours and differ

    @property
    def sorts_columns(self) -> bool:
        """Whether training may see the columns in an order of its own.

        The user's own networks and functions may know the columns by their places,
        images do, and what stands beside the rows stays behind them.
        """
        has_own = self.spec.has_own or callable(self.spec.corruption)
        has_own = has_own or self.keeps_order
        is_alone = not self.is_of_pairs and not self.n_conditions
        return is_alone and not has_own and self.spec.image_shape is None

    @property
    def may_turn_columns(self) -> bool:
        """Whether columns are what their span makes of them: none is one by itself.

        A squared error and one scale do not tell rotated columns from others. Noise or
        corruption of each column does, and so do networks that know their places.
        """
        spec = self.spec
        # Noise of rows is learned when the networks are known.
        is_of_columns = spec.noise == "per_column"
        reconstructs_squares = spec.loss == "squared_error" and not is_of_columns
        is_of_squares = self.is_of_pairs or reconstructs_squares
        has_own = spec.has_own or spec.corruption is not None or self.keeps_order
        return is_of_squares and not has_own and self.image_shape is None

    def in_span(self, span: Span) -> "Architecture":
        """The same for coordinates of rows."""
        n_fewer = span.n_columns - span.n_coordinates
        return replace(
            self,
            n_inputs=self.n_inputs - n_fewer,
            n_outputs=self.n_outputs - (0 if self.is_of_pairs else n_fewer),
            n_coordinates=span.n_coordinates,
        )

    def build(
        self,
        paths: LinearPaths | None,
        seen: Tensor,
        mean_output: Tensor,
        loss: SquaredError,
    ) -> tuple[nn.Module, nn.Module]:
        """Encoder and decoder for rows such as those seen (n, n_inputs).

        Without linear paths, the package's own decoder starts at the mean output.
        """
        spec = self.spec
        n_encoded = spec.n_components * self.outputs_per_latent
        n_decoded = spec.n_components + self.n_conditions
        own_encoder = self._own_encoder(n_encoded)
        own_decoder = self._own_decoder(n_decoded)
        if paths is not None:
            variances = self._input_variances(seen)
            return (
                anchor(own_encoder, paths.encoder, variances),
                anchor(own_decoder, paths.decoder, paths.latent_variances),
            )
        encoder: nn.Module = own_encoder
        decoder: nn.Module = own_decoder
        if spec.encoder is not None:
            encoder = make_own_network(
                spec.encoder, "encoder", self.n_inputs, n_encoded
            )
            check_own_network(
                encoder, "encoder", seen[:2].cpu(), n_encoded, self.encoded_as
            )
        if spec.decoder is not None:
            decoder = make_own_network(
                spec.decoder, "decoder", n_decoded, self.n_outputs
            )
            z = torch.zeros(min(2, len(seen)), n_decoded, dtype=torch.float32)
            check_own_network(decoder, "decoder", z, self.n_outputs, self.decoded_as)
        else:
            start_at(own_decoder, loss.inverse_link(mean_output.cpu()))
        return encoder, decoder

    def anchored_decoder(self, layer: Layer, latent_variances: Tensor) -> Anchored:
        """A decoder of the package's own beside a linear path from latents to rows.

        It takes as many latents as there are variances.
        """
        own = self._own_decoder(len(latent_variances))
        return anchor(own, layer, latent_variances)

    def _input_variances(self, seen: Tensor) -> Tensor:
        variances = seen.var(dim=0, correction=0).cpu()  # (d,)
        if self.n_coordinates:
            # Their axes are arbitrary.
            own, behind = variances.tensor_split([self.n_coordinates])
            return torch.cat([own.mean().expand_as(own), behind])
        if self.image_shape is None:
            return variances
        # Neighbours share their weights, so they must share their spread.
        n_channels = self.image_shape[2]
        of_channels = variances.view(-1, n_channels).mean(dim=0)  # (c,)
        return of_channels.repeat(self.n_inputs // n_channels)

    def _own_encoder(self, n_encoded: int) -> OwnNetwork:
        sizes = self._sizes(self.image_shape)
        if self.image_shape is None or not sizes:
            return MLP.of_sizes(self.n_inputs, sizes, n_encoded, self.spec.activation)
        network = SkipEncoder if self.has_skips else ConvolutionalEncoder
        return network(self.image_shape, sizes, n_encoded, self._activation)

    def _own_decoder(self, n_latents: int) -> OwnNetwork:
        sizes = self._sizes(self.target_shape)
        if self.target_shape is None or not sizes:
            activation = self.spec.activation
            return MLP.of_sizes(n_latents, sizes[::-1], self.n_outputs, activation)
        network = SkipDecoder if self.has_skips else ConvolutionalDecoder
        return network(self.target_shape, sizes, n_latents, self._activation)

    @property
    def _activation(self) -> Callable[[], nn.Module]:
        return ACTIVATIONS[self.spec.activation]

    def _sizes(self, shape: ImageShape | None) -> tuple[int, ...]:
        """Hidden layers, or channels of stages, as the encoder has them."""
        sizes = self.spec.hidden_layer_sizes
        if not isinstance(sizes, str):
            return sizes
        if shape is None:
            return hidden_layer_sizes(self.spec.n_components, self.may_be_slim)
        of_stages = channels_with_skips if self.has_skips else channels
        return of_stages(shape[0], shape[1])
