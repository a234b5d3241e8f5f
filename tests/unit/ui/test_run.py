"""One run: curves, what it read, runs inside it, and its files looked at without running them."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hanok.core.tracking import CONTEXT_TAG, Dataset, DatasetInput, Metric, dataset_id
from tests.unit.ui.test_runs import NOW, app, client  # noqa: F401 (fixtures)

PATCH = "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-lr = 0.1\n+lr = 0.2\n"


@pytest.fixture
def run(app):  # noqa: F811
    experiment = app.tracking.experiments.create("e").id
    made = app.tracking.runs.create(
        experiment, name="the run", user="mina", tags={"mlflow.source.git.commit": "a" * 40}
    )
    points = [
        Metric(k, 1.0 / (1 + s), 1_767_225_600_000 + 1000 * s, s) for k in ("val_loss", "system/cpu") for s in range(5)
    ]
    app.tracking.runs.log(made.id, metrics=[*points, Metric("val_auc", 0.7, 0)], params={"lr": "0.1"})
    data = Dataset(dataset_id("flights", "d1", "s"), "flights", "d1", "local", "s")
    app.tracking.runs.log_inputs(made.id, [DatasetInput(data, {CONTEXT_TAG: "training"})])
    return made


def put(app, run, path, content):  # noqa: F811
    app.tracking.artifacts.put(f"{run.artifact_uri.removeprefix('mlflow-artifacts:/')}/{path}", io.BytesIO(content))


def test_a_run_shows_its_curves_with_the_machine_apart(client, run):  # noqa: F811
    view = client.get(f"/runs/{run.id}.json").json()
    assert view["metrics"] == {"val_auc": 0.7, "val_loss": 0.2}
    assert [p["key"] for p in view["curves"]["plots"]] == ["val_loss"] and view["curves"]["missing"] == ["val_auc"]
    assert [p["key"] for p in view["system"]["plots"]] == ["system/cpu"] and view["system"]["axis"] == "time"
    page = client.get(f"/runs/{run.id}").text
    assert page.count('class="chart plot"') == 2 and "flights" in page and "mina" in page


def test_runs_inside_a_run_are_listed_and_lead_back(app, client, run):  # noqa: F811
    child = app.tracking.runs.create(run.experiment_id, name="fold 1", tags={"mlflow.parentRunId": run.id})
    app.tracking.runs.log_now(child.id, {"val_loss": 0.3})
    assert [c["name"] for c in client.get(f"/runs/{run.id}.json").json()["children"]] == ["fold 1"]
    assert f'/runs/{run.id}"' in client.get(f"/runs/{child.id}").text


def test_folders_of_artifacts_can_be_walked(app, client, run):  # noqa: F811
    put(app, run, "report/plots/a.txt", b"x")
    assert "?folder=report#artifacts" in client.get(f"/runs/{run.id}").text
    assert "?folder=report%2Fplots#artifacts" in client.get(f"/runs/{run.id}?folder=report").text
    assert "path=report%2Fplots%2Fa.txt" in client.get(f"/runs/{run.id}?folder=report/plots").text
    assert client.get(f"/runs/{run.id}?folder=../..").status_code == 400


@pytest.mark.parametrize(
    ("name", "content", "kind", "shown"),
    [
        ("a.txt", "안녕".encode(), "text", "안녕"),
        ("a.json", b'{"b":1}', "json", "&#34;b&#34;: 1"),
        ("broken.json", b"{", "text", "this is no JSON"),
        ("a.csv", b"x;y\n1;2\n", "table", "<td>2</td>"),
        ("a.patch", PATCH.encode(), "diff", 'class="add"'),
        ("a.bin", b"\0\1", "binary", "Not text"),
        ("bad.parquet", b"PAR1 no", "binary", "no Parquet file"),
        ("a.html", b"<script>1</script>", "html", '<iframe class="artifact" sandbox '),
        ("a.svg", b"<svg/>", "image", "<img"),
        ("x.txt", b"<script>alert(1)</script>", "text", "&lt;script&gt;"),
    ],
)
def test_a_file_is_shown_by_what_it_is(app, client, run, name, content, kind, shown):  # noqa: F811
    put(app, run, name, content)
    page = client.get(f"/runs/{run.id}/file?path={name}")
    assert page.status_code == 200 and shown in page.text and page.text.count("<script") == 1
    assert client.get(f"/runs/{run.id}/file.json?path={name}").json()["kind"] == kind


def test_a_parquet_file_shows_its_first_rows_and_how_many_there_are(app, client, run):  # noqa: F811
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": list(range(1000)), "t": ["a"] * 1000}), sink)
    put(app, run, "p.parquet", sink.getvalue())
    head = client.get(f"/runs/{run.id}/file.json?path=p.parquet").json()["head"]
    assert (head["rows"], len(head["first"]), head["types"]) == (1000, 100, ["int64", "string"])


def test_the_bytes_of_a_file_have_no_scripts_no_origin_and_load_nothing(app, client, run):  # noqa: F811
    put(app, run, "a.html", b"<script>fetch('/')</script>")
    put(app, run, "run.exe", b"MZ")
    reply = client.get(f"/runs/{run.id}/raw/a.html")
    policy = reply.headers["content-security-policy"]
    assert "sandbox" in policy and "default-src 'none'" in policy and "script" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["x-frame-options"] == "SAMEORIGIN"
    other = client.get(f"/runs/{run.id}/raw/run.exe")
    assert other.headers["content-disposition"].startswith("attachment") and other.content == b"MZ"
    assert client.get(f"/runs/{run.id}/raw/..%2F..%2Fx").status_code in (400, 404)
    assert client.get(f"/runs/{run.id}/raw/none").status_code == 404


def test_two_users_see_whose_run_is_best_and_why_on_one_page(app, client, run):  # noqa: F811
    other = app.tracking.runs.create(
        run.experiment_id, name="theirs", user="jun", tags={"mlflow.source.git.commit": "b" * 40}
    )
    app.tracking.runs.log(
        other.id,
        metrics=[Metric("val_loss", 0.1 + (4 - s) / 10, 0, s) for s in range(5)] + [Metric("val_auc", 0.6, 0)],
        params={"lr": "0.2"},
    )
    data = Dataset(dataset_id("flights", "d2", "s"), "flights", "d2", "local", "s")
    app.tracking.runs.log_inputs(other.id, [DatasetInput(data, {CONTEXT_TAG: "training"})])
    put(app, other, "requirements.txt", b"numpy==2.1\npandas==2.2\n")
    put(app, run, "requirements.txt", b"numpy==2.0\npandas==2.2\n")
    put(app, other, "uncommitted.patch", PATCH.encode())
    view = client.get(f"/compare.json?runs={run.id},{other.id}").json()
    assert [s["user"] for s in view["sides"]] == ["mina", "jun"]
    assert [(w["place"], w["metrics"]) for w in view["winners"]] == [(0, ["val_auc"]), (1, ["val_loss"])]
    rows = {g["name"]: {r["name"]: r["values"] for r in g["rows"]} for g in view["groups"]}
    assert rows["Params"] == {"lr": ["0.1", "0.2"]} and rows["Data"] == {"flights (training)": ["d1", "d2"]}
    assert rows["Environment"] == {"numpy": ["2.0", "2.1"]}
    assert rows["Code"]["commit"] == ["a" * 40, "b" * 40] and "2 lines changed" in rows["Code"]["uncommitted"][1]
    assert ["pandas", "2.2"] in next(g["same"] for g in view["groups"] if g["name"] == "Environment")
    page = client.get(f"/compare?runs={run.id},{other.id}").text
    assert "is best in 1 of 2: val_auc" in page and 'class="add"' in page and page.count('class="curve"') == 2


def test_at_most_twenty_runs_are_compared(app, client, run):  # noqa: F811
    ids = [app.tracking.runs.create(run.experiment_id, started=NOW).id for _ in range(21)]
    assert client.get("/compare?runs=" + ",".join(ids)).status_code == 400
    assert client.get("/compare?runs=" + ",".join(ids[:20])).status_code == 200


def post(client, path, **fields):  # noqa: F811
    return client.post(path, data=fields, headers={"origin": "http://localhost"})


def test_a_run_is_forked_moved_deleted_and_restored_from_its_page(app, client, run):  # noqa: F811
    app.tracking.experiments.create("other")
    forked = post(client, f"/runs/{run.id}/fork", name="again", step="2").headers["location"]
    assert client.get(f"{forked}.json").json()["name"] == "again"
    assert post(client, f"/runs/{run.id}/move", experiment="other").status_code == 303
    assert client.get(f"/runs/{run.id}.json").json()["experiment"] == "other"
    post(client, f"/runs/{run.id}/delete")
    assert "Restore it" in client.get(f"/runs/{run.id}").text
    assert [r["name"] for r in client.get("/runs.json").json()["rows"]] == ["again"]
    post(client, f"/runs/{run.id}/restore")
    assert client.get(f"/runs/{run.id}.json").json()["deleted"] is False
    assert client.post(f"/runs/{run.id}/delete", headers={"origin": "http://evil.example"}).status_code == 403
    assert post(client, f"/runs/{run.id}/fork", step="x").status_code == 400


def test_an_alias_goes_back_on_the_models_page_and_the_history_says_why(app, client, run):  # noqa: F811
    app.tracking.registry.create_model("m")
    for _ in range(2):
        app.tracking.registry.register("m", run_id=run.id)
    app.tracking.registry.move_alias("m", "champion", 1, actor="mina", reason="first")
    app.tracking.registry.move_alias("m", "champion", 2, actor="jun", reason="better")
    assert "Put champion back to version 1" in client.get("/models/m").text
    moved = post(client, "/models/m/rollback", alias="champion", to="1", reason="worse on weekends")
    assert moved.headers["location"] == "/models/m#history"
    view = client.get("/models/m.json").json()
    assert [(a["name"], a["version"]) for a in view["aliases"]] == [("champion", 1)]
    assert (view["history"][0]["before"], view["history"][0]["after"], view["history"][0]["reason"]) == (
        2,
        1,
        "worse on weekends",
    )


def test_what_a_run_recorded_of_itself_is_on_its_page(app, client, run):  # noqa: F811
    app.tracking.runs.log(
        run.id, tags={"hanok.command": "python train.py", "hanok.python": "3.12", "hanok.error": "no GPU"}
    )
    put(app, run, "console/00001.log", b"epoch 1\n")
    put(app, run, "console/tail.log", b"epoch 2\n")
    put(app, run, "code/uncommitted.diff", PATCH.encode())
    put(app, run, "environment/packages.txt", b"numpy==2.1\n")
    view = client.get(f"/runs/{run.id}.json").json()
    assert view["console"] == "epoch 1\nepoch 2" and view["error"] == "no GPU"
    assert view["code"]["packages"] == {"numpy": "2.1"} and view["code"]["command"] == "python train.py"
    page = client.get(f"/runs/{run.id}").text
    assert 'class="add"' in page and "epoch 2" in page and "no GPU" in page
