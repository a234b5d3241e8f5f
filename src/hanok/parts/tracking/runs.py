"""Runs: what they log, what they read and write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime

from hanok.core.clock import Clock
from hanok.core.errors import Invalid, RunNotFound, TagNotFound
from hanok.core.ids import new_id
from hanok.core.json import JsonObject
from hanok.core.lineage import Edge, EdgeKind
from hanok.core.tracking import (
    ACTIVE,
    DELETED,
    RUN_NAME_TAG,
    RUN_STATUSES,
    DatasetInput,
    Lifecycle,
    Metric,
    ModelMetric,
    ModelOutput,
    Page,
    PointRow,
    Run,
    RunListing,
    RunQuery,
)
from hanok.parts.tracking import checks
from hanok.parts.tracking.names import name_of
from hanok.parts.tracking.run_records import add_run, artifacts_of, tell_end, write_inputs, write_log
from hanok.stores.ports import Metadata, Repositories

MODEL_HISTORY_TAG = "mlflow.log-model.history"


class RunVerbs:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def create(
        self,
        experiment_id: str,
        *,
        name: str = "",
        user: str = "",
        started: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        read: Sequence[str] = (),
        run_id: str = "",
    ) -> Run:
        """Start a run. `read` are lineage nodes that it reads. With a `run_id` it is started once: the run that has it
        is returned, running again if it had ended. Raises ExperimentNotFound, Invalid."""
        made = self.create_soon(
            experiment_id, name=name, user=user, started=started, tags=tags, read=read, run_id=run_id
        )
        return made.result()

    def create_soon(
        self,
        experiment_id: str,
        *,
        name: str = "",
        user: str = "",
        started: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        read: Sequence[str] = (),
        run_id: str = "",
    ) -> Future[Run]:
        """`create` without waiting for the commit."""
        checks.check_values("tag", tags or {}, checks.TAG_VALUE_MAX)
        now = self._clock.now()
        given, run_id = run_id, run_id or new_id(now)
        called = name or (tags or {}).get(RUN_NAME_TAG) or name_of(run_id)

        def work(r: Repositories) -> Run:
            known = _started(r, given)
            if known is not None:
                return known
            experiment = r.experiments.get(experiment_id)
            run = Run(
                id=run_id,
                experiment_id=experiment.id,
                name=called,
                started=started or now,
                artifact_uri=artifacts_of(experiment, run_id),
                user=user,
                tags={**(tags or {}), RUN_NAME_TAG: called},
            )
            add_run(r, run, experiment, now, read=read)
            return run

        return self._metadata.submit(work)

    def get(self, run_id: str) -> Run:
        """Raises RunNotFound."""
        return self._metadata.read(lambda r: r.runs.get(run_id))

    def update(
        self, run_id: str, *, status: str | None = None, ended: datetime | None = None, name: str | None = None
    ) -> Run:
        """Change what is given. A run that ends tells the outbox so. Raises RunNotFound, Invalid."""
        return self.update_soon(run_id, status=status, ended=ended, name=name).result()

    def update_soon(
        self, run_id: str, *, status: str | None = None, ended: datetime | None = None, name: str | None = None
    ) -> Future[Run]:
        """`update` without waiting for the commit."""
        if status is not None and status not in RUN_STATUSES:
            raise Invalid(f"run status {status[:40]!r} is not one of {', '.join(RUN_STATUSES)}")

        def work(r: Repositories) -> Run:
            run = r.runs.get(run_id)
            if run.lifecycle != ACTIVE:
                raise Invalid(f"run {run_id} is deleted; restore it to its 'active' state before you change it")
            changed = replace(
                run, status=status or run.status, ended=ended if ended is not None else run.ended, name=name or run.name
            )
            r.runs.put(changed)
            if name:
                r.runs.set_tags(run_id, {RUN_NAME_TAG: name})
                changed = replace(changed, tags={**changed.tags, RUN_NAME_TAG: name})
            tell_end(r, run, changed, self._clock.now())
            return changed

        return self._metadata.submit(work)

    def finish(self, run_id: str, status: str = "FINISHED") -> Run:
        """End a run now."""
        return self.update(run_id, status=status, ended=self._clock.now())

    def delete(self, run_id: str) -> None:
        """Hide it until it is restored, or removed by `hanok gc`."""
        self._move(run_id, DELETED)

    def restore(self, run_id: str) -> None:
        self._move(run_id, ACTIVE)

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        of_models: Sequence[ModelMetric] = (),
    ) -> None:
        """All or nothing, and a repetition has no further effect.

        Raises RunNotFound, RunDeleted, Invalid for a bad key or length, ParamChanged for another value of a param.
        """
        self.log_soon(run_id, metrics=metrics, params=params, tags=tags, of_models=of_models).result()

    def log_soon(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        of_models: Sequence[ModelMetric] = (),
    ) -> Future[None]:
        """`log` without waiting for the commit."""
        checks.check_keys("metric", {m.key for m in metrics})
        checks.check_values("param", params or {}, checks.PARAM_VALUE_MAX)
        checks.check_values("tag", tags or {}, checks.TAG_VALUE_MAX)

        def work(r: Repositories) -> None:
            write_log(r, run_id, metrics, params or {}, tags or {})
            if of_models:
                for model_id in {m.model_id for m in of_models}:
                    r.logged_models.get(model_id)
                r.logged_models.add_metrics(of_models)

        return self._metadata.submit(work)

    def log_now(self, run_id: str, values: Mapping[str, float], *, step: int = 0) -> None:
        """Log metrics at this instant."""
        timestamp_ms = int(self._clock.now().timestamp() * 1000)
        self.log(run_id, metrics=[Metric(key, value, timestamp_ms, step) for key, value in values.items()])

    def datasets(self, experiment_ids: Sequence[str], *, limit: int) -> list[tuple[str, str, str, str]]:
        """Experiment, name, digest and context of the datasets that runs of these experiments read."""
        return self._metadata.read(lambda r: r.run_links.datasets_of(experiment_ids, limit=limit))

    def delete_tag(self, run_id: str, key: str) -> None:
        """Raises RunNotFound, RunDeleted, TagNotFound."""

        def work(r: Repositories) -> None:
            if not r.runs.delete_tag(run_id, key):
                raise TagNotFound(f"run {run_id} has no tag {key[:80]!r}", key=key)

        self._metadata.write(work)

    def delete_metric(self, run_id: str, key: str) -> None:
        """Forget every point of a metric."""
        self._metadata.write(lambda r: r.metrics.delete(run_id, key))

    def log_inputs(self, run_id: str, datasets: Sequence[DatasetInput] = (), models: Sequence[str] = ()) -> None:
        """What the run read: each dataset is a node, each reading an edge."""
        now = self._clock.now()

        def work(r: Repositories) -> None:
            write_inputs(r, run_id, datasets, models, now)

        self._metadata.write(work)

    def log_outputs(self, run_id: str, models: Sequence[ModelOutput]) -> None:
        """Which logged models the run wrote. Raises LoggedModelNotFound."""

        def work(r: Repositories) -> None:
            for output in models:
                r.logged_models.get(output.model_id)
            r.run_links.add_models_written(run_id, models)
            r.lineage.add([], [Edge(run_id, EdgeKind.WROTE, output.model_id) for output in models])

        self._metadata.write(work)

    def record_model(self, run_id: str, description: JsonObject) -> None:
        """Append an MLmodel document to the run's tag of models; how clients before MLflow 3 log a model."""

        def work(r: Repositories) -> None:
            known = json.loads(r.runs.get(run_id).tags.get(MODEL_HISTORY_TAG, "[]"))
            r.runs.set_tags(run_id, {MODEL_HISTORY_TAG: json.dumps([*known, dict(description)])})

        self._metadata.write(work)

    def history(self, run_id: str, key: str, *, after: Metric | None = None, limit: int | None = None) -> list[Metric]:
        """The points of a metric by (step, timestamp, value), beginning after `after`."""
        return self._metadata.read(lambda r: r.metrics.history(run_id, key, after=after, limit=limit))

    def history_rows(
        self, run_id: str, key: str, *, after: Metric | None = None, limit: int | None = None
    ) -> Sequence[PointRow]:
        """`history` as rows."""
        return self._metadata.read(lambda r: r.run_listings.history(run_id, key, after=after, limit=limit))

    def search(self, query: RunQuery) -> Page[Run]:
        found = self._metadata.read(lambda r: r.runs.search(replace(query, limit=query.limit + 1)))
        more = len(found) > query.limit
        return Page(tuple(found[: query.limit]), query.offset + query.limit if more else None)

    def listing(self, query: RunQuery) -> tuple[RunListing, int | None]:
        """`search` as rows, and the offset of the next page."""
        found = self._metadata.read(lambda r: r.run_listings.page(replace(query, limit=query.limit + 1)))
        if len(found.rows) <= query.limit:
            return found, None
        return replace(found, rows=found.rows[: query.limit]), query.offset + query.limit

    def _move(self, run_id: str, after: Lifecycle) -> None:
        def work(r: Repositories) -> None:
            r.runs.put(replace(r.runs.get(run_id), lifecycle=after))
            r.lineage.tombstone(run_id, self._clock.now() if after == DELETED else None)

        self._metadata.write(work)


def _started(r: Repositories, run_id: str) -> Run | None:
    """The run of this id, running again if it had ended; None where there is none."""
    try:
        found = r.runs.get(run_id) if run_id else None
    except RunNotFound:
        return None
    if found is None or found.status == "RUNNING":
        return found
    again = replace(found, status="RUNNING", ended=None)
    r.runs.put(again)
    return again
