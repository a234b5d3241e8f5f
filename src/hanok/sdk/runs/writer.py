"""The thread that sends what a run logs, in batches: idle it sends at once, busy it takes all that waits."""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hanok.core.errors import HanokError, Unavailable
from hanok.core.recording import Entry
from hanok.sdk.runs.sinks import Sink

QUEUE_MAX, BATCH_MAX = 10_000, 500
FLUSH_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to store. It lies in the spool of the run and is removed when it is sent."""

    of: str
    identity: str
    path: str
    file: Path


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every so often; it gives entries and uploads."""

    every_s: float
    work: Callable[[], Sequence[Entry | Upload]]


class Writer:
    """Its entries are numbered in the order in which they are sent. A full queue makes the caller wait."""

    def __init__(self, sink: Sink, run: str, writer: str, spool: Path, chores: Sequence[Chore] = ()) -> None:
        self._sink, self._run, self._writer, self.spool = sink, run, writer, spool
        self._queue: queue.Queue[Entry | Upload | threading.Event | None] = queue.Queue(QUEUE_MAX)
        self._number = 0
        self._errors: list[Exception] = []
        self._chores = list(chores)
        self._due = [time.monotonic() + chore.every_s for chore in self._chores]
        self._thread = threading.Thread(target=self._work, name=f"hanok-run-{run[:8]}", daemon=True)
        self._thread.start()

    def put(self, item: Entry | Upload) -> None:
        """Raises Unavailable when the run has ended."""
        if not self._thread.is_alive():
            raise Unavailable(f"run {self._run} has ended; what comes now would be lost: start another with hk.run()")
        self._queue.put(item)

    def flush(self) -> None:
        """Wait until all that was put is stored. Raises the first error there was since the last flush."""
        if self._thread.is_alive():
            reached = threading.Event()
            self._queue.put(reached)
            if not reached.wait(FLUSH_TIMEOUT_S):
                raise Unavailable(
                    f"run {self._run} is not stored after {FLUSH_TIMEOUT_S:g} s; it goes on in background"
                )
        if self._errors:
            errors, self._errors = self._errors, []
            raise errors[0]

    def close(self) -> None:
        """Send everything, then let go. Raises the first error there was."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self.flush()

    def _work(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            for name in (self._sink.close, lambda: shutil.rmtree(self.spool, ignore_errors=True)):
                with contextlib.suppress(HanokError):
                    name()

    def _turn(self) -> bool:
        """Whether there is more to come."""
        items = self._waiting()
        last = bool(items) and items[-1] is None
        found = [item for item in items if isinstance(item, Entry | Upload)]
        ends = [item for item in found if isinstance(item, Entry) and item.kind == "end"]
        try:
            before = [item for item in found if not (isinstance(item, Entry) and item.kind == "end")]
            self._send([*before, *self._due_chores(every=last), *ends])
        except Exception as error:  # noqa: BLE001 (a job ends here: the caller gets the error at the next flush)
            self._fail(error)
        for item in items:
            if isinstance(item, threading.Event):
                item.set()
        return not last

    def _waiting(self) -> list[Entry | Upload | threading.Event | None]:
        """All that waits, up to a batch; nothing when a chore is due first."""
        timeout = max(0.0, min(self._due) - time.monotonic()) if self._due else None
        items: list[Entry | Upload | threading.Event | None] = []
        with contextlib.suppress(queue.Empty):
            items.append(self._queue.get(timeout=timeout))
            while len(items) < BATCH_MAX and items[-1] is not None:
                items.append(self._queue.get_nowait())
        return items

    def _due_chores(self, *, every: bool) -> list[Entry | Upload]:
        found: list[Entry | Upload] = []
        now = time.monotonic()
        for i, chore in enumerate(self._chores):
            if every or now >= self._due[i]:
                self._due[i] = now + chore.every_s
                found += chore.work()
        return found

    def _send(self, items: Sequence[Entry | Upload]) -> None:
        batch: list[Entry] = []
        for item in items:
            if isinstance(item, Entry):
                self._number += 1
                batch.append(replace(item, number=self._number))
                continue
            self._record(batch)
            batch = []
            self._upload(item)
        self._record(batch)

    def _upload(self, item: Upload) -> None:
        try:
            self._sink.upload(item.of, item.identity, item.path, item.file)
        except HanokError as error:
            self._fail(error)
        item.file.unlink(missing_ok=True)

    def _record(self, batch: Sequence[Entry]) -> None:
        """A batch that is refused is sent entry by entry, so that only the bad ones are lost."""
        if not batch:
            return
        try:
            self._sink.record(self._run, self._writer, batch)
        except HanokError as error:
            if len(batch) == 1:
                self._fail(error)
                return
            for entry in batch:
                self._record([entry])

    def _fail(self, error: Exception) -> None:
        if not self._errors:
            warnings.warn(f"run {self._run}: not everything is stored: {error}", stacklevel=2)
        self._errors.append(error)
