"""Trainings of a module on rows: along a schedule, or one pass at a constant rate."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._networks.modules import Autoencoder
from .._tables.rows import StreamedRows
from .._utils.device import enough_threads, seeded_generator
from .fast import fast_step, unflatten
from .objectives import row_losses
from .optimizer import FlatAdam, Schedule
from .options import TrainingOptions, TrainingResult
from .skorch_net import Net, SkorchObserver, record_losses, schedules_itself
from .trainer import Observer, Patience, Trainer, check_loss, progress_bar


@contextlib.contextmanager
def trainer_of(
    net: Net,
    options: TrainingOptions,
    generator: torch.Generator,
    observer: Observer | None = None,
) -> Iterator[Trainer[Tensor]]:
    """A trainer of the net's module, on the fast networks where these can be used."""
    module, optimizer, objective = net.module_, net.optimizer_, net.objective
    net.generator = generator
    take_step = getattr(optimizer, "quick_step", optimizer.step)
    is_flat = isinstance(optimizer, FlatAdam)
    fast = fast_step(
        module, optimizer, options.precision, is_flat, objective, generator
    )
    with enough_threads(module, options.batch_size), fast as step:

        def step_and_update(x: Tensor) -> Tensor:
            loss = step(x)
            take_step()
            return loss

        def begin_epoch(epoch: int) -> None:
            module.epoch += 1

        yield Trainer(
            module,
            optimizer,
            net.train_on if net.callbacks else step_and_update,
            begin_epoch=begin_epoch,
            follow=lambda progress: objective.follow(module, progress),
            observer=observer or Observer(),
        )


def end_training(module: Autoencoder) -> None:
    """Leave the module in evaluation mode, with memory of its own again."""
    module.eval()
    unflatten(module)


def train(
    net: Net,
    rows: Tensor | StreamedRows,
    x_valid: Tensor | None,
    options: TrainingOptions,
    seed: int,
    generator: torch.Generator | None = None,
) -> TrainingResult:
    """Train the net's module in place and leave the best weights in it.

    Without validation rows the training loss in evaluation mode decides. The state
    before the first step is the first candidate. What steps draw comes from the
    generator; the order of the rows, and what they are judged with, from the seed.
    """
    module = net.module_
    n_before = module.epoch
    x_train = rows if isinstance(rows, Tensor) else rows.sample
    x_watch = x_train if x_valid is None else x_valid
    x_compared = net.objective.inference.compared(x_watch, len(x_train))
    order = torch.Generator().manual_seed(seed)
    batches = net.objective.batches(rows, options.batch_size, order)
    generator = generator or seeded_generator(seed, options.device)
    schedule = (
        None
        if schedules_itself(net)
        else Schedule(options.learning_rate, options.n_epochs * len(batches))
    )

    def judge(x: Tensor = x_compared) -> Tensor:
        return row_losses(module, x, seed, objective=net.objective)  # (n,)

    first = best = _Candidate.of(module, judge(), epoch=0)
    nonsense = module.loss_of_nonsense
    check_loss(first.loss, first.loss, 0, options.advice, nonsense)
    patience = Patience(
        options.n_iter_no_change, options.tol, options.n_iter_eased, best=first.loss
    )
    curve: list[float] = []
    watched_curve: list[float] = []
    validation_curve = None if x_valid is None else watched_curve

    def after_epoch(epoch: int, loss: float) -> bool:
        nonlocal best
        curve.append(loss)
        losses = judge()
        watched_curve.append(losses.mean().item())
        check_loss(loss, first.loss, epoch, options.advice, nonsense)
        if watched_curve[-1] < best.loss:
            best = _Candidate.of(module, losses, epoch)
        record_losses(net.history, curve, validation_curve)
        bar.update(loss, validation_curve)
        return patience.is_exhausted(epoch, watched_curve[-1])

    observer = SkorchObserver(net, x_train, x_valid)
    with (
        progress_bar(options) as bar,
        trainer_of(net, options, generator, observer) as trainer,
    ):
        trainer.run(batches, options.n_epochs, after_epoch, schedule)
        if x_valid is not None and options.starts_at_optimum:
            if len(x_compared) < len(x_watch):
                first, best = (
                    c.judged_anew(module, judge, x_watch) for c in (first, best)
                )
            best = best if is_clear_gain(first.losses - best.losses) else first
        module.load_state_dict(best.state)
        module.epoch = n_before + (len(curve) if best.epoch > 0 else 0)
        observer.train_end()
    end_training(module)
    return TrainingResult(
        best_epoch=best.epoch,
        n_epochs=len(curve),
        loss_curve=curve,
        validation_loss_curve=validation_curve,
        history=net.history,
    )


@dataclass(frozen=True)
class _Candidate:
    """Weights after an epoch, and the loss of each watched row under them."""

    epoch: int
    losses: Tensor  # (n,)
    state: dict[str, Tensor]

    @classmethod
    def of(cls, module: Autoencoder, losses: Tensor, epoch: int) -> "_Candidate":
        state = {name: value.clone() for name, value in module.state_dict().items()}
        return cls(epoch, losses, state)

    def judged_anew(
        self, module: Autoencoder, judge: Callable[[Tensor], Tensor], x: Tensor
    ) -> "_Candidate":
        """The weights, which become the module's, with the losses of other rows."""
        module.load_state_dict(self.state)
        return replace(self, losses=judge(x))

    @property
    def loss(self) -> float:
        return self.losses.mean().item()


def is_clear_gain(gains: Tensor) -> bool:
    """Whether what held-out rows gained on the start (n,) is more than luck.

    The mean must rise. Its standard errors, and those of the number of rows that gain
    (the sign test, which a few far rows cannot sway), must be more than 4 together.
    """
    if len(gains) < 2:
        return False
    root_n = math.sqrt(len(gains))
    mean, std = gains.mean().item(), gains.std(correction=0).item()
    t = mean * root_n / std if std > 0 else math.copysign(math.inf, mean)
    z = torch.sign(gains).sum().item() / root_n
    return mean > 0 and t + max(z, 0.0) > 4.0


def train_one_pass(
    net: Net,
    rows: Tensor | StreamedRows,
    options: TrainingOptions,
    seed: int,
    generator: torch.Generator | None = None,
) -> float:
    """One epoch at a constant learning rate; returns the mean loss of its rows."""
    order = torch.Generator().manual_seed(seed)
    batches = net.objective.batches(rows, options.batch_size, order)
    generator = generator or seeded_generator(seed, options.device)
    x = rows if isinstance(rows, Tensor) else rows.sample
    module = net.module_

    def mean_loss(n_rows: int) -> float:
        losses = row_losses(module, x[:n_rows], seed, objective=net.objective)
        return losses.mean().item()

    # What a divergence is measured by: a few batches tell, all rows would take a good
    # part of the pass.
    initial = train_loss = mean_loss(16 * options.batch_size)

    def after_epoch(epoch: int, loss: float) -> bool:
        nonlocal train_loss
        train_loss = loss
        net.history.record("train_loss", loss)
        return False

    observer = SkorchObserver(net, x)
    with trainer_of(net, options, generator, observer) as trainer:
        trainer.run(batches, 1, after_epoch)
        observer.train_end()
    end_training(module)
    # The losses of a pass are those before its steps: the last step shows only here.
    for loss in (train_loss, mean_loss(options.batch_size)):
        check_loss(loss, initial, 1, options.advice, module.loss_of_nonsense)
    return train_loss
