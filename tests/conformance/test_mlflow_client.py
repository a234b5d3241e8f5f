"""An unmodified MLflow client's day, in its own virtual environment, against a real server."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route as StarletteRoute

from hanok.core.clock import SystemClock
from hanok.parts.tracking import Tracking
from hanok.server.mlflow import routes
from hanok.stores.blobs.local import LocalBlobs
from hanok.stores.sql import SqlMetadata
from tests.conformance.material import path_of

WALK = path_of("HANOK_MLFLOW_WALK", "mlflow_client_walk.py")
PHASES = [
    "autolog_fit log_model_and_register pyfunc_load registry_client",  # each goes on with what the one before made
    "fluent_core",
    "logged_models",
    "prompts",
    "big_artifact",
]


@pytest.fixture(scope="module")
def client_python():
    """The interpreter of an environment with mlflow: HANOK_MLFLOW_PYTHON, or one made under ~/.cache/hanok."""
    given = Path(os.environ.get("HANOK_MLFLOW_PYTHON", Path.home() / ".cache/hanok/mlflow-client/bin/python"))
    if not given.exists():
        install = [str(given), "-m", "pip", "install", "-q", "mlflow", "scikit-learn", "pillow"]
        made = subprocess.run([sys.executable, "-m", "venv", str(given.parents[1])], capture_output=True, check=False)
        if made.returncode or subprocess.run(install, capture_output=True, check=False).returncode:
            pytest.skip("SKIPPED LOUDLY: mlflow cannot be installed here; set HANOK_MLFLOW_PYTHON")
    return given


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    metadata = SqlMetadata.at(home / "hanok.db")
    tracking = Tracking(metadata, LocalBlobs(home / "blobs"), SystemClock())

    async def health(request):
        return PlainTextResponse("OK")

    found = [StarletteRoute(r.path, r.handler, methods=[r.method]) for r in routes(tracking)]
    config = uvicorn.Config(Starlette(routes=[StarletteRoute("/health", health), *found]), port=0, log_level="warning")
    listening = config.bind_socket()
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    running.should_exit = True
    thread.join()
    metadata.close()


@pytest.mark.conformance
@pytest.mark.skipif(WALK is None, reason="SKIPPED LOUDLY: mlflow_client_walk.py is missing; set HANOK_MLFLOW_WALK")
@pytest.mark.parametrize("phases", PHASES)
def test_a_real_client_works_unchanged(client_python, server, phases, tmp_path):
    walked = subprocess.run(
        [str(client_python), str(WALK), *phases.split()],
        env=os.environ | {"TRACKING_URL": server, "PYTHONPATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    passed = [line.split()[1] for line in walked.stdout.splitlines() if line.startswith("PASS")]
    assert passed == phases.split(), walked.stdout[-4000:] + walked.stderr[-2000:]
