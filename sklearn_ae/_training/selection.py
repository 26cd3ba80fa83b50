"""Short tables: held-out rows say how long to train, then all rows are trained on.

A tenth of a small table is too few rows to tell a gain from luck, and too many to do
without. There, each row is held out once, from one of a few trainings; what counts is
the epoch that is best on average, where it clearly beats the start. These trainings
end together: by the patience with the mean loss of all rows, with their schedule, or on
the way where nothing comes of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from .._networks.modules import Autoencoder
from .._tables.rows import make_batches, to_train_on
from .._utils.device import seeded_generator
from . import recipe
from .checkpoints import Course, State
from .engine import clearness, end_training, is_clear_gain, tamed, trainer_of
from .objectives import Objective, row_losses
from .optimizer import Schedule
from .options import TrainingOptions, TrainingResult
from .skorch_net import Net, make_history, make_net
from .trainer import DivergenceError, Patience, check_loss, progress_bar

MakeModule = Callable[..., Autoencoder]  # of rows (n, d) and their weights

# After this share of a schedule of the usual length, a start that only a clear gain
# replaces stays where the gain is less clear than that: it will hardly come to four.
_FUTILITY_SHARE = 0.4
_FUTILE = 2.0


def train_on_small_table(
    make_module: MakeModule,
    x: Tensor,
    options: TrainingOptions,
    seed: int,
    n_folds: int,
    objective: Objective | None = None,
    generator: torch.Generator | None = None,
    weights: Tensor | None = None,
) -> tuple[Autoencoder, TrainingResult]:
    """Train on all rows (n, d), for as long as cross-validation says.

    Parameters that are drawn or fitted anew for every training come from
    make_module(rows).
    """
    options_for_all, options = options, options.of_trial
    order = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(x), generator=order).to(x.device)
    diverged: DivergenceError | None = None
    # Side by side, where they may end with any epoch.
    can_end_early = options.n_iter_no_change < options.n_epochs
    look = math.ceil(_FUTILITY_SHARE * options.n_epochs)
    is_usual = options_for_all.n_epochs >= recipe.N_EPOCHS
    can_be_futile = options.starts_at_optimum and is_usual
    stops = range(1, options.n_epochs) if can_end_early else [look] * can_be_futile

    def without(fold: Tensor) -> _Training:
        """The training on all other rows, which those of the fold judge."""
        kept = torch.ones(len(x), dtype=torch.bool, device=x.device)
        kept[fold] = False
        return _Training(
            *(make_module, x[kept], x[fold], options, seed, objective, generator),
            on_epoch=bar.update,
            weights=None if weights is None else weights[kept.cpu()],
            weights_valid=None if weights is None else weights[fold.cpu()],
        )

    with progress_bar(options, n_trainings=n_folds) as bar:
        trainings = tuple(map(without, rows.tensor_split(n_folds)))
        folds = list(trainings)  # those that have not diverged
        bar.skip(sum(len(fold.curve) for fold in folds))
        for n_epochs in sorted({*stops, options.n_epochs}):
            for training in tuple(folds):
                try:
                    training.run(n_epochs)
                except DivergenceError as error:
                    diverged = error
                    folds.remove(training)
            if diverged is not None and not folds:
                raise diverged
            losses = torch.cat([fold.losses(n_epochs) for fold in folds], dim=1)
            # A far row, held out, may overflow: no epoch is best that lets it.
            losses = losses.nan_to_num(torch.inf)  # (n_epochs + 1, n)
            compared = tamed(losses, losses[0])
            mean_losses = compared.mean(dim=1)  # (n_epochs + 1,)
            if _is_patience_exhausted(mean_losses.tolist(), options):
                break
            if can_be_futile and n_epochs == look:
                best_yet = compared[1 + int(mean_losses[1:].argmin())]
                if clearness(compared[0] - best_yet) < _FUTILE:
                    break

    for training in trainings:
        training.course.is_over = True
    best_epoch = int(mean_losses.argmin())
    gains = compared[0] - compared[best_epoch]  # (n,)
    if options.starts_at_optimum and (diverged or not is_clear_gain(gains)):
        best_epoch = 0

    module = train_on_all_rows(
        *(make_module, x, options_for_all, seed, best_epoch),
        *(objective, generator, weights),
    )
    return module, _result_of(folds, losses, best_epoch)


def _result_of(
    folds: Sequence["_Training"], losses: Tensor, best_epoch: int
) -> TrainingResult:
    """The means of the folds, of whose held-out rows these are the losses."""
    n_rows = sum(len(fold.x) for fold in folds)
    curves = [torch.tensor(fold.curve) * len(fold.x) for fold in folds]
    loss_curve = (torch.stack(curves).sum(dim=0) / n_rows).tolist()
    validation_curve = losses.mean(dim=1)[1:].tolist()
    return TrainingResult(
        best_epoch=best_epoch,
        n_epochs=len(loss_curve),
        loss_curve=loss_curve,
        validation_loss_curve=validation_curve,
        history=make_history(loss_curve, validation_curve),
    )


def _is_patience_exhausted(
    mean_losses: Sequence[float], options: TrainingOptions
) -> bool:
    """Whether trainings end after the last of these epochs, of which 0 is the start.

    All are looked at anew: where a training diverged, they are of the rows of others.
    """
    initial, *curve = mean_losses
    patience = Patience(
        options.n_iter_no_change, options.tol, options.n_iter_eased, best=initial
    )
    return any(
        patience.is_exhausted(epoch, loss) for epoch, loss in enumerate(curve, 1)
    )


def train_on_all_rows(
    make_module: MakeModule,
    x: Tensor,
    options: TrainingOptions,
    seed: int,
    best_epoch: int,
    objective: Objective | None = None,
    generator: torch.Generator | None = None,
    weights: Tensor | None = None,
) -> Autoencoder:
    """Train anew on all rows (n, d), for as long as held-out rows liked it.

    The schedule ends with the training, at a rate of zero: weights from the middle of
    a longer one still jump about, and with fewer rows than they could learn from.
    """
    n_wanted = recipe.n_epochs_on_all_rows(best_epoch, options.trial_share)
    n_epochs = min(options.n_epochs, n_wanted)
    options = replace(options, n_epochs=n_epochs)
    training = _Training(
        *(make_module, x, None, options, seed, objective, generator), weights=weights
    )
    module = training.run(n_epochs)
    training.course.finish()
    end_training(module)
    return module


class _Training:
    """A training along the whole schedule, of which some epochs are run at a time.

    Its networks are made when it is first run.
    """

    def __init__(
        self,
        make_module: MakeModule,
        x: Tensor,
        x_valid: Tensor | None,
        options: TrainingOptions,
        seed: int,
        objective: Objective | None = None,
        generator: torch.Generator | None = None,
        on_epoch: Callable[[float, Sequence[float]], None] = lambda *_: None,
        weights: Tensor | None = None,
        weights_valid: Tensor | None = None,
    ):
        self.make_module = make_module
        self.x, self.x_valid = x, x_valid
        self.options = options
        self.seed = seed
        self.objective = objective
        self.generator = generator or seeded_generator(seed, options.device)
        self.on_epoch = on_epoch
        order = torch.Generator().manual_seed(seed)
        self.weights, self.weights_valid = weights, weights_valid
        rows = to_train_on(x, weights)
        self.batches = make_batches(rows, options.batch_size, order)
        n_steps = options.n_epochs * len(self.batches)
        self.schedule = Schedule(options.learning_rate, n_steps)
        self.initial: float | None = None
        self.curve: list[float] = []
        self.held_out: list[Tensor] = []
        self.diverged = ""
        self.course = Course(
            *(options.checkpoints, self.batches, self.schedule, self.generator),
            owner=self,
        )
        if self.course.known is not None:
            self._begin()  # before others draw from the same generators

    @cached_property
    def net(self) -> Net:
        return self._begin()

    def _begin(self) -> Net:
        self.course.begin()
        known = () if self.weights is None else (self.weights,)
        module = self.make_module(self.x, *known)
        self.net = make_net(module, self.options, self.objective)
        self.course.take_up(self.net)
        return self.net

    def run(self, n_epochs: int) -> Autoencoder:
        """Train until so many epochs are done in all, and return the module."""
        net, n_done = self.net, len(self.curve)
        if self.diverged and n_done <= n_epochs:
            raise DivergenceError(self.diverged)
        if n_done > n_epochs:  # of one that goes on where it was
            return net.module_
        trainer_on = trainer_of(net, self.options, self.generator, course=self.course)
        with trainer_on as trainer:
            if self.initial is None:
                self._judge_held_out()
                self.initial = self._judge(self.x, self.weights).mean().item()
            trainer.run(
                *(self.batches, n_epochs, self._after_epoch, self.schedule, n_done),
                self.course.next_position() if n_done < n_epochs else None,
            )
        return net.module_

    def losses(self, n_epochs: int) -> Tensor:
        """Loss of every held-out row at the start and after each of so many epochs.

        Of shape (n_epochs + 1, n_valid).
        """
        return torch.stack(self.held_out[: n_epochs + 1])

    def kept(self) -> State:
        names = "curve", "held_out", "initial", "diverged"
        return {name: getattr(self, name) for name in names}

    def take(self, state: State) -> None:
        held_out = [losses.to(self.x.device) for losses in state["held_out"]]
        vars(self).update({**state, "held_out": held_out})

    def _after_epoch(self, epoch: int, loss: float) -> bool:
        self.curve.append(loss)
        nonsense, initial = self.net.module_.loss_of_nonsense, self.initial
        assert initial is not None
        try:
            check_loss(loss, initial, epoch, self.options.advice, nonsense)
        except DivergenceError as error:
            self.diverged = str(error)
            raise
        self._judge_held_out()
        if self.held_out:
            self.on_epoch(loss, [self.held_out[-1].mean().item()])
        return False

    def _judge_held_out(self) -> None:
        if self.x_valid is not None:
            self.held_out.append(self._judge(self.x_valid, self.weights_valid))

    def _judge(self, x: Tensor, weights: Tensor | None) -> Tensor:
        return row_losses(
            *(self.net.module_, x, self.seed),
            objective=self.objective,
            weights=weights,
        )
