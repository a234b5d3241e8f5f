"""Spans of traces. What is searched stands in columns, all else in one JSON document a span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.traces import Span, SpanEvent, numbers
from hanok.stores.sql.rows import from_json, to_json
from hanok.stores.sql.traces import trace_key
from hanok.stores.sql.tracking_metrics import chunks

TOLD_OF = ("mlflow.chat.tokenUsage", "mlflow.llm.cost")
_MODEL, _PROVIDER = "mlflow.llm.model", "mlflow.llm.provider"
# index: primary key of span
_OF = text(
    "SELECT t.id, s.id, s.parent_id, s.name, s.kind, s.status, s.started_ns, s.ended_ns, s.content "
    "FROM trace t JOIN span s ON s.trace = t.key WHERE t.id IN :ids "
    "ORDER BY CASE WHEN s.parent_id = '' THEN 0 ELSE 1 END, s.started_ns, s.id"
).bindparams(bindparam("ids", expanding=True))
_PUT = text(
    "INSERT INTO span (trace, id, parent_id, name, kind, status, started_ns, ended_ns, model, provider, content) "
    "VALUES (:trace, :id, :parent_id, :name, :kind, :status, :started_ns, :ended_ns, :model, :provider, :content) "
    "ON CONFLICT (trace, id) DO UPDATE SET parent_id = excluded.parent_id, name = excluded.name, kind = excluded.kind, "
    "status = excluded.status, started_ns = excluded.started_ns, ended_ns = excluded.ended_ns, "
    "model = excluded.model, provider = excluded.provider, content = excluded.content"
)
_PUT_NUMBER = text(
    "INSERT INTO span_number (trace, span, name, value) VALUES (:trace, :span, :name, :value) "
    "ON CONFLICT (trace, span, name) DO UPDATE SET value = excluded.value"
)


class SqlSpans:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, trace_id: str, spans: Sequence[Span]) -> None:
        key = trace_key(self._c, trace_id)
        if spans:
            self._c.execute(_PUT, [_values(span) | {"trace": key} for span in spans])
        told = [
            {"trace": key, "span": span.id, "name": name, "value": value}
            for span in spans
            for name, value in numbers(span.attributes, *TOLD_OF).items()
        ]
        if told:
            self._c.execute(_PUT_NUMBER, told)

    def of(self, trace_ids: Sequence[str]) -> dict[str, list[Span]]:
        found: dict[str, list[Span]] = {}
        for ids in chunks(list(trace_ids)):
            for row in self._c.execute(_OF, {"ids": ids}):
                found.setdefault(row[0], []).append(_span(row))
        return found

    def count(self, trace_id: str) -> int:
        counted = text("SELECT COUNT(*) FROM span WHERE trace = (SELECT key FROM trace WHERE id = :id)")
        return int(self._c.execute(counted, {"id": trace_id}).scalar_one())

    def usage(self, trace_id: str) -> Mapping[str, float]:
        rows = self._c.execute(
            text(
                "SELECT name, SUM(value) FROM span_number WHERE trace = (SELECT key FROM trace WHERE id = :id) "
                "GROUP BY name ORDER BY name"
            ),
            {"id": trace_id},
        )
        return {row[0]: float(row[1]) for row in rows}


def _values(span: Span) -> dict[str, Any]:
    content = {
        "name": span.name,
        "message": span.message,
        "attributes": dict(span.attributes),
        "events": [event._asdict() for event in span.events],
    }
    return {
        "id": span.id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "status": span.status,
        "started_ns": span.started_ns,
        "ended_ns": span.ended_ns,
        "model": _plain(span.attributes.get(_MODEL)),
        "provider": _plain(span.attributes.get(_PROVIDER)),
        "content": to_json(content),
    }


def _plain(json_text: str | None) -> str | None:
    return None if json_text is None else json_text.strip('"')


def _span(row: Any) -> Span:
    content = from_json(row[8])
    return Span(
        trace_id=row[0],
        id=row[1],
        parent_id=row[2],
        name=row[3],
        kind=row[4],
        status=row[5],
        started_ns=row[6],
        ended_ns=row[7],
        message=content["message"],
        attributes=content["attributes"],
        events=tuple(SpanEvent(e["name"], e["time_ns"], e["attributes"]) for e in content["events"]),
    )
