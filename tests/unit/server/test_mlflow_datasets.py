"""Evaluation datasets over HTTP."""

import json

import pytest

V3 = "/api/3.0/mlflow/datasets"


@pytest.fixture
def dataset(client):
    body = {
        "name": "questions",
        "experiment_ids": ["0"],
        "tags": json.dumps({"team": "ml", "mlflow.user": "me", "n": None}),
    }
    return client.post(f"{V3}/create", json=body).json()["dataset"]


def upsert(client, dataset, *records):
    return client.post(f"{V3}/{dataset['dataset_id']}/records", json={"records": json.dumps(records)}).json()


def test_a_dataset_is_made_tagged_and_deleted(client, dataset):
    path = f"{V3}/{dataset['dataset_id']}"
    assert (json.loads(dataset["tags"]), dataset["created_by"]) == ({"team": "ml", "mlflow.user": "me"}, "me")
    client.patch(f"{path}/tags", json={"tags": json.dumps({"a": 1})})
    client.delete(f"{path}/tags/team")
    assert json.loads(client.get(path).json()["dataset"]["tags"]) == {"mlflow.user": "me", "a": "1"}
    assert client.delete(path).json() == {}
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "not found" in answer.json()["message"]


def test_records_with_equal_inputs_are_one_record(client, dataset):
    one = {"inputs": {"q": "a", "n": 1}, "expectations": {"e": 1}, "tags": {"x": "1"}}
    assert upsert(client, dataset, one, {"inputs": {"q": "b"}}) == {"inserted_count": 2, "updated_count": 0}
    again = {"inputs": {"n": 1, "q": "a"}, "expectations": {"f": 2}, "outputs": "said"}
    assert upsert(client, dataset, again, {"inputs": {"q": "c"}}) == {"inserted_count": 1, "updated_count": 1}
    found = client.get(f"{V3}/{dataset['dataset_id']}/records").json()
    records = json.loads(found["records"])
    merged = next(r for r in records if r["inputs"] == {"q": "a", "n": 1})
    assert (merged["expectations"], merged["outputs"], merged["tags"]) == ({"e": 1, "f": 2}, "said", {"x": "1"})
    told = client.get(f"{V3}/{dataset['dataset_id']}").json()["dataset"]
    assert json.loads(told["profile"]) == {"num_records": 3}
    assert json.loads(told["schema"])["inputs"] == {"q": "string", "n": "integer"}
    assert told["digest"] != dataset["digest"]


def test_records_are_paged_and_deleted(client, dataset):
    upsert(client, dataset, *({"inputs": {"q": i}} for i in range(5)))
    path, seen, token = f"{V3}/{dataset['dataset_id']}/records", [], ""
    for _ in range(3):
        page = client.get(path, params={"max_results": 2, "page_token": token}).json()
        seen += [r["dataset_record_id"] for r in json.loads(page["records"])]
        token = page.get("next_page_token", "")
    assert len(set(seen)) == 5 and token == ""
    gone = client.request("DELETE", path, json={"dataset_record_ids": seen[:2]})
    assert gone.json() == {"deleted_count": 2}
    assert client.get(path, params={"page_token": "junk"}).status_code == 400


def test_experiments_are_added_and_removed_once(client, dataset):
    path = f"{V3}/{dataset['dataset_id']}"
    made = client.post("/api/2.0/mlflow/experiments/create", json={"name": "x"}).json()["experiment_id"]
    for _ in range(2):
        added = client.post(f"{path}/add-experiments", json={"experiment_ids": [made]}).json()["dataset"]
    assert added["experiment_ids"] == ["0", made]
    removed = client.post(f"{path}/remove-experiments", json={"experiment_ids": ["0", "9"]}).json()["dataset"]
    assert removed["experiment_ids"] == [made] == client.get(f"{path}/experiment-ids").json()["experiment_ids"]
    assert client.post(f"{path}/add-experiments", json={"experiment_ids": ["99"]}).status_code == 404


@pytest.mark.parametrize(
    "records",
    ["junk", "{}", '["a"]', '[{"inputs": 5}]', '[{"inputs": {}, "tags": []}]', '[{"inputs": {"a": "\\u0000"}}]'],
)
def test_records_that_are_none_are_refused(client, dataset, records):
    answer = client.post(f"{V3}/{dataset['dataset_id']}/records", json={"records": records})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_search_says_what_it_cannot_read(client, dataset):
    found = client.post(f"{V3}/search", json={"filter_string": "tags.team = 'ml'", "order_by": ["name DESC"]}).json()
    assert [d["name"] for d in found["datasets"]] == ["questions"]
    assert client.post(f"{V3}/search", json={"filter_string": "metrics.a > 1"}).status_code == 400
