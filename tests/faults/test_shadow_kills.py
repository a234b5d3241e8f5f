"""A server with a shadow, killed at any moment, and so are its children: what was acknowledged is in the log once, and
of each answer at most one entry of the shadow."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import psutil
import pytest

from hanok.compute.duck import read
from hanok.core.serving import Arm
from tests.loop.run import open_shop

ROW = {
    "price__amount": 20.0, "product__returned_3d": 0.2, "product__returned_7d": 0.2, "product__orders_3d": 50,
    "product__orders_7d": 90, "product": "mug", "size": 11.5,
}  # fmt: skip
ASKING = 4


@pytest.fixture
def home(replayed_home, tmp_path):
    """Version 1 answers, and the same package as another version beside it."""
    shutil.copytree(replayed_home, tmp_path / "home")
    app = open_shop(tmp_path / "home")
    primary = app.serving.deployment("returns").primary
    package = app.metadata.read(lambda r: r.registry.versions("returns", primary))[0].package
    beside = app.tracking.registry.register("returns", package=package).version
    app.serving.deploy("returns", [Arm(primary, "primary", 100), Arm(beside, "shadow")], actor="me", reason="shadow")
    app.close()
    return tmp_path / "home"


class Asking:
    """Threads that ask a server again and again until it is gone; `ids` are of the answers that came."""

    def __init__(self, address):
        body = json.dumps({"dataframe_records": [ROW]}).encode()
        self._request = urllib.request.Request(address + "/invocations", body, {"Content-Type": "application/json"})
        self.ids, self._over = [], False
        self._threads = [threading.Thread(target=self._ask) for _ in range(ASKING)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        while not self._over:
            try:
                with urllib.request.urlopen(self._request, timeout=10) as reply:
                    self.ids += json.loads(reply.read())["prediction_ids"]
            except (OSError, urllib.error.URLError):
                time.sleep(0.01)

    def end(self):
        self._over = True
        for thread in self._threads:
            thread.join()


def serve(home):
    command = [sys.executable, "-m", "hanok", "up", "--home", str(home), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())["address"]


def lived(home, rng):
    """Ask while children are killed, then kill the server; the ids of what it acknowledged."""
    process, address = serve(home)
    asking = Asking(address)
    for _ in range(3):
        time.sleep(rng.uniform(0.05, 0.4))
        for child in psutil.Process(process.pid).children(recursive=True):
            if "hanok.server.shadowing" in child.cmdline() and rng.random() < 0.7:
                child.kill()
    process.send_signal(signal.SIGKILL)
    process.wait()
    asking.end()
    return asking.ids


def logged(home):
    app = open_shop(home)
    app.serving.compact(everything=True)
    rows = read(app.tables.scan("predictions--returns")).to_pylist()
    assert not app.log.set_aside("returns") and not app.log._segments.files("returns")
    app.close()
    return rows


@pytest.mark.parametrize("seed", range(2))
def test_what_was_acknowledged_is_logged_once_and_shadows_once_at_most(home, seed):
    rng, acknowledged = random.Random(seed), []
    for _ in range(3):
        acknowledged += lived(home, rng)
    rows = logged(home)
    answers = [r["prediction_id"] for r in rows if r["arm"] == "primary"]
    assert len(answers) == len(set(answers)) and set(acknowledged) <= set(answers) and acknowledged
    scored = [r["row_id"] for r in rows if r["arm"] == "shadow" and not r["error"]]
    assert len(scored) == len(set(scored)) and set(scored) <= {r["row_id"] for r in rows}


def test_a_server_that_is_told_to_stop_leaves_the_shadow_of_each_answer(home):
    process, address = serve(home)
    asking = Asking(address)
    time.sleep(1.0)
    asking.end()
    process.terminate()
    process.wait(timeout=30)
    rows = logged(home)
    scored = {r["row_id"]: r for r in rows if r["arm"] == "shadow"}
    assert set(asking.ids) <= set(scored) and not any(r["error"] for r in scored.values())
    assert all(scored[r["prediction_id"]]["score"] == r["score"] for r in rows if r["prediction_id"] in scored)
