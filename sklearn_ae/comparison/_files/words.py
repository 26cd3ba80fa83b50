"""What single words say: missing, true, a number."""

import re
from typing import Any

import numpy as np

from ..._utils.extras import import_extra
from .numbers import read_number

_ERRORS = "#n/a #na #nv #div/0! #value! #ref! #name? #num! #null! #wert! #bezug! #zahl!"
_ERRORS += " #valeur! #nombre! #¡valor! #¡div/0! #valore! #дел/0! #знач! #н/д"
# Missing wherever they stand.
_MISSING = {
    *("", "?", "na", "n/a", "n.a.", "n.a", "n/d", "n.d.", "nan", "nat", "null", "<na>"),
    *("(null)", "[null]", "<null>", "\\n", "n/v", "k.a.", "k. a.", "s/d", "н/д"),
    *_ERRORS.split(),
}
# Words for a missing number or date, each of which may well be a class of its own.
_NO_NUMBERS = {
    *("none", "missing", "unknown", "nil", "not available", "not applicable", "nd"),
    *("0000-00-00", "0000-00-00 00:00:00"),
    *("n.r.", "nr", "n/r", "keine angabe", "unbekannt", "inconnu", "desconocido"),
}
_DASHES = re.compile("[-\u2010-\u2015\u2212\u2026._*]{1,5}")  # of any length
_TRUTH = {"true": True, "false": False}


def is_missing(word: Any) -> bool:
    """Say whether a cell is missing, whatever its column holds."""
    if isinstance(word, str):
        return word.lower() in _MISSING
    return word is None or bool(import_extra("pandas").isna(word))


def is_no_number(word: Any) -> bool:
    """Say whether a word means missing among numbers and dates."""
    return isinstance(word, str) and (
        word.lower() in _NO_NUMBERS or bool(_DASHES.fullmatch(word))
    )


def truth_of(word: Any) -> bool | None:
    """Return what a word says, if that is true or false."""
    if isinstance(word, str):
        return _TRUTH.get(word.lower())
    return bool(word) if isinstance(word, bool | np.bool_) else None


def is_number(word: Any) -> bool:
    """Say whether a word is a number in some spelling."""
    if not isinstance(word, str):
        return isinstance(word, int | float | np.number) and not isinstance(word, bool)
    return any(
        read_number(word, decimal, grouping) is not None
        for decimal, grouping in ((".", ",' "), (",", ".' "))
    )
