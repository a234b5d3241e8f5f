"""Core entities as the protocol's JSON objects, ready for orjson. Instants are milliseconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from hanok.core.clock import micros
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.tracking import (
    Artifact,
    DatasetInput,
    Experiment,
    LoggedModel,
    Metric,
    ModelMetric,
    Run,
)

Json = dict[str, Any]


def millis(instant: datetime) -> int:
    return micros(instant) // 1000


def number(value: float) -> float | str:
    """Proto-JSON writes what JSON has no number for as text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def pairs(values: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in values.items()]


def metric(point: Metric) -> Json:
    return {"key": point.key, "value": number(point.value), "timestamp": point.timestamp_ms, "step": point.step}


def model_metric(measured: ModelMetric) -> Json:
    body = metric(measured.metric) | {"model_id": measured.model_id, "run_id": measured.run_id}
    if measured.dataset_name:
        body |= {"dataset_name": measured.dataset_name, "dataset_digest": measured.dataset_digest}
    return body


def experiment(found: Experiment) -> Json:
    return {
        "experiment_id": found.id,
        "name": found.name,
        "artifact_location": found.location,
        "lifecycle_stage": found.lifecycle,
        "creation_time": millis(found.created),
        "last_update_time": millis(found.updated),
        "tags": pairs(found.tags),
    }


def run_info(found: Run) -> Json:
    body: Json = {
        "run_id": found.id,
        "run_uuid": found.id,
        "run_name": found.name,
        "experiment_id": found.experiment_id,
        "user_id": found.user,
        "status": found.status,
        "start_time": millis(found.started),
        "artifact_uri": found.artifact_uri,
        "lifecycle_stage": found.lifecycle,
    }
    if found.ended is not None:
        body["end_time"] = millis(found.ended)
    return body


def run(found: Run) -> Json:
    return {
        "info": run_info(found),
        "data": {
            "metrics": [metric(point) for point in found.metrics],
            "params": pairs(found.params),
            "tags": pairs(found.tags),
        },
        "inputs": {
            "dataset_inputs": [dataset_input(used) for used in found.datasets],
            "model_inputs": [{"model_id": model_id} for model_id in found.models_read],
        },
        "outputs": {"model_outputs": [{"model_id": m.model_id, "step": m.step} for m in found.models_written]},
    }


def dataset_input(used: DatasetInput) -> Json:
    data = used.dataset
    body = {"name": data.name, "digest": data.digest, "source_type": data.source_type, "source": data.source}
    if data.schema:
        body["schema"] = data.schema
    if data.profile:
        body["profile"] = data.profile
    return {"tags": pairs(used.tags), "dataset": body}


def logged_model(found: LoggedModel) -> Json:
    info: Json = {
        "model_id": found.id,
        "experiment_id": found.experiment_id,
        "name": found.name,
        "creation_timestamp_ms": millis(found.created),
        "last_updated_timestamp_ms": millis(found.updated),
        "artifact_uri": found.artifact_uri,
        "status": f"LOGGED_MODEL_{found.status}",
        "tags": pairs(found.tags),
    }
    if found.model_type:
        info["model_type"] = found.model_type
    if found.source_run_id:
        info["source_run_id"] = found.source_run_id
    data = {"params": pairs(found.params), "metrics": [model_metric(point) for point in found.metrics]}
    return {"info": info, "data": data}


def registered_model(found: RegisteredModel, latest: Sequence[ModelVersion] = ()) -> Json:
    body: Json = {
        "name": found.name,
        "creation_timestamp": millis(found.created),
        "last_updated_timestamp": millis(found.updated),
        "description": found.description,
    }
    if found.tags:
        body["tags"] = pairs(found.tags)
    if found.aliases:
        body["aliases"] = [{"alias": a, "version": str(version)} for a, version in found.aliases.items()]
    if latest:
        body["latest_versions"] = [model_version(version) for version in latest]
    return body


def model_version(found: ModelVersion) -> Json:
    body: Json = {
        "name": found.model,
        "version": str(found.version),
        "creation_timestamp": millis(found.created),
        "last_updated_timestamp": millis(found.updated or found.created),
        "user_id": str(found.facts.get("user", "")),
        "current_stage": found.stage,
        "description": found.description,
        "source": found.source,
        "run_id": found.run_id,
        "status": found.status,
        "run_link": str(found.facts.get("run_link", "")),
    }
    if found.tags:
        body["tags"] = pairs(found.tags)
    if found.aliases:
        body["aliases"] = list(found.aliases)
    if found.facts.get("logged_model_id"):
        body["model_id"] = found.facts["logged_model_id"]
    return body


def files(found: Iterable[Artifact]) -> list[Json]:
    return [
        {"path": a.path, "is_dir": True}
        if a.is_folder
        else {"path": a.path, "is_dir": False, "file_size": a.size_bytes}
        for a in found
    ]
