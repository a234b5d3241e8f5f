"""Tables whose acknowledged rows are first in our own synced segment and then, in bulk, in a Delta Lake table.

Row numbers (`_seq`) are the version: rows below a number never change, so "rows with _seq < n" names a snapshot for
ever, whatever compaction does to the files. How many rows the Delta log holds stands in the log itself, as an
application transaction written in the commit of the rows.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from hanok.core.clock import micros
from hanok.core.errors import SchemaMismatch, SourceNotFound, StorageFull
from hanok.core.ids import checked_name
from hanok.core.names import twins
from hanok.core.tables import ARRIVED, SEQUENCE, Appended, Scan
from hanok.stores.delta.log import DeltaLog
from hanok.stores.frames import FrameFile, read_frames

FLUSH_ROWS = 20_000
FLUSH_BATCHES = 64
STATISTICS_SLACK = timedelta(milliseconds=1)  # Delta truncates timestamp statistics to milliseconds


@dataclass
class _Table:
    """The open state of one table: its log, its tail, and the keys seen so far."""

    root: Path
    log: DeltaLog
    keys: dict[str, Appended]
    key_file: FrameFile
    schema: pa.Schema
    segment: FrameFile | None = None
    tail: list[pa.Table] = field(default_factory=list)
    tail_keys: list[str] = field(default_factory=list)
    size: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def tail_rows(self) -> int:
        return self.size - self.log.rows


class DeltaTables:
    """All tables under one directory. One process writes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, _Table] = {}
        self._lock = threading.Lock()

    def append(self, name: str, rows: pa.Table, *, key: str) -> Appended:
        table = self._table(name, create=True)
        with table.lock:
            if (before := table.keys.get(key)) is not None:
                return Appended(before.first, before.rows, repeated=True)
            table.schema = _merged(name, table.schema, rows.schema)
            appended = Appended(table.size, rows.num_rows)
            numbered = rows.append_column(SEQUENCE, pa.array(range(table.size, table.size + rows.num_rows), pa.int64()))
            if table.segment is None:
                table.segment = FrameFile(table.root / "tail" / f"{table.size:012d}.seg")
            table.segment.append(_frame(key, appended, numbered))
            table.segment.sync()
            self._remember(table, key, appended, numbered)
            if table.tail_rows >= FLUSH_ROWS or len(table.tail) >= FLUSH_BATCHES:
                with contextlib.suppress(StorageFull):  # the rows are safe in the tail; the next append tries again
                    self._flush(table)
            return appended

    def scan(self, name: str, *, upto: int | None = None, since: datetime | None = None) -> Scan:
        table = self._table(name)
        with table.lock:
            tail = pa.concat_tables(table.tail, promote_options="default") if table.tail else None
            oldest = None if since is None else micros(since - STATISTICS_SLACK)
            files = tuple(f.path for f in table.log.files if oldest is None or f.arrived_max >= oldest)
            schema = table.schema.append(pa.field(SEQUENCE, pa.int64()))
            return Scan(name, files, tail, table.size if upto is None else min(upto, table.size), schema)

    def size(self, name: str) -> int:
        try:
            return self._table(name).size
        except SourceNotFound:
            return 0

    def names(self) -> list[str]:
        return sorted(path.name for path in self._root.iterdir() if (path / "keys").exists())

    def flush(self, name: str) -> None:
        table = self._table(name)
        with table.lock:
            self._flush(table)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """No table changes inside this: for copying the files."""
        with contextlib.ExitStack() as stack:
            for name in self.names():
                stack.enter_context(self._table(name).lock)
            yield

    def close(self) -> None:
        for table in self._open.values():
            with table.lock:
                if table.segment is not None:
                    table.segment.close()
                table.key_file.close()
        self._open.clear()

    def _table(self, name: str, *, create: bool = False) -> _Table:
        with self._lock:
            if name not in self._open:
                root = self._root / checked_name("table", name)
                if not create and not (root / "keys").exists():
                    known = ", ".join(self.names()[:8]) or "none yet"
                    raise SourceNotFound(f"there is no table {name!r} (tables: {known}); see 'hanok ingest --help'")
                self._open[name] = self._load(root)
            return self._open[name]

    def _load(self, root: Path) -> _Table:
        log = DeltaLog(root / "delta")
        key_file = FrameFile(root / "keys")
        keys = {k: Appended(first, rows) for k, first, rows in map(json.loads, read_frames(root / "keys"))}
        table = _Table(root, log, keys, key_file, log.schema, size=log.rows)
        for path in sorted((root / "tail").glob("*.seg")):
            for payload in read_frames(path):
                key, appended, rows = _unframe(payload)
                if appended.first >= log.rows:
                    table.schema = _merged(root.name, table.schema, rows.drop_columns([SEQUENCE]).schema)
                    self._remember(table, key, appended, rows)
        with contextlib.suppress(StorageFull):
            self._flush(table)
        if not table.tail:
            self._drop_segments(table)
        return table

    @staticmethod
    def _remember(table: _Table, key: str, appended: Appended, rows: pa.Table) -> None:
        table.keys[key] = appended
        table.tail_keys.append(key)
        table.tail.append(rows)
        table.size = appended.first + appended.rows

    def _flush(self, table: _Table) -> None:
        if not table.tail:
            return
        rows = pa.concat_tables(table.tail, promote_options="default")
        for key in table.tail_keys:
            known = table.keys[key]
            table.key_file.append(json.dumps([key, known.first, known.rows]).encode())
        table.key_file.sync()
        try:
            table.log.append(rows, total=table.size)
        except BaseException:
            with contextlib.suppress(Exception):
                table.log.reload()
            if table.log.rows < table.size:
                raise
        table.tail, table.tail_keys = [], []
        self._drop_segments(table)

    @staticmethod
    def _drop_segments(table: _Table) -> None:
        if table.segment is not None:
            table.segment.close()
            table.segment = None
        for path in (table.root / "tail").glob("*.seg"):
            path.unlink()


def _merged(name: str, known: pa.Schema, new: pa.Schema) -> pa.Schema:
    """Columns may be added, never retyped, and no two may differ in case alone: SQL could not read the table."""
    if ARRIVED not in new.names:
        raise SchemaMismatch(f"rows for table {name!r} lack {ARRIVED}, the instant at which they arrived")
    for column in new:
        if column.name in known.names and known.field(column.name).type != column.type:
            raise SchemaMismatch(
                f"column {column.name!r} of table {name!r} is {known.field(column.name).type}, "
                f"the new rows have it as {column.type}; convert it, or ingest into another table"
            )
    added = [column for column in new if column.name not in known.names]
    if added and (pair := twins([*known.names, *(column.name for column in added)])):
        raise SchemaMismatch(f"columns {pair[0]!r} and {pair[1]!r} of table {name!r} are one name to SQL: rename one")
    return pa.schema([*known, *added])


def _frame(key: str, appended: Appended, rows: pa.Table) -> bytes:
    head = json.dumps([key, appended.first, appended.rows]).encode()
    sink = pa.BufferOutputStream()
    sink.write(len(head).to_bytes(4, "little") + head)
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def _unframe(payload: bytes) -> tuple[str, Appended, pa.Table]:
    size = int.from_bytes(payload[:4], "little")
    key, first, rows = json.loads(payload[4 : 4 + size])
    return key, Appended(first, rows), pa.ipc.open_stream(pa.py_buffer(payload)[4 + size :]).read_all()
