"""POST /graphql as MLflow's web UI asks it."""

import pytest

API = "/api/2.0/mlflow"


def ask(client, query, **more):
    answer = client.post("/graphql", json={"query": query, **more})
    assert answer.status_code == 200
    return answer.json()


def test_a_run_comes_with_its_experiment_and_its_versions(client, run):
    client.post(f"{API}/registered-models/create", json={"name": "m"})
    client.post(f"{API}/model-versions/create", json={"name": "m", "source": "runs:/x/m", "run_id": run})
    for key, value in (("loss", 0.5), ("gone", "NaN")):
        client.post(
            f"{API}/runs/log-metric", json={"run_id": run, "key": key, "value": value, "timestamp": 1, "step": 2}
        )
    client.post(f"{API}/runs/set-tag", json={"run_id": run, "key": "t", "value": "NaN"})
    query = """
        query GetRun($data: MlflowGetRunInput!) @component(name: "Page") {
          mlflowGetRun(input: $data) { apiError { message } run { ...Whole } }
        }
        fragment Whole on MlflowRunExtension {
          __typename info { runId status } experiment { name } modelVersions { name version }
          data { metrics { key value timestamp step } tags { key value } }
        }
    """
    found = ask(client, query, operationName="GetRun", variables={"data": {"runId": run}})
    assert found["errors"] is None
    told = found["data"]["mlflowGetRun"]["run"]
    assert told["info"] == {"runId": run, "status": "RUNNING"} and told["experiment"] == {"name": "Default"}
    assert told["modelVersions"] == [{"name": "m", "version": "1"}]
    metrics = {m["key"]: m for m in told["data"]["metrics"]}
    assert metrics["loss"] == {"key": "loss", "value": 0.5, "timestamp": "1", "step": "2"}
    assert metrics["gone"]["value"] is None and {"key": "t", "value": "NaN"} in told["data"]["tags"]


def test_searches_are_mutations_by_name_and_change_nothing(client, run):
    asked = '{experimentIds: ["0"], runViewType: ACTIVE_ONLY}'
    query = f"mutation M {{ mlflowSearchRuns(input: {asked}) {{ runs {{ info {{ runId }} }} }} }}"
    assert ask(client, query)["data"] == {"mlflowSearchRuns": {"runs": [{"info": {"runId": run}}]}}


def test_what_fails_is_told_as_text_beside_the_data(client):
    found = ask(client, '{ mlflowGetRun(input: {runId: "nothing"}) { run { info { runId } } } }')
    assert found["data"] == {"mlflowGetRun": None} and "nothing" in found["errors"][0]
    assert ask(client, "{ colour }")["errors"] and ask(client, "{")["errors"]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("{" + " ".join(f"k{i}: test {{ output }}" for i in range(12)) + "}", "at most 10 root fields"),
        ("{ test {" + " ".join(f"k{i}: output" for i in range(12)) + "} }", "at most 10 aliases"),
        ("{ test " + "{ output " * 12 + "}" * 13, "maximum depth of 10"),
        ("{ test {" + " output" * 1002 + "} }", "maximum total selections of 1000"),
        ("{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }", "maximum depth of 10"),
        (
            "{ "
            + "...F0 " * 9
            + "}"
            + "".join(f" fragment F{i} on Query {{ {f'...F{i + 1} ' * 9} }}" for i in range(8))
            + " fragment F8 on Query { test { output } }",
            "Query exceeds maximum",
        ),
    ],
)
def test_a_costly_query_is_refused_before_it_runs(client, query, why):
    found = ask(client, query)
    assert found["data"] is None and why in found["errors"][0]


def test_a_query_that_is_too_long_is_not_read(client):
    assert "cannot be read" in ask(client, "{ test {" + " output" * 20_001 + "} }")["errors"][0]
