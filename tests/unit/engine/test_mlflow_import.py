"""Bringing an MLflow store over: every value as it was, what is new on a second time, nothing twice."""

import math
import sqlite3

import pytest

import hanok as hk
from hanok.core.errors import BadData, Invalid, NotFound
from hanok.core.lineage import EdgeKind
from hanok.engine.mlflow_import import import_mlflow, source_of

RUN, GONE = "a" * 32, "b" * 32
MODEL = "m-" + "c" * 32
TABLES = """
CREATE TABLE experiments (experiment_id INTEGER, name TEXT, artifact_location TEXT, lifecycle_stage TEXT,
    creation_time INTEGER, last_update_time INTEGER);
CREATE TABLE experiment_tags (key TEXT, value TEXT, experiment_id INTEGER);
CREATE TABLE runs (run_uuid TEXT, name TEXT, user_id TEXT, status TEXT, start_time INTEGER, end_time INTEGER,
    lifecycle_stage TEXT, artifact_uri TEXT, experiment_id INTEGER);
CREATE TABLE metrics (key TEXT, value REAL, timestamp INTEGER, run_uuid TEXT, step INTEGER, is_nan INTEGER);
CREATE TABLE latest_metrics (key TEXT, value REAL, timestamp INTEGER, run_uuid TEXT, step INTEGER, is_nan INTEGER);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE datasets (dataset_uuid TEXT, name TEXT, digest TEXT, dataset_source_type TEXT, dataset_source TEXT,
    dataset_schema TEXT, dataset_profile TEXT);
CREATE TABLE inputs (input_uuid TEXT, source_type TEXT, source_id TEXT, destination_type TEXT, destination_id TEXT);
CREATE TABLE input_tags (input_uuid TEXT, name TEXT, value TEXT);
CREATE TABLE logged_models (model_id TEXT, experiment_id INTEGER, name TEXT, artifact_location TEXT,
    creation_timestamp_ms INTEGER, last_updated_timestamp_ms INTEGER, status INTEGER, lifecycle_stage TEXT,
    model_type TEXT, source_run_id TEXT);
CREATE TABLE logged_model_params (model_id TEXT, param_key TEXT, param_value TEXT);
CREATE TABLE logged_model_tags (model_id TEXT, tag_key TEXT, tag_value TEXT);
CREATE TABLE logged_model_metrics (model_id TEXT, metric_name TEXT, metric_timestamp_ms INTEGER, metric_step INTEGER,
    metric_value REAL, run_id TEXT, dataset_name TEXT, dataset_digest TEXT);
CREATE TABLE registered_models (name TEXT, creation_time INTEGER, last_updated_time INTEGER, description TEXT);
CREATE TABLE registered_model_tags (key TEXT, value TEXT, name TEXT);
CREATE TABLE registered_model_aliases (alias TEXT, version INTEGER, name TEXT);
CREATE TABLE model_versions (name TEXT, version INTEGER, creation_time INTEGER, last_updated_time INTEGER,
    description TEXT, user_id TEXT, current_stage TEXT, source TEXT, run_id TEXT, status TEXT, run_link TEXT);
CREATE TABLE model_version_tags (key TEXT, value TEXT, name TEXT, version INTEGER);
"""


@pytest.fixture
def store(tmp_path):
    """An SQLite store written by hand in the tables of MLflow 3, with artifacts beside it."""
    root = tmp_path / "their"
    artifacts = root / "mlruns" / "7" / RUN / "artifacts"
    (artifacts / "model").mkdir(parents=True)
    (artifacts / "model" / "weights.bin").write_bytes(b"weights")
    c = sqlite3.connect(root / "mlflow.db")
    c.executescript(TABLES)
    add = lambda table, *values: c.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(values))})", values)  # noqa: E731
    add("experiments", 0, "Default", "mlruns/0", "active", 1000, 2000)
    add("experiments", 7, "churn", "mlruns/7", "active", 1000, 2000)
    add("experiments", 9, "old", "mlruns/9", "deleted", None, None)
    add("experiment_tags", "team", "growth", 7)
    add("runs", RUN, "first", "ann", "FAILED", 5000, 9000, "active", str(artifacts), 7)
    add("runs", GONE, "gone", None, "FINISHED", 6000, 9000, "deleted", "mlflow-artifacts:/7/gone/artifacts", 7)
    for step in range(3):
        add("metrics", "loss", 0.5 - step / 10, 5000 + step, RUN, step, 0)
    add("metrics", "nan", 0.0, 5000, RUN, 0, 1)
    add("latest_metrics", "loss", 0.3, 5002, RUN, 2, 0)
    add("latest_metrics", "nan", 0.0, 5000, RUN, 0, 1)
    add("params", "depth", "3", RUN)
    add("tags", "mlflow.runName", "first", RUN)
    add("datasets", "d1", "flights", "1", "local", "{}", None, None)
    add("inputs", "i1", "DATASET", "d1", "RUN", RUN)
    add("input_tags", "i1", "mlflow.data.context", "training")
    add("logged_models", MODEL, 7, "tree", f"{artifacts}/model", 7000, 8000, 2, "active", "sklearn", RUN)
    add("logged_model_params", MODEL, "depth", "3")
    add("logged_model_metrics", MODEL, "auc", 7000, 1, 0.8, RUN, "flights", "1")
    add("registered_models", "late", 1000, 2000, "is it late?")
    add("registered_model_tags", "a", "b", "late")
    add("registered_model_aliases", "champion", 3, "late")
    add("model_versions", "late", 1, 1000, 2000, None, "ann", "Production", f"{artifacts}/model", RUN, "READY", None)
    add("model_versions", "late", 3, 3000, 4000, "third", "bob", "None", f"models:/{MODEL}", RUN, "READY", None)
    add("model_version_tags", "v", "3", "late", 3)
    c.commit()
    c.close()
    return root / "mlflow.db"


@pytest.fixture
def app(tmp_path):
    with hk.open(tmp_path / "home") as client:
        yield client.app


def bring(app, store):
    return import_mlflow(app.metadata, app.tracking, source_of(f"sqlite:///{store}"), f"sqlite:///{store}")


def test_runs_come_with_every_value(app, store):
    summary = bring(app, store)
    assert (summary.experiments, summary.runs, summary.points) == (2, 2, 4)
    run = app.tracking.runs.get(RUN)
    assert (run.name, run.user, run.status, run.params) == ("first", "ann", "FAILED", {"depth": "3"})
    assert (run.started.timestamp(), run.ended.timestamp(), run.experiment_id) == (5, 9, "7")
    assert [(p.step, p.timestamp_ms, p.value) for p in app.tracking.runs.history(RUN, "loss")] == [
        (0, 5000, 0.5),
        (1, 5001, 0.4),
        (2, 5002, 0.3),
    ]
    assert math.isnan(run.latest["nan"])
    assert [(d.dataset.name, d.tags) for d in run.datasets] == [("flights", {"mlflow.data.context": "training"})]
    assert app.tracking.runs.get(GONE).lifecycle == "deleted"
    assert app.tracking.experiments.get("9").lifecycle == "deleted"
    assert app.tracking.experiments.get("7").tags == {"team": "growth"}
    assert app.tracking.artifacts.open(f"7/{RUN}/artifacts/model/weights.bin").read() == b"weights"


def test_models_come_with_numbers_aliases_stages_and_lineage(app, store):
    bring(app, store)
    registry = app.tracking.registry
    assert [v.version for v in registry.versions("late")] == [3, 1]
    model = registry.model("late")
    assert (model.aliases, model.tags, model.description) == ({"champion": 3}, {"a": "b"}, "is it late?")
    first, third = registry.version("late", 1), registry.version("late", 3)
    assert (first.stage, first.created.timestamp(), third.tags, third.description) == (
        "Production",
        1,
        {"v": "3"},
        "third",
    )
    assert registry.download_uri("late", 1) == f"mlflow-artifacts:/7/{RUN}/artifacts/model"
    assert registry.download_uri("late", 3) == f"mlflow-artifacts:/7/models/{MODEL}/artifacts"
    assert [c.reason[:13] for c in registry.alias_history("late")] == ["imported from"]
    logged = app.tracking.logged_models.get(MODEL)
    assert (logged.params, logged.metrics[0].metric.value, logged.source_run_id) == ({"depth": "3"}, 0.8, RUN)
    edges = app.metadata.read(lambda r: r.lineage.walk(RUN)).edges
    assert {e.target for e in edges if e.source == RUN and e.kind is EdgeKind.WROTE} == {MODEL, first.id, third.id}
    assert registry.register("late").version == 4


def test_a_second_time_brings_only_what_is_new(app, store):
    bring(app, store)
    c = sqlite3.connect(store)
    c.execute("INSERT INTO metrics VALUES ('loss', 0.1, 6000, ?, 3, 0)", (RUN,))
    c.execute("UPDATE latest_metrics SET value = 0.1, step = 3, timestamp = 6000 WHERE key = 'loss'")
    c.commit()
    c.close()
    summary = bring(app, store)
    assert (summary.runs, summary.unchanged_runs, summary.artifacts, summary.versions) == (1, 1, 0, 0)
    assert [p.value for p in app.tracking.runs.history(RUN, "loss")] == [0.5, 0.4, 0.3, 0.1]
    assert len(app.tracking.registry.versions("late")) == 2
    assert len(app.tracking.registry.alias_history("late")) == 1


def test_an_import_that_was_cut_off_goes_on(app, store, monkeypatch):
    source = source_of(f"sqlite:///{store}")

    def cut(run_id, key):
        raise NotFound("the store went away")

    monkeypatch.setattr(source, "history", cut)
    summary = import_mlflow(app.metadata, app.tracking, source, f"sqlite:///{store}")
    assert summary.runs == 1
    assert any("went away" in line for line in summary.left_out)
    assert bring(app, store).runs == 1
    assert app.tracking.runs.get(RUN).latest["loss"] == 0.3


def test_artifacts_out_of_reach_are_said(app, store):
    c = sqlite3.connect(store)
    c.execute("UPDATE runs SET artifact_uri = 's3://bucket/x' WHERE run_uuid = ?", (RUN,))
    c.commit()
    c.close()
    summary = bring(app, store)
    assert any("not on this disk" in line for line in summary.left_out)
    assert app.tracking.runs.get(RUN).status == "FAILED"


def test_an_experiment_whose_id_is_taken_gets_another(app, store):
    for number in range(7):
        app.tracking.experiments.create(f"mine {number}")
    summary = bring(app, store)
    made = app.tracking.experiments.named("churn")
    assert summary.renumbered == {"7": made.id} and made.id == "8"
    assert app.tracking.runs.get(RUN).experiment_id == "8"


def test_a_folder_of_files_is_a_store_too(app, tmp_path):
    run = tmp_path / "mlruns" / "123456789012345678" / RUN
    for folder in ("metrics/val", "params", "tags", "artifacts/deep"):
        (run / folder).mkdir(parents=True)
    experiment = "artifact_location: x\ncreation_time: 1000\nexperiment_id: '123456789012345678'\n"
    (run.parent / "meta.yaml").write_text(f"{experiment}last_update_time: 1000\nlifecycle_stage: active\nname: churn\n")
    (run / "meta.yaml").write_text(
        f"artifact_uri: file://{run}/artifacts\nend_time: 9000\nlifecycle_stage: active\nrun_id: {RUN}\n"
        "run_name: first\nstart_time: 5000\nstatus: 3\nuser_id: ann\n"
    )
    (run / "metrics" / "val" / "loss").write_text("5000 0.5 0\n5001 0.25 1\n")
    (run / "params" / "depth").write_text("3")
    (run / "tags" / "mlflow.runName").write_text("first")
    (run / "artifacts" / "deep" / "a.txt").write_text("a")
    version = tmp_path / "mlruns" / "models" / "late" / "version-1"
    version.mkdir(parents=True)
    (version.parent / "meta.yaml").write_text("name: late\ncreation_timestamp: 1000\nlast_updated_timestamp: 1000\n")
    (version / "meta.yaml").write_text(f"name: late\nversion: 1\ncreation_timestamp: 1000\nrun_id: {RUN}\nsource: x\n")
    (version.parent / "aliases").mkdir()
    (version.parent / "aliases" / "champion").write_text("1")
    summary = import_mlflow(app.metadata, app.tracking, source_of(str(tmp_path / "mlruns")), "mlruns")
    assert (summary.runs, summary.artifacts, summary.versions, summary.left_out) == (1, 1, 1, [])
    found = app.tracking.runs.get(RUN)
    assert (found.status, found.latest, found.experiment_id) == ("FINISHED", {"val/loss": 0.25}, "123456789012345678")
    assert app.tracking.registry.version_at("late", "champion").run_id == RUN


@pytest.mark.parametrize("uri", ["postgresql://x/y", "ftp://x"])
def test_a_store_that_cannot_be_read_is_refused(uri):
    with pytest.raises(Invalid, match="sqlite"):
        source_of(uri)


def test_what_is_no_store_is_said(tmp_path):
    (tmp_path / "a.db").write_bytes(b"not a database, by far" * 100)
    sqlite3.connect(tmp_path / "b.db").execute("CREATE TABLE x (y)").connection.close()
    for name in ("a.db", "b.db", "."):
        with pytest.raises(BadData):
            source_of(str(tmp_path / name))
    with pytest.raises(NotFound):
        source_of(f"sqlite:///{tmp_path}/nothing.db")
