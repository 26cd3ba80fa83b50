"""A fit of several processes: each is given rows of its own, and all end up equal.

Tables that are short in all are brought together: a fit of them has too few rows in a
batch to share, and often ends with a training on all rows. The first process fits
them, as one with all rows would, and so it does maps, whose neighbours may lie in any
process. Else all processes train together.
"""

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch

from .._tables.rows import RESIDENT_SIZE
from .._tables.shards import Shard
from .._tables.weighing import weigh
from .._training.recipe import LONG_TABLE
from .._utils.device import resolve_device
from .._utils.packing import pack, unpack
from .._utils.processes import Processes, alone
from .._utils.version import __version__
from .checkpoints import digest_of_module, in_words
from .design import FitTable, read_table

# Parameters that may differ from process to process.
_OWN_PARAMETERS = {"device", "verbose"}


def fit_together(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    goes_on: bool,
    fit_table: Callable[[FitTable], dict[str, Any]],
    processes: Processes,
    may_gather: bool = True,
) -> dict[str, Any]:
    """What a fit to the rows of all processes finds, of which X are those here."""
    if not processes.are_several:
        X, y, weights = weigh(X, y, sample_weight)
        return fit_table(read_table(estimator, X, y, goes_on).weighted(weights))
    is_map = not estimator._can_be_shared
    check_can_be_shared(estimator)
    check_equal(estimator, X, goes_on, processes)
    X, y, weights = weigh_together(X, y, sample_weight, processes)
    table = _read_together(estimator, X, y, goes_on, processes)
    if weights is not None:
        weights = np.concatenate(processes.gather(weights))
    n_samples, n_columns = sum(processes.gather(len(table.X))), table.X.shape[1]
    is_short = n_samples < LONG_TABLE and n_samples * n_columns <= RESIDENT_SIZE
    fitted = None
    if is_map or (may_gather and is_short):
        all_rows = table.of_all(processes)
        if all_rows is not None:
            with alone():
                fitted = fit_table(all_rows.weighted(weights))
    else:
        _check_number(estimator.n_components)
        shard = Shard(table.X, processes)
        fitted = fit_table(replace(table, X=shard, weights=weights))
    return share(fitted, estimator.device, processes)


def check_can_be_shared(estimator: Any) -> None:
    """Raise where a fit is asked for that only one process can do."""
    if estimator.callbacks:
        raise ValueError(
            "callbacks= is for a fit of one process, and here several train together: "
            "leave callbacks at None, or fit in one process, inside `with "
            "sklearn_ae.distributed.alone():`."
        )
    seed = estimator.random_state
    if isinstance(seed, np.random.RandomState):
        raise ValueError(
            "Several processes need the same seed: random_state must be an integer or "
            "None there; got a RandomState instance."
        )


def _check_number(n_components: Any) -> None:
    if not isinstance(n_components, Integral):
        raise ValueError(
            f"n_components={n_components!r} tries several numbers of latents, which "
            f"several processes do not do together on {LONG_TABLE:,} rows or more: "
            "give an integer there."
        )


def weigh_together(
    X: Any, y: Any, sample_weight: Any, processes: Processes
) -> tuple[Any, Any, np.ndarray | None]:
    """As `weigh`, of rows that lie in several processes."""
    if not processes.are_several:
        return weigh(X, y, sample_weight)
    own = sample_weight is not None if n_rows(X) else None
    are_weighted = processes.gather(own)
    if True in are_weighted and False in are_weighted:
        raise ValueError(
            f"Process {are_weighted.index(True)} has sample_weight, and process "
            f"{are_weighted.index(False)} has none: give weights in all processes with "
            "rows, or in none."
        )
    if True not in are_weighted:
        return X, y, None
    weights = np.zeros(n_rows(X)) if sample_weight is None else sample_weight
    return weigh(X, y, weights, processes)


def check_equal(
    estimator: Any, X: Any, goes_on: bool, processes: Processes, **asked: Any
) -> None:
    """Raise where processes have other parameters, columns or networks.

    Or where something else is asked of them.
    """
    facts: dict[str, Any] = {
        **{name: repr(value) for name, value in asked.items()},
        "sklearn_ae": __version__,
        "the estimator": type(estimator).__name__,
    }
    for name, value in estimator.get_params(deep=False).items():
        if name not in _OWN_PARAMETERS:
            # Weights of networks of the user's become those of the first process.
            is_network = isinstance(value, torch.nn.Module)
            facts[name] = repr(value) if is_network else in_words(value)
    facts["fitted networks"] = goes_on and digest_of_module(estimator.module_)
    columns = _columns_of(X) if n_rows(X) else None
    all_facts = processes.gather((facts, columns))
    first_facts, _ = all_facts[0]
    for rank, (others, _) in enumerate(all_facts):
        for name, value in first_facts.items():
            if others.get(name) != value:
                raise ValueError(
                    f"Process {rank} has {name} = {others.get(name)}, and process 0 "
                    f"has {name} = {value}: they must be the same in all processes."
                )
    known = [(rank, c) for rank, (_, c) in enumerate(all_facts) if c is not None]
    if not known:
        raise ValueError(f"None of the {processes.n} processes was given any rows.")
    first_rank, columns = known[0]
    for rank, others in known[1:]:
        _check_columns(columns, first_rank, others, rank)


def _check_columns(first: Any, first_rank: int, other: Any, rank: int) -> None:
    if list(first) != list(other):
        names = [str(name) for name in other if name not in first]
        lacks = [str(name) for name in first if name not in other]
        what = "; ".join(
            [f"only there: {', '.join(names)}"] * bool(names)
            + [f"missing there: {', '.join(lacks)}"] * bool(lacks)
        )
        if not what:
            pairs = enumerate(zip(other, first, strict=True))
            i, (there, here) = next((i, p) for i, p in pairs if p[0] != p[1])
            what = f"column {i} is {there} there, and {here} in process {first_rank}"
        raise ValueError(
            f"Process {rank} has {len(other)} columns, and process {first_rank} has "
            f"{len(first)}; all need the same, in the same order ({what})."
        )
    for name, dtype in first.items():
        if other[name] != dtype:
            raise ValueError(
                f"Column {name!r} is of type {other[name]} in process {rank}, and of "
                f"type {dtype} in process {first_rank}: give it the same in all."
            )


def n_rows(X: Any) -> int:
    """How many rows X has, whatever holds them."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def _columns_of(X: Any) -> dict[Any, str]:
    """Types of columns by their names, or by their numbers where they have none."""
    names = getattr(X, "column_names", None)  # of pyarrow, whose columns are arrays
    names = getattr(X, "columns", None) if names is None else names
    shape = X.shape if hasattr(X, "shape") else np.shape(X)
    if names is None:
        names = range(shape[1] if len(shape) == 2 else 0)
    types = getattr(X, "dtypes", None)
    if types is None and hasattr(X, "schema"):
        types = X.schema.types
    if types is None:
        types = [getattr(X, "dtype", "any")] * len(names)
    return dict(zip(list(names), map(str, types), strict=True))


def _read_together(
    estimator: Any, X: Any, y: Any, goes_on: bool, processes: Processes
) -> FitTable:
    """The table of this process; without rows, one with the columns of the others."""
    if n_rows(X):
        table = read_table(estimator, X, y, goes_on)
        made = processes.gather(table.without_rows())
    else:
        # What the others find out together on their way goes past.
        table, made = None, []
        while not any(isinstance(part, FitTable) for part in made):
            made = processes.gather(None)
    known = [(rank, part) for rank, part in enumerate(made) if part is not None]
    (first_rank, first), *others = known
    for rank, part in others:
        shapes = [(p.X.shape[1], str(p.X.dtype)) for p in (first, part)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Process {rank} has {shapes[1][0]} columns of {shapes[1][1]}, and "
                f"process {first_rank} has {shapes[0][0]} of {shapes[0][1]}: give all "
                "the same."
            )
    if table is None:
        return first
    return replace(table, attributes=first.attributes)


def share(
    fitted: dict[str, Any] | None,
    device: str | torch.device,
    processes: Processes,
) -> dict[str, Any]:
    """What the first process has found in a fit, in every process."""
    packed = processes.gather(pack(fitted) if processes.is_first else None)[0]
    if processes.is_first:
        assert fitted is not None
        return fitted
    attributes: dict[str, Any] = unpack(packed)
    attributes["module_"].to(resolve_device(device))
    return attributes
