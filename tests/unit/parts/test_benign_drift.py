"""A season that is known to be benign: quiet when it comes back, loud when it turns into something else."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.drift import reference
from hanok.core.clock import ReplayClock
from hanok.core.serving import Signature
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.service import Monitoring
from hanok.stores.delta import DeltaTables
from hanok.stores.sql import SqlMetadata

START, DAY = datetime(2026, 6, 1, tzinfo=UTC), timedelta(days=1)
TRAINED = reference("temp", pa.chunked_array([np.random.default_rng(0).normal(0, 1, 3000)]))


class Live:
    """A model of temperature alone."""

    signature = Signature((), "binary")

    def score(self, columns):
        return np.full(len(columns["temp"]), 0.5)


class Year:
    def __init__(self, tmp_path):
        self.random, self.clock = np.random.default_rng(1), ReplayClock(START)
        self.metadata, self.tables = SqlMetadata.at(tmp_path / "m.db"), DeltaTables(tmp_path / "tables")
        self.alerts = Alerts(metadata=self.metadata, clock=self.clock)
        self.monitoring = Monitoring(metadata=self.metadata, tables=self.tables, alerts=self.alerts, clock=self.clock)
        self.day = START

    def days(self, count, warmth):
        """Answers at this temperature; the feature's line of the last report."""
        for _ in range(count):
            at = pa.array([self.day + timedelta(minutes=i) for i in range(200)], pa.timestamp("us", "UTC"))
            ids = [f"{self.day:%m%d}-{i}" for i in range(200)]
            log = {"prediction_id": ids, "at": at, "_arrived": at, "arm": ["primary"] * 200}
            log["f__temp"] = self.random.normal(warmth, 1, 200)
            self.tables.append("predictions--m", pa.table(log), key=f"{self.day}")
            end = self.day + DAY
            self.clock.move_to(end)
            report = self.monitoring.drift("m", "v1", [TRAINED], {"temp": 1.0}, Live(), start=self.day, end=end)
            self.day = end
        return report.features[0]


@pytest.fixture
def year(tmp_path):
    made = Year(tmp_path)
    yield made
    made.tables.close()
    made.metadata.close()


def test_a_marked_season_is_quiet_when_it_comes_back_and_says_whose_word_it_was(year):
    assert not year.days(12, 3.0).alarm  # the weeks of neighbouring days share rows: one week so far
    assert year.days(1, 3.0).alarm
    (alert,) = year.alerts.list("m", state="open")
    year.monitoring.mark_benign(alert.id, why="summer", actor="ann", reference=lambda _: [TRAINED])
    summer = year.days(2, 3.0)
    assert not summer.alarm and "ann marked as benign: summer" in summer.benign
    assert year.alerts.list("m", state="open") == []
    year.days(10, 0.0)
    again = year.days(9, 3.0)
    assert again.suspicious and not again.alarm and again.benign
    heat = year.days(9, 7.0)
    assert heat.alarm and not heat.benign
