"""One Delta Lake table: the bulk of a table's rows, readable by every engine that reads Delta."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.stores.disk import full_disk_named, sync_directory, sync_file

log = logging.getLogger("hanok.stores")
ROWS = "hanok-rows"
COMPACT_FILES = 64
KEEP_EVERYTHING = {  # vacuum and log cleaning happen in `hanok gc` only, after asking the lineage graph
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.dataSkippingStatsColumns": f"{SEQUENCE},{ARRIVED}",  # what scans skip files by
}


@dataclass(frozen=True, slots=True)
class LogFile:
    """A Parquet file and the newest arrival in it (microseconds)."""

    path: str
    arrived_max: int


class DeltaLog:
    """`rows` is how many rows the log holds, read from the log itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = None
        self.rows = 0
        self.files: tuple[LogFile, ...] = ()
        self.schema: pa.Schema = pa.schema([])
        if (path / "_delta_log").exists():
            from deltalake import DeltaTable

            self._table = DeltaTable(str(path))
            self._refresh()

    def append(self, rows: pa.Table, *, total: int) -> None:
        """Add rows and record that the log now holds `total`. Files are synced before this returns."""
        from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

        commit = CommitProperties(app_transactions=[Transaction(ROWS, total)])
        with full_disk_named(f"table {self._path.parent.name}"):
            if self._table is None:
                self._path.mkdir(parents=True, exist_ok=True)
                write_deltalake(
                    str(self._path), rows, mode="append", configuration=KEEP_EVERYTHING, commit_properties=commit
                )
                self._table = DeltaTable(str(self._path))
            else:
                write_deltalake(self._table, rows, mode="append", schema_mode="merge", commit_properties=commit)
                self._table.update_incremental()
        before = {f.path for f in self.files}
        self._refresh()
        for file in self.files:
            if file.path not in before:
                sync_file(Path(file.path))
        sync_file(self._path / "_delta_log" / f"{self._table.version():020d}.json")
        sync_directory(self._path / "_delta_log")
        sync_directory(self._path)
        if len(self.files) > COMPACT_FILES:
            try:
                self.compact()
            except Exception as error:  # noqa: BLE001 (the rows are in; the next append compacts again)
                log.warning("compaction of %s failed: %s", self._path.parent.name, error)

    def compact(self) -> None:
        """Merge small files. Earlier Delta versions stay readable."""
        if self._table is None:
            return
        self._table.optimize.compact()
        self._refresh()
        for file in self.files:
            sync_file(Path(file.path))

    def reload(self) -> None:
        """Read again how much the log holds, after an append that did not come to its end."""
        if (self._path / "_delta_log").exists():
            from deltalake import DeltaTable

            self._table = DeltaTable(str(self._path))
            self._refresh()

    def _refresh(self) -> None:
        table = self._table
        assert table is not None
        self.rows = table.transaction_version(ROWS) or 0
        actions = pa.table(table.get_add_actions(flatten=True))
        newest = actions.column(f"max.{ARRIVED}").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
        paths = [str(self._path / unquote(p)) for p in actions.column("path").to_pylist()]
        self.files = tuple(LogFile(p, n) for p, n in zip(paths, newest, strict=True))
        schema = pa.schema(table.schema().to_arrow())
        self.schema = pa.schema([_plain(f) for f in schema if f.name != SEQUENCE])


def _plain(field: pa.Field) -> pa.Field:
    """Delta's reader may name view types; we compare by the plain ones."""
    if pa.types.is_string_view(field.type) or pa.types.is_large_string(field.type):
        return pa.field(field.name, pa.string())
    return pa.field(field.name, field.type)
