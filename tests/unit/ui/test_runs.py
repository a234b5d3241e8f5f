"""The Runs page: filter, columns, best, rows by pages, curves, settings, groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hanok.core.clock import ReplayClock
from hanok.core.tracking import Metric
from hanok.engine.app import App, open_app
from hanok.engine.config import Config
from hanok.server.run import build

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(NOW))
    yield made
    made.close()


@pytest.fixture
def client(app: App) -> TestClient:
    return TestClient(build(app), base_url="http://localhost", follow_redirects=False)


def sweep(app: App, count: int = 60) -> list[str]:
    """Runs whose loss follows `lr` alone; run 7 of mina is the best. Each has ten points of its loss."""
    experiment = app.tracking.experiments.create("sweep").id
    ids = []
    for i in range(count):
        user = "mina" if i % 2 else "jun"
        run = app.tracking.runs.create(experiment, name=f"run {i}", user=user, started=NOW - timedelta(minutes=i))
        loss = 0.2 + abs(i - 7) / 100
        points = [Metric("val_loss", loss + (9 - s) / 10, 1_767_225_600_000 + 1000 * s, s) for s in range(10)]
        params = {"lr": str((1 + i) / 100), "seed": str(i % 3), "depth": "6"}
        app.tracking.runs.log(run.id, metrics=points, params=params, tags={"team": "a"})
        app.tracking.runs.finish(run.id)
        ids.append(run.id)
    return ids


def test_rows_come_in_pages_of_which_all_have_the_columns_of_the_first(app, client):
    ids = sweep(app)
    first = client.get("/runs.json").json()
    assert (first["total"], len(first["rows"]), first["next_offset"]) == (60, 50, 50)
    page = client.get("/runs").text
    url = re.search(r'data-rows="([^"]+)"', page)[1].replace("&amp;", "&")
    rows = client.get(url + "&offset=50").text
    assert re.findall(r'data-id="(\w+)"', rows) == ids[50:]
    assert "<html" not in rows
    cells = {row.count("<td") + row.count("<th ") for row in rows.split("<tr ")[1:]}
    assert cells == {re.search(r"<thead>.*?</thead>", page, re.S)[0].count("<th ")}


def test_columns_that_do_not_differ_are_hidden_until_they_are_chosen(app, client):
    sweep(app)
    assert [c["key"] for c in client.get("/runs.json").json()["columns"]] == ["val_loss", "lr", "seed"]
    chosen = client.get("/runs.json?col=param.depth&col=tag.team").json()
    assert [(c["kind"], c["key"]) for c in chosen["columns"]] == [("param", "depth"), ("tag", "team")]
    assert chosen["rows"][0]["values"] == ["6", "a"]


def test_the_best_is_the_best_of_all_runs_and_says_whose_it_is(app, client):
    ids = sweep(app)
    best = client.get("/runs.json?sort=started&offset=50").json()["best"]
    assert [(b["key"], b["run"], b["name"], b["user"]) for b in best] == [("val_loss", ids[7], "run 7", "mina")]
    assert client.get("/runs/best.json?col=metric.val_loss").json()["best"] == best


def test_a_filter_may_say_or_and_use_parentheses(app, client):
    sweep(app)
    found = client.get(
        "/runs.json", params={"q": "metrics.val_loss < 0.215 and (params.seed = '0' or params.seed = '1')"}
    )
    assert [r["name"] for r in found.json()["rows"]] == ["run 6", "run 7"]


def test_a_filter_that_cannot_be_read_is_explained_beside_its_box(app, client):
    sweep(app, 3)
    page = client.get("/runs", params={"q": "metrics.val_loss <"})
    assert page.status_code == 400 and "a value is expected" in page.text
    assert 'value="metrics.val_loss &lt;"' in page.text and "AND" in page.text
    assert client.get("/runs.json", params={"q": "metrics.val_loss <"}).json()["error"]["code"] == "invalid"


def test_a_filter_that_finds_nothing_names_the_key_that_was_meant(app, client):
    sweep(app, 3)
    assert "Do you mean val_loss?" in client.get("/runs", params={"q": "metrics.val_los < 1"}).text


def test_the_url_holds_the_whole_view(app, client):
    ids = sweep(app, 5)
    asked = f"?experiment=sweep&q=params.seed+%3D+%270%27&sort=metric.val_loss&order=asc&col=param.lr&run={ids[0]}"
    page = client.get(f"/runs{asked}").text
    tab = re.search(r'<a href="([^"]+)">Curves</a>', page)[1].replace("&amp;", "&")
    for part in (
        "experiment=sweep",
        "q=params.seed",
        "sort=metric.val_loss",
        "order=asc",
        "col=param.lr",
        f"run={ids[0]}",
    ):
        assert part in tab
    assert "checked" in page


def test_curves_are_of_the_best_runs_or_of_those_that_the_url_names(app, client):
    ids = sweep(app)
    best = client.get("/runs.json?view=curves").json()
    assert best["rows"][0]["id"] == ids[7] and len(best["rows"]) == 20
    lines = client.get(f"/runs.json?view=curves&run={ids[3]}&run={ids[4]}").json()["curves"]["plots"][0]["lines"]
    assert {line["run"] for line in lines} == {ids[3], ids[4]}
    by_step = lines[0]["curve"]["bins"]
    assert [b["x"] for b in by_step] == list(range(10))
    part = client.get(f"/runs.json?view=curves&run={ids[3]}&from=2&to=4").json()["curves"]["plots"][0]["lines"]
    assert [b["x"] for b in part[0]["curve"]["bins"]] == [2, 3, 4]
    svg = client.get(f"/runs?view=curves&run={ids[3]}&log=1&smooth=60&axis=time").text
    assert 'data-log="1"' in svg and 'data-axis="time"' in svg


def test_the_setting_that_made_the_difference_comes_first(app, client):
    sweep(app)
    settings = client.get("/runs.json?view=settings").json()["settings"]
    assert [s["key"] for s in settings] == ["lr", "seed"]  # depth has one value
    assert settings[0]["explains"] > 0.9 > 0.1 > settings[1]["explains"]


def test_groups_say_who_has_the_best_run(app, client):
    ids = sweep(app)
    groups = client.get("/runs.json?view=groups&by=user").json()["groups"]
    assert [(g["name"], g["runs"], g["best_run"]) for g in groups] == [
        ("mina", 30, ids[7]),
        ("jun", 30, groups[1]["best_run"]),
    ]


@pytest.mark.parametrize("query", ["view=x", "axis=x", "sort=x", "offset=x", "from=x"])
def test_a_url_that_is_not_understood_says_so(app, client, query):
    assert client.get(f"/runs.json?{query}").status_code == 400
    assert client.get(f"/runs?{query}").status_code == 400
