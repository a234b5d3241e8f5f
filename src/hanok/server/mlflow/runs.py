"""runs/*, metrics/get-history and artifacts/list"""

from __future__ import annotations

import math
from datetime import datetime

import orjson

from hanok.core.access import LOCAL
from hanok.core.clock import from_micros
from hanok.core.errors import Invalid
from hanok.core.tracking import (
    DEFAULT_EXPERIMENT,
    Dataset,
    DatasetInput,
    Metric,
    ModelMetric,
    ModelOutput,
    RunQuery,
    dataset_id,
)
from hanok.server.mlflow.endpoint import Call, Json, Started, edit, read, start
from hanok.wire.mlflow import entities, listing
from hanok.wire.mlflow import requests as ask
from hanok.wire.mlflow.decode import invalid_value, missing_value
from hanok.wire.mlflow.search import parse_filter, parse_order
from hanok.wire.mlflow.tokens import after_of, history_token, offset_of, offset_token

BATCH_MAX_BYTES = 2 << 20  # clients split at 1 MB; looked at before anything is parsed
USER_TAG = "mlflow.user"


def create(call: Call, asked: ask.CreateRun) -> Started:
    tags = ask.pairs(asked.tags)
    if call.actor is not LOCAL and asked.user_id:  # what a client claims is a tag; who it was is known
        tags = {USER_TAG: asked.user_id} | tags
    made = call.tracking.runs.create_soon(
        asked.experiment_id or DEFAULT_EXPERIMENT,
        name=asked.run_name,
        user=asked.user_id if call.actor is LOCAL else call.actor.name,
        started=_instant("start_time", asked.start_time) if asked.start_time else None,
        tags=tags,
    )
    return Started(made, lambda run: {"run": entities.run(run)})


def get(call: Call, asked: ask.RunId) -> Json:
    return {"run": entities.run(call.tracking.runs.get(_run(asked)))}


def update(call: Call, asked: ask.UpdateRun) -> Started:
    ended = None if asked.end_time is None else _instant("end_time", asked.end_time)
    changed = call.tracking.runs.update_soon(_run(asked), status=asked.status, ended=ended, name=asked.run_name)
    return Started(changed, lambda run: {"run_info": entities.run_info(run)})


def delete(call: Call, asked: ask.RunId) -> Json:
    call.tracking.runs.delete(_run(asked))
    return {}


def restore(call: Call, asked: ask.RunId) -> Json:
    call.tracking.runs.restore(_run(asked))
    return {}


def log_metric(call: Call, asked: ask.LogMetric) -> Started:
    run = _run(asked)
    return Started(call.tracking.runs.log_soon(run, metrics=[_point(asked)], of_models=_of_models(run, (asked,))))


def log_param(call: Call, asked: ask.LogParam) -> Started:
    return Started(call.tracking.runs.log_soon(_run(asked), params={asked.key: asked.value}))


def log_batch(call: Call, asked: ask.LogBatch) -> Started:
    run = _run(asked)
    if len(asked.metrics) + len(asked.params) + len(asked.tags) > 1000:
        raise Invalid("a batch holds at most 1000 metrics, params and tags together; send it in parts")
    params = ask.pairs(asked.params)
    if len(params) != len(asked.params):
        raise Invalid("a param stands more than once in the batch; each key takes one value")
    logged = call.tracking.runs.log_soon(
        run,
        metrics=[_point(m) for m in asked.metrics],
        params=params,
        tags=ask.pairs(asked.tags),
        of_models=_of_models(run, asked.metrics),
    )
    return Started(logged)


def log_model(call: Call, asked: ask.LogModel) -> Json:
    try:
        description = orjson.loads(asked.model_json)
    except orjson.JSONDecodeError:
        raise invalid_value("model_json", asked.model_json, "it is not JSON") from None
    if not isinstance(description, dict) or not {"artifact_path", "run_id"} <= description.keys():
        raise invalid_value("model_json", asked.model_json, "an MLmodel object with artifact_path and run_id is needed")
    call.tracking.runs.record_model(_run(asked), description)
    return {}


def log_inputs(call: Call, asked: ask.LogInputs) -> Json:
    used = [DatasetInput(_dataset(item.dataset), ask.pairs(item.tags)) for item in asked.datasets]
    call.tracking.runs.log_inputs(_run(asked), used, [m.model_id for m in asked.models])
    return {}


def log_outputs(call: Call, asked: ask.LogOutputs) -> Json:
    call.tracking.runs.log_outputs(_run(asked), [ModelOutput(m.model_id, m.step) for m in asked.models])
    return {}


def set_tag(call: Call, asked: ask.SetTag) -> Started:
    return Started(call.tracking.runs.log_soon(_run(asked), tags={asked.key: asked.value}))


def delete_tag(call: Call, asked: ask.DeleteTag) -> Json:
    call.tracking.runs.delete_tag(_run(asked), asked.key)
    return {}


def search(call: Call, asked: ask.SearchRuns) -> bytes:
    found, next_offset = call.tracking.runs.listing(
        RunQuery(
            experiment_ids=asked.experiment_ids,
            filter=parse_filter(asked.filter),
            order=parse_order(asked.order_by),
            lifecycles=ask.VIEWS[asked.run_view_type],
            limit=asked.max_results,
            offset=offset_of(asked.page_token),
        )
    )
    return listing.runs(found, offset_token(next_offset))


def get_history(call: Call, asked: ask.GetHistory) -> bytes:
    after = after_of(asked.metric_key, asked.page_token)
    limit = asked.max_results
    rows = call.tracking.runs.history_rows(
        _run(asked), asked.metric_key, after=after, limit=None if limit is None else limit + 1
    )
    if limit is None or len(rows) <= limit:
        return listing.history(asked.metric_key, rows)
    step, timestamp_ms, value = rows[limit - 1]
    last = Metric(asked.metric_key, math.nan if value is None else value, timestamp_ms, step)
    return listing.history(asked.metric_key, rows[:limit], history_token(last))


def list_artifacts(call: Call, asked: ask.ListArtifacts) -> Json:
    run = call.tracking.runs.get(_run(asked))
    found = call.tracking.artifacts.children_under(run.artifact_uri, asked.path)
    return {"root_uri": run.artifact_uri, "files": entities.files(found)}


def _run(asked: ask.RunId) -> str:
    if not asked.run:
        raise missing_value("run_id")
    return asked.run


def _point(asked: ask.LogMetric | ask.MetricPoint) -> Metric:
    return Metric(asked.key, asked.value, asked.timestamp, asked.step)


def _of_models(run: str, asked: tuple[ask.LogMetric | ask.MetricPoint, ...]) -> list[ModelMetric]:
    return [ModelMetric(m.model_id, run, _point(m), m.dataset_name, m.dataset_digest) for m in asked if m.model_id]


def _dataset(sent: ask.WireDataset) -> Dataset:
    node = dataset_id(sent.name, sent.digest, sent.source)
    return Dataset(node, sent.name, sent.digest, sent.source_type, sent.source, sent.schema, sent.profile)


def _instant(name: str, millis: int) -> datetime:
    try:
        return from_micros(millis * 1000)
    except OverflowError:
        raise invalid_value(name, millis, "milliseconds since 1970 are needed, before the year 10000") from None


ENDPOINTS = (
    start("/runs/create", ask.CreateRun, create),
    read("/runs/get", ask.RunId, get),
    start("/runs/update", ask.UpdateRun, update),
    edit("/runs/delete", ask.RunId, delete),
    edit("/runs/restore", ask.RunId, restore),
    start("/runs/log-metric", ask.LogMetric, log_metric),
    start("/runs/log-parameter", ask.LogParam, log_param),
    start("/runs/log-batch", ask.LogBatch, log_batch, body_max_bytes=BATCH_MAX_BYTES),
    edit("/runs/log-model", ask.LogModel, log_model),
    edit("/runs/log-inputs", ask.LogInputs, log_inputs),
    edit("/runs/outputs", ask.LogOutputs, log_outputs),
    start("/runs/set-tag", ask.SetTag, set_tag),
    edit("/runs/delete-tag", ask.DeleteTag, delete_tag),
    read("/runs/search", ask.SearchRuns, search, "POST"),
    read("/metrics/get-history", ask.GetHistory, get_history),
    read("/artifacts/list", ask.ListArtifacts, list_artifacts),
)
