"""Trainings of a module on rows: along a schedule, or one pass at a constant rate."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._networks.modules import Autoencoder
from .._tables.rows import TrainingRows
from .._tables.shards import SharedRows
from .._utils.device import enough_threads, seeded_generator
from .._utils.processes import Processes, current
from .checkpoints import Course, State
from .fast import fast_step, unflatten
from .gradients import shared
from .objectives import row_losses, weighted
from .optimizer import FlatAdam, Schedule
from .options import TrainingOptions, TrainingResult
from .skorch_net import Net, SkorchObserver, add_epochs, record_losses, schedules_itself
from .trainer import Observer, Patience, Trainer, check_loss, progress_bar

# A gain of so many standard errors, of its mean and its signs together, is no luck.
_CLEAR = 4.0
# How far the loss of a row may stand out, in units of the root of their number.
_MOST_EXCESS = 5.0


@contextlib.contextmanager
def trainer_of(
    net: Net,
    options: TrainingOptions,
    generator: torch.Generator,
    observer: Observer | None = None,
    course: Course | None = None,
) -> Iterator[Trainer[Any]]:
    """A trainer of the net's module, on the fast networks where these can be used."""
    module, optimizer, objective = net.module_, net.optimizer_, net.objective
    net.generator = generator
    take_step = getattr(optimizer, "quick_step", optimizer.step)
    is_flat = isinstance(optimizer, FlatAdam)
    fast = fast_step(
        module, optimizer, options.precision, is_flat, objective, generator
    )
    processes = current()
    with enough_threads(module, options.batch_size), fast as step_alone:
        step: Callable[[Any], Tensor] = step_alone
        if processes.are_several:
            step = shared(step_alone, optimizer, processes)

        def step_and_update(batch: Any) -> Tensor:
            loss = step(batch)
            take_step()
            return loss

        def begin_epoch(epoch: int) -> None:
            module.epoch += 1
            if course is not None:
                course.begin_epoch()

        trainer = Trainer(
            module,
            optimizer,
            net.train_on if net.callbacks else step_and_update,
            begin_epoch=begin_epoch,
            follow=lambda progress: objective.follow(module, progress),
            observer=observer or Observer(),
        )
        if course is not None:
            trainer.after_step = course.after_step
        yield trainer


def _own_generator(
    generator: torch.Generator | None,
    seed: int,
    options: TrainingOptions,
    processes: Processes,
) -> torch.Generator:
    """What the steps of this process draw from."""
    if generator is not None and processes.is_first:
        return generator
    return seeded_generator(processes.seed(seed), options.device)


def _shown_once(options: TrainingOptions, processes: Processes) -> TrainingOptions:
    return options if processes.is_first else replace(options, verbose=0)


def end_training(module: Autoencoder) -> None:
    """Leave the module in evaluation mode, with memory of its own again."""
    module.eval()
    unflatten(module)


def train(
    net: Net,
    rows: TrainingRows | SharedRows,
    x_valid: Tensor | None,
    options: TrainingOptions,
    seed: int,
    generator: torch.Generator | None = None,
    weights: Tensor | None = None,
) -> TrainingResult:
    """Train the net's module in place and leave the best weights in it.

    Without validation rows the loss of the steps says which epoch was best; at the end
    all training rows choose between it, the last one and the start. The state before
    the first step is the first candidate. What steps draw comes from the
    generator; the order of the rows, and what they are judged with, from the seed.
    Weights are of the rows that networks are judged by.
    """
    module = net.module_
    n_before = module.epoch
    x_train = rows if isinstance(rows, Tensor) else rows.sample
    x_watch = x_train if x_valid is None else x_valid
    compared = partial(net.objective.inference.compared, n_train=len(x_train))
    x_compared = compared(x_watch)
    processes = current()
    order = torch.Generator().manual_seed(seed)
    batches = net.objective.batches(rows, options.batch_size, order)
    generator = _own_generator(generator, seed, options, processes)
    schedule = (
        None
        if schedules_itself(net)
        else Schedule(options.learning_rate, options.n_epochs * len(batches))
    )

    def judge(x: Tensor, weights: Tensor | None) -> Tensor:
        of_part = partial(row_losses, module, seed=seed, objective=net.objective)
        losses = processes.of_parts(of_part, x)  # (n,)
        return losses if weights is None else weighted(losses, weights)

    processes.equalize(module.state_dict().values())  # networks of the user's differ
    judge_all = partial(judge, x_watch, weights)
    weights_compared = None if weights is None else compared(weights)
    judge_some = partial(judge, x_compared, weights_compared)

    first = _Candidate.of(module, judge_some(), epoch=0)
    nonsense = module.loss_of_nonsense
    check_loss(first.loss, first.loss, 0, options.advice, nonsense)
    watch = (
        _WatchedSteps(module, judge_some, first, options)
        if x_valid is None
        else _WatchedRows(module, judge_some, first, options)
    )
    curve: list[float] = []

    def after_epoch(epoch: int, loss: float) -> bool:
        loss = processes.total(loss)
        if not module.is_own:
            processes.equalize(module.buffers())
        curve.append(loss)
        check_loss(loss, first.loss, epoch, options.advice, nonsense)
        is_last = watch.is_last(epoch, loss)
        record_losses(net.history, curve, watch.curve)
        bar.update(loss, watch.curve)
        return is_last

    observer = SkorchObserver(net, x_train, x_valid)
    kept = _Watched(watch, curve, net.history)
    course = Course(options.checkpoints, batches, schedule, generator, kept)
    course.begin()
    course.take_up(net)
    with (
        progress_bar(_shown_once(options, processes)) as bar,
        trainer_of(net, options, generator, observer, course) as trainer,
    ):
        bar.skip(len(curve))
        if not course.is_over:
            trainer.run(
                *(batches, options.n_epochs, after_epoch, schedule),
                *(len(curve), course.next_position()),
            )
            course.finish()
        best = watch.best()
        if x_valid is not None and options.starts_at_optimum:
            if len(x_compared) < len(x_watch):
                first, best = (c.judged_anew(module, judge_all) for c in (first, best))
            losses = tamed(best.losses, first.losses)
            best = best if is_clear_gain(first.losses - losses) else first
        module.load_state_dict(best.state)
        module.epoch = n_before + (len(curve) if best.epoch > 0 else 0)
        observer.train_end()
    end_training(module)
    return TrainingResult(
        best_epoch=best.epoch,
        n_epochs=len(curve),
        loss_curve=curve,
        validation_loss_curve=watch.curve,
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
        self, module: Autoencoder, judge: Callable[[], Tensor]
    ) -> "_Candidate":
        """The weights, which become the module's, with the losses of other rows."""
        module.load_state_dict(self.state)
        return replace(self, losses=judge())

    @property
    def loss(self) -> float:
        return self.losses.mean().item()

    def kept(self) -> State:
        return vars(self)

    @classmethod
    def taken(cls, state: State, device: torch.device) -> "_Candidate":
        weights = {name: value.to(device) for name, value in state["state"].items()}
        return cls(state["epoch"], state["losses"].to(device), weights)


@dataclass
class _WatchedRows:
    """Which epoch is best for rows held out, and when to stop looking for a better."""

    module: Autoencoder
    judge: Callable[[], Tensor]
    first: _Candidate
    options: TrainingOptions

    def __post_init__(self) -> None:
        self.candidate, self.lowest = self.first, self.first.loss
        o = self.options
        self.patience = Patience(
            o.n_iter_no_change, o.tol, o.n_iter_eased, best=self.first.loss
        )
        self.curve: list[float] | None = []

    def is_last(self, epoch: int, loss: float) -> bool:
        """Whether the training should end with this epoch, of this loss."""
        assert self.curve is not None
        losses = self.judge()
        self.curve.append(losses.mean().item())
        compared = tamed(losses, self.first.losses).mean().item()
        if compared < self.lowest:
            self.lowest = compared
            self.candidate = _Candidate.of(self.module, losses, epoch)
        return self.patience.is_exhausted(epoch, compared)

    def best(self) -> _Candidate:
        return self.candidate

    def kept(self) -> State:
        return {
            "candidate": self.candidate.kept(),
            "lowest": self.lowest,
            "patience": (self.patience.best, self.patience.last_progress),
            "curve": self.curve,
        }

    def take(self, state: State) -> None:
        device = self.first.losses.device
        self.candidate = _Candidate.taken(state["candidate"], device)
        self.lowest, self.curve = state["lowest"], state["curve"]
        self.patience.best, self.patience.last_progress = state["patience"]


@dataclass
class _WatchedSteps(_WatchedRows):
    """The same without such rows, by the loss of the steps.

    To look at all training rows after every epoch would take a third of its time. At
    the end they choose between the start, the best epoch and the last: steps may be
    judged by another loss (of corrupted rows, or of a bound that is eased at first).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.curve = None
        self.last, self.lowest = self.first, math.inf
        self.patience.best = math.inf

    def is_last(self, epoch: int, loss: float) -> bool:
        self.last = _Candidate.of(self.module, self.first.losses, epoch)
        if epoch <= self.patience.first_epoch:
            return False
        if not math.isfinite(self.patience.best):
            self.patience.best = loss
        if loss < self.lowest:
            self.lowest, self.candidate = loss, self.last
        return self.patience.is_exhausted(epoch, loss)

    def kept(self) -> State:
        return {**super().kept(), "last": self.last.kept()}

    def take(self, state: State) -> None:
        super().take(state)
        self.last = _Candidate.taken(state["last"], self.first.losses.device)

    def best(self) -> _Candidate:
        later = {c.epoch: c for c in (self.candidate, self.last) if c.epoch > 0}
        judged = [c.judged_anew(self.module, self.judge) for c in later.values()]
        return min([self.first, *judged], key=lambda candidate: candidate.loss)


@dataclass
class _Watched:
    """What a training that is watched keeps besides its networks."""

    watch: _WatchedRows
    curve: list[float]
    history: Any

    def kept(self) -> State:
        return {"watch": self.watch.kept(), "curve": self.curve}

    def take(self, state: State) -> None:
        self.watch.take(state["watch"])
        self.curve[:] = state["curve"]
        add_epochs(self.history, self.curve, self.watch.curve)


def tamed(losses: Tensor, first: Tensor) -> Tensor:
    """Losses (..., n) whose change from those of the start (n,) no row rules alone.

    What a row gains or loses counts by its share where its loss at the start stands out
    of the others' by more than five root n times what these differ by: squares of a row
    that is far enough would decide for all of them, by chance.
    """
    excess = first - first.median()
    typical = excess.abs().median().item()
    most = _MOST_EXCESS * math.sqrt(len(first)) * typical
    stands_out = excess > most
    if typical == 0 or not stands_out.any() or not first.isfinite().all():
        return losses
    shares = torch.where(stands_out, most / excess, 1.0)
    return first + shares * (losses - first)


def is_clear_gain(gains: Tensor) -> bool:
    """Whether what held-out rows gained on the start (n,) is more than luck."""
    return clearness(gains) > _CLEAR


def clearness(gains: Tensor) -> float:
    """How much more than luck it is, in standard errors; not positive where no gain.

    The mean must rise. Its standard errors count, and those of the number of rows that
    gain (the sign test, which a few far rows cannot sway).
    """
    if len(gains) < 2:
        return 0.0
    root_n = math.sqrt(len(gains))
    mean, std = gains.mean().item(), gains.std(correction=0).item()
    t = mean * root_n / std if std > 0 else math.copysign(math.inf, mean)
    z = torch.sign(gains).sum().item() / root_n
    return t + max(z, 0.0) if mean > 0 else min(t, 0.0)


def train_one_pass(
    net: Net,
    rows: TrainingRows | SharedRows,
    options: TrainingOptions,
    seed: int,
    generator: torch.Generator | None = None,
) -> float:
    """One epoch at a constant learning rate; returns the mean loss of its rows."""
    processes = current()
    order = torch.Generator().manual_seed(seed)
    batches = net.objective.batches(rows, options.batch_size, order)
    generator = _own_generator(generator, seed, options, processes)
    x = rows if isinstance(rows, Tensor) else rows.sample
    module = net.module_

    def mean_loss(n_rows: int) -> float:
        losses = partial(row_losses, module, seed=seed, objective=net.objective)
        return processes.of_parts(losses, x[:n_rows]).mean().item()

    processes.equalize(module.state_dict().values())
    # What a divergence is measured by: a few batches tell, all rows would take a good
    # part of the pass.
    initial = train_loss = mean_loss(16 * options.batch_size)

    def after_epoch(epoch: int, loss: float) -> bool:
        nonlocal train_loss
        train_loss = loss = processes.total(loss)
        if not module.is_own:
            processes.equalize(module.buffers())
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
