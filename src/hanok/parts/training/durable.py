"""Durable steps over the workflow store: a finished step is never done again, a lost lease is noticed."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hanok.core.access import SYSTEM, acting
from hanok.core.clock import Clock, SystemClock, wall_seconds
from hanok.core.errors import Cancelled, Conflict, HanokError, LeaseLost, Suspended, Unavailable, printable
from hanok.core.ids import new_id
from hanok.core.json import JsonObject
from hanok.core.records import from_body, to_body
from hanok.core.workflows import CANCELLED, DONE, FAILED, RUNNING, Step, Workflow
from hanok.stores.ports import Metadata, Repositories

Work = Callable[["Steps"], JsonObject]
T = TypeVar("T")
LEASE = timedelta(seconds=30)
CLOSED = "interrupted"  # the code of what was ended from outside
SUSPENDED = "suspended "  # the steps that say so
BEATS = 3  # in the length of a lease
MOMENT_S, PAUSE_S = 60.0, 0.5  # so long, and so often, what is done is told to a store that is away
FAR, NEVER = datetime(9999, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)
log = logging.getLogger("hanok.training")


class Steps:
    """Handed to a workflow: `steps(name, function)` runs the function once and remembers what it returned."""

    def __init__(self, metadata: Metadata, workflow: Workflow, fence: int, clock: Clock) -> None:
        self._metadata, self._workflow, self._fence, self._clock = metadata, workflow, fence, clock
        self._done = {s.name: s.result for s in metadata.read(lambda r: r.workflows.steps(workflow.id))}
        self.lost = threading.Event()  # set by the heartbeat when another worker has taken over

    @property
    def workflow(self) -> Workflow:
        return self._workflow

    def __call__(self, name: str, function: Callable[[], JsonObject]) -> JsonObject:
        """The step's JSON result, now or from before. Its effects must be idempotent: a step that was cut down before
        its result was recorded runs again. Raises LeaseLost when another worker took over."""
        if name in self._done:
            return self._done[name]
        _lasting(self.check)
        step = Step(name, dict(function()), self._clock.now())
        _lasting(lambda: self._metadata.write(lambda r: r.workflows.record(self._workflow.id, self._fence, step)))
        self._done[name] = step.result
        return step.result

    def record(self, name: str, kind: type[T], function: Callable[[], T]) -> T:
        """The same for a step that returns a record."""
        return from_body(kind, self(name, lambda: to_body(function())), what=f"step {name}")

    def check(self) -> None:
        """Raises LeaseLost when another worker took over, or the workflow was ended: nothing may be done any more."""
        now = self._metadata.read(lambda r: r.workflows.get(self._workflow.id))
        if now.state == CANCELLED:
            raise Cancelled(f"{self._workflow.kind} {self._workflow.key!r} was cancelled while it was done")
        if self.lost.is_set() or now.fence != self._fence or now.state != RUNNING:
            raise LeaseLost(
                f"workflow {self._workflow.key!r} was taken over by another worker, or ended; this one does no more"
            )


class Durable:
    """Starts, resumes, cancels and lists workflows.

    Leases run on real time, whatever clock the work itself follows. A heartbeat renews the lease while a step runs, so
    that a step may be longer than a lease. `exclusive`: this process holds the lock of its home, so any other holder is
    dead and its work is taken over at once.
    """

    def __init__(
        self,
        *,
        metadata: Metadata,
        clock: Clock,
        exclusive: bool,
        wall: Clock | None = None,
        lease: timedelta = LEASE,
    ) -> None:
        self._metadata, self._clock, self._exclusive = metadata, clock, exclusive
        self._wall, self._lease = wall or SystemClock(), lease
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._at_work: set[str] = set()  # what threads of this process are at
        self._failed: dict[str, JsonObject] = {}  # how work ended that could not be recorded

    def start(self, kind: str, key: str, arguments: JsonObject) -> Workflow:
        """Record a workflow, held by this worker from the start; the one that already has this key is returned
        instead."""
        now, until = self._clock.now(), self._wall.now() + self._lease
        workflow = Workflow(new_id(now), kind, key, now, arguments)

        def work(repositories: Repositories) -> Workflow:
            found = repositories.workflows.start(workflow)
            if found.id != workflow.id:
                return found
            repositories.workflows.claim(found.id, self.owner, NEVER, until)
            return repositories.workflows.get(found.id)

        self._at_work.add(workflow.id)
        try:
            found = self._metadata.write(work)
        except BaseException:
            self._at_work.discard(workflow.id)
            raise
        if found.id != workflow.id:
            self._at_work.discard(workflow.id)
        return found

    def run(self, workflow: Workflow, work: Work, *, repeatable: bool = False) -> JsonObject:
        """Do what is left of a workflow and return its result; that of a finished one at once.

        Raises Conflict while another worker holds it or after it failed. An error of the work ends it as failed, an
        interrupt (Ctrl-C) as cancelled, unless it is `repeatable`: then the next run goes on where it stopped. What
        ended while the store was away, and longer than a moment, is abandoned: whoever takes it up ends it.
        """
        self._at_work.add(workflow.id)
        try:
            return self._ran(workflow, work, repeatable)
        finally:
            self._at_work.discard(workflow.id)

    def _ran(self, workflow: Workflow, work: Work, repeatable: bool) -> JsonObject:
        if workflow.state == DONE:
            return workflow.result
        if workflow.state != RUNNING:
            raise Conflict(f"workflow {workflow.key} ended as {workflow.state}: {workflow.result.get('error', '')}")
        fence = self._claim(workflow.id, FAR if self._exclusive else self._wall.now())
        if (ended := self._failed.get(workflow.id)) is not None:
            self._finish(workflow, fence, FAILED, ended)
            del self._failed[workflow.id]
            raise Conflict(f"workflow {workflow.key} ended as {FAILED}: {ended['error']}")
        steps = Steps(self._metadata, workflow, fence, self._clock)
        try:
            with self._heartbeat(workflow, steps):
                result = work(steps)
        except LeaseLost:
            raise
        except Suspended:  # its worker did not die of it
            step = Step(f"{SUSPENDED}{fence}", {}, self._clock.now())
            self._metadata.write(lambda r: r.workflows.record(workflow.id, fence, step))
            raise
        except Exception as error:
            if not repeatable:
                self._fail(workflow, fence, error)
            raise
        except (KeyboardInterrupt, SystemExit):
            if not repeatable:
                self._finish(workflow, fence, CANCELLED, {"error": "interrupted", "code": "interrupted"})
            raise
        self._finish(workflow, fence, DONE, result)
        return result

    def abandoned(self, kind: str) -> list[Workflow]:
        """Unfinished workflows that nobody works on: their worker is dead, its lease is over, or this process could not
        record how they ended. Oldest first."""
        now = self._wall.now()

        def free(workflow: Workflow) -> bool:
            if workflow.owner == self.owner:
                return workflow.id not in self._at_work
            return self._exclusive or workflow.lease_until is None or workflow.lease_until < now

        return [w for w in reversed(self.unfinished(kind)) if free(w)]

    def deaths(self, workflow: Workflow) -> int:
        """How many workers have died over it; a server that stopped in good order did not."""
        steps = self._metadata.read(lambda r: r.workflows.steps(workflow.id))
        return workflow.fence - sum(step.name.startswith(SUSPENDED) for step in steps)

    def get(self, workflow_id: str) -> Workflow:
        """Raises NotFound."""
        return self._metadata.read(lambda r: r.workflows.get(workflow_id))

    def steps(self, workflow: Workflow) -> Sequence[str]:
        """The names of the steps that are done, in their order."""
        found = self._metadata.read(lambda r: r.workflows.steps(workflow.id))
        return [step.name for step in found if not step.name.startswith(SUSPENDED)]

    def unfinished(self, kind: str) -> list[Workflow]:
        return self._metadata.read(lambda r: r.workflows.list(kind=kind, state=RUNNING))

    def list(self, kind: str | None = None, *, limit: int = 100) -> list[Workflow]:
        return self._metadata.read(lambda r: r.workflows.list(kind=kind, limit=limit))

    def cancel(self, workflow_id: str) -> None:
        """A worker in the middle of it is refused at its next step."""
        self.close(workflow_id, CANCELLED, "cancelled")

    def close(self, workflow_id: str, state: str, reason: str) -> None:
        """End a workflow, whoever holds it. Raises Conflict when it has ended already."""
        now = self._wall.now()

        def work(repositories: Repositories) -> None:
            fence = repositories.workflows.claim(workflow_id, f"closed-{uuid.uuid4().hex[:8]}", FAR, now)
            repositories.workflows.finish(workflow_id, fence, state, {"error": reason, "code": CLOSED}, now)

        self._metadata.write(work)

    def _claim(self, workflow_id: str, free_before: datetime) -> int:
        """Take or renew the lease. One that another worker holds is taken only when it ended before `free_before`."""
        until = self._wall.now() + self._lease
        return self._metadata.write(lambda r: r.workflows.claim(workflow_id, self.owner, free_before, until))

    @contextmanager
    def _heartbeat(self, workflow: Workflow, steps: Steps) -> Iterator[None]:
        """Renew the lease until the work ends. When another worker took over, the steps are told."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self._lease / timedelta(seconds=BEATS)):
                try:
                    with acting(SYSTEM):  # this thread has no caller
                        self._claim(workflow.id, NEVER)
                except Conflict:
                    steps.lost.set()
                    return
                except Exception as error:  # noqa: BLE001 (the store may be away for a moment: the next beat tries again)
                    log.warning("the lease of %s could not be renewed: %s", workflow.key, error)

        thread = threading.Thread(target=beat, name="hanok-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _fail(self, workflow: Workflow, fence: int, error: Exception) -> None:
        code = error.code if isinstance(error, HanokError) else type(error).__name__
        result = {"error": printable(str(error)), "code": code}
        try:
            self._finish(workflow, fence, FAILED, result)
        except LeaseLost:
            raise
        except Exception as away:  # noqa: BLE001 (the error of the work is what its caller is told)
            if isinstance(error, HanokError) and not isinstance(error, Unavailable):
                self._failed[workflow.id] = result  # its own fault: it is not begun again
            log.warning("%s failed, which could not be recorded (%s); it is taken up again", workflow.key, away)

    def _finish(self, workflow: Workflow, fence: int, state: str, result: JsonObject) -> None:
        now = self._clock.now()

        def work(repositories: Repositories) -> None:
            found = repositories.workflows.get(workflow.id)
            if (found.fence, found.state) != (fence, state):  # else a commit whose answer was lost
                repositories.workflows.finish(workflow.id, fence, state, result, now)

        _lasting(lambda: self._metadata.write(work))


def _lasting(work: Callable[[], T]) -> T:
    """What `work` returns, also when the store is away for a moment. Raises what it raises after that."""
    began, said = wall_seconds(), False
    while True:
        try:
            return work()
        except (Unavailable, ConnectionError) as error:
            if wall_seconds() - began > MOMENT_S:
                raise
            if not said:
                log.warning("the metadata store is asked again for up to %.0f s: %s", MOMENT_S, error)
            said = True
        threading.Event().wait(PAUSE_S)
