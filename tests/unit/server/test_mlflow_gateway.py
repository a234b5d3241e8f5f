"""Declarations of a gateway, and scorers, over HTTP."""

import json

import pytest

GATEWAY, SCORERS = "/api/3.0/mlflow/gateway", "/api/3.0/mlflow/scorers"
VALUE = "sk-0123456789-abcd"


def call(client, path, method="POST", **body):
    answer = client.get(path, params=body) if method == "GET" else client.request(method, path, json=body)
    return answer.status_code, answer.json()


@pytest.fixture
def secret(client):
    body = {"secret_name": "key", "secret_value": {"api_key": VALUE, "pin": "12345678901"}, "provider": "openai"}
    return call(client, f"{GATEWAY}/secrets/create", **body)[1]["secret"]


@pytest.fixture
def definition(client, secret):
    body = {"name": "gpt", "secret_id": secret["secret_id"], "provider": "openai", "model_name": "gpt-4"}
    return call(client, f"{GATEWAY}/model-definitions/create", **body)[1]["model_definition"]


@pytest.fixture
def endpoint(client, definition):
    config = {"model_definition_id": definition["model_definition_id"], "linkage_type": "PRIMARY"}
    return call(client, f"{GATEWAY}/endpoints/create", name="chat", model_configs=[config])[1]["endpoint"]


def test_a_secret_is_shown_masked_and_kept_sealed(client, secret):
    assert secret["masked_values"] == {"api_key": "sk-...abcd", "pin": "***"}
    for path, asked in (("get", {"secret_name": "key"}), ("list", {})):
        assert VALUE not in json.dumps(call(client, f"{GATEWAY}/secrets/{path}", "GET", **asked)[1])
    held = client.tracking.gateway_secrets.get(secret_id=secret["secret_id"])
    assert VALUE not in held.sealed and VALUE not in repr(held)


def test_a_changed_secret_has_new_masks_and_an_empty_change_leaves_it(client, secret):
    told = {"secret_id": secret["secret_id"], "secret_value": {"token": "0123456789abcdef"}}
    changed = call(client, f"{GATEWAY}/secrets/update", **told)[1]["secret"]
    assert changed["masked_values"] == {"token": "012...cdef"}
    same = call(client, f"{GATEWAY}/secrets/update", secret_id=secret["secret_id"], secret_value={})[1]["secret"]
    assert same["masked_values"] == changed["masked_values"]


def test_a_definition_outlives_its_secret_and_not_an_endpoint_that_uses_it(client, definition, endpoint):
    told = {"model_definition_id": definition["model_definition_id"]}
    status, body = call(client, f"{GATEWAY}/model-definitions/delete", "DELETE", **told)
    assert (status, body["error_code"]) == (409, "RESOURCE_CONFLICT") and "'chat'" in body["message"]
    call(client, f"{GATEWAY}/secrets/delete", "DELETE", secret_id=definition["secret_id"])
    found = call(client, f"{GATEWAY}/endpoints/get", "GET", name="chat")[1]["endpoint"]
    held = found["model_mappings"][0]["model_definition"]
    assert held["name"] == "gpt" and not held.keys() & {"secret_id", "secret_name"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("secrets/create", {"secret_name": "x", "secret_value": {}}, 400),
        ("secrets/create", {"secret_name": "key", "secret_value": {"a": "b"}}, 400),
        ("secrets/create", {"secret_name": "x", "secret_value": {"a": "b" * 20_000}}, 400),
        ("secrets/update", {"secret_id": "none"}, 404),
        ("model-definitions/create", {"name": "x", "secret_id": "none", "provider": "p", "model_name": "m"}, 404),
        ("endpoints/create", {"name": "a b", "model_configs": [{"model_definition_id": "m"}]}, 400),
        ("endpoints/create", {"name": "ab", "model_configs": []}, 400),
        ("endpoints/create", {"name": "ab", "model_configs": [{"model_definition_id": "none"}]}, 404),
        ("endpoints/bindings/create", {"endpoint_id": "none", "resource_type": "scorer", "resource_id": "x"}, 404),
        ("endpoints/bindings/create", {"endpoint_id": "none", "resource_type": "other", "resource_id": "x"}, 400),
        ("budgets/create", {}, 501),
    ],
)
def test_what_cannot_be_declared_is_refused(client, secret, path, body, status):
    assert call(client, f"{GATEWAY}/{path}", **body)[0] == status


def test_nothing_is_called(client, endpoint):
    answer = client.post("/gateway/chat/mlflow/invocations", json={"messages": []})
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert call(client, "/ajax-api/3.0/mlflow/scorer/invoke")[0] == 501


def judge(model):
    return json.dumps({"instructions_judge_pydantic_data": {"model": model}})


def test_a_scorer_is_versioned_and_scored_online_by_the_endpoint_that_it_asks(client, endpoint):
    told = {"experiment_id": "0", "name": "tone"}
    made = call(client, f"{SCORERS}/register", **told, serialized_scorer=judge("gateway:/chat"))[1]
    assert call(client, f"{SCORERS}/register", **told, serialized_scorer=judge("gateway:/chat"))[1]["version"] == 2
    body = {**told, "sample_rate": 0.5, "filter_string": "status = 'OK'"}
    config = call(client, f"{SCORERS}/online-config", "PUT", **body)[1]["config"]
    assert (config["scorer_id"], config["sample_rate"], config["filter_string"]) == (
        made["scorer_id"],
        0.5,
        "status = 'OK'",
    )
    found = client.get(f"{SCORERS}/online-configs", params=[("scorer_ids", made["scorer_id"])]).json()
    assert found == {"configs": [config]}
    assert call(client, f"{SCORERS}/get", "GET", **told, version=1)[1]["scorer"]["scorer_version"] == 1
    assert call(client, f"{SCORERS}/delete", "DELETE", **told)[0] == 200
    assert call(client, f"{SCORERS}/versions", "GET", **told)[0] == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sample_rate": 1.5}, 400),
        ({"sample_rate": -0.1}, 400),
        ({"sample_rate": "NaN"}, 400),
        ({"filter_string": "status ="}, 400),
        ({"name": "none"}, 404),
        ({"experiment_id": "77"}, 404),
        ({"name": "plain"}, 400),
        ({"name": "plain", "sample_rate": 0}, 200),
    ],
)
def test_an_online_configuration_is_checked(client, endpoint, changes, status):
    for name, model in (("tone", "gateway:/chat"), ("plain", "openai:/gpt-4")):
        told = {"experiment_id": "0", "name": name, "serialized_scorer": judge(model)}
        assert call(client, f"{SCORERS}/register", **told)[0] == 200
    body = {"experiment_id": "0", "name": "tone", "sample_rate": 1, **changes}
    assert call(client, f"{SCORERS}/online-config", "PUT", **body)[0] == status


@pytest.mark.parametrize("body", ["no JSON", "[]", judge("gateway:/none")])
def test_a_scorer_that_cannot_be_read_or_asks_nobody_is_refused(client, body):
    status = call(client, f"{SCORERS}/register", experiment_id="0", name="x", serialized_scorer=body)[0]
    assert status == (404 if "gateway" in body else 400)
