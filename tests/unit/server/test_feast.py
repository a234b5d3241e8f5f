"""Feast's HTTP feature server, as Feast 0.67 speaks it: what its clients send and read."""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.engine.app import open_app
from hanok.engine.config import Config
from tests.serving import served

START = datetime(2013, 1, 1, tzinfo=UTC)
STATS = hk.FeatureView(
    "driver_hourly_stats", keys="driver_id", ttl="1d", features=["conv_rate", "trips"],
    source=hk.Source("driver_stats_push", event_time="event_timestamp"),
)  # fmt: skip
TRIPS = hk.FeatureView("trips", keys="driver_id", windows=["1d"], aggregate={"n": hk.count()}, source=STATS.source)
SHIFTS = hk.FeatureView(
    "shifts", keys=["driver", "day"], features=["since"],
    source=hk.Source("shifts", event_time="at", columns={"since": "date", "day": "date"}),
)  # fmt: skip
SERVICE = hk.FeatureService("driver_activity", features=[STATS["conv_rate"], TRIPS])


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    app = open_app(
        Config(home=tmp_path_factory.mktemp("feast") / "home"),
        clock=ReplayClock(START + timedelta(hours=2)),
        project=Project((SHIFTS.source,), (STATS, TRIPS, SHIFTS), (), (SERVICE,)),
    )
    rows = pa.table(
        {
            "driver_id": [1001, 1002, 1003],
            "event_timestamp": pa.array([START, START, START - timedelta(days=3)], pa.timestamp("us", "UTC")),
            "conv_rate": [0.5, None, 0.25],
            "trips": [3, 4, 5],
        }
    )
    app.ingesting.batch("driver_stats_push", rows, key="first")
    app.bus.drain()
    yield app
    app.close()


@pytest.fixture(scope="module")
def ask(house):
    with served(house) as address:

        def call(path, body=None, raw=None):
            data = raw if raw is not None else None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request) as reply:
                    return reply.status, reply.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        yield call


def online(ask, **body):
    status, content = ask("/get-online-features", body)
    assert status == 200, content
    return json.loads(content)


def test_features_come_as_columns_with_the_entities_first(ask):
    found = online(
        ask,
        features=["driver_hourly_stats:trips", "driver_hourly_stats:conv_rate"],
        entities={"driver_id": [1001, 1002, 1003, 9]},
    )
    assert found["metadata"] == {"feature_names": ["driver_id", "trips", "conv_rate"]}
    ids, trips, rate = found["results"]
    assert ids == {"values": [1001, 1002, 1003, 9], "statuses": ["PRESENT"] * 4,
                   "event_timestamps": ["1970-01-01T00:00:00Z"] * 4}  # fmt: skip
    assert trips["values"] == [3, 4, None, None]
    assert trips["statuses"] == ["PRESENT", "PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert rate["statuses"] == ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert rate["event_timestamps"][0] == "2013-01-01T00:00:00Z" and rate["event_timestamps"][3].startswith("1970")


def test_a_service_and_full_names(ask):
    found = online(ask, feature_service="driver_activity", entities={"driver_id": [1001]}, full_feature_names=True)
    assert found["metadata"]["feature_names"] == ["driver_id", "driver_hourly_stats__conv_rate", "trips__n_1d"]
    assert [r["values"] for r in found["results"]] == [[1001], [0.5], [1.0]]


def test_pushed_rows_are_read_online_and_kept_in_the_table(ask, house):
    before = house.tables.size("driver_stats_push")
    df = {"driver_id": [2001], "event_timestamp": ["2013-01-01T01:30:00"], "conv_rate": [0.75], "trips": [9]}
    body = {"push_source_name": "driver_stats_push", "df": df, "to": "online_and_offline"}
    assert ask("/push", body) == (200, b"") == ask("/push", body)  # sent again, it has one effect
    assert house.tables.size("driver_stats_push") == before + 1
    found = online(ask, feature_service="driver_activity", entities={"driver_id": [2001]})
    assert [r["values"][0] for r in found["results"]] == [2001, 0.75, 1.0]
    older = {**df, "event_timestamp": ["2013-01-01T00:30:00"], "conv_rate": [0.1]}
    write = {"feature_view_name": "driver_hourly_stats", "df": older}
    assert ask("/write-to-online-store", write) == (200, b"null")
    assert online(ask, features=["driver_hourly_stats:conv_rate"], entities={"driver_id": [2001]})["results"][1][
        "values"
    ] == [0.75]  # the newest event counts, whatever comes last


def test_instants_are_seconds_since_1970_as_feast_s_clients_send_and_read_them(ask):
    since, later = int(START.timestamp()), "2013-01-01T00:00:07.5+00:00"
    for name, sent in (("a", [since, "2013-01-01"]), ("b", [since + 0.25, None]), ("c", [later, since])):
        df = {"at": ["2013-01-01"] * 2, "since": sent, "driver": [f"{name}1", f"{name}2"], "day": [since, "2013-01-02"]}
        assert ask("/write-to-online-store", {"feature_view_name": "shifts", "df": df}) == (200, b"null")
    names = [f"{n}{i}" for n in "abc" for i in (1, 2)]
    asked = {"driver": names, "day": [since, "2013-01-02"] * 3, "colour": ["red"] * 6}
    found = online(ask, features=["shifts@latest:since"], entities=asked)
    assert found["metadata"]["feature_names"] == ["driver", "day", "since"], "what is no key is not sent back"
    assert found["results"][2]["values"] == [since, since, since, None, since + 7, since]


def test_a_service_counts_before_features(ask):
    both = online(ask, feature_service="driver_activity", features=["nope:x"], entities={"driver_id": [1001]})
    assert both == online(ask, feature_service="driver_activity", entities={"driver_id": [1001]})


def test_materialize_and_health(ask):
    span = {"start_ts": "2013-01-01T00:00:00", "end_ts": "2013-01-02T00:00:00"}
    assert ask("/materialize", span) == (200, b"null")
    assert ask("/materialize", {**span, "feature_views": ["driver_hourly_stats"]}) == (200, b"null")
    assert ask("/materialize-incremental", {"end_ts": span["end_ts"]}) == (200, b"null")
    status, body = ask("/materialize?async=true", {**span, "feature_views": ["trips"]})
    assert (status, json.loads(body)) == (202, {"status": "accepted", "feature_views": ["trips"]})
    assert ask("/health")[0] == 200


ENTITIES = {"driver_id": [1]}
REFUSED = [
    ("/get-online-features", {"features": ["nope:x"], "entities": ENTITIES}, 404, "FeatureViewNotFoundException"),
    ("/get-online-features", {"feature_service": "x", "entities": ENTITIES}, 404, "FeatureServiceNotFoundException"),
    ("/get-online-features", {"features": ["trips:n_1d"] * 2, "entities": ENTITIES}, 422, "FeatureNameCollisionError"),
    ("/push", {"push_source_name": "nope", "df": {}}, 422, "PushSourceNotFoundException"),
    ("/get-online-features", {"features": ["trips:n_1d"], "entities": {"d": [1]}}, 422, "join key 'driver_id'"),
    ("/get-online-features", {"features": ["trips:n_1d"], "entities": {"driver_id": 1}}, 422, "entities"),
    ("/get-online-features", {"entities": ENTITIES}, 422, "either"),
    ("/get-online-features", {"features": ["trips:n_1d"], "entities": {"driver_id": ["x"]}}, 422, "driver_id"),
    ("/push", {"push_source_name": "driver_stats_pus", "df": {}}, 422, "did you mean 'driver_stats_push'"),
    ("/push", {"push_source_name": "driver_stats_push", "df": {"driver_id": [1, 2], "trips": [1]}}, 422, "lengths"),
    ("/push", {"push_source_name": "driver_stats_push", "df": {"driver_id": [1]}}, 422, "'event_timestamp'"),
    ("/push", {"push_source_name": "driver_stats_push", "df": {"a": [1, "x"]}}, 422, "several types"),
    ("/push", {"push_source_name": "driver_stats_push", "df": {"a": [10**20]}}, 422, "more than 64 bits"),
    ("/push", {"push_source_name": "driver_stats_push", "df": {}, "to": "nowhere"}, 422, "nowhere"),
    ("/write-to-online-store", {"feature_view_name": "nope", "df": {"a": [1]}}, 404, "nope"),
    ("/materialize", {"start_ts": "yesterday", "end_ts": "x"}, 422, "yesterday"),
    ("/materialize-incremental", {"end_ts": "2013-01-01", "feature_views": ["nope"]}, 404, "nope"),
]


@pytest.mark.parametrize("which", range(len(REFUSED)))
def test_a_refusal_is_an_error_that_feast_s_client_raises(ask, house, which):
    path, body, wanted, said = REFUSED[which]
    before = house.tables.size("driver_stats_push")
    status, content = ask(path, body)
    told = json.loads(json.loads(content))
    assert status == wanted and told["module"] == "feast.errors" and said in f"{told['class']} {told['message']}"
    assert house.tables.size("driver_stats_push") == before


def test_a_body_that_is_no_json_is_refused(ask):
    assert ask("/get-online-features", raw=b"{")[0] == 422


@pytest.mark.parametrize("key", [1 << 64, 10**400])
def test_a_key_that_no_column_holds_is_unknown_and_a_value_that_no_number_holds_is_refused(ask, key):
    body = {"features": ["driver_hourly_stats:trips"], "entities": {"driver_id": [key]}}
    status, content = ask("/get-online-features", body)
    assert status < 500 and (status != 200 or json.loads(content)["results"][1]["statuses"] == ["NOT_FOUND"])
    raw = b'{"push_source_name": "driver_stats_push", "df": {"driver_id": [1e400]}, "to": "online"}'
    assert ask("/push", raw=raw)[0] == 422
