"""The processes that fit one estimator together, each with rows of its own.

Where `torch.distributed` is initialised there may be several; everywhere else there is
one, which has nobody to exchange anything with. What a fit exchanges goes through a
group of its own, which ends with it: where a process fails, its part of the group is
closed, by which the others know at once.
"""

import contextlib
import itertools
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from .random import SEED_LIMIT, make_random_state

# How long one waits for the others to say what became of them, in seconds.
_PATIENCE = 5.0


class ProcessError(RuntimeError):
    """Another process of a fit failed or ended.

    The message names its rank, and its error where it could still tell.

    See Also
    --------
    sklearn_ae.distributed.alone : Fits in this process alone.

    Examples
    --------
    >>> from sklearn_ae.distributed import ProcessError
    >>> issubclass(ProcessError, RuntimeError)
    True
    """


class Processes:
    """One process alone: what is of all processes is its own."""

    rank, n = 0, 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def are_several(self) -> bool:
        return self.n > 1

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        return [value]

    def gather_in_first(self, value: Any) -> list[Any]:
        """The same for the first process alone; nothing for the others."""
        return [value]

    def gather_known(self, value: Any) -> list[Any]:
        """The same without None, which is what processes without rows know."""
        return [known for known in self.gather(value) if known is not None]

    def sum(self, x: Tensor, share: float = 1.0) -> Tensor:
        """The sum over processes of so large a share of x each; x may become it.

        The sum has equal bits in each process, the shares may differ.
        """
        return x.mul_(share) if share != 1 else x

    def zeros_like(self, x: Tensor) -> Tensor:
        """Zeros of x's shape (n,), where sums of them cost least."""
        return torch.zeros_like(x)

    def any(self, condition: bool) -> bool:
        """Whether it holds in any process."""
        return any(self.gather(condition))

    def total(self, loss: float) -> float:
        """The sum of the shares that processes have in a number."""
        return sum(self.gather(loss))

    def of_parts(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``function(x)``, one number for each row, of rows that all processes have."""
        return function(x)

    def seed(self, seed: int) -> int:
        """A seed of this process's own; that of the first is the one given."""
        return seed

    def random_state(self, seed: Any) -> np.random.RandomState:
        """As make_random_state, the same in all processes."""
        return make_random_state(seed)

    def equalize(self, tensors: Iterable[Tensor]) -> None:
        """Let tensors be as the first process has them."""


class Group(Processes):
    """Several processes, in a group of torch.distributed."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.rank, self.n = dist.get_rank(), dist.get_world_size()
        # In step in all processes, as fits are.
        self.prefix = f"sklearn_ae/{next(self._numbers)}"
        self.group: Any = None
        self._memory: Any = None  # for sums, where the processes can share some
        self._has_looked = False
        with self._naming_who_failed():  # another may be through, and have failed
            self.group = dist.new_group(backend="gloo")

    def gather(self, value: Any) -> list[Any]:
        values = [None] * self.n
        with self._naming_who_failed():
            dist.all_gather_object(values, value, group=self.group)
        return values

    def gather_in_first(self, value: Any) -> list[Any]:
        values = [None] * self.n if self.is_first else None
        with self._naming_who_failed():
            dist.gather_object(value, values, dst=0, group=self.group)
        return values or []

    def sum(self, x: Tensor, share: float = 1.0) -> Tensor:
        self._look_for_memory()
        with self._naming_who_failed():
            if self._memory is None:
                dist.all_reduce(super().sum(x, share), group=self.group)
            elif x.device.type == "cpu":
                self._memory.sum(x, share)
            else:  # what some processes do on the CPU, others may do on a GPU
                x.copy_(self._memory.sum(x.cpu(), share))
        return x

    def zeros_like(self, x: Tensor) -> Tensor:
        self._look_for_memory()
        if self._memory is None or self.any(x.device.type != "cpu"):
            return torch.zeros_like(x)
        from .shared_memory import open_for_all

        return self._memory.zeros_like(x, open_for_all(self, self.n * x.nbytes))

    def _look_for_memory(self) -> None:
        if not self._has_looked:
            self._memory, self._has_looked = _shared_memory(self), True

    def of_parts(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        part = x.tensor_split(self.n)[self.rank]
        values = function(part).cpu() if len(part) else torch.empty(0).double()
        return torch.cat(self.gather(values)).to(x.device)

    def seed(self, seed: int) -> int:
        if self.rank == 0:
            return seed
        sequence = np.random.SeedSequence([seed, self.rank])
        return int(sequence.generate_state(1)[0]) % SEED_LIMIT

    def random_state(self, seed: Any) -> np.random.RandomState:
        if seed is None:
            seed = self.gather(make_random_state(None).randint(SEED_LIMIT))[0]
        return make_random_state(seed)

    def equalize(self, tensors: Iterable[Tensor]) -> None:
        with torch.no_grad(), self._naming_who_failed():
            for tensor in tensors:
                same = tensor.contiguous()
                dist.broadcast(same, src=0, group=self.group)
                tensor.copy_(same)

    # How a group ends -----------------------------------------------------------------

    def close(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self.group is not None:
            dist.destroy_process_group(self.group)
            self.group = None

    def fail(self, error: BaseException) -> None:
        """Tell the others why this process is no longer there."""
        if not isinstance(error, ProcessError):
            with contextlib.suppress(RuntimeError):  # its own error is what counts
                self._tell("failed", f"{type(error).__name__}: {error}")
        self.close()

    @contextlib.contextmanager
    def _naming_who_failed(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            self.close()  # those who wait for this process are to know as well
            raise ProcessError(self._who_failed()) from error

    def _who_failed(self) -> str:
        try:
            return self._ask_who_failed()
        except RuntimeError:  # whoever held the store
            return (
                f"The {self.n} processes of the fit lost each other, and the store by "
                "which they could say why, as a rule that of rank 0: it has ended, or "
                "was cut off. Look for the reason in its output."
            )

    def _ask_who_failed(self) -> str:
        self._tell("waits", "")
        others = [rank for rank in range(self.n) if rank != self.rank]
        silent, end = set(others), time.monotonic() + _PATIENCE
        while silent and time.monotonic() < end:
            for rank in sorted(silent):
                if (reason := self._told("failed", rank)) is not None:
                    return f"The fit failed in process {rank} of {self.n}: {reason}"
                if self._told("waits", rank) is not None:
                    silent.discard(rank)
            time.sleep(0.05)
        if not silent:
            return f"The {self.n} processes of the fit lost each other's connections."
        ranks = ", ".join(map(str, sorted(silent)))
        return (
            f"Of the {self.n} processes of the fit, this one of rank {self.rank} lost "
            f"rank {ranks}: ended, or cut off. Look for the reason in its output."
        )

    def _tell(self, what: str, text: str) -> None:
        _store().set(f"{self.prefix}/{what}/{self.rank}", text)

    def _told(self, what: str, rank: int) -> str | None:
        key = f"{self.prefix}/{what}/{rank}"
        return _store().get(key).decode() if _store().check([key]) else None


def _shared_memory(processes: Group) -> Any:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    from .shared_memory import SharedSums

    return SharedSums.of(processes)


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()


ALONE = Processes()
_CURRENT: ContextVar[Processes | None] = ContextVar("processes", default=None)


def current() -> Processes:
    """The processes of the fit under way."""
    return _CURRENT.get() or ALONE


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let fits inside the block be of this process alone.

    For a program of several processes under `torch.distributed`, whose fits are of all
    of them together.

    Yields
    ------
    None
        Nothing: what counts is where a fit begins.

    See Also
    --------
    sklearn_ae.distributed.fit : Fits an estimator on the workers of a cluster.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import NeighborMapTransformer
    >>> from sklearn_ae.distributed import alone
    >>> with alone():
    ...     fitted = NeighborMapTransformer(2, max_iter=0).fit(load_iris().data)
    """
    token = _CURRENT.set(ALONE)
    try:
        yield
    finally:
        _CURRENT.reset(token)


@contextlib.contextmanager
def together() -> Iterator[Processes]:
    """The processes of a fit that begins: those of torch.distributed, if it has any."""
    if not will_be_several():
        yield current()
        return
    group = Group()
    token = _CURRENT.set(group)
    try:
        yield group
    except BaseException as error:
        group.fail(error)
        raise
    finally:
        _CURRENT.reset(token)
        group.close()


def will_be_several() -> bool:
    """Whether a fit that begins here is one of several processes."""
    if _CURRENT.get() is not None or not dist.is_available():
        return False
    return dist.is_initialized() and dist.get_world_size() > 1
