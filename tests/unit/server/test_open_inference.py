"""Tensors as bytes, compression both ways, the repository and statistics of the Open Inference Protocol."""

import gzip
import json
import struct
import zlib

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.core.errors import HanokError
from hanok.core.serving import Column, Signature
from hanok.server.run import build
from hanok.wire.inference import oip
from tests.unit.server.conftest import Sync
from tests.unit.server.test_dispatcher import tensors

INFER = "/v2/models/returns/infer"
SIGNATURE = Signature(
    (Column("a", "FP64"), Column("n", "INT64"), Column("b", "BOOL"), Column("t", "BYTES")), "regression"
)
DTYPES = {"FP64": "<f8", "INT64": "<i8", "BOOL": "|u1"}


@pytest.fixture
def client(shop):
    return httpx.Client(transport=Sync(build(shop)), base_url="http://127.0.0.1")


def as_bytes(body):
    """The same request with each tensor behind the JSON."""
    inputs, behind = [], b""
    for tensor in body["inputs"]:
        if tensor["datatype"] == "BYTES":
            texts = [v.encode() for v in tensor["data"]]
            content = b"".join(struct.pack("<I", len(t)) + t for t in texts)
        else:
            values = [np.nan if v is None else v for v in tensor["data"]]
            content = np.array(values, DTYPES[tensor["datatype"]]).tobytes()
        rest = {k: v for k, v in tensor.items() if k != "data"}
        inputs.append({**rest, "parameters": {"binary_data_size": len(content)}})
        behind += content
    head = json.dumps({**body, "inputs": inputs}).encode()
    return head, head + behind


def sent(client, body, headers=None, **more):
    head, content = as_bytes(body)
    said = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    return client.post(INFER, content=content, headers=said | (headers or {}), **more)


def test_tensors_as_bytes_are_answered_as_json_is_and_in_bytes_where_asked(client):
    plain = client.post(INFER, json=tensors()).json()["outputs"]
    reply = sent(client, tensors())
    assert reply.status_code == 200, reply.text
    assert reply.json()["outputs"] == plain
    asked = {"outputs": [{"name": "predict", "parameters": {"binary_data": True}}, {"name": "label"}]}
    for more, behind in ((asked, ["predict"]), ({"parameters": {"binary_data_output": True}}, ["predict", "label"])):
        reply = sent(client, tensors() | more)
        size = int(reply.headers["inference-header-content-length"])
        assert reply.headers["content-type"] == "application/octet-stream"
        outputs = json.loads(reply.content[:size])["outputs"]
        assert [o["name"] for o in outputs if "data" not in o] == behind
        score = np.frombuffer(reply.content[size : size + 8], "<f8")
        assert score[0] == plain[0]["data"][0]
        if "label" in behind:
            assert reply.content[size + 12 :].decode() == plain[1]["data"][0]


def test_compression_goes_both_ways(client):
    body = tensors()
    for tensor in body["inputs"]:
        tensor["data"], tensor["shape"] = tensor["data"] * 500, [500]
    plain = client.post(INFER, json=body, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    head, content = as_bytes(body)
    said = {"inference-header-content-length": str(len(head)), "accept-encoding": "gzip;q=0, deflate"}
    for encoding, packed in (("gzip", gzip.compress(content)), ("deflate", zlib.compress(content))):
        reply = client.post(INFER, content=packed, headers=said | {"content-encoding": encoding})
        assert reply.headers["vary"] == "accept-encoding"
        assert reply.json()["outputs"] == plain.json()["outputs"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda head, body: (str(len(body) + 1), body),
        lambda head, body: ("-1", body),
        lambda head, body: ("x", body),
        lambda head, body: (str(len(head)), body[:-1]),
        lambda head, body: (str(len(head)), body + b"x"),
        lambda head, body: (str(len(head) - 1), body),
        lambda head, body: ("0", body),
        lambda head, body: (str(len(head)), body.replace(b'"binary_data_size": 8', b'"binary_data_size": -8', 1)),
        lambda head, body: (str(len(head)), body.replace(b'"binary_data_size": 8', b'"binary_data_size": 1e9', 1)),
    ],
)
def test_bytes_that_do_not_fit_are_a_400(client, damage):
    length, content = damage(*as_bytes(tensors()))
    reply = client.post(INFER, content=content, headers={"inference-header-content-length": length})
    assert (reply.status_code, type(reply.json()["error"])) == (400, str), reply.text


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**53), 2**53),
            st.booleans(),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 400),
    st.binary(max_size=3),
)
def test_every_value_comes_out_of_bytes_as_out_of_json_and_damage_is_an_error_of_ours(rows, place, noise):
    named = zip(SIGNATURE.inputs, zip(*rows, strict=True), strict=True)
    inputs = [{"name": c.name, "shape": [len(rows)], "datatype": c.datatype, "data": list(v)} for c, v in named]
    head, body = as_bytes({"inputs": inputs})
    plain = oip.decode(json.dumps({"inputs": inputs}).encode(), (SIGNATURE,))
    assert oip.decode(body, (SIGNATURE,), str(len(head))).columns == plain.columns
    place = min(place, len(body))
    damaged = body[:place] + noise + body[place + len(noise) :]
    try:
        oip.decode(damaged, (SIGNATURE,), str(len(head)))
    except HanokError as error:
        assert error.status in (400, 413)


def test_the_repository_lists_loads_and_unloads_what_is_deployed(client):
    def states(body):
        rows = client.post("/v2/repository/index", json=body).json()
        return {(row["name"], row["state"]) for row in rows}

    assert states({}) == states({"ready": True}) == {("returns", "READY")}
    assert client.post("/v2/repository/models/returns/unload", json={}).status_code == 200
    assert states({}) == {("returns", "UNAVAILABLE")} and states({"ready": True}) == set()
    for path in ("/v2/models/returns/ready", "/v2/models/returns"):
        assert client.get(path).status_code == 404
    assert "/load" in client.post(INFER, json=tensors()).json()["error"]
    assert client.post("/v2/repository/models/returns/load", json={}).status_code == 200
    assert client.post(INFER, json=tensors()).status_code == 200
    assert client.post("/v2/repository/models/nope/load").status_code == 404
    assert client.get("/v2/repository/models/returns/load").status_code == 405


def test_statistics_count_requests_rows_and_failures(client):
    client.post(INFER, json=tensors())
    assert client.post(INFER, json={"inputs": []}).status_code == 400
    for path in ("/v2/models/returns/stats", "/v2/models/stats"):
        (found,) = client.get(path).json()["model_stats"]
        assert (found["name"], found["inference_count"]) == ("returns", 1)
        assert found["inference_stats"]["success"]["count"] == found["execution_count"] == 1
    assert "binary_tensor_data" in client.get("/v2").json()["extensions"]


def test_what_is_not_spoken_is_said(client):
    body = tensors() | {"outputs": [{"name": "predict", "parameters": {"classification": 2}}]}
    assert "classification" in client.post(INFER, json=body).json()["error"]
    reply = client.post("/invocations", content=b"{}", headers={"inference-header-content-length": "2"})
    assert reply.status_code == 415
