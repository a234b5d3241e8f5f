"""Aggregates over time windows, exactly: the rows with t - window < event time <= t that were known at t.

Rows of an entity are kept in order of event time, so a window is a contiguous range and its aggregate one reduction
over that range: sums are never differences of running totals, min and max need no second structure, and the online
store, which holds the same arrays, calls the same function and gets the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.core.declare import Aggregate

Instants = NDArray[np.int64]
Floats = NDArray[np.float64]
FUNCTIONS = ("count", "sum", "mean", "min", "max", "std", "first", "last")
NO_NUMBER = np.array([0x7FF8_0000_0000_6E61]).view(np.float64)[0]
"""A NaN of its own bits: a value is there, and is no number. It is counted, and null for all other functions."""
SPREAD_ROWS = 1 << 22  # rows of windows that are laid out side by side at once, for the sums of squares


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of all entities, sorted by (entity, event time). Instants are microseconds.

    `starts[e]:starts[e + 1]` are the rows of entity e. `visible` is when a row became known (>= event time).
    Values are float64 with NaN for null. Where rows are corrected `until` is when a later form of a row was known: a
    form counts before that; `numbers` are then equal for all forms of a row, and `several` says that more than one is
    here.
    """

    starts: NDArray[np.int64]
    event_time: Instants
    visible: Instants
    values: dict[str, Floats]
    numbers: NDArray[np.int64] | None = None
    until: Instants | None = None
    several: NDArray[np.bool_] | None = None

    def places_of(self, numbers: NDArray[np.int64], entity: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the rows with these numbers are, -1 for those that are not here, or not among the rows of `entity`. Of
        rows that are corrected one form, whosever it is."""
        assert self.numbers is not None
        if not len(self.numbers):
            return np.full(len(numbers), -1)
        order = np.argsort(self.numbers)
        nearest = order[np.minimum(np.searchsorted(self.numbers[order], numbers), len(order) - 1)]
        if self.until is not None:
            return np.where(self.numbers[nearest] == numbers, nearest, -1)
        inside = (self.starts[entity] <= nearest) & (nearest < self.starts[entity + 1]) & (entity >= 0)
        return np.where((self.numbers[nearest] == numbers) & inside, nearest, -1)


def sorted_rows(
    entity: NDArray[np.int64],
    entities: int,
    event_time: Instants,
    visible: Instants,
    values: dict[str, Floats],
    numbers: NDArray[np.int64] | None = None,
    until: Instants | None = None,
) -> Rows:
    """Sort rows into `Rows`; rows with a negative entity are left out. The order of equal event times is kept."""
    keep = np.flatnonzero(entity >= 0)
    order = keep[np.lexsort((event_time[keep], entity[keep]))]
    starts = np.searchsorted(entity[order], np.arange(entities + 1))
    several = None
    if until is not None and numbers is not None:
        _, which, times = np.unique(numbers[order], return_inverse=True, return_counts=True)
        several = times[which] > 1
    return Rows(
        starts,
        event_time[order],
        np.maximum(visible[order], event_time[order]),
        {name: column[order] for name, column in values.items()},
        None if numbers is None else numbers[order],
        None if until is None else until[order],
        several,
    )


def window_aggregate(
    rows: Rows,
    entity: NDArray[np.int64],
    at: Instants,
    window_us: int,
    function: str,
    column: str | None,
    own: NDArray[np.int64] | None = None,
) -> Floats:
    """One value for each (entity, instant). Unknown entity (-1): count 0, others NaN.

    `count` of a column counts its non-null values, `count` of None the rows. An empty window has count 0, and NaN for
    every other function. `std` is that of a sample (n - 1 below), NaN for fewer than two values; `first` and `last` are
    the values of the earliest and the latest row that has one. `own` is for each instant the place of a row that is
    left out in all its forms, or -1.
    """
    low, high = _ranges(rows, entity, at, window_us)
    late = np.zeros(len(at), bool)
    if own is not None:
        low, high = low + (own == low) * (high > low), high - ((own == high - 1) & (high - 1 > low))
        late = (own > low) & (own < high - 1)
        if rows.several is not None and len(rows.several):
            late |= rows.several[own] & (own >= 0)
    values = rows.values[column] if column is not None else np.ones(len(rows.event_time))
    result = _reduce(values, low, high, function)
    late |= _late(rows, low, high, at) | _superseded(rows, low, high, at)
    for part in _parts(np.flatnonzero(late), high - low):
        laid, whose = _laid(low[part], high[part])
        counts = _counting(rows, laid, at[part][whose], None if own is None else own[part][whose])
        many = np.bincount(whose[counts], minlength=len(part))
        ends = np.cumsum(many)
        result[part] = _reduce(values[laid[counts]], ends - many, ends, function)
    return result


def _counting(rows: Rows, places: NDArray[np.int64], at: Instants, own: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Whether each of the rows at these places counts at its instant, beside a row that is left out."""
    counts: NDArray[np.bool_] = rows.visible[places] <= at
    if rows.until is not None:
        counts &= rows.until[places] > at
    if own is None:
        return counts
    if rows.until is None or rows.numbers is None:
        return counts & (places != own)
    return counts & ((own < 0) | (rows.numbers[places] != rows.numbers[own]))


def _parts(which: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Ranges in parts of which the rows are few enough to be laid out side by side."""
    return np.split(which, np.flatnonzero(np.diff(np.cumsum(sizes[which]) // SPREAD_ROWS)) + 1) if len(which) else []


def _laid(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of the rows of ranges, one range after the other, and which range each is of."""
    size = np.maximum(high - low, 0)
    whose = np.repeat(np.arange(len(low)), size)
    return (low - (np.cumsum(size) - size))[whose] + np.arange(len(whose)), whose


def _ranges(
    rows: Rows, entity: NDArray[np.int64], at: Instants, window_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[low, high) for each (entity, instant)."""
    low, high = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    mine = np.flatnonzero(entity >= 0)
    if not len(mine) or not len(rows.event_time):
        return low, high
    if len(rows.starts) == 2:  # one entity, as an online read has it
        ends = [np.searchsorted(rows.event_time, at[mine] - back, side="right") for back in (window_us, 0)]
    else:  # one number for (entity, instant) that grows along the rows: one search finds all
        place, wide, since = _places(rows)
        asked = entity[mine] * wide
        ends = [np.searchsorted(place, asked + since(at[mine] - back), side="left") for back in (window_us, 0)]
    low[mine], high[mine] = ends
    return low, high


def _places(rows: Rows) -> tuple[NDArray[np.int64], int, Callable[[Instants], NDArray[np.int64]]]:
    """A number for each row, `wide` apart for entities; `since` says how many of these numbers of an entity lie at or
    before instants. Where microseconds do not fit they are numbered without gaps."""
    begin = int(rows.event_time.min())
    entities, span = len(rows.starts) - 1, int(rows.event_time.max()) - begin + 1
    whose = np.repeat(np.arange(entities), np.diff(rows.starts))
    if entities * (span + 1) < 1 << 62:
        return whose * (span + 1) + (rows.event_time - begin), span + 1, lambda t: np.clip(t - begin + 1, 0, span)
    instants, rank = np.unique(rows.event_time, return_inverse=True)
    wide = len(instants) + 1
    return whose * wide + rank, wide, lambda t: np.searchsorted(instants, t, side="right")


def _late(rows: Rows, low: NDArray[np.int64], high: NDArray[np.int64], at: Instants) -> NDArray[np.bool_]:
    """Whether a range holds a row that was not known yet."""
    if not len(rows.visible) or np.array_equal(rows.visible, rows.event_time):
        return np.zeros(len(at), bool)
    return (_reduce(rows.visible, low, high, "max") > at) & (high > low)


def _superseded(rows: Rows, low: NDArray[np.int64], high: NDArray[np.int64], at: Instants) -> NDArray[np.bool_]:
    """Whether a range holds a form of a row that another one has come in the place of."""
    if rows.until is None or not len(rows.until):
        return np.zeros(len(at), bool)
    return (_reduce(rows.until, low, high, "min") <= at) & (high > low)


def _reduce(values: NDArray[np.generic], low: NDArray[np.int64], high: NDArray[np.int64], function: str) -> Floats:
    empty = high <= low
    if function in ("first", "last"):
        return _nearest(values.astype(np.float64), low, high, function)
    if function == "std":
        return _spread(values.astype(np.float64), low, high)
    if function in ("sum", "mean", "count"):
        missing = np.isnan(read := values.astype(np.float64))
        if function == "count" and missing.any():
            missing &= read.view(np.int64) != NO_NUMBER.view(np.int64)
        counts = _ranged(np.add, (~missing).astype(np.float64), low, high, empty, 0.0)
        if function == "count":
            return counts
        totals = _ranged(np.add, np.where(missing, 0.0, values).astype(np.float64), low, high, empty, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counts > 0, totals / counts if function == "mean" else totals, np.nan)
    ufunc = {"min": np.fmin, "max": np.fmax}[function]
    return _ranged(ufunc, values.astype(np.float64), low, high, empty, np.nan)


def _nearest(values: Floats, low: NDArray[np.int64], high: NDArray[np.int64], function: str) -> Floats:
    """The first or last value of each range that is not NaN."""
    places = np.arange(len(values))
    known = ~np.isnan(values)
    if function == "first":
        near = np.minimum.accumulate(np.where(known, places, len(values))[::-1])[::-1]
        found = np.append(near, len(values))[np.minimum(low, len(values))]
    else:
        near = np.maximum.accumulate(np.where(known, places, -1))
        found = np.append(near, -1)[high - 1]
    inside = (found >= low) & (found < high)
    return np.where(inside, np.append(values, np.nan)[np.where(inside, found, len(values))], np.nan)


def _spread(values: Floats, low: NDArray[np.int64], high: NDArray[np.int64]) -> Floats:
    """Sample standard deviation by two passes: the squares are of differences from the mean of each range."""
    counts, means = (_reduce(values, low, high, function) for function in ("count", "mean"))
    result = np.full(len(low), np.nan)
    some = np.flatnonzero(counts > 1)
    for part in _parts(some, high - low):
        size = high[part] - low[part]
        begins = np.cumsum(size) - size
        laid = values[np.repeat(low[part] - begins, size) + np.arange(size.sum())]
        with np.errstate(invalid="ignore", over="ignore"):
            squares = np.square(laid - np.repeat(means[part], size))
            squares[np.isnan(laid)] = 0.0
            sums = _ranged(np.add, squares, begins, begins + size, size < 1, 0.0)
            result[part] = np.sqrt(sums / (counts[part] - 1))
    return result


def aggregated(
    rows: Rows,
    entity: NDArray[np.int64],
    at: Instants,
    window_us: int,
    aggregate: Aggregate,
    own: NDArray[np.int64] | None = None,
) -> Floats:
    """`window_aggregate` of a declared aggregate. A ratio is the sum of one column over that of another, both of the
    same window; NaN where the lower one is 0, or where either has no value."""
    if aggregate.over is None:
        return window_aggregate(rows, entity, at, window_us, aggregate.function, aggregate.column, own)
    upper, lower = (
        window_aggregate(rows, entity, at, window_us, "sum", column, own)
        for column in (aggregate.column, aggregate.over)
    )
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.where(lower == 0, np.nan, upper / lower)


def _ranged(
    ufunc: np.ufunc,
    values: Floats,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    empty: NDArray[np.bool_],
    default: float,
) -> Floats:
    result = np.full(len(low), default)
    some = np.flatnonzero(~empty)
    some = some[np.argsort(low[some], kind="stable")]  # reduceat also reduces what lies between: keep that small
    if len(some):
        padded = np.append(values, 0.0)  # reduceat needs every index to be inside
        pairs = np.column_stack((low[some], high[some])).ravel()
        result[some] = ufunc.reduceat(padded, pairs)[::2]
    return result
