"""A table on disk, many times what a fit may hold: its memory, and rows per second."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._measuring import without_convergence_warnings
from benchmarks._memory import peak_memory
from benchmarks._text import format_table
from benchmarks.scale.group import in_processes
from sklearn_ae import AutoencoderTransformer
from sklearn_ae.data import ParquetTable

N_COLUMNS, N_FILES, ROWS_TOGETHER = 50, 8, 2**13
N_PROCESSES = (1, 2)


def measure(
    n_rows: int, n_epochs: int, folder: Path | None
) -> Iterator[dict[str, Any]]:
    """Of one and of two processes, the peak of each one's memory and the seconds."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        files = write_table(Path(made), n_rows)
        n_bytes = sum(file.stat().st_size for file in files)
        for n in N_PROCESSES:
            of_ranks = in_processes(n, _fit, n, files, n_epochs)
            yield {
                "processes": n,
                "rows": n_rows,
                "columns": N_COLUMNS,
                "bytes_on_disk": n_bytes,
                "epochs": n_epochs,
                "peak_memory": [of_rank["peak_memory"] for of_rank in of_ranks],
                "seconds": max(of_rank["seconds"] for of_rank in of_ranks),
                "error": of_ranks[0]["error"],
            }


def write_table(folder: Path, n_rows: int) -> list[Path]:
    """Parquet files of rows with four factors, which are bent, and noise."""
    random_state = np.random.RandomState(0)
    loadings = random_state.normal(size=(8, N_COLUMNS)).astype(np.float32)
    names = [f"x{i}" for i in range(N_COLUMNS)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    files = [folder / f"{i}.parquet" for i in range(N_FILES)]
    for i, file in enumerate(files):
        n_left = n_rows * (i + 1) // N_FILES - n_rows * i // N_FILES
        with pq.ParquetWriter(file, schema, use_dictionary=False) as writer:
            while n_left:
                n = min(n_left, ROWS_TOGETHER)
                factors = random_state.normal(size=(n, 4)).astype(np.float32)
                noise = random_state.normal(size=(n, N_COLUMNS)).astype(np.float32)
                bent = np.hstack([factors, np.sin(2 * factors)])
                X = bent @ loadings + 0.3 * noise
                writer.write_table(pa.Table.from_arrays(list(X.T.copy()), names))
                n_left -= n
    return files


def _fit(rank: int, n: int, files: list[Path], n_epochs: int) -> dict[str, Any]:
    X = ParquetTable(files[rank::n])
    model = AutoencoderTransformer(8, max_iter=n_epochs, device="cpu")
    start = time.perf_counter()
    with without_convergence_warnings():
        model.fit(X)
    return {
        "seconds": time.perf_counter() - start,
        "peak_memory": peak_memory(),
        "error": model.reconstruction_err_,
    }


def report(rows: list[dict[str, Any]]) -> str:
    heading = ["processes", "peak of each, GB", "seconds", "rows/s", "error"]
    lines = [
        [
            str(row["processes"]),
            ", ".join(f"{peak / 1e9:.2f}" for peak in row["peak_memory"]),
            f"{row['seconds']:.0f}",
            f"{row['rows'] * row['epochs'] / row['seconds']:,.0f}",
            f"{row['error']:.4g}",
        ]
        for row in rows
    ]
    first = rows[0]
    title = (
        f"{first['rows']:,} rows x {first['columns']} columns of Parquet, "
        f"{first['bytes_on_disk'] / 1e9:.1f} GB, {first['epochs']} epochs: a whole "
        "fit, its rows times its epochs over its seconds"
    )
    return f"{title}\n\n{format_table(heading, lines)}"
