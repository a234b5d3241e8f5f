"""Tracking over HTTP against a bare ASGI echo, raw SQLite, and MLflow's server (HANOK_BENCH_MLFLOW=its python).

HANOK_METADATA_URL in the environment measures the server on that PostgreSQL instead of SQLite in its home.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time

from bench.tools import ECHO, hanok, post, row, server, tree
from bench.tools import posts as by_http_client
from bench.tracking.clients import get, many_clients, one_client, replies, request

API = "/api/2.0/mlflow"
RUNS, KEYS, POINTS = 10_000, 20, 100_000
CLIENT = """
import sys, time, statistics, mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
run = client.create_run("0").info.run_id
times = []
for i in range(int(sys.argv[2])):
    started = time.perf_counter()
    client.log_metric(run, "loss", i, step=i)
    times.append(time.perf_counter() - started)
print(statistics.median(times[5:]))
"""


def _call(path, **body):
    return request(API + path, json.dumps(body).encode())


def _points(run, count, start=0):
    return [
        _call("/runs/log-metric", run_id=run, key="loss", value=i, timestamp=1, step=start + i) for i in range(count)
    ]


def _writes(port, count):
    """Milliseconds of single calls, and calls a second of 8 clients; `count` of each."""
    experiment = post(port, f"{API}/experiments/create", {"name": f"bench-{time.time_ns()}"})["experiment_id"]
    run = post(port, f"{API}/runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]
    replies(port, _points(run, 50, 10**6))
    bodies = [
        json.dumps({"run_id": run, "key": "http", "value": i, "timestamp": 1, "step": i}) for i in range(max(count, 40))
    ]
    batches = [
        _call(
            "/runs/log-batch",
            run_id=run,
            metrics=[{"key": f"m{k % 10}", "value": k, "timestamp": 1, "step": i * 1000 + k} for k in range(1000)],
        )
        for i in range(max(10, count // 20))
    ]
    create = [_call("/runs/create", experiment_id=experiment, start_time=i + 1) for i in range(max(40, count // 4))]
    return {
        "single": one_client(port, _points(run, max(count, 40))),
        "http": by_http_client(port, f"{API}/runs/log-metric", bodies)[0],
        "batch": one_client(port, batches),
        "create": one_client(port, create),
        "rate": many_clients(port, _points(run, max(count * 5, 400), 10**7)),
    }


def _raw_sqlite():
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        connection = sqlite3.connect(file.name)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE m (r, k, v, t, s, PRIMARY KEY (r, k, s, t, v)) WITHOUT ROWID")
        times = []
        for i in range(50):
            started = time.perf_counter()
            with connection:
                connection.executemany(
                    "INSERT INTO m VALUES (1, ?, ?, 1, ?)", [(k % 10, k, i * 1000 + k) for k in range(1000)]
                )
            times.append(time.perf_counter() - started)
        return sorted(times)[25]


def _filled(port, runs):
    """An experiment of so many runs with 20 metrics and 20 params each."""
    rng = random.Random(1)
    experiment = post(port, f"{API}/experiments/create", {"name": f"big-{time.time_ns()}"})["experiment_id"]
    made = replies(port, [_call("/runs/create", experiment_id=experiment, start_time=i + 1) for i in range(runs)])
    batches = [
        _call(
            "/runs/log-batch",
            run_id=json.loads(body)["run"]["info"]["run_id"],
            metrics=[{"key": f"m{k}", "value": rng.random(), "timestamp": 1, "step": 1} for k in range(KEYS)],
            params=[{"key": f"p{k}", "value": str(rng.randrange(10))} for k in range(KEYS)],
        )
        for body in made
    ]
    replies(port, batches)
    return experiment


def _searches(port, experiment, limits=(100, 1000)):
    wanted = {"experiment_ids": [experiment], "filter": "metrics.m3 < 0.5", "order_by": ["metrics.m1 DESC"]}
    return {n: one_client(port, [_call("/runs/search", **wanted, max_results=n)] * 9) for n in limits}


def _history(port):
    run = post(port, f"{API}/runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"]
    for start in range(0, POINTS, 1000):
        metrics = [{"key": "h", "value": i * 0.37, "timestamp": i, "step": i} for i in range(start, start + 1000)]
        post(port, f"{API}/runs/log-batch", {"run_id": run, "metrics": metrics})
    return one_client(port, [get(f"{API}/metrics/get-history?run_id={run}&metric_key=h")] * 5)


def _client(python, port, count):
    command = [python, "-c", CLIENT, f"http://127.0.0.1:{port}", str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def measure():
    peer = os.environ.get("HANOK_BENCH_MLFLOW")
    body = json.dumps({"run_id": "a" * 32, "key": "loss", "value": 1, "timestamp": 1, "step": 1})
    with server([sys.executable, "-c", ECHO, "5972"], 5972, "/"):
        one_client(5972, [request("/", body.encode())] * 200)
        echo = one_client(5972, [request("/", body.encode())] * 1000)
        echo_http, _ = by_http_client(5972, "/", [body] * 1000)
    floor = _raw_sqlite()
    with tempfile.TemporaryDirectory() as home:
        started = time.perf_counter()
        with server(hanok("up", "--home", home, "--port", "5973"), 5973) as process:
            ready, at_start = time.perf_counter() - started, tree(process)[1]
            ours = _writes(5973, 1000)
            client = _client(peer, 5973, 200) if peer else None
            found = _searches(5973, _filled(5973, RUNS))
            history = _history(5973)
            memory = tree(process)[1]
    rows = [
        row("bare ASGI echo, one POST (raw socket; http.client)", f"{1000 * echo:.2f}; {1000 * echo_http:.2f}", "ms"),
        row(
            "log_metric, one client, raw socket", 1000 * ours["single"], "ms", f"{ours['single'] / echo:.1f}x the echo"
        ),
        row("log_metric, http.client", 1000 * ours["http"], "ms", f"{ours['http'] / echo_http:.1f}x the echo"),
        row("raw SQLite, 1000 rows in one durable commit", 1000 * floor, "ms"),
        row("log_batch of 1000 metrics", 1000 * ours["batch"], "ms", f"{ours['batch'] / floor:.1f}x raw SQLite"),
        row("log_metric, 8 clients", ours["rate"], "1/s"),
        row("create_run, one client", 1000 * ours["create"], "ms", f"{1 / ours['create']:.0f} a second"),
        row(f"search of {RUNS} runs x 40 keys, 100 of them", 1000 * found[100], "ms", "filter and order_by"),
        row(f"search of {RUNS} runs x 40 keys, 1000 of them", 1000 * found[1000], "ms", "filter and order_by"),
        row(f"history of {POINTS} points", 1000 * history, "ms"),
        row("ready after", ready, "s"),
        row("memory when ready", at_start / 1e6, "MB"),
        row("memory afterwards", memory / 1e6, "MB"),
    ]
    if not peer:
        return [*rows, row("MLflow", "-", "", "not measured: set HANOK_BENCH_MLFLOW to a python that has it")]
    return [*rows, *_peer(peer, ours, client)]


def _peer(python, ours, client):
    version = subprocess.run(
        [python, "-c", "import mlflow; print(mlflow.__version__)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    runs = 1000
    with tempfile.TemporaryDirectory() as home:
        store = ("--backend-store-uri", f"sqlite:///{home}/m.db", "--artifacts-destination", home)
        started = time.perf_counter()
        with server([python, "-m", "mlflow", "server", "--port", "5974", *store], 5974) as process:
            ready = time.perf_counter() - started
            theirs = _writes(5974, 60)
            their_client = _client(python, 5974, 40)
            search = _searches(5974, _filled(5974, runs), (100,))[100]
            memory = tree(process)[1]

    def beside(what, key, unit="ms"):
        return row(f"MLflow {version}: {what}", 1000 * theirs[key], unit, f"{theirs[key] / ours[key]:.0f}x ours")

    return [
        beside("log_metric, one client", "single"),
        beside("log_batch of 1000", "batch"),
        beside("create_run", "create"),
        row(
            f"MLflow {version}: log_metric, 8 clients",
            theirs["rate"],
            "1/s",
            f"ours {ours['rate'] / theirs['rate']:.0f}x as many",
        ),
        row("its client's log_metric: to us", 1000 * client, "ms"),
        row(
            "its client's log_metric: to its own server",
            1000 * their_client,
            "ms",
            f"{their_client / client:.1f}x ours",
        ),
        row(
            f"MLflow {version}: search of {runs} runs, 100 of them",
            1000 * search,
            "ms",
            f"ours of {RUNS} above",
        ),
        row(f"MLflow {version}: ready after", ready, "s"),
        row(f"MLflow {version}: memory of its processes", memory / 1e6, "MB"),
    ]
