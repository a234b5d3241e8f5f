"""Artifacts over HTTP against a file copy: upload (streamed, hashed, synced), in parts, download, in ranges.

The floors are measured in the same run, on the same disk: a copy of the file with fsync, the same with SHA-256 while
it is written, and the bare ASGI echo that only takes the body. CPU is the server's; the client's own is not in it.
"""

import hashlib
import http.client
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.tools import ECHO, hanok, row, server

FILES = "/api/2.0/mlflow-artifacts"
SIZE_MB = 300
ROUNDS = 5
PART = 50 << 20
PIECE = 1 << 20


def measure():
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.bin"
        with source.open("wb") as file:
            for _ in range(SIZE_MB):
                file.write(os.urandom(PIECE))
        floors = {name: _timed(work, source, Path(folder)) for name, work in FLOORS.items()}
        port = _free_port()
        with server([sys.executable, "-c", ECHO, str(port)], port) as process:
            floors["echo"] = _served(process, port, source, _put)
        port = _free_port()
        with server(hanok("up", "--home", f"{folder}/home", "--port", str(port)), port) as process:
            ours = {name: _served(process, port, source, work) for name, work in OURS.items()}
            rss = process.memory_info().rss >> 20
    rows = [
        row(f"floor: {name}, {SIZE_MB} MB", wall * 1e3, "ms", f"{cpu * 1e3:.0f} ms CPU")
        for name, (wall, cpu) in floors.items()
    ]
    copy = floors["copy"][0]
    for name, (wall, cpu) in ours.items():
        floor = "copy and hash" if "upload" in name else "read"
        beside = f"{wall / copy:.2f}x a copy, {wall / floors[floor][0]:.2f}x {floor}"
        rows.append(row(f"{name}, {SIZE_MB} MB", wall * 1e3, "ms", f"{cpu * 1e3:.0f} ms server CPU; {beside}"))
    return [*rows, row("server's memory after it all", rss, "MB")]


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _copy(source, folder):
    target = folder / "copy"
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _copy_and_hash(source, folder):
    hashed = hashlib.sha256()
    with source.open("rb") as file, (folder / "copy").open("wb") as out:
        while piece := file.read(PIECE):
            hashed.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())


def _read(source, folder):
    with source.open("rb") as file:
        while file.read(PIECE):
            pass


FLOORS = {"copy": _copy, "copy and hash": _copy_and_hash, "read": _read}


def _timed(work, source, folder):
    """Median wall and CPU seconds of this process."""
    found = []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        work(source, folder)
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return tuple(map(statistics.median, zip(*found, strict=True)))


def _served(process, port, source, work):
    """Median wall seconds and CPU seconds of the server."""
    found = []
    for number in range(ROUNDS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        before, wall = _cpu(process), time.perf_counter()
        work(connection, source, number)
        found.append((time.perf_counter() - wall, _cpu(process) - before))
        connection.close()
    return tuple(map(statistics.median, zip(*found, strict=True)))


def _cpu(process):
    times = process.cpu_times()
    return times.user + times.system


def _call(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    assert reply.status in (200, 206), (reply.status, reply.read())
    return reply


def _pieces(source, first=0, count=None):
    left = source.stat().st_size - first if count is None else count
    with source.open("rb") as file:
        file.seek(first)
        while left and (piece := file.read(min(left, PIECE))):
            left -= len(piece)
            yield piece


def _put(connection, source, number):
    headers = {"Content-Length": str(source.stat().st_size)}
    _call(connection, "PUT", f"{FILES}/artifacts/1/upload-{number}", _salted(source, number), headers).read()


def _salted(source, number):
    """Each round sends other bytes, for equal ones are kept once."""
    for place, piece in enumerate(_pieces(source)):
        yield number.to_bytes(8, "big") + piece[8:] if place == 0 else piece


def _parts(connection, source, number):
    size = source.stat().st_size
    firsts = range(0, size, PART)
    announced = json.dumps({"path": f"p{number}", "num_parts": len(firsts)})
    begun = json.loads(_call(connection, "POST", f"{FILES}/mpu/create/1", announced).read())
    parts = []
    for credential, first in zip(begun["credentials"], firsts, strict=True):
        count = min(PART, size - first)
        headers = credential["headers"] | {"Content-Length": str(count)}
        body = _pieces(source, first, count)
        reply = _call(connection, "PUT", urlsplit(credential["url"]).path, body, headers)
        reply.read()
        parts.append({"part_number": credential["part_number"], "etag": reply.headers["etag"]})
    done = {"path": f"p{number}", "upload_id": begun["upload_id"], "parts": parts}
    _call(connection, "POST", f"{FILES}/mpu/complete/1", json.dumps(done)).read()


def _get(connection, source, number):
    reply = _call(connection, "GET", f"{FILES}/artifacts/1/upload-0")
    buffer = memoryview(bytearray(PIECE))
    while reply.readinto(buffer):
        pass


def _ranges(connection, source, number):
    size = source.stat().st_size
    buffer = memoryview(bytearray(PIECE))
    for first in range(0, size, PART):
        last = min(first + PART, size) - 1
        reply = _call(connection, "GET", f"{FILES}/artifacts/1/upload-0", headers={"Range": f"bytes={first}-{last}"})
        while reply.readinto(buffer):
            pass


OURS = {"upload": _put, "upload in parts": _parts, "download": _get, "download in ranges": _ranges}


if __name__ == "__main__":
    for measured in measure():
        print(f"{measured['what']:<40} {measured['value']:>8} {measured['unit']:<4} {measured['note']}")
