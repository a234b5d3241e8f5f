"""Logged models: what a run wrote, before or without registration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hanok.core.clock import Clock, micros
from hanok.core.errors import Invalid, LoggedModelNotFound
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.core.tracking import (
    DELETED,
    EVERYTHING,
    LOGGED_MODEL_STATUSES,
    Comparison,
    Filter,
    LoggedModel,
    Order,
    Page,
)
from hanok.parts.tracking import checks
from hanok.parts.tracking.lineage import is_node
from hanok.parts.tracking.matching import Value, select, unknown
from hanok.parts.tracking.names import name_of
from hanok.stores.ports import Metadata, Repositories


class LoggedModelVerbs:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def create(
        self,
        experiment_id: str,
        *,
        name: str = "",
        model_type: str = "",
        source_run_id: str = "",
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> LoggedModel:
        """Pending until it is finalized. Raises ExperimentNotFound, Invalid."""
        checks.check_values("param", params or {}, checks.PARAM_VALUE_MAX)
        checks.check_values("tag", tags or {}, checks.TAG_VALUE_MAX)
        checks.check_logged_model_name(name)
        now = self._clock.now()
        model_id = f"m-{new_id(now)}"

        def work(r: Repositories) -> LoggedModel:
            experiment = r.experiments.get(experiment_id)
            model = LoggedModel(
                id=model_id,
                experiment_id=experiment.id,
                name=name or name_of(model_id),
                artifact_uri=f"{experiment.location}/models/{model_id}/artifacts",
                created=now,
                updated=now,
                model_type=model_type,
                source_run_id=source_run_id,
                params=dict(params or {}),
                tags=dict(tags or {}),
            )
            r.logged_models.add(model)
            wrote = [Edge(source_run_id, EdgeKind.WROTE, model_id)] if is_node(r, source_run_id) else []
            r.lineage.add([Node(model_id, NodeKind.LOGGED_MODEL, model.name, now, {"type": model_type})], wrote)
            r.outbox.append(Event("model_logged", model_id, now, {"run": source_run_id}))
            return model

        return self._metadata.write(work)

    def get(self, model_id: str) -> LoggedModel:
        """Raises LoggedModelNotFound, also for a deleted one."""
        return self._metadata.read(lambda r: _present(r, model_id))

    def finalize(self, model_id: str, status: str) -> LoggedModel:
        if status not in LOGGED_MODEL_STATUSES:
            raise Invalid(f"logged model status {status[:40]!r} is not one of {', '.join(LOGGED_MODEL_STATUSES)}")
        return self._change(model_id, lambda model: replace(model, status=status))

    def set_tags(self, model_id: str, tags: Mapping[str, str]) -> LoggedModel:
        checks.check_values("tag", tags, checks.TAG_VALUE_MAX)
        return self._change(model_id, lambda model: replace(model, tags={**model.tags, **tags}))

    def delete_tag(self, model_id: str, key: str) -> LoggedModel:
        def without(model: LoggedModel) -> LoggedModel:
            if key not in model.tags:
                raise LoggedModelNotFound(f"No tag with key {key[:80]!r} on logged model {model_id}")
            return replace(model, tags={k: v for k, v in model.tags.items() if k != key})

        return self._change(model_id, without)

    def add_params(self, model_id: str, params: Mapping[str, str]) -> LoggedModel:
        checks.check_values("param", params, checks.PARAM_VALUE_MAX)
        return self._change(model_id, lambda model: replace(model, params={**model.params, **params}))

    def delete(self, model_id: str) -> None:
        """Leaves a tombstone in the graph; the bytes go with `hanok gc`."""

        def work(r: Repositories) -> None:
            now = self._clock.now()
            r.logged_models.put(replace(_present(r, model_id), lifecycle=DELETED, updated=now))
            r.lineage.tombstone(model_id, now)

        self._metadata.write(work)

    def search(
        self,
        experiment_ids: Sequence[str],
        wanted: Filter = EVERYTHING,
        *,
        datasets: Sequence[tuple[str, str]] = (),
        order: Sequence[Order] = (),
        limit: int = 100,
        offset: int = 0,
    ) -> Page[LoggedModel]:
        """Newest first unless `order` says otherwise; `datasets` (name, digest or "") keeps those measured on one."""
        found = self._metadata.read(lambda r: r.logged_models.of_experiments(experiment_ids))
        if datasets:
            found = [model for model in found if any(_measured_on(model, name, digest) for name, digest in datasets)]
        return select(found, wanted, order, _value, limit=limit, offset=offset)

    def _change(self, model_id: str, change: Callable[[LoggedModel], LoggedModel]) -> LoggedModel:
        def work(r: Repositories) -> LoggedModel:
            changed = replace(change(_present(r, model_id)), updated=self._clock.now())
            r.logged_models.put(changed)
            return changed

        return self._metadata.write(work)


def _present(r: Repositories, model_id: str) -> LoggedModel:
    model = r.logged_models.get(model_id)
    if model.lifecycle == DELETED:
        raise LoggedModelNotFound(f"logged model {model_id} is not found: it was deleted")
    return model


def _value(model: LoggedModel, wanted: Comparison | Order) -> Value:
    if wanted.subject == "metric":
        return _metric(model, wanted)
    if wanted.subject == "param":
        return model.params.get(wanted.key)
    if wanted.subject == "tag":
        return model.tags.get(wanted.key)
    values: dict[str, Value] = {
        "name": model.name,
        "model_id": model.id,
        "model_type": model.model_type,
        "status": model.status,
        "source_run_id": model.source_run_id,
        "experiment_id": model.experiment_id,
        "creation_timestamp": micros(model.created) // 1000,
        "creation_time": micros(model.created) // 1000,
        "last_updated_timestamp": micros(model.updated) // 1000,
    }
    if wanted.subject != "attribute" or wanted.key not in values:
        raise unknown("logged models", wanted)
    return values[wanted.key]


def _measured_on(model: LoggedModel, name: str, digest: str) -> bool:
    return any(m.dataset_name == name and digest in ("", m.dataset_digest) for m in model.metrics)


def _metric(model: LoggedModel, wanted: Comparison | Order) -> Value:
    """The newest value, on the dataset that an order asks for."""
    name, digest = (wanted.dataset_name, wanted.dataset_digest) if isinstance(wanted, Order) else ("", "")
    points = [
        m.metric
        for m in model.metrics
        if m.metric.key == wanted.key and name in ("", m.dataset_name) and digest in ("", m.dataset_digest)
    ]
    return max(points, key=lambda p: (p.timestamp_ms, p.step)).value if points else None
