"""The columns of a table over time, from what was kept at ingestion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from hanok.ui.svg import layers
from tests.unit.ui.test_runs import app, client  # noqa: F401 (fixtures)


def months(app):  # noqa: F811
    """Three months; in the third, `temp` has another unit and `place` is often missing."""
    for month in (1, 2, 3):
        hours = [datetime(2013, month, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(24 * 28)]
        count = len(hours)
        rows = pa.table(
            {
                "at": pa.array(hours, pa.timestamp("us", "UTC")),
                "temp": [float(i % 40) if month < 3 else (i % 40) / 10 for i in range(count)],
                "place": [None if month == 3 and i % 2 else "ab"[i % 2] for i in range(count)],
                "key": [f"{month}-{i}" for i in range(count)],
            }
        )
        app.validation.ingest("weather", rows, key=f"m{month}", event_time="at", slices=["place"])


def test_a_column_shows_its_distribution_by_period_with_the_break_in_it(app, client):  # noqa: F811
    months(app)
    columns = client.get("/data/weather.json").json()["columns"]
    by_name = {c["name"]: c for c in columns["columns"]}
    assert columns["periods"] == ["2013-01", "2013-02", "2013-03"] and columns["rows"] > 2000 - 700
    medians = [spread[2] for spread in by_name["temp"]["spread"]]
    assert medians[0] == medians[1] > 5 * medians[2]
    assert by_name["place"]["nulls"] == [0.0, 0.0, 0.5]
    assert {t["value"] for t in by_name["place"]["top"]} == {"a", "b"}
    assert by_name["key"]["top"] == [] and by_name["at"]["top"] == []


def test_a_slice_and_a_span_are_in_the_url(app, client):  # noqa: F811
    months(app)
    part = client.get("/data/weather.json?slice=place%3Da&since=2013-02&until=2013-02").json()["columns"]
    assert part["rows"] == 336 and all(p.startswith("2013-02") for p in part["periods"])
    assert part["slices"] == ["place=a", "place=b", "place=null"]
    none = client.get("/data/weather?slice=place%3Dzz")
    assert none.status_code == 200 and "its slices are place=a, place=b" in none.text


def test_layers_stack_to_the_whole():
    drawn = layers([[0.5, 0.25], [0.5, 0.75]], title="shares")
    assert drawn.count("<path") == 3 and "shares" in drawn
    assert layers([[1.0]], title="one").count("<path") == 2 and layers([], title="none")
