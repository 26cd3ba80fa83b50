"""Fitted state as arrays and plain values, and back.

What estimators hold is packed by one rule: numbers, words and arrays stay; tensors
become arrays; an object of a class of this package becomes its name with its
attributes; a torch module becomes its name with its attributes, tensors and children.
A new class needs nothing for it but to be defined in a private file of the package.

A packed thing is a dict that says by the key `KIND` what it is. The same content gives
the same bytes, in every process, and on the way back no constructor of ours runs.
"""

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .extras import import_extra

KIND = "__sklearn_ae__"

_PACKAGE = __name__.partition(".")[0]
# Files whose classes may be named: private ones, and those of private rooms.
_PRIVATE = re.compile(r"(_\w+\.\w+|\w+\._\w+)\.\w+")
_LAYER = "torch.nn."
_CONTAINERS = (nn.Sequential, nn.ModuleList)
# Layers that are made again from their arguments are those of these files of torch's:
# what an argument says does not decide how many tensors or steps there are.
_LAYER_FILES = frozenset(
    f"torch.nn.modules.{name}"
    for name in (
        "activation",
        "batchnorm",
        "container",
        "conv",
        "dropout",
        "flatten",
        "instancenorm",
        "linear",
        "normalization",
        "padding",
        "pixelshuffle",
        "pooling",
        "upsampling",
    )
)
# What torch itself keeps of every module.
_OF_TORCH = frozenset(vars(nn.Module()))
_LARGE = 2**16  # values of a tensor
_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)


@dataclass(frozen=True)
class Converter:
    """How objects of another library's class become plain, and come back."""

    cls: type
    to_plain: Callable[[Any], Any]
    from_plain: Callable[[Any], Any]


CONVERTERS: dict[str, Converter] = {}


class Packer:
    """Packs values; those it cannot pack it leaves, or hands to a function.

    Parameters
    ----------
    leave : callable or None
        Takes what cannot be packed, and gives what stands for it. None keeps it, for
        pickle to see to.
    """

    def __init__(self, leave: Callable[[Any], Any] | None = None):
        self._keeps = leave is None
        self._leave = leave or (lambda left: left)
        # A module that is in two places is packed once; values are kept alive, so that
        # their numbers stay theirs.
        self._modules: dict[int, tuple[nn.Module, Any]] = {}

    def pack(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, np.ndarray):
            # In their order: slices have strides that a copy of theirs has not.
            return np.asarray(value, order="C").view(np.ndarray)
        if isinstance(value, Tensor):
            return _pack_tensor(value)
        if isinstance(value, nn.Module):
            return self._once(value)
        if isinstance(value, torch.device | torch.dtype):
            kind = "device" if isinstance(value, torch.device) else "dtype"
            return {KIND: kind, "name": str(value)}
        for kind, converter in CONVERTERS.items():
            if type(value) is converter.cls:
                plain = converter.to_plain(value)
                return {KIND: kind, "plain": self.pack(plain)}
        if type(value) in (list, tuple):
            return type(value)(self.pack(item) for item in value)
        if type(value) is dict:
            return {key: self.pack(item) for key, item in value.items()}
        if _is_private(type(value)):
            fields = {name: self.pack(item) for name, item in vars(value).items()}
            return {KIND: "object", "class": _name_of(type(value)), "fields": fields}
        packed = _pack_frame(value)
        return self._leave(value) if packed is None else self.pack(packed)

    def _once(self, module: nn.Module) -> Any:
        known = self._modules.get(id(module))
        if known is None:
            known = self._modules[id(module)] = (module, self._pack_module(module))
        return known[1]

    def _pack_module(self, module: nn.Module) -> Any:
        cls = type(module)
        own = {n: v for n, v in vars(module).items() if n not in _OF_TORCH}
        name = _name_of(cls) if _is_private(cls) else _layer_name(module)
        if name is None and self._keeps and _has_own_pickle(module):
            return module
        if name is None:
            # The user's: with the class itself where this can be kept.
            name = self._leave(cls)
            fields = {field: self.pack(item) for field, item in own.items()}
        elif name.startswith(_LAYER):
            fields = _arguments(module) or {}
        else:
            fields = {field: self.pack(item) for field, item in own.items()}
        return {
            KIND: "module",
            "class": name,
            "fields": fields,
            "training": module.training,
            "parameters": {
                key: None if p is None else (_pack_tensor(p), p.requires_grad)
                for key, p in module._parameters.items()
            },
            "buffers": {
                key: None if b is None else _pack_tensor(b)
                for key, b in module._buffers.items()
            },
            "volatile": sorted(module._non_persistent_buffers_set),
            "children": {
                key: None if child is None else self._once(child)
                for key, child in module._modules.items()
            },
        }


def pack(value: Any) -> Any:
    """The value as plain as it can be; what is of others' classes stays as it is."""
    return Packer().pack(value)


class Unpacker:
    """Makes of packed values what they were."""

    def __init__(self) -> None:
        self._modules: dict[int, nn.Module | None] = {}

    def unpack(self, value: Any) -> Any:
        if type(value) in (list, tuple):
            return type(value)(self.unpack(item) for item in value)
        if type(value) is not dict:
            return value
        kind = value.get(KIND)
        if kind is None:
            return {key: self.unpack(item) for key, item in value.items()}
        if kind == "tensor":
            return _unpack_tensor(value)
        if kind == "device":
            return torch.device(value["name"])
        if kind == "dtype":
            return _dtype(value["name"])
        if kind in CONVERTERS:
            return CONVERTERS[kind].from_plain(self.unpack(value["plain"]))
        if kind == "left":
            return None
        if kind == "frame":
            return _unpack_frame(self.unpack(value["columns"]))
        if kind == "arrow":
            return _unpack_arrow(value["library"], self.unpack(value["schema"]))
        if kind == "object":
            cls = _class_of(value["class"])
            fields = self._fields(value["fields"])
            _check_complete(cls, fields)
            made: Any = object.__new__(cls)
            # Not by their setters: frozen dataclasses have none.
            vars(made).update(fields)
            return made
        if kind == "module":
            if id(value) not in self._modules:
                self._modules[id(value)] = self._unpack_module(value)
            return self._modules[id(value)]
        raise ValueError(f"There is no way to read {kind!r}.")

    def _fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        for name in fields:
            if not name.isidentifier() or name.startswith("__"):
                raise ValueError(f"{name!r} is no name of an attribute.")
        return {name: self.unpack(item) for name, item in fields.items()}

    def _unpack_module(self, packed: dict[str, Any]) -> nn.Module | None:
        name = self.unpack(packed["class"])
        if name is None:  # a class that could not be kept
            return None
        if isinstance(name, str) and name.startswith(_LAYER):
            module = _make_layer(name, packed["fields"])
        else:
            cls = _class_of(name) if isinstance(name, str) else name
            if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
                raise ValueError(f"{name!r} is no module.")
            module = cls.__new__(cls)
            nn.Module.__init__(module)
            fields = self._fields(packed["fields"])
            if _OF_TORCH & fields.keys():
                raise ValueError(f"{name!r} has attributes that are torch's.")
            vars(module).update(fields)
        for key, parameter in packed["parameters"].items():
            made = None
            if parameter is not None:
                tensor, requires_grad = parameter
                made = nn.Parameter(_unpack_tensor(tensor), requires_grad=requires_grad)
            module._parameters[key] = made
        for key, buffer in packed["buffers"].items():
            module._buffers[key] = None if buffer is None else _unpack_tensor(buffer)
        module._non_persistent_buffers_set = set(packed["volatile"])
        for key, child in packed["children"].items():
            module._modules[key] = None if child is None else self.unpack(child)
        module.training = packed["training"]
        return module


def _check_complete(cls: type, fields: dict[str, Any]) -> None:
    """Raise where an object was packed when its class had not all of its fields.

    Classes with an ``of_file`` understand what they were before.
    """
    if not is_dataclass(cls) or hasattr(cls, "of_file"):
        return
    needed = {f.name for f in dataclass_fields(cls) if f.default is MISSING}
    lacking = sorted(needed - fields.keys())
    if lacking:
        raise ValueError(
            f"Its {cls.__name__} has no {', '.join(lacking)}: another version of "
            "sklearn_ae has written it. Read it with that version, or fit anew."
        )


def unpack(value: Any) -> Any:
    """What `pack` was given."""
    return Unpacker().unpack(value)


# Tensors ------------------------------------------------------------------------------


def _pack_tensor(tensor: Tensor) -> dict[str, Any]:
    values = tensor.detach().cpu()
    # By its strides: where a size is 1 both orders are contiguous, and convolutions
    # go by these.
    is_images_last = (
        values.ndim == 4 and values.stride() == _images_last(values).stride()
    )
    values = values.contiguous()
    if values.dtype == torch.bfloat16:  # which numpy has not
        array = values.view(torch.int16).numpy()
    elif _are_halves(values):
        array = values.half().numpy()
    else:
        array = values.numpy()
    return {
        KIND: "tensor",
        # A copy: of tensors that go on changing, what they were.
        "array": array.copy(),
        "dtype": str(values.dtype).removeprefix("torch."),
        "channels_last": is_images_last,
    }


def _are_halves(values: Tensor) -> bool:
    """Whether a large tensor loses nothing as halves, as eigenfaces are made to."""
    if values.dtype != torch.float32 or values.numel() < _LARGE:
        return False
    return torch.equal(values.half().float(), values)


def _unpack_tensor(packed: dict[str, Any]) -> Tensor:
    tensor = torch.from_numpy(np.array(packed["array"]))
    dtype = _dtype(packed["dtype"])
    tensor = tensor.view(dtype) if dtype == torch.bfloat16 else tensor.to(dtype)
    if packed["channels_last"]:
        tensor = _images_last(tensor).copy_(tensor)
    return tensor


def _images_last(like: Tensor) -> Tensor:
    """An empty tensor of the same shape, its second axis the fastest in memory."""
    return torch.empty(like.shape, dtype=like.dtype, memory_format=torch.channels_last)


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name!r} is no dtype.")
    return dtype


# Frames without rows: the names and types of columns ----------------------------------


def _pack_frame(value: Any) -> dict[str, Any] | None:
    """A frame without rows, or None where it is anything else."""
    cls = type(value)
    library = cls.__module__.partition(".")[0]
    if cls.__name__ not in ("DataFrame", "Table") or len(value):
        return None
    if library == "pandas":
        return _pack_pandas(value)
    return _pack_arrow(value, library) if library in ("polars", "pyarrow") else None


def _pack_arrow(value: Any, library: str) -> dict[str, Any] | None:
    """Columns of pyarrow, or of polars as pyarrow has them."""
    try:
        schema = (value if library == "pyarrow" else value.to_arrow()).schema
    except ImportError:
        return None
    array = np.frombuffer(schema.serialize(), dtype=np.uint8).copy()
    if _unpack_arrow(library, array).schema != value.schema:
        return None
    return {KIND: "arrow", "library": library, "schema": array}


def _unpack_arrow(library: str, schema: np.ndarray) -> Any:
    arrow = import_extra("pyarrow", "parquet", "A model of a table of Arrow")
    buffer = arrow.py_buffer(np.ascontiguousarray(schema, dtype=np.uint8))
    table = arrow.ipc.read_schema(buffer).empty_table()
    if library != "polars":
        return table
    return importlib.import_module("polars").from_arrow(table)


def _pack_pandas(value: Any) -> dict[str, Any] | None:
    """Columns of pandas, or None where a type is not known by its name."""
    pandas = importlib.import_module("pandas")
    columns: list[tuple[Any, str, Any]] = []
    for name, dtype in zip(value.columns.tolist(), value.dtypes, strict=True):
        if str(dtype) == "category":
            levels = dtype.categories
            of_levels = levels.to_numpy(), str(levels.dtype), dtype.ordered
            columns.append((name, "category", of_levels))
        elif pandas.api.types.pandas_dtype(str(dtype)) == dtype:
            columns.append((name, str(dtype), None))
        else:
            return None
    return {KIND: "frame", "columns": columns}


def _unpack_frame(columns: list[tuple]) -> Any:
    pandas = importlib.import_module("pandas")
    series = []
    for _, name_of_type, of_levels in columns:
        dtype = name_of_type
        if of_levels is not None:
            values, type_of_levels, ordered = of_levels
            levels = pandas.Index(values, dtype=type_of_levels)
            dtype = pandas.CategoricalDtype(levels, ordered)
        series.append(pandas.Series([], dtype=dtype))
    frame = pandas.concat(series, axis=1)
    frame.columns = [name for name, _, _ in columns]
    return frame


# Classes ------------------------------------------------------------------------------


def _is_private(cls: type) -> bool:
    package, _, rest = cls.__module__.partition(".")
    is_named = _PRIVATE.fullmatch(f"{rest}.{cls.__qualname__}") is not None
    return package == _PACKAGE and is_named


def _name_of(cls: type) -> str:
    return f"{cls.__module__.partition('.')[2]}.{cls.__qualname__}"


def _class_of(name: str) -> type:
    """The class of this package that is defined where its name says."""
    if _PRIVATE.fullmatch(str(name)) is None:
        raise ValueError(f"{name!r} is no class of {_PACKAGE}.")
    module, _, cls_name = name.rpartition(".")
    try:
        cls = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), cls_name)
    except (ImportError, AttributeError):
        cls = None
    if not isinstance(cls, type) or not _is_private(cls) or _name_of(cls) != name:
        raise ValueError(f"{name!r} is no class of this version of {_PACKAGE}.")
    return cls


def _layer_name(module: nn.Module) -> str | None:
    """The name of a layer of torch's that is made again from its arguments."""
    name = type(module).__name__
    is_known = type(module).__module__ in _LAYER_FILES
    is_of_torch = getattr(nn, name, None) is type(module)
    is_plain = is_known and is_of_torch and not module._forward_hooks
    return _LAYER + name if is_plain and _arguments(module) is not None else None


def _arguments(module: nn.Module) -> dict[str, Any] | None:
    """Arguments of a layer of torch's, which it keeps under their names, or None."""
    if isinstance(module, _CONTAINERS):
        return {}
    arguments = {}
    for name in _argument_names(type(module)):
        if not hasattr(module, name):
            return None
        value = getattr(module, name)
        if name == "bias":
            value = value is not None
        if not isinstance(value, _PLAIN) and not _are_plain(value):
            return None
        arguments[name] = value
    has_more = any(child is not None for child in module._modules.values())
    return None if has_more else arguments


def _argument_names(cls: type) -> list[str]:
    parameters = inspect.signature(cls).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = (p.name for p in parameters if p.kind not in kinds)
    return [name for name in named if name not in ("device", "dtype")]


def _are_plain(value: Any) -> bool:
    is_tuple = isinstance(value, tuple) and type(value) in (tuple, torch.Size)
    return is_tuple and all(isinstance(item, _PLAIN) for item in value)


def _make_layer(name: str, arguments: dict[str, Any]) -> nn.Module:
    cls = getattr(nn, name.removeprefix(_LAYER), None)
    if not isinstance(cls, type) or cls.__module__ not in _LAYER_FILES:
        raise ValueError(f"{name!r} is no layer that can be read.")
    known = _argument_names(cls)
    if not set(arguments) <= set(known):
        raise ValueError(f"{name!r} takes {known}; got {sorted(arguments)}.")
    # Without memory, and without random numbers: its tensors come next.
    with torch.device("meta"):
        return cls(**arguments)


def _has_own_pickle(module: nn.Module) -> bool:
    """Whether a module is more than its attributes: compiled, or with hooks."""
    cls = type(module)
    of_pickle = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")
    is_made_plainly = all(
        getattr(cls, name, None) is getattr(nn.Module, name, None) for name in of_pickle
    )
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    has_hooks = any(getattr(module, name) for name in hooks)
    return has_hooks or not is_made_plainly
