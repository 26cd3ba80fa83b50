"""The density of training rows' latents that rows held out prefer, and how it is found.

Shapes: n rows, k latents.
"""

import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .._inference.priors import AggregatedPosterior, AutoregressivePosterior
from .._networks.autoregressive import AutoregressiveDensity
from .._utils.device import as_global, enough_threads
from .optimizer import Schedule, UncompiledAdamW
from .trainer import DivergenceError, Trainer, check_loss

_LEARNING_RATE = 8e-3
_WEIGHT_DECAY = 1e-3
_MAX_NORM = 5.0
_N_EPOCHS = 70
# Beyond so many rows, batches grow with the square root of the length.
_LONG_TABLE, _BATCH_SIZE = 10_000, 256
_HELD_OUT = 0.1
# Of fewer, those held out are too few to choose by, as they are for mixtures.
_LEAST_ROWS = 1000


def autoregressive_where_better(
    mixture: AggregatedPosterior,
    mean: np.ndarray,
    std: np.ndarray,
    axes: np.ndarray,
    seed: int,
) -> AutoregressivePosterior | None:
    """The autoregressive density of posteriors N(mean, std^2), two arrays (n, k).

    It is of the latents at these axes; None where it is no better than the mixture on
    rows held out, of which the mixture has seen some, and where its training diverges.
    """
    if len(axes) == 0 or len(mean) < _LEAST_ROWS:
        return None
    try:
        density, held_out = _learn(mean[:, axes], std[:, axes], seed)
    except DivergenceError:
        return None
    learned = AutoregressivePosterior(density, axes, mean.shape[1])
    z = held_out.new_zeros(len(held_out), mean.shape[1])
    z[:, axes] = held_out
    is_better = learned.log_ratio(z).mean() > mixture.log_ratio(z).mean()
    return learned if is_better else None


def _learn(
    mean: np.ndarray, std: np.ndarray, seed: int
) -> tuple[AutoregressiveDensity, Tensor]:
    """The density, and draws of rows held out, by which its weights were chosen.

    Every step draws from the posteriors anew.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(mean), generator=generator)
    means, stds = (torch.from_numpy(part).float()[order] for part in (mean, std))

    def draw(rows: Tensor | slice) -> Tensor:
        mean = means[rows]
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + stds[rows] * noise

    n_held_out = math.ceil(_HELD_OUT * len(means))
    n_train = len(means) - n_held_out
    held_out = draw(slice(n_train, None))
    spread = (means[:n_train].var(dim=0) + stds[:n_train].square().mean(dim=0)).sqrt()
    ends = draw(slice(None)).aminmax(dim=0)
    with as_global(generator):
        density = AutoregressiveDensity(means[:n_train].mean(dim=0), spread, *ends)
    growth = math.sqrt(max(1.0, n_train / _LONG_TABLE))
    n_batch = min(n_train, round(_BATCH_SIZE * growth))
    batches = _FullBatches(n_train, n_batch, generator)
    parameters = list(density.parameters())
    optimizer = UncompiledAdamW(
        parameters, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    best, at_start = copy.deepcopy(density), _score(density, held_out)
    highest = at_start

    def update(rows: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = -density.log_prob(draw(rows)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, _MAX_NORM)
        optimizer.step()
        return loss.detach()

    def after_epoch(epoch: int, loss: float) -> bool:
        nonlocal best, highest
        check_loss(loss, -at_start, epoch, advice="")
        score = _score(density, held_out)
        if score > highest:
            best, highest = copy.deepcopy(density), score
        return False

    schedule = Schedule(_LEARNING_RATE, _N_EPOCHS * len(batches))
    trainer = Trainer(density, optimizer, update)
    with enough_threads(density, n_batch):
        trainer.run(batches, _N_EPOCHS, after_epoch, schedule)
    return best.requires_grad_(False), held_out


class _FullBatches:
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


@torch.no_grad()
def _score(density: AutoregressiveDensity, z: Tensor) -> float:
    return density.log_prob(z).mean().item()
