"""How long to train, and what tells: rows held out, cross-validation, or neither."""

from dataclasses import dataclass, field
from typing import Any

import torch

from .._networks.modules import Autoencoder
from .._tables.loading import Rows
from . import recipe as defaults
from .engine import train, train_one_pass
from .objectives import Objective
from .optimizer import load_moments
from .options import TrainingResult
from .recipe import Recipe
from .selection import MakeModule, train_on_all_rows, train_on_small_table
from .skorch_net import make_net
from .view import View


@dataclass(frozen=True)
class Plan:
    """What decides about the length of a training.

    Parameters
    ----------
    n_valid : int
        Rows that are held out; 0 where the training rows decide.

    n_folds : int
        Parts of a table that are held out in turn, where it is short enough; else 0.

    ends_on_all : bool
        Whether rows held out only say how long to train on all rows: where these are
        too few to learn from a part of them. Not with callbacks, which follow one
        training.
    """

    n_valid: int = 0
    n_folds: int = 0
    ends_on_all: bool = False

    @classmethod
    def of(
        cls, n_samples: int, validation_fraction: float, can_end_on_all: bool
    ) -> "Plan":
        """The plan for a table of so many rows, of which some can be held out."""
        if n_samples < 2:
            return cls()
        n_valid = defaults.n_validation_rows(n_samples, validation_fraction)
        n_folds = defaults.n_folds(validation_fraction)
        is_short = n_folds <= n_samples < defaults.LONG_TABLE
        ends_on_all = can_end_on_all and is_short
        if not (ends_on_all and n_samples < defaults.SMALL_TABLE):
            n_folds = 0
        return cls(n_valid, n_folds, ends_on_all)


@dataclass
class TrainingState:
    """What a training changes, and what it takes to start one anew or to go on."""

    module: Autoencoder
    make: MakeModule
    generator: torch.Generator  # what its steps draw from
    moments: dict[str, Any] | None = None
    history: Any = None
    view: View = field(default_factory=View)


def find_weights(
    state: TrainingState,
    rows: Rows,
    plan: Plan,
    recipe: Recipe,
    objective: Objective,
    seed: int,
) -> TrainingResult:
    """Train the module as long as the plan says; it may become another."""
    rows = state.view.rows(rows)
    n_samples, n_done = rows.n_samples, state.module.epoch
    is_whole = plan.ends_on_all and not rows.is_streamed
    n_folds = plan.n_folds if is_whole else 0
    options_for_all = recipe.options(n_samples, state.module, n_done, n_folds)
    if n_folds:
        state.module, result = train_on_small_table(
            *(state.make, rows.x, options_for_all, seed, n_folds),
            *(objective, state.generator, rows.weights),
        )
    else:
        options = recipe.options(len(rows.train), state.module, n_done)
        if is_whole:
            options = options.of_trial
        net = make_net(state.module, options, objective)
        if state.history is not None:
            net.history.extend(state.history)
        result = train(
            *(net, rows.train, rows.valid, options, seed, state.generator),
            weights=rows.watched_weights,
        )
        if is_whole and result.best_epoch > 0:
            best = result.best_epoch
            state.module = train_on_all_rows(
                *(state.make, rows.x, options_for_all, seed, best),
                *(objective, state.generator, rows.weights),
            )
    state.view.finish(state.module)
    return result


def pass_over(
    state: TrainingState, rows: Rows, recipe: Recipe, objective: Objective, seed: int
) -> float:
    """Train for one pass at a constant rate, and return its loss."""
    options = recipe.options_of_pass(len(rows.train), state.module)
    net = make_net(state.module, options, objective)
    if state.moments is not None:
        load_moments(net.optimizer_, state.moments)
    if state.history is not None:
        net.history.extend(state.history)
    loss = train_one_pass(net, rows.train, options, seed, state.generator)
    state.moments, state.history = net.optimizer_.state_dict(), net.history
    return loss
