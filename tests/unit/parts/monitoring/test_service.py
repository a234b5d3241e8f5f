"""Monitoring of one model: days that got labels late, answers that failed, features that changed their type."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.drift import reference
from hanok.core.clock import ReplayClock
from hanok.core.keys import KeyType
from hanok.core.labels import LabelSource
from hanok.core.serving import Signature
from hanok.core.validation import MISSING_COLUMN, NOT_PRESENT, UNIT, Anomaly, ColumnStatistics
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.service import Monitoring
from hanok.stores.delta import DeltaTables
from hanok.stores.sql import SqlMetadata

START, DAY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
INSTANT = pa.timestamp("us", "UTC")
SIGNATURE = Signature((), "binary", ("0", "1"))
SOURCE = LabelSource("m", "truth", "late", "known", ("who",), slices=("city",))


class House:
    def __init__(self, root):
        self.metadata, self.tables = SqlMetadata.at(root / "m.db"), DeltaTables(root / "tables")
        self.clock = ReplayClock(START)
        self.alerts = Alerts(metadata=self.metadata, clock=self.clock)
        self.monitoring = Monitoring(metadata=self.metadata, tables=self.tables, alerts=self.alerts, clock=self.clock)

    def answer(self, day, *, count=20, failed=0, **features):
        at = pa.array([day + timedelta(minutes=i) for i in range(count)], INSTANT)
        ids = [f"{day:%m%d}-{i}" for i in range(count)]
        log = {"prediction_id": ids, "row_id": ids, "at": at, "version": [1] * count, "arm": ["primary"] * count}
        log |= {"score": pa.array([None] * failed + [0.5] * (count - failed), pa.float64()), "_arrived": at}
        log |= {"scores": pa.array([[]] * count, pa.list_(pa.float64())), "key__who": ids}
        log |= {"error": ["failed"] * failed + [""] * (count - failed)} | features
        self.tables.append("predictions--m", pa.table(log), key=f"{day}")
        return ids

    def tell(self, ids, word=None):
        now = pa.array([self.clock.now()] * len(ids), INSTANT)
        rows = {
            "who": ids,
            "late": [i % 2 if word is None else word for i in range(len(ids))],
            "known": now,
            "_arrived": now,
        }
        self.tables.append("truth", pa.table(rows), key=f"{self.clock.now()} {ids[0]}")
        return self.monitoring.labels.join(SOURCE, [KeyType.TEXT], lambda _: SIGNATURE, SIGNATURE)


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.tables.close()
    made.metadata.close()


def test_every_day_that_got_labels_is_measured_however_long_ago_it_was(house):
    days = [START + 40 * i * DAY for i in range(9)]
    ids = [i for day in days for i in house.answer(day, f__city=["A", "B"] * 10)]
    house.clock.move_to(START + 365 * DAY)
    assert house.tell(ids) == 180
    house.monitoring.measure("m", "binary", [house.clock.now()])
    measured = house.monitoring.performance("m")
    assert [p.day for p in measured] == [f"{d:%Y-%m-%d}" for d in days]
    assert all(p.rows == 20 and set(p.slices["city"]) == {"A", "B"} for p in measured)


def test_an_answer_that_failed_has_no_outcome_and_spoils_no_metric(house):
    ids = house.answer(START, failed=5)
    house.clock.move_to(START + DAY)
    assert house.tell(ids) == 15
    house.monitoring.measure("m", "binary", [START])
    (measured,) = house.monitoring.performance("m")
    assert measured.rows == 15 and measured.metrics["log_loss"] == pytest.approx(np.log(2), abs=1e-6)


def test_a_day_or_a_version_whose_labels_count_no_more_keeps_no_performance(house):
    old, new = house.answer(START), house.answer(START + DAY, version=[1] * 10 + [2] * 10)
    house.clock.move_to(START + 2 * DAY)

    def measured(ids, word=None):
        if ids:
            house.clock.move_to(house.clock.now() + timedelta(hours=1))
            house.tell(ids, word)
        house.monitoring.measure("m", "binary", [START + DAY])
        return [(p.day, p.version, p.rows) for p in house.monitoring.performance("m")]

    first, second = "2026-01-01", "2026-01-02"
    assert measured([]) == []  # before any label
    assert measured([*old, *new]) == [(first, 1, 20), (second, 1, 10), (second, 2, 10)]
    assert measured([*old, *new[10:]], 7) == [(second, 1, 10)]
    assert measured(new[:10], 7) == []
    assert measured(new[:3]) == [(second, 1, 3)]
    assert measured([]) == [(second, 1, 3)]


def test_labels_joined_while_days_are_measured_are_in_the_next_measurement(house):
    """A join takes its instant before it commits: a measurement that starts in between must not pass over it."""
    ids = house.answer(START)
    house.clock.move_to(START + DAY)
    committed = house.metadata.write

    def slow(work):
        house.clock.move_to(house.clock.now() + timedelta(seconds=1))
        house.monitoring.labels._metadata = house.metadata
        house.monitoring.measure("m", "binary", [])
        return committed(work)

    class Slow:
        read, write = house.metadata.read, staticmethod(slow)

    labels = house.monitoring.labels
    finish = labels._finish

    def interrupted(*arguments):
        labels._metadata = Slow()
        finish(*arguments)

    labels._finish = interrupted
    assert house.tell(ids) == 20
    assert house.monitoring.performance("m") == []
    house.monitoring.measure("m", "binary", [])
    (measured,) = house.monitoring.performance("m")
    assert measured.rows == 20
    assert house.monitoring._newly_labelled("m")[0] == set()  # and once


class Live:
    signature = SIGNATURE

    def score(self, columns):
        return np.full(len(columns["size"]), 0.5)


@pytest.mark.parametrize("column", ["f__size", "n__size"])
def test_drift_reads_the_column_that_holds_the_kind_of_its_reference(house, column):
    """A feature that is text in one version and a number in another stands in two columns of the log."""
    trained = reference("size", pa.chunked_array([np.random.default_rng(0).normal(0, 1, 500)]))
    other = {"f__size": pa.array(["big"] * 20)} if column == "n__size" else {}
    house.answer(START, **other, **{column: np.linspace(-1, 1, 20)})
    report = house.monitoring.drift("m", "v1", [trained], {"size": 1.0}, Live(), start=START, end=START + DAY)
    assert report is not None and report.features[0].null_share == 0


def test_a_feature_that_is_text_now_is_no_reason_to_stop(house):
    trained = reference("size", pa.chunked_array([np.random.default_rng(0).normal(0, 1, 500)]))
    house.answer(START, f__size=["big"] * 20)
    assert house.monitoring.drift("m", "v1", [trained], {"size": 1.0}, Live(), start=START, end=START + DAY) is None


def test_no_number_of_closed_alerts_hides_an_open_one(tmp_path):
    from datetime import UTC, datetime, timedelta

    from hanok.core.clock import ReplayClock
    from hanok.parts.monitoring.alerts import Alerts
    from hanok.stores.sql import SqlMetadata

    clock = ReplayClock(datetime(2026, 1, 1, tzinfo=UTC))
    metadata = SqlMetadata.at(tmp_path / "m.db")
    alerts = Alerts(metadata=metadata, clock=clock)
    alerts.raise_("t", "data", "first", "still wrong")
    for i in range(30):
        clock.move_to(clock.now() + timedelta(minutes=1))
        alerts.raise_("t", "data", f"f{i}", "was wrong")
        alerts.resolve("t", f"f{i}", "mended")
    assert [a.fingerprint for a in alerts.list(state="open", limit=5)] == ["first"]
    assert len(alerts.list(state="resolved", limit=5)) == 5
    metadata.close()


@pytest.mark.parametrize(("kind", "nulls"), [(MISSING_COLUMN, None), (NOT_PRESENT, 40), (UNIT, 0)])
def test_a_fault_of_a_column_is_one_alert_until_a_batch_has_the_column_in_order(house, kind, nulls):
    fault = Anomaly(kind, "fee", "warning", "fee is wrong")
    good, bad = column("fee", 40), [] if nulls is None else [column("fee", 40, nulls)]
    house.alerts.raise_("t", "data", f"{kind}:fee:b0", "of an earlier release", facts={"type": kind, "column": "fee"})
    for batch in ("b1", "b2", "b3"):
        house.monitoring.batch_checked("t", batch, "", [fault], bad)
    house.monitoring.batch_checked("t", "a label", "", [], [column("other", 1)])
    (alert,) = house.alerts.list(state="open")
    assert (alert.fingerprint, alert.times, alert.facts["batch"]) == (f"{kind}:fee", 3, "b1")
    few = [column("fee", 5)]
    if kind == UNIT:  # too few rows to know their unit
        house.monitoring.batch_checked("t", "few", "", [], few)
        assert house.alerts.list(state="open")
        house.monitoring.batch_checked(
            "t", "later", "", [], [good], standing=lambda *asked: asked == (UNIT, "fee", "b1")
        )
        assert house.alerts.list(state="open")  # the rows in another unit count as they came
    house.monitoring.batch_checked("t", "b4", "", [], [good])
    assert house.alerts.list(state="open") == []


def column(name, rows, nulls=0):
    return ColumnStatistics(name, "FLOAT", rows, nulls, 0)


@pytest.mark.parametrize(("step", "alarms"), [(timedelta(seconds=2), 0), (timedelta(hours=1), 1)])
def test_a_feed_is_late_by_what_it_did_for_a_day_and_one_delivery_is_no_feed(house, step, alarms):
    for i in range(60):
        at = pa.array([START + i * step], INSTANT)
        house.tables.append("feed", pa.table({"x": [i], "_arrived": at}), key=str(i))
    house.clock.move_to(START + 60 * step + 10 * step)
    house.monitoring.check_feed("feed")
    assert len(house.alerts.list("feed", state="open")) == alarms
