"""Whatever a user's training function does, the server and all else goes on. Real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest

from hanok.engine.app import open_app
from hanok.engine.config import Config
from tests.faults.test_children import children, gone
from tests.loop import feeds

PROJECT = """
import ctypes
import os
import sys
import time
from pathlib import Path

import hanok as hk

HERE = Path(__file__).parent


def train(frame):
    what = (HERE / "what").read_text()
    print("this time:", what, flush=True)
    if what == "exit":
        os._exit(3)
    if what == "crash":
        ctypes.string_at(0)
    if what == "grow":
        kept = [bytearray(1 << 26) for _ in range(1 << 12)]
    if what == "hang":
        (HERE / "hanging").touch()
        while not (HERE / "go").exists():
            time.sleep(0.05)
        ctypes.string_at(0)
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=len(what)).fit(frame.X, frame.y)


mine = hk.Model(
    "mine",
    task="binary",
    spine=hk.Spine("orders", predict_at="ordered", keys=["order"]),
    label=hk.Label("returns", column="returned", known_at="known"),
    features=["size"],
    split=hk.by_time("4d"),
    rollout=hk.Rollout(shadow="1d", rollback_if=["log_loss > champion"]),
    train=train,
)
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "project.py").write_text(PROJECT)
    (tmp_path / "hanok.toml").write_text('home = "home"\ntraining_memory_gb = 3\n')
    app = open_app(Config(home=tmp_path / "home", project=tmp_path / "project.py"))
    for feed in feeds.feeds():
        app.ingesting.ingest(
            feed.table, feed.rows, key="all", arrived=feed.arrived, keys=feed.keys, event_time=feed.event_time
        )
    app.home.note_time(datetime(2026, 1, 22, tzinfo=UTC))
    app.close()
    return tmp_path


def trained(home, times):
    """As if by `hanok train`."""
    (home / "what").write_text("fine")
    app = open_app(Config(home=home / "home", project=home / "project.py"))
    for _ in range(times):
        app.training.train("mine", promote=False)
    app.close()


def started(home):
    process = subprocess.Popen(
        [sys.executable, "-m", "hanok", "up", "--port", "0", "--json"],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=(home / "said").open("a"),
        text=True,
    )
    return process, json.loads(process.stdout.readline())["address"]


def asked(address, verb, **arguments):
    request = urllib.request.Request(
        f"{address}/api/v1/{verb}", json.dumps(arguments).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())["error"]


def hanging(home, address):
    """A training in the middle of the user's function, and what it will have answered."""
    (home / "what").write_text("hang")
    answers = []

    def call():
        try:
            answers.append(asked(address, "train", model="mine"))
        except OSError as error:
            answers.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not (home / "hanging").exists():
        assert not answers, answers
        time.sleep(0.05)
    (home / "hanging").unlink()
    return thread, answers


def test_a_training_that_crashes_fails_alone_and_a_rollback_waits_for_none(home):
    trained(home, times=2)
    process, address = started(home)
    try:
        asked(address, "deploy", model="mine", version=1)
        begun = asked(address, "promote", model="mine", version=2, force=True)
        assert begun["stage"] == "shadow", begun
        thread, answers = hanging(home, address)
        back = asked(address, "rollback", model="mine")
        assert (back["from"], back["to"]) == (2, 1), back
        (job,) = [j for j in asked(address, "job/list") if j["state"] == "running"]
        assert (job["model"], job["step"], job["says"]) == ("mine", "training_set", "this time: hang")
        (home / "go").touch()
        thread.join()
        assert (answers[0]["code"], "SIGSEGV" in answers[0]["message"]) == ("training_died", True), answers
        assert "this time: hang" in answers[0]["message"]
        open_ = [a["fingerprint"] for a in asked(address, "alert/list") if a["state"] == "open"]
        assert "training-died" in open_
    finally:
        process.kill()
        process.wait()
    assert "this time: hang" in (home / "said").read_text()  # what it prints reaches the server's terminal


@pytest.mark.soak
def test_a_training_that_dies_grows_or_hangs_fails_alone_and_a_rollback_waits_for_none(home):
    process, address = started(home)
    try:
        for what, code, words in (
            ("exit", "training_died", "exit code 3"),
            ("crash", "training_died", "SIGSEGV"),
            ("grow", "training_failed", "MemoryError"),
        ):
            (home / "what").write_text(what)
            failed = asked(address, "train", model="mine")
            assert (failed["code"], words in failed["message"]) == (code, True), failed
            if code == "training_died":
                assert f"this time: {what}" in failed["message"]
        for what in ("fine", "fine too"):
            (home / "what").write_text(what)
            made = asked(address, "train", model="mine", promote=False)
        assert made["version"] == 2, made
        asked(address, "deploy", model="mine", version=1)
        begun = asked(address, "promote", model="mine", version=2, force=True)
        assert begun["stage"] == "shadow", begun
        thread, answers = hanging(home, address)
        back = asked(address, "rollback", model="mine")
        jobs = asked(address, "job/list")
        assert (back["from"], back["to"]) == (2, 1), back
        (job,) = [j for j in jobs if j["state"] == "running"]
        assert (job["model"], job["step"], job["says"]) == ("mine", "training_set", "this time: hang")
        assert asked(address, "job/cancel", id=job["id"])["state"] == "cancelled"
        thread.join()
        assert answers[0]["code"] == "cancelled", answers
        assert asked(address, "job/cancel", id=job["id"])["code"] == "conflict"
        states = [(j["kind"], j["state"]) for j in asked(address, "job/list")]
        ended = ["failed"] * 3 + ["done"] * 2 + ["cancelled"]
        assert sorted(s for k, s in states if k == "train") == sorted(ended)
        open_ = [a["fingerprint"] for a in asked(address, "alert/list") if a["state"] == "open"]
        assert "training-died" not in open_  # a later one came to its end
    finally:
        process.kill()
        process.wait()
    assert "this time: crash" in (home / "said").read_text()  # what it prints reaches the server's terminal


@pytest.mark.soak
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_ends_with_all_that_it_started_whatever_runs_and_the_next_one_goes_on(home, how):
    process, address = started(home)
    thread, _ = hanging(home, address)
    pids = children(process.pid)
    assert pids
    os.kill(process.pid, how)
    process.wait(timeout=60)
    thread.join()
    assert gone(pids) == []
    (home / "what").write_text("fine")
    process, address = started(home)
    try:
        while not any(m["name"] == "mine" and m["newest"] for m in asked(address, "model/list")):
            time.sleep(0.2)
        assert not list((home / "home" / "hanok-work").glob("fit-*"))
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert process.returncode == 0
