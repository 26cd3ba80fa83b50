"""What X comes in, and goes back in: frames of any library, or arrays of objects.

narwhals reads the frames of pandas, polars and pyarrow, and is imported where one is
given. Times are microseconds since 1970 here.
"""

import datetime as dt
import decimal
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np

_DAY = 86_400_000_000  # microseconds
_EPOCH = dt.datetime(1970, 1, 1)
_UNITS = {"s": 1_000_000, "ms": 1000, "us": 1, "ns": 1}


@dataclass(frozen=True)
class RawColumn:
    """A column as it was given.

    Parameters
    ----------
    name : str
        What it is called; "column 3" in an array.

    type : str
        "float", "decimal", "integer", "boolean", "datetime", "date", "duration",
        "time", "text" or "category".

    values : ndarray of shape (n_samples,)
        Numbers, times and truths in double precision, with NaN where they are missing;
        text and categories as objects, with None.

    levels : tuple or None
        Of a type that lists its categories, these in its order.

    unit : float
        What values are multiples of, where they are whole.

    first_row : int
        Where in its table it begins, of which it may be a block.

    is_single : bool
        Whether it came in single precision.

    has_zone : bool
        Whether its times are of a time zone: moments, wherever one is.
    """

    name: str
    type: str
    values: np.ndarray
    levels: tuple[Any, ...] | None = None
    unit: float = 1.0
    first_row: int = 0
    is_single: bool = False
    has_zone: bool = False

    @property
    def is_numeric(self) -> bool:
        return self.values.dtype.kind == "f"

    @property
    def is_missing(self) -> np.ndarray:
        if self.is_numeric:
            return np.isnan(self.values)
        return np.array([value is None for value in self.values], dtype=bool)


# Reading ------------------------------------------------------------------------------


def is_frame(X: Any) -> bool:
    """Whether X is a frame of a library that narwhals knows."""
    return _frame_of(X) is not None


def _frame_of(X: Any) -> Any:
    """X as narwhals has it, or None where it is no frame."""
    if isinstance(X, np.ndarray | list | tuple) or not hasattr(X, "__len__"):
        return None
    is_named = hasattr(X, "columns") or hasattr(X, "column_names")
    if not (is_named and len(getattr(X, "shape", ())) == 2):
        return None
    import narwhals as nw

    frame = _opened(X)
    return frame if isinstance(frame, nw.DataFrame) else None


def has_only_floats(X: Any) -> bool:
    """Whether a frame is a matrix of numbers, which needs no reading of its columns."""
    return all(dtype.is_float() for dtype in _opened(X).schema.values())


def has_times(X: Any) -> bool:
    """Whether X is a frame with columns that are dates or durations."""
    frame = _frame_of(X)
    dtypes = () if frame is None else frame.schema.values()
    return any(dtype.is_temporal() for dtype in dtypes)


def _opened(X: Any) -> Any:
    """X as narwhals has it: a frame, if it is of a library that it knows."""
    import narwhals as nw

    if hasattr(X, "iloc"):
        # Names of pandas may be numbers, tuples or all the same: places tell better.
        X = X.copy(deep=False)
        X.columns = [str(i) for i in range(X.shape[1])]
    elif hasattr(X, "column_names"):
        check_names(X)
    return nw.from_native(X, eager_only=True, pass_through=True)


def read_columns(X: Any) -> list[RawColumn]:
    """The columns of a frame, or of an array of objects or text (n, d)."""
    if isinstance(X, np.ndarray):
        return [
            _of_objects(f"column {i}", column.tolist()) for i, column in enumerate(X.T)
        ]
    import narwhals as nw

    frame = _opened(X)
    return [
        _of_series(name, frame[column], nw)
        for name, column in zip(names_of(X), frame.columns, strict=True)
    ]


def names_of(X: Any) -> list[str]:
    """The names of a frame's columns, as text."""
    names = X.column_names if hasattr(X, "column_names") else X.columns
    return [str(name) for name in names]


def check_names(X: Any) -> None:
    """Raise where columns of a frame have the same name."""
    names = names_of(X)
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise ValueError(
            f"X has several columns of one name: {', '.join(map(repr, twice))}. "
            "Names tell columns apart: rename them."
        )


def quoted(name: str) -> str:
    """A column at the beginning of a sentence."""
    return name.capitalize() if name.startswith("column ") else f"Column {name!r}"


def _of_series(name: str, series: Any, nw: Any) -> RawColumn:
    dtype = series.dtype

    def numbers(of: Any) -> np.ndarray:
        if of.implementation.is_pyarrow():  # whose safe cast takes no large integers
            return of.to_native().cast("double", safe=False).to_numpy().copy()
        return np.array(of.cast(nw.Float64).to_numpy(), dtype=np.float64)

    if dtype.is_integer():
        return RawColumn(name, "integer", numbers(series))
    if dtype.is_float():
        is_single = dtype == nw.Float32
        return RawColumn(name, "float", numbers(series), is_single=is_single)
    if dtype.is_decimal():
        unit = 10.0 ** -_decimal_places(series.to_native())
        return RawColumn(name, "decimal", numbers(series), unit=unit)
    if dtype == nw.Boolean:
        return RawColumn(name, "boolean", numbers(series))
    if dtype == nw.Datetime:
        values = numbers(series.dt.timestamp("us"))
        # Where no cell has a time of day, none comes back with one.
        are_days = bool((values[~np.isnan(values)] % _DAY == 0).all())
        unit = _DAY if are_days else _UNITS[dtype.time_unit]
        has_zone = dtype.time_zone is not None
        return RawColumn(name, "datetime", values, unit=unit, has_zone=has_zone)
    if dtype == nw.Date:
        values = numbers(series.dt.timestamp("us"))
        return RawColumn(name, "date", values, unit=_DAY)
    if dtype == nw.Duration:
        # narwhals' own microseconds of pandas are rounded down from seconds.
        lengths = np.asarray(series.to_numpy(), dtype="timedelta64[us]")
        values = np.where(np.isnat(lengths), np.nan, lengths.astype(np.int64))
        return RawColumn(name, "duration", values, unit=_UNITS[dtype.time_unit])
    if isinstance(dtype, nw.List | nw.Array | nw.Struct):
        raise ValueError(
            f"{quoted(name)} holds {dtype}, and every cell must be one value. Give "
            "the parts columns of their own."
        )
    if series.implementation.is_pyarrow() and dtype in (nw.String, nw.Categorical):
        values = _of_arrow(series.to_native())
        if dtype == nw.Categorical or not all(value is None for value in values):
            kind = "category" if dtype == nw.Categorical else "text"
            return RawColumn(name, kind, values)
    cells = series.to_list()
    if dtype not in (nw.Categorical, nw.Enum):
        return _of_objects(name, cells)
    objects = _as_objects(cells)
    first = next((cell for cell in objects if cell is not None), None)
    if _kind_of(first) != "other":  # as intervals are, and periods
        _of_objects(name, cells)  # raises where cells are not of one kind
    levels = tuple(dtype.categories) if dtype == nw.Enum else None
    return RawColumn(name, "category", objects, levels)


def _of_arrow(column: Any) -> np.ndarray:
    """The cells of a column of text or categories, each level an object once."""
    parts = [np.empty(0, dtype=object)]
    for chunk in getattr(column, "chunks", [column]):
        coded = chunk if hasattr(chunk, "dictionary") else chunk.dictionary_encode()
        levels = _as_objects([*coded.dictionary.to_pylist(), None])
        codes = coded.indices.fill_null(len(levels) - 1)
        parts.append(levels[codes.to_numpy(zero_copy_only=False)])
    return np.concatenate(parts)


def _decimal_places(native: Any) -> int:
    """Digits behind the point of a column of decimals, by its type in its library."""
    dtype = getattr(native, "dtype", getattr(native, "type", None))
    dtype = getattr(dtype, "pyarrow_dtype", dtype)
    return int(getattr(dtype, "scale", 0) or 0)


def _of_objects(name: str, values: list[Any]) -> RawColumn:
    """A column of Python's objects, which must all be of one kind."""
    objects = _as_objects(values)
    kinds: dict[str, Any] = {}
    for value in objects:
        if value is not None:
            kinds.setdefault(_kind_of(value), value)
    for kind in ("cells", "other"):
        if kind in kinds:
            raise ValueError(
                f"{quoted(name)} holds {kinds[kind]!r}, of type "
                f"{type(kinds[kind]).__name__}. A cell must be a number, text, a truth "
                "value, a date or a time, or missing."
            )
    for wider, kind in (
        ("decimal", "integer"),
        ("float", "integer"),
        ("float", "decimal"),
    ):
        if {wider, kind} <= set(kinds):
            del kinds[kind]
    if len(kinds) > 1:
        examples = " and ".join(f"{value!r} ({kind})" for kind, value in kinds.items())
        raise ValueError(
            f"{quoted(name)} mixes types: it holds {examples}. Make all its cells one "
            "type: text, numbers or dates."
        )
    kind = next(iter(kinds), "float")
    if kind == "text":
        return RawColumn(name, kind, objects)
    to_number = _TO_NUMBERS.get(kind, float)
    numbers = np.array(
        [np.nan if value is None else to_number(value) for value in objects],
        dtype=np.float64,
    )
    unit = _DAY if kind == "date" else 1.0
    if kind == "decimal":
        unit = 10.0 ** -max(map(_places, objects))
    has_zone = kind == "datetime" and _has_zone(name, objects)
    return RawColumn(name, kind, numbers, unit=unit, has_zone=has_zone)


def _has_zone(name: str, moments: np.ndarray) -> bool:
    """Whether times have a time zone, of which all have one or none has."""
    of_each: dict[bool, Any] = {}
    for value in moments:
        if value is not None:
            zone = getattr(value, "tzinfo", None)  # numpy's have none
            of_each.setdefault(zone is not None, value)
    if len(of_each) > 1:
        raise ValueError(
            f"{quoted(name)} mixes times with a time zone ({of_each[True]!r}) and "
            f"times without one ({of_each[False]!r}): give all of them one, or none."
        )
    return True in of_each


def _places(value: Any) -> int:
    """Digits behind the point of one decimal."""
    exponent = value.as_tuple().exponent if isinstance(value, decimal.Decimal) else 0
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _as_objects(values: Sequence[Any]) -> np.ndarray:
    """An array of the values (n,), with None for all that stands for a missing one."""
    objects = np.empty(len(values), dtype=object)
    objects[:] = [None if is_missing(value) else value for value in values]
    return objects


def with_none(X: np.ndarray) -> np.ndarray:
    """An array of objects with None for all that stands for a missing one."""
    return _as_objects(X.ravel().tolist()).reshape(X.shape)


def is_missing(value: Any) -> bool:
    """Whether a value stands for one that is not there."""
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return True
    return isinstance(value, float | np.floating | decimal.Decimal) and value != value


def _kind_of(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, Integral):
        return "integer"
    if isinstance(value, decimal.Decimal):
        return "decimal"
    if isinstance(value, Real):
        return "float"
    if isinstance(value, dt.datetime | np.datetime64):
        return "datetime"
    if isinstance(value, dt.date):
        return "date"
    if isinstance(value, dt.timedelta | np.timedelta64):
        return "duration"
    if isinstance(value, dt.time):
        return "time"
    return (
        "cells"
        if isinstance(value, list | tuple | dict | set | np.ndarray)
        else "other"
    )


def _moment(value: Any) -> float:
    if isinstance(value, np.datetime64):
        return float(value.astype("datetime64[us]").astype(np.int64))
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return _length(value - _EPOCH)


def _length(value: Any) -> float:
    if isinstance(value, np.timedelta64):
        return float(value.astype("timedelta64[us]").astype(np.int64))
    return float(value // dt.timedelta(microseconds=1))


def _time_of_day(value: dt.time) -> float:
    return _length(dt.datetime.combine(_EPOCH, value.replace(tzinfo=None)) - _EPOCH)


_TO_NUMBERS = {
    "datetime": _moment,
    "date": lambda value: _length(dt.datetime.combine(value, dt.time()) - _EPOCH),
    "duration": _length,
    "time": _time_of_day,
}


# Giving back --------------------------------------------------------------------------

_FROM_NUMBERS: dict[str, Callable[[float], Any]] = {
    "integer": int,
    "boolean": bool,
    "datetime": lambda us: _EPOCH + dt.timedelta(microseconds=int(us)),
    "date": lambda us: (_EPOCH + dt.timedelta(microseconds=int(us))).date(),
    "duration": lambda us: dt.timedelta(microseconds=int(us)),
    "time": lambda us: (_EPOCH + dt.timedelta(microseconds=int(us) % _DAY)).time(),
}


def to_objects(column: RawColumn) -> list[Any]:
    """The cells of a column as Python has them, with None for those missing."""
    of_number: Callable[[float], Any] | None = _FROM_NUMBERS.get(column.type)
    if column.type == "decimal":
        of_number = partial(_as_decimal, column.unit)
    if column.has_zone:
        of_number = _greenwich_time
    if of_number is None:
        values = column.values.tolist()
        return [None if value != value else value for value in values]
    return [None if v != v else of_number(v) for v in column.values.tolist()]


def _greenwich_time(us: float) -> dt.datetime:
    return _EPOCH.replace(tzinfo=dt.UTC) + dt.timedelta(microseconds=int(us))


def _as_decimal(unit: float, value: float) -> decimal.Decimal:
    places = round(-math.log10(unit))
    return decimal.Decimal(round(value / unit)).scaleb(-places)


class Array:
    """Gives columns back in an array: of numbers, or of Python's objects.

    Parameters
    ----------
    dtype : dtype
        Of the array that they were made of.
    """

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype if np.dtype(dtype).kind in "fiu" else object)

    def limits_of(self, n_columns: int) -> list[tuple[float, float] | None]:
        """The least and the largest whole number of each column, where it has them."""
        has_limits = self.dtype.kind in "iu"
        return [_limits(self.dtype) if has_limits else None] * n_columns

    def restore(self, columns: Sequence[RawColumn], index: Any = None) -> np.ndarray:
        if self.dtype == object or not all(column.is_numeric for column in columns):
            array = np.empty((len(columns[0].values), len(columns)), dtype=object)
            for i, column in enumerate(columns):
                array[:, i] = to_objects(column)
            return array
        numbers = np.column_stack([column.values for column in columns])
        if self.dtype.kind != "f":
            numbers = np.clip(np.round(numbers), *_limits(self.dtype))
        return numbers.astype(self.dtype)

    def fill(self, X: Any, columns: Sequence[RawColumn]) -> np.ndarray:
        """A copy of X in whose missing cells are those of the columns."""
        made = self.restore(columns)
        missing = np.column_stack([column.is_missing for column in read_columns(X)])
        array = np.array(X, dtype=made.dtype)
        array[missing] = made[missing]
        return array


class Frame:
    """Gives columns back in a frame such as the one it was made of.

    Parameters
    ----------
    X : DataFrame or Table
        Of pandas, polars, pyarrow or another library that narwhals knows.
    """

    def __init__(self, X: Any):
        self.backend: str = _opened(X).implementation.value
        # Names and types. A slice would keep the rows that it is of.
        self.empty = X.schema.empty_table() if self.backend == "pyarrow" else X[:0]

    def limits_of(self, n_columns: int) -> list[tuple[float, float] | None]:
        """The least and the largest whole number of each column, where it has them."""
        dtypes = _opened(self.empty).schema.values()
        return [_limits(dtype) if dtype.is_integer() else None for dtype in dtypes]

    def restore(self, columns: Sequence[RawColumn], index: Any = None) -> Any:
        """The frame, with the rows' names of another where it has any."""
        import narwhals as nw

        schema = _opened(self.empty).schema
        series = [
            self._series(name, column, dtype, nw)
            for (name, dtype), column in zip(schema.items(), columns, strict=True)
        ]
        if self.backend == "pandas":
            return self._of_pandas([s.to_native() for s in series], index)
        if self.backend == "pyarrow":
            arrays = {s.name: s.to_native() for s in series}
            return type(self.empty).from_pydict(arrays).cast(self.empty.schema)
        backend: Any = self.backend
        frame = nw.from_dict({s.name: s for s in series}, backend=backend)
        native = frame.to_native()
        if self.backend == "polars":
            return native.cast(dict(self.empty.schema))
        return native

    def fill(self, X: Any, columns: Sequence[RawColumn]) -> Any:
        """A copy of X in whose missing cells are those of the columns."""
        import narwhals as nw

        made = _opened(self.restore(columns, rows_of(X)))
        frame = _opened(X)
        known = [~column.is_missing for column in read_columns(X)]
        if self.backend == "pandas":
            result = X.copy()
            for i, is_known in enumerate(known):
                if not is_known.all():
                    cells = made[str(i)].to_native()
                    result.isetitem(i, X.iloc[:, i].where(is_known, cells))
            return result
        backend: Any = self.backend
        filled = [
            frame[name].zip_with(
                nw.new_series(name, is_known, nw.Boolean, backend=backend), made[name]
            )
            for name, is_known in zip(frame.columns, known, strict=True)
            if not is_known.all()
        ]
        return frame.with_columns(*filled).to_native()

    def _of_pandas(self, series: list[Any], index: Any) -> Any:
        result = self.empty.reindex(range(len(series[0])))
        for i, (column, dtype) in enumerate(
            zip(series, self.empty.dtypes, strict=True)
        ):
            # Not from every type there is a way to that of a column without cells.
            if not (result.dtypes.iloc[i] == dtype and column.isna().all()):
                result.isetitem(i, column.astype(dtype))
        if index is not None:
            result.index = index
        return result

    def _series(self, name: str, column: RawColumn, dtype: Any, nw: Any) -> Any:
        if dtype.is_integer():
            whole = np.clip(np.round(column.values), *_limits(dtype))
            column = replace(column, type="integer", values=whole)
        cells: Any = column.values
        is_plain = column.type == "float" and self.backend == "pandas"
        if not is_plain:  # elsewhere a missing number is not NaN
            # A type has its zone itself; of objects each has one.
            has_zone = column.has_zone and dtype != nw.Datetime
            cells = to_objects(replace(column, has_zone=has_zone))
        # The widest integers are not what a library would take cells for.
        is_wide = dtype.is_integer() and self.backend != "pandas"
        known = dtype if is_wide else None
        if dtype == nw.Datetime:
            naive = nw.new_series(name, cells, nw.Datetime("us"), backend=self.backend)
            if dtype.time_zone is None:
                return naive
            # Moments are those of Greenwich.
            return naive.dt.replace_time_zone("UTC").dt.convert_time_zone(
                dtype.time_zone
            )
        if column.type == "text":
            known = nw.Object if self.backend == "pandas" else nw.String
        return nw.new_series(name, cells, known, backend=self.backend)


def _limits(dtype: Any) -> tuple[float, float]:
    """The least and the largest integer of a type, as doubles within."""
    limits = np.iinfo(str(dtype).lower())
    least, most = float(limits.min), float(limits.max)
    return least, (most if most <= limits.max else float(np.nextafter(most, 0.0)))


def rows_of(X: Any) -> Any:
    """The names of a frame's rows, where it has any."""
    return getattr(X, "index", None) if hasattr(X, "iloc") else None
