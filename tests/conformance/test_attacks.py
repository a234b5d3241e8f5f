"""Requests that must be answered safely, sent as they are written to a real server."""

import json
import os
import subprocess
import sys

import pytest

from tests.conformance.material import path_of
from tests.faults.writers import up

DRIVER = path_of("HANOK_ATTACK_DRIVER", "attack_run.py")


@pytest.mark.conformance
def test_attacks_are_answered_safely(tmp_path):
    if DRIVER is None:
        pytest.skip("SKIPPED LOUDLY: attack_run.py is missing; set HANOK_ATTACK_DRIVER to a driver of this form")
    process, address = up(tmp_path / "home")
    try:
        env = {**os.environ, "TARGET": address, "PROFILE": "open"}
        report = tmp_path / "report.json"
        command = [sys.executable, str(DRIVER), "--json", str(report)]
        subprocess.run(command, env=env, check=False, capture_output=True, timeout=400)
        verdicts = json.loads(report.read_text())
    finally:
        process.kill()
        process.wait()
    assert len(verdicts) > 50
    assert [v for v in verdicts if v["verdict"] != "SAFE"] == []
