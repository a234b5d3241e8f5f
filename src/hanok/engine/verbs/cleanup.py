"""Verbs that delete, restore, move and fork runs, and that remove for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hanok.core.access import Access
from hanok.core.durations import duration
from hanok.core.errors import ExperimentNotFound, NotFound
from hanok.core.tracking import ACTIVE, DELETED, Experiment
from hanok.engine.verbs.reading import run_id_of
from hanok.engine.verbs.registry import verb


@verb("run.delete", Access.EDIT)
def delete_runs(app: Any, actor: str, *, runs: Sequence[str]) -> dict[str, Any]:
    """Hide runs until they are restored, or removed by gc."""
    ids = [run_id_of(app, run) for run in runs]
    for run in ids:
        app.tracking.runs.delete(run)
    return {"deleted": ids}


@verb("run.restore", Access.EDIT)
def restore_runs(app: Any, actor: str, *, runs: Sequence[str]) -> dict[str, Any]:
    """Bring deleted runs back."""
    for run in runs:
        app.tracking.runs.restore(run)
    return {"restored": list(runs)}


@verb("run.move", Access.EDIT)
def move_runs(app: Any, actor: str, *, runs: Sequence[str], experiment: str) -> dict[str, Any]:
    """Put runs into another experiment (a name, or an id); their artifacts stay where they are."""
    target = experiment_of(app, experiment)
    moved = app.tracking.upkeep.move([run_id_of(app, run) for run in runs], target.id, actor=actor)
    return {"experiment": target.name, "experiment_id": target.id, "moved": [run.id for run in moved]}


@verb("run.fork", Access.EDIT)
def fork_run(app: Any, actor: str, *, run: str, step: int | None = None, name: str = "") -> dict[str, Any]:
    """A new run with the params, tags, datasets, and points up to a step of another; it goes on from there."""
    made = app.tracking.upkeep.fork(run_id_of(app, run), step=step, name=name, user=actor)
    return {"run": made.id, "name": made.name, "metrics": {m.key: m.value for m in made.metrics}}


@verb("run.delete_metric", Access.EDIT)
def delete_metric(app: Any, actor: str, *, run: str, key: str) -> dict[str, Any]:
    """Forget every point of a metric of a run."""
    found = app.tracking.runs.get(run_id_of(app, run))
    if key not in found.latest:
        raise NotFound(f"run {found.id} has no metric {key[:80]!r}; it has {', '.join(sorted(found.latest)) or 'none'}")
    app.tracking.runs.delete_metric(found.id, key)
    return {"run": found.id, "deleted": key}


@verb("experiment.list", Access.READ)
def list_experiments(app: Any, actor: str, *, deleted: bool = False) -> list[dict[str, Any]]:
    """Experiments, newest first; with `deleted` the deleted ones."""
    chosen = (DELETED,) if deleted else (ACTIVE,)
    return [
        {"id": e.id, "name": e.name, "created": e.created.isoformat(), "tags": dict(e.tags)}
        for e in app.tracking.experiments.search(lifecycles=chosen, limit=100_000).items
    ]


@verb("experiment.delete", Access.EDIT)
def delete_experiment(app: Any, actor: str, *, experiment: str) -> dict[str, Any]:
    """Hide an experiment and what is in it until it is restored, or removed by gc."""
    found = experiment_of(app, experiment)
    app.tracking.experiments.delete(found.id)
    return {"deleted": found.id, "name": found.name}


@verb("experiment.restore", Access.EDIT)
def restore_experiment(app: Any, actor: str, *, experiment: str) -> dict[str, Any]:
    """Bring a deleted experiment back."""
    found = experiment_of(app, experiment)
    app.tracking.experiments.restore(found.id)
    return {"restored": found.id, "name": found.name}


@verb("gc", Access.OWN)
def remove(
    app: Any,
    actor: str,
    *,
    older_than: str = "0d",
    runs: Sequence[str] = (),
    experiments: Sequence[str] = (),
    grace: str = "15m",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Remove deleted runs, experiments and logged models for good, and the content that nothing names any more."""
    removed = app.tracking.upkeep.remove(
        runs=list(runs),
        experiments=[experiment_of(app, e).id for e in experiments],
        older_than=duration(older_than),
        grace=duration(grace),
        dry_run=dry_run,
        actor=actor,
    )
    return {"dry_run": dry_run} | {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(removed).items()}


def experiment_of(app: Any, text: str) -> Experiment:
    """By name, else by id. Raises ExperimentNotFound."""
    try:
        found: Experiment = app.tracking.experiments.named(text)
    except ExperimentNotFound:
        found = app.tracking.experiments.get(text)
    return found
