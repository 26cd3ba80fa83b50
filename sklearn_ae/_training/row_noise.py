"""How the noise of rows that are known with their posteriors depends on the latents.

The networks stay as they are: means are learned where all rows count alike, and what
varies around them is learned afterwards (D. A. Nix and A. S. Weigend, "Estimating the
mean and variance of the target probability distribution", ICNN 1994, of the two phases
in which both are found best).

Shapes: n rows, d columns, k latents, m numbers of conditions.
"""

import copy
import math

import torch
from torch import Tensor, nn

from .._inference.inference import Inference
from .._networks.losses import SquaredError
from .._networks.modules import beside, over_blocks
from .._networks.variational import VariationalAutoencoder
from .._tables.rows import block_rows
from .._utils.device import enough_threads
from .held_out import FullBatches, best_on_held_out
from .optimizer import Schedule, UncompiledAdamW
from .trainer import DivergenceError

_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 1e-3
# Epochs over short tables and long ones, whose steps are as many.
_MOST_EPOCHS, _LEAST_EPOCHS, _N_ROWS = 70, 10, 70_000
_BATCH_SIZE, _SMALL_BATCH_SIZE, _SMALL_TABLE = 256, 64, 1000
_HELD_OUT = 0.1
# As if so large a share of the cells had the noise that all share: of what happens
# rarely, rows nearby may have nothing.
_SHARED_SHARE = 0.1
# Draws of each row held out, where all that are decoded are not too many numbers.
_HELD_OUT_DRAWS, _LARGEST = 8, 2**23


def learn_row_noise(
    module: VariationalAutoencoder,
    x: Tensor,
    z: Tensor,
    inference: Inference,
    start: nn.Module,
    seed: int,
    most_epochs: int,
) -> nn.Module:
    """A noise network for rows x (n, d + m) whose modes z (n, k) are known.

    It goes on from a start, and is chosen by rows held out; where none is better than
    the start, or the training diverges, it is that.
    """
    generator = torch.Generator(x.device).manual_seed(seed)
    target, conditions = module.parts(x)
    network = copy.deepcopy(start).requires_grad_()
    n_held_out = math.ceil(_HELD_OUT * len(x))
    n_train = len(x) - n_held_out
    if n_train == 0:
        return start
    order = torch.randperm(len(x), generator=generator, device=x.device)
    x, z = x[order], z[order]
    target, conditions = target[order], conditions[order]

    def moments(x: Tensor, z: Tensor) -> Tensor:
        posterior = inference.posterior(module, x, z)
        return torch.cat([posterior.mean[:, None], posterior.factor], dim=1)

    both = over_blocks(module, moments, x, z, n_block=block_rows(module.loss_size))
    mean, factor = both[:, 0], both[:, 1:]

    power = module.loss_function.scale_power or SquaredError.scale_power

    def loss_of(rows: Tensor | slice, n_draws: int = 1) -> Tensor:
        shape = (n_draws, *mean[rows].shape, 1)
        eps = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
        drawn = mean[rows] + (factor[rows] @ eps)[..., 0]  # (S, n, k)
        given = beside(drawn, conditions[rows])
        with torch.no_grad():
            output = module.decode(given.flatten(0, 1)).unflatten(0, given.shape[:-1])
            shared = module.log_noise
        log_noise = module.limited(network(given), shared)
        loss = module.loss_of(target[rows])
        likelihood = loss.log_likelihood(output, target[rows], log_noise)
        change = log_noise - shared
        prior = torch.exp(-power * change) / power + change
        return (_SHARED_SHARE * prior.sum(dim=-1) - likelihood).mean()

    is_small = len(x) < _SMALL_TABLE
    n_batch = min(n_train, _SMALL_BATCH_SIZE if is_small else _BATCH_SIZE)
    n_epochs = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, _N_ROWS // len(x)), most_epochs)
    rows_held_out = slice(n_train, None)
    n_draws = max(1, min(_HELD_OUT_DRAWS, _LARGEST // (n_held_out * target.shape[1])))
    held_out_seed = generator.get_state()

    def held_out_loss() -> Tensor:
        # The same draws every time.
        before = generator.get_state()
        generator.set_state(held_out_seed)
        loss = loss_of(rows_held_out, n_draws)
        generator.set_state(before)
        return loss

    try:
        with enough_threads(module, n_batch):
            return best_on_held_out(
                network,
                loss_of,
                held_out_loss,
                FullBatches(n_train, n_batch, torch.Generator().manual_seed(seed)),
                UncompiledAdamW(
                    network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
                ),
                Schedule(_LEARNING_RATE, n_epochs * (n_train // n_batch)),
                n_epochs,
            )
    except DivergenceError:
        return start
