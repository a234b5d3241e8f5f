"""Traces, spans and assessments as the protocol's JSON objects."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from hanok.core.clock import from_micros
from hanok.core.traces import Assessment, Span, Trace
from hanok.wire.mlflow.entities import Json, number, pairs

_CODES = {"OK": "STATUS_CODE_OK", "ERROR": "STATUS_CODE_ERROR", "UNSET": "STATUS_CODE_UNSET"}


def info(trace: Trace) -> Json:
    """Version 3."""
    place = {"experiment_id": trace.experiment_id}
    body: Json = {
        "trace_id": trace.id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": place},
        "request_time": instant(trace.started_ms),
        "state": trace.state,
        "trace_metadata": dict(trace.metadata),
        "tags": dict(trace.tags),
        "assessments": [assessment(judged) for judged in trace.assessments],
    }
    if trace.duration_ms is not None:
        body["execution_duration"] = f"{trace.duration_ms // 1000}.{trace.duration_ms % 1000:03d}s"
    for name in ("client_request_id", "request_preview", "response_preview"):
        if getattr(trace, name) is not None:
            body[name] = getattr(trace, name)
    return body


def info_v2(trace: Trace) -> Json:
    return {
        "request_id": trace.id,
        "experiment_id": trace.experiment_id,
        "timestamp_ms": trace.started_ms,
        "execution_time_ms": trace.duration_ms or 0,
        "status": "TRACE_STATUS_UNSPECIFIED" if trace.state == "STATE_UNSPECIFIED" else trace.state,
        "request_metadata": pairs(trace.metadata),
        "tags": pairs(trace.tags),
    }


def assessment(judged: Assessment) -> Json:
    body: Json = {
        "assessment_id": judged.id,
        "assessment_name": judged.name,
        "trace_id": judged.trace_id,
        "source": {"source_type": judged.source_type, "source_id": judged.source_id},
        "create_time": instant(judged.created_ms),
        "last_update_time": instant(judged.updated_ms),
        "metadata": dict(judged.metadata),
        "valid": judged.valid,
    }
    for name in ("span_id", "rationale", "overrides"):
        if getattr(judged, name):
            body[name] = getattr(judged, name)
    if judged.kind == "feedback":
        body["feedback"] = {"value": judged.value} | ({"error": dict(judged.error)} if judged.error else {})
    elif judged.kind == "issue":
        body["issue"] = {"issue_name": judged.value}
    elif isinstance(judged.value, list | dict):
        serialized = {"serialization_format": "JSON_FORMAT", "value": json.dumps(judged.value)}
        body["expectation"] = {"serialized_value": serialized}
    else:
        body["expectation"] = {"value": judged.value}
    return body


def otel_span(span: Span) -> Json:
    """As OpenTelemetry's protobuf reads in JSON."""
    body: Json = {
        "trace_id": _base64(span.trace_id.removeprefix("tr-")),
        "span_id": _base64(span.id),
        "name": span.name,
        "start_time_unix_nano": str(span.started_ns),
        "attributes": [{"key": key, "value": _any(_loaded(value))} for key, value in span.attributes.items()],
        "events": [
            {"name": e.name, "time_unix_nano": str(e.time_ns), "attributes": _attributes(e.attributes)}
            for e in span.events
        ],
        "status": {"code": _CODES[span.status], "message": span.message},
    }
    if span.parent_id:
        body["parent_span_id"] = _base64(span.parent_id)
    if span.ended_ns is not None:
        body["end_time_unix_nano"] = str(span.ended_ns)
    return body


def span_document(span: Span) -> Json:
    """As it stands in a traces.json."""
    return {
        "trace_id": _base64(span.trace_id.removeprefix("tr-")),
        "span_id": _base64(span.id),
        "parent_span_id": _base64(span.parent_id) if span.parent_id else None,
        "name": span.name,
        "start_time_unix_nano": span.started_ns,
        "end_time_unix_nano": span.ended_ns,
        "events": [
            {"name": e.name, "time_unix_nano": e.time_ns, "attributes": dict(e.attributes)} for e in span.events
        ],
        "status": {"code": _CODES[span.status], "message": span.message},
        "attributes": dict(span.attributes),
    }


def instant(at_ms: int) -> str:
    return f"{from_micros(at_ms * 1000):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def _loaded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _attributes(values: Mapping[str, Any]) -> list[Json]:
    return [{"key": key, "value": _any(value)} for key, value in values.items()]


def _any(value: Any) -> Json:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, int):
        return {"int_value": str(value)} if -(2**63) <= value < 2**63 else {"string_value": str(value)}
    if isinstance(value, float):
        return {"double_value": number(value)}
    if isinstance(value, list):
        return {"array_value": {"values": [_any(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlist_value": {"values": _attributes(value)}}
    return {"string_value": str(value)}
