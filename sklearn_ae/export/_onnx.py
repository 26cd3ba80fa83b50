"""Files of ONNX from fitted estimators and Pipelines, compared after writing."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._estimators.base import BaseEncoderDecoder
from .._inference.inference import Encoded, Refined
from .._networks.images import ConvolutionalNetwork
from .._networks.modules import MLP, Anchored
from .._networks.variational import VariationalAutoencoder
from .._tables.condition_columns import ConditionColumns
from .._utils.types import InferenceName, PathLike
from .._utils.version import __version__
from .._utils.warnings import warn
from ._graph import OPSET, Graph, Value, import_onnx
from ._methods import Writer, draws_of, encoded_conditions

_METHODS = (
    "transform",
    "inverse_transform",
    "reconstruct",
    "score_samples",
    "predict",
)
# Differences from the estimator that are taken for rounding, in units of the spread of
# what it gives.
_TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}
# Of rows whose last steps gain as little as rounding, chance decides which are taken:
# what this changes is of the order of the root of the precision.
_TOLERANCE_OF_STEPS = 1e-6
_IR_VERSION = 10  # that of the operators' release


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
        taken column by column, each an input of its name.

    method : {"transform", "inverse_transform", "reconstruct", "score_samples", \
            "predict"}, default=None
        What the file computes. None takes `predict` where the last step has it, else
        `transform`.

    y : array-like of shape (n_rows,) or (n_rows, n_conditions), default=None
        The rows' conditions, where a `VAETransformer` is conditional. They are further
        inputs, "y" or "y0", "y1" and so on, of shape (n_rows, 1).

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
        spread, in double precision 1e-9 (1e-4 where convolutions are in it, which ONNX
        Runtime has in single precision). Single rows of refined inference, whose last
        steps gain as little as rounding errors, may differ by 1e-6.

    See Also
    --------
    sklearn_ae.serving.prepare : Single rows in Python, without a file.
    sklearn_ae.save : Files for this package.

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
    kinds = getattr(model, "_kinds", None)
    if kinds is not None and kinds.has_maps:
        raise ValueError(
            "column_maps cannot be written to ONNX yet: fit without them, or put a "
            "QuantileTransformer or a scaler before the estimator in a Pipeline."
        )
    if kinds is not None:
        raise ValueError(
            "Tables of categories, truths or dates cannot be written to ONNX yet: "
            "encode them by steps of scikit-learn's in a Pipeline, which can."
        )
    if inference not in ("auto", "refined", "encoder"):
        raise ValueError(
            f"inference must be 'auto', 'refined' or 'encoder'; got {inference!r}."
        )
    is_frame = hasattr(X, "columns") and len(steps) > 1
    rows = X if is_frame else _as_rows(X)
    if not is_frame and np.isnan(rows).any():
        raise ValueError(
            "X has missing numbers, which a file of ONNX takes no account of: give "
            "complete rows, or impute in the Pipeline."
        )
    refined = _refined(model, inference)
    plan = _Plan(model, of, refined, n_samples, y)
    given = X if hasattr(X, "columns") else rows
    if len(steps) == 1:
        proto = plan.model_of_rows(rows.dtype, rows.shape[1])
    elif of == "inverse_transform":
        proto = plan.model_of_inverse(steps, rows.dtype, rows.shape[1])
    else:
        proto = plan.model_of_pipeline(estimator, rows)
    _describe(proto, estimator, model, of, refined)
    onnx = import_onnx()
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        onnx.checker.check_model(proto)
        temporary.write_bytes(proto.SerializeToString())
        plan.compare(temporary, estimator, rows, given)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


class _Plan:
    """What of which model is to be written."""

    def __init__(
        self,
        model: BaseEncoderDecoder,
        method: str,
        refined: Refined | None,
        n_samples: int,
        y: Any,
    ):
        self.model = model
        self.method = method
        self.refined = refined
        self.n_samples = n_samples
        self.conditions = getattr(model, "_conditions", None)
        if isinstance(self.conditions, ConditionColumns):
            raise TypeError(
                "to_onnx takes conditions apart from X: fit with conditional=True and "
                "y, not with condition_columns."
            )
        if self.conditions is None:
            self.y = None
        elif y is None:
            raise ValueError(
                "The estimator is conditional: give the conditions of the rows as y."
            )
        else:
            self.y = _columns_of(y)
            self._given_y = y

    def write(
        self, graph: Graph, X: Value, conditions: Value | None, method: str
    ) -> Value:
        """What the method gives of rows, in the graph's type."""
        writer = Writer(graph, self.model.module_, self.refined)
        if method == "inverse_transform":
            scale = writer.module.latent_scale.item()
            z = graph.cast(X, graph.dtype) / scale
            return writer.restored(writer.decoded(z, conditions))
        x = writer.standardized(X, conditions)
        if method == "transform":
            return writer.transform(x)
        if method == "predict":
            y = writer.predicted(x)
            is_flat = self.model._is_flat
            return y.squeeze(1) if is_flat else y
        if method == "reconstruct":
            return writer.restored(writer.decoded(writer.latents(x), conditions))
        if isinstance(writer.module, VariationalAutoencoder):
            return writer.log_density(x, draws_of(self.model, self.n_samples))
        return writer.errors(x)

    def graph_type(self, dtype: np.dtype) -> np.dtype:
        # Steps that are taken or not by a comparison need the digits.
        return np.dtype(np.float64) if self.refined is not None else np.dtype(dtype)

    def model_of_rows(self, dtype: np.dtype, n_columns: int) -> Any:
        """A file of the estimator alone."""
        graph = Graph(self.graph_type(dtype))
        inputs = [("X", dtype, n_columns)]
        conditions = None
        if self.conditions is not None and self.y is not None:
            inputs += [(name, column.dtype, 1) for name, column in self.y.items()]
            values = [graph.value(name) for name in self.y]
            conditions = encoded_conditions(graph, self.conditions, values)
        output = self.write(graph, graph.value("X"), conditions, self.method)
        shape = ["n"] if self._is_flat(self.method) else ["n", None]
        return _proto(graph, inputs, graph.cast(output, dtype), dtype, shape)

    def model_of_inverse(self, steps: list, dtype: np.dtype, n_columns: int) -> Any:
        """A file of the way back through a Pipeline, whose steps are affine."""
        n_given = n_columns
        graph = Graph(np.dtype(np.float64))
        value = graph.cast(graph.value("X"), graph.dtype)
        for step in reversed(steps):
            if step is self.model:
                value = self.write(graph, value, None, "inverse_transform")
                n_columns = step.n_features_in_
                continue
            zeros = np.zeros((1, n_columns))
            shift = np.asarray(step.inverse_transform(zeros))
            matrix = np.asarray(step.inverse_transform(np.eye(n_columns))) - shift
            value = value @ matrix + shift
            n_columns = matrix.shape[1]
        output = graph.cast(value, dtype)
        return _proto(graph, [("X", dtype, n_given)], output, dtype, ["n", None])

    def model_of_pipeline(self, pipeline: Any, rows: Any) -> Any:
        """A file of a Pipeline by skl2onnx, with a converter for the model."""
        skl2onnx = import_onnx("skl2onnx")
        known = import_onnx("skl2onnx.common.data_types")
        plan = self
        is_last = pipeline.steps[-1][1] is self.model
        method = self.method if is_last else "transform"

        def find_shapes(operator: Any) -> None:
            kind = type(operator.inputs[0].type)
            widths = [] if plan._is_flat(method) else [plan._width(method)]
            operator.outputs[0].type = kind([None, *widths])

        def convert(scope: Any, operator: Any, container: Any) -> None:
            is_double = isinstance(operator.inputs[0].type, known.DoubleTensorType)
            dtype = np.dtype(np.float64 if is_double else np.float32)
            prefix = scope.get_unique_operator_name("sklearn_ae") + "_"
            graph = Graph(plan.graph_type(dtype), prefix)
            inputs = [graph.value(part.full_name) for part in operator.inputs]
            X = inputs[0] if len(inputs) == 1 else graph.concat(inputs, axis=1)
            output = graph.cast(plan.write(graph, X, None, method), dtype)
            graph.name_output(output, operator.outputs[0].full_name)
            container.nodes.extend(graph.nodes)
            container.initializers.extend(graph.constants)
            container.node_domain_version_pair_sets.add(("", OPSET))

        cls = type(self.model)
        skl2onnx.update_registered_converter(
            cls, f"SklearnAe{cls.__name__}", find_shapes, convert, overwrite=True
        )
        is_frame = hasattr(rows, "columns")
        return skl2onnx.to_onnx(
            pipeline,
            rows[:1] if is_frame else None,
            initial_types=None if is_frame else [("X", _tensor_type(known, rows))],
            target_opset={"": OPSET, "ai.onnx.ml": 3},
            options=_without_zipmap(pipeline),
        )

    def _is_flat(self, method: str) -> bool:
        """Whether a method gives one number for each row."""
        has_one_target = getattr(self.model, "_is_flat", False)
        return method == "score_samples" or (method == "predict" and has_one_target)

    def _width(self, method: str) -> int | None:
        if method == "transform":
            return self.model.n_components_
        if method == "reconstruct":
            return self.model.n_features_in_
        return None

    def compare(self, path: Path, estimator: Any, rows: Any, given: Any) -> None:
        """Raise where the file gives something else than the estimator."""
        runtime = import_onnx("onnxruntime")
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        if hasattr(rows, "columns"):
            feeds = {
                name: rows[name].to_numpy()[:, None] for name in map(str, rows.columns)
            }
            dtype = np.dtype(np.float32)
        else:
            feeds, dtype = {"X": rows}, rows.dtype
        feeds.update(self.y or {})
        answer = session.run(None, feeds)[0]
        expected = self._expected(estimator, given)
        answer = np.asarray(answer).reshape(expected.shape)
        if expected.dtype.kind not in "f":
            if not np.array_equal(answer, expected):
                raise OnnxMismatchError(
                    f"{np.mean(answer != expected):.2%} of the file's answers are not "
                    "those of the estimator."
                )
            return
        difference = np.abs(answer - expected).max()
        spread = np.std(expected.reshape(len(expected), -1), axis=0).max() or 1.0
        tolerance = self._tolerance(dtype)
        scale = max(spread, 1e-3 * np.abs(expected).max())
        typical = np.median(np.abs(answer - expected))
        if not (difference <= self._most(tolerance) * scale) or not (
            typical <= tolerance * scale
        ):
            raise OnnxMismatchError(
                f"The file's answers differ from those of the estimator by up to "
                f"{difference:.3g}, where the rows' spread is {spread:.3g} and "
                f"{tolerance:g} of it is allowed. It was not written."
            )

    def _most(self, tolerance: float) -> float:
        has_steps = self.refined is not None and self.method != "inverse_transform"
        return max(tolerance, _TOLERANCE_OF_STEPS) if has_steps else tolerance

    def _tolerance(self, dtype: np.dtype) -> float:
        modules = self.model.module_.modules()
        is_single = any(isinstance(m, ConvolutionalNetwork) for m in modules)
        return _TOLERANCE[np.dtype(np.float32) if is_single else dtype]

    def _expected(self, estimator: Any, rows: Any) -> np.ndarray:
        # In double precision, of which the file's answers are rounded.
        is_array = isinstance(rows, np.ndarray)
        given = [rows.astype(np.float64) if is_array else rows]
        if self.conditions is not None:
            given.append(self._given_y)
        before = self.model._inference
        arguments = {}
        is_density = isinstance(self.model.module_, VariationalAutoencoder)
        if self.method == "score_samples" and is_density and estimator is self.model:
            arguments["n_samples"] = self.n_samples
        try:
            self.model._inference = _inference_of(before, self.refined)
            return np.asarray(getattr(estimator, self.method)(*given, **arguments))
        finally:
            self.model._inference = before


def _inference_of(before: Any, refined: Refined | None) -> Any:
    return Encoded() if refined is None else refined


def _steps_of(estimator: Any) -> list:
    """The estimator, or the steps of a Pipeline, one of which is the package's."""
    steps = [estimator]
    if isinstance(estimator, Pipeline):
        steps = [s for _, s in estimator.steps if s not in (None, "passthrough")]
    n_own = sum(isinstance(step, BaseEncoderDecoder) for step in steps)
    if n_own != 1:
        raise TypeError(
            "to_onnx takes a fitted estimator of sklearn_ae for tables, or a Pipeline "
            f"with one of them as a step; got {estimator!r}."
        )
    return steps


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


def _refined(model: BaseEncoderDecoder, inference: str) -> Refined | None:
    """The projection that is to be written, or None for the encoder."""
    known = model._inference
    if inference == "encoder" or (
        inference == "auto" and not isinstance(known, Refined)
    ):
        return None
    if not isinstance(known, Refined):
        raise ValueError(
            'inference="refined" can be written where the estimator was fitted with it;'
            f" {type(model).__name__} has the encoder's latents."
        )
    decoder = model.module_.decoder
    dense = decoder.network if isinstance(decoder, Anchored) else decoder
    if isinstance(dense, MLP):
        return known
    if inference == "refined":
        raise ValueError(
            'inference="refined" can be written of the package\'s dense networks; the '
            f'decoder is {type(dense).__name__}. Use inference="encoder".'
        )
    warn(
        "The projection through this decoder cannot be written to ONNX: the file has "
        'the latents of the encoder, as with inference="encoder".',
        UserWarning,
    )
    return None


def _columns_of(y: Any) -> dict[str, np.ndarray]:
    """Conditions as inputs: columns (n, 1) of numbers or words."""
    if hasattr(y, "iloc") and np.ndim(y) == 2:
        columns = [np.asarray(y[name]) for name in y.columns]
    else:
        table = np.asarray(y)
        columns = list(table.reshape(len(table), -1).T)
    names = ["y"] if np.ndim(y) == 1 else [f"y{i}" for i in range(len(columns))]
    words = [
        column.astype(str).astype(object) if column.dtype.kind in "OU" else column
        for column in columns
    ]
    return {name: column[:, None] for name, column in zip(names, words, strict=True)}


def _tensor_type(known: Any, rows: np.ndarray) -> Any:
    is_double = rows.dtype == np.float64
    kind = known.DoubleTensorType if is_double else known.FloatTensorType
    return kind([None, rows.shape[1]])


def _without_zipmap(pipeline: Pipeline) -> dict:
    """Probabilities of a classifier as an array."""
    last = pipeline.steps[-1][1]
    return {id(last): {"zipmap": False}} if hasattr(last, "predict_proba") else {}


def _proto(
    graph: Graph,
    inputs: list[tuple[str, np.dtype, int]],
    output: Value,
    dtype: np.dtype,
    shape: list,
) -> Any:
    """A model of the graph's nodes, with the number of rows left open."""
    helper = graph.onnx.helper
    graph.name_output(output, "output")
    to_type = helper.np_dtype_to_tensor_dtype
    of_inputs = [
        helper.make_tensor_value_info(name, to_type(np.dtype(kind)), ["n", width])
        for name, kind, width in inputs
    ]
    of_output = helper.make_tensor_value_info("output", to_type(dtype), shape)
    made = helper.make_graph(
        graph.nodes, "sklearn_ae", of_inputs, [of_output], graph.constants
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(made, opset_imports=opsets, ir_version=_IR_VERSION)


def _describe(
    proto: Any,
    estimator: Any,
    model: BaseEncoderDecoder,
    method: str,
    refined: Refined | None,
) -> None:
    proto.producer_name, proto.producer_version = "sklearn_ae", __version__
    names = getattr(estimator, "feature_names_in_", None)
    entries = {
        "sklearn_ae": __version__,
        "estimator": type(model).__name__,
        "method": method,
        "inference": "encoder" if refined is None else "refined",
        "columns": json.dumps(None if names is None else [str(n) for n in names]),
        "latents": json.dumps(model.get_feature_names_out().tolist()),
    }
    if refined is not None:
        entries["n_steps"] = str(refined.n_steps)
    import_onnx().helper.set_model_props(proto, entries)
