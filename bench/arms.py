"""Shadows beside an answering version: replies that they change (none may), and what they cost the replies.

The shadows: one that raises, one that needs a feature nobody sends and has other classes, one that is slow.
"""

import asyncio
import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.serving import _home
from bench.tools import hanok, posts, row, server

PORTS = {"alone": 5977, "with shadows": 5978}
CONNECTIONS, RUNS, SECONDS, BULK_ROWS = 64, 5, 6, 2000
PATH = "/v2/models/bench/infer"


def _linear(signature, numeric, **changed):
    """A linear package: `numeric` are the columns of the matrix that it reads."""
    from dataclasses import replace

    from hanok.compute.runtimes import Package

    content = {
        "shape": {"numeric": [(i, 0.0, 1.0) for i in numeric], "categorical": []},
        "coefficients": [[0.1, 0.0] * len(numeric)] * max(1, len(changed.get("classes", "")) * (len(changed) > 1)),
        "intercepts": [0.0],
        "link": "softmax" if changed.get("task") == "multiclass" else "logistic",
    }
    return Package("linear", replace(signature, **changed), {"linear.json": json.dumps(content).encode()})


def _with_shadows(home):
    """Deploy the three shadows in a copy of the home."""
    from hanok.core.serving import Arm, Column
    from hanok.engine.app import open_app
    from hanok.engine.config import Config

    app = open_app(Config(home=Path(home)))
    signature = app.serving.model("bench").signature
    primary = app.serving.deployment("bench").primary
    other = {
        "inputs": (Column("nobody_sends_it", "FP64"), *signature.inputs),
        "task": "multiclass",
        "classes": tuple("abc"),
    }
    shadows = [
        _linear(signature, [0, 999]),
        _linear(signature, [0, 1], **other),
        _linear(signature, [i % signature.width for i in range(5_000)]),
    ]
    arms = [Arm(primary, "primary", 100)]
    for package in shadows:
        made = app.tracking.registry.register("bench", package=app.packages.save(package))
        arms.append(Arm(made.version, "shadow"))
    app.serving.deploy("bench", arms, actor="bench", reason="shadows")
    app.close()


def _body(values, rows=1):
    inputs = [
        {"name": n, "shape": [rows], "datatype": "BYTES" if n == "kind" else "FP64", "data": v * rows}
        for n, v in values.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


class _Client:
    """One kept connection; `ask` gives the score."""

    def __init__(self, port):
        self._port, self._reader, self._writer = port, None, None

    async def ask(self, body):
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = (
            f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        )
        self._writer.write(head.encode() + b"\r\n\r\n" + body)
        headers = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(headers.split(b"content-length:")[1].split(b"\r\n")[0])
        content = await self._reader.readexactly(length)
        assert b" 200 " in headers.split(b"\r\n")[0], content[:300]
        return json.loads(content)["outputs"][0]["data"][0]


async def _open_loop(port, bodies, rate, seconds):
    """(scores by place of the body, p99 in seconds) of requests that start on time whatever the replies do."""
    idle: asyncio.Queue = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(_Client(port))
    scores, times = {}, []

    async def one(number, due):
        client = await idle.get()
        score = await client.ask(bodies[number % len(bodies)])
        times.append(time.perf_counter() - due)
        scores[number % len(bodies)] = score
        idle.put_nowait(client)

    gc.collect()
    gc.disable()  # a client that tidies up for a tenth of a second would measure itself
    started, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)
    gc.enable()
    return scores, float(np.quantile(times, 0.99))


def _bulk_cpu(home, columns):
    """Process CPU of the reply to many rows, by the thread that answers."""
    from hanok.engine.app import open_app
    from hanok.engine.config import Config

    app = open_app(Config(home=Path(home)))
    rows = {n: v * BULK_ROWS for n, v in columns.items()}
    spent = []
    for _ in range(7):
        before = time.thread_time()
        app.serving.predict("bench", rows)
        spent.append(time.thread_time() - before)
        app.serving._shadows.drain(60)
    app.close()
    return statistics.median(spent)


def measure():
    with tempfile.TemporaryDirectory() as folder:
        app, columns = _home(f"{folder}/alone")
        app.close()
        shutil.copytree(f"{folder}/alone", f"{folder}/with shadows")
        _with_shadows(f"{folder}/with shadows")
        cpu = {name: _bulk_cpu(f"{folder}/{name}", columns) for name in PORTS}
        rng = np.random.default_rng(3)
        bodies = [_body({n: ["a"] if n == "kind" else [float(rng.normal())] for n in columns}) for _ in range(256)]
        commands = {n: hanok("up", "--home", f"{folder}/{n}", "--port", str(p)) for n, p in PORTS.items()}
        with server(commands["alone"], PORTS["alone"]), server(commands["with shadows"], PORTS["with shadows"]):
            _, capacity = posts(PORTS["alone"], PATH, bodies * 4, clients=CONNECTIONS)
            rate, tails, answers = capacity / 2, {n: [] for n in PORTS}, {n: {} for n in PORTS}
            for _ in range(RUNS):
                for name, port in PORTS.items():
                    scores, p99 = asyncio.run(_open_loop(port, bodies, rate, SECONDS))
                    tails[name].append(p99)
                    answers[name] |= scores
        changed = sum(answers["alone"][i] != score for i, score in answers["with shadows"].items())
    p99 = {name: statistics.median(found) for name, found in tails.items()}
    ratio = p99["with shadows"] / p99["alone"]
    return [
        row("replies changed by three bad shadows, 64 connections", changed, "replies", f"of {len(answers['alone'])}"),
        row("p99 alone, open loop at half capacity", 1000 * p99["alone"], "ms", f"{rate:.0f} requests a second"),
        row("p99 with the shadows, the same load", 1000 * p99["with shadows"], "ms", f"{ratio:.2f}x"),
        row("2,000 rows alone, CPU of the reply", 1000 * cpu["alone"], "ms"),
        row(
            "2,000 rows with the shadows, CPU of the reply",
            1000 * cpu["with shadows"],
            "ms",
            f"{cpu['with shadows'] / cpu['alone']:.3f}x",
        ),
    ]


if __name__ == "__main__":
    for line in measure():
        sys.stdout.write(f"{line}\n")
