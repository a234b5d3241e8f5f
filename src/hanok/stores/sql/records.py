"""Small documents by kind, name and key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.stores.sql.rows import at as instant_of
from hanok.stores.sql.rows import document, from_json


class SqlRecords:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, kind: str, name: str, key: str, body: Mapping[str, Any], at: datetime) -> None:
        self._c.execute(
            text(
                "INSERT INTO record (kind, name, key, body, at) VALUES (:kind, :name, :key, :body, :at) "
                "ON CONFLICT (kind, name, key) DO UPDATE SET body = excluded.body, at = excluded.at"
            ),
            {"kind": kind, "name": name, "key": key, "body": document(body), "at": micros(at)},
        )

    def get(self, kind: str, name: str, key: str) -> Mapping[str, Any] | None:
        body = self._c.execute(
            text("SELECT body FROM record WHERE kind = :kind AND name = :name AND key = :key"),
            {"kind": kind, "name": name, "key": key},
        ).scalar()
        return None if body is None else from_json(body)

    def list(
        self, kind: str, name: str | None = None, *, since: datetime | None = None, limit: int = 1000
    ) -> list[Mapping[str, Any]]:
        # index: primary key (kind, name) or record_kind_at
        conditions = ["kind = :kind"]
        values: dict[str, Any] = {"kind": kind, "limit": limit}
        if name is not None:
            conditions.append("name = :name")
            values["name"] = name
        if since is not None:
            conditions.append("at >= :since")
            values["since"] = micros(since)
        rows = self._c.execute(
            text(
                f"SELECT name, key, body, at FROM record WHERE {' AND '.join(conditions)} "
                "ORDER BY at DESC, key DESC LIMIT :limit"
            ),
            values,
        )
        return [from_json(row[2]) | {"_name": row[0], "_key": row[1], "_at": instant_of(row[3])} for row in rows]
