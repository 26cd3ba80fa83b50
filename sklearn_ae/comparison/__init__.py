"""Every reducer on the same rows: held-out error, neighbourhoods, time.

`compare_reducers` splits and scales a table once, fits every reducer to the same
training rows and measures all of them on the same held-out rows.
"""

import functools
import math
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA, KernelPCA
from sklearn.exceptions import FitFailedWarning
from sklearn.manifold import TSNE, trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import _safe_indexing, check_array, column_or_1d

from .._estimators.autoencoder import AutoencoderTransformer
from .._estimators.denoising import DenoisingAutoencoderTransformer
from .._estimators.vae import VAETransformer
from .._utils.extras import has_extra, import_extra
from .._utils.random import make_random_state

__all__ = ["compare_reducers"]

DEFAULT_REDUCERS = ("PCA", "kernel PCA", "t-SNE", "UMAP", "AE", "DAE", "VAE")

# Kernel PCA and t-SNE hold a value for every pair of rows or take minutes beyond.
_MAX_ROWS_PAIRWISE = 10_000
# UMAP's way back triangulates the training latents, whose simplices multiply with
# every dimension (3 are seconds, 5 are minutes, 8 exhaust the memory), and then
# optimises row by row.
_UMAP_INVERSE_MAX_COMPONENTS = 3
_UMAP_INVERSE_MAX_ROWS = 500
# A transform is timed at least so often, in all for so long, but not for longer than
# that (in seconds).
_MIN_TIMINGS, _MIN_TIMED, _MAX_TIMED = 10, 0.05, 1.0
# An integer y with more distinct values than this is read as a quantity.
_MAX_CLASSES = 50


def compare_reducers(
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    reducers: Mapping[str, Any] | Iterable[str] | None = None,
    n_components: int | Iterable[int] = (2,),
    test_size: float | int = 0.25,
    scaler: Any = "standard",
    n_neighbors: int = 5,
    target_type: str = "auto",
    max_neighborhood_rows: int = 2000,
    return_latents: bool = False,
    random_state: int | np.random.RandomState | None = 0,
    verbose: int = 0,
) -> Any:
    """Compare dimensionality reducers on the same held-out rows.

    The rows are split once into training and held-out rows, the scaler is fitted to
    the training rows, and every reducer is then fitted to the same scaled training
    rows and measured on the same scaled held-out rows.

    A reducer without `transform`, such as t-SNE, cannot place new rows. It is fitted
    to all rows, the held-out ones included, and is scored on where it put these; its
    scores are therefore not scores on unseen rows, and the column ``note`` says so.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows to compare on. Finite numbers, unless `scaler` turns X into such.
    y : array-like of shape (n_samples,), default=None
        Classes or a quantity, for the k-nearest-neighbour scores. No reducer sees it.
    reducers : mapping or iterable of str, default=None
        What to compare.

        - None: "PCA", "kernel PCA", "t-SNE", "UMAP" (where umap-learn is installed),
          "AE", "DAE" and "VAE".
        - A list of such names.
        - A mapping of names of your own to scikit-learn transformers or pipelines.
          Each is cloned, and its parameter ``n_components`` (of a pipeline: that of
          its last step) is set to k; nothing else is changed, so give it a
          ``random_state`` where you want one. A value may also be a callable that
          takes k and returns an unfitted estimator, or one of the names above.
    n_components : int or iterable of int, default=(2,)
        Number of latents k; each reducer is fitted once for every k.
    test_size : float or int, default=0.25
        Held-out fraction (float) or number (int) of rows. The split is stratified
        by y where y is discrete and has enough rows of each class.
    scaler : {"standard", "minmax"}, transformer or None, default="standard"
        Fitted to the training rows: unit variance for every column
        (:class:`~sklearn.preprocessing.StandardScaler`), the range from 0 to 1
        (:class:`~sklearn.preprocessing.MinMaxScaler`), any transformer of your own
        (which may also impute and encode), or None to leave X as it is.
    n_neighbors : int, default=5
        Number of neighbours of the k-nearest-neighbour scores, of trustworthiness
        and of continuity; fewer where there are too few rows for so many.
    target_type : {"auto", "discrete", "continuous"}, default="auto"
        How to read y. "auto": text, booleans and integers of at most 50 distinct
        values with five rows each on average are classes, all else is a quantity.
    max_neighborhood_rows : int, default=2000
        Trustworthiness and continuity compare all pairs of rows: they use at most
        this many of the held-out rows, the same ones for every reducer.
    return_latents : bool, default=False
        Whether to return the latents of the held-out rows too.
    random_state : int, RandomState instance or None, default=0
        Decides the split and seeds the reducers that are given by name.
    verbose : int, default=0
        1 shows a progress bar on the standard error stream, 0 is silent.

    Returns
    -------
    table : pandas.DataFrame
        One row per reducer and k. ``table.attrs`` holds the settings, the numbers of
        rows and, as ``knn_all_columns``, the k-nearest-neighbour score of the scaled
        rows themselves, without any reduction (on `max_neighborhood_rows` of the
        held-out rows at most).

        - ``reducer``: name.
        - ``n_components``: number of latents, k.
        - ``reconstruction_error``: mean squared difference, over held-out rows and
          columns, between scaled rows and their reconstruction; its unit is that of the
          scaled columns, squared.
        - ``explained_variance``: 1 minus the squared error relative to that of the
          training mean: 1 is perfect, 0 no better than the mean.
        - ``error_ratio_to_pca``: reconstruction error divided by that of PCA with as
          many latents: below 1 is better than PCA.
        - ``knn_accuracy``: accuracy on held-out rows of a k-nearest-neighbour
          classifier fitted to the training latents (discrete y).
        - ``knn_r2``: the same as R^2 of a regressor (continuous y).
        - ``trustworthiness``: how far neighbours among the latents are neighbours among
          the rows, from 0 to 1 [1]_.
        - ``continuity``: the converse: how far neighbours among the rows stay
          neighbours among the latents [1]_.
        - ``fit_seconds``: wall-clock time of the fit.
        - ``transform_rows_per_second``: held-out rows divided by the wall-clock time of
          their transform.
        - ``has_transform``: whether new rows can be reduced.
        - ``has_inverse_transform``: whether there is a way back to the columns.
        - ``note``: what was done differently for this reducer.
        - ``warnings``: warnings of the reducer, which are not shown elsewhere.
        - ``error``: message of the exception that ended its work.

        NaN stands for what does not apply.
    latents : dict
        Only with ``return_latents=True``: ``latents[reducer, k]`` is a
        pandas.DataFrame of shape (n_held_out, k), whose index holds the positions of
        the held-out rows in X. Failed and skipped reducers are left out.

    Raises
    ------
    ValueError
        For unknown names of reducers, scalers or target types, a transformer without
        ``n_components``, k below 1, and rows that are not finite numbers after scaling.
    TypeError
        For sparse X and for reducers that are no estimators.
    ImportError
        Where pandas (or umap-learn, if asked for by name) is not installed.

    Warns
    -----
    sklearn.exceptions.FitFailedWarning
        Where a reducer failed. Its row holds the message, all others are as usual.

    See Also
    --------
    sklearn_ae.AutoencoderTransformer : The plain autoencoder, "AE".
    sklearn_ae.DenoisingAutoencoderTransformer : The denoising one, "DAE".
    sklearn_ae.VAETransformer : The variational one, "VAE".

    Notes
    -----
    The reducers given by name have their default settings, but for these. Kernel PCA
    has an RBF kernel with ``gamma = 1 / (n_features * X.var())`` and its way back a
    ridge penalty of 0.001, with which it reconstructs much better than with
    scikit-learn's default of 1. t-SNE is limited to three latents (its fast method
    needs that) and, as kernel PCA, to 10,000 rows: beyond, it is skipped, and the
    note says so. UMAP's functions are compiled before its clock starts. The way back
    of UMAP is tried up to three latents, on at most 500 held-out rows; its ratio to
    PCA's error is taken on the same rows.

    References
    ----------
    .. [1] Venna, J., & Kaski, S. (2001). Neighborhood preservation in nonlinear
           projection methods: An experimental study. ICANN 2001, 485-491.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ae.comparison import compare_reducers
    >>> X, y = load_iris(return_X_y=True)
    >>> reducers = {"PCA": "PCA", "whitened": PCA(whiten=True, random_state=0)}
    >>> table = compare_reducers(X, y, reducers=reducers, n_components=(1, 2))
    >>> table[["reducer", "n_components", "explained_variance"]].round(2)
        reducer  n_components  explained_variance
    0       PCA             1                0.76
    1  whitened             1                0.76
    2       PCA             2                0.94
    3  whitened             2                0.94
    """
    pandas = import_extra("pandas")
    seed = _as_seed(random_state)
    sizes = _check_n_components(n_components)
    builders = _check_reducers(reducers)
    if y is not None and np.any(pandas.isna(np.asarray(y))):
        raise ValueError("y has missing values: leave these rows out.")
    data = _split(
        X,
        y,
        test_size=test_size,
        scaler=scaler,
        target_type=target_type,
        n_neighbors=n_neighbors,
        max_neighborhood_rows=max_neighborhood_rows,
        seed=seed,
    )
    tasks = [(name, k) for k in sizes for name in builders]

    rows = []
    latents = {}
    with _progress(tasks, verbose) as steps:
        for name, k in steps:
            row, Z = _evaluate(name, builders[name], k, data)
            rows.append(row)
            if Z is not None:
                names = [f"latent{j}" for j in range(Z.shape[1])]
                latents[name, k] = pandas.DataFrame(Z, data.test_index, names)

    table = pandas.DataFrame([vars(row) for row in rows])
    table.attrs = {
        **_settings(X, scaler, data),
        "test_size": test_size,
        "random_state": seed,
    }
    failures = [
        f"{row.reducer} with n_components={row.n_components}: {row.error}"
        for row in rows
        if row.error
    ]
    if failures:
        # Said once and at the end: where warnings are errors, all reducers had
        # their turn before.
        warnings.warn(
            "These reducers failed, and their rows hold what was measured before:\n"
            + "\n".join(failures),
            FitFailedWarning,
            stacklevel=2,
        )
    return (table, latents) if return_latents else table


# ---------------------------------------------------------------- what is measured


@dataclass
class _Row:
    """One row of the table; the fields are its columns."""

    reducer: str
    n_components: int
    reconstruction_error: float = np.nan
    explained_variance: float = np.nan
    error_ratio_to_pca: float = np.nan
    knn_accuracy: float = np.nan
    knn_r2: float = np.nan
    trustworthiness: float = np.nan
    continuity: float = np.nan
    fit_seconds: float = np.nan
    transform_rows_per_second: float = np.nan
    has_transform: bool = False
    has_inverse_transform: bool = False
    note: str = ""
    warnings: str = ""
    error: str = ""


@dataclass
class _Data:
    """The split and scaled rows, the same for every reducer."""

    X_train: NDArray[Any]  # (n_train, n_features)
    X_test: NDArray[Any]  # (n_test, n_features)
    y_train: NDArray[Any] | None
    y_test: NDArray[Any] | None
    test_index: NDArray[np.intp]  # positions of the held-out rows in X
    discrete: bool
    stratified: bool
    n_neighbors: int
    neighborhood_rows: int
    seed: int
    pca_errors: dict[int, NDArray[Any]] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        return len(self.X_train) + len(self.X_test)

    @property
    def target_type(self) -> str | None:
        if self.y_train is None:
            return None
        return "discrete" if self.discrete else "continuous"


def _evaluate(
    name: str, build: "_Builder", k: int, data: _Data
) -> tuple[_Row, NDArray[Any] | None]:
    """Measure one reducer at one k; an exception of the reducer ends up in the row."""
    row = _Row(name, k)
    Z_test = None
    notes: list[str] = []
    stage = ""
    with _collected_warnings() as messages:
        try:
            reducer = build(k, data)
            row.has_transform = hasattr(reducer, "transform")
            row.has_inverse_transform = hasattr(reducer, "inverse_transform")
            stage = "fit: "
            Z_train, Z_test = _fit_transform(reducer, data, row, notes)
            stage = "scores: "
            _score_neighborhoods(Z_train, Z_test, data, row)
            if row.has_inverse_transform:
                stage = "inverse_transform: "
                _score_reconstruction(reducer, Z_test, data, row, notes)
        except _SkippedReducer as reason:
            notes.append(f"skipped: {reason}")
        except Exception as exception:  # a failing reducer must not end the others
            row.error = f"{stage}{type(exception).__name__}: {_one_line(exception)}"
    row.note = "; ".join(notes)
    row.warnings = "; ".join(_distinct(messages))
    return row, Z_test


def _fit_transform(
    reducer: Any, data: _Data, row: _Row, notes: list[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the latents of the training and the held-out rows, and time both steps."""
    if not row.has_transform:
        notes.append(
            "no transform for new rows: fitted to all rows, the held-out rows included"
        )
        start = time.perf_counter()
        Z = reducer.fit_transform(np.concatenate([data.X_train, data.X_test]))
        row.fit_seconds = time.perf_counter() - start
        Z = _check_latents(Z, data.n_samples)
        return Z[: len(data.X_train)], Z[len(data.X_train) :]

    start = time.perf_counter()
    reducer.fit(data.X_train)
    row.fit_seconds = time.perf_counter() - start
    Z_test, seconds = _timed(reducer.transform, data.X_test)
    row.transform_rows_per_second = len(data.X_test) / seconds
    Z_train = _check_latents(reducer.transform(data.X_train), len(data.X_train))
    return Z_train, _check_latents(Z_test, len(data.X_test))


def _score_neighborhoods(
    Z_train: NDArray[Any], Z_test: NDArray[Any], data: _Data, row: _Row
) -> None:
    score = _knn_score(Z_train, Z_test, data)
    if data.discrete:
        row.knn_accuracy = score
    else:
        row.knn_r2 = score
    X, Z = data.X_test[: data.neighborhood_rows], Z_test[: data.neighborhood_rows]
    # scikit-learn's measure is defined for less than half as many neighbours as rows.
    n_neighbors = min(data.n_neighbors, (len(X) - 1) // 2)
    if n_neighbors >= 1:
        row.trustworthiness = trustworthiness(X, Z, n_neighbors=n_neighbors)
        row.continuity = trustworthiness(Z, X, n_neighbors=n_neighbors)


def _knn_score(
    Z_train: NDArray[Any], Z_test: NDArray[Any], data: _Data, n_rows: int | None = None
) -> float:
    if data.y_train is None or data.y_test is None:
        return np.nan
    Model = KNeighborsClassifier if data.discrete else KNeighborsRegressor
    model = Model(n_neighbors=min(data.n_neighbors, len(Z_train)))
    model.fit(Z_train, data.y_train)
    if not data.discrete and len(data.y_test[:n_rows]) < 2:
        return np.nan  # R^2 is undefined for one row
    return float(model.score(Z_test[:n_rows], data.y_test[:n_rows]))


def _score_reconstruction(
    reducer: Any, Z_test: NDArray[Any], data: _Data, row: _Row, notes: list[str]
) -> None:
    n_rows = len(Z_test)
    if _is_umap(reducer):
        if row.n_components > _UMAP_INVERSE_MAX_COMPONENTS:
            notes.append(
                "inverse_transform not tried: its time and memory explode beyond "
                f"{_UMAP_INVERSE_MAX_COMPONENTS} latents"
            )
            return
        n_rows = min(n_rows, _UMAP_INVERSE_MAX_ROWS)
        if n_rows < len(Z_test):
            notes.append(
                f"reconstruction error of {n_rows} held-out rows only: "
                "inverse_transform is slow"
            )
    X = data.X_test[:n_rows]
    X_back = check_array(reducer.inverse_transform(Z_test[:n_rows]))
    if X_back.shape != X.shape:
        raise ValueError(
            f"it returned rows of shape {X_back.shape} instead of {X.shape}"
        )
    error = float(_row_errors(X, X_back).mean())
    spread = float(_row_errors(X, data.X_train.mean(axis=0)).mean())
    pca_error = float(_pca_errors(row.n_components, data)[:n_rows].mean())
    row.reconstruction_error = error
    if spread > 0:
        row.explained_variance = 1 - error / spread
    # PCA with as many latents as columns leaves rounding errors only: no yardstick.
    if pca_error > 1e-12 * spread:
        row.error_ratio_to_pca = error / pca_error


def _pca_errors(k: int, data: _Data) -> NDArray[Any]:
    """Return PCA's squared error for every held-out row, shape (n_test,)."""
    if k not in data.pca_errors:
        pca = PCA(min(k, *data.X_train.shape), random_state=data.seed)
        pca.fit(data.X_train)
        X_back = pca.inverse_transform(pca.transform(data.X_test))
        data.pca_errors[k] = _row_errors(data.X_test, X_back)
    return data.pca_errors[k]


def _row_errors(X: NDArray[Any], X_back: NDArray[Any]) -> NDArray[Any]:
    # In double precision whatever the reducer computes in, so that its precision
    # is measured and not that of the measure.
    difference = np.subtract(X, X_back, dtype=np.float64)
    return np.square(difference).mean(axis=1)


def _check_latents(Z: Any, n_rows: int) -> NDArray[Any]:
    Z = check_array(Z, input_name="the latents")
    if len(Z) != n_rows:
        raise ValueError(f"it returned {len(Z)} latents for {n_rows} rows")
    return Z


def _timed(function: Callable[[Any], Any], X: NDArray[Any]) -> tuple[Any, float]:
    """Call the function; return its result and the seconds it takes.

    A short call is repeated, and its shortest time counts: the first call also pays
    for cold caches, and any call for what else the machine does.
    """
    times: list[float] = []
    while sum(times) < _MAX_TIMED:
        start = time.perf_counter()
        result = function(X)
        times.append(time.perf_counter() - start)
        if len(times) >= _MIN_TIMINGS and sum(times) >= _MIN_TIMED:
            break
    return result, min(times)


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Keep warnings from the screen, and collect their messages instead."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield messages
    messages += [f"{w.category.__name__}: {_one_line(w.message)}" for w in caught]


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _distinct(messages: list[str]) -> list[str]:
    return list(dict.fromkeys(messages))


# ------------------------------------------------------------- what it is measured on


def _split(
    X: Any,
    y: Any,
    *,
    test_size: Any,
    scaler: Any,
    target_type: str,
    n_neighbors: Any,
    max_neighborhood_rows: int,
    seed: int,
) -> _Data:
    if sparse.issparse(X):
        raise TypeError(
            "Sparse X is not supported by compare_reducers. Use X.toarray(), "
            "if it fits into memory."
        )
    if not isinstance(n_neighbors, Integral) or n_neighbors < 1:
        raise ValueError(f"n_neighbors must be an integer >= 1; got {n_neighbors!r}.")
    if not hasattr(X, "iloc"):  # data frames keep their column names and types
        X = np.asarray(X)
    if y is not None:
        y = column_or_1d(y)
        if len(y) != len(X):
            raise ValueError(f"X has {len(X)} rows, y has {len(y)}.")
    discrete = y is not None and _is_discrete(y, target_type)

    index = np.arange(len(X))
    stratified = discrete and _can_stratify(y, test_size)
    train, test = train_test_split(
        index,
        test_size=test_size,
        stratify=y if stratified else None,
        random_state=seed,
    )
    X_train, X_test = _safe_indexing(X, train), _safe_indexing(X, test)
    scaler = _check_scaler(scaler)
    if scaler is not None:
        X_train = scaler.fit(X_train).transform(X_train)
        X_test = scaler.transform(X_test)
    return _Data(
        X_train=check_array(X_train, dtype=[np.float64, np.float32]),
        X_test=check_array(X_test, dtype=[np.float64, np.float32]),
        y_train=None if y is None else y[train],
        y_test=None if y is None else y[test],
        test_index=test,
        discrete=discrete,
        stratified=stratified,
        n_neighbors=int(n_neighbors),
        neighborhood_rows=min(int(max_neighborhood_rows), len(test)),
        seed=seed,
    )


def _is_discrete(y: NDArray[Any], target_type: str) -> bool:
    if target_type == "auto":
        if y.dtype.kind not in "iuf":
            return True
        values = np.unique(y)
        whole = bool(np.all(values == np.round(values)))
        return whole and len(values) <= max(2, min(_MAX_CLASSES, len(y) // 5))
    if target_type not in ("discrete", "continuous"):
        raise ValueError(
            "target_type must be one of 'auto', 'discrete', 'continuous'; "
            f"got {target_type!r}."
        )
    return target_type == "discrete"


def _can_stratify(y: NDArray[Any], test_size: Any) -> bool:
    """Say whether both parts can hold a row of every class."""
    counts = np.unique(y, return_counts=True)[1]
    whole = isinstance(test_size, Integral)
    n_test = float(test_size) if whole else test_size * len(y)
    smallest_part = math.floor(min(n_test, len(y) - n_test))
    return bool(counts.min() >= 2 and smallest_part >= len(counts))


def _check_scaler(scaler: Any) -> Any:
    if scaler is None:
        return None
    if isinstance(scaler, str):
        scalers = {"standard": StandardScaler, "minmax": MinMaxScaler}
        if scaler not in scalers:
            raise ValueError(
                f"scaler must be one of {sorted(scalers)}, a transformer or None; "
                f"got {scaler!r}."
            )
        return scalers[scaler]()
    return clone(scaler)


def _check_n_components(n_components: Any) -> list[int]:
    sizes = [n_components] if isinstance(n_components, Integral) else [*n_components]
    for k in sizes:
        if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
            raise ValueError(f"n_components must be integers >= 1; got {k!r}.")
    if not sizes:
        raise ValueError("n_components is empty: name at least one number of latents.")
    return list(dict.fromkeys(int(k) for k in sizes))


def _as_seed(random_state: Any) -> int:
    """Return one seed for the split and all reducers: an int stands for itself."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(make_random_state(random_state).randint(2**31 - 1))


def _settings(X: Any, scaler: Any, data: _Data) -> dict[str, Any]:
    """Describe the run in plain numbers and text, which JSON can hold."""
    if scaler is None or isinstance(scaler, str):
        scaler_name = scaler or "none"
    else:
        scaler_name = type(scaler).__name__
    knn = _knn_score(data.X_train, data.X_test, data, data.neighborhood_rows)
    return {
        "n_train": len(data.X_train),
        "n_test": len(data.X_test),
        "n_columns": int(X.shape[1] if hasattr(X, "shape") else np.shape(X)[1]),
        "n_scaled_columns": data.X_train.shape[1],
        "scaler": scaler_name,
        "n_neighbors": data.n_neighbors,
        "neighborhood_rows": data.neighborhood_rows,
        "stratified": data.stratified,
        "target_type": data.target_type,
        "knn_all_columns": None if np.isnan(knn) else knn,
    }


@contextmanager
def _progress(
    tasks: list[tuple[str, int]], verbose: int
) -> Iterator[Iterator[tuple[str, int]]]:
    if not verbose:
        yield iter(tasks)
        return
    tqdm = import_extra("tqdm").tqdm
    with tqdm(total=len(tasks), file=sys.stderr, unit="fit") as bar:

        def steps() -> Iterator[tuple[str, int]]:
            for name, k in tasks:
                bar.set_description(f"{name}, k={k}")
                yield name, k
                bar.update()
            bar.set_description("done")

        yield steps()


# ------------------------------------------------------------------- what is compared

_Builder = Callable[[int, _Data], Any]


class _SkippedReducer(Exception):
    """A reducer by name that would take too long; the message says why."""


def _check_reducers(
    reducers: Mapping[str, Any] | Iterable[str] | None,
) -> dict[str, _Builder]:
    """Return a function of k and the data for each reducer, and fail early."""
    if reducers is None:
        names = [n for n in DEFAULT_REDUCERS if n != "UMAP" or has_extra("umap")]
        return {name: _BUILDERS[name] for name in names}
    if isinstance(reducers, str):
        reducers = [reducers]
    if isinstance(reducers, Mapping):
        builders = {str(n): _own_builder(str(n), r) for n, r in reducers.items()}
    else:
        builders = {find_reducer(name): _named_builder(name) for name in reducers}
    if not builders:
        raise ValueError("reducers is empty: name at least one reducer.")
    return builders


def find_reducer(name: Any) -> str:
    """Return the spelling in the table of a reducer's name: "pca" becomes "PCA"."""
    names = {_bare(known): known for known in DEFAULT_REDUCERS}
    if not isinstance(name, str) or _bare(name) not in names:
        raise ValueError(
            f"Unknown reducer {name!r}. Known by name are: "
            + ", ".join(DEFAULT_REDUCERS)
            + ". Other transformers go into a mapping of name to transformer."
        )
    return names[_bare(name)]


def _bare(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _own_builder(name: str, reducer: Any) -> _Builder:
    if isinstance(reducer, str):
        return _named_builder(reducer)
    if callable(reducer) and (isinstance(reducer, type) or not hasattr(reducer, "fit")):
        return lambda k, data: reducer(k)
    if not hasattr(reducer, "fit") or not hasattr(reducer, "get_params"):
        raise TypeError(
            f"Reducer {name!r} must be a scikit-learn estimator, a callable that takes "
            f"the number of latents and returns one, or a known name; got {reducer!r}."
        )
    parameter = "n_components"
    if isinstance(reducer, Pipeline):
        parameter = f"{reducer.steps[-1][0]}__n_components"
    if parameter not in reducer.get_params():
        raise ValueError(
            f"Reducer {name!r} ({type(reducer).__name__}) has no parameter "
            f"{parameter!r}. Give a callable instead, which takes the number of "
            "latents and returns an estimator: lambda k: MyReducer(size=k)."
        )
    return lambda k, data: clone(reducer).set_params(**{parameter: k})


def _named_builder(name: str) -> _Builder:
    name = find_reducer(name)
    if name == "UMAP":
        import_extra("umap")  # asked for by name: missing is an error, and at once
    return _BUILDERS[name]


def _build_kernel_pca(k: int, data: _Data) -> KernelPCA:
    _check_pairwise_rows(len(data.X_train), "training rows")
    variance = float(data.X_train.var())
    return KernelPCA(
        k,
        kernel="rbf",
        # The width follows the data's scale, as gamma="scale" of scikit-learn's SVC.
        gamma=1 / (data.X_train.shape[1] * variance) if variance > 0 else 1.0,
        fit_inverse_transform=True,
        alpha=1e-3,
        random_state=data.seed,
    )


def _build_tsne(k: int, data: _Data) -> TSNE:
    if k > 3:
        raise _SkippedReducer("the fast method of t-SNE is limited to 3 latents")
    _check_pairwise_rows(data.n_samples, "rows")
    return TSNE(
        k,
        init="pca" if k <= min(data.X_train.shape) else "random",
        perplexity=min(30.0, (data.n_samples - 1) / 3),
        random_state=data.seed,
    )


def _check_pairwise_rows(n_rows: int, what: str) -> None:
    if n_rows > _MAX_ROWS_PAIRWISE:
        raise _SkippedReducer(
            f"more than {_MAX_ROWS_PAIRWISE} {what}, and its cost grows with their "
            "square; pass it in a mapping to run it all the same"
        )


def _build_umap(k: int, data: _Data) -> Any:
    _compile_umap()
    return import_extra("umap").UMAP(
        n_components=k,
        n_neighbors=min(15, max(2, len(data.X_train) - 1)),
        random_state=data.seed,
        n_jobs=1,  # what a random_state leads to anyway, after a warning
    )


@functools.cache
def _compile_umap() -> None:
    """Have umap's functions compiled, so that no timing holds the compiler's time."""
    X = np.random.RandomState(0).normal(size=(60, 4))
    with _collected_warnings():
        import_extra("umap").UMAP(
            n_neighbors=5, n_epochs=5, random_state=0, n_jobs=1
        ).fit(X).transform(X[:20])


def _is_umap(reducer: Any) -> bool:
    if isinstance(reducer, Pipeline):
        reducer = reducer.steps[-1][1]
    return type(reducer).__module__.partition(".")[0] == "umap"


_BUILDERS: dict[str, _Builder] = {
    "PCA": lambda k, data: PCA(k, random_state=data.seed),
    "kernel PCA": _build_kernel_pca,
    "t-SNE": _build_tsne,
    "UMAP": _build_umap,
    "AE": lambda k, data: AutoencoderTransformer(k, random_state=data.seed),
    "DAE": lambda k, data: DenoisingAutoencoderTransformer(k, random_state=data.seed),
    "VAE": lambda k, data: VAETransformer(k, random_state=data.seed),
}
