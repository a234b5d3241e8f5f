"""Verbs that delete, restore, move and fork runs, and that remove for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from hanok.core.access import Access
from hanok.core.durations import duration
from hanok.core.errors import NotFound
from hanok.core.json import JsonObject
from hanok.core.tracking import ACTIVE, DELETED
from hanok.engine.arguments import Count
from hanok.engine.finding import experiment_of, run_id_of
from hanok.engine.verbs.registry import verb
from hanok.parts.tracking.service import Tracking


@verb("run.delete", Access.EDIT, "read")
def delete_runs(tracking: Tracking, *, runs: Sequence[str]) -> JsonObject:
    """Hide runs until they are restored, or removed by gc."""
    ids = [run_id_of(tracking, run) for run in runs]
    for run in ids:
        tracking.runs.delete(run)
    return {"deleted": ids}


@verb("run.restore", Access.EDIT, "read")
def restore_runs(tracking: Tracking, *, runs: Sequence[str]) -> JsonObject:
    """Bring deleted runs back."""
    for run in runs:
        tracking.runs.restore(run)
    return {"restored": list(runs)}


@verb("run.move", Access.EDIT, "read")
def move_runs(tracking: Tracking, *, actor: str, runs: Sequence[str], experiment: str) -> JsonObject:
    """Put runs into another experiment (a name, or an id); their artifacts stay where they are."""
    target = experiment_of(tracking, experiment)
    moved = tracking.upkeep.move([run_id_of(tracking, run) for run in runs], target.id, actor=actor)
    return {"experiment": target.name, "experiment_id": target.id, "moved": [run.id for run in moved]}


@verb("run.fork", Access.EDIT, "read")
def fork_run(tracking: Tracking, *, actor: str, run: str, step: Count | None = None, name: str = "") -> JsonObject:
    """A new run with the params, tags, datasets, and points up to a step of another; it goes on from there."""
    made = tracking.upkeep.fork(run_id_of(tracking, run), step=step, name=name, user=actor)
    return {"run": made.id, "name": made.name, "metrics": {m.key: m.value for m in made.metrics}}


@verb("run.delete_metric", Access.EDIT, "read")
def delete_metric(tracking: Tracking, *, run: str, key: str) -> JsonObject:
    """Forget every point of a metric of a run."""
    found = tracking.runs.get(run_id_of(tracking, run))
    if key not in found.latest:
        raise NotFound(f"run {found.id} has no metric {key[:80]!r}; it has {', '.join(sorted(found.latest)) or 'none'}")
    tracking.runs.delete_metric(found.id, key)
    return {"run": found.id, "deleted": key}


@verb("experiment.list", Access.READ, "read")
def list_experiments(tracking: Tracking, *, deleted: bool = False) -> Sequence[JsonObject]:
    """Experiments, newest first; with `deleted` the deleted ones."""
    chosen = (DELETED,) if deleted else (ACTIVE,)
    return [
        {"id": e.id, "name": e.name, "created": e.created.isoformat(), "tags": dict(e.tags)}
        for e in tracking.experiments.search(lifecycles=chosen, limit=100_000).items
    ]


@verb("experiment.delete", Access.EDIT, "read")
def delete_experiment(tracking: Tracking, *, experiment: str) -> JsonObject:
    """Hide an experiment and what is in it until it is restored, or removed by gc."""
    found = experiment_of(tracking, experiment)
    tracking.experiments.delete(found.id)
    return {"deleted": found.id, "name": found.name}


@verb("experiment.restore", Access.EDIT, "read")
def restore_experiment(tracking: Tracking, *, experiment: str) -> JsonObject:
    """Bring a deleted experiment back."""
    found = experiment_of(tracking, experiment)
    tracking.experiments.restore(found.id)
    return {"restored": found.id, "name": found.name}


@verb("gc", Access.OWN, "long")
def remove(
    tracking: Tracking,
    *,
    actor: str,
    older_than: str = "0d",
    runs: Sequence[str] = (),
    experiments: Sequence[str] = (),
    grace: str = "15m",
    dry_run: bool = False,
) -> JsonObject:
    """Remove deleted runs, experiments and logged models for good, and the content that nothing names any more."""
    removed = tracking.upkeep.remove(
        runs=list(runs),
        experiments=[experiment_of(tracking, e).id for e in experiments],
        older_than=duration(older_than),
        grace=duration(grace),
        dry_run=dry_run,
        actor=actor,
    )
    return {"dry_run": dry_run} | {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(removed).items()}
