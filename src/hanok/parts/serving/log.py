"""The prediction log: frames of this process first, then the deployment's table."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from hanok.core.clock import from_micros, micros
from hanok.core.errors import BadData, HanokError, PredictionNotFound, SourceNotFound
from hanok.core.ids import PredictionId
from hanok.core.logged import FEATURE, KEY, TABLE, key_of
from hanok.core.serving import Prediction
from hanok.parts.serving.entries import Entry, decode, encode
from hanok.parts.serving.reading import FACTS, FactsOf, Read, Reader, RowsOf, entries_of, ids_of, read
from hanok.parts.serving.rows import INSTANT, Signatures, prediction_of, table_of
from hanok.parts.serving.segments import SET_ASIDE, Segments
from hanok.stores.disk import sync_directory
from hanok.stores.frames import owned, read_frame
from hanok.stores.ports import Tables

__all__ = ["FEATURE", "INSTANT", "KEY", "TABLE", "Entry", "PredictionLog", "SetAside", "prediction_of", "table_of"]

log = logging.getLogger("hanok.serving")
RACES_MAX = 5  # appends of other writers that may add a column between our look at a table and our append
RECENT_MAX = 200_000
Made = Callable[[pa.Schema | None], pa.Table]


@dataclass(frozen=True, slots=True)
class SetAside:
    """Records that could not go into the table: their file, kept as it was, and why."""

    deployment: str
    file: str
    reason: str


class PredictionLog:
    """Online answers go to a frame file of this process and deployment; `compact` moves closed files into the table.

    A record is written before its reply leaves: it survives kill -9. It is synced once a second by whoever owns this
    log; a power cut may lose that last second.
    """

    def __init__(self, root: Path, tables: Tables, *, started: datetime, worker: int = 0) -> None:
        """`started` is the start of this process, `worker` its number among those that share it."""
        self._root, self._tables = root, tables
        self._segments = Segments(root, start_ms=micros(started) // 1000, worker=worker)
        self.compaction = threading.RLock()  # held while segments move; a backup holds it too
        self.sync, self.close = self._segments.sync, self._segments.close
        self.reader: Reader = read  # a server has one that works in another process

    # -- writing ---------------------------------------------------------------------------------------------

    def append(self, deployment: str, entry: Entry) -> PredictionId:
        return self.append_many(deployment, (entry,))[0]

    def append_many(self, deployment: str, entries: Sequence[Entry]) -> list[PredictionId]:
        """Log answers in one write; they survive kill -9 when this returns."""
        return self.append_encoded(deployment, [encode(e) for e in entries])

    def append_encoded(self, deployment: str, payloads: Sequence[bytes]) -> list[PredictionId]:
        """The same for entries as `encode` gives them."""
        return self._segments.append(deployment, payloads)

    def append_batch(self, deployment: str, made: Made, key: str, digest: str) -> bool:
        """Log answers in bulk, durable on return; False when the batch was logged before. `made` gives the rows for a
        table that has the columns it is handed, `digest` is of the rows that were asked about. Raises Conflict when
        others were asked about under this key."""
        return self._append(TABLE + deployment, made, key, digest)

    # -- reading ---------------------------------------------------------------------------------------------

    def find(self, prediction: PredictionId) -> Prediction:
        """Finds the record before, while and after its segment moves into the table. Raises PredictionNotFound, and
        Corrupt for one that is damaged."""
        payload = self._segments.read(prediction)
        if payload is None:
            row = self._row(prediction)
            if row is not None:
                return row
            payload = self._set_aside_frame(prediction)
        if payload is None:
            raise PredictionNotFound(
                f"there is no prediction {prediction}; ids stand in replies, and 'hanok predict' prints them"
            )
        return _prediction(prediction, decode(payload))

    def recent(self, deployment: str, *, limit: int) -> list[tuple[str, Entry]]:
        """The newest answers that are not in the table yet, newest first: their ids and records."""
        found: list[tuple[str, Entry]] = []
        for path in reversed(self._segments.files(deployment)):
            try:
                entries, _ = entries_of(path, last=limit - len(found))
            except FileNotFoundError:  # moved in between: its rows are in the table by now
                continue
            ids = ids_of(deployment, path, entries)
            found += [(i, entry) for i, (_, entry) in zip(reversed(ids), reversed(entries), strict=True)]
            if len(found) >= limit:
                break
        return found

    def size_bytes(self, deployment: str) -> int:
        """Of the records that are not in the table yet: it changes with each answer."""
        sizes = 0
        for path in self._segments.files(deployment):
            try:
                sizes += path.stat().st_size
            except FileNotFoundError:  # moved in between: the table has grown
                continue
        return sizes

    def since(self, deployment: str, since: datetime) -> pa.Table:
        """prediction_id, at, version, arm, error, rows and the microseconds of one row, of what was logged since."""
        from hanok.compute.duck import arrow, connect

        found = self._fresh(deployment, micros(since))
        if not self._tables.size(TABLE + deployment):
            return found
        scan = self._tables.scan(TABLE + deployment, since=since)
        rows = "coalesce(rows, 1)" if "rows" in scan.schema.names else "1"
        spent = f"CASE WHEN batch = '' THEN microseconds / greatest({rows}, 1) END"  # a batch has no latency of a row
        with connect({"log": scan, "fresh": found}) as duck:  # what moved between the two looks counts once
            kept = arrow(
                duck,
                f'SELECT prediction_id, "at", version, arm, error, {spent} AS microseconds, '
                f'{rows} AS rows FROM log WHERE "at" >= ? AND prediction_id NOT IN (SELECT prediction_id FROM fresh)',
                [since],
            )
        return pa.concat_tables([kept.cast(found.schema), found])

    def batch_ids(self, deployment: str, key: str) -> list[str]:
        """The ids of a batch's answers, in the order of its rows."""
        from hanok.compute.duck import arrow, connect
        from hanok.core.tables import SEQUENCE

        with connect({"log": self._tables.scan(TABLE + deployment)}) as duck:
            rows = arrow(
                duck, f"SELECT row_id, min({SEQUENCE}) AS n FROM log WHERE batch = ? GROUP BY row_id ORDER BY n", [key]
            )
        return rows.column("row_id").to_pylist()

    def batch_answers(self, deployment: str, key: str) -> pa.Table:
        """The answers of a batch as they are logged, in the order of its rows: prediction_id, version, score, scores,
        error."""
        from hanok.compute.duck import arrow, connect
        from hanok.core.tables import SEQUENCE

        with connect({"log": self._tables.scan(TABLE + deployment)}) as duck:
            return arrow(
                duck,
                f"WITH batch AS (SELECT *, min({SEQUENCE}) OVER (PARTITION BY row_id) AS place FROM log "
                "WHERE batch = ?) SELECT prediction_id, version, score, scores, error FROM batch "
                "WHERE prediction_id = row_id ORDER BY place",
                [key],
            )

    def batch_size(self, deployment: str, prefix: str) -> int:
        """How many rows have an answer in the batches whose key begins so."""
        from hanok.compute.duck import arrow, connect

        if not self._tables.size(TABLE + deployment):
            return 0
        with connect({"log": self._tables.scan(TABLE + deployment)}) as duck:
            said = "SELECT count(DISTINCT row_id) AS n FROM log WHERE starts_with(batch, ?) AND prediction_id = row_id"
            return int(arrow(duck, said, [prefix]).column("n")[0].as_py())

    def batch_rows(self, deployment: str, prefix: str) -> pa.Table:
        """What answered in the batches whose key begins so, in the order of their rows: batch, row_id, version, arm,
        at, and the entity's keys as they are logged."""
        from hanok.compute.duck import arrow, connect, quoted
        from hanok.core.tables import SEQUENCE

        if not self._tables.size(TABLE + deployment):
            return pa.table({"batch": pa.array([], pa.string())})
        scan = self._tables.scan(TABLE + deployment)
        keys = "".join(f", {quoted(c)}" for c in scan.schema.names if key_of(c) is not None)
        with connect({"log": scan}) as duck:
            return arrow(
                duck,
                f'SELECT batch, row_id, version, arm, "at" {keys} FROM log '
                f"WHERE starts_with(batch, ?) AND arm <> 'shadow' ORDER BY {SEQUENCE}",
                [prefix],
            )

    def set_aside(self, deployment: str) -> list[SetAside]:
        """What could not go into the table, and why."""
        directory = self._segments.directory(deployment) / SET_ASIDE
        return [SetAside(deployment, p.stem, p.read_text()) for p in sorted(directory.glob("*.reason"))]

    # -- moving into the table -------------------------------------------------------------------------------

    def compact(self, signatures: Mapping[str, Signatures] | None = None, *, everything: bool = False) -> int:
        """Move finished segments (with `everything` the open ones of this process too) into the tables; returns the
        number of rows moved. `signatures` of the versions of a deployment, where they are at hand, see `table_of`.

        A record that cannot be moved is set aside and holds up nothing. Segments that another process writes stay.
        Raises what the disk says, after all that can move has moved.
        """
        moved, failed = 0, None
        with self.compaction:
            self.sync()
            for deployment in self._segments.deployments():
                if everything:
                    self._segments.finish(deployment)
                for path in self._segments.files(deployment):
                    try:
                        moved += self._move(deployment, path, (signatures or {}).get(deployment, {}))
                    except (HanokError, OSError) as error:
                        log.warning("segment %s of %s stays for now: %s", path.name, deployment, error)
                        failed = failed or error
        if failed is not None:
            raise failed
        return moved

    def _move(self, deployment: str, path: Path, signatures: Signatures) -> int:
        """Append the segment's rows under its name as the key, then remove it: done again after a kill, nothing is
        there twice."""
        try:
            lock = owned(path)
        except FileNotFoundError:
            return 0
        if lock is None:
            return 0
        try:
            read: list[Read] = []

            def made(known: pa.Schema | None) -> pa.Table:
                read[:] = [self.reader(RowsOf(deployment, path, known, signatures))]
                return read[0].table

            self._append(TABLE + deployment, made, f"segment-{path.stem}")
            if read[0].bad:
                _set_aside(path, read[0].bad)
            else:
                path.unlink(missing_ok=True)
            return int(read[0].table.num_rows)
        finally:
            os.close(lock)

    def _append(self, table: str, made: Made, key: str, digest: str = "") -> bool:
        for attempt in range(RACES_MAX):
            try:
                known = self._tables.scan(table).schema
            except SourceNotFound:
                known = None
            rows = made(known)
            try:
                return rows.num_rows > 0 and not self._tables.append(table, rows, key=key, digest=digest).repeated
            except BadData:
                if attempt == RACES_MAX - 1:
                    raise
        raise AssertionError("unreachable")

    # -- inside ----------------------------------------------------------------------------------------------

    def _fresh(self, deployment: str, low: int) -> pa.Table:
        """What was logged since `low` and is not in the table yet, the newest segment first; see `since`."""
        parts, left = list[pa.Table](), RECENT_MAX
        for path in reversed(self._segments.files(deployment)):
            if left > 0:
                with contextlib.suppress(FileNotFoundError):  # moved in between: its rows are in the table by now
                    parts.append(self.reader(FactsOf(deployment, path, low, left)).table)
                    left -= parts[-1].num_rows
        return pa.concat_tables(reversed(parts)) if parts else FACTS.empty_table()

    def _row(self, prediction: PredictionId) -> Prediction | None:
        from hanok.compute.duck import add, arrow, connect

        table = TABLE + prediction.deployment
        if not self._tables.size(table):
            return None
        with connect() as duck:
            add(duck, "log", self._tables.scan(table))
            rows = arrow(duck, "SELECT * FROM log WHERE prediction_id = ?", [str(prediction)])
        return prediction_of(prediction.deployment, rows.to_pylist()[0]) if rows.num_rows else None

    def _set_aside_frame(self, prediction: PredictionId) -> bytes | None:
        path = self._segments.path(prediction)
        try:
            return read_frame(path.parent / SET_ASIDE / path.name, prediction.sequence)
        except FileNotFoundError:
            return None


def _prediction(prediction: PredictionId, entry: Entry) -> Prediction:
    return Prediction(
        str(prediction),
        prediction.deployment,
        entry.version,
        from_micros(entry.at),
        entry.arm,
        entry.features,
        entry.score,
        tuple(entry.scores),
        entry.entity,
        row_id=entry.row_id or str(prediction),
        error=entry.error,
    )


def _set_aside(path: Path, reason: str) -> None:
    """Keep the whole file and why; its readable records are in the table, or none is."""
    directory = path.parent / SET_ASIDE
    directory.mkdir(exist_ok=True)
    (directory / f"{path.stem}.reason").write_text(reason, errors="backslashreplace")
    path.replace(directory / path.name)
    sync_directory(directory)
    log.error("records of %s were set aside in %s: %s", path.parent.name, directory / path.name, reason)
