"""Unmodified clients of the Open Inference Protocol (tritonclient, kserve) and MLflow's formats against a real server.

HANOK_SERVING_CLIENTS names the script, HANOK_SERVING_PYTHON an interpreter with tritonclient[http], kserve and pyarrow.
"""

import subprocess
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.declare import Project
from hanok.engine.app import open_app
from hanok.engine.config import Config
from tests.conformance.material import path_of
from tests.conformance.mlflow_environments import client_python, serving

SCRIPT = path_of("HANOK_SERVING_CLIENTS", "serving_clients.py")
FEATURES = [f"f{i}" for i in range(30)]
pytestmark = pytest.mark.conformance


def train(frame):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(frame.X, frame.y)


@pytest.fixture
def address(tmp_path):
    rows = 400
    x = np.random.default_rng(1).normal(size=(rows, len(FEATURES)))
    at = pa.array(
        [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(rows)], pa.timestamp("us", "UTC")
    )
    ids = [f"r{i}" for i in range(rows)]
    model = hk.Model(
        "lr",
        task="binary",
        spine=hk.Spine("rows", predict_at="at", keys="id"),
        label=hk.Label("labels", column="y", known_at="known"),
        features=FEATURES,
        train=train,
        split=hk.at_random(),
    )
    app = open_app(Config(home=tmp_path / "home"), project=Project((), (), (model,)))
    columns = {name: x[:, i] for i, name in enumerate(FEATURES)}
    app.ingesting.ingest("rows", pa.table({"id": ids, "at": at, **columns}), key="1")
    labels = pa.table({"id": ids, "known": at, "y": (x[:, 0] + x[:, 1] > 0).astype(int)})
    app.ingesting.ingest("labels", labels, key="1")
    app.training.train("lr")
    app.close()
    yield from serving(tmp_path / "home")


def test_real_clients_are_answered(address):
    if SCRIPT is None:
        pytest.skip("SKIPPED LOUDLY: serving_clients.py is missing; set HANOK_SERVING_CLIENTS")
    python = client_python(
        "HANOK_SERVING_PYTHON", "serving-clients", "tritonclient[http]", "kserve", "pyarrow", "numpy", "httpx"
    )
    command = [str(python), str(SCRIPT), "--rest", address, "--mlflow", address, "--repo"]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=400, check=False, env={"PATH": "/usr/bin:/bin"}
    )
    lines = ran.stdout.splitlines()
    failed = [line for line in lines if line.startswith("FAIL")]
    assert not failed, "\n".join(failed)
    assert sum(line.startswith("PASS") for line in lines) >= 63, ran.stdout + ran.stderr
