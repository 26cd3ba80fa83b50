"""VAETransformer: the variational autoencoder."""

from numbers import Integral, Real
from typing import ClassVar, cast

import numpy as np
import torch
from sklearn.utils import check_scalar
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ._base import SEED_LIMIT, BaseAutoencoder, make_random_state, over_blocks
from ._latents import signed_order
from ._modules import Autoencoder, VariationalAutoencoder
from ._networks import Layer, LinearStart

# Entries of an array (samples, rows, features) that score_samples holds at a time.
_SCORE_BLOCK = 2**24


class VAETransformer(BaseAutoencoder):
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
    n_components : int, default=2
        Number of latents, at least 1.

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
        channels of a stage, which halves height and width (any size will do), and a
        dense layer of 256 follows. X and latents stay 2-D arrays. Networks of your own
        get rows of X as ever.

    beta : float, default=1.0
        Weight of the KL divergence; 1 makes the objective a bound on log p(x).

    learning_rate_init : float or "auto", default="auto"
        Peak learning rate of Adam; "auto" takes 6e-3 from a PCA start and 1e-3 from a
        random one, less from PCA where a layer is wider than 256, and a tenth of that
        where a training diverges.

    alpha : float or "auto", default="auto"
        Weight decay of the networks beside the linear paths, for the training as a
        whole: weights that the data do not hold shrink by a factor of exp(-alpha) from
        start to end, however many steps that takes. 0 is plain Adam, otherwise it is
        AdamW. "auto" takes 0 from a random start; from a PCA start 1, and up to 3
        where a table has fewer than 200 rows for each column.

    batch_size : int or "auto", default="auto"
        Rows per step; "auto" takes 128, or more on tables of over 10,000 rows.

    max_iter : int, default=200
        Most epochs, an upper bound: the learning rate's schedule ends after 75 epochs,
        or fewer on tables of over 10,000 rows. With 0 nothing is trained, and what
        comes out is the start.

    early_stopping : bool, default=True
        Hold out ``validation_fraction`` of the rows, keep the weights with the lowest
        loss on them, and stop after ``n_iter_no_change`` epochs without a lower one.
        Below 1000 rows the best epoch is found by 5-fold cross-validation instead, and
        on all tables below 10,000 rows a last training, on all rows, is as long as the
        held-out ones liked; not so with callbacks, which follow one training. A PCA
        start stays where what was learned is not clearly better on the held-out rows.
        Without early stopping the loss on the training rows decides.

    validation_fraction : float, default=0.1
        Share of the rows held out.

    n_iter_no_change : int, default=25
        Epochs without an improvement after which the training stops.

    tol : float, default=1e-4
        Least relative improvement that counts for ``n_iter_no_change``.

    warm_start : bool, default=False
        Let `fit` go on from the networks of the last call. ``max_iter`` then counts
        the epochs of all calls, so raise it to train on.

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
        The trained module. Called with rows in the units of X it reconstructs them.

    n_components_ : int
        Number of latents.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names that are all strings.

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

    reconstruction_err_ : float
        Mean loss between the training rows and their reconstructions, per feature and
        in the units of X.

    noise_variance_ : float
        Learned variance of the likelihood around the decoder's output, in squared units
        of X; nan with ``loss="log_loss"``.

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

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import VAETransformer
    >>> X = load_iris().data
    >>> vae = VAETransformer(2).fit(X)
    >>> vae.transform(X).shape
    (150, 2)
    >>> vae.sample(3).shape
    (3, 4)
    >>> vae.score_samples(X).shape
    (150,)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseAutoencoder._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_components=2,
        *,
        hidden_layer_sizes="auto",
        activation="silu",
        loss="squared_error",
        init="auto",
        encoder=None,
        decoder=None,
        image_shape=None,
        beta=1.0,
        learning_rate_init="auto",
        alpha="auto",
        batch_size="auto",
        max_iter=200,
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
        self.beta = beta
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

    # The encoder gives a mean and a log-variance for each latent.
    _outputs_per_latent = 2
    _encoded_as = "means and log-variances side by side (n_samples, 2 * n_components)"

    def _make_module(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        center: Tensor,
        scale: Tensor,
        x: Tensor | None = None,
        linear_start: LinearStart | None = None,
    ) -> VariationalAutoencoder:
        loss = self._loss()
        # Before anything is learned, the noise is all the data's spread.
        variance = 1.0 if linear_start is None else linear_start.noise_variance
        return VariationalAutoencoder(
            encoder,
            decoder,
            loss,
            center=center,
            scale=scale,
            noise_scale=loss.noise_scale(variance),
            beta=self.beta,
        )

    def _update_module(self, module: Autoencoder) -> None:
        cast(VariationalAutoencoder, module).beta = self.beta

    def _linear_start(self, start: LinearStart) -> tuple[Layer, Layer, Tensor]:
        return start.probabilistic_pca_layers()

    def _align_latents(self, module: Autoencoder, x: Tensor) -> None:
        module = cast(VariationalAutoencoder, module)

        # The posterior's covariance is diagonal in these axes and in no others.
        def kl_per_latent(rows: Tensor) -> Tensor:
            mean, log_var = module.posterior(rows)
            return 0.5 * (log_var.exp() + mean.square() - 1.0 - log_var)  # (n, k)

        kl = over_blocks(module, kl_per_latent, x).double().mean(dim=0)  # (k,)
        rotation = signed_order(over_blocks(module, module.encode, x), kl, x)
        rotation = rotation.to(module.dtype)
        module.rotate(rotation, torch.zeros_like(rotation[0]))

    def _set_fitted(
        self,
        module: Autoencoder,
        x: Tensor,
        order: Tensor,
        random_state: np.random.RandomState,
    ) -> None:
        module = cast(VariationalAutoencoder, module)
        super()._set_fitted(module, x, order, random_state)
        self.noise_variance_ = float("nan")
        if module.loss_function.has_noise:
            noise = module.log_noise.exp().item() * module.scale.item()
            self.noise_variance_ = module.loss_function.noise_variance(noise)

    def _set_latent_density(
        self, module: Autoencoder, x: Tensor, random_state: np.random.RandomState
    ) -> None:
        """Nothing to fit: the prior is N(0, I)."""

    def _draw_latents(
        self, n_samples: int, random_state: np.random.RandomState
    ) -> np.ndarray:
        return random_state.standard_normal((n_samples, self.n_components_))

    def sample(self, n_samples=1, random_state=None):
        """Draw new rows: latents from the prior N(0, I), decoded.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        random_state : int, RandomState instance or None, default=None
            Seed of the draw; None takes the estimator's own ``random_state``.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Mean of the likelihood for each draw, in the units of the training rows;
            with ``loss="log_loss"`` probabilities between 0 and 1.
        """
        return super().sample(n_samples, random_state)

    def score_samples(self, X, n_samples=100, random_state=0):
        """Return the log-density of each row under the model, in nats.

        An importance-weighted estimate from draws of the posterior: in expectation a
        lower bound on log p(x), which rises towards it with ``n_samples``. The same
        noise serves every row, so a row's score does not depend on the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        n_samples : int, default=100
            Draws from the posterior per row.

        random_state : int, RandomState instance or None, default=0
            Seed of the draws.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Log-density of each row in the units of X, comparable with
            ``PCA.score_samples``; with ``loss="log_loss"`` a log-probability.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        X = self._validate_rows(X, reset=False, loss=self.module_.loss_function)
        seed = make_random_state(random_state).randint(SEED_LIMIT)
        generator = torch.Generator().manual_seed(int(seed))
        eps = torch.randn(
            n_samples, 1, self.n_components_, generator=generator, dtype=torch.float64
        )
        n_block = max(1, _SCORE_BLOCK // (n_samples * self.module_.row_size))
        return self._compute("log_density", X, eps, n_block=n_block)
