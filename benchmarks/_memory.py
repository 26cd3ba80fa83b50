"""The peak memory of a process, and processes whose peak is their own."""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def in_new_process(function: Callable[..., Any], *args: Any) -> Any:
    """What the function returns in a process that has done nothing before."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *args).result()


def peak_memory() -> int:
    """Bytes that this process has had resident at most."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux's ru_maxrss would also count what the parent held before it started us.
        lines = status.read_text().splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM:"))
        return 1024 * int(peak.split()[1])
    import resource  # not on Windows

    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_rss if sys.platform == "darwin" else 1024 * peak_rss
