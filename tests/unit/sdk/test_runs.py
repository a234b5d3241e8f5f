"""`hk.run`: what a training script writes, and what is then in the home."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import hanok as hk
from hanok.core.errors import Invalid, ParamChanged, Unavailable
from hanok.sdk.runs import sync
from hanok.sdk.runs.journal import NAME, journals
from hanok.server.run import bind

DEADLINE_S = 60


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("HANOK_URL", "HANOK_OFFLINE", "HANOK_JOURNAL", "HANOK_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def start(home, name="first", **more):
    return hk.run(name, where=home, **{"capture": (), **more})


def stored(home, run):
    with hk.open(home) as client:
        found = client.app.tracking.runs.get(run.id)
        files = {}

        def walk(folder=""):
            for artifact in client.app.tracking.artifacts.children_under(found.artifact_uri, folder):
                if artifact.is_folder:
                    walk(artifact.path)
                else:
                    files[artifact.path] = client.app.blobs.open(artifact.digest).read()

        walk()
        history = {m.key: client.app.tracking.runs.history(run.id, m.key) for m in found.metrics}
        return found, history, files


def test_metrics_params_tags_and_artifacts_are_stored_when_the_block_ends(home, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    with start(home, experiment="churn", params={"depth": 3}, tags={"team": "x"}) as run:
        for loss in (0.5, 0.4, 0.3):
            run.log(loss=loss)
        run.log({"val/auc": np.float32(0.5), "nan": float("nan")}, step=7)
        run.param(rate=0.1)
        run.artifact(b"bytes", "a.bin")
        run.artifact("a text", "b.txt")
        run.artifact({"a": 1}, "c.json")
        run.artifact(tmp_path / "folder")
        run.artifact(b"", "empty")
    found, history, files = stored(home, run)
    assert (found.name, found.status, found.params) == ("first", "FINISHED", {"depth": "3", "rate": "0.1"})
    assert found.tags["team"] == "x" and found.ended >= found.started
    assert [(p.step, p.value) for p in history["loss"]] == [(0, 0.5), (1, 0.4), (2, 0.3)]
    assert [(p.step, p.value) for p in history["val/auc"]] == [(7, 0.5)]
    assert files == {
        "a.bin": b"bytes",
        "b.txt": b"a text",
        "c.json": b'{\n  "a": 1\n}',
        "folder/a.txt": b"a",
        "empty": b"",
    }


def test_a_run_that_raises_is_failed_with_the_exceptions_text(home):
    with pytest.raises(ZeroDivisionError), start(home) as run:
        1 / 0
    found, _, files = stored(home, run)
    assert (found.status, found.tags["hanok.error"]) == ("FAILED", "ZeroDivisionError: division by zero")
    assert b"Traceback" in files["error.txt"]


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (SystemExit(0), "FINISHED"), (SystemExit(2), "FAILED")]
)
def test_the_status_tells_how_the_run_ended(home, error, status):
    with pytest.raises(type(error)), start(home) as run:
        raise error
    assert stored(home, run)[0].status == status


def test_what_is_no_metric_is_refused_where_it_is_written(home):
    with start(home) as run:
        for bad in ({"a": "text"}, {"a": None}, {"": 1.0}, {"../a": 1.0}, {"a": [1, 2]}):
            with pytest.raises(Invalid):
                run.log(bad)
        with pytest.raises(Invalid, match="needs a name"):
            run.artifact(b"bytes")
        with pytest.raises(Invalid, match="no file"):
            run.artifact("nothing.txt")


def test_what_the_store_refuses_is_warned_about_and_raised_at_the_end_and_the_rest_is_stored(home):
    with warnings.catch_warnings(record=True) as told, pytest.raises(ParamChanged), start(home) as run:
        run.param(a=1)
        run.param(a=2)
        run.log(loss=0.5)
    assert any("not everything is stored" in str(w.message) for w in told)
    found, _, _ = stored(home, run)
    assert (found.params, found.latest, found.status) == ({"a": "1"}, {"loss": 0.5}, "FINISHED")


def test_after_its_end_a_run_takes_nothing(home):
    with start(home) as run:
        pass
    run.finish("FAILED")
    with pytest.raises(Unavailable, match="ended"):
        run.log(loss=1)


def test_two_runs_at_once_share_the_home(home):
    with start(home, "a") as a, start(home, "b") as b:
        a.log(loss=1)
        b.log(loss=2)
    assert [stored(home, r)[0].latest for r in (a, b)] == [{"loss": 1.0}, {"loss": 2.0}]


def test_code_packages_system_and_console_are_captured(home, tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    (repository / "train.py").write_text("one\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    (repository / "train.py").write_text("two\n")
    with start(home, capture=("code", "packages", "system", "console")) as run:
        sys.stdout.write("printed\n")
        sys.stderr.write("complained\n")
    found, _, files = stored(home, run)
    assert found.tags["mlflow.source.git.branch"] == "main" and len(found.tags["mlflow.source.git.commit"]) == 40
    assert b"-one" in files["code/uncommitted.diff"] and b"+two" in files["code/uncommitted.diff"]
    assert b"numpy==" in files["environment/packages.txt"]
    assert {"system/cpu_utilization_percentage", "system/disk_available_megabytes"} <= set(found.latest)
    assert files["console/00001.log"] == b"printed\ncomplained\n"
    assert "Tee" not in type(sys.stdout).__name__


def test_an_unknown_capture_is_refused(home):
    with pytest.raises(Invalid, match="console"):
        start(home, capture=("consle",))


def test_a_dataset_is_one_node_for_all_runs_that_read_it(home):
    import pyarrow as pa

    table = pa.table({"a": [1, 2, 3]})
    runs = []
    for data in (table, pa.concat_tables([table.slice(0, 1), table.slice(1)])):
        with start(home) as run:
            run.dataset(data, "numbers", context="training")
        runs.append(stored(home, run)[0])
    assert runs[0].datasets == runs[1].datasets
    assert runs[0].datasets[0].tags == {"mlflow.data.context": "training"}


def test_a_model_is_kept_in_a_safe_format_and_can_serve(home):
    from sklearn.linear_model import LogisticRegression

    X = np.random.default_rng(0).normal(size=(200, 2))
    y = (X[:, 0] > 0).astype(int)
    model = LogisticRegression().fit(X, y)
    with start(home) as run:
        run.model(model, X, y, register="churn")
    with hk.open(home) as client:
        version = client.app.tracking.registry.version("churn", 1)
        loaded = client.app.packages.load(version.package)
        answers = loaded.score({"x0": list(X[:5, 0]), "x1": list(X[:5, 1])})
        assert np.allclose(answers, model.predict_proba(X[:5])[:, 1])
        kinds = {n["kind"] for n in client.call("run.show", run=run.id)["lineage"]["nodes"]}
        assert {"logged_model", "model_version"} <= kinds


def test_offline_everything_waits_in_a_journal_and_is_synced_once(home, monkeypatch):
    monkeypatch.setenv("HANOK_OFFLINE", "1")
    with start(home, experiment="churn") as run:
        for i in range(1200):
            run.log(loss=i)
        run.artifact(b"bytes", "a.bin")
    assert not (home / "hanok.db").exists()
    with hk.open(home) as client:
        (outcome,) = sync(home / "journal", client)
        assert (outcome["state"], outcome["files"]) == ("synced", 1)
        assert sync(home / "journal", client) == []
    found, history, files = stored(home, run)
    assert (found.status, len(history["loss"]), files) == ("FINISHED", 1200, {"a.bin": b"bytes"})


def test_a_home_that_another_process_has_open_leads_to_the_journal(home):
    held = hk.open(home)
    with pytest.warns(UserWarning, match="hanok sync"):
        run = start(home)
    run.log(loss=1)
    run.finish()
    sync(home / "journal", held)
    held.close()
    assert stored(home, run)[0].latest == {"loss": 1.0}


SCRIPT = """
import sys, time, hanok as hk
run = hk.run("offline", where=sys.argv[1], capture=())
for i in range(int(sys.argv[2])):
    run.log(loss=i)
    if i % 50 == 0:
        run.flush()
        print(i, flush=True)
time.sleep(60)
"""


def kill_when(process, ready):
    limit = time.monotonic() + DEADLINE_S
    while not ready() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_what_a_killed_process_flushed_offline_is_there_after_a_sync_that_was_killed_too(home, tmp_path):
    environment = {**os.environ, "HANOK_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(home), "3000"], env=environment, stdout=subprocess.PIPE
    )
    lines = []
    threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True).start()
    kill_when(process, lambda: len(lines) > 30)
    flushed = int(lines[-1])
    (root,) = journals(home / "journal")
    (run_id,) = {root.name.partition("-")[0]}
    with (root / NAME).open("ab") as journal:
        journal.write(b"0000beef {cut off")
    for round in range(3):
        syncing = subprocess.Popen(
            [sys.executable, "-m", "hanok", "sync", "--home", str(home)], stderr=subprocess.DEVNULL
        )
        database = home / "hanok.db"
        kill_when(syncing, lambda: database.exists() and points(database, run_id) > 500 * round)
    subprocess.run([sys.executable, "-m", "hanok", "sync", "--home", str(home)], check=True, capture_output=True)
    with hk.open(home) as client:
        history = client.app.tracking.runs.history(run_id, "loss")
        assert [p.step for p in history] == list(range(len(history)))
        assert len(history) >= flushed
        assert client.app.tracking.runs.get(run_id).status == "KILLED"
    assert journals(home / "journal") == []


def points(database: Path, run_id: str) -> int:
    import sqlite3

    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT count(*) FROM metric_point").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def serving(home, port):
    process = subprocess.Popen(
        [sys.executable, "-m", "hanok", "up", "--home", str(home), "--port", str(port), "--json"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())["address"]
    return process, address


def a_port():
    with bind("127.0.0.1", 0) as free:
        return free.getsockname()[1]


def test_a_server_that_goes_away_in_the_middle_loses_nothing_and_doubles_nothing(home, monkeypatch):
    monkeypatch.setattr("hanok.sdk.runs.sinks.RETRY_AFTER_S", (0.01,))
    server, address = serving(home, a_port())
    with warnings.catch_warnings(record=True):
        run = hk.run("over http", where=address, capture=(), experiment="churn")
        for i in range(100):
            run.log(loss=i)
        run.artifact(b"bytes", "a.bin")
        run.flush()
        server.kill()
        server.wait()
        for i in range(100, 200):
            run.log(loss=i)
        run.finish()
    folder = Path.cwd() / ".hanok" / "journal"
    with hk.open(home) as client:
        before = client.app.tracking.runs.get(run.id)
        assert before.status == "RUNNING" and before.latest == {"loss": 99.0}
        sync(folder, client)
    found, history, files = stored(home, run)
    assert [p.value for p in history["loss"]] == [float(i) for i in range(200)]
    assert (found.status, files) == ("FINISHED", {"a.bin": b"bytes"})


def test_a_run_that_nobody_ended_is_ended_with_the_process(home):
    script = "import sys, hanok as hk; hk.run('left', where=sys.argv[1], capture=()).log(loss=1)"
    subprocess.run([sys.executable, "-c", script, str(home)], check=True)
    with hk.open(home) as client:
        (row,) = client.call("run.list")
        assert (row["status"], row["metrics"]) == ("FINISHED", {"loss": 1.0})
