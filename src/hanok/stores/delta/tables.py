"""Tables whose acknowledged rows are first in our own synced segment and then, in bulk, in a Delta Lake table.

Row numbers (`_seq`) are the version: rows below a number never change, so "rows with _seq < n" names a snapshot for
ever, whatever compaction does to the files. How many rows the Delta log holds stands in the log itself, as an
application transaction written in the commit of the rows.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from hanok.core.clock import micros
from hanok.core.errors import HanokError, SchemaMismatch, SourceNotFound, StorageFull, no_table
from hanok.core.ids import checked_name
from hanok.core.names import twins
from hanok.core.tables import ARRIVED, SEQUENCE, Appended, Scan
from hanok.stores.delta.log import DeltaLog, damaged
from hanok.stores.delta.tail import SET_ASIDE, Batch, frame, from_key_entry, key_entry, read_tail, set_aside, span_of
from hanok.stores.frames import Contents, FrameFile, read_contents

logger = logging.getLogger("hanok.stores")

FLUSH_ROWS = 20_000
FLUSH_BATCHES = 64
STATISTICS_SLACK = timedelta(milliseconds=1)  # Delta truncates timestamp statistics to milliseconds


@dataclass
class _Table:
    """The open state of one table: its log, its tail, and the keys seen so far."""

    root: Path
    log: DeltaLog
    keys: dict[str, Appended]
    keys_lost: bool  # the list of its batches is damaged
    key_file: FrameFile
    schema: pa.Schema
    segment: FrameFile | None = None
    tail: list[Batch] = field(default_factory=list)
    damaged: dict[Path, str] = field(default_factory=dict)  # files of the tail, and what they lost
    size: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def tail_rows(self) -> int:
        return self.size - self.log.rows


class DeltaTables:
    """All tables under one directory. One process writes. A table that is damaged raises Corrupt when it is used, and
    no other does."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, _Table] = {}
        self._lock = threading.Lock()

    def append(self, name: str, rows: pa.Table, *, key: str, digest: str = "", first: int = 0) -> Appended:
        table = self._table(name, create=True)
        with table.lock:
            if (before := table.keys.get(key)) is not None:
                return before.again(name, key, digest)
            table.schema = _merged(name, table.schema, rows.schema)
            appended = Appended(max(table.size, first), rows.num_rows, digest=digest)
            batch = Batch(key, appended, rows.append_column(SEQUENCE, pa.array(span_of(appended), pa.int64())))
            if table.segment is None:
                table.segment = FrameFile(_new_segment(table.root / "tail", appended.first))
            table.segment.append(frame(batch))
            table.segment.sync()
            self._remember(table, batch)
            if table.tail_rows >= FLUSH_ROWS or len(table.tail) >= FLUSH_BATCHES:
                with contextlib.suppress(StorageFull):  # the rows are safe in the tail; the next append tries again
                    self._flush(table)
            return appended

    def holds(self, name: str, key: str) -> bool:
        try:
            table = self._table(name)
        except SourceNotFound:
            return False
        return key in table.keys or table.keys_lost

    def scan(self, name: str, *, upto: int | None = None, since: datetime | None = None, first: int = 0) -> Scan:
        table = self._table(name)
        with table.lock:
            end = table.size if upto is None else min(upto, table.size)
            batches = [b.rows for b in table.tail if b.appended.first + b.appended.rows > first]
            tail = pa.concat_tables(batches, promote_options="default") if batches else None
            oldest = None if since is None else micros(since - STATISTICS_SLACK)
            files = tuple(f.path for f in table.log.files if f.holds(first, end, oldest))
            return Scan(name, files, tail, end, table.schema.append(pa.field(SEQUENCE, pa.int64())))

    def size(self, name: str) -> int:
        try:
            return self._table(name).size
        except SourceNotFound:
            return 0

    def names(self) -> list[str]:
        """All that lies here, the damaged too."""
        return sorted(path.name for path in self._root.iterdir() if _holds_a_table(path))

    def flush(self, name: str) -> None:
        table = self._table(name)
        with table.lock:
            self._flush(table)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """No table changes inside this: for copying the files."""
        with contextlib.ExitStack() as stack:
            for name in self.names():
                with contextlib.suppress(HanokError):  # a damaged one is written by nobody
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
                if not create and not _holds_a_table(root):
                    raise no_table(name)
                self._open[name] = self._load(root)
            return self._open[name]

    def _load(self, root: Path) -> _Table:
        log, (known, lost), tail = DeltaLog(root / "delta"), read_keys(root / "keys"), read_tail(root / "tail")
        ends = [log.rows, *(b.appended.first + b.appended.rows for b in tail.batches)]
        told = max((a.first + a.rows for a in known.values()), default=0)
        if told > max(ends):
            raise damaged(root.name, f"it holds {max(ends)} rows, and its batches had {told}")
        if lost:
            logger.error("table %s: its file of batch keys is damaged; see: hanok doctor", root.name)
        keys = FrameFile(root / "keys")
        table = _Table(root, log, known, bool(lost), keys, log.schema, damaged=tail.damaged, size=log.rows)
        for batch in tail.batches:
            if batch.appended.first >= table.size:
                table.schema = _merged(root.name, table.schema, batch.rows.drop_columns([SEQUENCE]).schema)
                self._remember(table, batch)
        with contextlib.suppress(StorageFull):
            self._flush(table)
        if not table.tail:
            self._drop_segments(table)
        return table

    @staticmethod
    def _remember(table: _Table, batch: Batch) -> None:
        table.keys[batch.key] = batch.appended
        table.tail.append(batch)
        table.size = batch.appended.first + batch.appended.rows

    def _flush(self, table: _Table) -> None:
        if not table.tail:
            return
        rows = pa.concat_tables((b.rows for b in table.tail), promote_options="default")
        table.key_file.append_many([json.dumps(key_entry(b.key, b.appended)).encode() for b in table.tail])
        table.key_file.sync()
        try:
            table.log.append(rows, total=table.size)
        except BaseException:
            with contextlib.suppress(Exception):
                table.log.reload()
            if table.log.rows < table.size:
                raise
        table.tail = []
        self._drop_segments(table)

    @staticmethod
    def _drop_segments(table: _Table) -> None:
        """The files of the tail are not needed any more; a damaged one is kept aside, with what it lost."""
        if table.segment is not None:
            table.segment.close()
            table.segment = None
        if next((table.root / "tail").glob("*.seg"), None) is None:
            return
        table.log.sync()
        for path, reason in table.damaged.items():
            logger.error("rows of table %s are lost: %s is %s", table.root.name, path.name, reason)
            set_aside(path, table.root / SET_ASIDE, reason)
        table.damaged = {}
        for path in (table.root / "tail").glob("*.seg"):
            path.unlink()


def read_keys(path: Path) -> tuple[dict[str, Appended], list[str]]:
    """The keys of the batches in the columnar log, and what is damaged of them."""
    found = read_contents(path) if path.exists() else Contents()
    known: dict[str, Appended] = {}
    lost = [str(damage) for damage in found.damage]
    for one in found.frames:
        try:
            key, appended = from_key_entry(json.loads(one.payload))
        except (ValueError, TypeError) as error:
            lost.append(f"record {one.number} is no key: {error}")
            continue
        known[key] = appended
    return known, lost


def _holds_a_table(root: Path) -> bool:
    return (root / "keys").exists() or (root / "delta").is_dir() or any((root / "tail").glob("*.seg"))


def _new_segment(folder: Path, first: int) -> Path:
    """A file that is not there yet: where a damaged one lost its rows, their number may come again."""
    path, number = folder / f"{first:012d}.seg", 0
    while path.exists():
        number += 1
        path = folder / f"{first:012d}-{number}.seg"
    return path


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
