"""Durable steps: leases with fencing numbers, results recorded once."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.core.errors import Conflict, LeaseLost, NotFound
from hanok.core.workflows import RUNNING, Step, Workflow
from hanok.stores.sql.rows import at, document, from_json, moment

_COLUMNS = "id, kind, key, created, arguments, state, fence, owner, lease_until, result"


class SqlWorkflows:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def start(self, workflow: Workflow) -> Workflow:
        self._c.execute(
            text(
                "INSERT INTO workflow (id, kind, key, created, arguments, state, fence, owner, result) "
                "VALUES (:id, :kind, :key, :created, :arguments, :state, 0, '', '{}') "
                "ON CONFLICT (kind, key) DO NOTHING"
            ),
            {
                "id": workflow.id,
                "kind": workflow.kind,
                "key": workflow.key,
                "created": micros(workflow.created),
                "arguments": document(workflow.arguments),
                "state": RUNNING,
            },
        )
        return self._one("kind = :kind AND key = :key", {"kind": workflow.kind, "key": workflow.key})

    def claim(self, workflow_id: str, owner: str, now: datetime, until: datetime) -> int:
        taken = self._c.execute(
            text(
                "UPDATE workflow SET owner = :owner, lease_until = :until, "
                "fence = fence + CASE WHEN owner = :owner THEN 0 ELSE 1 END "
                "WHERE id = :id AND state = :running AND (owner IN ('', :owner) OR lease_until < :now)"
            ),
            {"owner": owner, "until": micros(until), "now": micros(now), "id": workflow_id, "running": RUNNING},
        )
        workflow = self.get(workflow_id)
        if taken.rowcount != 1:
            if workflow.state != RUNNING:
                raise Conflict(f"workflow {workflow_id} is {workflow.state}; there is nothing left to do")
            raise Conflict(
                f"workflow {workflow_id} is being worked on by {workflow.owner} until {workflow.lease_until}"
            )
        return workflow.fence

    def record(self, workflow_id: str, fence: int, step: Step) -> None:
        self._check(workflow_id, fence)
        self._c.execute(
            text(
                "INSERT INTO step (workflow_id, name, result, at, sequence) VALUES (:id, :name, :result, :at, "
                "(SELECT count(*) FROM step WHERE workflow_id = :id)) ON CONFLICT DO NOTHING"
            ),
            {"id": workflow_id, "name": step.name, "result": document(step.result), "at": micros(step.at)},
        )

    def finish(self, workflow_id: str, fence: int, state: str, result: Mapping[str, Any], at: datetime) -> None:
        self._check(workflow_id, fence)
        self._c.execute(
            text("UPDATE workflow SET state = :state, result = :result, lease_until = :at WHERE id = :id"),
            {"state": state, "result": document(result), "at": micros(at), "id": workflow_id},
        )

    def steps(self, workflow_id: str) -> builtins.list[Step]:
        rows = self._c.execute(
            text("SELECT name, result, at FROM step WHERE workflow_id = :id ORDER BY sequence"), {"id": workflow_id}
        )
        return [Step(row[0], from_json(row[1]), at(row[2])) for row in rows]

    def list(self, *, kind: str | None = None, state: str | None = None, limit: int = 100) -> builtins.list[Workflow]:
        values: dict[str, Any] = {k: v for k, v in {"kind": kind, "state": state}.items() if v is not None}
        where = " AND ".join(f"{name} = :{name}" for name in values) or "1 = 1"
        rows = self._c.execute(
            text(f"SELECT {_COLUMNS} FROM workflow WHERE {where} ORDER BY created DESC, id DESC LIMIT :limit"),
            values | {"limit": limit},
        )
        return [_workflow(row) for row in rows]

    def get(self, workflow_id: str) -> Workflow:
        return self._one("id = :id", {"id": workflow_id})

    def _one(self, where: str, values: Mapping[str, Any]) -> Workflow:
        row = self._c.execute(text(f"SELECT {_COLUMNS} FROM workflow WHERE {where}"), values).first()
        if row is None:
            raise NotFound(f"there is no workflow {next(iter(values.values()))!r}")
        return _workflow(row)

    def _check(self, workflow_id: str, fence: int) -> None:
        workflow = self.get(workflow_id)
        if workflow.fence != fence or workflow.state != RUNNING:
            raise LeaseLost(
                f"workflow {workflow_id} was taken over by {workflow.owner} (fence {workflow.fence}, this worker "
                f"holds {fence}) or ended as {workflow.state}: this result is not recorded"
            )


def _workflow(row: Any) -> Workflow:
    return Workflow(
        row[0],
        row[1],
        row[2],
        at(row[3]),
        from_json(row[4]),
        row[5],
        row[6],
        row[7],
        moment(row[8]),
        from_json(row[9]),
    )
