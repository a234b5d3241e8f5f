"""A feed of a few rows a batch is held to what is usual as one of many rows is: its last batches count together."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.core.clock import ReplayClock
from hanok.parts.validation.service import Validation
from hanok.stores.memory import MemoryBlobs, MemoryTables
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)


class Feed:
    """Rows of an hour each, sent so many at a time."""

    def __init__(self, folder, per):
        self.per, self.rng, self.sent, self.counter = per, np.random.default_rng(3), 0, 0
        self.metadata = SqlMetadata.at(folder / "m.db")
        self.validation = Validation(
            metadata=self.metadata, tables=MemoryTables(), blobs=MemoryBlobs(), clock=ReplayClock(START)
        )

    def send(self, rows, *, factor=1.0, nulls=0.1):
        """Anomalies of each batch as (type, column)."""
        found = []
        for _ in range(rows // self.per):
            numbers = range(self.sent, self.sent + self.per)
            level = self.rng.normal(4, 1.5, self.per) * factor
            gone = self.rng.random(self.per) < nulls
            batch = pa.table(
                {
                    "at": pa.array([START + timedelta(hours=i) for i in numbers], pa.timestamp("us", "UTC")),
                    "id": pa.array([i * 7 % 1000003 for i in numbers]),
                    "odometer": pa.array([20.5 + i * 3 for i in numbers]),
                    "level": pa.array(level),
                    "share": pa.array(self.rng.random(self.per), mask=gone),
                }
            )
            done = self.validation.ingest("tank", batch, key=str(self.sent), keys=["id"], event_time="at")
            found.append({(a.type.removeprefix("FEATURE_TYPE_"), a.column) for a in done.anomalies} | {*done.units})
            self.sent += self.per
        return found


@pytest.fixture(params=[6, 24])
def feed(tmp_path, request):
    made = Feed(tmp_path, request.param)
    yield made
    made.metadata.close()


def test_another_unit_is_seen_after_thirty_rows_however_few_come_at_once(feed):
    units = {("UNIT_CHANGED", c) for c in ("id", "odometer", "level")}
    usual = feed.send(144)
    assert not set().union(*usual) & units, "numbers that count on have no unit, nor have keys"
    changed = feed.send(48, factor=10.0)
    assert set().union(*changed) & units == {("UNIT_CHANGED", "level")}
    first = next(i for i, found in enumerate(changed) if ("UNIT_CHANGED", "level") in found)
    assert (first + 1) * feed.per <= 48 and all(("UNIT_CHANGED", "level") in found for found in changed[first:])
    after = feed.send(48)
    assert ("UNIT_CHANGED", "level") not in after[-1] and "level" in after[-1], "that it is in order again is known"


def test_nulls_that_came_to_be_many_are_seen(tmp_path):
    feed = Feed(tmp_path, 6)
    few = ("LOW_FRACTION_PRESENT", "share")
    assert sum(few in found for found in feed.send(120)[5:]) <= 1
    assert any(few in found for found in feed.send(48, nulls=0.6)), "by what is known of six rows they are chance"
    feed.metadata.close()


def test_the_largest_numbers_stop_no_table(tmp_path):
    """What is kept of the last rows stays within what a record can hold, and rows after them come in."""
    feed = Feed(tmp_path, 4)
    for number, values in enumerate(([4.6, 0.1, 1e308, 1e16], [-1e308], [2.5], [-3.4, 1.7e308, 5.0])):
        batch = pa.table({"k": [f"{number}{i}" for i in range(len(values))], "v": values})
        assert feed.validation.ingest("t", batch, key=str(number)).accepted == len(values)
    assert feed.validation.ingest("t", pa.table({"k": ["z"], "v": [1.0]}), key="z").accepted == 1
    feed.metadata.close()
