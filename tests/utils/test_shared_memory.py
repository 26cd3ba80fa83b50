"""Sums over processes through memory that they share."""

import os
import platform
import sys
import tempfile
from unittest.mock import Mock

import numpy as np
import pytest
import torch

shared_memory = pytest.importorskip("sklearn_ae._utils.shared_memory")
SharedSums = shared_memory.SharedSums
pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() != "x86_64",
        reason="memory is shared on Linux and x86-64",
    ),
    # Of a process with threads, which torch may have: they do nothing here.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
N = 3
# Of two steps, of each process.
GRADIENTS = torch.randn(2, N, 1000, generator=torch.Generator().manual_seed(0))
SHARES = [[0.5, 0.25, 0.125], [1.0, 0.0, 0.75]]


def numbers(rank):
    """Of more bytes than a piece has, and then a few of another type."""
    random_state = np.random.RandomState(rank)
    long = torch.from_numpy(random_state.randn(2, 150).astype(np.float32))
    return [long, torch.from_numpy(random_state.randn(5)), torch.zeros(0), long[0] + 1]


def sum_some(sums, n=4):
    return [sums.sum(x) for x in numbers(sums.rank)[:n]]


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts a process with a part in sums, which leaves what it found in a file."""
    monkeypatch.setattr(shared_memory, "_PIECE", 512)
    monkeypatch.setattr(shared_memory, "_IN_PLACE", 512)
    monkeypatch.setattr(shared_memory, "_SECONDS_BETWEEN_PROBES", 0.0)
    path = tmp_path / "memory"
    path.write_bytes(bytes(SharedSums.size(N)))

    def start(*parts):
        """Start processes with numbers from 1 on, which begin when all are there."""
        here, go = os.pipe(), os.pipe()
        processes = []
        for rank, take_part in enumerate(parts, 1):
            processes.append(os.fork())
            if processes[-1] == 0:
                try:
                    sums = SharedSums(os.open(path, os.O_RDWR), rank, N)
                    os.write(here[1], b"1")
                    os.read(go[0], 1)
                    torch.save(take_part(sums), tmp_path / str(rank))
                    os._exit(0)
                finally:
                    os._exit(1)
        for _ in processes:
            assert os.read(here[0], 1)
        os.write(go[1], b"1" * len(processes))
        for end in (*here, *go):
            os.close(end)
        return processes

    file = os.open(path, os.O_RDWR)
    yield SharedSums(file, 0, N), start, tmp_path
    os.close(file)


def test_sums_are_those_of_all_processes_with_equal_bits(started):
    sums, start, path = started
    processes = start(sum_some, sum_some)
    found = sum_some(sums)
    check_equal_bits(found, processes, path)
    of_each = [numbers(rank) for rank in range(N)]
    for x, *parts in zip(found, *of_each, strict=True):
        torch.testing.assert_close(x, sum(parts))


def test_sums_in_place_weigh_each_process_by_its_share(started):
    sums, start, path = started
    (path / "gradients").write_bytes(bytes(GRADIENTS[0].nbytes))

    def take_part(sums):
        file = os.open(path / "gradients", os.O_RDWR)
        gradient, found = sums.zeros_like(GRADIENTS[0, 0], file), []
        for of_all, shares in zip(GRADIENTS, SHARES, strict=True):
            gradient.copy_(of_all[sums.rank])
            assert sums.sum(gradient, shares[sums.rank]) is gradient
            found.append(gradient.clone())
            found += sum_some(sums)  # others, between the steps
        return found

    processes = start(take_part, take_part)
    found = take_part(sums)
    check_equal_bits(found, processes, path)
    expected = torch.einsum("sn,snd->sd", torch.tensor(SHARES), GRADIENTS)
    torch.testing.assert_close(torch.stack(found[::5]), expected)


def check_equal_bits(found, processes, path):
    for rank, process in enumerate(processes, 1):
        assert os.waitpid(process, 0)[1] == 0
        for x, other in zip(found, torch.load(path / str(rank)), strict=True):
            assert torch.equal(x, other)


def test_process_that_ends_is_noticed(started):
    sums, start, _ = started
    processes = start(lambda sums: sum_some(sums, 1), sum_some)
    sums.sum(numbers(0)[0])
    assert os.waitpid(processes[0], 0)[1] == 0
    with pytest.raises(RuntimeError, match="Process 1 is gone"):
        sums.sum(numbers(0)[1])
    os.kill(processes[1], 9)
    os.waitpid(processes[1], 0)


def test_machines_that_differ_share_nothing():
    processes = Mock(rank=0, n=2)
    processes.gather.side_effect = [[("file", "a"), (None, "b")], [False, False]]
    before = set(os.listdir("/dev/shm"))
    assert SharedSums.of(processes) is None
    assert set(os.listdir("/dev/shm")) == before


def test_without_room_there_is_no_shared_memory(monkeypatch):
    monkeypatch.setattr(tempfile, "mkstemp", Mock(side_effect=OSError))
    processes = Mock(rank=0, n=2)
    processes.gather.side_effect = lambda value: [value, value]
    assert SharedSums.of(processes) is None
