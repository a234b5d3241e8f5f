"""Optuna's own clients on Hanok's storage: GrpcStorageProxy while a study runs, and optuna-dashboard."""

import json
import socket
import urllib.request
from pathlib import Path

import pytest

from tests.conformance.mlflow_environments import client_python, ran
from tests.faults.writers import up

pytestmark = pytest.mark.conformance


def test_a_study_of_an_optuna_client_is_on_the_page_while_it_runs_and_the_dashboard_opens_it(tmp_path):
    packages = ("optuna", "grpcio", "protobuf", "optuna-dashboard")
    python = client_python("HANOK_OPTUNA_PYTHON", "optuna", *packages)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server, address = up(tmp_path / "home", "--optuna", str(port))
    try:
        script = Path(__file__).parent / "optuna_walk.py"
        done = ran(python, script, str(port), address=address, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["seen"] == [1] * 6, "the page has the running trial"
        assert found["studies"] == ["mine"] and found["trials"] == 6
        assert [status[:3] for status in found["status"]] == ["200", "200"]
        with urllib.request.urlopen(f"{address}/studies/mine.json") as reply:
            page = json.loads(reply.read())
        assert page["counts"] == {"complete": 6} and page["best"][0]["value"] == found["best"]
    finally:
        server.kill()
        server.wait()
