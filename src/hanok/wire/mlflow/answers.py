"""The protocol's JSON objects, as an MLflow server answers them, to core: the inverse of entities.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hanok.core.clock import EPOCH, from_micros
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.tracking import (
    Dataset,
    DatasetInput,
    Experiment,
    Lifecycle,
    LoggedModel,
    Metric,
    ModelMetric,
    ModelOutput,
    Run,
    dataset_id,
)

Json = Mapping[str, Any]


def instant(millis: Any) -> datetime:
    """Stores from before 2.0 have experiments without one: they get the beginning of 1970."""
    return from_micros(int(millis) * 1000) if millis else EPOCH


def pairs(sent: Sequence[Json]) -> dict[str, str]:
    return {item["key"]: str(item.get("value", "")) for item in sent}


def lifecycle(text: str) -> Lifecycle:
    return "deleted" if text == "deleted" else "active"


def experiment(body: Json) -> Experiment:
    return Experiment(
        id=str(body["experiment_id"]),
        name=body["name"],
        location=body.get("artifact_location", ""),
        created=instant(body.get("creation_time")),
        updated=instant(body.get("last_update_time")),
        lifecycle=lifecycle(body.get("lifecycle_stage", "active")),
        tags=pairs(body.get("tags", ())),
    )


def metric(body: Json) -> Metric:
    return Metric(body["key"], float(body["value"]), int(body.get("timestamp", 0)), int(body.get("step", 0)))


def run(body: Json) -> Run:
    info, data = body["info"], body.get("data", {})
    inputs, outputs = body.get("inputs", {}), body.get("outputs", {})
    return Run(
        id=info["run_id"],
        experiment_id=str(info["experiment_id"]),
        name=info.get("run_name", ""),
        started=instant(info.get("start_time")),
        ended=instant(info["end_time"]) if info.get("end_time") else None,
        artifact_uri=info.get("artifact_uri", ""),
        status=info.get("status", "FINISHED"),
        user=info.get("user_id", ""),
        lifecycle=lifecycle(info.get("lifecycle_stage", "active")),
        metrics=tuple(metric(m) for m in data.get("metrics", ())),
        params=pairs(data.get("params", ())),
        tags=pairs(data.get("tags", ())),
        datasets=tuple(_dataset(d) for d in inputs.get("dataset_inputs", ())),
        models_read=tuple(m["model_id"] for m in inputs.get("model_inputs", ())),
        models_written=tuple(
            ModelOutput(m["model_id"], int(m.get("step", 0))) for m in outputs.get("model_outputs", ())
        ),
    )


def _dataset(body: Json) -> DatasetInput:
    data = body["dataset"]
    node = dataset_id(data["name"], data["digest"], data.get("source", ""))
    kept = Dataset(
        node,
        data["name"],
        data["digest"],
        data.get("source_type", ""),
        data.get("source", ""),
        data.get("schema", ""),
        data.get("profile", ""),
    )
    return DatasetInput(kept, pairs(body.get("tags", ())))


def logged_model(body: Json) -> LoggedModel:
    info, data = body["info"], body.get("data", {})
    return LoggedModel(
        id=info["model_id"],
        experiment_id=str(info["experiment_id"]),
        name=info.get("name", ""),
        artifact_uri=info.get("artifact_uri", ""),
        created=instant(info.get("creation_timestamp_ms")),
        updated=instant(info.get("last_updated_timestamp_ms")),
        status=str(info.get("status", "READY")).removeprefix("LOGGED_MODEL_"),
        model_type=info.get("model_type", ""),
        source_run_id=info.get("source_run_id", ""),
        params=pairs(data.get("params", ())),
        tags=pairs(info.get("tags", ())),
        metrics=tuple(
            ModelMetric(
                info["model_id"], m.get("run_id", ""), metric(m), m.get("dataset_name", ""), m.get("dataset_digest", "")
            )
            for m in data.get("metrics", ())
        ),
    )


def registered_model(body: Json) -> RegisteredModel:
    return RegisteredModel(
        name=body["name"],
        created=instant(body.get("creation_timestamp")),
        updated=instant(body.get("last_updated_timestamp")),
        description=body.get("description", ""),
        tags=pairs(body.get("tags", ())),
        aliases={a["alias"]: int(a["version"]) for a in body.get("aliases", ())},
    )


def model_version(body: Json) -> ModelVersion:
    return ModelVersion(
        id="",
        model=body["name"],
        version=int(body["version"]),
        created=instant(body.get("creation_timestamp")),
        updated=instant(body.get("last_updated_timestamp")),
        run_id=body.get("run_id", ""),
        source=body.get("source", ""),
        description=body.get("description", ""),
        status=body.get("status", "READY"),
        stage=body.get("current_stage", "None") or "None",
        tags=pairs(body.get("tags", ())),
        facts={
            "user": body.get("user_id", ""),
            "run_link": body.get("run_link", ""),
            **({"logged_model_id": body["model_id"]} if body.get("model_id") else {}),
        },
    )
