"""Experiments, runs and what they log; logged models; the language in which they are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Generic, Literal, NamedTuple, TypeVar

from hanok.core.access import DEFAULT_PROJECT

T = TypeVar("T")

Lifecycle = Literal["active", "deleted"]
ACTIVE: Lifecycle = "active"
DELETED: Lifecycle = "deleted"

RUNNING, SCHEDULED, FINISHED, FAILED, KILLED = "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"
RUN_STATUSES = (RUNNING, SCHEDULED, FINISHED, FAILED, KILLED)
ENDED = (FINISHED, FAILED, KILLED)

PENDING, READY, UPLOAD_FAILED = "PENDING", "READY", "UPLOAD_FAILED"
LOGGED_MODEL_STATUSES = (PENDING, READY, UPLOAD_FAILED)

DEFAULT_EXPERIMENT = "0"
RUN_NAME_TAG = "mlflow.runName"
CONTEXT_TAG = "mlflow.data.context"
ARTIFACTS = "mlflow-artifacts:/"


@dataclass(frozen=True, slots=True)
class Experiment:
    """A named group of runs. `id` is a decimal number as text, "" until the store has given one."""

    id: str
    name: str
    location: str
    created: datetime
    updated: datetime
    lifecycle: Lifecycle = ACTIVE
    tags: Mapping[str, str] = field(default_factory=dict)
    project: str = DEFAULT_PROJECT


class Metric(NamedTuple):
    """One measured point. A tuple, because batches of thousands are the hot path. `value` may be NaN or infinite."""

    key: str
    value: float
    timestamp_ms: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class CurveBin:
    """Neighbouring points of a curve: their mean place, smallest, largest and mean value."""

    x: float
    low: float
    high: float
    mean: float


Axis = Literal["step", "time"]


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric of a run, thinned to what can be drawn. `x` is the step, or milliseconds since the run started.

    NaN and infinities are left out.
    """

    run_id: str
    key: str
    bins: tuple[CurveBin, ...]


class ModelMetric(NamedTuple):
    """A metric point that a run measured of a logged model, possibly on a named dataset."""

    model_id: str
    run_id: str
    metric: Metric
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a run read. `id` is the lineage node, the same wherever name, digest and source are the same."""

    id: str
    name: str
    digest: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class DatasetInput:
    """A dataset as one run used it; the tag `mlflow.data.context` says for what."""

    dataset: Dataset
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """A logged model that a run wrote at a step."""

    model_id: str
    step: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One execution. `metrics` are the latest points, by key; `id` is the lineage node."""

    id: str
    experiment_id: str
    name: str
    started: datetime
    artifact_uri: str
    status: str = RUNNING
    user: str = ""
    ended: datetime | None = None
    lifecycle: Lifecycle = ACTIVE
    metrics: tuple[Metric, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[DatasetInput, ...] = ()
    models_read: tuple[str, ...] = ()
    models_written: tuple[ModelOutput, ...] = ()

    @property
    def latest(self) -> dict[str, float]:
        """The latest value of each metric."""
        return {m.key: m.value for m in self.metrics}


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model as a run logged it, before or without registration. `id` is "m-" and 32 hex digits."""

    id: str
    experiment_id: str
    name: str
    artifact_uri: str
    created: datetime
    updated: datetime
    status: str = PENDING
    model_type: str = ""
    source_run_id: str = ""
    lifecycle: Lifecycle = ACTIVE
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[ModelMetric, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file in the artifact tree, or a folder of it (`digest` is then ""). Outside the tree, in a folder that clients
    write themselves, `digest` is a tag of time and size."""

    path: str
    digest: str = ""
    size_bytes: int = 0

    @property
    def is_folder(self) -> bool:
        return self.digest == ""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes in parts. Who knows its `id` may send them. `digest` is "" until it is complete."""

    id: str
    path: str
    parts: int
    begun: datetime
    digest: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has arrived; `etag` is the SHA-256 of its bytes."""

    number: int
    etag: str
    size_bytes: int


SubjectOfTraces = Literal["metadata", "span", "feedback", "expectation", "assessment"]
Subject = Literal["metric", "param", "tag", "attribute", "dataset"] | SubjectOfTraces
Operator = Literal["=", "!=", ">", ">=", "<", "<=", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`metrics.loss < 0.3`. A thing without that metric, param or tag matches only IS NULL."""

    subject: Subject
    key: str
    operator: Operator
    value: str | float | tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; the empty one always does."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold: a thing without the value that it compares matches."""

    part: Filter


Filter = Comparison | All | AnyOf | Not
EVERYTHING = All()


@dataclass(frozen=True, slots=True)
class Order:
    """One key to sort by. What has no value for it, or NaN, comes last in both directions."""

    subject: Subject
    key: str
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs, in which order. The default order is the newest start first."""

    experiment_ids: Sequence[str]
    filter: Filter = EVERYTHING
    order: Sequence[Order] = ()
    lifecycles: Sequence[Lifecycle] = (ACTIVE,)
    limit: int = 1000
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next_offset` is None on the last one."""

    items: tuple[T, ...]
    next_offset: int | None = None


def dataset_id(name: str, digest: str, source: str) -> str:
    """The node id of a dataset: equal name, digest and source are one dataset, whoever read it."""
    return sha256(f"{name}\0{digest}\0{source}".encode()).hexdigest()[:32]


PointRow = tuple[int, int, float | None]  # step, timestamp_ms, value; None stands for NaN


class RunRow(NamedTuple):
    """The columns of a run; instants are microseconds. `key` is what the store knows it by."""

    key: int
    id: str
    experiment: int
    name: str
    status: str
    lifecycle: Lifecycle
    user: str
    started_us: int
    ended_us: int | None
    artifact_uri: str


@dataclass(frozen=True, slots=True)
class RunListing:
    """A page of runs with what they logged, by key, in plain rows for an encoder: a Run for each would cost more than
    the search. Metrics are (name, value, timestamp_ms, step); params and tags are JSON text [{"key": .., "value": ..}].
    """

    rows: tuple[RunRow, ...] = ()
    metrics: Mapping[int, Sequence[tuple[str, float, int, int]]] = field(default_factory=dict)
    params: Mapping[int, str] = field(default_factory=dict)
    tags: Mapping[int, str] = field(default_factory=dict)
    datasets: Mapping[int, Sequence[DatasetInput]] = field(default_factory=dict)
    models_read: Mapping[int, Sequence[ModelOutput]] = field(default_factory=dict)
    models_written: Mapping[int, Sequence[ModelOutput]] = field(default_factory=dict)


def artifact_path(uri: str) -> str | None:
    """Where in the artifact tree a URI points ("mlflow-artifacts:/1/ab" -> "1/ab"); None when it points elsewhere."""
    scheme, colon, rest = uri.partition(":")
    if scheme != "mlflow-artifacts" or not colon:
        return None
    if rest.startswith("//"):
        rest = rest[2:].partition("/")[2]
    return rest.strip("/")
