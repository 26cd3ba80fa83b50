"""What a fit is made of: the objects that an estimator chooses for a table."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from .._inference.described import DescribedRows
from .._inference.inference import Encoded, Inference
from .._inference.latents import principal_axes
from .._networks.architecture import Architecture
from .._networks.filling import Filling, find_filling
from .._networks.losses import SpanSquaredError, SquaredError
from .._networks.modules import Autoencoder
from .._networks.starts import LinearPaths, SpanStart, Start
from .._tables.columns import Columns
from .._tables.loading import Rows, load_rows
from .._tables.rows import Table, as_tensor, block_rows
from .._tables.shards import own_blocks, own_part
from .._tables.span import Span, is_wide
from .._tables.table_kinds import TableKinds
from .._tables.weighing import order_of_content
from .._tables.weights import mean_row
from .._training.objectives import Objective
from .._training.plans import TrainingState
from .._training.recipe import Recipe
from .._training.view import SpanView, View
from .._utils.device import as_global, enough_threads, seeded_generator
from .._utils.processes import Processes, current
from .._utils.random import SEED_LIMIT
from .fitted_state import reader_of


@dataclass(frozen=True)
class FitTable:
    """The rows of a fit, with what stands beside them in columns of their own."""

    X: np.ndarray | Table  # (n, d + m)
    n_own: int  # d, the columns of the rows themselves
    kinds: TableKinds | None = None  # where these hold more than numbers
    weights: np.ndarray | None = None  # (n,), of mean one
    # What a fit knows by these of its columns, as attributes.
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def n_beside(self) -> int:
        return self.X.shape[1] - self.n_own

    def weighted(self, weights: np.ndarray | None) -> "FitTable":
        """The same rows, of which some count more, in an order of theirs if need be."""
        X = self.X
        order = None if isinstance(X, Table) else order_of_content(X)
        if order is None:
            return replace(self, weights=weights)
        weights = None if weights is None else weights[order]
        return replace(self, X=X[order], weights=weights)

    def without_rows(self) -> Self:
        return replace(self, X=np.empty((0, self.X.shape[1]), self.X.dtype))

    def of_all(self, processes: Processes) -> Self | None:
        """For the first process the rows of all, in the order of their ranks."""
        parts = processes.gather_in_first(self.X[:])
        return replace(self, X=np.concatenate(parts)) if parts else None


def read_table(estimator: Any, X: Any, y: Any, goes_on: bool) -> FitTable:
    """The rows of a fit, and what it knows by them of its columns."""
    reader = reader_of(estimator, goes_on)
    before = vars(reader).copy()
    table: FitTable = reader._make_table(X, y, reset=not goes_on)
    found = {
        name: value
        for name, value in vars(reader).items()
        if name not in before or before[name] is not value
    }
    return replace(table, attributes=found)


# Networks and what they started from, and rows (n, d) that may inform the module.
MakeModule = Callable[..., Autoencoder]


# Rotation (k, k) and shift (k,) of latents.
Axes = tuple[Tensor, Tensor]


def to_principal_axes(module: Autoencoder, rows: DescribedRows) -> Axes:
    """To axes that can be compared between fits."""
    return principal_axes(rows.z, module.filled(rows.x), rows.weights)


def leave(module: Autoencoder) -> None:
    """Change nothing."""


def leave_rows(module: Autoencoder, rows: DescribedRows, seed: int) -> DescribedRows:
    """Learn no more: the rows are what they were."""
    return rows


@dataclass(frozen=True)
class Design:
    """The objects of one fit; estimators differ in which they make.

    Parameters
    ----------
    columns : Columns
        How rows become the networks' numbers.

    architecture : Architecture
        Which networks.

    loss : SquaredError
        What compares outputs with rows, and links one to the other.

    start : Start
        The linear optimum that the networks start from, or none.

    make_module : callable
        ``make_module(encoder, decoder, loss, columns, paths, x)``: the module around
        the networks; linear paths and rows in the networks' units may inform it.

    recipe : Recipe
        How it is trained.

    objective : Objective
        What steps, and what judges.

    inference : Inference
        Which latents a row is given.

    find_axes : callable
        ``find_axes(module, rows)``: rotation and shift of the latents to ones that can
        be read.

    renew : callable
        Lets a module that goes on training follow parameters that have changed.

    finish : callable
        ``finish(module, rows, seed)`` learns what is left to learn where the latents
        are known, and gives the rows as they are then.

    weights : ndarray of shape (n_samples,) or None
        How often each row of the fit counts, where that is not once.
    """

    columns: Columns
    architecture: Architecture
    loss: SquaredError
    start: Start
    make_module: MakeModule
    recipe: Recipe
    objective: Objective = field(default_factory=Objective)
    inference: Inference = field(default_factory=Encoded)
    find_axes: Callable[[Autoencoder, DescribedRows], Axes] = to_principal_axes
    renew: Callable[[Autoencoder], None] = leave
    finish: Callable[[Autoencoder, DescribedRows, int], DescribedRows] = leave_rows
    weights: np.ndarray | None = None

    def viewed(self, rows: Rows) -> tuple[View, "Design"]:
        """What a training sees of the rows, and the design for that.

        Of rows with many more columns than there are rows that is their coordinates in
        their span, where these will do.
        """
        n_own = self.architecture.n_own_inputs
        may_narrow = self.architecture.may_turn_columns and not self.recipe.callbacks
        has_steps = self.recipe.max_iter != 0 and not rows.is_streamed
        is_wanted = may_narrow and has_steps and is_wide(len(rows.x), n_own)
        if not is_wanted or rows.x.isnan().any():
            return View(), self
        span = Span.of(rows.x[:, :n_own])
        if span is None:
            return View(), self
        is_of_pairs = self.architecture.is_of_pairs
        design = replace(
            self,
            columns=span.columns(self.columns),
            architecture=self.architecture.in_span(span),
            loss=self.loss if is_of_pairs else SpanSquaredError(span.scale**2),
            start=SpanStart(self.start, span),
        )
        return SpanView(span, self.columns, self.loss), design

    def find_paths(
        self, X: np.ndarray | Table, rows: Rows, filling: Filling | None
    ) -> LinearPaths | None:
        """Linear paths from all rows of a long table, where they can be had so."""
        if not (rows.is_streamed and self.start.can_stream(X.shape[1])):
            return None

        def prepare(block: np.ndarray) -> Tensor:
            x = self.columns.standardize(as_tensor(block))[:, rows.order]
            return x if filling is None else filling(x)

        weights = None
        if self.weights is not None:
            weights = torch.from_numpy(own_part(self.weights, X))
        blocks = map(prepare, own_blocks(X))
        return self.start.find_streamed(blocks, weights, current())

    def find_filling(
        self,
        x: Tensor,
        random_state: np.random.RandomState,
        weights: Tensor | None = None,
    ) -> Filling | None:
        """What missing cells of rows (n, d) are filled with, if any are missing."""
        own = x[:, : self.columns.n_own]
        if not own.isnan().any():
            return None
        n_components = self.architecture.spec.n_components
        return find_filling(own, n_components, random_state, weights)

    def build(
        self,
        x: Tensor,
        weights: Tensor | None = None,
        *,
        random_state: np.random.RandomState,
        generator: torch.Generator,
        paths: LinearPaths | None = None,
        filling: Filling | None = None,
    ) -> Autoencoder:
        """The module before its first step, for standardised rows (n, d)."""
        columns = self.columns
        filling = filling or self.find_filling(x, random_state, weights)
        has_missing = filling is not None
        if filling is not None:
            x = filling.to(x.device)(x)
        if paths is None:
            paths = self.start.find(x, columns, random_state, weights)
        mean_output = mean_row(columns.wanted(x), weights)
        seen = columns.seen(x)
        with as_global(generator):  # layers draw their weights from there
            networks = self.architecture.build(paths, seen, mean_output, self.loss)
        module = self.make_module(*networks, self.loss, columns, paths, x)
        if filling is None and paths is not None:
            filling = paths.filling
        module.filling = filling or Filling.by_mean(
            mean_row(x[:, : columns.n_own], weights)
        )
        module.has_missing = has_missing
        self.objective.prepare(module)
        return module.to(x.device)

    def begin(
        self,
        X: np.ndarray | Table,
        random_state: np.random.RandomState,
        device: torch.device,
        seed: int,
        n_valid: int = 0,
        may_narrow: bool = False,
    ) -> tuple[TrainingState, Rows]:
        """The state before the first step, and the rows.

        It may be for networks that take less than whole rows: what the state's view
        makes of them.
        """
        load = partial(
            load_rows,
            *(X, self.columns, device),
            seed=random_state.randint(SEED_LIMIT),
            n_valid=n_valid,
            weights=self.weights,
        )
        in_place = torch.arange(X.shape[1])
        rows = load(order=None if self.architecture.sorts_columns else in_place)
        generator = torch.Generator().manual_seed(seed)
        self.recipe.checkpoints.draw_from(random_state, generator)
        view, design = self.viewed(rows) if may_narrow else (View(), self)
        make = partial(design.build, random_state=random_state, generator=generator)
        filling = None
        if rows.is_streamed:
            filling = self.find_filling(rows.x, random_state, rows.weights)
            if filling is None and isinstance(X, Table) and X.has_missing:
                own = rows.x[:, : self.columns.n_own]
                filling = Filling.by_mean(mean_row(own, rows.weights))
        paths = self.find_paths(X, rows, filling)
        seen = view.rows(rows)
        module = make(seen.x, seen.weights, paths=paths, filling=filling)
        if self.recipe.callbacks:
            # They may look at rows and networks: all in the columns' own order.
            module.put_columns_back(rows.order)
            rows = load(order=in_place)
        generator = _on(device, generator)
        return TrainingState(module.to(device), make, generator, view=view), rows

    def resume(
        self,
        module: Autoencoder,
        X: np.ndarray | Table,
        random_state: np.random.RandomState,
        device: torch.device,
        seed: int,
        n_valid: int = 0,
        order: Tensor | None = None,
    ) -> tuple[TrainingState, Rows]:
        """The state of a copy that goes on, and rows in the order of its moments."""
        module = copy.deepcopy(module).cpu()
        self.renew(module)
        self.objective.prepare(module)
        rows = load_rows(
            *(X, self.columns, device),
            seed=random_state.randint(SEED_LIMIT),
            n_valid=n_valid,
            order=torch.arange(X.shape[1]) if order is None else order,
            weights=self.weights,
        )
        module.put_columns_back(torch.argsort(rows.order))
        module.has_missing |= bool(rows.x[:, : self.columns.n_own].isnan().any())
        module.has_missing |= isinstance(X, Table) and X.has_missing
        generator = seeded_generator(seed, device)
        return TrainingState(module.to(device), lambda *_: module, generator), rows


@dataclass(frozen=True)
class Trained:
    """What a training has come to, for what estimators tell of it.

    Parameters
    ----------
    design : Design
        What was trained.

    table : FitTable
        On which rows.

    state : TrainingState
        The networks, with columns in the order of the training.

    described : DescribedRows
        These rows as the trained networks see them.

    random_state : RandomState
        What is drawn from.

    course : dict
        Attributes that tell how the trainings went, of all calls.
    """

    design: Design
    table: FitTable
    state: TrainingState
    described: DescribedRows
    random_state: np.random.RandomState
    course: dict[str, Any]

    @property
    def module(self) -> Autoencoder:
        return self.state.module

    @cached_property
    def rows(self) -> DescribedRows:
        """The rows as often as their weights say."""
        return self.described.drawn

    @cached_property
    def error(self) -> float:
        """Mean loss of the rows, in the units of the columns."""
        with enough_threads(self.module, block_rows(self.module.row_size)):
            error = self.described.mean_error(self.module) * self.module.loss_scale
        return error.item()

    @property
    def is_one_pass(self) -> bool:
        """Whether rows came in parts, of which these are the last."""
        return self.state.moments is not None


def _on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """The generator, or one with its seed for what is drawn on another device."""
    if device.type == "cpu":
        return generator
    return seeded_generator(generator.initial_seed(), device)
