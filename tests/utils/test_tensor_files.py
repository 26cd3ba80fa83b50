"""Files of arrays, and what is done about those that are not what they should be."""

import json
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_ae._utils.tensor_files import (
    TensorFileError,
    can_hold,
    read_tensor_file,
    write_tensor_file,
)

ARRAYS = {
    "a": np.arange(6.0).reshape(2, 3).T,
    "b": np.array([True, False]),
    "c": np.zeros((0, 3), dtype=np.float32),
    "d": np.array(3, dtype=np.int16),
}


@pytest.fixture
def path(tmp_path):
    write_tensor_file(tmp_path / "file", ARRAYS, "text")
    return tmp_path / "file"


def rewritten(path, change):
    """The file with its header changed."""
    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    change(header)
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data[8 + n :])


def test_arrays_and_text_come_back(path):
    arrays, text = read_tensor_file(path)
    assert text == "text"
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        assert_array_equal(array, ARRAYS[name])


def test_safetensors_reads_it(path):
    safetensors = pytest.importorskip("safetensors.numpy")
    for name, array in safetensors.load_file(path).items():
        assert_array_equal(array, ARRAYS[name])


def test_order_does_not_matter(path, tmp_path):
    write_tensor_file(tmp_path / "other", dict(reversed(ARRAYS.items())), "text")
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


def test_words_are_not_held():
    assert can_hold(np.zeros(2))
    assert not can_hold(np.array(["a"]))


def test_failed_write_leaves_the_earlier_file(path):
    before = path.read_bytes()
    with pytest.raises(KeyError):
        write_tensor_file(path, {"a": np.array(["no number"])}, "")
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize("seed", range(10))
def test_changed_or_truncated_bytes_are_seen(path, seed):
    data = path.read_bytes()
    rng = np.random.default_rng(seed)
    for _ in range(100):
        changed = bytearray(data)
        if rng.random() < 0.5:
            del changed[rng.integers(len(data)) :]
        else:
            place = rng.integers(len(data))
            changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(TensorFileError):
            read_tensor_file(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["a"].update(shape=[2**40, 2**40]),
        lambda header: header["a"].update(data_offsets=[0, 2**60]),
        lambda header: header["a"].update(shape=[-2, -3]),
        lambda header: header["a"].update(shape=[1] * 100),
        lambda header: header["a"].update(dtype="F999"),
        lambda header: header.update(b=[]),
        lambda header: header.update(__metadata__=[]),
    ],
)
def test_header_is_not_believed(path, change):
    rewritten(path, change)
    tracemalloc.start()
    with pytest.raises(TensorFileError):
        read_tensor_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\xff" * 100, b"[" * 10**5])
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "other"
    path.write_bytes(data)
    with pytest.raises(TensorFileError):
        read_tensor_file(path)


def test_nested_header_is_refused(tmp_path):
    path = tmp_path / "other"
    path.write_bytes((10**5).to_bytes(8, "little") + b"[" * 10**5)
    with pytest.raises(TensorFileError):
        read_tensor_file(path)
