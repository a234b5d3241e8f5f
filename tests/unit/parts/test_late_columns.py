"""Entities and columns that come after a table was learned."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hanok.compute.duck import read
from hanok.core.clock import ReplayClock
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.verbs import call


@pytest.fixture
def app(tmp_path):
    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(datetime(2026, 1, 1, tzinfo=UTC)))
    yield made
    made.close()


@pytest.fixture
def ingest(app, tmp_path):
    def made(text, **options):
        path = tmp_path / "batch.csv"
        path.write_text(text)
        return call(app, "ingest", "me", {"table": "t", "path": str(path), **options})

    return made


def ids(rows, start=0):
    return "id,x\n" + "".join(f"{i},{i % 7}\n" for i in range(start, start + rows))


def types(result):
    return [a["type"] for a in result["anomalies"]]


def keep(app, schema):
    app.metadata.write(lambda r: r.records.put("schema", "t", "current", schema.as_dict(), app.clock.now()))


@pytest.mark.parametrize("batches", [(600,), (600, 600), (3000,)])
def test_a_new_entity_may_have_any_key_and_other_columns_keep_their_range(app, ingest, batches):
    for i, rows in enumerate(batches):
        ingest(ids(rows, 600 * i), keys=["id"])
    ingest(ids(1000, 5000))
    later = ingest("id,x\n900000,3\n-900000,3\n7777,9999\n")
    assert (later["accepted"], types(later)) == (2, ["FLOAT_TYPE_BIG_FLOAT"])


def test_ranges_of_keys_that_an_earlier_version_kept_no_longer_apply(app, ingest):
    ingest(ids(3000), keys=["id"])
    schema = app.validation.schema("t")
    keep(app, replace(schema, columns=(replace(schema.columns[0], minimum=0.0, maximum=6589.0), *schema.columns[1:])))
    assert ingest("id,x\n9001,1\n")["accepted"] == 1
    assert app.validation.schema("t").column("id").maximum is None


def test_keys_that_only_the_declarations_name_have_no_range(app, ingest):
    ingest(ids(3000))
    assert ingest("id,x\n900000,1\n")["quarantined"] == 1
    app.validation.identifying = lambda table: {"id"} if table == "t" else set()
    assert ingest("id,x\n900001,1\n")["accepted"] == 1


def test_a_column_that_comes_later_is_read_to_its_first_type(app, ingest):
    ingest(ids(3000))
    first = ingest("id,w\n3,2.5\n")
    assert first["accepted"] == 1
    assert "SCHEMA_NEW_COLUMN" in types(first)
    second = ingest("id,w\n5,2\n6,3\n7,tall\n")
    assert (second["accepted"], second["quarantined"]) == (2, 1)
    assert "SCHEMA_NEW_COLUMN" not in types(second)
    assert types(ingest(ids(3, 10))) == []  # nobody promised the later column
    values = read(app.tables.scan("t")).column("w").to_pylist()
    assert [v for v in values if v is not None] == [2.5, 2.0, 3.0]


def test_a_later_column_that_an_earlier_version_left_out_of_the_schema_is_read_to_its_type(app, ingest):
    ingest(ids(3000))
    before = app.validation.schema("t")
    ingest("id,w\n3,2.5\n")
    keep(app, before)
    assert ingest("id,w\n5,2\n")["accepted"] == 1
