"""The way back from latents that are known: a decoder is trained alone.

Shapes: n rows, d features, k latents.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .._networks.linear import Layer
from .._networks.modules import Autoencoder, DecoderAlone, draws_globally
from .._tables.loading import Rows
from .._utils.device import isolated_generators, steady_convolutions
from .objectives import Objective
from .plans import Plan, TrainingState, find_weights
from .recipe import Recipe

# Of latents (n, k) and rows (n, d) that it is to give for them.
MakeDecoder = Callable[[Tensor, Tensor], nn.Module]


def regress(z: Tensor, x: Tensor) -> Layer:
    """The linear regression of rows (n, d) on latents (n, k), as a layer."""
    z = z.cpu().double()
    center = z.mean(dim=0)
    z = z - center
    total = x.new_zeros(x.shape[1], device="cpu", dtype=torch.float64)
    products = z.new_zeros(z.shape[1], x.shape[1])
    # In blocks: in double precision rows take twice their memory.
    for z_block, x_block in zip(z.split(8192), x.split(8192), strict=True):
        x_block = x_block.cpu().double()
        total += x_block.sum(dim=0)
        products += z_block.T @ x_block  # as z is centred, x need not be
    weight = (torch.linalg.pinv(z.T @ z, hermitian=True) @ products).T  # (d, k)
    return weight, total / len(x) - weight @ center


def train_decoder(
    make_decoder: MakeDecoder,
    features: nn.Module,
    z: Tensor,
    x: Tensor,
    of: Autoencoder,
    recipe: Recipe,
    plan: Plan,
    seed: int,
) -> nn.Module:
    """A decoder that gives rows x (n, d) for features of latents z (n, k)."""
    k = z.shape[1]
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    pairs = torch.cat([z.to(x), x], dim=1)[order.to(x.device)]  # (n, k + d)

    def make_module(pairs: Tensor) -> DecoderAlone:
        decoder = make_decoder(pairs[:, :k], pairs[:, k:])
        module = DecoderAlone(features, decoder, of.loss_function, k, x.shape[1])
        module.has_missing = of.has_missing
        return module.to(x.device)

    n_valid = plan.n_valid
    rows = Rows(
        pairs,
        train=pairs[n_valid:],
        valid=pairs[:n_valid] if n_valid else None,
        order=torch.arange(x.shape[1]),
    )
    generator = torch.Generator(x.device).manual_seed(seed)
    state = TrainingState(make_module(pairs), make_module, generator)
    draws = draws_globally(state.module)
    with (
        isolated_generators(seed, x.device) if draws else steady_convolutions(x.device)
    ):
        find_weights(state, rows, plan, recipe, Objective(), seed)
    return state.module.decoder
