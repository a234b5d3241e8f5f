"""Traces, and the runs and prompts they are linked to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.errors import TraceNotFound
from hanok.core.traces import COST, USAGE, Assessment, Trace, TraceQuery, numbers
from hanok.stores.sql.conditions import Bound
from hanok.stores.sql.traces_judged import assessments_of
from hanok.stores.sql.traces_search import matching, statement
from hanok.stores.sql.tracking_experiments import as_key
from hanok.stores.sql.tracking_metrics import chunks

_COLUMNS = (
    "trace.key, trace.id, trace.experiment, trace.started_ms, trace.duration_ms, trace.state, trace.client_request_id, "
    "trace.request_preview, trace.response_preview"
)
_PUT = text(
    "INSERT INTO trace (id, experiment, started_ms, duration_ms, state, client_request_id, request_preview, "
    "response_preview) VALUES (:id, :experiment, :started_ms, :duration_ms, :state, :client_request_id, "
    ":request_preview, :response_preview) ON CONFLICT (id) DO UPDATE SET started_ms = excluded.started_ms, "
    "duration_ms = excluded.duration_ms, state = excluded.state, client_request_id = excluded.client_request_id, "
    "request_preview = excluded.request_preview, response_preview = excluded.response_preview RETURNING key"
)
_BY_KEY = ("trace_tag", "trace_metadata", "trace_prompt", "span", "span_number", "trace_number", "assessment")


def trace_key(connection: Connection, trace_id: str) -> int:
    """The integer inside. Raises TraceNotFound."""
    key = connection.execute(text("SELECT key FROM trace WHERE id = :id"), {"id": trace_id}).scalar()
    if key is None:
        raise TraceNotFound(f"Trace with ID '{trace_id[:80]}' is not found")
    return int(key)


class SqlTraces:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, trace: Trace) -> None:
        values = {name: getattr(trace, name) for name in ("id", "started_ms", "duration_ms", "state")}
        values |= {n: getattr(trace, n) for n in ("client_request_id", "request_preview", "response_preview")}
        key = self._c.execute(_PUT, values | {"experiment": int(trace.experiment_id)}).scalar_one()
        self._put_pairs("trace_tag", key, trace.tags)
        self._put_pairs("trace_metadata", key, trace.metadata)
        told = numbers(trace.metadata, USAGE, COST)
        if told:
            self._c.execute(
                text(
                    "INSERT INTO trace_number (trace, name, value) VALUES (:trace, :name, :value) "
                    "ON CONFLICT (trace, name) DO UPDATE SET value = excluded.value"
                ),
                [{"trace": key, "name": name, "value": value} for name, value in told.items()],
            )

    def of(self, trace_ids: Sequence[str]) -> list[Trace]:
        query = text(f"SELECT {_COLUMNS} FROM trace WHERE id IN :ids").bindparams(bindparam("ids", expanding=True))
        rows = [row for ids in chunks(list(trace_ids)) for row in self._c.execute(query, {"ids": ids})]
        found = {trace.id: trace for trace in self._filled(rows)}
        return [found[trace_id] for trace_id in dict.fromkeys(trace_ids) if trace_id in found]

    def search(self, query: TraceQuery) -> list[Trace]:
        sql, values = statement(_COLUMNS, query, self._c.dialect.name)
        return self._filled(self._c.execute(text(sql), values).all())

    def count(self, query: TraceQuery) -> int:
        bound = Bound(self._c.dialect.name)
        sql = f"SELECT COUNT(*) {matching(query, bound)}"
        return int(self._c.execute(text(sql), bound.values).scalar_one())

    def oldest(self, experiment_id: str, *, until_ms: int, limit: int | None = None) -> list[str]:
        # index: trace_experiment_started
        sql = "SELECT id FROM trace WHERE experiment = :experiment AND started_ms <= :until ORDER BY started_ms, key"
        values = {"experiment": as_key(experiment_id), "until": until_ms}
        if limit is not None:
            sql, values = f"{sql} LIMIT :limit", values | {"limit": limit}
        return [row[0] for row in self._c.execute(text(sql), values)]

    def delete(self, experiment_id: str, trace_ids: Sequence[str]) -> list[str]:
        query = text("SELECT key, id FROM trace WHERE experiment = :experiment AND id IN :ids").bindparams(
            bindparam("ids", expanding=True)
        )
        gone: list[str] = []
        for ids in chunks(list(dict.fromkeys(trace_ids))):
            rows = self._c.execute(query, {"experiment": as_key(experiment_id), "ids": ids}).all()
            if not rows:
                continue
            for table in _BY_KEY:
                self._remove(table, "trace", [row[0] for row in rows])
            self._remove("trace_run", "trace_id", [row[1] for row in rows])
            self._remove("trace", "key", [row[0] for row in rows])
            gone += [row[1] for row in rows]
        return gone

    def delete_tag(self, trace_id: str, key: str) -> bool:
        values = {"trace": trace_key(self._c, trace_id), "key": key}
        return self._c.execute(text("DELETE FROM trace_tag WHERE trace = :trace AND key = :key"), values).rowcount > 0

    def _remove(self, table: str, column: str, values: list[Any]) -> None:
        remove = text(f"DELETE FROM {table} WHERE {column} IN :values").bindparams(bindparam("values", expanding=True))
        self._c.execute(remove, {"values": values})

    def _put_pairs(self, table: str, trace: int, pairs: Mapping[str, str]) -> None:
        if pairs:
            self._c.execute(
                text(
                    f"INSERT INTO {table} (trace, key, value) VALUES (:trace, :key, :value) "
                    "ON CONFLICT (trace, key) DO UPDATE SET value = excluded.value"
                ),
                [{"trace": trace, "key": key, "value": value} for key, value in pairs.items()],
            )

    def _filled(self, rows: Sequence[Any]) -> list[Trace]:
        """Traces with all that belongs to them, in one query for each kind of thing."""
        keys = [row[0] for row in rows]
        tags, metadata = self._pairs("trace_tag", keys), self._pairs("trace_metadata", keys)
        judged: dict[int, list[Assessment]] = {}
        for some in _chunked(keys):
            for key, assessment in assessments_of(self._c, some):
                judged.setdefault(key, []).append(assessment)
        return [
            Trace(
                id=row[1],
                experiment_id=str(row[2]),
                started_ms=row[3],
                duration_ms=row[4],
                state=row[5],
                client_request_id=row[6],
                request_preview=row[7],
                response_preview=row[8],
                metadata=metadata.get(row[0], {}),
                tags=tags.get(row[0], {}),
                assessments=tuple(judged.get(row[0], ())),
            )
            for row in rows
        ]

    def _pairs(self, table: str, keys: Sequence[int]) -> dict[int, dict[str, str]]:
        query = text(f"SELECT trace, key, value FROM {table} WHERE trace IN :keys ORDER BY trace, key").bindparams(
            bindparam("keys", expanding=True)
        )
        found: dict[int, dict[str, str]] = {}
        for some in _chunked(keys):
            for trace, key, value in self._c.execute(query, {"keys": some}):
                found.setdefault(trace, {})[key] = value
        return found


class SqlTraceLinks:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def to_run(self, trace_ids: Sequence[str], run_id: str) -> None:
        if trace_ids:
            self._c.execute(
                text("INSERT INTO trace_run (run_id, trace_id) VALUES (:run, :trace) ON CONFLICT DO NOTHING"),
                [{"run": run_id, "trace": trace_id} for trace_id in trace_ids],
            )

    def runs_of(self, trace_id: str) -> list[str]:
        rows = self._c.execute(
            text("SELECT run_id FROM trace_run WHERE trace_id = :trace ORDER BY run_id"), {"trace": trace_id}
        )
        return [row[0] for row in rows]

    def to_prompts(self, trace_id: str, prompts: Sequence[tuple[str, str]]) -> None:
        key = trace_key(self._c, trace_id)
        for name, version in prompts:
            self._c.execute(
                text(
                    "INSERT INTO trace_prompt (name, version, trace) VALUES (:name, :version, :trace) "
                    "ON CONFLICT DO NOTHING"
                ),
                {"name": name, "version": version, "trace": key},
            )


def _chunked(keys: Sequence[int]) -> Iterable[list[int]]:
    for start in range(0, len(keys), 500):
        yield list(keys[start : start + 500])
