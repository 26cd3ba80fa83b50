"""What holds of every estimator with a module: failed fits, copies and files."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from sklearn.base import BaseEstimator
from torch import nn

from .._utils.device import resolve_device


class FittedState(BaseEstimator):
    """A failed fit changes nothing, and a file has all that using the model takes.

    For estimators with a parameter ``device``, a fitted ``module_`` and the
    optimizer's ``_moments``.
    """

    device: str | torch.device
    module_: nn.Module

    @contextmanager
    def _unchanged_on_failure(self) -> Iterator[None]:
        """Give the estimator its attributes back where a fit fails or is stopped."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def __getstate__(self):
        # A file is for using the model: on any machine, so in main memory, and
        # without the optimizer's moments, which are twice the weights.
        state = super().__getstate__().copy()
        if "module_" in state:
            state["module_"] = copy.deepcopy(self.module_).cpu()
            state["_moments"] = None
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "module_"):
            # Where the device of the fit is missing, the CPU does as well.
            with suppress(ValueError):
                self.module_.to(resolve_device(self.device))
