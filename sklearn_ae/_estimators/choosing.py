"""How many latents a table asks for.

Short trainings on a part of the rows tell, by the rest of them; the fit that follows is
that with the number which came out.

Shapes: n held-out rows, d columns.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from torch import nn

from .._inference.compute import compute
from .._inference.described import describe
from .._inference.inference import Inference, Refined
from .._networks.modules import Autoencoder
from .._tables.rows import Table
from .._training.checkpoints import Checkpoints
from .._training.plans import Plan
from .._training.recipe import SMALL_TABLE
from .._utils.random import SEED_LIMIT, make_random_state, some_rows
from .._utils.warnings import warn
from .checkpoints import at_lower_rates
from .design import Design, FitTable

# Latents at most, where neither their number nor a share is asked for, and those that
# are tried first.
MOST_LATENTS = 64
_RUNGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# Latents for each that could be of use, beyond which a number must be a mistake.
_MOST_ASKED = 10_000
# Rungs in a row without a lower error, after which none is expected.
_PATIENCE = 2
# Rows of trials, and what of them is held out.
_MOST_ROWS, _MOST_HELD_OUT, _SHARE_HELD_OUT = 5000, 500, 0.2
# Share of the usual epochs that a trial has on tables that are not short.
_TRIAL_SHARE = 1 / 3
# What networks leave of what PCA leaves, where none have been tried.
_USUAL_GAIN = 0.8
# Numbers that are guessed; then ranges are halved, or each guess might be the next one.
_MOST_GUESSES = 8
# Parts of a row's cells that are hidden in turn.
_N_PARTS = 5

# Of a number of latents, squares that they leave of held-out rows (n,).
Errors = Callable[[int], np.ndarray]


# What may be asked for.
NUMBERS_OF_LATENTS = [
    Interval(Integral, 1, None, closed="left"),
    Interval(RealNotInt, 0, 1, closed="neither"),
    StrOptions({"auto"}),
    None,
]


def number_of_latents(estimator: Any, table: FitTable, goes_on: bool) -> int:
    """The number asked for, or the one that the table of a fit asks for."""
    asked = estimator.n_components
    if isinstance(asked, Integral):
        asked, n_rows, n_columns = int(asked), len(table.X), table.n_own
        if asked > _MOST_ASKED * max(1, min(n_rows, n_columns)):
            raise ValueError(
                f"n_components={asked} asks for networks beyond all memory: X with "
                f"{n_rows} rows and {n_columns} columns is given back by "
                f"{max(1, min(n_rows - 1, n_columns))} latents. Ask for so many or "
                "fewer."
            )
        return asked
    if goes_on:
        return estimator.n_components_
    own = [
        name
        for name in ("encoder", "decoder")
        if isinstance(getattr(estimator, name), nn.Module)
    ]
    if own:
        raise ValueError(
            f"n_components={asked!r} tries several numbers of latents, and {own[0]} is "
            "a network with its own: give that number, or a class or function that "
            f"makes {own[0]} for any."
        )
    if asked is None:
        return max(1, min(len(table.X) - 1, table.n_own, MOST_LATENTS))
    trials = Trials.of(estimator, table)
    if trials.most < 2:
        return 1
    return trials.choose() if asked == "auto" else trials.reach(float(asked))


@dataclass(frozen=True)
class Trial:
    """Networks that tell how good a number of latents is."""

    module: Autoencoder
    inference: Inference

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        return compute(self.module, self.inference.reconstruct, X)


@dataclass(frozen=True)
class Trials:
    """Trainings with several numbers of latents, and the rows that judge them.

    Parameters
    ----------
    estimator : estimator
        Whose parameters, but for the number, the trials have.

    table : FitTable
        Rows that they learn from.

    held_out : ndarray of shape (n, d + m)
        Rows that judge.

    starts_linear : bool
        Whether networks are PCA before they are trained: never worse than that.

    counts : ndarray of shape (n, 1)
        How often each of these rows counts.
    """

    estimator: Any
    table: FitTable
    held_out: np.ndarray
    starts_linear: bool
    counts: np.ndarray

    @classmethod
    def of(cls, estimator: Any, table: FitTable) -> "Trials":
        """On rows of a table, by chance, of which a fifth judges."""
        X = table.X
        numbers = some_rows(len(X), _MOST_ROWS)
        sample = X.take(numbers) if isinstance(X, Table) else X[numbers]
        n_held_out = min(_MOST_HELD_OUT, math.floor(_SHARE_HELD_OUT * len(sample)))
        held_out, kept = sample[:n_held_out], sample[n_held_out:]
        weights = np.ones(len(X)) if table.weights is None else table.weights
        counts, of_kept = np.split(weights[numbers], [n_held_out])
        if not n_held_out:  # of so few rows none can be spared
            held_out, counts = kept, of_kept
        of_kept = of_kept / of_kept.mean()
        is_weighted = table.weights is not None
        kinds = replace(table, X=kept, weights=of_kept if is_weighted else None)
        with_number = clone(estimator).set_params(n_components=1)
        linear = with_number._architecture(kinds).spec.starts_linear
        return cls(estimator, kinds, held_out, linear, counts[:, None] / counts.mean())

    @property
    def most(self) -> int:
        """Latents that can be of use."""
        return min(len(self.table.X) - 1, self.table.n_own)

    def reach(self, share: float) -> int:
        """The least number of latents that explain the share of held-out rows."""
        if not self._in_all:  # of rows that do not differ there is nothing to explain
            return 1
        most_left = 1.0 - share
        linear = _Left(partial(self._share_left, n_epochs=0))
        trained = _Left(self._share_left)

        def expected(low: int, high: int) -> int:
            """Where it is reached, if as much of what PCA leaves is left as last."""
            if len(trained.known) >= _MOST_GUESSES:
                return _middle(low, high)
            gain = _USUAL_GAIN
            if trained.known:
                k, left = list(trained.known.items())[-1]
                gain = left / linear.between(k)
            enough = (
                k for k in range(low, high) if gain * linear.between(k) <= most_left
            )
            return next(enough, high)

        high = self.most
        if self.starts_linear:
            high = _least(lambda k: linear(k) <= most_left, 1, high)
        guess = expected if self.starts_linear else _middle
        k = _least(lambda k: trained(k) <= most_left, 1, high, guess)
        if k == self.most and trained(k) > most_left:
            warn(
                f"n_components={share:g}: no number of latents explains that share of "
                f"rows that were held out; {k}, the most that so few rows allow, were "
                "fitted.",
                UserWarning,
            )
        return k

    def choose(self) -> int:
        """The least number of latents that say no less than others of hidden cells.

        Cells of held-out rows are hidden in turn, and reconstructed from the others of
        their row: what is left of them falls with every latent that columns share, and
        rises with those that follow single cells (S. Wold, "Cross-validatory
        estimation of the number of components", Technometrics 20, 397-405, 1978). The
        number is the least whose error is at most a standard error above the lowest.
        """
        most = min(max(1, self.table.n_own - 1), self.most, MOST_LATENTS)
        rungs = [k for k in _RUNGS if k < most] + [most]
        search = _Search(rungs)
        trained = cache(self._errors)
        linear = cache(partial(self._errors, n_epochs=0))
        first = linear if self.starts_linear else trained
        best = search.climb(first)
        high = search.descend(first, best)
        return search.descend(trained, high) if self.starts_linear else high

    def _share_left(self, k: int, n_epochs: int | None = None) -> float:
        left = self._left(self._trial(k, n_epochs), self.held_out)
        return float(np.nansum(left) / self._in_all)

    def _errors(self, k: int, n_epochs: int | None = None) -> np.ndarray:
        return self._left_of_hidden(self._trial(k, n_epochs))

    def _trial(self, k: int, n_epochs: int | None = None) -> Trial:
        """Networks of k latents after so many epochs; None takes those of a trial."""
        asked = self.estimator
        seed = asked.random_state if isinstance(asked.random_state, Integral) else 0
        like = clone(asked).set_params(
            n_components=k,
            random_state=seed,
            verbose=0,
            warm_start=False,
            callbacks=None,
        )
        X = self.table.X
        design = like._designed(self.table, False)
        if n_epochs is None:
            n_epochs = design.recipe.n_epochs(len(X))
            if len(X) >= SMALL_TABLE:
                n_epochs = math.ceil(_TRIAL_SHARE * n_epochs)
            if not isinstance(asked.max_iter, str):
                n_epochs = min(n_epochs, asked.max_iter)
        like.max_iter = n_epochs
        design = replace(design, recipe=replace(design.recipe, max_iter=n_epochs))

        def train(design: Design) -> Trial:
            # Held-out rows say which epoch is best; no training on all rows follows.
            plan = Plan(like._plan(len(X), goes_on=False).n_valid)
            random_state = make_random_state(like.random_state)
            seed = random_state.randint(SEED_LIMIT)
            state, rows, inference, _ = like._find(
                X, design, plan, False, random_state, seed
            )
            described = describe(
                *(state.module, rows.x, inference, rows.n_samples),
                weights=rows.weights,
            )
            state.module.put_columns_back(rows.order)
            inference = described.inference
            if isinstance(inference, Refined):
                # What is expected of latents makes up for those that tell nothing.
                inference = replace(inference, expected=None)
            return Trial(state.module, inference)

        return at_lower_rates(like, design, train, Checkpoints())

    def _left(self, trial: Trial, X: np.ndarray) -> np.ndarray:
        """Squares between held-out rows and what is made of X, in networks' units."""
        made = trial.reconstruct(X)
        scale = trial.module.columns.output_scale.cpu().numpy()
        squares = np.square((made - self._own) / scale)  # (n, d), NaN where missing
        return self.counts * squares

    def _left_of_hidden(self, trial: Trial) -> np.ndarray:
        """Mean square of what is left of a row's cells when these are hidden: (n,)."""
        left = np.full(self._own.shape, np.nan)
        for part in range(_N_PARTS):
            hidden = self._parts == part
            X = self.held_out.astype(np.float64)
            X[:, : self.table.n_own][hidden] = np.nan
            left[hidden] = self._left(trial, X)[hidden]
        n_known = (~np.isnan(left)).sum(axis=1)
        return np.nansum(left, axis=1) / np.maximum(n_known, 1)

    @property
    def _own(self) -> np.ndarray:
        return self.held_out[:, : self.table.n_own]

    @cached_property
    def _parts(self) -> np.ndarray:
        """In which turn a cell is hidden (n, d): all numbers of a column together."""
        kinds = self.table.kinds
        sizes = (
            [1] * self.table.n_own
            if kinds is None
            else [kind.n_numbers for kind in kinds.kinds]
        )
        random_state = np.random.RandomState(0)
        n = len(self.held_out)
        order = np.argsort(random_state.uniform(size=(n, len(sizes))), axis=1)
        return np.repeat(order % min(_N_PARTS, len(sizes)), sizes, axis=1)

    @cached_property
    def _in_all(self) -> float:
        """Squares between held-out rows and the mean of the others."""
        kept = self.table.X
        assert isinstance(kept, np.ndarray)
        own = kept[:, : self.table.n_own]
        counts = np.ones(len(own)) if self.table.weights is None else self.table.weights
        known = counts[:, None] * ~np.isnan(own)
        mean = np.nansum(known * own, axis=0) / np.maximum(known.sum(axis=0), 1e-12)
        columns = self.estimator._columns(self.table)
        scale = columns.output_scale.cpu().numpy()
        squares = np.square((self._own - mean) / scale)
        return float(np.nansum(self.counts * squares))


class _Left:
    """Shares of squares that numbers of latents leave, each found once."""

    def __init__(self, find: Callable[[int], float]):
        self.find = find
        self.known: dict[int, float] = {}

    def __call__(self, k: int) -> float:
        if k not in self.known:
            self.known[k] = self.find(k)
        return self.known[k]

    def between(self, k: int) -> float:
        """What is left about, from the numbers that are known; no latents leave all."""
        numbers, left = zip(*sorted({0: 1.0, **self.known}.items()), strict=True)
        logs = np.log(np.maximum(left, 1e-12))
        return math.exp(np.interp(k, numbers, logs))


class _Search:
    """Looks for the least number of latents whose errors are as low as any."""

    def __init__(self, rungs: list[int]):
        self.rungs = rungs
        self.best: np.ndarray | None = None  # the lowest errors of all tried

    def _try(self, errors: Errors, k: int) -> np.ndarray:
        found = errors(k)
        if self.best is None or found.mean() < self.best.mean():
            self.best = found
        return found

    def _is_enough(self, errors: Errors, k: int) -> bool:
        excess = self._try(errors, k) - self.best
        return excess.mean() <= excess.std() / math.sqrt(len(excess))

    def climb(self, errors: Errors) -> int:
        """The best of the rungs, from the lowest until they rise."""
        best, lowest = self.rungs[0], math.inf
        for i, k in enumerate(self.rungs):
            mean = self._try(errors, k).mean()
            if mean < lowest:
                best, lowest = k, mean
            elif i - self.rungs.index(best) >= _PATIENCE:
                break
        return best

    def descend(self, errors: Errors, high: int) -> int:
        """The least number that is enough, rung by rung from one that is.

        Often the next lower number is too few, which ends it.
        """
        enough, too_few = high, 0
        self._try(errors, high)
        lower = {high - 1, *(rung for rung in self.rungs if rung < high)} - {0}
        for k in sorted(lower, reverse=True):
            if not self._is_enough(errors, k):
                too_few = k
                break
            enough = k
        return _least(lambda k: self._is_enough(errors, k), too_few + 1, enough)


def _middle(low: int, high: int) -> int:
    return (low + high) // 2


def _least(
    holds: Callable[[int], bool],
    low: int,
    high: int,
    guess: Callable[[int, int], int] = _middle,
) -> int:
    """The least of the numbers for which something holds, as it does for high."""
    while low < high:
        k = min(max(low, guess(low, high)), high - 1)
        if holds(k):
            high = k
        else:
            low = k + 1
    return low
