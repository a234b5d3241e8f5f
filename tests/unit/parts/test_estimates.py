"""Estimates of several classes and of numbers, from the newest labelled answers; real tables, no model needed."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.cli.model import _sentence
from hanok.compute.duck import arrow, connect
from hanok.core.clock import ReplayClock
from hanok.core.performance import Interval, WindowEstimate
from hanok.engine.verbs.monitoring import _line
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.estimates import Answers, Estimates, record
from hanok.stores.delta import DeltaTables
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)


class World:
    """A model's log and labels, a day at a time, and its estimates."""

    def __init__(self, tmp_path, task):
        self.task, self.random = task, np.random.default_rng(3)
        self.metadata, self.tables = SqlMetadata.at(tmp_path / "m.db"), DeltaTables(tmp_path / "tables")
        self.clock = ReplayClock(START)
        self.alerts = Alerts(metadata=self.metadata, clock=self.clock)
        self.estimates = Estimates(metadata=self.metadata, tables=self.tables, alerts=self.alerts, clock=self.clock)
        self.day = START

    def live(self, days, *, turned=False):
        checked = []
        for _ in range(days):
            answers = self._answered(80, turned)
            self.clock.move_to(self.day + DAY)
            checked += self.estimates.follow("m", self.task, {self.day: answers}, self.day)
            self.day += DAY
        return checked

    def _answered(self, n, turned):
        x = self.random.normal(size=n)
        scores = None
        if self.task == "multiclass":
            p = np.exp(np.outer(x, [1.0, 0.0, -1.0]) + np.array([0.2, 0.0, 0.1]))
            p /= p.sum(axis=1, keepdims=True)
            label = (self.random.random(n)[:, None] > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1).astype(float)
            label = 2 - label if turned else label
            score, scores = p.max(axis=1), p.tolist()
        else:
            score = 2 * x
            label = score + self.random.normal(size=n) * np.exp(0.4 * x) * (3 if turned else 1)
        at = pa.array([self.day + timedelta(minutes=i) for i in range(n)], pa.timestamp("us", "UTC"))
        ids = [f"{self.day:%m%d}-{i}" for i in range(n)]
        log = {"prediction_id": ids, "at": at, "_arrived": at, "arm": ["primary"] * n, "score": score, "f__x": x}
        log["scores"] = pa.array(scores or [None] * n, pa.list_(pa.float64()))
        self.tables.append("predictions--m", pa.table(log), key=f"{self.day}")
        self.tables.append("outcomes--m", pa.table({**log, "label": label, "known_at": at}), key=f"{self.day}")
        return Answers(score, score, label)


@pytest.fixture(params=["multiclass", "regression"])
def world(request, tmp_path):
    made = World(tmp_path, request.param)
    yield made
    made.tables.close()
    made.metadata.close()


def test_weeks_are_estimated_before_their_labels_and_turn_out_so(world):
    world.live(22)
    weeks = world.estimates.list("m", "week")
    assert not weeks[0].reliable and "labelled" in weeks[0].doubts[0]
    known = [w for w in weeks[1:] if w.checked]
    assert len(known) == 2 and sum(w.checked.inside for w in known) >= 1
    assert record(weeks)["checked"] == 2 and "no concept drift" in known[0].assumption
    assert not [a for a in world.alerts.list("m") if a.severity == "warning"]


def test_a_relation_that_turns_is_missed_and_flagged_with_a_reason_and_an_alert(world):
    world.live(21)
    world.live(15, turned=True)
    missed = [w for w in world.estimates.list("m", "week") if w.checked and w.checked.inside is False]
    assert [w.start for w in missed][-2:] == ["2026-01-26", "2026-02-02"]
    assert "other labels than before" in missed[-1].checked.reason
    kinds = {(a.kind, a.severity) for a in world.alerts.list("m", state="open")}
    assert ("estimate", "info") in kinds and ("estimate", "warning") in kinds and ("concept", "warning") in kinds


@pytest.mark.parametrize("metrics", [{}, {"auc": Interval(0.7, 0.6, float("nan"))}])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_window_that_says_nothing_of_its_metric_is_withheld_with_the_reason(metrics, rows):
    made = WindowEstimate("2026-01-05", "2026-01-12", START, rows, "auc", metrics, "week")  # as kept before
    line = _line(made)
    assert not line["reliable"] and line["low"] is line["high"] is None
    assert f"{rows} answer" in line["why"] and "too few to estimate auc" in line["why"]
    assert record([made])["withheld"] == 1
    newest = {**line, "known": None, "usual_error": None}
    assert "no estimate for the week of 2026-01-05" in _sentence(
        {"newest": newest, "window": "week", "record": record([made])}
    )


def _rows_of(tables, name):
    with connect({"rows": tables.scan(name)}) as duck:
        return arrow(duck, "SELECT * EXCLUDE _seq FROM rows")


def test_estimates_are_made_from_and_checked_against_the_labels_that_count(world):
    """Newer rows of the outcomes table that do not count change neither: outside the window, of an earlier generation,
    dated before the label that counts, not known yet, or no label of the task."""
    for _ in range(7):
        world._answered(80, False)
        world.day += DAY
    world.clock.move_to(world.day + DAY)
    at, week = START, START + 7 * DAY
    before = world.estimates._realised("m", world.task, at, week)
    reference = world.estimates._rows("m", week, week + DAY)[0].column("label").to_pylist()
    rows = _rows_of(world.tables, "outcomes--m")
    count, wrong = rows.num_rows, (rows.column("label").to_numpy() + 1) % 3
    instant = pa.timestamp("us", "UTC")

    def tell(key, label, *, outside=False, generation=2, dated=START, known=START, row=0):
        more = rows.set_column(rows.column_names.index("label"), "label", pa.array(label))
        more = more.set_column(more.column_names.index("known_at"), "known_at", pa.array([known] * count, instant))
        more = more.append_column("outside", pa.array([outside] * count))
        more = more.append_column("generation", pa.array([generation] * count))
        more = more.append_column("label_at", pa.array([dated] * count, instant))
        world.tables.append("outcomes--m", more.append_column("label_row", pa.array([row] * count)), key=key)

    tell("counts", rows.column("label").to_numpy(), row=9)
    tell("outside", wrong, outside=True, dated=START + DAY)
    tell("earlier generation", wrong, generation=1, dated=START + DAY)
    tell("dated before", wrong, dated=START - DAY, row=10)
    tell("not known yet", wrong, known=START + 99 * DAY, dated=START + DAY)
    assert world.estimates._realised("m", world.task, at, week) == pytest.approx(before)
    assert world.estimates._rows("m", week, week + DAY)[0].column("label").to_pylist() == reference
