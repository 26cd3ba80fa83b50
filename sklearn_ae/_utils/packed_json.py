"""Packed values as JSON, with arrays beside it, and back."""

import math
from typing import Any

import numpy as np

from .packing import KIND
from .tensor_files import TensorFileError, can_hold

# What `Packer` lays between a module and its tensors, and names leave out.
_BETWEEN = {"fields", "children", "parameters", "buffers", "array", "plain"}


def leave(value: Any) -> dict[str, Any]:
    """What stands for a value that a file cannot hold."""
    return {KIND: "left", "type": type(value).__name__}


class Encoder:
    """Packed values as JSON, with arrays beside it under the names of their places."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays = arrays

    def encode(self, value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            kind = "array" if isinstance(value, np.ndarray) else "number"
            return {KIND: kind, **self._encode_array(np.asarray(value), place)}
        if isinstance(value, float) and not math.isfinite(value):
            return {KIND: "float", "value": repr(value)}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list):
            return [self.encode(v, (*place, str(i))) for i, v in enumerate(value)]
        if isinstance(value, tuple):
            items = self.encode(list(value), place)
            return {KIND: "tuple", "items": items}
        if isinstance(value, dict):
            if all(isinstance(key, str) for key in value):
                return {
                    key: self.encode(item, (*place, key)) for key, item in value.items()
                }
            pairs = [[key, item] for key, item in value.items()]
            return {KIND: "dict", "items": self.encode(pairs, place)}
        return leave(value)

    def _encode_array(self, array: np.ndarray, place: tuple[str, ...]) -> Any:
        if array.dtype.kind in "mM":  # times
            numbers = self._encode_array(array.view("i8"), place)
            return {**numbers, "of": str(array.dtype)}
        if can_hold(array):
            name = self._free_name(place)
            self.arrays[name] = array
            return {"name": name}
        if array.dtype.kind not in "OUT":
            raise ValueError(f"A file cannot hold arrays of {array.dtype}.")
        items = self.encode(array.ravel().tolist(), place)
        dtype = "object" if array.dtype.kind in "OT" else str(array.dtype)
        return {"items": items, "dtype": dtype, "shape": list(array.shape)}

    def _free_name(self, place: tuple[str, ...]) -> str:
        parts = [part for part in place if part not in _BETWEEN]
        # A tensor's pair of values and whether it learns adds a number.
        if len(place) > 2 and place[-1] == "array" and place[-2] == "0":
            parts = parts[:-1]
        name = ".".join(parts)
        n_known = 1
        while name in self.arrays or not name:
            n_known += 1
            name = ".".join([*parts, str(n_known)])
        return name


def decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Packed values, from JSON and arrays."""
    if isinstance(value, list):
        return [decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    if kind in ("array", "number"):
        array = _decode_array(value, arrays)
        return array if kind == "array" else array[()]
    if kind == "float":
        return float(value["value"])
    if kind == "tuple":
        return tuple(decode(value["items"], arrays))
    if kind == "dict":
        return dict(decode(value["items"], arrays))
    return {key: decode(item, arrays) for key, item in value.items()}


def _decode_array(value: dict[str, Any], arrays: dict[str, np.ndarray]) -> np.ndarray:
    if "name" in value:
        array = arrays[value["name"]]
        return array.view(value["of"]) if "of" in value else array
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in "OU":
        raise TensorFileError(f"words cannot be of {dtype}")
    items = decode(value["items"], arrays)
    array = np.empty(len(items), dtype=dtype)
    array[:] = items
    return array.reshape(value["shape"])
