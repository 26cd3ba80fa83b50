"""Faces of several processes: each is given some, and all train on all of them."""

from typing import Any

import numpy as np

from .._estimators.fitted_state import reader_of
from .._estimators.several import check_can_be_shared, check_equal, n_rows
from .._utils.processes import Processes

# What faces say of a fit besides themselves.
_FOUND = ("image_shape_", "_layout", "n_features_in_", "feature_names_in_")


def faces_of_all(
    swapper: Any, X: Any, *y: Any, goes_on: bool, processes: Processes, **asked: Any
) -> tuple[Any, dict[str, Any]]:
    """Checked faces of all processes, in the order of their ranks; with y, both.

    And what they are like, as attributes. Some processes may have no faces. What is
    asked of a fit besides must be the same in all.
    """
    reader = reader_of(swapper, goes_on)
    if not processes.are_several:
        arrays = reader._validate_faces(X, *y, reset=not goes_on)
        return arrays, _found_by(reader)
    check_can_be_shared(swapper)
    check_equal(swapper, X, goes_on, processes, **asked)
    if swapper.batch_size < processes.n:
        raise ValueError(
            f"batch_size={swapper.batch_size} faces of each identity are in a step, of "
            f"which each of {processes.n} processes takes a part: raise batch_size to "
            f"{processes.n} at least."
        )
    own = None
    if n_rows(X):
        arrays = reader._validate_faces(X, *y, reset=not goes_on)
        own = arrays if y else (arrays,), _found_by(reader)
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
    of_each = [arrays for _, arrays, _ in known]
    of_all = [np.concatenate(parts) for parts in zip(*of_each, strict=True)]
    return tuple(of_all) if y else of_all[0], found


def _found_by(reader: Any) -> dict[str, Any]:
    return {name: vars(reader)[name] for name in _FOUND if name in vars(reader)}
