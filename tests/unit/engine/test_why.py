"""What `why` reads and says, piece by piece: failed answers are no scores, rows set aside are all counted, and a
sentence says no more than was measured."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import orjson
import pyarrow as pa
import pytest

from hanok.compute.hypotheses import Believed, Case, Proposal, Verdict
from hanok.core.clock import micros
from hanok.core.declare import Model
from hanok.core.monitoring import DriftReport, FeatureDrift
from hanok.core.tables import ARRIVED
from hanok.engine import incident
from hanok.engine.answered import answers, failures
from hanok.engine.causes import change, suspects, unexplained
from hanok.engine.diagnose import seen_in
from hanok.engine.incident import Incident
from hanok.engine.why_prediction import moved
from hanok.parts.serving.entries import Entry
from hanok.parts.serving.log import TABLE
from hanok.parts.serving.rows import table_of
from hanok.parts.validation.batches import QUARANTINE
from hanok.stores.memory.tables import MemoryTables

DAY = timedelta(days=1)
END = datetime(2026, 1, 21, tzinfo=UTC)
ROWS, DAYS = 100, 20


def entry(score: float | None, scores: list[float], error: str = "") -> Entry:
    return Entry(micros(END - timedelta(hours=1)), 1, "primary", score, scores, {"a": 1.0}, {}, error)


@pytest.mark.parametrize("scores", [[], [0.1, 0.9]])
def test_failed_answers_are_counted_and_are_no_scores(scores):
    tables = MemoryTables()
    parts = SimpleNamespace(tables=tables)
    assert incident._answers(parts, "m", END, DAY, 3) == (pa.table({}), (0, 0, 0))  # before the first answer
    assert failures(parts, "m", END - DAY, END).asked == 0
    logged = [entry(0.9, scores), entry(None, [], "no such shop"), entry(float("nan"), [], "the score is nan")]
    tables.append(TABLE + "m", table_of(logged, ["p0", "p1", "p2"], None), key="k")
    rows, answered = incident._answers(parts, "m", END, DAY, 3)
    assert rows.column("score").to_pylist() == [0.9] and answered == (3, 0, 0)
    assert answers(parts, "m", END - DAY, END).column("scores").to_pylist() == [scores]
    failed = failures(parts, "m", END - DAY, END)
    assert (failed.count, failed.asked, failed.first, failed.all_failed) == (2, 3, "no such shop", False)


def test_rows_set_aside_are_all_counted_whatever_is_looked_at(monkeypatch):
    monkeypatch.setattr(incident, "KEPT_OUT_MAX", 10)
    monkeypatch.setattr(incident, "_tables", lambda model: {"temp": "w"})
    ages = [timedelta(hours=1)] * 60 + [timedelta(hours=30)] * 7
    aside = pa.table({
        "reason": ["temp too big"] * 40 + ["temp is null"] * 27,
        "row": [orjson.dumps({"temp": 9.0}).decode()] * 67,
        ARRIVED: pa.array([END - age for age in ages], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    tables = MemoryTables()
    tables.append(QUARANTINE + "w", aside, key="k")
    counts, values, _, why = incident._kept_out(SimpleNamespace(tables=tables), Model, "w", END, DAY, 3, {"temp": True})
    assert counts == (60, 7, 0) and len(values["temp"]) == 10 and why == "temp too big"


def found(score: np.ndarray, period: np.ndarray) -> tuple[Incident, Verdict]:
    """A column went null in the newest period, and a hypothesis that is believed says so."""
    values = np.random.default_rng(0).normal(size=len(score))
    nothing = np.full(len(score), np.nan)
    case = Case(
        "binary", {"a": np.where(period == 0, np.nan, values)}, period, score, nothing, nothing, {"a": "t"},
        frozenset(), "spine", "labels", (ROWS,) * DAYS,
    )  # fmt: skip
    null = Proposal("null", "input a", "null in 100% of the rows (0% before)", ("a",), gone=frozenset({"a"}))
    believed = Believed(null, 0.95, {"a": values[:ROWS]})
    return Incident(case, END, DAY, np.zeros(len(period), np.int64)), Verdict(
        1, np.flatnonzero(period == 0), np.flatnonzero(period), (believed,), 500.0
    )


PERIOD = np.repeat(np.arange(DAYS), ROWS)
SAME = np.random.default_rng(1).uniform(size=ROWS * DAYS)
UP = np.where(PERIOD == 0, SAME * 0.3 + 0.7, SAME)


def flat(columns):
    return 0.85 - 0.001 * np.isfinite(columns["a"].to_numpy())


def test_a_cause_explains_nothing_where_neither_score_nor_loss_moved():
    house, verdict = found(SAME, PERIOD)
    (first,) = suspects(house, verdict, change(house, verdict), flat, lambda label, scores: scores)
    assert first.explains == 0.0 and first.proof["unlike"] == 0.95


def test_what_was_seen_and_moved_too_little_is_told_and_not_ruled_out():
    house, verdict = found(UP, PERIOD)
    moved = change(house, verdict)
    assert suspects(house, verdict, moved, flat, lambda label, scores: scores) == []
    told = unexplained(house, verdict, moved, exchanged=True)
    seen, _, ruled_out = told.partition("Ruled out: ")
    assert "the mean score is 0.8" in seen and "input a: null in 100% of the rows" in seen
    assert "constant" in ruled_out and "null" not in ruled_out and "version" not in ruled_out
    assert "feed" not in ruled_out  # no table was looked at
    assert "no version changed" in unexplained(house, verdict, moved, exchanged=False)


def test_a_mean_that_was_never_measured_is_none():
    house, verdict = found(SAME, PERIOD)
    nobody = replace(verdict, good=np.empty(0, np.int64))
    assert change(house, nobody).usual.score is None


def test_an_alert_is_about_what_was_seen_until_it_was_last_raised():
    drift = FeatureDrift("temp", 1.0, 0.0, 0.5, 0.0, 1.0, 1.0, 0.0, suspicious=True, integrity=False, alarm=True)

    def report(day: datetime) -> DriftReport:
        return DriftReport(f"{day:%F}", (day - 7 * DAY).isoformat(), day.isoformat(), 100, (drift,), "node")

    reports = [report(END), report(END + 90 * DAY)]
    assert seen_in(reports, "temp", until=END + DAY) == (END - 7 * DAY, END)
    assert seen_in(reports, "temp", until=END - DAY) is None
    assert seen_in(reports, "rain", until=END + 99 * DAY) is None


def test_an_input_that_turns_the_class_over_at_equal_certainty_moves_the_score():
    assert moved(np.array([0.8, 0.1, 0.1]), np.array([0.1, 0.8, 0.1])) == pytest.approx(0.7)
    assert moved(0.25, 0.75) == pytest.approx(-0.5)
