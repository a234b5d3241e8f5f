"""The MLflow surface as raw HTTP: bodies, statuses, error texts."""

import pytest

API = "/api/2.0/mlflow"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "text"),
    [
        ("GET", "/runs/get?run_id=nothing", None, 404, "RESOURCE_DOES_NOT_EXIST", "nothing"),
        ("POST", "/runs/log-metric", {"run_id": "a"}, 400, "INVALID_PARAMETER_VALUE", "Missing value for required"),
        (
            "POST",
            "/runs/delete",
            {"run_id": 31},
            400,
            "INVALID_PARAMETER_VALUE",
            "Invalid value 31 for parameter 'run_id'",
        ),
        ("POST", "/experiments/create", {"name": "Default"}, 400, "RESOURCE_ALREADY_EXISTS", "Default"),
        ("POST", "/runs/search", {"filter": "metrics.a"}, 400, "INVALID_PARAMETER_VALUE", "filter"),
        ("POST", "/runs/search", {"max_results": 50001}, 400, "INVALID_PARAMETER_VALUE", "max_results"),
        ("GET", "/registered-models/get?name=x", None, 404, "RESOURCE_DOES_NOT_EXIST", "x"),
        ("POST", "/gateway/endpoints", {}, 501, "NOT_IMPLEMENTED", "gateway"),
        ("POST", "/review-queues/create", {}, 404, "ENDPOINT_NOT_FOUND", "review-queues"),
    ],
)
def test_an_error_has_its_code_status_and_reason(client, method, path, body, status, code, text):
    answer = client.request(method, API + path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert text in answer.json()["message"]


@pytest.mark.parametrize(
    "point",
    [
        '"key": "m", "value": 1, "timestamp": 9223372036854775808',
        '"key": "m", "value": 1, "timestamp": 1, "step": -99999999999999999999',
        '"key": "\\ud800", "value": 1, "timestamp": 1',
        '"key": "m", "value": 1e999, "timestamp": 1, "x": ' + "[" * 2000 + "]" * 2000,
    ],
)
def test_what_no_store_can_keep_is_refused_and_not_a_fault(client, run, point):
    answer = client.post(f"{API}/runs/log-metric", content=f'{{"run_id": "{run}", {point}}}')
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_an_instant_after_the_year_9999_is_refused(client, run):
    answer = client.post(f"{API}/runs/update", json={"run_id": run, "end_time": 2**62})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("prefix", ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow"])
def test_every_prefix_leads_to_the_same_place(client, prefix):
    assert client.get(f"{prefix}/experiments/get?experiment_id=0").json()["experiment"]["name"] == "Default"
    assert client.post(f"{prefix}/experiments/search", json={}).json()["experiments"]
    assert client.get(f"{prefix}/experiments/search").json()["experiments"]


def test_numbers_without_a_json_form_come_back_as_they_went(client, run):
    for step, value in enumerate(("NaN", "Infinity", "-Infinity", 1.5)):
        point = {"run_id": run, "key": "m", "value": value, "timestamp": 1, "step": step}
        assert client.post(f"{API}/runs/log-metric", json=point).status_code == 200
    history = client.get(f"{API}/metrics/get-history?run_id={run}&metric_key=m").json()["metrics"]
    assert [point["value"] for point in history] == ["NaN", "Infinity", "-Infinity", 1.5]


def test_a_history_is_paged(client, run):
    metrics = [{"key": "m", "value": i, "timestamp": i, "step": i} for i in range(5)]
    assert client.post(f"{API}/runs/log-batch", json={"run_id": run, "metrics": metrics}).json() == {}
    query, found = {"run_id": run, "metric_key": "m", "max_results": 2}, []
    while True:
        page = client.get(f"{API}/metrics/get-history", params=query).json()
        found += [point["value"] for point in page["metrics"]]
        if "next_page_token" not in page:
            break
        query["page_token"] = page["next_page_token"]
    assert found == [0, 1, 2, 3, 4]


def test_a_large_artifact_streams_in_and_comes_out_by_ranges(client):
    pieces = [bytes([i]) * 65536 for i in range(40)]
    path = "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/big.bin"
    assert client.put(path, content=iter(pieces)).status_code == 200
    assert client.get(path).content == b"".join(pieces)
    part = client.get(path, headers={"Range": "bytes=65535-65536"})
    assert (part.status_code, part.content) == (206, b"\x00\x01")
    listed = client.get("/api/2.0/mlflow-artifacts/artifacts", params={"path": "0/r/artifacts"}).json()
    assert listed == {"files": [{"path": "big.bin", "is_dir": False, "file_size": 40 * 65536}]}


def test_an_uploaded_page_is_never_rendered(client, run):
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/x.html"
    client.put(path, content=b"<script>alert(1)</script>")
    answer = client.get(f"/get-artifact?run_id={run}&path=x.html")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["%2e%2e/%2e%2e/etc/passwd", "a/%2e%2e/%2e%2e/x", "%2fetc/passwd", "a%5c..%5cb", "a%00b"]
)
def test_an_artifact_path_that_climbs_is_refused(client, path):
    for method in ("GET", "PUT", "DELETE"):
        answer = client.request(method, f"/api/2.0/mlflow-artifacts/artifacts/{path}")
        assert answer.status_code in (400, 404), answer.text
    assert client.get("/api/2.0/mlflow-artifacts/artifacts", params={"path": "../.."}).status_code == 400


def test_prompts_are_kept_out_of_model_searches_that_do_not_ask_for_them(client):
    tag = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    client.post(f"{API}/registered-models/create", json={"name": "prompt", "tags": [tag]})
    client.post(f"{API}/registered-models/create", json={"name": "model"})

    def named(text):
        found = client.get(f"{API}/registered-models/search", params={"filter": text}).json()["registered_models"]
        return [model["name"] for model in found]

    assert named("") == ["model"]
    assert named("tags.`mlflow.prompt.is_prompt` = 'true'") == ["prompt"]
    assert named("name LIKE '%' AND tags.`mlflow.prompt.is_prompt` != 'true'") == ["model"]


def test_a_nul_is_refused_and_the_text_of_its_escape_is_not(client):
    refused = client.post(f"{API}/experiments/create", content=b'{"name": "a\\u0000b"}')
    assert refused.status_code == 400 and "NUL" in refused.json()["message"]
    assert client.post(f"{API}/experiments/create", content=b'{"name": "a\\\\u0000b"}').status_code == 200


def test_artifacts_that_lie_elsewhere_are_never_read(client):
    body = {"name": "elsewhere", "artifact_location": "file:///etc"}
    experiment = client.post(f"{API}/experiments/create", json=body).json()["experiment_id"]
    run = client.post(f"{API}/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]["run_id"]
    refused = client.get("/get-artifact", params={"run_uuid": run, "path": "hostname"})
    assert refused.status_code == 400 and "not kept by this server" in refused.json()["message"]


def test_moves_by_clients_keep_who_and_why_from_the_header_or_a_tag(client):
    client.post(f"{API}/registered-models/create", json={"name": "churn"})
    for _ in range(3):
        client.post(f"{API}/model-versions/create", json={"name": "churn", "source": "x"})
    alias = {"name": "churn", "alias": "champion"}
    client.post(f"{API}/registered-models/alias", json={**alias, "version": "1"}, headers={"X-Hanok-Reason": "first"})
    tag = {"name": "churn", "version": "2", "key": "hanok.reason", "value": "better on recall"}
    client.post(f"{API}/model-versions/set-tag", json=tag)
    client.post(f"{API}/registered-models/alias", json={**alias, "version": "2"})
    client.post(f"{API}/registered-models/alias", json={**alias, "version": "3"})
    stage = {"name": "churn", "version": "2", "stage": "Production", "archive_existing_versions": False}
    client.post(f"{API}/model-versions/transition-stage", json=stage)
    rows = client.tracking.registry_history.of("churn")
    told = {(r.what, r.after, r.actor, r.reason) for r in rows if r.what != "registered"}
    assert told == {
        ("alias champion", 1, "local", "first"),
        ("alias champion", 2, "local", "better on recall"),
        ("alias champion", 3, "local", "set by an MLflow client"),
        ("stage of version 2", "Production", "local", "better on recall"),
    }


@pytest.mark.parametrize(
    ("path", "field", "text", "names"),
    [
        ("experiments/search", "experiments", "NOT name = 'a' AND (tags.t = '1' OR name LIKE 'c%')", ["b", "c"]),
        ("registered-models/search", "registered_models", "name = 'a' OR NOT (name = 'a' OR name = 'b')", ["a", "c"]),
    ],
)
def test_experiments_and_models_are_searched_with_or_and_not(client, path, field, text, names):
    for name in "abc":
        tags = [{"key": "t", "value": "1"}]
        client.post(f"{API}/experiments/create", json={"name": name, "tags": tags})
        client.post(f"{API}/registered-models/create", json={"name": name})
    query = {"filter": text, "max_results": 100}
    found = (
        client.post(f"{API}/{path}", json=query)
        if field == "experiments"
        else client.get(f"{API}/{path}", params=query)
    )
    assert sorted(one["name"] for one in found.json()[field] if one["name"] != "Default") == names


def test_logged_models_are_searched_with_or_and_not(client):
    for name in "abc":
        client.post(f"{API}/logged-models", json={"experiment_id": "0", "name": name})
    query = {"experiment_ids": ["0"], "filter": "NOT (name = 'a' OR name = 'b')"}
    found = client.post(f"{API}/logged-models/search", json=query).json()
    assert [one["info"]["name"] for one in found["models"]] == ["c"]
