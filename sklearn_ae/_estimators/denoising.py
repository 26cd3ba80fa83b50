"""DenoisingAutoencoderTransformer: learns to undo a corruption."""

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, ClassVar, Literal

import torch
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from .._networks.architecture import NetworkSpec
from .._networks.corruptions import (
    BlockCorruption,
    CallableCorruption,
    Corruption,
    GaussianCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
    SwapCorruption,
)
from .._networks.losses import SquaredError
from .._networks.modules import Autoencoder
from .._networks.starts import LinearPaths
from .._tables.columns import Columns
from .._utils.types import (
    Activation,
    Auto,
    Callbacks,
    CorruptionName,
    Device,
    HiddenLayerSizes,
    InferenceName,
    Loss,
    Network,
    NumberOfLatents,
    PathLike,
    Precision,
    RandomState,
    Shape,
)
from .autoencoders import LearnsByParts
from .base import FitTable
from .design import Design
from .explaining import Explaining, Nesting
from .imputing import Imputing


class DenoisingAutoencoderTransformer(LearnsByParts, Nesting, Imputing):
    """Autoencoder that learns to give back clean rows from corrupted ones.

    In training the encoder sees each row corrupted, with new noise every time, and
    the loss compares the reconstruction with the clean row. The latents then carry
    what survives the corruption: the structure that the columns share. `transform`
    and the held-out rows that decide about the best weights see no corruption.

    Parameters
    ----------
    n_components : int, float, "auto" or None, default=2
        Number of latents, at least 1. A float between 0 and 1 takes the least number
        that explains this share of the variance of held-out rows. "auto" takes the
        least number whose error at hidden cells of held-out rows is at most a standard
        error above the lowest: latents that say nothing of other cells than their own
        are left out. Short trainings on up to 5000 rows find these numbers, and the fit
        is then that of the number. None takes as many as PCA can use, up to 64.

    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers, first to last; the decoder has them in
        reverse. An empty sequence gives linear networks. "auto" chooses from the
        shape of X. With ``image_shape`` these are channels of convolutions.

    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", \
            "gelu", "silu"}, default="silu"
        What stands between the layers.

    loss : {"squared_error", "absolute_error", "log_loss"}, default="squared_error"
        What a reconstruction is judged by. "log_loss" (binary cross-entropy) is for
        values in [0, 1]; reconstructions then are in (0, 1) too.

    init : {"auto", "pca", "random"}, default="auto"
        "pca" starts encoder and decoder as PCA (a linear path plus an MLP whose last
        layer is zero), so that training can only improve on it; it needs
        ``loss="squared_error"`` or "absolute_error" and no networks of your own.
        "random" gives plain MLPs. "auto" takes "pca" where it can.

    encoder, decoder : torch.nn.Module, callable or None, default=None
        Networks of your own. An instance is copied, never trained itself. A class or
        a function is called with the widths of input and output, ``encoder(n_features,
        n_components)`` and ``decoder(n_components, n_features)``, or with nothing
        where it takes nothing. With ``loss="log_loss"`` the decoder gives logits.

    image_shape : tuple (height, width) or (height, width, channels), default=None
        Rows of X are flattened images of this shape, the last axis fastest, and the
        networks are convolutional: each of ``hidden_layer_sizes`` is the number of
        channels of a stage, which halves height and width (any size will do), and
        two dense layers of 256 follow. X and latents stay 2-D arrays. Networks of your
        own get rows of X as ever; the corruption "block" asks for the shape all the
        same.

    corruption : {"gaussian", "masking", "salt_and_pepper", "swap", "block"} or \
            callable, default="gaussian"
        What is done to a row before the encoder sees it in training: noise of
        ``corruption_level`` standard deviations of each column; or, to that fraction
        of the entries, replacing them by the column's mean ("masking"), by its lowest
        or highest value ("salt_and_pepper"), or by the column's value in another row
        ("swap"). "block" removes a rectangle of the image, at a random place, of random
        shape and of that fraction of the area on average: the mean image's values take
        its place; it needs ``image_shape``. A function gets a batch of rows as a tensor
        of shape (n, n_features), in the units and the dtype of X, and returns one of
        the same shape; what it draws from torch's global generator is reproducible.

    corruption_level : float, default=0.3
        Strength of the corruption: standard deviations for "gaussian", a fraction
        between 0 and 1 for the others; a function sees nothing of it.

    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns of X are categories: "from_dtype" takes text, truth values and
        categorical types of a frame as they are; names, indices or a mask name further
        columns; None takes numbers alone.

    min_frequency : int, float or "auto", default="auto"
        Levels of a category that are rare share one indicator: those in fewer rows than
        an int, or than a float's share of the rows in which the column is known. "auto"
        is a share of 0.002, and of more levels than 50 keeps the most frequent; with a
        number there is no other bound, and 1 keeps all.

    inference : {"auto", "refined", "encoder"}, default="auto"
        Which latents a row is given. "encoder", and "auto", takes one pass of the
        encoder, which has learned to see through the corruption. "refined" goes on from
        there to those from which the decoder gives the row best, as it comes: of clean
        rows the error is lower, but what is corrupted is believed. Networks are chosen
        by it, so that it takes effect in `fit`.

    nested : bool, default=False
        Let the first latents do without the others: the training also decodes the rows
        from the first latents alone, each number by a decoder of its own, which
        `truncate` takes; of more than 16 latents that are the first 1, 2, 3, 4, 6, 8,
        12, 16, 24 and so on. Losses are means over all of these, and latents keep the
        order that they have learned. Networks of your own have one decoder for all. A
        fit takes a few times as long, and with all latents the error may be higher or
        lower.

    whiten : bool, default=False
        Give latents unit variance on the training rows, as PCA has it;
        `inverse_transform` takes them so.

    learning_rate_init : float or "auto", default="auto"
        Peak learning rate of Adam; "auto" takes 6e-3 from a PCA start and 1e-3 from a
        random one, less from PCA where a layer is wider than 256, and 1.4 times as much
        with the larger batches of batch_size="auto"; where a training diverges, a tenth
        of that and then a hundredth.

    alpha : float or "auto", default="auto"
        Weight decay of the networks beside the linear paths, for the training as a
        whole: weights that the data do not hold shrink by a factor of exp(-alpha) from
        start to end, however many steps that takes. 0 is plain Adam, otherwise it is
        AdamW. "auto" takes 0 from a random start; from a PCA start 1, and up to 3
        where a table without ``image_shape`` has fewer than 200 rows for each column.

    batch_size : int or "auto", default="auto"
        Rows per step; "auto" takes 128, and more on tables of over 10,000 rows. From a
        PCA start, with a squared error and without image_shape, tables of 1000 rows or
        more have twice as many.

    max_iter : int or "auto", default="auto"
        Epochs, at most: the learning rate rises and falls over so many. "auto" takes
        75, with up to two latents and 1000 rows or more 90, and fewer on tables of
        over 10,000 rows. With 0 nothing is trained, and what
        comes out is the start.

    early_stopping : bool, default=True
        Hold out ``validation_fraction`` of the rows, keep the weights with the lowest
        loss on them, and stop after ``n_iter_no_change`` epochs without a lower one.
        Below 1000 rows the best epoch is found by cross-validation instead, and
        on all tables below 10,000 rows a last training, on all rows, is as long as the
        held-out ones liked; not so with callbacks, which follow one training. A PCA
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
        The trained module. Called with rows in the units of X it encodes and decodes
        them, in one pass.

    n_components_ : int
        Number of latents.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.

    columns_ : list of pairs
        What each column was taken for: its name, and its kind in words.

    n_iter_ : int
        Epochs trained, in all calls: with cross-validation those of each fold.

    best_iter_ : int
        Epoch that was best on held-out rows; 0 is the state before the first step. Its
        weights are kept, or below 10,000 rows tell how long to train on all rows.

    loss_curve_ : list of float
        Mean loss of the training rows in each epoch, in standardised units: of weights
        on their way, and from corrupted rows.

    validation_loss_curve_ : list of float or None
        Mean loss of the held-out rows after each epoch, with the latents that
        ``inference`` gives them, where the training loss has the encoder's; None
        without such rows. After cross-validation this and the other curves are means
        over the folds.

    reconstruction_err_ : float
        Mean ``loss`` between the training rows and what the kept weights reconstruct of
        them, not corrupted, per feature and in the units of X: minus the `score` of
        these rows.

    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        Share of the variance of training rows that each latent adds to those before
        it, where those behind it stay at zero. Of more than 16 latents some are
        interpolated.

    explained_variance_ : ndarray of shape (`n_components_`,)
        The same in squared units of X; of tables of several kinds, of the networks.

    mean_ : ndarray of shape (n_numbers,)
        Means of the training rows; of a category there is one for each level.

    history_ : skorch.history.History
        skorch's record of the training.

    See Also
    --------
    AutoencoderTransformer : The same without corruption.
    VAETransformer : Learns a density, and can be sampled.

    References
    ----------
    .. [1] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol, "Stacked
       denoising autoencoders: learning useful representations in a deep network with a
       local denoising criterion", Journal of Machine Learning Research 11, 3371-3408,
       2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ae import DenoisingAutoencoderTransformer
    >>> X = load_digits().data
    >>> denoiser = DenoisingAutoencoderTransformer(16, corruption_level=1.0)
    >>> denoiser = denoiser.fit(X[:1500])
    >>> rng = np.random.default_rng(0)
    >>> noisy = X[1500:] + rng.normal(scale=4.0, size=X[1500:].shape)
    >>> clean = denoiser.reconstruct(noisy)
    >>> bool(np.mean((clean - X[1500:]) ** 2) < np.mean((noisy - X[1500:]) ** 2))
    True
    >>> denoiser.transform(noisy).shape
    (297, 16)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **Explaining._parameter_constraints,
        **Nesting._parameter_constraints,
        "corruption": [
            StrOptions({"gaussian", "masking", "salt_and_pepper", "swap", "block"}),
            callable,
        ],
        "corruption_level": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: NumberOfLatents = 2,
        *,
        hidden_layer_sizes: HiddenLayerSizes = "auto",
        activation: Activation = "silu",
        loss: Loss = "squared_error",
        init: Literal["auto", "pca", "random"] = "auto",
        encoder: Network = None,
        decoder: Network = None,
        image_shape: Shape = None,
        corruption: CorruptionName = "gaussian",
        corruption_level: float = 0.3,
        categorical_features: ArrayLike | None = "from_dtype",
        min_frequency: float | Auto = "auto",
        inference: InferenceName = "auto",
        nested: bool = False,
        whiten: bool = False,
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
        self.corruption = corruption
        self.corruption_level = corruption_level
        self.categorical_features = categorical_features
        self.min_frequency = min_frequency
        self.inference = inference
        self.nested = nested
        self.whiten = whiten
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

    def _validate_params(self) -> None:
        super()._validate_params()
        is_fraction = isinstance(self.corruption, str) and self.corruption != "gaussian"
        if is_fraction and self.corruption_level > 1:
            raise ValueError(
                f"corruption_level is a fraction between 0 and 1 for corruption="
                f"{self.corruption!r}; got {self.corruption_level!r}."
            )
        if self.corruption == "block" and self.image_shape is None:
            raise ValueError(
                'corruption="block" removes rectangles of an image: set image_shape, '
                'or use corruption="masking" for rows that are no images.'
            )

    def _make_design(self, table: FitTable, columns: Columns | None) -> Design:
        make_corruption = self._corruption_maker()

        def make_module(
            encoder: nn.Module,
            decoder: nn.Module,
            loss: SquaredError,
            columns: Columns,
            paths: LinearPaths | None,
            x: Tensor,
        ) -> Autoencoder:
            return Autoencoder(
                encoder,
                decoder,
                loss,
                center=columns.center,
                scale=columns.scale,
                corruption=make_corruption(x, columns),
            )

        # The projection of a corrupted row is near what is corrupted in it; the encoder
        # has learned what the clean row was.
        return self._reconstruction(
            table,
            columns,
            make_module,
            refining_pays=False,
            renew=self._renew,
            **self._nesting(),
        )

    def _corruption_maker(self) -> Callable[[Tensor, Columns], nn.Module]:
        """What makes the corruption for standardised rows (n, d)."""
        spec = NetworkSpec.of(self.get_params(deep=False))
        return partial(_make_corruption, self.corruption, self.corruption_level, spec)

    def _renew(self, module: Autoencoder) -> None:
        if isinstance(module.corruption, Corruption):
            module.corruption.level = self.corruption_level


def _make_corruption(
    kind: Any, level: float, spec: NetworkSpec, x: Tensor, columns: Columns
) -> nn.Module:
    """The corruption for standardised rows such as x (n, d)."""
    if kind == "gaussian":
        return GaussianCorruption(level, x.std(dim=0, correction=0))
    if kind == "masking":
        return MaskingCorruption(level, x.mean(dim=0))
    if kind == "salt_and_pepper":
        return SaltAndPepperCorruption(level, *torch.aminmax(x, dim=0))
    if kind == "swap":
        return SwapCorruption(level)
    if kind == "block":
        image_shape = spec.images_of(x.shape[1])
        assert image_shape is not None  # _validate_params has seen to it
        return BlockCorruption(level, x.mean(dim=0), image_shape)
    return CallableCorruption(kind, columns.center, columns.scale)
