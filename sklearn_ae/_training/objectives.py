"""What a training minimises: one function steps, another judges.

`step_loss` may look at a batch as a whole: at pairs of its rows, at several networks.
`judge` says of each row alone how good the module is for it, in evaluation mode and
with the same noise on every call; by it epochs are compared and curves are drawn.
"""

import copy
from typing import Any

import torch
from torch import Tensor

from .._inference.inference import Encoded, Inference
from .._networks.modules import Autoencoder, draws_globally, set_mode
from .._tables.rows import (
    Batches,
    StreamedBatches,
    TrainingRows,
    block_rows,
    make_batches,
)
from .._tables.shards import SharedBatches, SharedRows
from .._tables.weights import with_mean_one
from .._utils.device import as_global, seeded_generator


class Objective:
    """The module's own loss of a row: reconstruction, denoising, bound, prediction.

    In training mode that is the loss to step by (the encoder sees corrupted rows, the
    bound is eased), in evaluation mode the one to judge by.
    """

    # Whether `step_loss` is the mean over rows of the module's own loss, which has fast
    # paths and can be taken part by part.
    is_of_rows = True

    # Whether `step_loss` of another kind asks networks for no more than their output
    # and its gradient, which fast networks have.
    has_fast_networks = False

    # What finds the latents of rows that are judged.
    inference: Inference = Encoded()

    def judging_by(self, inference: Inference) -> "Objective":
        """The same objective, whose networks are used with this inference."""
        judging = copy.copy(self)
        judging.inference = inference.quick()
        return judging

    def prepare(self, module: Autoencoder) -> None:
        """Give a module what steps need of it, or take what they do not."""
        module.keep_cuts({})

    def batches(
        self,
        rows: TrainingRows | SharedRows,
        batch_size: int,
        order: torch.Generator,
    ) -> Batches | StreamedBatches | SharedBatches:
        """What an epoch goes over: batches of rows in an order from the generator."""
        if isinstance(rows, SharedRows):
            return rows.batches(batch_size, order)
        return make_batches(rows, batch_size, order)

    def step_loss(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """The number () that a step on the batch (n, d) goes down from."""
        return module.loss(x, generator).mean()

    def judge(
        self, module: Autoencoder, x: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """The loss of each row (n,), whatever rows it comes with."""
        return self.inference.losses(module, x, generator)

    def follow(self, module: Any, progress: float) -> None:
        """Told before every step what share of the schedule is done."""


@torch.no_grad()
def row_losses(
    module: Autoencoder,
    x: Tensor,
    seed: int,
    block_size: int | None = None,
    objective: Objective | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Loss of each row (n,) in evaluation mode, with the same noise on every call.

    With weights (n,) it is a share of the rows' mean, as is then every gain.
    """
    objective = Objective() if objective is None else objective
    was_training = module.training
    set_mode(module, training=False)
    block_size = block_size or block_rows(module.loss_size)
    generator = seeded_generator(seed, x.device)
    blocks = x.split(block_size)
    if not draws_globally(module):
        losses = [objective.judge(module, block, generator) for block in blocks]
    else:  # the user's networks may draw too, from where torch draws by default
        with as_global(seeded_generator(seed, torch.device("cpu"))):
            losses = [objective.judge(module, block, generator) for block in blocks]
    set_mode(module, was_training)
    of_rows = torch.cat(losses).double()
    return of_rows if weights is None else weighted(of_rows, weights)


def weighted(losses: Tensor, weights: Tensor) -> Tensor:
    """Losses (n,) as shares of the rows' mean by their weights (n,)."""
    return losses * with_mean_one(weights).to(losses)
