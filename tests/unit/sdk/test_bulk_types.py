"""Bulk predictions whatever types the columns of a file have: answered and written, or refused row by row."""

import json
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

from hanok.compute import duck
from hanok.core.ids import new_id
from hanok.core.lineage import Node, NodeKind
from hanok.core.registry import ModelVersion
from hanok.core.serving import Arm, Column
from hanok.sdk.batches import Bulk, predict_bulk
from hanok.sdk.transports import InProcess
from hanok.wire.inference.columns import read_column
from tests.unit.parts.serving.conftest import linear

AT = datetime(2026, 1, 2, 3, 4, 5)
HALF = pa.Array.from_buffers(pa.string(), 3, pa.array([b"ab", b"\xff", None], pa.binary()).buffers())
COLUMNS = {
    "null": pa.nulls(3),
    "bool": pa.array([True, False, None]),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())),
    **{str(t): pa.array([1, 2, None], t) for t in (pa.int8(), pa.int64(), pa.uint8())},
    "uint64": pa.array([2**64 - 1, 2, None], pa.uint64()),
    **{str(t): pa.array([1.5, float("inf"), None], t) for t in (pa.float16(), pa.float32(), pa.float64())},
    "nan": pa.array([float("nan"), 2.0, None]),
    "decimal32": pa.array([Decimal("1.5"), Decimal(2), None], pa.decimal32(5, 1)),
    "decimal128": pa.array([Decimal("1.5"), Decimal(2), None], pa.decimal128(38, 2)),
    "decimal256": pa.array([Decimal(10) ** 70, Decimal(2), None], pa.decimal256(76, 0)),
    **{str(t): pa.array(["a", 'b,\n"', None], t) for t in (pa.string(), pa.large_string(), pa.string_view())},
    "not UTF-8": HALF,
    **{str(t): pa.array([b"ab", b"\xff", None], t) for t in (pa.binary(), pa.large_binary(), pa.binary_view())},
    "binary2": pa.array([b"ab", b"\xff\xfe", None], pa.binary(2)),
    "uuid": pa.array([uuid.UUID(int=1), uuid.UUID(int=2), None], pa.uuid()),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', "2", None])),
    **{f"date{t.bit_width}": pa.array([date(2026, 1, 2), date(1, 1, 1), None], t) for t in (pa.date32(), pa.date64())},
    "far date": pa.array([2**30, 1, None], pa.int32()).cast(pa.date32()),
    **{f"time {u}": pa.array([time(1, 2, 3), time(), None], pa.time32(u)) for u in ("s", "ms")},
    **{f"time {u}": pa.array([1_001, 2, None], pa.time64(u)) for u in ("us", "ns")},
    **{f"at {u}": pa.array([AT, None, AT], pa.timestamp(u)) for u in ("s", "ms", "us", "ns")},
    **{f"{z} {u}": pa.array([AT, None, AT], pa.timestamp(u, z)) for u in ("us", "ns") for z in ("UTC", "Asia/Seoul")},
    "nanoseconds": pa.array([1, 2, None], pa.timestamp("ns")),
    "nanoseconds there": pa.array([1, 2, None], pa.timestamp("ns", "+09:00")),
    "no such zone": pa.array([1, 2, None], pa.timestamp("us", "Mars/Olympus")),
    "far instant": pa.array([2**62, 2, None], pa.timestamp("s")),
    **{f"duration {u}": pa.array([timedelta(1, 2), timedelta(0), None], pa.duration(u)) for u in ("s", "ms", "us")},
    "duration ns": pa.array([1, 2, None], pa.duration("ns")),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3]), pa.MonthDayNano([0, 0, 1]), None]),
    "list": pa.array([["a"], [], None]),
    "large list": pa.array([[1], [], None], pa.large_list(pa.int8())),
    "list view": pa.array([[1], [], None], pa.list_view(pa.int8())),
    "pair": pa.array([[1, 2], [3, 4], None], pa.list_(pa.int8(), 2)),
    "list of bytes": pa.array([[b"\xff"], [], None]),
    "list of nanoseconds": pa.array([[1], [], None], pa.list_(pa.timestamp("ns"))),
    "struct": pa.array([{"a": 1, "b": AT}, {"a": 2, "b": None}, None]),
    "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int8())),
    "union": pa.UnionArray.from_sparse(
        pa.array([0, 1, 1], pa.int8()), [pa.array([1, 2, 3]), pa.array(["a", "b", None])], ["n", "t"]
    ),
    "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
    "dictionary of bytes": pa.array([b"a", b"\xff", None]).dictionary_encode(),
    "dictionary of numbers": pa.array([1, 2, None]).dictionary_encode(),
    "runs": pc.run_end_encode(pa.array(["a", "b", None])),
    "tensor": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int8(), [2]), pa.array([[1, 2], [3, 4], None], pa.list_(pa.int8(), 2))
    ),
}


@pytest.fixture
def transport(shop):
    return InProcess(shop)


def written(shop, path, columns):
    """A file of Arrow with the inputs of the model beside these columns."""
    inputs = {
        c.name: pa.array([c.categories[0] if c.categories else "x"] * 3 if c.datatype == "BYTES" else [1, 2, 3])
        for c in shop.serving.model("returns").signature.inputs
    }
    table = pa.table({**inputs, **columns})
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    return str(path)


def read(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".csv":
        parsed = csv.ParseOptions(newlines_in_values=True)
        kinds = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
        return csv.read_csv(path, parse_options=parsed, convert_options=kinds).to_pylist()
    found = pq.read_table(path)
    return found.select([n for n in found.column_names if n not in COLUMNS]).to_pylist()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ""])
def test_a_column_of_any_type_stands_beside_the_answers(shop, transport, tmp_path, suffix):
    source, out = written(shop, tmp_path / "all.arrow", COLUMNS), tmp_path / f"out{suffix}"
    batch = predict_bulk(transport, Bulk("returns", source, out, keep=tuple(COLUMNS), piece_rows=2))
    assert (batch["state"], batch["rows"], batch["refused"], batch["failed"]) == ("done", 3, 0, 0)
    rows = read(out)
    assert [r["row"] for r in rows] == [0, 1, 2] and all(0 <= r["score"] <= 1 for r in rows)
    if suffix in (".csv", ".jsonl"):
        assert [r["binary"] for r in rows][:2] == ["ab", "\\xff"] and rows[1]["not UTF-8"] == "\\xff"
        assert "2026-01-02" in rows[0]["at ns"] and "00000000" in rows[0]["uuid"]


@pytest.mark.parametrize("asked", ["keys", "at"])
def test_a_key_or_an_instant_of_any_type_is_read_or_refuses_its_row(shop, transport, tmp_path, asked):
    """Every row has an answer, or the reason why it has none; and the batch comes to its end."""
    source, answered = written(shop, tmp_path / "all.arrow", COLUMNS), set()
    rows = pa.ipc.open_file(source).read_all()
    for name in COLUMNS:
        more = {"keys": {"order": name}} if asked == "keys" else {"at": name}
        wanted = {"model": "returns", "source": name, "digest": "d" * 64, "columns": rows.column_names, **more}
        found = transport.piece("returns", transport.call("predict.begin", wanted)["id"], 0, rows)
        scores = found.column("score") if "score" in found.column_names else pa.nulls(3)
        assert pc.xor(scores.is_valid(), found.column("error").is_valid()).to_pylist() == [True] * 3
        given = scores.is_valid() if asked == "at" else pc.and_(scores.is_valid(), rows.column(name).is_valid())
        answered |= {name} if pc.any(given).as_py() else set()
    batch = predict_bulk(transport, Bulk("returns", source, tmp_path / "out.csv", keep=("list",), **more))
    assert batch["state"] == "done"
    never = {"list", "struct", "map", "union", "interval", "binary", "duration s", "time s"}
    assert not answered & never
    assert answered >= ({"string", "uuid", "dictionary", "runs", "int8"} if asked == "keys" else {"at ns", "date32"})


@pytest.mark.parametrize("datatype", ["FP64", "INT64", "BOOL", "BYTES"])
def test_an_input_of_any_type_is_read_or_refuses_its_row(datatype):
    for name, values in COLUMNS.items():
        column = pa.chunked_array([values, values.slice(0, 1)])
        found = read_column(Column("x", datatype), column, written=False)
        assert len(found.column) == 4 and all("input 'x' is" in why for why in found.refused.values()), name
        assert (0 in found.refused) == (3 in found.refused) and (name == "union" or 2 not in found.refused or values[2])


def test_values_of_json_that_have_no_type_in_common_are_read_one_by_one(shop, transport, tmp_path):
    inputs = {c.name: None for c in shop.serving.model("returns").signature.inputs}
    number = next(c.name for c in shop.serving.model("returns").signature.inputs if c.datatype == "FP64")
    said = [1, "1", 2.5, [1], {"a": 1}, 2**70, True, None]
    lines = [json.dumps({**inputs, number: v, "order": v, "note": v}) for v in said]
    (tmp_path / "mixed.jsonl").write_text("\n".join(lines))
    for suffix in (".jsonl", ".csv", ".parquet"):
        out = tmp_path / f"out{suffix}"
        batch = predict_bulk(
            transport, Bulk("returns", str(tmp_path / "mixed.jsonl"), out, keep=("note",), piece_rows=4)
        )
        assert batch["state"] == "done"
    rows = read(tmp_path / "out.jsonl")
    assert [r["score"] is not None for r in rows] == [True, False, True, False, False, True, True, True]
    assert [r["note"] for r in rows][:5] == ["1", "1", "2.5", "[1]", '{"a": 1}']


def test_what_a_shadow_alone_takes_refuses_no_row(shop, transport, tmp_path):
    """A value that does not fit is none to the shadow, which scores every other row by its own."""
    (primary,) = [a.version for d in shop.serving.deployments() if d.name == "returns" for a in d.arms if a.share]
    now = shop.clock.now()
    digest = shop.packages.save(linear([], columns=(Column("extra", "INT64"),)))
    shadow = ModelVersion(new_id(now), "returns", 0, now, package=digest)

    def register(r):
        r.lineage.add([Node(shadow.id, NodeKind.MODEL_VERSION, "returns", now)])
        return r.registry.add_version(shadow).version

    arms = [Arm(primary, "primary", 100), Arm(shop.metadata.write(register), "shadow")]
    shop.serving.deploy("returns", arms, actor="me", reason="test")
    source = written(shop, tmp_path / "rows.arrow", {"extra": pa.array([5.0, 2.5, 7.0])})
    batch = predict_bulk(transport, Bulk("returns", source))
    assert (batch["rows"], batch["refused"], batch["failed"]) == (3, 0, 0)
    log = duck.read(shop.tables.scan("predictions--returns")).to_pylist()
    assert [r["score"] for r in log if r["version"] == arms[1].version][::2] == [5.0, 7.0]
