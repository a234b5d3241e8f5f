"""The rows of one entity that can still matter, as bytes: merging newly arrived ones, reading under the join's rules.

A view of latest values keeps the best row that is visible and those above it that are not visible yet; a windowed view
keeps the rows of its longest window, each with the instant from which on a later form stands for it. Merging is by the
row's number in its table: rows may come in any order and more than once. Everything here is a pure function of bytes,
so that a store can call it inside its own transaction.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.keys import canonical_column, key_type
from hanok.compute.windows import Rows, aggregated
from hanok.core.clock import from_micros
from hanok.core.declare import FeatureView, digest
from hanok.core.durations import duration
from hanok.core.keys import KeyType
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.features.rows import EVER, UNTIL, entity_codes, micros_of, numbers

FeatureCell = str | int | float | bool | bytes | datetime | date | Decimal | None
PRESENT, NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE = "PRESENT", "NOT_FOUND", "NULL_VALUE", "OUTSIDE_MAX_AGE"
UNKNOWN_ARRIVAL = np.iinfo(np.int64).min
GRACE_US = 3_600_000_000  # how long forms that count no more are kept, for pushes and fills that are under way
Int64 = NDArray[np.int64]
Column = NDArray[np.float64] | list[FeatureCell]


@dataclass(frozen=True, slots=True)
class Use:
    """A view as a spine asks it: the declared types of its keys, and whether the spine is its own source, so that a row
    must be left out of its own features. Values are kept for each use by itself, under `id`."""

    view: FeatureView
    kinds: tuple[KeyType, ...]
    own: bool = False

    @property
    def wanted(self) -> int:
        """Visible rows that a view of latest values keeps: when the best is the asking row itself, the next counts."""
        return 2 if self.own else 1

    @property
    def row_key(self) -> tuple[str, ...]:
        """The columns that tell rows apart of which there are several forms; () where each row comes once."""
        return self.view.source.row_key or ()

    @property
    def scattered(self) -> bool:
        """Whether forms of one row may be of several entities or instants: then the table tells which still count."""
        fixed = {*self.view.keys, self.view.source.event_time} - {ARRIVED}
        return bool(self.row_key and self.view.aggregate) and not fixed <= set(self.row_key)

    @property
    def id(self) -> str:
        return _use_id(self)


@lru_cache(4096)
def _use_id(use: Use) -> str:
    text = "|".join((digest(use.view), *use.kinds, "own" * use.own, *(["forms"] if use.row_key else [])))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Own:
    """The row of the source that asks, which is left out: its number, and its `identity` where that is known."""

    number: int
    identity: int | None = None


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """Feature values of one entity of one view: values, Feast's statuses, and the newest event time used."""

    values: Mapping[str, FeatureCell]
    statuses: Mapping[str, str]
    event_time: datetime | None


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Rows of one entity, column by column. A windowed view has float64 arrays, others lists of cells. `identity` is
    the same for all forms of a row, where there are several; in a windowed view a form counts before `until`."""

    event_time: Int64
    arrived: Int64
    sequence: Int64
    columns: tuple[Column, ...]
    identity: Int64 | None = None
    until: Int64 | None = None

    def take(self, places: Int64) -> SourceRows:
        columns = tuple(c[places] if isinstance(c, np.ndarray) else [c[i] for i in places] for c in self.columns)
        identity = None if self.identity is None else self.identity[places]
        until = None if self.until is None else self.until[places]
        return SourceRows(
            self.event_time[places], self.arrived[places], self.sequence[places], columns, identity, until
        )

    def and_new(self, other: SourceRows) -> SourceRows:
        """With the rows of `other` that are not there yet; a row that is ends as soon as either says."""
        ends = self._ended_by(other)
        if len(known := np.isin(other.sequence, self.sequence)) and known.any():
            other = other.take(np.flatnonzero(~known))
        columns = tuple(
            np.concatenate((a, b)) if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else [*a, *b]
            for a, b in zip(self.columns, other.columns, strict=True)
        )
        numbered = ((self.event_time, other.event_time), (self.arrived, other.arrived), (self.sequence, other.sequence))
        event, arrived, sequence = (np.concatenate(pair) for pair in numbered)
        identity = None
        if self.identity is not None and other.identity is not None:
            identity = np.concatenate((self.identity, other.identity))
        until = None if ends is None or other.until is None else np.concatenate((ends, other.until))
        return SourceRows(event, arrived, sequence, columns, identity, until)

    def _ended_by(self, other: SourceRows) -> Int64 | None:
        """Until when each of these rows counts, where `other` may have it too."""
        if self.until is None or other.until is None or not len(other.sequence):
            return self.until
        order = np.argsort(other.sequence)
        place = order[np.minimum(np.searchsorted(other.sequence[order], self.sequence), len(order) - 1)]
        here = other.sequence[place] == self.sequence
        return np.where(here, np.minimum(self.until, other.until[place]), self.until)


class _Stored(msgspec.Struct, array_like=True):
    """Numbers as their bytes; `windows` or `latest` holds the columns."""

    event_time: bytes
    arrived: bytes
    sequence: bytes
    windows: list[bytes]
    latest: list[list[msgspec.Raw]]
    identity: bytes = b""
    until: bytes = b""


_decode = msgspec.msgpack.Decoder(_Stored).decode
_encode = msgspec.msgpack.Encoder().encode
_READ: dict[int, Callable[[str], FeatureCell]] = {1: datetime.fromisoformat, 2: date.fromisoformat, 3: Decimal}
_cell = msgspec.msgpack.Decoder(ext_hook=lambda code, data: _READ[code](bytes(data).decode())).decode


def entity_key(texts: Sequence[str]) -> bytes:
    """The bytes of an entity whose key values have these spellings."""
    return texts[0].encode() if len(texts) == 1 else _encode(list(texts))


def grouped(use: Use, rows: pa.Table) -> Iterator[tuple[bytes, SourceRows]]:
    """The rows of each entity. What has a null key, a null event time, or a key that is none of its type is left out:
    it can match nothing. A column that no row of the table had yet is null."""
    view = use.view
    if not {*view.keys, view.source.event_time} <= {*rows.column_names}:
        return
    for lacking in view.columns:
        if lacking not in rows.column_names:
            rows = rows.append_column(lacking, pa.nulls(rows.num_rows))
    texts = [
        canonical_column(kind, rows.column(key), name=key, strict=False)
        for kind, key in zip(use.kinds, view.keys, strict=True)
    ]
    event = micros_of(rows.column(view.source.event_time))
    codes = entity_codes(texts)
    keep = np.flatnonzero((codes >= 0) & event.is_valid().to_numpy(zero_copy_only=False))
    if not len(keep):
        return
    keep = keep[np.argsort(codes[keep], kind="stable")]
    arrived = micros_of(rows.column(ARRIVED)).fill_null(UNKNOWN_ARRIVAL).to_numpy()
    chosen = [rows.column(name).take(pa.array(keep)) for name in view.columns]
    columns = [numbers(c) if view.aggregate else c.to_pylist() for c in chosen]
    ordered = (
        event.fill_null(0).to_numpy()[keep],
        arrived[keep],
        rows.column(SEQUENCE).to_numpy()[keep],
    )
    identity = identities(use, rows.take(pa.array(keep)), ordered[0]) if use.row_key else None
    until = _ends(use, rows, keep)
    starts = np.flatnonzero(np.diff(codes[keep], prepend=-1))
    first = pa.array(keep[starts])
    names = list(zip(*(t.take(first).to_pylist() for t in texts), strict=True))
    for name, low, high in zip(names, starts, [*starts[1:], len(keep)], strict=True):
        numbered = [a[low:high] for a in ordered]
        own = None if identity is None else identity[low:high]
        taken = tuple(c[low:high] for c in columns)
        ends = None if until is None else until[low:high]
        yield entity_key(name), SourceRows(numbered[0], numbered[1], numbered[2], taken, own, ends)


def _ends(use: Use, rows: pa.Table, keep: Int64) -> Int64 | None:
    """Until when rows count, as far as it is said of them."""
    if not use.row_key or not use.view.aggregate:
        return None
    if UNTIL not in rows.column_names:
        return np.full(len(keep), EVER)
    ends: Int64 = rows.column(UNTIL).to_numpy()[keep]
    return ends


def identities(use: Use, rows: pa.Table, event: Int64) -> Int64:
    """A number for each row of one entity that all its forms have: its event time where that and the keys tell rows
    apart. A row that lacks a part of its key is one of its own."""
    view = use.view
    others = [n for n in use.row_key if n not in (*view.keys, view.source.event_time) and n in rows.column_names]
    at = event if view.source.event_time in use.row_key else np.zeros(len(event), np.int64)
    if not others:
        return at
    spelled = [canonical_column(key_type(rows.column(n).type, name=n), rows.column(n), name=n) for n in others]
    texts = list(zip(at.tolist(), *(c.to_pylist() for c in spelled), strict=True))
    if any(c.null_count for c in spelled):
        alone = rows.column(SEQUENCE).to_pylist()
        texts = [(*t, n) if None in t else t for t, n in zip(texts, alone, strict=True)]
    hashed = [hashlib.blake2b(repr(t).encode(), digest_size=8).digest() for t in texts]
    return np.frombuffer(b"".join(hashed), np.int64)


def merged(use: Use, found: bytes | None, new: SourceRows, now_us: int) -> bytes:
    """What is to be kept of the rows that are there and new ones."""
    rows = new if found is None else opened(use, found).and_new(new)
    if rows.identity is not None:
        rows = _living(rows, rows.identity, now_us) if rows.until is None else _counting(use, rows, now_us)
    if len(rows.sequence) > 1:
        order = (
            np.lexsort((rows.sequence, rows.event_time))  # as the offline window has them: bits depend on the order
            if use.view.aggregate
            else np.lexsort((rows.sequence, rows.arrived, rows.event_time))
        )
        rows = rows.take(order)
    first = _first_kept(use, rows, now_us)
    return _written(rows if not first else rows.take(np.arange(first, len(rows.sequence))))


def _living(rows: SourceRows, identity: Int64, now_us: int) -> SourceRows:
    """Without forms of rows in whose place a later form has come, or will have by the time that they are visible."""
    if len(np.unique(identity)) == len(identity):
        return rows
    visible, soonest, kept = np.maximum(rows.event_time, rows.arrived), dict[int, int](), list[int]()
    for place in np.argsort(-rows.sequence).tolist():
        who, at = int(identity[place]), int(visible[place])
        if who not in soonest or soonest[who] > max(now_us, at):
            kept.append(place)
        soonest[who] = min(at, soonest.get(who, at))
    return rows.take(np.sort(np.array(kept, np.int64)))


def _counting(use: Use, rows: SourceRows, now_us: int) -> SourceRows:
    """With what these rows say of each other, and without forms that have not counted for a while."""
    assert rows.until is not None and rows.identity is not None
    until = rows.until
    if not use.scattered and len((found := np.unique(rows.identity, return_counts=True))[0]) < len(until):
        forms = np.flatnonzero(np.isin(rows.identity, found[0][found[1] > 1]))
        known = np.where(rows.arrived == UNKNOWN_ARRIVAL, rows.event_time, rows.arrived)
        until, soonest, last = until.copy(), EVER, None
        order = np.lexsort((-rows.sequence[forms], rows.identity[forms]))  # of each row the last form first
        for place in forms[order].tolist():
            who = rows.identity[place]
            soonest = soonest if who == last else EVER
            until[place] = min(until[place], soonest)
            soonest, last = min(soonest, known[place]), who
    rows = replace(rows, until=until)
    return rows if until.min() > now_us - GRACE_US else rows.take(np.flatnonzero(until > now_us - GRACE_US))


def _first_kept(use: Use, rows: SourceRows, now_us: int) -> int:
    if use.view.aggregate:
        assert use.view.horizon is not None
        return int(np.searchsorted(rows.event_time, now_us - _micros(use.view.horizon), side="right"))
    visible = np.flatnonzero(np.maximum(rows.event_time, rows.arrived) <= now_us)
    return int(visible[-use.wanted]) if len(visible) >= use.wanted else 0


def _written(rows: SourceRows) -> bytes:
    event, arrived, sequence = (a.astype(np.int64).tobytes() for a in (rows.event_time, rows.arrived, rows.sequence))
    windows = [c.tobytes() for c in rows.columns if isinstance(c, np.ndarray)]
    latest = [[msgspec.Raw(_encode(_packed(v))) for v in c] for c in rows.columns if not isinstance(c, np.ndarray)]
    identity = b"" if rows.identity is None else rows.identity.astype(np.int64).tobytes()
    ending = rows.until is not None and len(rows.until) and rows.until.min() < EVER
    until = rows.until.astype(np.int64).tobytes() if ending and rows.until is not None else b""
    return _encode(_Stored(event, arrived, sequence, windows, latest, identity, until))


def _packed(value: FeatureCell) -> FeatureCell | msgspec.msgpack.Ext:
    if isinstance(value, datetime):
        return msgspec.msgpack.Ext(1, value.isoformat().encode())
    if isinstance(value, date):
        return msgspec.msgpack.Ext(2, value.isoformat().encode())
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(3, str(value).encode())
    return value


def opened(use: Use, stored: bytes) -> SourceRows:
    entity = _decode(stored)
    event, arrived, sequence = (
        np.frombuffer(b, np.int64) for b in (entity.event_time, entity.arrived, entity.sequence)
    )
    identity = np.frombuffer(entity.identity, np.int64) if use.row_key else None
    if use.view.aggregate:
        until = None
        if use.row_key:
            until = np.frombuffer(entity.until, np.int64) if entity.until else np.full(len(sequence), EVER)
        windows = tuple(np.frombuffer(b, np.float64) for b in entity.windows)
        return SourceRows(event, arrived, sequence, windows, identity, until)
    return SourceRows(event, arrived, sequence, tuple([_cell(v) for v in column] for column in entity.latest), identity)


def read(use: Use, stored: bytes | None, at_us: int, without: Own | None = None) -> OnlineRow:
    """The values of an entity as they stand at an instant, row `without` of the source left out in all its forms."""
    if stored is not None and without is None and not use.view.aggregate:
        entity = _decode(stored)
        if len(entity.event_time) == 8:  # one row, as most entities of most views have it
            return _only_row(use.view, entity, at_us)
    rows = None if stored is None else opened(use, stored)
    if rows is not None and without is not None:
        own = rows.sequence == without.number
        if rows.identity is not None:
            known = rows.identity[own] if without.identity is None else without.identity
            own = own | np.isin(rows.identity, known)
        rows = rows.take(np.flatnonzero(~own))
    if rows is not None and rows.until is not None and len(rows.until) and rows.until.min() <= at_us:
        rows = rows.take(np.flatnonzero(rows.until > at_us))
    return _windows(use.view, rows, at_us) if use.view.aggregate else _latest(use.view, rows, at_us)


def _only_row(view: FeatureView, entity: _Stored, at_us: int) -> OnlineRow:
    """What `_latest` says of one row, without arrays."""
    event, arrived = (int.from_bytes(b, sys.byteorder, signed=True) for b in (entity.event_time, entity.arrived))
    if max(event, arrived) > at_us:
        return OnlineRow(dict.fromkeys(view.features), dict.fromkeys(view.features, NOT_FOUND), None)
    if view.ttl is not None and at_us - event > _micros(view.ttl):
        gone = dict.fromkeys(view.features, OUTSIDE_MAX_AGE)
        return OnlineRow(dict.fromkeys(view.features), gone, from_micros(event))
    values = {name: _cell(column[0]) for name, column in zip(view.features, entity.latest, strict=True)}
    return OnlineRow(values, {n: NULL_VALUE if x is None else PRESENT for n, x in values.items()}, from_micros(event))


def _latest(view: FeatureView, rows: SourceRows | None, at_us: int) -> OnlineRow:
    visible = np.empty(0, int) if rows is None else np.flatnonzero(np.maximum(rows.event_time, rows.arrived) <= at_us)
    if rows is None or not len(visible):
        return OnlineRow(dict.fromkeys(view.features), dict.fromkeys(view.features, NOT_FOUND), None)
    last = int(visible[-1])
    when = int(rows.event_time[last])
    if view.ttl is not None and at_us - when > _micros(view.ttl):
        gone = dict.fromkeys(view.features, OUTSIDE_MAX_AGE)
        return OnlineRow(dict.fromkeys(view.features), gone, from_micros(when))
    values = {name: column[last] for name, column in zip(view.features, rows.columns, strict=True)}
    return OnlineRow(values, {n: NULL_VALUE if x is None else PRESENT for n, x in values.items()}, from_micros(when))


def _windows(view: FeatureView, found: SourceRows | None, at_us: int) -> OnlineRow:
    """An entity that nobody knows, or that was idle for the longest window, has no rows: count 0, the others null."""
    none = np.empty(0, np.int64)
    rows = found or SourceRows(none, none, none, tuple(np.empty(0) for _ in view.columns))
    columns = {n: c for n, c in zip(view.columns, rows.columns, strict=True) if isinstance(c, np.ndarray)}
    visible = np.maximum(rows.event_time, rows.arrived)
    sorted_ = Rows(np.array([0, len(visible)]), rows.event_time, visible, columns)
    who, instant = np.zeros(1, np.int64), np.array([at_us])
    values: dict[str, FeatureCell] = {}
    for name, aggregate in view.aggregate:
        for window in view.windows:
            span = _micros(duration(window))
            value = aggregated(sorted_, who, instant, span, aggregate)[0]
            values[f"{name}_{window}"] = None if np.isnan(value) else float(value)
    seen = rows.event_time[visible <= at_us]
    newest = from_micros(int(seen[-1])) if len(seen) else None
    return OnlineRow(values, {n: NULL_VALUE if x is None else PRESENT for n, x in values.items()}, newest)


def _micros(value: timedelta) -> int:
    return value // timedelta(microseconds=1)
