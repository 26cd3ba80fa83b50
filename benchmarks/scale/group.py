"""Processes of one machine that work together for a while."""

import pickle
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

TIME_LIMIT = 3600  # seconds, after which all of them are ended


def in_processes(n: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What ``function(rank, *args)`` returns in n processes of one group."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=_run, args=(rank, n, folder, function, args))
            for rank in range(n)
        ]
        for process in processes:
            process.start()
        try:
            for process in processes:
                process.join(TIME_LIMIT)
        finally:
            for process in processes:
                process.kill()
        files = [Path(folder, str(rank)) for rank in range(n)]
        if not all(file.exists() for file in files):
            raise RuntimeError(f"The {n} processes have not come to an end.")
        return [pickle.loads(file.read_bytes()) for file in files]


def _run(
    rank: int, n: int, folder: str, function: Callable[..., Any], args: tuple
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=n,
        timeout=timedelta(seconds=TIME_LIMIT),
    )
    result = function(rank, *args)
    Path(folder, str(rank)).write_bytes(pickle.dumps(result))
    dist.destroy_process_group()
