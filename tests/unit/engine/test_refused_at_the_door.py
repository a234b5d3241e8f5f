"""What cannot be done is refused in Hanok's words, in whatever words the parts below say it."""

import sqlite3

import pyarrow as pa
import pytest

import hanok as hk
from hanok.cli.tune import none_came_to_its_end
from hanok.core.errors import Invalid, StorageFull
from hanok.engine.verbs import call
from hanok.stores.disk import full_disk_named


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with hk.open(tmp_path_factory.mktemp("door") / "home") as opened:
        yield opened


@pytest.mark.parametrize("name", ["a/b", "../a", "a\0", "a" * 300, "\ud800", ""])
def test_a_name_that_no_table_can_have_is_refused(client, tmp_path, name):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    for data in (pa.table({"a": [1]}), tmp_path / "rows.csv"):
        with pytest.raises(Invalid, match=r"name .* is not usable"):
            client.ingest(name, data)
    with pytest.raises(Invalid):
        call(client.app, "ingest", "me", {"table": name, "path": tmp_path / "rows.csv"})
    assert client.call("table.list") == []


def test_a_full_disk_is_named_in_whoevers_words_it_is_said():
    for error in (OSError(28, "No space left on device"), sqlite3.OperationalError("database or disk is full")):
        with pytest.raises(StorageFull, match="a probe was not written"), full_disk_named("a probe"):
            raise error


def test_a_study_of_failures_alone_is_one():
    assert none_came_to_its_end({"failed": 3}) == 3
    assert [none_came_to_its_end(c) for c in ({}, {"failed": 3, "complete": 1}, {"failed": 3, "pruned": 1})] == [0] * 3
