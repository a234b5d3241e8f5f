"""Prediction requests over HTTP: methods, types, errors in the protocol's words, entities, and bounds on what waits."""

import asyncio
import gzip
import io
import json
import threading
import time
from functools import partial

import httpx
import pyarrow as pa
import pytest
from pyarrow import parquet
from starlette.datastructures import Headers

from hanok.core.errors import Invalid, Unavailable
from hanok.server import decoding
from hanok.server import scoring as server_scoring
from hanok.server.app import Body
from hanok.server.run import build
from hanok.server.scoring import INLINE_BYTES, Scoring
from tests.unit.server.conftest import Sync
from tests.unit.server.test_dispatcher import ROW, tensors

INFER = "/v2/models/returns/infer"


@pytest.fixture
def client(shop):
    return httpx.Client(transport=Sync(build(shop)), base_url="http://127.0.0.1")


def two_rows():
    body = tensors()
    for tensor in body["inputs"]:
        tensor["data"], tensor["shape"] = tensor["data"] * 2, [2]
    return body


def test_an_entity_is_for_one_row_and_its_keys_are_those_of_the_model(client, shop):
    def with_entity(body, entity):
        return client.post(INFER, json=body | {"parameters": {"entity": entity}})

    reply = with_entity(tensors(), {"order": "o1"})
    assert reply.status_code == 200
    assert shop.serving.find(reply.json()["parameters"]["prediction_ids"][0]).entity == {"order": "o1"}
    for body, entity, said in (
        (two_rows(), {"order": "o1"}, "2 rows"),
        (tensors(), {"ordr": "o1"}, "'ordr' is no key"),
        (tensors(), {"order": "o1", "day": 1}, "'day' is no key"),
        (tensors(), {"order": ["o1"]}, "'order'"),
        (tensors(), {"order": None}, "'order'"),
    ):
        reply = with_entity(body, entity)
        assert (reply.status_code, said in reply.json()["error"]) == (400, True), reply.text


def test_a_wrong_method_is_a_405_that_says_which_is_right_and_head_and_options_do_no_harm(client):
    for path, right in ((INFER, "POST"), ("/v2/models/returns", "GET"), ("/v2", "GET"), ("/invocations", "POST")):
        wrong = client.request("DELETE", path)
        assert (wrong.status_code, right in wrong.headers["allow"]) == (405, True)
        assert ("error_code" if path == "/invocations" else "error") in wrong.json()
        options = client.options(path)
        assert (options.status_code, right in options.headers["allow"]) == (200, True)
    assert client.head("/v2/models/returns").status_code == 200
    assert client.get(INFER).status_code == client.head("/invocations").status_code == 405


def test_errors_are_in_the_words_of_the_protocol(client):
    for path in ("/v2/nothing", "/v2/models/returns/x", "/v2/models/a%2Fb/infer", "/v2x", "/v2/models/ü%00/infer"):
        reply = client.post(path, json={})
        assert (reply.status_code, type(reply.json()["error"])) == (404, str), path
    for version in ("99", "x", "²", "9" * 5000):
        assert client.post(f"/v2/models/returns/versions/{version}/infer", json=tensors()).status_code == 404
    reply = client.post("/invocations?model=nope", json={"inputs": [ROW]})
    assert (reply.status_code, reply.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    large = client.post(INFER, content=b" " * (33 << 20))
    assert (large.status_code, type(large.json()["error"])) == (413, str)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "br"},
        {"content-type": "multipart/form-data; boundary=x"},
    ],
)
def test_a_body_in_another_type_or_encoding_is_a_415(client, headers):
    reply = client.post(INFER, content=json.dumps(tensors()), headers=headers)
    assert (reply.status_code, type(reply.json()["error"])) == (415, str)
    reply = client.post("/invocations", content=json.dumps({"inputs": [ROW]}), headers=headers)
    assert (reply.status_code, reply.json()["error_code"]) == (415, "BAD_REQUEST")


def test_gzip_is_unpacked_within_the_bound_of_a_body(client):
    packed = {"content-encoding": "gzip"}
    plain = json.dumps(tensors()).encode()
    assert client.post(INFER, content=gzip.compress(plain), headers=packed).status_code == 200
    assert client.post(INFER, content=gzip.compress(plain)[:-3], headers=packed).status_code == 400
    assert client.post(INFER, content=plain, headers=packed).status_code == 400
    assert client.post(INFER, content=gzip.compress(b" " * (40 << 20)), headers=packed).status_code == 413


def test_csv_parquet_and_kserves_first_protocol_give_the_same_score(client):
    want = client.post("/invocations", json={"inputs": [ROW]}).json()["predictions"]
    csv = ",".join(ROW) + "\n" + ",".join(map(str, ROW.values())) + "\n"
    for content_type in ("text/csv", "text/csv; charset=utf-8"):
        reply = client.post("/invocations", content=csv, headers={"content-type": content_type})
        assert reply.json()["predictions"] == want
    assert client.post("/v1/models/returns:predict", json={"instances": [ROW]}).json()["predictions"] == want
    assert client.get("/v1/models/returns").json() == {"name": "returns", "ready": True}
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([ROW]), sink)
    scoring = {"content-type": "application/vnd.apache.parquet"}
    assert client.post("/invocations", content=sink.getvalue(), headers=scoring).json()["predictions"] == want


def test_what_another_process_decodes_is_what_is_decoded_here(shop):
    signature = shop.serving.model("returns").signature
    for protocol, body in (("oip", two_rows()), ("mlflow", {"inputs": [ROW, dict.fromkeys(ROW)]})):
        raw = json.dumps(body).encode()
        here = decoding.decode(protocol, raw, "", (signature,))
        there = decoding.unpacked(decoding.decode_packed(protocol, raw, "", (signature,)))
        assert {n: c.to_pylist() for n, c in there.columns.items()} == here.columns
        assert (there.rows, there.entity, there.outputs) == (here.rows, here.entity, here.outputs)


def test_the_bodies_that_are_held_and_the_requests_that_wait_have_a_bound():
    scoring = Scoring(threads=1, waiting_max=1, held_bytes=100)
    with scoring.hold(90) as held:
        with pytest.raises(Unavailable, match="try again") as refused, scoring.hold(20):
            pass
        assert refused.value.fields["retry_after_s"] == 1
        with scoring.hold(10), pytest.raises(Unavailable):
            held.grew(120)
    with scoring.hold(1000):
        pass  # one body is always let in

    async def run():
        go = threading.Event()
        waiting = [asyncio.create_task(scoring.beside(go.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await scoring.beside(go.wait)
        go.set()
        assert await asyncio.gather(*waiting) == [True, True]
        assert await scoring.beside(lambda: 7) == 7

    asyncio.run(run())
    scoring.close()


def test_the_process_for_large_bodies_is_renewed_and_one_that_hangs_has_a_deadline(monkeypatch):
    monkeypatch.setattr(server_scoring, "WORKER_TASKS", 2)

    async def run():
        scoring = Scoring()
        assert [await scoring.foreign(partial(abs, -i)) for i in range(3)] == [0, 1, 2]
        monkeypatch.setattr(server_scoring, "FOREIGN_S", 0.1)
        with pytest.raises(Unavailable, match="had not read this one") as refused:
            await scoring.foreign(partial(time.sleep, 60))
        assert refused.value.fields["retry_after_s"] == 1
        monkeypatch.setattr(server_scoring, "FOREIGN_S", 60)
        assert await scoring.foreign(partial(abs, -7)) == 7
        scoring.close()

    asyncio.run(run())


def body_of(*messages, length):
    left = list(messages)

    async def receive():
        return left.pop(0)

    return Body(receive, 1 << 20, Headers({"content-length": str(length)}))


def test_a_body_that_is_cut_off_is_refused_and_never_taken_for_a_whole_one():
    first, gone = {"type": "http.request", "body": b"x,y\n1,12", "more_body": True}, {"type": "http.disconnect"}
    last = {"type": "http.request", "body": b"34\n"}
    assert asyncio.run(body_of(first, last, length=11).whole()) == b"x,y\n1,1234\n"
    with pytest.raises(Invalid, match="disconnected after 8 bytes"):
        asyncio.run(body_of(first, gone, length=11).whole())
    with pytest.raises(Invalid, match="8 bytes and its content-length says 11"):
        asyncio.run(body_of(first | {"more_body": False}, length=11).whole())


def test_a_body_holds_room_as_it_arrives_and_not_as_it_is_announced():
    first, last = {"type": "http.request", "body": b"1234", "more_body": True}, {"type": "http.request", "body": b"56"}
    scoring, seen = Scoring(held_bytes=10), []
    with scoring.hold(0) as held, scoring.hold(0) as other:

        def arrived(size):
            held.grew(size)
            seen.append(scoring._held)

        asyncio.run(body_of(first, last, length=6).whole(arrived))
        assert seen == [4, 6]
        with pytest.raises(Unavailable):
            other.grew(5)
    assert scoring._held == 0
    with scoring.hold(0) as alone:
        for size in (4, 1000):
            alone.grew(size)
    scoring.close()


def test_a_slow_model_is_called_beside_the_event_loop_and_a_quick_one_at_once():
    costs = Scoring().costs
    assert costs.expected_s("new", 1) == float("inf")
    costs.took("quick", 1, 1e-4)
    costs.took("slow", 1, 0.1)
    assert costs.expected_s("quick", 1) < 1e-3 < costs.expected_s("slow", 1)
    assert costs.expected_s("quick", 10_000) > 0.5
    costs.took("quick", 10_000, 1e-2)
    assert costs.expected_s("quick", 100) < 0.01


def test_bodies_of_the_predict_verb_that_are_no_entity_are_refused(client):
    for match in (None, [], "o1", {}, {"nope": 1}, {"order": ["o1"]}, {"order": {"a": 1}}, {"order": None}):
        reply = client.post("/api/v1/predict", json={"model": "returns", "match": match})
        assert 400 <= reply.status_code < 500, (match, reply.text)
    for body in (b"", b"[]", b"{", b"[" * 100_000, b"\xff", b'{"model": "\\ud800"}', b'{"model": "returns", "x": 1}'):
        assert client.post("/api/v1/predict", content=body).status_code == 400, body[:40]
    huge = b'{"model": "returns", "match": {"order": 1' + b"0" * 400 + b"}}"
    assert client.post("/api/v1/predict", content=huge).status_code < 500


def test_rows_that_are_scored_and_logged_are_answered_when_no_place_is_left_to_compress_the_reply(shop):
    server = build(shop)
    client = httpx.Client(transport=Sync(server), base_url="http://127.0.0.1")
    inference = server._inference
    scoring, body = inference.scoring, tensors()
    for tensor in body["inputs"]:
        tensor["data"], tensor["shape"] = tensor["data"] * 100, [100]
    client.get("/v2/models/returns")
    scoring.costs.took("returns", 1, 0.0)
    scoring.costs.took("returns", 100, 0.0)
    scoring._inside = scoring._places
    plain, packed = (client.post(INFER, json=body, headers={"accept-encoding": e}) for e in ("identity", "gzip"))
    assert [r.status_code for r in (plain, packed)] == [200, 200]
    assert [r.headers["vary"] for r in (plain, packed)] == ["accept-encoding"] * 2
    assert packed.json()["outputs"] == plain.json()["outputs"]
    large = b"x" * (INLINE_BYTES + 1)
    assert asyncio.run(inference._packed(large, "gzip")) is None  # too much to compress at once, and no place: as it is
    scoring._inside = 0
    assert gzip.decompress(asyncio.run(inference._packed(large, "gzip"))) == large
