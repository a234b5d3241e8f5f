"""Assessments of traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.traces import Assessment
from hanok.stores.sql.rows import from_json, to_json

_COLUMNS = "a.trace, t.id, a.id, a.name, a.kind, a.value, a.valid, a.created_ms, a.updated_ms, a.rest"
_REST = ("source_type", "source_id", "span_id", "rationale", "error", "metadata", "overrides")
# index: assessment_trace
_OF = text(
    f"SELECT {_COLUMNS} FROM assessment a JOIN trace t ON t.key = a.trace WHERE a.trace IN :keys "
    "ORDER BY a.trace, a.created_ms, a.id"
).bindparams(bindparam("keys", expanding=True))


def assessments_of(connection: Connection, keys: Sequence[int]) -> Iterator[tuple[int, Assessment]]:
    """With the integer key of their trace, the oldest first."""
    for row in connection.execute(_OF, {"keys": list(keys)}):
        yield row[0], _assessment(row)


class SqlAssessments:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, assessment: Assessment) -> None:
        value = assessment.value
        self._c.execute(
            text(
                "INSERT INTO assessment (id, trace, name, kind, value, number, valid, created_ms, updated_ms, rest) "
                "SELECT :id, key, :name, :kind, :value, :number, :valid, :created_ms, :updated_ms, :rest "
                "FROM trace WHERE id = :trace_id "
                "ON CONFLICT (id) DO UPDATE SET name = excluded.name, value = excluded.value, "
                "number = excluded.number, valid = excluded.valid, updated_ms = excluded.updated_ms, "
                "rest = excluded.rest"
            ),
            {
                "id": assessment.id,
                "trace_id": assessment.trace_id,
                "name": assessment.name,
                "kind": assessment.kind,
                "value": to_json(value),
                "number": float(value) if isinstance(value, int | float) else None,
                "valid": int(assessment.valid),
                "created_ms": assessment.created_ms,
                "updated_ms": assessment.updated_ms,
                "rest": to_json({name: getattr(assessment, name) for name in _REST}),
            },
        )

    def get(self, trace_id: str, assessment_id: str) -> Assessment | None:
        row = self._c.execute(
            text(f"SELECT {_COLUMNS} FROM assessment a JOIN trace t ON t.key = a.trace WHERE a.id = :id"),
            {"id": assessment_id},
        ).first()
        return None if row is None or row[1] != trace_id else _assessment(row)

    def delete(self, trace_id: str, assessment_id: str) -> None:
        self._c.execute(
            text("DELETE FROM assessment WHERE id = :id AND trace = (SELECT key FROM trace WHERE id = :trace_id)"),
            {"id": assessment_id, "trace_id": trace_id},
        )


def _assessment(row: Any) -> Assessment:
    return Assessment(
        id=row[2],
        trace_id=row[1],
        name=row[3],
        kind=row[4],
        value=from_json(row[5]),
        valid=bool(row[6]),
        created_ms=row[7],
        updated_ms=row[8],
        **from_json(row[9]),
    )
