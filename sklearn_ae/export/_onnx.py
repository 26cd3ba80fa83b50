"""Files of ONNX from fitted estimators and Pipelines, compared after writing."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from .._estimators.base import BaseEncoderDecoder
from .._inference.inference import Refined
from .._inference.placement import Placed
from .._networks.modules import MLP, nonlinear_part
from .._networks.variational import VariationalAutoencoder
from .._tables.condition_columns import ConditionColumns
from .._utils.types import InferenceName, PathLike
from .._utils.version import __version__
from .._utils.warnings import warn
from ._comparing import compare
from ._graph import import_onnx
from ._layers import CannotExportError
from ._placement import can_be_placed
from ._plan import Plan

_METHODS = (
    "transform",
    "inverse_transform",
    "reconstruct",
    "score_samples",
    "predict",
)


def to_onnx(
    estimator: Any,
    path: PathLike,
    X: Any,
    *,
    method: Literal[
        "transform", "inverse_transform", "reconstruct", "score_samples", "predict"
    ]
    | None = None,
    y: Any = None,
    inference: InferenceName = "auto",
    n_samples: int = 100,
) -> Path:
    """Write what an estimator or a Pipeline does with rows to a file of ONNX.

    After writing, ONNX Runtime runs the file on the rows of X; where its answer differs
    from the estimator's, the file is removed and an error is raised.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A fitted estimator of this package but `FaceSwapper`, or a Pipeline of one with
        steps of scikit-learn's that skl2onnx knows.

    path : str or path
        Where to write the file.

    X : array-like of shape (n_rows, n_features)
        Rows to compare on, and their type: the file takes and gives single precision
        where these have it, and double precision otherwise. With
        ``method="inverse_transform"`` these are latents. A DataFrame for a Pipeline is
        taken column by column, each an input of its name, and so is a table of several
        kinds of columns (see Notes). Rows with missing cells are taken where X or the
        rows of `fit` have any.

    method : {"transform", "inverse_transform", "reconstruct", "score_samples", \
            "predict"}, default=None
        What the file computes. None takes `predict` where the last step has it, else
        `transform`.

    y : array-like of shape (n_rows,) or (n_rows, n_conditions), default=None
        The rows' conditions, where a `VAETransformer` is conditional. They are further
        inputs, "y" or "y0", "y1" and so on, of shape (n_rows, 1). With
        `condition_columns` they are columns of X like the others; only
        ``method="inverse_transform"`` takes them apart, as y here, and as inputs of the
        columns' names in the file.

    inference : {"auto", "refined", "encoder"}, default="auto"
        Which latents rows are given. "refined" has the steps of the projection in the
        file, at most as many as the estimator takes; "encoder" one pass of the encoder,
        which is smaller and faster, and then the comparison is with that. "auto" is
        what the estimator does; where that cannot be written, as with networks of your
        own, it is the encoder, and a warning says so. The file's metadata say which
        it is.

    n_samples : int, default=100
        Draws for each row for the density of a `VAETransformer` alone; a Pipeline has
        the default.

    Returns
    -------
    path : pathlib.Path
        The file.

    Raises
    ------
    OnnxMismatchError
        Where the file's answers differ from the estimator's by more than 1e-4 of their
        spread, in double precision 1e-9. Single rows of refined inference, whose last
        steps gain as little as rounding errors, may differ by 1e-6.

    See Also
    --------
    sklearn_ae.serving.prepare : Single rows in Python, without a file.
    sklearn_ae.save : Files for this package.

    Notes
    -----
    Where `fit` had more than numbers, every column is an input of its name, of shape
    (n_rows, 1): numbers in double precision, NaN where they are missing; integers,
    truth values, dates and times (microseconds, of moments since 1970) as int64, and
    missing as the least of these, as NumPy's NaT; text and categories as strings, and
    missing as the empty one (where that is a level itself, as "?"). A level that `fit`
    did not see counts as missing, and a row without a condition gets NaN. What gives
    rows gives each column back under its name, with "_out" behind it where an input has
    that name, as with ``method="reconstruct"``. The file's metadata have the inputs
    under "inputs". With ``column_maps`` and rows that are an array of numbers, these
    stay one input and one output.

    Examples
    --------
    >>> import os, tempfile
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.export import to_onnx
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = to_onnx(autoencoder, os.path.join(folder, "iris.onnx"), X)
    ...     session = onnxruntime.InferenceSession(path)
    >>> (Z,) = session.run(None, {"X": X[:5]})
    >>> bool(abs(Z - autoencoder.transform(X[:5])).max() < 1e-9)
    True
    """
    steps = _steps_of(estimator)
    of = _checked_method(steps[-1], method)
    model = next(step for step in steps if isinstance(step, BaseEncoderDecoder))
    check_is_fitted(estimator)
    if of == "score_samples" and _has_noise_of_rows(model):
        raise CannotExportError(
            "score_samples cannot be written to ONNX where noise follows the latents"
            '; the other methods can, or fit with noise="shared" or "per_column".'
        )
    is_inverse = of == "inverse_transform"
    has_cells = model._kinds is not None and not model._kinds.are_mapped_numbers
    is_table = has_cells and steps[0] is model
    if len(steps) > 1:
        _check_step(model, is_inverse, has_cells, is_table)
    if inference not in ("auto", "refined", "encoder"):
        raise ValueError(
            f"inference must be 'auto', 'refined' or 'encoder'; got {inference!r}."
        )
    is_frame = hasattr(X, "columns") and len(steps) > 1
    if is_table and not is_inverse:
        rows = X if hasattr(X, "shape") else np.asarray(X, dtype=object)
        validate_data(model, rows, skip_check_array=True, reset=False)
    else:
        rows = X if is_frame else _as_rows(X)
    found = _inference(model, inference)
    takes_missing = is_table or model.module_.has_missing or _has_missing(rows)
    plan = Plan(model, of, found, n_samples, y, takes_missing)
    if len(steps) == 1:
        proto = plan.model_alone(*_type_of(rows))
    elif is_inverse:
        proto = plan.model_of_inverse(steps, *_type_of(rows))
    else:
        proto = plan.model_of_pipeline(estimator, rows)
    _describe(proto, estimator, plan)
    onnx = import_onnx()
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        onnx.checker.check_model(proto)
        temporary.write_bytes(proto.SerializeToString())
        given = X if hasattr(X, "columns") and not is_inverse else rows
        compare(temporary, estimator, plan, rows, given)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _steps_of(estimator: Any) -> list:
    """The estimator, or the steps of a Pipeline, one of which is the package's."""
    steps = [estimator]
    if isinstance(estimator, Pipeline):
        steps = [s for _, s in estimator.steps if s not in (None, "passthrough")]
    n_own = sum(isinstance(step, BaseEncoderDecoder) for step in steps)
    if n_own != 1:
        raise TypeError(
            "to_onnx takes a fitted estimator of sklearn_ae for tables, or a Pipeline "
            "with one of them as a step (of an AutoencoderDetector, its estimator_); "
            f"got {estimator!r}."
        )
    return steps


def _check_step(
    model: BaseEncoderDecoder, is_inverse: bool, has_cells: bool, is_table: bool
) -> None:
    """Raise where what an estimator takes or gives has no place in a Pipeline."""
    known = getattr(model, "_conditions", None)
    name = type(model).__name__
    if has_cells and not is_table:
        raise ValueError(
            "Tables of categories, truths or dates can be written to ONNX where the "
            "estimator is the first step: encode them by steps of scikit-learn's "
            "before the estimator, or none."
        )
    if known is not None and not isinstance(known, ConditionColumns):
        raise ValueError(
            f"A Pipeline hands no y on to {name}: give its conditions as columns of X, "
            "by condition_columns."
        )
    if is_inverse and known is not None:
        raise ValueError(
            "inverse_transform of latents needs their conditions, which a Pipeline "
            f"does not hand on: give {name} without the Pipeline."
        )
    if is_inverse and is_table:
        raise ValueError(
            "inverse_transform of a table of several kinds can be written of the "
            f"estimator alone: give {name} without the Pipeline."
        )


def _has_noise_of_rows(model: BaseEncoderDecoder) -> bool:
    module = model.module_
    is_variational = isinstance(module, VariationalAutoencoder)
    return is_variational and module.noise_network is not None


def _checked_method(last: Any, method: str | None) -> str:
    if method is None:
        return "predict" if hasattr(last, "predict") else "transform"
    if method not in _METHODS:
        raise ValueError(f"method must be one of {_METHODS}; got {method!r}.")
    if not hasattr(last, method):
        raise ValueError(f"{type(last).__name__} has no method {method!r}.")
    return method


def _as_rows(X: Any) -> np.ndarray:
    rows = np.asarray(X)
    if rows.dtype != np.float32:
        rows = rows.astype(np.float64)
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(f"X must have rows to compare on; got shape {rows.shape}.")
    return np.ascontiguousarray(rows)


def _inference(model: BaseEncoderDecoder, asked: str) -> Refined | Placed | None:
    """How rows get their latents in a file; None is by the encoder alone."""
    known = model._inference
    if asked == "encoder":
        return None
    if not isinstance(known, Refined | Placed):
        if asked == "auto":
            return None
        raise ValueError(
            'inference="refined" can be written where the estimator was fitted with it;'
            f" {type(model).__name__} has the encoder's latents."
        )
    if isinstance(known, Placed):
        if can_be_placed(known):
            return known
        metric = getattr(known.index, "effective_metric_", None)
        why = (
            "the table was too long" if metric is None else f"the metric is {metric!r}"
        )
        limits = f"of maps that compare all rows by Euclidean distances; {why}"
    else:
        decoder = model.module_.decoder
        dense = nonlinear_part(decoder)
        if isinstance(dense, MLP):
            return known
        limits = (
            f"of the package's dense networks; the decoder is {type(dense).__name__}"
        )
    if asked == "refined":
        raise ValueError(
            f'inference="refined" can be written {limits}. Use inference="encoder".'
        )
    warn(
        f"The estimator's inference can be written to ONNX {limits}: the file has the "
        'latents of the encoder, as with inference="encoder".',
        UserWarning,
    )
    return None


def _type_of(rows: Any) -> tuple[np.dtype, int]:
    """The type of a file's numbers, and how many a row has."""
    is_numbers = isinstance(rows, np.ndarray) and rows.dtype.kind == "f"
    return (rows.dtype if is_numbers else np.dtype(np.float64)), rows.shape[1]


def _has_missing(rows: Any) -> bool:
    if hasattr(rows, "isna"):
        return bool(np.any(rows.isna()))
    return isinstance(rows, np.ndarray) and bool(np.isnan(rows).any())


def _describe(proto: Any, estimator: Any, plan: Plan) -> None:
    """Say in the file what it is of, and what it takes."""
    proto.producer_name, proto.producer_version = "sklearn_ae", __version__
    names = getattr(estimator, "feature_names_in_", None)
    model, inference = plan.model, plan.inference
    entries = {
        "sklearn_ae": __version__,
        "estimator": type(model).__name__,
        "method": plan.method,
        "inference": "encoder" if inference is None else "refined",
        "columns": json.dumps(None if names is None else [str(n) for n in names]),
        "latents": json.dumps(model.get_feature_names_out().tolist()),
        "missing_cells": "taken" if plan.takes_missing else "not taken",
    }
    if isinstance(inference, Refined):
        entries["n_steps"] = str(inference.n_steps)
    cells = plan.cells if plan.takes_cells else plan.condition_cells
    if cells:
        entries["inputs"] = json.dumps([column.description for column in cells])
    import_onnx().helper.set_model_props(proto, entries)
