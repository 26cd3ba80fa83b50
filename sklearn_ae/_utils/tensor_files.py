"""Arrays in one file with text beside them: the format of safetensors.

https://github.com/huggingface/safetensors: the length of a header, the header as JSON,
the arrays' bytes. Written here, because the bytes are to be the same in every process,
and read here, because nothing in a file is to be believed: what a header promises is
compared with the file's size before any memory is taken, and a digest shows changes.
"""

import hashlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

_DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_ALIGNMENT = 8
_METADATA, _DIGEST = "__metadata__", "sha256"
_LARGEST_HEADER = 100_000_000  # that of the format's own readers
PART = ".part"  # how names of unfinished files end


class TensorFileError(ValueError):
    """A file is not what it should be."""


def can_hold(array: np.ndarray) -> bool:
    return array.dtype.newbyteorder("<") in _NAMES


def write_tensor_file(
    path: str | os.PathLike, arrays: dict[str, np.ndarray], text: str
) -> None:
    """Write arrays and a text, whole or not at all; an earlier file is replaced."""
    blobs: dict[str, bytes] = {}
    header: dict[str, Any] = {}
    start = 0
    # Wider numbers first: each array then starts where its numbers may.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    for name in order:
        array = arrays[name]
        dtype = array.dtype.newbyteorder("<")
        blobs[name] = array.astype(dtype, copy=False).tobytes()
        stop = start + len(blobs[name])
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [start, stop],
        }
        start = stop
    digest = _digest(text, header, blobs.values())
    header = {_METADATA: {"sklearn_ae": text, _DIGEST: digest}, **header}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    if len(encoded) > _LARGEST_HEADER:
        raise ValueError(
            f"What stands beside the arrays takes {len(encoded)} bytes; a file can "
            f"hold {_LARGEST_HEADER}."
        )
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(PART, f"{path.name}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(len(encoded).to_bytes(8, "little"))
            file.write(encoded)
            for blob in blobs.values():
                file.write(blob)
            file.flush()
            os.fsync(file.fileno())  # before a name may say that it is whole
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_tensor_file(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], str]:
    """The arrays and the text of a file that `write_tensor_file` wrote."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        n_header = int.from_bytes(file.read(8), "little")
        if size < 8 or n_header > min(size - 8, _LARGEST_HEADER):
            raise TensorFileError("it is no safetensors file, or it is cut off")
        try:
            header = json.loads(file.read(n_header))
            metadata = header.pop(_METADATA)
            text, digest = metadata["sklearn_ae"], metadata[_DIGEST]
        except (ValueError, RecursionError, TypeError, AttributeError) as error:
            raise TensorFileError("it is no safetensors file") from error
        except KeyError as error:
            raise TensorFileError("it is a safetensors file of another kind") from error
        data = file.read()
    arrays: dict[str, np.ndarray] = {}
    expected = 0
    for name, entry in header.items():
        dtype, shape, start, stop = _checked(name, entry)
        n_bytes = math.prod(shape) * dtype.itemsize
        if start != expected or stop != start + n_bytes or stop > len(data):
            raise TensorFileError(f"the array {name!r} does not fit into it")
        array = np.frombuffer(data, dtype, math.prod(shape), start)
        arrays[name] = array.reshape(shape).astype(dtype.newbyteorder("="))
        expected = stop
    if expected != len(data):
        raise TensorFileError("it has bytes that belong to no array")
    blobs = (data[start:stop] for start, stop in _spans(header))
    if not isinstance(text, str) or digest != _digest(text, header, blobs):
        raise TensorFileError("its bytes were changed after it was written")
    return arrays, text


def _checked(name: str, entry: Any) -> tuple[np.dtype, list[int], int, int]:
    try:
        dtype = _DTYPES[entry["dtype"]]
        shape, (start, stop) = entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise TensorFileError(f"the array {name!r} has no shape or type") from error
    numbers = [*shape, start, stop] if isinstance(shape, list) else [None]
    if any(type(number) is not int or number < 0 for number in numbers):
        raise TensorFileError(f"the array {name!r} has a shape that is none")
    if len(shape) > 32:
        raise TensorFileError(f"the array {name!r} has {len(shape)} axes")
    return dtype, shape, start, stop


def _spans(header: dict[str, Any]) -> list[tuple[int, int]]:
    return [tuple(entry["data_offsets"]) for entry in header.values()]


def _digest(text: str, header: dict[str, Any], blobs: Any) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    digest.update(json.dumps(header, separators=(",", ":")).encode())
    for blob in blobs:
        digest.update(blob)
    return digest.hexdigest()


def _umask() -> int:
    """Which rights new files are not given; there is no way to ask without setting."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
