"""The prediction log: frames of this process first, then the deployment's table."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from hanok.core.clock import from_micros, micros
from hanok.core.errors import PredictionNotFound
from hanok.core.ids import PredictionId
from hanok.core.serving import Prediction, Signature
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.stores.frames import FrameFile, read_frames
from hanok.stores.ports import Tables

TABLE = "predictions--"
FEATURE = "f__"
KEY = "key__"
SEGMENT_FRAMES = 50_000
INSTANT = pa.timestamp("us", "UTC")


class Entry(msgspec.Struct, array_like=True, omit_defaults=False):
    """One logged answer as it stands in a frame. `row_id` of a shadow is the id of the answer it stands beside."""

    at: int
    version: int
    arm: str
    score: float | None
    scores: list[float]
    features: dict[str, Any]
    entity: dict[str, Any]
    error: str = ""
    microseconds: int = 0
    row_id: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


@dataclass
class _Segment:
    file: FrameFile
    number: int


class PredictionLog:
    """Online answers go to a frame file of this process and deployment; `compact` moves closed files into the table.

    A record is written before its reply leaves: it survives kill -9. It is synced once a second by whoever owns this
    log; a power cut may lose that last second.
    """

    def __init__(self, root: Path, tables: Tables, *, started: datetime) -> None:
        """`started` is the real start of this process, which no other process of this home shares."""
        self._root, self._tables = root, tables
        self._start_ms = micros(started) // 1000
        self._numbers: dict[str, int] = {}
        self._segments: dict[str, _Segment] = {}
        self._lock = threading.Lock()
        self.compaction = threading.RLock()  # held while segments move; a backup holds it too

    def append(self, deployment: str, entry: Entry) -> PredictionId:
        payload = _encode(entry)
        with self._lock:  # compaction closes files
            segment = self._segments.get(deployment)
            if segment is None or segment.file.count >= SEGMENT_FRAMES:
                segment = self._rotate(deployment, segment)
            return PredictionId(deployment, self._start_ms, segment.number, segment.file.append(payload))

    def recent(self, deployment: str, *, limit: int) -> list[tuple[str, Entry]]:
        """The newest answers that are not in the table yet, newest first: their ids and records."""
        found: list[tuple[str, Entry]] = []
        for path in sorted((self._root / deployment).glob("*.seg"), reverse=True):
            start, number = (int(x, 16) for x in path.stem.split("-"))
            try:
                frames = list(enumerate(read_frames(path)))[-(limit - len(found)) :]
            except FileNotFoundError:  # compacted in between: its rows are in the table by now
                continue
            found += [
                (str(PredictionId(deployment, start, number, sequence)), _decode(payload))
                for sequence, payload in reversed(frames)
            ]
            if len(found) >= limit:
                break
        return found

    def sync(self) -> None:
        with self._lock:
            for segment in self._segments.values():
                segment.file.sync()

    def find(self, prediction: PredictionId) -> Prediction:
        """Raises PredictionNotFound."""
        path = self._path(prediction.deployment, prediction.start_ms, prediction.segment)
        try:
            entry = next((_decode(p) for n, p in enumerate(read_frames(path)) if n == prediction.sequence), None)
        except FileNotFoundError:  # compacted: its rows are in the table
            entry = None
        if entry is not None:
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
            )
        return self._find_in_table(prediction)

    def compact(self, signatures: Mapping[str, Signature], *, everything: bool = False) -> int:
        """Move finished segments (all with `everything`) into the tables; returns the number of rows moved."""
        moved = 0
        with self.compaction:
            for directory in sorted(p for p in self._root.glob("*") if p.is_dir()):
                if directory.name in signatures:
                    for path in self._finished(directory, everything):
                        moved += self._move(directory.name, path, signatures[directory.name])
        return moved

    def _finished(self, directory: Path, everything: bool) -> list[Path]:
        """Segments that nobody writes any more; with `everything` the present one is closed and is among them."""
        with self._lock:
            current = self._segments.get(directory.name)
            if current is not None and everything:
                current.file.close()
                del self._segments[directory.name]
                current = None
            return [p for p in sorted(directory.glob("*.seg")) if current is None or p != current.file.path]

    def append_batch(self, deployment: str, rows: pa.Table, key: str) -> bool:
        """Log answers in bulk, durable on return; False when the batch was logged before."""
        return not self._tables.append(TABLE + deployment, rows, key=key).repeated

    def batch_ids(self, deployment: str, key: str) -> list[str]:
        """The ids of a batch's answers, in the order of its rows."""
        from hanok.compute.duck import arrow, connect

        with connect({"log": self._tables.scan(TABLE + deployment)}) as duck:
            rows = arrow(
                duck, f"SELECT row_id, min({SEQUENCE}) AS n FROM log WHERE batch = ? GROUP BY row_id ORDER BY n", [key]
            )
        return rows.column("row_id").to_pylist()

    def close(self) -> None:
        with self._lock:
            for segment in self._segments.values():
                segment.file.close()
            self._segments.clear()

    def _move(self, deployment: str, path: Path, signature: Signature) -> int:
        start, number = (int(x, 16) for x in path.stem.split("-"))
        entries = [_decode(p) for p in read_frames(path)]
        if entries:
            ids = [str(PredictionId(deployment, start, number, i)) for i in range(len(entries))]
            self._tables.append(TABLE + deployment, table_of(signature, ids, entries), key=f"segment-{path.stem}")
        path.unlink(missing_ok=True)
        return len(entries)

    def _rotate(self, deployment: str, before: _Segment | None) -> _Segment:
        if before is not None:
            before.file.close()
        number = self._numbers.get(deployment, 0)
        self._numbers[deployment] = number + 1  # never used again, also after compaction removed the file
        segment = _Segment(FrameFile(self._path(deployment, self._start_ms, number)), number)
        self._segments[deployment] = segment
        return segment

    def _path(self, deployment: str, start_ms: int, number: int) -> Path:
        return self._root / deployment / f"{start_ms:012x}-{number:06x}.seg"

    def _find_in_table(self, prediction: PredictionId) -> Prediction:
        from hanok.compute.duck import add, arrow, connect

        missing = PredictionNotFound(
            f"there is no prediction {prediction}; ids stand in replies, and 'hanok predict' prints them"
        )
        if not self._tables.size(TABLE + prediction.deployment):
            raise missing
        with connect() as duck:
            add(duck, "log", self._tables.scan(TABLE + prediction.deployment))
            rows = arrow(duck, "SELECT * FROM log WHERE prediction_id = ?", [str(prediction)])
        if not rows.num_rows:
            raise missing
        return prediction_of(prediction.deployment, rows.to_pylist()[0])


def prediction_of(deployment: str, row: Mapping[str, Any]) -> Prediction:
    """A row of the table as a Prediction."""
    return Prediction(
        row["prediction_id"],
        deployment,
        row["version"],
        row["at"],
        row["arm"],
        {n.removeprefix(FEATURE): v for n, v in row.items() if n.startswith(FEATURE)},
        row["score"],
        tuple(row["scores"] or ()),
        {n.removeprefix(KEY): v for n, v in row.items() if n.startswith(KEY) and v is not None},
        row["batch"],
        row["row_id"],
    )


def table_of(signature: Signature, ids: Sequence[str], entries: Sequence[Entry]) -> pa.Table:
    """Frames as rows of the prediction table."""
    columns: dict[str, pa.Array] = {
        "prediction_id": pa.array(ids),
        "row_id": pa.array([e.row_id or i for e, i in zip(entries, ids, strict=True)]),
        "at": pa.array([e.at for e in entries], pa.int64()).cast(INSTANT),
        "version": pa.array([e.version for e in entries], pa.int64()),
        "arm": pa.array([e.arm for e in entries]),
        "batch": pa.array([""] * len(entries)),
        "score": pa.array([e.score for e in entries], pa.float64()),
        "scores": pa.array([e.scores for e in entries], pa.list_(pa.float64())),
        "error": pa.array([e.error for e in entries]),
        "microseconds": pa.array([e.microseconds for e in entries], pa.int64()),
    }
    for column in signature.inputs:
        values = [e.features.get(column.name) for e in entries]
        text = column.datatype == "BYTES"
        columns[FEATURE + column.name] = pa.array(
            [None if v is None else str(v) if text else float(v) for v in values],
            pa.string() if text else pa.float64(),
        )
    for name in sorted({k for e in entries for k in e.entity}):
        columns[KEY + name] = pa.array([_plain(e.entity.get(name)) for e in entries])
    columns[ARRIVED] = columns["at"]
    return pa.table(columns)


def _plain(value: Any) -> str | None:
    """Entity keys are logged as text, so that every way of predicting writes the same column type."""
    if value is None:
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)
