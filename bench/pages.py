"""The Runs page over 10,000 runs of 20 metrics and 20 params: CPU of the server's code for each of its answers."""

import gzip
import math
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from starlette.testclient import TestClient

from bench.tools import row
from hanok.core.clock import ReplayClock
from hanok.core.tracking import Metric, Run
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.server.run import build

RUNS, KEYS, POINTS = 10_000, 20, 100_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fill(app, runs=RUNS):
    """A sweep by two users, written through the repositories in commits of 500 runs."""
    experiment = app.tracking.experiments.create("sweep").id
    chance = random.Random(7)
    metrics = ["val_log_loss", "val_accuracy", *(f"val_metric_{i:02}_error" for i in range(KEYS - 2))]
    for first in range(0, runs, 500):

        def work(r, first=first):
            for i in range(first, min(first + 500, runs)):
                run_id = f"{i:032x}"
                started = NOW - timedelta(minutes=i)
                root = f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"
                user, ended = chance.choice(("mina", "jun")), started + timedelta(seconds=40)
                made = Run(run_id, experiment, f"run-{i:05}", started, root, status="FINISHED", user=user, ended=ended)
                r.runs.add(made)
                lr = 10 ** chance.uniform(-4, -1)
                r.runs.add_params(
                    run_id,
                    {
                        "lr": f"{lr:.6g}",
                        "depth": str(chance.randint(2, 12)),
                        **{f"p{k:02}": str(chance.randint(0, 9)) for k in range(KEYS - 2)},
                    },
                )
                loss = 0.3 + 0.05 * abs(math.log10(lr) + 2.5) + chance.gauss(0, 0.01)
                values = [loss, 1 - loss / 2, *(chance.random() for _ in range(KEYS - 2))]
                r.metrics.append(run_id, [Metric(k, v, 0, 1) for k, v in zip(metrics, values, strict=True)])

        app.metadata.write(work)
    return experiment


def _cpu(work, times=9):
    """Median CPU milliseconds of this process."""
    work()
    seconds = []
    for _ in range(times):
        before = time.process_time()
        work()
        seconds.append(time.process_time() - before)
    return 1000 * sorted(seconds)[times // 2]


def _curve(app, experiment):
    """A run with one metric of 100,000 points."""
    run = app.tracking.runs.create(experiment, name="long").id
    points = [Metric("loss", 1 / (1 + i) + (i % 7) / 100, 1000 * i, i) for i in range(POINTS)]
    for first in range(0, POINTS, 20_000):
        app.tracking.runs.log(run, metrics=points[first : first + 20_000])
    return run


def measure():
    with tempfile.TemporaryDirectory() as home:
        app = open_app(Config(home=Path(home)), clock=ReplayClock(NOW))
        client = TestClient(build(app), base_url="http://localhost", headers={"accept-encoding": "gzip"})
        run = _curve(app, fill(app))
        either = quote("metrics.val_log_loss < 0.31 and (params.depth = '3' or params.depth = '4')")
        two = "col=metric.val_log_loss&col=param.lr"
        asked = {
            "first page of 10,000 runs": "/runs?experiment=sweep",
            "sorted by a metric": "/runs?experiment=sweep&sort=metric.val_log_loss&order=asc",
            "filtered with OR": f"/runs?experiment=sweep&q={either}",
            "50 rows in the middle": f"/runs/rows?experiment=sweep&offset=5000&users=1&{two}",
            "the best of a metric": f"/runs/best.json?experiment=sweep&{two}",
            "which setting matters, 1,000 runs": "/runs?experiment=sweep&view=settings&metric=val_log_loss",
            "compare 20 runs": "/compare?runs=" + ",".join(f"{i:032x}" for i in range(20)),
            "a run with a curve of 100,000 points": f"/runs/{run}",
        }
        rows = []
        for what, url in asked.items():
            reply = client.get(url)
            assert reply.status_code == 200, (url, reply.text)
            note = f"{len(gzip.compress(reply.content, 5)) / 1000:.1f} KB on the wire"
            rows.append(row(what, _cpu(lambda url=url: client.get(url)), "ms CPU", note))
        app.close()
        return rows
