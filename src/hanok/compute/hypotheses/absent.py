"""Values that are not there: columns gone null, feeds that are late, cut down, silent, or dated otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hanok.compute.hypotheses.case import Measured, Proposal, TableDays, Values, numeric
from hanok.compute.hypotheses.streams import earlier

NULL_JUMP = 0.06
SILENT = 0.05
FEWER = 0.75
LAG_H = 0.75
SURE = 60.0
ALL = 0.9
SCHEMA = {
    "SCHEMA_MISSING_COLUMN": "left out",
    "SCHEMA_NEW_COLUMN": "new",
    "UNEXPECTED_DATA_TYPE": "of another type",
    "SCHEMA_COLUMN_RESPELLED": "spelt otherwise",
    "FEATURE_TYPE_NOT_PRESENT": "empty",
}


def nulls(measured: Measured) -> Iterator[Proposal]:
    """Columns that went null, those of one table together."""
    found: dict[str, list[str]] = {}
    shares: dict[str, tuple[float, float]] = {}
    for name in measured.case.columns:
        now, before = _null(measured.suspect[name]), _null(measured.good[name])
        if now - before > NULL_JUMP and measured.moved(name):
            shares[name] = now, before
            found.setdefault(measured.case.table.get(name, name), []).append(name)
    for table, columns in found.items():
        now, before = max(shares[c] for c in columns)
        empty = np.any([_absent(measured.suspect[c]) for c in columns], axis=0)
        part = bool(empty.mean() < ALL)
        what = f"input {columns[0]}" if len(columns) == 1 else f"inputs of {table}"
        yield Proposal(
            "null", what, f"null in {now:.0%} of the rows ({before:.0%} before)", tuple(columns),
            gone=frozenset() if part else frozenset(columns), only=~empty if part else None,
            next=f"look at what feeds {table!r}; ingest what is missing and predict again",
        )  # fmt: skip


def arrivals(measured: Measured) -> Iterator[Proposal]:
    """What the tables say of their own arrival."""
    for table in measured.case.tables:
        columns = tuple(c for c, t in measured.case.table.items() if t == table.table)
        yield from _volume(measured, table, columns)
        yield from _schema(measured, table)


def _volume(measured: Measured, table: TableDays, columns: tuple[str, ...]) -> Iterator[Proposal]:
    case = measured.case
    came = np.array(table.rows, float) + (
        np.array(table.aside, float) if table.aside else 0.0
    )  # kept out is told apart
    first = 0 if case.complete else 1
    before, begins = earlier(came, case.asked, measured.onset)
    before = before[: max(3, len(before) - 1)]
    if len(before) < 3 or np.median(before) < 5 or table.table == case.spine:
        return
    onset = first
    while onset < min(begins, len(came)) and came[onset] < FEWER * before.min():
        onset += 1
    now = came[first : max(onset, first + 1)]
    usual, fewest = float(np.median(before)), float(before.min())
    labels = table.table == case.labels
    gone = frozenset(c for c in columns if not labels or c in case.rolling)
    columns = () if labels else columns
    look = f"look at what feeds {table.table!r}; ingest what is missing and predict again"
    hurt = labels or any(measured.moved(c) for c in columns)
    if now.mean() <= SILENT * usual and fewest > 0 and hurt:
        kind = "label delay" if labels else "missing"
        said = f"{now.mean():.0f} rows a day arrived, {usual:.0f} are usual"
        yield Proposal(
            kind, _named(labels, table.table), said, columns, gone=gone, known=True, strength=SURE, next=look
        )
        return
    lag_now = np.nanmean(_or(table.lag_h[: measured.onset]))
    lag_before = np.array(_or(table.lag_h[max(begins, measured.onset) :]))
    usual_lag, spread = float(np.nanmedian(lag_before)), float(np.nanmax(lag_before) - np.nanmin(lag_before))
    slipped = float(lag_now - usual_lag)
    if np.isfinite(slipped) and abs(slipped) > max(LAG_H, 2 * spread):
        kind = "label delay" if labels else "late" if slipped > 0 and lag_now > 0 else "time"
        said = f"its rows arrive {lag_now:+.1f} h after their own instant, {usual_lag:+.1f} h before"
        if kind == "time":
            said = f"its instants have slipped by {-slipped:.1f} h against their arrival"
        yield Proposal(
            kind, _named(labels, table.table), said, columns, gone=gone, known=True, strength=SURE, next=look
        )
    elif now.mean() < FEWER * fewest and hurt:
        kind = "label delay" if labels else "partial"
        said = f"{now.mean():.0f} rows a day arrived, at least {fewest:.0f} before"
        yield Proposal(
            kind, _named(labels, table.table), said, columns, gone=gone, known=True, strength=SURE / 2, next=look
        )


def _named(labels: bool, table: str) -> str:
    return f"labels of {table}" if labels else f"source {table}"


def _or(values: tuple[float, ...]) -> tuple[float, ...]:
    return values if any(np.isfinite(v) for v in values) else (0.0,)


def _schema(measured: Measured, table: TableDays) -> Iterator[Proposal]:
    """What the checks of its batches found since the onset."""
    for kind, column, message, ago in table.faults:
        if kind not in SCHEMA or ago > measured.onset:
            continue
        own = [c for c, t in measured.case.table.items() if t == table.table and _is(c, column)]
        if not any(measured.moved(c) for c in own):
            continue
        empty = kind == "FEATURE_TYPE_NOT_PRESENT"
        yield Proposal(
            "null" if empty else "schema", f"input {own[0]}", f"in {table.table}, {message}", tuple(own),
            gone=frozenset(own), known=True, strength=SURE,
            next=f"ask who sends {table.table!r}: hanok table show {table.table}",
        )  # fmt: skip


def _is(feature: str, column: str) -> bool:
    return feature == column or feature.rpartition("__")[2] == column


def _null(values: Values) -> float:
    return float(_absent(values).mean()) if len(values) else 0.0


def _absent(values: Values) -> NDArray[np.bool_]:
    return np.isnan(values.astype(float)) if numeric(values) else np.array([v is None for v in values], bool)
