"""The precision that a fitted module computes in: that of the rows it is given."""

import copy
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

# A float64 copy of each module in use; a copy per call would cost more than a row.
_FLOAT64_TWINS: "weakref.WeakKeyDictionary[nn.Module, tuple]" = (
    weakref.WeakKeyDictionary()
)


def in_precision_of(
    module: Module, dtype: Any, try_out: Callable[[Module], object] | None = None
) -> Module:
    """The module, or on a CPU with float64 rows its twin in double precision.

    A twin serves until the weights change. A module of the user's may have none (it
    makes tensors of single precision, say): ``try_out`` is given the twin to use, and
    where that fails the module is taken as it is.
    """
    tensors = [*module.parameters(), *module.buffers()]
    if dtype != np.float64 or tensors[0].device.type != "cpu":
        return module
    if any(t.is_inference() for t in tensors):  # these do not count their changes
        return _float64_twin(module, try_out) or module
    # In-place changes of the weights raise their versions.
    versions = [(t.data_ptr(), t._version) for t in tensors]
    known = _FLOAT64_TWINS.get(module)
    if known is None or known[0] != versions:
        known = _FLOAT64_TWINS[module] = (versions, _float64_twin(module, try_out))
    return known[1] or module


@torch.no_grad()
def _float64_twin(
    module: Module, try_out: Callable[[Module], object] | None
) -> Module | None:
    twin = copy.deepcopy(module).double()
    if try_out is not None:
        try:
            try_out(twin)
        except Exception:  # whatever the user's code leads to
            return None
    return twin
