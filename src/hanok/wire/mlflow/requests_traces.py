"""The requests about traces and assessments, one Struct each. Field names are the protocol's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from hanok.core.clock import micros
from hanok.core.errors import Invalid
from hanok.core.traces import TRACE_STATES, UNSPECIFIED, Assessment, Trace
from hanok.wire.mlflow.decode import invalid_value, missing_value
from hanok.wire.mlflow.requests import Int64, Pair, Request, Required, pairs

Results = Annotated[int, msgspec.Meta(ge=1, le=500)]
_DURATION = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?s")
_MASK = {
    "assessment_name": "name",
    "assessmentName": "name",
    "feedback": "value",
    "expectation": "value",
    "rationale": "rationale",
    "metadata": "metadata",
    "valid": "valid",
}


class Place(Request, frozen=True, kw_only=True):
    experiment_id: Required


class Location(Request, frozen=True, kw_only=True):
    type: str = ""
    mlflow_experiment: Place | None = None


class Source(Request, frozen=True, kw_only=True):
    source_type: str = "SOURCE_TYPE_UNSPECIFIED"
    source_id: str = ""


class WireFeedback(Request, frozen=True, kw_only=True):
    value: Any = None
    error: dict[str, str] | None = None


class Serialized(Request, frozen=True, kw_only=True):
    value: str = "null"
    serialization_format: str = "JSON_FORMAT"


class WireExpectation(Request, frozen=True, kw_only=True):
    value: Any = None
    serialized_value: Serialized | None = None


class WireIssue(Request, frozen=True, kw_only=True):
    issue_name: str = ""


class WireAssessment(Request, frozen=True, kw_only=True):
    assessment_id: str = ""
    assessment_name: str = ""
    span_id: str = ""
    source: Source = Source()
    create_time: datetime | None = None
    last_update_time: datetime | None = None
    feedback: WireFeedback | None = None
    expectation: WireExpectation | None = None
    issue: WireIssue | None = None
    rationale: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    overrides: str = ""
    valid: bool = True

    @property
    def kind(self) -> Literal["feedback", "expectation", "issue"]:
        """Raises Invalid unless it is exactly one of them."""
        told = [name for name in ("feedback", "expectation", "issue") if getattr(self, name) is not None]
        if len(told) != 1:
            raise Invalid("an assessment holds one of feedback, expectation and issue")
        return told[0]  # type: ignore[return-value]

    @property
    def value(self) -> Any:
        if self.expectation is not None:
            serialized = self.expectation.serialized_value
            if serialized is None:
                return self.expectation.value
            try:
                return msgspec.json.decode(serialized.value)
            except msgspec.DecodeError:
                raise invalid_value("assessment.expectation.serialized_value.value", serialized.value, "JSON") from None
        return self.feedback.value if self.feedback is not None else self.issue.issue_name if self.issue else None

    def entity(self, trace_id: str, now_ms: int) -> Assessment:
        """With an empty id when the client gave none. Raises Invalid."""
        if not self.assessment_name:
            raise missing_value("assessment.assessment_name")
        created = millis_of(self.create_time) if self.create_time else now_ms
        return Assessment(
            id=self.assessment_id,
            trace_id=trace_id,
            name=self.assessment_name,
            kind=self.kind,
            value=self.value,
            created_ms=created,
            updated_ms=millis_of(self.last_update_time) if self.last_update_time else created,
            source_type=self.source.source_type,
            source_id=self.source.source_id,
            span_id=self.span_id,
            rationale=self.rationale,
            error=self.feedback.error if self.feedback is not None else None,
            metadata=self.metadata,
            overrides=self.overrides,
            valid=self.valid,
        )


class TraceInfo(Request, frozen=True, kw_only=True):
    trace_id: Required
    trace_location: Location
    request_time: datetime
    client_request_id: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    execution_duration: str | None = None
    state: str | int = UNSPECIFIED
    trace_metadata: dict[str, str] = msgspec.field(default_factory=dict)
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    assessments: tuple[WireAssessment, ...] = ()

    def entity(self, now_ms: int) -> Trace:
        if self.trace_location.mlflow_experiment is None:
            raise invalid_value("trace.trace_info.trace_location", self.trace_location.type, "an experiment is needed")
        return Trace(
            id=self.trace_id,
            experiment_id=self.trace_location.mlflow_experiment.experiment_id,
            started_ms=millis_of(self.request_time),
            duration_ms=None if self.execution_duration is None else _duration_ms(self.execution_duration),
            state=state_named(self.state),
            client_request_id=self.client_request_id,
            request_preview=self.request_preview,
            response_preview=self.response_preview,
            metadata=self.trace_metadata,
            tags=self.tags,
            assessments=tuple(judged.entity(self.trace_id, now_ms) for judged in self.assessments),
        )


class WireTrace(Request, frozen=True, kw_only=True):
    trace_info: TraceInfo


class StartTrace(Request, frozen=True, kw_only=True):
    """`trace` in version 3 of the protocol, the other fields in version 2."""

    trace: WireTrace | None = None
    experiment_id: str = ""
    timestamp_ms: Int64 = 0
    request_metadata: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class EndTrace(Request, frozen=True, kw_only=True):
    trace_id: Required
    timestamp_ms: Int64
    status: str | int = "OK"
    request_metadata: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()

    @property
    def metadata(self) -> dict[str, str]:
        return pairs(self.request_metadata)


class TraceId(Request, frozen=True, kw_only=True):
    trace_id: Required


class GetTrace(TraceId, frozen=True, kw_only=True):
    allow_partial: str | bool = False

    @property
    def partial(self) -> bool:
        return str(self.allow_partial).lower() == "true"


class TraceIds(Request, frozen=True, kw_only=True):
    trace_ids: tuple[str, ...]


class SearchTraces(Request, frozen=True, kw_only=True):
    """`locations` in version 3 of the protocol, `experiment_ids` in version 2."""

    locations: tuple[Location, ...] = ()
    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    max_results: Results = 100
    order_by: tuple[str, ...] = ()
    page_token: str = ""

    @property
    def experiments(self) -> list[str]:
        placed = [place.mlflow_experiment.experiment_id for place in self.locations if place.mlflow_experiment]
        return [*placed, *self.experiment_ids]


class DeleteTraces(Request, frozen=True, kw_only=True):
    experiment_id: Required
    max_timestamp_millis: Int64 | None = None
    max_traces: int | None = None
    request_ids: tuple[str, ...] = ()


class SetTraceTag(TraceId, frozen=True, kw_only=True):
    key: Required
    value: str = ""


class DeleteTraceTag(TraceId, frozen=True, kw_only=True):
    key: Required


class LinkToRun(Request, frozen=True, kw_only=True):
    trace_ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)]
    run_id: Required


class PromptRef(Request, frozen=True, kw_only=True):
    name: Required
    version: str


class LinkPrompts(TraceId, frozen=True, kw_only=True):
    prompt_versions: tuple[PromptRef, ...]


class Correlate(Request, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...]
    filter_string1: Required
    filter_string2: Required
    base_filter: str = ""


class Aggregation(Request, frozen=True, kw_only=True):
    aggregation_type: Literal["COUNT", "SUM", "AVG", "MIN", "MAX", "PERCENTILE"]
    percentile_value: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None

    @property
    def label(self) -> str:
        if self.aggregation_type != "PERCENTILE":
            return self.aggregation_type
        if self.percentile_value is None:
            raise missing_value("aggregations.percentile_value")
        return f"P{self.percentile_value}"


class QueryMetrics(Request, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...]
    view_type: Literal["TRACES", "SPANS", "ASSESSMENTS"]
    metric_name: Required
    aggregations: Annotated[tuple[Aggregation, ...], msgspec.Meta(min_length=1)]
    dimensions: Annotated[tuple[str, ...], msgspec.Meta(max_length=5)] = ()
    filters: tuple[str, ...] = ()
    time_interval_seconds: Annotated[int, msgspec.Meta(ge=1, le=10**9)] | None = None
    start_time_ms: Int64 | None = None
    end_time_ms: Int64 | None = None
    max_results: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    page_token: str = ""


class CreateAssessment(TraceId, frozen=True, kw_only=True):
    assessment: WireAssessment


class AssessmentId(TraceId, frozen=True, kw_only=True):
    assessment_id: Required


class UpdateAssessment(AssessmentId, frozen=True, kw_only=True):
    assessment: WireAssessment
    update_mask: Required

    @property
    def changes(self) -> Mapping[str, Any]:
        """The fields of an assessment that the mask names. Raises Invalid."""
        changes: dict[str, Any] = {}
        for path in self.update_mask.split(","):
            field = _MASK.get(path.strip())
            if field is None:
                raise invalid_value("update_mask", self.update_mask, f"there are: {', '.join(_MASK)}")
            if path.strip() in ("feedback", "expectation"):
                changes["kind"] = path.strip()
                changes["error"] = self.assessment.feedback.error if self.assessment.feedback else None
            changes[field] = self.assessment.assessment_name if field == "name" else getattr(self.assessment, field)
        return changes


def state_named(told: str | int) -> str:
    """The state of a name or of a number of the protocol. Raises Invalid."""
    by_number = {0: UNSPECIFIED, 1: "OK", 2: "ERROR", 3: "IN_PROGRESS"}
    state = by_number.get(told, "") if isinstance(told, int) else told.removeprefix("TRACE_STATUS_")
    if state == "UNSPECIFIED":
        state = UNSPECIFIED
    if state not in TRACE_STATES:
        raise invalid_value("state", told, f"there are: {', '.join(TRACE_STATES)}")
    return state


def millis_of(instant: datetime) -> int:
    if instant.tzinfo is None:
        raise Invalid("an instant needs an offset, like 2026-01-01T00:00:00Z")
    return micros(instant) // 1000


def _duration_ms(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise invalid_value("execution_duration", text, "seconds are needed, like '1.5s'")
    return int(found[1]) * 1000 + int((found[2] or "0").ljust(9, "0")) // 1_000_000
