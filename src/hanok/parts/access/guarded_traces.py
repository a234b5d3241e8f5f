"""Traces, evaluation data and scorers, as the present caller sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hanok.core.access import Access
from hanok.core.errors import DatasetNotFound
from hanok.core.evaluation import EvaluationDataset, EvaluationQuery, EvaluationRecord
from hanok.core.gateway import GatewayEndpoint
from hanok.core.scorers import OnlineScoring, ScorerVersion
from hanok.core.traces import Assessment, Group, Span, Trace, TraceQuery, TraceStatistic
from hanok.parts.access.gate import Gate, Guarded, Place
from hanok.stores.ports_evaluation import EvaluationDatasets, EvaluationRecords
from hanok.stores.ports_gateway import GatewayEndpoints, Scorers
from hanok.stores.ports_traces import Assessments, Spans, TraceLinks, Traces, TraceStatistics


class GuardedTraces(Guarded[Traces]):
    __slots__ = ()

    def put(self, trace: Trace) -> None:
        self._gate.change(self._gate.trace(trace.id), self._gate.experiment(trace.experiment_id))
        self._inner.put(trace)

    def of(self, trace_ids: Sequence[str]) -> list[Trace]:
        return self._inner.of([i for i in trace_ids if self._gate.may_see(self._gate.trace(i))])

    def search(self, query: TraceQuery) -> list[Trace]:
        seen = tuple(self._gate.seen_experiments(query.experiment_ids))
        query = replace(query, experiment_ids=seen)
        return self._inner.search(query)

    def count(self, query: TraceQuery) -> int:
        seen = tuple(self._gate.seen_experiments(query.experiment_ids))
        query = replace(query, experiment_ids=seen)
        return self._inner.count(query)

    def oldest(self, experiment_id: str, *, until_ms: int, limit: int | None = None) -> list[str]:
        self._gate.see(self._gate.experiment(experiment_id))
        return self._inner.oldest(experiment_id, until_ms=until_ms, limit=limit)

    def delete(self, experiment_id: str, trace_ids: Sequence[str]) -> list[str]:
        self._gate.change(self._gate.experiment(experiment_id))
        return self._inner.delete(experiment_id, trace_ids)

    def delete_tag(self, trace_id: str, key: str) -> bool:
        self._gate.change(self._gate.trace(trace_id))
        return self._inner.delete_tag(trace_id, key)


class GuardedSpans(Guarded[Spans]):
    __slots__ = ()

    def put(self, trace_id: str, spans: Sequence[Span]) -> None:
        self._gate.change(self._gate.trace(trace_id))
        self._inner.put(trace_id, spans)

    def of(self, trace_ids: Sequence[str]) -> dict[str, list[Span]]:
        return self._inner.of([i for i in trace_ids if self._gate.may_see(self._gate.trace(i))])

    def count(self, trace_id: str) -> int:
        self._gate.see(self._gate.trace(trace_id))
        return self._inner.count(trace_id)

    def usage(self, trace_id: str) -> Mapping[str, float]:
        self._gate.see(self._gate.trace(trace_id))
        return self._inner.usage(trace_id)


class GuardedAssessments(Guarded[Assessments]):
    __slots__ = ()

    def put(self, assessment: Assessment) -> None:
        self._gate.change(self._gate.trace(assessment.trace_id))
        self._inner.put(assessment)

    def get(self, trace_id: str, assessment_id: str) -> Assessment | None:
        self._gate.see(self._gate.trace(trace_id))
        return self._inner.get(trace_id, assessment_id)

    def delete(self, trace_id: str, assessment_id: str) -> None:
        self._gate.change(self._gate.trace(trace_id))
        self._inner.delete(trace_id, assessment_id)


class GuardedTraceLinks(Guarded[TraceLinks]):
    __slots__ = ()

    def to_run(self, trace_ids: Sequence[str], run_id: str) -> None:
        self._gate.change(*map(self._gate.trace, trace_ids), self._gate.run(run_id))
        self._inner.to_run(trace_ids, run_id)

    def runs_of(self, trace_id: str) -> list[str]:
        self._gate.see(self._gate.trace(trace_id))
        return self._inner.runs_of(trace_id)

    def to_prompts(self, trace_id: str, prompts: Sequence[tuple[str, str]]) -> None:
        self._gate.change(self._gate.trace(trace_id))
        self._inner.to_prompts(trace_id, prompts)


class GuardedTraceStatistics(Guarded[TraceStatistics]):
    __slots__ = ()

    def groups(self, wanted: TraceStatistic) -> list[Group]:
        seen = tuple(self._gate.seen_experiments(wanted.experiment_ids))
        wanted = replace(wanted, experiment_ids=seen)
        return self._inner.groups(wanted)

    def values(self, wanted: TraceStatistic, group: Group) -> list[float]:
        seen = tuple(self._gate.seen_experiments(wanted.experiment_ids))
        wanted = replace(wanted, experiment_ids=seen)
        return self._inner.values(wanted, group)


def see_evaluation(gate: Gate, dataset_id: str) -> None:
    """An evaluation dataset is seen by who sees one of its experiments."""
    places = _of_evaluation(gate, dataset_id)
    if not places:
        gate.everywhere(Access.READ)
    elif not any(gate.may_see(place) for place in places):
        gate.see(*places)


def change_evaluation(gate: Gate, dataset_id: str, then: Sequence[str] = ()) -> None:
    """It is changed by who may change all of its experiments, and those that it is to have `then`."""
    places = _of_evaluation(gate, dataset_id) + [gate.experiment(e) for e in then]
    if not places:
        gate.everywhere(Access.EDIT)
    gate.change(*places)


def _of_evaluation(gate: Gate, dataset_id: str) -> list[Place]:
    """A place for each experiment that it belongs to now; none for one that is not there yet."""
    try:
        held = gate.r.evaluation_datasets.get(dataset_id).experiment_ids
    except DatasetNotFound:
        return []
    return [Place(gate.experiment(e).project, "evaluation dataset", dataset_id) for e in held]


class GuardedEvaluationDatasets(Guarded[EvaluationDatasets]):
    __slots__ = ()

    def put(self, dataset: EvaluationDataset) -> None:
        change_evaluation(self._gate, dataset.id, dataset.experiment_ids)
        self._inner.put(dataset)

    def get(self, dataset_id: str) -> EvaluationDataset:
        see_evaluation(self._gate, dataset_id)
        return self._inner.get(dataset_id)

    def search(self, query: EvaluationQuery) -> list[EvaluationDataset]:
        asked = query.experiment_ids or [e.id for e in self._gate.r.experiments.all()]
        seen = tuple(self._gate.seen_experiments(asked))
        return self._inner.search(replace(query, experiment_ids=seen)) if seen else []

    def delete(self, dataset_id: str) -> None:
        change_evaluation(self._gate, dataset_id)
        self._inner.delete(dataset_id)


class GuardedEvaluationRecords(Guarded[EvaluationRecords]):
    __slots__ = ()

    def put(self, dataset_id: str, records: Sequence[EvaluationRecord]) -> None:
        change_evaluation(self._gate, dataset_id)
        self._inner.put(dataset_id, records)

    def with_inputs(self, dataset_id: str, digests: Sequence[str]) -> Mapping[str, EvaluationRecord]:
        see_evaluation(self._gate, dataset_id)
        return self._inner.with_inputs(dataset_id, digests)

    def page(self, dataset_id: str, *, after: tuple[datetime, str] | None = None, limit: int) -> list[EvaluationRecord]:
        see_evaluation(self._gate, dataset_id)
        return self._inner.page(dataset_id, after=after, limit=limit)

    def delete(self, dataset_id: str, record_ids: Sequence[str]) -> int:
        change_evaluation(self._gate, dataset_id)
        return self._inner.delete(dataset_id, record_ids)

    def count(self, dataset_id: str) -> int:
        see_evaluation(self._gate, dataset_id)
        return self._inner.count(dataset_id)


class GuardedGatewayEndpoints(Guarded[GatewayEndpoints]):
    __slots__ = ()

    def put(self, endpoint: GatewayEndpoint) -> None:
        self._gate.everywhere(Access.OWN)
        self._inner.put(endpoint)

    def get(self, endpoint_id: str) -> GatewayEndpoint:
        self._gate.everywhere(Access.OWN)
        return self._inner.get(endpoint_id)

    def named(self, name: str) -> GatewayEndpoint | None:
        return self._inner.named(name)

    def all(self) -> list[GatewayEndpoint]:
        self._gate.everywhere(Access.OWN)
        return self._inner.all()

    def delete(self, endpoint_id: str) -> None:
        self._gate.everywhere(Access.OWN)
        self._inner.delete(endpoint_id)


class GuardedScorers(Guarded[Scorers]):
    __slots__ = ()

    def add(self, version: ScorerVersion) -> ScorerVersion:
        self._gate.change(self._gate.experiment(version.experiment_id))
        return self._inner.add(version)

    def versions(self, experiment_id: str, name: str) -> list[ScorerVersion]:
        self._gate.see(self._gate.experiment(experiment_id))
        return self._inner.versions(experiment_id, name)

    def latest(self, experiment_id: str) -> list[ScorerVersion]:
        self._gate.see(self._gate.experiment(experiment_id))
        return self._inner.latest(experiment_id)

    def delete(self, experiment_id: str, name: str, version: int | None = None) -> int:
        self._gate.change(self._gate.experiment(experiment_id))
        return self._inner.delete(experiment_id, name, version)

    def put_online(self, config: OnlineScoring) -> OnlineScoring:
        self._gate.change(self._gate.experiment(config.experiment_id))
        return self._inner.put_online(config)

    def online(self, scorer_ids: Sequence[str]) -> list[OnlineScoring]:
        return [
            item
            for item in self._inner.online(scorer_ids)
            if self._gate.may_see(self._gate.experiment(item.experiment_id))
        ]
