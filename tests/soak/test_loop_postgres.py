"""The loop with its metadata in PostgreSQL."""

import pytest

from hanok.engine.summary import summary
from tests.loop.run import open_shop, replay


@pytest.mark.soak
def test_the_loop_on_postgresql_ends_as_the_one_on_sqlite(tmp_path, postgres):
    ended = []
    for home, url in (("sqlite", ""), ("postgres", postgres.empty_database())):
        app = open_shop(tmp_path / home, url)
        replay(app, 16)
        ended.append(summary(app))
        app.close()
    assert ended[0] == ended[1]
