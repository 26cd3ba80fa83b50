"""Which cells of a row are missing: a part of what the row is.

Shapes: n rows, c columns, p patterns.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._utils.processes import current
from .containers import RawColumn
from .kinds import LEAST_SHARE, MOST_LEVELS, drawn_levels


@dataclass(frozen=True)
class MissingPatterns:
    """The frequent patterns of missing cells, with an indicator of each.

    Parameters
    ----------
    patterns : ndarray of bool of shape (p, c)
        Which columns are missing in each.
    """

    patterns: np.ndarray

    @classmethod
    def of(cls, columns: Sequence[RawColumn]) -> "MissingPatterns | None":
        """Those of the rows of `fit`, in all processes, unless all miss the same."""
        counts: Counter[bytes] = Counter()
        own = Counter(row.tobytes() for row in _missing(columns))
        for part in current().gather_known(own):
            counts += part
        least = LEAST_SHARE * counts.total()
        kept = [row for row, n in counts.most_common(MOST_LEVELS) if n >= least]
        if len(kept) < 2:
            return None
        rows = [np.frombuffer(row, dtype=bool) for row in kept]
        return cls(np.array(rows))

    @property
    def n_numbers(self) -> int:
        return len(self.patterns)

    @property
    def number_names(self) -> list[str]:
        return [f"missing_{i}" for i in range(self.n_numbers)]

    def encode(self, columns: Sequence[RawColumn]) -> np.ndarray:
        """Indicators (n, p), NaN of a pattern that `fit` did not see."""
        places = {row.tobytes(): i for i, row in enumerate(self.patterns)}
        codes = np.array([places.get(row.tobytes(), -1) for row in _missing(columns)])
        numbers = np.eye(self.n_numbers)[codes]
        numbers[codes < 0] = np.nan
        return numbers

    def blank(
        self,
        columns: Sequence[RawColumn],
        shares: np.ndarray,
        random_state: np.random.RandomState,
    ) -> list[RawColumn]:
        """The columns without the cells of a pattern drawn by these shares (n, p)."""
        missing = self.patterns[drawn_levels(shares, random_state)]
        blanked = []
        for column, is_missing in zip(columns, missing.T, strict=True):
            values = column.values.copy()
            values[is_missing] = np.nan if column.is_numeric else None
            blanked.append(replace(column, values=values))
        return blanked


def _missing(columns: Sequence[RawColumn]) -> np.ndarray:
    """Which cells are missing: (n, c)."""
    return np.ascontiguousarray(np.column_stack([c.is_missing for c in columns]))
