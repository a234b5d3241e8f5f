"""Online values through change: versions side by side, concurrent pushes, fills without a gap, idle entities."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.errors import BadKey, DeclarationError
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.features import generations
from hanok.parts.features.service import Features
from hanok.stores.lmdb import LmdbOnlineValues
from hanok.stores.memory import MemoryTables
from hanok.stores.sql import SqlMetadata

START = datetime(2013, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", "UTC")


class House:
    def __init__(self, folder):
        self.metadata = SqlMetadata.at(folder / "m.db")
        self.tables, self.clock = MemoryTables(), ReplayClock(START + timedelta(days=1))
        self.online = LmdbOnlineValues(folder / "online", start_bytes=1 << 16)
        self.open()
        self._batches = 0

    def open(self):
        """As after a restart."""
        self.features = Features(metadata=self.metadata, tables=self.tables, online=self.online, clock=self.clock)

    def arrive(self, table, rows, *, seconds=None, push=True):
        seconds = seconds or [0] * rows.num_rows
        instants = pa.array([START + timedelta(seconds=s) for s in seconds], MICROS)
        rows = rows.append_column("e", instants).append_column(ARRIVED, instants)
        self._batches += 1
        first = self.tables.append(table, rows, key=f"{self._batches}").first
        numbered = rows.append_column(SEQUENCE, pa.array(range(first, first + rows.num_rows), pa.int64()))
        if push:
            self.features.push(table, numbered)
        return numbered


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.online.close()
    made.metadata.close()


EVENTS = hk.Source("events", event_time="e")


def view(name="f", **changed):
    what = {"keys": "k", "source": EVENTS, "aggregate": {"x": hk.mean("v")}, "windows": ["7d"]} | changed
    return hk.FeatureView(name, **what)


def model(*views, spine="spine"):
    return hk.Model(
        "m",
        task="regression",
        spine=hk.Spine(spine, predict_at="e", keys="id"),
        label=hk.Label("labels", column="y", known_at="e"),
        features=list(views),
    )


def rows(keys, values, kind=pa.int64()):
    return pa.table({"k": pa.array(keys, kind), "v": pa.array(values, pa.float64())})


CHANGES = {
    "renamed": (view("f"), view("g")),
    "mean to sum": (view(), view(aggregate={"x": hk.sum("v")})),
    "other window": (view(), view(windows=["1h"])),
    "other ttl": (
        view(aggregate=None, windows=(), features="v"),
        view(aggregate=None, windows=(), features="v", ttl="1h"),
    ),
    "other source": (view(), view(source=hk.Source("other", event_time="e"))),
    "reordered": (
        view(aggregate=None, windows=(), features=["v", "w"]),
        view(aggregate=None, windows=(), features=["w", "v"]),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_version_and_the_one_before_both_answer_right_through_a_change(house, change):
    before, after = CHANGES[change]
    house.arrive("spine", rows([1], [0.0]), push=False)
    for table in ("events", "other"):
        batch = rows([1, 1, 2], [1.0, 4.0, 9.0]).append_column("w", pa.array([7.0, 8.0, 9.0]))
        house.arrive(table, batch, push=False)
    old, new = model(before), model(after)

    def both_right(now):
        spine = pa.table({"k": [1, 2, 3], "_at": pa.array([now] * 3, MICROS), SEQUENCE: [-1, -1, -1]})
        for declaration in (old, new):
            offline = house.features.historical(declaration, spine).drop_columns(["_at"]).to_pylist()
            online = [house.features.online_features(declaration, {"k": k}) for k in (1, 2, 3)]
            assert online == offline

    house.features.keep_online([old])
    both_right(house.clock.now())
    house.features.keep_online([new, old])
    both_right(house.clock.now())
    house.arrive("events", rows([1, 3], [100.0, 5.0]).append_column("w", pa.array([1.0, 2.0])), seconds=[9, 9])
    both_right(house.clock.now())
    house.open()  # a restart
    house.features.keep_online([new, old])
    both_right(house.clock.now())
    house.features.keep_online([new])
    kept = len(house.online.spaces())
    assert kept == 2  # the pointers, and the new view's values: the old ones are dropped when no version needs them
    both_right(house.clock.now())


def test_an_idle_and_an_unknown_entity_have_count_0_and_nulls_by_every_door(house):
    counted = view(aggregate={"n": hk.count(), "x": hk.mean("v")}, windows=["1h"])
    house.arrive("spine", rows([1], [0.0]), push=False)
    house.arrive("events", rows([1], [1.0]))
    house.features.keep_online([model(counted)])
    house.clock.move_to(START + timedelta(days=9))
    for fill in (False, True):
        if fill:
            house.features.apply(counted)
            house.features.materialize("f")
        answers = [house.features.online_features(model(counted), {"k": k}) for k in (1, 77, None)]
        assert answers == [{"f__n_1h": 0.0, "f__x_1h": None}] * 3
    (shown,) = house.features.online("f", [["1"]])
    assert shown.statuses == {"n_1h": "PRESENT", "x_1h": "NULL_VALUE"}


@pytest.mark.parametrize("lacking", ["k", "v", "e"])
@pytest.mark.parametrize("windowed", [False, True])
def test_the_first_rows_of_a_table_may_lack_what_a_view_reads(house, lacking, windowed):
    """A label that is told has its keys and its value alone."""
    reading = view() if windowed else view(aggregate=None, windows=(), features="v")
    house.features.apply(reading)
    house.features.keep_online([])
    told = {"k": [1], "v": [1.0], "e": pa.array([START], MICROS), ARRIVED: pa.array([START], MICROS)}
    first = pa.table({n: column for n, column in told.items() if n != lacking})
    house.tables.append("events", first, key="told")
    house.features.push("events", first.append_column(SEQUENCE, pa.array([0], pa.int64())))
    house.arrive("events", rows([2], [2.0]))
    assert [next(iter(r.values.values())) for r in house.features.online("f", [[1], [2]])] == [None, 2.0]


def test_concurrent_pushes_lose_nothing(house):
    counted = view(aggregate={"n": hk.count(), "x": hk.sum("v")})
    house.arrive("spine", rows([1], [0.0]), push=False)
    house.arrive("events", rows([0], [0.0]))
    house.features.keep_online([model(counted)])
    batches = [house.arrive("events", rows([i % 10 for i in range(250)], [1.0] * 250), push=False) for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda batch: house.features.push("events", batch), batches))
    found = [house.features.online_features(model(counted), {"k": k}) for k in range(10)]
    assert [f["f__n_7d"] for f in found] == [1001.0] + [1000.0] * 9
    assert [f["f__x_7d"] for f in found] == [1000.0] * 10


def test_readers_see_no_gap_while_values_are_rebuilt_in_chunks_and_rows_arrive(house, monkeypatch):
    monkeypatch.setattr(generations, "CHUNK_ROWS", 64)
    counted = view(aggregate={"n": hk.count()})
    house.arrive("spine", rows([1], [0.0]), push=False)
    house.arrive("events", rows([i % 7 for i in range(700)], [1.0] * 700), push=False)
    house.features.apply(counted)
    house.features.keep_online([model(counted)])
    over, seen = threading.Event(), []

    def read():
        while not over.is_set():
            seen.append(house.features.online_features(model(counted), {"k": 0})["f__n_7d"])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(2):
            house.features.materialize("f")
            house.arrive("events", rows([0], [1.0]))
    finally:
        over.set()
        reader.join()
    assert seen and seen == sorted(seen) and min(seen) == 100.0 and max(seen) <= 102.0
    assert house.features.online_features(model(counted), {"k": 0})["f__n_7d"] == 102.0


def test_a_fill_that_died_is_dropped_and_what_answered_goes_on_answering(house, monkeypatch):
    counted = view(aggregate={"n": hk.count()})
    house.arrive("spine", rows([1], [0.0]), push=False)
    house.arrive("events", rows([1, 1], [1.0, 1.0]), push=False)
    house.features.apply(counted)
    house.features.keep_online([model(counted)])

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(generations, "merged", dies)
        with pytest.raises(KeyboardInterrupt):
            house.features.materialize("f")
    house.open()
    house.features.apply(counted)
    house.features.keep_online([model(counted)])
    assert house.features.online_features(model(counted), {"k": 1}) == {"f__n_7d": 2.0}
    house.arrive("events", rows([1], [1.0]))
    assert house.features.materialize("f") == 1
    assert house.features.online_features(model(counted), {"k": 1}) == {"f__n_7d": 3.0}
    assert len(house.online.spaces()) == 2


def test_values_of_an_earlier_format_are_dropped_and_built_again(house):
    house.online.put("f", [(b"\x91\x01", b"what an earlier version wrote")])
    house.arrive("spine", rows([1], [0.0]), push=False)
    house.arrive("events", rows([1], [3.0]), push=False)
    house.features.keep_online([model(view())])
    assert "f" not in house.online.spaces()
    assert house.features.online_features(model(view()), {"k": 1}) == {"f__x_7d": 3.0}


def test_a_key_is_read_in_any_spelling_and_refused_by_name(house):
    house.arrive("spine", rows([1], [0.0]), push=False)
    house.arrive("events", rows(["1", "1.0", "x"], [3.0, 5.0, 7.0], pa.string()), push=False)
    declared = model(view())
    with pytest.raises(DeclarationError, match=r"integer \(int64\).*text \(string\).*'x'"):
        house.features.check(declared)
    house.features.apply(view())
    house.features.keep_online([declared])
    assert [r.values["x_7d"] for r in house.features.online("f", [[1], ["1"], ["1.0"], [1.0]])] == [4.0] * 4
    with pytest.raises(BadKey, match="k='007'"):
        house.features.online("f", [["007"]])
    assert house.features.find_spine_row(declared, {"k": "1.0"})["k"] == 1
    with pytest.raises(BadKey, match="k='one'"):
        house.features.find_spine_row(declared, {"k": "one"})


def test_two_spines_of_other_types_read_one_view_each_by_its_own(house):
    house.arrive("spine", rows([1], [0.0]), push=False)
    house.arrive("texts", rows(["1"], [0.0], pa.string()), push=False)
    house.arrive("events", rows(["1", "1.0"], [3.0, 5.0], pa.string()), push=False)
    numbers, texts = model(view()), model(view(), spine="texts")
    house.features.keep_online([numbers, texts])
    assert house.features.online_features(numbers, {"k": 1}) == {"f__x_7d": 4.0}
    assert house.features.online_features(texts, {"k": "1"}) == {"f__x_7d": 3.0}
