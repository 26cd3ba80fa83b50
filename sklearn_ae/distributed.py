"""Tables in Dask, and fits of several processes.

`fit` and `transform` are for Dask's arrays, data frames and Parquet datasets. Where a
program is one of several under `torch.distributed` (torchrun, Ray Train, Spark, SLURM),
the estimators' own `fit` is all that it takes.
"""

import contextlib
import copy
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from sklearn.utils.validation import check_is_fitted

from ._estimators.detector import AutoencoderDetector
from ._estimators.fitted_state import FittedState
from ._utils.extras import import_extra
from ._utils.processes import ProcessError, alone

__all__ = ["ProcessError", "alone", "fit", "transform"]

_USER = "sklearn_ae.distributed"
# The store by which the workers of a fit find each other; it lives in one of them.
_STORES: dict[str, Any] = {}


def fit(estimator: Any, X: Any, y: Any = None, *, client: Any = None) -> Any:
    """Fit an estimator on the workers of a Dask cluster, each with its own rows.

    The workers become a process group of `torch.distributed` and call the estimator's
    ``fit``. Rows go from where they are read to the worker that has them, and never
    through the scheduler or the client.

    Parameters
    ----------
    estimator : estimator of this package
        What is fitted, in place.

    X : dask.array.Array, dask.dataframe.DataFrame, str or path
        Training rows; a str or path is a Parquet file or a folder of them.

    y : dask.array.Array, dask.dataframe.Series or DataFrame, default=None
        What stands beside the rows, for estimators that take it, with X's chunks.

    client : dask.distributed.Client, default=None
        Whose workers do it; None takes the one in use.

    Returns
    -------
    estimator : object
        The estimator that was given, fitted.

    See Also
    --------
    transform : Applies the fitted estimator to a Dask table.

    Notes
    -----
    The rows of a worker are held in its memory. Inside a program of several processes
    under `torch.distributed` the estimator's own ``fit`` does the same.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.distributed import fit
    >>> X = da.from_array(load_iris().data, chunks=(50, 4))
    >>> with Client(processes=False, n_workers=1, dashboard_address=None) as client:
    ...     autoencoder = fit(AutoencoderTransformer(2, max_iter=0), X)
    >>> autoencoder.transform(load_iris().data).shape
    (150, 2)
    """
    if not isinstance(estimator, FittedState | AutoencoderDetector):
        raise TypeError(
            "fit takes an estimator of sklearn_ae itself; got "
            f"{type(estimator).__name__}. Fit the other steps of a Pipeline before it, "
            "and give this one their rows."
        )
    distributed = import_extra("distributed", "distributed", _USER)
    if client is None:
        try:
            client = distributed.get_client()
        except ValueError:
            raise ValueError(
                "fit needs workers: make a dask.distributed.Client first, or pass "
                "client=."
            ) from None
    parts, targets = _parts(X), None if y is None else _parts(y)
    if targets is not None and len(targets) != len(parts):
        raise ValueError(
            f"y has {len(targets)} partitions and X has {len(parts)}: they must be cut "
            "alike. Use rechunk or repartition."
        )
    columns = [parts] if targets is None else [parts, targets]
    rows = client.compute([_together(part) for part in zip(*columns, strict=True)])
    distributed.wait(rows)
    for row in rows:
        if row.status == "error":
            row.result()
    fitted = _fit_on_workers(estimator, rows, client, distributed)
    state: dict[str, Any] = estimator.__dict__
    parameters = {name: state[name] for name in estimator._get_param_names()}
    state.clear()  # of an earlier fit
    state.update({**vars(fitted), **parameters})
    return estimator


def transform(
    estimator: Any,
    X: Any,
    *,
    method: Literal[
        "transform", "reconstruct", "impute", "score_samples"
    ] = "transform",
) -> Any:
    """Apply a fitted estimator to a Dask table, partition by partition and lazily.

    Parameters
    ----------
    estimator : fitted estimator of this package
        What is applied. It is sent once, not with every partition.

    X : dask.array.Array, dask.dataframe.DataFrame, str or path
        Rows; a str or path is a Parquet file or a folder of them.

    method : {"transform", "reconstruct", "impute", "score_samples"}, \
            default="transform"
        What is asked of it.

    Returns
    -------
    Z : dask.array.Array or dask.dataframe.DataFrame or Series
        Of the kind of X; nothing has been computed yet.

    See Also
    --------
    fit : Fits an estimator on the workers of a cluster.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.distributed import transform
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=0).fit(X)
    >>> Z = transform(autoencoder, da.from_array(X, chunks=(50, 4)))
    >>> Z.shape, Z.chunks[0]
    ((150, 2), (50, 50, 50))
    >>> bool(abs(Z.compute() - autoencoder.transform(X)).max() < 1e-6)
    True
    """
    dask = import_extra("dask", "distributed", _USER)
    check_is_fitted(estimator)
    methods = ("transform", "reconstruct", "impute", "score_samples")
    if method not in methods or not hasattr(estimator, method):
        raise ValueError(
            f"method must be one of {list(methods)} that {type(estimator).__name__} "
            f"has; got {method!r}."
        )
    X, apply = _opened(X), _Applied(method)
    sent = dask.delayed(estimator, pure=True)
    if not _is_array(X):
        meta = apply(X._meta_nonempty, estimator).iloc[:0]
        return X.map_partitions(apply, sent, meta=meta)
    X = X.rechunk({1: -1})
    applied = apply(np.zeros((1, X.shape[1]), X.dtype), estimator)
    options = {"dtype": applied.dtype, "meta": applied[:0]}
    if applied.ndim == 1:
        return X.map_blocks(apply, sent, drop_axis=1, **options)
    chunks = X.chunks[0], (applied.shape[1],)
    return X.map_blocks(apply, sent, chunks=chunks, **options)


class _Applied:
    """A method of an estimator, as a function of rows that keeps their kind."""

    def __init__(self, method: str):
        self.method = method

    def __call__(self, X: Any, estimator: Any) -> Any:
        is_frame = hasattr(X, "iloc")
        if len(X) == 0:
            stand_in = estimator.sample(1) if is_frame else np.zeros((1, X.shape[1]))
            return self(_as_table(stand_in, X), estimator)[:0]
        values = getattr(estimator, self.method)(X)
        if not is_frame or hasattr(values, "iloc"):
            return values
        pandas = import_extra("pandas", "distributed", _USER)
        values = np.asarray(values)
        if values.ndim == 1:
            return pandas.Series(values, index=X.index, name=self.method)
        names = (
            estimator.get_feature_names_out()
            if self.method == "transform"
            else X.columns
        )
        return pandas.DataFrame(values, index=X.index, columns=names)


def _as_table(rows: Any, X: Any) -> Any:
    """Rows as a frame with the columns of X, where that is one."""
    if not hasattr(X, "iloc") or hasattr(rows, "iloc"):
        return rows
    return type(X)(np.asarray(rows), columns=X.columns)


# Tables -------------------------------------------------------------------------------


def _opened(X: Any) -> Any:
    """X, or the data frame of a Parquet dataset of that name."""
    if isinstance(X, str | os.PathLike):
        frames = import_extra("dask.dataframe", "distributed", _USER)
        return frames.read_parquet(os.fspath(X))
    if not (hasattr(X, "dask") and hasattr(X, "to_delayed")):
        raise TypeError(
            "X must be a Dask array or data frame, or the path of a Parquet dataset; "
            f"got {type(X).__name__}. Other tables go to the estimator itself."
        )
    return X


def _is_array(X: Any) -> bool:
    return hasattr(X, "map_blocks")


def _parts(X: Any) -> list[Any]:
    """The rows of X, partition by partition."""
    X = _opened(X)
    if not _is_array(X):
        return list(X.to_delayed())
    if X.ndim > 1:
        X = X.rechunk({1: -1})
    return list(X.to_delayed().ravel())


def _together(parts: Sequence[Any]) -> Any:
    """Rows and what stands beside them, as one thing that is computed in one place."""
    return import_extra("dask", "distributed", _USER).delayed(list)(list(parts))


def _joined(parts: list[Any]) -> Any:
    if hasattr(parts[0], "iloc"):
        return import_extra("pandas", "distributed", _USER).concat(parts)
    return np.concatenate(parts)


# Workers ------------------------------------------------------------------------------


def _fit_on_workers(
    estimator: Any, rows: list[Any], client: Any, distributed: Any
) -> Any:
    """The estimator that workers have fitted to futures of rows, where these are."""
    places = client.who_has(rows)
    by_worker: dict[str, list[Any]] = {}
    for row in rows:
        workers = sorted(places[row.key])
        least = min(workers, key=lambda worker: len(by_worker.get(worker, [])))
        by_worker.setdefault(least, []).append(row)
    workers = sorted(by_worker)
    options = {"allow_other_workers": False, "pure": False, "retries": 0}
    name = f"fit-{os.getpid()}-{id(rows)}"
    port = None
    if len(workers) > 1:
        host = workers[0].rpartition("://")[2].rpartition(":")[0].strip("[]")
        port = client.submit(
            _open_store, name, host, len(workers), workers=workers[:1], **options
        ).result()
    fits = [
        client.submit(
            *(_fit_part, estimator, by_worker[worker], rank, len(workers), name, port),
            workers=[worker],
            **options,
        )
        for rank, worker in enumerate(workers)
    ]
    try:
        fitted = None
        for future in distributed.as_completed(fits):
            result = future.result()  # the first to fail says why
            fitted = fitted or result
        return fitted
    finally:
        client.cancel(fits)
        if port is not None:
            with contextlib.suppress(Exception):  # where the worker has ended
                client.run(_close_store, name, workers=workers[:1])


def _open_store(name: str, host: str, n: int) -> tuple[str, int]:
    """Where the workers of a fit find each other: on any port that is free."""
    store = dist.TCPStore(host, 0, n, is_master=True, wait_for_workers=False)
    _STORES[name] = store
    return host, store.port


def _close_store(name: str) -> None:
    _STORES.pop(name, None)


def _fit_part(
    estimator: Any, rows: list[Any], rank: int, n: int, name: str, address: Any
) -> Any:
    """Fit with the rows that are here, and from the first return the result."""
    X, *targets = (_joined(list(parts)) for parts in zip(*rows, strict=True))
    estimator = copy.deepcopy(estimator)
    with _process_group(rank, n, name, address):
        estimator.fit(X, *targets)
    return estimator if rank == 0 else None


@contextlib.contextmanager
def _process_group(rank: int, n: int, name: str, address: Any) -> Iterator[None]:
    if n == 1:
        with alone():
            yield
        return
    if dist.is_initialized():
        raise RuntimeError(
            "The worker is in a process group of torch.distributed already; another "
            "fit may be under way in it."
        )
    store = _STORES.get(name)
    if store is None:
        host, port = address
        store = dist.TCPStore(host, port, n, is_master=False, wait_for_workers=False)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=n)
    try:
        with torch.inference_mode(False):
            yield
    finally:
        dist.destroy_process_group()
