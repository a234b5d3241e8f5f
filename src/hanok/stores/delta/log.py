"""One Delta Lake table: the bulk of a table's rows, readable by every engine that reads Delta."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa

from hanok.core.errors import Corrupt, StorageFull
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.stores.disk import full_disk_named, sync_directory, sync_file
from hanok.stores.frames import FrameFile, read_contents

if TYPE_CHECKING:
    from deltalake import DeltaTable

log = logging.getLogger("hanok.stores")
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, pa.ArrowException)
ROWS = "hanok-rows"
DIGESTS = "digests"  # beside the log: frames of [name, SHA-256] of its data files and commits
COMPACT_FILES = 64
TARGET_BYTES = 256 << 20  # larger files are not merged
KEEP_EVERYTHING = {  # vacuum and log cleaning happen in `hanok gc` only, after asking the lineage graph
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.dataSkippingStatsColumns": f"{SEQUENCE},{ARRIVED}",  # what scans skip files by
}


def damaged(table: str, why: str) -> Corrupt:
    return Corrupt(
        f"the log of table {table!r} is damaged: {why}. Its rows cannot be read, everything else can. 'hanok doctor' "
        "says what to do; 'hanok restore' brings a backup back",
        table=table,
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_digests(path: Path) -> dict[str, str]:
    """SHA-256 by name of the data files and commits of a table, as far as they were noted."""
    known: dict[str, str] = {}
    for frame in read_contents(path).frames if path.exists() else ():
        with contextlib.suppress(ValueError):
            name, digest = json.loads(frame.payload)
            known[name] = digest
    return known


@dataclass(frozen=True, slots=True)
class LogFile:
    """A Parquet file, the newest arrival in it (microseconds), and the numbers of its first and last row, where the log
    says them."""

    path: str
    arrived_max: int
    first: int | None
    last: int | None

    def holds(self, first: int, end: int, since: int | None) -> bool:
        """Whether a row numbered in [first, end) may be here that arrived at `since` or later."""
        numbered = (self.last is None or self.last >= first) and (self.first is None or self.first < end)
        return numbered and (since is None or self.arrived_max >= since)


class DeltaLog:
    """`rows` is how many rows the log holds, read from the log itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: DeltaTable | None = None
        self._synced: set[str] = set()  # files that are known to be on the disk
        self.rows = 0
        self.files: tuple[LogFile, ...] = ()
        self.schema: pa.Schema = pa.schema([])
        self.reload()

    def append(self, rows: pa.Table, *, total: int) -> None:
        """Add rows and record that the log now holds `total`. Files are synced before this returns."""
        from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

        commit = CommitProperties(app_transactions=[Transaction(ROWS, total)])
        before = self._seen()
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
        self._refresh()
        self._keep(before)
        if len(self.files) > COMPACT_FILES:
            try:
                self.compact()
            except Exception as error:  # noqa: BLE001 (the rows are in; the next append compacts again)
                log.warning("compaction of %s failed: %s", self._path.parent.name, error)

    def compact(self) -> None:
        """Merge small files. Earlier Delta versions stay readable. Raises Corrupt where one of them has other bytes
        than were written: what was made of it would look whole."""
        if self._table is None:
            return
        before, known = self._seen(), read_digests(self._path.parent / DIGESTS)
        for path in (Path(file.path) for file in self.files):
            if path.name in known and path.stat().st_size < TARGET_BYTES and file_digest(path) != known[path.name]:
                raise damaged(self._path.parent.name, f"{path.name} has other bytes than were written")
        self._table.optimize.compact(target_size=TARGET_BYTES)
        self._refresh()
        self._keep(before)

    def reload(self) -> None:
        """Read how much the log holds: on opening, and after an append that did not come to its end. Raises Corrupt."""
        commits = self._path / "_delta_log"
        if next(commits.glob("*.json"), None) is None and next(commits.glob("*.parquet"), None) is None:
            return  # the first commit is not there yet
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            self._table = DeltaTable(str(self._path))
            self._refresh()
        except (DeltaError, *_UNREADABLE) as error:
            raise damaged(self._path.parent.name, str(error).splitlines()[0][:300]) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of the Delta reader, which is no Exception
                raise
            raise damaged(self._path.parent.name, "its entries cannot be read") from error

    def sync(self) -> None:
        """Make the log durable as it is: what a process wrote that was killed then may not be."""
        if self._table is None:
            return
        commits = self._path / "_delta_log"
        now = {f.path for f in self.files} | {str(commits / f"{self._table.version():020d}.json")}
        if not (new := now - self._synced):
            return
        for path in sorted(new):
            sync_file(Path(path))
        sync_directory(commits)
        sync_directory(self._path)
        self._synced = now

    def _seen(self) -> tuple[set[str], int]:
        """The data files and the version of now."""
        return {f.path for f in self.files}, -1 if self._table is None else self._table.version()

    def _keep(self, before: tuple[set[str], int]) -> None:
        """Sync what is new, and note what its bytes are: Parquet does not tell a flipped byte. Only of what was
        written just now: nobody knows what files of an earlier release, or of a killed process, held at first."""
        self.sync()
        assert self._table is not None
        files, version = before
        data = [Path(f.path) for f in self.files if f.path not in files]
        commits = self._path / "_delta_log"
        named = (p for v in range(version + 1, self._table.version() + 1) for p in commits.glob(f"{v:020d}.*"))
        lines = [json.dumps([p.name, file_digest(p)]).encode() for p in (*data, *named)]
        if not lines:
            return
        try:
            file = FrameFile(self._path.parent / DIGESTS)
            file.append_many(lines)
            file.close()
        except (OSError, StorageFull) as error:  # the rows are in: what is not noted is read by the doctor
            log.warning("no digests are noted for table %s: %s", self._path.parent.name, error)

    def _refresh(self) -> None:
        table = self._table
        assert table is not None
        self.rows = table.transaction_version(ROWS) or 0
        actions = pa.table(table.get_add_actions(flatten=True))
        newest = actions.column(f"max.{ARRIVED}").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
        paths = [str(self._path / unquote(p)) for p in actions.column("path").to_pylist()]
        bounds = (actions.column(f"{side}.{SEQUENCE}").to_pylist() for side in ("min", "max"))
        self.files = tuple(LogFile(*of) for of in zip(paths, newest, *bounds, strict=True))
        schema = pa.schema(table.schema().to_arrow())
        self.schema = pa.schema([_plain(f) for f in schema if f.name != SEQUENCE])


def _plain(field: pa.Field) -> pa.Field:
    """Delta's reader may name view types; we compare by the plain ones."""
    if pa.types.is_string_view(field.type) or pa.types.is_large_string(field.type):
        return pa.field(field.name, pa.string())
    return pa.field(field.name, field.type)
