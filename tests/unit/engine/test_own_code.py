"""A training function of a project is the same one in every process and folder, and comes back once it was edited."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import hanok as hk
from hanok.core.declare import with_train
from hanok.core.errors import Forbidden, NotTrainable
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.project import load_project
from hanok.engine.verbs import call

PROJECT = """
import hanok as hk

TREES = 3


def fit(frame):
    import lightgbm

    return lightgbm.LGBMClassifier(
        n_estimators=TREES, min_child_samples=5, n_jobs=1, verbose=-1, seed=1, deterministic=True
    ).fit(frame.X, frame.y)


late = hk.Model(
    "late", task="binary", spine=hk.Spine("orders", predict_at="due", keys=["order"]),
    label=hk.Label("outcomes", column="late", known_at="known"),
    features=["qty", "day"], train=fit, split=hk.by_time(test="10d"), gate=hk.Gate(beats="baseline"),
)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a project whose version 1 was trained by a function of its own."""
    folder = tmp_path_factory.mktemp("own") / "first"
    folder.mkdir()
    (folder / "project.py").write_text(PROJECT)
    days = [f"2026-01-{d:02d}T{h:02d}:00:00Z" for d in range(1, 29) for h in range(0, 24, 4)]
    orders = [{"order": i, "due": t, "qty": i % 7, "day": int(t[8:10])} for i, t in enumerate(days)]
    late = [{"order": i, "known": t.replace(":00:00Z", ":30:00Z"), "late": int(i % 7 > 3)} for i, t in enumerate(days)]
    with hk.open(folder / "home", project=folder / "project.py") as client:
        for table, rows, at in (("orders", orders, "due"), ("outcomes", late, "known")):
            (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
            client.ingest(table, folder / "rows.jsonl", keys=["order"], event_time=at, arrived=at)
        assert client.train("late")["version"] == 1
    return folder


@pytest.fixture
def place(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "first"))


def opened(folder, text):
    (folder / "project.py").write_text(text)
    return hk.open(folder / "home", project=folder / "project.py")


def told(folder, *command, seed):
    """What a process of its own says."""
    environment = os.environ | {"PYTHONHASHSEED": seed}
    program = [str(Path(sys.executable).parent / "hanok"), *command, "--home", "home", "--json"]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_another_process_and_another_folder_have_the_same_function(place, tmp_path):
    (place / "hanok.toml").write_text('project = "project.py"\n')
    moved = place.rename(tmp_path / "second")
    assert {c["change"] for c in told(moved, "apply", seed="2")} == {"unchanged"}
    assert told(moved, "reproduce", "late@1", seed="3")["model_bit_equal"]


def test_a_name_that_an_earlier_release_made_of_its_process_changes_nothing(place):
    (model,) = load_project(place / "project.py").models
    app = open_app(Config(home=place / "home", project=place / "project.py"))
    app.training.apply(with_train(model, replace(model.train, name="hanok_project_8123456789.fit")))
    project = load_project(place / "project.py")
    assert [c.change for c in app.declaring.plan(project)] == ["unchanged"]
    app.declaring.apply(project)
    assert app.training.model("late").train.name == "hanok_project_8123456789.fit"
    (place / "project.py").write_text(PROJECT.replace("seed=1", "seed=2"))
    (line,) = app.declaring.plan(load_project(place / "project.py"))
    assert (line.change, line.fields) == ("changed", ("train",))
    app.close()


@pytest.mark.parametrize(
    "text",
    [
        PROJECT.replace('features=["qty", "day"]', 'features=["qty"]'),
        PROJECT.replace("seed=1", "seed=2"),
        PROJECT.replace("TREES = 3", "TREES = 4"),
        PROJECT.replace("train=fit, ", "train=hk.AutoML(trials=0), "),
        "import hanok as hk\n",
    ],
    ids=["other features", "the function", "what it reads", "no own code any more", "no model any more"],
)
def test_a_version_is_reproduced_whatever_was_edited_since(place, text):
    with opened(place, text) as client:
        found = client.call("reproduce", subject="late@1")
    assert (found["training_set_bit_equal"], found["model_bit_equal"]) == (True, True)


def test_kept_code_is_not_run_for_who_calls_a_server(place):
    with opened(place, PROJECT.replace("seed=1", "seed=2")) as client:
        with pytest.raises(Forbidden, match="stop the server, and run hanok reproduce"):
            call(client.app, "reproduce", "ann", {"subject": "late@1"})
    with opened(place, PROJECT) as client:  # the project has it: it is loaded already
        assert call(client.app, "reproduce", "ann", {"subject": "late@1"})["model_bit_equal"]


def test_code_that_nobody_has_any_more_is_named(place, monkeypatch):
    monkeypatch.setattr("hanok.engine.own_code.SOURCE_MAX_BYTES", 10)
    with opened(place, PROJECT.replace("seed=1", "seed=3")) as client:
        assert client.train("late", promote=False)["version"] == 2
    with opened(place, PROJECT.replace("seed=1", "seed=4")) as client:
        with pytest.raises(NotTrainable, match=r"version 2 of 'late' was trained by project.fit.*put the function"):
            client.call("reproduce", subject="late@2")


def test_gc_leaves_the_kept_code(place):
    with opened(place, PROJECT.replace("seed=1", "seed=2")) as client:
        client.call("gc", grace="0d")
        assert client.call("reproduce", subject="late@1")["model_bit_equal"]


def test_a_project_is_read_as_it_stands_even_when_it_was_edited_within_the_second(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "project.py"
    for table in ("aa", "bb"):
        file.write_text(f"import hanok as hk\nSHOPS = hk.Source({table!r})\n")
        os.utime(file, (1e9, 1e9))
        assert [s.table for s in load_project(file).sources] == [table]
