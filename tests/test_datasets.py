"""MNIST and Fashion-MNIST from files or from OpenML."""

import gzip
import os
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.utils import Bunch

from sklearn_ae import datasets
from sklearn_ae.datasets import load_fashion_mnist, load_mnist, read_idx

DATA_HOME = os.environ.get(datasets.ENVIRONMENT_VARIABLE)
PIXELS = np.arange(0, 250, 10, dtype=np.uint8)[:24].reshape(4, 2, 3)
LABELS = np.array([7, 0, 255, 1], dtype=np.uint8)
TRAIN, TEST = slice(None, 3), slice(3, None)


@pytest.fixture(autouse=True)
def nothing_outside(monkeypatch):
    """Neither a folder of the environment nor the network."""

    def no_network(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.delenv(datasets.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(datasets, "fetch_openml", no_network)


def idx(array):
    """The bytes of an IDX file, by its definition."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


def write(folder, *, dot="-", compress=False, pixels=PIXELS):
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", TRAIN), ("t10k", TEST)):
        for kind, array in (("images", pixels), ("labels", LABELS)):
            name = f"{part}-{kind}{dot}idx{3 if kind == 'images' else 1}-ubyte"
            content = idx(array[rows])
            if compress:
                name, content = name + ".gz", gzip.compress(content)
            (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("array", [LABELS, PIXELS, PIXELS[:0]])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx(tmp_path, array, pack):
    (tmp_path / "file").write_bytes(pack(idx(array)))
    read = read_idx(tmp_path / "file")
    np.testing.assert_array_equal(read, array)
    assert read.shape == array.shape
    assert read.dtype == np.uint8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x1f\x8b",
        b"PK\x03\x04",
        idx(LABELS)[:-1],
        idx(LABELS) + b"\x00",
        idx(LABELS)[:6],
        bytes([0, 0, 8, 0, 5]),
        bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]),  # of floats
        gzip.compress(idx(LABELS), mtime=0)[:-9],  # the same name in every process
        b"\x1f\x8b" + bytes(100),
    ],
)
def test_files_that_are_not_idx(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="file is not a whole IDX file of bytes"):
        read_idx(tmp_path / "file")


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("compress", [True, False])
def test_splits(tmp_path, load, dot, compress):
    write(tmp_path, dot=dot, compress=compress)
    X = PIXELS.reshape(4, 6) / 255
    for split, rows in {"train": TRAIN, "test": TEST, "all": slice(None)}.items():
        read, y = load(tmp_path, split=split)
        np.testing.assert_allclose(read, X[rows], rtol=1e-7)
        np.testing.assert_array_equal(y, LABELS[rows])
        assert (read.dtype, y.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(load(tmp_path)[0], load(tmp_path, split="train")[0])
    with pytest.raises(ValueError, match="got 'valid'"):
        load(tmp_path, split="valid")


@pytest.mark.parametrize(
    ("digits", "clothes"),
    [("mnist", "fashion_mnist"), ("MNIST/raw", "FashionMNIST/raw")],
)
def test_a_folder_of_both(tmp_path, monkeypatch, digits, clothes):
    write(tmp_path / digits)
    write(tmp_path / clothes, pixels=PIXELS + 1, compress=True)
    for home in (tmp_path, None):
        np.testing.assert_allclose(load_mnist(home)[0][0, 0], 0.0)
        np.testing.assert_allclose(load_fashion_mnist(home)[0][0, 0], 1 / 255)
        monkeypatch.setenv(datasets.ENVIRONMENT_VARIABLE, str(tmp_path))
    # Which of the two sets files are does not stand in them.
    monkeypatch.setenv(datasets.ENVIRONMENT_VARIABLE, str(tmp_path / digits))
    with pytest.raises(OSError, match="Fashion-MNIST can come from"):
        load_fashion_mnist()


def test_home_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "files")
    assert load_mnist("~/files", split="all")[0].shape == (4, 6)


def test_more_images_than_labels(tmp_path):
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS))
    with pytest.raises(ValueError, match="has 1 images, but there are 4 labels"):
        load_mnist(tmp_path, split="all")


@pytest.mark.parametrize(
    ("load", "name"), [(load_mnist, "mnist_784"), (load_fashion_mnist, "Fashion-MNIST")]
)
@pytest.mark.parametrize("has_pandas", [True, False])
def test_openml(tmp_path, monkeypatch, load, name, has_pandas):
    calls = []

    def fetch_openml(*args, **kwargs):
        calls.append(Bunch(args=args, **kwargs))
        pixels = np.zeros((60_002, 2), dtype=np.int64)
        pixels[:, 0], pixels[60_000:, 1] = 255, 51
        return pixels, np.array(["1"] * 60_000 + ["2", "3"], dtype=object)

    monkeypatch.setattr(datasets, "fetch_openml", fetch_openml)
    monkeypatch.setattr(datasets, "has_extra", lambda module: has_pandas)
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()  # half of it is not enough
    X, y = load(tmp_path, split="test")
    np.testing.assert_allclose(X, [[1.0, 0.2]] * 2, rtol=1e-7)
    np.testing.assert_array_equal(y, [2, 3])
    assert (X.dtype, y.dtype) == (np.float32, np.int64)
    (call,) = calls
    assert call.args == (name,)
    assert call.version == 1
    assert call.return_X_y
    assert not call.as_frame
    assert call.parser == ("pandas" if has_pandas else "liac-arff")
    assert load(None)[0].shape == (60_000, 2)
    assert load(None, split="all")[1].shape == (60_002,)


def test_neither_files_nor_network(tmp_path):
    with pytest.raises(
        OSError, match=r"t10k-labels-idx1-ubyte.*are not in .*mnist or .*no network"
    ) as error:
        load_mnist(tmp_path, split="test")
    assert str(tmp_path) in str(error.value)
    assert "train-" not in str(error.value)
    with pytest.raises(OSError, match=r"data_home= nor SKLEARN_AE_DATA_HOME gives one"):
        load_mnist()


@pytest.mark.data
@pytest.mark.skipif(not DATA_HOME, reason="SKLEARN_AE_DATA_HOME is not set")
@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist])
def test_the_real_files(load):
    for split, n in {"train": 60_000, "test": 10_000}.items():
        X, y = load(DATA_HOME, split=split)
        assert X.shape == (n, 784)
        assert (X.min(), X.max()) == (0.0, 1.0)
        assert set(y) == set(range(10))
