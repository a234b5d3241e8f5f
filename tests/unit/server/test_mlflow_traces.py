"""Traces over HTTP: OpenTelemetry in, versions 2 and 3 of the protocol out."""

import gzip
import json

import pytest

V2, V3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
TRACE = "tr-" + "ab" * 16
SPAN = {
    "traceId": "ab" * 16,
    "spanId": "cd" * 8,
    "name": "ask",
    "startTimeUnixNano": "1000000",
    "endTimeUnixNano": "3000000",
}
IN = {"x-mlflow-experiment-id": "0", "content-type": "application/json"}
INFO = {
    "trace_id": TRACE,
    "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
    "request_time": "2026-01-01T00:00:00.250Z",
    "execution_duration": "1.5s",
    "state": "OK",
    "trace_metadata": {"mlflow.trace.sizeStats": '{"num_spans": 1}'},
    "tags": {"a": "b"},
}


def export(*attributes):
    span = SPAN | {"attributes": list(attributes), "status": {"code": 1}}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


@pytest.fixture
def trace(client):
    value = {"stringValue": "apple"}
    assert client.post("/v1/traces", content=export({"key": "fruit", "value": value}), headers=IN).status_code == 200
    answer = client.post(f"{V3}/traces", json={"trace": {"trace_info": INFO}})
    assert answer.status_code == 200, answer.text
    return answer.json()["trace"]["trace_info"]


def test_a_trace_comes_back_with_its_spans_as_opentelemetry(client, trace):
    assert (trace["request_time"], trace["execution_duration"]) == ("2026-01-01T00:00:00.250Z", "1.500s")
    found = client.get(f"{V3}/traces/get", params={"trace_id": TRACE}).json()["trace"]
    (span,) = found["spans"]
    assert (span["trace_id"], span["start_time_unix_nano"]) == ("q6urq6urq6urq6urq6urqw==", "1000000")
    assert {"key": "fruit", "value": {"string_value": "apple"}} in span["attributes"]
    assert client.get(f"{V3}/traces/batchGet", params={"trace_ids": [TRACE, "tr-no"]}).json()["traces"] == [found]
    assert client.post(f"{V3}/traces/batchGetInfos", json={"trace_ids": [TRACE]}).json()["trace_infos"] == [
        found["trace_info"]
    ]


def test_old_clients_read_it_too(client, trace):
    info = client.get(f"{V2}/traces/{TRACE}/info").json()["trace_info"]
    assert (info["request_id"], info["execution_time_ms"], info["status"]) == (TRACE, 1500, "OK")
    (listed,) = client.get(f"{V2}/traces", params={"experiment_ids": ["0"]}).json()["traces"]
    assert listed == info


def test_the_spans_are_a_file_for_download(client, trace):
    answer = client.get("/ajax-api/2.0/mlflow/get-trace-artifact", params={"request_id": TRACE})
    assert answer.headers["content-disposition"] == "attachment; filename=traces.json"
    assert answer.json()["spans"][0]["attributes"]["fruit"] == '"apple"'


def test_search_pages_and_says_what_it_cannot_read(client, trace):
    place = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]
    found = client.post(f"{V3}/traces/search", json={"locations": place, "filter": "span.name = 'ask'"}).json()
    assert [t["trace_id"] for t in found["traces"]] == [TRACE] and "next_page_token" not in found
    for wrong in ({"filter": "metrics.a > 1"}, {"filter": "status ="}, {"max_results": 501}, {"order_by": ["tags.a"]}):
        answer = client.post(f"{V3}/traces/search", json={"locations": place, **wrong})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert client.post(f"{V3}/traces/search", json={}).status_code == 400


def test_a_compressed_export_is_taken_and_a_bomb_is_not(client):
    squeezed = IN | {"content-encoding": "gzip"}
    assert client.post("/v1/traces", content=gzip.compress(export()), headers=squeezed).status_code == 200
    bomb = gzip.compress(b" " * (33 << 20))
    assert client.post("/v1/traces", content=bomb, headers=squeezed).status_code == 413
    assert client.post("/v1/traces", content=b"junk", headers=squeezed).status_code == 400


@pytest.mark.parametrize(
    "changed", [{"x-mlflow-experiment-id": ""}, {"content-type": "text/plain"}, {"content-encoding": "br"}]
)
def test_an_export_needs_its_headers(client, changed):
    answer = client.post("/v1/traces", content=export(), headers=IN | changed)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_trace_that_is_not_there_is_404(client):
    for path in ("/traces/tr-none", "/traces/get?trace_id=tr-none", "/get-trace-artifact?request_id=tr-none"):
        answer = client.get(V3 + path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_an_expectation_that_is_no_scalar_travels_as_json_text(client, trace):
    body = {"assessment_name": "exp", "expectation": {"value": {"a": [1]}}, "source": {"source_type": "CODE"}}
    made = client.post(f"{V3}/traces/{TRACE}/assessments", json={"assessment": body}).json()["assessment"]
    assert json.loads(made["expectation"]["serialized_value"]["value"]) == {"a": [1]}
    path = f"{V3}/traces/{TRACE}/assessments/{made['assessment_id']}"
    again = {"assessment": {"expectation": {"serialized_value": {"value": "5"}}}, "update_mask": "expectation"}
    assert client.patch(path, json=again).json()["assessment"]["expectation"] == {"value": 5}
    assert client.patch(path, json=again | {"update_mask": "colour"}).status_code == 400
    both = {"assessment": {"assessment_name": "x", "feedback": {"value": 1}, "expectation": {"value": 1}}}
    assert client.post(f"{V3}/traces/{TRACE}/assessments", json=both).status_code == 400


def test_numbers_of_traces_are_answered_by_dimension(client, trace):
    body = {
        "experiment_ids": ["0"],
        "view_type": "TRACES",
        "metric_name": "trace_count",
        "aggregations": [{"aggregation_type": "COUNT"}],
        "dimensions": ["trace_status"],
        "filters": ["trace.tag.a = 'b'"],
    }
    (point,) = client.post(f"{V3}/traces/metrics", json=body).json()["data_points"]
    assert (point["dimensions"], point["values"]) == ({"trace_status": "OK"}, {"COUNT": 1.0})
    day = {"time_interval_seconds": 86400, "start_time_ms": 0, "end_time_ms": 2 * 10**12}
    (point,) = client.post(f"{V3}/traces/metrics", json=body | day).json()["data_points"]
    assert point["dimensions"]["time_bucket"] == "2026-01-01T00:00:00.000Z"
