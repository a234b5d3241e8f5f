"""A file that was read, and is read once more in another way: its rows are there once, and none is lost."""

import pytest

from hanok.core.errors import Conflict
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
