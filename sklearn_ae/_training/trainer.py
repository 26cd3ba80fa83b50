"""The one loop over epochs, for whatever has parameters.

What is learned from (batches), what a step does (`update`), what follows it (an
observer) and when it ends (`after_epoch`) are the caller's. The rule by which trainings
stop early and the check for divergence stand here too, so that there is one of each.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from .optimizer import Schedule

Batch = TypeVar("Batch", bound=Sized)
Batch_co = TypeVar("Batch_co", bound=Sized, covariant=True)

# Batches of an epoch that are done, and the sum of their losses.
Position = tuple[int, Tensor]

# A training loss this many times that of predicting the mean is no learning curve.
_DIVERGENCE_FACTOR = 1e4


class DivergenceError(ValueError):
    """Training left the range of floating-point numbers, or of sense."""


class StopTraining(Exception):
    """An observer asked for the end of the training."""


class Observer:
    """What may follow a training; of itself it does nothing."""

    def train_begin(self) -> None: ...

    def epoch_begin(self) -> None: ...

    def epoch_end(self) -> None: ...

    def train_end(self) -> None: ...

    def stopped(self, n_epochs: int) -> None:
        """Told that the training was stopped, and how many epochs are whole."""


class BatchSource(Protocol[Batch_co]):
    """Batches of an epoch. Losses are weighted by their lengths."""

    n_rows: int
    device: torch.device

    def __iter__(self) -> Iterator[Batch_co]: ...

    def __len__(self) -> int: ...


@dataclass
class Trainer(Generic[Batch]):
    """Goes over batches, epoch by epoch.

    Parameters
    ----------
    module : nn.Module
        What is trained.

    optimizer : torch.optim.Optimizer
        Whose rate the schedule sets.

    update : callable
        Takes a step on a batch, and returns the loss before it: one number, or one for
        each part of the batch.

    begin_epoch : callable
        Told the number of every epoch before it begins.

    follow : callable
        Told before every scheduled step what share of the schedule is done.

    after_step : callable
        Told after every step how many batches of the epoch are done, and the sum of
        their losses.

    observer : Observer
        Told of the training's course; it may raise StopTraining.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    update: Callable[[Batch], Tensor]
    begin_epoch: Callable[[int], None] = lambda epoch: None
    follow: Callable[[float], None] = lambda progress: None
    after_step: Callable[[int, Tensor], None] = lambda n_batches, total: None
    observer: Observer = field(default_factory=Observer)

    def run(
        self,
        batches: BatchSource[Batch],
        n_epochs: int,
        after_epoch: Callable[[int, Any], bool],
        schedule: Schedule | None = None,
        n_done: int = 0,
        start: Position | None = None,
    ) -> None:
        """Train until ``n_epochs`` epochs are done in all, or one is said to be last.

        ``after_epoch`` is told an epoch's number and its mean loss, and true ends the
        training. The first epoch may go on from a ``start`` in its middle.
        """
        n_whole = 0
        try:
            self.observer.train_begin()
            for epoch in range(n_done + 1, n_epochs + 1):
                self.observer.epoch_begin()
                loss = self.run_epoch(batches, schedule, epoch, start)
                start = None
                n_whole += 1
                is_last = after_epoch(epoch, loss)
                self.observer.epoch_end()
                if is_last:
                    break
        except StopTraining:
            self.observer.stopped(n_whole)

    def run_epoch(
        self,
        batches: BatchSource[Batch],
        schedule: Schedule | None = None,
        epoch: int = 1,
        start: Position | None = None,
    ) -> Any:
        """Train for one epoch and return the mean loss of its rows."""
        n_skipped, total = start or (0, torch.zeros(()))
        total = total.to(batches.device)
        if start is None:
            self.begin_epoch(epoch)
        if not self.module.training:  # setting the mode walks through all parts
            self.module.train()
        for n_batches, batch in islice(enumerate(batches, 1), n_skipped, None):
            if schedule is not None:
                self.follow(schedule.progress)
                schedule.step(self.optimizer)
            loss = self.update(batch)
            total = torch.add(total, loss, alpha=len(batch))
            self.after_step(n_batches, total)
        # Fused optimizers do not note that they change weights, by which copies of
        # these know that they are old.
        torch.autograd.graph.increment_version(self._parameters)
        if total.ndim == 0:
            return total.item() / batches.n_rows
        return [part / batches.n_rows for part in total.tolist()]

    @cached_property
    def _parameters(self) -> list[nn.Parameter]:
        return list(self.module.parameters())


@dataclass
class Patience:
    """The rule by which a training stops early: too long without progress.

    Progress is a loss lower than the best one by a share of more than ``tol``. Epochs
    up to ``first_epoch`` do not count.
    """

    n_iter_no_change: float
    tol: float = 0.0
    first_epoch: int = 0
    best: float = math.inf
    last_progress: int = 0

    def is_exhausted(self, epoch: int, loss: float) -> bool:
        """Whether the training should end after this epoch with this loss."""
        # Of an infinite loss any share is infinite: what is finite is progress.
        least = self.tol * abs(self.best) if math.isfinite(self.best) else 0.0
        if self.best - loss > least:
            self.last_progress = epoch
        self.best = min(self.best, loss)
        waited = epoch - max(self.last_progress, self.first_epoch)
        return waited >= self.n_iter_no_change


def check_loss(
    loss: float | Sequence[float],
    initial: float,
    epoch: int,
    advice: str,
    loss_of_nonsense: float = math.inf,
) -> None:
    """Raise where a training loss is not finite, or far beyond that of nonsense."""
    losses = [loss] if isinstance(loss, float) else loss
    limit = _DIVERGENCE_FACTOR * max(abs(initial), loss_of_nonsense)
    if all(math.isfinite(loss) and loss <= limit for loss in losses):
        return
    if not math.isfinite(initial):
        raise DivergenceError(
            f"The mean loss of a row is {initial:.3g} in epoch 0, before the first "
            "step: look for outliers in X, and for values too large for the networks."
        )
    raise DivergenceError(
        f"Training diverged in epoch {epoch}: the mean loss of a row went from "
        f"{initial:.3g} to {max(losses, key=_badness):.3g}. {advice}"
    )


def _badness(loss: float) -> float:
    return math.inf if math.isnan(loss) else loss


class Epochs(Protocol):
    """What a progress bar is told of a training."""

    @property
    def n_epochs(self) -> int: ...

    @property
    def verbose(self) -> int: ...


class progress_bar(contextlib.AbstractContextManager):
    """One tqdm bar over all epochs, with the losses; nothing where not verbose."""

    def __init__(self, options: Epochs, n_trainings: int = 1):
        self.bar = None
        if options.verbose:
            from tqdm.auto import tqdm

            self.bar = tqdm(total=n_trainings * options.n_epochs, unit="epoch")

    def update(self, loss: float, validation_curve: Sequence[float] | None) -> None:
        if self.bar is not None:
            losses = {"loss": f"{loss:.4g}"}
            if validation_curve:
                losses["valid"] = f"{validation_curve[-1]:.4g}"
            self.bar.set_postfix(losses, refresh=False)
            self.bar.update()

    def skip(self, n_epochs: int) -> None:
        """Go past epochs that were done before."""
        if self.bar is not None:
            self.bar.update(n_epochs)

    def __exit__(self, *exc_info: Any) -> None:
        if self.bar is not None:
            self.bar.close()
