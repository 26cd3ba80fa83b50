"""Tables written again as their file spells them, but for the cells that changed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._utils.extras import import_extra
from .cells import Cells

if TYPE_CHECKING:
    import pandas as pd


def spelled_again(
    frame: "pd.DataFrame",
    words: Mapping[str, Cells],
    is_changed: "pd.DataFrame | None" = None,
) -> "pd.DataFrame":
    """Return a table with the words of its file, but for the cells that changed.

    Parameters
    ----------
    frame : DataFrame
        The values, with the numbers of the file's rows.
    words : mapping of str to Cells
        Of columns of text, as they stand in the file; others stay as they are.
    is_changed : DataFrame of bool, default=None
        Which cells of some columns are others than in the file; None: no cell is.
    """
    spelled, none = frame.copy(deep=False), np.zeros(len(frame), dtype=bool)
    for name in frame.columns.intersection([*words]):
        changed = none
        if is_changed is not None and name in is_changed:
            changed = is_changed[name].to_numpy()
        spelled[name] = _spelled_column(frame[name], words[name], changed)
    return spelled


def _spelled_column(
    column: "pd.Series", cells: Cells, is_changed: NDArray[np.bool_]
) -> "pd.Series":
    """Return a column's words, with the changed cells spelled as the others.

    Where the file spells its values in a way of its own, and changed cells hold others,
    the column stays as it is: one of two spellings would be read wrong.
    """
    words = cells.spread(cells.words)[column.index]
    if not is_changed.any():
        return import_extra("pandas").Series(words, column.index, name=column.name)
    values = column.tolist()
    known = {
        value: word
        for value, word, changed in zip(values, words, is_changed, strict=True)
        if not changed
    }
    new = [values[i] for i in np.flatnonzero(is_changed)]
    are_known = all(value in known for value in new)
    if not are_known and not all(_is_plain(w, value) for value, w in known.items()):
        return column
    words[is_changed] = [known.get(value, _plain(value)) for value in new]
    return import_extra("pandas").Series(words, column.index, name=column.name)


def _plain(value: Any) -> str:
    """Return a value as programs write it: a day without a time of day."""
    is_moment = isinstance(value, import_extra("pandas").Timestamp)
    text = str(value)
    return text.removesuffix(" 00:00:00") if is_moment else text


def _is_plain(word: Any, value: Any) -> bool:
    if word == _plain(value):
        return True
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    try:
        return is_number and (float(word) == value or np.isnan(value))
    except (TypeError, ValueError):
        return bool(is_number and np.isnan(value))
