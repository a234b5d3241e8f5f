"""The audit record: append-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from hanok.core.access import AuditEntry
from hanok.core.clock import micros
from hanok.stores.sql.rows import at

_COLUMNS = "at, actor, token, address, method, route, project, resource, status, times"


class SqlAuditLog:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def append(self, entries: Sequence[AuditEntry]) -> None:
        if entries:
            names = ", ".join(f":{name}" for name in _COLUMNS.split(", "))
            self._c.execute(
                text(f"INSERT INTO audit ({_COLUMNS}) VALUES ({names})"),
                [{n: getattr(e, n) for n in _COLUMNS.split(", ")} | {"at": micros(e.at)} for e in entries],
            )

    def list(
        self, *, actor: str = "", project: str = "", denied: bool = False, before: int = 0, limit: int = 100
    ) -> list[AuditEntry]:
        # index: primary key, backwards
        conditions, values = ["1 = 1"], dict[str, Any](limit=limit)
        for name, wanted in (("actor", actor), ("project", project)):
            if wanted:
                conditions.append(f"{name} = :{name}")
                values[name] = wanted
        if denied:
            conditions.append("status IN (401, 403, 429)")
        if before:
            conditions.append("sequence < :before")
            values["before"] = before
        rows = self._c.execute(
            text(
                f"SELECT {_COLUMNS}, sequence FROM audit WHERE {' AND '.join(conditions)} "
                "ORDER BY sequence DESC LIMIT :limit"
            ),
            values,
        )
        return [AuditEntry(at(row[0]), *row[1:]) for row in rows]
