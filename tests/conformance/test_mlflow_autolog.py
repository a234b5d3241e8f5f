"""Autologging of four libraries by an unmodified client: what it logs arrives, and the lineage graph holds it."""

import json
from pathlib import Path

import httpx
import pytest

from tests.conformance.mlflow_environments import client_python, ran, serving

pytestmark = pytest.mark.conformance
SCRIPT = Path(__file__).with_name("mlflow_autolog.py")
FLAVOURS = ("sklearn", "lightgbm", "xgboost", "optuna")
API = "/api/2.0/mlflow"
EXPECTED = {
    "sklearn": ({"max_iter", "C", "solver"}, {"training_accuracy_score", "training_log_loss"}),
    "lightgbm": ({"objective", "num_threads"}, {"train-binary_logloss"}),
    "xgboost": ({"objective", "nthread"}, {"train-logloss"}),
    "optuna": ({"best_C"}, {"best_accuracy"}),
}
"""Params and metrics that must be among those logged."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from serving(tmp_path_factory.mktemp("autolog") / "home")


@pytest.fixture(scope="module")
def runs(server, tmp_path_factory):
    packages = ("mlflow>=3", "scikit-learn", "pillow", "lightgbm", "xgboost-cpu", "optuna")
    python = client_python("HANOK_MLFLOW_PYTHON", "mlflow-client", *packages)
    done = ran(python, SCRIPT, *FLAVOURS, address=server, cwd=tmp_path_factory.mktemp("client"))
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"SKIPPED LOUDLY: {done.stderr.splitlines()[-1]}; install it where HANOK_MLFLOW_PYTHON points")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def ask(server):
    with httpx.Client(base_url=server, timeout=30) as client:

        def asked(method, path, **body):
            where = {"params": body} if method == "GET" else {"json": body}
            reply = client.request(method, path, **where)
            assert reply.status_code == 200, reply.text
            return reply.json()

        yield asked


def logged_run(ask, runs, flavour):
    """The run that logged the model: for Optuna one of the trials, which lie inside the study's run."""
    if flavour != "optuna":
        return ask("GET", f"{API}/runs/get", run_id=runs[flavour])["run"]
    study = ask("GET", f"{API}/runs/get", run_id=runs[flavour])["run"]
    inside = f"tags.mlflow.parentRunId = '{runs[flavour]}'"
    trials = ask("POST", f"{API}/runs/search", experiment_ids=[study["info"]["experiment_id"]], filter=inside)["runs"]
    assert len(trials) == 2
    return trials[0]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_params_and_metrics_arrive(ask, runs, flavour):
    run = ask("GET", f"{API}/runs/get", run_id=runs[flavour])["run"]
    params, metrics = ({pair["key"] for pair in run["data"][kind]} for kind in ("params", "metrics"))
    assert EXPECTED[flavour][0] <= params
    assert EXPECTED[flavour][1] <= metrics
    assert run["info"]["status"] == "FINISHED"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_data_the_run_and_the_registered_model_are_joined_on_the_graph(ask, runs, flavour):
    run = logged_run(ask, runs, flavour)
    run_id = run["info"]["run_id"]
    assert run["inputs"]["dataset_inputs"]
    (output,) = run["outputs"]["model_outputs"]
    graph = ask("POST", "/api/v1/lineage", node=run_id)
    kinds = {node["id"]: node["kind"] for node in graph["nodes"]}
    edges = {(kinds[e["source"]], e["kind"], kinds[e["target"]]) for e in graph["edges"] if run_id in e.values()}
    assert ("run", "read", "dataset") in edges
    assert ("run", "wrote", "logged_model") in edges
    assert ("run", "wrote", "model_version") in edges
    below = {(kinds[e["source"]], e["kind"], kinds[e["target"]]) for e in graph["edges"]}
    assert {("model_version", "read", "logged_model"), ("model_version", "trained_on", "dataset")} <= below
    assert kinds[output["model_id"]] == "logged_model"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_model_is_there_to_be_loaded(ask, runs, flavour):
    (output,) = logged_run(ask, runs, flavour)["outputs"]["model_outputs"]
    files = ask("GET", f"{API}/logged-models/{output['model_id']}/artifacts/directories")["files"]
    assert {"MLmodel", "requirements.txt"} <= {file["path"] for file in files}
