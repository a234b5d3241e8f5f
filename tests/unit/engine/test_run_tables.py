"""Runs as tables and under SQL, in process and over HTTP."""

import io

import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from starlette.testclient import TestClient

import hanok as hk
from hanok.core.errors import Invalid, TooLarge
from hanok.engine.parts import find
from hanok.engine.run_tables import RunTables
from hanok.engine.table_formats import ARROW_STREAM, encoded
from hanok.server.run import build

RUNS = [("1", "a", 0.5, "x"), ("2", "b", 0.3, "y"), ("3", "c", float("nan"), "x")]


@pytest.fixture
def client(tmp_path):
    with hk.open(tmp_path / "home") as made:
        for digit, name, loss, team in RUNS:
            entries = [
                {"number": 1, "kind": "start", "at_ms": 1000 * int(digit), "experiment": "churn", "name": name},
                {"number": 2, "kind": "log", "metrics": [["loss", 0.9, 1, 0], ["loss", repr(loss), 2, 1]]},
                {"number": 3, "kind": "log", "params": {"depth": digit}, "tags": {"team": team}},
            ]
            made.call("run.record", run=digit * 32, writer="w", entries=entries)
        yield made


def test_a_row_for_each_run_with_metrics_params_and_tags(client):
    table = client.runs(experiment="churn", order_by=["start_time ASC"])
    assert table.column("name").to_pylist() == ["a", "b", "c"]
    assert table.column("params.depth").to_pylist() == ["1", "2", "3"]
    assert table.column("metrics.loss").to_pylist()[:2] == [0.5, 0.3]
    assert table.schema.field("started").type == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("metrics.loss < 0.4 OR tags.team = 'x'", "abc"),
        ("NOT metrics.loss < 0.4", "ac"),
        ("NOT (metrics.loss < 0.4 OR params.depth = '3')", "a"),
        ("tags.team = 'x' AND NOT params.depth = '1'", "c"),
        ("NOT NOT tags.team = 'y'", "b"),
        ("NOT tags.nothing = 'y'", "abc"),
        ("NOT attributes.end_time > 0", "abc"),
        ("params.depth IN ('1', '2') AND (tags.team = 'y' OR metrics.loss >= 0.5)", "ab"),
    ],
)
def test_filters_have_or_not_and_parentheses(client, text, names):
    assert sorted(client.runs(filter=text).column("name").to_pylist()) == list(names)


def test_history_has_a_row_for_each_point(client):
    table = client.runs(filter="tags.team = 'x'", history=True)
    assert table.column("step").to_pylist() == [0, 1, 0, 1]
    assert [str(v) for v in table.column("value").to_pylist()] == ["0.9", "0.5", "0.9", "nan"]


def test_formats_hold_the_same_table(client):
    table = client.runs(experiment="churn", filter="metrics.loss > 0")
    assert pq.read_table(io.BytesIO(encoded(table, "parquet"))).equals(table)
    assert pa.ipc.open_stream(encoded(table, "arrow")).read_all().equals(table)
    assert encoded(table, "csv").startswith(b'"run_id","experiment","name"')
    assert b'"metrics.loss":"nan"' in encoded(client.runs(), "json")
    with pytest.raises(Invalid, match="csv"):
        encoded(table, "xlsx")


def test_sql_joins_runs_params_and_points(client):
    found = client.sql(
        "SELECT r.name, min(h.value) AS best FROM runs r JOIN history h USING (run_id) JOIN params p USING (run_id) "
        "WHERE p.key = 'depth' AND isfinite(h.value) GROUP BY ALL ORDER BY best"
    )
    assert found.to_pylist() == [{"name": "b", "best": 0.3}, {"name": "a", "best": 0.5}, {"name": "c", "best": 0.9}]


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE runs",
        "SELECT 1; SELECT 2",
        "COPY (SELECT 1) TO '/tmp/hanok-sql'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM relations",
        "SELECT getenv('HOME')",
        "ATTACH '/tmp/x.db'",
        "SET memory_limit = '10GB'",
        "SELEC",
        "",
    ],
)
def test_sql_reads_runs_and_nothing_else(client, query):
    with pytest.raises(Invalid):
        client.sql(query)


def test_sql_is_bounded_in_rows_and_in_time(client):
    with pytest.raises(TooLarge, match="LIMIT"):
        find(client.app, RunTables).sql("SELECT * FROM range(1000)", rows_max=999)
    with pytest.raises(Invalid, match=r"stopped after 0\.1 s"):
        find(client.app, RunTables).sql("SELECT count(*) FROM range(10000000000) a, range(1000000) b", timeout_s=0.1)


def test_over_http_the_accept_header_chooses_the_form(client):
    with TestClient(build(client.app), base_url="http://localhost") as http:
        rows = http.get("/api/v1/runs", params={"experiment": "churn", "order_by": "start_time ASC"}).json()
        assert [row["name"] for row in rows] == ["a", "b", "c"]
        stream = http.get("/api/v1/runs", params={"history": "1"}, headers={"Accept": ARROW_STREAM})
        assert stream.headers["content-type"] == ARROW_STREAM
        assert pa.ipc.open_stream(stream.content).read_all().num_rows == 6
        answer = http.get("/api/v1/sql", params={"query": "SELECT count(*) AS n FROM runs"})
        assert answer.json() == [{"n": 3}]
        assert http.get("/api/v1/runs", params={"limit": "x"}).status_code == 400
