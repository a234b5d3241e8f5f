"""Labels whose rows are corrected by their row key: entity, instant and value may change, and a correction may become
known later than it came."""

import shutil
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from hanok.stores.sql import SqlMetadata
from tests.unit.parts.monitoring.test_labels import HOUR, INSTANT, KNOWN, OUTCOME, World


class Form(NamedTuple):
    """A label row as it came."""

    row: int
    who: str | None
    outcome: str | None
    known_at: datetime | None
    arrived: datetime

    @property
    def known(self):
        return max(self.known_at or self.arrived, self.arrived)


class Corrected(World):
    """A label table whose rows are told apart by `row_key`. `stated`: the source's known_at stands for the arrival."""

    def __init__(self, root, *, row_key, window, stated):
        super().__init__(root, window=window)
        self.source, self.stated = replace(self.source, row_key=row_key), stated

    def tell(self, rows):
        """`rows`: (row, who, outcome, hours until it is known, None: not said)."""
        now = self.clock.now()
        at = [None if known is None else now + known * HOUR for _, _, _, known in rows]
        arrived = [k if self.stated and k else now for k in at]
        self.told += [Form(*row[:3], *times) for row, *times in zip(rows, at, arrived, strict=True)]
        columns = [pa.array([r[0] for r in rows]), *(pa.array([r[i] for r in rows], pa.string()) for i in (1, 2))]
        columns += [pa.array(at, INSTANT), pa.array(arrived, INSTANT)]
        table = pa.table(columns, names=["row", "who", OUTCOME, KNOWN, "_arrived"])
        self.tables.append("truth", table, key=f"truth {len(self.told)}")

    def oracle(self):
        """From all that came: of each row the last form that is known by now; of an entity's, within the window of the
        answer, the newest that holds a value."""
        now = self.clock.now()
        counts = {}
        for form in self.told:
            if form.known <= now:
                counts[tuple(getattr(form, n) for n in self.source.row_key)] = (self.told.index(form), form)
        found = {}
        for ident, who, _, at, _ in self.answers:
            mine = [
                ((form.known_at or form.arrived), i, form.outcome)
                for i, form in counts.values()
                if form.who == who is not None and form.outcome
            ]
            near = [m for m in mine if self.source.window is None or abs(m[0] - at) <= self.source.window]
            if near:
                found[ident] = float("abc".index(max(near)[2]))
        return found

    def check(self):
        assert self.outcomes() == self.oracle()


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    path = tmp_path_factory.mktemp("corrected") / "m.db"
    SqlMetadata.at(path).close()
    World.empty = path
    return path


WHO = st.sampled_from(["x", "y", "z"])
LABEL = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["x", "y", "z", None]),
    st.sampled_from(["a", "b", "c", None]),
    st.sampled_from([None, -50, -3, 0, 2, 30]),
)
STEP = st.one_of(
    st.tuples(st.just("tell"), st.lists(LABEL, min_size=1, max_size=3)),
    st.tuples(st.just("answer"), st.lists(WHO, min_size=1, max_size=2)),
    st.tuples(st.just("join"), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 29])),
    st.tuples(st.just("flush"), st.none()),
)
MOVES_AWAY = [
    ("answer", ["x"]),
    ("tell", [(0, "x", "a", 0)]),
    ("join", None),
    ("wait", 1),
    ("tell", [(1, "x", "b", 0)]),
    ("join", None),
    ("wait", 1),
    ("tell", [(1, "y", "b", 0)]),
]
KNOWN_LATER = [("answer", ["x"]), ("tell", [(0, "x", "a", 0), (1, "x", "b", 0)]), ("tell", [(1, "y", None, 30)])]


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@example(MOVES_AWAY, ("row",), None, False)
@example(KNOWN_LATER, ("row",), None, True)
@given(
    st.lists(STEP, min_size=6, max_size=20),
    st.sampled_from([("row",), ("row", "who")]),
    st.sampled_from([None, timedelta(hours=24)]),
    st.booleans(),
)
def test_after_each_join_an_answer_has_the_label_that_a_join_from_scratch_gives(empty, steps, row_key, window, stated):
    """And so it has, without another join, whenever a label or a correction becomes known."""
    root = Path(tempfile.mkdtemp(prefix="labels-"))
    world = Corrected(root, row_key=row_key, window=window, stated=stated)
    try:
        for what, given_ in steps:
            if what == "tell":
                world.tell(given_)
            elif what == "answer":
                world.answer([(who, 3, "primary", 0.5) for who in given_])
            elif what == "wait":
                world.clock.move_to(world.clock.now() + given_ * HOUR)
            elif what == "flush":
                for name in world.tables.names():
                    world.tables.flush(name)
            else:
                world.join()
                world.check()
        world.join()
        for hours in (0, 1, 2, 29, 40):
            world.clock.move_to(world.clock.now() + hours * HOUR)
            world.check()
    finally:
        world.close()
        shutil.rmtree(root)


def test_rows_that_lack_their_row_key_are_rows_of_their_own(tmp_path, empty):
    """Labels that are told one by one have no row of the feed: none takes another's place."""
    world = Corrected(tmp_path / "w", row_key=("row",), window=None, stated=False)
    one, two, three = world.answer([("x", 3, "primary", 0.5), ("y", 3, "primary", 0.5), ("z", 3, "primary", 0.5)])
    for rows in ([(None, "x", "a", None)], [(None, "y", "b", None)], [(1, "z", "a", None)], [(1, "z", "c", None)]):
        columns = [pa.array([r[0] for r in rows], pa.int64()), *(pa.array([r[i] for r in rows]) for i in (1, 2))]
        now = world.clock.now()
        columns += [pa.array([None], INSTANT), pa.array([now], INSTANT)]
        table = pa.table(columns, names=["row", "who", OUTCOME, KNOWN, "_arrived"])
        world.tables.append("truth", table, key=f"told {rows}")
        world.join()
        world.clock.move_to(world.clock.now() + HOUR)
    assert world.outcomes() == {one: 0.0, two: 1.0, three: 2.0}
    world.close()
