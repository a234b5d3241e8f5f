"""Bad input, item by item, through the command line or a verb: an anomaly or an error with its place, never a wrong
number."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet as pq

from hanok.cli import cli
from hanok.core.clock import ReplayClock
from hanok.core.errors import BadData, HanokError
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.verbs import call

NOW = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def app(tmp_path):
    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(NOW))
    yield made
    made.close()


def profiled(path, **columns):
    pq.write_table(pa.table(columns), path)
    done = CliRunner().invoke(cli, ["profile", str(path), "--json"])
    assert done.exit_code == 0, done.exception
    body = json.loads(done.stdout)
    return body, {c["name"]: c for c in body["columns"]}


def failure(*arguments):
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert isinstance(done.exception, HanokError), (done.exception, done.output)
    return done.exception.message


def test_empty_and_one_row_tables(tmp_path, app):
    body, columns = profiled(tmp_path / "none.parquet", x=pa.array([], pa.int64()))
    assert body["rows"] == 0 and "the table has no rows" in body["warnings"] and columns["x"]["mean"] is None
    body, columns = profiled(tmp_path / "one.parquet", x=[7])
    assert (body["rows"], columns["x"]["mean"], columns["x"]["distinct"]) == (1, 7.0, 1)
    result = app.ingesting.ingest("t", pa.table({"x": pa.array([], pa.int64())}), key="none")
    assert [a.type for a in result.anomalies] == ["DATASET_LOW_NUM_EXAMPLES"]
    assert app.ingesting.ingest("t", pa.table({"x": [7]}), key="one").accepted == 1
    assert call(app, "table.profile", "test", {"name": "t"})["rows"] == 1


def test_columns_of_nulls_alone(tmp_path, app):
    _, columns = profiled(tmp_path / "nulls.parquet", x=pa.nulls(5), y=pa.array([None] * 5, pa.float64()))
    assert columns["x"]["missing"] == columns["y"]["missing"] == 1.0 and columns["y"]["mean"] is None
    assert "always null" in columns["x"]["notes"]
    app.ingesting.ingest("t", pa.table({"x": np.arange(2000.0), "y": np.arange(2000.0)}), key="one")
    result = app.ingesting.ingest("t", pa.table({"x": pa.nulls(50, pa.float64()), "y": np.arange(50.0)}), key="two")
    assert "FEATURE_TYPE_NOT_PRESENT" in {a.type for a in result.anomalies}


def test_mixed_types(app):
    app.ingesting.ingest("t", pa.table({"x": np.arange(2000)}), key="one")
    result = app.ingesting.ingest("t", pa.table({"x": ["12", "twelve", "13"]}), key="two")
    assert (result.accepted, result.quarantined) == (2, 1)
    assert "UNEXPECTED_DATA_TYPE" in {a.type for a in result.anomalies}
    assert call(app, "table.profile", "test", {"name": "t"})["columns"][0]["type"] == "INT"


def test_invalid_utf8_names_its_place(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes(b"name,x\nanna,1\njos\xe9,2\n")
    assert "first in row 2 (b'jos\\xe9')" in failure("profile", path)


def test_column_names_that_are_there_twice(tmp_path, app):
    path = tmp_path / "twice.csv"
    path.write_text("x,y,x\n1,2,3\n")
    assert "'x' 2 times" in failure("profile", path)
    with pytest.raises(BadData, match="'x' 2 times"):
        app.ingesting.ingest("t", pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), key="one")


def test_integers_beyond_2_to_53(tmp_path, app):
    big = [2**53 + 1, 2**53 + 3, 2**62]
    _, columns = profiled(tmp_path / "big.parquet", k=big)
    assert "beyond 2^53: not exact as a float" in columns["k"]["notes"] and columns["k"]["distinct"] == 3
    app.ingesting.ingest("t", pa.table({"k": big}), key="one")
    state = app.validation.state("t").columns["k"]
    assert (state.minimum, state.maximum, state.total) == (2**53 + 1, 2**62, sum(big))


def test_infinities(tmp_path, app):
    values = [1.0, 2.0, np.inf, -np.inf, np.nan]
    _, columns = profiled(tmp_path / "inf.parquet", x=values)
    assert columns["x"]["mean"] == 1.5 and "1 NaN, 2 infinite" in columns["x"]["notes"]
    app.ingesting.ingest("t", pa.table({"x": np.arange(2000.0)}), key="one")
    result = app.ingesting.ingest("t", pa.table({"x": [1.0, np.inf]}), key="two")
    assert result.quarantined == 1 and {a.type for a in result.anomalies} & {
        "FLOAT_TYPE_HAS_INF",
        "FLOAT_TYPE_BIG_FLOAT",
    }


def test_levels_that_were_never_seen_and_levels_without_rows(tmp_path, app):
    app.ingesting.ingest("t", pa.table({"plan": ["free", "pro"] * 1000}), key="one")
    level = pa.DictionaryArray.from_arrays(pa.array([0, 0, 2]), pa.array(["free", "unused", "gold"]))
    result = app.ingesting.ingest("t", pa.table({"plan": level}), key="two")
    found = next(a for a in result.anomalies if a.type == "ENUM_TYPE_UNEXPECTED_STRING_VALUES")
    assert "gold" in found.observed and "unused" not in found.observed
    _, columns = profiled(tmp_path / "levels.parquet", plan=level)
    assert columns["plan"]["distinct"] == 2


def test_unsorted_and_future_partitions(app):
    days = [NOW + timedelta(days=i) for i in (3, -5, 400, 0)]
    rows = pa.table({"at": pa.array(days * 30, pa.timestamp("us", "UTC")), "x": np.arange(120.0)})
    app.ingesting.ingest("t", rows, key="one", event_time="at")
    app.ingesting.ingest("t", rows.slice(0, 2).set_column(1, "x", pa.array([1.0, 2.0])), key="older")
    history = call(app, "table.history", "test", {"name": "t"})
    assert [p["partition"] for p in history] == ["2024-04-26", "2024-05-01", "2024-05-04", "2025-06-05"]
    assert [p["rows"] for p in history] == [31, 30, 31, 30]
    assert any("no rows from 2024-05-05" in w for w in call(app, "table.profile", "test", {"name": "t"})["warnings"])


def test_a_truncated_parquet_file(tmp_path):
    path = tmp_path / "cut.parquet"
    pq.write_table(pa.table({"x": np.arange(10_000)}), path)
    path.write_bytes(path.read_bytes()[:-40])
    for command in ("profile", "check"):
        more = ["--schema", tmp_path / "none.yaml"] if command == "check" else []
        assert "cut.parquet" in failure(command, path, *more)


def test_a_schema_file_with_an_error_on_line_7(tmp_path):
    data, schema = tmp_path / "rows.csv", tmp_path / "schema.pbtxt"
    data.write_text("x\n1\n")
    schema.write_text('feature {\n  name: "id"\n  type: INT\n}\nfeature {\n  name: "x"\n  type: WHOLE\n}\n')
    assert "line 7" in failure("check", data, "--schema", schema)
