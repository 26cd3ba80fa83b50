"""The engine: trains a module on standardised rows in memory.

The only file that knows skorch. A skorch net holds the module, the optimizer, the
history and the callbacks; the loop below it is ours, since batches are slices of one
tensor and need no collation.
"""

import contextlib
import copy
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, LRScheduler
from torch import Tensor, nn

from ._modules import Autoencoder

# torch's generators belong to the process, so two fits in two threads would draw
# from each other's stream.
_GENERATOR_LOCK = threading.RLock()

# Multiplications that keep a thread busy for about 0.2 ms: less is not worth its start.
_THREAD_WORK = 2**24

# A training loss this many times that of predicting the mean is no learning curve.
_DIVERGENCE_FACTOR = 1e4


class DivergenceError(ValueError):
    """Training left the range of floating-point numbers, or of sense."""


@dataclass(frozen=True)
class TrainingOptions:
    """What the engine needs to know of the estimator's parameters."""

    learning_rate: float
    alpha: float
    batch_size: int
    n_epochs: int
    n_iter_no_change: int
    tol: float
    device: torch.device
    callbacks: Sequence[Any] = ()
    verbose: int = 0


@dataclass
class TrainingResult:
    """What a fit leaves behind besides the weights, which are in the module."""

    best_epoch: int  # 0 is the state before the first step
    n_epochs: int
    loss_curve: list[float]
    validation_loss_curve: list[float] | None


def resolve_device(device: str | torch.device) -> torch.device:
    """The device named, or for "auto" the first of CUDA, MPS and CPU that is there."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@contextlib.contextmanager
def isolated_generators(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators inside the block, and put them back after it."""
    with _GENERATOR_LOCK, contextlib.ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(torch.random.fork_rng(devices=[device]))
            torch.cuda.manual_seed(seed)
        else:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            if device.type == "mps":
                stack.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())
                torch.mps.manual_seed(seed)
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def enough_threads(module: Autoencoder, batch_size: int) -> Iterator[None]:
    """Use no more of torch's threads than the largest product of a step can feed.

    On small layers threads wait for each other longer than they compute, and where
    another process wants the cores too, they wait for its time slices.
    """
    largest = max((p.numel() for p in module.parameters()), default=0)
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max(1, largest * batch_size // _THREAD_WORK)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Batches:
    """Shuffled batches of nearly equal size, gathered as slices of one tensor."""

    def __init__(self, x: Tensor, batch_size: int, generator: torch.Generator):
        self.x = x
        # Equal sizes: a last batch of one or two rows would be the noisiest step.
        self.n_batches = math.ceil(len(x) / batch_size)
        self.generator = generator

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.x), generator=self.generator)
        for rows in torch.tensor_split(order.to(self.x.device), self.n_batches):
            yield self.x.index_select(0, rows)


class _Net(NeuralNet):
    """A skorch net whose prediction is the module's own loss per row.

    Only documented extension points are replaced: what a batch's loss is, and the
    epoch, which leaves out the bookkeeping per batch where no callback asks for it.
    """

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return [("epoch_timer", EpochTimer())]

    def infer(self, x: Tensor, **fit_params: Any) -> Tensor:
        return self.module_.loss(x)

    def get_loss(
        self, y_pred: Tensor, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        return y_pred.mean()

    def notify(self, method_name: str, **kwargs: Any) -> None:
        # skorch's callbacks stop the training by raising KeyboardInterrupt; the
        # user's Ctrl-C, which comes from anywhere else, must not look like that.
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as stop:
            raise _StopTraining from stop

    def run_epoch(self, batches: Batches, schedule: "_Schedule | None") -> float:
        """Train for one epoch and return the mean loss of its rows."""
        module, optimizer = self.module_, self.optimizer_
        listens = any(_listens_to_batches(cb) for _, cb in self.callbacks_)
        total = torch.zeros((), device=batches.x.device)
        self._set_training(True)
        for x in batches:
            if schedule is not None:
                schedule.step(optimizer)
            if listens:
                self.notify("on_batch_begin", batch=(x, x), training=True)
                step = self.train_step((x, x))
                loss = step["loss"].detach()
                self.history.record_batch("train_loss", loss.item())
                self.history.record_batch("train_batch_size", len(x))
                self.notify("on_batch_end", batch=(x, x), training=True, **step)
            else:
                optimizer.zero_grad()
                loss = module.loss(x).mean()
                loss.backward()
                optimizer.step()
                loss = loss.detach()
            total += loss * len(x)
        return total.item() / len(batches.x)


class _StopTraining(Exception):
    """A callback asked for the end of the training."""


def _listens_to_batches(callback: Callback) -> bool:
    return any(
        getattr(type(callback), name, None) is not getattr(Callback, name)
        for name in ("on_batch_begin", "on_batch_end", "on_grad_computed")
    )


class _Schedule:
    """Linear warm-up to the learning rate, then half a cosine down to nothing."""

    WARMUP = 0.1

    def __init__(self, learning_rate: float, n_steps: int):
        self.learning_rate = learning_rate
        self.n_steps = n_steps
        self.n_done = 0

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        progress = (self.n_done + 0.5) / self.n_steps
        if progress < self.WARMUP:
            factor = progress / self.WARMUP
        else:
            decay = (progress - self.WARMUP) / (1.0 - self.WARMUP)
            factor = 0.5 * (1.0 + math.cos(math.pi * decay))
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate * factor
        self.n_done += 1


@torch.no_grad()
def mean_loss(
    module: Autoencoder, x: Tensor, seed: int, block_size: int = 8192
) -> float:
    """Mean loss of rows in evaluation mode, with the same noise on every call."""
    was_training = module.training
    module.eval()
    with isolated_generators(seed, x.device):
        total = sum(
            module.loss(block).double().sum().item() for block in x.split(block_size)
        )
    module.train(was_training)
    return total / len(x)


def make_net(module: Autoencoder, options: TrainingOptions) -> NeuralNet:
    """A skorch net around the module, with Adam (AdamW where alpha is not zero)."""
    adam = torch.optim.AdamW if options.alpha else torch.optim.Adam
    net = _Net(
        module,
        criterion=nn.Identity,  # the loss is the module's own
        optimizer=adam,
        optimizer__weight_decay=options.alpha,
        optimizer__fused=options.device.type in ("cpu", "cuda"),
        lr=options.learning_rate,
        train_split=None,
        callbacks=list(options.callbacks),
        device=options.device,
        verbose=0,
    )
    return net.initialize()


def train(
    net: NeuralNet,
    x_train: Tensor,
    x_valid: Tensor | None,
    options: TrainingOptions,
    seed: int,
) -> TrainingResult:
    """Train the net's module in place and leave the best weights in it.

    Without validation rows the training loss in evaluation mode decides. The state
    before the first step is the first candidate.
    """
    module = net.module_
    x_watch = x_train if x_valid is None else x_valid
    generator = torch.Generator().manual_seed(seed)
    batches = Batches(x_train, options.batch_size, generator)
    schedules_itself = any(isinstance(cb, LRScheduler) for _, cb in net.callbacks_)
    schedule = (
        None
        if schedules_itself
        else _Schedule(options.learning_rate, options.n_epochs * len(batches))
    )

    initial = mean_loss(module, x_watch, seed)
    _check_finite_loss(initial, initial, options, epoch=0)
    best, best_epoch, best_state = initial, 0, _copy_state(module)
    loss_curve: list[float] = []
    watched_curve: list[float] = []
    n_since_best = 0
    epoch_data = {"dataset_train": x_train, "dataset_valid": x_valid}

    with _progress_bar(options) as bar, enough_threads(module, options.batch_size):
        try:
            net.notify("on_train_begin", X=x_train, y=None)
            for epoch in range(1, options.n_epochs + 1):
                net.notify("on_epoch_begin", **epoch_data)
                train_loss = net.run_epoch(batches, schedule)
                watched = mean_loss(module, x_watch, seed)
                _check_finite_loss(train_loss, initial, options, epoch)
                _check_finite_loss(watched, initial, options, epoch)
                improved = watched < best
                _record(net.history, train_loss, watched, improved, x_valid is not None)
                loss_curve.append(train_loss)
                watched_curve.append(watched)
                n_since_best += 1
                if best - watched > options.tol * abs(best):
                    n_since_best = 0
                if improved:
                    best, best_epoch, best_state = watched, epoch, _copy_state(module)
                bar.update(epoch, train_loss, watched)
                net.notify("on_epoch_end", **epoch_data)
                if n_since_best >= options.n_iter_no_change:
                    break
        except _StopTraining:
            pass
        net.notify("on_train_end", X=x_train, y=None)

    module.load_state_dict(best_state)
    module.eval()
    return TrainingResult(
        best_epoch=best_epoch,
        n_epochs=len(loss_curve),
        loss_curve=loss_curve,
        validation_loss_curve=watched_curve if x_valid is not None else None,
    )


def train_one_pass(
    net: NeuralNet, x: Tensor, options: TrainingOptions, seed: int
) -> float:
    """One epoch at a constant learning rate; returns the mean loss of its rows."""
    batches = Batches(x, options.batch_size, torch.Generator().manual_seed(seed))
    module = net.module_
    initial = mean_loss(module, x, seed)
    with contextlib.suppress(_StopTraining), enough_threads(module, options.batch_size):
        net.notify("on_train_begin", X=x, y=None)
        net.notify("on_epoch_begin", dataset_train=x, dataset_valid=None)
        train_loss = net.run_epoch(batches, schedule=None)
        _check_finite_loss(train_loss, initial, options, epoch=1)
        net.history.record("train_loss", train_loss)
        net.notify("on_epoch_end", dataset_train=x, dataset_valid=None)
        net.notify("on_train_end", X=x, y=None)
    module.eval()
    return train_loss


def _copy_state(module: Autoencoder) -> dict[str, Tensor]:
    return copy.deepcopy(module.state_dict())


def _record(
    history: Any, train_loss: float, watched: float, improved: bool, validated: bool
) -> None:
    """Write an epoch's losses under the names that skorch's own callbacks read."""
    history.record("train_loss", train_loss)
    best_so_far = min(history[:, "train_loss"])
    history.record("train_loss_best", train_loss <= best_so_far)
    if validated:
        history.record("valid_loss", watched)
        history.record("valid_loss_best", improved)


def _check_finite_loss(
    loss: float, initial: float, options: TrainingOptions, epoch: int
) -> None:
    limit = _DIVERGENCE_FACTOR * max(abs(initial), 1.0)
    if np.isfinite(loss) and loss <= limit:
        return
    raise DivergenceError(
        f"Training diverged in epoch {epoch}: the mean loss of a row went from "
        f"{initial:.3g} to {loss:.3g}. Lower learning_rate_init "
        f"(now {options.learning_rate:g}), raise batch_size (now "
        f"{options.batch_size}), or scale the columns and look for outliers in X."
    )


class _progress_bar(contextlib.AbstractContextManager):
    """One tqdm bar over the epochs, with the losses; nothing where not verbose."""

    def __init__(self, options: TrainingOptions):
        self.bar = None
        if options.verbose:
            from tqdm.auto import tqdm

            self.bar = tqdm(total=options.n_epochs, unit="epoch")

    def update(self, epoch: int, train_loss: float, watched: float) -> None:
        if self.bar is not None:
            losses = {"loss": f"{train_loss:.4g}", "valid": f"{watched:.4g}"}
            self.bar.set_postfix(losses, refresh=False)
            self.bar.update(epoch - self.bar.n)

    def __exit__(self, *exc_info: Any) -> None:
        if self.bar is not None:
            self.bar.close()
