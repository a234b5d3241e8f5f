"""MLflow's own web UI, from an installed MLflow (HANOK_MLFLOW_PYTHON), in front of Hanok's server."""

import json
import os
import subprocess
import time

import httpx
import pytest

from tests.browser.chromium import Chromium, binary
from tests.faults.writers import up

FIND = "import mlflow.server, pathlib; print(pathlib.Path(mlflow.server.__file__).parent / 'js' / 'build')"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(binary() is None, reason="SKIPPED LOUDLY: no chromium; apt-get install chromium"),
    pytest.mark.skipif("HANOK_MLFLOW_PYTHON" not in os.environ, reason="SKIPPED LOUDLY: set HANOK_MLFLOW_PYTHON"),
]


@pytest.fixture
def address(tmp_path):
    found = subprocess.run([os.environ["HANOK_MLFLOW_PYTHON"], "-c", FIND], capture_output=True, text=True, check=True)
    process, address = up(tmp_path / "home", "--mlflow-ui", found.stdout.split()[-1])
    yield address
    process.kill()
    process.wait()


def test_mlflows_own_pages_list_runs_and_open_one_with_its_charts(address):
    api = httpx.Client(base_url=f"{address}/api/2.0/mlflow")
    run = api.post("/runs/create", json={"experiment_id": "0", "run_name": "calm-otter", "start_time": 1}).json()["run"]
    run_id = run["info"]["run_id"]
    points = [{"key": "loss", "value": 1 / (1 + i), "timestamp": i, "step": i} for i in range(20)]
    params = [{"key": "depth", "value": "7"}]
    api.post("/runs/log-batch", content=json.dumps({"run_id": run_id, "metrics": points, "params": params}))
    browser = Chromium()
    try:
        for place, wanted in (
            ("experiments/0/runs", ["calm-otter"]),
            (f"experiments/0/runs/{run_id}", ["calm-otter", "depth", "loss"]),
            (f"experiments/0/runs/{run_id}/model-metrics", ["Model metrics", "calm-otter (loss)"]),
        ):
            browser.open("about:blank", width=1300)
            browser.open(f"{address}/mlflow/#/{place}", width=1300)
            assert _shows(browser, wanted), (place, browser.evaluate("document.body.innerText")[:2000])
    finally:
        browser.close()


def _shows(browser, wanted, seconds=30):
    """Whether the page, which fills itself step by step, comes to show the texts."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = browser.evaluate("document.body.innerText") or ""
        if all(piece in text for piece in wanted):
            return True
        browser.evaluate("new Promise(done => setTimeout(done, 200))")
    return False
