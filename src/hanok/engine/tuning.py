"""A trial is a run: what tuning needs of tracking, and how the best trial becomes a model version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from hanok.core.clock import micros
from hanok.core.errors import Conflict, Invalid
from hanok.core.ids import new_id
from hanok.core.json import Json
from hanok.core.lineage import Event, Node, NodeKind
from hanok.core.tracking import FAILED, FINISHED, KILLED, RUN_NAME_TAG, Artifact, Experiment, LoggedModel, Metric, Run
from hanok.core.tuning import COMPLETE, ENDED, PRUNED, STUDY_TAG, TRIAL_TAG, Study, Trial
from hanok.core.tuning import FAILED as TRIAL_FAILED
from hanok.parts.tracking.artifacts import in_tree
from hanok.parts.tracking.run_records import add_run, artifacts_of, tell_end, write_log
from hanok.parts.tracking.service import Tracking
from hanok.parts.tuning.service import Tuning
from hanok.stores.ports import Repositories

PARAM_MAX = 500
CODE_FOLDERS = ("code", "environment")
CODE_TAGS = ("mlflow.source.", "hanok.command", "hanok.python", "hanok.platform")


class TrialRuns:
    """Runs of trials, each in the experiment of its study."""

    def begin_study(self, r: Repositories, study: Study, now: datetime) -> Study:
        found = r.experiments.named(study.name)
        if found is None:
            found = r.experiments.add(Experiment("", study.name, "", now, now))
            r.outbox.append(Event("experiment_created", found.id, now, {"name": study.name}))
        node = new_id(now)
        r.lineage.add([Node(node, NodeKind.STUDY, study.name, now, {"experiment": found.id})], [])
        return replace(study, experiment_id=found.id, node=node)

    def begin(self, r: Repositories, study: Study, trial: Trial, now: datetime, *, code_of: str = "") -> None:
        experiment = r.experiments.get(study.experiment_id)
        name = f"{study.name}-{trial.number}"
        tags = {RUN_NAME_TAG: name, STUDY_TAG: study.name, TRIAL_TAG: str(trial.number)}
        run = Run(
            id=trial.run_id,
            experiment_id=experiment.id,
            name=name,
            started=now,
            artifact_uri=artifacts_of(experiment, trial.run_id),
            user="",
            tags=tags,
        )
        if code_of:
            run = _with_code(r, run, r.runs.get(code_of), now)
        add_run(r, run, experiment, now, read=[study.node] if study.node else [])
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


def _with_code(r: Repositories, run: Run, known: Run, now: datetime) -> Run:
    """The run with the source tags of another one, and with its files of code and packages (the same bytes)."""
    if known.experiment_id != run.experiment_id:
        raise Invalid(f"run {known.id} is of another study: its code is not that of {run.name}")
    to, of = in_tree(run.artifact_uri), in_tree(known.artifact_uri)
    for folder in CODE_FOLDERS:
        for file in _files(r, f"{of}/{folder}"):
            r.artifacts.put(Artifact(f"{to}{file.path[len(of) :]}", file.digest, file.size_bytes), now)
    tags = {key: value for key, value in known.tags.items() if key.startswith(CODE_TAGS)}
    return replace(run, user=known.user, tags={**tags, **run.tags})


def _files(r: Repositories, folder: str) -> Iterator[Artifact]:
    for child in r.artifacts.children(folder):
        if child.is_folder:
            yield from _files(r, child.path)
        else:
            yield child


def flat(params: Mapping[str, Json], prefix: str = "") -> dict[str, str]:
    """Parameters as a run has them: text by name, those within a choice as `layer.kernel`."""
    found: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)[:PARAM_MAX]
    return found


def chosen_trial(tuning: Tuning, study: str, number: int | None) -> Trial:
    """The trial of a number, or the best one. Raises Invalid where there is no such trial, or none is the best."""
    if number is not None:
        found = next((t for t in tuning.trials(study) if t.number == number), None)
        if found is None:
            raise Invalid(f"study {study!r} has no trial {number}; 'hanok study trials {study}' lists them")
        if found.state not in ENDED:
            raise Conflict(f"trial {number} of study {study!r} is {found.state}; wait for its end")
        return found
    best = tuning.best(study)
    if not best:
        raise Conflict(f"no trial of study {study!r} has come to its end; 'hanok study show {study}' says why")
    if len(best) > 1:
        front = ", ".join(str(t.number) for t in best[:20])
        raise Invalid(f"no other trial beats these of study {study!r}: {front}; say which one with 'trial'")
    return best[0]


def model_of(tracking: Tracking, study: Study, trial: Trial, name: str) -> LoggedModel:
    """The model that a trial's run logged (the newest, or of a name). Raises Conflict where there is none."""
    whose = f"trial {trial.number} of study {study.name!r}"
    if not trial.run_id:
        raise Conflict(f"{whose} has no run: its client chose the parameters and trained where Hanok does not look")
    written = [tracking.logged_models.get(w.model_id) for w in tracking.runs.get(trial.run_id).models_written]
    found = [m for m in written if not name or m.name == name]
    if found:
        return max(found, key=lambda m: m.created)
    if written:
        raise Invalid(f"{whose} logged no model named {name!r}; it logged {', '.join(m.name for m in written)}")
    raise Conflict(
        f"{whose} logged no model. Log one where it is trained: trial.run.model(model, X, y) in a function, "
        "'with hk.run() as run: run.model(model, X, y)' in a command; then run that trial again: "
        f"hanok study add {study.name} PARAMS"
    )
