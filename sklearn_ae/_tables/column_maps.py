"""Maps of columns of numbers to scores that are about standard normal, and back.

A value's score is the normal quantile of its rank in `fit`. Values that many rows share
are atoms: each takes an interval of scores, as wide as it has rows. Between the knots,
which are atoms and quantiles of the other values, the map is linear, so that it has an
inverse and a slope everywhere. Beyond the outermost it rises as a logarithm: values far
out are rare, and not impossible.

Shapes: p knots, in rising order.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from .._utils.processes import ALONE, Processes

# A value is an atom where so many rows and this share of the rows have it: fewer may be
# chance, and to draw it as often would repeat those rows. Of a few values each is one.
_LEAST_ROWS, _LEAST_SHARE = 5, 0.001
_FEW_VALUES = 10
# Rows between two knots, and knots at most.
_ROWS_BETWEEN, _MOST_KNOTS = 20, 200
# Rows that stand for what was not seen: between knots, and beyond the outermost where
# this is an atom.
_UNSEEN_BETWEEN, _UNSEEN_BEYOND = 1.0, 1e-2
_MOST_DECIMALS = 6
_LARGEST_WHOLE = 2.0**53


@dataclass(frozen=True)
class ColumnMap:
    """A rising map from values to scores, with intervals of scores for atoms.

    Parameters
    ----------
    values : ndarray of shape (p,)
        The knots.

    lower, upper : ndarray of shape (p,)
        Scores at which each knot begins and ends; equal where it is no atom.

    log_slopes : ndarray of shape (p + 1,)
        Logarithms of d score / d value between knots, and where it goes on below the
        first and above the last.

    log_widths : ndarray of shape (p,)
        Logarithms of how much of the values' axis is nearer to each knot than to any
        other value of `fit`.

    is_empty : ndarray of bool of shape (p + 1,)
        Where between knots, or beyond them, `fit` saw no value.

    step : float
        What values are apart by multiples of, or 0.

    decimals : int
        Decimal places of the values, where they have a step.

    is_single : bool
        Whether the values of `fit` came in single precision.
    """

    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    log_slopes: np.ndarray
    log_widths: np.ndarray
    is_empty: np.ndarray
    step: float
    decimals: int
    is_single: bool = False

    @classmethod
    def of(
        cls, column: np.ndarray, processes: Processes = ALONE, is_single: bool = False
    ) -> "ColumnMap":
        """For the values of a column of `fit` (n,), of which NaN are missing.

        Those of all processes: each has some.
        """
        distinct, counts = _counted(column[~np.isnan(column)], processes)
        n_known = int(counts.sum())
        least = max(_LEAST_ROWS, math.ceil(_LEAST_SHARE * n_known))
        few = max(1, min(_FEW_VALUES, n_known // _LEAST_ROWS))
        is_atom = (counts >= least) | (len(distinct) <= few)
        values, is_knot = _knots(distinct, counts, is_atom)
        atoms = np.where(is_atom, counts, 0)[is_knot]
        # Rows of no atom below each knot; of those at it, half.
        others = np.where(is_atom, 0, counts)
        below = (np.cumsum(others) - 0.5 * others)[is_knot]
        # In units of the largest, differences of large values stay finite.
        size = float(np.abs(values).max()) or 1.0
        steps = np.diff(values / size)
        extent = steps.sum()
        between = np.diff(below) + _UNSEEN_BETWEEN * steps / (extent or 1.0)
        ends = np.array([below[0], others.sum() - below[-1]])
        first, last = np.maximum(ends, _UNSEEN_BEYOND)
        # Along the scores lie an end, a knot, what is between, a knot, ..., an end.
        masses = np.empty(2 * len(values) + 1)
        masses[0], masses[-1] = first, last
        masses[1::2], masses[2:-1:2] = atoms, between
        scores = _scores(masses)
        lower, upper = scores[0::2], scores[1::2]
        # Beyond the ends as at their side, or where nothing is there as on the whole.
        of_all = math.log(6.0) - math.log(extent) if extent else 0.0
        slopes = np.full(len(values) + 1, of_all)
        slopes[1:-1] = np.log(lower[1:] - upper[:-1]) - np.log(steps)
        is_empty = np.concatenate([[ends[0] == 0], np.diff(below) == 0, [ends[1] == 0]])
        for end, side in ((0, 1), (-1, -2)):
            if not is_empty[side] and len(values) > 1:
                slopes[end] = slopes[side]
        slopes -= math.log(size)
        widths = _log_widths(distinct)[is_knot]
        step, decimals = _lattice(distinct)
        return cls(
            *(values, lower, upper, slopes, widths, is_empty, step, decimals),
            is_single=is_single,
        )

    @property
    def is_atom(self) -> np.ndarray:
        return self.upper > self.lower

    @property
    def edges(self) -> np.ndarray:
        """Where each knot begins and ends, in turn: (2p,)."""
        return np.column_stack([self.lower, self.upper]).ravel()

    def encode(self, column: np.ndarray, is_single: bool = False) -> np.ndarray:
        """Scores of values (n,); that of an atom is the mean of its interval.

        They may come in single precision.
        """
        v = np.asarray(column, dtype=np.float64)
        if is_single != self.is_single:
            v = self._at_atoms(v)
        last = len(self.values) - 1
        at = np.searchsorted(self.values, v).clip(0, last)
        place = np.searchsorted(self.values, v, side="right")  # the piece, 0 to p
        scores = self._along(place, v)
        on_atom = (self.values[at] == v) & self.is_atom[at]
        scores = np.where(on_atom, self.centers()[at], scores)
        return np.where(np.isnan(v), np.nan, scores)

    def decode(self, scores: np.ndarray, only_seen: bool = False) -> np.ndarray:
        """The values that have these scores (n,).

        Where only what was seen is wanted, scores between two knots with no value
        between them are those of the nearer one.
        """
        y = np.asarray(scores, dtype=np.float64)
        place = np.searchsorted(self.edges, y)
        piece, on_knot = place // 2, place % 2 == 1
        left, right, start = self.ends(piece)
        base = self.values[left]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            log_steps = np.log(np.expm1(np.abs(y - start))) - self.log_slopes[piece]
            beyond = base + np.sign(y - start) * np.exp(log_steps)
            share = (y - start) / (self.lower[right] - start)
            within = (1.0 - share) * base + share * self.values[right]
        values = np.where(left < right, within, beyond)
        values = np.where(on_knot, self.values[right], values)
        if only_seen:
            low, high = np.abs(y - start), np.abs(self.lower[right] - y)
            nearer = np.where(low <= high, left, right)
            values = np.where(
                self.is_empty[piece] & ~on_knot, self.values[nearer], values
            )
        largest = np.finfo(np.float64).max
        return np.where(np.isnan(y), np.nan, np.clip(values, -largest, largest))

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Values as far apart as those of `fit` are."""
        if not self.step:
            return values
        first = self.values[0]
        whole = first + np.round((values - first) / self.step) * self.step
        return np.round(whole, self.decimals)

    def log_slope(self, scores: np.ndarray) -> np.ndarray:
        """Logarithm of d score / d value at scores (n,) that are of no atom."""
        place = np.searchsorted(self.edges, scores)
        beyond = np.maximum(self.lower[0] - scores, scores - self.upper[-1])
        return self.log_slopes[place // 2] - np.maximum(beyond, 0.0)

    def interval(self, least: float, most: float) -> tuple[float, float]:
        """Scores of all values from the least to the most, both among them."""
        if self.is_single:
            least, most = self._at_atoms(np.array([least, most])).tolist()
        ends = []
        for value, edges, infinite in (
            (least, self.lower, -np.inf),
            (most, self.upper, np.inf),
        ):
            at = np.flatnonzero(self.values == value)
            if value == infinite:
                ends.append(infinite)
            elif len(at):
                ends.append(float(edges[at[0]]))
            else:
                ends.append(float(self.encode(np.array([value]))[0]))
        return ends[0], ends[1]

    def seen(self, lower: float, upper: float) -> tuple[float, float]:
        """What is left of an interval of scores without ends where `fit` saw nothing.

        A drawn score there would be a knot outside of the interval. Where nothing is
        left, the lower end is above the upper.
        """
        below = int(np.searchsorted(self.edges, lower))
        if np.isfinite(lower) and below % 2 == 0 and self.is_empty[below // 2]:
            lower = np.append(self.lower, np.inf)[below // 2]
        above = int(np.searchsorted(self.edges, upper, side="right"))
        if np.isfinite(upper) and above % 2 == 0 and self.is_empty[above // 2]:
            upper = np.append(-np.inf, self.upper)[above // 2]
        if lower == upper and np.isinf(lower):
            lower, upper = np.inf, -np.inf
        return float(lower), float(upper)

    def _at_atoms(self, v: np.ndarray) -> np.ndarray:
        """Values (n,), those that are an atom in single precision as that atom."""
        atoms = self.values[self.is_atom]
        if not len(atoms):
            return v
        rounded, of_rows = in_single_precision(atoms), in_single_precision(v)
        at = np.searchsorted(rounded, of_rows).clip(0, len(atoms) - 1)
        return np.where(rounded[at] == of_rows, atoms[at], v)

    def _along(self, piece: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Scores of values in pieces between knots, or beyond them."""
        left, right, start = self.ends(piece)
        base = self.values[left]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            share = (v / 2 - base / 2) / (self.values[right] / 2 - base / 2)
            within = start + share * (self.lower[right] - start)
            # Halves, as twice the largest number is none.
            log_steps = np.log(np.abs(v / 2 - base / 2)) + math.log(2.0)
            log_steps = log_steps + self.log_slopes[piece]
            beyond = start + np.sign(v - base) * np.logaddexp(0.0, log_steps)
        return np.where(left < right, within, beyond)

    def ends(self, piece: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The knots left and right of pieces, and the scores that these start at.

        Beyond the outermost knot both are that one, from which the piece starts.
        """
        left = np.maximum(piece - 1, 0)
        right = np.minimum(piece, len(self.values) - 1)
        return left, right, np.where(piece == 0, self.lower[0], self.upper[left])

    def centers(self) -> np.ndarray:
        """Means of standard normal scores within the knots: (p,)."""
        mass = ndtr(self.upper) - ndtr(self.lower)
        density = np.exp(-0.5 * np.square([self.lower, self.upper]))
        density /= math.sqrt(2.0 * math.pi)
        with np.errstate(invalid="ignore", divide="ignore"):
            centers = (density[0] - density[1]) / mass
        middle = 0.5 * (self.lower + self.upper)
        inside = (centers > self.lower) & (centers < self.upper)
        return np.where(inside, centers, middle)


def in_single_precision(values: np.ndarray) -> np.ndarray:
    """Numbers in single precision; those beyond its largest are infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _counted(values: np.ndarray, processes: Processes) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values of all processes, rising, and how many rows have each."""
    own = np.unique(values, return_counts=True)
    if not processes.are_several:
        return own
    parts = zip(*processes.gather_known(own), strict=True)
    of_all, counts = (np.concatenate(part) for part in parts)
    distinct, place = np.unique(of_all, return_inverse=True)
    return distinct, np.bincount(place, counts).astype(np.int64)


def _knots(
    distinct: np.ndarray, counts: np.ndarray, is_atom: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Atoms and quantiles of the other values, and which of the values they are."""
    is_knot = is_atom.copy()
    others = np.flatnonzero(~is_atom)
    if len(others):
        n_rows = int(counts[others].sum())
        n_knots = min(_MOST_KNOTS, max(2, n_rows // _ROWS_BETWEEN))
        ranks = np.cumsum(counts[others])
        at = np.searchsorted(ranks, np.linspace(1, n_rows, n_knots))
        is_knot[others[at.clip(0, len(others) - 1)]] = True
    return distinct[is_knot], is_knot


def _log_widths(values: np.ndarray) -> np.ndarray:
    """Logarithms of what lies nearer to each of rising values than to any other.

    The first and the last have as much beyond them as on their other side, and a value
    that is alone has a width of 1.
    """
    if len(values) == 1:
        return np.zeros(1)
    # Halves of the steps, of which no difference is beyond the largest number. Halves
    # of the least numbers are none.
    halves = np.maximum(np.diff(values / 2.0), np.finfo(np.float64).tiny)
    sides = np.log(np.concatenate([halves[:1], halves, halves[-1:]]))
    return np.logaddexp(sides[:-1], sides[1:])


def _scores(masses: np.ndarray) -> np.ndarray:
    """Normal quantiles between masses (m,) that follow one another: (m - 1,)."""
    from_below = np.cumsum(masses)[:-1]
    from_above = np.cumsum(masses[::-1])[::-1][1:]
    total = masses.sum()
    # From the nearer end: what is small keeps its digits.
    return np.where(
        from_below < from_above,
        ndtri(from_below / total),
        -ndtri(from_above / total),
    )


def _lattice(values: np.ndarray) -> tuple[float, int]:
    """What values are apart by multiples of, or 0, and their decimal places."""
    for decimals in range(_MOST_DECIMALS + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            units = np.round(values * 10.0**decimals)
            is_exact = np.array_equal(np.round(values, decimals), values)
        if is_exact and np.abs(units).max() < _LARGEST_WHOLE:
            apart = np.gcd.reduce(np.diff(units.astype(np.int64)), initial=0)
            return float(apart or 1) / 10.0**decimals, decimals
    return 0.0, 0
