"""The loop that trains the face network: balanced batches, one optimizer over all.

It is not the one of `_training`, whose batches are rows of one table: here each step
takes as many faces of every identity, each identity has its own decoder and its own
curve, and an epoch's random numbers depend on its number only, so that a training that
was interrupted goes on to the very same weights. Seeds, schedule, device and errors are
those of `_training`.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .._training.optimizer import Schedule
from .._training.trainer import DivergenceError
from ._modules import FaceNetwork

# Few faces are gone through several times in an epoch, or epochs would be too short to
# tell apart.
LEAST_STEPS = 10
BLOCK = 64  # faces that are computed on together, where nothing is learned
BETAS = (0.5, 0.999)  # of Adam, as the original program has them
# Shares of the training between which the warp falls to nothing. Warped faces teach the
# encoder not to look who is seen; at last it must see faces as it will get them.
WARP_FALLS = 0.4, 0.8


@dataclass(frozen=True)
class FaceTrainingOptions:
    """What the loop needs to know of the estimator's parameters."""

    learning_rate: float
    batch_size: int  # faces of each identity
    n_epochs: int  # of the whole schedule, those done before included
    n_done: int
    seed: int
    precision: torch.dtype | None
    mmd_weight: float = 0.0
    verbose: int = 0
    # Without a schedule the learning rate is that of every step.
    is_scheduled: bool = True
    n_iter_no_change: int | None = None
    tol: float = 0.0


@dataclass
class FaceCurves:
    """Mean losses by epoch: of each identity, and of faces held out."""

    by_identity: list[list[float]] = field(default_factory=list)  # epochs x identities
    held_out: list[float] = field(default_factory=list)
    best_epoch: int = 0


def to_unit_interval(x: Tensor) -> Tensor:
    """Faces as the network takes them: whole numbers count to 255."""
    return x.float() / 255.0 if x.dtype == torch.uint8 else x


def make_optimizer(network: FaceNetwork, learning_rate: float) -> torch.optim.Optimizer:
    """Adam over all parameters that are to be trained."""
    trained = [p for p in network.parameters() if p.requires_grad]
    is_fused = network.device.type in ("cpu", "cuda")
    return torch.optim.Adam(trained, lr=learning_rate, betas=BETAS, fused=is_fused)


def train_faces(
    network: FaceNetwork,
    optimizer: torch.optim.Optimizer,
    faces: dict[int, Tensor],
    held_out: dict[int, Tensor],
    options: FaceTrainingOptions,
    after_epoch: Callable[[int, FaceCurves], bool],
) -> FaceCurves:
    """Train the network in place.

    The weights are those after the last step, which the schedule has made small; with
    faces held out, those of the epoch that gave these their lowest error. Swaps go on
    improving long after reconstructions do, so nothing else is a reason to go back.

    Parameters
    ----------
    faces, held_out : dict of int to Tensor (n, d)
        Faces by the number of their identity.

    after_epoch : callable
        Told the number of an epoch and the curves; true ends the training.
    """
    longest = max(len(x) for x in faces.values())
    n_steps = max(LEAST_STEPS, math.ceil(longest / options.batch_size))
    schedule = Schedule(options.learning_rate, options.n_epochs * n_steps)
    schedule.n_done = options.n_done * n_steps
    curves = FaceCurves(best_epoch=options.n_done)
    best = last_progress = math.inf, options.n_done
    state = None
    for epoch in range(options.n_done + 1, options.n_epochs + 1):
        torch.manual_seed(_seed_of(options.seed, epoch))
        losses = _run_epoch(
            network,
            optimizer,
            faces,
            n_steps,
            options,
            schedule if options.is_scheduled else None,
        )
        _check_losses(losses, options, epoch)
        curves.by_identity.append(losses)
        if held_out:
            error = _mean_error(network, held_out)
            curves.held_out.append(error)
            if error < best[0]:
                best, state = (error, epoch), copy.deepcopy(network.state_dict())
            if error < last_progress[0] * (1.0 - options.tol):
                last_progress = error, epoch
        else:
            best = losses[0], epoch
        curves.best_epoch = best[1]
        if after_epoch(epoch, curves):
            break
        patience = options.n_iter_no_change
        if held_out and patience and epoch - last_progress[1] >= patience:
            break
    if state is not None:
        network.load_state_dict(state)
    network.eval()
    return curves


def _run_epoch(
    network: FaceNetwork,
    optimizer: torch.optim.Optimizer,
    faces: dict[int, Tensor],
    n_steps: int,
    options: FaceTrainingOptions,
    schedule: Schedule | None,
) -> list[float]:
    """Return the mean loss of each identity."""
    network.train()
    device = network.device
    order = {
        identity: _endless_order(len(x), n_steps * options.batch_size).view(n_steps, -1)
        for identity, x in faces.items()
    }
    total = torch.zeros(len(faces), dtype=torch.float64, device=device)
    for step in range(n_steps):
        if schedule is not None:
            network.augmentation.warp_share = warp_share(
                schedule.n_done / schedule.n_steps
            )
            schedule.step(optimizer)
        batch = [
            (identity, to_unit_interval(x[order[identity][step]]).to(device))
            for identity, x in faces.items()
        ]
        optimizer.zero_grad()
        with torch.autocast(
            device.type, options.precision, enabled=options.precision is not None
        ):
            of_parts, discrepancy = network.losses(batch)
        losses = torch.stack(of_parts)  # (identities,)
        loss = losses.mean()
        if options.mmd_weight:
            loss = loss + options.mmd_weight * discrepancy
        loss.backward()
        optimizer.step()
        total += losses.detach()
    return (total / n_steps).tolist()


def warp_share(progress: float) -> float:
    """What is left of the warp after so large a share of the training."""
    start, end = WARP_FALLS
    return min(1.0, max(0.0, (end - progress) / (end - start)))


def _endless_order(n_faces: int, n_wanted: int) -> Tensor:
    """Numbers of faces, each as often as any other give or take one."""
    n_rounds = math.ceil(n_wanted / n_faces)
    return torch.cat([torch.randperm(n_faces) for _ in range(n_rounds)])[:n_wanted]


def _seed_of(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _check_losses(
    losses: Sequence[float], options: FaceTrainingOptions, epoch: int
) -> None:
    if all(math.isfinite(loss) for loss in losses):
        return
    raise DivergenceError(
        f"Training diverged in epoch {epoch}: the loss is no longer finite. Lower "
        f"learning_rate_init (now {options.learning_rate:g}), or set "
        'precision="float32".'
    )


@torch.no_grad()
def _mean_error(network: FaceNetwork, faces: dict[int, Tensor]) -> float:
    """Mean absolute error of faces under their own decoders, each identity as much."""
    network.eval()
    errors = [
        face_errors(network, x, identity).mean().item() for identity, x in faces.items()
    ]
    return float(np.mean(errors))


@torch.no_grad()
def face_errors(network: FaceNetwork, x: Tensor, identity: int) -> Tensor:
    """Mean absolute error of each face (n,), in blocks that bound the memory."""
    return torch.cat(
        [
            network.error(to_unit_interval(block).to(network.device), identity)
            for block in x.split(BLOCK)
        ]
    )
