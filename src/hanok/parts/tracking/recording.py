"""Applying the entries that a training process sends of its run. Each has one effect, however often it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from hanok.core.clock import Clock, from_micros
from hanok.core.errors import Invalid
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.recording import WRITER_RECORD, Entry, ModelEntry
from hanok.core.tracking import (
    DEFAULT_EXPERIMENT,
    PENDING,
    READY,
    RUN_NAME_TAG,
    RUN_STATUSES,
    Experiment,
    LoggedModel,
    ModelOutput,
    Run,
)
from hanok.core.tuning import TRIAL_TAG
from hanok.parts.tracking import checks
from hanok.parts.tracking.lineage import is_node
from hanok.parts.tracking.names import name_of
from hanok.parts.tracking.run_records import add_run, artifacts_of, tell_end, write_inputs, write_log
from hanok.stores.ports import Metadata, Repositories

RUN_ID_LENGTH = 32


class RecordingVerbs:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def apply(self, run_id: str, writer: str, entries: Sequence[Entry], *, user: str = "") -> int:
        """Apply what is new, all or nothing; returns the number of the last entry applied.

        Raises RunNotFound, RunDeleted, ParamChanged, Invalid.
        """
        _check(run_id, writer, entries)
        now = self._clock.now()

        def work(r: Repositories) -> int:
            held = r.records.get(WRITER_RECORD, run_id, writer)
            applied = int(held["applied"]) if held else 0
            fresh = sorted((e for e in entries if e.number > applied), key=lambda e: e.number)
            for entry in merged(fresh):
                _apply(r, run_id, entry, user, now)
            if fresh:
                applied = fresh[-1].number
                r.records.put(WRITER_RECORD, run_id, writer, {"applied": applied}, now)
            return applied

        return self._metadata.write(work)


def merged(entries: Sequence[Entry]) -> list[Entry]:
    """Neighbouring logs become one: their points, params and tags in order."""
    found: list[Entry] = []
    for entry in entries:
        last = found[-1] if found else None
        if last is not None and last.kind == entry.kind == "log" and not _changes_param(last, entry):
            found[-1] = replace(
                entry,
                metrics=last.metrics + entry.metrics,
                params={**last.params, **entry.params},
                tags={**last.tags, **entry.tags},
            )
        else:
            found.append(entry)
    return found


def _changes_param(earlier: Entry, later: Entry) -> bool:
    return any(earlier.params.get(key, value) != value for key, value in later.params.items())


def _check(run_id: str, writer: str, entries: Sequence[Entry]) -> None:
    if len(run_id) != RUN_ID_LENGTH or not set(run_id) <= set("0123456789abcdef"):
        raise Invalid(f"run id {run_id[:80]!r} is not 32 lower-case hex digits")
    if not 1 <= len(writer) <= 64 or not writer.isalnum():
        raise Invalid(f"writer {writer[:80]!r} is not 1 to 64 letters and digits")
    for entry in entries:
        checks.check_keys("metric", {m.key for m in entry.metrics})
        checks.check_values("param", entry.params, checks.PARAM_VALUE_MAX)
        checks.check_values("tag", entry.tags, checks.TAG_VALUE_MAX)
        if entry.kind == "end" and entry.status not in RUN_STATUSES:
            raise Invalid(f"run status {entry.status[:40]!r} is not one of {', '.join(RUN_STATUSES)}")


def _apply(r: Repositories, run_id: str, entry: Entry, user: str, now: datetime) -> None:
    if entry.kind == "start":
        _start(r, run_id, entry, user, now)
    elif entry.kind == "log":
        write_log(r, run_id, entry.metrics, entry.params, entry.tags)
    elif entry.kind == "dataset" and entry.dataset is not None:
        write_inputs(r, run_id, [entry.dataset], [], now)
    elif entry.kind == "model" and entry.model is not None:
        _add_model(r, run_id, entry.model, now)
    elif entry.kind == "package" and entry.model is not None:
        model = r.logged_models.get(entry.model.id)
        r.logged_models.put(replace(model, status=READY, updated=now))
    elif entry.kind == "end":
        before = r.runs.get(run_id)
        if TRIAL_TAG in before.tags:  # the run of a trial ends with its trial
            return
        after = replace(before, status=entry.status, ended=_instant(entry.at_ms))
        r.runs.put(after)
        tell_end(r, before, after, now)


def _start(r: Repositories, run_id: str, entry: Entry, user: str, now: datetime) -> None:
    if is_node(r, run_id):  # another process goes on with a run that is there
        return
    experiment = _experiment(r, entry.experiment, now)
    name = entry.name or name_of(run_id)
    run = Run(
        id=run_id,
        experiment_id=experiment.id,
        name=name,
        started=_instant(entry.at_ms),
        artifact_uri=artifacts_of(experiment, run_id),
        user=user or entry.user,
        tags={**entry.tags, RUN_NAME_TAG: name},
    )
    add_run(r, run, experiment, now)


def _experiment(r: Repositories, name: str, now: datetime) -> Experiment:
    if not name:
        return r.experiments.get(DEFAULT_EXPERIMENT)
    found = r.experiments.named(name)
    if found is not None:
        return found
    checks.check_experiment_name(name)
    made = r.experiments.add(Experiment("", name, "", now, now))
    r.outbox.append(Event("experiment_created", made.id, now, {"name": name}))
    return made


def _add_model(r: Repositories, run_id: str, model: ModelEntry, now: datetime) -> None:
    checks.check_values("param", model.params, checks.PARAM_VALUE_MAX)
    checks.check_logged_model_name(model.name)
    run = r.runs.get(run_id)
    experiment = r.experiments.get(run.experiment_id)
    r.logged_models.add(
        LoggedModel(
            id=model.id,
            experiment_id=experiment.id,
            name=model.name or name_of(model.id),
            artifact_uri=f"{experiment.location}/models/{model.id}/artifacts",
            created=now,
            updated=now,
            status=PENDING,
            model_type=model.model_type,
            source_run_id=run_id,
            params=model.params,
        )
    )
    r.run_links.add_models_written(run_id, [ModelOutput(model.id)])
    node = Node(model.id, NodeKind.LOGGED_MODEL, model.name or name_of(model.id), now, {"type": model.model_type})
    r.lineage.add([node], [Edge(run_id, EdgeKind.WROTE, model.id)])
    r.outbox.append(Event("model_logged", model.id, now, {"run": run_id}))


def _instant(millis: int) -> datetime:
    return from_micros(millis * 1000)
