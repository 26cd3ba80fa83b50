"""The density of training rows' latents that rows held out prefer, and how it is found.

Shapes: n rows, k latents.
"""

import math

import numpy as np
import torch
from torch import Tensor

from .._inference.priors import AggregatedPosterior, AutoregressivePosterior
from .._networks.autoregressive import AutoregressiveDensity
from .._utils.device import as_global, enough_threads
from .held_out import FullBatches, best_on_held_out
from .optimizer import Schedule, UncompiledAdamW
from .trainer import DivergenceError

_LEARNING_RATE = 8e-3
_WEIGHT_DECAY = 1e-3
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
    optimizer = UncompiledAdamW(
        density.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    with enough_threads(density, n_batch):
        best = best_on_held_out(
            density,
            lambda rows: -density.log_prob(draw(rows)).mean(),
            lambda: -density.log_prob(held_out).mean(),
            FullBatches(n_train, n_batch, generator),
            optimizer,
            Schedule(_LEARNING_RATE, _N_EPOCHS * (n_train // n_batch)),
            _N_EPOCHS,
        )
    return best, held_out
