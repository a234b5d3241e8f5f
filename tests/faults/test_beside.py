"""A training without a server: other commands work beside it, and what a kill interrupts stays closed."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

PROJECT = """
import time
from pathlib import Path
import hanok as hk

HERE = Path(__file__).parent


def train(frame):
    (HERE / "training").touch()
    for _ in range(1200):
        if (HERE / "go").exists():
            raise ValueError("enough was seen")
        time.sleep(0.05)


model = hk.Model(
    "late",
    task="binary",
    spine=hk.Spine("orders", predict_at="at", keys=["order"]),
    label=hk.Label("labels", column="late", known_at="known"),
    features=["size"],
    train=train,
    split=hk.at_random(test=0.3),
)
"""


@pytest.fixture
def project(tmp_path):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [(i, start + timedelta(hours=i)) for i in range(200)]
    (tmp_path / "project.py").write_text(PROJECT)
    orders = "".join(f"o{i},{at.isoformat()},{i % 7}\n" for i, at in rows)
    labels = "".join(f"o{i},{(at + timedelta(hours=1)).isoformat()},{i % 3 == 0}\n" for i, at in rows)
    (tmp_path / "orders.csv").write_text("order,at,size\n" + orders)
    (tmp_path / "labels.csv").write_text("order,known,late\n" + labels)
    for table, column in (("orders", "at"), ("labels", "known")):
        told(tmp_path, "ingest", table, f"{table}.csv", "--arrived", column)
    return tmp_path


def command(*words):
    return [sys.executable, "-c", "from hanok.cli import cli; cli()", *words, "--json"]


def told(folder, *words):
    done = subprocess.run(command(*words), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def training(folder):
    """A training under way, in a process of its own."""
    process = subprocess.Popen(
        command("train", "late"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (folder / "training").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    return process


def test_other_commands_work_beside_a_training_and_a_killed_one_is_closed(project):
    process = training(project)
    assert [t["name"] for t in told(project, "table", "list")] == ["labels", "orders"]
    (run,) = told(project, "run", "list")
    assert run["status"] == "RUNNING"

    process.send_signal(signal.SIGKILL)
    process.wait()
    (project / "training").unlink()
    assert told(project, "run", "show", run["id"])["status"] == "KILLED"
    assert not (project / "training").exists()  # nothing took it up again

    process = training(project)
    (project / "go").touch()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "enough was seen" in errors
    assert {r["status"] for r in told(project, "run", "list")} == {"KILLED", "FAILED"}
