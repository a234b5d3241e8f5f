"""Running servers and clients for a measurement, and what they cost."""

import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psutil

ECHO = """
import asyncio, sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            m = await receive()
            await send({"type": m["type"] + ".complete"})
            if m["type"] == "lifespan.shutdown": return
    more = True
    while more:
        m = await receive(); more = m.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning", http="httptools", ws="none")
"""


def row(what, value, unit, note=""):
    shown = f"{value:.3g}" if isinstance(value, float) else str(value)
    return {"what": what, "value": shown, "unit": unit, "note": note}


def child_cpu(command, runs=5):
    """Median CPU seconds of a whole process."""
    seconds = []
    for _ in range(runs):
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(seconds)


@contextmanager
def server(command, port, path="/health", wait_s=120, env=None):
    """A server process that answers `path`; gives its psutil.Process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", path)
                connection.getresponse().read()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.02)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def tree(process):
    """CPU seconds and resident bytes of a process and its children."""
    members = [process, *process.children(recursive=True)]
    cpu = sum(sum(m.cpu_times()[:2]) for m in members)
    return cpu, sum(m.memory_info().rss for m in members)


def posts(port, path, bodies, clients=1):
    """Median seconds of one POST, and requests a second, over `clients` connections that share the bodies."""
    times, lock = [], threading.Lock()

    def run(mine):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for body in mine:
            started = time.perf_counter()
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            content = reply.read()
            if reply.status != 200:
                raise RuntimeError(f"{path}: {reply.status} {content[:200]!r}")
            with lock:
                times.append(time.perf_counter() - started)

    threads = [threading.Thread(target=run, args=(bodies[i::clients],)) for i in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.median(times), len(times) / (time.perf_counter() - started)


def post(port, path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    return json.loads(reply.read())


def hanok(*arguments):
    return [sys.executable, "-m", "hanok", *arguments]
