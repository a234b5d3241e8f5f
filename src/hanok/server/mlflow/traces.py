"""traces/* and what people think of them: versions 2 and 3 of the protocol, side by side."""

from __future__ import annotations

from hanok.core.errors import Invalid
from hanok.core.traces import TraceQuery, TraceStatistic
from hanok.core.tracking import Filter
from hanok.parts.tracking.assessments import now_ms
from hanok.server.mlflow.endpoint import Call, Json, edit, read
from hanok.wire.mlflow import requests_traces as ask
from hanok.wire.mlflow import traces as told
from hanok.wire.mlflow.decode import missing_value
from hanok.wire.mlflow.entities import number
from hanok.wire.mlflow.requests import pairs
from hanok.wire.mlflow.search import TRACES, parse_filter, parse_order
from hanok.wire.mlflow.tokens import offset_of, offset_token
from hanok.wire.mlflow.trace_metrics import statistic_filter


def start(call: Call, asked: ask.StartTrace) -> Json:
    if asked.trace is not None:
        made = call.tracking.traces.start(asked.trace.trace_info.entity(now_ms(call.tracking.clock)))
        return {"trace": {"trace_info": told.info(made)}}
    if not asked.experiment_id:
        raise missing_value("trace")
    begun = call.tracking.traces.begin(
        asked.experiment_id,
        started_ms=asked.timestamp_ms,
        metadata=pairs(asked.request_metadata),
        tags=pairs(asked.tags),
    )
    return {"trace_info": told.info_v2(begun)}


def end(call: Call, asked: ask.EndTrace) -> Json:
    ended = call.tracking.traces.end(
        asked.trace_id,
        ended_ms=asked.timestamp_ms,
        state=ask.state_named(asked.status),
        metadata=asked.metadata,
        tags=pairs(asked.tags),
    )
    return {"trace_info": told.info_v2(ended)}


def get_info(call: Call, asked: ask.TraceId) -> Json:
    return {"trace": {"trace_info": told.info(call.tracking.traces.get(asked.trace_id))}}


def get_info_v2(call: Call, asked: ask.TraceId) -> Json:
    return {"trace_info": told.info_v2(call.tracking.traces.get(asked.trace_id))}


def batch_get(call: Call, asked: ask.TraceIds) -> Json:
    found = call.tracking.traces.with_spans(asked.trace_ids)
    return {
        "traces": [
            {"trace_info": told.info(trace), "spans": [told.otel_span(span) for span in spans]}
            for trace, spans in found
            if spans
        ]
    }


def batch_get_infos(call: Call, asked: ask.TraceIds) -> Json:
    return {"trace_infos": [told.info(trace) for trace in call.tracking.traces.many(asked.trace_ids)]}


def search(call: Call, asked: ask.SearchTraces) -> Json:
    """In the form of the version whose field names the places."""
    experiments = asked.experiments
    if not experiments:
        raise missing_value("experiment_ids" if not asked.locations else "locations")
    page = call.tracking.traces.search(
        TraceQuery(
            experiments,
            parse_filter(asked.filter, TRACES),
            parse_order(asked.order_by, TRACES),
            asked.max_results,
            offset_of(asked.page_token),
        )
    )
    form = told.info if asked.locations else told.info_v2
    body: Json = {"traces": [form(trace) for trace in page.items]}
    return body if page.next_offset is None else body | {"next_page_token": offset_token(page.next_offset)}


def delete(call: Call, asked: ask.DeleteTraces) -> Json:
    deleted = call.tracking.traces.delete(
        asked.experiment_id,
        trace_ids=asked.request_ids,
        until_ms=asked.max_timestamp_millis,
        limit=asked.max_traces,
    )
    return {"traces_deleted": deleted}


def set_tag(call: Call, asked: ask.SetTraceTag) -> Json:
    call.tracking.traces.set_tag(asked.trace_id, asked.key, asked.value)
    return {}


def delete_tag(call: Call, asked: ask.DeleteTraceTag) -> Json:
    call.tracking.traces.delete_tag(asked.trace_id, asked.key)
    return {}


def link_to_run(call: Call, asked: ask.LinkToRun) -> Json:
    call.tracking.traces.link_to_run(asked.trace_ids, asked.run_id)
    return {}


def link_prompts(call: Call, asked: ask.LinkPrompts) -> Json:
    call.tracking.traces.link_prompts(asked.trace_id, [(p.name, p.version) for p in asked.prompt_versions])
    return {}


def correlate(call: Call, asked: ask.Correlate) -> Json:
    first, second, among = (_filter(text) for text in (asked.filter_string1, asked.filter_string2, asked.base_filter))
    found = call.tracking.trace_statistics.correlation(asked.experiment_ids, first, second, among=among)
    return {
        "npmi": number(found.npmi),
        "npmi_smoothed": number(found.smoothed),
        "filter1_count": found.first,
        "filter2_count": found.second,
        "joint_count": found.both,
        "total_count": found.total,
    }


def query_metrics(call: Call, asked: ask.QueryMetrics) -> Json:
    points = call.tracking.trace_statistics.query(
        TraceStatistic(
            view=asked.view_type,
            metric=asked.metric_name,
            experiment_ids=asked.experiment_ids,
            dimensions=asked.dimensions,
            filter=statistic_filter(asked.filters),
            start_ms=asked.start_time_ms,
            end_ms=asked.end_time_ms,
            bucket_ms=asked.time_interval_seconds * 1000 if asked.time_interval_seconds else None,
            limit=asked.max_results,
        ),
        {each.label: (each.aggregation_type, each.percentile_value) for each in asked.aggregations},
    )
    return {
        "data_points": [
            {
                "metric_name": asked.metric_name,
                "dimensions": ({} if p.bucket_ms is None else {"time_bucket": told.instant(p.bucket_ms)})
                | dict(p.dimensions),
                "values": {label: number(value) for label, value in p.values.items()},
            }
            for p in points
        ]
    }


def create_assessment(call: Call, asked: ask.CreateAssessment) -> Json:
    made = call.tracking.assessments.create(asked.assessment.entity(asked.trace_id, now_ms(call.tracking.clock)))
    return {"assessment": told.assessment(made)}


def get_assessment(call: Call, asked: ask.AssessmentId) -> Json:
    return {"assessment": told.assessment(call.tracking.assessments.get(asked.trace_id, asked.assessment_id))}


def update_assessment(call: Call, asked: ask.UpdateAssessment) -> Json:
    changed = call.tracking.assessments.update(asked.trace_id, asked.assessment_id, asked.changes)
    return {"assessment": told.assessment(changed)}


def delete_assessment(call: Call, asked: ask.AssessmentId) -> Json:
    call.tracking.assessments.delete(asked.trace_id, asked.assessment_id)
    return {}


def _filter(text: str) -> Filter:
    try:
        return parse_filter(text, TRACES)
    except Invalid as error:
        raise Invalid(f"Invalid filter of the correlation: {error.message}") from None


ENDPOINTS = (
    edit("/traces", ask.StartTrace, start),
    read("/traces", ask.SearchTraces, search),
    read("/traces/search", ask.SearchTraces, search, "POST"),
    read("/traces/batchGet", ask.TraceIds, batch_get),
    read("/traces/batchGetInfos", ask.TraceIds, batch_get_infos, "POST"),
    read("/traces/calculate-filter-correlation", ask.Correlate, correlate, "POST"),
    read("/traces/metrics", ask.QueryMetrics, query_metrics, "POST"),
    edit("/traces/delete-traces", ask.DeleteTraces, delete),
    edit("/traces/link-to-run", ask.LinkToRun, link_to_run),
    edit("/traces/link-prompts", ask.LinkPrompts, link_prompts),
    read("/traces/{trace_id}", ask.TraceId, get_info),
    edit("/traces/{trace_id}", ask.EndTrace, end, "PATCH"),
    read("/traces/{trace_id}/info", ask.TraceId, get_info_v2),
    edit("/traces/{trace_id}/tags", ask.SetTraceTag, set_tag, "PATCH"),
    edit("/traces/{trace_id}/tags", ask.DeleteTraceTag, delete_tag, "DELETE"),
    edit("/traces/{trace_id}/assessments", ask.CreateAssessment, create_assessment),
    read("/traces/{trace_id}/assessments/{assessment_id}", ask.AssessmentId, get_assessment),
    edit("/traces/{trace_id}/assessments/{assessment_id}", ask.UpdateAssessment, update_assessment, "PATCH"),
    edit("/traces/{trace_id}/assessments/{assessment_id}", ask.AssessmentId, delete_assessment, "DELETE"),
)
