"""The one way from a table to a fitted autoencoder and back.

validate -> standardise -> module -> loss per row -> train -> best weights -> latents.
An estimator adds its parameters, its module and its docstring.
"""

import copy
import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from sklearn.utils import check_array, check_random_state, check_scalar, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from . import _recipe
from ._latents import LatentDensity, principal_axes
from ._losses import LOSSES, SquaredError
from ._modules import ACTIVATIONS, MLP, AnchoredMLP, Autoencoder
from ._networks import (
    Layer,
    LinearStart,
    anchor,
    check_own_network,
    column_order,
    make_own_network,
    start_at,
)
from ._selection import train_on_all_rows, train_on_small_table
from ._training import (
    DivergenceError,
    TrainingOptions,
    TrainingResult,
    check_callbacks,
    enough_threads,
    isolated_generators,
    load_moments,
    make_net,
    resolve_device,
    train,
    train_one_pass,
)

# Rows per block wherever a table is walked through: memory stays bounded.
BLOCK_ROWS = 8192
SEED_LIMIT = 2**31 - 1


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Common part of the estimators that reconstruct the rows they are given."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", StrOptions({"auto"})],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "loss": [StrOptions(set(LOSSES))],
        "init": [StrOptions({"auto", "pca", "random"})],
        "encoder": [None, nn.Module, callable],
        "decoder": [None, nn.Module, callable],
        "learning_rate_init": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "device": [str, torch.device],
        "callbacks": [None, list, tuple],
    }

    module_: Autoencoder
    n_components_: int
    n_iter_: int
    best_iter_: int
    history_: Any
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None
    reconstruction_err_: float
    _moments: tuple[dict[str, Any], Tensor] | None
    _structure: dict[str, Any]
    _latent_density: LatentDensity

    # Fitting --------------------------------------------------------------------------

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
            for slowdown in (1.0, 10.0, 100.0):
                try:
                    self._fit(X, goes_on, slowdown)
                    break
                except DivergenceError:
                    # A rate of our own choice is ours to lower: heavy tails need it.
                    if self.learning_rate_init != "auto" or slowdown == 100.0:
                        raise
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
            self._partial_fit(X, goes_on)
        return self

    def _fit(self, X: np.ndarray, goes_on: bool, slowdown: float) -> None:
        random_state = make_random_state(self.random_state)
        seed = random_state.randint(SEED_LIMIT)
        device = resolve_device(self.device)
        with isolated_generators(seed, device), _with_gradients():
            module, x, order = self._start(X, goes_on, random_state, device)
            n_done = self.n_iter_ if goes_on else 0
            build = partial(
                self._build_module,
                center=module.center,
                scale=module.scale,
                random_state=random_state,
            )
            options_for_all = self._training_options(
                len(x), device, n_done, slowdown=slowdown
            )
            if self._ends_on_all_rows(len(x), goes_on) and len(x) < _recipe.SMALL_TABLE:
                module, result = train_on_small_table(
                    build, x, options_for_all, seed, _recipe.N_FOLDS
                )
            else:
                x_train, x_valid = self._split(x, random_state)
                options = self._training_options(
                    len(x_train), device, n_done, slowdown=slowdown
                )
                net = make_net(module, options)
                if goes_on:
                    net.history.extend(self.history_)
                result = train(net, x_train, x_valid, options, seed)
                if self._ends_on_all_rows(len(x), goes_on) and result.best_epoch > 0:
                    module = train_on_all_rows(
                        build, x, options_for_all, seed, result.best_epoch
                    )
            # Latents of the last fit, and those of PCA, have their axes already.
            as_before = result.best_epoch == 0 and (goes_on or _is_anchored(module))
            if module.is_own and not as_before:
                with enough_threads(module, min(len(x), BLOCK_ROWS)):
                    self._align_latents(module, x)
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
        self._set_fitted(module, x, order, random_state)
        self._warn_if_cut_short(result, _recipe.n_epochs(len(x)), goes_on)

    def _ends_on_all_rows(self, n_samples: int, goes_on: bool) -> bool:
        """Whether the rows are too few to learn from a part of them only.

        Callbacks follow one training, and warm starts go on from one.
        """
        is_short = _recipe.N_FOLDS <= n_samples < _recipe.LONG_TABLE
        wants_it = self.early_stopping and self.max_iter > 0 and not self.callbacks
        return is_short and wants_it and not goes_on

    def _warn_if_cut_short(
        self, result: TrainingResult, n_epochs_wanted: int, goes_on: bool
    ) -> None:
        if goes_on and result.n_epochs == 0:
            message = (
                f"warm_start: the networks have had max_iter={self.max_iter} epochs "
                "already and were left as they are. Raise max_iter to train on."
            )
        elif result.n_epochs == self.max_iter < n_epochs_wanted and self.max_iter > 0:
            message = (
                f"Training ended at max_iter={self.max_iter} epochs; the schedule "
                f"takes {n_epochs_wanted} on a table of this length. Raise max_iter "
                "for a lower error."
            )
        else:
            return
        warnings.warn(message, ConvergenceWarning, stacklevel=4)

    def _partial_fit(self, X: np.ndarray, goes_on: bool) -> None:
        random_state = make_random_state(self.random_state)
        n_passes = self.n_iter_ if goes_on else 0
        # Another seed on every pass, or chunk after chunk would meet the same noise.
        seed = (random_state.randint(SEED_LIMIT) + n_passes) % SEED_LIMIT
        device = resolve_device(self.device)
        moments = None
        with isolated_generators(seed, device), _with_gradients():
            module, x, order = self._start(X, goes_on, random_state, device)
            if goes_on and self._moments is not None:
                # The optimizer's moments are in the order of the first pass.
                moments, order = self._moments
                module.put_columns_back(torch.argsort(order))
                x = x[:, order]
            options = self._training_options(
                len(x), device, n_steps_in_all=_recipe.N_STEPS_STREAMED
            )
            net = make_net(module, options)
            if moments is not None:
                load_moments(net, moments)
            if goes_on:
                net.history.extend(self.history_)
            loss = train_one_pass(net, x, options, seed)
        self.history_ = net.history
        self.n_iter_ = self.best_iter_ = n_passes + 1
        self.loss_curve_ = [*(self.loss_curve_ if goes_on else []), loss]
        self.validation_loss_curve_ = None
        self._moments = net.optimizer_.state_dict(), order
        self._set_fitted(module, x, order, random_state)

    def _start(
        self,
        X: np.ndarray,
        goes_on: bool,
        random_state: np.random.RandomState,
        device: torch.device,
    ) -> tuple[Autoencoder, Tensor, Tensor]:
        """The module before its first step, its rows (n, d), and the columns' order."""
        order = torch.arange(X.shape[1])
        if goes_on:
            self._check_structure()
            module = copy.deepcopy(self.module_)
            self._update_module(module)
            return module.to(device), _standardize(module, X).to(device), order
        center, scale = self._center_and_scale(X)
        # A module without networks standardises already; they start from x.
        module = self._make_module(nn.Identity(), nn.Identity(), center, scale)
        x = _standardize(module, X)
        if self._sorts_columns():
            order = column_order(x)
            x = x[:, order]
        module = self._build_module(x, center, scale, random_state)
        if self.callbacks:
            # They may look at rows and networks: everything in the columns' own order.
            module.put_columns_back(order)
            x = x[:, torch.argsort(order)]
            order = torch.arange(X.shape[1])
        return module.to(device), x.to(device), order

    def _build_module(
        self,
        x: Tensor,
        center: Tensor,
        scale: Tensor,
        random_state: np.random.RandomState,
    ) -> Autoencoder:
        """The module before its first step, for standardised rows (n, d)."""
        encoder, decoder, linear_start = self._make_networks(x, random_state)
        module = self._make_module(
            encoder, decoder, center, scale, x=x, linear_start=linear_start
        )
        return module.to(x.device)

    def _center_and_scale(self, X: np.ndarray) -> tuple[Tensor, Tensor]:
        """Column means (d,) and the one global scale, the mean column's spread."""
        if self._loss().needs_unit_interval:
            center, scale = np.zeros(X.shape[1]), 1.0
        else:
            # Blocks bound the memory, and the scaler sums them in double precision.
            moments = StandardScaler()
            with np.errstate(over="ignore", invalid="ignore"):
                for rows in gen_batches(len(X), BLOCK_ROWS):
                    moments.partial_fit(X[rows])
                center = moments.mean_
                # The scaler gives constant columns, rounding errors aside, scale 1.
                std = np.sqrt(moments.var_)
                is_constant = (moments.scale_ == 1.0) & (std != 1.0)
                variances = np.where(is_constant, 0.0, moments.var_)
            # An exact sum does not depend on the order of the columns.
            scale = math.sqrt(math.fsum(variances) / len(variances))
            if not math.isfinite(scale):
                raise ValueError(
                    "X is too large: the variance of its columns is not finite. "
                    "Divide X by a constant."
                )
        # The dtype of X keeps its digits; the scale is a number, not a column.
        return (
            torch.from_numpy(center.astype(X.dtype)),
            torch.tensor(scale if scale > 0 else 1.0, dtype=torch.float64),
        )

    def _make_networks(
        self, x: Tensor, random_state: np.random.RandomState
    ) -> tuple[nn.Module, nn.Module, LinearStart | None]:
        """Encoder and decoder for standardised rows (n, d), and the linear start."""
        n_features, n_latents = x.shape[1], self.n_components
        n_encoded = n_latents * self._outputs_per_latent
        hidden = self._hidden_layer_sizes(n_features)
        mlps = (
            MLP.of_sizes(n_features, hidden, n_encoded, self.activation),
            MLP.of_sizes(n_latents, hidden[::-1], n_features, self.activation),
        )
        if self._init() == "pca":
            start = LinearStart.from_rows(x, n_latents, random_state)
            encoder_layer, decoder_layer, latent_variances = self._linear_start(start)
            column_variances = x.var(dim=0, correction=0)  # (d,)
            return (
                anchor(mlps[0], encoder_layer, column_variances),
                anchor(mlps[1], decoder_layer, latent_variances),
                start,
            )
        encoder: nn.Module = mlps[0]
        decoder: nn.Module = mlps[1]
        if self.encoder is not None:
            encoder = make_own_network(self.encoder, "encoder", n_features, n_encoded)
            check_own_network(encoder, "encoder", x[:2], n_encoded, self._encoded_as)
        if self.decoder is not None:
            decoder = make_own_network(self.decoder, "decoder", n_latents, n_features)
            z = x.new_zeros(min(2, len(x)), n_latents)
            decoded_as = "(n_samples, n_features)"
            check_own_network(decoder, "decoder", z, n_features, decoded_as)
        else:
            start_at(mlps[1], self._loss().inverse_link(x.mean(dim=0)))
        return encoder, decoder, None

    def _split(
        self, x: Tensor, random_state: np.random.RandomState
    ) -> tuple[Tensor, Tensor | None]:
        """Rows to learn from and rows to watch."""
        n_valid = 0
        if self.early_stopping and self.max_iter > 0 and len(x) > 1:
            n_valid = _recipe.n_validation_rows(len(x), self.validation_fraction)
        if n_valid == 0:
            return x, None
        rows = torch.from_numpy(random_state.permutation(len(x))).to(x.device)
        return x[rows[n_valid:]], x[rows[:n_valid]]

    def _training_options(
        self,
        n_samples: int,
        device: torch.device,
        n_epochs_done: int = 0,
        n_steps_in_all: int = 0,
        slowdown: float = 1.0,
    ) -> TrainingOptions:
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = _recipe.batch_size(n_samples)
        learning_rate = self.learning_rate_init
        if learning_rate == "auto":
            learning_rate = _recipe.learning_rate(self._init()) / slowdown
        alpha = _recipe.alpha(self._init()) if self.alpha == "auto" else self.alpha
        # With warm_start, max_iter counts the epochs of all fits, as it does for
        # scikit-learn's ensembles: to go on, raise it.
        n_left = max(0, self.max_iter - n_epochs_done)
        n_planned = _recipe.n_epochs(n_samples)
        n_steps = n_planned * math.ceil(n_samples / batch_size)
        return TrainingOptions(
            learning_rate=float(learning_rate),
            weight_decay=_recipe.weight_decay(
                alpha, learning_rate, n_steps_in_all or n_steps
            ),
            batch_size=batch_size,
            n_epochs=min(n_left, n_planned),
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            starts_at_optimum=self._init() == "pca" and n_epochs_done == 0,
            callbacks=self.callbacks or (),
            verbose=self.verbose,
            device=device,
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
        with enough_threads(module, min(len(x), BLOCK_ROWS)):
            error = over_blocks(module.reconstruction_error, x).double().mean().item()
        self.reconstruction_err_ = error * module.scale.item() ** (
            module.loss_function.scale_power
        )
        self._set_latent_density(module, x, random_state)
        module.put_columns_back(order)

    # What an estimator may replace ----------------------------------------------------

    # How many numbers the encoder gives per latent, and what they are.
    _outputs_per_latent = 1
    _encoded_as = "(n_samples, n_components)"

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

    def _update_module(self, module: Autoencoder) -> None:
        """Let a module that goes on training follow parameters that have changed."""

    def _sorts_columns(self) -> bool:
        """Whether training may see the columns in an order of its own.

        The user's own networks may know the columns by their places.
        """
        return self.encoder is None and self.decoder is None

    def _linear_start(self, start: LinearStart) -> tuple[Layer, Layer, Tensor]:
        """The two linear paths, and the variances of the latents between them."""
        return start.pca_layers()

    def _align_latents(self, module: Autoencoder, x: Tensor) -> None:
        """Turn the latent axes into ones that can be compared between fits."""
        rotation, shift = principal_axes(over_blocks(module.encode, x), x)
        module.rotate(rotation.to(module.dtype), shift.to(module.dtype))

    def _set_latent_density(
        self, module: Autoencoder, x: Tensor, random_state: np.random.RandomState
    ) -> None:
        """What `sample` draws latents from."""
        Z = over_blocks(module.encode, x).cpu().numpy().astype(np.float64)
        density = LatentDensity(Z)
        if self._moments is None:
            density.fit_mixture(Z, random_state)
        elif self.n_iter_ > 1:
            density = self._latent_density.pooled_with(density)
        self._latent_density = density

    def _draw_latents(
        self, n_samples: int, random_state: np.random.RandomState
    ) -> np.ndarray:
        Z = self._latent_density.sample(n_samples, random_state)  # networks' units
        return Z * self.module_.latent_scale.item()

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
        check_is_fitted(self)
        Z = check_array(Z, dtype=[np.float64, np.float32], input_name="Z")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but {type(self).__name__} was fitted "
                f"with n_components={self.n_components_}: one column per latent is "
                "expected."
            )
        return self._compute("inverse_transform", Z)

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

    def _on_rows(self, X: Any, method: str) -> np.ndarray:
        check_is_fitted(self)
        X = self._validate_rows(X, reset=False, loss=self.module_.loss_function)
        return self._compute(method, X)

    def _compute(
        self, method: str, X: np.ndarray, *args: Tensor, block_rows: int = BLOCK_ROWS
    ) -> np.ndarray:
        """Let a method of the module walk over X in blocks; keep X's dtype.

        On a CPU the arithmetic has the precision of X too: with float64 in, the
        result does not depend on how rows are put together into blocks.
        """
        module = _in_precision_of(self.module_, X.dtype)
        device = module.center.device
        args = tuple(arg.to(device) for arg in args)
        n_rows = min(len(X), block_rows)
        with torch.inference_mode(), enough_threads(module, n_rows):
            blocks = [
                getattr(module, method)(_as_tensor(X[rows]).to(device), *args)
                for rows in gen_batches(len(X), block_rows)
            ]
        blocks = [block.cpu().numpy() for block in blocks]
        result = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return result.astype(X.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        """Number of latents: ClassNamePrefixFeaturesOutMixin asks for it."""
        return self.n_components_

    # Checks ---------------------------------------------------------------------------

    def _validate_rows(
        self, X: Any, reset: bool, loss: SquaredError | None = None
    ) -> np.ndarray:
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        if (loss or self._loss()).needs_unit_interval:
            low, high = X.min(), X.max()
            rounding = 8 * np.finfo(X.dtype).eps  # as MinMaxScaler leaves it
            if low < -rounding or high > 1 + rounding:
                raise ValueError(
                    'loss="log_loss" expects values in [0, 1]; X has values from '
                    f"{low:g} to {high:g}. Scale X, for instance with MinMaxScaler "
                    '(clip=True), or use loss="squared_error".'
                )
        return X

    def _validate_params(self) -> None:
        super()._validate_params()
        own = [
            name for name in ("encoder", "decoder") if getattr(self, name) is not None
        ]
        if self.init == "pca" and own:
            raise ValueError(
                f'init="pca" starts the package\'s own networks; with {own[0]}= use '
                'init="auto" or init="random".'
            )
        if self.init == "pca" and self.loss == "log_loss":
            raise ValueError(
                'init="pca" goes with loss="squared_error" or "absolute_error"; with '
                'loss="log_loss" use init="auto" or init="random".'
            )
        if not isinstance(self.hidden_layer_sizes, str):
            sizes = list(self.hidden_layer_sizes)
            if any(not isinstance(size, Integral) or size < 1 for size in sizes):
                raise ValueError(
                    "hidden_layer_sizes must be 'auto' or a sequence of integers of at "
                    f"least 1; got {self.hidden_layer_sizes!r}."
                )
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

    def _init(self) -> str:
        if self.init != "auto":
            return self.init
        can_be_linear = self.encoder is None and self.decoder is None
        return "pca" if can_be_linear and self.loss != "log_loss" else "random"

    def _hidden_layer_sizes(self, n_features: int) -> tuple[int, ...]:
        if isinstance(self.hidden_layer_sizes, str):
            return _recipe.hidden_layer_sizes(n_features, self.n_components)
        return tuple(int(size) for size in self.hidden_layer_sizes)

    # Parameters that decide what the networks are.
    _STRUCTURE: ClassVar[tuple[str, ...]] = (
        *("n_components", "hidden_layer_sizes", "activation"),
        *("loss", "init", "encoder", "decoder"),
    )

    def _current_structure(self) -> dict[str, Any]:
        structure = {name: getattr(self, name) for name in self._STRUCTURE}
        if not isinstance(self.hidden_layer_sizes, str):
            structure["hidden_layer_sizes"] = self._hidden_layer_sizes(0)
        return structure

    def _check_structure(self) -> None:
        for name, value in self._current_structure().items():
            if value is not self._structure[name] and value != self._structure[name]:
                raise ValueError(
                    f"The networks were fitted with {name}={self._structure[name]!r} "
                    f"and cannot go on with {name}={value!r}. Fit with "
                    "warm_start=False, or clone the estimator, to start anew."
                )

    @contextmanager
    def _unchanged_on_failure(self) -> Iterator[None]:
        """Give the estimator its attributes back where a fit fails or is stopped."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    # Copies and files -----------------------------------------------------------------

    def __getstate__(self):
        # A file is for using the model: on any machine, so in main memory, and
        # without the optimizer's moments, which are twice the weights.
        state = super().__getstate__().copy()
        if "module_" in state:
            state["module_"] = copy.deepcopy(self.module_).cpu()
            state["_moments"] = None
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "module_"):
            # Where the device of the fit is missing, the CPU does as well.
            with suppress(ValueError):
                self.module_.to(resolve_device(self.device))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def make_random_state(seed: Any) -> np.random.RandomState:
    """As check_random_state, but None takes fresh entropy, not numpy's global one."""
    return np.random.RandomState() if seed is None else check_random_state(seed)


@contextmanager
def _with_gradients() -> Iterator[None]:
    """Let training work inside the user's own no_grad and inference_mode too."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _as_tensor(X: np.ndarray) -> Tensor:
    # torch has no read-only tensors and no negative strides, and warns or refuses.
    if not X.flags.writeable or any(stride < 0 for stride in X.strides):
        X = X.copy()
    return torch.from_numpy(X)


def _standardize(module: Autoencoder, X: np.ndarray) -> Tensor:
    """Rows in the networks' units (n, d), block by block."""
    x = torch.empty(X.shape, dtype=torch.float32)
    for rows in gen_batches(len(X), BLOCK_ROWS):
        x[rows] = module.standardize(_as_tensor(X[rows]))
    return x


@torch.no_grad()
def over_blocks(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([function(block) for block in x.split(BLOCK_ROWS)])


def _is_anchored(module: Autoencoder) -> bool:
    return isinstance(module.encoder, AnchoredMLP)


# A float64 copy of each module in use; a copy per call would cost more than a row.
_FLOAT64_TWINS: "weakref.WeakKeyDictionary[nn.Module, tuple]" = (
    weakref.WeakKeyDictionary()
)


def _in_precision_of(module: Autoencoder, dtype: np.dtype) -> Autoencoder:
    """The module, or on a CPU with float64 rows its twin in double precision."""
    if dtype != np.float64 or module.center.device.type != "cpu" or not module.is_own:
        return module
    # In-place changes of the weights raise their versions.
    tensors = [*module.parameters(), *module.buffers()]
    versions = [(t.data_ptr(), t._version) for t in tensors]
    known = _FLOAT64_TWINS.get(module)
    if known is None or known[0] != versions:
        known = _FLOAT64_TWINS[module] = (versions, copy.deepcopy(module).double())
    return known[1]
