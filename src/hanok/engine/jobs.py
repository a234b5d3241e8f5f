"""Durable work that one can list and cancel, and events that one can hand to their reaction again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanok.core.access import Access
from hanok.core.errors import Conflict, NotFound
from hanok.core.jobs import Aside, Job
from hanok.core.workflows import FAILED, RUNNING, Workflow
from hanok.engine.bus import Bus
from hanok.engine.executors.inline import Executing
from hanok.parts.access import GuardedMetadata
from hanok.parts.training.durable import Durable
from hanok.parts.training.rollouts import ROLL_BACK
from hanok.parts.training.service import Training

SEEN = 1000  # a job is looked for among so many


@dataclass(frozen=True, slots=True)
class Jobs:
    """Made of an App by `parts.find`."""

    metadata: GuardedMetadata
    durable: Durable
    training: Training
    executing: Executing
    bus: Bus
    registry_bus: Bus | None

    def newest(self, *, limit: int) -> Sequence[Job]:
        """The newest first."""
        return [self._job(w) for w in self.durable.list(limit=limit)]

    def cancel(self, job_id: str, actor: str) -> Job:
        """End a job, also one that is being worked on: its process is ended within a second. Raises NotFound,
        Conflict for one that has ended, and for a rollback."""
        found = [w for w in self.durable.list(limit=SEEN) if w.id.startswith(job_id)] if job_id else []
        if len(found) != 1:
            what = f"{len(found)} jobs begin with" if found else "there is no job"
            raise NotFound(f"{what} {job_id!r}; 'hanok job list' shows them")
        (workflow,) = found
        if model := str(workflow.arguments.get("model", "")):
            self.metadata.require_model(model, Access.EDIT)
        if workflow.kind == ROLL_BACK:
            raise Conflict("a rollback is not cancelled: it is done at once; hanok deploy lets another version answer")
        if workflow.state != RUNNING:
            raise Conflict(f"{workflow.kind} {workflow.key!r} has ended already: it is {workflow.state}")
        self.training.cancel(workflow, actor)
        return self._job(self.durable.get(workflow.id))

    def set_aside(self) -> Sequence[Aside]:
        """Events that a reaction gave up, the newest first."""
        return [aside for bus in self._buses for aside in bus.set_aside()]

    def replay(self, reaction: str, sequence: int) -> Sequence[Aside]:
        """Hand events that were set aside to their reaction again (of all reactions, all of them, by default); returns
        those that were done. Raises NotFound, and the first error after all had their turn."""
        chosen = [
            a
            for a in self.set_aside()
            if (not reaction or a.reaction == reaction) and (not sequence or a.sequence == sequence)
        ]
        if not chosen and (reaction or sequence):
            raise NotFound("no such event is set aside; 'hanok job events' shows them")
        done: list[Aside] = []
        failed: list[Exception] = []
        for aside in sorted(chosen, key=lambda a: a.sequence):
            bus = next(b for b in self._buses if b.reacts(aside.reaction))
            try:
                bus.replay(aside)
                done.append(aside)
            except Exception as error:  # noqa: BLE001 (the next one has its turn; the first error is raised)
                failed.append(error)
        if failed:
            raise Conflict(
                f"{len(done)} of {len(chosen)} events are done; the others stay set aside: "
                f"{type(failed[0]).__name__}: {failed[0]}"
            ) from failed[0]
        return done

    @property
    def _buses(self) -> list[Bus]:
        return [bus for bus in (self.bus, self.registry_bus) if bus is not None]

    def _job(self, workflow: Workflow) -> Job:
        said = workflow.arguments
        model, running = str(said.get("model", "")), workflow.state == RUNNING
        steps = self.durable.steps(workflow) if running or workflow.state == FAILED else []
        return Job(
            workflow.id,
            workflow.kind,
            model,
            workflow.state,
            workflow.created,
            str(said.get("actor", "")),
            str(said.get("reason", "")),
            steps[-1] if steps else "",
            self.executing.says(model) if running else "",
            str(workflow.result.get("error", "")),
        )
