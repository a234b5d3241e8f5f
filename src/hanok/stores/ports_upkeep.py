"""What cleaning up, importing, exporting and the history of stages want from storage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from hanok.core.registry import ModelVersion, StageChange
from hanok.core.tracking import Experiment

if TYPE_CHECKING:
    import pyarrow as pa


class TrackingUpkeep(Protocol):
    """What removes for good, and what moves. Nodes stay; who removes leaves their tombstones."""

    def deleted_runs(self, before: datetime) -> list[str]:
        """Runs that were deleted before an instant. One without a noted instant counts from its end, or its start."""
        ...

    def deleted_models(self, before: datetime) -> list[str]:
        """Logged models that were deleted before an instant."""
        ...

    def contents(self, experiment_id: str) -> tuple[list[str], list[str]]:
        """All runs and all logged models of an experiment, deleted ones too."""
        ...

    def purge_runs(self, run_ids: Sequence[str]) -> dict[str, int]:
        """Remove their rows and artifact paths; returns how many metric points, artifacts and bytes that were."""
        ...

    def purge_models(self, model_ids: Sequence[str]) -> dict[str, int]: ...

    def purge_experiment(self, experiment_id: str) -> dict[str, int]:
        """Its name is free again. It must be empty. What else lies under its artifact location goes with it."""
        ...

    def move_runs(self, run_ids: Sequence[str], experiment_id: str) -> None:
        """With the models that they logged; artifacts stay where they are."""
        ...


DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Digests by who names them: artifact paths, versions (their package), what else is read by its digest, and
    documents, in which a digest may be of something that is not stored."""

    direct: frozenset[str]
    packages: frozenset[str]
    read: frozenset[str]
    documents: frozenset[str]


class BlobReferences(Protocol):
    """Which content is still wanted."""

    def addresses(self) -> Addresses:
        """All of it, by who names it."""
        ...

    def direct(self) -> set[str]:
        """Digests that artifact paths name."""
        ...

    def documents(self) -> set[str]:
        """Everything that looks like a digest in the documents of what is not deleted: packages, statistics, steps."""
        ...


class Imports(Protocol):
    """Insert things under identities that another store gave them. What is there already stays as it is."""

    def add_experiment(self, experiment: Experiment) -> Experiment:
        """Under its own id, or under the next number when that is empty or taken."""
        ...

    def add_version(self, version: ModelVersion) -> bool:
        """Under its own number; False when the model has that number."""
        ...


class StageHistory(Protocol):
    def add(self, change: StageChange) -> None: ...

    def of(self, model: str) -> list[StageChange]:
        """Newest first."""
        ...


class RunTables(Protocol):
    """Runs and what they logged as columns, for export and SQL."""

    def table(self, name: str, experiment_ids: Sequence[str] | None = None) -> pa.Table:
        """`name` is one of TABLES; None means all experiments."""
        ...


TABLES: Mapping[str, str] = {
    "experiments": "experiment_id, name, lifecycle, created, updated, tags (JSON)",
    "runs": "run_id, experiment_id, experiment, name, status, lifecycle, user_name, started, ended, artifact_uri",
    "params": "run_id, key, value",
    "tags": "run_id, key, value",
    "metrics": "run_id, key, value, step, timestamp: the latest point of each",
    "history": "run_id, key, value, step, timestamp: every point",
}
"""The tables that can be asked for, with their columns."""

Row = Mapping[str, Any]
