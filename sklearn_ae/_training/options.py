"""What a training is told, and what it leaves behind."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from .checkpoints import Checkpoints

# A step of weight decay may halve a weight, not turn it.
MOST_SHRUNK = 0.5

# Adam's own, as torch has it.
BETA_2 = 0.999


@dataclass(frozen=True)
class TrainingOptions:
    """What the engine needs to know of the estimator's parameters."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    n_epochs: int
    n_iter_no_change: float
    tol: float
    # Whether the start is an optimum that only a clear gain should replace.
    starts_at_optimum: bool
    device: torch.device
    callbacks: Sequence[Any] = ()
    verbose: int = 0
    # Of the products in a training step; None is that of the parameters.
    precision: torch.dtype | None = None
    # Epochs at the beginning that are no reason to stop early.
    n_iter_eased: int = 0
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    # Epochs of a training that only tells how long to train on all rows, as a share.
    trial_share: float = 1.0
    # How much of the mean of squared gradients every step keeps.
    beta_2: float = BETA_2

    @property
    def of_trial(self) -> "TrainingOptions":
        """For such a training: a shorter schedule, in which weights decay as much."""
        share = self.trial_share
        n_epochs = math.ceil(share * self.n_epochs)
        decay = min(self.weight_decay / share, MOST_SHRUNK / self.learning_rate)
        return replace(self, n_epochs=n_epochs, weight_decay=decay, trial_share=1.0)

    @property
    def advice(self) -> str:
        """What to do where a training diverges."""
        return (
            f"Lower learning_rate_init (now {self.learning_rate:g}), raise batch_size "
            f"(now {self.batch_size}), or scale the columns and look for outliers in X."
        )


@dataclass
class TrainingResult:
    """What a fit leaves behind besides the weights, which are in the module."""

    best_epoch: int  # 0 is the state before the first step
    n_epochs: int
    loss_curve: list[float]
    validation_loss_curve: list[float] | None
    history: Any = field(compare=False)  # skorch's, which holds durations
