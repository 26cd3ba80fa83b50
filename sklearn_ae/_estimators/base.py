"""The one way from a table to a fitted autoencoder and back.

validate -> standardise -> module -> loss per row -> train -> best weights -> latents.
An estimator adds its parameters, its module and its docstring.
"""

import copy
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils import (
    assert_all_finite,
    check_array,
    check_scalar,
    gen_batches,
)
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from .._inference.latents import LatentDensity, principal_axes
from .._networks.build import (
    EXACT_PCA_SIZE,
    Layer,
    LinearStart,
    anchor,
    check_own_network,
    column_order,
    make_own_network,
    start_at,
)
from .._networks.images import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    ImageShape,
    check_image_shape,
)
from .._networks.losses import LOSSES, SquaredError
from .._networks.modules import (
    ACTIVATIONS,
    MLP,
    Anchored,
    Autoencoder,
    OwnNetwork,
    over_blocks,
)
from .._tables.rows import (
    StreamedRows,
    Table,
    block_rows,
    is_lazy,
    is_long,
    sample_size,
)
from .._training import recipe
from .._training.engine import (
    DivergenceError,
    TrainingOptions,
    TrainingResult,
    check_callbacks,
    enable_gradients,
    enough_threads,
    isolated_generators,
    load_moments,
    make_net,
    resolve_device,
    resolve_precision,
    steady_convolutions,
    train,
    train_one_pass,
)
from .._training.selection import train_on_all_rows, train_on_small_table
from .._utils.random import SEED_LIMIT, make_random_state
from .._utils.warnings import warn
from .fitted_state import FittedState


@dataclass(frozen=True)
class _Rows:
    """The rows of a fit, in the networks' units and in an order of their columns."""

    x: Tensor  # (n, d): all of them, or of a long table a sample
    train: Tensor | StreamedRows
    valid: Tensor | None  # (n_valid, d)
    order: Tensor  # (d,)

    @property
    def is_streamed(self) -> bool:
        return isinstance(self.train, StreamedRows)


class BaseEncoderDecoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, FittedState
):
    """Common part of all estimators: an encoder, latents, a decoder and their fit."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "loss": [StrOptions(set(LOSSES))],
        "init": [StrOptions({"auto", "pca", "random"})],
        "encoder": [None, nn.Module, callable],
        "decoder": [None, nn.Module, callable],
        "image_shape": [None, "array-like"],
        "learning_rate_init": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "max_iter": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "callbacks": [None, list, tuple],
    }

    module_: Autoencoder
    n_components_: int
    n_iter_: int
    best_iter_: int
    history_: Any
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None
    _moments: tuple[dict[str, Any], Tensor] | None
    _structure: dict[str, Any]

    # Fitting --------------------------------------------------------------------------

    def _fit_safely(self, X: np.ndarray | Table, goes_on: bool) -> None:
        """Fit, and once more at a lower rate where one of our own choice diverged."""
        for slowdown in (1.0, 10.0, 100.0):
            try:
                self._fit(X, goes_on, slowdown)
                break
            except DivergenceError:
                # A rate of our own choice is ours to lower: heavy tails need it.
                if self.learning_rate_init != "auto" or slowdown == 100.0:
                    raise

    def _fit(self, X: np.ndarray | Table, goes_on: bool, slowdown: float) -> None:
        random_state = make_random_state(self.random_state)
        seed = random_state.randint(SEED_LIMIT)
        device = resolve_device(self.device)
        with isolated_generators(seed, device), enable_gradients():
            n_valid = 0
            if self.early_stopping and self.max_iter != 0 and len(X) > 1:
                n_valid = recipe.n_validation_rows(len(X), self.validation_fraction)
            module, rows = self._start(X, goes_on, random_state, device, n_valid)
            n_done = self.n_iter_ if goes_on else 0
            build = partial(
                self._build_module,
                center=module.center,
                scale=module.scale,
                random_state=random_state,
            )
            options_for_all = self._training_options(
                len(X), module, n_done, slowdown=slowdown
            )
            ends_on_all = self._ends_on_all_rows(len(X), goes_on, rows)
            if ends_on_all and len(X) < recipe.SMALL_TABLE:
                module, result = train_on_small_table(
                    build, rows.x, options_for_all, seed, recipe.N_FOLDS
                )
            else:
                options = self._training_options(
                    len(rows.train), module, n_done, slowdown=slowdown
                )
                net = make_net(module, options)
                if goes_on:
                    net.history.extend(self.history_)
                result = train(net, rows.train, rows.valid, options, seed)
                if ends_on_all and result.best_epoch > 0:
                    module = train_on_all_rows(
                        build, rows.x, options_for_all, seed, result.best_epoch
                    )
            # Latents of the last fit, and those of PCA, have their axes already.
            as_before = result.best_epoch == 0 and (goes_on or _is_anchored(module))
            if module.is_own and not as_before:
                with enough_threads(module, block_rows(module.row_size)):
                    self._align_latents(module, rows.x)
        if goes_on:
            result.loss_curve[:0] = self.loss_curve_
            if result.validation_loss_curve is not None:
                result.validation_loss_curve[:0] = self.validation_loss_curve_ or []
        self.history_ = result.history
        self.n_iter_ = n_done + result.n_epochs
        if result.best_epoch > 0 or not goes_on:
            self.best_iter_ = n_done + result.best_epoch
        self.loss_curve_ = result.loss_curve
        self.validation_loss_curve_ = result.validation_loss_curve
        self._moments = None
        with steady_convolutions(device):
            self._set_fitted(module, rows.x, rows.order, random_state)
        self._warn_if_cut_short(result, self._n_epochs(len(X)), goes_on)

    def _ends_on_all_rows(self, n_samples: int, goes_on: bool, rows: _Rows) -> bool:
        """Whether the rows are too few to learn from a part of them only.

        Callbacks follow one training, and warm starts go on from one.
        """
        is_short = recipe.N_FOLDS <= n_samples < recipe.LONG_TABLE
        wants_it = self.early_stopping and self.max_iter != 0 and not self.callbacks
        return is_short and wants_it and not goes_on and not rows.is_streamed

    def _warn_if_cut_short(
        self, result: TrainingResult, n_epochs_usual: int, goes_on: bool
    ) -> None:
        if goes_on and result.n_epochs == 0:
            message = (
                f"warm_start: the networks have had max_iter={self.max_iter} epochs "
                "already and were left as they are. Raise max_iter to train on."
            )
        elif 0 < result.n_epochs == self.max_iter < n_epochs_usual:
            message = (
                f"Training ended at max_iter={self.max_iter} epochs; a table of this "
                f"length usually takes {n_epochs_usual}. Raise max_iter, or leave it "
                'at "auto", for a lower error.'
            )
        else:
            return
        warn(message, ConvergenceWarning)

    def _partial_fit(self, X: np.ndarray | Table, goes_on: bool) -> None:
        random_state = make_random_state(self.random_state)
        n_passes = self.n_iter_ if goes_on else 0
        # Another seed on every pass, or chunk after chunk would meet the same noise.
        seed = (random_state.randint(SEED_LIMIT) + n_passes) % SEED_LIMIT
        device = resolve_device(self.device)
        moments, order = (goes_on and self._moments) or (None, None)
        with isolated_generators(seed, device), enable_gradients():
            module, rows = self._start(X, goes_on, random_state, device, order=order)
            options = self._training_options(
                len(X), module, n_steps_in_all=recipe.N_STEPS_STREAMED
            )
            net = make_net(module, options)
            if moments is not None:
                load_moments(net, moments)
            if goes_on:
                net.history.extend(self.history_)
            loss = train_one_pass(net, rows.train, options, seed)
        self.history_ = net.history
        self.n_iter_ = self.best_iter_ = n_passes + 1
        self.loss_curve_ = [*(self.loss_curve_ if goes_on else []), loss]
        self.validation_loss_curve_ = None
        self._moments = net.optimizer_.state_dict(), rows.order
        with steady_convolutions(device):
            self._set_fitted(module, rows.x, rows.order, random_state)

    def _start(
        self,
        X: np.ndarray | Table,
        goes_on: bool,
        random_state: np.random.RandomState,
        device: torch.device,
        n_valid: int = 0,
        order: Tensor | None = None,
    ) -> tuple[Autoencoder, _Rows]:
        """The module before its first step, and its rows.

        A module that goes on may be asked for columns in the order of its moments.
        """
        load = partial(
            self._load,
            X,
            n_valid=n_valid,
            seed=random_state.randint(SEED_LIMIT),
            device=device,
        )
        in_place = torch.arange(X.shape[1])
        if goes_on:
            self._check_structure()
            module = copy.deepcopy(self.module_).cpu()
            self._update_module(module)
            order = in_place if order is None else order
            rows = load(module.center, module.scale, order=order)
            module.put_columns_back(torch.argsort(order))
            return module.to(device), rows
        center, scale = self._center_and_scale(X)
        rows = load(center, scale)
        start = None
        is_exact = X.shape[1] <= EXACT_PCA_SIZE and not self._n_conditions
        if rows.is_streamed and is_exact and self._starts_linear():
            standardize = self._standardizer(center, scale, rows.order)
            blocks = gen_batches(len(X), block_rows(X.shape[1]))
            start = LinearStart.from_blocks(
                (standardize(X[block]) for block in blocks), self.n_components
            )
        module = self._build_module(rows.x, center, scale, random_state, start)
        if self.callbacks:
            # They may look at rows and networks: everything in the columns' own order.
            module.put_columns_back(rows.order)
            rows = load(center, scale, order=in_place)
        return module.to(device), rows

    def _load(
        self,
        X: np.ndarray | Table,
        center: Tensor,
        scale: Tensor,
        n_valid: int,
        seed: int,
        device: torch.device,
        order: Tensor | None = None,
    ) -> _Rows:
        """Rows in the networks' units: in memory, or a sample and the way to the rest.

        Rows to be held out come first. Without an order given, columns come in one
        that follows from their content, if the networks may see them so.
        """
        random_state = np.random.RandomState(seed)
        n_samples, n_features = X.shape
        table = X if isinstance(X, Table) and not X.fits(device) else None
        if table is not None:
            n_sampled = sample_size(n_samples, n_features)
            numbers = sample_without_replacement(
                n_samples, n_sampled, random_state=random_state
            )
            n_valid = min(n_valid, n_sampled // 2)
            X = table.take(numbers)
            n_samples = n_sampled
        elif n_valid:
            numbers = random_state.permutation(n_samples)
        else:
            numbers = np.arange(n_samples)
        if order is None:
            order = torch.arange(n_features)
            if self._sorts_columns():
                order = column_order(self._standardizer(center, scale)(X[:1000]))
        standardize = self._standardizer(center, scale, order)
        x = torch.empty(n_samples, n_features, dtype=torch.float32, device=device)
        for part in gen_batches(n_samples, block_rows(n_features)):
            block = X[part] if table is not None else X[numbers[part]]
            x[part] = standardize(block).to(device)
        valid = x[:n_valid] if n_valid else None
        if table is None:
            return _Rows(x, x[n_valid:], valid, order)
        train = StreamedRows(table, standardize, x, held_out=numbers[:n_valid])
        return _Rows(x, train, valid, order)

    def _standardizer(
        self, center: Tensor, scale: Tensor, order: Tensor | None = None
    ) -> Callable[[np.ndarray], Tensor]:
        """From rows of X to the networks' units, whatever becomes of the module."""
        # A module without networks standardises already.
        module = self._make_module(nn.Identity(), nn.Identity(), center, scale)
        if order is None:
            return lambda rows: module.standardize(_as_tensor(rows))
        return lambda rows: module.standardize(_as_tensor(rows))[:, order]

    def _build_module(
        self,
        x: Tensor,
        center: Tensor,
        scale: Tensor,
        random_state: np.random.RandomState,
        linear_start: LinearStart | None = None,
    ) -> Autoencoder:
        """The module before its first step, for standardised rows (n, d)."""
        if self._starts_linear() and linear_start is None:
            linear_start = self._find_linear_start(x, random_state)
        encoder, decoder = self._make_networks(x, linear_start)
        module = self._make_module(
            encoder, decoder, center, scale, x=x, linear_start=linear_start
        )
        return module.to(x.device)

    def _center_and_scale(self, X: np.ndarray | Table) -> tuple[Tensor, Tensor]:
        """Column means (d,) and the one global scale, the mean column's spread."""
        n_features = X.shape[1] - self._n_conditions
        if self._loss().needs_unit_interval:
            means, scale = np.zeros(n_features), 1.0
        else:
            means, variances = (part[:n_features] for part in column_moments(X))
            scale = global_scale(variances, "X")
        # The dtype of X keeps its digits; the scale is a number, not a column.
        return (
            torch.from_numpy(means.astype(X.dtype)),
            torch.tensor(scale, dtype=torch.float64),
        )

    def _make_networks(
        self, x: Tensor, start: LinearStart | None
    ) -> tuple[nn.Module, nn.Module]:
        """Encoder and decoder for standardised rows (n, d), or (n, d + m)."""
        seen, wanted = self._inputs_and_targets(x)
        n_inputs, n_outputs = seen.shape[1], wanted.shape[1]
        n_encoded = self.n_components * self._outputs_per_latent
        n_decoded = self.n_components + self._n_conditions
        image_shape = self._image_shape(n_inputs)
        own = (
            self._make_own_encoder(n_inputs, n_encoded, image_shape),
            self._make_own_decoder(n_inputs, n_outputs),
        )
        if start is not None:
            encoder_layer, decoder_layer, latent_variances = self._linear_start(start)
            column_variances = seen.var(dim=0, correction=0).cpu()  # (d,)
            if image_shape is not None:
                # Neighbours share their weights, so they must share their spread.
                n_channels = image_shape[2]
                of_channels = column_variances.view(-1, n_channels).mean(dim=0)  # (c,)
                column_variances = of_channels.repeat(n_inputs // n_channels)
            return (
                anchor(own[0], encoder_layer, column_variances),
                anchor(own[1], decoder_layer, latent_variances),
            )
        encoder: nn.Module = own[0]
        decoder: nn.Module = own[1]
        if self.encoder is not None:
            encoder = make_own_network(self.encoder, "encoder", n_inputs, n_encoded)
            check_own_network(
                encoder, "encoder", seen[:2].cpu(), n_encoded, self._encoded_as
            )
        if self.decoder is not None:
            decoder = make_own_network(self.decoder, "decoder", n_decoded, n_outputs)
            z = torch.zeros(min(2, len(x)), n_decoded, dtype=torch.float32)
            check_own_network(decoder, "decoder", z, n_outputs, self._decoded_as)
        else:
            start_at(own[1], self._loss().inverse_link(wanted.mean(dim=0).cpu()))
        return encoder, decoder

    def _make_own_encoder(
        self, n_inputs: int, n_encoded: int, image_shape: ImageShape | None
    ) -> OwnNetwork:
        hidden = self._hidden_layer_sizes(n_inputs, image_shape)
        if image_shape is None or not hidden:
            return MLP.of_sizes(n_inputs, hidden, n_encoded, self.activation)
        activation = ACTIVATIONS[self.activation]
        return ConvolutionalEncoder(image_shape, hidden, n_encoded, activation)

    def _make_own_decoder(self, n_inputs: int, n_outputs: int) -> OwnNetwork:
        n_latents = self.n_components + self._n_conditions
        image_shape = self._output_shape(n_inputs, n_outputs)
        hidden = self._hidden_layer_sizes(n_outputs, image_shape)
        if image_shape is None or not hidden:
            return MLP.of_sizes(n_latents, hidden[::-1], n_outputs, self.activation)
        activation = ACTIVATIONS[self.activation]
        return ConvolutionalDecoder(image_shape, hidden, n_latents, activation)

    def _training_options(
        self,
        n_samples: int,
        module: Autoencoder,
        n_epochs_done: int = 0,
        n_steps_in_all: int = 0,
        slowdown: float = 1.0,
    ) -> TrainingOptions:
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = self._auto_batch_size(n_samples)
        learning_rate = self.learning_rate_init
        if learning_rate == "auto":
            learning_rate = self._auto_learning_rate() / slowdown
        alpha = self.alpha
        if alpha == "auto":
            # Of chunks the table's length is not known, and it takes many pixels to
            # make one column of a convolution.
            is_short = not n_steps_in_all and self.image_shape is None
            n_features = module.n_inputs if is_short else 0
            alpha = recipe.alpha(self._starts_linear(), n_samples, n_features)
        # With warm_start, max_iter counts the epochs of all fits, as it does for
        # scikit-learn's ensembles: to go on, raise it.
        n_in_all = n_left = self._n_epochs(n_samples)
        if self.max_iter != "auto":
            # Weights that are cut short need not shrink faster.
            n_in_all = max(n_in_all, self.max_iter)
            n_left = max(0, self.max_iter - n_epochs_done)
        n_steps = n_in_all * math.ceil(n_samples / batch_size)
        return TrainingOptions(
            learning_rate=float(learning_rate),
            weight_decay=recipe.weight_decay(
                alpha, learning_rate, n_steps_in_all or n_steps
            ),
            batch_size=batch_size,
            n_epochs=n_left,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            starts_at_optimum=self._starts_linear() and n_epochs_done == 0,
            callbacks=self.callbacks or (),
            verbose=self.verbose,
            device=module.center.device,
            precision=resolve_precision(self.precision, module, module.center.device),
        )

    def _set_fitted(
        self,
        module: Autoencoder,
        x: Tensor,
        order: Tensor,
        random_state: np.random.RandomState,
    ) -> None:
        """Attributes that follow from the module and its training rows (n, d)."""
        module.eval()
        self.module_ = module
        self.n_components_ = self.n_components
        self._structure = self._current_structure()
        with enough_threads(module, block_rows(module.row_size)):
            errors = over_blocks(module, module.reconstruction_error, x)  # (n,)
        error = errors.double().mean() * module.loss_scale
        self._set_results(module, x, error.item(), random_state)
        module.put_columns_back(order)

    # What an estimator may replace ----------------------------------------------------

    def _set_results(
        self,
        module: Autoencoder,
        x: Tensor,
        error: float,
        random_state: np.random.RandomState,
    ) -> None:
        """Attributes of the estimator's own, for the error of its rows (n, d)."""
        raise NotImplementedError

    def _auto_batch_size(self, n_samples: int) -> int:
        return recipe.batch_size(n_samples)

    def _auto_learning_rate(self) -> float:
        sizes = self.hidden_layer_sizes
        widest = 0 if isinstance(sizes, str) else max(sizes, default=0)
        return recipe.learning_rate(self._starts_linear(), widest)

    def _n_epochs(self, n_samples: int) -> int:
        """What max_iter="auto" stands for."""
        return recipe.n_epochs(n_samples)

    # What `init` calls the start at the linear optimum.
    _linear_init = "pca"
    # How many numbers the encoder gives per latent, and what they are.
    _outputs_per_latent = 1
    _encoded_as = "(n_samples, n_components)"
    _decoded_as = "(n_samples, n_features)"

    def _inputs_and_targets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder sees of the rows (n, d), and what the decoder is to give."""
        return x, x[:, : x.shape[1] - self._n_conditions]

    def _output_shape(self, n_inputs: int, n_outputs: int) -> ImageShape | None:
        """Shape of the images that the decoder gives, where it gives images."""
        return self._image_shape(n_outputs)

    def _make_module(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        center: Tensor,
        scale: Tensor,
        x: Tensor | None = None,
        linear_start: LinearStart | None = None,
    ) -> Autoencoder:
        """The module around the two networks; x and linear_start may inform it."""
        return Autoencoder(encoder, decoder, self._loss(), center=center, scale=scale)

    # How many numbers come with each row for the networks to be conditioned on.
    _n_conditions = 0

    def _beside_conditions(
        self, X: np.ndarray | Table, y: Any, reset: bool = False
    ) -> np.ndarray | Table:
        """The rows with their conditions, if they have any, as columns behind them."""
        return X

    def _update_module(self, module: Autoencoder) -> None:
        """Let a module that goes on training follow parameters that have changed."""

    def _sorts_columns(self) -> bool:
        """Whether training may see the columns in an order of its own.

        The user's own networks may know the columns by their places, and images do.
        """
        has_own = self.encoder is not None or self.decoder is not None
        return not has_own and self.image_shape is None

    def _find_linear_start(self, x: Tensor, random_state: np.random.RandomState) -> Any:
        """The linear optimum for standardised rows (n, d)."""
        return LinearStart.from_rows(x, self.n_components, random_state)

    def _linear_start(self, start: Any) -> tuple[Layer, Layer, Tensor]:
        """The two linear paths, and the variances of the latents between them."""
        return start.pca_layers()

    def _align_latents(self, module: Autoencoder, x: Tensor) -> None:
        """Turn the latent axes into ones that can be compared between fits."""
        rotation, shift = principal_axes(over_blocks(module, module.encode, x), x)
        module.rotate(rotation.to(module.dtype), shift.to(module.dtype))

    # Using a fitted estimator ---------------------------------------------------------

    def transform(self, X):
        """Encode the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latents, of the dtype of X (float64 unless X is float32).
        """
        return self._on_rows(X, "transform")

    def _on_rows(self, X: Any, method: str, y: Any = None) -> np.ndarray:
        return self._compute(method, self._validate_new_rows(X, y))

    def _validate_new_rows(self, X: Any, y: Any = None) -> np.ndarray | Table:
        check_is_fitted(self)
        X = self._validate_rows(X, reset=False, loss=self.module_.loss_function)
        return self._beside_conditions(X, y)

    def _compute(
        self,
        method: str,
        X: np.ndarray | Table,
        *args: Any,
        n_block: int | None = None,
    ) -> np.ndarray:
        """Let a method of the module walk over X in blocks; keep X's dtype.

        It takes the arguments beside each block: tensors where the module is, others
        as they are.
        On a CPU the arithmetic has the precision of X too: with float64 in, the
        result does not depend on how rows are put together into blocks.
        """
        module = _in_precision_of(self.module_, X.dtype)
        device = module.center.device
        args = tuple(arg.to(device) if isinstance(arg, Tensor) else arg for arg in args)
        n_block = n_block or block_rows(module.row_size)
        result = np.empty(0, dtype=X.dtype)
        with (
            torch.inference_mode(),
            enough_threads(module, min(len(X), n_block)),
            steady_convolutions(device),
        ):
            for rows in gen_batches(len(X), n_block):
                block = _as_tensor(X[rows]).to(device)
                output = getattr(module, method)(block, *args).cpu().numpy()
                if len(output) == len(X):
                    return output.astype(X.dtype, copy=False)
                if len(result) == 0:
                    result = np.empty((len(X), *output.shape[1:]), dtype=X.dtype)
                result[rows] = output
        return result

    @property
    def _n_features_out(self) -> int:
        """Number of latents: ClassNamePrefixFeaturesOutMixin asks for it."""
        return self.n_components_

    # Checks ---------------------------------------------------------------------------

    def _validate_rows(
        self, X: Any, reset: bool, loss: SquaredError | None = None
    ) -> np.ndarray | Table:
        """X as an array, or as a table whose blocks are checked as they are read."""
        return self._check_rows(X, reset, (loss or self._loss()).needs_unit_interval)

    def _check_rows(
        self, X: Any, reset: bool, needs_unit_interval: bool
    ) -> np.ndarray | Table:
        def check(rows: np.ndarray) -> None:
            assert_all_finite(rows, input_name="X", estimator_name=type(self).__name__)
            if needs_unit_interval:
                check_unit_interval(rows)

        if is_lazy(X) or (isinstance(X, np.ndarray) and is_long(X)):
            table = Table(X, check)
            _check_columns(self, X, table[:1], reset)
            if is_long(X):
                return table
            X = table[:]
        else:
            X = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
            if needs_unit_interval:
                check_unit_interval(X)
        return X

    def _validate_params(self) -> None:
        super()._validate_params()
        own = [
            name for name in ("encoder", "decoder") if getattr(self, name) is not None
        ]
        if self.init == self._linear_init and own:
            raise ValueError(
                f'init="{self.init}" starts the package\'s own networks; with '
                f'{own[0]}= use init="auto" or init="random".'
            )
        if self.init == self._linear_init and self.loss == "log_loss":
            raise ValueError(
                f'init="{self.init}" goes with loss="squared_error" or '
                '"absolute_error"; with loss="log_loss" use init="auto" or '
                'init="random".'
            )
        if not isinstance(self.hidden_layer_sizes, str):
            sizes = list(self.hidden_layer_sizes)
            if any(not isinstance(size, Integral) or size < 1 for size in sizes):
                raise ValueError(
                    "hidden_layer_sizes must be 'auto' or a sequence of integers of at "
                    f"least 1; got {self.hidden_layer_sizes!r}."
                )
        if self.image_shape is not None:
            check_image_shape(self.image_shape)
        check_callbacks(self.callbacks or ())
        try:
            torch.device("cpu" if self.device == "auto" else self.device)
        except RuntimeError as error:
            raise ValueError(
                "device must be 'auto' or a name that torch.device takes, such as "
                f"'cpu', 'cuda' or 'cuda:1'; got {self.device!r}."
            ) from error

    def _loss(self):
        return LOSSES[self.loss]()

    def _starts_linear(self) -> bool:
        """Whether the networks start at the linear optimum."""
        has_own = self.encoder is not None or self.decoder is not None
        can_be_linear = not has_own and self.loss != "log_loss"
        return self.init == self._linear_init or (self.init == "auto" and can_be_linear)

    def _image_shape(self, n_features: int) -> ImageShape | None:
        """Height, width and channels of the images in rows of n_features columns."""
        if self.image_shape is None:
            return None
        shape = check_image_shape(self.image_shape)
        if math.prod(shape) != n_features:
            raise ValueError(
                f"image_shape={self.image_shape!r} has {math.prod(shape)} values, but "
                f"X has {n_features} features."
            )
        return shape

    def _hidden_layer_sizes(
        self, n_features: int, image_shape: ImageShape | None = None
    ) -> tuple[int, ...]:
        if isinstance(self.hidden_layer_sizes, str):
            if image_shape is not None:
                return recipe.channels(image_shape[0], image_shape[1])
            return recipe.hidden_layer_sizes(n_features, self.n_components)
        return tuple(int(size) for size in self.hidden_layer_sizes)

    # Parameters that decide what the networks are.
    _STRUCTURE: ClassVar[tuple[str, ...]] = (
        *("n_components", "hidden_layer_sizes", "activation"),
        *("loss", "init", "encoder", "decoder", "image_shape"),
    )

    def _current_structure(self) -> dict[str, Any]:
        structure = {name: getattr(self, name) for name in self._STRUCTURE}
        if not isinstance(self.hidden_layer_sizes, str):
            structure["hidden_layer_sizes"] = self._hidden_layer_sizes(0)
        if self.image_shape is not None:
            structure["image_shape"] = check_image_shape(self.image_shape)
        return structure

    def _check_structure(self) -> None:
        for name, value in self._current_structure().items():
            if value is not self._structure[name] and value != self._structure[name]:
                raise ValueError(
                    f"The networks were fitted with {name}={self._structure[name]!r} "
                    f"and cannot go on with {name}={value!r}. Fit with "
                    "warm_start=False, or clone the estimator, to start anew."
                )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class BaseAutoencoder(BaseEncoderDecoder):
    """Common part of the estimators that reconstruct the rows they are given."""

    reconstruction_err_: float
    _latent_density: LatentDensity

    def fit(self, X, y=None):
        """Learn the networks from the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, in any units.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._unchanged_on_failure():
            self._validate_params()
            goes_on = self.warm_start and hasattr(self, "module_")
            X = self._validate_rows(X, reset=not goes_on)
            X = self._beside_conditions(X, y, reset=not goes_on)
            self._fit_safely(X, goes_on)
        return self

    def partial_fit(self, X, y=None):
        """Go on learning with one pass over the rows of X.

        The first call lays out the networks and takes the centre, the scale and the
        linear start from the rows it is given, so these should be typical. Every
        call steps at ``learning_rate_init``, holds no rows out, and leaves the axes
        of the latent space as they are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, any number of them.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        Returns
        -------
        self : object
            The estimator after the pass.
        """
        with self._unchanged_on_failure():
            self._validate_params()
            goes_on = hasattr(self, "module_")
            X = self._validate_rows(X, reset=not goes_on)
            X = self._beside_conditions(X, y, reset=not goes_on)
            self._partial_fit(X, goes_on)
        return self

    def _set_results(
        self,
        module: Autoencoder,
        x: Tensor,
        error: float,
        random_state: np.random.RandomState,
    ) -> None:
        self.reconstruction_err_ = error
        self._set_latent_density(module, x, random_state)

    def _set_latent_density(
        self, module: Autoencoder, x: Tensor, random_state: np.random.RandomState
    ) -> None:
        """What `sample` draws latents from."""
        Z = over_blocks(module, module.encode, x).cpu().numpy().astype(np.float64)
        self._latent_density = self._density_of(Z, random_state)

    def _density_of(
        self,
        Z: np.ndarray,
        random_state: np.random.RandomState,
        n_samples: int | None = None,
        **options: Any,
    ) -> LatentDensity:
        """A density of the latents (n, k) of a fit, or of all passes up to this one."""
        density = LatentDensity(Z, n_samples)
        known: LatentDensity | None = self._of_earlier_rows("_latent_density")
        if known is not None:
            return known.pooled_with(density)
        if self._moments is None:
            density.fit_mixture(Z, random_state, **options)
        return density

    def _of_earlier_rows(self, name: str) -> Any:
        """What is kept of the rows before this pass; None in `fit`, which starts anew.

        The networks of a pass go on from those rows, so that its own rows add to them.
        """
        return None if self._moments is None else getattr(self, name, None)

    def _draw_latents(
        self, n_samples: int, random_state: np.random.RandomState
    ) -> np.ndarray:
        Z = self._latent_density.sample(n_samples, random_state)  # networks' units
        return Z * self.module_.latent_scale.item()

    def inverse_transform(self, Z):
        """Decode latents.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Latents, as `transform` gives them.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows in the units of the training rows; with ``loss="log_loss"``
            probabilities between 0 and 1.
        """
        return self._compute("inverse_transform", self._validate_latents(Z))

    def _validate_latents(self, Z: Any) -> np.ndarray:
        check_is_fitted(self)
        Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but {type(self).__name__} was fitted "
                f"with n_components={self.n_components_}: one column per latent is "
                "expected."
            )
        return Z

    def reconstruct(self, X):
        """Encode and decode the rows of X: what the latents keep of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            Equal to ``inverse_transform(transform(X))``.
        """
        return self._on_rows(X, "forward")

    def sample(self, n_samples=1, random_state=None):
        """Draw new rows: latents from their fitted density, decoded.

        The density is a Gaussian mixture, fitted to the latents of the training
        rows, with as many components as the BIC asks for.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        random_state : int, RandomState instance or None, default=None
            Seed of the draw; None takes the estimator's own ``random_state``.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows in the units of the training rows.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        seed = self.random_state if random_state is None else random_state
        Z = self._draw_latents(n_samples, make_random_state(seed))
        return self._compute("inverse_transform", Z)

    def score_samples(self, X):
        """Return minus the reconstruction error of each row: higher is more normal.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Minus the ``loss`` between the row and its reconstruction, averaged over
            the features: in squared units of X for "squared_error", in units of X
            for "absolute_error", in nats for "log_loss".
        """
        return self._on_rows(X, "score_samples")

    def score(self, X, y=None):
        """Return the mean of `score_samples`: higher is better, for model selection.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        Returns
        -------
        score : float
            Mean score of the rows.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))


def check_unit_interval(X: np.ndarray, name: str = "X") -> None:
    low, high = X.min(), X.max()
    rounding = 8 * np.finfo(X.dtype).eps  # as MinMaxScaler leaves it
    if low < -rounding or high > 1 + rounding:
        raise ValueError(
            f'loss="log_loss" expects values in [0, 1]; {name} has values from '
            f"{low:g} to {high:g}. Scale {name}, for instance with MinMaxScaler "
            '(clip=True), or use loss="squared_error".'
        )


def _check_columns(
    estimator: BaseEstimator, X: Any, first_row: np.ndarray, reset: bool
) -> None:
    """validate_data's checks of number and names of columns, for a table."""
    names = getattr(X, "columns", None)
    fitted_names = getattr(estimator, "feature_names_in_", None)
    if reset or names is None or fitted_names is None:
        validate_data(estimator, first_row, reset=reset)
        if reset and names is not None:
            estimator.feature_names_in_ = np.asarray(names, dtype=object)
    elif list(names) != list(fitted_names):
        raise ValueError(
            f"The columns of X are {list(names)}; {type(estimator).__name__} was "
            f"fitted with {list(fitted_names)}."
        )


def column_moments(X: np.ndarray | Table) -> tuple[np.ndarray, np.ndarray]:
    """Means and variances (d,) of the columns; constant ones have no variance."""
    # Blocks bound the memory, and the scaler sums them in double precision.
    moments = StandardScaler()
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in gen_batches(len(X), block_rows(X.shape[1])):
            moments.partial_fit(X[rows])
        # The scaler gives constant columns, rounding errors aside, scale 1.
        is_constant = (moments.scale_ == 1.0) & (np.sqrt(moments.var_) != 1.0)
    return moments.mean_, np.where(is_constant, 0.0, moments.var_)


def global_scale(variances: np.ndarray, name: str) -> float:
    """The mean column's spread; 1 where no column varies."""
    # An exact sum does not depend on the order of the columns.
    scale = math.sqrt(math.fsum(variances) / len(variances))
    if not math.isfinite(scale):
        raise ValueError(
            f"{name} is too large: the variance of its columns is not finite. "
            f"Divide {name} by a constant."
        )
    return scale if scale > 0 else 1.0


def _as_tensor(X: np.ndarray) -> Tensor:
    # torch has no read-only tensors and no negative strides, and warns or refuses.
    if not X.flags.writeable or any(stride < 0 for stride in X.strides):
        X = X.copy()
    return torch.from_numpy(X)


def _is_anchored(module: Autoencoder) -> bool:
    return isinstance(module.encoder, Anchored)


# A float64 copy of each module in use; a copy per call would cost more than a row.
_FLOAT64_TWINS: "weakref.WeakKeyDictionary[nn.Module, tuple]" = (
    weakref.WeakKeyDictionary()
)


def _in_precision_of(module: Autoencoder, dtype: np.dtype) -> Autoencoder:
    """The module, or on a CPU with float64 rows its twin in double precision."""
    if dtype != np.float64 or module.center.device.type != "cpu":
        return module
    # In-place changes of the weights raise their versions.
    tensors = [*module.parameters(), *module.buffers()]
    versions = [(t.data_ptr(), t._version) for t in tensors]
    known = _FLOAT64_TWINS.get(module)
    if known is None or known[0] != versions:
        known = _FLOAT64_TWINS[module] = (versions, _float64_twin(module))
    return known[1] or module


@torch.no_grad()
def _float64_twin(module: Autoencoder) -> Autoencoder | None:
    """A copy in double precision; None where the user's own network cannot have one."""
    twin = copy.deepcopy(module).double()
    if not module.is_own:
        n_conditions = module.n_inputs - len(module.center)
        row = nn.functional.pad(module.center.double(), (0, n_conditions))[None]
        try:
            twin.forward(row)
        except Exception:  # it makes tensors of single precision, say
            return None
    return twin
