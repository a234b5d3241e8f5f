"""Models of every flavor that an unmodified MLflow client logs are imported, deployed and answer as they did.

HANOK_MLFLOW_FLAVORS_PYTHON names an interpreter with mlflow, xgboost-cpu, catboost, lightgbm and skl2onnx.
"""

import json
import os
import site
import subprocess
import urllib.request
from pathlib import Path

import pytest

import hanok
from tests.conformance.mlflow_environments import client_python, ran, serving

pytestmark = pytest.mark.conformance
HERE = Path(__file__).parent


def hanok_of(python, *words, address, cwd):
    """The command line in the client's environment: Hanok and what it needs come from this one."""
    path = os.pathsep.join([str(Path(hanok.__file__).parents[1]), *site.getsitepackages()])
    return subprocess.run(
        [str(python), "-W", "ignore", "-m", "hanok", *words],
        env=os.environ | {"HANOK_URL": address, "PYTHONPATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_what_mlflow_logged_answers_as_it_did(tmp_path):
    python = client_python(
        "HANOK_MLFLOW_FLAVORS_PYTHON", "mlflow-flavors", "mlflow", "xgboost-cpu", "catboost", "lightgbm", "skl2onnx",
        "onnxruntime",
    )  # fmt: skip
    running = serving(tmp_path / "home")
    address = next(running)
    logged = ran(python, HERE / "mlflow_flavors.py", address=address, cwd=tmp_path)
    assert logged.returncode == 0, logged.stderr[-2000:]
    found = [json.loads(line) for line in logged.stdout.splitlines() if line.startswith("{")]
    assert len(found) == 4
    for model in found:
        for words in (("model", "import"), ("deploy",)):
            told = hanok_of(python, *words, f"{model['name']}@1", address=address, cwd=tmp_path)
            assert told.returncode == 0, f"{model['name']}: {told.stderr[-1000:]}"
        body = json.dumps({"dataframe_records": model["rows"]}).encode()
        request = urllib.request.Request(
            f"{address}/invocations?model={model['name']}", body, {"Content-Type": "application/json"}
        )
        answered = json.loads(urllib.request.urlopen(request, timeout=20).read())["predictions"]
        got = [v[1] if isinstance(v, list) else v for v in answered]
        assert got == pytest.approx(model["expected"], abs=1e-5), model["name"]
    running.close()
