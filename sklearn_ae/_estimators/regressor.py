"""EncoderDecoderRegressor: the same networks with a target that is not the input."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from .._networks.architecture import Architecture, NetworkSpec
from .._networks.losses import LOSSES, SquaredError
from .._networks.modules import EncoderDecoder
from .._networks.starts import LinearPaths, RandomStart, ReducedRankStart
from .._tables.checks import (
    check_not_empty,
    check_unit_interval,
    encode_rows,
    read_kinds,
    validate_rows,
    without_wrapping,
)
from .._tables.columns import Columns
from .._tables.rows import Table, beside, is_lazy, is_long
from .._tables.wrong_cells import naming_cells
from .._training import recipe
from .._utils.arrays import answers_in_kind
from .._utils.types import (
    Activation,
    Auto,
    Callbacks,
    Device,
    HiddenLayerSizes,
    Loss,
    Network,
    PathLike,
    Precision,
    RandomState,
    Shape,
)
from .base import BaseEncoderDecoder, FitTable
from .design import Design, Trained


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

    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns of X are categories: "from_dtype" takes text, truth values and
        categorical types of a frame as they are; names, indices or a mask name further
        columns; None takes numbers alone.

    min_frequency : int, float or "auto", default="auto"
        Levels of a category that are rare share one indicator: those in fewer rows than
        an int, or than a float's share of the rows in which the column is known. "auto"
        is a share of 0.002, and of more levels than 50 keeps the most frequent; with a
        number there is no other bound, and 1 keeps all.

    learning_rate_init : float or "auto", default="auto"
        Peak learning rate of Adam; "auto" takes 3e-3 with skip connections, else 6e-3
        from a linear start and 1e-3 from a random one; where a training diverges, a
        tenth of that and then a hundredth.

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
        Below 1000 rows the best epoch is found by cross-validation instead, and
        on all tables below 10,000 rows a last training, on all rows, is as long as the
        held-out ones liked; not so with callbacks, which follow one training. A linear
        start stays where what was learned is not clearly better on the held-out rows.
        Without early stopping the loss on the training rows decides.

    validation_fraction : float, default=0.1
        Share of the rows held out. Below 1000 rows there are as many folds as hold out
        about twice that share each, from 2 to 10.

    n_iter_no_change : int or "auto", default="auto"
        Epochs without an improvement after which the training stops; with
        cross-validation all folds together, by the mean loss of the held-out rows.
        "auto" takes 25, but lets cross-validation go to the end of the schedule.

    tol : float, default=1e-4
        Least relative improvement that counts for ``n_iter_no_change``.

    warm_start : bool, default=False
        Let `fit` go on from the networks of the last call. A number
        ``max_iter`` then counts the epochs that these have had in all calls, so raise
        it to train on; "auto" trains as long again. Networks that stayed as they
        started have had none.

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

    checkpoint : str, path or None, default=None
        File in which `fit` keeps its training on the way, at least a minute apart: a
        process that is killed loses no more, and the same `fit` in another goes on from
        there to the same bits. One of other data, parameters or versions is refused. In
        a folder each fit has a file of its own, as in a search. Not with callbacks.

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

    columns_ : list of pairs
        What each column was taken for: its name, and its kind in words.

    n_iter_ : int
        Epochs trained, in all calls: with cross-validation those of each fold.

    best_iter_ : int
        Epoch that was best on held-out rows; 0 is the state before the first step. Its
        weights are kept, or below 10,000 rows tell how long to train on all rows.

    loss_curve_ : list of float
        Mean loss of the training rows in each epoch, in standardised units: of weights
        on their way.

    validation_loss_curve_ : list of float or None
        Mean loss of the held-out rows after each epoch; None without such rows. After
        cross-validation this and the other curves are means over the folds.

    loss_ : float
        Mean ``loss`` between the targets of the training rows and what the kept weights
        predict, per column and in the units of Y. The estimators whose targets are the
        rows themselves call it ``reconstruction_err_``.

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

    if TYPE_CHECKING:  # scikit-learn's, which is without types

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...

    def __init__(
        self,
        n_components: int = 32,
        *,
        hidden_layer_sizes: HiddenLayerSizes = "auto",
        activation: Activation = "silu",
        loss: Loss = "squared_error",
        init: Literal["auto", "linear", "random"] = "auto",
        encoder: Network = None,
        decoder: Network = None,
        image_shape: Shape = None,
        target_shape: Auto | Shape = "auto",
        skip_connections: bool | Auto = "auto",
        categorical_features: ArrayLike | None = "from_dtype",
        min_frequency: float | Auto = "auto",
        learning_rate_init: float | Auto = "auto",
        alpha: float | Auto = "auto",
        batch_size: int | Auto = "auto",
        max_iter: int | Auto = "auto",
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | Auto = "auto",
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: RandomState = 0,
        verbose: int = 0,
        device: Device = "auto",
        precision: Precision = "auto",
        callbacks: Callbacks = None,
        checkpoint: PathLike | None = None,
    ) -> None:
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
        self.categorical_features = categorical_features
        self.min_frequency = min_frequency
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
        self.checkpoint = checkpoint

    # Fitting --------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the networks from pairs of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, in any units.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets, in any units; in [0, 1] with ``loss="log_loss"``.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts. Whole numbers, up to a mean of 10, count copies
            of a row; all other weights matter up to a common factor. A row of weight 0
            is as if it were not there. None is 1 for each.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._fit(X, y, sample_weight)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on learning with one pass over pairs of rows.

        The first call lays out the networks and takes the centre, the scales and the
        linear start from the rows it is given, so these should be typical. Every
        call steps at ``learning_rate_init``, and holds no rows out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, any number of them.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts. Whole numbers, up to a mean of 10, count copies
            of a row; all other weights matter up to a common factor. A row of weight 0
            is as if it were not there. None is 1 for each.

        Returns
        -------
        self : object
            The estimator after the pass.
        """
        self._partial_fit(X, y, sample_weight)
        return self

    def _make_table(self, X: Any, y: Any, reset: bool) -> FitTable:
        X = without_wrapping(X)
        is_block_wise = is_lazy(X) or (isinstance(X, np.ndarray) and is_long(X))
        if is_block_wise or issparse(X):
            X = validate_rows(self, X, reset, needs_unit_interval=False)
            y = self._check_lone_targets(X, y)
        elif (kinds := read_kinds(self, X, reset)) is not None:
            X = encode_rows(self, X, kinds, reset)
            y = self._check_lone_targets(X, y)
        else:
            with naming_cells(X):
                X, y = validate_data(
                    *(self, X, y),
                    dtype=[np.float64, np.float32],
                    order="C" if reset else None,  # so that sums have the same bits
                    multi_output=True,
                    y_numeric=True,
                    ensure_all_finite="allow-nan",
                    reset=reset,
                )
            if reset:
                check_not_empty(X)
        is_flat = y.ndim == 1
        Y = self._validate_targets(y.reshape(len(y), -1), reset)
        self._is_flat, self.n_targets_ = is_flat, Y.shape[1]
        return FitTable(beside(X, Y), X.shape[1], self._kinds)

    def _check_lone_targets(self, X: Any, y: Any) -> np.ndarray:
        """Targets of rows that are not checked with them, but block by block."""
        if y is None:
            raise ValueError(
                "EncoderDecoderRegressor requires y to be passed, but the target y is "
                "None."
            )
        y = check_array(y, ensure_2d=False, input_name="y", estimator=self)
        check_consistent_length(X, y)
        return y

    def _validate_targets(self, Y: np.ndarray, reset: bool) -> np.ndarray:
        """Targets (n, m) as numbers in single or double precision."""
        if np.iscomplexobj(Y):
            raise ValueError("Complex data not supported as y.")
        Y = Y.astype(np.result_type(Y.dtype, np.float32), copy=False)
        Y = Y.astype(np.float64, copy=False) if Y.dtype != np.float32 else Y
        if LOSSES[self.loss].needs_unit_interval:
            check_unit_interval(Y, "y")
        if not reset and Y.shape[1] != self.n_targets_:
            raise ValueError(
                f"y has {Y.shape[1]} columns, but the networks were fitted with "
                f"{self.n_targets_}. Fit with warm_start=False to start anew."
            )
        return Y

    def _make_design(self, table: FitTable, columns: Columns | None) -> Design:
        spec = NetworkSpec.of(self.get_params(deep=False))
        d, m = table.n_own, table.n_beside
        architecture = Architecture(
            spec,
            n_inputs=d,
            n_outputs=m,
            image_shape=spec.images_of(d),
            target_shape=spec.target_images_of(d, m),
            is_of_pairs=True,
            decoded_as="(n_samples, n_targets)",
        )
        is_linear, has_skips = spec.starts_linear, architecture.has_skips
        rate = recipe.learning_rate(is_linear, architecture.widest_layer)
        if has_skips:
            rate = recipe.PIXEL_LEARNING_RATE
        if columns is None:
            is_image = architecture.image_shape is not None
            is_unit = LOSSES[self.loss].needs_unit_interval
            columns = Columns.of_pairs(table.X, d, is_image, is_unit, table.weights)
        return Design(
            columns=columns,
            architecture=architecture,
            loss=LOSSES[self.loss](),
            start=ReducedRankStart(self.n_components) if is_linear else RandomStart(),
            make_module=_make_module,
            recipe=self._recipe(architecture, rate, is_of_pixels=has_skips),
        )

    def _describe(self, trained: Trained) -> dict[str, Any]:
        return {"loss_": trained.error}

    # Using a fitted estimator ---------------------------------------------------------

    @answers_in_kind
    def predict(self, X: Any) -> np.ndarray:
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
        Y = self._compute("forward", self._validate_new_rows(X))
        return Y[:, 0] if self._is_flat else Y

    def _validate_new_rows(self, X: Any) -> np.ndarray | Table:
        check_is_fitted(self)
        return validate_rows(self, X, reset=False, needs_unit_interval=False)


def _make_module(
    encoder: nn.Module,
    decoder: nn.Module,
    loss: SquaredError,
    columns: Columns,
    paths: LinearPaths | None,
    x: Tensor,
) -> EncoderDecoder:
    center, scale, d = columns.center, columns.scale, columns.n_seen
    assert d is not None  # rows are pairs
    return EncoderDecoder(
        encoder, decoder, loss, center=center, scale=scale, n_inputs=d
    )
