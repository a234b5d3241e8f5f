"""The history of stages."""

from __future__ import annotations

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.core.registry import StageChange
from hanok.stores.sql.rows import at

_COLUMNS = "id, model, version, before, after, at, actor, reason"


class SqlStageHistory:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, change: StageChange) -> None:
        self._c.execute(
            text(
                f"INSERT INTO stage_change ({_COLUMNS}) "
                "VALUES (:id, :model, :version, :before, :after, :at, :actor, :reason)"
            ),
            {
                "id": change.id,
                "model": change.model,
                "version": change.version,
                "before": change.before,
                "after": change.after,
                "at": micros(change.at),
                "actor": change.actor,
                "reason": change.reason,
            },
        )

    def of(self, model: str) -> list[StageChange]:
        # index: stage_change_model
        rows = self._c.execute(
            text(f"SELECT {_COLUMNS} FROM stage_change WHERE model = :model ORDER BY sequence DESC"), {"model": model}
        )
        return [StageChange(r[0], r[1], r[2], r[3], r[4], at(r[5]), r[6], r[7]) for r in rows]
