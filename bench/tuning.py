"""Ask and tell of a study, each durable before it is answered; Optuna on its SQLite storage in the same run."""

import statistics
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import optuna

from hanok.core.clock import SystemClock
from hanok.core.tuning import Algorithm, Limits
from hanok.engine.tuning import TrialRuns
from hanok.parts.tuning.service import Tuning
from hanok.stores.sql import SqlMetadata

SPACE = {f"x{i}": {"_type": "uniform", "_value": [0, 1]} for i in range(7)}
OURS, THEIRS = 200, 40


def measure():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        metadata = SqlMetadata.at(Path(folder) / "m.db")
        tuning = Tuning(metadata, SystemClock(), TrialRuns())
        tuning.create("s", SPACE, sampler=Algorithm("random"), limits=Limits(concurrency=4))

        def ask_and_tell():
            (trial,) = tuning.ask("s", worker="w")
            tuning.tell(trial.id, 1.0, token=trial.token)

        ours = _each(ask_and_tell, OURS)
        metadata.close()
        study = optuna.create_study(storage=f"sqlite:///{folder}/o.db", sampler=optuna.samplers.RandomSampler(seed=0))
        kinds = {name: optuna.distributions.FloatDistribution(0, 1) for name in SPACE}
        theirs = _each(lambda: study.tell(study.ask(kinds), 1.0), THEIRS)
    return [
        {"what": "ask and tell with the trial's run", "value": ours[0], "unit": "ms", "note": "aim 1.5"},
        {"what": "CPU of it", "value": ours[1], "unit": "ms CPU"},
        {
            "what": "Optuna on SQLite, no run",
            "value": theirs[0],
            "unit": "ms",
            "note": f"{theirs[0] / ours[0]:.1f}x ours",
        },
        {"what": "CPU of it", "value": theirs[1], "unit": "ms CPU", "note": f"{theirs[1] / ours[1]:.1f}x ours"},
    ]


def _each(work, times):
    """Median milliseconds of a call, and mean milliseconds of CPU."""
    work()
    took, cpu = [], process_time()
    for _ in range(times):
        began = perf_counter()
        work()
        took.append(perf_counter() - began)
    return round(1000 * statistics.median(took), 2), round(1000 * (process_time() - cpu) / times, 2)
