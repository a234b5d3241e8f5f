"""Training sets of a table that the project keeps: the rows that count, and the same ones again."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.access import Access, Actor, acting
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.core.errors import Cancelled
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.declaring import Declaring
from hanok.engine.feature_sets import AskedSet, FeatureSets
from hanok.engine.feature_stats import FeatureStats
from hanok.engine.parts import find
from hanok.sdk.client import Client
from hanok.sdk.transports import InProcess

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
TEMPS = hk.FeatureView("temps", keys="u", features=["t"], source=hk.Source("temps", event_time="e"))
TRIPS = hk.Source("trips", event_time="e", row_key=["u", "e"])
SPENT = hk.FeatureView(
    "spent",
    keys="u",
    source=hk.Source("trips", "e"),
    windows=["1d"],
    aggregate={"n": hk.count(), "sum": hk.sum("fare")},
)

PARCELS = hk.Source("parcels", event_time="e", row_key=["id"])
HELD = hk.FeatureView("held", keys="u", source=PARCELS, windows=["1d"], aggregate={"n": hk.count()})


@pytest.fixture
def app(tmp_path):
    project = Project((TRIPS, PARCELS), (TEMPS, SPENT, HELD), (), ())
    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(START), project=project)
    arrive(made, "temps", u=["a", "b"], e=[START, START], t=[1.0, 2.0])
    yield made
    made.close()


def arrive(app, table, *, e, **columns):
    rows = pa.table({**columns, "e": pa.array(e, pa.timestamp("us", "UTC"))})
    app.ingesting.batch(table, rows, key=f"{table} {app.tables.size(table)}")
    app.bus.drain()
    app.clock.move_to(app.clock.now() + timedelta(minutes=1))


def fares(made):
    return sorted(zip(made.column("u").to_pylist(), made.column("fare").to_pylist(), strict=True))


def test_the_statistics_of_a_view_are_of_the_rows_that_count(app):
    arrive(app, "parcels", id=[1, 2], u=["a", "b"], e=[START, START + timedelta(hours=9)])
    arrive(app, "parcels", id=[2], u=["a"], e=[START])
    (said,) = find(app, FeatureStats).of("held")
    assert (said["of_entities"], said["max"], said["newest"]) == (1, 2, START.isoformat())


@pytest.mark.parametrize("spine", ["trips", "SELECT u, e + INTERVAL 1 HOUR AS e, fare FROM trips"])
def test_a_corrected_row_of_a_spine_takes_the_place_of_the_earlier_one_and_the_set_stays_as_it_was(app, spine):
    client, later = Client(InProcess(app)), START + timedelta(hours=1)
    arrive(app, "trips", u=["a", "b"], e=[later, later], fare=[5.0, 7.0])
    before = client.training_set(spine, ["temps"], at="e")
    arrive(app, "trips", u=["a", "c"], e=[later, later], fare=[6.0, 8.0])
    after = client.training_set(spine, ["temps"], at="e")
    arrive(app, "trips", u=["b"], e=[later], fare=[9.0])
    assert (fares(before.rows), fares(after.rows)) == ([("a", 5.0), ("b", 7.0)], [("a", 6.0), ("b", 7.0), ("c", 8.0)])
    for made in (before, after):
        again = client.call("feature.reproduce", training_set=made.id)
        assert again["bit_equal"] and again["rows"] == made.rows.num_rows


def test_a_window_counts_a_corrected_row_once_though_only_another_source_says_which_rows_are_the_same(app):
    client = Client(InProcess(app))
    for fare in (5.0, 6.0):
        arrive(app, "trips", u=["a"], e=[START], fare=[fare])
    rows = pa.table({"u": ["a", "a"], "at": [START + timedelta(seconds=90), app.clock.now()]})
    for asked in ("spent", SPENT):
        made = client.training_set(rows, [asked], at="at").rows
        assert made.column("spent__n_1d").to_pylist() == [1.0, 1.0]
        assert made.column("spent__sum_1d").to_pylist() == [5.0, 6.0]
    assert client.online("spent", {"u": "a"})[0]["values"] == {"spent__n_1d": 1.0, "spent__sum_1d": 6.0}


def test_the_snapshot_of_a_table_that_lost_rows_names_the_rows_that_are_there(app):
    at = pa.array([START + timedelta(hours=1)], pa.timestamp("us", "UTC"))
    app.tables.append("gap", pa.table({"u": ["a"], "e": at, "_arrived": at}), key="1")
    app.tables.append("gap", pa.table({"u": ["b"], "e": at, "_arrived": at}), key="2", first=5)
    client = Client(InProcess(app))
    made = client.training_set("gap", ["temps"], at="e")
    again = client.call("feature.reproduce", training_set=made.id)
    assert (again["rows"], again["bit_equal"], again["snapshots"]["gap"]) == (2, True, 6)


def test_a_set_whose_caller_hung_up_is_not_recorded(app):
    arrive(app, "trips", u=["a"], e=[START], fare=[5.0])
    sets = find(app, FeatureSets)
    with acting(Actor("eve", Access.EDIT)) as call:
        rows, call.gone = sets.rows_of("trips"), True
        with pytest.raises(Cancelled):
            sets.make(rows, AskedSet(("temps",), "e"))
        with pytest.raises(Cancelled):
            sets.rows_of(
                "SELECT u, e, sum(a.range * b.range) AS n FROM trips, range(9000000000) a, range(9) b GROUP BY ALL"
            )


def test_history_that_came_before_its_known_at_was_declared_counts_from_then_once_it_is_sent_again(app):
    """`apply` says how many rows are concerned, and what to do; sent again they are the same rows, known earlier."""
    held = {"id": list(range(20)), "u": ["a"] * 20}
    rows = pa.table({**held, "e": pa.array([START - timedelta(hours=h) for h in range(20)], INSTANT)})
    asked = pa.table({"u": ["a"], "at": pa.array([START - timedelta(hours=9)], INSTANT)})
    client = Client(InProcess(app))
    app.ingesting.batch("parcels", rows, key="first")
    assert client.training_set(asked, ["held"], at="at").rows.column("held__n_1d").to_pylist() == [0]
    source = hk.Source("parcels", event_time="e", row_key=["id"], known_at="e")
    view = hk.FeatureView("held", keys="u", source=source, windows=["1d"], aggregate={"n": hk.count()})
    (change, *_) = find(app, Declaring).apply(Project((source,), (view,), (), ()))
    assert change.why.startswith("20 of 20 rows came before known_at") and "another --key" in change.why
    for key, became in (("again", (20, 0, 20)), ("and again", (0, 20, 0))):
        told = app.ingesting.batch("parcels", rows, key=key).rows
        assert (told.accepted, told.unchanged, told.corrected) == became
        app.bus.drain()
        assert client.training_set(asked, ["held"], at="at").rows.column("held__n_1d").to_pylist() == [11]
    assert [a.message.split(",")[0] for a in app.validation.result("parcels", "again").anomalies] == [
        "20 rows that were there are known from earlier instants on"
    ]
    assert find(app, Declaring).plan(Project((source,), (view,), (), ()))[0].why == ""
