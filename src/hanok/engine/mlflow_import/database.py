"""An MLflow store in an SQLite file, read only."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hanok.core.errors import BadData, NotFound
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.tracking import (
    LOGGED_MODEL_STATUSES,
    Dataset,
    DatasetInput,
    Experiment,
    LoggedModel,
    Metric,
    ModelMetric,
    Run,
    dataset_id,
)
from hanok.engine.mlflow_import.sources import Opener, local_files
from hanok.wire.mlflow.answers import instant, lifecycle

_STATUS = {1: LOGGED_MODEL_STATUSES[0], 2: LOGGED_MODEL_STATUSES[1], 3: LOGGED_MODEL_STATUSES[2]}
_DATASETS = (
    "SELECT d.name, d.digest, d.dataset_source_type, d.dataset_source, d.dataset_schema, d.dataset_profile, "
    "i.input_uuid FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id "
    "WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id = ?"
)


class SqliteSource:
    """`artifacts` is the folder that its server kept artifacts in, by default mlartifacts beside the file."""

    def __init__(self, file: Path, artifacts: Path | None = None) -> None:
        if not file.is_file():
            raise NotFound(f"there is no file {file}")
        self._base = file.resolve().parent
        beside = self._base / "mlartifacts"
        self._proxied = artifacts or (beside if beside.is_dir() else None)
        self._c = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self._c.row_factory = sqlite3.Row
        try:
            self._tables = {row[0] for row in self._c.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError as error:
            raise BadData(f"{file} is no SQLite file: {error}") from None
        if not {"experiments", "runs", "metrics"} <= self._tables:
            raise BadData(f"{file} is no store of MLflow: it has no table of runs")

    def experiments(self) -> Iterator[Experiment]:
        for row in self._c.execute("SELECT * FROM experiments ORDER BY experiment_id").fetchall():
            body = _present(row)
            yield Experiment(
                id=str(body["experiment_id"]),
                name=body["name"],
                location=body.get("artifact_location", ""),
                created=instant(body.get("creation_time")),
                updated=instant(body.get("last_update_time")),
                lifecycle=lifecycle(body.get("lifecycle_stage", "")),
                tags=self._pairs("experiment_tags", "experiment_id", body["experiment_id"]),
            )

    def runs(self, experiment_id: str) -> Iterator[Run]:
        rows = self._c.execute(
            "SELECT * FROM runs WHERE experiment_id = ? ORDER BY start_time, run_uuid", (experiment_id,)
        )
        for row in rows.fetchall():
            body = _present(row)
            run_id = body["run_uuid"]
            latest = self._c.execute("SELECT * FROM latest_metrics WHERE run_uuid = ? ORDER BY key", (run_id,))
            tags = self._pairs("tags", "run_uuid", run_id)
            yield Run(
                id=run_id,
                experiment_id=experiment_id,
                name=tags.get("mlflow.runName") or body.get("name", ""),
                started=instant(body.get("start_time")),
                ended=instant(body["end_time"]) if body.get("end_time") else None,
                artifact_uri=body.get("artifact_uri", ""),
                status=body.get("status", "FINISHED"),
                user=body.get("user_id", ""),
                lifecycle=lifecycle(body.get("lifecycle_stage", "")),
                metrics=tuple(_metric(m) for m in latest),
                params=self._pairs("params", "run_uuid", run_id),
                tags=tags,
                datasets=tuple(self._datasets(run_id)),
            )

    def history(self, run_id: str, key: str) -> Iterator[Metric]:
        query = "SELECT * FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step, timestamp, value"
        for row in self._c.execute(query, (run_id, key)):
            yield _metric(row)

    def logged_models(self, experiment_id: str) -> Iterator[LoggedModel]:
        if "logged_models" not in self._tables:
            return
        rows = self._c.execute(
            "SELECT * FROM logged_models WHERE experiment_id = ? ORDER BY model_id", (experiment_id,)
        )
        for row in rows.fetchall():
            body = _present(row)
            model_id = body["model_id"]
            found = self._c.execute("SELECT * FROM logged_model_metrics WHERE model_id = ?", (model_id,)).fetchall()
            yield LoggedModel(
                id=model_id,
                experiment_id=experiment_id,
                name=body.get("name", ""),
                artifact_uri=body.get("artifact_location", ""),
                created=instant(body.get("creation_timestamp_ms")),
                updated=instant(body.get("last_updated_timestamp_ms")),
                status=_STATUS.get(body.get("status", 2), "READY"),
                model_type=body.get("model_type", ""),
                source_run_id=body.get("source_run_id", ""),
                lifecycle=lifecycle(body.get("lifecycle_stage", "")),
                params=self._pairs("logged_model_params", "model_id", model_id, "param_key", "param_value"),
                tags=self._pairs("logged_model_tags", "model_id", model_id, "tag_key", "tag_value"),
                metrics=tuple(_model_metric(_present(m)) for m in found),
            )

    def registered(self) -> Iterator[tuple[RegisteredModel, list[ModelVersion]]]:
        for row in self._c.execute("SELECT * FROM registered_models ORDER BY name").fetchall():
            body = _present(row)
            name = body["name"]
            versions = self._c.execute(
                "SELECT * FROM model_versions WHERE name = ? ORDER BY version", (name,)
            ).fetchall()
            model = RegisteredModel(
                name=name,
                created=instant(body.get("creation_time")),
                updated=instant(body.get("last_updated_time")),
                description=body.get("description", ""),
                tags=self._pairs("registered_model_tags", "name", name),
                aliases={
                    alias: int(number)
                    for alias, number in self._pairs(
                        "registered_model_aliases", "name", name, "alias", "version"
                    ).items()
                },
            )
            found = [self._version(_present(v)) for v in versions]
            yield model, [version for version in found if version.stage != "Deleted_Internal"]

    def files(self, owner: Run | LoggedModel) -> Iterator[tuple[str, Opener]]:
        return local_files(owner.artifact_uri, self._base, self._proxied)

    def _version(self, body: Mapping[str, Any]) -> ModelVersion:
        query = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"
        source = body.get("source", "")
        logged = source.removeprefix("models:/") if source.startswith("models:/m-") else ""
        return ModelVersion(
            id="",
            model=body["name"],
            version=int(body["version"]),
            created=instant(body.get("creation_time")),
            updated=instant(body.get("last_updated_time")),
            run_id=body.get("run_id", ""),
            source=source,
            description=body.get("description", ""),
            status=body.get("status", "READY"),
            stage=body.get("current_stage", "None"),
            tags={row[0]: row[1] or "" for row in self._c.execute(query, (body["name"], body["version"]))},
            facts={
                "user": body.get("user_id", ""),
                "run_link": body.get("run_link", ""),
                **({"logged_model_id": logged} if logged else {}),
            },
        )

    def _datasets(self, run_id: str) -> Iterator[DatasetInput]:
        if "inputs" not in self._tables:
            return
        for row in self._c.execute(_DATASETS, (run_id,)).fetchall():
            name, digest, kind, source, schema, profile, used = (value or "" for value in row)
            made = Dataset(dataset_id(name, digest, source), name, digest, kind, source, schema, profile)
            yield DatasetInput(made, self._pairs("input_tags", "input_uuid", used, "name", "value"))

    def _pairs(self, table: str, column: str, value: Any, key: str = "key", held: str = "value") -> dict[str, str]:
        if table not in self._tables:
            return {}
        rows = self._c.execute(f"SELECT {key}, {held} FROM {table} WHERE {column} = ? ORDER BY {key}", (value,))
        return {row[0]: "" if row[1] is None else str(row[1]) for row in rows}


def _present(row: sqlite3.Row) -> dict[str, Any]:
    return {key: row[key] for key in row.keys() if row[key] is not None}  # noqa: SIM118 (a Row's own keys)


def _metric(row: sqlite3.Row) -> Metric:
    value = math.nan if row["is_nan"] else row["value"]
    return Metric(row["key"], value, row["timestamp"] or 0, row["step"] or 0)


def _model_metric(body: Mapping[str, Any]) -> ModelMetric:
    metric = Metric(
        body["metric_name"], body.get("metric_value", math.nan), body["metric_timestamp_ms"], body.get("metric_step", 0)
    )
    return ModelMetric(
        body["model_id"], body.get("run_id", ""), metric, body.get("dataset_name", ""), body.get("dataset_digest", "")
    )
