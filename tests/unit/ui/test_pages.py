"""Every page on an empty home and on a home whose names are hostile."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from hanok.core.clock import ReplayClock
from hanok.engine.app import App, open_app
from hanok.engine.config import Config
from hanok.server.run import build
from hanok.ui.graph import arrange, draw
from hanok.ui.render import assets, static_url

HOSTILE = "<script>alert('x')</script>\"&"
LISTS = ("/", "/runs", "/models", "/predictions", "/lineage", "/alerts", "/data")
COLD_BYTES_MAX = 60_000


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(datetime(2013, 3, 1, tzinfo=UTC)))
    yield made
    made.close()


@pytest.fixture
def client(app: App) -> TestClient:
    return TestClient(build(app), base_url="http://localhost", follow_redirects=False)


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_home_has_every_page_as_html_and_as_json(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
    assert client.get(f"{path}.json").status_code == 200


@pytest.mark.parametrize(
    "path", ["/runs/zz", "/models/zz", "/predictions/zz", "/lineage/zz", "/alerts/zz", "/data/zz", "/compare"]
)
def test_what_is_not_there_is_said_on_a_page(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code in (400, 404) and "<h1>" in page.text


def filled(app: App) -> dict[str, str]:
    """A home whose every free text is hostile; returns ids."""
    experiment = app.tracking.experiments.create(f"e {HOSTILE}")
    runs = []
    for i in range(2):
        run = app.tracking.runs.create(experiment.id, name=f"run {i} {HOSTILE}", tags={"note": HOSTILE})
        app.tracking.runs.log_now(run.id, {"val_log_loss": 0.5 - i / 10})
        app.tracking.runs.log(run.id, params={"p": f"{i} {HOSTILE}"})
        app.tracking.runs.finish(run.id)
        runs.append(run.id)
    app.tracking.registry.create_model("m", description=HOSTILE)
    app.tracking.registry.register("m", run_id=runs[0], description=HOSTILE)
    version = app.tracking.registry.register("m", run_id=runs[1], description=HOSTILE, facts={"reason": HOSTILE})
    app.tracking.registry.move_alias("m", "champion", 1, actor=HOSTILE, reason=HOSTILE)
    alert = app.alerts.raise_(
        "m", "drift", "f", HOSTILE, facts={"why": HOSTILE}, severity="critical", caused_by=version.id
    )
    return {"a": runs[0], "b": runs[1], "version": version.id, "alert": alert}


def test_hostile_names_are_escaped_on_every_page(app: App, client: TestClient) -> None:
    ids = filled(app)
    paths = [
        *LISTS,
        f"/runs/{ids['a']}",
        f"/compare?runs={ids['a']},{ids['b']}",
        "/compare?model=m&versions=1,2",
        "/models/m",
        "/models/m?version=1",
        f"/lineage/{ids['version']}",
        f"/alerts/{ids['alert']}",
    ]
    for path in paths:
        page = client.get(path)
        assert page.status_code == 200, path
        assert page.text.count("<script") == 1 and static_url("hanok.js") in page.text, path  # ours, from a file
    assert "&lt;script&gt;" in client.get("/runs").text


def test_the_best_value_is_marked_and_equal_columns_are_hidden(app: App, client: TestClient) -> None:
    ids = filled(app)
    view = client.get("/runs.json?sort=metric.val_log_loss&order=asc").json()
    assert [r["id"] for r in view["rows"]] == [ids["b"], ids["a"]]
    assert [(c["key"], c["best"]) for c in view["columns"] if c["kind"] == "metric"] == [("val_log_loss", 0.4)]
    assert client.get("/runs?sort=nonsense").status_code == 400


def test_a_page_is_light_when_it_is_cold(app: App, client: TestClient) -> None:
    filled(app)
    style = assets()["hanok.css"].content + assets()["hanok.js"].content
    for path in (*LISTS, "/models/m"):
        page = client.get(path).content
        assert len(gzip.compress(page)) + len(gzip.compress(style)) < COLD_BYTES_MAX / 2
        assert len(page) + len(style) < COLD_BYTES_MAX, path


def test_static_files_are_kept_for_ever_under_the_hash_of_their_content(client: TestClient) -> None:
    reply = client.get(static_url("hanok.css"))
    assert reply.status_code == 200 and "immutable" in reply.headers["cache-control"]
    assert reply.headers["content-encoding"] == "gzip"
    assert client.get("/static/hanok.css").status_code == 404


def test_a_rollback_needs_the_same_origin_and_something_to_go_back_to(app: App, client: TestClient) -> None:
    filled(app)
    foreign = client.post("/models/m/rollback", data={"to": "1"}, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403
    nothing = client.post("/models/m/rollback", data={"to": "1"}, headers={"origin": "http://localhost"})
    assert nothing.status_code == 409


def test_every_view_is_a_frozen_value(app: App) -> None:
    from hanok.ui.views.common import Ask
    from hanok.ui.views.today import today

    view: Any = today(app, {"machine_cpu_percent": 1.0, "process_memory_mb": 1.0, "machine_memory_available_gb": 1.0})
    assert is_dataclass(view) and view.empty
    with pytest.raises(AttributeError):
        view.empty = False
    assert orjson.dumps(view) and Ask({}, {"runs": ["a,b", "c"]}).many("runs") == ("a", "b", "c")


def test_long_fans_are_collapsed_and_the_focus_is_kept(app: App) -> None:
    from hanok.core.lineage import Edge, EdgeKind, Node, NodeKind

    now = app.clock.now()
    center = Node("v", NodeKind.MODEL_VERSION, "m/1", now)
    reports = [Node(f"r{i:02}", NodeKind.DRIFT_REPORT, f"{HOSTILE} {i}", now) for i in range(40)]
    drawing = arrange([center, *reports], [Edge(r.id, EdgeKind.EVALUATED_ON, "v") for r in reports], "v")
    assert len(drawing.boxes) == 5
    assert [b.more for b in drawing.boxes if b.more] == [37] and [b.id for b in drawing.boxes if b.focus] == ["v"]
    layers = {b.id: b.layer for b in drawing.boxes}
    assert all(layers[a.start] < layers[a.end] for a in drawing.arrows)
    assert "<script" not in draw(drawing, title=HOSTILE)


def test_a_cycle_in_the_graph_is_drawn_all_the_same() -> None:
    from hanok.core.lineage import Edge, EdgeKind, Node, NodeKind

    now = datetime(2013, 1, 1, tzinfo=UTC)
    nodes = [Node(i, NodeKind.RUN, i, now) for i in "ab"]
    edges = [Edge("a", EdgeKind.READ, "b"), Edge("b", EdgeKind.READ, "a")]
    assert len(arrange(nodes, edges, "a").boxes) == 2
