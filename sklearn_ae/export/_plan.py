"""What of a fitted estimator or a Pipeline is to be written, and its graph."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .._estimators.base import BaseEncoderDecoder
from .._inference.inference import Refined
from .._inference.placement import Placed
from .._networks.contrast import NeighborMap
from .._networks.variational import VariationalAutoencoder
from .._tables.condition_columns import ConditionColumns
from ._cells import (
    Cells,
    cells_of,
    decoded_table,
    encoded_patterns,
    encoded_table,
)
from ._column_maps import Maps
from ._conditions import ColumnsOfRows, GivenConditions
from ._graph import OPSETS, Graph, Value, import_onnx
from ._layers import to_array
from ._methods import Writer, draws_of
from ._placement import landmark_latents, placement_scores, places

_IR_VERSION = 10  # that of the operators' release
_BLOCK = 256  # rows that are refined at a time
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)

Named = tuple[str, np.dtype, int | None]  # an input or an output, and its width


class Plan:
    """What of which model is to be written.

    Parameters
    ----------
    model : BaseEncoderDecoder
        The fitted estimator.

    method : str
        What the file computes.

    inference : Refined, Placed or None
        Which latents rows are given; None is the encoder's.

    n_samples : int
        Draws for the density of a row.

    y : array-like or None
        The conditions of rows, where the model has them.

    takes_missing : bool
        Whether the file takes rows with missing cells.
    """

    def __init__(
        self,
        model: BaseEncoderDecoder,
        method: str,
        inference: Refined | Placed | None,
        n_samples: int,
        y: Any,
        takes_missing: bool,
    ):
        self.model = model
        self.method = method
        self.inference = inference
        self.n_samples = n_samples
        self.takes_missing = takes_missing
        self.kinds = model._kinds
        self.cells: list[Cells] = []
        self.maps: Maps | None = None
        if self.kinds is not None:
            # Of an array of numbers alone, one input has them all.
            is_array = self.kinds.are_mapped_numbers
            self.cells = [] if is_array else cells_of(self.kinds)
            self.maps = Maps(self.kinds) if self.kinds.has_maps else None
        self.given_y = y
        self.conditions: GivenConditions | ColumnsOfRows | None = None
        known = getattr(model, "_conditions", None)
        if isinstance(known, ConditionColumns):
            self.conditions = ColumnsOfRows(known)
        elif known is not None and y is None:
            raise ValueError(
                "The estimator is conditional: give the conditions of the rows as y."
            )
        elif known is not None:
            self.conditions = GivenConditions(known, y)

    @property
    def is_inverse(self) -> bool:
        return self.method == "inverse_transform"

    @property
    def gives_rows(self) -> bool:
        """Whether what comes out are rows such as those of `fit`."""
        return self.method in ("inverse_transform", "reconstruct")

    @property
    def takes_cells(self) -> bool:
        """Whether columns of several kinds come in."""
        return bool(self.cells) and not self.is_inverse

    @property
    def gives_cells(self) -> bool:
        """Whether columns of several kinds come out."""
        return bool(self.cells) and self.gives_rows

    @property
    def takes_conditions(self) -> bool:
        """Whether conditions come in beside rows or latents."""
        of_rows = isinstance(self.conditions, ColumnsOfRows)
        return self.conditions is not None and (self.is_inverse or not of_rows)

    @property
    def condition_cells(self) -> list[Cells]:
        """Columns that come in as conditions of rows to be."""
        if self.is_inverse and isinstance(self.conditions, ColumnsOfRows):
            return self.conditions.cells
        return []

    def _free(self, name: str) -> str:
        """The name, or one like it that no column has."""
        columns = [*self.cells, *self.condition_cells]
        while any(name == cells.name for cells in columns):
            name += "_"
        return name

    def beside(self, n_rows: int) -> dict[str, np.ndarray]:
        """What comes in beside rows or latents to compare on, by name."""
        if isinstance(self.conditions, GivenConditions):
            columns = self.conditions.columns
            return {self._free(name): column for name, column in columns.items()}
        if self.is_inverse and isinstance(self.conditions, ColumnsOfRows):
            return self.conditions.fed(self.given_y, n_rows)
        return {}

    # What the method gives ------------------------------------------------------------

    def write(self, graph: Graph, X: Value, beside: Value | None, method: str) -> Value:
        """What the method gives of rows of numbers, in the graph's type.

        Beside rows are conditions, where these are given apart, as numbers.
        """
        of_rows, own, conditions = self.conditions, X, beside
        if isinstance(of_rows, ColumnsOfRows):
            if method != "inverse_transform":
                own, beside = of_rows.split(X)
            assert beside is not None
            conditions = of_rows.standardized(graph, beside)
        output = self._write(graph, own, conditions, method)
        if method not in ("inverse_transform", "reconstruct"):
            return output
        if isinstance(of_rows, ColumnsOfRows):
            assert beside is not None
            output = of_rows.whole(output, beside)
        return output if self.maps is None else self.maps.decode(output)

    def _write(
        self, graph: Graph, X: Value, conditions: Value | None, method: str
    ) -> Value:
        module = self.model.module_
        writer = self._writer(graph)
        if method == "inverse_transform":
            scale = to_array(writer.module.latent_scale)
            z = graph.cast(X, graph.dtype) / scale
            return writer.restored(writer.decoded(z, conditions))
        if method == "predict":
            y = writer.predicted(writer.standardized(X, conditions))
            return y.squeeze(1) if self.is_flat(method) else y
        is_placed = isinstance(self.inference, Placed)  # by rows in their own units
        of_rows = self._write_map if is_placed else self._write_rows
        rows = (
            graph.cast(X, graph.dtype)
            if is_placed
            else writer.standardized(X, conditions)
        )
        is_density = method == "score_samples" and isinstance(
            module, VariationalAutoencoder
        )
        if self.inference is None and not is_density:
            output = of_rows(rows, method)
        else:
            width = len(module.columns.output_center)
            widths = {"transform": self.model.n_components_, "reconstruct": width}
            output = graph.in_blocks(
                rows, _BLOCK, widths.get(method, 1), partial(of_rows, method=method)
            )
        return output.squeeze(1) if method == "score_samples" else output

    def _writer(self, graph: Graph) -> Writer:
        refined = self.inference if isinstance(self.inference, Refined) else None
        return Writer(graph, self.model.module_, refined, self.takes_missing)

    def _write_rows(self, x: Value, method: str) -> Value:
        """What the method gives of standardised rows: (n, .)."""
        writer = self._writer(x.graph)
        if method == "transform":
            return writer.transform(x)
        if method == "reconstruct":
            return writer.reconstructed(x)
        if isinstance(writer.module, NeighborMap):
            return placement_scores(
                writer.module,
                writer.filled(x),
                writer.latents(x),
                landmark_latents(writer.module, None),
            )
        if isinstance(writer.module, VariationalAutoencoder):
            return writer.log_density(x, draws_of(self.model, self.n_samples))
        return writer.errors(x)

    def _write_map(self, x: Value, method: str) -> Value:
        """The same of rows in their own units, which are placed among others."""
        writer, placed = self._writer(x.graph), self.inference
        module = writer.module
        assert isinstance(module, NeighborMap)
        assert isinstance(placed, Placed)
        z = places(module, placed, x)
        if method == "transform":
            return z
        if method == "reconstruct":
            return writer.restored(writer.decoded(z, None))
        x = writer.filled(writer.standardized(x))
        return placement_scores(module, x, z, landmark_latents(module, placed))

    def graph_type(self, dtype: np.dtype) -> np.dtype:
        # Steps that are taken or not by a comparison need the digits.
        has_kinds = self.kinds is not None
        return _DOUBLE if self.inference is not None or has_kinds else dtype

    def _numbers(self, graph: Graph, inputs: Sequence[Value]) -> Value:
        """Rows of numbers (n, .), from cells (n, 1) of columns or from numbers."""
        if self.takes_cells:
            X = encoded_table(graph, self.cells, inputs)
        else:
            X = inputs[0] if len(inputs) == 1 else graph.concat(inputs, axis=1)
        if self.maps is None or self.is_inverse:
            return X
        assert self.kinds is not None  # maps are kinds of columns
        patterns = self.kinds.patterns
        parts = [self.maps.encode(graph.cast(X, graph.dtype))]
        if patterns is not None and self.takes_cells:
            pairs = zip(self.cells, inputs, strict=True)
            flags = [cells.is_missing(value) for cells, value in pairs]
            missing = graph.cast(graph.concat(flags, axis=1), graph.dtype)
            parts.append(encoded_patterns(patterns, missing))
        elif patterns is not None:
            missing = graph.cast(X.of("IsNaN"), graph.dtype)
            parts.append(encoded_patterns(patterns, missing))
        return graph.concat(parts, axis=1)

    # Files ----------------------------------------------------------------------------

    def model_alone(self, dtype: np.dtype, n_columns: int) -> Any:
        """A file of the estimator alone, for numbers (n, n_columns) or for cells."""
        graph = Graph(self.graph_type(dtype), "sklearn_ae_")
        name = self._free("X")
        inputs: list[Named] = [(name, dtype, n_columns)]
        if self.takes_cells:
            inputs = [(cells.name, cells.dtype, 1) for cells in self.cells]
        X = self._numbers(graph, [graph.value(name) for name, *_ in inputs])
        beside = None
        if isinstance(self.conditions, GivenConditions):
            columns = self.beside(n_columns)
            inputs += [(name, column.dtype, 1) for name, column in columns.items()]
            beside = self.conditions.encoded(graph, [*map(graph.value, columns)])
        elif isinstance(self.conditions, ColumnsOfRows) and self.is_inverse:
            known = self.conditions.cells
            inputs += [(cells.name, cells.dtype, 1) for cells in known]
            values = [graph.value(cells.name) for cells in known]
            beside = self.conditions.numbers(graph, values)
        output = self.write(graph, X, beside, self.method)
        if self.gives_cells:
            assert self.kinds is not None
            table = decoded_table(graph, self.cells, self.kinds, output)
            outputs: list[Named] = []
            taken = {name for name, *_ in inputs}
            for cells, value in table:
                name = cells.name
                name = self._free(f"{name}_out") if name in taken else name
                graph.name_output(value, name)
                outputs.append((name, cells.output_dtype, 1))
            return _proto(graph, inputs, outputs)
        name = self._free("output")
        graph.name_output(graph.cast(output, dtype), name)
        width = 0 if self.is_flat(self.method) else None
        return _proto(graph, inputs, [(name, dtype, width)])

    def model_of_inverse(
        self, steps: Sequence[Any], dtype: np.dtype, n_columns: int
    ) -> Any:
        """A file of the way back through a Pipeline, whose steps are affine."""
        n_given = n_columns
        graph = Graph(_DOUBLE)
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
        graph.name_output(graph.cast(value, dtype), "output")
        return _proto(graph, [("X", dtype, n_given)], [("output", dtype, None)])

    def model_of_pipeline(self, pipeline: Any, rows: Any) -> Any:
        """A file of a Pipeline by skl2onnx, with a converter for the model."""
        skl2onnx = import_onnx("skl2onnx")
        known = import_onnx("skl2onnx.common.data_types")
        plan = self
        is_last = pipeline.steps[-1][1] is self.model
        method = self.method if is_last else "transform"

        def type_of(operator: Any) -> Any:
            is_double = plan.takes_cells or isinstance(
                operator.inputs[0].type, known.DoubleTensorType
            )
            return known.DoubleTensorType if is_double else known.FloatTensorType

        def find_shapes(operator: Any) -> None:
            widths = [] if plan.is_flat(method) else [plan._width(method)]
            operator.outputs[0].type = type_of(operator)([None, *widths])

        def convert(scope: Any, operator: Any, container: Any) -> None:
            is_double = type_of(operator) is known.DoubleTensorType
            dtype = _DOUBLE if is_double else _SINGLE
            prefix = scope.get_unique_operator_name("sklearn_ae") + "_"
            graph = Graph(plan.graph_type(dtype), prefix)
            inputs = [graph.value(part.full_name) for part in operator.inputs]
            X = plan._numbers(graph, inputs)
            output = graph.cast(plan.write(graph, X, None, method), dtype)
            graph.name_output(output, operator.outputs[0].full_name)
            container.nodes.extend(graph.nodes)
            container.initializers.extend(graph.constants)
            container.node_domain_version_pair_sets.update(OPSETS.items())

        cls = type(self.model)
        skl2onnx.update_registered_converter(
            cls, f"SklearnAe{cls.__name__}", find_shapes, convert, overwrite=True
        )
        types = None
        if self.takes_cells:
            types = [(c.name, _type_of(known, c.dtype, 1)) for c in self.cells]
        elif not hasattr(rows, "columns"):
            types = [("X", _type_of(known, rows.dtype, rows.shape[1]))]
        return skl2onnx.to_onnx(
            pipeline,
            rows[:1] if types is None else None,
            initial_types=types,
            target_opset=dict(OPSETS),
            options=_without_zipmap(pipeline),
        )

    def is_flat(self, method: str) -> bool:
        """Whether a method gives one number for each row."""
        has_one_target = getattr(self.model, "_is_flat", False)
        return method == "score_samples" or (method == "predict" and has_one_target)

    def _width(self, method: str) -> int | None:
        if method == "transform":
            return self.model.n_components_
        if method == "reconstruct":
            return self.model.n_features_in_
        return None


def _type_of(known: Any, dtype: np.dtype, width: int) -> Any:
    """The type of an input (n, width), as skl2onnx has it."""
    types = {
        "object": known.StringTensorType,
        "int64": known.Int64TensorType,
        "float64": known.DoubleTensorType,
        "float32": known.FloatTensorType,
    }
    return types[dtype.name]([None, width])


def _without_zipmap(pipeline: Any) -> dict:
    """Probabilities of a classifier as an array."""
    last = pipeline.steps[-1][1]
    return {id(last): {"zipmap": False}} if hasattr(last, "predict_proba") else {}


def _proto(graph: Graph, inputs: Sequence[Named], outputs: Sequence[Named]) -> Any:
    """A model of the graph's nodes, with the number of rows left open.

    A width of 0 is that of one number for each row, None one that is left open.
    """
    helper = graph.onnx.helper

    def infos(parts: Sequence[Named]) -> list[Any]:
        return [
            helper.make_tensor_value_info(
                name, graph.type_of(kind), ["n", width][: 1 if width == 0 else 2]
            )
            for name, kind, width in parts
        ]

    made = helper.make_graph(
        graph.nodes, "sklearn_ae", infos(inputs), infos(outputs), graph.constants
    )
    opsets = [helper.make_opsetid(*pair) for pair in OPSETS.items()]
    return helper.make_model(made, opset_imports=opsets, ir_version=_IR_VERSION)
