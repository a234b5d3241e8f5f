"""Run by a Python that has MLflow: fills a store, or prints all of it as JSON. Not imported by tests.

python mlflow_store.py fill URI     python mlflow_store.py dump URI
"""

import json
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, ViewType


def fill(uri):
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    churn = client.create_experiment("churn", tags={"team": "growth"})
    gone = client.create_experiment("gone")
    client.delete_experiment(gone)
    for number in range(3):
        run = client.create_run(churn, run_name=f"run {number}", tags={"n": str(number)})
        run_id = run.info.run_id
        for step in range(40):
            client.log_metric(run_id, "loss", 1 / (step + 1 + number), step=step)
        client.log_metric(run_id, "val/auc", 0.5 + number / 10)
        client.log_metric(run_id, "nan", float("nan"))
        client.log_param(run_id, "depth", number)
        client.log_param(run_id, "long", "x" * 5000)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "deep").mkdir()
            (Path(folder) / "deep" / "weights.bin").write_bytes(bytes([number]) * 70_000)
            (Path(folder) / "notes ü.txt").write_text(f"notes of {number}")
            client.log_artifacts(run_id, folder)
        data = Dataset(name="flights", digest=str(number % 2), source_type="local", source='{"uri": "x"}')
        client.log_inputs(run_id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", "training")])])
        client.set_terminated(run_id, "FAILED" if number == 1 else "FINISHED")
        if number == 2:
            client.delete_run(run_id)
    client.create_registered_model("late", tags={"a": "b"}, description="is it late?")
    first = client.search_runs([churn], order_by=["attributes.start_time ASC"])[0]
    for number in range(3):
        source = f"{first.info.artifact_uri}/deep"
        client.create_model_version(
            "late", source, first.info.run_id, tags={"v": str(number)}, description=f"no {number}"
        )
    client.delete_model_version("late", "2")
    client.set_registered_model_alias("late", "champion", "3")
    client.transition_model_version_stage("late", "1", "Production")
    with mlflow.start_run(experiment_id=churn, run_name="with a model"):
        from sklearn.linear_model import LinearRegression

        mlflow.sklearn.log_model(
            LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name="line", registered_model_name="line"
        )


def dump(uri):
    client = MlflowClient(uri)
    mlflow.set_tracking_uri(uri)
    found = {"experiments": {}, "runs": {}, "models": {}, "logged": {}}
    for experiment in client.search_experiments(view_type=ViewType.ALL):
        found["experiments"][experiment.name] = {
            "stage": experiment.lifecycle_stage,
            "tags": {k: v for k, v in experiment.tags.items() if not k.startswith("mlflow.")},
            "created": experiment.creation_time,
        }
        for run in client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL):
            info, data = run.info, run.data
            files = {}
            todo = [""]
            while todo and info.lifecycle_stage == "active":
                for file in client.list_artifacts(info.run_id, todo.pop() or None):
                    if file.is_dir:
                        todo.append(file.path)
                    else:
                        local = mlflow.artifacts.download_artifacts(run_id=info.run_id, artifact_path=file.path)
                        files[file.path] = [file.file_size, sum(Path(local).read_bytes())]
            found["runs"][info.run_id] = {
                "experiment": experiment.name,
                "name": info.run_name,
                "status": info.status,
                "stage": info.lifecycle_stage,
                "started": info.start_time,
                "ended": info.end_time,
                "user": info.user_id,
                "params": data.params,
                "tags": {k: v for k, v in data.tags.items() if k != "mlflow.log-model.history"},
                "latest": {k: str(v) for k, v in data.metrics.items()},
                "history": {
                    key: [[p.step, p.timestamp, str(p.value)] for p in client.get_metric_history(info.run_id, key)]
                    for key in data.metrics
                },
                "datasets": sorted(
                    [d.dataset.name, d.dataset.digest, d.dataset.source, [[t.key, t.value] for t in d.tags]]
                    for d in run.inputs.dataset_inputs
                ),
                "files": files,
            }
        for model in client.search_logged_models([experiment.experiment_id]):
            found["logged"][model.model_id] = [
                model.name,
                str(model.status),
                model.source_run_id,
                model.creation_timestamp,
                sorted(f.path for f in client.list_logged_model_artifacts(model.model_id)),
            ]
    for model in client.search_registered_models():
        full = client.get_registered_model(model.name)
        found["models"][model.name] = {
            "description": full.description,
            "tags": full.tags,
            "aliases": {k: str(v) for k, v in full.aliases.items()},
            "created": full.creation_timestamp,
            "versions": {
                str(v.version): [v.current_stage, v.run_id, v.tags, v.description or "", v.creation_timestamp, v.status]
                for v in client.search_model_versions(f"name='{model.name}'")
            },
        }
    sys.stdout.write(json.dumps(found, sort_keys=True, default=str))


if __name__ == "__main__":
    {"fill": fill, "dump": dump}[sys.argv[1]](sys.argv[2])
