"""Artifacts pass through the server and are never whole in its memory."""

import hashlib
import http.client
import json
import random
from urllib.parse import urlsplit

import psutil

from tests.faults.writers import up

FILES = "/api/2.0/mlflow-artifacts"
PIECE = random.Random(1).randbytes(1 << 20)
SIZE = 300
GROWTH_MAX = 50 << 20


def test_300_megabytes_pass_through_less_than_50(tmp_path):
    process, address = up(tmp_path / "home")
    try:
        place = urlsplit(address)
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)

        def call(method, path, body=None, headers=None):
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply, reply.read() if method != "GET" else b""

        def stream(count):
            for number in range(count):
                yield number.to_bytes(8, "big") + PIECE[8:]

        warm = b"x" * (8 << 20)
        call("PUT", f"{FILES}/artifacts/1/warm", warm)
        memory = psutil.Process(process.pid).memory_info
        before = memory().rss
        reply, _ = call("PUT", f"{FILES}/artifacts/1/big", stream(SIZE))
        assert reply.status == 200
        after_put = memory().rss

        begun = json.loads(call("POST", f"{FILES}/mpu/create/1", json.dumps({"path": "two", "num_parts": 2}))[1])
        parts = []
        for credential in begun["credentials"]:
            reply, _ = call("PUT", urlsplit(credential["url"]).path, stream(SIZE // 2), credential["headers"])
            parts.append({"part_number": credential["part_number"], "etag": reply.headers["etag"]})
        body = {"path": "two", "upload_id": begun["upload_id"], "parts": parts}
        reply, _ = call("POST", f"{FILES}/mpu/complete/1", json.dumps(body))
        assert reply.status == 200
        after_parts = memory().rss

        connection.request("GET", f"{FILES}/artifacts/1/big")
        reply, hashed = connection.getresponse(), hashlib.sha256()
        while piece := reply.read(1 << 20):
            hashed.update(piece)
        assert f'"{hashed.hexdigest()}"' == reply.headers["etag"]
        grown = [after_put - before, after_parts - before, memory().rss - before]
        assert max(grown) < GROWTH_MAX, [g >> 20 for g in grown]
    finally:
        process.kill()
        process.wait()
