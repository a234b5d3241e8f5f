"""What the parts want from storage: one small Protocol for each aggregate.

Contract, for every engine: instants are UTC-aware; `write` runs its work in one transaction that is durable when it
returns, and its work may be run again after a failure, so it must not touch anything but the repositories; `read`
sees one consistent snapshot. All methods are safe to call from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias, TypeVar

from hanok.core.lineage import Edge, Event, Graph, Node, NodeKind
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel
from hanok.core.serving import Deployment
from hanok.core.tables import Appended, Scan
from hanok.core.workflows import Step, Workflow

if TYPE_CHECKING:
    import pyarrow as pa

    from hanok.stores.ports_access import AuditLog, Projects, Roles, Tokens, Users
    from hanok.stores.ports_evaluation import EvaluationDatasets, EvaluationRecords
    from hanok.stores.ports_gateway import EndpointBindings, GatewayEndpoints, GatewaySecrets, ModelDefinitions, Scorers
    from hanok.stores.ports_traces import Assessments, Spans, TraceLinks, Traces, TraceStatistics
    from hanok.stores.ports_tracking import (
        Artifacts,
        Experiments,
        LoggedModels,
        Metrics,
        RegistryUpkeep,
        RunLinks,
        RunListings,
        RunOverview,
        Runs,
        WebhookDeliveries,
        Webhooks,
    )
    from hanok.stores.ports_tuning import Studies, Trials
    from hanok.stores.ports_upkeep import BlobReferences, Imports, RunTables, StageHistory, TrackingUpkeep

T = TypeVar("T")
Document: TypeAlias = Mapping[str, Any]
"""A JSON object as it was stored; `core/records.py` opens it."""


class Lineage(Protocol):
    """Nodes and edges. Identity and edges never change; deleting leaves a tombstone."""

    def add(self, nodes: Sequence[Node], edges: Sequence[Edge] = ()) -> None:
        """Insert what is not there yet; the same node again has no effect."""
        ...

    def node(self, node_id: str) -> Node:
        """Raises NodeNotFound."""
        ...

    def find(self, kind: NodeKind, name: str | None = None, *, limit: int = 100) -> list[Node]:
        """The newest nodes of a kind, newest first."""
        ...

    def walk(self, node_id: str, *, depth: int = 20) -> Graph:
        """All that the node came from and all that came from it."""
        ...

    def neighbours(self, node_id: str) -> Graph:
        """The node, its edges both ways, and the nodes at their other ends."""
        ...

    def tombstone(self, node_id: str, at: datetime | None) -> None:
        """Mark as deleted; None takes the mark away again."""
        ...


class Outbox(Protocol):
    """Events in the order of their commits, and how far each reaction has come."""

    def append(self, event: Event) -> None: ...

    def after(self, sequence: int, *, limit: int = 100) -> list[Event]: ...

    def cursor(self, reaction: str) -> int: ...

    def advance(self, reaction: str, sequence: int) -> None:
        """Never back: of two processes that drain at once, the one that is behind moves nothing."""
        ...


class Declarations(Protocol):
    """What a project declares, version by version. A body equal to the newest adds no version."""

    def put(self, kind: str, name: str, digest: str, body: Document, at: datetime) -> int:
        """Returns the version number that holds this digest: a new one if it differs from the newest."""
        ...

    def newest(self, kind: str, name: str) -> tuple[int, Document] | None: ...

    def names(self, kind: str) -> list[str]: ...

    def at_version(self, kind: str, name: str, version: int) -> Document | None: ...


class Registry(Protocol):
    """Registered models, versions, aliases with history."""

    def put_model(self, model: RegisteredModel) -> None:
        """Insert or replace description, tags and update time."""
        ...

    def models(self, name: str | None = None) -> list[RegisteredModel]: ...

    def add_version(self, version: ModelVersion) -> ModelVersion:
        """Store with the next version number of its model (the given number is ignored)."""
        ...

    def versions(self, model: str, version: int | None = None) -> list[ModelVersion]:
        """Newest first; all versions, or the one asked for."""
        ...

    def move_alias(self, change: AliasChange) -> None:
        """Compare-and-set: raises StaleGeneration unless the alias stands at `change.before`."""
        ...

    def alias_history(self, model: str, alias: str | None = None) -> list[AliasChange]:
        """Newest first."""
        ...

    def put_version(self, version: ModelVersion) -> None:
        """Replace description, status, stage, tags, facts and update time of an existing version."""
        ...


class Deployments(Protocol):
    """Which versions serve, under which shares; each change is a new generation."""

    def put(self, deployment: Deployment, *, expected: int) -> None:
        """Compare-and-set on the generation (0: there is none yet). Raises StaleGeneration."""
        ...

    def get(self, name: str) -> Deployment | None: ...

    def all(self) -> list[Deployment]: ...

    def history(self, name: str) -> list[Deployment]:
        """Newest first."""
        ...

    def generation(self) -> int:
        """A number that grows with every change of any deployment."""
        ...


class Workflows(Protocol):
    """Durable steps: a lease with a fencing number says who works, a finished step is never done again."""

    def start(self, workflow: Workflow) -> Workflow:
        """Insert; the workflow that already has this key is returned instead."""
        ...

    def claim(self, workflow_id: str, owner: str, now: datetime, until: datetime) -> int:
        """Take or renew the lease; returns the fencing number. Raises Conflict while another holds it."""
        ...

    def record(self, workflow_id: str, fence: int, step: Step) -> None:
        """Raises LeaseLost when a newer fencing number was given out."""
        ...

    def finish(self, workflow_id: str, fence: int, state: str, result: Document, at: datetime) -> None: ...

    def steps(self, workflow_id: str) -> list[Step]: ...

    def list(self, *, kind: str | None = None, state: str | None = None, limit: int = 100) -> list[Workflow]: ...

    def get(self, workflow_id: str) -> Workflow: ...


class Records(Protocol):
    """Small documents that change and that one lists by name and time: schemas, alerts, daily measurements."""

    def put(self, kind: str, name: str, key: str, body: Document, at: datetime) -> None:
        """Insert or replace (`kind`, `name`, `key`)."""
        ...

    def get(self, kind: str, name: str, key: str) -> Document | None: ...

    def list(
        self, kind: str, name: str | None = None, *, since: datetime | None = None, limit: int = 1000
    ) -> list[Document]:
        """Newest first; each body carries `_name`, `_key` and `_at`."""
        ...


class Repositories(Protocol):
    """All aggregates of the metadata store, inside one transaction."""

    @property
    def lineage(self) -> Lineage: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def declarations(self) -> Declarations: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def deployments(self) -> Deployments: ...
    @property
    def workflows(self) -> Workflows: ...
    @property
    def records(self) -> Records: ...
    @property
    def experiments(self) -> Experiments: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def run_links(self) -> RunLinks: ...
    @property
    def run_listings(self) -> RunListings: ...
    @property
    def run_overview(self) -> RunOverview: ...
    @property
    def logged_models(self) -> LoggedModels: ...
    @property
    def artifacts(self) -> Artifacts: ...
    @property
    def traces(self) -> Traces: ...
    @property
    def spans(self) -> Spans: ...
    @property
    def assessments(self) -> Assessments: ...
    @property
    def trace_links(self) -> TraceLinks: ...
    @property
    def trace_statistics(self) -> TraceStatistics: ...
    @property
    def evaluation_datasets(self) -> EvaluationDatasets: ...
    @property
    def evaluation_records(self) -> EvaluationRecords: ...
    @property
    def gateway_secrets(self) -> GatewaySecrets: ...
    @property
    def model_definitions(self) -> ModelDefinitions: ...
    @property
    def gateway_endpoints(self) -> GatewayEndpoints: ...
    @property
    def endpoint_bindings(self) -> EndpointBindings: ...
    @property
    def scorers(self) -> Scorers: ...
    @property
    def registry_upkeep(self) -> RegistryUpkeep: ...
    @property
    def tracking_upkeep(self) -> TrackingUpkeep: ...
    @property
    def blob_references(self) -> BlobReferences: ...
    @property
    def imports(self) -> Imports: ...
    @property
    def stage_history(self) -> StageHistory: ...
    @property
    def run_tables(self) -> RunTables: ...
    @property
    def projects(self) -> Projects: ...
    @property
    def users(self) -> Users: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def roles(self) -> Roles: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def webhook_deliveries(self) -> WebhookDeliveries: ...
    @property
    def studies(self) -> Studies: ...
    @property
    def trials(self) -> Trials: ...


class Metadata(Protocol):
    """The metadata store."""

    def write(self, work: Callable[[Repositories], T]) -> T:
        """Run `work` in one atomic commit, durable on return."""
        ...

    def submit(self, work: Callable[[Repositories], T]) -> Future[T]:
        """`write` without waiting: the future is done when the commit is durable."""
        ...

    def read(self, work: Callable[[Repositories], T]) -> T: ...

    def backup(self, path: str) -> None: ...

    def reset(self) -> None:
        """Forget everything. For tests that start from nothing each time."""
        ...

    def close(self) -> None: ...


class Blobs(Protocol):
    """Content-addressed bytes. The address is the SHA-256 in hex."""

    def put(self, stream: BinaryIO | Iterator[bytes]) -> tuple[str, int]:
        """Durable on return; gives digest and size in bytes. Equal content is kept once."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """Raises ArtifactNotFound."""
        ...

    def path(self, digest: str) -> str | None:
        """A local file with the content where there is one."""
        ...

    def verify(self, digest: str) -> bool:
        """Whether the stored bytes still match their digest."""
        ...

    def digests(self) -> Iterator[str]: ...

    def delete(self, digest: str) -> None: ...

    def discard(self, digest: str, before: datetime) -> int | None:
        """Delete unless `put` has been given this content since `before`; the bytes freed, None when it stays."""
        ...


class Tables(Protocol):
    """Append-only tables. Every row gets `_seq` (its number) and keeps `_arrived` (instant of arrival, given)."""

    def append(self, name: str, rows: pa.Table, *, key: str, digest: str = "", first: int = 0) -> Appended:
        """Durable on return. The same `key` again has no effect and gives the first outcome (`repeated`); raises
        Conflict when both times a `digest` of what was sent is given and they differ. The rows are numbered from
        `first` on where the table has fewer: so that the numbers of rows that a disk lost are not given again."""
        ...

    def holds(self, name: str, key: str) -> bool:
        """Whether the rows of a batch are here; also True where the table's own list of batches is damaged."""
        ...

    def scan(self, name: str, *, upto: int | None = None, since: datetime | None = None, first: int = 0) -> Scan:
        """A snapshot; `since` lets the engine skip files whose rows all arrived before, and `first` those whose rows
        all have lower numbers: what is asked of the rows has to say so again. Raises SourceNotFound."""
        ...

    def size(self, name: str) -> int:
        """The number that the next row gets, which is how many there are, lost ones included; 0 when there is no such
        table."""
        ...

    def names(self) -> list[str]: ...

    def frozen(self) -> AbstractContextManager[None]:
        """While it is entered no file is moved or removed, so that all can be copied."""
        ...

    def close(self) -> None: ...


class OnlineValues(Protocol):
    """Bytes by (space, key). A space is one generation of a view's values; every call is all or nothing."""

    def get(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """From one snapshot."""
        ...

    def put(self, space: str, items: Iterable[tuple[bytes, bytes]]) -> None: ...

    def merge(self, space: str, keys: Sequence[bytes], merged: Callable[[bytes, bytes | None], bytes]) -> None:
        """Replace each value by `merged(key, what is there)`; nobody writes in between. It may be called twice."""
        ...

    def clear(self, space: str) -> None:
        """Drop a space that nobody reads any more; not at once when it is large."""
        ...

    def count(self, space: str) -> int: ...

    def spaces(self) -> list[str]:
        """The spaces that hold anything."""
        ...

    def close(self) -> None: ...


class Frames(Protocol):
    """One append-only file of checksummed frames: the prediction log of one worker."""

    def append(self, payload: bytes) -> int:
        """Returns the frame's number. In the page cache on return: survives kill -9, synced every second."""
        ...

    def sync(self) -> None: ...

    def close(self) -> None: ...
