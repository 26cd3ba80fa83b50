"""What holds of every estimator with a module: attributes, copies and files."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from .._utils.device import resolve_device
from .._utils.packing import pack, unpack
from .._utils.version import __version__
from .._utils.warnings import warn

_VERSION_KEY = "_sklearn_ae_version"
# Attributes that a new fit may leave out, or have last.
_OF_SOME_FITS = ("feature_names_in_", "_latent_density", "reconstruction_err_")


class FittedState(BaseEstimator):
    """A fit sets all or nothing, and a file has all that using the model takes.

    For estimators with a parameter ``device``, a fitted ``module_`` and the
    optimizer's ``_moments``.
    """

    device: str | torch.device
    module_: nn.Module
    n_features_in_: int
    feature_names_in_: np.ndarray

    if TYPE_CHECKING:  # scikit-learn's, which are without types

        def get_feature_names_out(self, input_features: Any = None) -> np.ndarray: ...
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def set_output(
            self, *, transform: Literal["default", "pandas", "polars"] | None = None
        ) -> Self: ...

    def _set_fitted(self, fitted: dict[str, Any], goes_on: bool) -> None:
        """Set all attributes at once: until then a fit has changed nothing."""
        known = dict(vars(self))
        if not goes_on:
            for name in _OF_SOME_FITS:
                known.pop(name, None)
        self.__dict__ = known | fitted

    def __getstate__(self) -> dict[str, Any]:
        # A file is for using the model: without the optimizer's moments, which are
        # twice the weights.
        return {**self._packed_state(), _VERSION_KEY: __version__}

    def _packed_state(self, with_moments: bool = False) -> dict[str, Any]:
        """Arrays and plain values: equal bytes of equal estimators, on any machine."""
        state = super().__getstate__().copy()
        if "module_" in state:
            # Where a fit was kept on its way is no part of what came of it.
            if "checkpoint" in state:
                state["checkpoint"] = None
            if not with_moments:
                state["_moments"] = None
        # In the order of names: that of a dict tells what was fitted and called before.
        return pack(dict(sorted(state.items())))

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        version = state.pop(_VERSION_KEY, __version__)
        if version != __version__:
            warn(
                f"This {type(self).__name__} was saved by version {version} of "
                f"sklearn_ae, and this is version {__version__}: results may differ, "
                "or fail. Fit it anew, or move it by sklearn_ae.save and "
                "sklearn_ae.load, whose files do not depend on the version.",
                UserWarning,
            )
        try:
            self._set_state(unpack(state))
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"What the file says of its {type(self).__name__} makes no sense "
                f"({type(error).__name__}): it was changed."
            ) from error

    def _set_state(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "module_"):
            # Where the device of the fit is missing, the CPU does as well.
            with suppress(ValueError):
                self.module_.to(resolve_device(self.device))


Estimator = TypeVar("Estimator", bound=BaseEstimator)


def unfitted(estimator: Estimator, **parameters: Any) -> Estimator:
    """An estimator with the same parameters but for these, itself and not cloned."""
    return type(estimator)(**{**estimator.get_params(deep=False), **parameters})


def take_columns_of(outer: Any, inner: Any) -> None:
    """Give an estimator what the one within it knows of the columns of X."""
    for name in ("n_features_in_", "feature_names_in_"):
        vars(outer).pop(name, None)
        if hasattr(inner, name):
            setattr(outer, name, getattr(inner, name))


def reader_of(estimator: Any, goes_on: bool) -> Any:
    """What reads the rows of a fit, and remembers what they are like.

    It is another estimator, so that this one stays as it is until all is found.
    """
    reader = unfitted(estimator)
    if goes_on:
        vars(reader).update(vars(estimator))
    return reader
