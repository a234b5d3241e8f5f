"""Drift between two states: the bins and the tests of `compute.drift`, without the rows.

Counts are exact where a state holds all values of a column (at most 1,000) and for the values that are frequent; the
rest comes from the quantile sketch. A sketch places a rank within about 1.3 %, as 10,000 sampled rows would, so a
sketched column counts for at most so many rows: its noise never passes for drift.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hanok.compute.drift import BINS, MASS, POINT_MIN, ROWS_A_BIN, Drift, Reference, compare, heavy_points
from hanok.compute.states import ColumnState, TableState

SKETCHED_ROWS = 10_000
Counts = NDArray[np.float64]


def compare_states(
    before: TableState, after: TableState, references: Mapping[str, Reference] | None = None
) -> list[Drift]:
    """Drift of every column that both have, with values of one type. Times are left out: they always move on.
    `references` of the same rows know what the state does not: how far their weeks lay from the whole."""
    known = references or {}
    names = comparable(before, after)
    return [compare_columns(before.columns[n], after.columns[n], known.get(n)) for n in names]


def comparable(before: TableState, after: TableState) -> Iterator[str]:
    for name, a in before.columns.items():
        b = after.columns.get(name)
        if b is not None and of_one_kind(a, b):
            yield name


def of_one_kind(before: ColumnState, after: ColumnState) -> bool:
    """Whether values of two columns can be compared. Times are left out: they always move on."""
    if "TIMESTAMP" in (before.type, after.type):
        return False
    same = before.type == after.type or not before.values or not after.values
    return same or {before.type, after.type} <= {"INT", "FLOAT", "BOOL"}


def compare_columns(before: ColumnState, after: ColumnState, known: Reference | None = None) -> Drift:
    ref = reference_of(before if before.values else replace(before, type=after.type))
    if known is not None:
        ref = replace(
            ref,
            usual_psi=known.usual_psi,
            inflation=known.inflation,
            inflation_variance=known.inflation_variance,
        )
    return compare_with(ref, after, sketched=not before.frequent.exact)


def compare_with(ref: Reference, state: ColumnState, *, sketched: bool = False) -> Drift:
    """A state against reference bins; `sketched` says that those were counted from a sketch."""
    counts = counts_of(ref, state)
    kept = np.array(ref.counts, float)
    if not ref.numeric and not state.frequent.exact:  # a value that the state may have dropped is one of the others
        known = set(state.frequent.values.to_pylist())
        lost = [i for i, point in enumerate(ref.points) if point not in known]
        for column in (kept, counts):
            column[len(ref.points)] += column[lost].sum()
            column[lost] = 0
    if sketched or not state.frequent.exact:
        kept *= min(1.0, SKETCHED_ROWS / max(1.0, kept.sum()))
        counts *= min(1.0, SKETCHED_ROWS / max(1.0, counts.sum()))
    found = compare(replace(ref, counts=tuple(kept)), counts)
    return replace(found, rows=state.rows)


def reference_of(state: ColumnState) -> Reference:
    """Bins and counts as `compute.drift.reference` takes them from a column."""
    if state.type in ("STRING", "NULL"):
        pairs = state.frequent.top(2 * BINS)
        few = state.frequent.exact and len(state.frequent.counts) <= 2 * BINS
        low = max(POINT_MIN, state.frequent.missed)
        blank = Reference(state.name, False, tuple(v for v, n in pairs if few or n >= low), (), ())
        return replace(blank, counts=tuple(counts_of(blank, state)))
    values, counts = weighted(state)
    total = counts.sum()
    points: Counts = np.empty(0)
    edges: tuple[float, ...] = ()
    if total:
        if state.frequent.exact:
            heavy = heavy_points(counts)
            points = values[heavy]
        else:
            often = state.frequent.counts > MASS * total
            points = np.sort(np.asarray(state.frequent.values.to_numpy(zero_copy_only=False)[often], float))
        rest = ~np.isin(values, points)
        if rest.any():
            share = counts[rest].sum() / total
            bins = max(1, min(round(BINS * float(share)), int(counts[rest].sum()) // ROWS_A_BIN))
            ranks = np.cumsum(counts[rest])
            places = np.searchsorted(ranks, np.arange(1, bins) / bins * ranks[-1])
            edges = tuple(float(e) for e in np.unique(values[rest][np.minimum(places, rest.sum() - 1)]))
    blank = Reference(state.name, True, tuple(float(p) for p in points), edges, ())
    return replace(blank, counts=tuple(counts_of(blank, state)))


def counts_of(ref: Reference, state: ColumnState) -> Counts:
    """How many of a state's values are in each bin of `ref`; the last bin is null and NaN."""
    places = len(ref.points)
    intervals = len(ref.edges) + 1 if ref.numeric else 1
    made = np.zeros(places + intervals + 1)
    made[-1] = state.nulls + (state.nan if ref.numeric else 0)
    known = dict(zip(state.frequent.values.to_pylist(), state.frequent.counts.tolist(), strict=True))
    if not ref.numeric:
        made[:places] = [known.get(point, 0) for point in ref.points]
        made[places] = max(0, state.values - made[:places].sum())
        return made
    values, counts = weighted(state)
    points = np.array(ref.points, float)
    at_point = np.isin(values, points)
    for i, point in enumerate(ref.points):
        made[i] = known[point] if point in known else counts[values == point].sum()
    left = max(0.0, state.finite - made[:places].sum())
    rest = counts[~at_point]
    if rest.sum():
        bins = places + np.searchsorted(np.array(ref.edges), values[~at_point], side="right")
        made += np.bincount(bins, rest * (left / rest.sum()), minlength=len(made))
    made[places] += state.negative_infinities
    made[places + intervals - 1] += state.positive_infinities
    return made


def weighted(state: ColumnState) -> tuple[Counts, Counts]:
    """Finite values in order and how often each is there."""
    if state.frequent.exact:
        values = np.asarray(state.frequent.values.to_numpy(zero_copy_only=False), float)
        order = np.argsort(values)
        return values[order], state.frequent.counts[order].astype(float)
    values, counts = state.quantiles.weighted()
    return np.asarray(values, float), counts
