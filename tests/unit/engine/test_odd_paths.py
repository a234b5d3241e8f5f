"""A home works in a folder of any name, and damage in it is seen there too."""

import sqlite3

import pytest

from hanok.core.errors import ConfigError
from hanok.engine.app import open_app
from hanok.engine.backup import backup, restore
from hanok.engine.config import Config
from hanok.engine.doctor import check_blobs, check_home
from hanok.engine.home import Home
from hanok.engine.mlflow_import.database import SqliteSource
from hanok.stores.sql import SqlMetadata, sqlite_file
from hanok.stores.testing.tables import flush, rows, values

ODD = """c#p?x=1&y % '"é*;"""


def test_a_home_lives_in_a_folder_of_any_name_and_its_damage_is_said(tmp_path):
    root = tmp_path / ODD / "home"
    app = open_app(Config(home=root, project=None))
    for number in range(2):
        app.tables.append("t", rows(number), key=str(number))
        flush(app.tables, "t")
    assert values(app.tables.scan("t")) == [0, 1]
    app.blobs.put(iter([b"x"]))
    assert all(f.ok for f in [*check_home(app.home), *check_blobs(app.metadata, app.blobs)])
    backup(app.home, app.metadata, app.tables, app.log, tmp_path / ODD / "b.tar")
    app.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == [ODD]
    restored = restore(tmp_path / ODD / "b.tar", Home(tmp_path / ODD / "again"))
    app = open_app(Config(home=restored, project=None))
    assert values(app.tables.scan("t")) == [0, 1]
    app.close()
    (root / "hanok.db").write_bytes((root / "hanok.db").read_bytes()[:4096] + b"\x5a" * 90_000)
    found = next(iter(check_home(Home(root))))
    assert not found.ok and "hanok.db" in found.detail


@pytest.mark.parametrize("name", ["a%41", "[a]", "a^b", "a|b", "a\\b", "a\tb"])
def test_a_folder_that_tables_cannot_lie_in_is_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(ConfigError, match="another with --home"):
        open_app(Config(home=tmp_path / name, project=None))
    assert not any(tmp_path.iterdir())


def test_the_store_of_an_mlflow_server_is_read_from_a_folder_of_any_name(tmp_path):
    file = tmp_path / ODD / "mlflow.db"
    file.parent.mkdir()
    with sqlite3.connect(file) as connection:
        for table in ("experiments", "runs", "metrics"):
            connection.execute(f"CREATE TABLE {table} (experiment_id)")
    connection.close()
    assert list(SqliteSource(file).experiments()) == []
    assert [p.name for p in tmp_path.iterdir()] == [ODD]


def test_the_file_that_is_locked_is_the_one_that_the_store_opens(tmp_path):
    for name in ("a b", "a#b", "a%2541", "a'é", "a%3Fb"):
        url = f"sqlite:///{tmp_path}/{name}.db"
        SqlMetadata(url).close()
        (made,) = tmp_path.glob("*.db")
        assert sqlite_file(url) == made
        made.unlink()
