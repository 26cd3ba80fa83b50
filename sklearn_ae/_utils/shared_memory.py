"""Sums over a few processes of one machine, through memory that they share.

Through sockets a sum takes a third of a millisecond at least, as long as a step of a
small network. Here each process writes its numbers where all can read them, and adds up
those of all: a third of that. Numbers that lie there from the beginning, as gradients
do, need no copies: each process adds up a part of them, for all. A process counts its
sum after it has written its numbers, and others see both in this order: x86 promises
that, other processors do not.
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
_IN_PLACE = 2**18  # bytes that a process adds up at once, within its cache
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
        # How many sums each process has come to, whether it has gone, and how large a
        # share of its numbers is meant.
        words = np.frombuffer(self.memory, np.int64, 3 * n * _LINE // 8)
        self.counts, self.gone, shares = words[:: _LINE // 8].reshape(3, n)
        self.shares = shares.view(np.float64)
        self.n_sums = 0
        self.in_place: list[Tensor] = []  # of each process, what lies in shared memory
        fcntl.lockf(file, fcntl.LOCK_EX, 1, rank)  # until the process ends

    @staticmethod
    def size(n: int) -> int:
        return n * (3 * _LINE + 2 * _PIECE)

    @classmethod
    def of(cls, processes: Gatherer) -> "SharedSums | None":
        """For a few processes with cores of their own on one machine, else None."""
        n = processes.n
        file = open_for_all(processes, cls.size(n)) if n <= _MOST_PROCESSES else None
        return None if file is None else cls(file, processes.rank, n)

    def zeros_like(self, x: Tensor, file: int | None) -> Tensor:
        """Zeros of x's shape (n,), whose sums are made in place.

        All processes call it together with what they have opened, of as many bytes as
        x has in each of them. What an earlier call gave is summed like anything else.
        """
        if file is None:
            return torch.zeros_like(x)
        memory = mmap.mmap(file, self.n * x.nbytes)
        os.close(file)
        offsets = range(0, self.n * x.nbytes, x.nbytes)
        self.in_place = [
            torch.frombuffer(memory, dtype=x.dtype, count=len(x), offset=offset)
            for offset in offsets
        ]
        return self.in_place[self.rank]

    def sum(self, x: Tensor, share: float = 1.0) -> Tensor:
        """The sum over processes of so large a share of x each, which x becomes."""
        if self.in_place and x.data_ptr() == self.in_place[self.rank].data_ptr():
            self._sum_in_place(share)
            return x
        for piece in x.view(-1).split(_PIECE // x.element_size()):
            if len(piece):
                self._sum_piece(piece, share)
        return x

    def _sum_in_place(self, share: float) -> None:
        self.shares[self.rank] = share
        self._wait_for_all()
        parts = [numbers.tensor_split(self.n)[self.rank] for numbers in self.in_place]
        n_at_once = _IN_PLACE // parts[0].element_size()
        for pieces in zip(*(part.split(n_at_once) for part in parts), strict=True):
            total = pieces[self.rank].mul_(share)
            others = [rank for rank in range(self.n) if rank != self.rank]
            for rank in others:
                total.add_(pieces[rank], alpha=float(self.shares[rank]))
            for rank in others:
                pieces[rank].copy_(total)
        self._wait_for_all()

    def _sum_piece(self, x: Tensor, share: float) -> None:
        places = self._places((self.n_sums + 1) % 2, x)
        if share == 1:
            places[self.rank].copy_(x)
        else:
            torch.mul(x, share, out=places[self.rank])
        self._wait_for_all()
        torch.add(places[0], places[1], out=x)
        for place in places[2:]:
            x.add_(place)

    def _places(self, which: int, like: Tensor) -> list[Tensor]:
        """Where each process writes its numbers."""
        first = 3 * self.n * _LINE + which * self.n * _PIECE
        memory, dtype, count = self.memory, like.dtype, len(like)
        offsets = range(first, first + self.n * _PIECE, _PIECE)
        return [
            torch.frombuffer(memory, dtype=dtype, count=count, offset=offset)
            for offset in offsets
        ]

    def _wait_for_all(self) -> None:
        """Until all have written what they had to."""
        self.n_sums += 1
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


def open_for_all(processes: Gatherer, n_bytes: int) -> int | None:
    """A file in memory that all processes have open, and can map.

    None where they are not on one machine, or it has not so much memory.
    """
    file = path = offered = None
    if processes.rank == 0:
        with contextlib.suppress(OSError):
            file, path = tempfile.mkstemp(prefix="sklearn_ae-", dir=_FOLDER)
            # Without room for all of it, writing would end the process.
            os.posix_fallocate(file, 0, n_bytes)
            offered = path
    try:
        known = processes.gather((offered, _machine()))
        (name, *_), machines = zip(*known, strict=True)
        has_core = len(os.sched_getaffinity(0)) >= processes.n
        is_open = False
        if name is not None and len(set(machines)) == 1 and has_core:
            with contextlib.suppress(OSError):
                file = os.open(name, os.O_RDWR) if file is None else file
                mmap.mmap(file, n_bytes).close()  # where address space is limited
                is_open = True
        if all(processes.gather(is_open)):
            return file
        if file is not None:
            os.close(file)
        return None
    finally:
        if path is not None:
            os.unlink(path)  # the memory stays as long as a process has it open


def _machine() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    return socket.gethostname()
