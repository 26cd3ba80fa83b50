"""The training of the face network: its batches, its objective, its random numbers.

The loop over epochs, the rule for stopping early and the check for divergence are those
of every training. Special are the batches, which hold as many faces of every identity,
the curves, of which each identity has its own, and the random numbers of an epoch: they
depend on its number only, so that a training that was interrupted goes on to the very
same weights.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._inference.latents import LatentDensity
from .._training.checkpoints import Checkpoints, Course, State
from .._training.gradients import add_up
from .._training.optimizer import Schedule, UncompiledAdam
from .._training.trainer import Patience, Trainer, check_loss, progress_bar
from .._utils.processes import ALONE, Processes, current
from ._critic import critic_losses
from ._modules import FaceNetwork, to_unit_interval

# Few faces are gone through several times in an epoch, or epochs would be too short to
# tell apart.
LEAST_STEPS = 10
BLOCK = 64  # faces that are computed on together, where nothing is learned
BETAS = (0.5, 0.999)  # of Adam, as the original program has them
# Shares of the training between which the warp falls to nothing. Warped faces teach the
# encoder not to look who is seen; at last it must see faces as it will get them.
WARP_FALLS = 0.3, 0.6
# Share of the training after which a critic looks at the faces.
WATCHED_FROM = 0.6

# Faces (n, d) by the number of their identity.
Faces = dict[int, Tensor]


@dataclass(frozen=True)
class FaceTrainingOptions:
    """What a training needs to know of the estimator's parameters."""

    learning_rate: float
    batch_size: int  # faces of each identity
    n_epochs: int  # of the whole schedule, those done before included
    n_done: int
    seed: int
    precision: torch.dtype | None
    mmd_weight: float = 0.0
    adversarial_weight: float = 0.0
    verbose: int = 0
    # Without a schedule the learning rate is that of every step.
    is_scheduled: bool = True
    n_iter_no_change: float = math.inf
    tol: float = 0.0

    @property
    def advice(self) -> str:
        """What to do where a training diverges."""
        return (
            f"Lower learning_rate_init (now {self.learning_rate:g}), or set "
            'precision="float32".'
        )


@dataclass
class FaceCurves:
    """Losses by epoch; a training that goes on adds to those of the earlier ones."""

    loss: list[float] = field(default_factory=list)
    by_identity: dict[int, list[float]] = field(default_factory=dict)
    held_out: list[float] = field(default_factory=list)
    n_epochs: int = 0
    best_epoch: int = 0

    @classmethod
    def of(cls, swapper: Any) -> "FaceCurves":
        """Those of a fitted `FaceSwapper`, to go on with."""
        codes = {name: code for code, name in enumerate(swapper.classes_.tolist())}
        return cls(
            list(swapper.loss_curve_),
            {
                codes[name]: list(losses)
                for name, losses in swapper.identity_loss_curves_.items()
            },
            list(swapper.validation_loss_curve_ or []),
            swapper.n_iter_,
            swapper.best_iter_,
        )

    def attributes(self, names: list[Any]) -> dict[str, Any]:
        """Those of a `FaceSwapper` of these identities."""
        # Copies: a training that is not over adds to the curves.
        return {
            "n_iter_": self.n_epochs,
            "best_iter_": self.best_epoch,
            "loss_curve_": list(self.loss),
            "identity_loss_curves_": {
                names[identity]: list(losses)
                for identity, losses in self.by_identity.items()
            },
            "validation_loss_curve_": list(self.held_out) or None,
        }

    def add(self, epoch: int, losses: dict[int, float]) -> None:
        """Note an epoch's mean loss of each identity."""
        self.n_epochs = epoch
        self.loss.append(float(np.mean(list(losses.values()))))
        for identity, loss in losses.items():
            self.by_identity.setdefault(identity, []).append(loss)


@dataclass(frozen=True)
class FaceBatch:
    """Faces (n, d) of identities, with the numbers of these.

    Of a batch of several processes it is what is here, so large a share of it.
    """

    parts: list[tuple[int, Tensor]]
    share: float = 1.0

    def __len__(self) -> int:
        return sum(len(x) for _, x in self.parts)


class FaceBatches:
    """Batches of an epoch, with as many faces of every identity.

    An epoch goes through the identity with the most faces once; of the others, faces
    come several times, each as often as any other give or take one. Several processes,
    which have the same faces, take their parts of each batch.
    """

    def __init__(
        self,
        faces: Faces,
        batch_size: int,
        device: torch.device,
        processes: Processes = ALONE,
    ):
        self.faces = faces
        self.processes = processes
        self.batch_size = batch_size
        self.device = device
        longest = max(len(x) for x in faces.values())
        self.n_steps = max(LEAST_STEPS, math.ceil(longest / batch_size))
        self.n_rows = self.n_steps * batch_size * len(faces)
        self.generator = torch.Generator()

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[FaceBatch]:
        orders = [self._own_order(len(x)) for x in self.faces.values()]
        for step in range(self.n_steps):
            parts = [
                (identity, to_unit_interval(x[order[step]]).to(self.device))
                for (identity, x), order in zip(self.faces.items(), orders, strict=True)
            ]
            yield FaceBatch(parts, len(parts[0][1]) / self.batch_size)

    def _own_order(self, n_faces: int) -> list[Tensor]:
        """Numbers of an identity's faces that this process sees, step by step."""
        rank, n = self.processes.rank, self.processes.n
        of_all = self._endless_order(n_faces).split(self.batch_size)
        return [numbers.tensor_split(n)[rank] for numbers in of_all]

    def _endless_order(self, n_faces: int) -> Tensor:
        """Numbers of faces, as many as an epoch takes of an identity."""
        n_wanted = self.n_steps * self.batch_size
        rounds = [
            torch.randperm(n_faces, generator=self.generator)
            for _ in range(math.ceil(n_wanted / n_faces))
        ]
        return torch.cat(rounds)[:n_wanted]


@dataclass
class FaceObjective:
    """What the face network minimises, and what it is judged by."""

    mmd_weight: float = 0.0
    adversarial_weight: float = 0.0
    is_watched: bool = False

    def step_loss(
        self, network: FaceNetwork, batch: FaceBatch, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """The number () that a step goes down from, and each identity's loss (p,)."""
        made = network.seen_and_made(batch.parts, generator)
        of_all = made
        if self.mmd_weight:  # what asks for the latents of others
            of_all = replace(made, latents=_latents_of_all(made.latents))
        losses, discrepancy = network.losses_of(of_all)
        loss = losses.mean()
        if self.mmd_weight:
            # It is of all processes already: their shares are to add up to one of it.
            loss = loss + self.mmd_weight / batch.share * discrepancy
        if self.is_watched and network.critic is not None:
            identities = [identity for identity, _ in batch.parts]
            pairs = zip(made.outputs, network.swapped(made, batch.parts), strict=True)
            of_critic, of_decoders = critic_losses(
                network.critic,
                list(zip(identities, made.clean, strict=True)),
                list(zip(identities, map(torch.cat, pairs), strict=True)),
            )
            loss = loss + of_critic + self.adversarial_weight * of_decoders
        return loss, losses.detach()

    @torch.no_grad()
    def judge(self, network: FaceNetwork, faces: Faces) -> Faces:
        """Mean absolute error of each face (n,) under the decoder of its identity."""
        network.eval()

        def errors(identity: int, x: Tensor) -> Tensor:
            parts = blocks(x, network.device)
            return torch.cat([network.error(block, identity) for block in parts])

        of_parts = current().of_parts
        return {i: of_parts(partial(errors, i), x) for i, x in faces.items()}

    def follow(self, network: FaceNetwork, progress: float) -> None:
        """Told before every scheduled step what share of the schedule is done."""
        network.augmentation.warp_share = warp_share(progress)
        self.is_watched = self.adversarial_weight > 0 and progress >= WATCHED_FROM


@dataclass
class _Net:
    module_: FaceNetwork
    optimizer_: torch.optim.Optimizer


# Of a training, what it changes step by step.
_KEPT = ("best_error", "best_state", "n_done", "start")


class FaceTraining:
    """A training of the network in place, which adds to the curves.

    The weights are those after the last step, which the schedule has made small; with
    faces held out, those of the epoch that gave these their lowest error. Swaps go on
    improving long after reconstructions do, so nothing else is a reason to go back.
    """

    def __init__(
        self,
        network: FaceNetwork,
        optimizer: torch.optim.Optimizer,
        faces: Faces,
        held_out: Faces,
        options: FaceTrainingOptions,
        curves: FaceCurves,
        checkpoints: Checkpoints | None = None,
    ):
        self.network = network
        self.optimizer = optimizer
        self.held_out = held_out
        self.options = options
        self.curves = curves
        self.processes = current()
        self.batches = FaceBatches(
            faces, options.batch_size, network.device, self.processes
        )
        self.noise = torch.Generator(network.device)
        self.objective = FaceObjective(options.mmd_weight, options.adversarial_weight)
        self.patience = Patience(options.n_iter_no_change, options.tol, options.n_done)
        self.best_error = math.inf
        self.best_state: dict[str, Tensor] | None = None
        self.n_done = options.n_done
        self.start: float | None = None
        self.checkpoints = checkpoints or Checkpoints()

    def run(self, after_epoch: Callable[[int], bool] = lambda epoch: False) -> None:
        """Train; ``after_epoch`` is told an epoch's number, and true is the end."""
        options, n_steps = self.options, len(self.batches)
        schedule = None
        if options.is_scheduled:
            schedule = Schedule(options.learning_rate, options.n_epochs * n_steps)
            schedule.n_done = options.n_done * n_steps
        # A few faces tell what errors are like before the first step.
        faces = self.batches.faces
        self.start = self.mean_error(
            {i: x[: options.batch_size] for i, x in faces.items()}
        )
        course = Course(self.checkpoints, self.batches, schedule, self.noise, self)
        course.take_up(_Net(self.network, self.optimizer))
        start = self.start

        def begin_epoch(epoch: int) -> None:
            self.seed_epoch(epoch)
            course.begin_epoch()

        trainer = Trainer(
            self.network,
            self.optimizer,
            self.step,
            begin_epoch=begin_epoch,
            follow=lambda progress: self.objective.follow(self.network, progress),
            after_step=course.after_step,
        )

        def finish_epoch(epoch: int, losses: list[float]) -> bool:
            of_all = self.processes.sum(torch.tensor(losses, dtype=torch.float64))
            losses = of_all.tolist()
            # Faces lie in [0, 1], and so do the errors of any picture.
            check_loss(losses, start, epoch, options.advice, loss_of_nonsense=1.0)
            is_exhausted = self.note(epoch, losses)
            bar.update(
                self.curves.loss[-1], self.curves.held_out if self.held_out else None
            )
            return after_epoch(epoch) or is_exhausted

        check_loss(start, start, 0, options.advice)
        with progress_bar(options) as bar:
            bar.skip(self.n_done - options.n_done)
            if not course.is_over:
                trainer.run(
                    *(self.batches, options.n_epochs, finish_epoch, schedule),
                    *(self.n_done, course.next_position()),
                )
                course.finish()
        if self.best_state is not None:
            self.network.load_state_dict(self.best_state)
        self.network.eval()

    def kept(self) -> State:
        """What it changes besides the network, for `Course`."""
        return {
            "curves": vars(self.curves),
            "patience": (self.patience.best, self.patience.last_progress),
            "warp_share": self.network.augmentation.warp_share,
            **{name: getattr(self, name) for name in _KEPT},
        }

    def take(self, state: State) -> None:
        """Go on with what was kept."""
        vars(self.curves).update(state["curves"])
        self.patience.best, self.patience.last_progress = state["patience"]
        self.network.augmentation.warp_share = state["warp_share"]
        vars(self).update({name: state[name] for name in _KEPT})

    def seed_epoch(self, epoch: int) -> None:
        """Let all that is drawn in an epoch depend on the seed and its number."""
        seeds = np.random.SeedSequence([self.options.seed, epoch]).generate_state(2)
        of_order, of_noise = seeds.tolist()
        self.batches.generator.manual_seed(of_order)
        self.noise.manual_seed(self.processes.seed(of_noise))

    def step(self, batch: FaceBatch) -> Tensor:
        """One step of the optimizer; the loss of each identity (p,) before it."""
        device, precision = self.network.device, self.options.precision
        self.optimizer.zero_grad()
        with torch.autocast(device.type, precision, enabled=precision is not None):
            loss, losses = self.objective.step_loss(self.network, batch, self.noise)
        loss.backward()
        if self.processes.are_several:
            add_up(self.network.parameters(), batch.share, self.processes)
        self.optimizer.step()
        return losses

    def note(self, epoch: int, losses: list[float]) -> bool:
        """Add to the curves, keep the best weights, and say whether to stop early."""
        self.n_done = epoch
        self.curves.add(epoch, dict(zip(self.batches.faces, losses, strict=True)))
        if not self.held_out:
            self.curves.best_epoch = epoch
            return False
        error = self.mean_error(self.held_out)
        self.curves.held_out.append(error)
        if error < self.best_error:
            self.best_error, self.curves.best_epoch = error, epoch
            state = self.network.state_dict()
            self.best_state = {name: value.clone() for name, value in state.items()}
        return self.patience.is_exhausted(epoch, error)

    def mean_error(self, faces: Faces) -> float:
        """Each identity counts as much, however many faces it has."""
        errors = self.objective.judge(self.network, faces).values()
        return float(np.mean([error.mean().item() for error in errors]))


def warp_share(progress: float) -> float:
    """What is left of the warp after so large a share of the training."""
    start, end = WARP_FALLS
    return min(1.0, max(0.0, (end - progress) / (end - start)))


def make_optimizer(network: FaceNetwork, learning_rate: float) -> torch.optim.Optimizer:
    """Adam over all parameters that are to be trained."""
    trained = [p for p in network.parameters() if p.requires_grad]
    is_fused = network.device.type in ("cpu", "cuda")
    return UncompiledAdam(trained, lr=learning_rate, betas=BETAS, fused=is_fused)


def _latents_of_all(latents: list[Tensor]) -> list[Tensor]:
    """Latents (n, k) of each part in all processes; gradients reach those here."""
    processes = current()
    if not processes.are_several:
        return latents
    of_processes = processes.gather([z.detach().cpu() for z in latents])
    of_processes[processes.rank] = latents
    return [
        torch.cat([z.to(latents[0].device) for z in of_part])
        for of_part in zip(*of_processes, strict=True)
    ]


# Faces --------------------------------------------------------------------------------


def by_identity(X: np.ndarray, y: np.ndarray, classes: np.ndarray) -> Faces:
    """The rows (n, d) of each identity that y holds."""
    return {
        code: torch.from_numpy(np.ascontiguousarray(X[y == name]))
        for code, name in enumerate(classes)
        if (y == name).any()
    }


def hold_out(faces: Faces, share: float, seed: int) -> tuple[Faces, Faces]:
    """Split each identity's faces, at least one for either part."""
    random_state = np.random.RandomState(seed)
    kept, held_out = {}, {}
    for identity, x in faces.items():
        order = torch.from_numpy(random_state.permutation(len(x)))
        n_held = min(max(1, round(share * len(x))), len(x) - 1)
        kept[identity] = x[order[n_held:]]
        if n_held:
            held_out[identity] = x[order[:n_held]]
    return kept, held_out


def blocks(x: Tensor, device: torch.device) -> Iterator[Tensor]:
    """Faces (n, d) as the network takes them, in blocks that bound the memory."""
    for block in x.split(BLOCK):
        yield to_unit_interval(block).to(device)


def describe(
    network: FaceNetwork, faces: Faces, earlier: LatentDensity | None
) -> dict[str, Any]:
    """What is kept of the training faces: their error and their latents' spread."""
    errors = torch.cat([*FaceObjective().judge(network, faces).values()])
    with torch.no_grad():
        latents = [
            network.encode(block)
            for x in faces.values()
            for block in blocks(x, network.device)
        ]
    density = LatentDensity(torch.cat(latents).cpu().double().numpy())
    return {
        "reconstruction_err_": errors.double().mean().item(),
        "_latent_density": density if earlier is None else earlier.pooled_with(density),
    }
