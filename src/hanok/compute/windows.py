"""Aggregates over time windows, exactly: the rows with t - window < event time <= t that were known at t.

Rows of an entity are kept in order of event time, so a window is a contiguous range and its aggregate one reduction
over that range: sums are never differences of running totals, min and max need no second structure, and the online
store, which holds the same arrays, calls the same function and gets the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Instants = NDArray[np.int64]
Floats = NDArray[np.float64]
FUNCTIONS = ("count", "sum", "mean", "min", "max")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of all entities, sorted by (entity, event time). Instants are microseconds.

    `starts[e]:starts[e + 1]` are the rows of entity e. `visible` is when a row became known (>= event time).
    Values are float64 with NaN for null.
    """

    starts: NDArray[np.int64]
    event_time: Instants
    visible: Instants
    values: dict[str, Floats]
    numbers: NDArray[np.int64] | None = None

    def places_of(self, numbers: NDArray[np.int64], entity: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the rows with these numbers are, -1 for those that are not here, or not among the rows of `entity`."""
        assert self.numbers is not None
        if not len(self.numbers):
            return np.full(len(numbers), -1)
        order = np.argsort(self.numbers)
        nearest = order[np.minimum(np.searchsorted(self.numbers[order], numbers), len(order) - 1)]
        inside = (self.starts[entity] <= nearest) & (nearest < self.starts[entity + 1]) & (entity >= 0)
        return np.where((self.numbers[nearest] == numbers) & inside, nearest, -1)


def sorted_rows(
    entity: NDArray[np.int64],
    entities: int,
    event_time: Instants,
    visible: Instants,
    values: dict[str, Floats],
    numbers: NDArray[np.int64] | None = None,
) -> Rows:
    """Sort rows into `Rows`; rows with a negative entity are left out. The order of equal event times is kept."""
    keep = np.flatnonzero(entity >= 0)
    order = keep[np.lexsort((event_time[keep], entity[keep]))]
    starts = np.searchsorted(entity[order], np.arange(entities + 1))
    return Rows(
        starts,
        event_time[order],
        np.maximum(visible[order], event_time[order]),
        {name: column[order] for name, column in values.items()},
        None if numbers is None else numbers[order],
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

    `count` of a column counts its non-null values, `count` of None the rows. An empty window has count 0, and NaN
    for every other function. `own` is for each instant the place of a row that is left out, or -1.
    """
    low, high = _ranges(rows, entity, at, window_us)
    late = np.zeros(len(at), bool)
    if own is not None:
        low, high = low + (own == low) * (high > low), high - ((own == high - 1) & (high - 1 > low))
        late = (own > low) & (own < high - 1)
    values = rows.values[column] if column is not None else np.ones(len(rows.event_time))
    result = _reduce(values, low, high, function)
    late |= _late(rows, low, high, at)
    for i in np.flatnonzero(late):
        counts = rows.visible[low[i] : high[i]] <= at[i]
        if own is not None and low[i] < own[i] < high[i] - 1:
            counts[own[i] - low[i]] = False
        known = values[low[i] : high[i]][counts]
        result[i] = _reduce(known, np.array([0]), np.array([len(known)]), function)[0]
    return result


def _ranges(
    rows: Rows, entity: NDArray[np.int64], at: Instants, window_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[low, high) for each (entity, instant)."""
    low, high = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    order = np.argsort(entity, kind="stable")
    sorted_ = entity[order]
    changes = np.flatnonzero(sorted_[1:] != sorted_[:-1]) + 1
    asked = [i for i in (*([0] if len(order) else []), *changes) if sorted_[i] >= 0]
    for first, last in zip(asked, [*asked[1:], len(order)], strict=False):
        mine = order[first:last]
        begin, end = rows.starts[entity[mine[0]]], rows.starts[entity[mine[0]] + 1]
        times = rows.event_time[begin:end]
        low[mine] = begin + np.searchsorted(times, at[mine] - window_us, side="right")
        high[mine] = begin + np.searchsorted(times, at[mine], side="right")
    return low, high


def _late(rows: Rows, low: NDArray[np.int64], high: NDArray[np.int64], at: Instants) -> NDArray[np.bool_]:
    """Whether a range holds a row that was not known yet."""
    if not len(rows.visible) or np.array_equal(rows.visible, rows.event_time):
        return np.zeros(len(at), bool)
    return (_reduce(rows.visible, low, high, "max") > at) & (high > low)


def _reduce(values: NDArray[np.generic], low: NDArray[np.int64], high: NDArray[np.int64], function: str) -> Floats:
    empty = high <= low
    if function in ("sum", "mean", "count"):
        missing = np.isnan(values.astype(np.float64))
        counts = _ranged(np.add, (~missing).astype(np.float64), low, high, empty, 0.0)
        if function == "count":
            return counts
        totals = _ranged(np.add, np.where(missing, 0.0, values).astype(np.float64), low, high, empty, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counts > 0, totals / counts if function == "mean" else totals, np.nan)
    ufunc = {"min": np.fmin, "max": np.fmax}[function]
    return _ranged(ufunc, values.astype(np.float64), low, high, empty, np.nan)


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
