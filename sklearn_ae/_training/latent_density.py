"""The density of training rows' latents that rows held out prefer, and how it is found.

Shapes: n rows, k latents.
"""

import copy
import math

import numpy as np
import torch
from torch import Tensor

from .._inference.priors import AggregatedPosterior, AutoregressivePosterior
from .._networks.autoregressive import AutoregressiveDensity
from .._utils.device import as_global, enough_threads
from .optimizer import Schedule, UncompiledAdamW

_LEARNING_RATE = 8e-3
_WEIGHT_DECAY = 1e-3
_MAX_NORM = 5.0
_N_EPOCHS = 70
# Beyond so many rows, batches grow with the square root of the length.
_LONG_TABLE, _BATCH_SIZE = 10_000, 256
_HELD_OUT = 0.1
# Of fewer, those held out are too few to choose by, as they are for mixtures.
_LEAST_ROWS = 2000


def autoregressive_where_better(
    mixture: AggregatedPosterior,
    mean: np.ndarray,
    std: np.ndarray,
    axes: np.ndarray,
    seed: int,
) -> AutoregressivePosterior | None:
    """The autoregressive density of posteriors N(mean, std^2), two arrays (n, k).

    It is of the latents at these axes; None where it is no better than the mixture on
    rows held out, of which the mixture has seen some.
    """
    if len(axes) == 0 or len(mean) < _LEAST_ROWS:
        return None
    density, held_out = _learn(mean[:, axes], std[:, axes], seed)
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
        noise = torch.randn(means[rows].shape, generator=generator)
        return means[rows] + stds[rows] * noise

    n_held_out = math.ceil(_HELD_OUT * len(means))
    n_train = len(means) - n_held_out
    held_out = draw(slice(n_train, None))
    spread = (means[:n_train].var(dim=0) + stds[:n_train].square().mean(dim=0)).sqrt()
    with as_global(generator):
        density = AutoregressiveDensity(means[:n_train].mean(dim=0), spread)
    growth = math.sqrt(max(1.0, n_train / _LONG_TABLE))
    n_batch = min(n_train, round(_BATCH_SIZE * growth))
    n_batches = n_train // n_batch
    parameters = list(density.parameters())
    optimizer = UncompiledAdamW(
        parameters, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    schedule = Schedule(_LEARNING_RATE, _N_EPOCHS * n_batches)
    best, highest = copy.deepcopy(density), _score(density, held_out)
    with enough_threads(density, n_batch):
        for _ in range(_N_EPOCHS):
            batches = torch.randperm(n_train, generator=generator).split(n_batch)
            for rows in batches[:n_batches]:
                schedule.step(optimizer)
                optimizer.zero_grad()
                (-density.log_prob(draw(rows)).mean()).backward()
                torch.nn.utils.clip_grad_norm_(parameters, _MAX_NORM)
                optimizer.step()
            score = _score(density, held_out)
            if score > highest:
                best, highest = copy.deepcopy(density), score
    return best.requires_grad_(False), held_out


@torch.no_grad()
def _score(density: AutoregressiveDensity, z: Tensor) -> float:
    return density.log_prob(z).mean().item()
