"""Sums over a few processes of one machine, through memory that they share.

Through sockets a sum takes a third of a millisecond at least, as long as a step of a
small network. Here each process writes its numbers where all can read them, and adds up
those of all: a third of that. A process counts its sum after it has written its
numbers, and others see both in this order: x86 promises that, other processors do not.
"""

import contextlib
import fcntl
import mmap
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

_FOLDER = Path("/dev/shm")  # in memory, on Linux
# Each process reads what all have written: with more of them, sockets are quicker.
_MOST_PROCESSES = 4
# Bytes that a process has for its numbers; longer sums are made piece by piece. There
# are two such places: a process may begin the next sum while others read the last.
_PIECE = 2**19
_LINE = 64  # bytes: what of memory is handed from core to core at once
# A process that waits looks for so long without a break, and then after each sleep,
# which is a share of what it has waited.
_SECONDS_LOOKING, _SHARE_ASLEEP, _LONGEST_SLEEP = 2e-4, 0.1, 2e-3
_SECONDS_BETWEEN_PROBES = 0.1
_LONGEST_WAIT = 1800.0  # seconds, as torch.distributed has it


class Gatherer(Protocol):
    """Processes, as far as they are needed here."""

    rank: int
    n: int

    def gather(self, value: Any) -> list[Any]: ...


class SharedSums:
    """Sums over processes that share memory, with equal bits in each.

    Parameters
    ----------
    file : int
        What all have opened, of `SharedSums.size` bytes for n processes.

    rank, n : int
        Number of this process, and of all.
    """

    def __init__(self, file: int, rank: int, n: int):
        self.file, self.rank, self.n = file, rank, n
        self.memory = mmap.mmap(file, self.size(n))
        # How many sums each process has come to, and whether it has gone.
        words = np.frombuffer(self.memory, np.int64, 2 * n * _LINE // 8)
        self.counts, self.gone = words[:: _LINE // 8].reshape(2, n)
        self.n_sums = 0
        fcntl.lockf(file, fcntl.LOCK_EX, 1, rank)  # until the process ends

    @staticmethod
    def size(n: int) -> int:
        return 2 * n * (_LINE + _PIECE)

    @classmethod
    def of(cls, processes: Gatherer) -> "SharedSums | None":
        """For a few processes with cores of their own on one machine, else None."""
        n = processes.n
        if n > _MOST_PROCESSES:
            return None
        file = path = offered = sums = None
        if processes.rank == 0:
            with contextlib.suppress(OSError):
                file, path = tempfile.mkstemp(prefix="sklearn_ae-", dir=_FOLDER)
                # Without room for all of it, writing would end the process.
                os.posix_fallocate(file, 0, cls.size(n))
                offered = path
        try:
            known = processes.gather((offered, _machine()))
            (name, *_), machines = zip(*known, strict=True)
            has_core = len(os.sched_getaffinity(0)) >= n
            if name is not None and len(set(machines)) == 1 and has_core:
                with contextlib.suppress(OSError):
                    file = os.open(name, os.O_RDWR) if file is None else file
                    sums = cls(file, processes.rank, n)
            if all(processes.gather(sums is not None)):
                return sums
            if file is not None:
                os.close(file)
            return None
        finally:
            if path is not None:
                os.unlink(path)  # the memory stays as long as a process has it open

    def sum(self, x: Tensor) -> Tensor:
        """The sum over processes, which x becomes."""
        for piece in x.view(-1).split(_PIECE // x.element_size()):
            if len(piece):
                self._sum_piece(piece)
        return x

    def _sum_piece(self, x: Tensor) -> None:
        self.n_sums += 1
        places = self._places(self.n_sums % 2, x)
        places[self.rank].copy_(x)
        self._wait()
        torch.add(places[0], places[1], out=x)
        for place in places[2:]:
            x.add_(place)

    def _places(self, which: int, like: Tensor) -> list[Tensor]:
        """Where each process writes its numbers."""
        first = 2 * self.n * _LINE + which * self.n * _PIECE
        memory, dtype, count = self.memory, like.dtype, len(like)
        offsets = range(first, first + self.n * _PIECE, _PIECE)
        return [
            torch.frombuffer(memory, dtype=dtype, count=count, offset=offset)
            for offset in offsets
        ]

    def _wait(self) -> None:
        """Until all have written their numbers."""
        self.counts[self.rank] = self.n_sums
        begin = last_probe = time.monotonic()
        for rank in range(self.n):
            while self.counts[rank] < self.n_sums:
                now = time.monotonic()
                waited = now - begin
                if waited < _SECONDS_LOOKING:
                    continue
                time.sleep(min(_SHARE_ASLEEP * waited, _LONGEST_SLEEP))
                if now - last_probe > _SECONDS_BETWEEN_PROBES:
                    last_probe = now
                    self._check_is_there(rank, waited)

    def _check_is_there(self, rank: int, waited: float) -> None:
        is_gone = self.gone[rank] or self._has_ended(rank)
        if is_gone and self.counts[rank] < self.n_sums:
            raise RuntimeError(f"Process {rank} is gone.")
        if waited > _LONGEST_WAIT:
            raise RuntimeError(f"Waited {waited:.0f} s for process {rank}.")

    def _has_ended(self, rank: int) -> bool:
        """Whether what a process has locked, as long as it is there, is free."""
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, rank)
        except OSError:
            return False
        fcntl.lockf(self.file, fcntl.LOCK_UN, 1, rank)
        return True

    def close(self) -> None:
        self.gone[self.rank] = 1
        os.close(self.file)


def _machine() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    return socket.gethostname()
