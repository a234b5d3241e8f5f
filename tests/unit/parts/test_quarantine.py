"""Rows set aside: seen, mended, replayed; and what is kept of statistics."""

import numpy as np
import pyarrow as pa
import pytest

from hanok.core.clock import ReplayClock, utc
from hanok.core.errors import Invalid
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.ui.render import render
from hanok.ui.views.common import Ask
from hanok.ui.views.data import table_page
from hanok.wire.tfdv import from_text


@pytest.fixture
def app(tmp_path):
    from datetime import datetime

    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(utc(datetime(2024, 5, 1))))
    rng = np.random.default_rng(0)
    first = pa.table(
        {
            "id": [f"a{i}" for i in range(1500)],
            "wind": rng.exponential(10, 1500),
            "at": pa.array([datetime(2024, 4, 1)] * 1500, pa.timestamp("us", "UTC")),
        }
    )
    made.validation.ingest("weather", first, key="first", keys=["id"], event_time="at")
    bad = pa.table(
        {
            "id": ["b1", "b2", "b3"],
            "wind": [5.0, 9999.0, 8888.0],
            "at": pa.array([datetime(2024, 4, 2)] * 3, pa.timestamp("us", "UTC")),
        }
    )
    assert made.validation.ingest("weather", bad, key="second").quarantined == 2
    yield made
    made.close()


def waiting(app):
    return {q.row["id"]: q for q in app.validation.quarantined("weather")}


def test_a_mended_row_enters_and_is_marked(app):
    row = waiting(app)["b2"]
    assert "9999" in row.reason and not row.replayed
    result = app.validation.replay("weather", [row.id], changes={"wind": "99.99"})
    assert (result.accepted, result.quarantined) == (1, 0)
    assert app.tables.size("weather") == 1502
    assert waiting(app)["b2"].replayed == result.batch
    with pytest.raises(Invalid, match="was replayed in the batch"):
        app.validation.replay("weather", [row.id])


def test_a_row_that_is_still_bad_is_set_aside_again(app):
    assert app.validation.replay("weather", [waiting(app)["b2"].id]).quarantined == 1
    assert len(app.validation.quarantined("weather")) == 3


def test_a_person_may_say_that_the_value_is_right(app):
    ids = [q.id for q in waiting(app).values()]
    assert app.validation.replay("weather", ids, allow=["wind"]).accepted == 2
    assert app.validation.schema("weather").column("wind").maximum == 9999.0
    assert not [q for q in app.validation.quarantined("weather") if not q.replayed]


def test_what_cannot_be_replayed_is_refused(app):
    for ids, options in (([77], {}), ([], {}), ([0], {"changes": {"gone": 1}}), ([0], {"allow": ["gone"]})):
        with pytest.raises(Invalid):
            app.validation.replay("weather", ids, **options)


def test_statistics_of_all_batches_are_merged_from_what_was_kept(app):
    state = app.validation.state("weather")
    assert state.rows == 1501 and state.columns["wind"].maximum < 9999.0  # two were set aside
    assert app.validation.state("weather", batch="second").rows == 1
    from hanok.engine.verbs import call

    text = call(app, "table.statistics", "test", {"name": "weather"})["statistics"]
    stats = from_text("DatasetFeatureStatisticsList", text)
    assert stats["datasets"][0]["num_examples"] == 1501


def test_the_page_shows_distributions_and_what_waits(app):
    view = table_page(app, Ask({"table": "weather"}, {}))
    page = render("table.html", view, now=app.clock.now(), path="/data/weather")
    assert "25, 50, 75 and 95 % of wind over time" in page and "mean 10.23" in page
    assert "waiting" in page and "hanok quarantine replay weather" in page


def test_a_batch_with_views_of_text_is_taken_and_its_bad_rows_are_set_aside(app):
    rows = pa.table({"k": pa.array(["a", "b"], pa.string_view()), "v": pa.array([1, 2])})
    assert app.validation.ingest("views", rows, key="1").accepted == 2
    again = pa.table({"k": pa.array(["c", "d"], pa.string_view()), "v": pa.array(["3", "x"])})
    assert app.validation.ingest("views", again, key="2").quarantined == 1
    (aside,) = app.validation.quarantined("views")
    assert aside.row == {"k": "d", "v": "x"}


def test_of_one_row_it_is_not_said_that_a_column_went_empty_which_is_null_now_and_then(app):
    def came(name, count, every):
        wind = [None if i % every == 0 else 5.0 for i in range(count)]
        at = pa.array([app.clock.now()] * count, pa.timestamp("us", "UTC"))
        rows = pa.table({"id": [f"{name}{i}" for i in range(count)], "wind": pa.array(wind, pa.float64()), "at": at})
        return [a.message for a in app.validation.ingest("gusts", rows, key=name, keys=["id"]).anomalies]

    came("first", 1500, 30)
    assert came("one", 1, 1) == []
    assert came("some", 6, 1) == ["wind is null in every row"]
