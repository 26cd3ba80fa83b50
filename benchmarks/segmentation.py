"""Masks of digits on stripes: the gallery's example on all of MNIST, as a measurement.

Run it from the repository's root as ``python -m benchmarks.segmentation``; README.md,
beside this file, says what is measured.
"""

import os
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib as mpl

from benchmarks._command import describe_run, make_parser, open_results
from benchmarks._measuring import timed
from benchmarks._results import Row
from benchmarks._text import format_table

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
    parser = make_parser("segmentation", __doc__, can_resume=False)
    parser.add_argument(
        "--data-home",
        type=Path,
        help="folder with the folder mnist (default: the bundled digits, for a trial)",
    )
    args = parser.parse_args(argv)
    data = "digits" if args.data_home is None else "mnist"
    results = open_results(parser, args, {"data": data})
    results.runs.append(describe_run("benchmarks.segmentation", argv))
    rows: list[Row] = []
    seconds = timed(lambda: rows.extend(measure(run_example(args.data_home))))
    results.summary = {
        "iou": rows[0]["iou"],
        "seconds": round(seconds.wall, 1),
        "cpu_seconds": round(seconds.cpu, 1),
    }
    results.rows += rows  # which are no cells of tables
    results.save()
    print(format_table(["", "IoU"], ([r["method"], f"{r['iou']:.3f}"] for r in rows)))


if __name__ == "__main__":
    main()
