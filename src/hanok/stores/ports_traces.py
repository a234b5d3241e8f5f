"""What traces want from storage. The contract of ports.py holds here too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hanok.core.traces import Assessment, Group, Span, Trace, TraceQuery, TraceStatistic


class Traces(Protocol):
    """Traces without their spans. What is deleted goes with spans, assessments and links."""

    def put(self, trace: Trace) -> None:
        """Insert, or replace all but the experiment; tags and metadata are added to what is there, assessments are
        left alone."""
        ...

    def of(self, trace_ids: Sequence[str]) -> list[Trace]:
        """Those that are there, in the order asked for, with their assessments."""
        ...

    def search(self, query: TraceQuery) -> list[Trace]: ...

    def count(self, query: TraceQuery) -> int:
        """How many traces match, whatever the limit."""
        ...

    def oldest(self, experiment_id: str, *, until_ms: int, limit: int | None = None) -> list[str]:
        """Ids of the traces that started by then, the oldest first."""
        ...

    def delete(self, experiment_id: str, trace_ids: Sequence[str]) -> list[str]:
        """Returns the ids of those that were there."""
        ...

    def delete_tag(self, trace_id: str, key: str) -> bool:
        """Whether there was one."""
        ...


class Spans(Protocol):
    """The spans of traces that are there."""

    def put(self, trace_id: str, spans: Sequence[Span]) -> None:
        """Insert or replace by span id."""
        ...

    def of(self, trace_ids: Sequence[str]) -> dict[str, list[Span]]:
        """By trace, the root first, then by start."""
        ...

    def count(self, trace_id: str) -> int: ...

    def usage(self, trace_id: str) -> Mapping[str, float]:
        """Tokens and costs by name, summed over the spans."""
        ...


class Assessments(Protocol):
    def put(self, assessment: Assessment) -> None:
        """Insert or replace by id."""
        ...

    def get(self, trace_id: str, assessment_id: str) -> Assessment | None: ...

    def delete(self, trace_id: str, assessment_id: str) -> None: ...


class TraceLinks(Protocol):
    """The runs and prompt versions that traces belong to. A link that is there is not made again."""

    def to_run(self, trace_ids: Sequence[str], run_id: str) -> None:
        """Also of traces that have not arrived yet."""
        ...

    def runs_of(self, trace_id: str) -> list[str]: ...

    def to_prompts(self, trace_id: str, prompts: Sequence[tuple[str, str]]) -> None:
        """Name and version of each prompt."""
        ...


class TraceStatistics(Protocol):
    def groups(self, wanted: TraceStatistic) -> list[Group]:
        """By bucket, then dimensions. A dimension that a thing has no value for leaves the thing out."""
        ...

    def values(self, wanted: TraceStatistic, group: Group) -> list[float]:
        """The measured values of a group, ascending."""
        ...
