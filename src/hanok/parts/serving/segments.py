"""The files that answers are written to as they are given: one open segment for each deployment and process."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from hanok.core.ids import PredictionId
from hanok.stores.frames import FrameFile, read_frame

SEGMENT_FRAMES = 20_000
SET_ASIDE = "set-aside"


@dataclass(frozen=True, slots=True)
class _Segment:
    file: FrameFile
    number: int


class Segments:
    """A segment belongs to one process (its start, which is unique in a home) and worker, and is locked while it is
    open, so that nobody else moves or removes it.

    `append` waits for no disk: files are synced and closed outside of the lock that it takes.
    """

    def __init__(self, root: Path, *, start_ms: int, worker: int = 0) -> None:
        self._root, self._wanted_ms, self.worker = root, start_ms, worker
        self._start_ms: int | None = None
        self._numbers: dict[str, int] = {}
        self._open: dict[str, _Segment] = {}
        self._full: list[FrameFile] = []  # to be closed by whoever syncs
        self._lock = threading.Lock()

    def append(self, deployment: str, payloads: Sequence[bytes]) -> list[PredictionId]:
        """In the page cache on return, all or nothing; survives kill -9."""
        with self._lock:  # a segment is taken out under this lock before it is closed
            segment = self._open.get(deployment)
            if segment is None or segment.file.count >= SEGMENT_FRAMES:
                segment = self._rotate(deployment, segment)
            first = segment.file.append_many(payloads)
            start = self._start()
        worker, number = self.worker, segment.number
        return [PredictionId(deployment, start, number, first + i, worker) for i in range(len(payloads))]

    def read(self, prediction: PredictionId) -> bytes | None:
        """One frame; None when its segment is gone or has not so many. Raises Corrupt."""
        segment = self._open.get(prediction.deployment)
        if segment is not None and segment.file.path == self.path(prediction):
            payload = segment.file.read(prediction.sequence)
            if payload is not None:
                return payload
        try:
            return read_frame(self.path(prediction), prediction.sequence)
        except FileNotFoundError:
            return None

    def sync(self) -> None:
        """Make durable what was appended so far."""
        with self._lock:
            files, full = [s.file for s in self._open.values()], self._full
            self._full = []
        for file in full:
            file.close()
        for file in files:
            file.sync()

    def finish(self, deployment: str) -> None:
        """Close the open segment of a deployment; the next answer opens another."""
        with self._lock:
            segment = self._open.pop(deployment, None)
        if segment is not None:
            segment.file.close()

    def close(self) -> None:
        for deployment in list(self._open):
            self.finish(deployment)
        self.sync()

    def deployments(self) -> list[str]:
        """The deployments that have files here."""
        return sorted(unquote(p.name) for p in self._root.glob("*") if p.is_dir())

    def files(self, deployment: str) -> list[Path]:
        """The segments of a deployment, oldest first."""
        return sorted(self.directory(deployment).glob("[!.]*.seg"))

    def directory(self, deployment: str) -> Path:
        """Odd characters are escaped, and no name leads out of the log."""
        name = quote(deployment, safe="")
        return self._root / (name.replace(".", "%2E") if not name.strip(".") else name)

    def path(self, prediction: PredictionId) -> Path:
        return self.directory(prediction.deployment) / f"{prediction.file}.seg"

    def _rotate(self, deployment: str, before: _Segment | None) -> _Segment:
        if before is not None:
            self._full.append(before.file)
        number = self._numbers.get(deployment, 0)
        self._numbers[deployment] = number + 1  # never used again, also after compaction removed the file
        path = self.path(PredictionId(deployment, self._start(), number, 0, self.worker))
        segment = _Segment(FrameFile.create(path), number)
        self._open[deployment] = segment
        return segment

    def _start(self) -> int:
        if self._start_ms is None:
            self._start_ms = _unique_start(self._root, self._wanted_ms)
        return self._start_ms


def segment_of(deployment: str, path: Path) -> PredictionId:
    """The id of the first record of a segment file."""
    return PredictionId.parse(f"model~{path.stem}-{0:08x}").in_deployment(deployment)


def _unique_start(root: Path, wanted_ms: int) -> int:
    """The start of this process: the instant, or the next millisecond that no process of this home has had."""
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root / ".starts", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        last = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        start = max(wanted_ms, int(last) + 1 if last.isdigit() else 0)
        os.pwrite(descriptor, f"{start:<32d}".encode(), 0)
        return start
    finally:
        os.close(descriptor)
