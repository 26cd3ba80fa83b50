"""A graph of ONNX's operators, written as one writes arithmetic.

Values are handles with numpy's operators; every operation adds a node. Shapes in
comments are those of the values: n rows, which the file leaves open.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._utils.extras import import_extra

END = 2**31 - 1  # of a slice that goes to the end
# Versions of ONNX's operators, and of those for machine learning.
OPSETS = {"": 19, "ai.onnx.ml": 3}
Number = float | int | np.ndarray


def import_onnx(module: str = "onnx") -> Any:
    return import_extra(module, "onnx", "Export to ONNX")


class Value:
    """A value of a graph: what a node gives."""

    __array_ufunc__ = None  # arrays leave arithmetic with it to it

    def __init__(self, graph: "Graph", name: str):
        self.graph = graph
        self.name = name

    def __add__(self, other: "Value | Number") -> "Value":
        return self.graph.add("Add", self, other)

    __radd__ = __add__

    def __mul__(self, other: "Value | Number") -> "Value":
        return self.graph.add("Mul", self, other)

    __rmul__ = __mul__

    def __sub__(self, other: "Value | Number") -> "Value":
        return self.graph.add("Sub", self, other)

    def __rsub__(self, other: Number) -> "Value":
        return self.graph.add("Sub", other, self)

    def __truediv__(self, other: "Value | Number") -> "Value":
        return self.graph.add("Div", self, other)

    def __rtruediv__(self, other: Number) -> "Value":
        return self.graph.add("Div", other, self)

    def __neg__(self) -> "Value":
        return self.graph.add("Neg", self)

    def __matmul__(self, other: "Value | np.ndarray") -> "Value":
        return self.graph.add("MatMul", self, other)

    def __le__(self, other: Any) -> "Value":
        return self.graph.add("LessOrEqual", self, other)

    def __lt__(self, other: Any) -> "Value":
        return self.graph.add("Less", self, other)

    def __ge__(self, other: Any) -> "Value":
        return self.graph.add("GreaterOrEqual", self, other)

    def __gt__(self, other: Any) -> "Value":
        return self.graph.add("Greater", self, other)

    def __and__(self, other: "Value") -> "Value":
        return self.graph.add("And", self, other)

    def of(self, op: str, *others: "Value | Number", **attributes: Any) -> "Value":
        """A function of this value, by its operator's name."""
        return self.graph.add(op, self, *others, **attributes)

    def sum(self, *axes: int, keepdims: bool = False) -> "Value":
        return self._reduced("ReduceSum", axes, keepdims)

    def mean(self, *axes: int, keepdims: bool = False) -> "Value":
        return self._reduced("ReduceMean", axes, keepdims)

    def _reduced(self, op: str, axes: Sequence[int], keepdims: bool) -> "Value":
        return self.graph.add(op, self, integers(*axes), keepdims=int(keepdims))

    def unsqueeze(self, *axes: int) -> "Value":
        return self.graph.add("Unsqueeze", self, integers(*axes))

    def squeeze(self, *axes: int) -> "Value":
        return self.graph.add("Squeeze", self, integers(*axes))

    def reshape(self, *shape: int) -> "Value":
        return self.graph.add("Reshape", self, integers(*shape))

    def transpose(self, *axes: int) -> "Value":
        return self.graph.add("Transpose", self, perm=list(axes))

    def slice(self, start: int, stop: int, axis: int = -1) -> "Value":
        bounds = integers(start), integers(stop), integers(axis)
        return self.graph.add("Slice", self, *bounds)

    def square(self) -> "Value":
        return self * self

    def is_finite(self) -> "Value":
        return self.of("Abs") < np.finfo(self.graph.dtype).max


class Graph:
    """Nodes and constants on their way to a file.

    Parameters
    ----------
    dtype : dtype
        Of numbers that are not told otherwise.

    prefix : str
        What names begin with.
    """

    def __init__(self, dtype: np.dtype, prefix: str = ""):
        self.dtype = np.dtype(dtype)
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._n_names = 0
        self._known: dict[Any, str] = {}
        self._outer: Graph | None = None
        self.onnx = import_onnx()

    def value(self, name: str) -> Value:
        """What has that name in the graph around."""
        return Value(self, name)

    def new_name(self) -> str:
        if self._outer is not None:
            return self._outer.new_name()
        self._n_names += 1
        return f"{self.prefix}v{self._n_names}"

    def add(self, op: str, *inputs: "Value | Number", **attributes: Any) -> Value:
        """A node with one output."""
        return self._add(op, 1, *inputs, **attributes)[0]

    def _add(
        self, op: str, n_outputs: int, *inputs: "Value | Number", **attributes: Any
    ) -> list[Value]:
        outputs = [self.new_name() for _ in range(n_outputs)]
        names = [self._name_of(value) for value in inputs]
        make = self.onnx.helper.make_node
        self.nodes.append(make(op, names, outputs, outputs[0], **attributes))
        return [Value(self, name) for name in outputs]

    def constant(self, array: Any, dtype: np.dtype | None = None) -> Value:
        """Numbers that are in the file; once, however often they are asked for."""
        if self._outer is not None:
            return Value(self, self._outer.constant(array, dtype or self.dtype).name)
        array = np.asarray(array)
        if array.dtype.kind == "f":
            array = array.astype(dtype or self.dtype)
        content = array.tobytes() if array.dtype != object else str(array.tolist())
        key = array.dtype.str, array.shape, content
        if key not in self._known:
            name = self._known[key] = self.new_name()
            self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return Value(self, self._known[key])

    def _name_of(self, value: "Value | Number") -> str:
        if isinstance(value, Value):
            return value.name
        array = np.asarray(value)
        is_number = array.dtype.kind == "i" and array.ndim == 0
        return self.constant(array.astype(self.dtype) if is_number else array).name

    def type_of(self, dtype: np.dtype) -> int:
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def cast(self, value: Value, dtype: np.dtype) -> Value:
        return self.add("Cast", value, to=self.type_of(dtype))

    def split(self, value: Value, sizes: Sequence[int], axis: int) -> list[Value]:
        """Parts of a value, one behind the other."""
        return self._add("Split", len(sizes), value, integers(*sizes), axis=axis)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        return self.add("Concat", *values, axis=axis)

    def top(self, value: Value, n: int) -> Value:
        """Places of the n least of each row, the least first."""
        return self._add("TopK", 2, value, integers(n), largest=0)[1]

    def where(
        self, condition: Value, yes: "Value | Number", no: "Value | Number"
    ) -> Value:
        return self.add("Where", condition, yes, no)

    def zeros_like(self, value: Value) -> Value:
        return value * 0.0

    def name_output(self, value: Value, name: str) -> None:
        """Let a value be known by a name of the file's."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value.name], [name]))

    def loop(
        self,
        n_steps: int,
        start: Sequence[Value],
        step: Callable[[Sequence[Value]], tuple[Sequence[Value], Value]],
    ) -> list[Value]:
        """At most so many steps from a state to the next; the last state.

        A step also says whether there is to be another.
        """
        inner, number, goes_on = self._inner()
        states = [Value(inner, self.new_name()) for _ in start]
        ends, is_left = step(states)
        kind = self.type_of(self.dtype)
        info = self.onnx.helper.make_tensor_value_info
        parts = [info(state.name, kind, None) for state in states]
        results = [info(end.name, kind, None) for end in ends]
        body = inner._body(number, goes_on, parts, is_left, results)
        steps = self.constant(np.asarray(n_steps, dtype=np.int64))
        return self._add("Loop", len(start), steps, True, *start, body=body)

    def in_blocks(
        self, x: Value, n_block: int, width: int, function: Callable[[Value], Value]
    ) -> Value:
        """A function of rows (n, .) that gives (n, width), so many rows at a time.

        What is between then stays small, and in the processor's caches. The last block
        has as many rows as the others, some of which are done twice.
        """
        n = x.of("Shape", start=0, end=1)
        size = n.of("Min", integers(n_block))
        count = (n + size - integers(1)) / size
        inner, number, goes_on = self._inner()
        first = inner.value(number) * size
        first = first.of("Min", inner.value(n.name) - size)
        rows = inner.add("Slice", x, first, first + size, integers(0))
        output = function(rows)
        still = inner.add("Identity", inner.value(goes_on))
        info = self.onnx.helper.make_tensor_value_info
        result = info(output.name, self.type_of(self.dtype), None)
        body = inner._body(number, goes_on, [], still, [result])
        blocks = self.add("Loop", count.squeeze(0), True, body=body)
        flat, n_whole = blocks.reshape(-1, width), (count - integers(1)) * size
        total = count * size
        whole = flat.of("Slice", integers(0), n_whole, integers(0))
        last = flat.of("Slice", total - n + n_whole, total, integers(0))
        return self.concat([whole, last], axis=0)

    def _inner(self) -> tuple["Graph", str, str]:
        """The graph of a loop's body, and what its number and condition are called."""
        inner = Graph(self.dtype, self.prefix)
        inner._outer = self
        return inner, self.new_name(), self.new_name()

    def _body(
        self,
        number: str,
        goes_on: str,
        parts: Sequence[Any],
        still: Value,
        results: Sequence[Any],
    ) -> Any:
        info, proto = self.onnx.helper.make_tensor_value_info, self.onnx.TensorProto
        return self.onnx.helper.make_graph(
            self.nodes,
            self.new_name(),
            [info(number, proto.INT64, []), info(goes_on, proto.BOOL, []), *parts],
            [info(still.name, proto.BOOL, []), *results],
        )


def integers(*numbers: int) -> np.ndarray:
    return np.asarray(numbers, dtype=np.int64)
