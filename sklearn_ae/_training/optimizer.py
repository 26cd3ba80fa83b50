"""Adam for a module as a whole, its moments from pass to pass, and its schedule."""

import contextlib
import copy
import inspect
import math
from typing import Any

import torch
from torch import nn

from .._networks.modules import Anchored, Autoencoder
from .fast import flatten

BETA_1 = 0.9  # Adam's own


class Schedule:
    """Linear warm-up to the learning rate, then half a cosine down to nothing."""

    WARMUP = 0.1

    def __init__(self, learning_rate: float, n_steps: int):
        self.learning_rate = learning_rate
        self.n_steps = n_steps
        self.n_done = 0

    @property
    def progress(self) -> float:
        """Share of the steps that are done."""
        return self.n_done / self.n_steps

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


def uncompiled(optimizer: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Let methods be what they are without torch's compiler.

    To hide them from it torch imports it when one of them is first called, which takes
    longer than many a fit.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        setattr(optimizer, name, inspect.unwrap(getattr(optimizer, name)))
    optimizer.step = torch.no_grad()(inspect.unwrap(optimizer.step))  # type: ignore[method-assign]
    return optimizer


@uncompiled
class UncompiledAdam(torch.optim.Adam):
    """torch's, step for step."""


@uncompiled
class UncompiledAdamW(torch.optim.AdamW):
    """torch's, step for step."""


class FlatAdam(UncompiledAdam):
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
        betas: tuple[float, float],
    ):
        flat = flatten([*decayed, *kept])
        is_fused = flat.device.type in ("cpu", "cuda")
        super().__init__([flat], lr=lr, betas=betas, fused=is_fused)
        self.flat = flat
        self.decayed_part = flat.detach()[: sum(p.numel() for p in decayed)]
        self.decay = weight_decay

    def step(self, closure: Any = None) -> Any:
        self._shrink()
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Every gradient is a view of one buffer, and stays that."""
        if self.flat.grad is not None:
            self.flat.grad.zero_()

    def _shrink(self) -> None:
        if self.decay:
            self.decayed_part.mul_(1.0 - self.param_groups[0]["lr"] * self.decay)

    @torch.no_grad()
    def quick_step(self) -> None:
        """As step, without what torch does around it for hooks and profilers."""
        flat, group = self.flat, self.param_groups[0]
        if flat.grad is None or not group["fused"]:
            self.step()
            return
        moments = self.state[flat]
        if not moments:
            moments["step"] = flat.new_zeros((), dtype=torch.float32)
            moments["exp_avg"] = torch.zeros_like(flat)
            moments["exp_avg_sq"] = torch.zeros_like(flat)
        self._shrink()
        moments["step"].add_(1.0)
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            [flat],
            [flat.grad],
            [moments["exp_avg"]],
            [moments["exp_avg_sq"]],
            [],
            [moments["step"]],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )


def decayed_parameters(module: nn.Module) -> list[nn.Parameter]:
    """What weight decay applies to: weight matrices, but not the linear paths.

    The linear paths start at their optimum, from which decay would pull them.
    """
    linear_paths = {
        id(part.linear.weight)
        for part in module.modules()
        if isinstance(part, Anchored)
    }
    return [p for p in module.parameters() if p.ndim > 1 and id(p) not in linear_paths]


def make_adam(
    groups: list[dict[str, Any]],
    module: Autoencoder,
    weight_decay: float,
    beta_2: float,
    is_watched: bool,
    lr: float,
) -> torch.optim.Optimizer:
    """Adam, or with weight decay AdamW on the weights that can overfit.

    Callbacks, which watch, are shown torch's own, and may look at each parameter; where
    there are none, all parameters of fast networks are one.
    """
    decayed = decayed_parameters(module)
    names = {id(p) for p in decayed}
    kept = [p for group in groups for p in group["params"] if id(p) not in names]
    betas = (BETA_1, beta_2)
    if module.is_fast and not is_watched:
        return FlatAdam(decayed, kept, lr, weight_decay, betas)
    # The same groups with and without decay, so that moments fit from pass to pass.
    parts = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    if is_watched:
        adam = torch.optim.AdamW if weight_decay else torch.optim.Adam
    else:
        adam = UncompiledAdamW if weight_decay else UncompiledAdam
    fused = module.center.device.type in ("cpu", "cuda")
    parts = [part for part in parts if part["params"]]
    return adam(parts, lr=lr, betas=betas, fused=fused)


_GROUP_OPTIONS = ("lr", "initial_lr", "weight_decay")


def load_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Let the optimizer go on with the moments of an earlier one, where they fit."""
    fresh = [dict(group) for group in optimizer.param_groups]
    # Of another layout (callbacks came or went), moments cannot be told apart.
    with contextlib.suppress(ValueError):
        optimizer.load_state_dict(copy.deepcopy(state))
    # torch does not look at sizes, and a flat buffer is one parameter of any size.
    if any(known["exp_avg"].shape != p.shape for p, known in optimizer.state.items()):
        optimizer.state.clear()
    for group, wanted in zip(optimizer.param_groups, fresh, strict=True):
        group.update({name: wanted[name] for name in _GROUP_OPTIONS if name in wanted})
