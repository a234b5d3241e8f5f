"""One prediction: the model alone, through the verbs with its log record, and over HTTP against a bare echo."""

import json
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa

from bench.tools import ECHO, hanok, posts, row, server

ROWS = 4000


def _home(path):
    """A served LightGBM model of 20 numbers and a category."""
    from datetime import UTC, datetime
    from pathlib import Path

    import hanok as hk
    from hanok.core.declare import Project
    from hanok.engine.app import open_app
    from hanok.engine.config import Config

    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 20))
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * ROWS, pa.timestamp("us", "UTC"))
    ids = pa.array([f"r{i}" for i in range(ROWS)])
    names = [f"x{i}" for i in range(20)]
    spine = pa.table(
        {"id": ids, "at": at, "kind": rng.choice(["a", "b", "c"], ROWS), **{n: x[:, i] for i, n in enumerate(names)}}
    )
    labels = pa.table({"id": ids, "y": (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int), "known": at})
    model = hk.Model(
        "bench",
        task="binary",
        spine=hk.Spine("rows", predict_at="at", keys="id"),
        label=hk.Label("labels", column="y", known_at="known"),
        features=[*names, "kind"],
        train=hk.AutoML(trials=0),
        split=hk.at_random(),
    )
    app = open_app(Config(home=Path(path)), project=Project((), (), (model,)))
    app.ingesting.ingest("rows", spine, key="1")
    app.ingesting.ingest("labels", labels, key="1")
    app.training.train("bench")
    row_ = {**{n: [float(x[0, i])] for i, n in enumerate(names)}, "kind": ["a"]}
    return app, row_


def _microseconds(function, runs=2000):
    function()
    started = time.process_time()
    for _ in range(runs):
        function()
    return (time.process_time() - started) / runs * 1e6


def measure():
    with tempfile.TemporaryDirectory() as home:
        app, columns = _home(home)
        loaded = app.serving.model("bench")
        from hanok.compute.frames import encode

        matrix = encode(loaded.signature, columns)
        alone = _microseconds(lambda: loaded.runtime.score(matrix))
        whole = _microseconds(lambda: app.serving.predict("bench", columns))
        app.close()
        body = json.dumps(
            {
                "inputs": [
                    {"name": n, "shape": [1], "datatype": "BYTES" if n == "kind" else "FP64", "data": v}
                    for n, v in columns.items()
                ]
            }
        )
        with server([sys.executable, "-c", ECHO, "5975"], 5975, "/"):
            echo, _ = posts(5975, "/", [body] * 500)
        with server(hanok("up", "--home", home, "--port", "5976"), 5976) as process:
            posts(5976, "/v2/models/bench/infer", [body] * 100)
            before = sum(process.cpu_times()[:2])
            one, _ = posts(5976, "/v2/models/bench/infer", [body] * 1000)
            cpu = (sum(process.cpu_times()[:2]) - before) / 1000
            _, rate = posts(5976, "/v2/models/bench/infer", [body] * 2000, clients=8)
    return [
        row("LightGBM alone, one row", alone, "us CPU"),
        row("predict() with its record in the log", whole, "us CPU", f"{whole / alone:.1f}x the model"),
        row("bare ASGI echo of the same body", 1000 * echo, "ms"),
        row("POST /v2/models/bench/infer, one client", 1000 * one, "ms", f"{one / echo:.1f}x the echo"),
        row("the same, CPU of the server", cpu * 1e6, "us CPU"),
        row("8 clients", rate, "1/s"),
    ]
