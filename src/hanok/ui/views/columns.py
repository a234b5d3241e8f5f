"""The columns of a table over time, from statistics kept at ingestion: no row is read for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hanok.compute.states import ColumnState, TableState
from hanok.core.errors import Invalid
from hanok.core.validation import ColumnSchema
from hanok.ui.views.common import Ask

if TYPE_CHECKING:
    from hanok.engine.app import App

PERIODS_MAX = 62
TOP, FREQUENT, SLICES_MAX = 5, 0.01, 200
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Top:
    """A frequent value: its share over the whole span, and in each period."""

    value: str
    share: float
    by_period: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """`spread` are the 5, 25, 50, 75 and 95 % quantiles of each period, None where it has no number; `nulls` shares.
    `expected` is the schema's line, None where there is none. `anomalies` counts what was found in the last batches."""

    name: str
    type: str
    present: float
    distinct: int
    minimum: Any
    maximum: Any
    mean: float | None
    spread: tuple[tuple[float, ...] | None, ...]
    nulls: tuple[float | None, ...]
    top: tuple[Top, ...]
    expected: ColumnSchema | None
    anomalies: int

    @property
    def numeric(self) -> bool:
        return any(self.spread)


@dataclass(frozen=True, slots=True)
class Columns:
    """`periods` name the columns of each drawing: days, months where there are many days, or nothing for a table
    without time. `problem` says why there is nothing to draw."""

    periods: tuple[str, ...]
    rows: int
    columns: tuple[Column, ...]
    slice: str
    slices: tuple[str, ...]
    since: str
    until: str
    problem: str = ""


def columns_of(
    app: App, table: str, ask: Ask, expected: Mapping[str, ColumnSchema], anomalies: Mapping[str, int]
) -> Columns:
    """The slice and the span that the URL names; the whole without one."""
    slice_, since, until = ask.text("slice"), ask.text("since"), ask.text("until")
    slices = tuple(app.validation.kept.slices(table)[:SLICES_MAX])
    try:
        selected = app.validation.kept.select(table, since=since, until=until, slice_=slice_)
    except Invalid as error:
        return Columns((), 0, (), slice_, slices, since, until, error.message)
    periods = _coarser(selected.by_partition)
    whole = selected.merged
    made = tuple(
        _column(state, [p.columns.get(name) for p in periods.values()], expected.get(name), anomalies.get(name, 0))
        for name, state in whole.columns.items()
    )
    return Columns(tuple(periods), whole.rows, made, slice_, slices, since, until)


def _coarser(states: Mapping[str, TableState]) -> Mapping[str, TableState]:
    """Days as they are while they can be drawn, else months, else years."""
    for length in (10, 7, 4):
        grouped: dict[str, list[TableState]] = {}
        for partition in sorted(states):
            grouped.setdefault(partition[:length], []).append(states[partition])
        if len(grouped) <= PERIODS_MAX:
            break
    return {name: parts[0] if len(parts) == 1 else TableState.merged(parts) for name, parts in grouped.items()}


def _column(
    whole: ColumnState, periods: Sequence[ColumnState | None], expected: ColumnSchema | None, anomalies: int
) -> Column:
    numeric = whole.type in ("INT", "FLOAT")
    return Column(
        whole.name,
        whole.type,
        whole.present / whole.rows if whole.rows else 0.0,
        whole.distinct_count,
        whole.minimum if numeric else None,
        whole.maximum if numeric else None,
        whole.moments.mean if numeric and whole.moments.n else None,
        tuple(_spread(p) if numeric else None for p in periods),
        tuple(p.nulls / p.rows if p and p.rows else None for p in periods),
        () if numeric else _top(whole, periods),
        expected,
        anomalies,
    )


def _spread(state: ColumnState | None) -> tuple[float, ...] | None:
    found = state.quantiles.quantiles(SHARES) if state is not None else []
    return tuple(map(float, found)) if found else None


def _top(whole: ColumnState, periods: Sequence[ColumnState | None]) -> tuple[Top, ...]:
    """The most frequent values; none for instants, and where none is frequent."""
    counts = _counts(whole)
    if whole.type == "TIMESTAMP" or not counts or max(counts.values()) < FREQUENT * whole.values:
        return ()
    by_period = [_counts(p) if p is not None else {} for p in periods]
    totals = [max(1, p.values) if p is not None else 1 for p in periods]
    return tuple(
        Top(value, n / max(1, whole.values), tuple(c.get(value, 0) / t for c, t in zip(by_period, totals, strict=True)))
        for value, n in Counter(counts).most_common(TOP)
    )


def _counts(state: ColumnState) -> dict[str, int]:
    values = state.frequent.values.to_pylist()
    return {str(v): int(n) for v, n in zip(values, state.frequent.counts, strict=True)}
