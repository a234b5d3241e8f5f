"""The dispatcher: identity, authority, bounds, and prediction over HTTP."""

import json

import httpx
import pytest

from hanok.server.run import build
from tests.unit.server.conftest import Sync

SECRET = "a-long-enough-secret"
ROW = {
    "price__amount": 20.0,
    "product__returned_3d": 0.2,
    "product__returned_7d": 0.2,
    "product__orders_3d": 50,
    "product__orders_7d": 90,
    "product": "mug",
    "size": 11.5,
}


@pytest.fixture
def client(shop):
    return httpx.Client(transport=Sync(build(shop)), base_url="http://127.0.0.1")


def tensors(**changes):
    row = {**ROW, **changes}
    kind = {str: "BYTES", float: "FP64", int: "INT64"}
    return {
        "inputs": [{"name": n, "shape": [1], "datatype": kind[type(v)], "data": [v]} for n, v in row.items()],
        "id": "7",
    }


def test_open_inference_protocol_answers_and_the_answer_is_logged(client, shop):
    reply = client.post("/v2/models/returns/infer", json=tensors()).json()
    assert reply["id"] == "7" and reply["model_name"] == "returns"
    assert [o["name"] for o in reply["outputs"]] == ["predict", "label"]
    found = shop.serving.find(reply["parameters"]["prediction_ids"][0])
    assert found.score == reply["outputs"][0]["data"][0]
    assert found.features["size"] == 11.5


def test_invocations_and_infer_give_the_same_score(client):
    first = client.post("/v2/models/returns/infer", json=tensors()).json()["outputs"][0]["data"]
    for body in (
        {"dataframe_records": [ROW]},
        {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}},
        {"inputs": {k: [v] for k, v in ROW.items()}},
    ):
        assert client.post("/invocations", json=body).json()["predictions"] == first


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        (b"{}", "inputs"),
        (b'{"inputs": []}', "empty"),
        (json.dumps(tensors(size="wide")).encode(), "size"),
        (json.dumps({"inputs": tensors()["inputs"][1:]}).encode(), "missing"),
        (
            json.dumps({"inputs": [{**tensors()["inputs"][0], "shape": [-1]}, *tensors()["inputs"][1:]]}).encode(),
            "shape",
        ),
        (
            json.dumps({"inputs": [{**tensors()["inputs"][0], "shape": [2]}, *tensors()["inputs"][1:]]}).encode(),
            "values",
        ),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', "JSON"),
        (b"[" * 100_000, "depth"),
    ],
)
def test_a_bad_request_is_a_400_that_names_what_is_wrong(client, body, said):
    reply = client.post("/v2/models/returns/infer", content=body)
    assert reply.status_code == 400
    assert said in reply.json()["error"]


def test_an_unknown_model_or_version_is_a_404(client):
    assert client.post("/v2/models/nope/infer", json=tensors()).status_code == 404
    assert client.get("/v2/models/returns/versions/99").status_code == 404
    assert client.get("/v2/models/returns/versions/x").status_code == 404


def test_metadata_names_inputs_and_outputs(client):
    body = client.get("/v2/models/returns").json()
    assert {i["name"] for i in body["inputs"]} == set(ROW)
    assert client.get("/v2/models/returns/ready").status_code == 200
    assert client.get("/v2/health/ready").status_code == 200


def test_a_foreign_host_or_origin_is_refused(client):
    assert client.get("/metrics", headers={"host": "evil.example"}).status_code == 403
    assert client.post("/api/v1/doctor", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post("/api/v1/doctor", headers={"origin": "http://127.0.0.1"}).status_code == 200
    simple = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "content-type": "text/plain"}
    assert client.post("/api/v1/doctor", headers=simple).status_code == 403


def test_a_body_over_its_bound_is_refused_before_it_is_parsed(client):
    assert client.post("/api/v1/train", content=b" " * (9 << 20)).status_code == 413


def test_verbs_answer_over_http_with_their_errors(client):
    assert client.post("/api/v1/model/list", json={}).json()[0]["name"] == "returns"
    reply = client.post("/api/v1/train", json={"model": "nope"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
    assert client.post("/api/v1/train", json={"modell": "x"}).status_code == 400
    assert client.post("/api/v1/train", content=b"[1]").status_code == 400
    assert client.get("/api/v1/train").status_code == 405
    assert client.get("/nothing").status_code == 404


def test_metrics_count_predictions_by_known_names_only(client):
    client.post("/v2/models/returns/infer", json=tensors())
    client.post("/v2/models/evil%22name/infer", json=tensors())
    text = client.get("/metrics").text
    assert 'ml_prediction_total{model="returns"' in text
    assert "evil" not in text
    assert "process_resident_memory_bytes" in text


def test_reset_exists_only_for_tests_on_loopback_and_empties_the_store(shop, client, monkeypatch):
    assert client.post("/__reset").status_code == 404
    monkeypatch.setenv("HANOK_TEST", "1")
    assert "/__reset" not in {r.path for r in build(shop, SECRET).routes}
    testing = httpx.Client(transport=Sync(build(shop)), base_url="http://127.0.0.1")
    assert testing.post("/api/2.0/mlflow/experiments/create", json={"name": "e"}).status_code == 200
    assert testing.post("/__reset").status_code == 200
    found = testing.post("/api/2.0/mlflow/experiments/search", json={"max_results": 10}).json()["experiments"]
    assert [e["name"] for e in found] == ["Default"]


def test_a_batch_over_its_bound_is_refused_unread_in_the_words_of_the_protocol(client):
    reply = client.post("/api/2.0/mlflow/runs/log-batch", content=b"{" * ((2 << 20) + 1))
    assert (reply.status_code, reply.json()["error_code"]) == (413, "BAD_REQUEST")
    assert str(2 << 20) in reply.json()["message"]
    metrics = [{"key": "m", "value": 1, "timestamp": 1}] * 1001
    reply = client.post("/api/2.0/mlflow/runs/log-batch", json={"run_id": "a" * 32, "metrics": metrics})
    assert (reply.status_code, reply.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
