"""The Runs page over 10,000 runs of 20 metrics and 20 params: CPU of the server's code for each of its answers."""

import math
import random
import time
from datetime import UTC, datetime, timedelta

from hanok.core.tracking import Metric, Run

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
