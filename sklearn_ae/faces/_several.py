"""Faces of several processes: each is given some, and all train on all of them."""

from typing import Any

import numpy as np

from .._estimators.several import check_can_be_shared, check_equal, n_rows
from .._utils.processes import Processes

# What faces say of a fit besides themselves.
_FOUND = ("image_shape_", "_layout", "n_features_in_", "feature_names_in_")


def faces_of_all(
    swapper: Any, X: Any, *y: Any, reset: bool, processes: Processes, **asked: Any
) -> Any:
    """Checked faces of all processes, in the order of their ranks; with y, both.

    Some may have none. What is asked of a fit besides must be the same in all.
    """
    if not processes.are_several:
        return swapper._validate_faces(X, *y, reset=reset)
    check_can_be_shared(swapper)
    check_equal(swapper, X, not reset, processes, **asked)
    if swapper.batch_size < processes.n:
        raise ValueError(
            f"batch_size={swapper.batch_size} faces of each identity are in a step, of "
            f"which each of {processes.n} processes takes a part: raise batch_size to "
            f"{processes.n} at least."
        )
    own = None
    if n_rows(X):
        arrays = swapper._validate_faces(X, *y, reset=reset)
        arrays = arrays if y else (arrays,)
        own = arrays, {name: vars(swapper).get(name) for name in _FOUND}
    parts = processes.gather(own)
    known = [(rank, *part) for rank, part in enumerate(parts) if part is not None]
    first_rank, first, found = known[0]
    for rank, other, found_there in known[1:]:
        facts = [
            ("the shape", found_there["_layout"], found["_layout"]),
            ("the type", *(str(arrays[0].dtype) for arrays in (other, first))),
        ]
        if y:
            kinds = (arrays[1].dtype.kind for arrays in (other, first))
            facts += [("names of the type", *kinds)]
        for what, there, here in facts:
            if there != here:
                raise ValueError(
                    f"Process {rank} has faces with {what} {there}, and process "
                    f"{first_rank} with {what} {here}: give all the same."
                )
    vars(swapper).update({k: v for k, v in found.items() if v is not None})
    of_each = [arrays for _, arrays, _ in known]
    of_all = [np.concatenate(parts) for parts in zip(*of_each, strict=True)]
    return tuple(of_all) if y else of_all[0]
