"""A model that is asked once a month: each day of the month is watched as if it had been asked on that day."""

from datetime import timedelta

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.core.errors import NotFound
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.diagnose import why_alert, why_window
from hanok.engine.evidence import Evidence
from hanok.engine.parts import find
from hanok.engine.verbs.registry import call
from hanok.server.run import build
from tests.loop import test_kinds as kinds
from tests.unit.server.conftest import Sync

TRAINED, FIRST, LAST, NOW = 20, 30, 45, 60  # days


@pytest.fixture
def app(tmp_path):
    clock = ReplayClock(kinds.START + timedelta(days=TRAINED))
    app = open_app(Config(home=tmp_path / "home"), project=Project((), (), (kinds.ORDERS,)), clock=clock)
    rows, labels = kinds.orders(range(TRAINED))
    app.ingesting.ingest("orders", rows, key="1")
    app.ingesting.ingest("returns", labels, key="1")
    kinds.MADE.append(kinds.pipeline)
    app.training.train("orders", reason="try", actor="me")
    yield app
    app.close()


def month(app, shift):
    """All rows of some days, answered at once two weeks later, and their labels."""
    app.clock.move_to(kinds.START + timedelta(days=NOW))
    rows, labels = kinds.orders(range(FIRST, LAST), shift=shift, seed=1)
    app.ingesting.ingest("orders", rows, key="2")
    app.ingesting.ingest("returns", labels, key="2")
    start, end = (kinds.START + timedelta(days=day) for day in (FIRST, LAST))
    app.predicting.predict_window("orders", start, end, key="month")
    app.bus.drain()
    return start, end


def test_a_fault_in_what_is_answered_at_once_is_seen_and_named(app):
    start, end = month(app, shift=3.0)
    found = call(app, "measure", "me", {"model": "orders"})
    assert found["newest_day"] == f"{end - timedelta(days=1):%Y-%m-%d}" and len(found["days"]) >= 8
    assert [m["feature"] for m in found["moved"] if m["alarm"]] == ["price"]
    assert len(app.monitoring.drift_reports("orders")) == LAST - FIRST
    (alert,) = [a for a in app.alerts.list("orders", state="open") if a.kind == "drift"]

    evidence = find(app, Evidence)
    for diagnosis in (
        why_alert(evidence, alert.id),
        why_window(evidence, "orders", start + timedelta(days=5), end),  # the days before have the same fault
        why_window(evidence, "orders", start, end),  # there are no days before
    ):
        assert diagnosis.suspects[0].columns == ("price",), diagnosis.sentence
    assert diagnosis.symptom.usual_mean_score < 0.6 < diagnosis.symptom.mean_score


def test_a_month_as_it_was_in_training_is_quiet(app):
    start, end = month(app, shift=0.0)
    assert call(app, "measure", "me", {"model": "orders"})["moved"] == []
    assert app.alerts.list("orders", state="open") == []
    assert why_window(find(app, Evidence), "orders", start, end).sentence.endswith("nothing in the days before).")


def test_a_day_of_few_answers_is_looked_at_with_those_before_it(app):
    """One answer a day, in the last twenty of them with prices in cents."""
    app.clock.move_to(kinds.START + timedelta(days=NOW))
    rows, _ = kinds.orders(range(TRAINED, NOW), seed=1)
    at = rows.column("at").to_pylist()
    rows = rows.filter(pa.array([i == 0 or at[i].date() != at[i - 1].date() for i in range(len(at))]))
    late = pa.array([t >= kinds.START + timedelta(days=NOW - 20) for t in rows.column("at").to_pylist()])
    price = rows.column_names.index("price")
    cents = pc.if_else(late, pc.multiply(rows.column(price), 100.0), rows.column(price))
    app.ingesting.ingest("orders", rows.set_column(price, "price", cents), key="2")
    for day in range(TRAINED, NOW):
        start = kinds.START + timedelta(days=day)
        app.predicting.predict_window("orders", start, start + timedelta(days=1), key=f"day {day}")
    app.bus.drain()
    last = call(app, "why", "me", {"subject": "orders"})
    assert last["sentence"].startswith("1 answer of ") and last["suspects"][0]["columns"] == ("price",)
    day = kinds.START + timedelta(days=NOW - 21)
    clean = call(app, "why", "me", {"subject": "orders", "day": day})
    assert clean["suspects"] == () and "no cause found" in clean["sentence"]
    with pytest.raises(NotFound, match="the last day with answers is"):
        call(app, "why", "me", {"subject": "orders", "day": day + timedelta(days=365)})


def test_the_page_of_a_day_whose_rows_were_all_set_aside_says_so(app):
    app.clock.move_to(kinds.START + timedelta(days=NOW, hours=-1))
    day = kinds.START + timedelta(days=NOW - 1)
    rows, _ = kinds.orders(range(NOW - 1, NOW))
    price = rows.column_names.index("price")
    app.ingesting.ingest("orders", rows.set_column(price, "price", pa.array(["dear"] * rows.num_rows)), key="2")
    said = call(app, "why", "me", {"subject": "orders", "day": day})["sentence"]
    with httpx.Client(transport=Sync(build(app)), base_url="http://127.0.0.1") as client:
        page = client.get(f"/why/orders?day={day:%Y-%m-%d}")
    assert page.status_code == 200 and "every row of orders was set aside" in page.text and "set aside" in said
