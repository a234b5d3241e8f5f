"""Damage on the disk: it is named, it costs what lies in the damaged bytes, and nothing else breaks."""

import random
import shutil
import zlib

import pyarrow as pa
import pytest

from hanok.compute.duck import read
from hanok.core.errors import Corrupt, HanokError
from hanok.core.tables import ARRIVED
from hanok.engine.backup import backup
from hanok.engine.doctor import check_blobs, check_home
from hanok.stores.delta import DeltaTables, check_table
from hanok.stores.frames import UNNUMBERED, FrameFile, read_contents, read_frame
from hanok.stores.frames.format import HEAD_1, MAGIC_1, MAGIC_2, contents, head_size, packed
from hanok.stores.lmdb import LmdbOnlineValues, broken
from hanok.stores.testing.tables import rows, values
from tests.loop.run import open_shop


def file_of(payloads, format):
    if format == 2:
        return MAGIC_2 + b"".join(packed(p, zlib.crc32(p), i, 2) for i, p in enumerate(payloads))
    return MAGIC_1 + b"".join(HEAD_1.pack(len(p), zlib.crc32(p)) + p for p in payloads)


def harmed(data, rng, page=4096):
    """The bytes with one bit flipped, the end cut off, or a page overwritten; and the span that was hit."""
    at = rng.randrange(len(data))
    kind = rng.choice(["flip", "cut", "page"])
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :], kind, range(at, at + 1)
    if kind == "cut":
        return data[:at], kind, range(at, len(data))
    end = min(at + page, len(data))
    return data[:at] + rng.choice([bytes(end - at), rng.randbytes(end - at)]) + data[end:], kind, range(at, end)


@pytest.mark.parametrize("format", [1, 2])
def test_damage_in_a_frame_file_costs_the_frames_it_lies_in_and_is_said(format):
    rng = random.Random(format)
    for _ in range(400):
        payloads = [rng.randbytes(rng.choice([1, 5, 40, 300])) for _ in range(rng.randint(1, 12))]
        whole = file_of(payloads, format)
        starts = [frame.start for frame in contents(whole).frames]
        data, kind, hit = harmed(whole, rng, page=64)
        found = contents(data)
        kept = {frame.number: frame.payload for frame in found.frames}
        assert all(payloads[n] == p for n, p in kept.items() if n < UNNUMBERED)
        for number, (payload, start) in enumerate(zip(payloads, starts, strict=True)):
            if hit.stop <= start or hit.start >= start + head_size(format) + len(payload):
                assert kept.get(number) == payload or (format == 1 and payload in kept.values())
        if format == 2 and kind != "cut" and data != whole and any(data[hit.start :]):
            assert found.damage


def test_what_is_appended_behind_damage_is_read_and_the_damaged_bytes_stay(tmp_path):
    for format in (1, 2):
        path = tmp_path / f"{format}.seg"
        data = bytearray(file_of([b"one" * 9, b"two" * 9, b"three" * 9], format))
        data[8 + head_size(format) + 27 + (0 if format == 1 else 8)] ^= 0x40  # the size of the second
        path.write_bytes(data)
        file = FrameFile(path)
        file.append(b"four")
        file.close()
        assert path.read_bytes()[: len(data)] == data
        found = read_contents(path)
        assert [f.payload for f in found.frames if f.payload != b"two" * 9] == [b"one" * 9, b"three" * 9, b"four"]
        assert found.damage and read_frame(path, 0) == b"one" * 9


def test_a_damaged_tail_loses_its_rows_alone_and_a_batch_that_is_sent_again_is_in_the_table(tmp_path):
    tables = DeltaTables(tmp_path)
    for number in range(4):
        tables.append("t", rows(number), key=f"k{number}", digest=str(number))
    tables.close()
    (path,) = (tmp_path / "t" / "tail").glob("*.seg")
    data = bytearray(path.read_bytes())
    data[read_contents(path).frames[1].start + 9] ^= 0x10  # in the size
    path.write_bytes(data)
    assert any("record 1 is lost" in said and "'k1'" in said for said in check_table(tmp_path / "t"))
    for _ in range(2):
        tables = DeltaTables(tmp_path)
        assert values(tables.scan("t"))[:3] == [0, 2, 3]
        assert tables.append("t", rows(2), key="k2", digest="2").repeated
        tables.append("t", rows(1), key="k1", digest="1")
        assert values(tables.scan("t")) == [0, 2, 3, 1]
        tables.close()


def test_a_damaged_table_is_an_error_of_its_own_and_the_others_go_on(tmp_path):
    tables = DeltaTables(tmp_path)
    for name in ("good", "bad"):
        tables.append(name, rows(1, 2), key="a")
        tables.flush(name)
    tables.close()
    (commit,) = (tmp_path / "bad" / "delta" / "_delta_log").glob("*.json")
    commit.write_bytes(b"{" + commit.read_bytes()[9:])
    tables = DeltaTables(tmp_path)
    assert tables.names() == ["bad", "good"]
    for use in (tables.scan, tables.size, tables.flush, lambda n: tables.append(n, rows(3), key="b")):
        with pytest.raises(Corrupt, match="'bad'"):
            use("bad")
    with tables.frozen():
        assert values(tables.scan("good")) == [1, 2]
    tables.close()


def test_online_values_that_cannot_be_read_are_put_aside_and_begin_anew(tmp_path):
    for harm in (
        lambda d: d[: len(d) // 2],
        lambda d: d[:5000] + bytes([d[5000] ^ 1]) + d[5001:],
        lambda d: b"x" * 999,
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        online = LmdbOnlineValues(folder)
        online.put("s", [(b"%d" % i, b"v" * 100) for i in range(500)])
        online.close()
        assert not broken(folder)
        path = folder / "data.mdb"
        path.write_bytes(harm(path.read_bytes()))
        assert broken(folder)
        online = LmdbOnlineValues(folder)
        online.put("s", [(b"k", b"v")])
        assert online.get("s", [b"k", b"1"]) == [b"v", None]
        online.close()
        assert [p.name for p in folder.glob("damaged-*")] == ["damaged-1.mdb"]


def test_a_flipped_bit_that_leaves_a_text_no_text_is_said_as_damage(tmp_path):
    tables = DeltaTables(tmp_path / "tables")
    owl = pa.table({"bird": ["a barn owl"], ARRIVED: pa.array([0], pa.timestamp("us", "UTC"))})
    tables.append("seen", owl, key="a")
    tables.flush("seen")
    (path,) = (tmp_path / "tables" / "seen" / "delta").glob("*.parquet")
    path.write_bytes(path.read_bytes().replace(b"barn owl", b"b\xe2rn owl"))
    with pytest.raises(Corrupt, match="of table 'seen' is damaged"):
        read(tables.scan("seen"))
    tables.close()


KINDS = {
    "parquet": "tables/*/delta/*.parquet",
    "commit": "tables/*/delta/_delta_log/*.json",
    "keys": "tables/*/keys",
    "digests": "tables/*/digests",
    "tail": "tables/*/tail/*.seg",
    "log": "log/*/*.seg",
    "artifact": "artifacts/??/??/*",
    "online": "online/data.mdb",
}


@pytest.fixture(scope="module")
def lived_in(replayed_home, tmp_path_factory):
    """A home with all kinds of files, and what could be read of it before it was harmed."""
    home = tmp_path_factory.mktemp("lived") / "home"
    shutil.copytree(replayed_home, home)
    app = open_shop(home)
    app.clock.move_to(app.home.clock().now())
    columns = {c.name: [1.0 if c.datatype == "FP64" else "mug"] for c in app.serving.model("returns").signature.inputs}
    asked = [app.serving.predict("returns", columns)[0].prediction_id for _ in range(6)]
    for number in range(3):
        app.tables.append("plain", rows(number, number + 10), key=f"b{number}")
    tables = {name: whole(app, name) for name in app.tables.names()}
    answers = {i: app.serving.find(i) for i in asked}
    app.close()
    assert all(any(home.glob(pattern)) for pattern in KINDS.values())
    return home, tables, answers


def whole(app, name):
    """All rows of a table by their number. A time that was harmed may lie where Python has none."""
    rows = read(app.tables.scan(name))
    times = [f.with_type(pa.int64()) if pa.types.is_timestamp(f.type) else f for f in rows.schema]
    return {row["_seq"]: repr(row) for row in rows.cast(pa.schema(times)).to_pylist()}


def live_through(lived_in, root, seed):
    """Harm one file, look at it with the doctor, and use the home."""
    home, tables, answers = lived_in
    rng = random.Random(seed)
    shutil.copytree(home, root)
    kind = list(KINDS)[seed % len(KINDS)]
    path = rng.choice(sorted(root.glob(KINDS[kind])))
    before = path.read_bytes()
    data, how, hit = harmed(before, rng)
    path.write_bytes(data)
    where = f"seed {seed}: {kind} {how} {path.relative_to(root)} bytes {hit.start} to {hit.stop} of {len(before)}"
    part = path.relative_to(root).parts
    torn = how == "cut" and kind in ("log", "tail", "keys", "digests")
    wrong = [f for f in check_home(_home(root)) if not f.ok]
    if data != before and not torn and kind != "artifact" and any(data[hit.start :]):
        assert any(part[1] in f"{f.what} {f.detail}" or kind in f.what for f in wrong), (where, wrong)
    app = open_shop(root)
    try:
        app.clock.move_to(app.home.clock().now())
        if kind == "artifact" and data != before:
            assert [f for f in check_blobs(app.metadata, app.blobs) if not f.ok and part[-1] in f.detail], where
        for name, expected in tables.items():
            harmed_here = part[:2] == ("tables", name)
            try:
                found = whole(app, name)
            except Corrupt as error:
                assert harmed_here and repr(name) in error.message, where
                continue
            assert found == expected or harmed_here, (where, name)
            if harmed_here and kind != "parquet":
                assert found.items() <= expected.items(), where
        for prediction, answer in answers.items():
            try:
                assert app.serving.find(prediction) == answer, where
            except HanokError:
                assert kind == "log" or "predictions--" in part[1], where
        again = [app.tables.append(f"new-{seed}", rows(seed), key="a").rows for _ in range(2)]
        assert again == [1, 1] and values(app.tables.scan(f"new-{seed}")) == [seed]
        try:
            app.predicting.predict_entity("returns", {"order": "o00100"})
        except HanokError:
            assert kind in ("artifact", "parquet", "commit", "tail", "keys"), where
        backup(app.home, app.metadata, app.tables, app.log, root / "b.tar")
    finally:
        app.close()
    shutil.rmtree(root)


def _home(root):
    from hanok.engine.home import Home

    return Home(root)


def test_a_home_lives_through_damage_of_each_kind_of_file(lived_in, tmp_path):
    for seed in range(len(KINDS)):
        live_through(lived_in, tmp_path / "home", seed)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(20))
def test_a_home_lives_through_two_hundred_rounds_of_damage(lived_in, tmp_path, block):
    for seed in range(100 + 10 * block, 110 + 10 * block):
        live_through(lived_in, tmp_path / "home", seed)
