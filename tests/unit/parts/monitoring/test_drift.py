"""Drift of answers by whole days: what is judged, when it alarms, and when it is over."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.day_blocks import DAY_US, Days
from hanok.compute.drift import reference
from hanok.core.monitoring import DRIFT, DriftReport
from tests.unit.parts.monitoring.test_service import DAY, START, Live, house  # noqa: F401

TRAINED_DAYS, ROWS = 60, 300


@pytest.fixture(scope="module")
def trained():
    at = np.repeat(np.arange(TRAINED_DAYS), ROWS) * DAY_US
    return reference("size", pa.chunked_array([np.random.default_rng(0).normal(size=len(at))]), (), Days.of(at))


def look(house, trained, number, moved=0.0, *, hours=24, rows=ROWS, version=1, versions=None, at=None):  # noqa: F811
    """Answer one day more and look at it when it is over (or after so many hours)."""
    day = START + number * DAY
    values = np.random.default_rng(100 + number).normal(size=rows) + moved
    house.answer(day, count=rows, f__size=values, version=[version] * rows)
    house.clock.move_to(at or day + timedelta(hours=hours))
    return house.monitoring.drift(
        "m", "v1", [trained], {"size": 1.0}, Live(), start=day, end=day + DAY, versions=versions
    )


def open_alerts(house):  # noqa: F811
    return [a.summary for a in house.alerts.list("m", state="open")]


def test_a_jump_alarms_on_the_first_whole_day_and_is_over_once_runs_and_week_are_quiet_again(house, trained):  # noqa: F811
    for number in range(3):
        assert not look(house, trained, number).features[0].alarm
    report = look(house, trained, 3, moved=3.0)
    found = report.features[0]
    assert found.sudden and found.alarm and not found.suspicious  # the week is not whole yet
    assert (report.run_start[:10], report.run_end[:10], report.run_rows) == ("2026-01-04", "2026-01-05", ROWS)
    (summary,) = open_alerts(house)
    assert "has jumped on 2026-01-04" in summary and "usual from day to day" in summary
    for number in (4, 5):
        look(house, trained, number)
        assert open_alerts(house) == [summary]  # not lasting, and not over
    for number in range(6, 12):  # until the day has left the week
        look(house, trained, number)
    assert open_alerts(house) == []


def test_the_day_on_which_answers_began_and_the_day_that_goes_on_are_not_judged(house, trained):  # noqa: F811
    assert look(house, trained, 0, moved=3.0).run_start == ""
    going_on = look(house, trained, 1, moved=3.0, hours=20)
    assert going_on.run_start == "" and not going_on.features[0].alarm
    house.clock.move_to(START + 2 * DAY)
    day = START + DAY
    over = house.monitoring.drift("m", "v1", [trained], {"size": 1.0}, Live(), start=day, end=day + DAY)
    assert over.features[0].sudden


def test_few_rows_a_day_are_judged_in_the_shortest_run_that_has_enough(house, trained):  # noqa: F811
    reports = [look(house, trained, number, rows=80) for number in range(5)]
    assert [r.run_rows for r in reports] == [0, 0, 0, 240, 240]
    assert reports[-1].run_start[:10] == "2026-01-03"
    assert not any(r.features[0].run_suspicious for r in reports)


def test_answers_of_a_version_whose_inputs_mean_something_else_are_not_judged(house, trained):  # noqa: F811
    look(house, trained, 0)
    look(house, trained, 1, moved=3.0, version=2, versions={1})
    assert open_alerts(house) == []
    assert look(house, trained, 2, versions={1}).rows == 2 * ROWS


def test_a_reference_of_an_earlier_version_is_judged_by_weeks_alone(house, trained):  # noqa: F811
    from dataclasses import replace

    old = replace(trained, days=())
    for number in range(3):
        report = look(house, old, number, moved=3.0)
    assert report.run_start == "" and open_alerts(house) == []
    body = DRIFT.body(report)
    earlier = {k: v for k, v in body.items() if not k.startswith("run")}
    earlier["features"] = [
        {k: v for k, v in f.items() if k != "sudden" and not k.startswith("run")} for f in body["features"]
    ]
    assert DRIFT.open(earlier) == report and isinstance(report, DriftReport)
