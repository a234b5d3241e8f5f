"""Traces: what one request to a model or an application did, as a tree of spans, and how people judged it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from hanok.core.tracking import EVERYTHING, Filter, Order

IN_PROGRESS, OK, ERROR, UNSPECIFIED = "IN_PROGRESS", "OK", "ERROR", "STATE_UNSPECIFIED"
TRACE_STATES = (IN_PROGRESS, OK, ERROR, UNSPECIFIED)

NAME_TAG = "mlflow.traceName"
LOCATION_TAG = "mlflow.artifactLocation"
SPANS_TAG, SPANS_HERE = "mlflow.trace.spansLocation", "TRACKING_STORE"
PROMPTS_TAG = "mlflow.linkedPrompts"
SOURCE_RUN, SOURCE_MODEL = "mlflow.sourceRun", "mlflow.modelId"
SETTLED = "mlflow.trace.infoFinalized"
"""Metadata of a trace whose client has told its times and usage: spans that come later do not change them."""
USAGE, COST, SESSION, USER = (f"mlflow.trace.{name}" for name in ("tokenUsage", "cost", "session", "user"))
SIZES = "mlflow.trace.sizeStats"
TOKENS = ("input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
COSTS = ("input_cost", "output_cost", "total_cost")


class SpanEvent(NamedTuple):
    """`attributes` are plain JSON values."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One step. `id` and `parent_id` are 16 hex digits ("" for the root); attributes hold each value as JSON text."""

    trace_id: str
    id: str
    parent_id: str
    name: str
    kind: str
    status: Literal["OK", "ERROR", "UNSET"]
    started_ns: int
    ended_ns: int | None = None
    message: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a person, a program or a judging model thinks of a trace or one of its spans; `value` is any JSON value."""

    id: str
    trace_id: str
    name: str
    kind: Literal["feedback", "expectation", "issue"]
    value: Any
    created_ms: int
    updated_ms: int
    source_type: str = "SOURCE_TYPE_UNSPECIFIED"
    source_id: str = ""
    span_id: str = ""
    rationale: str = ""
    error: Mapping[str, str] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    overrides: str = ""
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Trace:
    """`id` is "tr-" and 32 hex digits, or what a client chose. A preview is the start of what went in and came out."""

    id: str
    experiment_id: str
    started_ms: int
    duration_ms: int | None = None
    state: str = IN_PROGRESS
    client_request_id: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    assessments: tuple[Assessment, ...] = ()


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces, in which order. The default order is the newest start first."""

    experiment_ids: Sequence[str]
    filter: Filter = EVERYTHING
    order: Sequence[Order] = ()
    limit: int = 100
    offset: int = 0


def numbers(told: Mapping[str, str], *keys: str) -> dict[str, float]:
    """Tokens and costs told of in the JSON objects at `keys`; what is no number is left out."""
    found: dict[str, float] = {}
    for key in keys:
        try:
            said = json.loads(told.get(key) or "{}")
        except ValueError:
            continue
        for name in (*TOKENS, *COSTS) if isinstance(said, dict) else ():
            value = said.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                found[name] = float(value)
    return found


View = Literal["TRACES", "SPANS", "ASSESSMENTS"]
Aggregate = Literal["COUNT", "SUM", "AVG", "MIN", "MAX", "PERCENTILE"]


@dataclass(frozen=True, slots=True)
class TraceStatistic:
    """A number over traces, spans or assessments, by dimensions and by buckets of time of `bucket_ms`."""

    view: View
    metric: str
    experiment_ids: Sequence[str]
    dimensions: Sequence[str] = ()
    filter: Filter = EVERYTHING
    start_ms: int | None = None
    end_ms: int | None = None
    bucket_ms: int | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Group:
    """One combination of the dimensions. `bucket_ms` is its start, None without buckets."""

    bucket_ms: int | None
    dimensions: Mapping[str, str]
    count: int
    total: float
    low: float
    high: float
