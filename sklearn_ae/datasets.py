"""Images to try things on: MNIST and Fashion-MNIST, from files or from OpenML."""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml

from ._utils.extras import has_extra
from ._utils.types import PathLike

__all__ = ["load_fashion_mnist", "load_mnist", "read_idx"]

ENVIRONMENT_VARIABLE = "SKLEARN_AE_DATA_HOME"

_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")
_PARTS = {"train": ["train"], "test": ["t10k"], "all": ["train", "t10k"]}
# On OpenML the first 60,000 rows are those to train on.
_ROWS = {
    "train": slice(None, 60_000),
    "test": slice(60_000, None),
    "all": slice(None),
}


def load_mnist(
    data_home: PathLike | None = None,
    *,
    split: Literal["train", "test", "all"] = "train",
) -> tuple[np.ndarray, np.ndarray]:
    """Load MNIST: handwritten digits of 28 x 28 pixels, 60,000 and 10,000.

    The four files of MNIST are read from a folder, or else the same images are fetched
    from OpenML by :func:`sklearn.datasets.fetch_openml`, which keeps a copy.

    Parameters
    ----------
    data_home : path-like or None, default=None
        Folder with the files, or with a folder "mnist" (or torchvision's "MNIST/raw")
        that has them, each ending in ``.gz`` or not. None takes the folders in the one
        named by the environment variable SKLEARN_AE_DATA_HOME, if it is set.

    split : {"train", "test", "all"}, default="train"
        Which images: the 60,000 to train on, the 10,000 to test on, or the first
        followed by the second.

    Returns
    -------
    X : ndarray of shape (n_samples, 784)
        Brightness of the pixels, line by line, from 0 to 1 in float32.

    y : ndarray of shape (n_samples,)
        The digits, as integers.

    Raises
    ------
    ValueError
        Where `split` is none of the three, or a file is not what it should be.
    OSError
        Where there are no files and OpenML cannot be reached.

    See Also
    --------
    load_fashion_mnist : Clothes in the same format.
    sklearn.datasets.load_digits : 1797 digits of 8 x 8 pixels, without a download.

    Examples
    --------
    >>> from sklearn_ae.datasets import load_mnist
    >>> X, y = load_mnist("folder", split="test")  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (10000, 784)
    """
    return _load("MNIST", ("mnist", "MNIST/raw"), "mnist_784", data_home, split)


def load_fashion_mnist(
    data_home: PathLike | None = None,
    *,
    split: Literal["train", "test", "all"] = "train",
) -> tuple[np.ndarray, np.ndarray]:
    """Load Fashion-MNIST: clothes of 28 x 28 pixels, 60,000 and 10,000.

    The four files of Fashion-MNIST, which are called as those of MNIST, are read from a
    folder, or else the same images are fetched from OpenML by
    :func:`sklearn.datasets.fetch_openml`, which keeps a copy.

    Parameters
    ----------
    data_home : path-like or None, default=None
        Folder with the files, or with a folder "fashion_mnist" (or torchvision's
        "FashionMNIST/raw") that has them, each ending in ``.gz`` or not. None takes the
        folders in the one named by the environment variable SKLEARN_AE_DATA_HOME, if it
        is set.

    split : {"train", "test", "all"}, default="train"
        Which images: the 60,000 to train on, the 10,000 to test on, or the first
        followed by the second.

    Returns
    -------
    X : ndarray of shape (n_samples, 784)
        Brightness of the pixels, line by line, from 0 to 1 in float32.

    y : ndarray of shape (n_samples,)
        Integers: 0 T-shirt, 1 trousers, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt,
        7 sneaker, 8 bag, 9 ankle boot.

    Raises
    ------
    ValueError
        Where `split` is none of the three, or a file is not what it should be.
    OSError
        Where there are no files and OpenML cannot be reached.

    See Also
    --------
    load_mnist : Digits in the same format.

    Examples
    --------
    >>> from sklearn_ae.datasets import load_fashion_mnist
    >>> X, y = load_fashion_mnist("folder", split="test")  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (10000, 784)
    """
    folders = ("fashion_mnist", "FashionMNIST/raw")
    return _load("Fashion-MNIST", folders, "Fashion-MNIST", data_home, split)


def read_idx(path: PathLike) -> np.ndarray:
    """Read a file of bytes in the IDX format, the one of MNIST.

    Parameters
    ----------
    path : path-like
        The file, compressed by gzip or not.

    Returns
    -------
    array : ndarray of uint8
        Its numbers, in the shape that the file states. They cannot be written to.

    Raises
    ------
    ValueError
        Where the file is cut short, or is no such file.

    See Also
    --------
    load_mnist : Images and labels of MNIST, ready to use.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_ae.datasets import read_idx
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    ...     read_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error):
            content = b""
    # Two zero bytes, type 8, the number of axes, their lengths, the bytes.
    n_axes = content[3] if content[:3] == b"\x00\x00\x08" and content[3:] else 0
    start = 4 + 4 * n_axes
    lengths = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if n_axes == 0 or len(content) - start != math.prod(lengths):
        raise ValueError(f"{path} is not a whole IDX file of bytes.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(lengths)


def _load(
    name: str,
    subfolders: tuple[str, ...],
    openml_name: str,
    data_home: Any,
    split: str,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if split not in _PARTS:
        raise ValueError(f'split must be "train", "test" or "all"; got {split!r}.')
    names = [f"{part}-{kind}" for part in _PARTS[split] for kind in _KINDS]
    folders = _find_folders(data_home, subfolders)
    for folder in folders:
        paths = [_find_file(folder, name) for name in names]
        if None not in paths:
            return _read_pairs(paths)
    try:
        pixels, labels = fetch_openml(
            openml_name,
            version=1,
            return_X_y=True,
            as_frame=False,
            parser="pandas" if has_extra("pandas") else "liac-arff",
        )
    except Exception as error:  # no network, a cut download, a damaged copy
        looked = " or ".join(map(str, folders)) or (
            f"a folder, as neither data_home= nor {ENVIRONMENT_VARIABLE} gives one"
        )
        raise OSError(
            f"{name} can come from files or from OpenML, and neither works. "
            f"The files {', '.join(names)} (or these with .gz) are not in {looked}. "
            f"OpenML: {type(error).__name__}: {error}. Give the folder that has them "
            "as data_home=, or connect to the internet."
        ) from error
    rows = _ROWS[split]
    return _as_brightness(pixels[rows]), labels[rows].astype(np.int64)


def _find_folders(data_home: Any, subfolders: tuple[str, ...]) -> list[Path]:
    """Where the files may be. Their names do not say which of the data sets they are.

    A folder of many data sets therefore has each in a folder of its own.
    """
    home = data_home or os.environ.get(ENVIRONMENT_VARIABLE)
    if not home:
        return []
    folders = [Path(home).expanduser() / name for name in subfolders]
    return [*folders, Path(home).expanduser()] if data_home else folders


def _find_file(folder: Path, name: str) -> Path | None:
    """The file, under one of the names it goes by."""
    names = (name, name.replace("-idx", ".idx"))
    paths = [folder / f"{name}{end}" for name in names for end in ("", ".gz")]
    return next((path for path in paths if path.is_file()), None)


def _read_pairs(
    paths: list[Any],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images and labels out of files that hold them in turn."""
    arrays = [read_idx(path) for path in paths]
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    for path, (images, labels) in zip(paths[::2], pairs, strict=True):
        if len(images) != len(labels):
            raise ValueError(
                f"{path} has {len(images)} images, but there are {len(labels)} labels."
            )
    X = np.concatenate([images.reshape(len(images), -1) for images, _ in pairs])
    y = np.concatenate([labels for _, labels in pairs])
    return _as_brightness(X), y.astype(np.int64)


def _as_brightness(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)
