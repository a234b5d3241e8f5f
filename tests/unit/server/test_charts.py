"""Points of many runs, thinned; datasets of experiments; a file that the UI uploads."""

import pytest

from hanok.wire.mlflow.bulk import chosen_steps


def test_steps_are_thinned_evenly_and_every_runs_ends_stay():
    assert chosen_steps([list(range(10))], 5) == {0, 2, 4, 6, 8, 9}
    assert chosen_steps([list(range(10)), list(range(20))], 5) == {0, 4, 8, 9, 12, 16, 19}
    assert chosen_steps([[3, 3, 5], []], 5) == {3, 5}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"metric_key": "m"}, "run_ids"),
        ({"run_ids": "r", "metric_key": "m", "max_results": 0}, "between 1 and 2500"),
        ({"run_ids": "r", "metric_key": "m", "start_step": 1}, "both must be specified"),
        ({"run_ids": "r", "metric_key": "m", "start_step": 2, "end_step": 1}, "start_step=2"),
    ],
)
def test_a_wrong_interval_says_what_is_wrong(client, query, said):
    answer = client.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", params=query)
    assert answer.status_code == 400 and said in answer.json()["message"]


def test_an_interval_of_steps_holds_its_bounds(client, run):
    for step in range(12):
        body = {"run_id": run, "key": "m", "value": step, "timestamp": 1, "step": step}
        assert client.post("/api/2.0/mlflow/runs/log-metric", json=body).status_code == 200
    query = {"run_ids": run, "metric_key": "m", "start_step": 2, "end_step": 4}
    points = client.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", params=query).json()["metrics"]
    assert [p["step"] for p in points] == [2, 3, 4] and {p["run_id"] for p in points} == {run}


def test_datasets_are_listed_once_and_an_uploaded_file_is_given_back(client, run):
    data = {"name": "n", "digest": "d", "source_type": "s", "source": "x"}
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    body = {"run_id": run, "datasets": [{"dataset": data, "tags": tags}]}
    assert client.post("/api/2.0/mlflow/runs/log-inputs", json=body).status_code == 200
    found = client.post("/ajax-api/2.0/mlflow/experiments/search-datasets", json={"experiment_ids": ["0"]}).json()
    assert found["dataset_summaries"] == [{"experiment_id": "0", "name": "n", "digest": "d", "context": "training"}]
    place = {"run_uuid": run, "path": "notes/a.txt"}
    upload = "/ajax-api/2.0/mlflow/upload-artifact"
    assert client.post(upload, params=place, content=b"hello").status_code == 200
    assert client.get("/get-artifact", params=place).content == b"hello"
    assert client.post(upload, params={**place, "path": "../a"}, content=b"x").json()["message"] == "Invalid path"
    assert "data" in client.post(upload, params=place).json()["message"]
