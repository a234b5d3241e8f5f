from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

import pyarrow as pa

from hanok.core.errors import SchemaMismatch, no_table
from hanok.core.tables import ARRIVED, SEQUENCE, Appended, Scan


class MemoryTables:
    """Append-only tables as lists of Arrow tables."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, list[pa.Table]] = {}
        self._keys: dict[tuple[str, str], Appended] = {}
        self._sizes: dict[str, int] = {}

    def append(self, name: str, rows: pa.Table, *, key: str, digest: str = "", first: int = 0) -> Appended:
        with self._lock:
            return self._append(name, rows, key, digest, first)

    def _append(self, name: str, rows: pa.Table, key: str, digest: str, first: int) -> Appended:
        if (before := self._keys.get((name, key))) is not None:
            return before.again(name, key, digest)
        if ARRIVED not in rows.column_names:
            raise SchemaMismatch(f"rows for table {name!r} lack {ARRIVED}, the instant at which they arrived")
        for known in self._tables.get(name, [])[:1]:
            for column in rows.schema:
                if column.name in known.column_names and known.schema.field(column.name).type != column.type:
                    raise SchemaMismatch(f"column {column.name!r} of table {name!r} comes in another type")
        appended = Appended(max(self.size(name), first), rows.num_rows, digest=digest)
        numbers = pa.array(range(appended.first, appended.first + rows.num_rows), pa.int64())
        self._tables.setdefault(name, []).append(rows.append_column(SEQUENCE, numbers))
        self._keys[name, key] = appended
        self._sizes[name] = appended.first + rows.num_rows
        return appended

    def holds(self, name: str, key: str) -> bool:
        return (name, key) in self._keys

    def scan(self, name: str, *, upto: int | None = None, since: datetime | None = None, first: int = 0) -> Scan:
        if name not in self._tables:
            raise no_table(name)
        rows = pa.concat_tables(self._tables[name], promote_options="default")
        size = self.size(name)
        return Scan(name, (), rows, size if upto is None else min(upto, size), rows.schema)

    def size(self, name: str) -> int:
        return self._sizes.get(name, 0)

    def names(self) -> list[str]:
        return sorted(self._tables)

    def flush(self, name: str) -> None:
        self.scan(name)

    def frozen(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        self._tables.clear()
        self._sizes.clear()
