"""The metadata store on each engine that it runs on."""

import pytest

from hanok.stores.sql import SqlMetadata


@pytest.fixture(params=["memory", "disk", "postgres"])
def metadata(request, tmp_path):
    """An empty store; a test that takes it runs on SQLite in memory, SQLite on disk and PostgreSQL."""
    if request.param == "postgres":
        made = SqlMetadata(request.getfixturevalue("postgres").database())
    else:
        made = SqlMetadata("sqlite://") if request.param == "memory" else SqlMetadata.at(tmp_path / "hanok.db")
    yield made
    made.close()
