"""Features for any code: services, aliases, training sets and online values, in process and over HTTP."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet as pq

import hanok as hk
from hanok.cli import cli
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project, as_dict, digest, from_dict
from hanok.core.errors import BadData, DeclarationError, FeatureViewNotFound, HanokError, Invalid
from hanok.core.lineage import NodeKind
from hanok.engine import feature_stats
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.project import load_project
from hanok.sdk.client import Client
from hanok.sdk.transports import Http, InProcess
from tests.serving import served

START = datetime(2013, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", "UTC")
WEATHER = hk.FeatureView(
    "weather", keys="airport", ttl="3h", features=["temp", "wind"], source=hk.Source("weather", event_time="e")
)
LATE = hk.FeatureView(
    "late", keys="carrier", windows=["1h", "1d"], aggregate={"n": hk.count(), "delay": hk.mean("delay")},
    source=hk.Source("landings", event_time="e"),
)  # fmt: skip
TRIP = hk.FeatureService(
    "trip",
    features=[WEATHER.alias("origin", keys="from")["temp"], WEATHER.alias("dest", keys="to"), LATE["n_1d"]],
    owner="ann",
)


def at(hours):
    return START + timedelta(hours=hours)


def weather(*rows):
    names = ("airport", "e", "temp", "wind")
    made = dict(zip(names, zip(*rows, strict=True), strict=True))
    return pa.table(made | {"e": pa.array([at(h) for h in made["e"]], MICROS)})


def landings(*rows):
    made = dict(zip(("carrier", "e", "delay"), zip(*rows, strict=True), strict=True))
    return pa.table(made | {"e": pa.array([at(h) for h in made["e"]], MICROS)})


WEATHER_ROWS = weather(("JFK", 0, 1.0, 5.0), ("LAX", 0, 20.0, None), ("JFK", 1, 2.0, 6.0))
LANDINGS_ROWS = landings(("UA", 0.25, 10.0), ("UA", 1, 30.0), ("AA", 1, None))
SPINE = {
    "flight": [1, 2, 3, 4],
    "from": ["JFK", "LAX", "JFK", None],
    "to": ["LAX", "JFK", "SFO", "JFK"],
    "carrier": ["UA", "AA", "UA", "UA"],
    "asked": pa.array([at(1.5), at(1.5), at(9), None], MICROS),
}
WANTED = {
    "origin__temp": [2.0, 20.0, None, None],
    "dest__temp": [20.0, 2.0, None, None],
    "dest__wind": [None, 6.0, None, None],
    "late__n_1d": [2.0, 1.0, 2.0, None],
}


class House:
    def __init__(self, folder):
        self.clock = ReplayClock(START)
        project = Project((), (WEATHER, LATE), (), (TRIP,))
        self.app = open_app(Config(home=folder / "home"), clock=self.clock, project=project)
        self.client = Client(InProcess(self.app))
        self.arrive("weather", WEATHER_ROWS)
        self.arrive("landings", LANDINGS_ROWS)
        self.clock.move_to(at(2))

    def arrive(self, table, rows):
        self.app.ingesting.batch(table, rows, key=f"{table} {self.clock.now()}", arrived=rows.column("e"))
        self.app.bus.drain()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("features"))
    yield made
    made.app.close()


@pytest.fixture(scope="module", params=["in process", "http"])
def client(request, house):
    if request.param == "in process":
        yield house.client
        return
    with served(house.app) as address:
        yield Client(Http(address))


def test_a_service_with_an_alias_gives_a_training_set_of_rows_that_anybody_has(client, house):
    made = client.training_set(pa.table(SPINE), "trip", at="asked")
    assert made.rows.column_names == [*SPINE, *WANTED]
    assert {n: made.rows.column(n).to_pylist() for n in WANTED} == WANTED
    assert made.rows.column("flight").to_pylist() == SPINE["flight"]
    node = house.app.metadata.read(lambda r: r.lineage.node(made.id))
    assert node.kind is NodeKind.TRAINING_SET and node.facts["rows"] == 4
    around = house.app.metadata.read(lambda r: r.lineage.neighbours(made.id)).nodes
    assert {n.name for n in around} >= {"weather[:3]", "landings[:3]"}


def test_the_pure_function_gives_the_same_without_a_home():
    tables = {"weather": WEATHER_ROWS, "landings": LANDINGS_ROWS}
    made = hk.point_in_time_join(SPINE, TRIP, tables)
    assert {n: made.column(n).to_pylist() for n in WANTED} == WANTED


class Frame:
    """What Polars, pandas and others hand over: a stream of Arrow batches."""

    def __init__(self, rows):
        self.__arrow_c_stream__ = rows.__arrow_c_stream__


def test_frames_files_tables_and_sql_are_spines(client, house, tmp_path):
    rows = pa.table(SPINE)
    pq.write_table(rows, tmp_path / "spine.parquet")
    found = [
        client.training_set(spine, "trip", at="asked").rows
        for spine in (Frame(rows), SPINE, tmp_path / "spine.parquet", str(tmp_path / "spine.parquet"))
    ]
    for made in found:
        assert {n: made.column(n).to_pylist() for n in WANTED} == WANTED
    by_table = client.training_set("weather", [LATE.alias("l", keys="airport"), "weather"], at="e")
    assert by_table.rows.column("weather__temp").to_pylist() == [None, None, 1.0]  # never its own row
    by_sql = client.training_set(
        "SELECT airport, max(e) + INTERVAL 1 HOUR AS t FROM weather GROUP BY 1", "weather__temp"
    )
    assert sorted(by_sql.rows.column("weather__temp").to_pylist()) == [2.0, 20.0]
    assert pa.table(client.training_set(rows, "trip", at="asked")).num_rows == 4


def test_online_values_say_whether_they_are_present_null_missing_or_stale(client):
    entities = [
        {"from": "JFK", "to": "LAX", "carrier": "UA"},
        {"from": "SFO", "to": "JFK", "carrier": "XX"},
        {"from": None, "to": "JFK", "carrier": "AA"},
    ]
    one, other, null = client.online("trip", entities)
    assert one["values"] == {"origin__temp": 2.0, "dest__temp": 20.0, "dest__wind": None, "late__n_1d": 2.0}
    assert one["statuses"] == dict.fromkeys(WANTED, "present") | {"dest__wind": "null"}
    assert one["event_times"]["origin__temp"] == at(1).isoformat()
    assert other["statuses"]["origin__temp"] == "missing" and other["values"]["late__n_1d"] == 0.0
    assert null["statuses"]["origin__temp"] == "missing"
    assert client.online("trip", entities[1:2], defaults={"origin__temp": 15.0})[0]["values"]["origin__temp"] == 15.0
    assert client.online(TRIP, entities) == client.online(list(TRIP.features), entities) == [one, other, null]
    assert client.online("weather:temp", {"airport": ["JFK", "LAX"]})[1]["values"] == {"weather__temp": 20.0}


def test_an_expired_value_is_stale_and_training_sets_stay_as_they_were(tmp_path):
    house = House(tmp_path)
    before = house.client.training_set(pa.table(SPINE), "trip", at="asked")
    house.clock.move_to(at(5))
    (row,) = house.client.online(WEATHER.alias("origin", keys="from"), {"from": "JFK"})
    assert (
        row["statuses"] == {"origin__temp": "stale", "origin__wind": "stale"} and row["values"]["origin__temp"] is None
    )
    house.arrive("weather", weather(("SFO", 8, 9.0, 9.0), ("JFK", 1.25, 3.0, 3.0)))
    house.arrive("landings", landings(("UA", 1.25, 1.0)))
    again = house.client.call("feature.reproduce", training_set=before.id)
    assert again["bit_equal"] and again["digest"] == before.digest
    assert house.client.training_set(pa.table(SPINE), "trip", at="asked").digest != before.digest
    house.app.close()


def of_sent(client, function="mean", columns=None):
    """Ask for a declaration as a client might send it."""
    body = as_dict(LATE)
    body["aggregate"] = [["n", {"kind": "Aggregate", "function": function, "column": "delay"}]]
    body = body | {"source": body["source"] | {"columns": columns}}
    return client.call("feature.online", features=[body], entities=[])


REFUSED = [
    (lambda c: c.training_set(SPINE, "tripp", at="asked"), FeatureViewNotFound, "did you mean 'trip'"),
    (lambda c: c.training_set(SPINE, "weather", at="asked"), Invalid, "keyed by 'airport'.*alias"),
    (lambda c: c.training_set(SPINE, "trip", at="askd"), Invalid, "did you mean 'asked'"),
    (lambda c: c.training_set(SPINE | {"asked": ["x"] * 4}, "trip", at="asked"), BadData, "'asked'.*instants"),
    (lambda c: c.training_set(SPINE | {"more": SPINE["asked"]}, "trip"), Invalid, "asked, more"),
    (lambda c: c.training_set(SPINE | {"late__n_1d": [1] * 4}, "trip", at="asked"), Invalid, "twice"),
    (lambda c: c.training_set("SELECT * FROM read_csv('/etc/passwd')", "trip"), Invalid, "SQL cannot be run"),
    (lambda c: c.online("trip", [{"from": "JFK"}]), Invalid, "entity 0 lacks the key 'to'"),
    (lambda c: c.online("weather", [{"airport": "JFK", "x": 1}]), Invalid, "'x', which is no key"),
    (lambda c: c.online("weather", [{"airport": "J"}], defaults={"temp": 1}), Invalid, "defaults name 'temp'"),
    (lambda c: c.online(hk.FeatureView("z", keys="k", features=["v"], source=WEATHER.source), [{"k": 1}]),
     FeatureViewNotFound, "not applied"),
    (lambda c: of_sent(c, function="evil"), DeclarationError, "function='evil'"),
    (lambda c: of_sent(c, function="ratio"), DeclarationError, "ratio over"),
    (lambda c: of_sent(c, columns=[["x", "evil"]]), DeclarationError, "'evil'"),
    (lambda c: of_sent(c, columns=5), FeatureViewNotFound, "is none"),
]  # fmt: skip


@pytest.mark.parametrize("which", range(len(REFUSED)))
def test_what_cannot_be_is_refused_with_its_name(client, which):
    ask, error, message = REFUSED[which]
    with pytest.raises(HanokError, match=message) as found:
        ask(client)
    assert found.value.code == error.code and found.value.status == error.status


def test_a_view_keeps_its_digest_and_an_alias_reads_its_values():
    assert as_dict(WEATHER).keys() == {"kind", "name", "keys", "source", "features", "ttl", "windows", "aggregate"}
    alias = WEATHER.alias("origin", keys="from")["temp"]
    assert alias.stored == WEATHER.stored == WEATHER and digest(alias) != digest(WEATHER)
    assert from_dict(as_dict(TRIP)) == TRIP and from_dict(as_dict(WEATHER)) == WEATHER
    said = hk.FeatureView("weather", keys="airport", ttl="3h", features=["temp", "wind"], source=WEATHER.source,
                          owner="ann", tags=["sky"], description="by the hour")  # fmt: skip
    assert said.stored == WEATHER
    with pytest.raises(DeclarationError, match="did you mean 'temp'"):
        WEATHER["tmp"]
    with pytest.raises(DeclarationError, match="a column for each key"):
        WEATHER.alias("x", keys=["a", "b"])
    with pytest.raises(DeclarationError, match="names 'weather' twice"):
        hk.FeatureService("s", features=[WEATHER, WEATHER["temp"]])


FILE = """
import hanok as hk
source = hk.Source("weather", event_time="e")
weather = hk.FeatureView("weather", keys="airport", features=["temp", "wind"], source=source)
dest, origin = weather.alias("dest", keys="to"), weather.alias("origin", keys="from")
trip = hk.FeatureService("trip", features=[dest, origin["temp"]])
late = hk.Model("late", task="regression", spine=hk.Spine("flights", predict_at="e", keys="flight"),
                label=hk.Label("landed", column="delay", known_at="e"), features=[trip, "distance"])
"""


def test_a_model_takes_a_service_and_apply_says_who_uses_what(tmp_path):
    (tmp_path / "project.py").write_text(FILE)
    project = load_project(tmp_path / "project.py")
    assert project.models[0].feature_columns == ("dest__temp", "dest__wind", "origin__temp", "distance")
    assert [v.name for v in project.views] == ["weather"] and project.models[0].services == ("trip",)
    with hk.open(tmp_path / "home", project=tmp_path / "project.py", apply=False) as client:
        told = {(c["kind"], c["name"]): c for c in client.call("apply")}
        assert {k: c["change"] for k, c in told.items()} == dict.fromkeys(
            [("feature_view", "weather"), ("feature_service", "trip"), ("model", "late")], "new"
        )
        assert client.call("feature.show", name="weather")["used_by"] == ["service trip", "model late"]
        assert client.call("feature.show", name="trip")["used_by"] == ["model late"]
    (tmp_path / "project.py").write_text(FILE.replace('features=["temp", "wind"]', 'features=["temp"], owner="ann"'))
    with hk.open(tmp_path / "home", project=tmp_path / "project.py", apply=False) as client:
        (line,) = (c for c in client.call("apply", dry_run=True) if c["name"] == "weather")
        assert line["change"] == "changed" and line["why"] == "used by service trip, model late"


PROJECT = """
import hanok as hk
weather = hk.FeatureView("weather", keys="airport", ttl="3h", features=["temp", "wind"], source=hk.Source("weather"))
trip = hk.FeatureService("trip", features=[weather.alias("dest", keys="to"), weather.alias("origin", keys="from")])
"""


def test_the_command_line_gets_counts_and_makes_training_sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hanok.toml").write_text('project = "project.py"\n')
    (tmp_path / "project.py").write_text(PROJECT)
    with hk.open() as client:
        client.ingest("weather", WEATHER_ROWS.select(["airport", "temp", "wind"]))
    pq.write_table(pa.table({"from": ["JFK", "LAX"], "to": ["LAX", "SFO"]}), "spine.parquet")

    def hanok(*words):
        done = CliRunner().invoke(cli, ["feature", *words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert [(r["name"], r["kind"]) for r in hanok("list")] == [("weather", "view"), ("trip", "service")]
    jfk, lax = hanok("get", "trip", "from=JFK", "to=SFO", ",", "from=LAX", "to=JFK")
    assert jfk["values"]["origin__temp"] == 2.0 and jfk["statuses"]["dest__temp"] == "missing"
    assert lax["values"] == {"dest__temp": 2.0, "dest__wind": 6.0, "origin__temp": 20.0, "origin__wind": None}
    assert [(r["entities"], r["nulls"], r["max"]) for r in hanok("stats", "weather")] == [(2, 0, 20.0), (2, 1, 6.0)]
    monkeypatch.setattr(feature_stats, "ENTITIES_MAX", 1)
    assert [(r["entities"], r["of_entities"]) for r in hanok("stats", "weather")] == [(1, 2)] * 2
    assert "of 2 entities the first 1 by their keys" in CliRunner().invoke(cli, ["feature", "stats", "weather"]).output
    rows = "SELECT *, TIMESTAMP '2100-01-01' AS t FROM (SELECT airport AS \"from\", 'LAX' AS \"to\" FROM weather)"
    made = hanok("training-set", rows, "--features", "dest__temp", "--out", "o.parquet")
    assert pq.read_table("o.parquet").column_names == ["from", "to", "t", "dest__temp"]
    assert hanok("reproduce", made["training_set"])["bit_equal"]


def test_what_json_has_no_number_for_is_null_and_may_have_a_default(tmp_path):
    made = House(tmp_path)
    made.arrive("landings", landings(("ZZ", 1.5, 1e308), ("ZZ", 1.6, 1e308)))
    (row,) = made.client.online("late", {"carrier": ["ZZ"]})
    assert (row["values"]["late__delay_1d"], row["statuses"]["late__delay_1d"]) == (None, "null")
    (row,) = made.client.online("late", {"carrier": ["ZZ"]}, defaults={"late__delay_1d": 3.0})
    assert row["values"]["late__delay_1d"] == 3.0
    made.app.close()
