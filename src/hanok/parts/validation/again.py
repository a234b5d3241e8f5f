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


@dataclass(frozen=True, slots=True)
class Again:
    """What is to be appended of a batch, and how many of its rows were there already or correct an earlier row. Of a
    corrected row the columns that the batch does not have keep their values."""

    rows: pa.Table
    unchanged: int = 0
    corrected: int = 0
    changes: tuple[Anomaly, ...] = ()


def compared(rows: pa.Table, came: Sequence[str], there: Scan, row_key: Sequence[str]) -> Again:
    """Hold good rows of a batch, of which the columns `came`, to the rows of the table as they count now."""
    if not set(row_key) <= set(rows.column_names) or not set(row_key) <= set(there.schema.names):
        return Again(rows)
    found = _earlier(rows, replace(there, overlay=Overlay(tuple(row_key))), row_key)
    before = found.column("_there").to_numpy(zero_copy_only=False)
    values = [n for n in came if n in rows.column_names and n not in (*row_key, *BOOKKEEPING)]
    differs = {n: before & _differ(rows.column(n), _column(found, n, rows.column(n).type)) for n in values}
    changed = np.logical_or.reduce([np.zeros(rows.num_rows, bool), *differs.values()])
    keep = ~before | changed
    corrected = int(changed.sum())
    changes = tuple(_change(n, rows, found, hit, row_key) for n, hit in differs.items() if hit.any())
    if corrected:
        rows = _carried(rows, found, changed, [n for n in rows.column_names if n not in (*came, *row_key, ARRIVED)])
    return Again(rows.filter(pa.array(keep)), int((~keep).sum()), corrected, changes)


def _earlier(rows: pa.Table, there: Scan, row_key: Sequence[str]) -> pa.Table:
    """For each row the one that it comes again of, its columns named `earlier__NAME`."""
    names = [n for n in there.schema.names if n in rows.column_names and n != ARRIVED]
    asked = rows.select(list(row_key)).append_column("_i", pa.array(range(rows.num_rows), pa.int64()))
    on = " AND ".join(f"n.{quoted(k)} = t.{quoted(k)}" for k in row_key)
    picked = ", ".join(f"t.{quoted(n)} AS {quoted(EARLIER + n)}" for n in names)
    with connect({"now": asked, "there": there}) as duck:
        first = quoted(row_key[0])
        return arrow(
            duck,
            f"SELECT t.{first} IS NOT NULL AS _there, {picked} FROM now n LEFT JOIN there t ON {on} ORDER BY n._i",
        )


def _column(found: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    if EARLIER + name not in found.column_names:  # the table does not have it yet
        return pa.chunked_array([pa.nulls(found.num_rows, kind)])
    return found.column(EARLIER + name).cast(kind)


def _differ(now: pa.ChunkedArray, before: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Where two columns of one type differ: null equals null, and NaN equals NaN."""
    floating = pa.types.is_floating(now.type)
    none_now, none_before = now.is_null(nan_is_null=floating), before.is_null(nan_is_null=floating)
    other = pc.fill_null(pc.not_equal(now, before), False)
    either = pc.or_(none_now, none_before)
    found = pc.if_else(either, pc.xor(none_now, none_before), other)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def _change(name: str, rows: pa.Table, found: pa.Table, hit: NDArray[np.bool_], row_key: Sequence[str]) -> Anomaly:
    first = int(np.flatnonzero(hit)[0])
    now = rows.column(name)[first].as_py()
    before = found.column(EARLIER + name)[first].as_py() if EARLIER + name in found.column_names else None
    who = ", ".join(f"{k}={rows.column(k)[first].as_py()}" for k in row_key)
    count = int(hit.sum())
    said = f"{name} is corrected in {count} earlier row{'s' * (count != 1)}, like {before} to {now} ({who})"
    return Anomaly(CORRECTED, name, "warning", said, str(now), str(before), count)


def _carried(rows: pa.Table, found: pa.Table, changed: NDArray[np.bool_], names: Sequence[str]) -> pa.Table:
    hit = pa.array(changed)
    for name in names:
        if EARLIER + name in found.column_names:
            kept = pc.if_else(hit, _column(found, name, rows.column(name).type), rows.column(name))
            rows = rows.set_column(rows.column_names.index(name), name, kept)
    return rows
