"""How far files of ONNX are from their estimators, as a table.

python tools/onnx_differences.py                every estimator, kind of table, Pipeline
python tools/onnx_differences.py --only images  those whose name has this in it

For each: the largest difference between what ONNX Runtime gives of a file and what the
estimator gives of the same rows, in both precisions, as a share of the spread of what
comes out. Rows are those of the fit and others around them.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_ae import (
    AutoencoderTransformer,
    DenoisingAutoencoderTransformer,
    EncoderDecoderRegressor,
    NeighborMapTransformer,
    VAETransformer,
)
from sklearn_ae._networks.activations import ACTIVATIONS
from sklearn_ae._tables.condition_columns import ConditionColumns
from sklearn_ae._tables.table_kinds import columns_of
from sklearn_ae.export import to_onnx
from sklearn_ae.export._cells import cells_of, feeds_of
from sklearn_ae.export._conditions import ColumnsOfRows

LIMITS = {np.float64: 1e-9, np.float32: 1e-4}
N_MORE = 2000
X, LABELS = load_breast_cancer(return_X_y=True)
UNIT = MinMaxScaler().fit_transform(X)
IMAGES = load_digits().data[:600] / 16.0
# Enough epochs for networks that bend.
SHORT: dict[str, Any] = {"max_iter": 20, "early_stopping": False}


def more(X: np.ndarray) -> np.ndarray:
    """Rows like these, and rows between and beyond them."""
    rng = np.random.RandomState(0)
    noise = 0.3 * X.std(axis=0) * rng.standard_normal((N_MORE, X.shape[1]))
    return np.concatenate([X, X[rng.randint(len(X), size=N_MORE)] + noise])


def holed(X: np.ndarray) -> np.ndarray:
    return np.where(np.random.RandomState(1).uniform(size=X.shape) < 0.1, np.nan, X)


def mixed(n: int = 500) -> pd.DataFrame:
    rng = np.random.RandomState(0)
    size = rng.standard_normal(n)
    frame = pd.DataFrame(
        {
            "length": 100 + 5 * size,
            "width": size**2 + 0.1 * rng.standard_normal(n),
            "count": np.round(4 * np.abs(size)).astype(int),
            "town": np.array(["a", "b", "c", "d"])[rng.randint(4, size=n)],
            "is_wide": size > 0.3,
            "day": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(np.round(30 * size).astype(int), unit="D"),
        }
    )
    for i, name in enumerate(["length", "town", "day"]):
        frame.loc[i::9, name] = None
    return frame


def with_towns(n: int = 500) -> pd.DataFrame:
    """The same with no town missing: what rows are conditioned on is always there."""
    return mixed(n).assign(town=lambda frame: frame["town"].fillna("a"))


class Case:
    """An estimator, rows of its fit, and rows to compare on."""

    def __init__(
        self,
        estimator: Any,
        X: Any = X,
        rows: Any = None,
        y: Any = None,
        given: Any = None,
        method: str | None = None,
        dtypes: Any = tuple(LIMITS),
    ):
        self.estimator = estimator
        self.X, self.y = X, y
        self.rows = more(X) if rows is None else rows
        self.given = given
        self.method = method
        self.dtypes = dtypes

    def differences(self, folder: Path) -> dict[Any, float]:
        estimator = self.estimator.fit(self.X, self.y)
        method = self.method or (
            "predict" if hasattr(estimator, "predict") else "transform"
        )
        given = [] if self.given is None else [self.given]
        rows = self.rows
        if method == "inverse_transform":
            rows = np.asarray(estimator.transform(rows), dtype=np.float64)
        is_array = isinstance(rows, np.ndarray)
        found = {}
        for dtype in self.dtypes if is_array else [np.float64]:
            rows = rows.astype(dtype) if is_array else rows
            path = to_onnx(
                estimator,
                folder / "file.onnx",
                rows[:200],
                method=method,
                y=None if self.given is None else self.given[:200],
            )
            model = estimator if hasattr(estimator, "_kinds") else estimator[0]
            feeds = {"X": rows}
            if not is_array:
                feeds = feeds_of(cells_of(model._kinds), rows)
            if given and isinstance(model._conditions, ConditionColumns):
                feeds |= ColumnsOfRows(model._conditions).fed(self.given, len(rows))
            elif given:
                feeds["y"] = self.given[:, None]
            answers = onnxruntime.InferenceSession(path).run(None, feeds)
            # What the file has from rows in single precision is compared with what
            # the estimator has of the same rows in double.
            same = rows.astype(np.float64) if is_array else rows
            expected = getattr(estimator, method)(same, *given)
            if hasattr(expected, "columns"):
                found[dtype] = max(
                    difference(answer, cells.feed(column))
                    for answer, cells, column in zip(
                        answers,
                        cells_of(model._kinds),
                        columns_of(expected),
                        strict=True,
                    )
                )
            else:
                found[dtype] = difference(answers[0], np.asarray(expected))
        return found


def difference(answer: np.ndarray, expected: np.ndarray) -> float:
    """The largest, as a share of the spread; of labels, the share that differ."""
    if expected.dtype.kind not in "f":
        return float(np.mean(answer.ravel() != expected.ravel()))
    answer = answer.reshape(expected.shape)
    spread = np.std(expected.reshape(len(expected), -1), axis=0).max()
    return float(np.abs(answer - expected).max() / spread)


def standardised(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


S = StandardScaler().fit_transform(X)
D = LABELS.astype(int)
METHODS = ["transform", "reconstruct", "score_samples", "inverse_transform"]
TOWN = {"condition_columns": ["town", "is_wide"]}
MAPPED: dict[str, Any] = {"column_maps": "quantile", **SHORT}
CASES: dict[str, Callable[[], Case]] = {
    "AE, k=2": lambda: Case(AutoencoderTransformer(2, **SHORT), S),
    "AE, k=8": lambda: Case(AutoencoderTransformer(8, **SHORT), S),
    "AE, units of the data": lambda: Case(AutoencoderTransformer(2, **SHORT)),
    "AE, encoder": lambda: Case(
        AutoencoderTransformer(2, inference="encoder", **SHORT), S
    ),
    "AE, score_samples": lambda: Case(
        AutoencoderTransformer(2, **SHORT), S, method="score_samples"
    ),
    "DAE": lambda: Case(DenoisingAutoencoderTransformer(4, **SHORT), S),
    "DAE, refined": lambda: Case(
        DenoisingAutoencoderTransformer(4, inference="refined", **SHORT), S
    ),
    "VAE, k=2": lambda: Case(VAETransformer(2, **SHORT), S),
    "VAE, k=8": lambda: Case(VAETransformer(8, **SHORT), S),
    "VAE, noise of columns": lambda: Case(
        VAETransformer(4, noise="per_column", **SHORT), S
    ),
    "VAE, score_samples": lambda: Case(
        VAETransformer(2, **SHORT), S, method="score_samples"
    ),
    **{
        f"VAE, noise of rows, {of}": lambda options=options, rows=rows: Case(
            VAETransformer(2, noise="per_row", **options, **SHORT),
            rows,
            more(rows)[:1000],
            method="score_samples",
        )
        for of, rows, options in (
            ("squared_error", S, {}),
            ("absolute_error", S, {"loss": "absolute_error"}),
            ("encoder", S, {"inference": "encoder"}),
            ("missing cells", holed(S), {}),
            ("column maps", S[:, :8], {"column_maps": "quantile"}),
        )
    },
    "VAE, conditions": lambda: Case(
        VAETransformer(2, conditional=True, **SHORT), S, S[:400], D, D[:400]
    ),
    **{
        f"VAE, condition columns, {method}": lambda method=method: Case(
            VAETransformer(2, condition_columns=[0, 5], **SHORT),
            S,
            method=method,
            given=more(S)[:, [0, 5]] if method == "inverse_transform" else None,
        )
        for method in METHODS
    },
    **{
        f"VAE, condition columns of a table, {method}": lambda method=method: Case(
            VAETransformer(2, **TOWN, **SHORT),
            with_towns(),
            with_towns(3000),
            method=method,
            given=with_towns(3000) if method == "inverse_transform" else None,
        )
        for method in METHODS
    },
    **{
        f"VAE, column maps, {method}": lambda method=method: Case(
            VAETransformer(2, **MAPPED), S[:, :8], more(S[:, :8]), method=method
        )
        for method in METHODS
    },
    "VAE, column maps, missing cells": lambda: Case(
        VAETransformer(2, **MAPPED), holed(S), holed(more(S))
    ),
    **{
        f"VAE, column maps of a table, {method}": lambda method=method: Case(
            VAETransformer(2, **MAPPED), mixed(), mixed(3000), method=method
        )
        for method in METHODS
    },
    "VAE, column maps and conditions": lambda: Case(
        VAETransformer(2, conditional=True, **MAPPED), S, S[:400], D, D[:400]
    ),
    **{
        f"{name}, {loss}": lambda Estimator=Estimator, loss=loss: Case(
            Estimator(2, loss=loss, **SHORT), UNIT, np.clip(more(UNIT), 0, 1)
        )
        for name, Estimator in (("AE", AutoencoderTransformer), ("VAE", VAETransformer))
        for loss in ("absolute_error", "log_loss")
    },
    **{
        f"AE, {activation}": lambda activation=activation: Case(
            AutoencoderTransformer(2, activation=activation, **SHORT), S
        )
        for activation in sorted(ACTIVATIONS)
    },
    "AE, missing cells": lambda: Case(
        AutoencoderTransformer(2, **SHORT), holed(S), holed(more(S))
    ),
    "VAE, missing cells": lambda: Case(
        VAETransformer(2, **SHORT), holed(S), holed(more(S))
    ),
    "AE, mixed table": lambda: Case(
        AutoencoderTransformer(2, **SHORT), mixed(), mixed(5000)
    ),
    "VAE, mixed table": lambda: Case(VAETransformer(2, **SHORT), mixed(), mixed(5000)),
    "regressor": lambda: Case(EncoderDecoderRegressor(2, **SHORT), S, y=S[:, :3]),
    "map, encoder": lambda: Case(
        NeighborMapTransformer(2, inference="encoder", max_iter=5), S
    ),
    "map": lambda: Case(NeighborMapTransformer(2, max_iter=5), S),
    "AE, images": lambda: Case(
        AutoencoderTransformer(4, image_shape=(8, 8), max_iter=2), IMAGES, IMAGES
    ),
    "VAE, images": lambda: Case(
        VAETransformer(4, image_shape=(8, 8), max_iter=2), IMAGES, IMAGES
    ),
    "regressor, images": lambda: Case(
        EncoderDecoderRegressor(4, image_shape=(8, 8), max_iter=2),
        IMAGES,
        IMAGES,
        y=IMAGES,
    ),
    "scaler + AE": lambda: Case(standardised(AutoencoderTransformer(2, **SHORT))),
    "scaler + PCA + AE": lambda: Case(
        make_pipeline(StandardScaler(), PCA(10), AutoencoderTransformer(2, **SHORT))
    ),
    "scaler + VAE": lambda: Case(standardised(VAETransformer(2, **SHORT))),
    "scaler + VAE with condition columns": lambda: Case(
        standardised(VAETransformer(2, condition_columns=[0, 5], **SHORT))
    ),
    # What a scaler rounds is no longer the value that many rows share.
    "scaler + VAE with column maps": lambda: Case(
        standardised(VAETransformer(2, **MAPPED)), dtypes=[np.float64]
    ),
    "scaler + AE + classifier": lambda: Case(
        make_pipeline(
            StandardScaler(), AutoencoderTransformer(4, **SHORT), LogisticRegression()
        ),
        y=LABELS,
    ),
    "scaler + AE + regression": lambda: Case(
        make_pipeline(StandardScaler(), AutoencoderTransformer(4, **SHORT), Ridge()),
        y=X[:, 0],
    ),
    "AE of a mixed table + classifier": lambda: Case(
        make_pipeline(AutoencoderTransformer(2, **SHORT), LogisticRegression()),
        mixed(),
        mixed(5000),
        y=np.arange(500) % 2,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of the names")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    onnxruntime.set_default_logger_severity(3)
    n_beyond = 0
    width = max(map(len, CASES))
    print(f"{'':{width}}  float64  float32")
    with tempfile.TemporaryDirectory() as name:
        for case, make in CASES.items():
            if options.only not in case:
                continue
            found = make().differences(Path(name))
            cells = [f"{found[t]:7.1e}" if t in found else " " * 7 for t in LIMITS]
            is_beyond = any(not found[t] <= LIMITS[t] for t in found)
            n_beyond += is_beyond
            mark = "  beyond the limit" if is_beyond else ""
            print(f"{case:{width}}  {'  '.join(cells)}{mark}", flush=True)
    return 1 if n_beyond else 0


if __name__ == "__main__":
    sys.exit(main())
