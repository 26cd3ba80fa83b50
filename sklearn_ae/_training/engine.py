"""The engine: trains a module on standardised rows in memory.

The only file that knows skorch. A skorch net holds the module, the optimizer, the
history and the callbacks; the loop below it is ours, since batches are slices of a
tensor and need no collation.
"""

import contextlib
import copy
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer, LRScheduler
from skorch.history import History
from torch import Tensor, nn
from torch.optim.adam import adam

from .._networks.modules import Autoencoder
from .._tables.rows import (
    Batches,
    StreamedBatches,
    StreamedRows,
    block_rows,
    make_batches,
)
from .fast import fast_step, flatten, unflatten

# torch's generators belong to the process, so two fits in two threads would draw
# from each other's stream.
_GENERATOR_LOCK = threading.RLock()

# Multiplications that keep a thread busy for about 0.2 ms: less is not worth its start.
_THREAD_WORK = 2**24

# Weights of a layer from which on bfloat16 saves a third of a step and more.
_WIDE_LAYER = 2**16

# A training loss this many times that of predicting the mean is no learning curve.
_DIVERGENCE_FACTOR = 1e4


class DivergenceError(ValueError):
    """Training left the range of floating-point numbers, or of sense."""


@dataclass(frozen=True)
class TrainingOptions:
    """What the engine needs to know of the estimator's parameters."""

    learning_rate: float
    weight_decay: float
    batch_size: int
    n_epochs: int
    n_iter_no_change: int
    tol: float
    # Whether the start is an optimum that only a clear gain should replace.
    starts_at_optimum: bool
    device: torch.device
    callbacks: Sequence[Any] = ()
    verbose: int = 0
    # Of the products in a training step; None is that of the parameters.
    precision: torch.dtype | None = None


@dataclass
class TrainingResult:
    """What a fit leaves behind besides the weights, which are in the module."""

    best_epoch: int  # 0 is the state before the first step
    n_epochs: int
    loss_curve: list[float]
    validation_loss_curve: list[float] | None
    history: Any = field(compare=False)  # skorch's, which holds durations


def resolve_device(device: str | torch.device) -> torch.device:
    """The device named, or for "auto" CUDA where it is there, else the CPU."""
    if device != "auto":
        if torch.device(device).type == "mps":
            # The centre of a table of float64 is float64, which MPS does not have.
            raise ValueError(
                "device='mps' is not supported: it has no double precision, which far "
                "columns are centred in. Use device='cpu'."
            )
        try:
            torch.zeros(1, device=device).item()  # "meta" devices hold no numbers
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device={str(device)!r} is not available here: {error}"
            ) from error
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def resolve_precision(
    precision: str, module: Autoencoder, device: torch.device
) -> torch.dtype | None:
    """What training steps multiply in; None is the precision of the parameters.

    "auto" is bfloat16 on processors that multiply in it, from layers on that are wide
    enough for the products to be what takes the time.
    """
    if precision == "auto":
        is_wide = module.is_fast and module.largest_layer >= _WIDE_LAYER
        is_lower = is_wide and device.type == "cpu" and cpu_multiplies_bfloat16()
    else:
        is_lower = precision == "bfloat16"
    return torch.bfloat16 if is_lower else None


def cpu_multiplies_bfloat16() -> bool:
    # Older releases of torch cannot say.
    get_capabilities = getattr(torch.cpu, "get_capabilities", dict)
    capabilities: dict[str, Any] = get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


@contextlib.contextmanager
def steady_convolutions(device: torch.device) -> Iterator[None]:
    """Let convolutions on CUDA give the same bits every time, of single precision."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False):
        yield


@contextlib.contextmanager
def isolated_generators(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators inside the block, and put them back after it."""
    with _GENERATOR_LOCK, contextlib.ExitStack() as stack:
        stack.enter_context(steady_convolutions(device))
        if device.type == "cuda":
            stack.enter_context(torch.random.fork_rng(devices=[device]))
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        else:
            stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def enable_gradients() -> Iterator[None]:
    """Let training work inside the user's own no_grad and inference_mode too."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextlib.contextmanager
def enough_threads(module: Autoencoder, n_rows: int) -> Iterator[None]:
    """Use no more of torch's threads than the largest product of n_rows can feed.

    On small layers threads wait for each other longer than they compute, and where
    another process wants the cores too, they wait for its time slices.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(
        min(before, max(1, module.largest_layer * n_rows // _THREAD_WORK))
    )
    try:
        yield
    finally:
        torch.set_num_threads(before)


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

    def run_epoch(
        self,
        batches: Batches | StreamedBatches,
        step: Callable[[Tensor], Tensor],
        schedule: "Schedule | None" = None,
    ) -> float:
        """Train for one epoch and return the mean loss of its rows."""
        optimizer = self.optimizer_
        take_step = getattr(optimizer, "quick_step", optimizer.step)
        total = torch.zeros((), device=batches.device)
        self.module_.epoch += 1
        self._set_training(True)
        for x in batches:
            if schedule is not None:
                schedule.step(optimizer)
            if self.callbacks:  # they expect skorch's whole protocol
                self.notify("on_batch_begin", batch=(x, x), training=True)
                result = self.train_step((x, x))
                loss = result["loss"].detach()
                self.history.record_batch("train_loss", loss.item())
                self.history.record_batch("train_batch_size", len(x))
                self.notify("on_batch_end", batch=(x, x), training=True, **result)
            else:
                loss = step(x)
                take_step()
            total.add_(loss, alpha=len(x))
        return total.item() / batches.n_rows


class _StopTraining(Exception):
    """A callback asked for the end of the training."""


class Schedule:
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


def is_fast(net: NeuralNet) -> bool:
    """Whether the net trains on flat buffers: callbacks may look at each parameter."""
    return net.module_.is_fast and not net.callbacks


@torch.no_grad()
def row_losses(
    module: Autoencoder, x: Tensor, seed: int, block_size: int | None = None
) -> Tensor:
    """Loss of each row (n,) in evaluation mode, with the same noise on every call."""
    was_training = module.training
    module.eval()
    block_size = block_size or block_rows(module.loss_size)
    with isolated_generators(seed, x.device):
        losses = [module.loss(block) for block in x.split(block_size)]
    module.train(was_training)
    return torch.cat(losses).double()


class _FlatAdam(torch.optim.Adam):
    """Adam, or AdamW on some parameters, with all of them in one flat buffer.

    One fused update for all costs less than one per group of parameters. The decay,
    decoupled from Adam, is one product with the part of the buffer that it concerns.
    """

    def __init__(
        self,
        decayed: list[nn.Parameter],
        kept: list[nn.Parameter],
        lr: float,
        weight_decay: float,
    ):
        flat = flatten([*decayed, *kept])
        super().__init__([flat], lr=lr, fused=flat.device.type in ("cpu", "cuda"))
        self.flat = flat
        self.decayed_part = flat.detach()[: sum(p.numel() for p in decayed)]
        self.decay = weight_decay

    def step(self, closure: Any = None) -> Any:
        self._shrink()
        return super().step(closure)

    def _shrink(self) -> None:
        if self.decay:
            self.decayed_part.mul_(1.0 - self.param_groups[0]["lr"] * self.decay)

    @torch.no_grad()
    def quick_step(self) -> None:
        """As step, without what torch does around it for hooks and profilers."""
        moments, grad = self.state[self.flat], self.flat.grad
        if not moments or grad is None:
            self.step()  # lays out the moments
            return
        self._shrink()
        group = self.param_groups[0]
        beta1, beta2 = group["betas"]
        adam(
            [self.flat],
            [grad],
            [moments["exp_avg"]],
            [moments["exp_avg_sq"]],
            [],
            [moments["step"]],
            fused=group["fused"],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )


def _make_adam(
    groups: list[dict[str, Any]],
    module: Autoencoder,
    weight_decay: float,
    is_fast: bool,
    lr: float,
) -> torch.optim.Optimizer:
    """Adam, or with weight decay AdamW on the weights that can overfit."""
    decayed = module.decayed_parameters()
    names = {id(p) for p in decayed}
    kept = [p for group in groups for p in group["params"] if id(p) not in names]
    if is_fast:
        return _FlatAdam(decayed, kept, lr, weight_decay)
    # The same groups with and without decay, so that moments fit from pass to pass.
    parts = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW if weight_decay else torch.optim.Adam
    fused = module.center.device.type in ("cpu", "cuda")
    return adam([part for part in parts if part["params"]], lr=lr, fused=fused)


_GROUP_OPTIONS = ("lr", "initial_lr", "weight_decay")


def load_moments(net: NeuralNet, state: dict[str, Any]) -> None:
    """Let the optimizer go on with the moments of an earlier one, where they fit."""
    optimizer = net.optimizer_
    fresh = [dict(group) for group in optimizer.param_groups]
    # Of another layout (callbacks came or went), moments cannot be told apart.
    with contextlib.suppress(ValueError):
        optimizer.load_state_dict(copy.deepcopy(state))
    for group, wanted in zip(optimizer.param_groups, fresh, strict=True):
        group.update({name: wanted[name] for name in _GROUP_OPTIONS})


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Raise where something is no skorch callback, nor a pair of a name and one."""
    for item in callbacks:
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        is_class = isinstance(callback, type) and issubclass(callback, Callback)
        if not (is_class or isinstance(callback, Callback)):
            raise TypeError(
                "callbacks must be skorch callbacks, or pairs of a name and one; got "
                f"{item!r}."
            )


def make_net(module: Autoencoder, options: TrainingOptions) -> NeuralNet:
    """A skorch net around the module, with Adam or AdamW."""
    net = _Net(
        module,
        criterion=nn.Identity,  # the loss is the module's own
        optimizer=_make_adam,
        optimizer__module=module,
        optimizer__weight_decay=options.weight_decay,
        optimizer__is_fast=module.is_fast and not options.callbacks,
        lr=options.learning_rate,
        train_split=None,
        callbacks=list(options.callbacks),
        device=options.device,
        verbose=0,
    )
    net.initialize()
    for group in net.optimizer_.param_groups:
        group["initial_lr"] = group["lr"]  # torch's schedulers ask, when they resume
    return net


def train(
    net: NeuralNet,
    rows: Tensor | StreamedRows,
    x_valid: Tensor | None,
    options: TrainingOptions,
    seed: int,
) -> TrainingResult:
    """Train the net's module in place and leave the best weights in it.

    Without validation rows the training loss in evaluation mode decides. The state
    before the first step is the first candidate.
    """
    module = net.module_
    x_train = rows if isinstance(rows, Tensor) else rows.sample
    x_watch = x_train if x_valid is None else x_valid
    generator = torch.Generator().manual_seed(seed)
    batches = make_batches(rows, options.batch_size, generator)
    schedules_itself = any(isinstance(cb, LRScheduler) for _, cb in net.callbacks_)
    schedule = (
        None
        if schedules_itself
        else Schedule(options.learning_rate, options.n_epochs * len(batches))
    )

    first = best = _Candidate.of(module, row_losses(module, x_watch, seed), epoch=0)
    check_loss(first.loss, first.loss, module, options, epoch=0)
    n_epochs_before = len(net.history)
    curve: list[float] = []
    watched_curve: list[float] = []
    last_progress = 0
    epoch_data = {"dataset_train": x_train, "dataset_valid": x_valid}

    with (
        progress_bar(options) as bar,
        enough_threads(module, options.batch_size),
        fast_step(module, net.optimizer_, options.precision, is_fast(net)) as step,
    ):
        try:
            net.notify("on_train_begin", X=x_train, y=None)
            for epoch in range(1, options.n_epochs + 1):
                net.notify("on_epoch_begin", **epoch_data)
                curve.append(net.run_epoch(batches, step, schedule))
                losses = row_losses(module, x_watch, seed)
                watched_curve.append(losses.mean().item())
                check_loss(curve[-1], first.loss, module, options, epoch)
                gain = best.loss - watched_curve[-1]
                if gain > options.tol * abs(best.loss):
                    last_progress = epoch
                if gain > 0:
                    best = _Candidate.of(module, losses, epoch)
                validation_curve = None if x_valid is None else watched_curve
                record_losses(net.history, curve, validation_curve)
                bar.update(curve[-1], validation_curve)
                net.notify("on_epoch_end", **epoch_data)
                if epoch - last_progress >= options.n_iter_no_change:
                    break
        except _StopTraining:
            del net.history[n_epochs_before + len(curve) :]  # an unfinished epoch
        if x_valid is not None and options.starts_at_optimum:
            best = best if is_clear_gain(first.losses - best.losses) else first
        module.load_state_dict(best.state)
        with contextlib.suppress(_StopTraining):
            net.notify("on_train_end", X=x_train, y=None)

    module.eval()
    unflatten(module)
    return TrainingResult(
        best_epoch=best.epoch,
        n_epochs=len(curve),
        loss_curve=curve,
        validation_loss_curve=watched_curve if x_valid is not None else None,
        history=net.history,
    )


@dataclass(frozen=True)
class _Candidate:
    """Weights after an epoch, and the loss of each watched row under them."""

    epoch: int
    losses: Tensor  # (n,)
    state: dict[str, Tensor]

    @classmethod
    def of(cls, module: Autoencoder, losses: Tensor, epoch: int) -> "_Candidate":
        state = {name: value.clone() for name, value in module.state_dict().items()}
        return cls(epoch, losses, state)

    @property
    def loss(self) -> float:
        return self.losses.mean().item()


def is_clear_gain(gains: Tensor) -> bool:
    """Whether what held-out rows gained on the start (n,) is more than luck.

    The mean must rise. Its standard errors, and those of the number of rows that gain
    (the sign test, which a few far rows cannot sway), must be more than 4 together.
    """
    if len(gains) < 2:
        return False
    root_n = math.sqrt(len(gains))
    mean, std = gains.mean().item(), gains.std(correction=0).item()
    t = mean * root_n / std if std > 0 else math.copysign(math.inf, mean)
    z = torch.sign(gains).sum().item() / root_n
    return mean > 0 and t + max(z, 0.0) > 4.0


def train_one_pass(
    net: NeuralNet, rows: Tensor | StreamedRows, options: TrainingOptions, seed: int
) -> float:
    """One epoch at a constant learning rate; returns the mean loss of its rows."""
    generator = torch.Generator().manual_seed(seed)
    batches = make_batches(rows, options.batch_size, generator)
    x = rows if isinstance(rows, Tensor) else rows.sample
    module = net.module_
    with (
        enough_threads(module, options.batch_size),
        fast_step(module, net.optimizer_, options.precision, is_fast(net)) as step,
    ):
        # What a divergence is measured by: a few batches tell, all rows would take a
        # good part of the pass.
        watched = x[: 16 * options.batch_size]
        initial = train_loss = row_losses(module, watched, seed).mean().item()
        try:
            net.notify("on_train_begin", X=x, y=None)
            net.notify("on_epoch_begin", dataset_train=x, dataset_valid=None)
            train_loss = net.run_epoch(batches, step)
            net.history.record("train_loss", train_loss)
            net.notify("on_epoch_end", dataset_train=x, dataset_valid=None)
        except _StopTraining:
            pass
        with contextlib.suppress(_StopTraining):
            net.notify("on_train_end", X=x, y=None)
    # The losses of a pass are those before its steps: the last step shows only here.
    after = row_losses(module, x[: options.batch_size], seed).mean().item()
    for loss in (train_loss, after):
        check_loss(loss, initial, module, options, epoch=1)
    module.eval()
    unflatten(module)
    return train_loss


def record_losses(
    history: Any, curve: Sequence[float], validation_curve: Sequence[float] | None
) -> None:
    """Write an epoch's losses under the names that skorch's own callbacks read."""
    history.record("train_loss", float(curve[-1]))
    history.record("train_loss_best", bool(curve[-1] <= min(curve)))
    if validation_curve is not None:
        last = validation_curve[-1]
        history.record("valid_loss", float(last))
        history.record("valid_loss_best", bool(last <= min(validation_curve)))


def make_history(curve: list[float], validation_curve: list[float]) -> Any:
    """skorch's record of a training whose losses are known."""
    history = History()
    for epoch in range(1, len(curve) + 1):
        history.new_epoch()
        history.record("epoch", epoch)
        record_losses(history, curve[:epoch], validation_curve[:epoch])
    return history


def check_loss(
    loss: float,
    initial: float,
    module: Autoencoder,
    options: TrainingOptions,
    epoch: int,
) -> None:
    """Raise where a training loss is not finite, or far beyond that of nonsense."""
    limit = _DIVERGENCE_FACTOR * max(abs(initial), module.loss_of_nonsense)
    if math.isfinite(loss) and loss <= limit:
        return
    if not math.isfinite(initial):
        raise DivergenceError(
            f"The mean loss of a row is {initial:.3g} in epoch 0, before the first "
            "step: look for outliers in X, and for values too large for the networks."
        )
    raise DivergenceError(
        f"Training diverged in epoch {epoch}: the mean loss of a row went from "
        f"{initial:.3g} to {loss:.3g}. Lower learning_rate_init "
        f"(now {options.learning_rate:g}), raise batch_size (now "
        f"{options.batch_size}), or scale the columns and look for outliers in X."
    )


class Epochs(Protocol):
    """What a progress bar is told of a training."""

    @property
    def n_epochs(self) -> int: ...

    @property
    def verbose(self) -> int: ...


class progress_bar(contextlib.AbstractContextManager):
    """One tqdm bar over all epochs, with the losses; nothing where not verbose."""

    def __init__(self, options: Epochs, n_trainings: int = 1):
        self.bar = None
        if options.verbose:
            from tqdm.auto import tqdm

            self.bar = tqdm(total=n_trainings * options.n_epochs, unit="epoch")

    def update(self, loss: float, validation_curve: Sequence[float] | None) -> None:
        if self.bar is not None:
            losses = {"loss": f"{loss:.4g}"}
            if validation_curve:
                losses["valid"] = f"{validation_curve[-1]:.4g}"
            self.bar.set_postfix(losses, refresh=False)
            self.bar.update()

    def __exit__(self, *exc_info: Any) -> None:
        if self.bar is not None:
            self.bar.close()
