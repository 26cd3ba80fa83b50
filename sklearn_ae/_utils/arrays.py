"""Arrays of other libraries, where scikit-learn is told to dispatch to them."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn import config_context, get_config
from torch import Tensor

from .extras import import_extra

Method = TypeVar("Method", bound=Callable[..., Any])


def plain(X: Any) -> Any:
    """Streams as tables, under ``array_api_dispatch=True`` arrays of others as numpy's.

    All else is as it was.
    """
    X = read_stream(X)
    if not _is_dispatched(X):
        return X
    on_host = X.detach().cpu() if isinstance(X, Tensor) else X
    if hasattr(on_host, "get"):  # cupy's
        return on_host.get()
    return np.asarray(on_host)


def read_stream(X: Any) -> Any:
    """A stream of Arrow (a reader, a relation) as a pyarrow table; all else as is."""
    is_stream = hasattr(X, "__arrow_c_stream__")
    # Frames of pandas, pyarrow and polars do so too, and are tables already.
    if not is_stream or any(
        hasattr(X, name) for name in ("iloc", "column_names", "get_columns")
    ):
        return X
    return import_extra("pyarrow", "parquet", "A stream of Arrow").table(X)


def answers_in_kind(method: Method) -> Method:
    """Let a method of rows give tensors for tensors, on their device, under dispatch.

    What scikit-learn computes inside is told nothing of dispatch.
    """

    @functools.wraps(method)
    def answer(self, X=None, *args, **kwargs):
        X = read_stream(X)
        if not get_config()["array_api_dispatch"]:
            return method(self, X, *args, **kwargs)
        kind, X = X, plain(X)
        with config_context(array_api_dispatch=False):
            result = method(self, X, *args, **kwargs)
        return _like(kind, result)

    return answer  # type: ignore[return-value]


def _is_dispatched(X: Any) -> bool:
    is_of_others = isinstance(X, Tensor) or hasattr(X, "__array_namespace__")
    is_numpy = isinstance(X, np.ndarray | np.generic)
    return get_config()["array_api_dispatch"] and is_of_others and not is_numpy


def _like(X: Any, result: Any) -> Any:
    if isinstance(result, list):  # several draws
        return [_like(X, part) for part in result]
    if not _is_dispatched(X) or not isinstance(result, np.ndarray):
        return result
    if isinstance(X, Tensor):
        return torch.from_numpy(result).to(X.device)
    return X.__array_namespace__().asarray(result, device=X.device)
