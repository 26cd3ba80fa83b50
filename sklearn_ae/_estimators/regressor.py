"""EncoderDecoderRegressor: the same networks with a target that is not the input."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data
from torch import Tensor, nn

from .._networks.build import RegressionStart
from .._networks.images import ImageShape, SkipDecoder, SkipEncoder, check_image_shape
from .._networks.modules import ACTIVATIONS, Autoencoder, EncoderDecoder, OwnNetwork
from .._training import recipe
from .base import BaseEncoderDecoder, check_unit_interval, column_moments, global_scale


class EncoderDecoderRegressor(RegressorMixin, MultiOutputMixin, BaseEncoderDecoder):
    """Regression through latents, with an encoder, a decoder and a linear start.

    An encoder maps each row of X to ``n_components`` latents, and a decoder maps the
    latents to the row of Y: a number, several numbers, or an image. It covers what
    has an image at both ends too: segmentation (``loss="log_loss"`` on masks),
    denoising learned from pairs, super-resolution. Before the first step the two
    networks are the best linear regression of that rank, and the state before the first
    step is a candidate for the best weights: where nothing nonlinear is to be found,
    linear regression is what comes out.

    Parameters
    ----------
    n_components : int, default=32
        Number of latents, at least 1. With fewer than X and Y have columns, a
        prediction has no more degrees of freedom than that.

    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers, first to last; the decoder has them in
        reverse. An empty sequence gives linear networks. "auto" chooses from the
        shapes of X and Y. Where a network is for images, these are channels of
        convolutions.

    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", \
            "gelu", "silu"}, default="silu"
        What stands between the layers.

    loss : {"squared_error", "absolute_error", "log_loss"}, default="squared_error"
        What a prediction is judged by, averaged over the columns of Y in their own
        units. "log_loss" (binary cross-entropy) is for Y in [0, 1], such as masks;
        predictions then are probabilities.

    init : {"auto", "linear", "random"}, default="auto"
        "linear" starts encoder and decoder as reduced-rank ridge regression (a linear
        path plus a network whose last layer is zero), the penalty chosen by generalised
        cross-validation, so that training can only improve on it; it needs
        ``loss="squared_error"`` or "absolute_error" and no networks of your own.
        "random" gives plain networks. "auto" takes "linear" where it can.

    encoder, decoder : torch.nn.Module, callable or None, default=None
        Networks of your own. An instance is copied, never trained itself. A class or
        a function is called with the widths of input and output, ``encoder(n_features,
        n_components)`` and ``decoder(n_components, n_targets)``, or with nothing
        where it takes nothing. With ``loss="log_loss"`` the decoder gives logits.

    image_shape : tuple (height, width) or (height, width, channels), default=None
        Rows of X are flattened images of this shape, the last axis fastest, and the
        encoder is convolutional: each of ``hidden_layer_sizes`` is the number of
        channels of a stage, which halves height and width (any size will do), and
        two dense layers of 256 follow, or one with skip connections. A network of your
        own gets rows of X as ever.

    target_shape : "auto", tuple as above or None, default="auto"
        The same for Y and the decoder. "auto" takes images as high and wide as those of
        X where Y has one or more values for each of their pixels, else no images. None
        is for columns that are no image.

    skip_connections : bool or "auto", default="auto"
        Let the decoder see the maps of the encoder's stages beside the latents: what an
        image shows in detail then need not go through the latents. The networks are a
        U-Net [5]_ with latents at its lowest point: the first of
        ``hidden_layer_sizes`` is the number of maps as large as the image, and each
        stage has two convolutions. For images of X and Y of the same height and width;
        "auto" takes them there, if no network is your own.

    learning_rate_init : float or "auto", default="auto"
        Peak learning rate of Adam; "auto" takes 3e-3 with skip connections, else 6e-3
        from a linear start and 1e-3 from a random one, and a tenth of that where a
        training diverges.

    alpha : float or "auto", default="auto"
        Weight decay of the networks beside the linear paths, for the training as a
        whole: weights that the data do not hold shrink by a factor of exp(-alpha) from
        start to end, however many steps that takes. 0 is plain Adam, otherwise it is
        AdamW. "auto" takes 0 from a random start; from a linear start 1, and up to 3
        where a table has fewer than 200 rows for each column of X.

    batch_size : int or "auto", default="auto"
        Rows per step; "auto" takes 128, or more on tables of over 10,000 rows, and a
        quarter of that with skip connections.

    max_iter : int or "auto", default="auto"
        Epochs, at most: the learning rate rises and falls over so many. "auto" takes
        75, with skip connections 25, or fewer on tables of over 10,000 rows. With 0
        nothing is trained, and what comes out is the start.

    early_stopping : bool, default=True
        Hold out ``validation_fraction`` of the rows, keep the weights with the lowest
        loss on them, and stop after ``n_iter_no_change`` epochs without a lower one.
        Below 1000 rows the best epoch is found by 5-fold cross-validation instead, and
        on all tables below 10,000 rows a last training, on all rows, is as long as the
        held-out ones liked; not so with callbacks, which follow one training. A linear
        start stays where what was learned is not clearly better on the held-out rows.
        Without early stopping the loss on the training rows decides.

    validation_fraction : float, default=0.1
        Share of the rows held out.

    n_iter_no_change : int, default=25
        Epochs without an improvement after which the training stops.

    tol : float, default=1e-4
        Least relative improvement that counts for ``n_iter_no_change``.

    warm_start : bool, default=False
        Let `fit` go on from the networks of the last call. A number
        ``max_iter`` then counts the epochs of all calls, so raise it to train on;
        "auto" trains as long again.

    random_state : int, RandomState instance or None, default=0
        Seed of everything random. An integer gives the same bits on every fit; None
        takes fresh entropy. The global generators are never touched.

    verbose : int, default=0
        1 shows a progress bar with the losses.

    device : str or torch.device, default="auto"
        Where to compute: "auto" takes CUDA where it is there, else the CPU.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What training steps multiply in. "bfloat16" takes less time where the processor
        has instructions for it; parameters, losses and everything after training stay
        in float32 or the dtype of X. "auto" chooses it where it saves a third of the
        time or more: wide layers on CPUs with AVX512-BF16 or AMX, but not with
        ``image_shape``.

    callbacks : list of skorch callbacks or None, default=None
        Callbacks that follow the training, with the net that skorch gives them.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained module. Called with rows in the units of X it predicts those of Y.

    n_components_ : int
        Number of latents.

    n_features_in_ : int
        Number of columns of X seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.

    n_targets_ : int
        Number of columns of Y seen in `fit`.

    n_iter_ : int
        Epochs trained.

    best_iter_ : int
        Epoch that was best on held-out rows; 0 is the state before the first step. Its
        weights are kept, or below 10,000 rows tell how long to train on all rows.

    loss_curve_ : list of float
        Mean training loss of each epoch, in standardised units.

    validation_loss_curve_ : list of float or None
        Mean loss of the held-out rows after each epoch; None without such rows. After
        cross-validation this and the other curves are means over the folds.

    loss_ : float
        Mean loss of the training rows, per column and in the units of Y.

    history_ : skorch.history.History
        skorch's record of the training.

    See Also
    --------
    AutoencoderTransformer : The same where the target is the input.
    DenoisingAutoencoderTransformer : Where the damage is made, not given in pairs.
    sklearn.cross_decomposition.PLSRegression : Linear regression through latents.
    sklearn.neural_network.MLPRegressor : Plain networks.

    Notes
    -----
    Columns of X are divided by their standard deviations (those of images by one number
    for all), so that their units do not matter. Columns of Y share one scale, and those
    of larger variance count for more, as in linear regression of a given rank: where
    they have different units, put the regressor into
    `sklearn.compose.TransformedTargetRegressor` with a `StandardScaler`.

    References
    ----------
    .. [1] A. J. Izenman, "Reduced-rank regression for the multivariate linear model",
       Journal of Multivariate Analysis 5, 248-264, 1975.

    .. [2] A. Mukherjee and J. Zhu, "Reduced rank ridge regression and its kernel
       extensions", Statistical Analysis and Data Mining 4, 612-622, 2011.

    .. [3] G. H. Golub, M. Heath and G. Wahba, "Generalized cross-validation as a method
       for choosing a good ridge parameter", Technometrics 21, 215-223, 1979.

    .. [4] P. Baldi and K. Hornik, "Neural networks and principal component analysis:
       learning from examples without local minima", Neural Networks 2, 53-58, 1989.

    .. [5] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for
       biomedical image segmentation", MICCAI 2015, 234-241.

    Examples
    --------
    The lower halves of digits, from their upper halves:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import EncoderDecoderRegressor
    >>> images = load_digits().data
    >>> X, Y = images[:, :32], images[:, 32:]
    >>> regressor = EncoderDecoderRegressor(16).fit(X[:1500], Y[:1500])
    >>> regressor.predict(X[1500:]).shape
    (297, 32)
    >>> regressor.transform(X[1500:]).shape
    (297, 16)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseEncoderDecoder._parameter_constraints,
        "init": [StrOptions({"auto", "linear", "random"})],
        "target_shape": [None, "array-like", StrOptions({"auto"})],
        "skip_connections": ["boolean", StrOptions({"auto"})],
    }

    n_targets_: int
    loss_: float

    def __init__(
        self,
        n_components=32,
        *,
        hidden_layer_sizes="auto",
        activation="silu",
        loss="squared_error",
        init="auto",
        encoder=None,
        decoder=None,
        image_shape=None,
        target_shape="auto",
        skip_connections="auto",
        learning_rate_init="auto",
        alpha="auto",
        batch_size="auto",
        max_iter="auto",
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=25,
        tol=1e-4,
        warm_start=False,
        random_state=0,
        verbose=0,
        device="auto",
        precision="auto",
        callbacks=None,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.init = init
        self.encoder = encoder
        self.decoder = decoder
        self.image_shape = image_shape
        self.target_shape = target_shape
        self.skip_connections = skip_connections
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.device = device
        self.precision = precision
        self.callbacks = callbacks

    # Fitting --------------------------------------------------------------------------

    def fit(self, X, y):
        """Learn the networks from pairs of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, in any units.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets, in any units; in [0, 1] with ``loss="log_loss"``.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._unchanged_on_failure():
            self._validate_params()
            goes_on = self.warm_start and hasattr(self, "module_")
            X, y = validate_data(
                *(self, X, y),
                dtype=[np.float64, np.float32],
                multi_output=True,
                y_numeric=True,
                reset=not goes_on,
            )
            self._is_flat = y.ndim == 1
            Y = self._validate_targets(y.reshape(len(y), -1), goes_on)
            self.n_targets_ = Y.shape[1]
            self._has_skips = self._can_skip(X.shape[1], Y.shape[1])
            self._fit_safely(np.concatenate([X, Y], axis=1), goes_on)
        return self

    def _validate_targets(self, Y: np.ndarray, goes_on: bool) -> np.ndarray:
        """Targets (n, m) as numbers in single or double precision."""
        if np.iscomplexobj(Y):
            raise ValueError("Complex data not supported as y.")
        Y = Y.astype(np.result_type(Y.dtype, np.float32), copy=False)
        Y = Y.astype(np.float64, copy=False) if Y.dtype != np.float32 else Y
        if self._loss().needs_unit_interval:
            check_unit_interval(Y, "y")
        if goes_on and Y.shape[1] != self.n_targets_:
            raise ValueError(
                f"y has {Y.shape[1]} columns, but the networks were fitted with "
                f"{self.n_targets_}. Fit with warm_start=False to start anew."
            )
        return Y

    def _center_and_scale(self, X: Any) -> tuple[Tensor, Tensor]:
        """Means (d + m,) of pairs, and scales: one for each column of x, one for y."""
        d = self.n_features_in_
        means, variances = column_moments(X)
        scales = np.ones_like(means)
        of_all = global_scale(variances[:d], "X")
        scales[:d] = of_all
        if self.image_shape is None:
            # What is left of a constant column is rounding noise.
            std = np.sqrt(variances[:d])
            scales[:d] = np.where(std > 1e-12 * of_all, std, of_all)
        if self._loss().needs_unit_interval:
            means[d:] = 0.0
        else:
            scales[d:] = global_scale(variances[d:], "y")
        return torch.from_numpy(means.astype(X.dtype)), torch.from_numpy(scales)

    def _inputs_and_targets(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, : self.n_features_in_], x[:, self.n_features_in_ :]

    def _make_own_encoder(
        self, n_inputs: int, n_encoded: int, image_shape: ImageShape | None
    ) -> OwnNetwork:
        if not self._has_skips or image_shape is None:
            return super()._make_own_encoder(n_inputs, n_encoded, image_shape)
        hidden = self._channels_with_skips(image_shape)
        activation = ACTIVATIONS[self.activation]
        return SkipEncoder(image_shape, hidden, n_encoded, activation)

    def _make_own_decoder(self, n_inputs: int, n_outputs: int) -> OwnNetwork:
        shape = self._output_shape(n_inputs, n_outputs)
        if not self._has_skips or shape is None:
            return super()._make_own_decoder(n_inputs, n_outputs)
        hidden = self._channels_with_skips(shape)
        activation = ACTIVATIONS[self.activation]
        return SkipDecoder(shape, hidden, self.n_components, activation)

    def _channels_with_skips(self, shape: ImageShape) -> tuple[int, ...]:
        if isinstance(self.hidden_layer_sizes, str):
            return recipe.channels_with_skips(*shape[:2])
        return self._hidden_layer_sizes(0, shape)

    def _auto_batch_size(self, n_samples: int) -> int:
        size = super()._auto_batch_size(n_samples)
        return -(-size // recipe.PIXEL_BATCHES) if self._has_skips else size

    def _auto_learning_rate(self) -> float:
        if self._has_skips:
            return recipe.PIXEL_LEARNING_RATE
        return super()._auto_learning_rate()

    def _n_epochs(self, n_samples: int) -> int:
        n_epochs = super()._n_epochs(n_samples)
        return -(-n_epochs // recipe.PIXEL_EPOCHS) if self._has_skips else n_epochs

    _linear_init = "linear"
    _decoded_as = "(n_samples, n_targets)"

    def _find_linear_start(
        self, x: Tensor, random_state: np.random.RandomState
    ) -> RegressionStart:
        seen, wanted = self._inputs_and_targets(x)
        return RegressionStart.from_rows(seen, wanted, self.n_components, random_state)

    def _linear_start(self, start: RegressionStart) -> tuple[Any, Any, Tensor]:
        return start.encoder, start.decoder, start.variances

    def _make_module(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        center: Tensor,
        scale: Tensor,
        x: Tensor | None = None,
        linear_start: Any = None,
    ) -> EncoderDecoder:
        return EncoderDecoder(
            encoder,
            decoder,
            self._loss(),
            center=center,
            scale=scale,
            n_inputs=self.n_features_in_,
        )

    def _sorts_columns(self) -> bool:
        # Columns of x and those of y must not mix.
        return False

    def _set_results(
        self,
        module: Autoencoder,
        x: Tensor,
        error: float,
        random_state: np.random.RandomState,
    ) -> None:
        self.loss_ = error

    # Using a fitted estimator ---------------------------------------------------------

    def predict(self, X):
        """Predict the targets of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Targets in the units and the shape of those in `fit`, and of the dtype of X
            (float64 unless X is float32); with ``loss="log_loss"`` probabilities
            between 0 and 1.
        """
        Y = self._on_rows(X, "forward")
        return Y[:, 0] if self._is_flat else Y

    # Checks ---------------------------------------------------------------------------

    _STRUCTURE: ClassVar[tuple[str, ...]] = (
        *BaseEncoderDecoder._STRUCTURE,
        "target_shape",
        "skip_connections",
    )

    def _validate_rows(self, X: Any, reset: bool, loss: Any = None) -> Any:
        return self._check_rows(X, reset, needs_unit_interval=False)

    def _output_shape(self, n_inputs: int, n_outputs: int) -> ImageShape | None:
        if self.target_shape is None:
            return None
        if isinstance(self.target_shape, str):  # "auto"
            image_shape = self._image_shape(n_inputs)
            if image_shape is None:
                return None
            height, width, _ = image_shape
            n_channels, rest = divmod(n_outputs, height * width)
            return None if rest else (height, width, n_channels)
        shape = check_image_shape(self.target_shape, "target_shape")
        if math.prod(shape) != n_outputs:
            raise ValueError(
                f"target_shape={self.target_shape!r} has {math.prod(shape)} values, "
                f"but y has {n_outputs} columns."
            )
        return shape

    def _current_structure(self) -> dict[str, Any]:
        structure = super()._current_structure()
        if self.target_shape is not None and not isinstance(self.target_shape, str):
            structure["target_shape"] = check_image_shape(self.target_shape)
        return structure

    def _can_skip(self, n_inputs: int, n_outputs: int) -> bool:
        """Whether the decoder sees the encoder's maps."""
        seen = self._image_shape(n_inputs)
        shape = self._output_shape(n_inputs, n_outputs)
        has_own = self.encoder is not None or self.decoder is not None
        is_possible = (
            seen is not None
            and shape is not None
            and seen[:2] == shape[:2]
            and not has_own
            and bool(self._hidden_layer_sizes(n_inputs, seen))
        )
        if self.skip_connections is True and not is_possible:
            raise ValueError(
                "skip_connections=True needs convolutional networks of the package's "
                "own, for images of X and y of the same height and width; got "
                f"image_shape={self.image_shape!r}, "
                f"target_shape={self.target_shape!r}, "
                f"hidden_layer_sizes={self.hidden_layer_sizes!r}, "
                f"encoder={self.encoder!r} and decoder={self.decoder!r}."
            )
        return is_possible and bool(self.skip_connections)
