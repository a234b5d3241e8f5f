"""Windows over columns that are no numbers, and views that cannot be filled: each is told, and stops nothing else."""

from datetime import UTC, date, datetime, timedelta
from itertools import product

import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.core.errors import DeclarationError, Unavailable
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.sdk.client import Client
from hanok.sdk.transports import InProcess

START = datetime(2013, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", "UTC")
SOURCE = hk.Source("facts", event_time="at")
LATEST = hk.FeatureView("latest", keys="k", features=["v"], source=SOURCE)
BROKEN = hk.FeatureView("broken", keys="k", features=["v"], source=hk.Source("facts", event_time="text"))
KINDS = {
    "text": pa.array(["x", "", None]),
    "category": pa.array(["x", "y", None]).dictionary_encode(),
    "date": pa.array([date(2013, 1, 1), date(2013, 1, 2), None]),
    "instant": pa.array([START, START, None], MICROS),
    "flag": pa.array([True, False, None]),
    "number": pa.array([1, 0, None]),
}


class House:
    def __init__(self, folder):
        self.folder, self.clock, self.client = folder, ReplayClock(START + timedelta(hours=1)), None

    def open(self, *views):
        self.close()
        app = open_app(Config(home=self.folder / "home"), clock=self.clock, project=Project((), views, ()))
        self.client = Client(InProcess(app))
        return self.client

    def close(self):
        if self.client is not None:
            self.client.close()

    def both(self, view):
        """The values of entity `a` online, and in a training set made of the same instant."""
        (online,) = self.client.online(view, [{"k": "a"}])
        asked = pa.table({"k": ["a"], "t": pa.array([self.clock.now()], MICROS)})
        (row,) = self.client.training_set(asked, [view], at="t").rows.to_pylist()
        return online["values"], {n: v for n, v in row.items() if n not in asked.column_names}


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.close()


def facts(**columns):
    rows = len(next(iter(columns.values())))
    given = {"k": ["a"] * rows, "at": pa.array([START + timedelta(minutes=i) for i in range(rows)], MICROS)}
    return pa.table(given | {"v": [float(i) for i in range(rows)]} | columns)


def test_a_count_takes_columns_of_any_type(house):
    counts = {kind: hk.count(kind) for kind in KINDS}
    window = hk.FeatureView("w", keys="k", windows=["2h"], aggregate={"rows": hk.count(), **counts}, source=SOURCE)
    client = house.open(window)
    client.ingest("facts", facts(**KINDS))
    online, history = house.both("w")
    assert online == history == {"w__rows_2h": 3} | {f"w__{kind}_2h": 2 for kind in KINDS}
    house.open(window)
    assert house.both("w")[0] == online


def test_other_aggregates_of_what_is_no_number_are_refused_where_the_table_is_there(house):
    client = house.open(LATEST)
    client.ingest("facts", facts(**KINDS))
    functions = [hk.sum, hk.mean, hk.min, hk.max, hk.std, hk.first, hk.last, lambda c: hk.ratio("number", c)]
    for function, kind in product(functions, ["text", "category", "date", "instant"]):
        asked = hk.FeatureView("w", keys="k", windows=["2h"], aggregate={"x": function(kind)}, source=SOURCE)
        with pytest.raises(DeclarationError, match=f"'w' aggregate: .* takes numbers, and column '{kind}'"):
            client.app.declaring.apply(Project((), (LATEST, asked), ()))
    assert [f["name"] for f in client.call("feature.list")] == ["latest"]


def test_a_cell_that_is_no_number_is_null_to_a_sum_and_is_told(house):
    made = {"sum": hk.sum("price"), "last": hk.last("price"), "count": hk.count("price")}
    window = hk.FeatureView("w", keys="k", windows=["2h"], aggregate=made, source=SOURCE)
    client = house.open(window, LATEST)  # the table comes later, and has prices as text
    client.ingest("facts", facts(price=["5", "free", None]))
    online, history = house.both("w")
    assert online == history == {"w__sum_2h": 5, "w__last_2h": 5, "w__count_2h": 2}
    (alert,) = client.call("alert.list")
    assert "1 values of 'price' are no numbers ('free')" in alert["summary"] and "'w'" in alert["summary"]
    client.ingest("facts", facts(price=["7"]))
    assert [a["state"] for a in client.call("alert.list")] == ["resolved"]
    house.open(window, LATEST)
    assert house.both("w")[0] == {"w__sum_2h": 12, "w__last_2h": 7, "w__count_2h": 3}


def test_a_view_that_cannot_be_filled_stops_no_other_and_is_told_by_name(house):
    client = house.open(BROKEN, LATEST)
    for opened in range(2):
        client.ingest("facts", facts(text=["x", "y"]))
        client.ingest("others", pa.table({"k": ["a"]}))
        assert house.both("latest")[0] == {"latest__v": 1}
        with pytest.raises(Unavailable, match="feature view 'broken' has no online values"):
            client.online("broken", [{"k": "a"}])
        listed = {f["name"]: f.get("not_filled", "") for f in client.call("feature.list")}
        assert listed["broken"] and not listed["latest"]
        assert [r["what"] for r in client.call("doctor") if not r["ok"]] == ["feature view broken"], opened
        assert any("broken" in a["summary"] for a in client.call("alert.list"))
        client = house.open(BROKEN, LATEST)


@pytest.mark.parametrize(
    "lacking",
    [
        hk.FeatureView("w", keys="k", features=["v", "soon"], source=SOURCE),
        hk.FeatureView("w", keys="k", windows=["2h"], aggregate={"x": hk.mean("soon")}, source=SOURCE),
        hk.FeatureView("w", keys="soon", features=["v"], source=SOURCE),
    ],
)
def test_a_view_whose_table_comes_later_without_a_column_of_it_is_told_and_trains_nothing(house, lacking):
    client = house.open(lacking, LATEST)
    client.ingest("facts", facts(v=[1.0]))
    assert house.both("latest")[0] == {"latest__v": 1}
    for _ in range(2):
        listed = {f["name"]: f.get("not_filled", "") for f in client.call("feature.list")}
        assert "table 'facts' has no column 'soon'" in listed["w"] and not listed["latest"]
        assert [r["what"] for r in client.call("doctor") if not r["ok"]] == ["feature view w"]
        (alert,) = client.call("alert.list")
        assert "feature view w" in alert["summary"] and "has no column 'soon'" in alert["summary"]
        project = Project((), (lacking, LATEST), ())
        changes = client.app.declaring.told(project, client.app.declaring.plan(project))
        assert [(c.change, "no column 'soon'" in c.why) for c in changes] == [("unchanged", True), ("unchanged", False)]
        asked = pa.table({"k": ["a"], "soon": ["a"], "t": pa.array([house.clock.now()], MICROS)})
        with pytest.raises(DeclarationError, match="table 'facts' has no column 'soon'"):
            client.training_set(asked, ["w", "latest"], at="t")
        client = house.open(lacking, LATEST)
    client.ingest("facts", facts(soon=["a"] if lacking.keys == ("soon",) else [4.0], v=[4.0]))
    assert [r["what"] for r in client.call("doctor") if not r["ok"]] == []
    assert [a["state"] for a in client.call("alert.list")] == ["resolved"]
    (online,) = client.online("w", [{lacking.keys[0]: "a"}])
    assert set(online["values"].values()) == {4.0}
    history = client.training_set(asked, ["w"], at="t").rows.select(list(online["values"])).to_pylist()
    assert history == [online["values"]]


def test_a_row_that_will_be_known_later_is_seen_by_nothing_before(house):
    embargoed = hk.Source("facts", event_time="at", known_at="told")
    client = house.open(hk.FeatureView("w", keys="k", features=["v"], source=embargoed))
    told = pa.array([START, START + timedelta(hours=5), None], MICROS)  # the last is known from its arrival on
    client.ingest("facts", facts(told=told, k=["b", "a", "c"]))
    for hours, seen in ((1, None), (4, None), (5, 1), (6, 1)):
        house.clock.move_to(START + timedelta(hours=hours))
        online, history = house.both("w")
        assert online == history == {"w__v": seen}
    assert client.online("w", [{"k": "c"}])[0]["values"] == {"w__v": 2}
