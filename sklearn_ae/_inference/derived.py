"""What is made of a module's weights once, and serves until they change."""

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from torch import nn

Made = TypeVar("Made")


class Derived(Generic[Made]):
    """Things made of modules, each kept as long as its module and these weights.

    A thing must not hold its module, or both stay for ever.
    """

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[nn.Module, tuple[list, Made]] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, module: nn.Module, make: Callable[[], Made]) -> Made:
        """What was made of the module as it is now, or is made at once."""
        tensors = [*module.parameters(), *module.buffers()]
        if any(t.is_inference() for t in tensors):  # these do not count their changes
            return make()
        # In-place changes of the weights raise their versions.
        versions = [(t.data_ptr(), t._version) for t in tensors]
        known = self._known.get(module)
        if known is None or known[0] != versions:
            known = self._known[module] = (versions, make())
        return known[1]
