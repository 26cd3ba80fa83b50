"""Statistics and draws of rows that have weights (n,)."""

import torch
from torch import Tensor

from .._utils.processes import ALONE, Processes


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of values (..., n) over the last axis."""
    if weights is None:
        return values.mean(dim=-1)
    weights = weights.to(values)
    return (values * weights).sum(dim=-1) / weights.sum()


def mean_row(x: Tensor, weights: Tensor | None) -> Tensor:
    """The mean (d,) of rows (n, d)."""
    return x.mean(dim=0) if weights is None else weighted_mean(x.T, weights)


def with_mean_one(weights: Tensor, processes: Processes = ALONE) -> Tensor:
    """The same weights (n,), which add up to as many rows as there are.

    That is in all processes, each of which has some of them.
    """
    if not processes.are_several:
        return weights / weights.double().mean()
    parts = processes.gather((weights.double().sum().item(), len(weights)))
    total, n = (sum(part) for part in zip(*parts, strict=True))
    return weights / (total / n)


def draw_counts(weights: Tensor, n_rows: int, generator: torch.Generator) -> Tensor:
    """How often each row (n,) comes, of n_rows in all: as its weight says on average.

    That is at least the whole part of the weight and at most one more (systematic
    sampling, in an order by chance).
    """
    order = torch.randperm(len(weights), generator=generator)
    start = torch.rand((), dtype=torch.float64, generator=generator)
    sums = weights.double()[order].cumsum(0)
    sums *= n_rows / sums[-1]
    ends = (sums + start).floor().long()
    ends[-1] = n_rows  # whatever rounding errors say
    counts = torch.empty_like(ends)
    counts[order] = torch.diff(ends, prepend=ends.new_zeros(1))
    return counts
