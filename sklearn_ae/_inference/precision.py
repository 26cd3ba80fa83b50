"""The precision that a fitted module computes in: that of the rows it is given."""

import copy
from collections.abc import Callable
from itertools import chain
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import nn

from .derived import Derived

Module = TypeVar("Module", bound=nn.Module)

# A float64 copy of each module in use; a copy per call would cost more than a row.
_FLOAT64_TWINS: Derived[nn.Module | None] = Derived()


def in_precision_of(
    module: Module, dtype: Any, try_out: Callable[[Module], object] | None = None
) -> Module:
    """The module, or on a CPU with float64 rows its twin in double precision.

    A twin serves until the weights change. A module of the user's may have none (it
    makes tensors of single precision, say): ``try_out`` is given the twin to use, and
    where that fails the module is taken as it is.
    """
    first = next(chain(module.parameters(), module.buffers()))
    if dtype != np.float64 or first.device.type != "cpu":
        return module
    twin = _FLOAT64_TWINS.of(module, lambda: _float64_twin(module, try_out))
    return cast(Module, twin or module)


@torch.inference_mode(False)
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
