"""Durable steps over the workflow store: a finished step is never done again, a lost lease is noticed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hanok.core.clock import Clock, SystemClock
from hanok.core.errors import Conflict, HanokError, LeaseLost
from hanok.core.ids import new_id
from hanok.core.workflows import CANCELLED, DONE, FAILED, RUNNING, Step, Workflow
from hanok.stores.ports import Metadata

Work = Callable[["Steps"], Mapping[str, Any]]
LEASE = timedelta(seconds=30)
FAR = datetime(9999, 1, 1, tzinfo=UTC)


class Steps:
    """Handed to a workflow: `steps(name, function)` runs the function once and remembers what it returned."""

    def __init__(
        self, metadata: Metadata, workflow: Workflow, fence: int, renew: Callable[[], int], clock: Clock
    ) -> None:
        self._metadata, self._workflow, self._fence, self._renew, self._clock = metadata, workflow, fence, renew, clock
        self._done = {s.name: s.result for s in metadata.read(lambda r: r.workflows.steps(workflow.id))}

    @property
    def workflow(self) -> Workflow:
        return self._workflow

    def __call__(self, name: str, function: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """The step's JSON result, now or from before. Its effects must be idempotent: a step that was cut down before
        its result was recorded runs again. Raises LeaseLost when another worker took over."""
        if name in self._done:
            return self._done[name]
        self._renew()
        step = Step(name, dict(function()), self._clock.now())
        self._metadata.write(lambda r: r.workflows.record(self._workflow.id, self._fence, step))
        self._done[name] = step.result
        return step.result


class Durable:
    """Starts, resumes, cancels and lists workflows.

    Leases run on real time, whatever clock the work itself follows. `exclusive`: this process holds the lock of its
    home, so any other holder is dead and its work is taken over at once.
    """

    def __init__(self, *, metadata: Metadata, clock: Clock, exclusive: bool, wall: Clock | None = None) -> None:
        self._metadata, self._clock, self._exclusive = metadata, clock, exclusive
        self._wall = wall or SystemClock()
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def start(self, kind: str, key: str, arguments: Mapping[str, Any]) -> Workflow:
        """Record a workflow; the one that already has this key is returned instead."""
        now = self._clock.now()
        workflow = Workflow(new_id(now), kind, key, now, arguments)
        return self._metadata.write(lambda r: r.workflows.start(workflow))

    def run(self, workflow: Workflow, work: Work, *, repeatable: bool = False) -> Mapping[str, Any]:
        """Do what is left of a workflow and return its result; that of a finished one at once.

        Raises Conflict while another worker holds it or after it failed. An error of the work ends it as failed, unless
        it is `repeatable`: then the next run goes on where it stopped.
        """
        if workflow.state == DONE:
            return workflow.result
        if workflow.state != RUNNING:
            raise Conflict(f"workflow {workflow.key} ended as {workflow.state}: {workflow.result.get('error', '')}")

        def renew() -> int:
            now = self._wall.now()
            seen = FAR if self._exclusive else now
            return self._metadata.write(lambda r: r.workflows.claim(workflow.id, self.owner, seen, now + LEASE))

        fence = renew()
        steps = Steps(self._metadata, workflow, fence, renew, self._clock)
        try:
            result = work(steps)
        except LeaseLost:
            raise
        except Exception as error:
            if not repeatable:
                code = error.code if isinstance(error, HanokError) else type(error).__name__
                self._finish(workflow, fence, FAILED, {"error": str(error), "code": code})
            raise
        self._finish(workflow, fence, DONE, result)
        return result

    def unfinished(self, kind: str) -> list[Workflow]:
        return self._metadata.read(lambda r: r.workflows.list(kind=kind, state=RUNNING))

    def list(self, kind: str | None = None, *, limit: int = 100) -> list[Workflow]:
        return self._metadata.read(lambda r: r.workflows.list(kind=kind, limit=limit))

    def cancel(self, workflow_id: str) -> None:
        """A worker in the middle of it is refused at its next step."""
        now = self._wall.now()

        def work(repositories: Any) -> None:
            fence = repositories.workflows.claim(workflow_id, f"cancelled-{uuid.uuid4().hex[:8]}", FAR, now)
            repositories.workflows.finish(workflow_id, fence, CANCELLED, {}, now)

        self._metadata.write(work)

    def _finish(self, workflow: Workflow, fence: int, state: str, result: Mapping[str, Any]) -> None:
        now = self._clock.now()
        self._metadata.write(lambda r: r.workflows.finish(workflow.id, fence, state, result, now))
