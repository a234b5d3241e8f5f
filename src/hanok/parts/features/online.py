"""Online values: for each entity the few rows that can still matter, read under the same rules as the join.

A plain view keeps the newest row that counts and those dated in the future; a windowed view keeps the rows of its
longest window. Rows are merged by (event time, arrival, number), so the order in which they come does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from hanok.compute.windows import Rows, window_aggregate
from hanok.core.clock import from_micros, micros
from hanok.core.declare import FeatureView
from hanok.core.durations import duration
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.stores.ports import OnlineValues

PRESENT, NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE = "PRESENT", "NOT_FOUND", "NULL_VALUE", "OUTSIDE_MAX_AGE"


class _Entity(msgspec.Struct, array_like=True):
    """The kept rows of one entity, column by column, sorted by (event time, arrival, number in the source)."""

    event_time: bytes
    arrived: bytes
    sequence: bytes
    columns: list[list[Any]]


_Row = tuple[int, int, int, tuple[Any, ...]]  # event time, arrival, number, values
_decode = msgspec.msgpack.Decoder(_Entity).decode
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """Feature values of one entity of one view: values, Feast's statuses, and the newest event time used."""

    values: Mapping[str, Any]
    statuses: Mapping[str, str]
    event_time: datetime | None


def push(online: OnlineValues, view: FeatureView, rows: pa.Table, now: datetime) -> int:
    """Merge source rows into the online store; returns how many entities were touched."""
    columns = [*view.keys, view.source.event_time, ARRIVED, SEQUENCE, *view.columns]
    grouped: dict[bytes, list[_Row]] = {}
    keys, values = len(view.keys), len(view.keys) + 3
    chosen = rows.select(list(dict.fromkeys(columns)))
    micro = {
        n: chosen.column(n).cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
        for n in (view.source.event_time, ARRIVED)
    }
    lists = [micro[n] if n in micro else chosen.column(n).to_pylist() for n in columns]
    for row in zip(*lists, strict=True):
        if None in row[: keys + 1]:
            continue
        event, arrived, sequence = row[keys : keys + 3]
        arrived = event if arrived is None else arrived
        grouped.setdefault(entity_key(row[:keys]), []).append((event, arrived, sequence, row[values:]))
    if not grouped:
        return 0
    existing = online.get(view.name, list(grouped))
    online.put(
        view.name,
        [
            (key, _merge(view, found, new, micros(now)))
            for (key, new), found in zip(grouped.items(), existing, strict=True)
        ],
    )
    return len(grouped)


def entity_key(values: Sequence[Any]) -> bytes:
    """Typed bytes of an entity's key values: 1 and "1" differ."""
    return _encode(list(values))


def _merge(view: FeatureView, found: bytes | None, new: list[_Row], now: int) -> bytes:
    rows = {r[2]: r for r in new}  # by number: a retried push adds nothing
    if found is not None:
        entity = _decode(found)
        numbers = [np.frombuffer(b, np.int64).tolist() for b in (entity.event_time, entity.arrived, entity.sequence)]
        values = zip(*entity.columns, strict=True) if entity.columns else [()] * len(numbers[0])
        rows = {r[2]: r for r in zip(*numbers, values, strict=True)} | rows
    ordered = sorted(rows.values(), key=lambda r: r[:3])
    kept = ordered[_first_kept(view, ordered, now) :]
    event, arrived, sequence = (np.array([r[i] for r in kept], np.int64).tobytes() for i in range(3))
    columns = [list(c) for c in zip(*(r[3] for r in kept), strict=True)] if view.columns else []
    return _encode(_Entity(event, arrived, sequence, columns))


def _first_kept(view: FeatureView, rows: list[_Row], now: int) -> int:
    if view.aggregate:
        assert view.horizon is not None
        oldest = now - view.horizon // timedelta(microseconds=1)
        return next((i for i, r in enumerate(rows) if r[0] > oldest), len(rows))
    counted = [i for i, r in enumerate(rows) if r[0] <= now]
    return counted[-1] if counted else 0


def read(online: OnlineValues, view: FeatureView, entities: Sequence[Sequence[Any]], now: datetime) -> list[OnlineRow]:
    """The values of each entity (its key values in the view's order) as they stand at `now`."""
    found = online.get(view.name, [entity_key(e) for e in entities])
    at = micros(now)
    return [_read_one(view, f, at) for f in found]


def _read_one(view: FeatureView, found: bytes | None, at: int) -> OnlineRow:
    if view.aggregate:
        return _read_windows(view, found, at)
    missing = OnlineRow(dict.fromkeys(view.features), dict.fromkeys(view.features, NOT_FOUND), None)
    if found is None:
        return missing
    entity = _decode(found)
    event = np.frombuffer(entity.event_time, np.int64)
    last = int(np.searchsorted(event, at, side="right")) - 1
    if last < 0:
        return missing
    when = from_micros(int(event[last]))
    if view.ttl is not None and from_micros(at) - when > view.ttl:
        return OnlineRow(dict.fromkeys(view.features), dict.fromkeys(view.features, OUTSIDE_MAX_AGE), when)
    values = {name: column[last] for name, column in zip(view.features, entity.columns, strict=True)}
    return OnlineRow(values, {n: NULL_VALUE if x is None else PRESENT for n, x in values.items()}, when)


def _read_windows(view: FeatureView, found: bytes | None, at: int) -> OnlineRow:
    entity = _Entity(b"", b"", b"", [[] for _ in view.columns]) if found is None else _decode(found)
    event = np.frombuffer(entity.event_time, np.int64)
    columns = {
        name: np.array([np.nan if x is None else x for x in column], float)
        for name, column in zip(view.columns, entity.columns, strict=True)
    }
    visible = np.maximum(event, np.frombuffer(entity.arrived, np.int64))
    rows = Rows(np.array([0, len(event)]), event, visible, columns)
    who, instant = np.zeros(1, np.int64), np.array([at])
    values: dict[str, Any] = {}
    for name, aggregate in view.aggregate:
        for window in view.windows:
            value = window_aggregate(
                rows, who, instant, duration(window) // timedelta(microseconds=1), aggregate.function, aggregate.column
            )[0]
            values[f"{name}_{window}"] = None if np.isnan(value) else float(value)
    newest = from_micros(int(event[event <= at][-1])) if (event <= at).any() else None
    status = NOT_FOUND if found is None else PRESENT
    return OnlineRow(values, {n: NULL_VALUE if x is None and found else status for n, x in values.items()}, newest)
