"""What is inferred or suggested from a file holds on that very file, whatever its names and types."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet as pq

from hanok.cli import cli
from hanok.engine.checking import check_file, inferred, suggested

N = 20
COLUMNS = {
    "time": pa.array([dt.time(1, 2), None, dt.time(3)] * N),
    "duration": pa.array([dt.timedelta(1), None, dt.timedelta(2)] * N),
    "bytes": pa.array([b"\xff\x00", None, b"b"] * N),
    "fixed bytes": pa.array([b"ab", None, b"cd"] * N, pa.binary(2)),
    "list of text": pa.array([["a"], None, ["b", "c"]] * N),
    "list of int": pa.array([[1, 2], None, []] * N),
    "struct": pa.array([{"a": 1}, None, {"a": 2}] * N),
    "map": pa.array([[("a", 1)], None, []] * N, pa.map_(pa.string(), pa.int64())),
    "half float": pa.array([1.5, None, 2.5] * N, pa.float16()),
    "NaN and inf": pa.array([float("nan"), float("inf"), -0.0] * N),
    "uint64": pa.array([2**63 + 5, None, 1] * N, pa.uint64()),
    "ids over 2^53": pa.array([9007199254740992 + i for i in range(3 * N)]),
    "decimal": pa.array([Decimal("12345678901234567890123456789") + i for i in range(3 * N)], pa.decimal128(38, 0)),
    "extremes": pa.array([1e-320, 1e308, -1e308] * N),
    "nulls": pa.nulls(3 * N),
    "dictionary": pa.array(["a", None, "b"] * N).dictionary_encode(),
    "date": pa.array([dt.date(2024, 1, 2)] * 3 * N),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_of_every_type(tmp_path, name):
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"a.b": COLUMNS[name], "z": range(3 * N)}), path)
    (tmp_path / "s.yaml").write_text(inferred(path))
    (tmp_path / "c.yaml").write_text(suggested(path))
    found = check_file(path, schema=tmp_path / "s.yaml", suite=tmp_path / "c.yaml")
    assert found.anomalies == () and [o for o in found.outcomes if o.status != "Success"] == []


@pytest.mark.parametrize("name", COLUMNS)
def test_every_type_has_a_profile_and_a_drift(tmp_path, name):
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"c": COLUMNS[name], "z": range(3 * N)}), path)
    for command in (["profile", str(path)], ["drift", str(path), str(path)]):
        assert CliRunner().invoke(cli, command).exit_code == 0


@pytest.mark.parametrize("header", ["sepal.length,x", "1.5,x", "No.,x", "a b,x", "it's,x", '"a""b",x'])
def test_of_every_header(tmp_path, header):
    path = tmp_path / "d.csv"
    path.write_text(header + "\n" + "".join(f"{i % 7}.5,k{i % 3}\n" for i in range(60)))
    (tmp_path / "s.yaml").write_text(inferred(path))
    assert check_file(path, schema=tmp_path / "s.yaml").anomalies == ()
