"""Rows that are corrected (`row_key`): each form counts until the next one is known, and none of a row's own does."""

from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanok as hk
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.features.provenance import source_rows
from hanok.stores.sql import SqlMetadata
from tests.unit.parts.features.test_corrected_windows import identity
from tests.unit.parts.features.worlds import MICROS, START, Corrected


def at(seconds):
    return START + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    made = SqlMetadata.at(tmp_path_factory.mktemp("forms") / "m.db")
    yield made
    made.close()


class World(Corrected):
    """Times are instants."""

    def __init__(self, metadata, row_key, event_time, own, ttl):
        self.event_time, self.ttl, source = event_time, ttl, hk.Source("t", event_time, row_key=row_key)
        view = hk.FeatureView("f", keys="k", features=["v"], source=source, ttl=ttl and f"{ttl}s")
        super().__init__(metadata, row_key, own, view)

    def arrive(self, batch):
        """Rows (key, id, event, arrival)."""
        first = len(self.rows)
        numbers = range(first, first + len(batch))
        made = {
            "k": [r[0] for r in batch],
            "id": pa.array([r[1] for r in batch], pa.int64()),
            "e": pa.array([at(r[2]) for r in batch], MICROS),
            "v": pa.array(numbers, pa.int64()),
            ARRIVED: pa.array([at(r[3]) for r in batch], MICROS),
        }
        self.tables.append("t", pa.table(made), key=str(first))
        for k, i, e, came in batch:
            self.rows.append({"k": k, "id": i, "e": at(e), ARRIVED: at(came), SEQUENCE: len(self.rows)})
        self.features.push("t", pa.table({**made, SEQUENCE: pa.array(numbers, pa.int64())}))

    def expected(self, key, t, own):
        """The number of the row that is found: `v` is the number."""
        standing = {}
        for r in self.rows:  # in the order of their numbers: a later form takes the place of an earlier one
            if max(r[self.event_time], r[ARRIVED]) <= t:
                standing[identity(r, self.row_key)] = r
        if own is not None:
            standing.pop(identity(self.rows[own], self.row_key), None)
        mine = [r for r in standing.values() if r["k"] == key]
        best = max(mine, key=lambda r: (r[self.event_time], r[ARRIVED], r[SEQUENCE]), default=None)
        alive = best and (not self.ttl or t - best[self.event_time] <= timedelta(seconds=self.ttl))
        return best[SEQUENCE] if alive else None

    def offline(self, asked):
        spine = pa.table(
            {
                "k": pa.array([a[0] for a in asked], pa.string()),
                "_at": pa.array([a[1] for a in asked], MICROS),
                SEQUENCE: pa.array([-1 if a[2] is None else a[2] for a in asked], pa.int64()),
            }
        )
        return self.features.historical(self.model, spine).column("f__v").to_pylist()

    def online(self, key, own, features=None):
        row = {"k": key} if own is None else {**self.rows[own], SEQUENCE: own}
        return (features or self.features).online_features(self.model, row)["f__v"]

    def shown(self, key, t, own):
        """The row that is shown behind the value, but for the ttl."""
        told = None if own is None else ("t", own)
        return source_rows([self.view], {"k": key}, t, lambda table, since: self.tables.scan(table), told)[0].row


row = st.tuples(st.sampled_from("ab"), st.none() | st.integers(1, 2), st.integers(0, 3), st.integers(0, 12))


@given(
    st.lists(st.tuples(st.lists(row, min_size=1, max_size=5), st.integers(0, 5)), min_size=1, max_size=4),
    st.sampled_from([("k", "e"), ("k", "e", "id"), ("k",)]),
    st.booleans(),
    st.sampled_from([None, 4]),
)
@settings(max_examples=8, deadline=None)
def test_a_form_counts_until_it_is_superseded_and_no_form_of_the_asking_row_does(metadata, steps, row_key, own, ttl):
    world, asked = World(metadata, row_key, "e" if "e" in row_key else ARRIVED, own, ttl), []
    now = 0
    for batch, later in steps:
        world.arrive([(*r[:3], max(r[3], now)) if row_key == ("k",) else r for r in batch])
        now += later
        world.clock.move_to(at(now))
        restarted = world.started()
        for number in range(len(world.rows)) if own else [None]:
            for key in "ab" if number is None else world.rows[number]["k"]:
                wanted = world.expected(key, at(now), number)
                assert world.online(key, number) == wanted
                assert (number or 0) % 3 or world.online(key, number, restarted) == wanted
    for number in range(len(world.rows)) if own else [None]:
        for key in "ab" if number is None else world.rows[number]["k"]:
            asked += [(key, at(t), number) for t in range(18)]
    wanted = [world.expected(*a) for a in asked]
    assert world.offline(asked) == wanted
    if not ttl:
        assert [world.shown(*a) for a in asked[::23]] == wanted[::23]
