"""What a client of MLflow 2.x does with models, in its own words: log, register, load, aliases, stages, search."""

import os
import sys
import time
import traceback

import mlflow
from mlflow import MlflowClient
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.set_tracking_uri(os.environ["TRACKING_URL"])
NAME = f"two-{time.time_ns()}"
X, Y = load_iris(return_X_y=True, as_frame=True)
RUN = ""


def log_and_register():
    global RUN
    mlflow.set_experiment(NAME)
    with mlflow.start_run() as run:
        model = LogisticRegression(max_iter=100).fit(X, Y)
        mlflow.sklearn.log_model(model, artifact_path="model", input_example=X.head(2), registered_model_name=NAME)
        mlflow.log_input(mlflow.data.from_pandas(X, name="iris"), context="training")
    RUN = run.info.run_id


def load():
    MlflowClient().set_registered_model_alias(NAME, "champion", "1")
    for uri in (f"runs:/{RUN}/model", f"models:/{NAME}/1", f"models:/{NAME}@champion"):
        assert len(mlflow.pyfunc.load_model(uri).predict(X.head(3))) == 3, uri


def registry():
    client = MlflowClient()
    second = client.create_model_version(NAME, f"runs:/{RUN}/model", RUN, tags={"a": "b"})
    assert second.version == "2"
    client.transition_model_version_stage(NAME, "2", "Production")
    assert [v.version for v in client.get_latest_versions(NAME, ["Production"])] == ["2"]
    client.set_model_version_tag(NAME, "2", "k", "v")
    client.update_model_version(NAME, "2", "text")
    found = client.search_model_versions(f"name = '{NAME}'")
    assert sorted(v.version for v in found) == ["1", "2"]
    assert client.get_model_version_by_alias(NAME, "champion").version == "1"
    assert client.get_model_version_download_uri(NAME, "1")
    client.delete_registered_model_alias(NAME, "champion")
    client.delete_model_version(NAME, "2")
    client.delete_registered_model(NAME)


for phase in (log_and_register, load, registry):
    try:
        phase()
        print("PASS", phase.__name__, flush=True)  # noqa: T201
    except Exception:  # noqa: BLE001 (the walk ends here, and says where)
        print("FAIL", phase.__name__, traceback.format_exc()[-1500:], flush=True)  # noqa: T201
        sys.exit(1)
