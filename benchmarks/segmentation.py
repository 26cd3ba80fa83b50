"""Masks of digits on stripes: the gallery's example on all of MNIST, as a measurement.

Run it from the repository's root as ``python -m benchmarks.segmentation``; README.md,
beside this file, says what is measured.
"""

import argparse
import os
import runpy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib as mpl

from benchmarks._common import RESULTS, Results, Row, describe_run, format_table

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "plot_5_segmentation.py"


def run_example(data_home: Path | None) -> dict[str, Any]:
    """What is defined once the example has run, on MNIST or on the bundled digits."""
    mpl.use("agg")
    folder = {} if data_home is None else {"SKLEARN_AE_MNIST": str(data_home)}
    with patch.dict(os.environ, folder):
        if data_home is None:
            os.environ.pop("SKLEARN_AE_MNIST", None)
        return runpy.run_path(str(EXAMPLE))


def measure(example: dict[str, Any]) -> list[Row]:
    """Intersection over union with the true masks of the test images."""
    sizes = {"n_train": len(example["X_train"]), "n_test": len(example["X_test"])}
    ious = {
        "EncoderDecoderRegressor": example["iou"](example["Y_predicted"]),
        "linear regression": example["best_iou"](
            example["linear"].predict(example["X_test"])
        ),
        "threshold": example["best_iou"](example["X_test"]),
    }
    return [
        {"method": method, **sizes, "iou": round(float(iou), 4)}
        for method, iou in ious.items()
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation",
        description=(__doc__ or "").partition("\n\n")[0],
    )
    add = parser.add_argument
    add(
        "--data-home",
        type=Path,
        help="folder with the folder mnist (default: the bundled digits, for a trial)",
    )
    add("--output", type=Path, default=RESULTS / "segmentation.json")
    add("--overwrite", action="store_true", help="replace --output where it exists")
    args = parser.parse_args(argv)
    if args.output.exists() and not args.overwrite:
        parser.error(f"{args.output} exists: --overwrite, or another --output")
    start, start_of_work = time.perf_counter(), time.process_time()
    rows = measure(run_example(args.data_home))
    results = Results(
        args.output,
        settings={"data": "digits" if args.data_home is None else "mnist"},
        runs=[describe_run("benchmarks.segmentation", argv)],
        summary={
            "iou": rows[0]["iou"],
            "seconds": round(time.perf_counter() - start, 1),
            "cpu_seconds": round(time.process_time() - start_of_work, 1),
        },
    )
    results.rows += rows  # which are no cells of tables
    results.save()
    print(format_table(["", "IoU"], ([r["method"], f"{r['iou']:.3f}"] for r in rows)))


if __name__ == "__main__":
    main()
