"""A file that was read, and is read once more in another way: its rows are there once, and none is lost."""

import pytest

from hanok.core.errors import Conflict, Invalid
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.verbs import call

FIRST = "id;x;y\n" + "".join(f"r{i};12,5;{i % 2}\n" for i in range(40))
ODD = "id;x;y\nn1;12,5;1\nn2;k.A.;0\nn3;7,1;1\n"


@pytest.fixture
def app(tmp_path):
    app = open_app(Config(home=tmp_path / "home"))
    yield app
    app.close()


def test_rows_that_a_second_reading_brings_in_take_the_place_of_those_set_aside(app, tmp_path):
    def ingest(name, content, **said):
        (tmp_path / name).write_text(content)
        return call(app, "ingest", "me", {"table": "t", "path": str(tmp_path / name), **said})

    ingest("a.csv", FIRST, keys=["id"])
    done = ingest("b.csv", ODD)
    assert (done["accepted"], done["quarantined"]) == (2, 1) and "'k.A.'" in done["anomalies"][0]["message"]
    again = ingest("b.csv", ODD, nulls=["k.A."])
    assert (again["accepted"], again["unchanged"], again["quarantined"]) == (1, 2, 0)
    assert [r.replayed for r in app.validation.quarantined("t")] == [again["batch"]]
    assert app.tables.size("t") == 43
    for said in ({}, {"nulls": ["k.A."]}):
        assert ingest("b.csv", ODD, **said)["repeated"] and app.tables.size("t") == 43
    assert ingest("c.csv", ODD.replace("n", "m"))["quarantined"] == 1  # one cure does not hold for ever


def test_the_first_file_says_how_later_ones_are_read_and_rows_without_keys_are_not_taken_twice(app, tmp_path):
    def ingest(content, **said):
        path = tmp_path / f"{abs(hash(content))}.csv"
        path.write_bytes(content.encode("latin-1"))
        return call(app, "ingest", "me", {"table": "t", "path": str(path), **said})

    ingest(FIRST.replace("r", "ü").replace("12,5", "k.A.", 1), nulls=["k.A."], encoding="latin-1")
    assert ingest(ODD.replace("n", "ö"))["accepted"] == 3
    with pytest.raises(Conflict, match="read otherwise"):
        ingest(ODD.replace("n", "ö"), nulls=["-"])
    assert app.tables.size("t") == 43


PROJECT = """import hanok as hk
source = hk.Source("t", row_key="id")
"""


@pytest.fixture
def keyed(tmp_path):
    (tmp_path / "project.py").write_text(PROJECT)
    app = open_app(Config(home=tmp_path / "home", project=tmp_path / "project.py"))

    def ingest(name, content, **said):
        (tmp_path / name).write_text(content)
        return call(app, "ingest", "me", {"table": "t", "path": str(tmp_path / name), **said})

    ingest("a.csv", FIRST, keys=["id"])
    yield app, ingest
    app.close()


def values(app):
    from hanok.compute.duck import read

    return {r["id"]: r["x"] for r in read(app.tables.scan("t")).to_pylist() if r["id"].startswith("n")}


def test_a_row_that_was_set_aside_does_not_undo_what_came_of_its_key_since(keyed):
    app, ingest = keyed
    ingest("b.csv", ODD)
    corrected = ingest("c.csv", "id;x;y\nn2;99,5;0\n")
    (row,) = app.validation.quarantined("t")
    assert (row.superseded, row.replayed) == (corrected["batch"], "")
    asked = {"table": "t", "ids": [row.id], "changes": {"x": "1.5"}}
    with pytest.raises(Invalid, match=r"came in with the batch .*--over-newer"):
        call(app, "quarantine.replay", "me", asked)
    assert values(app)["n2"] == 99.5
    assert call(app, "quarantine.replay", "me", {**asked, "changes": {"id": "n7", "x": "1.5"}})["accepted"] == 1
    ingest("d.csv", ODD.replace("n2", "n3").replace("n1", "n8"))
    ingest("e.csv", "id;x;y\nn3;5,5;1\n")
    row = app.validation.quarantined("t")[0]
    call(app, "quarantine.replay", "me", {**asked, "ids": [row.id], "over_newer": True})
    assert values(app)["n3"] == 1.5


def test_a_file_that_is_read_once_more_leaves_what_was_corrected_or_mended_since(keyed):
    app, ingest = keyed
    ingest("b.csv", ODD + "n4;?;1\nn5;k.A.;1\n")
    ingest("c.csv", "id;x;y\nn1;99,5;0\nn2;88,5;0\n")
    mended = next(r for r in app.validation.quarantined("t") if r.row["id"] == "n4")
    replayed = call(app, "quarantine.replay", "me", {"table": "t", "ids": [mended.id], "changes": {"x": "4.5"}})
    again = ingest("b.csv", ODD + "n4;?;1\nn5;k.A.;1\n", nulls=["k.A."])
    assert (again["accepted"], again["unchanged"], again["quarantined"]) == (1, 3, 0)
    assert "stay as they came last" in again["anomalies"][-1]["message"]
    assert values(app) == {"n1": 99.5, "n2": 88.5, "n3": 7.1, "n4": 4.5, "n5": None}
    tried = {r.row["id"]: r.replayed for r in app.validation.quarantined("t")}
    assert tried == {"n2": again["batch"], "n4": replayed["batch"], "n5": again["batch"]}


def test_a_row_whose_mend_failed_is_said_to_wait_under_its_new_id(keyed):
    app, ingest = keyed
    ingest("b.csv", ODD)
    asked = {"table": "t", "ids": [app.validation.quarantined("t")[0].id], "changes": {"x": "none"}}
    assert call(app, "quarantine.replay", "me", asked)["quarantined"] == 1
    waits = app.validation.quarantined("t")[0].id
    with pytest.raises(Invalid, match=f"still waits as {waits}"):
        call(app, "quarantine.replay", "me", asked)
