"""The log keeps what each version saw: through compaction, kills and whatever serves now."""

import math
import threading
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hanok.core.errors import Conflict, Corrupt, PredictionNotFound
from hanok.core.ids import PredictionId
from hanok.core.logged import candidates, feature_of
from hanok.parts.serving import segments
from hanok.parts.serving.entries import Entry, decode, encode
from hanok.parts.serving.log import PredictionLog
from hanok.parts.serving.rows import prediction_of, table_of
from hanok.parts.serving.segments import Segments
from hanok.stores.delta import DeltaTables
from hanok.stores.frames import FrameFile, owned, read_frame, read_frames
from tests.unit.parts.serving.conftest import linear

NOW = datetime(2026, 1, 1, tzinfo=UTC)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([0, 1.0]),
)
hostile = st.one_of(
    plain,
    st.integers(),
    st.sampled_from([10**400, -(2**70), 2**64, "\ud800", "a\udcffb", "\0", "", "💡", math.nan, math.inf]),
    st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)
names = st.one_of(
    st.sampled_from(
        ["x", "X", "size", "Size", "a b", "a.b", 'a"b', "é", "x#2", "", "score", "f__x", "at", "\0", "x\n"]
    ),
    st.text(max_size=5),
)
entries = st.builds(
    Entry,
    at=st.integers(0, 4 * 10**15),
    version=st.integers(1, 4),
    arm=st.sampled_from(["primary", "canary", "shadow"]),
    score=st.one_of(st.none(), st.floats()),
    scores=st.lists(st.floats(), max_size=3),
    features=st.dictionaries(names, hostile, max_size=5),
    entity=st.dictionaries(names, st.text(max_size=5), max_size=2),
    error=st.text(max_size=5),
)


def same(a, b):
    """Equal with type, NaN equal to NaN."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def logs(root):
    tables = DeltaTables(root / "tables")
    return PredictionLog(root / "log", tables, started=NOW), tables


@settings(max_examples=60, deadline=None)
@given(st.lists(entries, min_size=1, max_size=6), st.lists(entries, min_size=1, max_size=3))
def test_each_entry_is_given_back_by_its_row_whatever_stood_in_the_table_before(before, given_entries):
    known = table_of(before, ["b"] * len(before), None).schema
    made = table_of(given_entries, [f"i{i}" for i in range(len(given_entries))], known)
    lower = [n.lower() for n in {*known.names, *made.schema.names}]
    assert len(lower) == len(set(lower))  # engines of SQL could read both tables as one
    assert all(known.field(f.name).type == f.type for f in made.schema if f.name in known.names)
    for entry, row in zip(given_entries, made.to_pylist(), strict=True):
        assert same(prediction_of("m", row).features, entry.features)


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(entries, min_size=1, max_size=5), st.integers(0, 5))
def test_each_record_is_read_as_it_was_before_and_after_it_moves(tmp_path_factory, given_entries, cut):
    log, tables = logs(tmp_path_factory.mktemp("log"))
    ids = log.append_many("m", given_entries[:cut] or given_entries)
    log.compact(everything=True)
    rest = given_entries[cut:] if given_entries[:cut] else []
    ids += log.append_many("m", rest) if rest else []
    for _ in range(2):
        for entry, prediction_id in zip(given_entries, ids, strict=True):
            found = log.find(prediction_id)
            assert same(found.features, entry.features), (found.features, entry.features)
            assert (found.version, found.arm, found.error) == (entry.version, entry.arm, entry.error)
            assert same([found.score, list(found.scores)], [entry.score, entry.scores])
            assert set(found.entity.values()) == set(entry.entity.values())
        log.compact(everything=True)
        tables.flush("predictions--m")
    assert not log.set_aside("m")
    log.close()
    tables.close()


def test_keys_whose_names_differ_in_a_zero_byte_alone_go_into_the_table(tmp_path):
    log, tables = logs(tmp_path)
    entry = Entry(1, 1, "primary", None, [], {}, {"": "a", "\0": "b", "x": "c", "x\0y": "d", "x\0z": "e"})
    (made,) = log.append_many("m", [entry])
    log.compact(everything=True)
    tables.flush("predictions--m")
    assert set(log.find(made).entity.values()) == {*"abcde"} and not log.set_aside("m")
    log.close()
    tables.close()


@given(names, st.integers(1, 4))
def test_the_name_of_a_feature_is_read_from_its_column(name, turn):
    assert {feature_of(c) for c in candidates(("f__", "i__"), name, turn)} == {name}


@given(entries)
def test_any_entry_is_a_frame(entry):
    assert same(decode(encode(entry)).features, entry.features)


def test_a_record_of_an_earlier_version_is_read():
    old = msgspec.msgpack.encode([1, 2, "primary", 0.5, [], {"x": 1.0}, {"row": "a"}, "", 7, "id"])
    assert decode(old) == Entry(1, 2, "primary", 0.5, [], {"x": 1.0}, {"row": "a"}, "", 7, "id", 1)


def test_a_feature_that_was_dropped_and_one_that_is_new_are_kept_whatever_serves(place):
    one, two = place.version(linear(["x", "old"])), place.version(linear(["x", "new"]))
    place.deploy(one)
    first = place.serving.predict("m", {"x": [1], "old": [2.5]})[0].prediction_id
    place.deploy(two)
    second = place.serving.predict("m", {"x": [1.5], "new": [3]})[0].prediction_id
    for _ in range(2):
        assert place.serving.find(first).features == {"x": 1, "old": 2.5}
        assert type(place.serving.find(first).features["x"]) is int
        assert place.serving.find(second).features == {"x": 1.5, "new": 3}
        place.serving.compact(everything=True)


def test_a_feature_of_nulls_alone_has_the_column_that_its_signature_says(place):
    place.deploy(place.version(linear(["x", "y"])))
    place.serving.predict("m", {"x": [1], "y": [None]})
    assert [r["f__y"] for r in place.logged()] == [None]


def damage(path, payloads):
    """Frames with valid checksums, whatever they hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = FrameFile(path)
    for payload in payloads:
        file.append(payload)
    file.close()


def test_a_record_that_is_none_is_set_aside_with_its_reason_and_the_rest_goes_on(tmp_path):
    log, tables = logs(tmp_path)
    good = encode(Entry(1, 1, "primary", 0.5, [], {"x": 1}, {}))
    damage(tmp_path / "log" / "m" / "0193a5c0f3e2-000001.seg", [good, b"\xc1 no entry", good])
    damage(tmp_path / "log" / "n" / "0193a5c0f3e2-0000-000001.seg", [good])
    assert log.compact() == 3
    aside = log.set_aside("m")
    assert [(a.file, "record 1" in a.reason) for a in aside] == [("0193a5c0f3e2-000001", True)]
    assert log.find(PredictionId.parse("m~0193a5c0f3e2-000001-00000002")).score == 0.5
    assert log.compact() == 0 and not log.set_aside("n")
    tables.close()


def test_a_damaged_segment_gives_what_is_readable_and_holds_up_nothing(tmp_path):
    log, tables = logs(tmp_path)
    path = tmp_path / "log" / "m" / "0193a5c0f3e2-0000-000001.seg"
    good = encode(Entry(1, 1, "primary", 0.5, [], {"x": 1}, {}))
    damage(path, [good, good, good])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    first, second, third = (PredictionId.parse(f"m~{path.stem}-{number:08x}") for number in range(3))
    for _ in range(2):
        assert log.find(first).score == log.find(third).score == 0.5
        with pytest.raises(Corrupt, match="record 1 is lost"):
            log.find(second)
        log.compact()
    assert tables.size("predictions--m") == 2
    assert "record 1 is lost" in log.set_aside("m")[0].reason
    tables.close()


@pytest.mark.parametrize(
    "values",
    [pa.array([2**64 - 1, 2**63, 7, None], pa.uint64()), pa.array([Decimal("0.10"), None, Decimal("123456789.01")])],
)
def test_a_batch_keeps_what_its_version_saw_exactly(place, values):
    place.deploy(place.version(linear(["x"])))
    ids = place.serving.predict_batch("m", pa.table({"x": values}), key="b")
    found = [place.serving.find(i).features["x"] for i in ids]
    assert (found, list(map(type, found))) == (values.to_pylist(), list(map(type, values.to_pylist())))


def test_a_batch_key_with_other_rows_is_refused_and_with_equal_rows_repeated(place):
    place.deploy(place.version(linear(["x", "y"])))
    rows = pa.table({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    ids = place.serving.predict_batch("m", rows, key="b")
    assert place.serving.predict_batch("m", rows.select(["y", "x"]), key="b") == ids
    with pytest.raises(Conflict, match="'b'"):
        place.serving.predict_batch("m", rows.set_column(0, "x", pa.array([1.0, 2.5])), key="b")
    assert place.tables.size("predictions--m") == 2


def test_ids_of_earlier_versions_lead_to_their_records_open_and_moved(tmp_path):
    log, tables = logs(tmp_path)
    damage(
        tmp_path / "log" / "m" / "0193a5c0f3e2-000001.seg",
        [encode(Entry(1, 1, "primary", float(i), [], {"x": i}, {})) for i in range(3)],
    )
    for _ in range(2):
        assert log.find(PredictionId.parse("m~0193a5c0f3e2-000001-00000002")).features == {"x": 2}
        log.compact()
    with pytest.raises(PredictionNotFound):
        log.find(PredictionId.parse("m~0193a5c0f3e2-000001-00000003"))
    tables.close()


def test_processes_that_start_in_the_same_millisecond_have_segments_of_their_own(tmp_path):
    first, second = (Segments(tmp_path, start_ms=1_700_000_000_000) for _ in range(2))
    ids = [s.append("m", [b"a"])[0] for s in (first, second, first)]
    assert len({i.file for i in ids}) == 2 and ids[0].file == ids[2].file
    assert [s.read(i) for s, i in zip((second, first, second), ids, strict=True)] == [b"a"] * 3


def test_a_segment_that_another_process_writes_is_neither_moved_nor_removed(tmp_path):
    (one, tables), two = logs(tmp_path), PredictionLog(tmp_path / "log", None, started=NOW)
    entry = Entry(1, 1, "primary", 0.5, [], {"x": 1}, {})
    theirs = two.append("m", entry)
    assert one.compact(everything=True) == 0
    again = two.append("m", entry)
    assert [two.find(i).score for i in (theirs, again)] == [0.5, 0.5] == [one.find(i).score for i in (theirs, again)]
    two.close()
    assert one.compact(everything=True) == 2
    tables.close()


def test_names_of_models_are_safe_on_disk(tmp_path):
    made = Segments(tmp_path / "log", start_ms=1)
    for name in ("..", ".", "a/b", "../../x", "Ä \n", "a%b"):
        made.append(name, [b"1"])
    made.close()
    assert sorted(made.deployments()) == sorted(["..", ".", "a/b", "../../x", "Ä \n", "a%b"])
    assert {p.parent.parent for p in tmp_path.rglob("*.seg")} == {tmp_path / "log"}


def test_syncing_holds_up_no_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 100)
    log, tables = logs(tmp_path)
    entry = Entry(1, 1, "primary", 0.5, [], {"x": 1}, {})
    log.append("m", entry)
    waiting, go = threading.Event(), threading.Event()

    def stuck(descriptor):
        waiting.set()
        assert go.wait(20)

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", stuck)
        patch.setattr("os.fsync", stuck)
        syncing = threading.Thread(target=log.sync)
        syncing.start()
        assert waiting.wait(20)
        ids = log.append_many("m", [entry] * 101) + log.append_many("m", [entry])  # a rotation too
        assert ids[-1].segment == 1 and log.append("other", entry)
        go.set()
        syncing.join()
    assert log.compact(everything=True) == 104
    tables.close()


def test_one_frame_is_read_by_its_number(tmp_path):
    file = FrameFile.create(tmp_path / "a.seg")
    payloads = [bytes([i % 251]) * (i * 37 % 5000) for i in range(200)]
    file.append_many(payloads[:150])
    for payload in payloads[150:]:
        file.append(payload)
    for number in (0, 1, 149, 150, 199):
        assert file.read(number) == read_frame(file.path, number) == payloads[number]
    assert file.read(200) is None and read_frame(file.path, 200) is None
    assert owned(file.path) is None
    file.close()
    assert list(read_frames(file.path)) == payloads
    assert owned(file.path) is not None
    with pytest.raises(FileExistsError):
        FrameFile.create(file.path)


def test_answers_up_to_now_are_counted_once_while_they_move(place):
    place.deploy(place.version(linear(["x"])))
    stop, counts = threading.Event(), []

    def count():
        while not stop.is_set():
            counts.append(place.serving.answers_since("m", NOW).num_rows)

    counter = threading.Thread(target=count)
    counter.start()
    for i in range(30):
        place.serving.predict("m", {"x": [float(i)] * 3})
        place.serving.compact(everything=True)
    stop.set()
    counter.join()
    assert counts == sorted(counts) and place.serving.answers_since("m", NOW).num_rows == 90


def test_a_request_of_many_rows_is_logged_with_what_it_cost(place):
    place.deploy(place.version(linear(["x"])))
    place.serving.predict("m", {"x": [1.0] * 50})
    rows = place.logged()
    assert len({r["microseconds"] for r in rows}) == 1 and {r["rows"] for r in rows} == {50}
