"""Replaying recorded feeds through the whole house, day by day, on a clock of their own.

Each row is ingested with the instant at which it had become known, so features, predictions and labels see exactly
what they would have seen live. A day is a durable step: cut down anywhere, the same call goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from hanok.core.clock import ReplayClock, micros
from hanok.engine.app import App

DAY = timedelta(days=1)
Progress = Callable[[str, int, int], None]
Action = Callable[[App], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, init=False)
class Feed:
    """A recorded table. `arrived` names the column with the instant at which each row became known."""

    table: str
    rows: pa.Table
    arrived: pa.ChunkedArray
    keys: tuple[str, ...]
    event_time: str

    def __init__(
        self, table: str, rows: pa.Table, *, arrived: str, keys: Sequence[str] = (), event_time: str = ""
    ) -> None:
        order = pa.compute.sort_indices(rows, [(arrived, "ascending")])
        ordered = rows.take(order)
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "arrived", ordered.column(arrived))
        object.__setattr__(self, "rows", ordered.drop_columns([arrived]))
        object.__setattr__(self, "keys", tuple(keys))
        object.__setattr__(self, "event_time", event_time)

    def between(self, start: datetime, end: datetime) -> tuple[pa.Table, pa.ChunkedArray]:
        """Rows that became known in [start, end), and when."""
        instants = self.arrived.cast(pa.int64()).to_numpy()
        low, high = np.searchsorted(instants, [micros(start), micros(end)])
        return self.rows.slice(low, high - low), self.arrived.slice(low, high - low)


class Replay:
    """`start` is the first day; every model is trained for the first time after `first_training`. `actions` are what
    people do at the end of a day, by its date: functions of the App that may be repeated after a kill."""

    def __init__(
        self,
        app: App,
        feeds: Sequence[Feed],
        *,
        start: datetime,
        first_training: timedelta,
        actions: Mapping[str, Action] | None = None,
    ) -> None:
        if not isinstance(app.clock, ReplayClock):
            raise TypeError("a replay needs an App that was opened with a ReplayClock")
        self._app, self._feeds, self._start, self._first = app, feeds, start, first_training
        self._clock = app.clock
        self._actions = dict(actions or {})

    def run(self, days: int, *, progress: Progress = lambda _what, _done, _all: None) -> None:
        """Replay `days` days; what was done before is not done again."""
        app = self._app
        for number in range(days):
            day = self._start + number * DAY
            workflow = app.durable.start("replay", f"{day:%Y-%m-%d}", {"day": day.isoformat()})
            if workflow.state == "done":
                self._clock.move_to(day + DAY)
                continue
            progress(f"{day:%a %d %b}", number, days)
            app.durable.run(workflow, lambda steps, day=day: self._day(steps, day), repeatable=True)  # type: ignore[misc]
            app.home.note_time(day + DAY)
        progress("done", days, days)

    def _day(self, steps: Any, day: datetime) -> Mapping[str, Any]:
        app, end = self._app, day + DAY
        key = f"{day:%Y-%m-%d}"
        self._clock.move_to(day)
        steps("ingest", lambda: self._ingest(day, end, key))
        self._clock.move_to(end)
        live = [m.name for m in app.training.models() if app.serving.deployment(m.name)]
        steps("predict", lambda: {m: len(app.predicting.predict_window(m, day, end, key=key)) for m in live})
        app.bus.drain()
        app.watching.check_feeds()
        for name in live:
            steps(f"measure {name}", lambda name=name: self._measure(name, day))
        app.training.resume(deaths_max=None)
        if end - self._start == self._first:
            for model in app.training.models():
                app.training.train(model.name, reason="first training", actor="replay", key=f"{model.name} first")
        app.bus.drain()
        app.upkeep.advance()
        app.bus.drain()
        if key in self._actions:
            steps("action", lambda: dict(self._actions[key](app)))
        return {"day": key}

    def _measure(self, name: str, day: datetime) -> dict[str, Any]:
        self._app.watching.measure(name, day)
        return {"model": name}

    def _ingest(self, day: datetime, end: datetime, key: str) -> dict[str, Any]:
        counts = {}
        for feed in self._feeds:
            begin = datetime(1, 1, 1, tzinfo=day.tzinfo) if day == self._start else day
            rows, arrived = feed.between(begin, end)
            if rows.num_rows:
                result = self._app.ingesting.ingest(
                    feed.table,
                    rows,
                    key=key,
                    arrived=arrived,
                    keys=feed.keys,
                    event_time=feed.event_time,
                    actor="replay",
                )
                counts[feed.table] = result.accepted
        return counts
