"""A small network beside a fitted one, and the weights that rows held out prefer."""

import copy
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from .optimizer import Schedule
from .trainer import Trainer, check_loss

_MAX_NORM = 5.0

Network = TypeVar("Network", bound=nn.Module)


def best_on_held_out(
    network: Network,
    loss_of: Callable[[Tensor], Tensor],
    held_out_loss: Callable[[], Tensor],
    batches: "FullBatches",
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    n_epochs: int,
) -> Network:
    """The network after the epoch, or before all, with the lowest held-out loss.

    ``loss_of`` takes the numbers of the rows of a batch.
    """
    parameters = list(network.parameters())

    def held_out() -> float:
        with torch.no_grad():
            return held_out_loss().item()

    at_start = lowest = held_out()
    best = copy.deepcopy(network)

    def update(rows: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, _MAX_NORM)
        optimizer.step()
        return loss.detach()

    def after_epoch(epoch: int, loss: float) -> bool:
        nonlocal best, lowest
        check_loss(loss, at_start, epoch, advice="")
        now = held_out()
        if now < lowest:
            best, lowest = copy.deepcopy(network), now
        return False

    Trainer(network, optimizer, update).run(batches, n_epochs, after_epoch, schedule)
    return best.requires_grad_(False)


class FullBatches:
    """Numbers of rows, shuffled, in batches of one size: the rest is left out."""

    device = torch.device("cpu")

    def __init__(self, n_all: int, batch_size: int, generator: torch.Generator):
        self.n_all, self.batch_size = n_all, batch_size
        self.n_rows = n_all // batch_size * batch_size
        self.generator = generator

    def __len__(self) -> int:
        return self.n_rows // self.batch_size

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self.n_all, generator=self.generator)
        return iter(order[: self.n_rows].split(self.batch_size))
