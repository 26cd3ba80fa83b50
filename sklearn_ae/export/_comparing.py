"""What a written file gives, beside what its estimator gives."""

from pathlib import Path
from typing import Any

import numpy as np

from .._inference.inference import Encoded, Refined
from .._networks.variational import VariationalAutoencoder
from .._tables.kinds import Nothing
from .._tables.table_kinds import columns_of
from ._cells import feeds_of
from ._graph import import_onnx
from ._plan import Plan

# Differences from the estimator that are taken for rounding, in units of the spread of
# what it gives.
_TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}
# Of rows whose last steps gain as little as rounding, chance decides which are taken:
# what this changes is of the order of the root of the precision.
_TOLERANCE_OF_STEPS = 1e-6


class OnnxMismatchError(RuntimeError):
    """What a written file gives is not what the estimator gives.

    See Also
    --------
    to_onnx : Compares, and raises it.

    Examples
    --------
    >>> from sklearn_ae.export import OnnxMismatchError
    >>> issubclass(OnnxMismatchError, RuntimeError)
    True
    """


def compare(path: Path, estimator: Any, plan: Plan, rows: Any, given: Any) -> None:
    """Raise where the file gives something else than the estimator."""
    runtime = import_onnx("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    dtype: np.dtype
    if plan.takes_cells:
        feeds, dtype = feeds_of(plan.cells, rows), np.dtype(np.float64)
    elif hasattr(rows, "columns"):
        feeds = {
            name: rows[name].to_numpy()[:, None] for name in map(str, rows.columns)
        }
        dtype = np.dtype(np.float32)
    else:
        feeds, dtype = {session.get_inputs()[0].name: rows}, rows.dtype
    answers = session.run(None, {**feeds, **plan.beside(len(rows))})
    expected = _expected(estimator, plan, given)
    if plan.gives_cells:
        _compare_cells(plan, answers, expected)
    else:
        _compare_arrays(plan, answers[0], np.asarray(expected), dtype)


def _compare_arrays(
    plan: Plan, answer: np.ndarray, expected: np.ndarray, dtype: np.dtype
) -> None:
    answer = np.asarray(answer).reshape(expected.shape)
    if expected.dtype.kind != "f":
        if not np.array_equal(answer, expected):
            raise OnnxMismatchError(
                f"{np.mean(answer != expected):.2%} of the file's answers are not "
                "those of the estimator."
            )
        return
    difference = np.abs(answer - expected).max()
    spread = np.std(expected.reshape(len(expected), -1), axis=0).max() or 1.0
    # Rows come back in the precision of `fit`, where their columns have maps.
    tolerance = _TOLERANCE[min(dtype, expected.dtype)]
    has_steps = isinstance(plan.inference, Refined) and not plan.is_inverse
    most = max(tolerance, _TOLERANCE_OF_STEPS) if has_steps else tolerance
    scale = max(spread, 1e-3 * np.abs(expected).max())
    typical = np.median(np.abs(answer - expected))
    if not (difference <= most * scale) or not (typical <= tolerance * scale):
        raise OnnxMismatchError(
            f"The file's answers differ from those of the estimator by up to "
            f"{difference:.3g}, where the rows' spread is {spread:.3g} and "
            f"{tolerance:g} of it is allowed. It was not written."
        )


def _compare_cells(plan: Plan, answers: list[np.ndarray], expected: Any) -> None:
    """Column by column; those of which nothing is known are not in the file."""
    columns = [
        (cells, column)
        for cells, column in zip(plan.cells, columns_of(expected), strict=True)
        if not isinstance(cells.kind, Nothing)
    ]
    for answer, (cells, column) in zip(answers, columns, strict=True):
        values = cells.feed(column)
        if cells.dtype == np.object_ or cells.output_dtype == np.bool_:
            _compare_arrays(plan, answer, values, answer.dtype)
            continue
        values, answer = values.astype(np.float64), answer.astype(np.float64)
        # In the precision of the column, which the file gives in double.
        if np.array_equal(values, values.astype(np.float32)):
            answer = answer.astype(np.float32).astype(np.float64)
        _compare_arrays(plan, answer, values, values.dtype)


def _expected(estimator: Any, plan: Plan, rows: Any) -> Any:
    # In double precision, of which the file's answers are rounded.
    is_array = isinstance(rows, np.ndarray) and rows.dtype.kind == "f"
    given = [rows.astype(np.float64) if is_array else rows]
    model = plan.model
    if plan.takes_conditions:
        given.append(plan.given_y)
    arguments = {}
    is_density = isinstance(model.module_, VariationalAutoencoder)
    if plan.method == "score_samples" and is_density and estimator is model:
        arguments["n_samples"] = plan.n_samples
    before = model._inference
    try:
        model._inference = plan.inference or Encoded()
        return getattr(estimator, plan.method)(*given, **arguments)
    finally:
        model._inference = before
