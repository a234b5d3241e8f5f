"""A training that is cut down: what a command began is closed, what a server began is gone on with. Real processes."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from hanok.core.lineage import NodeKind
from hanok.engine.app import open_app
from hanok.engine.config import Config
from tests.loop import feeds

PROJECT = """
import os
import time
from pathlib import Path

import hanok as hk


def train(frame):
    from sklearn.linear_model import LogisticRegression

    if "HANG" in os.environ:
        Path(os.environ["HANG"]).touch()
        time.sleep(120)
    return LogisticRegression().fit(frame.X, frame.y)


mine = hk.Model(
    "mine",
    task="binary",
    spine=hk.Spine("orders", predict_at="ordered", keys=["order"]),
    label=hk.Label("returns", column="returned", known_at="known"),
    features=["size"],
    split=hk.by_time("4d"),
    train=train,
)
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "project.py").write_text(PROJECT)
    app = opened(tmp_path)
    for feed in feeds.feeds():
        app.ingesting.ingest(
            feed.table, feed.rows, key="all", arrived=feed.arrived, keys=feed.keys, event_time=feed.event_time
        )
    app.home.note_time(datetime(2026, 1, 22, tzinfo=UTC))
    app.close()
    return tmp_path


def opened(home):
    return open_app(Config(home=home / "home", project=home / "project.py"))


def command(home, *words):
    return [sys.executable, "-m", "hanok", *words, "--home", str(home / "home"), "--json"]


def hanging(home, *words):
    """A process in the middle of a training."""
    mark = home / f"mark{time.monotonic_ns()}"
    process = subprocess.Popen(
        command(home, *words), env={**os.environ, "HANG": str(mark)}, stdout=subprocess.PIPE, text=True
    )
    return process, mark


def asked(address, verb, **arguments):
    request = urllib.request.Request(
        f"{address}/api/v1/{verb}", json.dumps(arguments).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


def wait_for(mark, process):
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.05)


def state(home):
    app = opened(home)
    try:
        runs = app.metadata.read(lambda r: r.lineage.find(NodeKind.RUN, limit=10))
        return (
            sorted(w.state for w in app.durable.list("train")),
            sorted(app.tracking.runs.get(n.id).status for n in runs),
            [v.version for v in app.tracking.registry.versions("mine")],
        )
    finally:
        app.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_a_training_that_a_command_began_is_closed_and_no_other_command_goes_on_with_it(home, how):
    process, mark = hanging(home, "train", "mine")
    wait_for(mark, process)
    process.send_signal(how)
    process.wait()
    assert state(home) == (["cancelled"], ["KILLED"], [])
    app = opened(home)
    app.training.train("mine")
    app.close()
    assert state(home) == (["cancelled", "done"], ["FINISHED", "KILLED"], [1])


def test_a_training_that_a_server_began_is_gone_on_with_by_the_next_one_under_the_same_run(home):
    process, mark = hanging(home, "up", "--port", "0")
    address = json.loads(process.stdout.readline())["address"]
    with pytest.raises(OSError), ThreadPoolExecutor() as pool:  # the caller hears that the connection is gone
        call = pool.submit(asked, address, "train", model="mine")
        wait_for(mark, process)
        process.kill()
        process.wait()
        call.result()
    again = subprocess.Popen(command(home, "up", "--port", "0"), stdout=subprocess.PIPE, text=True)
    address = json.loads(again.stdout.readline())["address"]
    try:
        while not any(m["name"] == "mine" and m["newest"] for m in asked(address, "model/list")):
            time.sleep(0.2)
    finally:
        again.terminate()
        again.wait()
    assert state(home) == (["done"], ["FINISHED"], [1])
