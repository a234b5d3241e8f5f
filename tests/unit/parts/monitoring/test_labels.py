"""Which label an answer gets: held against a brute-force oracle, and rule by rule."""

import math
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hanok.core.clock import ReplayClock
from hanok.core.errors import ModelNotFound
from hanok.core.keys import KeyType
from hanok.core.labels import LabelSource
from hanok.core.serving import Signature
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.labels import Labels
from hanok.parts.monitoring.service import Monitoring
from hanok.stores.delta import DeltaTables
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", "UTC")
OUTCOME, KNOWN = "out {come}", "known's"  # names as people have them
CLASSES = {1: ("a", "b"), 2: ("b", "c"), 3: ("a", "b", "c")}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An empty metadata store, to be copied: making one takes longer than a test."""
    path = tmp_path_factory.mktemp("empty") / "m.db"
    SqlMetadata.at(path).close()
    World.empty = path
    return path


class World:
    """A log and a label table, written as ingest and compaction write them, and the labels that join them."""

    def __init__(self, root, *, task="multiclass", window=None, kind=KeyType.TEXT, label_type=pa.string()):
        self.root, self.kind, self.task, self.label_type = root, kind, task, label_type
        self.source = LabelSource("m", "truth", OUTCOME, KNOWN, ("who",), window=window)
        self.clock = ReplayClock(START)
        self.answers, self.told = [], []
        root.mkdir(exist_ok=True)
        shutil.copy(self.empty, root / "m.db")
        self.open()

    def open(self):
        self.metadata, self.tables = SqlMetadata.at(self.root / "m.db"), DeltaTables(self.root / "tables")
        self.alerts = Alerts(metadata=self.metadata, clock=self.clock)
        self.monitoring = Monitoring(metadata=self.metadata, tables=self.tables, alerts=self.alerts, clock=self.clock)
        self.labels = self.monitoring.labels

    def restart(self):
        self.close()
        self.open()

    def close(self):
        self.tables.close()
        self.metadata.close()

    def signature(self, version):
        if version not in CLASSES:
            raise ModelNotFound(f"there is no version {version}")
        return Signature(
            (), self.task, CLASSES[version] if self.task == "multiclass" else ("0", "1")[: 2 * (self.task == "binary")]
        )

    def answer(self, rows, *, batch="", key=None):
        """`rows`: (who, version, arm, score)."""
        ids = [f"m~{len(self.answers) + i:06d}" for i in range(len(rows))]
        now = self.clock.now()
        self.answers += [(i, who, version, now, score) for i, (who, version, _, score) in zip(ids, rows, strict=True)]
        table = pa.table(
            {
                "prediction_id": ids,
                "row_id": ids,
                "at": pa.array([now] * len(rows), INSTANT),
                "version": pa.array([r[1] for r in rows], pa.int64()),
                "arm": [r[2] for r in rows],
                "batch": [batch] * len(rows),
                "score": pa.array([r[3] for r in rows], pa.float64()),
                "scores": pa.array([[]] * len(rows), pa.list_(pa.float64())),
                "error": ["" if r[3] is not None else "failed" for r in rows],
                "key__who": pa.array([r[0] for r in rows], pa.string()),
                "_arrived": pa.array([now] * len(rows), INSTANT),
            }
        )
        self.tables.append("predictions--m", table, key=key or f"log {len(self.answers)}")
        return ids

    def tell(self, rows, *, who_type=pa.string()):
        """`rows`: (who, outcome, known_at)."""
        now = self.clock.now()
        self.told += [(who, outcome, known or now, now) for who, outcome, known in rows]
        table = pa.table(
            {
                "who": pa.array([r[0] for r in rows], who_type),
                OUTCOME: pa.array([r[1] for r in rows], self.label_type),
                KNOWN: pa.array([r[2] for r in rows], INSTANT),
                "_arrived": pa.array([now] * len(rows), INSTANT),
            }
        )
        self.tables.append("truth", table, key=f"truth {len(self.told)} {now}")

    def join(self):
        return self.labels.join(self.source, [self.kind], self.signature, self.signature(3))

    def outcomes(self):
        return {r["prediction_id"]: r["label"] for r in self.labels.outcomes("m").to_pylist()}

    def oracle(self):
        """For each answer: of the known labels of its entity that lie within the window, the newest; of equals the
        last."""
        found, now = {}, self.clock.now()
        for ident, who, version, at, score in self.answers:
            best = None
            for mine, outcome, known, arrived in self.told:
                near = self.source.window is None or abs(known - at) <= self.source.window
                value = outcome is not None and not (isinstance(outcome, float) and math.isnan(outcome))
                if mine == who is not None and value and max(known, arrived) <= now and near:
                    best = (known, outcome) if best is None or known >= best[0] else best
            if best is None or score is None or math.isnan(score):
                continue
            classes = CLASSES.get(version, CLASSES[3])
            if best[1] in classes:
                found[ident] = float(classes.index(best[1]))
        return found


@pytest.fixture
def world(tmp_path, empty):
    made = World(tmp_path)
    yield made
    made.close()


WHO = st.sampled_from(["x", "y", "z", None])
ANSWER = st.tuples(
    WHO,
    st.sampled_from([1, 2, 3, 9]),
    st.sampled_from(["primary", "canary", "shadow"]),
    st.sampled_from([0.2, 0.7, None, math.nan]),
)
LABEL = st.tuples(WHO, st.sampled_from(["a", "b", "c", None, "?"]), st.sampled_from([None, -50, -3, 0, 2, 30]))
STEP = st.one_of(
    st.tuples(st.just("answer"), st.lists(ANSWER, min_size=1, max_size=4)),
    st.tuples(st.just("tell"), st.lists(LABEL, min_size=1, max_size=4)),
    st.tuples(st.just("again"), st.none()),
    st.tuples(st.just("join"), st.none()),
    st.tuples(st.just("cut down"), st.none()),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("flush"), st.none()),
    st.tuples(st.just("wait"), st.integers(1, 40)),
)


class CutDown(Exception):
    """The process ends here."""


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.lists(STEP, min_size=3, max_size=25), st.sampled_from([None, timedelta(hours=24)]))
def test_each_answer_has_the_label_that_a_brute_force_search_finds(empty, steps, window):
    root = Path(tempfile.mkdtemp(prefix="labels-"))
    world = World(root, window=window)
    try:
        for what, given_ in steps:
            _do(world, what, given_)
        world.join()
        assert world.outcomes() == world.oracle()
        world.clock.move_to(world.clock.now() + 100 * HOUR)  # labels that were dated ahead are known by now
        assert world.outcomes() == world.oracle()
    finally:
        world.close()
        shutil.rmtree(root)


def _do(world, what, given_):
    if what == "answer":
        world.answer(given_)
    elif what == "tell":
        now = world.clock.now()
        world.tell([(who, value, None if k is None else now + k * HOUR) for who, value, k in given_])
    elif what == "again" and world.told:
        world.tell([(who, value, known) for who, value, known, _ in world.told[-2:]])
    elif what == "join":
        world.join()
    elif what == "cut down":

        def stop(*_):
            raise CutDown

        world.labels._finish = stop
        try:
            world.join()
        except CutDown:
            pass
        world.restart()
    elif what == "restart":
        world.restart()
    elif what == "flush":
        for name in world.tables.names():
            world.tables.flush(name)
    elif what == "wait":
        world.clock.move_to(world.clock.now() + given_ * HOUR)


def test_a_label_that_returns_to_an_earlier_value_counts_again(world):
    (one,) = world.answer([("x", 3, "primary", 0.5)])
    for value in ("a", "b", "a"):
        world.clock.move_to(world.clock.now() + HOUR)
        world.tell([("x", value, None)])
        world.join()
        assert world.outcomes() == {one: float("abc".index(value))}


def test_a_label_dated_earlier_that_arrives_later_does_not_count(world):
    (one,) = world.answer([("x", 3, "primary", 0.5)])
    world.clock.move_to(START + 9 * HOUR)
    world.tell([("x", "b", START + 8 * HOUR)])
    world.join()
    world.tell([("x", "a", START + 2 * HOUR)])
    world.join()
    assert world.outcomes() == {one: 1.0}


def test_a_label_of_any_age_is_joined_unless_a_window_is_set_and_then_what_lies_outside_is_counted(tmp_path, empty):
    for window, outcome in ((None, {"m~000000": 0.0}), (timedelta(days=60), {})):
        world = World(tmp_path / str(window), window=window)
        world.answer([("x", 3, "primary", 0.5)])
        world.clock.move_to(START + timedelta(days=365))
        world.tell([("x", "a", None)])
        assert world.join() == len(outcome)
        assert world.outcomes() == outcome
        report = world.labels.report(world.source)
        assert (report.outside, report.labelled) == (1 - len(outcome), len(outcome))
        fingerprints = [a.fingerprint for a in world.alerts.list("m", state="open")]
        assert fingerprints == ([] if window is None else ["labels-outside"])
        assert world.labels.of_rows("m", 0, 1) == (len(outcome), 1 - len(outcome))
        world.close()


def test_a_word_that_is_no_label_is_counted_and_told_and_changes_no_outcome(world):
    (one,) = world.answer([("x", 3, "primary", 0.5)])
    world.tell([("x", "a", None), ("y", "maybe", None), ("z", "maybe", None), ("z", "perhaps", None)])
    world.join()
    assert world.outcomes() == {one: 0.0}
    (alert,) = world.alerts.list("m", state="open")
    assert "3 labels in truth are no label of m" in alert.summary and "'maybe', 'perhaps'" in alert.summary
    assert world.labels.report(world.source).strange == 3
    world.tell([("y", "b", None)])
    world.join()
    assert world.alerts.list("m", state="open") == []


@pytest.mark.parametrize(
    ("task", "label_type", "values"),
    [
        ("binary", pa.bool_(), {True: 1.0, False: 0.0}),
        ("binary", pa.int64(), {1: 1.0, 0: 0.0, 2: None}),
        ("binary", pa.float64(), {1.0: 1.0, 0.0: 0.0, math.nan: None, 0.5: None}),
        ("binary", pa.string(), {"1": 1.0, "0": 0.0, "maybe": None}),
        ("regression", pa.float64(), {2.5: 2.5, math.nan: None, math.inf: None}),
        ("regression", pa.int64(), {7: 7.0}),
        ("regression", pa.string(), {"7.5": 7.5, "many": None, "nan": None}),
        ("multiclass", pa.string(), {"a": 0.0, "c": 2.0, "d": None}),
    ],
)
def test_labels_of_each_task_and_type(tmp_path, empty, task, label_type, values):
    world = World(tmp_path, task=task, label_type=label_type)
    ids = world.answer([(f"e{i}", 3, "primary", 0.5) for i in range(len(values))])
    world.tell([(f"e{i}", value, None) for i, value in enumerate(values)])
    world.join()
    assert world.outcomes() == {i: v for i, v in zip(ids, values.values(), strict=True) if v is not None}
    world.close()


T = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "logged", "column", "told"),
    [
        (KeyType.INTEGER, ["7", "7.0", " 7 ", "8"], pa.int64(), 7),
        (KeyType.INTEGER, ["7", "7.0", "8"], pa.float64(), 7.0),
        (KeyType.INTEGER, ["7", "7.0", "8"], pa.string(), "7.0"),
        (KeyType.BOOLEAN, ["true", "True", "TRUE", "false"], pa.bool_(), True),
        (
            KeyType.INSTANT,
            [
                "2026-01-02T03:04:05+00:00",
                "2026-01-02T03:04:05Z",
                "2026-01-02 03:04:05",
                "2026-01-02T04:04:05+01:00",
                "",
            ],
            INSTANT,
            T,
        ),
        (KeyType.DATE, ["2026-01-02", "2026-01-02T00:00:00Z", "2026-01-03"], pa.date32(), T.date()),
        (KeyType.TEXT, ["7", "07"], pa.int64(), 7),
        (KeyType.TEXT, ["a", "A"], pa.string(), "a"),
        (KeyType.NUMBER, ["0.00001", "1e-5", "0.0001"], pa.float64(), 1e-5),
        (KeyType.NUMBER, ["10000000000000002", "10000000000000003"], pa.float64(), 1e16 + 2),
        (KeyType.NUMBER, ["9007199254740994", "9007199254740992"], pa.float64(), 2.0**53 + 2),
        (KeyType.NUMBER, ["0.5", "5e-1", "0.25"], pa.float32(), 0.5),
        (KeyType.NUMBER, ["1.5", "1.50", "1.05"], pa.decimal128(10, 2), Decimal("1.50")),
        (KeyType.NUMBER, ["2", "2.00", "20"], pa.decimal128(10, 2), Decimal("2.00")),
    ],
)
@pytest.mark.parametrize("first", ["answers", "labels"])
def test_keys_that_are_spelled_otherwise_are_the_same_entity(tmp_path, empty, kind, logged, column, told, first):
    """All but the last of `logged` name the entity that `told` does."""
    world = World(tmp_path, kind=kind)
    steps = [
        lambda: world.answer([(text, 3, "primary", 0.5) for text in logged]),
        lambda: world.tell([(told, "a", None)], who_type=column),
    ]
    for step in steps if first == "answers" else reversed(steps):
        step()
        world.join()
    assert world.outcomes() == {f"m~{i:06d}": 0.0 for i in range(len(logged) - 1)}
    world.close()


def test_a_home_of_an_earlier_release_keeps_its_outcomes_and_gets_those_it_had_lost(world):
    """Outcomes were written without the label's instant and row, and a repeated word was swallowed."""
    one, two = world.answer([("x", 3, "primary", 0.5), ("y", 3, "primary", 0.5)])
    old = {
        "prediction_id": [one],
        "row_id": [one],
        "at": pa.array([START], INSTANT),
        "version": [3],
        "arm": ["primary"],
        "score": [0.5],
        "scores": pa.array([[]], pa.list_(pa.float64())),
        "label": [1.0],
        "known_at": pa.array([START], INSTANT),
        "_arrived": pa.array([START], INSTANT),
    }
    world.tables.append("outcomes--m", pa.table(old), key="truth batch")
    assert world.outcomes() == {one: 1.0}
    world.tell([("x", "b", None), ("x", "a", None), ("y", "c", None)])
    world.join()
    assert world.outcomes() == {one: 0.0, two: 2.0}


def test_labels_without_the_key_in_the_log_are_told_and_joined_once_answers_carry_it(world):
    table = pa.table(
        {"prediction_id": ["p"], "arm": ["primary"], "score": [0.5], "_arrived": pa.array([START], INSTANT)}
    )
    world.tables.append("predictions--m", table, key="without entity")
    world.tell([("x", "a", None)])
    assert world.join() == 0
    assert [a.fingerprint for a in world.alerts.list("m", state="open")] == ["labels-unmatched"]
    (one,) = world.answer([("x", 3, "primary", 0.5)])
    world.join()
    assert world.outcomes() == {one: 0.0}
    assert world.alerts.list("m", state="open") == []


def test_another_label_column_joins_anew(world):
    (one,) = world.answer([("x", 3, "primary", 0.5)])
    world.tell([("x", "a", None)])
    world.join()
    world.source = LabelSource("m", "truth", "who", KNOWN, ("who",))
    world.join()
    assert world.outcomes() == {}  # "x" is no class
    world.source = LabelSource("m", "truth", OUTCOME, KNOWN, ("who",))
    world.join()
    assert world.outcomes() == {one: 0.0}


def test_two_joins_do_not_join_a_pair_twice(world):
    world.answer([("x", 3, "primary", 0.5)])
    world.tell([("x", "a", None)])
    again = Labels(metadata=world.metadata, tables=world.tables, alerts=world.alerts, clock=world.clock)
    assert (world.join(), again.join(world.source, [world.kind], world.signature, world.signature(3))) == (1, 0)
    assert world.tables.size("outcomes--m") == 1
