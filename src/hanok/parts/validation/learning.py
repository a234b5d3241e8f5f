"""What the first batches of a table teach its schema."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pyarrow as pa

from hanok.compute.schemas import infer_schema
from hanok.compute.statistics import statistics
from hanok.compute.units import ROWS_MIN
from hanok.core.tables import ARRIVED
from hanok.core.validation import TableSchema


def without_ranges(schema: TableSchema, names: Collection[str] | None = None) -> TableSchema:
    """The schema without the ranges of the named columns, or of all: a few rows say nothing of how far values may go,
    and no number of entities says how far their keys may."""
    return replace(
        schema,
        columns=tuple(
            replace(c, minimum=None, maximum=None) if names is None or c.name in names else c for c in schema.columns
        ),
    )


def promising(schema: TableSchema, names: Collection[str]) -> TableSchema:
    """The schema that expects no other column than these."""
    columns = tuple(c if c.name in names else replace(c, presence=0.0) for c in schema.columns)
    return replace(schema, columns=columns)


def learned(schema: TableSchema, good: pa.Table) -> TableSchema:
    """While a table is new, each batch may widen ranges and lower presence."""
    fresh = infer_schema(
        schema.table,
        statistics(good.drop_columns([ARRIVED])),
        good,
        event_time=schema.event_time,
        keys=schema.keys,
    )
    columns = []
    for column in schema.columns:
        new = fresh.column(column.name)
        if new is None:
            columns.append(column)
            continue
        lows = [x for x in (column.minimum, new.minimum) if x is not None]
        highs = [x for x in (column.maximum, new.maximum) if x is not None]
        columns.append(
            replace(
                column,
                presence=_presence(column.presence, new.presence, schema.rows_seen, good.num_rows),
                minimum=min(lows) if lows else None,
                maximum=max(highs) if highs else None,
                usual=new.usual if good.num_rows > schema.rows_seen else column.usual,
            )
        )
    added = [c for c in fresh.columns if schema.column(c.name) is None]
    days = fresh.usual_days if good.num_rows > schema.rows_seen else schema.usual_days
    return replace(schema, columns=(*columns, *added), usual_days=days)


def _presence(usual: float, now: float, seen: int, rows: int) -> float:
    """The lesser share: a batch that has less promises less. Of a few rows the share says little, but for none at all:
    it counts by its rows."""
    if rows >= ROWS_MIN or not now or now >= usual:
        return min(usual, now)
    return round((usual * seen + now * rows) / (seen + rows), 6)
