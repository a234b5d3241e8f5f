"""Verbs of tuning: make a study, ask it for parameters, report and tell results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from hanok.core.access import Access
from hanok.core.json import Json, JsonObject
from hanok.core.records import to_body
from hanok.core.tuning import Algorithm, Direction, Limits, Study, StudyState, Trial, TrialState
from hanok.engine.arguments import Count
from hanok.engine.logged import package_of, register_logged
from hanok.engine.tuning import chosen_trial, model_of
from hanok.engine.verbs.registry import verb
from hanok.parts.tracking.service import Tracking
from hanok.parts.tuning.exchange import exported, imported
from hanok.parts.tuning.rules import changed
from hanok.parts.tuning.service import Tuning

States = Literal["", "waiting", "running", "complete", "pruned", "failed", "cancelled"]
Ended = Literal["", "complete", "pruned", "failed", "cancelled"]


@verb("study.create", Access.EDIT, "read")
def create(
    tuning: Tuning,
    *,
    name: str,
    space: JsonObject | None = None,
    directions: Sequence[Direction] = ("minimize",),
    sampler: str = "tpe",
    sampler_arguments: JsonObject | None = None,
    pruner: str = "",
    pruner_arguments: JsonObject | None = None,
    limits: Mapping[str, int | float | None] | None = None,
    seed: Count = 0,
) -> JsonObject:
    """Make a study. `space` is written as NNI writes it; without one its clients choose the parameters."""
    made = tuning.create(
        name,
        space,
        directions=directions,
        sampler=Algorithm(sampler, sampler_arguments or {}),
        pruner=Algorithm(pruner, pruner_arguments or {}) if pruner else None,
        limits=changed(Limits(), limits or {}),
        seed=seed,
    )
    return _study(made)


@verb("study.list", Access.READ, "read")
def list_(tuning: Tuning) -> Sequence[JsonObject]:
    """Studies with the number of their trials and the best value so far."""
    rows: list[JsonObject] = []
    for study in tuning.studies():
        best, counts = tuning.best(study.name), tuning.counts(study.name)
        rows.append(
            {
                "name": study.name,
                "state": study.state,
                "trials": sum(counts.values()),
                "best": list(best[0].values) if best else None,
                "sampler": study.sampler.name,
                "created": study.created.isoformat(),
            }
        )
    return rows


@verb("study.show", Access.READ, "read")
def show(tuning: Tuning, *, name: str) -> JsonObject:
    """A study: space, algorithm, limits, counts by state, and its best trial (or front)."""
    study, counts = tuning.study(name), tuning.counts(name)
    return {
        **_study(study),
        "trials": sum(counts.values()),
        "counts": {str(state): number for state, number in counts.items()},
        "best": [_trial(t) for t in tuning.best(name)],
    }


@verb("study.trials", Access.READ, "read")
def trials(tuning: Tuning, *, name: str, state: States = "", limit: Count = 1000) -> Sequence[JsonObject]:
    """The trials of a study in the order of their numbers."""
    return [_trial(t) for t in tuning.trials(name, states=(state,) if state else (), limit=limit)]


@verb("study.update", Access.EDIT, "read")
def update(
    tuning: Tuning,
    *,
    name: str,
    space: JsonObject | None = None,
    limits: Mapping[str, int | float | None] | None = None,
    state: StudyState | None = None,
) -> JsonObject:
    """Change a study while it runs: its space, its limits, or stop it and let it go on."""
    return _study(tuning.update(name, space=space, limits=limits, state=state))


@verb("study.delete", Access.EDIT, "read")
def delete(tuning: Tuning, *, name: str) -> JsonObject:
    """Remove a study with its trials; their runs stay."""
    tuning.delete(name)
    return {"name": name, "deleted": True}


@verb("study.ask", Access.EDIT, "read")
def ask(tuning: Tuning, *, name: str, worker: str, n: Count = 1, code_of: str = "") -> Sequence[JsonObject]:
    """Up to `n` trials to work on, each with its token. 409 `study_over` when nothing will come any more. Their runs
    get the code and the packages of the run `code_of`."""
    return [_trial(t) for t in tuning.ask(name, worker=worker, n=n, code_of=code_of)]


@verb("study.start", Access.EDIT, "read")
def start(
    tuning: Tuning, *, name: str, params: JsonObject, worker: str, code_of: str = "", key: str = ""
) -> JsonObject:
    """A trial that its client works on, with parameters that the client chose; for studies of the sampler `client`.
    Asked again with the same `key`, it is the trial that runs already."""
    return _trial(tuning.start(name, params, worker=worker, code_of=code_of, key=key))


@verb("study.report", Access.EDIT, "read")
def report(tuning: Tuning, *, trial: Count, value: Json, step: int | None = None, token: str = "") -> JsonObject:
    """Keep an intermediate value; `stop` says that the trial is not worth going on with."""
    return {"trial": trial, "stop": tuning.report(trial, value, step=step, token=token)}


@verb("study.tell", Access.EDIT, "read")
def tell(
    tuning: Tuning, *, trial: Count, value: Json = None, state: Ended = "", reason: str = "", token: str = ""
) -> JsonObject:
    """End a trial with its value (one for each objective), or in a state. Told again the same, nothing changes."""
    return _trial(tuning.tell(trial, value, state=state or None, reason=reason, token=token))


@verb("study.heartbeat", Access.EDIT, "read")
def heartbeat(tuning: Tuning, *, trials: Sequence[Count], worker: str) -> JsonObject:
    """A worker lives; `lost` are the trials that are not its own any more."""
    return {"lost": tuning.heartbeat(trials, worker=worker)}


@verb("study.enqueue", Access.EDIT, "read")
def enqueue(tuning: Tuning, *, name: str, params: JsonObject) -> JsonObject:
    """Try these parameters next."""
    return _trial(tuning.enqueue(name, params))


@verb("study.register", Access.EDIT, "heavy", of_model="")  # one that is not there yet is made
def register(
    tuning: Tuning,
    tracking: Tracking,
    *,
    actor: str,
    name: str,
    model: str,
    trial: Count | None = None,
    logged: str = "",
) -> JsonObject:
    """Make the model that the best trial (or `trial`) logged the next version of the registered model `model`. A trial
    that logged several says which one by `logged`. Again, it is the version that is there."""
    study = tuning.study(name)
    chosen = chosen_trial(tuning, name, trial)
    found = model_of(tracking, study, chosen, logged)
    version = register_logged(
        tracking,
        model,
        found.id,
        run=chosen.run_id,
        package=package_of(tracking, found.artifact_uri),
        actor=actor,
        facts={"study": study.name, "trial": chosen.number, "params": chosen.params},
        read=[study.node] if study.node else [],
        description=f"trial {chosen.number} of study {study.name}",
    )
    return {
        "model": version.model,
        "version": version.version,
        "study": study.name,
        "trial": chosen.number,
        "values": list(chosen.values),
        "params": chosen.params,
        "run": chosen.run_id,
    }


@verb("study.export", Access.READ, "heavy")
def export(tuning: Tuning, *, name: str) -> JsonObject:
    """The study with all its trials, for `study.import` elsewhere."""
    return exported(tuning.study(name), tuning.trials(name))


@verb("study.import", Access.EDIT, "long")
def import_(tuning: Tuning, *, study: JsonObject, name: str = "") -> JsonObject:
    """Read an exported study. The trials of one that is there already are added to it."""
    declared, found = imported(study, name)
    added = tuning.take_in(declared, found)
    return {"name": declared.name, "trials": added}


def _study(study: Study) -> JsonObject:
    return {k: v for k, v in to_body(study).items() if k not in ("id", "user_attrs", "system_attrs")}


def _trial(trial: Trial) -> JsonObject:
    state: TrialState = trial.state
    return {
        "id": trial.id,
        "number": trial.number,
        "state": state,
        "params": trial.params,
        "values": [float(v) for v in trial.values],
        "reports": {str(step): value for step, value in trial.reports.items()},
        "source": trial.source,
        "reason": trial.reason,
        "token": trial.token,
        "run": trial.run_id,
        "started": trial.started.isoformat() if trial.started else None,
        "ended": trial.ended.isoformat() if trial.ended else None,
    }
