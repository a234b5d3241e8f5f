"""Experiments, runs and what they log, as the present caller sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from hanok.core.access import Access
from hanok.core.tracking import (
    ARTIFACTS,
    Artifact,
    Axis,
    Curve,
    DatasetInput,
    Experiment,
    LoggedModel,
    Metric,
    ModelMetric,
    ModelOutput,
    PointRow,
    Run,
    RunListing,
    RunQuery,
)
from hanok.parts.access.gate import Guarded, Place
from hanok.stores.ports_tracking import (
    Artifacts,
    Experiments,
    LoggedModels,
    Metrics,
    RunLinks,
    RunListings,
    RunOverview,
    Runs,
)
from hanok.stores.ports_upkeep import RunTables

if TYPE_CHECKING:
    import pyarrow as pa


class GuardedExperiments(Guarded[Experiments]):
    __slots__ = ()

    def add(self, experiment: Experiment, *, root: str = ARTIFACTS) -> Experiment:
        self._gate.land(experiment.project, "experiment", experiment.name)
        made = self._inner.add(experiment, root=root)
        if experiment.location:
            self._gate.may_keep_artifacts_at(made.location)
        return made

    def put(self, experiment: Experiment) -> None:
        self._gate.change(self._gate.experiment(experiment.id))
        self._gate.land(experiment.project, "experiment", experiment.id)
        self._inner.put(experiment)
        self._gate.directory.forget()

    def get(self, experiment_id: str) -> Experiment:
        self._gate.see(self._gate.experiment(experiment_id))
        return self._inner.get(experiment_id)

    def named(self, name: str) -> Experiment | None:
        found = self._inner.named(name)
        return found if found is None or self._gate.may_see(Place(found.project, "experiment", found.id)) else None

    def all(self) -> list[Experiment]:
        return [item for item in self._inner.all() if self._gate.may_see(Place(item.project, "experiment", item.id))]


class GuardedRuns(Guarded[Runs]):
    __slots__ = ()

    def add(self, run: Run) -> None:
        self._gate.change(self._gate.experiment(run.experiment_id))
        self._inner.add(run)

    def put(self, run: Run) -> None:
        self._gate.change(self._gate.run(run.id))
        self._inner.put(run)

    def get(self, run_id: str) -> Run:
        self._gate.see(self._gate.run(run_id))
        return self._inner.get(run_id)

    def search(self, query: RunQuery) -> list[Run]:
        seen = tuple(self._gate.seen_experiments(query.experiment_ids))
        query = replace(query, experiment_ids=seen)
        return self._inner.search(query)

    def add_params(self, run_id: str, params: Mapping[str, str]) -> dict[str, str]:
        self._gate.change(self._gate.run(run_id))
        return self._inner.add_params(run_id, params)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._gate.change(self._gate.run(run_id))
        self._inner.set_tags(run_id, tags)

    def delete_tag(self, run_id: str, key: str) -> bool:
        self._gate.change(self._gate.run(run_id))
        return self._inner.delete_tag(run_id, key)


class GuardedMetrics(Guarded[Metrics]):
    __slots__ = ()

    def append(self, run_id: str, points: Sequence[Metric]) -> None:
        self._gate.change(self._gate.run(run_id))
        self._inner.append(run_id, points)

    def history(self, run_id: str, key: str, *, after: Metric | None = None, limit: int | None = None) -> list[Metric]:
        self._gate.see(self._gate.run(run_id))
        return self._inner.history(run_id, key, after=after, limit=limit)

    def latest(self, run_ids: Sequence[str]) -> dict[str, tuple[Metric, ...]]:
        self._gate.see(*map(self._gate.run, run_ids))
        return self._inner.latest(run_ids)

    def delete(self, run_id: str, key: str) -> None:
        self._gate.change(self._gate.run(run_id))
        self._inner.delete(run_id, key)


class GuardedRunListings(Guarded[RunListings]):
    __slots__ = ()

    def page(self, query: RunQuery) -> RunListing:
        seen = tuple(self._gate.seen_experiments(query.experiment_ids))
        query = replace(query, experiment_ids=seen)
        return self._inner.page(query)

    def history(self, run_id: str, key: str, *, after: Metric | None, limit: int | None) -> Sequence[PointRow]:
        self._gate.see(self._gate.run(run_id))
        return self._inner.history(run_id, key, after=after, limit=limit)


class GuardedRunOverview(Guarded[RunOverview]):
    __slots__ = ()

    def count(self, query: RunQuery) -> int:
        seen = tuple(self._gate.seen_experiments(query.experiment_ids))
        query = replace(query, experiment_ids=seen)
        return self._inner.count(query)

    def extent(self, run_ids: Sequence[str], key: str, axis: Axis) -> tuple[int, int] | None:
        self._gate.see(*map(self._gate.run, run_ids))
        return self._inner.extent(run_ids, key, axis)

    def curves(
        self, run_ids: Sequence[str], key: str, axis: Axis, *, low: int, high: int, bins: int
    ) -> dict[str, Curve]:
        self._gate.see(*map(self._gate.run, run_ids))
        return self._inner.curves(run_ids, key, axis, low=low, high=high, bins=bins)


class GuardedRunLinks(Guarded[RunLinks]):
    __slots__ = ()

    def add_datasets(self, run_id: str, inputs: Sequence[DatasetInput]) -> None:
        self._gate.change(self._gate.run(run_id))
        self._inner.add_datasets(run_id, inputs)

    def datasets_of(self, experiment_ids: Sequence[str], *, limit: int) -> list[tuple[str, str, str, str]]:
        experiment_ids = self._gate.seen_experiments(experiment_ids)
        return self._inner.datasets_of(experiment_ids, limit=limit)

    def add_models_read(self, run_id: str, model_ids: Sequence[str]) -> None:
        self._gate.change(self._gate.run(run_id))
        self._inner.add_models_read(run_id, model_ids)

    def add_models_written(self, run_id: str, outputs: Sequence[ModelOutput]) -> None:
        self._gate.change(self._gate.run(run_id))
        self._inner.add_models_written(run_id, outputs)


class GuardedLoggedModels(Guarded[LoggedModels]):
    __slots__ = ()

    def add(self, model: LoggedModel) -> None:
        self._gate.change(self._gate.experiment(model.experiment_id))
        self._inner.add(model)

    def put(self, model: LoggedModel) -> None:
        self._gate.change(self._gate.logged_model(model.id))
        self._inner.put(model)

    def get(self, model_id: str) -> LoggedModel:
        self._gate.see(self._gate.logged_model(model_id))
        return self._inner.get(model_id)

    def of_experiments(self, experiment_ids: Sequence[str]) -> list[LoggedModel]:
        experiment_ids = self._gate.seen_experiments(experiment_ids)
        return self._inner.of_experiments(experiment_ids)

    def add_metrics(self, metrics: Sequence[ModelMetric]) -> None:
        self._gate.change(*(self._gate.logged_model(m) for m in {metric.model_id for metric in metrics}))
        self._inner.add_metrics(metrics)


class GuardedArtifacts(Guarded[Artifacts]):
    __slots__ = ()

    def put(self, artifact: Artifact, at: datetime) -> None:
        self._gate.change(*self._gate.path(artifact.path))
        self._inner.put(artifact, at)

    def check_free(self, path: str) -> None:
        self._gate.change(*self._gate.path(path))
        self._inner.check_free(path)

    def get(self, path: str) -> Artifact | None:
        if not all(map(self._gate.may_see, self._gate.path(path))):
            return None
        return self._inner.get(path)

    def children(self, folder: str) -> list[Artifact]:
        if not all(map(self._gate.may_see, self._gate.path(folder))):
            return []
        return self._inner.children(folder)

    def delete(self, path: str) -> int:
        self._gate.change(*self._gate.path(path))
        return self._inner.delete(path)

    def digests(self) -> set[str]:
        self._gate.everywhere(Access.READ)
        return self._inner.digests()


class GuardedRunTables(Guarded[RunTables]):
    __slots__ = ()

    def table(self, name: str, experiment_ids: Sequence[str] | None = None) -> pa.Table:
        if experiment_ids is None:
            experiment_ids = [e.id for e in self._gate.r.experiments.all()]
        return self._inner.table(name, self._gate.seen_experiments(experiment_ids))
