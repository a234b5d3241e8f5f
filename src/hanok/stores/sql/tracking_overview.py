"""Counts and curves of many runs: the database adds up, and only what is drawn leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.tracking import Axis, Curve, CurveBin, RunQuery
from hanok.stores.sql.tracking_metrics import chunks
from hanok.stores.sql.tracking_search import search_statement

# index: the primary key of metric_point, (run, key, step, ...)
_POINTS = (
    "FROM run r JOIN metric_point p ON p.run = r.key AND p.key = (SELECT key FROM metric_key WHERE name = :name) "
    "WHERE r.id IN :ids AND p.nan = 0 AND ABS(p.value) <= 1.7976931348623157e308"
)
_PLACES: dict[Axis, str] = {"step": "p.step", "time": "(p.timestamp_ms - r.started / 1000)"}


class SqlRunOverview:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def count(self, query: RunQuery) -> int:
        wanted = replace(query, order=(), limit=2**62, offset=0)
        statement, values = search_statement("run.key", wanted, self._c.dialect.name)
        return int(self._c.execute(text(f"SELECT COUNT(*) FROM ({statement}) AS found"), values).scalar() or 0)

    def extent(self, run_ids: Sequence[str], key: str, axis: Axis) -> tuple[int, int] | None:
        place = _PLACES[axis]
        statement = _listed(f"SELECT MIN({place}), MAX({place}) {_POINTS}")
        ends = [
            row
            for ids in chunks(run_ids)
            for row in self._c.execute(statement, {"ids": ids, "name": key})
            if row[0] is not None
        ]
        return (int(min(e[0] for e in ends)), int(max(e[1] for e in ends))) if ends else None

    def curves(
        self, run_ids: Sequence[str], key: str, axis: Axis, *, low: int, high: int, bins: int
    ) -> dict[str, Curve]:
        place = _PLACES[axis]
        # dividing before anything is taken away keeps the whole range of a step inside the integers
        statement = _listed(
            f"SELECT r.id, {place} / :width AS bin, AVG({place} * 1.0), MIN(p.value), MAX(p.value), AVG(p.value) "
            f"{_POINTS} AND {place} BETWEEN :low AND :high GROUP BY r.id, {place} / :width ORDER BY r.id, 3"
        )
        values = {"name": key, "low": low, "high": high, "width": max(1, -(-(high - low) // max(1, bins)))}
        found: dict[str, list[CurveBin]] = {}
        for ids in chunks(run_ids):
            for run_id, _, *bin_ in self._c.execute(statement, values | {"ids": ids}):
                found.setdefault(run_id, []).append(CurveBin(*map(float, bin_)))
        return {run_id: Curve(run_id, key, tuple(of_run)) for run_id, of_run in found.items()}


def _listed(statement: str) -> Any:
    return text(statement).bindparams(bindparam("ids", expanding=True))
