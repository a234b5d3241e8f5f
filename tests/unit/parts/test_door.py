"""What comes in at the door: names kept apart or refused, values kept as they came or set aside with their reason."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

import hanok as hk
from hanok.cli import cli
from hanok.compute.duck import read
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.core.errors import BadData
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.verbs import call
from hanok.stores.testing.tables import flush

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ODD = [
    "a", "A", "price", "Price", " price", "a.b", "a b", 'a"b', "a'b", "é", "É", "e\u0301", "n", "v", "e", "b", "low",
    "high", "data", "_row", "_at", "_seq", "key__x", "f__x", "select", "1.5", "No.", "a,b", "a;b", "\u7ba1", "x" * 90,
    "", " ", "a\nb", "{}", "a/b", "rows_", "_i", "row", "relation",
]  # fmt: skip
names = st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=5)), min_size=1, max_size=6)


@pytest.fixture
def app(tmp_path):
    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(NOW))
    yield made
    made.close()


def rows_of(app, table):
    return [{k: v for k, v in r.items() if not k.startswith("_")} for r in read(app.tables.scan(table)).to_pylist()]


def ingested(app, tmp_path, table, *contents):
    bodies = []
    for i, content in enumerate(contents):
        path = tmp_path / f"{table}{i}.csv"
        path.write_text(content)
        bodies.append(call(app, "ingest", "me", {"table": table, "path": str(path)}))
    return bodies


def column(name, values):
    return f"{name},x\n" + "".join(f"{v},{i}\n" for i, v in enumerate(values))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(names, min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_any_headers_are_kept_apart_or_refused_and_the_table_stays_readable(tmp_path_factory, headers, rng):
    folder = tmp_path_factory.mktemp("names")
    app = open_app(Config(home=folder / "home"), clock=ReplayClock(NOW))
    kept: list[dict[str, int]] = []
    for i, header in enumerate(headers):
        if any("\ud800" <= c <= "\udfff" for n in header for c in n):
            continue
        batch = pa.Table.from_arrays([pa.array([rng.randint(0, 99)]) for _ in header], header)
        row = dict(zip(header, (c[0].as_py() for c in batch.columns), strict=True))
        try:
            result = app.ingesting.ingest("t", batch, key=str(i))
        except BadData as error:
            assert "t" in error.message
            continue
        assert result.accepted == 1
        taken = {a.observed: a.bound for a in result.anomalies if a.type == "SCHEMA_COLUMN_RESPELLED"}
        kept.append({taken.get(n, n): v for n, v in row.items()})
    if kept:
        flush(app.tables, "t")
        got = read(app.tables.scan("t")).to_pylist()
        assert [{k: v for k, v in r.items() if v is not None and k not in ("_seq", "_arrived")} for r in got] == kept
        assert set(app.validation.state("t").columns) == {n for row in kept for n in row}
    app.close()


def test_a_header_in_another_case_is_the_same_column_and_said(app, tmp_path):
    _, second = ingested(app, tmp_path, "t", "price,x\n1.5,1\n", "Price, X\n2.5,2\n")
    assert [(a["type"], a["column"]) for a in second["anomalies"]] == [
        ("SCHEMA_COLUMN_RESPELLED", "price"), ("SCHEMA_COLUMN_RESPELLED", "x"),
    ]  # fmt: skip
    assert rows_of(app, "t") == [{"price": 1.5, "x": 1}, {"price": 2.5, "x": 2}]
    with pytest.raises(BadData, match="'Price' and 'price'"):
        ingested(app, tmp_path, "t", "Price,price\n1,2\n")


TIMES = ["2024-01-02 03:04:05", "2024-01-03 03:04:05"]


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (TIMES, ["2024-01-04 03:04:05", "unknown", "2024-01-05 03:04:05"], (2, 1)),
        (TIMES, ["2024-01-04 03:04:05", "2024-01-05T03:04:05.123Z"], (2, 0)),
        (TIMES, ["1704164645", "1704164646"], (0, 2)),
        (TIMES, ["1704164645000"], (0, 1)),
        (["true", "false"], ["0", "1", "2", "-1"], (2, 2)),
        (["true", "false"], ["0.5", "0.0"], (1, 1)),
        (["true", "false"], ["yes", "no"], (0, 2)),
        (["1", "2"], ["007", "8", "9.0", "1.5"], (2, 2)),
        (["1.5", "2"], ["1,5", "3"], (1, 1)),
        (["1", "2"], ["99999999999999999999", "3"], (1, 1)),
    ],
)
def test_what_a_type_cannot_hold_is_set_aside_row_by_row(app, tmp_path, first, second, outcome):
    quoted = [f'"{v}"' for v in second]
    _, body = ingested(app, tmp_path, "t", column("v", first), column("v", quoted))
    assert (body["accepted"], body["quarantined"]) == outcome
    aside = app.validation.quarantined("t")
    assert len(aside) == outcome[1] and all(r.reason and r.row["v"] in second for r in aside)


def test_a_text_column_keeps_the_text_of_later_files(app, tmp_path):
    texts = ["00501", "3.10", "True", "12345678901234567890", "1e5", "0x1F", " 7", "2024-01-02"]
    ingested(app, tmp_path, "t", column("v", ["abc"]), *(column("v", [t]) for t in texts), column("v", ['"NA"']))
    assert [r["v"] for r in rows_of(app, "t")] == ["abc", *texts, "NA"]


def test_a_first_batch_says_what_it_guessed(app, tmp_path):
    (body,) = ingested(app, tmp_path, "t", "zip,c\n00501,NA\n10115,x\n")
    assert len(body["notes"]) == 2 and "'00501'" in body["notes"][1]
    assert app.validation.schema("t").column("zip").type == "STRING"


def test_an_infinite_value_is_replayed_as_it_was(app, tmp_path):
    ingested(app, tmp_path, "t", column("v", ["1.5"]), column("v", ["inf"]))
    (waiting,) = app.validation.quarantined("t")
    assert waiting.row["v"] == "inf"
    assert app.validation.replay("t", [waiting.id]).quarantined == 1
    assert [r["v"] for r in rows_of(app, "t")] == [1.5]


def test_frames_of_another_type_are_said_when_they_become_text(app):
    app.ingesting.ingest("t", pa.table({"v": ["a"]}), key="1")
    result = app.ingesting.ingest("t", pa.table({"v": [5]}), key="2")
    assert [a.type for a in result.anomalies] == ["DATA_TYPE_CONVERTED"] and rows_of(app, "t")[1] == {"v": "5"}


def test_the_doors_of_files_refuse_the_same_names(tmp_path):
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"a": [1], "A": [2], "y": [1]}), path)
    commands = [
        ["profile", path], ["drift", path, path], ["check", path, "--infer"], ["check", path, "--suggest"],
        ["init", "--from", path, "--target", "y"], ["ingest", "t", path, "--home", tmp_path / "h"],
    ]  # fmt: skip
    for command in commands:
        done = CliRunner().invoke(cli, [str(a) for a in command])
        assert isinstance(done.exception, BadData) and "'a' and 'A'" in done.exception.message, command


def test_the_notes_of_a_file_are_printed_by_the_command(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("zip\n00501\n")
    done = CliRunner().invoke(cli, ["ingest", "t", str(path), "--home", str(tmp_path / "h"), "--json"])
    assert json.loads(done.stdout)["notes"]


@pytest.mark.parametrize(("header", "first"), [("K,Told,x", True), ("k, TOLD ,x", False)])
def test_columns_that_are_named_elsewhere_are_found_in_any_spelling(tmp_path, header, first):
    """When rows became known, by the project or by the caller, and which rows are one: quietly wrong if overlooked."""
    declared = hk.Source("facts", known_at="told", row_key="k")
    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(NOW), project=Project((declared,), (), ()))
    begun = [] if first else ["k,told,x\nz,2025-01-01,1\n"]
    ingested(made, tmp_path, "facts", *begun, f"{header}\na,2025-06-01,1\n", f"{header}\na,2025-06-01,2\n")
    path = tmp_path / "plain.csv"
    path.write_text(f"{header}\na,2025-06-01,1\n")
    call(made, "ingest", "me", {"table": "plain", "path": str(path), "arrived": "told"})
    for table in ("facts", "plain"):
        newest = read(made.tables.scan(table)).to_pylist()[-1]
        assert newest["_arrived"] == datetime(2025, 6, 1, tzinfo=UTC)
    assert [r.corrected for r in made.validation.results("facts")] == [1, 0] + [0] * len(begun)
    made.close()


def test_partial_rows_lack_nothing_and_teach_nothing_about_other_columns(app):
    """A single label comes without the other columns of its table."""
    whole = pa.table({"visit": list(range(40)), "clinic": ["N"] * 40, "back": [0, 1] * 20})
    app.validation.ingest("outcomes", whole, key="first")
    one = app.validation.ingest("outcomes", pa.table({"visit": [7], "back": [1]}), key="label", partial=True)
    assert (one.accepted, one.anomalies) == (1, ())
    assert {c.name: c.presence for c in app.validation.schema("outcomes").columns}["clinic"] == 1.0
    file = app.validation.ingest("outcomes", whole.drop_columns(["clinic"]), key="file")
    assert [(a.type, a.column) for a in file.anomalies] == [("SCHEMA_MISSING_COLUMN", "clinic")]


def test_a_json_value_of_another_type_sets_its_own_row_aside(app, tmp_path):
    """In a column that the table knows; in a new one nothing says what it is, and the file is refused."""
    pa_rows = {"n": [1, 2], "x": [0.5, 1.5], "b": [True, False], "s": ["a", "b"]}
    app.validation.ingest("t", pa.table(pa_rows), key="first")
    path = tmp_path / "later.jsonl"

    def sent(*rows):
        path.write_text("\n".join(json.dumps({"n": 3, "x": 0.5, "b": True, "s": "c"} | row) for row in rows))
        return call(app, "ingest", "me", {"table": "t", "path": str(path)})

    done = sent(
        {"n": 1.0}, {"n": "2"}, {"n": 2.5}, {"n": "two"}, {"n": [2]}, {"x": "2.5"}, {"x": 2**60 + 1}, {"b": "x"}
    )
    assert (done["accepted"], done["quarantined"]) == (3, 5)
    assert rows_of(app, "t")[2:] == [
        {"n": 1, "x": 0.5, "b": True, "s": "c"}, {"n": 2, "x": 0.5, "b": True, "s": "c"},
        {"n": 3, "x": 2.5, "b": True, "s": "c"},
    ]  # fmt: skip
    assert sent({"s": 7}, {"s": "7"}, {"n": 1 << 70})["accepted"] == 2
    for odd in ({"s": []}, {"new": "x"}):
        with pytest.raises(BadData, match="make them one type"):
            sent({"new": 1}, odd)
