"""Deployments: every change is a row, the newest generation is what serves."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.core.errors import StaleGeneration
from hanok.core.records import from_body
from hanok.core.serving import Arm, Deployment
from hanok.stores.sql.rows import at, from_json, to_json

_COLUMNS = "name, generation, arms, at, actor, reason, node_id"


class SqlDeployments:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, deployment: Deployment, *, expected: int) -> None:
        newest = self._c.execute(
            text("SELECT max(generation) FROM deployment WHERE name = :name"), {"name": deployment.name}
        ).scalar()
        if (newest or 0) != expected:
            raise StaleGeneration(
                f"deployment {deployment.name!r} is at generation {newest or 0}, not {expected}: "
                "somebody changed it; look again and repeat"
            )
        self._c.execute(
            text(
                f"INSERT INTO deployment ({_COLUMNS}) "
                "VALUES (:name, :generation, :arms, :at, :actor, :reason, :node_id)"
            ),
            {
                "name": deployment.name,
                "generation": expected + 1,
                "arms": to_json([asdict(arm) for arm in deployment.arms]),
                "at": micros(deployment.at),
                "actor": deployment.actor,
                "reason": deployment.reason,
                "node_id": deployment.node_id,
            },
        )

    def get(self, name: str) -> Deployment | None:
        found = self.history(name, limit=1)
        return found[0] if found else None

    def all(self) -> list[Deployment]:
        rows = self._c.execute(
            text(
                f"SELECT {_COLUMNS} FROM deployment d WHERE generation = "
                "(SELECT max(generation) FROM deployment WHERE name = d.name) ORDER BY name"
            )
        )
        return [_deployment(row) for row in rows]

    def history(self, name: str, *, limit: int = 1000) -> list[Deployment]:
        rows = self._c.execute(
            text(f"SELECT {_COLUMNS} FROM deployment WHERE name = :name ORDER BY generation DESC LIMIT :limit"),
            {"name": name, "limit": limit},
        )
        return [_deployment(row) for row in rows]

    def generation(self) -> int:
        return self._c.execute(text("SELECT count(*) FROM deployment")).scalar() or 0


def _deployment(row: Any) -> Deployment:
    arms = tuple(from_body(Arm, arm) for arm in from_json(row[2]))
    return Deployment(row[0], row[1], arms, at(row[3]), row[4], row[5], row[6])
