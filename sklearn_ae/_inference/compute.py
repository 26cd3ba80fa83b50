"""A module's methods on rows, block by block, in the precision of the rows."""

import copy
import weakref
from collections.abc import Callable

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor, nn

from .._networks.modules import Autoencoder
from .._tables.rows import Table, as_tensor, block_rows
from .._utils.device import enough_threads, steady_convolutions


def compute(
    module: Autoencoder,
    method: str,
    X: np.ndarray | Table,
    *args: Tensor,
    n_block: int | None = None,
) -> np.ndarray:
    """Let a method of the module walk over X in blocks; keep X's dtype.

    On a CPU the arithmetic has the precision of X too: with float64 in, the result does
    not depend on how rows are put together into blocks.
    """
    module = _in_precision_of(module, X.dtype)
    device = module.center.device
    args = tuple(arg.to(device) for arg in args)
    n_block = n_block or block_rows(module.row_size)
    result = np.empty(0, dtype=X.dtype)
    with (
        torch.inference_mode(),
        enough_threads(module, min(len(X), n_block)),
        steady_convolutions(device),
    ):
        for rows in gen_batches(len(X), n_block):
            block = as_tensor(X[rows]).to(device)
            output = getattr(module, method)(block, *args).cpu().numpy()
            if len(output) == len(X):
                return output.astype(X.dtype, copy=False)
            if len(result) == 0:
                result = np.empty((len(X), *output.shape[1:]), dtype=X.dtype)
            result[rows] = output
    return result


@torch.no_grad()
def over_blocks(
    module: Autoencoder,
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    n_block: int | None = None,
) -> Tensor:
    """A function of rows, which goes through the module, in bounded memory."""
    n_block = n_block or block_rows(module.row_size)
    return torch.cat([function(part) for part in x.split(n_block)])


# A float64 copy of each module in use; a copy per call would cost more than a row.
_FLOAT64_TWINS: "weakref.WeakKeyDictionary[nn.Module, tuple]" = (
    weakref.WeakKeyDictionary()
)


def _in_precision_of(module: Autoencoder, dtype: np.dtype) -> Autoencoder:
    """The module, or on a CPU with float64 rows its twin in double precision."""
    if dtype != np.float64 or module.center.device.type != "cpu":
        return module
    # In-place changes of the weights raise their versions.
    tensors = [*module.parameters(), *module.buffers()]
    versions = [(t.data_ptr(), t._version) for t in tensors]
    known = _FLOAT64_TWINS.get(module)
    if known is None or known[0] != versions:
        known = _FLOAT64_TWINS[module] = (versions, _float64_twin(module))
    return known[1] or module


@torch.no_grad()
def _float64_twin(module: Autoencoder) -> Autoencoder | None:
    """A copy in double precision; None where the user's own network cannot have one."""
    twin = copy.deepcopy(module).double()
    if not module.is_own:
        n_conditions = module.n_inputs - len(module.center)
        row = nn.functional.pad(module.center.double(), (0, n_conditions))[None]
        try:
            twin.forward(row)
        except Exception:  # it makes tensors of single precision, say
            return None
    return twin
