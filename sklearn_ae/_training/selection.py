"""Short tables: held-out rows say how long to train, then all rows are trained on.

A tenth of a small table is too few rows to tell a gain from luck, and too many to do
without. There, each row is held out once, from one of a few trainings; what counts is
the epoch that is best on average, where it clearly beats the start.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .._networks.modules import Autoencoder
from .._tables.rows import Batches
from .._utils.device import seeded_generator
from . import recipe
from .engine import end_training, is_clear_gain, trainer_of
from .objectives import Objective, row_losses
from .optimizer import Schedule
from .options import TrainingOptions, TrainingResult
from .skorch_net import make_history, make_net
from .trainer import DivergenceError, check_loss, progress_bar

MakeModule = Callable[[Tensor], Autoencoder]


def train_on_small_table(
    make_module: MakeModule,
    x: Tensor,
    options: TrainingOptions,
    seed: int,
    n_folds: int,
    objective: Objective | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Autoencoder, TrainingResult]:
    """Train on all rows (n, d), for as long as cross-validation says.

    Parameters that are drawn or fitted anew for every training come from
    make_module(rows).
    """
    order = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(x), generator=order).to(x.device)
    folds = rows.tensor_split(n_folds)
    train_curves, n_trained, held_out = [], 0, []
    diverged: DivergenceError | None = None
    with progress_bar(options, n_trainings=len(folds)) as bar:
        for fold in folds:
            kept = torch.ones(len(x), dtype=torch.bool, device=x.device)
            kept[fold] = False
            module = make_module(x[kept])
            try:
                curve, losses = _train(
                    *(module, x[kept], x[fold], options, seed),
                    *(objective, generator),
                    on_epoch=bar.update,
                )
            except DivergenceError as error:
                diverged = error
                continue
            train_curves.append(torch.tensor(curve) * len(x[kept]))
            n_trained += len(x[kept])
            held_out.append(losses)  # (n_epochs + 1, n_fold)
    if diverged is not None and not held_out:
        raise diverged

    # A far row, held out, may overflow: no epoch is best that lets it.
    losses = torch.cat(held_out, dim=1).nan_to_num(torch.inf)  # (n_epochs + 1, n)
    mean_losses = losses.mean(dim=1)  # (n_epochs + 1,)
    best_epoch = int(mean_losses.argmin())
    gains = losses[0] - losses[best_epoch]  # (n,)
    if options.starts_at_optimum and (diverged or not is_clear_gain(gains)):
        best_epoch = 0

    module = train_on_all_rows(
        make_module, x, options, seed, best_epoch, objective, generator
    )
    train_curve = torch.stack(train_curves).sum(dim=0) / n_trained
    loss_curve, validation_curve = train_curve.tolist(), mean_losses[1:].tolist()
    result = TrainingResult(
        best_epoch=best_epoch,
        n_epochs=options.n_epochs,
        loss_curve=loss_curve,
        validation_loss_curve=validation_curve,
        history=make_history(loss_curve, validation_curve),
    )
    return module, result


def train_on_all_rows(
    make_module: MakeModule,
    x: Tensor,
    options: TrainingOptions,
    seed: int,
    best_epoch: int,
    objective: Objective | None = None,
    generator: torch.Generator | None = None,
) -> Autoencoder:
    """Train anew on all rows (n, d), for as long as held-out rows liked it.

    The schedule ends with the training, at a rate of zero: weights from the middle of
    a longer one still jump about, and with fewer rows than they could learn from.
    """
    n_epochs = min(options.n_epochs, recipe.n_epochs_on_all_rows(best_epoch))
    module = make_module(x)
    _train(
        module, x, None, replace(options, n_epochs=n_epochs), seed, objective, generator
    )
    return module


def _train(
    module: Autoencoder,
    x: Tensor,
    x_valid: Tensor | None,
    options: TrainingOptions,
    seed: int,
    objective: Objective | None = None,
    generator: torch.Generator | None = None,
    on_epoch: Callable[[float, Sequence[float]], None] = lambda *_: None,
) -> tuple[list[float], Tensor]:
    """Train to the end of the schedule.

    Returns the training loss of each epoch, and the loss of every row of x_valid
    before the first epoch and after each (n_epochs + 1, n_valid).
    """
    net = make_net(module, options, objective)
    generator = generator or seeded_generator(seed, options.device)
    batches = Batches(x, options.batch_size, torch.Generator().manual_seed(seed))
    schedule = Schedule(options.learning_rate, options.n_epochs * len(batches))
    curve: list[float] = []
    held_out: list[Tensor] = []

    def judge(rows: Tensor) -> Tensor:
        return row_losses(module, rows, seed, objective=objective)

    def after_epoch(epoch: int, loss: float) -> bool:
        curve.append(loss)
        check_loss(loss, initial, epoch, options.advice, module.loss_of_nonsense)
        if x_valid is not None:
            held_out.append(judge(x_valid))
            on_epoch(loss, [held_out[-1].mean().item()])
        return False

    with trainer_of(net, options, generator) as trainer:
        if x_valid is not None:
            held_out.append(judge(x_valid))
        initial = judge(x).mean().item()
        trainer.run(batches, options.n_epochs, after_epoch, schedule)
    end_training(module)
    return curve, torch.stack(held_out) if held_out else torch.empty(0)
