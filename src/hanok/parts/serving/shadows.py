"""What arms beside the answering one give: scored in bulk after the reply. Nothing here reaches a reply."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hanok.core.clock import wall_seconds
from hanok.core.errors import Unavailable, words
from hanok.core.serving import Arm
from hanok.parts.serving.beside import Answered, Bulk, lost
from hanok.parts.serving.deployments import Snapshot
from hanok.parts.serving.entries import Entry
from hanok.parts.serving.log import PredictionLog
from hanok.parts.serving.scorer import rows_of

log = logging.getLogger("hanok.serving")
QUEUED_ROWS_MAX = 50_000
BULK_ROWS, BULK_S = 256, 5.0  # rows in one piece: fewer where the arms need longer than that for them
LOGGED_AT_ONCE = 64  # replies that are logged wait for no more entries than these
GATHER_S = 0.02
PAUSE_TURNS, PAUSE_MAX_S = 3, 0.25  # shadows take a quarter of this process's time at most, replies the rest
GAP_S = 1.0
REST_S = 10.0  # an arm that ended the process that scored it is not tried for so long

Score = Callable[[Bulk], Sequence[bytes]]


@dataclass(slots=True)
class _Gap:
    """Answers of which an arm has no score, and why."""

    at: int
    first: str
    last: str
    why: str
    rows: int = 0
    since: float = field(default_factory=wall_seconds)


_Due = tuple[tuple[str, int], _Gap]  # (deployment, version) and what it did not score
_Item = tuple[Snapshot, Answered, int]  # the last is its number, in the order of offers
_Group = tuple[int, tuple[Arm, ...]]  # which snapshot, and its arms beside: what can be scored in one piece


class Shadows:
    """`offer` never waits. What the queue cannot hold is logged as a range for each arm.

    `score` gives the entries of the log for a bulk of rows, encoded, but for those that it has logged by itself, and
    raises Unavailable when it came to an end over them; it may be replaced by one that works in another process. An arm
    that ends it is charged with those rows.
    """

    def __init__(self, log: PredictionLog, score: Score, *, rows_max: int = QUEUED_ROWS_MAX) -> None:
        self._log, self._rows_max = log, rows_max
        self.score = score
        self._row_s = 0.0
        self._resting: dict[tuple[str, int], tuple[float, str]] = {}
        self._queue: dict[_Group, deque[_Item]] = {}
        self._taken: list[_Item] = []  # what is scored now
        self._rows = self._offers = 0
        self._gaps: dict[tuple[str, int], _Gap] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._hurry = threading.Condition(self._lock)  # ends a pause
        self._busy = math.inf  # the number of the first offer that is worked at
        self._closed = False
        self._awaited = 0  # callers of `drain`: while there are any, no pause is made
        self._worker: threading.Thread | None = None

    def offer(self, snapshot: Snapshot, answered: Answered) -> bool:
        """Queue rows to be scored; False when they are left out, which is noted."""
        rows = len(answered.row_ids)
        with self._changed:
            if self._closed or (self._rows and self._rows + rows > self._rows_max):
                due = self._skip(snapshot, answered)
                taken = False
            else:
                due, taken = [], True
                self._offers += 1
                self._queue.setdefault((id(snapshot), answered.arms), deque()).append(
                    (snapshot, answered, self._offers)
                )
                self._rows += rows
                self._work()
                self._changed.notify_all()
        self._note(due)
        return taken

    def drain(self, timeout_s: float) -> bool:
        """Wait until what was offered so far is logged; False when that takes longer. Gaps are logged."""
        with self._changed:
            self._awaited += 1
            self._changed.notify_all()
            self._hurry.notify_all()
            last = self._offers
            done = self._changed.wait_for(lambda: self._oldest() > last, timeout_s)
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
            for snapshot, answered, _ in [*self._taken, *(item for group in self._queue.values() for item in group)]:
                due += self._skip(snapshot, answered, "the server stopped")
            self._queue.clear()
            due += self._due_gaps(everything=True)
            self._changed.notify_all()
            self._hurry.notify_all()
        self._note(due)

    def _oldest(self) -> float:
        """The number of the first offer that is not logged yet."""
        return min([self._busy, *(items[0][2] for items in self._queue.values() if items)])

    def _work(self) -> None:
        """See to it that a thread works at the queue. Without one the rows wait for the next try."""
        if self._worker is not None and self._worker.is_alive():
            return
        self._busy = math.inf
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
                self._pause(GATHER_S)
                self._taken = taken = self._take() if self._queue else []
                self._busy = taken[0][2] if taken else math.inf
            started, why = time.thread_time(), ""
            try:
                if taken:
                    self._score(_bulk(taken))
                taken = []
            except Exception as error:  # noqa: BLE001 (the work ends here: nothing of a shadow reaches a reply)
                log.warning("shadows of %s rows are not logged: %s", sum(len(a.row_ids) for _, a, _ in taken), error)
                why = words(error)
            with self._changed:
                self._taken = []
                due = [d for snapshot, answered, _ in taken for d in self._skip(snapshot, answered, why)]
                due += self._due_gaps(everything=False)
            self._note(due)
            with self._changed:
                self._busy = math.inf
                self._changed.notify_all()
                self._pause(PAUSE_TURNS * (time.thread_time() - started))

    def _pause(self, seconds: float) -> None:
        """With the lock held: let it go for so long, unless somebody waits for the queue to become empty."""
        self._hurry.wait_for(lambda: self._awaited or self._closed, min(PAUSE_MAX_S, seconds))

    def _take(self) -> list[_Item]:
        """Rows of the snapshot and arms that wait longest, in bulk."""
        limit = BULK_ROWS if self._row_s * BULK_ROWS < BULK_S else max(1, int(BULK_S / self._row_s))
        group = next(iter(self._queue))
        waiting, bulk, rows = self._queue.pop(group), [], 0
        while waiting and rows < limit:
            bulk.append(waiting.popleft())
            rows += len(bulk[-1][1].row_ids)
        if waiting:
            self._queue[group] = waiting  # behind the others
        self._rows -= rows
        return bulk

    def _score(self, bulk: Bulk) -> None:
        bulk, payloads = self._without_resting(bulk)
        if bulk.arms:
            started, score = wall_seconds(), self.score
            try:
                payloads += score(bulk)
                self._row_s = (wall_seconds() - started) / bulk.count
            except Unavailable as ended:
                if score is not self.score:  # it was ended, and not by these rows
                    self._score(bulk)
                elif len(bulk.arms) > 1:  # which of them it was is seen by trying each alone
                    for arm in bulk.arms:
                        self._score(bulk.of([arm]))
                else:
                    self._resting[bulk.name, bulk.arms[0].version] = wall_seconds() + REST_S, ended.message
                    payloads += lost(bulk, ended.message)
        for start in range(0, len(payloads), LOGGED_AT_ONCE):
            if not self._closed:
                self._log.append_encoded(bulk.name, payloads[start : start + LOGGED_AT_ONCE])

    def _without_resting(self, bulk: Bulk) -> tuple[Bulk, list[bytes]]:
        """The arms to be tried, and the entries of those that ended the scoring process a moment ago."""
        now, payloads = wall_seconds(), []
        for arm in bulk.arms:
            until, why = self._resting.get((bulk.name, arm.version), (0.0, ""))
            if until > now:
                bulk, left_out = bulk.of([a for a in bulk.arms if a != arm]), bulk.of([arm])
                payloads += lost(left_out, f"not tried, because {REST_S:.0f} s have not passed since this: {why}")
            else:
                self._resting.pop((bulk.name, arm.version), None)
        return bulk, payloads

    def _skip(self, snapshot: Snapshot, answered: Answered, why: str = "the queue of shadows was full") -> list[_Due]:
        name, ids = snapshot.deployment.name, answered.row_ids
        for arm in answered.arms:
            gap = self._gaps.setdefault((name, arm.version), _Gap(answered.at, ids[0], ids[-1], why))
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
            why = f"not scored, {gap.why}: {gap.rows} answers from {gap.first} to {gap.last}"
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


def _bulk(taken: Sequence[_Item]) -> Bulk:
    snapshot, first, _ = taken[0]
    versions = [arm.version for arm in first.arms]
    packages = {v: snapshot.models[v].digest for v in versions if v in snapshot.models}
    broken = {v: snapshot.broken.get(v, "it was not loaded") for v in versions if v not in snapshot.models}
    return Bulk(snapshot.deployment.name, first.arms, packages, broken, tuple(answered for _, answered, _ in taken))
