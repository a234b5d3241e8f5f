"""Removing runs, logged models and experiments for good, and moving runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.clock import micros
from hanok.core.tracking import DELETED, artifact_path
from hanok.stores.sql.tracking_artifacts import SqlArtifacts
from hanok.stores.sql.tracking_experiments import as_key
from hanok.stores.sql.tracking_metrics import chunks

_OF_EXPERIMENT = ("evaluation_experiment", "scorer_version", "online_scoring")
_OF_RUN = ("metric_latest", "run_param", "run_tag", "run_dataset", "run_model")


class SqlTrackingUpkeep:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def deleted_runs(self, before: datetime) -> list[str]:
        rows = self._c.execute(
            text(
                "SELECT r.id FROM run r LEFT JOIN node n ON n.id = r.id WHERE r.lifecycle = :deleted "
                "AND coalesce(n.deleted, r.ended, r.started) <= :before ORDER BY r.key"
            ),
            {"deleted": DELETED, "before": micros(before)},
        )
        return [row[0] for row in rows]

    def deleted_models(self, before: datetime) -> list[str]:
        rows = self._c.execute(
            text("SELECT id FROM logged_model WHERE lifecycle = :deleted AND updated <= :before ORDER BY id"),
            {"deleted": DELETED, "before": micros(before)},
        )
        return [row[0] for row in rows]

    def contents(self, experiment_id: str) -> tuple[list[str], list[str]]:
        values = {"key": as_key(experiment_id)}
        runs, models = (
            [row[0] for row in self._c.execute(text(f"SELECT id FROM {table} WHERE experiment = :key"), values)]
            for table in ("run", "logged_model")
        )
        return runs, models

    def purge_runs(self, run_ids: Sequence[str]) -> dict[str, int]:
        removed = {"metric_points": 0, "artifacts": 0, "bytes": 0}
        for ids in chunks(run_ids):
            rows = self._c.execute(_in("SELECT key, artifact_uri FROM run WHERE id IN :ids"), {"ids": ids}).all()
            keys = [row[0] for row in rows]
            points = self._c.execute(_in("DELETE FROM metric_point WHERE run IN :ids"), {"ids": keys})
            removed["metric_points"] += points.rowcount
            for table in _OF_RUN:
                self._c.execute(_in(f"DELETE FROM {table} WHERE run IN :ids"), {"ids": keys})
            for table in ("logged_model_metric", "trace_run"):
                self._c.execute(_in(f"DELETE FROM {table} WHERE run_id IN :ids"), {"ids": ids})
            self._c.execute(_in("DELETE FROM record WHERE kind = 'run-writer' AND name IN :ids"), {"ids": ids})
            self._c.execute(_in("DELETE FROM run WHERE key IN :ids"), {"ids": keys})
            for row in rows:
                self._drop_artifacts(row[1], removed)
        return removed

    def purge_models(self, model_ids: Sequence[str]) -> dict[str, int]:
        removed = {"artifacts": 0, "bytes": 0}
        for ids in chunks(model_ids):
            found = self._c.execute(_in("SELECT artifact_uri FROM logged_model WHERE id IN :ids"), {"ids": ids}).all()
            self._c.execute(_in("DELETE FROM logged_model_metric WHERE model_id IN :ids"), {"ids": ids})
            self._c.execute(_in("DELETE FROM run_model WHERE model_id IN :ids"), {"ids": ids})
            self._c.execute(_in("DELETE FROM logged_model WHERE id IN :ids"), {"ids": ids})
            for row in found:
                self._drop_artifacts(row[0], removed)
        return removed

    def purge_experiment(self, experiment_id: str) -> dict[str, int]:
        removed = {"artifacts": 0, "bytes": 0}
        values: dict[str, Any] = {"key": as_key(experiment_id)}
        location = self._c.execute(text("SELECT location FROM experiment WHERE key = :key"), values).scalar_one()
        for table in _OF_EXPERIMENT:
            self._c.execute(text(f"DELETE FROM {table} WHERE experiment = :key"), values)
        self._c.execute(text("DELETE FROM experiment WHERE key = :key"), values)
        values = {"below": f"{location}/", "beyond": f"{location}0"}  # "0" is the character after "/"
        lived_in = any(
            self._c.execute(
                text(f"SELECT 1 FROM {table} WHERE artifact_uri >= :below AND artifact_uri < :beyond LIMIT 1"), values
            ).first()
            for table in ("run", "logged_model")
        )
        if not lived_in:  # a run that moved away keeps its artifacts here
            self._drop_artifacts(location, removed)
        return removed

    def move_runs(self, run_ids: Sequence[str], experiment_id: str) -> None:
        for ids in chunks(run_ids):
            values = {"ids": ids, "experiment": as_key(experiment_id)}
            self._c.execute(_in("UPDATE run SET experiment = :experiment WHERE id IN :ids"), values)
            self._c.execute(_in("UPDATE logged_model SET experiment = :experiment WHERE source_run_id IN :ids"), values)

    def _drop_artifacts(self, uri: str, removed: dict[str, int]) -> None:
        path = artifact_path(uri)
        if not path:
            return
        values = {"path": path, "below": f"{path}/", "beyond": f"{path}0"}
        size = self._c.execute(
            text(
                "SELECT coalesce(sum(size_bytes), 0) FROM artifact "
                "WHERE folder = :path OR (folder >= :below AND folder < :beyond)"
            ),
            values,
        ).scalar_one()
        removed["bytes"] += int(size)
        removed["artifacts"] += SqlArtifacts(self._c).delete(path)


def _in(statement: str) -> Any:
    return text(statement).bindparams(bindparam("ids", expanding=True))
