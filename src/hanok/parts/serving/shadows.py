"""Shadows score in bulk after the reply, in a background thread with a bounded queue. Nothing here reaches a reply."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hanok.compute.frames import Columns
from hanok.core.clock import wall_seconds
from hanok.core.serving import Arm
from hanok.parts.serving.deployments import Snapshot
from hanok.parts.serving.entries import Entry
from hanok.parts.serving.log import PredictionLog
from hanok.parts.serving.records import entries_of
from hanok.parts.serving.scorer import decide_many, rows_of

log = logging.getLogger("hanok.serving")
QUEUED_ROWS_MAX = 50_000
BULK_ROWS = 256
PAUSE_TURNS, PAUSE_MAX_S = 3, 0.25  # shadows take a quarter of the time at most, replies the rest
GAP_S = 1.0


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows that were answered and that the arms beside score too. `row_ids` are the ids of the answers, `by_version`
    columns of versions that have their own."""

    snapshot: Snapshot
    arms: tuple[Arm, ...]
    columns: Columns
    by_version: Mapping[int, Columns]
    keys: Mapping[str, str]
    at: int
    row_ids: Sequence[str]

    def columns_of(self, arm: Arm) -> Columns:
        return self.by_version.get(arm.version, self.columns)


@dataclass(slots=True)
class _Gap:
    """Answers that an arm did not score because the queue was full."""

    at: int
    first: str
    last: str
    rows: int = 0
    since: float = field(default_factory=wall_seconds)


_Due = tuple[tuple[str, int], _Gap]  # (deployment, version) and what it did not score


class Shadows:
    """`offer` never waits. What the queue cannot hold is logged as a range for each arm."""

    def __init__(self, log: PredictionLog, *, rows_max: int = QUEUED_ROWS_MAX) -> None:
        self._log, self._rows_max = log, rows_max
        self._queue: deque[Answered] = deque()
        self._rows = 0
        self._gaps: dict[tuple[str, int], _Gap] = {}
        self._changed = threading.Condition()
        self._busy = self._closed = False
        self._awaited = 0  # callers of `drain`: while there are any, no pause is made
        self._worker: threading.Thread | None = None

    def offer(self, answered: Answered) -> bool:
        """Queue rows to be scored; False when they are left out, which is noted."""
        rows = len(answered.row_ids)
        with self._changed:
            if self._closed or (self._rows and self._rows + rows > self._rows_max):
                due = self._skip(answered)
                taken = False
            else:
                due, taken = [], True
                self._queue.append(answered)
                self._rows += rows
                self._work()
                self._changed.notify_all()
        self._note(due)
        return taken

    def drain(self, timeout_s: float) -> bool:
        """Wait until what was offered is logged; False when that takes longer. Gaps are logged."""
        with self._changed:
            self._awaited += 1
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._queue and not self._busy, timeout_s)
            self._awaited -= 1
            due = self._due_gaps(everything=True)
        self._note(due)
        return done

    def close(self, timeout_s: float = 5.0) -> None:
        """Score what waits, as long as that takes no longer than `timeout_s`; the rest is logged as a gap."""
        self.drain(timeout_s)
        with self._changed:
            self._closed = True
            due: list[_Due] = []
            while self._queue:
                due += self._skip(self._queue.popleft())
            due += self._due_gaps(everything=True)
            self._changed.notify_all()
        self._note(due)

    def _work(self) -> None:
        """See to it that a thread works at the queue. Without one the rows wait for the next try."""
        if self._worker is not None and self._worker.is_alive():
            return
        self._busy = False
        self._worker = threading.Thread(target=self._run, name="hanok-shadows", daemon=True)
        try:
            self._worker.start()
        except RuntimeError:
            log.exception("no thread for shadows could be started")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed, GAP_S if self._gaps else None)
                if self._closed and not self._queue:
                    return
                bulk = self._take() if self._queue else []
                self._busy = True
            started = wall_seconds()
            try:
                if bulk:
                    self._score(bulk)
            except Exception:
                log.exception("shadows of %s rows are not logged", sum(len(a.row_ids) for a in bulk))
            with self._changed:
                due = self._due_gaps(everything=False)
            self._note(due)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
            pause = min(PAUSE_MAX_S, PAUSE_TURNS * (wall_seconds() - started))
            with self._changed:
                self._changed.wait_for(lambda: self._awaited or self._closed, pause)

    def _take(self) -> list[Answered]:
        """The oldest rows of one snapshot and the same arms, in bulk."""
        bulk = [self._queue.popleft()]
        rows = len(bulk[0].row_ids)
        while self._queue and rows < BULK_ROWS:
            following = self._queue[0]
            if following.snapshot is not bulk[0].snapshot or following.arms != bulk[0].arms:
                break
            bulk.append(self._queue.popleft())
            rows += len(following.row_ids)
        self._rows -= rows
        return bulk

    def _score(self, bulk: Sequence[Answered]) -> None:
        first = bulk[0]
        for arm in first.arms:
            decisions = decide_many(first.snapshot, arm, [a.columns_of(arm) for a in bulk])
            entries: list[Entry] = []
            for answered, decision in zip(bulk, decisions, strict=True):
                entries += entries_of(
                    decision,
                    answered.columns_of(arm),
                    at=answered.at,
                    mode="shadow",
                    keys=answered.keys,
                    row_ids=answered.row_ids,
                )
            if entries:
                self._log.append_many(first.snapshot.deployment.name, entries)

    def _skip(self, answered: Answered) -> list[_Due]:
        name, ids = answered.snapshot.deployment.name, answered.row_ids
        for arm in answered.arms:
            gap = self._gaps.setdefault((name, arm.version), _Gap(answered.at, ids[0], ids[-1]))
            gap.last, gap.rows = ids[-1], gap.rows + rows_of(answered.columns)
        return self._due_gaps(everything=False)

    def _due_gaps(self, *, everything: bool) -> list[_Due]:
        now = wall_seconds()
        due = [(key, gap) for key, gap in self._gaps.items() if everything or now - gap.since >= GAP_S]
        for key, _ in due:
            del self._gaps[key]
        return due

    def _note(self, due: Sequence[_Due]) -> None:
        """Log gaps. What cannot be logged now is kept, together with what is left out later, and tried again."""
        for (name, version), gap in due:
            why = f"not scored, the queue of shadows was full: {gap.rows} answers from {gap.first} to {gap.last}"
            try:
                self._log.append(name, Entry(gap.at, version, "shadow", None, [], {}, {}, why, 0, gap.first, gap.rows))
            except Exception as error:  # noqa: BLE001 (the work ends here: nothing of a shadow reaches a reply)
                log.warning("a gap of %s shadows is not logged yet; it is tried again: %s", gap.rows, error)
                self._keep((name, version), gap)

    def _keep(self, key: tuple[str, int], gap: _Gap) -> None:
        with self._changed:
            if later := self._gaps.get(key):
                gap.last, gap.rows = later.last, gap.rows + later.rows
            gap.since = wall_seconds()
            self._gaps[key] = gap
