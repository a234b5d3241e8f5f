"""The prediction log as pages read it: answers per day, the latest answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.compute.duck import arrow, connect
from hanok.core.clock import from_micros
from hanok.core.tables import SEQUENCE
from hanok.parts.serving.log import KEY, TABLE, Entry
from hanok.ui.views.common import all_days

if TYPE_CHECKING:
    from hanok.engine.app import App

FRESH_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """Answers by day; shadows are no answers."""

    labels: tuple[str, ...] = ()
    answers: tuple[int, ...] = ()
    errors: int = 0

    @property
    def last_day(self) -> int:
        return self.answers[-1] if self.answers else 0

    @property
    def total(self) -> int:
        return sum(self.answers)


@dataclass(frozen=True, slots=True)
class PredictionLine:
    id: str
    at: datetime
    version: int
    arm: str
    score: float | None
    entity: str


def traffic(app: App, model: str, *, days: int = 42) -> Traffic:
    """The last days up to the last one with an answer."""
    counts: dict[str, list[int]] = {}
    if app.tables.size(TABLE + model):
        with connect({"log": app.tables.scan(TABLE + model)}) as duck:
            rows = duck.execute(
                "SELECT strftime(\"at\", '%Y-%m-%d') AS day, count(*), count(*) FILTER (error <> '') "
                f"FROM log WHERE arm <> 'shadow' GROUP BY day ORDER BY day DESC LIMIT {int(days)}"
            ).fetchall()
        counts = {day: [count, failed] for day, count, failed in rows}
    for _, entry in _open_frames(app, model):
        if entry.arm != "shadow":
            cell = counts.setdefault(f"{from_micros(entry.at):%Y-%m-%d}", [0, 0])
            cell[0] += 1
            cell[1] += bool(entry.error)
    if not counts:
        return Traffic()
    labels = all_days(min(counts), max(counts))[-days:]
    return Traffic(
        labels, tuple(counts.get(d, [0])[0] for d in labels), sum(counts[d][1] for d in labels if d in counts)
    )


def latest(
    app: App, model: str, *, limit: int = 50, version: int = 0, shadows: bool = False
) -> tuple[PredictionLine, ...]:
    """The newest answers first, those included that are not compacted into the table yet."""
    fresh = [
        PredictionLine(i, from_micros(e.at), e.version, e.arm, e.score, _entity(e.entity))
        for i, e in _open_frames(app, model)
        if (not version or e.version == version) and (shadows or e.arm != "shadow")
    ]
    found = list(reversed(fresh))[:limit]
    if len(found) < limit and app.tables.size(TABLE + model):
        kept = [f"version = {int(version)}"] if version else []
        where = "WHERE " + " AND ".join([*kept, "true" if shadows else "arm <> 'shadow'"])
        with connect({"log": app.tables.scan(TABLE + model)}) as duck:
            rows = arrow(duck, f"SELECT * FROM log {where} ORDER BY {SEQUENCE} DESC LIMIT {limit - len(found)}")
        found += [_line(row) for row in rows.to_pylist()]
    return tuple(found)


def _line(row: dict[str, Any]) -> PredictionLine:
    entity = {k.removeprefix(KEY): v for k, v in row.items() if k.startswith(KEY) and v is not None}
    return PredictionLine(row["prediction_id"], row["at"], row["version"], row["arm"], row["score"], _entity(entity))


def _entity(entity: dict[str, Any]) -> str:
    return ", ".join(f"{k}={str(v)[:60]}" for k, v in entity.items())


def _open_frames(app: App, model: str) -> list[tuple[str, Entry]]:
    """Answers that are not compacted into the table yet, oldest first."""
    return app.log.recent(model, limit=FRESH_MAX)[::-1]
