"""MLflow's own tests, unmodified, against a real server. Nothing of MLflow's is in this project: the tests are given.

HANOK_MLFLOW_TESTS is a folder with MLflow's `tests/` (at or near 3.12), HANOK_MLFLOW_TESTS_PYTHON the interpreter of an
environment with that mlflow, pytest, pytest-timeout, pytest-asyncio, moto and boto3.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conformance.material import path_of

PLUGIN = path_of("HANOK_MLFLOW_TESTS_PLUGIN", "mlflow_tests_plugin.py")
LEFT_OUT = (
    "secret or endpoint or model_definition or provider or list_models or scorer or issue or promptlab or gateway"
)
KEPT_FOR_GATEWAYS = "secret or endpoint or model_definition or scorer"
# Module, -k, the fewest that pass. In the first, `validation_regex` starts a server of MLflow's and gives it 10 s: on
# a busy machine it may fail, without Hanok having a part in it. `default_passphrase` expects a key that all know.
MODULES = [
    ("tests/tracking/test_rest_tracking.py", f"not ({LEFT_OUT} or graphql)", 95),
    ("tests/tracking/test_rest_tracking.py", "graphql", 8),
    ("tests/tracking/test_rest_tracking.py", f"({KEPT_FOR_GATEWAYS}) and not default_passphrase", 22),
    ("tests/tracking/test_model_registry.py", "test", 48),
]


@pytest.fixture(scope="module")
def given():
    tests, python = os.environ.get("HANOK_MLFLOW_TESTS"), os.environ.get("HANOK_MLFLOW_TESTS_PYTHON")
    if not tests or not python or PLUGIN is None:
        print("SKIPPED LOUDLY: set HANOK_MLFLOW_TESTS and HANOK_MLFLOW_TESTS_PYTHON to run MLflow's own tests")  # noqa: T201
        pytest.skip("MLflow's own tests are not given: set HANOK_MLFLOW_TESTS and HANOK_MLFLOW_TESTS_PYTHON")
    return Path(tests), python


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`hanok up` on a free port, with the route that empties it between tests."""
    home = tmp_path_factory.mktemp("home")
    process = subprocess.Popen(
        [sys.executable, "-m", "hanok", "up", "--port", "0"],
        cwd=home,
        env={**os.environ, "HANOK_HOME": str(home / "h"), "HANOK_TEST": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    note = home / "h/address.json"
    try:
        for _ in range(300):
            if note.exists() and (address := re.search(r"http://[^\"]+", note.read_text())):
                with urllib.request.urlopen(f"{address[0]}/health", timeout=10):
                    break
            time.sleep(0.1)
        else:
            pytest.fail("the server did not come up within 30 s")
        yield address[0]
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.conformance
@pytest.mark.parametrize(("module", "selection", "fewest"), MODULES, ids=[f"{Path(m).stem}-{n}" for m, _, n in MODULES])
def test_mlflows_own_tests_pass(given, server, tmp_path, module, selection, fewest):
    tests, python = given
    tree = tmp_path / "mlflow"  # the tests write beside themselves
    tree.mkdir()
    shutil.copytree(tests / "tests", tree / "tests")
    for name in ("pyproject.toml", "conftest.py"):
        if (tests / name).exists():
            shutil.copy(tests / name, tree / name)
    done = subprocess.run(
        [
            *(python, "-m", "pytest", "-q", "-p", PLUGIN.stem, "-p", "no:cacheprovider", "--timeout", "60"),
            *("--tb", "line", module, "-k", selection),
        ],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(PLUGIN.parent), "TRACKING_URL": server},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?)\b", plain.splitlines()[-1])}
    failed = [line for line in plain.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert not failed and not counts.keys() & {"failed", "error", "errors"}, "\n".join(failed) or plain[-3000:]
    assert counts.get("passed", 0) >= fewest, plain[-3000:]
