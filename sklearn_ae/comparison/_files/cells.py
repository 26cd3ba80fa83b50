"""The cells of one column, each distinct one held once."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Cells:
    """A column: its distinct words, and which of them stands in each row.

    What a column is depends on its words alone, so that a long column of few words is
    looked at in no time, and takes four bytes per row.

    Attributes
    ----------
    words : list
        Text without outer blanks, or numbers, booleans and times that a typed file
        holds among text; in order of first appearance.
    codes : ndarray of shape (n_rows,)
        The place in `words` of each row's cell.
    """

    def __init__(self, words: list[Any], codes: NDArray[np.int32]):
        self.words = words
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def counts(self) -> NDArray[np.intp]:
        """Return how often each word stands in the column."""
        return np.bincount(self.codes, minlength=len(self.words))

    def row_of(self, place: int) -> int:
        """Return the first row that holds a word."""
        return int(np.argmax(self.codes == place))

    def take(self, kept: NDArray[np.bool_]) -> "Cells":
        """Return the column without some of its rows."""
        places, codes = np.unique(self.codes[kept], return_inverse=True)
        return Cells([self.words[i] for i in places], codes.astype(np.int32))

    def spread(self, values: Iterable[Any], dtype: Any = object) -> NDArray[Any]:
        """Return an array with the value of each row's word."""
        if isinstance(values, np.ndarray):
            return values.astype(dtype)[self.codes]
        table = np.empty(len(self.words), dtype=dtype)
        for place, value in enumerate(values):
            table[place] = value
        return table[self.codes]


class CellsBuilder:
    """Takes the cells of a column as they are read."""

    def __init__(self) -> None:
        self._known = _Places()
        self._codes: list[NDArray[np.int32]] = []

    def extend(self, words: Iterable[str]) -> None:
        """Append rows."""
        codes = np.fromiter(map(self._known.__getitem__, words), dtype=np.int32)
        self._codes.append(codes)

    def build(self) -> Cells:
        """Return the column."""
        codes = self._codes or [np.empty(0, dtype=np.int32)]
        return Cells(list(self._known), np.concatenate(codes))


class _Places(dict):
    """Word -> its place, by order of first appearance."""

    def __missing__(self, word: str) -> int:
        place = self[word] = len(self)
        return place


def cells_of(values: Iterable[Any]) -> Cells:
    """Return a column of any objects: None for what is missing."""
    known: dict[tuple[type, Any], int] = {}
    words: list[Any] = []
    codes = []
    for value in values:
        word = value.strip() if isinstance(value, str) else value
        try:  # 1, 1.0 and True are equal, and three words
            place = known.setdefault((type(word), word), len(words))
        except TypeError:  # lists and dictionaries
            word = str(word)
            place = known.setdefault((str, word), len(words))
        if place == len(words):
            words.append(word)
        codes.append(place)
    return Cells(words, np.array(codes, dtype=np.int32))
