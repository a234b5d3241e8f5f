"""How far one span of data lies from another: one measure for features, scores, labels and kept statistics.

`compare(before, after)` is evidence and no verdict: whether it alarms is `AlarmPolicy.update` (compute/alarms.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import pyarrow as pa

from hanok.compute.drift import Drift, Reference, bin_counts, reference
from hanok.compute.drift import compare as compare_counts
from hanok.compute.state_drift import compare_columns, compare_with, of_one_kind
from hanok.compute.states import ColumnState
from hanok.compute.two_sample import benjamini_hochberg


@dataclass(frozen=True, slots=True)
class Known:
    """Kept statistics of a column, and of the same rows what they do not know: how far weeks lay from the whole."""

    state: ColumnState
    reference: Reference | None = None


Distribution: TypeAlias = Reference | Known | pa.ChunkedArray
"""A column as bins with counts, as kept statistics, or as its values."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is compared: columns of the rows of [start, end). The bounds are ISO texts of one form, so that they order.

    `complete` says that the span is as long as a window has to be; `broken` names columns that cannot be right (null in
    every row).
    """

    columns: Mapping[str, Distribution]
    rows: int = 0
    start: str = ""
    end: str = ""
    complete: bool = True
    broken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Shift:
    """One column: its distances, and its p-value over all columns of the span (Benjamini-Hochberg)."""

    drift: Drift
    p_adjusted: float

    @property
    def column(self) -> str:
        return self.drift.column

    @property
    def effect(self) -> float:
        return self.drift.effect


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a span shows beside another."""

    start: str
    end: str
    rows: int
    shifts: tuple[Shift, ...]
    complete: bool = True
    broken: frozenset[str] = field(default_factory=frozenset)

    def of(self, column: str) -> Shift | None:
        return next((s for s in self.shifts if s.column == column), None)


def compare(before: Span, after: Span) -> Evidence:
    """Every column that both have in comparable form, `after` against `before`."""
    found = list(_drifts(before, after))
    adjusted = benjamini_hochberg([d.p_value for d in found])
    shifts = tuple(Shift(d, p) for d, p in zip(found, adjusted, strict=True))
    return Evidence(after.start, after.end, after.rows, shifts, after.complete, after.broken)


def _drifts(before: Span, after: Span) -> Iterator[Drift]:
    for name, one in before.columns.items():
        other = after.columns.get(name)
        if other is not None and (found := _drift(name, one, other)) is not None:
            yield found


def _drift(name: str, before: Distribution, after: Distribution) -> Drift | None:
    if isinstance(before, Known):
        if not isinstance(after, Known):
            return None
        a, b = before.state, after.state
        return compare_columns(a, b, before.reference) if of_one_kind(a, b) else None
    bins = before if isinstance(before, Reference) else reference(name, before)
    if isinstance(after, Known):
        return compare_with(bins, after.state)
    if isinstance(after, Reference):
        return None
    return compare_counts(bins, bin_counts(bins, after))
