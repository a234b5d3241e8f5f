"""gRPC says what REST says: each call is the request of REST that means the same."""

import asyncio
import json
import queue
import struct
import threading
import time

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.core.errors import HanokError, PortInUse
from hanok.server import grpc_inference
from hanok.server.grpc_inference import GrpcServer
from hanok.server.run import build
from hanok.wire.inference import grpc as messages
from tests.unit.server.conftest import Sync

BOOL, INT32, INT64, UINT32, UINT64, FLOAT, DOUBLE, STRING, BYTES = 8, 5, 3, 13, 4, 2, 1, 9, 12
FIELDS = {  # of Triton's grpc_service.proto: number, type or message, repeated
    "Parameter": {"bool_param": (1, BOOL, 0), "int64_param": (2, INT64, 0), "string_param": (3, STRING, 0)},
    "Entry": {"key": (1, STRING, 0), "value": (2, "Parameter", 0)},
    "Contents": {
        "bool_contents": (1, BOOL, 1), "int_contents": (2, INT32, 1), "int64_contents": (3, INT64, 1),
        "uint_contents": (4, UINT32, 1), "uint64_contents": (5, UINT64, 1), "fp32_contents": (6, FLOAT, 1),
        "fp64_contents": (7, DOUBLE, 1), "bytes_contents": (8, BYTES, 1),
    },
    "Tensor": {
        "name": (1, STRING, 0), "datatype": (2, STRING, 0), "shape": (3, INT64, 1), "parameters": (4, "Entry", 1),
        "contents": (5, "Contents", 0),
    },
    "Wanted": {"name": (1, STRING, 0), "parameters": (2, "Entry", 1)},
    "InferRequest": {
        "model_name": (1, STRING, 0), "model_version": (2, STRING, 0), "id": (3, STRING, 0),
        "parameters": (4, "Entry", 1), "inputs": (5, "Tensor", 1), "outputs": (6, "Wanted", 1),
        "raw_input_contents": (7, BYTES, 1),
    },
    "InferResponse": {
        "model_name": (1, STRING, 0), "model_version": (2, STRING, 0), "id": (3, STRING, 0),
        "parameters": (4, "Entry", 1), "outputs": (5, "Tensor", 1), "raw_output_contents": (6, BYTES, 1),
    },
    "StreamResponse": {"error_message": (1, STRING, 0), "infer_response": (2, "InferResponse", 0)},
    "Named": {"name": (1, STRING, 0), "version": (2, STRING, 0)},
    "Metadata": {"name": (1, STRING, 0), "versions": (2, STRING, 1), "platform": (3, STRING, 0),
                 "inputs": (4, "Tensor", 1), "outputs": (5, "Tensor", 1)},
}  # fmt: skip


def _pool():
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for name, fields in FIELDS.items():
        made = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            one = made.field.add(name=field, number=number, label=3 if repeated else 1)
            one.type = 11 if isinstance(kind, str) else kind
            if isinstance(kind, str):
                one.type_name = f".t.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{n}")) for n in FIELDS}


P = _pool()
TYPED = {"BOOL": "bool", "INT32": "int", "INT64": "int64", "UINT8": "uint", "UINT64": "uint64", "FP32": "fp32"}
TYPED = {kind: f"{of}_contents" for kind, of in (TYPED | {"FP64": "fp64", "BYTES": "bytes"}).items()}
VALUES = {
    "BOOL": st.booleans(),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "UINT8": st.integers(0, 255),
    "UINT64": st.integers(0, 2**64 - 1),
    "FP32": st.floats(width=32, allow_nan=False),
    "FP64": st.floats(allow_nan=False),
    "BYTES": st.text(max_size=5).map(str.encode),
}
PACK = {"BOOL": "?", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT64": "Q", "FP32": "f", "FP64": "d"}


@settings(max_examples=40)
@given(st.data())
def test_a_tensor_of_any_type_becomes_its_bytes(data):
    kind = data.draw(st.sampled_from(sorted(TYPED)))
    values = data.draw(st.lists(VALUES[kind], max_size=6))
    request = P["InferRequest"](model_name="m", id="7")
    tensor = request.inputs.add(name="x", datatype=kind, shape=[len(values)])
    getattr(tensor.contents, TYPED[kind]).extend(values)
    model, version, body, size = messages.infer_request(request.SerializeToString())
    said = json.loads(body[:size])
    expected = b"".join(
        struct.pack("<I", len(v)) + v if kind == "BYTES" else struct.pack("<" + PACK[kind], v) for v in values
    )
    assert (model, version, said["id"], body[size:]) == ("m", "", "7", expected)
    assert said["inputs"] == [
        {"name": "x", "datatype": kind, "shape": [len(values)], "parameters": {"binary_data_size": len(expected)}}
    ]


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_message_are_refused_as_such(content):
    try:
        messages.infer_request(content)
    except HanokError as error:
        assert error.status == 400


@pytest.fixture
def served(shop):
    application, loop = build(shop), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = GrpcServer(application, "127.0.0.1", 0)
    server.start(loop)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel, httpx.Client(transport=Sync(application), base_url="http://127.0.0.1"), server
    server.stop(0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def call(channel, method, request, reply):
    sent = channel.unary_unary(f"/{messages.SERVICE}/{method}", lambda m: m.SerializeToString(), reply.FromString)
    return sent(request, timeout=30)


def asked(shop, rows=2, **more):
    request = P["InferRequest"](model_name="returns", **more)
    for column in shop.serving.model("returns").signature.inputs:
        text = column.datatype == "BYTES"
        tensor = request.inputs.add(name=column.name, datatype="BYTES" if text else "FP64", shape=[rows])
        values = [(column.categories or ("x",))[0].encode()] * rows if text else [2.0] * rows
        getattr(tensor.contents, TYPED["BYTES" if text else "FP64"]).extend(values)
    return request


def test_an_answer_is_that_of_rest_and_is_logged(served, shop):
    channel, http, _ = served
    request = asked(shop, id="mine")
    request.parameters.add(key="explain", value=P["Parameter"](bool_param=True))
    reply = call(channel, "ModelInfer", request, P["InferResponse"])
    _, _, body, size = messages.infer_request(request.SerializeToString())
    rest = http.post("/v2/models/returns/infer", content=body, headers={"inference-header-content-length": str(size)})
    length = int(rest.headers["inference-header-content-length"])
    assert b"".join(reply.raw_output_contents) == rest.content[length:]
    said = {p.key: json.loads(p.value.string_param) for p in reply.parameters}
    assert [o.name for o in reply.outputs] == ["predict", "label"] and reply.id == "mine"
    assert said["explanations"] == json.loads(rest.content[:length])["parameters"]["explanations"]
    assert all(shop.serving.find(i).score is not None for i in said["prediction_ids"])
    metadata = call(channel, "ModelMetadata", P["Named"](name="returns"), P["Metadata"])
    assert [t.name for t in metadata.inputs] == [c.name for c in shop.serving.model("returns").signature.inputs]


def test_errors_have_the_codes_of_grpc_and_end_no_stream(served, shop):
    channel, _, server = served
    for request, code in (
        (P["InferRequest"](model_name="nobody"), grpc.StatusCode.INVALID_ARGUMENT),
        (P["InferRequest"](model_name="../x", inputs=asked(shop).inputs), grpc.StatusCode.NOT_FOUND),
        (asked(shop, model_version="99"), grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.RpcError) as found:
            call(channel, "ModelInfer", request, P["InferResponse"])
        assert found.value.code() in (code, grpc.StatusCode.NOT_FOUND)
    stream = channel.stream_stream(
        f"/{messages.SERVICE}/ModelStreamInfer", lambda m: m.SerializeToString(), P["StreamResponse"].FromString
    )
    requests = [asked(shop), P["InferRequest"](model_name="nobody"), asked(shop, rows=1)]
    found = list(stream(iter(requests), timeout=30))
    assert [bool(f.error_message) for f in found] == [False, True, False]
    with pytest.raises(PortInUse):
        GrpcServer(None, "127.0.0.1", server.port)


def test_who_must_log_in_over_http_must_here(shop):
    application, loop = build(shop, "a-long-enough-secret"), asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    server = GrpcServer(application, "127.0.0.1", 0)
    server.start(loop)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        method = channel.unary_unary(f"/{messages.SERVICE}/ModelInfer")
        content = asked(shop).SerializeToString()
        with pytest.raises(grpc.RpcError) as found:
            method(content, timeout=30)
        assert found.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert method(content, timeout=30, metadata=(("authorization", "Bearer a-long-enough-secret"),))
    server.stop(0)
    loop.call_soon_threadsafe(loop.stop)


def silent(until):
    """A client that opens a call and sends nothing."""
    until.wait(30)
    yield from ()


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
def test_calls_that_send_nothing_stop_nobody_and_end_by_themselves(served, monkeypatch, method):
    monkeypatch.setattr(grpc_inference, "FIRST_S", 1.0)
    monkeypatch.setattr(grpc_inference, "IDLE_S", 1.0)
    channel, _, server = served
    until, ended = threading.Event(), queue.Queue()
    others = [
        grpc.insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(3)
    ]
    calls = [o.stream_stream(f"/{messages.SERVICE}/{method}")(silent(until)) for o in others for _ in range(100)]
    for one in calls:
        if not one.add_callback(lambda one=one: ended.put(one.code())):
            ended.put(one.code())
    live = channel.unary_unary(f"/{messages.SERVICE}/ServerLive")
    assert all(live(b"", timeout=20) for _ in range(20))
    codes = {ended.get(timeout=20) for _ in calls}
    assert codes <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK}
    assert live(b"", timeout=20) and not server._silent and not server._streams
    until.set()
    for other in others:
        other.close()


def test_a_stream_whose_answers_nobody_reads_ends(served, shop, monkeypatch):
    monkeypatch.setattr(grpc_inference, "IDLE_S", 0.5)
    channel, _, server = served
    request, until = asked(shop, rows=3000).SerializeToString(), threading.Event()

    def many():
        for _ in range(200):
            if until.is_set():
                return
            yield request

    stream = channel.stream_stream(f"/{messages.SERVICE}/ModelStreamInfer")(many())
    first = next(stream)
    until_s = time.monotonic() + 25
    while server._streams and time.monotonic() < until_s:
        time.sleep(0.05)
    assert channel.unary_unary(f"/{messages.SERVICE}/ServerLive")(b"", timeout=20) and first and not server._streams
    until.set()
    stream.cancel()
