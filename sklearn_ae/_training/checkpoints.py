"""Trainings on their way, kept in a file from which they go on to the same bits.

A fit is repeatable up to its first step: data, parameters and seed say all of it. What
a file has to hold is what its trainings have changed since, and what random numbers
come from. A fit that is started again makes its networks as it did at first, takes that
over, and goes on in the middle of the epoch.
"""

import contextlib
import glob
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .._networks.modules import draws_globally
from .._utils.packed_json import Encoder, decode
from .._utils.packing import pack, unpack
from .._utils.processes import ALONE, Processes, current
from .._utils.tensor_files import (
    PART,
    TensorFileError,
    read_tensor_file,
    write_tensor_file,
)
from .._utils.warnings import warn
from .optimizer import Schedule
from .trainer import Position

# Time between two writings: so long, and so many times that of a writing.
SECONDS_BETWEEN = 60.0
COST_BETWEEN = 100.0
# Several processes agree on a writing after so many steps.
_STEPS_BETWEEN = 50
# Unfinished files that are older than that were left by a process that was killed.
_SECONDS_LEFT = 3600.0

_FORMAT = "sklearn_ae checkpoint"
_FORMAT_VERSION = 1
_FIRST = "estimator"  # of what a fit is made of

State = dict[str, Any]
Source = np.random.RandomState | torch.Generator


class Checkpoints:
    """Where the trainings of a fit are kept: nowhere, without a file."""

    def begin(self, attempt: int, random_state: Any) -> bool:
        """Whether this attempt at a fit is to be made: not where a later one was."""
        return True

    def draw_from(self, *sources: Source) -> None:
        """Told what networks and latents are drawn from, besides the trainings."""

    def add(self, course: "Course") -> State | None:
        """What is known of the next training."""
        return None

    def sources(self) -> list[Any]:
        return []

    def set_sources(self, states: list[Any]) -> None: ...

    def is_due(self) -> bool:
        return False

    def write(self) -> None: ...


class Kept(Protocol):
    """What has something to keep."""

    def kept(self) -> State: ...

    def take(self, state: State) -> None: ...


class Drawn(Protocol):
    """Batches, which are drawn from a generator."""

    generator: torch.Generator


class Net(Protocol):
    module_: Any
    optimizer_: torch.optim.Optimizer


class Course:
    """The course of a training: all that it changes.

    Parameters
    ----------
    checkpoints : Checkpoints
        Where it is kept.

    batches, schedule, generator
        What it goes over, by which rates, and where its steps draw from.

    owner : Kept
        Of what else it changes: curves, candidates.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        batches: Drawn,
        schedule: Schedule | None,
        generator: torch.Generator,
        owner: Kept,
    ):
        self.checkpoints = checkpoints
        self.batches, self.schedule, self.generator = batches, schedule, generator
        self.owner = owner
        self.processes = current()
        self.net: Net | None = None
        self.is_over = False
        self.position: Position | None = None
        self.order: Tensor | None = None  # at the beginning of the epoch
        self.sources: list[Any] = []
        self.known = checkpoints.add(self)

    def begin(self) -> None:
        """Let networks be drawn from what they were drawn from at first."""
        if self.known is not None:
            self.checkpoints.set_sources(self.known["sources"])
        self.sources = self.checkpoints.sources()

    def take_up(self, net: Net) -> None:
        """Go on with the net, as it is, or as it is known."""
        self.net = net
        known, self.known = self.known, None
        if known is None:
            return
        module = net.module_
        module.load_state_dict(known["weights"])
        if module.epoch != known["epoch"]:  # what is not counted is no attribute
            module.epoch = known["epoch"]
        self.is_over = known["is_over"]
        if not self.is_over:
            net.optimizer_.load_state_dict(known["optimizer"])
            self.order = known["order"][self.processes.rank]
            if "position" in known:
                n_batches, totals = known["position"]
                self.position = n_batches, totals[self.processes.rank]
            self.batches.generator.set_state(self.order)
            if self.schedule is not None:
                self.schedule.n_done = known["n_steps"]
        self.owner.take(known["owner"])
        self.checkpoints.set_sources(known["sources_now"])
        self.generator.set_state(known["noise"][self.processes.rank])
        if draws_globally(module):
            _set_global_state(known["global"][self.processes.rank])

    def begin_epoch(self) -> None:
        self.order = self.batches.generator.get_state()

    def after_step(self, n_batches: int, total: Tensor) -> None:
        """Keep it, where it is time to, after so many batches of an epoch."""
        if self.checkpoints.is_due():
            self.position = n_batches, total
            self.checkpoints.write()
            self.position = None

    def next_position(self) -> Position | None:
        """Where in an epoch to go on, to be asked once."""
        position, self.position = self.position, None
        return position

    def finish(self) -> None:
        self.is_over = True
        self.checkpoints.write()

    def state(self) -> State | None:
        """What is to be kept; None of a training that has not begun.

        What processes draw from, and their shares of a loss, are each one's own.
        """
        if self.net is None:
            return self.known
        module, of_each = self.net.module_, self.processes.gather
        state = {
            "sources": self.sources,
            "sources_now": self.checkpoints.sources(),
            "noise": of_each(self.generator.get_state()),
            "global": of_each(_global_state()) if draws_globally(module) else None,
            "weights": dict(module.state_dict()),
            "epoch": module.epoch,
            "is_over": self.is_over,
            "owner": self.owner.kept(),
        }
        if not self.is_over:
            is_within = self.position is not None
            order = self.order if is_within else self.batches.generator.get_state()
            if self.position is not None:
                n_batches, total = self.position
                state["position"] = n_batches, of_each(total)
            state |= {
                "order": of_each(order),
                "optimizer": self.net.optimizer_.state_dict(),
                "n_steps": None if self.schedule is None else self.schedule.n_done,
            }
        return state


class CheckpointFile(Checkpoints):
    """The trainings of a fit in one file, which is written anew from time to time.

    Parameters
    ----------
    path : Path
        The file. What it holds is taken up.

    made_of : dict
        What the fit is made of, by name and in words: the file must be of the same.

    processes : Processes
        That train together: the first reads and writes, for all of them.
    """

    def __init__(
        self, path: Path, made_of: dict[str, str], processes: Processes = ALONE
    ):
        self.path, self.made_of, self.processes = path, made_of, processes
        self.n_asked = 0
        self.attempt = 0
        self.random_state: Any = None  # at the beginning of the attempt
        self.known: list[State | None] = []
        self.courses: list[Course] = []
        self._sources: list[Source] = []
        self._is_asked = self._has_failed = False
        content = None
        if processes.is_first:
            self._check_folder()
            content = self._read() if path.exists() else None
        content = processes.gather(content)[0]
        if content is not None:
            self.attempt, self.known = content["attempt"], content["trainings"]
            self.random_state = content["random_state"]
        self._seconds = 0.0  # that the last writing took
        self._last = time.monotonic()

    # What trainings ask ---------------------------------------------------------------

    def begin(self, attempt: int, random_state: Any) -> bool:
        if attempt < self.attempt:
            return False
        if attempt > self.attempt:
            self.attempt, self.known, self.random_state = attempt, [], None
        self.courses, self._sources = [], []
        if isinstance(random_state, np.random.RandomState):  # that fits have drawn from
            if self.random_state is not None:
                random_state.set_state(self.random_state)
            self.random_state = random_state.get_state()
        return True

    def draw_from(self, *sources: Source) -> None:
        self._sources += sources

    def add(self, course: Course) -> State | None:
        number = len(self.courses)
        self.courses.append(course)
        if number >= len(self.known):
            return None
        known, self.known[number] = self.known[number], None  # it need not stay
        return known

    def sources(self) -> list[Any]:
        return [source.get_state() for source in self._sources]

    def set_sources(self, states: list[Any]) -> None:
        for source, state in zip(self._sources, states, strict=True):
            source.set_state(state)

    def is_due(self) -> bool:
        if self.processes.are_several:
            self.n_asked += 1
            is_time = self.n_asked % _STEPS_BETWEEN == 0
            return is_time and self.processes.any(self._is_own_due())
        return self._is_own_due()

    def _is_own_due(self) -> bool:
        between = max(SECONDS_BETWEEN, COST_BETWEEN * self._seconds)
        return self._is_asked or time.monotonic() - self._last > between

    # The file -------------------------------------------------------------------------

    def write(self) -> None:
        """Replace the file, or keep the older one where that fails."""
        start = time.monotonic()
        content = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "made_of": self.made_of,
            "attempt": self.attempt,
            "random_state": self.random_state,
            "trainings": [course.state() for course in self.courses],
        }
        if self.processes.is_first:
            self._write(content)
        self._last = time.monotonic()
        self._seconds = self._last - start
        if self._is_asked:
            self._is_asked = False
            self._end()

    def _write(self, content: State) -> None:
        arrays: dict[str, np.ndarray] = {}
        text = json.dumps(Encoder(arrays).encode(pack(content), ()), allow_nan=False)
        try:
            write_tensor_file(self.path, arrays, text)
        except OSError as error:
            if not self._has_failed:
                warn(
                    f"The checkpoint {str(self.path)!r} could not be written "
                    f"({error.strerror or error}): the training goes on, and an older "
                    "file stays as it is.",
                    UserWarning,
                )
            self._has_failed = True

    def _check_folder(self) -> None:
        """Raise where no file can be written; remove what killed processes left."""
        folder = self.path.parent
        if not folder.is_dir():
            raise FileNotFoundError(
                f"checkpoint={str(self.path)!r}: there is no folder {str(folder)!r}."
            )
        try:
            for part in folder.glob(f"{glob.escape(self.path.name)}*{PART}"):
                if time.time() - part.stat().st_mtime > _SECONDS_LEFT:
                    part.unlink(missing_ok=True)
            probe = folder / f"{self.path.name}.{os.getpid()}{PART}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise type(error)(
                f"checkpoint={str(self.path)!r}: files cannot be written there: "
                f"{error.strerror}."
            ) from error

    def _read(self) -> State:
        try:
            arrays, text = read_tensor_file(self.path)
            content = json.loads(text)
            if content.get("format") != _FORMAT:
                raise TensorFileError("it holds something else")
            if content["format_version"] > _FORMAT_VERSION:
                raise TensorFileError("it is of a later release")
            content = unpack(decode(content, arrays))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"checkpoint={str(self.path)!r} is there already, and is no checkpoint "
                f"that can be read: {str(error).rstrip('.')}. It stays as it is: "
                "delete it, or give another path."
            ) from error
        differences = list(_differences(content["made_of"], self.made_of))
        if differences:
            raise ValueError(
                f"checkpoint={str(self.path)!r} is of another fit: "
                f"{'; '.join(differences)}. It stays as it is: fit as before to go on "
                "with it, delete it, give another path, or a folder, in which each "
                "fit has a file of its own."
            )
        return content

    # The end of the process -----------------------------------------------------------

    @contextlib.contextmanager
    def ending_well(self) -> Iterator[None]:
        """Let SIGTERM end the process after the step, with the file written.

        Only in the main thread, where Python handles signals.
        """
        is_main = threading.current_thread() is threading.main_thread()
        self._handler = signal.getsignal(signal.SIGTERM)
        if not is_main or self._handler is None:  # set by what is not Python
            yield
            return
        signal.signal(signal.SIGTERM, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, self._handler)
            if self._is_asked:  # after the last step
                self._end()

    def _ask(self, number: int, frame: Any) -> None:
        self._is_asked = True
        is_on_its_way = any(
            course.net is not None and not course.is_over for course in self.courses
        )
        if not is_on_its_way:  # all that is done is written
            self._is_asked = False
            self._end()

    def _end(self) -> None:
        """Do with the signal what the process would have done without a checkpoint."""
        handler: Callable | int | None = self._handler
        if callable(handler):
            handler(signal.SIGTERM, None)
        elif handler == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)


def _differences(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    # Another estimator has other parameters, of which no word is needed.
    names = sorted({*before, *now}) if before[_FIRST] == now[_FIRST] else [_FIRST]
    for name in names:
        was, is_now = before.get(name, "not there"), now.get(name, "not there")
        if was != is_now:
            yield f"{name} was {was} and is {is_now}"


def _global_state() -> list[Tensor]:
    """Of what the user's code draws from, inside of `isolated_generators`."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state())
    return states


def _set_global_state(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1])
