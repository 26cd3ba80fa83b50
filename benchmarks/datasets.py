"""Tables for the benchmarks: scikit-learn's bundled ones, and those of a folder.

The folder has a file MANIFEST.json, a list with one object per data set, and for each
data set a folder of that name. Of an object these keys are read:

- ``name``; ``files``: a list of ``{"file": ...}``;
- of CSV files: ``target`` (a column or null), ``categorical`` and ``drop`` (lists of
  columns); ``task`` (a few words) tells sparse counts, which are left out.

Files may be CSV (.csv, .csv.gz; several are put one below the other), MATLAB's .mat
with X and Y, NumPy's .npz with X and y or with X_train, y_train, X_test, y_test
(several such files are as many tables, called ``name/file``), or pairs of images and
labels in the IDX format (plain or .gz), whose pixels become columns.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.io import loadmat
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)

from sklearn_ae.datasets import ENVIRONMENT_VARIABLE, read_idx

BUNDLED: dict[str, Callable[..., Any]] = {
    "iris": load_iris,
    "wine": load_wine,
    "diabetes": load_diabetes,
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
}
IMAGES = {"mnist", "fashion_mnist", "usps", "orl_faces"}
GROUPS = {
    "bundled": "scikit-learn's own",
    "tables": "numeric columns of the folder's tables",
    "images": "the folder's images, as rows of pixels",
    "anomaly": "the folder's tables of rare anomalies",
}
# Whole numbers with more distinct values than this are a quantity, not classes.
_MAX_CLASSES = 50

Read = Callable[[], tuple[NDArray[Any], NDArray[Any] | None]]


class Table(NamedTuple):
    """Rows of numbers without gaps, and what is known about each row."""

    name: str
    X: NDArray[np.float64]  # (n, d), no missing values, no constant columns
    y: NDArray[Any] | None  # (n,)
    is_discrete: bool  # whether y holds classes


class Source(NamedTuple):
    """A table that can be read: its group and how."""

    group: str
    read: Read


def load_tables(
    data_home: str | os.PathLike[str] | None = None,
    names: Iterable[str] | None = None,
) -> Iterator[Table]:
    """Read one table after the other.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder of data sets. None takes the environment variable SKLEARN_AE_DATA_HOME;
        where that is not set, there are only the bundled tables.
    names : iterable of str, default=None
        Names of tables and of groups (see `GROUPS`); None takes all there are.

    Yields
    ------
    table : Table
        ``(name, X, y, is_discrete)``. Missing values are replaced by the column's
        median, and constant columns are left out.
    """
    sources = find_tables(data_home)
    for name in select_names(sources, names):
        yield _clean(name, *sources[name].read())


def find_tables(
    data_home: str | os.PathLike[str] | None = None,
) -> dict[str, Source]:
    """Return what can be read, by name; only headings have been read yet."""
    sources = {
        name: Source("bundled", partial(load, return_X_y=True))
        for name, load in BUNDLED.items()
    }
    if data_home is None:
        data_home = os.environ.get(ENVIRONMENT_VARIABLE) or None
    if data_home is not None:
        for entry in _read_manifest(Path(data_home)):
            for name, source in _sources(Path(data_home), entry):
                if name in sources:
                    raise ValueError(
                        f"Two tables are called {name!r}; rename the one in "
                        f"{data_home}."
                    )
                sources[name] = source
    order = list(GROUPS)
    return dict(sorted(sources.items(), key=lambda item: order.index(item[1].group)))


def select_names(
    sources: dict[str, Source], names: Iterable[str] | None = None
) -> list[str]:
    """Return names of tables, for names of tables and groups; None means all."""
    if names is None:
        return list(sources)
    wanted = set(names)
    known = {*sources, *(source.group for source in sources.values())}
    if wanted - known:
        raise ValueError(
            "There is no table and no group of tables called "
            f"{', '.join(sorted(wanted - known))}. Tables: {', '.join(sources)}. "
            f"Groups: {', '.join(GROUPS)}; all but the first are read from a folder "
            f"given by --data-home or {ENVIRONMENT_VARIABLE}."
        )
    return [
        n for n, source in sources.items() if not wanted.isdisjoint((n, source.group))
    ]


# The folder ---------------------------------------------------------------------------


def _read_manifest(folder: Path) -> list[dict[str, Any]]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The folder of data sets, {folder}, does not exist. Give another one by "
            f"--data-home or {ENVIRONMENT_VARIABLE}, or none."
        )
    path = folder / "MANIFEST.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no MANIFEST.json: it is not a folder of data sets."
        )
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        for entry in entries:
            _ = entry["name"], entry["files"][0]["file"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"{path} should be a list of objects with 'name' and 'files': {error!r}"
        ) from error
    return entries


def _sources(folder: Path, entry: dict[str, Any]) -> Iterator[tuple[str, Source]]:
    """The numeric tables of one entry of the manifest, none or several."""
    name = entry["name"]
    if "counts" in entry.get("task", ""):  # sparse: most entries are zero
        return
    paths = [folder / name / file["file"] for file in entry["files"]]
    group = "images" if name in IMAGES else "tables"
    kind = paths[0].name.removesuffix(".gz").rpartition(".")[2]
    if kind == "csv":
        if _has_numeric_columns(paths[0], entry):
            yield name, Source(group, partial(_read_csv, paths, entry))
    elif kind == "mat":
        yield name, Source(group, partial(_read_mat, paths[0]))
    elif kind.endswith("ubyte"):
        yield name, Source(group, partial(_read_images, paths))
    elif kind == "npz":
        archives = [path for path in paths if path.suffix == ".npz"]
        if len(archives) == 1:
            yield name, Source(group, partial(_read_npz, archives[0]))
        else:
            for path in archives:
                yield f"{name}/{path.stem}", Source("anomaly", partial(_read_npz, path))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}, which the folder's MANIFEST.json lists, is missing. Put it "
            "there, or name the tables that you want."
        )
    return path


def _has_numeric_columns(path: Path, entry: dict[str, Any]) -> bool:
    """Whether anything is left beside target and categories; reads the heading."""
    if not path.is_file():
        return True  # reading it tells what is missing
    columns = pd.read_csv(path, nrows=0).columns
    return not set(_not_measured(entry)).issuperset(columns)


def _not_measured(entry: dict[str, Any]) -> list[str]:
    """Columns that are no part of X."""
    others = [*entry.get("categorical", []), *entry.get("drop", [])]
    target = entry.get("target")
    return others if target is None else [*others, target]


def read_mixed(
    data_home: str | os.PathLike[str], name: str
) -> tuple[pd.DataFrame, pd.Series | None]:
    """A table of CSV files with its categories and missing cells, and its target."""
    folder = Path(data_home)
    entries = {entry["name"]: entry for entry in _read_manifest(folder)}
    if name not in entries:
        raise ValueError(
            f"{folder} has no data set {name!r}, only {', '.join(entries)}."
        )
    entry = entries[name]
    paths = [folder / name / file["file"] for file in entry["files"]]
    frame = _read_frame(paths, dict.fromkeys(entry.get("categorical", []), str))
    target = entry.get("target")
    y = None if target is None else frame[target]
    left_out = entry.get("drop", []) + ([] if target is None else [target])
    return frame.drop(columns=left_out, errors="ignore"), y


def _read_frame(
    paths: list[Path], types: dict[str, type] | None = None
) -> pd.DataFrame:
    # "NA" and "None" may be names of categories: only an empty field is missing.
    parts = [
        pd.read_csv(
            _existing(path),
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            dtype=types,
        )
        for path in paths
    ]
    return pd.concat(parts, ignore_index=True)


def _read_csv(
    paths: list[Path], entry: dict[str, Any]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    frame = _read_frame(paths)
    y = None
    if entry.get("target") is not None:
        frame = frame[frame[entry["target"]].notna()]
        y = frame[entry["target"]].to_numpy()
    frame = frame.drop(columns=_not_measured(entry), errors="ignore")
    return frame.select_dtypes(["number", "bool"]).to_numpy(np.float64), y


def _read_mat(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    contents = loadmat(_existing(path))
    return contents["X"], contents["Y"].ravel()


def _read_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    with np.load(_existing(path)) as arrays:
        if "X_train" in arrays:
            parts = [
                [arrays[f"{a}_{part}"] for part in ("train", "test")] for a in "Xy"
            ]
            X, y = map(np.concatenate, parts)
            return X, y
        return arrays["X"], arrays["y"]


def _read_images(paths: list[Path]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Pixels and labels of all pairs of files, in the manifest's order."""
    images = [read_idx(_existing(path)) for path in paths if "images" in path.name]
    labels = [read_idx(_existing(path)) for path in paths if "labels" in path.name]
    pixels = [array.reshape(len(array), -1) for array in images]
    X, y = np.concatenate(pixels), np.concatenate(labels)
    if len(X) != len(y):
        raise ValueError(f"{paths[0].parent} has {len(X)} images, but {len(y)} labels.")
    return X, y


# Every table --------------------------------------------------------------------------


def _clean(name: str, X: NDArray[Any], y: NDArray[Any] | None) -> Table:
    if X.dtype.kind == "f":
        is_missing = np.isnan(X)
        X = np.where(is_missing.all(axis=0), 0.0, X)  # constant, so left out below
        for column in np.flatnonzero(np.isnan(X).any(axis=0)):
            rows = is_missing[:, column]
            X[rows, column] = np.median(X[~rows, column])
    # Columns first: pixels of one byte each grow eightfold in the next step.
    X = X[:, np.ptp(X, axis=0) > 0].astype(np.float64, order="C")
    if X.shape[1] == 0:
        raise ValueError(f"{name}: no column has two different values.")
    return Table(name, X, y, y is not None and _is_discrete(y))


def _is_discrete(y: NDArray[Any]) -> bool:
    """Text, yes or no, or a few distinct whole numbers."""
    if y.dtype.kind not in "iuf":
        return True
    values = np.unique(y)
    is_whole = bool(np.all(values == np.round(values)))
    return is_whole and len(values) <= _MAX_CLASSES
