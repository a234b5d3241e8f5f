"""Processes that a server starts end with it, however it ends, and what they worked at is in the log."""

import json
import os
import shutil
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from hanok.core.serving import Arm
from tests.faults.writers import up
from tests.loop.run import open_shop

ROW = {
    "price__amount": 20.0,
    "product__returned_3d": 0.2,
    "product__returned_7d": 0.2,
    "product__orders_3d": 50,
    "product__orders_7d": 90,
    "product": "mug",
    "size": 11.5,
}
LARGE = 3_500  # rows whose body another process decodes


@pytest.fixture
def home(replayed_home, tmp_path):
    """A home whose model has its first version as a shadow."""
    shutil.copytree(replayed_home, tmp_path / "home")
    app = open_shop(tmp_path / "home")
    primary = app.serving.deployment("returns").primary
    app.serving.deploy("returns", [Arm(primary, "primary", 100), Arm(primary, "shadow")], actor="me", reason="test")
    app.close()
    return tmp_path / "home"


def children(pid):
    found = [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]
    return set(found) | {c for child in found for c in children(child)}


def gone(pids, seconds=15.0):
    until = time.monotonic() + seconds
    while alive := [p for p in pids if Path(f"/proc/{p}/cmdline").exists() and Path(f"/proc/{p}/cmdline").read_bytes()]:
        if time.monotonic() > until:
            return alive
        time.sleep(0.05)
    return []


def ask(address, rows):
    body = json.dumps({"dataframe_records": [ROW] * rows}).encode()
    asked = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as reply:
        return json.loads(reply.read())["prediction_ids"]


@pytest.mark.parametrize("end", [pytest.param(signal.SIGTERM, marks=pytest.mark.soak), signal.SIGKILL])
def test_what_a_server_started_ends_with_it(home, end):
    process, address = up(home)
    try:
        one, many = ask(address, 1), ask(address, LARGE)
        started = children(process.pid)
        assert len(started) >= 2, [Path(f"/proc/{p}/cmdline").read_bytes() for p in started]
    finally:
        os.kill(process.pid, end)
        process.wait(timeout=40)
    assert gone(started) == []
    app = open_shop(home)
    assert {app.serving.find(i).features["size"] for i in one + many[::1000]} == {11.5}
    if end == signal.SIGTERM:  # shadows in work are waited for a little, the others are a range
        answers = app.serving.answers_since("returns", app.serving.find(one[0]).at).to_pylist()
        beside = [a for a in answers if a["arm"] == "shadow"]
        assert {a["error"].partition(":")[0] for a in beside} <= {"", "not scored, the server stopped"}
        assert sum(a["rows"] if a["error"] else 1 for a in beside) == 1 + LARGE
    app.close()
