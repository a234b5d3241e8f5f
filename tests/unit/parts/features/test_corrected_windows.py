"""Windows over rows that are corrected (`row_key`): at each time every row counts once, in the form that stood then."""

import statistics
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hanok as hk
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.features.provenance import source_rows
from hanok.stores.sql import SqlMetadata
from tests.unit.parts.features.worlds import MICROS, START, Corrected

WINDOWS = (2, 6)
AGGREGATES = {
    "n": hk.count(),
    "known": hk.count("v"),
    "total": hk.sum("v"),
    "high": hk.max("v"),
    "first": hk.first("v"),
    "last": hk.last("v"),
    "spread": hk.std("v"),
    "share": hk.ratio("v", "w"),
}


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    made = SqlMetadata.at(tmp_path_factory.mktemp("windows") / "m.db")
    yield made
    made.close()


class World(Corrected):
    """Times count `unit`s."""

    def __init__(self, metadata, row_key, own, unit):
        self.unit, source = unit, hk.Source("t", "e", row_key=row_key)
        windows = [f"{w * unit}s" for w in WINDOWS]
        view = hk.FeatureView("f", keys="k", source=source, aggregate=AGGREGATES, windows=windows)
        super().__init__(metadata, row_key, own, view)

    def at(self, units):
        return None if units is None else START + timedelta(seconds=units * self.unit)

    def arrive(self, batch):
        """Rows (key, id, event, arrival, value)."""
        first = len(self.rows)
        made = {
            "k": pa.array([r[0] for r in batch], pa.string()),
            "id": pa.array([r[1] for r in batch], pa.int64()),
            "e": pa.array([self.at(r[2]) for r in batch], MICROS),
            "v": pa.array([r[4] for r in batch], pa.float64()),
            "w": pa.array([float(r[3]) for r in batch]),
            ARRIVED: pa.array([self.at(r[3]) for r in batch], MICROS),
        }
        self.tables.append("t", pa.table(made), key=str(first))
        self.rows += [
            {"k": k, "id": i, "e": e, "came": came, "v": v, "w": float(came), SEQUENCE: first + n}
            for n, (k, i, e, came, v) in enumerate(batch)
        ]
        numbered = pa.table({**made, SEQUENCE: pa.array(range(first, len(self.rows)), pa.int64())})
        for _ in range(2):  # a reaction may run twice
            self.features.push("t", numbered)

    def standing(self, key, t, own):
        who = lambda r: identity(r, self.row_key)  # noqa: E731
        forms = {who(r): r for r in self.rows if r["came"] <= t}  # a later form takes the place of an earlier one
        if own is not None:
            forms.pop(who(self.rows[own]), None)
        mine = [r for r in forms.values() if r["k"] == key and r["e"] is not None and r["e"] <= t]
        return sorted(mine, key=lambda r: (r["e"], r[SEQUENCE]))

    def expected(self, key, t, own):
        found = {}
        for window in WINDOWS:
            inside = [r for r in self.standing(key, t, own) if r["e"] > t - window]
            known = [r["v"] for r in inside if r["v"] is not None]
            under = sum(r["w"] for r in inside)
            values = {
                "n": len(inside),
                "known": len(known),
                "total": sum(known) if known else None,
                "high": max(known, default=None),
                "first": known[0] if known else None,
                "last": known[-1] if known else None,
                "spread": statistics.stdev(known) if len(known) > 1 else None,
                "share": sum(known) / under if known and under else None,
            }
            found |= {f"f__{name}_{window * self.unit}s": value for name, value in values.items()}
        return found

    def offline(self, asked):
        spine = pa.table(
            {
                "k": pa.array([a[0] for a in asked], pa.string()),
                "_at": pa.array([self.at(a[1]) for a in asked], MICROS),
                SEQUENCE: pa.array([-1 if a[2] is None else a[2] for a in asked], pa.int64()),
            }
        )
        return self.features.historical(self.model, spine).drop_columns(["_at"]).to_pylist()

    def online(self, key, own, features):
        row = {"k": key}
        if own is not None:
            row = {**self.rows[own], "e": self.at(self.rows[own]["e"]), SEQUENCE: own}
        return features.online_features(self.model, row)

    def shown(self, key, t, own):
        told = None if own is None else ("t", own)
        entity, scan = {"k": key}, lambda table, since: self.tables.scan(table)
        return source_rows([self.view], entity, self.at(t), scan, told)[0].rows


row = st.tuples(
    st.sampled_from("ab"),
    st.none() | st.integers(1, 3),
    st.none() | st.integers(0, 4) | st.integers(0, 14),
    st.integers(0, 14),
    st.none() | st.sampled_from([1.0, 2.5, 7.0]),
)


def identity(row, row_key):
    """What all forms of a row have in common: a row that lacks a part of its key is one of its own."""
    key = tuple(row[n] for n in row_key)
    return ("alone", row[SEQUENCE]) if None in key else key


# Rows that move between instants, entities and out of both, and rows that come back.
MOVES = [
    ([("a", 1, 0, 0, 1.0), ("a", 2, 1, 0, 2.5), ("b", 3, 1, 2, None)], 2),
    ([("b", 1, 1, 3, 7.0), ("a", 2, 4, 3, 2.5), ("a", 3, None, 3, 1.0), ("a", 4, 1, 2, 1.0)], 2),
    ([("a", 1, 2, 5, 2.5), ("a", 4, 1, 2, 7.0)], 3),
]

# Rows without an id beside one that is corrected.
LACKING = [
    ([("a", None, 0, 0, 1.0), ("a", None, 1, 0, 2.5), ("a", 2, 1, 1, None)], 2),
    ([("a", None, 1, 3, 7.0), ("a", 2, 2, 3, 2.5)], 3),
]


def fitted(batch, row_key, now):
    """Columns that tell rows apart have values; where rows arrive as they are pushed they arrive now."""
    return [(k, i, 0 if e is None and "e" in row_key else e, max(came, now) if i == 1 else came, v)
            for k, i, e, came, v in batch]  # fmt: skip


@given(
    st.lists(st.tuples(st.lists(row, min_size=1, max_size=6), st.integers(0, 5)), min_size=1, max_size=4),
    st.sampled_from([("id",), ("k", "id"), ("k", "e"), ("id", "e")]),
    st.booleans(),
    st.sampled_from([1, 1800]),
)
@example(MOVES, ("id",), False, 1)
@example(MOVES, ("id",), True, 1800)
@example(MOVES, ("k", "id"), True, 1)
@example(MOVES, ("k", "e"), False, 1)
@example(LACKING, ("id",), False, 1)
@example(LACKING, ("k", "id"), True, 1)
@settings(max_examples=3, deadline=None)
def test_at_each_time_a_row_counts_once_in_the_form_that_stood_then(metadata, steps, row_key, own, unit):
    world, now, asked = World(metadata, row_key, own, unit), 0, []
    for batch, later in steps:
        world.arrive(fitted(batch, row_key, now))
        now += later
        world.clock.move_to(world.at(now))
        restarted = world.started()
        asks = [(r["k"], now, number) for number, r in enumerate(world.rows)] if own else [(k, now, None) for k in "ab"]
        for (key, _, number), single in zip(asks, world.offline(asks), strict=True):
            assert single == pytest.approx(world.expected(key, now, number)), (key, now, number)
            assert world.online(key, number, world.features) == single
            assert (number or 0) % 3 or world.online(key, number, restarted) == single
    for number in range(len(world.rows)) if own else [None]:
        asked += [(key, t, number) for key in ("ab" if number is None else world.rows[number]["k"]) for t in range(16)]
    for ask, found in zip(asked, world.offline(asked), strict=True):
        assert found == pytest.approx(world.expected(*ask)), ask
    for key, t, number in asked[::17]:
        inside = [r for r in world.standing(key, t, number) if r["e"] > t - max(WINDOWS)]
        assert world.shown(key, t, number) == len(inside)
