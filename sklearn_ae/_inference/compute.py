"""Functions of a module and rows, block by block, in the precision of the rows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor, nn

from .._networks.modules import Autoencoder
from .._tables.rows import Table, as_tensor, block_rows
from .._utils.device import enough_threads, steady_convolutions
from .inference import Refined
from .precision import in_precision_of


def compute(
    module: Autoencoder,
    function: str | Callable[..., Tensor],
    X: np.ndarray | Table,
    *args: Any,
) -> np.ndarray:
    """Let a method of the module, or a function of it, walk over X in blocks.

    It takes the arguments beside each block: tensors where the module is, others as
    they are. The result has the dtype of X.

    On a CPU the arithmetic has the precision of X too, or double precision where steps
    of a projection are taken or not by comparisons: then the result does not depend on
    how rows are put together into blocks.
    """
    device = module.center.device
    needs_digits = device.type == "cpu" and _is_refined(function, args)
    dtype = np.dtype(np.float64) if needs_digits else X.dtype
    # A network of the user's may not be able to compute in double precision.
    try_out = None if module.is_own else _try_out
    module = in_precision_of(module, dtype, try_out)
    args = tuple(arg.to(device) if isinstance(arg, Tensor) else arg for arg in args)
    n_block = block_rows(module.row_size)
    of_rows = (
        getattr(module, function)
        if isinstance(function, str)
        else partial(function, module)
    )
    result = np.empty(0, dtype=X.dtype)
    with (
        torch.inference_mode(),
        enough_threads(module, min(len(X), n_block)),
        steady_convolutions(device),
    ):
        for rows in gen_batches(len(X), n_block):
            block = as_tensor(X[rows].astype(dtype, copy=False)).to(device)
            output = of_rows(block, *args).cpu().numpy()
            if len(output) == len(X):
                return output.astype(X.dtype, copy=False)
            if len(result) == 0:
                result = np.empty((len(X), *output.shape[1:]), dtype=X.dtype)
            result[rows] = output
    return result


def _is_refined(function: str | Callable[..., Tensor], args: tuple) -> bool:
    return any(
        isinstance(part, Refined)
        for part in (getattr(function, "__self__", None), *args)
    )


def _try_out(module: Autoencoder) -> None:
    """Use a module on a row."""
    n_conditions = module.n_inputs - len(module.center)
    module.forward(nn.functional.pad(module.center, (0, n_conditions))[None])
