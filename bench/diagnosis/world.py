"""A home that lives with one of the sets: a project with point-in-time views, feeds by day, a model, daily answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import hanok as hk
from bench.diagnosis.sets import SETS, DataSet, rows
from hanok.compute.metrics import row_losses
from hanok.core.clock import ReplayClock
from hanok.core.declare import Model, Project
from hanok.core.serving import Arm
from hanok.engine.app import App, open_app
from hanok.engine.config import Config
from hanok.engine.diagnose import why_window
from hanok.engine.diagnosed import Diagnosis
from hanok.engine.evidence import Evidence
from hanok.engine.parts import find

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CLEAN_DAYS = 14  # answered before a fault
FAULT_DAYS = 7
ASKED = (1, 3, 7)
MODEL = "model"
MINUTE = np.timedelta64(1, "m")

Tables = Mapping[str, pa.Table]
"""What arrives on one day: asks, facts, outcomes. `arrived` says when."""


@dataclass
class Fault:
    """What is done to the feeds of each day from the onset on (`feeds`), to the rows on their way from the store to
    the model (`served`), or to what is deployed (`deployed`)."""

    kind: str
    column: str
    feeds: Callable[[int, dict[str, pa.Table], np.random.Generator], dict[str, pa.Table]] = lambda _n, t, _r: t
    served: Callable[[pa.Table], pa.Table] | None = None
    deployed: Callable[[App, DataSet], None] | None = None
    labels: bool = field(default=False)

    @property
    def name(self) -> str:
        return f"{self.kind} {self.column}".strip()


def first_day(of: DataSet) -> int:
    """The day on which a fault begins."""
    return of.learnt + (CLEAN_DAYS if of.name != "segments" else 7)


def project(of: DataSet) -> Project:
    facts = hk.FeatureView(
        "facts", keys="ask", ttl="1d", features=list(of.facts), source=hk.Source("facts", event_time="measured")
    )
    recent = hk.FeatureView(
        "recent", keys=of.group, windows=["3d"],
        aggregate={"asks": hk.count()} if of.task == "multiclass" else {"asks": hk.count(), "rate": hk.mean(of.target)},
        source=hk.Source("outcomes", event_time="known"),
    )  # fmt: skip
    model = hk.Model(
        MODEL,
        task=of.task,
        spine=hk.Spine("asks", predict_at="at", keys=["ask"]),
        label=hk.Label("outcomes", column=of.target, known_at="known"),
        features=[facts, recent, *of.own],
        train=hk.AutoML(metric=of.metric, trials=1),
        split=hk.by_time(test="3d"),
        gate=hk.Gate(beats="champion"),
    )
    return Project((), (facts, recent), (model,))


@cache
def _days(name: str) -> list[dict[str, pa.Table]]:
    """The feeds of each day, by the day on which a row arrives; asks and their facts and outcomes share a key."""
    of, found = SETS[name], rows(name)
    days = found.num_rows // of.a_day
    made = []
    for number in range(min(days, first_day(of) + (60 if of.name == "bikes" else FAULT_DAYS + 14))):
        rng = np.random.default_rng([7, number])
        part = found.slice(number * of.a_day, of.a_day)
        start = np.datetime64((START + number * DAY).replace(tzinfo=None), "us")
        at = start + np.sort(rng.integers(180, 1439, of.a_day)) * MINUTE
        measured = at - rng.integers(20, 120, of.a_day) * MINUTE
        known = at + rng.integers(30, 420, of.a_day) * MINUTE
        asks = pa.array([f"a{number:03d}{i:03d}" for i in range(of.a_day)])
        own = {c: part.column(c) for c in of.own}
        made.append(
            {
                "asks": pa.table({"ask": asks, "at": _at(at), **own, "arrived": _at(at - 5 * MINUTE)}),
                "facts": pa.table(
                    {
                        "ask": asks,
                        "measured": _at(measured),
                        **{c: part.column(c) for c in of.facts},
                        "arrived": _at(measured + 10 * MINUTE),
                    }
                ),
                "outcomes": pa.table(
                    {
                        "ask": asks,
                        of.group: part.column(of.group),
                        of.target: part.column(of.target),
                        "known": _at(known),
                        "arrived": _at(known),
                    }
                ),
            }
        )
    return made


def _at(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype("datetime64[us]"), pa.timestamp("us", "UTC"))


class World:
    """One open home. `live` days on: arrivals, answers, labels; `ask` what went wrong."""

    def __init__(self, name: str, home: Path) -> None:
        self.of, self.home = SETS[name], home
        self.clock = ReplayClock(START)
        self.app = open_app(Config(home=home), clock=self.clock, project=project(self.of))
        self._waiting: dict[str, list[pa.Table]] = {}

    def live(self, first: int, days: int, fault: Fault | None = None, *, labels: bool = True) -> None:
        for number in range(first, first + days):
            self.day(number, fault, labels=labels)

    def day(self, number: int, fault: Fault | None, *, labels: bool = True) -> None:
        app, start = self.app, START + number * DAY
        end = start + DAY
        feeds = dict(_days(self.of.name)[number])
        if fault is not None:
            feeds = fault.feeds(number, feeds, np.random.default_rng([13, number]))
        self.clock.move_to(start)
        for table, part in feeds.items():
            arrived = self._arrived(table, part, end)
            if arrived.num_rows and (labels or table != "outcomes"):
                when = arrived.column("arrived").combine_chunks()
                app.ingesting.ingest(table, arrived.drop_columns(["arrived"]), key=f"{table} {number}", arrived=when)
        self.clock.move_to(end)
        if app.serving.deployment(MODEL):
            if fault is not None and fault.deployed is not None and number == first_day(self.of):
                fault.deployed(app, self.of)
            self._answer(number, start, end, fault)
        app.bus.drain()

    def _arrived(self, table: str, part: pa.Table, end: datetime) -> pa.Table:
        """What has arrived by `end`, in the order of its arrival; the rest waits for the day of its arrival."""
        waiting = [*self._waiting.pop(table, []), part]
        everything = pa.concat_tables(waiting, promote_options="permissive")
        here = pc.less(everything.column("arrived"), pa.scalar(end, pa.timestamp("us", "UTC")))
        left = everything.filter(pc.invert(here))
        if left.num_rows:
            self._waiting[table] = [left]
        return everything.filter(here).sort_by("arrived")

    def _answer(self, number: int, start: datetime, end: datetime, fault: Fault | None) -> None:
        if fault is None or fault.served is None:
            self.app.predicting.predict_window(MODEL, start, end, key=f"day {number}")
            return
        model = self.app.training.model(MODEL)
        spine = self.app.features.spine_rows(model, start=start, end=end)
        given = fault.served(self.app.features.historical(model, spine))
        self.app.serving.predict_batch(MODEL, given, key=f"day {number}")

    def train(self) -> None:
        made = self.app.training.train(MODEL, reason="first", actor="bench", promote=False)
        self.app.serving.deploy(MODEL, [Arm(made.version, "primary", 100)], actor="bench", reason="first")
        self.app.bus.drain()

    def ask(self, number: int) -> Diagnosis:
        """Why was this day strange, asked at its end."""
        start = START + number * DAY
        return why_window(find(self.app, Evidence), MODEL, start, start + DAY)

    def losses(self, first: int, days: int) -> dict[str, float]:
        """The loss of each answer of a span by its key, with the labels known by now."""
        start = START + first * DAY
        found = self.app.monitoring.outcomes(MODEL, start=start, end=start + days * DAY)
        if not found.num_rows:
            return {}
        score = found.column("score").to_numpy()
        if self.of.task == "multiclass":
            score = np.array(found.column("scores").to_pylist(), float)
        lost = row_losses(self.of.task, self.of.metric, found.column("label").to_numpy(), score)
        log = self.app.serving.batch_rows(MODEL, "day ")
        keys = dict(zip(log.column("row_id").to_pylist(), log.column("key__ask").to_pylist(), strict=True))
        return dict(zip((keys[i] for i in found.column("prediction_id").to_pylist()), lost.tolist(), strict=True))

    def close(self) -> None:
        self.app.close()


def base(name: str, folder: Path) -> Path:
    """A home with a trained model and clean days of answers; made once, then copied."""
    home = folder / f"base-{name}"
    if (home / "ready").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    of, world = SETS[name], World(name, home)
    world.live(0, of.learnt)
    world.train()
    world.live(of.learnt, first_day(of) - of.learnt)
    world.close()
    (home / "ready").touch()
    return home


def copied(name: str, folder: Path, to: Path) -> World:
    """A copy of the base, open at the day on which faults begin. What had not arrived by then arrives later."""
    source = base(name, folder)
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(source, to)
    world = World(name, to)
    first = first_day(world.of)
    late = _days(name)[first - 1]
    end = pa.scalar(START + first * DAY, pa.timestamp("us", "UTC"))
    world._waiting = {t: [part.filter(pc.greater_equal(part.column("arrived"), end))] for t, part in late.items()}
    world.clock.move_to(START + first * DAY)
    return world


def model_of(app: App) -> Model:
    return app.training.model(MODEL)
