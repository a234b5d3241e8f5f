"""From a strange day to its cause: faults are put in, and what is named is looked at."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.engine.diagnose import why_alert, why_window
from hanok.engine.evidence import Evidence
from hanok.engine.parts import find
from hanok.engine.why_prediction import why_prediction

DAY = timedelta(days=1)


def fresh_day(shop, change):
    """Predict the day after the replay with features changed on their way to the model."""
    from tests.loop.feeds import feeds

    start = shop.clock.now()
    for feed in feeds():
        rows, arrived = feed.between(start, start + DAY)
        if rows.num_rows:
            shop.ingesting.ingest(
                feed.table, rows, key="next day", arrived=arrived, keys=feed.keys, event_time=feed.event_time
            )
    shop.clock.move_to(start + DAY)
    model = shop.training.model("returns")
    rows = shop.features.historical(model, shop.features.spine_rows(model, start=start, end=start + DAY))
    ids = shop.serving.predict_batch("returns", change(rows), key="next day")
    shop.bus.drain()
    return start, ids


def replaced(column, values):
    def change(rows):
        place = rows.column_names.index(column)
        return rows.set_column(place, column, pa.chunked_array([values(rows.column(column))]))

    return change


def test_a_clean_day_has_no_cause(shop):
    start, _ = fresh_day(shop, lambda rows: rows)
    found = why_window(find(shop, Evidence), "returns", start, start + DAY)
    assert found.suspects == () and found.sentence.startswith("no cause found")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("size", lambda c: pa.array(c.to_numpy() * 25.4)),  # inches for millimetres
        ("product__returned_7d", lambda c: pa.nulls(len(c), pa.float64())),
        ("product", lambda c: pa.array(np.roll(c.to_numpy(zero_copy_only=False), 1), pa.string())),
    ],
)
def test_an_input_that_is_served_wrong_is_named_first(shop, column, values):
    start, ids = fresh_day(shop, replaced(column, values))
    found = why_window(find(shop, Evidence), "returns", start, start + DAY)
    assert found.suspects[0].columns == (column,) and found.suspects[0].kind == "skew"
    assert column in why_prediction(find(shop, Evidence), ids[0]).sentence


def test_a_feed_that_stops_raises_an_alert_that_leads_to_it(shop):
    now = shop.clock.now()
    shop.clock.move_to(now + timedelta(days=5))
    shop.watching.check_feeds()
    alert = next(a for a in shop.alerts.list() if a.kind == "feed" and a.subject == "orders")
    assert "orders has sent nothing for" in alert.summary
    from hanok.core.errors import NotFound

    with pytest.raises(NotFound, match="answered nothing"):  # nothing was predicted that day, and that is said
        why_alert(find(shop, Evidence), alert.id)


def test_answers_that_failed_are_told_and_spoil_no_mean(shop):
    from hanok.core.clock import micros
    from hanok.parts.serving.entries import Entry

    start, ids = fresh_day(shop, lambda rows: rows)
    clean = why_window(find(shop, Evidence), "returns", start, start + DAY)
    found = shop.serving.find(ids[0])
    failed = Entry(micros(start) + 1, found.version, "primary", None, [], found.features, {}, "no such product")
    shop.serving._log.append("returns", failed)
    shop.serving.compact(everything=True)
    beside = why_window(find(shop, Evidence), "returns", start, start + DAY)
    assert beside.sentence.startswith(f"1 of {len(ids) + 1} answers failed, the first with: no such product.")
    assert beside.symptom == replace(clean.symptom, failed=1) and beside.suspects == clean.suspects
    alone = why_window(find(shop, Evidence), "returns", start, start + timedelta(microseconds=2))
    assert alone.sentence.startswith("returns answered nothing: 1 of 1") and alone.symptom.mean_score is None


def test_the_page_shows_the_same_causes(shop):
    from starlette.testclient import TestClient

    from hanok.server.run import build

    start, _ = fresh_day(shop, replaced("size", lambda c: pa.array(c.to_numpy() * 25.4)))
    client = TestClient(build(shop), base_url="http://127.0.0.1")
    page = client.get(f"/why/returns?day={start:%Y-%m-%d}")
    assert page.status_code == 200 and "input size" in page.text
    assert client.get(f"/why/returns.json?day={start:%Y-%m-%d}").json()["diagnosis"]["suspects"][0]["columns"] == [
        "size"
    ]
    assert client.get("/why/returns?day=yesterday").status_code == 400
    assert client.get(f"/why/returns?day={datetime(1999, 1, 1, tzinfo=UTC):%Y-%m-%d}").status_code == 404


def test_answers_ahead_of_their_time_are_held_against_what_the_store_gave_then(shop):
    from tests.loop.feeds import feeds

    start = shop.clock.now()
    for feed in feeds():
        rows, arrived = feed.between(start, start + DAY)
        known = pa.array([start] * rows.num_rows) if feed.table == "orders" else arrived
        shop.ingesting.ingest(
            feed.table, rows, key="next day", arrived=known, keys=feed.keys, event_time=feed.event_time
        )
        shop.bus.drain()
        if feed.table == "prices":  # the returns of the day, which the views count, are not there yet
            shop.clock.move_to(start + timedelta(microseconds=1))
            for number in range(1920, 1960):
                shop.predicting.predict_entity("returns", {"order": f"o{number:05d}"})
    shop.clock.move_to(start + DAY)
    shop.serving.compact(everything=True)
    found = why_window(find(shop, Evidence), "returns", start, start + DAY)
    assert found.symptom.rows == 40 and [s for s in found.suspects if s.kind == "skew"] == []


def test_a_rehearsal_of_a_lived_in_home_is_kept_and_shown(shop):
    from hanok.core.rehearsal import REHEARSAL
    from hanok.engine.rehearsing import newest
    from hanok.engine.verbs.registry import call

    found = REHEARSAL.open(call(shop, "rehearse", "ann", {"model": "returns", "budget": "8s"}))
    assert found == newest(shop.metadata, "returns")
    assert found.version == shop.serving.deployment("returns").primary and found.faults and len(found.quiet) >= 5
    hurt = [f for f in found.harmful if f.place == "input"]
    assert sum(not f.unseen for f in hurt) >= 0.5 * len(hurt)
    shop.rehearsals.rehearse_new(find(shop, Evidence))  # this version was: nothing is done again
    assert newest(shop.metadata, "returns") == found
