"""Seconds of a step and of its sums, and a model of more processes than there are here.

Two processes on this machine train the networks of `benchmarks.speed`, each on batches
of its own of a fixed size, beside one process alone: batches drawn by each process from
its own rows, as on long tables, and those of one process with all rows, as on shorter
ones. Two that send nothing, each with a network of its own, show what the machine
allows. From what a step computes and what it sends follows what it would take on more
machines with a given network. Of an epoch it is the median step that counts.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from benchmarks._text import format_table
from benchmarks.scale.group import in_processes
from benchmarks.speed.sizes import Shape
from benchmarks.speed.steps import LEARNING_RATE, untrained
from benchmarks.speed.timing import make_table
from sklearn_ae import AutoencoderTransformer
from sklearn_ae._estimators.base import FitTable
from sklearn_ae._tables.rows import Batches
from sklearn_ae._tables.shards import CommonRows, ShardRows
from sklearn_ae._training.engine import trainer_of
from sklearn_ae._training.recipe import BATCH_SIZE as LONG_TABLE_BATCH
from sklearn_ae._training.skorch_net import make_net
from sklearn_ae._utils.processes import alone, together

N_PROCESSES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def measure(shapes: Sequence[Shape], repeats: int) -> list[dict[str, Any]]:
    """Of each shape seconds of a step, alone and of two processes, and what is sent."""
    return in_processes(2, _measure, shapes, repeats)[0]


def _measure(rank: int, shapes: Sequence[Shape], repeats: int) -> list[dict[str, Any]]:
    return [_measure_shape(shape, rank, repeats) for shape in shapes]


def _measure_shape(shape: Shape, rank: int, repeats: int) -> dict[str, Any]:
    with together() as group:
        clock = _Clock(group)
        with alone():
            one = _Training(shape)
        both = _Training(shape)  # whose gradients lie where those of a fit of both do
        batches_of_one = Batches(one.x, shape.batch_size, torch.Generator())
        shared = _shared_batches(both.x, shape.batch_size, rank)
        rounds = []
        for _ in range(1 + repeats):  # the first warms up
            with alone():
                seconds = [one.run(batches_of_one) if rank == 0 else 0.0]
                group.gather(None)
                seconds += [one.run(batches_of_one)]
                group.gather(None)
            for batches in shared:
                group.gather(None)  # the other has waited
                clock.seconds.clear()
                seconds += [both.run(batches), float(np.median(clock.seconds))]
            rounds.append(seconds)
    times = np.array(rounds[1:])
    seconds_one, _, seconds_two, sending, *_ = np.median(times, axis=0)
    gains = np.median(2 * times[:, :1] / times[:, 1:], axis=0)
    gain_apart, gain, _, gain_common, _ = gains
    return {
        "shape": shape.name,
        "rows_per_process": shape.batch_size,
        "bytes": one.n_bytes,
        "seconds_one": seconds_one,
        "seconds_two": seconds_two,
        "seconds_sending": sending,
        "gain_apart": float(gain_apart),
        "gain": float(gain),
        "gain_common": float(gain_common),
    }


def _shared_batches(x: torch.Tensor, batch_size: int, rank: int) -> list[Any]:
    """Of two processes: drawn by each from its own rows, and those of one with all."""
    n, n_together = len(x), 2 * batch_size
    places = torch.full((2 * n,), -1)
    places[rank * n :][:n] = torch.arange(n)
    own, common = ShardRows(x, x[:0], [n] * 2), CommonRows(x, x[:0], places)
    return [rows.batches(n_together, torch.Generator()) for rows in (own, common)]


class _Clock:
    """Notes the seconds in which a process waits for a sum, or adds it up."""

    def __init__(self, group: Any):
        self.seconds: list[float] = []
        self.sum = group.sum
        group.sum = self.timed

    def timed(self, x: torch.Tensor, share: float = 1.0) -> torch.Tensor:
        begin = time.perf_counter()
        x = self.sum(x, share)
        self.seconds.append(time.perf_counter() - begin)
        return x


class _Training:
    """A network that is trained by one process or by both, with rows of its own."""

    def __init__(self, shape: Shape):
        X = make_table(shape.n_rows, shape.n_columns)
        X = StandardScaler().fit_transform(X).astype(np.float32)
        model = AutoencoderTransformer(
            shape.n_components,
            hidden_layer_sizes=shape.hidden,
            batch_size=shape.batch_size,
            learning_rate_init=LEARNING_RATE,
            device="cpu",
            precision="float32",
        )
        with alone():
            module = untrained(model, X).module_
        design = model._make_design(FitTable(X, X.shape[1]), columns=None)
        self.options = design.recipe.options(len(X), module)
        self.net = make_net(module, self.options)
        self.x = module.standardize(torch.from_numpy(X))
        self.n_bytes = 4 * sum(p.numel() for p in module.parameters())

    def run(self, batches: Any) -> float:
        """Seconds of the median step of an epoch."""
        ends: list[float] = []
        with trainer_of(self.net, self.options, torch.Generator()) as trainer:
            trainer.after_step = lambda *_: ends.append(time.perf_counter())
            trainer.run_epoch(batches)
        return float(np.median(np.diff(ends)))


# What it would take -------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """What machines are joined by."""

    gigabits: float  # a second, in each direction
    microseconds: float  # of a message

    def seconds(self, n_bytes: int, n: int) -> float:
        """Of a sum over n machines in a ring: each part goes round nearly twice.

        2 (n - 1) messages of 1/n of the bytes each (P. Patarasuk and X. Yuan,
        "Bandwidth optimal all-reduce algorithms for clusters of workstations",
        Journal of Parallel and Distributed Computing 69, 117-124, 2009).
        """
        n_messages = 2 * (n - 1)
        per_message = n_bytes / n / (self.gigabits * 1e9 / 8)
        return n_messages * (per_message + self.microseconds * 1e-6)


def format_measured(measured: Sequence[dict[str, Any]]) -> str:
    heading = [
        *("shape, rows", "kB sent", "one, ms", "two, ms", "of it sums"),
        *("apart", "summed", "with common batches"),
    ]
    lines = [
        [
            m["shape"],
            f"{m['bytes'] / 1e3:.0f}",
            *(f"{1e3 * m[name]:.2f}" for name in ("seconds_one", "seconds_two")),
            f"{1e3 * m['seconds_sending']:.2f}",
            *(f"{m[name]:.2f}" for name in ("gain_apart", "gain", "gain_common")),
        ]
        for m in measured
    ]
    return (
        "A step of one process of one thread, and of two on this machine with as many "
        "rows each; then rows\nper second of two over one: where they send nothing, "
        f"and where they add up gradients\n\n{format_table(heading, lines)}"
    )


def format_model(measured: Sequence[dict[str, Any]], network: Network) -> str:
    lines = []
    for m in measured:
        compute = m["seconds_one"]
        shares = [
            compute / (compute + network.seconds(m["bytes"], n)) for n in N_PROCESSES
        ]
        lines.append([m["shape"], *(f"{share:.0%}" for share in shares)])
    rows = [f"{LONG_TABLE_BATCH * n:,}" for n in N_PROCESSES]
    lines.append([f"rows in a step of {LONG_TABLE_BATCH} each", *rows])
    table = format_table(["shape, rows", *map(str, N_PROCESSES)], lines)
    return (
        f"Efficiency on so many machines of one process, {network.gigabits:g} Gbit/s, "
        f"{network.microseconds:g} us a message\n\n{table}\n\n"
        "Assumed: as fast a process as here, sums in a ring after the backward pass, "
        "nothing else on the\nnetwork, equal shards. By the recipe's rule a table "
        "takes batches of 128 sqrt(rows / 10,000)\nrows: with more rows in a step "
        "than that it takes fewer steps than it would by itself, and trains\nworse "
        "for the same epochs. "
        + "; ".join(f"{n:,} processes: {10_000 * n * n:,} rows" for n in (2, 32, 1024))
        + "."
    )
