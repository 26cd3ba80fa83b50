"""The recipe: rates and lengths, where the user has set none by the table's shape."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._networks.modules import Autoencoder
from .._utils.device import resolve_precision
from .checkpoints import Checkpoints
from .options import BETA_2, MOST_SHRUNK, TrainingOptions

# On tables up to this long, every row is seen so often, in batches of this size;
# beyond, the number of steps stays, and batches grow.
LONG_TABLE = 10_000
N_EPOCHS = 75
BATCH_SIZE = 128
# Deep and narrow networks of few latents take quick steps, and have some more.
SLIM_LENGTH = 1.2

# Tables that are not cross-validated, and start as PCA, are trained on in larger
# batches than that: fewer and surer steps, which may go further. The rate that noise
# allows grows as the root of the batch (Malladi et al., NeurIPS 2022).
LARGER_BATCHES = 2
# The mean of squared gradients goes back as many steps as 1 / (1 - beta_2): a thousand
# are a good part of such a training, in which gradients shrink all the time.
SHORT_MEMORY = 0.98

# Where every pixel is a sample, a step needs fewer rows, and so does the training.
PIXEL_BATCHES = 4
PIXEL_EPOCHS = 3
PIXEL_LEARNING_RATE = 3e-3

# On shorter tables than LONG_TABLE, held-out rows only say how long to train on all.
# The best epoch of a schedule that was far from its end comes early: its rate was high.
LENGTHENING = 1.4

# That takes no whole schedule: a shorter one tells as well, where it has enough steps
# of the usual batches.
TRIAL_SHARE = 1.0 / 3.0
TRIAL_STEPS = 150

# Tables shorter than that are cross-validated.
SMALL_TABLE = 1000
MOST_FOLDS = 10

# Epochs without progress after which a training stops.
N_ITER_NO_CHANGE = 25

# Posteriors of images are narrow: an encoder that steps past them learns nothing.
VARIATIONAL_PIXEL_LEARNING_RATE = 2e-3

# Wider layers than this get a lower learning rate.
WIDEST_LAYER = 256

# With so many rows per column, weight decay is at its least; and where rows are
# projected on what a few latents can give, it is less on all tables.
ENOUGH_ROWS = 200
LEAST_ALPHA = 1.0
ALPHA_OF_FEW_LATENTS = 0.5

# partial_fit sees chunks of a table of unknown length: as of one of 10,000 rows.
N_STEPS_STREAMED = 6000


def learning_rate(is_anchored: bool, widest_layer: int, is_slim: bool = False) -> float:
    """Peak rate: from PCA the way is short and straight, from noise it is not.

    A step moves every weight by about the rate, and a wide layer adds up many.
    """
    if not is_anchored:
        return 1e-3
    most = 7e-3 if is_slim else 6e-3
    return most * min(1.0, math.sqrt(WIDEST_LAYER / max(1, widest_layer)))


def alpha(
    is_anchored: bool, n_samples: int, n_features: int, least: float = LEAST_ALPHA
) -> float:
    """Weight decay: more of it the fewer rows there are for each column.

    None for the plain networks that init="random" stands for.
    """
    if not is_anchored:
        return 0.0
    return min(3.0, max(least, math.sqrt(ENOUGH_ROWS * n_features / n_samples)))


def weight_decay(alpha: float, learning_rate: float, n_steps: int) -> float:
    """Decay per step (times the rate) that shrinks idle weights by exp(-alpha) in all.

    The schedule's mean is half its peak. Longer training does not mean more decay.
    """
    decay = alpha / (0.5 * learning_rate * max(1, n_steps))
    return min(decay, MOST_SHRUNK / learning_rate)


def batch_size(n_samples: int) -> int:
    """128 rows, and on long tables more with the square root of their length."""
    growth = math.sqrt(max(1.0, n_samples / LONG_TABLE))
    return min(n_samples, round(BATCH_SIZE * growth))


def n_epochs(n_samples: int, length: float = 1.0) -> int:
    """75 epochs, times a length; on long tables the steps of one of 10,000 rows."""
    growth = math.sqrt(max(1.0, n_samples / LONG_TABLE))
    return max(5, round(N_EPOCHS * length / growth))


def n_epochs_on_all_rows(best_epoch: int, trial_share: float = 1.0) -> int:
    """Epochs of a training on all rows, with a schedule that ends with it.

    The best epoch is that of a trial, whose schedule was shorter by a share.
    """
    return math.ceil(LENGTHENING * best_epoch / trial_share)


def n_folds(validation_fraction: float) -> int:
    """Folds of a short table: each holds out twice the share that others hold out."""
    # Each fold is a training: a small share must not make hundreds of them.
    return min(MOST_FOLDS, max(2, round(0.5 / validation_fraction)))


def n_iter_no_change(n_folds: int) -> float:
    """Epochs to wait for progress; folds go to the end of their schedule.

    On few rows a loss that rises early may be at its lowest late, when the rate has
    fallen: there is no telling from the epochs before.
    """
    return math.inf if n_folds else N_ITER_NO_CHANGE


def n_validation_rows(n_samples: int, validation_fraction: float) -> int:
    """Rows to hold out; at least one stays to learn from."""
    return min(math.ceil(validation_fraction * n_samples), n_samples - 1)


@dataclass(frozen=True)
class Recipe:
    """How the networks of one fit are trained, on however many rows.

    Parameters
    ----------
    learning_rate, alpha, batch_size, max_iter : numbers or "auto"
        As the user has them.

    auto_learning_rate : float
        What "auto" stands for.

    n_columns : int
        Columns that weight decay depends on; 0 where it does not.

    is_anchored : bool
        Whether training starts at a linear optimum.

    least_alpha : float
        What weight decay is at least, where it is automatic.

    is_of_pixels : bool
        Whether every pixel is a sample, so that steps need fewer rows.

    n_iter_eased : int
        Epochs at the beginning that are no reason to stop early.

    n_iter_no_change, tol, callbacks, verbose, precision
        As the user has them.

    checkpoints : Checkpoints
        Where trainings on their way are kept.

    slowdown : float
        What a rate of our own choice is divided by.

    trial_share : float
        How long trainings are at least, as a share, that only tell how long to train
        on all rows. Those that are cut short are not cut again.

    length : float
        How many times the usual epochs max_iter="auto" stands for.

    has_surer_steps : bool
        Whether tables that are not short are trained on in larger batches, and Adam
        forgets old gradients sooner.
    """

    learning_rate: float | str
    alpha: float | str
    batch_size: int | str
    max_iter: int | str
    auto_learning_rate: float
    n_columns: int
    is_anchored: bool
    least_alpha: float = LEAST_ALPHA
    is_of_pixels: bool = False
    n_iter_eased: int = 0
    n_iter_no_change: float | str = "auto"
    tol: float = 1e-4
    callbacks: Sequence[Any] = ()
    verbose: int = 0
    precision: str = "auto"
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    slowdown: float = 1.0
    trial_share: float = 1.0
    length: float = 1.0
    has_surer_steps: bool = False

    def n_epochs(self, n_samples: int) -> int:
        """What max_iter="auto" stands for."""
        n_usual = n_epochs(n_samples, self.length)
        return math.ceil(n_usual / PIXEL_EPOCHS) if self.is_of_pixels else n_usual

    def rows_per_step(self, n_samples: int) -> int:
        if not isinstance(self.batch_size, str):
            return self.batch_size
        n_rows = min(n_samples, self._batch_growth(n_samples) * batch_size(n_samples))
        return math.ceil(n_rows / PIXEL_BATCHES) if self.is_of_pixels else n_rows

    def _batch_growth(self, n_samples: int) -> int:
        """How many times the usual batch a step takes."""
        is_ours = isinstance(self.batch_size, str)
        can_grow = is_ours and self.has_surer_steps and n_samples >= SMALL_TABLE
        return LARGER_BATCHES if can_grow else 1

    def _learning_rate(self, n_samples: int) -> float:
        if not isinstance(self.learning_rate, str):
            return float(self.learning_rate)
        rate = self.auto_learning_rate / self.slowdown
        return rate * math.sqrt(self._batch_growth(n_samples))

    def options(
        self, n_samples: int, module: Autoencoder, n_done: int = 0, n_folds: int = 0
    ) -> TrainingOptions:
        """For a training on so many rows, of networks that had ``n_done`` epochs."""
        # max_iter counts the epochs of all fits, as it does for scikit-learn's
        # ensembles: to go on, raise it.
        n_usual = n_in_all = n_left = self.n_epochs(n_samples)
        if not isinstance(self.max_iter, str):
            # Weights that are cut short need not shrink faster.
            n_in_all = max(n_in_all, self.max_iter)
            n_left = max(0, self.max_iter - n_done)
        n_steps = n_in_all * math.ceil(n_samples / self.rows_per_step(n_samples))
        options = self._options(n_samples, module, n_steps, self.n_columns, n_folds)
        n_usual_steps = n_steps * self._batch_growth(n_samples)
        return replace(
            options,
            n_epochs=n_left,
            starts_at_optimum=self.is_anchored and n_done == 0,
            trial_share=self._trial_share(n_usual_steps) if n_left >= n_usual else 1.0,
        )

    def _trial_share(self, n_steps: int) -> float:
        return max(self.trial_share, min(1.0, TRIAL_STEPS / n_steps))

    def options_of_pass(self, n_samples: int, module: Autoencoder) -> TrainingOptions:
        """For one pass over a chunk of a table whose length is not known."""
        # Steps at a constant rate are not those of a schedule that ends.
        plain = replace(self, has_surer_steps=False)
        return plain._options(n_samples, module, N_STEPS_STREAMED, n_columns=0)

    def _options(
        self,
        n_samples: int,
        module: Autoencoder,
        n_steps: int,
        n_columns: int,
        n_folds: int = 0,
    ) -> TrainingOptions:
        rate, decay = self._learning_rate(n_samples), self.alpha
        n_no_change = self.n_iter_no_change
        if isinstance(decay, str):
            decay = alpha(self.is_anchored, n_samples, n_columns, self.least_alpha)
        if isinstance(n_no_change, str):
            n_no_change = n_iter_no_change(n_folds)
        device = module.center.device
        return TrainingOptions(
            learning_rate=rate,
            weight_decay=weight_decay(decay, rate, n_steps),
            batch_size=self.rows_per_step(n_samples),
            n_epochs=1,
            n_iter_no_change=n_no_change,
            tol=self.tol,
            starts_at_optimum=False,
            device=device,
            callbacks=self.callbacks,
            verbose=self.verbose,
            precision=resolve_precision(self.precision, module, device),
            n_iter_eased=self.n_iter_eased,
            checkpoints=self.checkpoints,
            beta_2=SHORT_MEMORY if self.has_surer_steps else BETA_2,
        )

    @property
    def can_slow_down(self) -> bool:
        """Whether the rate is ours to lower, where heavy tails need it."""
        return isinstance(self.learning_rate, str)
