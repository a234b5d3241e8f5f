"""Features for rows and entities that anybody has, against a count by hand: two aliases of a view and a window at once,
with late rows, ties, nulls, zones, a ttl and events ahead, offline, online and across."""

import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.features.service import Features
from hanok.stores.memory import MemoryOnlineValues, MemoryTables
from hanok.stores.sql import SqlMetadata

START = datetime(2013, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", "UTC")
ZONES = [pa.timestamp("us", "UTC"), pa.timestamp("ms"), pa.timestamp("ns", "Asia/Seoul")]
AIRPORTS = ["JFK", "LAX", "SFO", None]
values = st.none() | st.sampled_from([0.1, 0.2, 1e16, -1e16, 3.0])
row = st.tuples(st.sampled_from(AIRPORTS), st.none() | st.integers(0, 12), st.integers(0, 15), values)
asked = st.tuples(st.sampled_from(AIRPORTS), st.sampled_from(AIRPORTS), st.none() | st.integers(0, 15))
CASE = (
    st.lists(row, min_size=1, max_size=40),
    st.lists(asked, min_size=6, max_size=30),
    st.sampled_from(ZONES),
    st.none() | st.integers(1, 8),
    st.booleans(),
)


def instant(seconds, kind=MICROS):
    if seconds is None:
        return None
    made = START + timedelta(seconds=seconds)
    return made if kind.tz else made.replace(tzinfo=None)


def service(ttl):
    source = hk.Source("weather", event_time="e", known_at="arrived")
    latest = hk.FeatureView("latest", keys="airport", ttl=ttl and f"{ttl}s", features=["v", "w"], source=source)
    window = hk.FeatureView("window", keys="airport", windows=["3s", "9s"], source=source,
                            aggregate={"n": hk.count(), "sum": hk.sum("v"), "high": hk.max("v")})  # fmt: skip
    views = [latest.alias("origin", keys="from"), latest.alias("dest", keys="to")["v"], window.alias("busy", keys="to")]
    return hk.FeatureService("trip", features=views), (latest, window)


def by_hand(rows, origin, dest, t, ttl, known_time):
    """`rows`: airport, event, arrival, value, in the order they were written."""
    if t is None:
        return None

    def seen(airport):
        numbered = [(*r, i) for i, r in enumerate(rows) if r[0] == airport is not None and r[1] is not None]
        return [r for r in numbered if r[1] <= t and (r[2] <= t or not known_time)]

    def best(airport):
        found = max(seen(airport), key=lambda r: (r[1], r[2], r[4]), default=None)
        return None if found is None or (ttl is not None and t - found[1] > ttl) else found[3]

    made = {"origin__v": best(origin), "origin__w": best(origin), "dest__v": best(dest)}
    for name in ("n", "sum", "high"):
        for window in (3, 9):
            inside = [r[3] for r in sorted(seen(dest), key=lambda r: (r[1], r[4])) if r[1] > t - window]
            known = [v for v in inside if v is not None]
            made[f"busy__{name}_{window}s"] = (
                float(len(inside))
                if name == "n"
                else None
                if not known
                else math.fsum(known)
                if name == "sum"
                else max(known)
            )
    return made


def agree(found, wanted):
    nothing = {n: None for n in found if "__" in n}
    for name, value in (nothing if wanted is None else wanted).items():
        hard = name.startswith("busy__sum")  # 1e16 beside 0.1: the order of adding is asked elsewhere
        assert (found[name] is None) == (value is None), (name, found, wanted)
        assert value is None or found[name] == (pytest.approx(value, abs=8.0) if hard else value), (name, found, wanted)


@given(*CASE)
@settings(max_examples=15, deadline=None)
def test_the_pure_join_is_what_a_count_by_hand_gives(rows, asks, zone, ttl, known_time):
    made = hk.point_in_time_join(
        {
            "from": pa.array([a[0] for a in asks], pa.string()),
            "to": pa.array([a[1] for a in asks], pa.string()).dictionary_encode(),
            "asked": pa.array([instant(a[2], zone) for a in asks], zone),
        },
        service(ttl)[0],
        {"weather": table(rows, zone)},
        at="asked",
        known_time=known_time,
    )
    assert made.num_rows == len(asks) and made.column("from").to_pylist() == [a[0] for a in asks]
    for (origin, dest, t), found in zip(asks, made.to_pylist(), strict=True):
        agree(found, by_hand(rows, origin, dest, t, ttl, known_time))


def table(rows, zone=MICROS):
    return pa.table(
        {
            "airport": pa.array([r[0] for r in rows], pa.string()),
            "e": pa.array([instant(r[1], zone) for r in rows], zone),
            "arrived": pa.array([instant(r[2]) for r in rows], MICROS),
            "v": pa.array([r[3] for r in rows], pa.float64()),
            "w": pa.array([r[3] for r in rows], pa.float64()),
        }
    )


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    made = SqlMetadata.at(tmp_path_factory.mktemp("any") / "m.db")
    yield made
    made.close()


@given(*CASE[:4])
@settings(max_examples=4, deadline=None)
def test_online_values_of_a_service_are_those_of_a_training_set_at_that_instant(metadata, rows, asks, zone, ttl):
    clock, tables = ReplayClock(START), MemoryTables()
    features = Features(metadata=metadata, tables=tables, online=MemoryOnlineValues(), clock=clock)
    trip, views = service(ttl)
    for view in views:
        features.apply(view)
    features.apply_services([trip])
    features.keep_online([])
    arrivals = sorted(enumerate(rows), key=lambda r: r[1][2])
    written = [r for _, r in arrivals]
    for t in range(0, 18, 4):
        if now := [r for _, r in arrivals if t - 4 < r[2] <= t]:
            batch = table(now, zone)
            batch = batch.append_column(ARRIVED, batch.column("arrived"))
            first = tables.append("weather", batch, key=str(t)).first
            features.push(
                "weather", batch.append_column(SEQUENCE, pa.array(range(first, first + len(now)), pa.int64()))
            )
        clock.move_to(instant(t))
        entities = [{"from": a[0], "to": a[1]} for a in asks]
        online = features.online_of(trip.views, entities)
        if not tables.size("weather"):
            continue
        spine = pa.table(
            {k: pa.array([e[k] for e in entities], pa.string()) for k in ("from", "to")}
            | {"at": pa.array([clock.now()] * len(asks), MICROS)}
        )
        offline = features.join(spine, "at", trip.views)
        for column in online:
            want = offline.column(column.column).to_pylist()
            assert [None if v is None else float(v).hex() for v in column.values] == [
                None if v is None else float(v).hex() for v in want
            ], (t, column, want)
        for i, a in enumerate(asks):
            wanted = by_hand(written, a[0], a[1], t, ttl, True)
            agree({c.column: c.values[i] for c in online}, wanted)


@pytest.mark.parametrize("place", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]])
def test_views_of_one_table_see_each_row_from_when_their_own_source_says(place):
    """Also beside each other, in any order: no view reads by the `known_at` of another."""
    rows = pa.table({"k": ["a", "a"], "v": [1.0, 2.0]} | {
        name: pa.array([START + timedelta(minutes=m) for m in at], MICROS)
        for name, at in {"e": [1, 2], "soon": [1, 5], "late": [20, 30]}.items()
    })  # fmt: skip
    told = {"at_once": None, "soon": "soon", "late": "late"}
    views = {
        name: hk.FeatureView(name, keys="k", features=["v"], source=hk.Source("r", event_time="e", known_at=known))
        for name, known in told.items()
    }
    asked = [*views.values(), views["late"].alias("later", keys="k")]
    spine = pa.table({"k": ["a"] * 3, "t": pa.array([START + timedelta(minutes=m) for m in (3, 10, 25)], MICROS)})
    made = hk.point_in_time_join(spine, [asked[i] for i in place], {"r": rows}, at="t").to_pydict()
    found = {name: made[f"{name}__v"] for name in (*told, "later")}
    late = [None, None, 1]
    assert found == {"at_once": [2, 2, 2], "soon": [1, 2, 2], "late": late, "later": late}
