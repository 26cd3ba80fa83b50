"""One row at a time, as a service is asked: what `transform` does, without its checks.

Checking names, types and shapes of a table takes longer than encoding one row.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import DTypeLike
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ._estimators.base import BaseEncoderDecoder
from ._estimators.regressor import EncoderDecoderRegressor
from ._inference.inference import Encoded, Refined
from ._networks.variational import VariationalAutoencoder
from ._tables.kinds import Categories, Nothing
from ._utils.device import resolve_device

__all__ = ["PreparedMethod", "prepare"]

_METHODS = ("transform", "inverse_transform", "reconstruct", "score_samples", "predict")


class PreparedMethod:
    """A method of a fitted estimator, ready to be called often and by many threads.

    Made by `prepare`. It holds a copy of the networks: what happens to the estimator
    afterwards changes nothing here.

    Parameters
    ----------
    function : callable
        Of a tensor of rows.

    n_columns : int
        Columns that rows have.

    dtype : dtype
        Of the rows and of the answers.

    device : torch.device
        Where to compute.

    arithmetic : torch.dtype
        What to compute in.

    See Also
    --------
    prepare : Makes them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.serving import prepare
    >>> X = load_iris().data
    >>> score = prepare(AutoencoderTransformer(2).fit(X), "score_samples")
    >>> bool(score(X[0]) < 0)
    True
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        n_columns: int,
        dtype: np.dtype,
        device: torch.device,
        arithmetic: torch.dtype,
    ) -> None:
        self.n_columns = n_columns
        self.dtype = dtype
        self._function = function
        self._device = device
        self._arithmetic = arithmetic

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Answer for some rows.

        Parameters
        ----------
        X : array-like of shape (n_columns,) or (n_rows, n_columns)
            A row, or rows.

        Returns
        -------
        answer : ndarray
            That of the row, or of each row.
        """
        rows = np.array(X, dtype=self.dtype, ndmin=2)
        if rows.ndim != 2 or rows.shape[1] != self.n_columns:
            raise ValueError(
                f"X must be a row of {self.n_columns} numbers, or rows of as many; got "
                f"shape {np.shape(X)}."
            )
        if not np.isfinite(rows).all():
            raise ValueError("X has values that are NaN or infinite.")
        with torch.inference_mode():
            tensor = torch.from_numpy(rows).to(self._device, self._arithmetic)
            answer = self._function(tensor)
            array = answer.cpu().numpy().astype(self.dtype, copy=False)
        return array[0] if np.ndim(X) == 1 else array


def prepare(
    estimator: Any,
    method: Literal[
        "transform", "inverse_transform", "reconstruct", "score_samples", "predict"
    ] = "transform",
    *,
    dtype: DTypeLike = np.float64,
    inference: Literal["auto", "encoder"] = "auto",
) -> "PreparedMethod":
    """Make a method of a fitted estimator ready for single rows.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this package, of a table of numbers: not `FaceSwapper`,
        nor a `VAETransformer` that is conditional or has ``column_maps``.

    method : {"transform", "inverse_transform", "reconstruct", "score_samples", \
            "predict"}, default="transform"
        What to do with rows. The density of a `VAETransformer` is none of them: draws
        take milliseconds whatever stands around them.

    dtype : dtype, default=float64
        Of rows and answers: float64 or float32, in which the encoder is faster. The
        refined projection is computed in double precision on a CPU.

    inference : {"auto", "encoder"}, default="auto"
        "auto" is what the estimator does; "encoder" one pass of the encoder, which is
        some ten times as fast as the refined projection.

    Returns
    -------
    prepared : PreparedMethod
        Takes a row or rows, and may be called by several threads.

    See Also
    --------
    sklearn_ae.export.to_onnx : Files for services without this package.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import AutoencoderTransformer
    >>> from sklearn_ae.serving import prepare
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2).fit(X)
    >>> transform = prepare(autoencoder)
    >>> transform(X[0]).shape
    (2,)
    >>> bool(abs(transform(X) - autoencoder.transform(X)).max() < 1e-9)
    True
    """
    if not isinstance(estimator, BaseEncoderDecoder):
        raise TypeError(
            f"prepare takes an estimator of sklearn_ae for tables; got {estimator!r}. "
            "Pipelines can be served from files of ONNX: sklearn_ae.export.to_onnx."
        )
    check_is_fitted(estimator)
    if method not in _METHODS:
        raise ValueError(f"method must be one of {_METHODS}; got {method!r}.")
    if inference not in ("auto", "encoder"):
        raise ValueError(f"inference must be 'auto' or 'encoder'; got {inference!r}.")
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64; got {dtype}.")
    if getattr(estimator, "_conditions", None) is not None:
        raise ValueError(
            "prepare takes no conditional estimator, whose rows need conditions."
        )
    kinds = estimator._kinds
    if kinds is not None and (
        kinds.has_maps
        or any(isinstance(kind, Categories | Nothing) for kind in kinds.kinds)
    ):
        raise ValueError(
            "prepare takes estimators of numbers that the networks see as they are: no "
            "categories, columns that are all missing or column_maps. The estimator's "
            f"own {method!r} takes those, and files of ONNX do: "
            "sklearn_ae.export.to_onnx."
        )
    is_density = isinstance(estimator.module_, VariationalAutoencoder)
    if not hasattr(estimator, method) or (is_density and method == "score_samples"):
        raise ValueError(f"{method!r} of {type(estimator).__name__} is not prepared.")
    module = copy.deepcopy(estimator.module_).eval()
    device = resolve_device(estimator.device)
    way = Encoded() if inference == "encoder" else estimator._inference
    answers_rows = method not in ("inverse_transform", "predict")
    is_refined = answers_rows and isinstance(way, Refined) and device.type == "cpu"
    is_refined &= module.is_own  # others may have no double precision
    is_double = dtype == np.float64 or is_refined
    arithmetic = torch.float64 if is_double else torch.float32
    module = module.to(device, arithmetic if is_double else None)
    n_columns = (
        estimator.n_components_
        if method == "inverse_transform"
        else estimator.n_features_in_
    )
    function: Callable[[Tensor], Tensor]
    if isinstance(estimator, EncoderDecoderRegressor) and method == "predict":
        is_flat = estimator._is_flat
        function = partial(_predict, module, is_flat)
    elif method == "inverse_transform":
        function = module.inverse_transform
    else:
        function = partial(getattr(way, method), module)
    return PreparedMethod(function, n_columns, dtype, device, arithmetic)


def _predict(module: torch.nn.Module, is_flat: bool, X: Tensor) -> Tensor:
    Y = module(X)
    return Y[:, 0] if is_flat else Y
