"""Evaluation datasets: records that merge by their inputs, tags, and the experiments they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hanok.core.clock import Clock, micros
from hanok.core.errors import Invalid
from hanok.core.evaluation import EvaluationDataset, EvaluationQuery, EvaluationRecord
from hanok.core.ids import new_id
from hanok.core.json import Json, JsonObject
from hanok.core.lineage import Event, Node, NodeKind
from hanok.core.tracking import Page
from hanok.parts.tracking import checks
from hanok.stores.ports import Metadata, Repositories

NAME_MAX, BATCH_MAX = 500, 10_000
USER_TAG = "mlflow.user"
_KINDS = ((bool, "boolean"), (int, "integer"), (float, "float"), (str, "string"), (list, "array"), (dict, "object"))


class EvaluationVerbs:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def create(
        self, name: str, *, experiment_ids: Sequence[str] = (), tags: Mapping[str, str] | None = None
    ) -> EvaluationDataset:
        """Raises ExperimentNotFound, Invalid. Names need not differ."""
        if not 0 < len(name) <= NAME_MAX or not name.isprintable():
            raise Invalid(f"evaluation dataset name {name[:60]!r} needs 1 to {NAME_MAX} characters that can be printed")
        checks.check_values("dataset tag", tags or {}, checks.TAG_VALUE_MAX)
        now = self._clock.now()
        user = (tags or {}).get(USER_TAG, "")
        dataset_id = f"d-{new_id(now)}"

        def work(r: Repositories) -> EvaluationDataset:
            _check_experiments(r, experiment_ids)
            made = EvaluationDataset(
                dataset_id,
                name,
                _digest(name, now),
                now,
                now,
                user,
                user,
                tags=dict(tags or {}),
                experiment_ids=tuple(dict.fromkeys(experiment_ids)),
            )
            r.evaluation_datasets.put(made)
            r.lineage.add([Node(made.id, NodeKind.DATASET, name, now, {"source_type": "evaluation"})])
            r.outbox.append(Event("evaluation_dataset_created", made.id, now, {"name": name}))
            return made

        return self._metadata.write(work)

    def get(self, dataset_id: str) -> EvaluationDataset:
        """Raises DatasetNotFound."""
        return self._metadata.read(lambda r: r.evaluation_datasets.get(dataset_id))

    def search(self, query: EvaluationQuery) -> Page[EvaluationDataset]:
        found = self._metadata.read(lambda r: r.evaluation_datasets.search(replace(query, limit=query.limit + 1)))
        more = len(found) > query.limit
        return Page(tuple(found[: query.limit]), query.offset + query.limit if more else None)

    def delete(self, dataset_id: str) -> None:
        """With its records; its node keeps a tombstone. Raises DatasetNotFound."""

        def work(r: Repositories) -> None:
            r.evaluation_datasets.delete(dataset_id)
            r.lineage.tombstone(dataset_id, self._clock.now())

        self._metadata.write(work)

    def set_tags(self, dataset_id: str, tags: Mapping[str, str]) -> EvaluationDataset:
        checks.check_values("dataset tag", tags, checks.TAG_VALUE_MAX)
        return self._change(dataset_id, lambda _, d: replace(d, tags={**d.tags, **tags}))

    def delete_tag(self, dataset_id: str, key: str) -> EvaluationDataset:
        """Deleting what is not there has no effect."""
        return self._change(dataset_id, lambda _, d: replace(d, tags={k: v for k, v in d.tags.items() if k != key}))

    def add_to(self, dataset_id: str, experiment_ids: Sequence[str]) -> EvaluationDataset:
        """Raises DatasetNotFound, ExperimentNotFound."""

        def added(r: Repositories, d: EvaluationDataset) -> EvaluationDataset:
            _check_experiments(r, experiment_ids)
            return replace(d, experiment_ids=tuple(dict.fromkeys([*d.experiment_ids, *experiment_ids])))

        return self._change(dataset_id, added)

    def remove_from(self, dataset_id: str, experiment_ids: Sequence[str]) -> EvaluationDataset:
        def removed(_: Repositories, d: EvaluationDataset) -> EvaluationDataset:
            return replace(d, experiment_ids=tuple(e for e in d.experiment_ids if e not in experiment_ids))

        return self._change(dataset_id, removed)

    def merge_records(self, dataset_id: str, sent: Sequence[JsonObject]) -> tuple[int, int]:
        """How many were new and how many changed. A record whose inputs are there adds its expectations and tags to
        that one and replaces its outputs. Raises DatasetNotFound, Invalid."""
        if len(sent) > BATCH_MAX:
            raise Invalid(f"{len(sent)} records in one request; at most {BATCH_MAX} are taken")
        records = [_sent(record) for record in sent]
        now = self._clock.now()

        def work(r: Repositories) -> tuple[int, int]:
            dataset = r.evaluation_datasets.get(dataset_id)
            digests = [_inputs_digest(record.inputs) for record in records]
            held = dict(r.evaluation_records.with_inputs(dataset_id, digests))
            new = set(digests) - set(held)
            for digest, record in zip(digests, records, strict=True):
                held[digest] = _merged(held.get(digest), digest, record, now)
            r.evaluation_records.put(dataset_id, list(held.values()))
            users = [str(record.tags[USER_TAG]) for record in records if record.tags and USER_TAG in record.tags]
            r.evaluation_datasets.put(
                replace(
                    dataset,
                    digest=_digest(dataset.name, now),
                    updated=now,
                    updated_by=users[-1] if users else dataset.updated_by,
                    schema=_schema(dataset.schema, records),
                    records=r.evaluation_records.count(dataset_id),
                )
            )
            return len(new), len(sent) - len(new)

        return self._metadata.write(work)

    def records(
        self, dataset_id: str, *, after: tuple[datetime, str] | None = None, limit: int
    ) -> tuple[list[EvaluationRecord], bool]:
        """In the order they came, and whether there are more. Raises DatasetNotFound."""

        def work(r: Repositories) -> list[EvaluationRecord]:
            r.evaluation_datasets.get(dataset_id)
            return r.evaluation_records.page(dataset_id, after=after, limit=limit + 1)

        found = self._metadata.read(work)
        return found[:limit], len(found) > limit

    def delete_records(self, dataset_id: str, record_ids: Sequence[str]) -> int:
        """How many there were. Raises DatasetNotFound."""

        def work(r: Repositories) -> int:
            dataset = r.evaluation_datasets.get(dataset_id)
            gone = r.evaluation_records.delete(dataset_id, record_ids)
            r.evaluation_datasets.put(replace(dataset, records=dataset.records - gone))
            return gone

        return self._metadata.write(work)

    def _change(
        self, dataset_id: str, change: Callable[[Repositories, EvaluationDataset], EvaluationDataset]
    ) -> EvaluationDataset:
        def work(r: Repositories) -> EvaluationDataset:
            changed = replace(change(r, r.evaluation_datasets.get(dataset_id)), updated=self._clock.now())
            r.evaluation_datasets.put(changed)
            return changed

        return self._metadata.write(work)


def _check_experiments(r: Repositories, experiment_ids: Sequence[str]) -> None:
    for experiment_id in experiment_ids:
        r.experiments.get(experiment_id)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A record as it was sent."""

    inputs: JsonObject
    outputs: Json
    expectations: JsonObject | None
    tags: JsonObject | None
    source: JsonObject | None

    @property
    def user(self) -> str:
        return str((self.tags or {}).get(USER_TAG, ""))


def _sent(record: JsonObject) -> _Sent:
    inputs = record.get("inputs") if isinstance(record, Mapping) else None
    if not isinstance(inputs, Mapping):
        raise Invalid("a record is an object whose 'inputs' are an object of names and values")
    expectations, tags, source = (_object(record, part) for part in ("expectations", "tags", "source"))
    return _Sent(inputs, record.get("outputs"), expectations, tags, source)


def _object(record: JsonObject, part: str) -> JsonObject | None:
    value = record.get(part)
    if value is None or isinstance(value, Mapping):
        return value
    raise Invalid(f"the {part!r} of a record are an object of names and values")


def _inputs_digest(inputs: JsonObject) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _merged(held: EvaluationRecord | None, digest: str, sent: _Sent, now: datetime) -> EvaluationRecord:
    if held is None:
        return EvaluationRecord(
            f"dr-{new_id(now)}",
            sent.inputs,
            digest,
            now,
            now,
            sent.outputs,
            sent.expectations,
            sent.tags,
            sent.source,
            sent.user,
            sent.user,
        )
    return replace(
        held,
        updated=now,
        outputs=sent.outputs if sent.outputs is not None else held.outputs,
        expectations=_joined(held.expectations, sent.expectations),
        tags=_joined(held.tags, sent.tags),
        updated_by=sent.user or held.updated_by,
    )


def _joined(held: JsonObject | None, sent: JsonObject | None) -> JsonObject | None:
    return held if sent is None else {**(held or {}), **sent}


def _schema(held: JsonObject | None, sent: Sequence[_Sent]) -> JsonObject:
    """The kind of each field as it was first seen."""
    schema: dict[str, Json] = dict(held or {"inputs": {}, "outputs": {}, "expectations": {}, "version": "1.0"})
    for record in sent:
        parts = {"inputs": record.inputs, "outputs": record.outputs, "expectations": record.expectations}
        for part, value in parts.items():
            known = schema[part]
            if isinstance(value, Mapping):
                seen = {name: _kind(inner) for name, inner in value.items()}
                schema[part] = {**seen, **(known if isinstance(known, Mapping) else {})}
            elif value is not None and not known:
                schema[part] = _kind(value)
    return schema


def _kind(value: Json) -> str:
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")


def _digest(name: str, now: datetime) -> str:
    return hashlib.sha256(f"{name}:{micros(now)}".encode()).hexdigest()[:8]
