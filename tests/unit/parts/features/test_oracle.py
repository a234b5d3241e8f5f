"""Features against a count by hand: history in bulk, history of one row and online values give the same, in bits."""

import math
import statistics
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanok as hk
from hanok.compute.keys import key_type
from hanok.core.clock import ReplayClock
from hanok.core.errors import BadKey
from hanok.core.keys import canonical
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.features.service import Features
from hanok.stores.memory import MemoryOnlineValues, MemoryTables
from hanok.stores.sql import SqlMetadata

START = datetime(2013, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", "UTC")
WINDOWS = ("5s", "20s")
POOLS = {
    pa.int64(): [1, 2, 10**17 + 1],
    pa.uint8(): [1, 2],
    pa.float64(): [1.0, 2.0, 1.5, math.nan],
    pa.decimal128(10, 1): [Decimal("1.0"), Decimal("1.5")],
    pa.string(): ["1", "1.0", "007", "x", "true", "True", "2013-01-01", "2013-01-01T01:00:00+01:00", "1.5"],
    pa.large_string(): ["1", "true", "2013-01-01 00:00:00"],
    pa.bool_(): [True, False],
    pa.date32(): [date(2013, 1, 1), date(2013, 1, 2)],
    pa.timestamp("us", "UTC"): [START, START + timedelta(hours=1)],
    pa.timestamp("ms"): [datetime(2013, 1, 1), datetime(2013, 1, 2)],
    pa.timestamp("us", "Europe/Berlin"): [START, START + timedelta(days=1)],
}
EVENT_TYPES = [pa.timestamp("us", "UTC"), pa.timestamp("ms"), pa.timestamp("us", "America/New_York")]
AGGREGATES = {
    "n": hk.count(),
    "known": hk.count("v"),
    "total": hk.sum("v"),
    "mean": hk.mean("v"),
    "low": hk.min("v"),
    "high": hk.max("v"),
    "first": hk.first("v"),
    "spread": hk.std("v"),
    "share": hk.ratio("v", "v"),
}


@st.composite
def histories(draw, own):
    """Two tables as they grow: batches of source rows, and instants at which a key is asked for."""
    spine_type = draw(st.sampled_from(list(POOLS)))
    source_type = spine_type if own else draw(st.sampled_from(list(POOLS)))
    values = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.1, 0.2, 0.3, -0.0])
    row = st.tuples(
        st.none() | st.sampled_from(POOLS[source_type]),
        st.none() | st.integers(0, 3) | st.integers(0, 30),  # event time
        st.integers(0, 5) | st.integers(0, 45),  # arrival: before the event too, and in the future
        values,
    )
    ask = st.tuples(st.none() | st.sampled_from(POOLS[spine_type]), st.integers(0, 4), st.integers(0, 9))
    steps = draw(st.lists(st.lists(row, min_size=1, max_size=6) | ask, min_size=1, max_size=8))
    windowed = draw(st.booleans())
    ttl = draw(st.none() | st.integers(1, 20))
    return spine_type, source_type, draw(st.sampled_from(EVENT_TYPES)), steps, windowed, ttl


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    made = SqlMetadata.at(tmp_path_factory.mktemp("oracle") / "m.db")
    yield made
    made.close()


class World:
    """The tables and what is asked of them, beside plain lists."""

    def __init__(self, metadata, spine_type, source_type, event_type, windowed, ttl, own):
        self.spine_type, self.source_type, self.event_type = spine_type, source_type, event_type
        self.kind, self.windowed, self.ttl, self.own = key_type(spine_type), windowed, ttl, own
        self.clock, self.tables, self.rows, self.batches = ReplayClock(START), MemoryTables(), [], 0
        self.features = Features(metadata=metadata, tables=self.tables, online=MemoryOnlineValues(), clock=self.clock)
        what = {"aggregate": AGGREGATES, "windows": WINDOWS} if windowed else {"features": ["v"]}
        table = "spine" if own else "events"
        source = hk.Source(table, event_time="e")
        self.view = hk.FeatureView("f", keys="k", source=source, ttl=None if windowed or not ttl else f"{ttl}s", **what)
        self.model = hk.Model(
            "m",
            task="regression",
            spine=hk.Spine("spine", predict_at="e", keys="id"),
            label=hk.Label("labels", column="y", known_at="e"),
            features=[self.view],
        )
        self.table = table
        if not own:
            first = pa.table({"k": pa.array([None], spine_type), ARRIVED: pa.array([START], MICROS)})
            self.tables.append("spine", first, key="one")
        self.features.keep_online([self.model])

    def restarted(self):
        """The same tables read by a new process: online values are filled again."""
        made = Features(
            metadata=self.features._metadata, tables=self.tables, online=MemoryOnlineValues(), clock=self.clock
        )
        made.keep_online([self.model])
        return made

    def arrive(self, batch):
        rows = pa.table(
            {
                "k": pa.array([r[0] for r in batch], self.source_type),
                "e": pa.array([_at(r[1], self.event_type) for r in batch], self.event_type),
                "v": pa.array([r[3] for r in batch], pa.float64()),
                ARRIVED: pa.array([_at(r[2]) for r in batch], MICROS),
            }
        )
        first = self.tables.append(self.table, rows, key=str(self.batches)).first
        self.rows += [(*r, first + i) for i, r in enumerate(batch)]
        self.batches += 1
        numbered = rows.append_column(SEQUENCE, pa.array(range(first, first + len(batch)), pa.int64()))
        self.features.push(self.table, numbered)
        self.features.push(self.table, numbered)  # a reaction may run twice

    def expected(self, key, t, own):
        wanted = self._spelled(key)
        seen = [
            r
            for r in self.rows
            if wanted is not None and self._spelled(r[0]) == wanted and r[1] is not None
            if r[1] <= t and r[2] <= t and r[4] != own
        ]
        if not self.windowed:
            best = max(seen, key=lambda r: (r[1], r[2], r[4]), default=None)
            alive = best is not None and (self.ttl is None or t - best[1] <= self.ttl)
            return {"f__v": best[3] if alive else None}
        made = {}
        for window in WINDOWS:
            inside = [r[3] for r in seen if r[1] > t - int(window[:-1])]
            known = [v for v in inside if v is not None]
            made |= {f"f__n_{window}": len(inside), f"f__known_{window}": len(known)}
            total = math.fsum(known) if known else None
            made[f"f__total_{window}"] = total
            made[f"f__mean_{window}"] = total / len(known) if known else None
            times = sorted((r[1], r[4], r[3]) for r in seen if r[1] > t - int(window[:-1]) and r[3] is not None)
            made[f"f__first_{window}"] = times[0][2] if times else None
            made[f"f__spread_{window}"] = statistics.stdev(known) if len(known) > 1 else None
            made[f"f__low_{window}"], made[f"f__high_{window}"] = min(known, default=None), max(known, default=None)
        return made

    def _spelled(self, key):
        try:
            return canonical(self.kind, key)
        except BadKey:
            return None

    def offline(self, asked):
        """`asked`: (key, t, own) of each row."""
        spine = pa.table(
            {
                "k": pa.array([a[0] for a in asked], self.spine_type),
                "_at": pa.array([_at(a[1]) for a in asked], MICROS),
                SEQUENCE: pa.array([-1 if a[2] is None else a[2] for a in asked], pa.int64()),
            }
        )
        return self.features.historical(self.model, spine).drop_columns(["_at"]).to_pylist()


def _at(seconds, kind=MICROS):
    if seconds is None:
        return None
    instant = START + timedelta(seconds=seconds)
    return instant if kind.tz else instant.replace(tzinfo=None)


def _same_bits(one, other):
    assert list(one) == list(other)
    for name, value in one.items():
        found = other[name]
        assert (value is None) == (found is None), (name, one, other)
        if value is not None:
            assert float(value).hex() == float(found).hex(), (name, one, other)


def _of_the_table(world):
    """Each row of the spine's own table at its event, when it becomes visible, and when all is known."""
    for key, event, arrived, _, number in world.rows:
        if event is not None:
            yield from ((key, t, number) for t in (event, max(event, arrived), 100))


def _follow(world, steps):
    asked, t = [], 0
    for step in steps:
        if isinstance(step, list):
            world.arrive(step)
            continue
        if not world.rows:
            continue  # a table that does not exist is an error of its own
        t += step[1]
        world.clock.move_to(_at(t))
        own = world.rows[step[2] % len(world.rows)] if world.own else None
        key, own = (own[0], own[4]) if own is not None else (step[0], None)
        row = {"k": key} if own is None else {"k": key, SEQUENCE: own}
        online = world.features.online_features(world.model, row)
        (single,) = world.offline([(key, t, own)])
        _same_bits(single, online)
        for name, value in world.expected(key, t, own).items():
            assert single[name] == (value if value is None else pytest.approx(value)), (name, value, single)
        asked.append((key, t, own, single))
    if world.own:
        asked += [(*a, None) for a in _of_the_table(world)]
    if asked:
        for (key, t, own, single), row in zip(asked, world.offline([a[:3] for a in asked]), strict=True):
            if single is not None:
                _same_bits(world.offline([(key, t, own)])[0], row)
            for name, value in world.expected(key, t, own).items():
                assert row[name] == (value if value is None else pytest.approx(value)), (name, value, row)


@given(histories(own=False))
@settings(max_examples=25, deadline=None)
def test_history_and_online_values_are_what_a_count_by_hand_gives(metadata, drawn):
    spine_type, source_type, event_type, steps, windowed, ttl = drawn
    _follow(World(metadata, spine_type, source_type, event_type, windowed, ttl, own=False), steps)


@given(histories(own=True))
@settings(max_examples=15, deadline=None)
def test_a_row_of_the_spine_never_contributes_to_its_own_features(metadata, drawn):
    spine_type, source_type, event_type, steps, windowed, ttl = drawn
    _follow(World(metadata, spine_type, source_type, event_type, windowed, ttl, own=True), steps)


@pytest.mark.parametrize("kind", POOLS, ids=str)
@pytest.mark.parametrize("windowed", [False, True], ids=["latest", "window"])
def test_the_first_row_of_each_entity_finds_nothing_of_its_own(metadata, kind, windowed):
    """Of every key type: first rows, one entity that comes again, rows that arrive late and together."""
    world = World(metadata, kind, kind, EVENT_TYPES[0], windowed, None, own=True)
    firsts = [(key, i, i + 3 * (i % 2), 0.5 + i) for i, key in enumerate(POOLS[kind])]
    world.arrive([*firsts, (POOLS[kind][0], 20, 20, 99.0), (POOLS[kind][0], 20, 20, 98.0), (None, 0, 0, 97.0)])
    world.clock.move_to(_at(100))
    asked = list(_of_the_table(world))
    for (key, t, own), row in zip(asked, world.offline(asked), strict=True):
        for name, value in world.expected(key, t, own).items():
            assert row[name] == (value if value is None else pytest.approx(value)), (name, value, row)
        if t == 100:
            _same_bits(row, world.features.online_features(world.model, {"k": key, SEQUENCE: own}))


@st.composite
def hard_sums(draw):
    """Batches of (key, event time, arrival, value) whose sums depend on their order, many at one instant."""
    value = st.sampled_from([1e16, -1e16, 0.1, 0.3, -7.0, math.inf, None])
    row = st.tuples(st.sampled_from([1, 2]), st.integers(0, 3), st.integers(0, 6), value)
    return draw(st.lists(st.lists(row, min_size=1, max_size=24), min_size=2, max_size=4)), draw(st.booleans())


@given(hard_sums())
@settings(max_examples=15, deadline=None)
def test_sums_that_depend_on_their_order_have_equal_bits_online_in_bulk_and_alone(metadata, drawn):
    batches, own = drawn
    world = World(metadata, pa.int64(), pa.int64(), EVENT_TYPES[0], True, None, own=own)
    asked = []
    for i, batch in enumerate(batches):
        world.arrive([(k, e, max(a, 2 * i), v) for k, e, a, v in batch])
        world.clock.move_to(_at(2 * i + 1))
        for key in (1, 2):
            number = next((r[4] for r in world.rows if r[0] == key), None) if own else None
            row = {"k": key} if number is None else {"k": key, SEQUENCE: number}
            answers = [world.features.online_features(world.model, row)]
            world.features.apply(world.view)
            world.features.materialize("f")
            answers.append(world.features.online_features(world.model, row))
            answers.append(world.restarted().online_features(world.model, row))
            (single,) = world.offline([(key, 2 * i + 1, number)])
            for answer in answers:
                _same_bits(single, answer)
            asked.append((key, 2 * i + 1, number, single))
        world.arrive([(k, e, 2 * i + 2, v) for k, e, _, v in batch])  # late, at instants that have rows already
    for (_, _, _, single), row in zip(asked, world.offline([a[:3] for a in asked]), strict=True):
        _same_bits(single, row)
