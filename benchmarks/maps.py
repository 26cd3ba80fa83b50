"""Maps of clusters: ours, openTSNE's and UMAP's, and where new rows lie on them.

Run it from the repository's root as ``python -m benchmarks.maps``; README.md, beside
this file, says what is measured. openTSNE and umap-learn take part where they are
installed.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.manifold import trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._command import (
    at_least_one,
    describe_run,
    finish,
    make_parser,
    open_results,
)
from benchmarks._measuring import (
    failure_of,
    squared_error,
    timed,
    without_convergence_warnings,
)
from benchmarks._memory import in_new_process, peak_memory
from benchmarks._results import Results, Row, finite
from benchmarks._text import format_table
from benchmarks.datasets import find_tables, load_tables
from sklearn_ae import DenoisingAutoencoderTransformer, NeighborMapTransformer
from sklearn_ae._utils.extras import has_extra, import_extra

# Pixels have one unit; columns of other tables get unit variance.
PIXELS = {
    "digits": (8, 8),
    "optdigits": (8, 8),
    "usps": (16, 16),
    "mnist": (28, 28),
    "fashion_mnist": (28, 28),
}
TABLES = ("digits", "optdigits", "usps", "letter", "isolet5", "breast_cancer", "wine")
N_TEST = {"mnist": 10_000, "fashion_mnist": 10_000, "digits": 450}  # else a quarter
N_COMPONENTS = 50  # principal components that openTSNE sees, as its guide advises
N_LATENTS = 64  # of the network whose latents are mapped; at most half the columns
# Rows and neighbours of the measures.
N_TRUSTED, N_RECALLED, N_NEIGHBORS = 5000, 2000, 15
MEASURES = ("knn_accuracy", "trustworthiness", "recall", "squared_error")


class OpenTSNE(TransformerMixin, BaseEstimator):
    """openTSNE's map, which gives training rows where they lie."""

    def fit(self, X: NDArray[Any], y: Any = None) -> "OpenTSNE":
        tsne = import_extra("openTSNE", "none", "This benchmark")
        self.X_ = X
        self.embedding_ = tsne.TSNE(random_state=0, n_jobs=1).fit(X)
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        if X.shape == self.X_.shape and np.array_equal(X, self.X_):
            return np.asarray(self.embedding_)
        return np.asarray(self.embedding_.transform(X))


def make_opentsne(X: NDArray[Any], image_shape: tuple[int, int] | None) -> Any:
    k = min(N_COMPONENTS, *X.shape)
    return make_pipeline(PCA(k, random_state=0), OpenTSNE())


def make_umap(X: NDArray[Any], image_shape: tuple[int, int] | None) -> Any:
    return import_extra("umap").UMAP(random_state=0, n_jobs=1)


def make_map(
    X: NDArray[Any], image_shape: tuple[int, int] | None, **params: Any
) -> Any:
    return NeighborMapTransformer(**params)


def make_latents_map(X: NDArray[Any], image_shape: tuple[int, int] | None) -> Any:
    k = min(N_LATENTS, X.shape[1] // 2)
    latents = DenoisingAutoencoderTransformer(k, image_shape=image_shape)
    return make_pipeline(latents, NeighborMapTransformer())


def make_image_map(X: NDArray[Any], image_shape: tuple[int, int] | None) -> Any:
    return NeighborMapTransformer(image_shape=image_shape)


class Method(NamedTuple):
    make: Callable[..., Any]
    label: str
    needs: str | None = None


METHODS = {
    "map": Method(make_map, "map"),
    "encoder": Method(partial(make_map, inference="encoder"), "its encoder alone"),
    "images": Method(make_image_map, "map, image_shape"),
    "latents": Method(make_latents_map, "map of latents"),
    "opentsne": Method(make_opentsne, "openTSNE", "openTSNE"),
    "umap": Method(make_umap, "UMAP", "umap"),
}


class Split(NamedTuple):
    X_train: NDArray[Any]
    X_test: NDArray[Any]
    y_train: NDArray[Any]
    y_test: NDArray[Any]


def split(name: str, X: NDArray[Any], y: NDArray[Any], max_rows: int | None) -> Split:
    """The rows of a table that are learned from and those held out."""
    if name in ("mnist", "fashion_mnist"):  # which come split
        parts = X[:60_000], X[60_000:], y[:60_000], y[60_000:]
    else:
        size = N_TEST.get(name, 0.25)
        parts = train_test_split(X, y, test_size=size, random_state=0, stratify=y)
    X_train, X_test, y_train, y_test = parts
    if max_rows is not None and len(X_train) > max_rows:
        rows = np.random.RandomState(0).permutation(len(X_train))[:max_rows]
        X_train, y_train = X_train[rows], y_train[rows]
    if name in PIXELS:
        highest = X_train.max()
        X_train, X_test = X_train / highest, X_test / highest
    else:
        scaler = StandardScaler().fit(X_train)
        X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    return Split(X_train.astype("f4"), X_test.astype("f4"), y_train, y_test)


def read_cells(folder: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Principal components of the log counts of single cells, and their types."""
    from scipy.sparse import csr_matrix, diags

    name = "scrna_worm_neuron"
    with np.load(folder / name / f"{name}.npz") as z:
        parts = z["data"].astype(np.float32), z["indices"], z["indptr"]
        counts, y = csr_matrix(parts, shape=tuple(z["shape"])), z["y"]
    totals = np.asarray(counts.sum(axis=1)).ravel()
    counts = diags(1e4 / np.maximum(totals, 1)) @ counts
    counts.data = np.log1p(counts.data)
    return TruncatedSVD(N_COMPONENTS, random_state=0).fit_transform(counts), y


def measure(method: Method, rows: Split, image_shape: tuple[int, int] | None) -> Row:
    """What one method makes of one table."""
    model = method.make(rows.X_train, image_shape)
    with without_convergence_warnings():
        fit = timed(lambda: model.fit(rows.X_train))
    found: dict[str, NDArray[Any]] = {}
    place = timed(lambda: found.update(test=model.transform(rows.X_test)))
    Z_test, Z_train = found["test"], np.asarray(model.transform(rows.X_train))
    knn = KNeighborsClassifier(5).fit(Z_train, rows.y_train)
    some = np.random.RandomState(0).permutation(len(Z_train))[:N_TRUSTED]
    n_neighbors = min(N_NEIGHBORS, (len(some) - 1) // 2)
    result = {
        "knn_accuracy": finite(knn.score(Z_test, rows.y_test), 4),
        "trustworthiness": finite(
            trustworthiness(rows.X_train[some], Z_train[some], n_neighbors=n_neighbors),
            4,
        ),
        "recall": finite(recall(rows, Z_train, Z_test), 4),
        "fit_seconds": round(fit.cpu, 1),
        "transform_seconds": round(place.cpu, 3),
    }
    last = model[-1] if isinstance(model, Pipeline) else model
    if isinstance(last, NeighborMapTransformer):
        X_back = model.inverse_transform(Z_test)
        result["squared_error"] = finite(squared_error(rows.X_test, X_back), 5)
    return result


def recall(rows: Split, Z_train: NDArray[Any], Z_test: NDArray[Any]) -> float:
    """The share of new rows' nearest training rows that are nearest on the map."""
    near, near_on_map = (
        NearestNeighbors(n_neighbors=N_NEIGHBORS)
        .fit(train)
        .kneighbors_graph(test[:N_RECALLED])
        for train, test in ((rows.X_train, rows.X_test), (Z_train, Z_test))
    )
    return float(near.multiply(near_on_map).sum() / near.sum())


def generate(n_rows: int) -> NDArray[np.float32]:
    """Rows of 20 clusters on a curved surface of 5 dimensions in 50."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(20, 5)).astype("f4")
    turn = rng.normal(size=(5, 50)).astype("f4")
    rows = centers[rng.integers(20, size=n_rows)]
    rows += 0.3 * rng.standard_normal(rows.shape, dtype="f4")
    X = rows @ turn
    return np.tanh(X, out=X)


def measure_length(name: str, n_rows: int) -> Row:
    """Time and memory of a fit, in a process that has done nothing else."""
    method = METHODS[name]
    X = generate(n_rows)
    few = X[:500]
    method.make(few, None).fit(few)  # what is loaded and compiled once
    if has_extra("pynndescent"):
        import_extra("pynndescent").NNDescent(few, n_jobs=1, random_state=0)
    before = peak_memory()
    model = method.make(X, None)
    fit = timed(lambda: model.fit(X))
    n_bytes = (peak_memory() - before) / (n_rows * N_NEIGHBORS)
    return {
        "fit_seconds": round(fit.cpu, 1),
        "bytes_per_neighbor": round(n_bytes, 1),
    }


def run_lengths(
    results: Results, lengths: Sequence[int], methods: Sequence[str]
) -> None:
    for n_rows in lengths:
        for method in methods:
            name = f"{n_rows} generated rows"
            if results.has(name, 2, 0, method):
                continue
            row = {"set": name, "k": 2, "seed": 0, "method": method}
            row |= {"n_train": n_rows, "n_test": 0, "n_columns": 50}
            row |= in_new_process(measure_length, method, n_rows)
            results.add(row)
            results.save()
            print(row, flush=True)


def run(
    results: Results,
    tables: Iterable[tuple[str, Split]],
    methods: Sequence[str],
) -> None:
    for name, rows in tables:
        shape = PIXELS.get(name)
        sizes = {
            "n_train": len(rows.X_train),
            "n_test": len(rows.X_test),
            "n_columns": rows.X_train.shape[1],
        }
        for method in methods:
            if results.has(name, 2, 0, method) or (method == "images" and not shape):
                continue
            row = {"set": name, "k": 2, "seed": 0, "method": method, **sizes}
            try:
                row |= measure(METHODS[method], rows, shape)
            except Exception as error:  # of a package of others: the rest goes on
                row["failure"] = failure_of(error)
            results.add(row)
            results.save()
            print(row, flush=True)


def read(names: Sequence[str], data_home: Path | None, max_rows: int | None) -> Any:
    """The named tables, one after the other, split."""
    for name in names:
        if name == "scrna_worm_neuron":
            if data_home is None:
                raise SystemExit(f"{name} is read from a folder: give --data-home.")
            yield name, split(name, *read_cells(data_home), max_rows)
            continue
        if name in PIXELS:  # all of them, those that are always 0 too
            yield name, split(name, *find_tables(data_home)[name].read(), max_rows)
            continue
        for table in load_tables(data_home, [name]):
            yield name, split(name, table.X, table.y, max_rows)


def summarize(frame: pd.DataFrame) -> Row:
    """Means over the tables that every method was measured on."""
    tables = frame[~frame["method"].isin(["images", "latents"])]
    tables = tables[tables["bytes_per_neighbor"].isna()]
    complete = tables.pivot(index="set", columns="method", values="knn_accuracy")
    names = complete.dropna().index
    means = tables[tables["set"].isin(names)].groupby("method", sort=False)
    columns = ["knn_accuracy", "trustworthiness", "recall", "fit_seconds"]
    return {
        "tables": list(names),
        "means": {
            method: {c: finite(values[c].mean(), 4) for c in columns}
            for method, values in means
        },
    }


def n_log_n(n: int) -> float:
    return float(n * np.log2(n))


def report(frame: pd.DataFrame, summary: Row) -> str:
    is_length = frame["bytes_per_neighbor"].notna()
    lengths = format_table(
        ["rows, method", "fit s", "ns / (n log2 n)", "bytes / (row, neighbour)"],
        [
            [
                f"{row['n_train']}, {METHODS[row['method']].label}",
                f"{row['fit_seconds']:.4g}",
                f"{1e9 * row['fit_seconds'] / n_log_n(row['n_train']):.4g}",
                f"{row['bytes_per_neighbor']:.4g}",
            ]
            for _, row in frame[is_length].iterrows()
        ],
    )
    heading = ["table, method", "5-NN", "trust", "recall", "fit s", "transform s"]
    columns = [*MEASURES[:3], "fit_seconds", "transform_seconds"]
    lines = [
        [f"{row['set']}, {METHODS[row['method']].label}"]
        + [f"{row[column]:.4g}" for column in columns]
        for _, row in frame[~is_length].iterrows()
    ]
    lines += [
        [f"mean of {len(summary['tables'])}, {METHODS[method].label}"]
        + [f"{value:.4g}" for value in means.values()]
        + [""]
        for method, means in summary["means"].items()
    ]
    tables = format_table(heading, lines)
    return f"{tables}\n\n{lengths}" if is_length.any() else tables


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser("maps", __doc__, METHODS)
    add = parser.add_argument
    add(
        "--data-home",
        type=Path,
        help="folder of data sets (default: scikit-learn's bundled tables alone)",
    )
    add("--sets", nargs="+", metavar="NAME", help="tables (default: small ones)")
    add(
        "--lengths",
        nargs="+",
        type=at_least_one,
        metavar="N",
        default=[],
        help="measure time and memory of so many generated rows, and no other tables",
    )
    add("--max-rows", type=int, help="training rows at most (default: all)")
    args = parser.parse_args(argv)
    known = {*find_tables(args.data_home), "scrna_worm_neuron"}
    names = args.sets or [name for name in TABLES if name in known]
    methods = args.methods or [
        name
        for name, method in METHODS.items()
        if method.needs is None or has_extra(method.needs)
    ]
    results = open_results(parser, args, {"max_rows": args.max_rows})
    results.runs.append(describe_run("benchmarks.maps", argv))
    if args.lengths:
        run_lengths(results, args.lengths, methods)
    else:
        run(results, read(names, args.data_home, args.max_rows), methods)
    frame = results.frame(*MEASURES, "bytes_per_neighbor")
    finish(results, frame, summarize, report)


if __name__ == "__main__":
    main()
