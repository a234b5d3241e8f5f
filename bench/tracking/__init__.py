"""Tracking over HTTP against a bare ASGI echo, raw SQLite, and MLflow's server (HANOK_BENCH_MLFLOW=its python)."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time

from bench.tools import ECHO, hanok, post, posts, row, server, tree

API = "/api/2.0/mlflow"


def _bodies(run, count, batch):
    if batch:
        return [
            json.dumps(
                {
                    "run_id": run,
                    "metrics": [
                        {"key": f"m{k % 10}", "value": k, "timestamp": 1, "step": i * batch + k} for k in range(batch)
                    ],
                }
            )
            for i in range(count)
        ]
    return [json.dumps({"run_id": run, "key": "loss", "value": i, "timestamp": 1, "step": i}) for i in range(count)]


def _one(port, name):
    experiment = post(port, f"{API}/experiments/create", {"name": f"bench-{time.time_ns()}"})["experiment_id"]
    run = post(port, f"{API}/runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]
    posts(port, f"{API}/runs/log-metric", _bodies(run, 20, 0))
    single, _ = posts(port, f"{API}/runs/log-metric", _bodies(run, 200, 0))
    batch, _ = posts(port, f"{API}/runs/log-batch", _bodies(run, 20, 1000))
    _, rate = posts(port, f"{API}/runs/log-metric", _bodies(run, 800, 0), clients=8)
    return {"name": name, "single": single, "batch": batch, "rate": rate}


def _raw_sqlite():
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        connection = sqlite3.connect(file.name)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE m (r, k, v, t, s, PRIMARY KEY (r, k, s, t, v)) WITHOUT ROWID")
        started = time.perf_counter()
        for i in range(20):
            with connection:
                connection.executemany(
                    "INSERT INTO m VALUES (1, ?, ?, 1, ?)", [(k % 10, k, i * 1000 + k) for k in range(1000)]
                )
        return (time.perf_counter() - started) / 20


def measure():
    with server([sys.executable, "-c", ECHO, "5972"], 5972, "/"):
        echo, _ = posts(5972, "/", ["{}"] * 300)
    floor = _raw_sqlite()
    with tempfile.TemporaryDirectory() as home, server(hanok("up", "--home", home, "--port", "5973"), 5973) as process:
        ours = _one(5973, "hanok")
        memory = tree(process)[1]
    rows = [
        row("bare ASGI echo, one POST", 1000 * echo, "ms"),
        row("log_metric, one client", 1000 * ours["single"], "ms", f"{ours['single'] / echo:.1f}x the echo"),
        row("raw SQLite, 1000 rows in one durable commit", 1000 * floor, "ms"),
        row("log_batch of 1000 metrics", 1000 * ours["batch"], "ms", f"{ours['batch'] / floor:.1f}x raw SQLite"),
        row("log_metric, 8 clients", ours["rate"], "1/s"),
        row("memory afterwards", memory / 1e6, "MB"),
    ]
    peer = os.environ.get("HANOK_BENCH_MLFLOW")
    if not peer:
        return [*rows, row("MLflow", "-", "", "not measured: set HANOK_BENCH_MLFLOW to a python that has it")]
    version = subprocess.run(
        [peer, "-c", "import mlflow; print(mlflow.__version__)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as home:
        command = [
            peer,
            "-m",
            "mlflow",
            "server",
            "--port",
            "5974",
            "--backend-store-uri",
            f"sqlite:///{home}/m.db",
            "--artifacts-destination",
            home,
        ]
        with server(command, 5974) as process:
            theirs = _one(5974, "mlflow")
            memory = tree(process)[1]
    return [
        *rows,
        row(
            f"MLflow {version}: log_metric, one client",
            1000 * theirs["single"],
            "ms",
            f"{theirs['single'] / ours['single']:.0f}x ours",
        ),
        row(
            f"MLflow {version}: log_batch of 1000",
            1000 * theirs["batch"],
            "ms",
            f"{theirs['batch'] / ours['batch']:.0f}x ours",
        ),
        row(
            f"MLflow {version}: log_metric, 8 clients",
            theirs["rate"],
            "1/s",
            f"ours {ours['rate'] / theirs['rate']:.0f}x as many",
        ),
        row(f"MLflow {version}: memory of its processes", memory / 1e6, "MB"),
    ]
