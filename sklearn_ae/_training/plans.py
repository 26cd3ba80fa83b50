"""How long to train, and what tells: rows held out, cross-validation, or neither."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._networks.modules import Autoencoder
from .._tables.loading import Rows
from . import recipe
from .engine import train, train_one_pass
from .objectives import Objective
from .optimizer import load_moments
from .options import TrainingResult
from .recipe import Recipe
from .selection import train_on_all_rows, train_on_small_table
from .skorch_net import make_net

MakeModule = Callable[[Tensor], Autoencoder]


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
        n_valid = recipe.n_validation_rows(n_samples, validation_fraction)
        n_folds = recipe.n_folds(validation_fraction)
        is_short = n_folds <= n_samples < recipe.LONG_TABLE
        ends_on_all = can_end_on_all and is_short
        if not (ends_on_all and n_samples < recipe.SMALL_TABLE):
            n_folds = 0
        return cls(n_valid, n_folds, ends_on_all)


@dataclass
class Networks:
    """The module of a fit, and how one more of its kind is made."""

    module: Autoencoder
    make: MakeModule
    generator: torch.Generator  # what its steps draw from
    moments: dict[str, Any] | None = None
    history: Any = None


def find_weights(
    networks: Networks,
    rows: Rows,
    plan: Plan,
    of_fit: Recipe,
    objective: Objective,
    seed: int,
) -> TrainingResult:
    """Train the networks as long as the plan says; the module may become another."""
    n_samples, n_done = len(rows.train), networks.module.epoch
    if rows.valid is not None:
        n_samples += len(rows.valid)
    is_whole = plan.ends_on_all and not rows.is_streamed
    n_folds = plan.n_folds if is_whole else 0
    options_for_all = of_fit.options(n_samples, networks.module, n_done, n_folds)
    if n_folds:
        networks.module, result = train_on_small_table(
            *(networks.make, rows.x, options_for_all, seed, n_folds),
            *(objective, networks.generator),
        )
    else:
        options = of_fit.options(len(rows.train), networks.module, n_done)
        net = make_net(networks.module, options, objective)
        if networks.history is not None:
            net.history.extend(networks.history)
        result = train(net, rows.train, rows.valid, options, seed, networks.generator)
        if is_whole and result.best_epoch > 0:
            best = result.best_epoch
            networks.module = train_on_all_rows(
                *(networks.make, rows.x, options_for_all, seed, best),
                *(objective, networks.generator),
            )
    return result


def pass_over(
    networks: Networks, rows: Rows, of_fit: Recipe, objective: Objective, seed: int
) -> float:
    """Train for one pass at a constant rate, and return its loss."""
    options = of_fit.options_of_pass(len(rows.train), networks.module)
    net = make_net(networks.module, options, objective)
    if networks.moments is not None:
        load_moments(net.optimizer_, networks.moments)
    if networks.history is not None:
        net.history.extend(networks.history)
    loss = train_one_pass(net, rows.train, options, seed, networks.generator)
    networks.moments, networks.history = net.optimizer_.state_dict(), net.history
    return loss
