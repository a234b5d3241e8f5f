"""What is told about a table is told of the rows that count: a corrected row takes the place of the earlier one."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from hanok.compute.duck import read
from hanok.core.clock import ReplayClock
from hanok.core.tables import Overlay
from hanok.parts.validation.service import Validation
from hanok.stores.memory import MemoryBlobs, MemoryTables
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def validation(tmp_path):
    metadata = SqlMetadata.at(tmp_path / "m.db")
    made = Validation(metadata=metadata, tables=MemoryTables(), blobs=MemoryBlobs(), clock=ReplayClock(START))
    made.overlay = lambda _: Overlay(("site", "day"))
    yield made
    metadata.close()


def of_days(rng, days, *, known_at):
    """Rows of a few sites on these days. `known_at` is the event time: it may move when a row is corrected."""
    rows = [(f"s{rng.randrange(4)}", d) for d in days]
    return pa.table(
        {
            "site": [s for s, _ in rows],
            "day": [d for _, d in rows],
            "at": pa.array([START + timedelta(days=known_at(d)) for _, d in rows], pa.timestamp("us", "UTC")),
            "temp": [float(rng.randrange(100)) for _ in rows],
        }
    )


@pytest.mark.parametrize("seed", range(2))
def test_kept_statistics_are_those_of_the_rows_that_count(validation, seed):
    """Batches of many days a time (kept by month or year) and of few (kept by day) correct each other."""
    rng = random.Random(seed)
    for number in range(5):
        few = [rng.randrange(90) for _ in range(rng.randrange(1, 4)) for _ in range(3)]
        days = rng.sample(range(90), 60) if rng.random() < 0.4 else few
        batch = of_days(rng, days, known_at=lambda d: d + rng.choice([0, 0, 0, 1, 31]))
        validation.ingest("t", batch, key=str(number), event_time="at", slices=["site"], row_key=["site", "day"])
    tables, kept = validation._tables, validation.kept
    scan = tables.scan("t")
    counting = read(replace(scan, overlay=Overlay(("site", "day"))), ["at", "temp", "site"]).to_pylist()
    assert len(counting) < scan.upto, "some were corrected"

    for month in ("2026-01", "2026-02", "2026-03"):
        temps = [r["temp"] for r in counting if r["at"].strftime("%Y-%m") == month]
        if temps and "2026" not in kept.select("t").by_partition:
            told = kept.select("t", since=month, until=month).merged
            assert (told.rows, told.columns["temp"].moments.mean) == (
                len(temps),
                pytest.approx(sum(temps) / len(temps)),
            )
    whole = kept.select("t").merged
    assert whole.rows == len(counting) == kept.rows_counting("t")
    assert whole.columns["temp"].moments.mean == pytest.approx(sum(r["temp"] for r in counting) / len(counting))
    by_site = Counter(r["site"] for r in counting)
    assert {s: kept.select("t", slice_=f"site={s}").merged.rows for s in by_site} == by_site


def test_a_repaired_month_is_in_order_and_a_batch_alone_is_told_as_it_came(validation):
    def month(factor):
        return pa.table(
            {
                "site": [f"s{i}" for _ in range(10) for i in range(20)],
                "day": [d for d in range(10) for _ in range(20)],
                "at": pa.array([START + timedelta(days=d) for d in range(10) for _ in range(20)]),
                "temp": [(10.0 + i) * factor for _ in range(10) for i in range(20)],
            }
        )

    for key, factor in (("wrong", 5), ("right", 1)):
        validation.ingest("t", month(factor), key=key, event_time="at", row_key=["site", "day"])
    found = validation.kept.select("t")
    assert [s.columns["temp"].maximum for s in found.by_partition.values()] == [29.0] * 10
    assert found.merged.rows == 200 and found.batches == 2
    assert validation.state("t", batch="wrong").columns["temp"].maximum == 145.0


def test_a_column_without_a_value_corrects_to_null(validation):
    rows = of_days(random.Random(0), range(3), known_at=lambda d: d)
    validation.ingest("t", rows, key="a", row_key=("site", "day"))
    told = rows.set_column(3, "temp", pa.nulls(3))
    result = validation.ingest("t", told, key="b", row_key=("site", "day"))
    assert (result.corrected, result.unchanged) == (3, 0)
    counts = read(replace(validation._tables.scan("t"), overlay=Overlay(("site", "day"))))
    assert counts.column("temp").null_count == counts.num_rows == 3


def one(temp):
    at = pa.array([START], pa.timestamp("us", "UTC"))
    return pa.table({"site": ["s"], "day": [0], "at": at, "temp": [temp]})


def test_batches_that_come_at_once_are_taken_one_after_the_other(validation):
    def push(number):
        return validation.ingest("t", one(number), key=str(number), row_key=("site", "day"))

    push(0.0)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(push, [float(n) for n in range(1, 17)]))
    assert [r.corrected for r in results] == [1] * 16
    assert read(validation._tables.scan("t")).num_rows == 17
    assert validation.schema("t").rows_seen == 17


def test_a_batch_that_was_lost_is_held_to_what_came_since(validation):
    def send(key, temp):
        return validation.ingest("t", one(temp), key=key, row_key=("site", "day"))

    send("a", 1.0)
    send("b", 2.0)
    del validation._tables._keys["t", "b"], validation._tables._tables["t"][1:]
    assert send("c", 2.0).corrected == 1
    assert send("b", 2.0).unchanged == 1
