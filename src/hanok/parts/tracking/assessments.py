"""Assessments: feedback and expectations on traces. One that overrides another makes it invalid until it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hanok.core.clock import Clock, micros
from hanok.core.errors import AssessmentNotFound, Invalid, TraceNotFound
from hanok.core.ids import new_id
from hanok.core.traces import Assessment
from hanok.stores.ports import Metadata, Repositories

NAME_MAX = 250


class AssessmentVerbs:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def create(self, assessment: Assessment) -> Assessment:
        """Under an id of ours when it has none. Raises TraceNotFound, AssessmentNotFound for what it overrides."""
        made = named(assessment, self._clock)

        def work(r: Repositories) -> Assessment:
            if not r.traces.of([made.trace_id]):
                raise TraceNotFound(f"Trace with ID '{made.trace_id[:80]}' is not found")
            if made.overrides:
                r.assessments.put(replace(_held(r, made.trace_id, made.overrides), valid=False))
            r.assessments.put(made)
            return made

        return self._metadata.write(work)

    def get(self, trace_id: str, assessment_id: str) -> Assessment:
        """Raises AssessmentNotFound."""
        return self._metadata.read(lambda r: _held(r, trace_id, assessment_id))

    def update(self, trace_id: str, assessment_id: str, changes: Mapping[str, Any]) -> Assessment:
        """Change the fields given; metadata is added to. A feedback stays a feedback. Raises AssessmentNotFound."""

        def work(r: Repositories) -> Assessment:
            held = _held(r, trace_id, assessment_id)
            if changes.get("kind", held.kind) != held.kind:
                raise Invalid(f"assessment {assessment_id} is {held.kind}: it takes no value of {changes['kind']}")
            wanted = dict(changes)
            if "metadata" in wanted:
                wanted["metadata"] = {**held.metadata, **wanted["metadata"]}
            changed = named(replace(held, **wanted, updated_ms=now_ms(self._clock)), self._clock)
            r.assessments.put(changed)
            return changed

        return self._metadata.write(work)

    def delete(self, trace_id: str, assessment_id: str) -> None:
        """What it overrode holds again; deleting what is not there has no effect."""

        def work(r: Repositories) -> None:
            held = r.assessments.get(trace_id, assessment_id)
            if held is None:
                return
            before = r.assessments.get(trace_id, held.overrides) if held.overrides else None
            if before is not None:
                r.assessments.put(replace(before, valid=True))
            r.assessments.delete(trace_id, assessment_id)

        self._metadata.write(work)


def named(assessment: Assessment, clock: Clock) -> Assessment:
    """The assessment with an id. Raises Invalid for a name that cannot be kept."""
    if not assessment.name or len(assessment.name) > NAME_MAX or "\0" in assessment.name:
        raise Invalid(f"assessment name {assessment.name[:60]!r} needs 1 to {NAME_MAX} characters")
    return assessment if assessment.id else replace(assessment, id=f"a-{new_id(clock.now())}")


def now_ms(clock: Clock) -> int:
    return micros(clock.now()) // 1000


def _held(r: Repositories, trace_id: str, assessment_id: str) -> Assessment:
    found = r.assessments.get(trace_id, assessment_id)
    if found is None:
        raise AssessmentNotFound(f"trace {trace_id[:80]} has no assessment {assessment_id[:80]!r}")
    return found
