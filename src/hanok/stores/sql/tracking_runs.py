"""Runs with params and tags, and what they are linked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.clock import micros
from hanok.core.errors import RunNotFound
from hanok.core.tracking import CONTEXT_TAG, Dataset, DatasetInput, ModelOutput, Run, RunQuery
from hanok.stores.sql.rows import at, document, from_json, instant, moment
from hanok.stores.sql.tracking_metrics import SqlMetrics, active_run_key, chunks
from hanok.stores.sql.tracking_search import search_statement

_COLUMNS = (
    "run.key, run.id, run.experiment, run.name, run.status, run.lifecycle, run.user_name, run.started, run.ended, "
    "run.artifact_uri"
)
_PAIRS = "SELECT r.id, p.key, p.value FROM run r JOIN {table} p ON p.run = r.key WHERE r.id IN :ids ORDER BY p.key"
_DATASETS = (
    "SELECT r.id, d.id, d.name, d.digest, d.source_type, d.source, d.schema, d.profile, i.tags "
    "FROM run r JOIN run_dataset i ON i.run = r.key JOIN dataset d ON d.id = i.dataset WHERE r.id IN :ids"
)
_MODELS = (
    "SELECT r.id, m.direction, m.model_id, m.step FROM run r JOIN run_model m ON m.run = r.key WHERE r.id IN :ids "
    "ORDER BY m.step, m.model_id"
)
READ, WROTE = "read", "wrote"


class SqlRuns:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, run: Run) -> None:
        made = self._c.execute(
            text(
                "INSERT INTO run (id, experiment, name, status, lifecycle, user_name, started, ended, artifact_uri) "
                "VALUES (:id, :experiment, :name, :status, :lifecycle, :user, :started, :ended, :artifact_uri) "
                "ON CONFLICT (id) DO NOTHING"
            ),
            _values(run) | {"experiment": int(run.experiment_id), "artifact_uri": run.artifact_uri},
        )
        if made.rowcount:  # a repetition leaves tags as they are by now
            self.set_tags(run.id, run.tags)

    def put(self, run: Run) -> None:
        self._c.execute(
            text(
                "UPDATE run SET name = :name, status = :status, lifecycle = :lifecycle, user_name = :user, "
                "started = :started, ended = :ended WHERE id = :id"
            ),
            _values(run),
        )

    def get(self, run_id: str) -> Run:
        rows = self._c.execute(text(f"SELECT {_COLUMNS} FROM run WHERE id = :id"), {"id": run_id}).all()
        if not rows:
            raise RunNotFound(f"there is no run with id {run_id[:80]!r}; list them: hanok run list", run=run_id)
        return self._filled(rows)[0]

    def search(self, query: RunQuery) -> list[Run]:
        statement, values = search_statement(_COLUMNS, query, self._c.dialect.name)
        return self._filled(self._c.execute(text(statement), values).all())

    def add_params(self, run_id: str, params: Mapping[str, str]) -> dict[str, str]:
        run = active_run_key(self._c, run_id)
        if not params:
            return {}
        self._c.execute(
            text(
                "INSERT INTO run_param (run, key, value) VALUES (:run, :key, :value) ON CONFLICT (run, key) DO NOTHING"
            ),
            [{"run": run, "key": key, "value": value} for key, value in params.items()],
        )
        held: dict[str, str] = {}
        query = text("SELECT key, value FROM run_param WHERE run = :run AND key IN :keys").bindparams(
            bindparam("keys", expanding=True)
        )
        for keys in chunks(list(params)):
            held.update((row[0], row[1]) for row in self._c.execute(query, {"run": run, "keys": keys}))
        return held

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        run = active_run_key(self._c, run_id)
        if tags:
            self._c.execute(
                text(
                    "INSERT INTO run_tag (run, key, value) VALUES (:run, :key, :value) "
                    "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value"
                ),
                [{"run": run, "key": key, "value": value} for key, value in tags.items()],
            )

    def delete_tag(self, run_id: str, key: str) -> bool:
        values = {"run": active_run_key(self._c, run_id), "key": key}
        return self._c.execute(text("DELETE FROM run_tag WHERE run = :run AND key = :key"), values).rowcount > 0

    def _filled(self, rows: Sequence[Any]) -> list[Run]:
        """Runs with all that they logged, in one query for each kind of thing."""
        ids = [row[1] for row in rows]
        metrics = SqlMetrics(self._c).latest(ids)
        params, tags = self._pairs("run_param", ids), self._pairs("run_tag", ids)
        datasets: dict[str, list[DatasetInput]] = {}
        for row in self._linked(_DATASETS, ids):
            datasets.setdefault(row[0], []).append(DatasetInput(Dataset(*row[1:8]), from_json(row[8])))
        models: dict[tuple[str, str], list[ModelOutput]] = {}
        for run_id, direction, model_id, step in self._linked(_MODELS, ids):
            models.setdefault((run_id, direction), []).append(ModelOutput(model_id, step))
        return [
            Run(
                id=row[1],
                experiment_id=str(row[2]),
                name=row[3],
                status=row[4],
                lifecycle=row[5],
                user=row[6],
                started=at(row[7]),
                ended=moment(row[8]),
                artifact_uri=row[9],
                metrics=metrics[row[1]],
                params=params.get(row[1], {}),
                tags=tags.get(row[1], {}),
                datasets=tuple(datasets.get(row[1], ())),
                models_read=tuple(m.model_id for m in models.get((row[1], READ), ())),
                models_written=tuple(models.get((row[1], WROTE), ())),
            )
            for row in rows
        ]

    def _pairs(self, table: str, ids: Sequence[str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for run_id, key, value in self._linked(_PAIRS.format(table=table), ids):
            found.setdefault(run_id, {})[key] = value
        return found

    def _linked(self, statement: str, ids: Sequence[str]) -> list[Any]:
        query = text(statement).bindparams(bindparam("ids", expanding=True))
        return [row for piece in chunks(ids) for row in self._c.execute(query, {"ids": piece})]


class SqlRunLinks:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add_datasets(self, run_id: str, inputs: Sequence[DatasetInput]) -> None:
        run = active_run_key(self._c, run_id)
        for used in inputs:
            data = used.dataset
            self._c.execute(
                text(
                    "INSERT INTO dataset (id, name, digest, source_type, source, schema, profile) VALUES "
                    "(:id, :name, :digest, :source_type, :source, :schema, :profile) ON CONFLICT (id) DO NOTHING"
                ),
                {
                    "id": data.id,
                    "name": data.name,
                    "digest": data.digest,
                    "source_type": data.source_type,
                    "source": data.source,
                    "schema": data.schema,
                    "profile": data.profile,
                },
            )
            self._c.execute(
                text(
                    "INSERT INTO run_dataset (run, dataset, context, tags) VALUES (:run, :dataset, :context, :tags) "
                    "ON CONFLICT (run, dataset) DO NOTHING"
                ),
                {
                    "run": run,
                    "dataset": data.id,
                    "context": used.tags.get(CONTEXT_TAG, ""),
                    "tags": document(used.tags),
                },
            )

    def datasets_of(self, experiment_ids: Sequence[str], *, limit: int) -> list[tuple[str, str, str, str]]:
        query = text(
            "SELECT DISTINCT r.experiment, d.name, d.digest, i.context FROM run r "
            "JOIN run_dataset i ON i.run = r.key JOIN dataset d ON d.id = i.dataset "
            "WHERE r.experiment IN :ids AND r.lifecycle = 'active' ORDER BY 1, 2, 3, 4 LIMIT :limit"
        ).bindparams(bindparam("ids", expanding=True))
        found = self._c.execute(query, {"ids": [int(i) for i in experiment_ids if i.isdecimal()], "limit": limit})
        return [(str(row[0]), row[1], row[2], row[3]) for row in found]

    def add_models_read(self, run_id: str, model_ids: Sequence[str]) -> None:
        self._add_models(run_id, READ, [ModelOutput(model_id) for model_id in model_ids])

    def add_models_written(self, run_id: str, outputs: Sequence[ModelOutput]) -> None:
        self._add_models(run_id, WROTE, outputs)

    def _add_models(self, run_id: str, direction: str, links: Sequence[ModelOutput]) -> None:
        run = active_run_key(self._c, run_id)
        if links:
            self._c.execute(
                text(
                    "INSERT INTO run_model (run, direction, model_id, step) "
                    "VALUES (:run, :direction, :model_id, :step) "
                    "ON CONFLICT DO NOTHING"
                ),
                [{"run": run, "direction": direction, "model_id": m.model_id, "step": m.step} for m in links],
            )


def _values(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "lifecycle": run.lifecycle,
        "user": run.user,
        "started": micros(run.started),
        "ended": instant(run.ended),
    }
