"""How the noise of rows that are known with their posteriors depends on the latents.

The networks stay as they are: means are learned where all rows count alike, and what
varies around them is learned afterwards (D. A. Nix and A. S. Weigend, "Estimating the
mean and variance of the target probability distribution", ICNN 1994, of the two phases
in which both are found best).

Shapes: n rows, d columns, k latents, m numbers of conditions.
"""

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from .._inference.described import DescribedRows
from .._inference.inference import Inference, log_mean_weight
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
_N_ROUNDS = 3
# Epochs over short tables and long ones, whose steps are as many.
_MOST_EPOCHS, _LEAST_EPOCHS, _N_ROWS = 35, 5, 35_000
_BATCH_SIZE, _SMALL_BATCH_SIZE, _SMALL_TABLE = 256, 64, 1000
_HELD_OUT = 0.1
_FEWEST_TO_JUDGE = 10  # rows held out
# As if so large a share of the cells had the noise that all share: of what happens
# rarely, rows nearby may have nothing.
_SHARED_SHARE = 0.1
# Draws of each row held out, where all that are decoded are not too many numbers.
_HELD_OUT_DRAWS, _LARGEST = 8, 2**23


def learn_in_rounds(
    module: VariationalAutoencoder,
    rows: DescribedRows,
    start: nn.Module,
    seed: int,
    most_epochs: int,
    where_better: bool,
) -> DescribedRows:
    """Rows whose noise the module has learned, from a network to start from.

    Where asked for, only if rows that no round has learned from are likelier by it.
    """
    network = start
    # Posteriors become narrower where there is less noise, which then is less.
    for _ in range(_N_ROUNDS):
        known = rows.drawn
        network = learn_row_noise(
            *(module, known.x, known.modes, known.inference, network),
            *(seed, most_epochs),
        )
        module.keep_noise_network(network)
        rows = rows.finding_modes(module)
    if where_better and not _is_better(module, rows, seed):
        module.keep_noise_network(None)
        return replace(rows, known=None)
    return rows


@torch.no_grad()
def _is_better(module: VariationalAutoencoder, rows: DescribedRows, seed: int) -> bool:
    """Whether rows held out have a higher density by noise of rows than by shared."""
    rows = rows.drawn
    generator = torch.Generator(rows.x.device).manual_seed(seed)
    order, n_train = _split(rows.x, generator)
    held_out = order[n_train:]
    # They have also said after which epoch to end: some may gain by that alone.
    if len(held_out) < _FEWEST_TO_JUDGE:
        return False
    x, z, modes = (part[held_out] for part in (rows.x, rows.z, rows.modes))
    shape = (_HELD_OUT_DRAWS, 1, z.shape[1])
    eps = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)

    def density(x: Tensor, z: Tensor) -> Tensor:
        posterior = rows.inference.posterior(module, x, z)
        return log_mean_weight(module, x, posterior, eps)

    n_block = block_rows(_HELD_OUT_DRAWS * module.loss_size)
    with enough_threads(module, n_block):
        by_row = over_blocks(module, density, x, modes, n_block=n_block)
        network = module.noise_network
        module.keep_noise_network(None)
        shared = over_blocks(module, density, x, z, n_block=n_block)
        module.keep_noise_network(network)
    return bool((by_row.double() - shared.double()).mean() > 0.0)


def _split(x: Tensor, generator: torch.Generator) -> tuple[Tensor, int]:
    """An order of rows (n, d + m), and how many in front are to learn from."""
    order = torch.randperm(len(x), generator=generator, device=x.device)
    return order, len(x) - math.ceil(_HELD_OUT * len(x))


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
    order, n_train = _split(x, generator)
    n_held_out = len(x) - n_train
    if n_train == 0:
        return start
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
