"""What the tracking part wants from storage. The contract of ports.py holds here too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from hanok.core.registry import ModelVersion
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
    Part,
    PointRow,
    Run,
    RunListing,
    RunQuery,
    Upload,
)
from hanok.core.webhooks import Delivery, Webhook


class Experiments(Protocol):
    """Experiments; a name is unique among active and deleted ones."""

    def add(self, experiment: Experiment, *, root: str = ARTIFACTS) -> Experiment:
        """Store under the next number; an empty location becomes that number below `root`. Raises AlreadyExists."""
        ...

    def put(self, experiment: Experiment) -> None:
        """Replace name, lifecycle, tags and update time. Raises AlreadyExists when the name is taken."""
        ...

    def get(self, experiment_id: str) -> Experiment:
        """Raises ExperimentNotFound."""
        ...

    def named(self, name: str) -> Experiment | None: ...

    def all(self) -> list[Experiment]:
        """Newest first, deleted ones too."""
        ...


class Runs(Protocol):
    """Runs with their params and tags. Writing to a deleted run raises RunDeleted (here, in links and metrics)."""

    def add(self, run: Run) -> None:
        """Insert the run with its tags; metrics, params and links are ignored. The same id again has no effect."""
        ...

    def put(self, run: Run) -> None:
        """Replace name, status, end and lifecycle."""
        ...

    def get(self, run_id: str) -> Run:
        """With everything it logged. Raises RunNotFound."""
        ...

    def search(self, query: RunQuery) -> list[Run]: ...

    def add_params(self, run_id: str, params: Mapping[str, str]) -> dict[str, str]:
        """Insert what is new; returns what these keys hold now, so that the caller sees a change of value."""
        ...

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None: ...

    def delete_tag(self, run_id: str, key: str) -> bool:
        """Whether there was one."""
        ...


class RunListings(Protocol):
    def page(self, query: RunQuery) -> RunListing:
        """What `Runs.search` finds, as rows."""
        ...

    def history(self, run_id: str, key: str, *, after: Metric | None, limit: int | None) -> Sequence[PointRow]:
        """What `Metrics.history` finds, as rows."""
        ...


class RunLinks(Protocol):
    """The datasets that runs read, and the logged models that they read and wrote."""

    def add_datasets(self, run_id: str, inputs: Sequence[DatasetInput]) -> None: ...

    def datasets_of(self, experiment_ids: Sequence[str], *, limit: int) -> list[tuple[str, str, str, str]]:
        """Experiment, name, digest and context of the datasets that active runs read, in that order."""
        ...

    def add_models_read(self, run_id: str, model_ids: Sequence[str]) -> None: ...

    def add_models_written(self, run_id: str, outputs: Sequence[ModelOutput]) -> None: ...


class Metrics(Protocol):
    """Metric points, append-only. A point that is there already is not added again."""

    def append(self, run_id: str, points: Sequence[Metric]) -> None:
        """The latest value of a key is the one with the highest (step, timestamp, value). Raises RunNotFound."""
        ...

    def history(self, run_id: str, key: str, *, after: Metric | None = None, limit: int | None = None) -> list[Metric]:
        """By (step, timestamp, value), beginning after the point `after`."""
        ...

    def latest(self, run_ids: Sequence[str]) -> dict[str, tuple[Metric, ...]]: ...

    def delete(self, run_id: str, key: str) -> None:
        """Forget all points of a key."""
        ...


class RunOverview(Protocol):
    """What a page asks of many runs at once, answered without reading them whole."""

    def count(self, query: RunQuery) -> int:
        """How many runs match, whatever its limit and offset."""
        ...

    def extent(self, run_ids: Sequence[str], key: str, axis: Axis) -> tuple[int, int] | None:
        """The first and the last place of a metric over these runs; None when it has no finite point."""
        ...

    def curves(
        self, run_ids: Sequence[str], key: str, axis: Axis, *, low: int, high: int, bins: int
    ) -> dict[str, Curve]:
        """The metric between two places, by run, in at most about `bins` bins each. Runs without a point are absent."""
        ...


class LoggedModels(Protocol):
    def add(self, model: LoggedModel) -> None: ...

    def put(self, model: LoggedModel) -> None:
        """Replace status, type, lifecycle, params, tags and update time."""
        ...

    def get(self, model_id: str) -> LoggedModel:
        """Raises LoggedModelNotFound."""
        ...

    def of_experiments(self, experiment_ids: Sequence[str]) -> list[LoggedModel]:
        """Newest first, with their metrics; deleted ones are left out."""
        ...

    def add_metrics(self, metrics: Sequence[ModelMetric]) -> None: ...


class Artifacts(Protocol):
    """The tree of artifact paths ("1/<run>/artifacts/model/MLmodel") over the content-addressed blobs."""

    def put(self, artifact: Artifact, at: datetime) -> None:
        """Insert or replace. Raises what `check_free` raises."""
        ...

    def check_free(self, path: str) -> None:
        """Raises Conflict when a file cannot be put there: the path is a folder, or lies under a file."""
        ...

    def get(self, path: str) -> Artifact | None: ...

    def children(self, folder: str) -> list[Artifact]:
        """The files and folders directly inside, by name."""
        ...

    def delete(self, path: str) -> int:
        """Remove a file or everything under a folder; returns the number of files."""
        ...

    def digests(self) -> set[str]:
        """Every blob that a path refers to."""
        ...


class Folder(Protocol):
    """Artifacts outside the tree: a folder of this machine that clients write themselves. Nothing leads out of it."""

    def inside(self, uri: str) -> str | None:
        """The path below the folder that a URI names; None when it names another place."""
        ...

    def children(self, path: str) -> list[Artifact]:
        """The files and folders directly inside, by name."""
        ...

    def open(self, path: str) -> tuple[Artifact, BinaryIO]:
        """Raises ArtifactNotFound."""
        ...

    def put(self, path: str, stream: BinaryIO | Iterator[bytes]) -> None:
        """Raises Conflict when a folder or a file is in the way."""
        ...


class RegistryUpkeep(Protocol):
    """What changes names in the registry and what removes from it."""

    def rename_model(self, name: str, new_name: str, at: datetime) -> None:
        """Versions, aliases and their history follow. Raises AlreadyExists."""
        ...

    def remove_model(self, name: str) -> None:
        """With versions and aliases; the history of aliases stays."""
        ...

    def remove_version(self, model: str, version: int) -> None:
        """Its number is not given out again."""
        ...

    def all_versions(self) -> list[ModelVersion]:
        """Of all models, the last changed first."""
        ...


class Uploads(Protocol):
    """Files that come in parts, beside the blobs. Ids are secrets: the store keeps only their hash."""

    def put(self, upload: Upload) -> None:
        """Begin an upload, or note that it is complete (it has a digest), which forgets its parts."""
        ...

    def get(self, upload_id: str) -> Upload:
        """Raises UploadNotFound."""
        ...

    def put_part(self, upload_id: str, number: int, stream: BinaryIO | Iterator[bytes]) -> Part:
        """Keep a part; it takes the place of an earlier one of this number. Raises UploadNotFound."""
        ...

    def parts(self, upload_id: str) -> list[Part]:
        """The parts that have arrived, by number. Raises UploadNotFound."""
        ...

    def assemble(self, upload_id: str, parts: Sequence[Part]) -> tuple[str, int]:
        """Make one blob of the parts in this order; gives digest and size. Raises Corrupt when a part is damaged."""
        ...

    def remove(self, upload_id: str) -> None: ...

    def expire(self, before: datetime) -> int:
        """Forget the uploads that were begun earlier; returns how many are left."""
        ...


class Webhooks(Protocol):
    """Who is told of what happens in the registry."""

    def put(self, webhook: Webhook) -> None:
        """Insert or replace."""
        ...

    def get(self, webhook_id: str) -> Webhook:
        """Raises WebhookNotFound."""
        ...

    def all(self) -> list[Webhook]:
        """Oldest first."""
        ...

    def remove(self, webhook_id: str) -> None:
        """With its deliveries."""
        ...


class WebhookDeliveries(Protocol):
    """Messages to webhooks, kept until they arrive."""

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Insert what is not there yet, by id."""
        ...

    def due(self, now: datetime, *, limit: int) -> list[Delivery]:
        """Those whose next attempt is due, the longest waiting first."""
        ...

    def claim(self, delivery: Delivery, until: datetime) -> bool:
        """Take the attempt that is due: others leave it alone until then. False when somebody else took it."""
        ...

    def settle(self, delivery: Delivery) -> None:
        """Replace attempts, outcome and the next attempt."""
        ...

    def of_webhook(self, webhook_id: str, *, limit: int) -> list[Delivery]:
        """Newest first."""
        ...

    def prune(self, before: datetime) -> None:
        """Forget those made earlier that have no further attempt."""
        ...
