"""Entries of a run as JSON objects. Defaults are left out; NaN and infinities, which JSON lacks, are text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from hanok.core.errors import Invalid
from hanok.core.recording import ENTRIES_MAX, Entry, Kind, ModelEntry
from hanok.core.tracking import CONTEXT_TAG, Dataset, DatasetInput, Metric, dataset_id

Json = dict[str, Any]
Point = tuple[str, float | str, int, int]


class _Dataset(msgspec.Struct, frozen=True):
    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    context: str = ""


class _Model(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(pattern="^m-[0-9a-f]{32}$")]
    name: str = ""
    model_type: str = ""
    params: dict[str, str] = {}
    runtime: str = ""
    signature: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    files: tuple[str, ...] = ()
    register: str = ""


class _Entry(msgspec.Struct, frozen=True):
    number: Annotated[int, msgspec.Meta(ge=1, le=2**62)]
    kind: Kind
    at_ms: Annotated[int, msgspec.Meta(ge=0, le=2**47)] = 0
    experiment: str = ""
    name: str = ""
    user: str = ""
    status: str = ""
    metrics: tuple[Point, ...] = ()
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    dataset: _Dataset | None = None
    model: _Model | None = None


def decode(sent: Sequence[Any]) -> list[Entry]:
    """Raises Invalid, saying which field of which entry is wrong."""
    if len(sent) > ENTRIES_MAX:
        raise Invalid(f"{len(sent)} entries at once; at most {ENTRIES_MAX} are taken, send them in parts")
    try:
        found = msgspec.convert(list(sent), list[_Entry])
    except msgspec.ValidationError as error:
        raise Invalid(f"an entry cannot be read: {error}") from None
    return [_entry(one) for one in found]


def encode(entry: Entry) -> Json:
    """The inverse of `decode`, for one entry."""
    body: Json = {"number": entry.number, "kind": entry.kind}
    for name in ("at_ms", "experiment", "name", "user", "status"):
        if getattr(entry, name):
            body[name] = getattr(entry, name)
    if entry.metrics:
        body["metrics"] = [[m.key, _number(m.value), m.timestamp_ms, m.step] for m in entry.metrics]
    if entry.params:
        body["params"] = dict(entry.params)
    if entry.tags:
        body["tags"] = dict(entry.tags)
    if entry.dataset is not None:
        data = entry.dataset.dataset
        names = ("name", "digest", "source_type", "source", "schema", "profile")
        body["dataset"] = {name: getattr(data, name) for name in names}
        body["dataset"]["context"] = entry.dataset.tags.get(CONTEXT_TAG, "")
    if entry.model is not None:
        model = entry.model
        body["model"] = {name: getattr(model, name) for name in model.__slots__ if getattr(model, name)}
    return body


def _entry(sent: _Entry) -> Entry:
    if sent.kind == "dataset" and sent.dataset is None:
        raise Invalid(f"entry {sent.number} is of kind dataset and has no dataset")
    if sent.kind in ("model", "package") and sent.model is None:
        raise Invalid(f"entry {sent.number} is of kind {sent.kind} and has no model")
    return Entry(
        number=sent.number,
        kind=sent.kind,
        at_ms=sent.at_ms,
        experiment=sent.experiment,
        name=sent.name,
        user=sent.user,
        status=sent.status,
        metrics=tuple(_metric(sent.number, point) for point in sent.metrics),
        params=sent.params,
        tags=sent.tags,
        dataset=None if sent.dataset is None else _dataset(sent.dataset),
        model=None if sent.model is None else ModelEntry(**msgspec.structs.asdict(sent.model)),
    )


def _metric(entry: int, point: Point) -> Metric:
    key, value, timestamp_ms, step = point
    try:
        return Metric(key, float(value), _int64(timestamp_ms), _int64(step))
    except (ValueError, OverflowError):
        raise Invalid(f"entry {entry}: metric {key[:80]!r} has a value, a time or a step that is no number") from None


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise OverflowError
    return value


def _dataset(sent: _Dataset) -> DatasetInput:
    node = dataset_id(sent.name, sent.digest, sent.source)
    data = Dataset(node, sent.name, sent.digest, sent.source_type, sent.source, sent.schema, sent.profile)
    return DatasetInput(data, {CONTEXT_TAG: sent.context} if sent.context else {})


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else repr(value)


def as_json(entries: Sequence[Entry]) -> list[Mapping[str, Any]]:
    return [encode(entry) for entry in entries]
