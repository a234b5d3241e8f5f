"""Removing for good, moving and forking.

Removal: one commit takes the rows, leaves the tombstones and tells the outbox; only then go the bytes that nothing
names any more. A process that dies in between leaves bytes without a name, which the next removal finds, and never a
name without bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hanok.core.clock import Clock, SystemClock
from hanok.core.errors import Conflict, Invalid
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event
from hanok.core.tracking import ACTIVE, DEFAULT_EXPERIMENT, DELETED, RUN_NAME_TAG, RUNNING, Metric, Run
from hanok.parts.tracking.named import addresses_of, named
from hanok.parts.tracking.run_records import add_run, artifacts_of
from hanok.stores.ports import Blobs, Metadata, Repositories
from hanok.stores.ports_upkeep import Addresses

log = logging.getLogger("hanok.upkeep")
FORKED_FROM, FORKED_AT = "hanok.forkedFrom", "hanok.forkedAtStep"


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal took, or would take. `bytes` is what artifact paths named; `freed_bytes` what left the disk,
    which is less where other runs have the same content."""

    runs: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    logged_models: tuple[str, ...] = ()
    traces: int = 0
    metric_points: int = 0
    artifacts: int = 0
    bytes: int = 0
    blobs: int = 0
    freed_bytes: int = 0


class _Undone(Exception):
    """Carries the outcome of a dry run out of the transaction that is taken back, and what would still be named."""

    def __init__(self, outcome: Removed, addresses: Addresses) -> None:
        self.outcome, self.addresses = outcome, addresses


class UpkeepVerbs:
    def __init__(self, metadata: Metadata, blobs: Blobs, clock: Clock) -> None:
        self._metadata, self._blobs, self._clock = metadata, blobs, clock

    def remove(
        self,
        *,
        runs: Sequence[str] = (),
        experiments: Sequence[str] = (),
        older_than: timedelta = timedelta(0),
        grace: timedelta = timedelta(minutes=15),
        dry_run: bool = False,
        actor: str = "local",
    ) -> Removed:
        """Remove what was deleted longer ago than `older_than`; with `runs` or `experiments` only these.

        Content that was put within `grace` stays: an upload may just be about to name it. Raises Conflict for
        something that is not deleted.
        """
        before = self._clock.now() - older_than

        def work(r: Repositories) -> Removed:
            outcome = _remove(r, _chosen(r, runs, experiments, before), self._clock.now(), actor)
            if dry_run:
                raise _Undone(outcome, addresses_of(r))
            return outcome

        try:
            outcome = self._metadata.write(work)
        except _Undone as undone:
            return replace(undone.outcome, blobs=len(self._unwanted(undone.addresses)))
        return self._sweep(outcome, SystemClock().now() - grace)

    def move(self, run_ids: Sequence[str], experiment_id: str, *, actor: str = "local") -> list[Run]:
        """Runs go to another experiment; their artifacts stay where they are. Raises RunNotFound, Invalid."""
        now = self._clock.now()

        def work(r: Repositories) -> list[Run]:
            target = r.experiments.get(experiment_id)
            if target.lifecycle != ACTIVE:
                raise Invalid(f"experiment {experiment_id} is deleted; restore it before runs move there")
            before = [r.runs.get(run_id) for run_id in run_ids]
            r.tracking_upkeep.move_runs(run_ids, target.id)
            for run in before:
                facts = {"before": run.experiment_id, "after": target.id, "actor": actor}
                r.outbox.append(Event("run_moved", run.id, now, facts))
            return [r.runs.get(run_id) for run_id in run_ids]

        return self._metadata.write(work)

    def fork(self, run_id: str, *, step: int | None = None, name: str = "", user: str = "") -> Run:
        """A new run that goes on from another: its params, tags, datasets, and points up to `step` (default: all)."""
        now = self._clock.now()
        new = new_id(now)

        def work(r: Repositories) -> Run:
            parent = r.runs.get(run_id)
            experiment = r.experiments.get(parent.experiment_id)
            called = name or f"{parent.name}-fork"
            origin = {FORKED_FROM: parent.id} | ({} if step is None else {FORKED_AT: str(step)})
            kept = {k: v for k, v in parent.tags.items() if not k.startswith("mlflow.log-model")}
            run = replace(
                parent,
                id=new,
                name=called,
                started=now,
                ended=None,
                status=RUNNING,
                user=user or parent.user,
                lifecycle=ACTIVE,
                artifact_uri=artifacts_of(experiment, new),
                tags={**kept, **origin, RUN_NAME_TAG: called},
            )
            add_run(r, run, experiment, now)
            r.lineage.add([], [Edge(new, EdgeKind.READ, parent.id)])
            r.runs.add_params(new, parent.params)
            r.run_links.add_datasets(new, parent.datasets)
            r.lineage.add([], [Edge(new, EdgeKind.READ, used.dataset.id) for used in parent.datasets])
            for metric in parent.metrics:
                r.metrics.append(new, _upto(r.metrics.history(parent.id, metric.key), step))
            return r.runs.get(new)

        return self._metadata.write(work)

    def unwanted(self) -> set[str]:
        """Content that nothing names; none while a package cannot be read, for its files are not known then."""
        return self._unwanted(self._metadata.read(addresses_of))

    def _unwanted(self, addresses: Addresses) -> set[str]:
        here = set(self._blobs.digests())  # before anything is opened: what comes meanwhile stays
        found = named(addresses, self._blobs)
        if found.unread:
            log.warning("no content is removed: %d packages cannot be read; see: hanok doctor", len(found.unread))
        return found.unwanted(here)

    def _sweep(self, outcome: Removed, before: datetime) -> Removed:
        freed = [self._blobs.discard(digest, before) for digest in sorted(self.unwanted())]
        gone = [size for size in freed if size is not None]
        return replace(outcome, blobs=len(gone), freed_bytes=sum(gone))


@dataclass(frozen=True, slots=True)
class _Chosen:
    runs: tuple[str, ...]
    experiments: tuple[str, ...]
    models: tuple[str, ...]


def _chosen(r: Repositories, runs: Sequence[str], experiments: Sequence[str], before: datetime) -> _Chosen:
    if not runs and not experiments:
        gone = [e.id for e in r.experiments.all() if e.lifecycle == DELETED and e.updated <= before]
        return _with_contents(r, r.tracking_upkeep.deleted_runs(before), gone, r.tracking_upkeep.deleted_models(before))
    for run_id in runs:
        if r.runs.get(run_id).lifecycle != DELETED:
            raise Conflict(f"run {run_id} is not deleted; first: hanok run delete {run_id}", run=run_id)
    for experiment_id in experiments:
        if r.experiments.get(experiment_id).lifecycle != DELETED:
            raise Conflict(f"experiment {experiment_id} is not deleted; delete it first", experiment=experiment_id)
    return _with_contents(r, runs, experiments, ())


def _with_contents(r: Repositories, runs: Sequence[str], experiments: Sequence[str], models: Sequence[str]) -> _Chosen:
    all_runs, all_models = list(runs), list(models)
    for experiment_id in experiments:
        inside = r.tracking_upkeep.contents(experiment_id)
        all_runs += inside[0]
        all_models += inside[1]
    return _Chosen(tuple(dict.fromkeys(all_runs)), tuple(experiments), tuple(dict.fromkeys(all_models)))


def _remove(r: Repositories, chosen: _Chosen, now: datetime, actor: str) -> Removed:
    traces = [
        trace_id
        for experiment_id in chosen.experiments
        for trace_id in r.traces.delete(experiment_id, r.traces.oldest(experiment_id, until_ms=2**62))
    ]
    parts = [r.tracking_upkeep.purge_runs(chosen.runs), r.tracking_upkeep.purge_models(chosen.models)]
    for experiment_id in chosen.experiments:
        if experiment_id != DEFAULT_EXPERIMENT:  # runs without an experiment need it: it is emptied and stays
            parts.append(r.tracking_upkeep.purge_experiment(experiment_id))
    for node_id in (*chosen.runs, *chosen.models, *traces):
        r.lineage.tombstone(node_id, now)
        r.outbox.append(Event("purged", node_id, now, {"actor": actor}))
    for experiment_id in chosen.experiments:
        r.outbox.append(Event("experiment_purged", experiment_id, now, {"actor": actor}))
    return Removed(
        runs=chosen.runs,
        experiments=tuple(e for e in chosen.experiments if e != DEFAULT_EXPERIMENT),
        logged_models=chosen.models,
        traces=len(traces),
        metric_points=sum(p.get("metric_points", 0) for p in parts),
        artifacts=sum(p["artifacts"] for p in parts),
        bytes=sum(p["bytes"] for p in parts),
    )


def _upto(points: Sequence[Metric], step: int | None) -> list[Metric]:
    return [p for p in points if step is None or p.step <= step]
