"""Requests from bytes and queries, in the protocol's words when they are wrong."""

import json
import math

import pytest

from hanok.core.errors import Invalid
from hanok.core.tracking import Metric
from hanok.wire.mlflow import requests as ask
from hanok.wire.mlflow.decode import decode_body, decode_query
from hanok.wire.mlflow.entities import number
from hanok.wire.mlflow.requests_models import ModelVersionId
from hanok.wire.mlflow.tokens import after_of, history_token, offset_of, offset_token


def refused(kind, body):
    with pytest.raises(Invalid) as caught:
        decode_body(kind, json.dumps(body).encode())
    return caught.value.message


def test_a_wrong_type_is_named_with_value_and_parameter():
    assert refused(ask.RunId, {"run_id": 31}).startswith("Invalid value 31 for parameter 'run_id' supplied")
    assert refused(ask.LogBatch, {"run_id": "a", "metrics": "foo"}).startswith(
        "Invalid value \"foo\" for parameter 'metrics' supplied"
    )


def test_a_missing_parameter_is_named_and_an_empty_one_counts_as_missing():
    missing = "Missing value for required parameter 'name'"
    assert refused(ask.CreateExperiment, {}).startswith(missing)
    assert refused(ask.CreateExperiment, {"name": ""}).startswith(missing)
    assert refused(ask.CreateExperiment, {"name": None}).startswith(missing)


def test_a_part_of_a_batch_is_named_by_its_place():
    metrics = [{"key": "a", "value": 1, "timestamp": 1}, {"key": "b", "value": 1}]
    assert refused(ask.LogBatch, {"run_id": "a", "metrics": metrics}).startswith(
        "Missing value for required parameter 'metrics[1].timestamp'"
    )


def test_a_batch_has_a_bound():
    metrics = [{"key": "a", "value": 1, "timestamp": 1}] * 1001
    assert "metrics" in refused(ask.LogBatch, {"run_id": "a", "metrics": metrics})


@pytest.mark.parametrize(
    ("text", "value"), [('"NaN"', math.nan), ("NaN", math.nan), ('"Infinity"', math.inf), ('"-Infinity"', -math.inf)]
)
def test_numbers_that_json_lacks_are_read_as_proto_json_writes_them(text, value):
    body = f'{{"run_id": "a", "key": "k", "value": {text}, "timestamp": "12", "step": "3"}}'.encode()
    asked = decode_body(ask.LogMetric, body)
    assert (math.isnan(asked.value) and math.isnan(value)) or asked.value == value
    assert (asked.timestamp, asked.step) == (12, 3)


def test_numbers_that_json_lacks_are_written_as_text():
    assert [number(v) for v in (1.5, math.nan, math.inf, -math.inf)] == [1.5, "NaN", "Infinity", "-Infinity"]


def test_null_means_absent_and_unknown_fields_are_ignored():
    asked = decode_body(ask.UpdateRun, b'{"run_id": "a", "status": null, "colour": 1}')
    assert (asked.run, asked.status) == ("a", None)


def test_a_body_encoded_twice_is_decoded_twice():
    assert decode_body(ask.RunId, json.dumps(json.dumps({"run_uuid": "a"})).encode()).run == "a"


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(Invalid):
        decode_body(ask.RunId, body)


def test_a_query_gives_lists_for_repeated_fields_and_numbers_from_text():
    asked = decode_query(ask.SearchExperiments, [("order_by", "name"), ("max_results", "5")])
    assert (asked.order_by, asked.max_results) == (("name",), 5)
    assert decode_query(ModelVersionId, [("name", "m"), ("version", "2")]).version == 2


def test_page_tokens_come_back_as_they_went():
    assert offset_of(offset_token(40)) == 40
    assert offset_of(offset_token(None)) == 0
    point = Metric("k", math.inf, 7, 3)
    assert after_of("k", history_token(point)) == point


@pytest.mark.parametrize("token", ["x", "e30=", "bnVsbA=="])
def test_a_foreign_page_token_is_refused(token):
    with pytest.raises(Invalid):
        offset_of(token)
    with pytest.raises(Invalid):
        after_of("k", token)
