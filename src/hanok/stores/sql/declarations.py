"""Declared things, version by version."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.stores.sql.rows import document, from_json


class SqlDeclarations:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, kind: str, name: str, digest: str, body: Mapping[str, Any], at: datetime) -> int:
        newest = self._c.execute(
            text(
                "SELECT version, digest FROM declaration WHERE kind = :kind AND name = :name "
                "ORDER BY version DESC LIMIT 1"
            ),
            {"kind": kind, "name": name},
        ).first()
        if newest is not None and newest[1] == digest:
            return int(newest[0])
        version = 1 if newest is None else newest[0] + 1
        self._c.execute(
            text(
                "INSERT INTO declaration (kind, name, version, digest, body, at) "
                "VALUES (:kind, :name, :version, :digest, :body, :at)"
            ),
            {
                "kind": kind,
                "name": name,
                "version": version,
                "digest": digest,
                "body": document(body),
                "at": micros(at),
            },
        )
        return int(version)

    def newest(self, kind: str, name: str) -> tuple[int, Mapping[str, Any]] | None:
        row = self._c.execute(
            text(
                "SELECT version, body FROM declaration WHERE kind = :kind AND name = :name "
                "ORDER BY version DESC LIMIT 1"
            ),
            {"kind": kind, "name": name},
        ).first()
        return None if row is None else (row[0], from_json(row[1]))

    def at_version(self, kind: str, name: str, version: int) -> Mapping[str, Any] | None:
        body = self._c.execute(
            text("SELECT body FROM declaration WHERE kind = :kind AND name = :name AND version = :version"),
            {"kind": kind, "name": name, "version": version},
        ).scalar()
        return None if body is None else from_json(body)

    def names(self, kind: str) -> list[str]:
        rows = self._c.execute(
            text("SELECT DISTINCT name FROM declaration WHERE kind = :kind ORDER BY name"), {"kind": kind}
        )
        return [row[0] for row in rows]
