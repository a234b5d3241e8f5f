"""The prediction log as pages read it: answers per day, the latest answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanok.compute.duck import connect
from hanok.core.clock import from_micros
from hanok.parts.serving.log import TABLE, Entry
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


def _open_frames(app: App, model: str) -> list[tuple[str, Entry]]:
    """Answers that are not compacted into the table yet, oldest first."""
    return app.log.recent(model, limit=FRESH_MAX)[::-1]
