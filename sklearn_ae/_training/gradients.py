"""Gradients of batches of which each process has a part."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from .._tables.shards import ShardBatch
from .._utils.processes import Processes


def shared(
    step: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    processes: Processes,
) -> Callable[[ShardBatch], Tensor]:
    """The step on the batch of all processes, from one on rows of this process.

    It leaves the mean gradient over the rows of all, in the same bits everywhere, and
    returns this process's share of the mean loss.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def take_part(batch: ShardBatch) -> Tensor:
        if len(batch.x):
            loss = step(batch.x) * batch.share
        else:
            optimizer.zero_grad(set_to_none=False)
            loss = batch.x.new_zeros(())
        _average(parameters, batch.share, processes)
        return loss

    return take_part


@torch.no_grad()
def _average(
    parameters: list[torch.nn.Parameter], share: float, processes: Processes
) -> None:
    if len(parameters) == 1 and parameters[0].grad is not None:
        processes.sum(parameters[0].grad, share)  # the buffer of them all
        return
    for p in parameters:
        if p.grad is None:  # of no use to the rows that are here
            p.grad = torch.zeros_like(p)
    add_up(parameters, share, processes)


@torch.no_grad()
def add_up(
    parameters: Iterable[torch.nn.Parameter], share: float, processes: Processes
) -> None:
    """Let gradients be the sums of so large shares of those of all processes.

    The same parameters have gradients in each.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([grad.reshape(-1) for grad in grads])
    parts = processes.sum(flat, share).split([grad.numel() for grad in grads])
    for grad, part in zip(grads, parts, strict=True):
        grad.copy_(part.view_as(grad))
