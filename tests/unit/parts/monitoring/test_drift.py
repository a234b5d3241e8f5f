"""Drift of answers by whole days: what is judged, when it alarms, and when it is over."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.day_blocks import DAY_US, Days
from hanok.compute.drift import reference
from hanok.core.monitoring import DRIFT, DriftReport, FeatureSkew, SkewReport
from hanok.parts.monitoring.judging import unlikely
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


def test_a_model_that_rests_on_weekends_keeps_its_alert_and_a_week_that_was_not_judged_ends_none(house, trained):  # noqa: F811
    weekly = replace(trained, days=())
    for number in (n for n in range(26) if n % 7 < 5):
        look(house, weekly, number, moved=3.0, rows=60)
        assert len(open_alerts(house)) == (number >= 14), number
    for number in range(28, 33):  # another version, whose first week goes on
        look(house, weekly, number, rows=60, version=2, versions={2})
        assert open_alerts(house)
    look(house, weekly, 33, rows=60, version=2, versions={2})
    assert open_alerts(house) == []
    assert len(house.alerts.list("m")) == 1


def test_nulls_that_come_together_by_chance_are_no_fault_and_no_sign_that_one_is_over(house):  # noqa: F811
    often_null = reference("size", pa.chunked_array([[None if i % 5 < 2 else i % 7 / 7 for i in range(500)]]))
    number = 0
    for count, value, fault in ((3, None, False), (30, None, True), (3, None, False), (3, 0.5, False)):
        day, number = START + number * DAY, number + 1
        house.answer(day, count=count, f__size=pa.array([value] * count, pa.float64()))
        house.clock.move_to(day + DAY)
        report = house.monitoring.drift("m", "v", [often_null], {"size": 1.0}, Live(), start=day, end=day + DAY)
        assert (report.features[0].integrity, report.features[0].missing) == (fault, fault)
        assert bool(open_alerts(house)) is (number in (2, 3))
    for usual in (0.0, 1e-9, 0.12, 0.4, 0.9, 1.0):
        assert all(unlikely(1.0, rows, usual) == (usual**rows < 1e-3) for rows in range(1, 100))
        assert not unlikely(usual, 1000, usual)


def test_alerts_of_a_feature_that_left_the_model_are_over_though_nothing_is_answered(house):  # noqa: F811
    for kind, feature in (("integrity", "fee"), ("drift", "size"), ("drift", "other")):
        house.alerts.raise_("m", kind, f"drift:{feature}", feature)
    house.alerts.raise_("m", "feed", "late-feed", "late")
    kept = reference("other", pa.chunked_array([[1.0, 2.0, 3.0]]))
    house.monitoring.drift("m", "v", [kept], {}, Live(), start=START, end=START + DAY)
    assert sorted(open_alerts(house)) == ["late", "other"]


def skewed(house, version, *, moved, alarm, table="sales"):  # noqa: F811
    feature = FeatureSkew("size", 1, 0, 0, 0, 9, 0, 0, 0, 1.0, 0, moved, alarm)
    report = SkewReport("m", version, "2026-01-01", "2026-01-07", 9, 2, (feature,))
    house.monitoring.skew.follow(report, {"size": 1.0}, {"size": table})
    return [a.fingerprint for a in house.alerts.list("m", state="open")]


def test_skew_is_over_when_it_has_not_moved_or_its_feature_or_its_version_is_gone(house):  # noqa: F811
    assert skewed(house, 1, moved=True, alarm=True) == ["skew:sales"]
    assert skewed(house, 1, moved=True, alarm=False) == ["skew:sales"]  # neither lasting nor over
    assert skewed(house, 1, moved=False, alarm=False) == []
    skewed(house, 1, moved=True, alarm=True)
    assert skewed(house, 2, moved=False, alarm=False, table="another") == []
    skewed(house, 2, moved=True, alarm=True)
    house.monitoring.skew.forget("m", 2)
    assert house.alerts.list("m", state="open")
    house.monitoring.skew.forget("m", 3)
    assert house.alerts.list("m", state="open") == []
