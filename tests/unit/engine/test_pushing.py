"""Pushed rows: sent again they are one, a value that comes back counts, and the answer says what became of them."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.core.errors import BadData
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.server.feast import FeatureServer

START = datetime(2026, 1, 1, tzinfo=UTC)
SOURCES = (hk.Source("arrived"), hk.Source("dated", event_time="e"), hk.Source("keyed", "e", row_key=["u", "e"]))
MORE = (hk.Source("new", "e"), *(hk.Source(kind, columns={"x": kind}) for kind in ("number", "float")))
VIEWS = tuple(hk.FeatureView(f"v_{s.table}", keys="u", features=["x"], source=s) for s in (*SOURCES, *MORE))
TRIPS = hk.FeatureView("trips", keys="u", windows=["1d"], aggregate={"n": hk.count()}, source=hk.Source("trips", "e"))


class House:
    def __init__(self, folder):
        self.clock = ReplayClock(START)
        project = Project((*SOURCES[2:], *MORE[1:]), (*VIEWS, TRIPS), (), ())
        self.app = open_app(Config(home=folder / "home"), clock=self.clock, project=project)
        self.server = FeatureServer(self.app)

    def push(self, table, **columns):
        self.clock.move_to(self.clock.now() + timedelta(minutes=1))
        return self.server.push(json.dumps({"push_source_name": table, "df": columns}).encode())

    def online(self, view, entity):
        return next(iter(self.app.features.online(view, [[entity]])[0].values.values()))


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("pushing"))
    yield made
    made.app.close()


def rows(table, entity, value):
    event = {} if table == "arrived" else {"e": [START.isoformat()]}
    return {"u": [entity], **event, "x": [value]}


@pytest.mark.parametrize("table", [s.table for s in SOURCES])
def test_the_last_value_that_was_pushed_is_the_value_and_a_push_sent_again_is_one(house, table):
    before, values = house.app.tables.size(table), (5, 5, 6, 5, 5, 6)
    for value in values:
        assert house.push(table, **rows(table, "a", value)) == b""
        assert house.push(table, **rows(table, "b", 1)) == b""  # sent again and again; another entity's rows between
        assert (house.online(f"v_{table}", "a"), house.online(f"v_{table}", "b")) == (value, 1)
    changes = 1 + sum(one != other for one, other in pairwise(values))
    assert house.app.tables.size(table) - before == changes + 1


def test_an_event_that_is_sent_again_later_is_still_one_event(house):
    hours = [(START - timedelta(hours=h)).isoformat() for h in range(3)]
    for hour in (*hours, *hours):
        house.push("trips", u=["a"], e=[hour])
    assert house.online("trips", "a") == 3


def test_rows_that_are_there_already_are_taken_and_a_null_is_a_value(house):
    house.push("keyed", **rows("keyed", "c", 5))
    assert house.push("keyed", **dict(reversed(rows("keyed", "c", 5).items()))) == b""
    assert house.push("keyed", **rows("keyed", "c", None)) == b""
    assert house.online("v_keyed", "c") is None


def test_a_write_of_which_a_row_is_set_aside_is_an_error_that_says_it(house):
    with pytest.raises(BadData, match=r"1 of the 2 rows .*e is null.*quarantine list keyed; the other 1 are in"):
        house.push("keyed", u=["d", "d"], e=[START.isoformat(), None], x=[1, 2])
    assert house.online("v_keyed", "d") == 1
    with pytest.raises(BadData, match=r"none of .*e is null.*set aside: hanok quarantine list keyed"):
        house.push("keyed", u=["d"], e=[None], x=[3])


@pytest.mark.parametrize("table", ["arrived", "dated"])
def test_a_row_without_a_key_is_refused_and_nothing_of_its_write_is_taken(house, table):
    before = house.app.tables.size(table)
    with pytest.raises(BadData, match=r"row 2 .* has no 'u'.*no row of this write was taken"):
        house.push(table, **{n: [*v, None if n == "u" else v[0]] for n, v in rows(table, "z", 7).items()})
    assert house.app.tables.size(table) == before


def test_a_time_that_nobody_can_read_is_set_aside_as_it_came_with_its_true_reason(house):
    house.push("keyed", **rows("keyed", "t", 1))
    for sent in ("soon", 1 << 60):
        with pytest.raises(BadData, match="e is TIMESTAMP and this value is not"):
            house.push("keyed", u=["t"], e=[sent], x=[2])
        assert house.app.validation.quarantined("keyed", limit=1)[0].row["e"] == str(sent)
    with pytest.raises(BadData, match=r"column 'e' .* is TIMESTAMP and this value is not: 'soon'"):
        house.push("new", u=["t"], e=["soon"], x=[2])


def test_what_was_learned_bounds_no_write_and_what_is_declared_does(house):
    first = [(START - timedelta(seconds=i)).isoformat() for i in range(1500)]
    house.push("dated", u=["w"] * 1500, e=first, x=[i % 7 for i in range(1500)])
    assert house.push("dated", u=["w"], e=[(START + timedelta(seconds=9)).isoformat()], x=[10**9]) == b""
    assert house.online("v_dated", "w") == 10**9
    whole = house.app.ingesting.batch("dated", pa.table({"u": ["w"], "e": [START], "x": [10**9]}), key="a file").rows
    assert whole.quarantined == 1


@pytest.mark.parametrize(("kind", "first"), [("number", [2.0, 3.0]), ("float", [2, 3])])
def test_a_declared_number_keeps_its_fractions(house, kind, first):
    house.push(kind, u=["a", "b"], x=first)
    house.push(kind, u=["a"], x=[4.5])
    assert house.online(f"v_{kind}", "a") == 4.5


@pytest.mark.parametrize("end", ["tried again", "benign"])
def test_an_alert_of_rows_set_aside_stays_until_they_were_tried_again_or_somebody_says_it_is_benign(house, end):
    app, table = house.app, "arrived"
    house.push(table, u=["n"], x=[1])

    def open_alerts():
        return [a for a in app.alerts.list(table, state="open") if a.facts["column"] == "x"]

    with pytest.raises(BadData):
        house.push(table, u=[f"{end} 1", f"{end} 2"], x=["soon", "later"])
    house.push(table, u=[f"{end} 3"], x=[2])
    (alert,) = open_alerts()
    assert "2 rows set aside" in alert.summary
    if end == "benign":
        app.monitoring.mark_benign(alert.id, why="a test", actor="ann", reference=lambda _: [])
    for row in app.validation.quarantined(table, limit=2) if end != "benign" else ():
        assert open_alerts()
        app.validation.replay(table, [row.id], changes={"x": 7})
        app.bus.drain()
    assert not open_alerts()
