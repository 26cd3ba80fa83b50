"""VAETransformer: the variational autoencoder."""

import math
import sys
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._inference.described import DescribedRows
from .._inference.diagnostics import (
    ACTIVE_KL,
    active_latents,
    mean_kl,
    n_latents_missed,
)
from .._inference.explained import explain
from .._inference.latents import signed_order
from .._inference.posterior import training_draws, training_moments
from .._inference.priors import AggregatedPosterior, Exemplars
from .._networks.losses import LOSSES, SquaredError
from .._networks.modules import Autoencoder
from .._networks.starts import (
    LinearPaths,
    ProbabilisticPCAStart,
    RandomStart,
    Start,
)
from .._networks.variational import VariationalAutoencoder, make_noise_network
from .._tables.columns import Columns
from .._tables.condition_columns import ConditionColumns
from .._tables.conditions import Conditions
from .._tables.rows import Table, block_rows
from .._training import recipe
from .._training.latent_density import autoregressive_where_better
from .._training.row_noise import learn_in_rounds
from .._utils.device import as_global, enough_threads
from .._utils.random import SEED_LIMIT
from .._utils.types import (
    Activation,
    Auto,
    Callbacks,
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
from .._utils.warnings import warn
from .base import FitTable
from .column_kinds import by_columns, check_goes_with_maps
from .design import Axes, Design, Trained
from .explaining import Explaining, attributes_of
from .vae_methods import FittedVAE, required_conditions

# Rows that the mixture for prior="aggregated" is fitted to.
_AGGREGATED_ROWS = 30_000
# Rows that the autoregressive density is fitted to.
_AUTOREGRESSIVE_ROWS = 100_000


class VAETransformer(FittedVAE):
    """Variational autoencoder that starts as probabilistic PCA.

    A generative model: latents z come from N(0, I), and a row x from a likelihood
    around the decoder's output. The encoder gives the mean and the log-variance of a
    Gaussian posterior over z, and both networks maximise the evidence lower bound
    (ELBO), a reconstruction term minus ``beta`` times the KL divergence of the
    posterior from the prior. The width of the likelihood is learned, so that no weight
    between the two terms needs tuning. With the squared error the start is
    probabilistic PCA, for which the bound is tight.

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
        The likelihood of a row: Gaussian, Laplace, or (for values in [0, 1]) Bernoulli.

    init : {"auto", "pca", "random"}, default="auto"
        "pca" starts encoder and decoder as probabilistic PCA (a linear path plus an MLP
        whose last layer is zero); it needs ``loss="squared_error"`` or
        "absolute_error" and no networks of your own. "random" gives plain MLPs.
        "auto" takes "pca" where it can.

    encoder, decoder : torch.nn.Module, callable or None, default=None
        Networks of your own. An instance is copied, never trained itself. A class or
        a function is called with the widths of input and output, ``encoder(n_features,
        2 * n_components)`` and ``decoder(n_components, n_features)``, or with nothing
        where it takes nothing. The encoder gives the posterior's means and, beside
        them, its log-variances. With ``loss="log_loss"`` the decoder gives logits.

    image_shape : tuple (height, width) or (height, width, channels), default=None
        Rows of X are flattened images of this shape, the last axis fastest, and the
        networks are convolutional: each of ``hidden_layer_sizes`` is the number of
        channels of a stage, which halves height and width (any size will do), and
        two dense layers of 256 follow. X and latents stay 2-D arrays. Networks of your
        own get rows of X as ever.

    noise : {"auto", "shared", "per_column", "per_row"}, default="auto"
        Whether the likelihood's learned width is one number for all columns, as in
        probabilistic PCA, or one for each, as in factor analysis. Both start at that
        of probabilistic PCA. With "per_row" it is one for each column that depends on
        the latents: the networks are those of "shared", and what varies around them is
        learned by `fit` afterwards [8]_, which makes densities of most tables much
        higher; one row in twenty has the shared noise all the same. `transform`,
        `reconstruct` and `interpolate` are those of "shared", to the bit; scores,
        posteriors, bounds and draws go by the noise of the row. "auto" is "per_row"
        where rows held out are likelier by it, and else, and with ``column_maps``,
        "shared". ``max_iter=0`` and `partial_fit` learn none that depends on the
        latents, and ``loss="log_loss"`` has none.

    beta : float, default=1.0
        Weight of the KL divergence; 1 makes the objective a bound on log p(x).

    kl_warmup : float, default=0
        Epochs over which the weight of the KL divergence rises to ``beta`` in even
        steps, so that latents come to life before they are charged for. Held-out rows
        are judged at the full weight in every epoch, and ``n_iter_no_change`` counts
        from the end of the warm-up.

    free_bits : float, default=0.0
        Nats of KL divergence per latent, on the mean of a batch, that are not charged
        for in training [5]_. Held-out rows are charged for all.

    n_importance_samples : int, default=1
        Draws from the posterior per row and step. With more than 1 the objective is
        the importance-weighted bound [3]_, which is tighter; a step then takes as many
        times the decoder's work.

    path_gradient : bool, default=False
        Leave out of the gradient, for the posterior, the part that is zero in the mean:
        what is left follows the path of the draws [6]_, with more than one importance
        sample their shares squared [7]_. Its noise vanishes as the posterior becomes
        exact, and long trainings of a density end higher. On tables with rows far out,
        where the posterior stays far from exact, it is the less steady of the two. Not
        with ``free_bits``.

    binarize : bool, default=False
        Read values of X in training as probabilities of binary ones, and draw these
        anew in every step ("dynamic binarisation" of images [3]_): networks then
        cannot learn one draw by heart. Goes with ``loss="log_loss"``. After `fit` all
        methods take rows as they are, so these should be binary.

    column_maps : "quantile" or None, default=None
        With "quantile" every column is learned as what it is, and rows that `sample`
        draws look like those of the table. Numbers become scores, normal quantiles of
        their ranks in `fit`; a value that many rows share is an atom with a
        probability, others have a density. Categories have the softmax for their
        likelihood. Which cells are missing is a part of a row. `score_samples` stays in
        the units of X; ``noise_variance_`` and errors are of scores. Latents are the
        encoder's, each number has its own noise, and the start is probabilistic PCA of
        scores and categories up to their links. For rows in memory, with
        ``loss="squared_error"`` and without ``image_shape``.

    n_exemplars : int, default=0
        Training rows, at most, whose posteriors the fitted model remembers for
        ``prior="exemplars"`` of `sample` and `score_samples`. The decoder gives much of
        such rows back, so a model that is passed on tells of them. After `partial_fit`
        they are of all passes, each as the networks of its pass saw it.

    conditional : bool, default=False
        Whether to learn the density of X given y: labels, numbers, times or a table of
        these. y then goes to every method that takes or gives rows. A column of labels
        becomes indicators, others are standardised; the networks see them
        beside rows and latents, and networks of your own get as many more inputs. A
        PCA start is that of what a linear regression on the conditions leaves. With
        False y is ignored.

    condition_columns : array-like or None, default=None
        Names, indices or a mask of columns of X that the others are conditioned on:
        the same model as with ``conditional=True``, whose methods take rows without a
        y, so that it stands in a Pipeline. Conditions of rows to be (`sample`,
        `inverse_transform`) are given as y, a table with these columns or a dict, and
        stand in the rows that come back.

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
        Which latents a row is given. "encoder" takes one pass of the encoder: a guess.
        "refined" goes on from there to the mode of p(z | x), with the curvature there
        for its width: scores are then closer to log p(x), and a row costs more. "auto"
        is "refined" where that takes less than about a millisecond per row, with the
        package's own dense networks, and else "encoder". Networks are chosen by it, so
        that it takes effect in `fit`.

    learning_rate_init : float or "auto", default="auto"
        Peak learning rate of Adam; "auto" takes 6e-3 from a PCA start (with
        ``image_shape`` 2e-3, and less where a layer is wider than 256) and 1e-3 from a
        random one; where a training diverges, a tenth of that and then a hundredth.

    alpha : float or "auto", default="auto"
        Weight decay of the networks beside the linear paths, for the training as a
        whole: weights that the data do not hold shrink by a factor of exp(-alpha) from
        start to end, however many steps that takes. 0 is plain Adam, otherwise it is
        AdamW. "auto" takes 0 from a random start; from a PCA start 1, and up to 3
        where a table without ``image_shape`` has fewer than 200 rows for each column.

    batch_size : int or "auto", default="auto"
        Rows per step; "auto" takes 128, or more on tables of over 10,000 rows.

    max_iter : int or "auto", default="auto"
        Epochs, at most: the learning rate rises and falls over so many. "auto" takes
        75, or fewer on tables of over 10,000 rows. With 0 nothing is trained, and what
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
        Minus the bound that is maximised, in nats: the mean of the training rows in
        each epoch, standardised, under weights on their way.

    validation_loss_curve_ : list of float or None
        Mean loss of the held-out rows after each epoch; None without such rows. With
        refined inference and ``beta=1`` it is minus a tighter bound on their
        log-density than that of training. After cross-validation this and the other
        curves are means over the folds.

    reconstruction_err_ : float
        Mean ``loss`` between the training rows and what the kept weights reconstruct of
        them, per feature and in the units of X. It is no log-likelihood, and neither
        minus the `score` of these rows nor a value of ``loss_curve_``. With
        ``binarize`` it is of binary draws of the rows, as all of the training.

    noise_variance_ : float or ndarray of shape (`n_features_in_`,)
        Learned variance of the likelihood around the decoder's output, in squared units
        of X, that all rows share; for each column where ``noise`` is "per_column" or
        the columns are of several kinds; nan with ``loss="log_loss"``. Where the noise
        follows the latents, this is what it varies around, and what `transform` goes
        by.

    kl_per_component_ : ndarray of shape (n_components,)
        KL divergence of each latent's posterior by itself from the prior, mean over the
        training rows, in nats: what the latent says about a row, in falling order.

    n_active_components_ : int
        Number of latents with more than 0.01 nats. `fit` from a random start warns
        where most latents are dead and principal components say that they need not be.

    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        Share of the variance of training rows that each latent adds to those before
        it, where those behind it stay at zero: in the order of their KL
        divergences. Of more than 16 latents some are interpolated.

    explained_variance_ : ndarray of shape (`n_components_`,)
        The same in squared units of X; of tables of several kinds, of the networks.

    mean_ : ndarray of shape (n_numbers,)
        Means of the training rows; of a category there is one for each level.

    history_ : skorch.history.History
        skorch's record of the training.

    See Also
    --------
    AutoencoderTransformer : Deterministic, with the lower reconstruction error.
    sklearn.decomposition.PCA : Its `score_samples` is that of probabilistic PCA.
    sklearn.mixture.GaussianMixture : Another density with a log-likelihood.

    References
    ----------
    .. [1] D. P. Kingma and M. Welling, "Auto-encoding variational Bayes", ICLR 2014.

    .. [2] M. E. Tipping and C. M. Bishop, "Probabilistic principal component analysis",
       Journal of the Royal Statistical Society B 61, 611-622, 1999.

    .. [3] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance weighted autoencoders",
       ICLR 2016.

    .. [4] O. Rybkin, K. Daniilidis and S. Levine, "Simple and effective VAE training
       with calibrated decoders", ICML 2021.

    .. [5] D. P. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever and
       M. Welling, "Improved variational inference with inverse autoregressive flow",
       NeurIPS 2016.

    .. [6] G. Roeder, Y. Wu and D. Duvenaud, "Sticking the landing: simple,
       lower-variance gradient estimators for variational inference", NIPS 2017.

    .. [7] G. Tucker, D. Lawson, S. Gu and C. J. Maddison, "Doubly reparameterized
       gradient estimators for Monte Carlo objectives", ICLR 2019.

    .. [8] D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target
       probability distribution", ICNN 1994.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import VAETransformer
    >>> X = load_iris().data
    >>> vae = VAETransformer(2, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (150, 2)
    >>> vae.sample(3).shape
    (3, 4)
    >>> vae.reconstruct(X).shape
    (150, 4)

    The log-density of each row, in nats, and the parts of its lower bound:

    >>> vae.score_samples(X).shape
    (150,)
    >>> bound = vae.elbo(X)
    >>> bound.reconstruction.shape, bound.kl.shape
    ((150,), (150, 2))

    The noise has the variance that the latents leave, much less than there was:

    >>> bool(0 < vae.noise_variance_ < 0.2 * X.var(axis=0).mean())
    True

    Posteriors of rows, draws of them, and the way from one row to another:

    >>> mean, std = vae.posterior(X)
    >>> mean.shape, std.shape
    ((150, 2), (150, 2))
    >>> Z = vae.sample_posterior(X, n_samples=5)
    >>> Z.shape
    (5, 150, 2)
    >>> vae.inverse_transform(Z[0]).shape
    (150, 4)
    >>> vae.interpolate(X[:1], X[-1:], n_steps=7).shape
    (7, 1, 4)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **Explaining._parameter_constraints,
        "noise": [StrOptions({"auto", "shared", "per_column", "per_row"})],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Real, 0, None, closed="left")],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        "n_importance_samples": [Interval(Integral, 1, None, closed="left")],
        "path_gradient": ["boolean"],
        "binarize": ["boolean"],
        "column_maps": [None, StrOptions({"quantile"})],
        "n_exemplars": [Interval(Integral, 0, None, closed="left")],
        "conditional": ["boolean"],
        "condition_columns": ["array-like", None],
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
        noise: Literal["auto", "shared", "per_column", "per_row"] = "auto",
        beta: float = 1.0,
        kl_warmup: float = 0,
        free_bits: float = 0.0,
        n_importance_samples: int = 1,
        path_gradient: bool = False,
        binarize: bool = False,
        column_maps: Literal["quantile"] | None = None,
        n_exemplars: int = 0,
        conditional: bool = False,
        condition_columns: ArrayLike | None = None,
        categorical_features: ArrayLike | None = "from_dtype",
        min_frequency: float | Auto = "auto",
        inference: InferenceName = "auto",
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
        self.noise = noise
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.free_bits = free_bits
        self.n_importance_samples = n_importance_samples
        self.path_gradient = path_gradient
        self.binarize = binarize
        self.column_maps = column_maps
        self.n_exemplars = n_exemplars
        self.conditional = conditional
        self.condition_columns = condition_columns
        self.categorical_features = categorical_features
        self.min_frequency = min_frequency
        self.inference = inference
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

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn the networks from the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, in any units.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            With ``conditional=True`` what each row is conditioned on; ignored
            otherwise.

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

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Go on learning with one pass over the rows of X.

        The first call lays out the networks and takes the centre, the scale and the
        linear start from the rows it is given, so these should be typical; with
        ``conditional=True`` it must know every label. Every call steps at
        ``learning_rate_init``, holds no rows out, and leaves the axes of the latent
        space as they are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, any number of them.

        y : array-like of shape (n_samples,) or (n_samples, n_conditions), default=None
            With ``conditional=True`` what each row is conditioned on; ignored
            otherwise.

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

    def truncate(self, n_components: int) -> Self:
        """Return a smaller fitted estimator: the first latents of this one.

        The other latents stay at zero, the mean of their prior, and the likelihood is
        as much wider as rows are further from what the decoder gives then. A fit with
        as many latents is better.

        Parameters
        ----------
        n_components : int
            Latents to keep, from 1 to ``n_components_``.

        Returns
        -------
        truncated : object
            An estimator of the same class, independent of this one. Of missing cells
            its `impute` knows what a linear model of the rows says.
        """
        check_is_fitted(self)
        loss = self.module_.loss_function
        if loss.has_noise and loss.scale_power == 0:
            raise ValueError(
                "truncate widens a likelihood by one factor for all columns, which "
                f"those of column_maps={self._spec.column_maps!r} have not: fit anew "
                "with as many latents."
            )
        truncated = super().truncate(n_components)
        n_kept = truncated.n_components_
        truncated.kl_per_component_ = self.kl_per_component_[:n_kept]
        truncated.n_active_components_ = len(
            active_latents(self.kl_per_component_[:n_kept])
        )
        if self._exemplars is not None:
            truncated._exemplars = self._exemplars.of_first(n_kept)
        if loss.has_noise and n_kept < self.n_components_:
            # As PCA's, the noise is what is left for each dimension that is left.
            d = len(self.module_.center)
            before, after = (
                model._explained.errors[-1] / max(1, d - model.n_components_)
                for model in (self, truncated)
            )
            ratio = max(1.0, after / before) if before > 0 else 1.0
            module = cast(VariationalAutoencoder, truncated.module_)
            module.widen(
                ratio ** (2.0 / loss.scale_power), truncated._explained.latents
            )
        return truncated

    def _validate_params(self) -> None:
        super()._validate_params()
        if self.free_bits > 0 and self.n_importance_samples > 1:
            raise ValueError(
                "free_bits are of the KL divergence, which the importance-weighted "
                f"bound does not have; got free_bits={self.free_bits!r} with "
                f"n_importance_samples={self.n_importance_samples}. Set one of the two."
            )
        if self.free_bits > 0 and self.path_gradient:
            raise ValueError(
                "free_bits are of the KL divergence in closed form, which "
                f"path_gradient=True does without; got free_bits={self.free_bits!r}. "
                "Set one of the two."
            )
        if self.binarize and self.loss != "log_loss":
            raise ValueError(
                "binarize=True draws binary values, of which the log loss is the "
                f'likelihood; got loss={self.loss!r}. Use loss="log_loss".'
            )
        names_columns = self.condition_columns is not None
        if self.conditional and names_columns:
            raise ValueError(
                "Conditions are either y, with conditional=True, or columns of X, with "
                f"condition_columns={self.condition_columns!r}. Set one of the two."
            )
        if (self.conditional or names_columns) and self.image_shape is not None:
            given = "condition_columns" if names_columns else "conditional=True"
            raise ValueError(
                f"{given} needs networks that take the conditions beside a "
                "row, which those for images do not: leave image_shape at None, or "
                "give an encoder and a decoder of your own."
            )

        if self.column_maps is not None:
            check_goes_with_maps(self)

    def _make_table(self, X: Any, y: Any, reset: bool) -> FitTable:
        table = super()._make_table(X, None, reset)
        if reset:
            self._conditions = self._find_conditions(table.X, y)
        X = self._with_conditions(table.X, y)
        known = self._conditions
        if isinstance(known, ConditionColumns):
            return FitTable(X, X.shape[1] - known.n_numbers, known.of_own)
        return FitTable(X, table.n_own, table.kinds)

    def _find_conditions(
        self, X: np.ndarray | Table, y: Any
    ) -> Conditions | ConditionColumns | None:
        """What the rows of a fit are conditioned on: y, columns of X, or nothing."""
        if self.conditional:
            check_consistent_length(X, required_conditions(y))
            return Conditions(y)
        if self.condition_columns is None:
            return None
        names = [name for name, _ in self._kinds_of_columns()]
        return ConditionColumns(
            *(self.condition_columns, names, X, self._kinds),
            in_unit_interval=LOSSES[self.loss]().needs_unit_interval,
        )

    def _make_design(self, table: FitTable, columns: Columns | None) -> Design:
        architecture = self._architecture(
            table,
            outputs_per_latent=2,
            encoded_as="means and log-variances side by side "
            "(n_samples, 2 * n_components)",
            # The likelihood of each column is known by its place.
            keeps_order=self.column_maps is not None,
        )
        is_linear = architecture.spec.starts_linear
        k, m = self.n_components, table.n_beside
        is_mapped = self.column_maps is not None
        rate = recipe.learning_rate(is_linear, architecture.widest_layer)
        if architecture.image_shape is not None:
            rate = min(rate, recipe.VARIATIONAL_PIXEL_LEARNING_RATE)
        # While the weight of the KL divergence rises, the bound that is watched may
        # well fall.
        n_iter_eased = math.ceil(self.kl_warmup)
        noise_per_column = is_mapped or self.noise == "per_column"
        bound = self._bound()

        def make_module(
            encoder: nn.Module,
            decoder: nn.Module,
            loss: SquaredError,
            columns: Columns,
            paths: LinearPaths | None,
            x: Tensor,
        ) -> VariationalAutoencoder:
            # Before anything is learned, the noise is all the data's spread.
            variance = 1.0 if paths is None else paths.noise_variance
            return VariationalAutoencoder(
                encoder,
                decoder,
                loss,
                center=columns.center,
                scale=columns.scale,
                noise_scale=loss.noise_scale(variance),
                noise_per_column=noise_per_column,
                n_conditions=m,
                **bound,
            )

        loss: SquaredError = LOSSES[self.loss]()
        start: Start = ProbabilisticPCAStart(k, m) if is_linear else RandomStart()
        if is_mapped:
            loss, start = by_columns(table, start)
        return Design(
            columns=self._columns(table) if columns is None else columns,
            architecture=architecture,
            loss=loss,
            start=start,
            make_module=make_module,
            recipe=self._recipe(architecture, rate, n_iter_eased=n_iter_eased),
            inference=self._make_inference(architecture, pays=not is_mapped),
            find_axes=self._find_axes,
            renew=self._renew,
            finish=self._finish,
        )

    def _bound(self) -> dict[str, Any]:
        """Parameters of the bound that is maximised, which may change between fits."""
        names = (
            "beta",
            "kl_warmup",
            "free_bits",
            "n_importance_samples",
            "path_gradient",
            "binarize",
        )
        return {name: getattr(self, name) for name in names}

    def _renew(self, module: Autoencoder) -> None:
        for name, value in self._bound().items():
            setattr(module, name, value)
        if self.max_iter != 0:
            # Networks that go on learning do so with the noise that all rows share.
            cast(VariationalAutoencoder, module).keep_noise_network(None)

    def _finish(
        self, module: Autoencoder, rows: DescribedRows, seed: int
    ) -> DescribedRows:
        """Learn how the noise depends on the latents, where it is asked for."""
        module = cast(VariationalAutoencoder, module)
        # With column maps it changes little.
        is_wanted = self.noise == "auto" and self.column_maps is None
        is_wanted |= self.noise == "per_row"
        # With no step it is the linear model, or a fit that stays as it was.
        is_wanted &= module.loss_function.has_noise and self.max_iter != 0
        if not is_wanted:
            return rows.finding_modes(module)
        most_epochs = sys.maxsize if self.max_iter == "auto" else self.max_iter
        d, n_given = len(module.center), self.n_components + module.n_conditions
        with as_global(torch.Generator().manual_seed(seed)):
            network: nn.Module = make_noise_network(n_given, d, self.activation)
        return learn_in_rounds(
            *(module, rows, network.to(rows.x), seed, most_epochs),
            where_better=self.noise == "auto",
        )

    def _find_axes(self, module: Autoencoder, rows: DescribedRows) -> Axes:
        module = cast(VariationalAutoencoder, module)
        rows = rows.drawn
        kl = mean_kl(module, rows.x, rows.inference, _known_latents(module, rows))
        # The encoder's covariance is diagonal in these axes and in no others.
        rotation = signed_order(rows.z, kl, module.parts(module.filled(rows.x))[0])
        return rotation, torch.zeros_like(rotation[0])

    def _describe(self, trained: Trained) -> dict[str, Any]:
        module = cast(VariationalAutoencoder, trained.module)
        rows = trained.rows
        known = _known_latents(module, rows)
        kl = mean_kl(module, rows.x, rows.inference, known).cpu().numpy()
        active = active_latents(kl)
        described = {
            "kl_per_component_": kl,
            "n_active_components_": len(active),
            "reconstruction_err_": trained.error,
            **attributes_of(explain(module, rows)),
            "_imputer": self._imputer_of(trained),
            **self._latents_kept(trained, active),
        }
        self._warn_if_collapsed(trained, kl)
        return described

    def _warn_if_collapsed(self, trained: Trained, kl: np.ndarray) -> None:
        """Warn where most latents are dead though the rows have something for them.

        What a PCA start leaves without use was given up for a higher bound. From a
        random start, latents may never have come to life.
        """
        is_trained = not trained.is_one_pass and trained.course["best_iter_"] > 0
        if trained.design.architecture.spec.starts_linear or not is_trained:
            return
        module = cast(VariationalAutoencoder, trained.module)
        n_missed = n_latents_missed(module, trained.rows.x, kl)
        if n_missed == 0:
            return
        k = len(kl)
        has_own = self.encoder is not None or self.decoder is not None
        pca = "" if has_own or self.loss == "log_loss" else 'init="pca", '
        warn(
            f"The posterior collapsed: {k - len(active_latents(kl))} of {k} latents "
            f"carry less than {ACTIVE_KL} nats, although {n_missed} principal "
            f"components stand out of the noise. Try {pca}kl_warmup=20, free_bits=0.1, "
            f"n_importance_samples=10 or a lower beta (now {self.beta:g}); or ask for "
            "fewer n_components.",
            ConvergenceWarning,
        )

    def _latents_kept(self, trained: Trained, active: np.ndarray) -> dict[str, Any]:
        """What the priors "aggregated" and "exemplars" keep of the training rows."""
        module = cast(VariationalAutoencoder, trained.module)
        drawn = trained.random_state.randint(SEED_LIMIT)
        # Another seed on every pass, or chunk after chunk would meet the same noise.
        seed = (drawn + trained.course["n_iter_"]) % SEED_LIMIT
        random_state = np.random.RandomState(seed)
        rows = trained.rows
        x, inference = rows.x, rows.inference
        generator = torch.Generator(x.device).manual_seed(seed)
        with enough_threads(module, block_rows(module.loss_size)):
            Z = training_draws(
                *(module, x, _AGGREGATED_ROWS, random_state, generator, inference),
                _known_latents(module, rows),
            )
        density = self._density_of(
            *(Z, trained, random_state),
            max_rows=_AGGREGATED_ROWS,
            # Of latents that say nothing the prior knows all there is to know.
            axes=active,
        )
        exemplars = self._exemplars_of(trained, random_state, generator)
        autoregressive = None
        if self.column_maps is not None and not trained.is_one_pass:
            mean, std = training_moments(
                *(module, x, _AUTOREGRESSIVE_ROWS, random_state, generator, inference),
                _known_latents(module, rows),
            )
            autoregressive = autoregressive_where_better(
                AggregatedPosterior(density), mean, std, active, seed
            )
        return {
            "_latent_density": density,
            "_exemplars": exemplars,
            "_autoregressive": autoregressive,
        }

    def _exemplars_of(
        self,
        trained: Trained,
        random_state: np.random.RandomState,
        generator: torch.Generator,
    ) -> Exemplars | None:
        """Posteriors of some rows of a fit, or of all passes up to this one."""
        if not self.n_exemplars:
            return None
        module, rows = cast(VariationalAutoencoder, trained.module), trained.rows
        mean, std = training_moments(
            *(module, rows.x, self.n_exemplars, random_state, generator),
            *(rows.inference, _known_latents(module, rows)),
        )
        exemplars = Exemplars(rows.n_samples, mean, std)
        known: Exemplars | None = self._of_earlier_rows("_exemplars", trained)
        if known is None:
            return exemplars
        return known.pooled_with(exemplars, self.n_exemplars, random_state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = bool(self.conditional)
        return tags


def _known_latents(
    module: VariationalAutoencoder, rows: DescribedRows
) -> torch.Tensor | None:
    """Modes of training rows' posteriors, unless these are of rows that are drawn."""
    return None if module.binarize else rows.modes
