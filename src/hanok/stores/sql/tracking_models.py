"""Logged models, and the upkeep of the registry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.clock import micros
from hanok.core.errors import AlreadyExists, LoggedModelNotFound
from hanok.core.registry import ModelVersion
from hanok.core.tracking import DELETED, LoggedModel, Metric, ModelMetric
from hanok.stores.sql.registry import SqlRegistry
from hanok.stores.sql.rows import at, document, from_json
from hanok.stores.sql.tracking_experiments import as_key
from hanok.stores.sql.tracking_metrics import chunks

_COLUMNS = (
    "id, experiment, name, artifact_uri, created, updated, status, model_type, source_run_id, lifecycle, params, tags"
)
# index: logged_model_experiment
_OF_EXPERIMENTS = text(
    f"SELECT {_COLUMNS} FROM logged_model WHERE experiment IN :experiments AND lifecycle <> :deleted "
    "ORDER BY created DESC, id DESC"
).bindparams(bindparam("experiments", expanding=True))
_METRICS = text(
    "SELECT model_id, run_id, name, value, timestamp_ms, step, nan, dataset_name, dataset_digest "
    "FROM logged_model_metric WHERE model_id IN :ids ORDER BY name, run_id, step, timestamp_ms, value"
).bindparams(bindparam("ids", expanding=True))


class SqlLoggedModels:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, model: LoggedModel) -> None:
        names = ", ".join(f":{name}" for name in _COLUMNS.split(", "))
        self._c.execute(text(f"INSERT INTO logged_model ({_COLUMNS}) VALUES ({names})"), _values(model))

    def put(self, model: LoggedModel) -> None:
        self._c.execute(
            text(
                "UPDATE logged_model SET status = :status, model_type = :model_type, lifecycle = :lifecycle, "
                "params = :params, tags = :tags, updated = :updated WHERE id = :id"
            ),
            _values(model),
        )

    def get(self, model_id: str) -> LoggedModel:
        row = self._c.execute(text(f"SELECT {_COLUMNS} FROM logged_model WHERE id = :id"), {"id": model_id}).first()
        if row is None:
            raise LoggedModelNotFound(f"logged model with id {model_id[:80]!r} is not found")
        return self._with_metrics([row])[0]

    def of_experiments(self, experiment_ids: Sequence[str]) -> list[LoggedModel]:
        keys = [key for key in map(as_key, experiment_ids) if key is not None]
        rows = self._c.execute(_OF_EXPERIMENTS, {"experiments": keys, "deleted": DELETED}).all()
        return self._with_metrics(rows)

    def add_metrics(self, metrics: Sequence[ModelMetric]) -> None:
        if metrics:
            self._c.execute(
                text(
                    "INSERT INTO logged_model_metric (model_id, run_id, name, step, timestamp_ms, value, nan, "
                    "dataset_name, dataset_digest) VALUES (:model_id, :run_id, :name, :step, :timestamp_ms, :value, "
                    ":nan, :dataset_name, :dataset_digest) ON CONFLICT DO NOTHING"
                ),
                [_metric_values(metric) for metric in metrics],
            )

    def _with_metrics(self, rows: Sequence[Any]) -> list[LoggedModel]:
        found: dict[str, list[ModelMetric]] = {row[0]: [] for row in rows}
        for ids in chunks(list(found)):
            for row in self._c.execute(_METRICS, {"ids": ids}):
                metric = Metric(row[2], math.nan if row[6] else row[3], row[4], row[5])
                found[row[0]].append(ModelMetric(row[0], row[1], metric, row[7], row[8]))
        return [_model(row, tuple(found[row[0]])) for row in rows]


class SqlRegistryUpkeep:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def rename_model(self, name: str, new_name: str, at: datetime) -> None:
        if SqlRegistry(self._c).models(new_name):
            raise AlreadyExists(f"Registered Model (name={new_name}) already exists")
        values = {"name": name, "new": new_name, "at": micros(at)}
        self._c.execute(text("UPDATE registered_model SET name = :new, updated = :at WHERE name = :name"), values)
        for history in ("alias_change", "stage_change"):
            self._c.execute(text(f"UPDATE {history} SET model = :new WHERE model = :name"), values)

    def remove_model(self, name: str) -> None:
        self._c.execute(text("DELETE FROM registered_model WHERE name = :name"), {"name": name})

    def remove_version(self, model: str, version: int) -> None:
        """The row stays, hidden, so that max(version) + 1 never gives its number to another model."""
        self._c.execute(
            text("UPDATE model_version SET status = 'DELETED' WHERE model = :model AND version = :version"),
            {"model": model, "version": version},
        )

    def all_versions(self) -> list[ModelVersion]:
        return SqlRegistry(self._c).versions_of_all()


def _values(model: LoggedModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "experiment": int(model.experiment_id),
        "name": model.name,
        "artifact_uri": model.artifact_uri,
        "created": micros(model.created),
        "updated": micros(model.updated),
        "status": model.status,
        "model_type": model.model_type,
        "source_run_id": model.source_run_id,
        "lifecycle": model.lifecycle,
        "params": document(model.params),
        "tags": document(model.tags),
    }


def _metric_values(measured: ModelMetric) -> dict[str, Any]:
    metric = measured.metric
    nan = math.isnan(metric.value)
    return {
        "model_id": measured.model_id,
        "run_id": measured.run_id,
        "name": metric.key,
        "step": metric.step,
        "timestamp_ms": metric.timestamp_ms,
        "value": 0.0 if nan else metric.value,
        "nan": int(nan),
        "dataset_name": measured.dataset_name,
        "dataset_digest": measured.dataset_digest,
    }


def _model(row: Any, metrics: tuple[ModelMetric, ...]) -> LoggedModel:
    return LoggedModel(
        id=row[0],
        experiment_id=str(row[1]),
        name=row[2],
        artifact_uri=row[3],
        created=at(row[4]),
        updated=at(row[5]),
        status=row[6],
        model_type=row[7],
        source_run_id=row[8],
        lifecycle=row[9],
        params=from_json(row[10]),
        tags=from_json(row[11]),
        metrics=metrics,
    )
