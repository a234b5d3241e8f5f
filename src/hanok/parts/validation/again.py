"""Rows that come again: the same as before, or corrected. Which rows are one and the same is declared (`row_key`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.duck import arrow, connect, quoted
from hanok.core.tables import ARRIVED, BOOKKEEPING, Overlay, Scan
from hanok.core.validation import CORRECTED, Anomaly

EARLIER = "earlier__"
INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True, slots=True)
class Again:
    """What is to be appended of a batch, and how many of its rows were there already or correct an earlier row. Of a
    corrected row the columns that the batch does not have keep their values."""

    rows: pa.Table
    unchanged: int = 0
    corrected: int = 0
    changes: tuple[Anomaly, ...] = ()


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The row that each row of a batch comes again of: `before` it in the batch (-1: none is), or else the one of the
    table that counts now, where `in_table`. `first` is the first row of the batch with the same key."""

    table: pa.Table
    in_table: NDArray[np.bool_]
    before: NDArray[np.int64]
    first: NDArray[np.int64]

    @property
    def known(self) -> NDArray[np.bool_]:
        return self.in_table | (self.before >= 0)

    def counted(self, name: str, kind: pa.DataType) -> pa.ChunkedArray:
        """A column of the rows of the table."""
        if EARLIER + name not in self.table.column_names:  # the table does not have it yet
            return pa.chunked_array([pa.nulls(self.table.num_rows, kind)])
        return self.table.column(EARLIER + name).cast(kind)

    def column(self, name: str, now: pa.ChunkedArray) -> pa.ChunkedArray:
        counted = self.counted(name, now.type)
        if not len(now) or self.before.max() < 0:
            return counted
        return pc.if_else(pa.array(self.before >= 0), now.take(pa.array(np.maximum(self.before, 0))), counted)


def compared(
    rows: pa.Table, came: Sequence[str], there: Scan | None, row_key: Sequence[str], *, dated: bool = False
) -> Again:
    """Hold good rows of a batch, of which the columns `came`, each to the row of its key that counts when it comes: an
    earlier one of the batch, or else that of the table. So a batch does what its rows would do one by one. `dated`: a
    row that is said to have been known earlier than the table has it is corrected by that."""
    if not set(row_key) <= set(rows.column_names):
        return Again(rows)
    earlier = _earlier(rows, there, row_key)
    values = [n for n in came if n in rows.column_names and n not in (*row_key, *BOOKKEEPING)]
    changes, changed = [], np.zeros(rows.num_rows, bool)
    for name in values:
        before = earlier.column(name, rows.column(name))
        hit = earlier.known & _differ(rows.column(name), before)
        if hit.any():
            changed |= hit
            changes.append(_change(name, rows, before, hit, earlier.first, row_key))
    if dated and (sooner := earlier.in_table & (earlier.before < 0) & _sooner(rows, earlier)).any():
        changes.append(_known_sooner(rows, earlier, sooner, row_key))
        changed |= sooner
    keep = ~earlier.known | changed
    if changed.any():
        hit = changed & earlier.in_table
        rows = _carried(rows, earlier, hit, [n for n in rows.column_names if n not in (*came, *row_key, ARRIVED)])
    return Again(rows.filter(pa.array(keep)), int((~keep).sum()), int(changed.sum()), tuple(changes))


def _earlier(rows: pa.Table, there: Scan | None, row_key: Sequence[str]) -> _Earlier:
    if there is not None and not set(row_key) <= set(there.schema.names):
        there = None  # no row of the table has the key yet
    names = [n for n in there.schema.names if n in rows.column_names] if there is not None else []
    asked = rows.select(list(row_key)).append_column("_i", pa.array(np.arange(rows.num_rows)))
    by = ", ".join(f"n.{quoted(k)}" for k in row_key)
    picked = [f"t.{quoted(n)} AS {quoted(EARLIER + n)}" for n in names]
    picked.append("lag(n._i, 1, -1) OVER w AS _before, first_value(n._i) OVER w AS _first")
    join, relations = "", {"now": asked}
    if there is not None:
        on = " AND ".join(f"n.{quoted(k)} = t.{quoted(k)}" for k in row_key)
        picked.append(f"t.{quoted(row_key[0])} IS NOT NULL AS _there")
        join, relations = (
            f"LEFT JOIN there t ON {on}",
            {**relations, "there": replace(there, overlay=Overlay(tuple(row_key)))},
        )
    with connect(relations) as duck:
        found = arrow(
            duck,
            f"SELECT {', '.join(picked)} FROM now n {join} WINDOW w AS (PARTITION BY {by} ORDER BY n._i) ORDER BY n._i",
        )
    in_table = found.column("_there").to_numpy() if there is not None else np.zeros(rows.num_rows, bool)
    return _Earlier(found, in_table, found.column("_before").to_numpy(), found.column("_first").to_numpy())


def _sooner(rows: pa.Table, earlier: _Earlier) -> NDArray[np.bool_]:
    """Where a row became known before it is known in the table."""
    before = pc.less(rows.column(ARRIVED).cast(INSTANT), earlier.counted(ARRIVED, INSTANT))
    return np.asarray(pc.fill_null(before, False).to_numpy(zero_copy_only=False), bool)


def _known_sooner(rows: pa.Table, earlier: _Earlier, hit: NDArray[np.bool_], row_key: Sequence[str]) -> Anomaly:
    place, count = int(np.flatnonzero(hit)[0]), int(hit.sum())
    now, was = (str(c[place].as_py()) for c in (rows.column(ARRIVED), earlier.counted(ARRIVED, INSTANT)))
    who = ", ".join(f"{k}={rows.column(k)[place].as_py()}" for k in row_key)
    which = (
        "1 row that was there is known from an earlier instant on"
        if count == 1
        else (f"{count:,} rows that were there are known from earlier instants on")
    )
    return Anomaly(CORRECTED, "", "warning", f"{which}, like {now} instead of {was} ({who})", now, was, count)


def _differ(now: pa.ChunkedArray, before: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Where two columns of one type differ: null equals null, and NaN equals NaN."""
    floating = pa.types.is_floating(now.type)
    none_now, none_before = now.is_null(nan_is_null=floating), before.is_null(nan_is_null=floating)
    other = pc.fill_null(pc.not_equal(now, before), False)
    either = pc.or_(none_now, none_before)
    found = pc.if_else(either, pc.xor(none_now, none_before), other)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def _change(
    name: str,
    rows: pa.Table,
    before: pa.ChunkedArray,
    hit: NDArray[np.bool_],
    first: NDArray[np.int64],
    row_key: Sequence[str],
) -> Anomaly:
    """What is said of a column: how often it was corrected, in how many rows (a row may be corrected again)."""
    place, count, apart = int(np.flatnonzero(hit)[0]), int(hit.sum()), len(np.unique(first[hit]))
    now, was = rows.column(name)[place].as_py(), before[place].as_py()
    who = ", ".join(f"{k}={rows.column(k)[place].as_py()}" for k in row_key)
    often = f" {count} times" if count > apart else ""
    said = f"{name} is corrected{often} in {apart} earlier row{'s' * (apart != 1)}, like {was} to {now} ({who})"
    return Anomaly(CORRECTED, name, "warning", said, str(now), str(was), count)


def _carried(rows: pa.Table, earlier: _Earlier, hit: NDArray[np.bool_], names: Sequence[str]) -> pa.Table:
    for name in names:
        kept = pc.if_else(pa.array(hit), earlier.counted(name, rows.column(name).type), rows.column(name))
        rows = rows.set_column(rows.column_names.index(name), name, kept)
    return rows
