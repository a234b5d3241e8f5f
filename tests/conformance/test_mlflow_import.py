"""A store filled by a real MLflow comes over whole: what MLflow's client reads from Hanok is what it read there.

Needs HANOK_MLFLOW_PYTHON, a Python with mlflow and scikit-learn.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "mlflow_store.py"
PYTHON = os.environ.get("HANOK_MLFLOW_PYTHON", "")
pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not PYTHON, reason="set HANOK_MLFLOW_PYTHON to a Python that has mlflow and scikit-learn"),
]


def theirs(folder, *words):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "HANOK_", "PYTHONPATH"))}
    done = subprocess.run(
        [PYTHON, SCRIPT, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_value_of_a_real_store_comes_over(tmp_path):
    uri, home = f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "home")
    theirs(tmp_path, "fill", uri)
    before = json.loads(theirs(tmp_path, "dump", uri))
    hanok = [sys.executable, "-m", "hanok"]
    for _ in range(2):
        done = subprocess.run(
            [*hanok, "import", "mlflow", uri, "--home", home, "--json"], capture_output=True, check=True
        )
    again = json.loads(done.stdout)
    assert (again["runs"], again["points"], again["artifacts"], again["left_out"]) == (0, 0, 0, [])
    server = subprocess.Popen([*hanok, "up", "--home", home, "--port", "0", "--json"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        after = json.loads(theirs(tmp_path, "dump", json.loads(server.stdout.readline())["address"]))
    finally:
        server.terminate()
        server.wait()
    for found in (before, after):  # the default experiment was there; a missing description reads as "" or null
        found["experiments"]["Default"].pop("created")
        for model in found["models"].values():
            model["description"] = model["description"] or ""
    assert len(before["runs"]) == 4
    assert after == before
