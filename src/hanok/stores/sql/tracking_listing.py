"""Pages of runs with all that they logged, as rows: thousands of values pass here between SQL and the encoder.

Driver SQL, one statement for each kind of thing however many runs; the database writes params and tags as JSON itself
(text is exact there; numbers are not, so metrics come as numbers).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, text

from hanok.core.tracking import Dataset, DatasetInput, Metric, ModelOutput, PointRow, RunListing, RunQuery, RunRow
from hanok.stores.sql.rows import driver, from_json
from hanok.stores.sql.tracking_metrics import history_rows
from hanok.stores.sql.tracking_search import search_statement

_RUNS = (
    "SELECT key, id, experiment, name, status, lifecycle, user_name, started, ended, artifact_uri FROM run "
    "WHERE key {among}"
)
# The keys of all runs are one value, so that the text of a statement stays the same and is prepared once.
_AMONG = {"sqlite": "IN (SELECT value FROM json_each(?))", "postgresql": "= ANY(%s)"}
_PAIRS = {
    "sqlite": "json_group_array(json_object('key', key, 'value', value))",
    "postgresql": "json_agg(json_build_object('key', key, 'value', value) ORDER BY key)::text",
}
# index: the primary keys (run, key) of metric_latest, run_param, run_tag; (run, ...) of run_dataset and run_model
_METRICS = (
    "SELECT run, key, CASE WHEN nan = 1 THEN NULL ELSE value END, timestamp_ms, step FROM metric_latest "
    "WHERE run {among}"
)
_NAMES = "SELECT key, name FROM metric_key WHERE key {among}"  # few, however many runs: looked up once, not joined
_DATASETS = (
    "SELECT i.run, i.tags, d.id, d.name, d.digest, d.source_type, d.source, d.schema, d.profile "
    "FROM run_dataset i JOIN dataset d ON d.id = i.dataset WHERE i.run {among}"
)
_MODELS = "SELECT run, model_id, step FROM run_model WHERE run {among} AND direction = '{direction}' ORDER BY step"


class SqlRunListings:
    def __init__(self, connection: Connection) -> None:
        self._c = connection
        self._dialect = connection.dialect.name

    def page(self, query: RunQuery) -> RunListing:
        inner, values = search_statement("run.key", query, self._dialect)
        keys = [row[0] for row in self._c.execute(text(inner), values)]
        if not keys:
            return RunListing()
        rows = {row[0]: RunRow._make(row) for row in self._of(_RUNS, keys)}
        datasets: dict[int, list[DatasetInput]] = {}
        for row in self._of(_DATASETS, keys):
            datasets.setdefault(row[0], []).append(DatasetInput(Dataset(*row[2:]), from_json(row[1])))
        return RunListing(
            rows=tuple(rows[key] for key in keys),
            metrics=self._metrics(keys),
            params=self._pairs("run_param", keys),
            tags=self._pairs("run_tag", keys),
            datasets=datasets,
            models_read=self._models("read", keys),
            models_written=self._models("wrote", keys),
        )

    def history(self, run_id: str, key: str, *, after: Metric | None, limit: int | None) -> Sequence[PointRow]:
        return history_rows(self._c, run_id, key, after=after, limit=limit)

    def _metrics(self, keys: Sequence[int]) -> dict[int, list[tuple[str, float, int, int]]]:
        found: dict[int, list[tuple[str, float, int, int]]] = {key: [] for key in keys}
        rows = self._of(_METRICS, keys)
        names = dict(self._of(_NAMES, list({row[1] for row in rows})))
        for run, key, value, timestamp_ms, step in rows:
            found[run].append((names[key], math.nan if value is None else value, timestamp_ms, step))
        return found

    def _pairs(self, table: str, keys: Sequence[int]) -> dict[int, str]:
        query = f"SELECT run, {_PAIRS[self._dialect]} FROM {table} WHERE run {{among}} GROUP BY run"
        return dict(self._of(query, keys))

    def _models(self, direction: str, keys: Sequence[int]) -> dict[int, list[ModelOutput]]:
        found: dict[int, list[ModelOutput]] = {}
        for run, model_id, step in self._of(_MODELS.replace("{direction}", direction), keys):
            found.setdefault(run, []).append(ModelOutput(model_id, step))
        return found

    def _of(self, statement: str, keys: Sequence[int]) -> list[Any]:
        among: Any = list(keys) if self._dialect == "postgresql" else orjson.dumps(keys).decode()
        cursor = driver(self._c).execute(statement.format(among=_AMONG[self._dialect]), (among,))
        found: list[Any] = cursor.fetchall()
        return found
