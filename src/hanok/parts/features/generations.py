"""Online values in generations: each use of a view is filled beside what answers, then switched by one write.

The pointer of a use says which generation answers and which is being filled. Rows that arrive meanwhile are merged into
both. Whatever dies at any moment leaves the answering generation whole; a half-filled one is dropped by the next fill.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted, same_row
from hanok.compute.point_in_time import living, superseded
from hanok.core.clock import Clock, from_micros, micros
from hanok.core.tables import ARRIVED, SEQUENCE, Scan
from hanok.parts.features.online import OnlineRow, Own, SourceRows, Use, grouped, merged, read
from hanok.parts.features.rows import EVER, UNTIL
from hanok.stores.ports import OnlineValues

FORMAT = "v2"  # of what is stored; what has another one is dropped and filled again
CHUNK_ROWS = 100_000


class _Pointer(msgspec.Struct, array_like=True, frozen=True):
    """Numbers of generations; 0 is none. `last` is the highest that was ever begun."""

    current: int = 0
    filling: int = 0
    last: int = 0


_decode = msgspec.msgpack.Decoder(_Pointer).decode
_encode = msgspec.msgpack.Encoder().encode


class Generations:
    """The online values of the uses of views. `scan` gives a table's rows now, or None when there is no such table."""

    def __init__(self, online: OnlineValues, clock: Clock, scan: Callable[[str], Scan | None]) -> None:
        self._online, self._clock, self._scan = online, clock, scan
        self._filling = threading.RLock()

    def read(self, use: Use, keys: Sequence[bytes | None], without: Own | None = None) -> list[OnlineRow]:
        """The values of entities as they stand now; a null key is an unknown entity. Fills a use that nobody has."""
        try:
            return self._read(use, keys, without)
        except (msgspec.MsgspecError, ValueError):  # what is kept is damaged: it can be made anew
            self.fill(use)
        return self._read(use, keys, without)

    def _read(self, use: Use, keys: Sequence[bytes | None], without: Own | None) -> list[OnlineRow]:
        asked = [k for k in keys if k is not None]
        pointer = self._answering(use)
        while True:
            found = dict(zip(asked, self._online.get(_space(use, pointer.current), asked), strict=True))
            before, pointer = pointer, self._answering(use)
            if before.current == pointer.current:  # else the one that was read may have been dropped meanwhile
                break
        at = micros(self._clock.now())
        return [read(use, None if k is None else found[k], at, without) for k in keys]

    def push(self, use: Use, rows: pa.Table) -> int:
        """Merge newly arrived rows; returns how many entities they are of."""
        pointer = self._pointer(use)
        if not pointer.current and not pointer.filling:
            return self.fill(use)
        forms = self._forms(use, rows) if use.scattered else rows
        return max(self._merge(use, n, [forms]) for n in {pointer.current, pointer.filling} - {0})

    def fill(self, use: Use) -> int:
        """Build all values again from the source, then let them answer; returns how many entities there are."""
        with self._filling:
            before, scan = self._pointer(use), self._scan(use.view.source.table)
            if scan is not None and not self._has_columns(use, scan):
                return 0  # nothing can be said yet; the first rows that have them fill it
            if before.filling:
                self._online.clear(_space(use, before.filling))
            number = before.last + 1
            self._online.clear(_space(use, number))  # a pointer that was lost does not say what is there
            self._point(use, _Pointer(before.current, number, number))
            scan = self._scan(use.view.source.table)  # after the pointer: rows that come later are merged by a push
            if scan is not None:
                self._merge(use, number, self._chunks(use, scan))
            self._point(use, _Pointer(number, 0, number))
            if before.current:
                self._online.clear(_space(use, before.current))
        return self.count(use)

    def ensure(self, use: Use) -> None:
        """Fill a use that has no values yet."""
        with self._filling:
            if not self._pointer(use).current:
                self.fill(use)

    def keep(self, uses: Iterable[Use]) -> None:
        """Drop the values of all other uses, and what earlier versions and interrupted fills left."""
        with self._filling:
            kept = {FORMAT}
            for use in uses:
                pointer = self._pointer(use)
                kept |= {_space(use, n) for n in (pointer.current, pointer.filling) if n}
            for space in self._online.spaces():
                if space not in kept:
                    use_id = space.split("/")[1] if space.startswith(f"{FORMAT}/") else ""
                    if use_id and not any(k.startswith(f"{FORMAT}/{use_id}/") for k in kept):
                        self._online.put(FORMAT, [(use_id.encode(), _encode(_Pointer()))])
                    self._online.clear(space)

    def count(self, use: Use) -> int:
        """Entities that have values."""
        current = self._pointer(use).current
        return self._online.count(_space(use, current)) if current else 0

    def answers(self, use: Use) -> bool:
        """Whether there are values that answer."""
        return self._pointer(use).current > 0

    def withdraw(self, use: Use) -> None:
        """Let nothing answer until the use is filled again."""
        self._point(use, _Pointer(last=self._pointer(use).last))

    def _answering(self, use: Use) -> _Pointer:
        pointer = self._pointer(use)
        if not pointer.current:
            self.ensure(use)
            pointer = self._pointer(use)
        return pointer

    def _pointer(self, use: Use) -> _Pointer:
        (found,) = self._online.get(FORMAT, [use.id.encode()])
        try:
            return _decode(found) if found else _Pointer()
        except msgspec.MsgspecError:  # damaged: what it led to is filled again
            return _Pointer()

    def _point(self, use: Use, pointer: _Pointer) -> None:
        self._online.put(FORMAT, [(use.id.encode(), _encode(pointer))])

    def _merge(self, use: Use, number: int, parts: Iterable[pa.Table]) -> int:
        entities = 0
        now = micros(self._clock.now())
        for rows in parts:
            new = dict(grouped(use, rows))
            if new:
                self._online.merge(_space(use, number), list(new), _merging(use, new, now))
            entities += len(new)
        return entities

    def _forms(self, use: Use, rows: pa.Table) -> pa.Table:
        """All forms of these rows in their table, each with when the next one was known: earlier ones may be of other
        entities, which are told."""
        view, scan = use.view, self._scan(use.view.source.table)
        row_key = [n for n in use.row_key if n in rows.column_names]
        if scan is None or not row_key or not self._has_columns(use, scan):
            return rows
        event = f"CAST({quoted(view.source.event_time)} AS TIMESTAMPTZ)"
        names = dict.fromkeys((*view.keys, view.source.event_time, ARRIVED, SEQUENCE, *view.columns, *row_key))
        with connect({"source": scan, "pushed": rows.select([*row_key, SEQUENCE])}) as duck:
            return arrow(
                duck,
                f"SELECT {', '.join(map(quoted, names))}, {_until(row_key, event)} AS {UNTIL} "
                f"FROM source SEMI JOIN pushed ON {same_row('source', 'pushed', row_key)}",
            )

    def _chunks(self, use: Use, scan: Scan) -> Iterator[pa.Table]:
        """The rows of a source that can still matter, a bounded number at a time."""
        view = use.view
        event = f"CAST({quoted(view.source.event_time)} AS TIMESTAMPTZ)"
        row_key = [n for n in use.row_key if n in scan.schema.names]
        names = dict.fromkeys((*view.keys, view.source.event_time, ARRIVED, SEQUENCE, *view.columns, *row_key))
        now = f"TIMESTAMPTZ '{from_micros(micros(self._clock.now())).isoformat()}'"
        seen = f"({event} <= {now} AND coalesce({ARRIVED}, {event}) <= {now})"  # the best of these, and all others
        keys = ", ".join(map(quoted, view.keys))
        where = (
            f"QUALIFY {seen} IS NOT TRUE OR row_number() OVER (PARTITION BY {keys}, {seen} "
            f"ORDER BY {event} DESC, {ARRIVED} DESC NULLS LAST, {SEQUENCE} DESC) <= {use.wanted}"
        )
        if view.aggregate and view.horizon is not None:
            oldest = from_micros(micros(self._clock.now())) - view.horizon
            where = f"WHERE {event} > TIMESTAMPTZ '{oldest.isoformat()}'"
        rows = "source"
        if row_key and view.aggregate:
            rows = f"(SELECT *, {_until(row_key, event)} AS {UNTIL} FROM source)"
            names |= {UNTIL: None}
        elif row_key:  # forms in whose place later ones have come are none of the best
            visible = f"greatest({event}, coalesce({ARRIVED}, {event}))"
            rows = f"(SELECT * FROM source QUALIFY {living(row_key, visible, SEQUENCE, now)})"
        with connect({"source": scan}) as duck:
            reader = duck.sql(f"SELECT {', '.join(map(quoted, names))} FROM {rows} {where}").to_arrow_reader(CHUNK_ROWS)
            for batch in reader:
                yield pa.Table.from_batches([batch])

    @staticmethod
    def _has_columns(use: Use, scan: Scan) -> bool:
        view = use.view
        return {*view.keys, view.source.event_time, *view.columns} <= set(scan.schema.names)


def _until(row_key: Sequence[str], event: str) -> str:
    """When the next form of a row was known, as SQL."""
    return f"coalesce({superseded(row_key, f'epoch_us(coalesce({ARRIVED}, {event}))', SEQUENCE)}, {EVER})"


def _merging(use: Use, new: Mapping[bytes, SourceRows], now_us: int) -> Callable[[bytes, bytes | None], bytes]:
    return lambda key, found: merged(use, found, new[key], now_us)


def _space(use: Use, number: int) -> str:
    return f"{FORMAT}/{use.id}/{number}"
