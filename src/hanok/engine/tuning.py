"""A trial is a run: what tuning needs of tracking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from hanok.core.clock import micros
from hanok.core.json import Json
from hanok.core.lineage import Event
from hanok.core.tracking import FAILED, FINISHED, KILLED, RUN_NAME_TAG, Experiment, Metric, Run
from hanok.core.tuning import COMPLETE, PRUNED, Study, Trial
from hanok.core.tuning import FAILED as TRIAL_FAILED
from hanok.parts.tracking.run_records import add_run, artifacts_of, tell_end, write_log
from hanok.stores.ports import Repositories

STUDY_TAG, TRIAL_TAG = "hanok.study", "hanok.trial"
PARAM_MAX = 500


class TrialRuns:
    """Runs of trials, each in the experiment of its study."""

    def experiment(self, r: Repositories, name: str, now: datetime) -> str:
        found = r.experiments.named(name)
        if found is not None:
            return found.id
        made = r.experiments.add(Experiment("", name, "", now, now))
        r.outbox.append(Event("experiment_created", made.id, now, {"name": name}))
        return made.id

    def begin(self, r: Repositories, study: Study, trial: Trial, now: datetime) -> None:
        experiment = r.experiments.get(study.experiment_id)
        name = f"{study.name}-{trial.number}"
        run = Run(
            id=trial.run_id,
            experiment_id=experiment.id,
            name=name,
            started=now,
            artifact_uri=artifacts_of(experiment, trial.run_id),
            user="",
            tags={RUN_NAME_TAG: name, STUDY_TAG: study.name, TRIAL_TAG: str(trial.number)},
        )
        add_run(r, run, experiment, now)
        write_log(r, trial.run_id, (), flat(trial.params), {})

    def log(self, r: Repositories, run_id: str, metrics: Mapping[str, float], step: int, now: datetime) -> None:
        at = micros(now) // 1000
        r.metrics.append(run_id, [Metric(key, value, at, step) for key, value in metrics.items()])

    def end(self, r: Repositories, run_id: str, *, state: str, now: datetime) -> None:
        before = r.runs.get(run_id)
        status = FINISHED if state in (COMPLETE, PRUNED) else FAILED if state == TRIAL_FAILED else KILLED
        after = replace(before, status=status, ended=now)
        r.runs.put(after)
        tell_end(r, before, after, now)


def flat(params: Mapping[str, Json], prefix: str = "") -> dict[str, str]:
    """Parameters as a run has them: text by name, those within a choice as `layer.kernel`."""
    found: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)[:PARAM_MAX]
    return found
