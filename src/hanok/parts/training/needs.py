"""What training wants from the other parts; the engine hands it over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.core.declare import AutoML, Model
from hanok.core.registry import AliasChange, ModelVersion
from hanok.core.serving import Arm, Deployment


class Searched(Protocol):
    """The outcome of a model search."""

    @property
    def package(self) -> Package: ...
    @property
    def plan(self) -> Mapping[str, Any]: ...
    @property
    def metric(self) -> str: ...


class Searcher(Protocol):
    def search(self, frame: Frame, settings: AutoML) -> Searched: ...

    def run_plan(self, frame: Frame, plan: Mapping[str, Any]) -> Searched: ...

    def leaderboard(self, searched: Any) -> Sequence[Mapping[str, Any]]: ...


class MadeSet(Protocol):
    @property
    def rows(self) -> pa.Table: ...
    @property
    def snapshots(self) -> Mapping[str, int]: ...
    @property
    def start(self) -> datetime | None: ...
    @property
    def end(self) -> datetime: ...
    @property
    def leaks(self) -> Sequence[Any]: ...


class TrainingSets(Protocol):
    def training_set(self, model: Model, *, end: datetime | None = None, start: datetime | None = None) -> Any: ...

    def record_training_set(self, model: Model, made: Any, package: str) -> str: ...

    def logged_answers(self, model: str, version: int, *, limit: int) -> pa.Table: ...


class ScoredModel(Protocol):
    @property
    def notes(self) -> Mapping[str, Any]: ...

    def score_table(self, rows: pa.Table) -> Any: ...


class PackageStore(Protocol):
    def save(self, package: Package) -> str: ...

    def load(self, digest: str) -> Any: ...


class Runs(Protocol):
    def create(
        self, experiment_id: str, *, name: str = "", tags: Mapping[str, str] | None = None, read: Sequence[str] = ()
    ) -> Any: ...

    def log(self, run_id: str, *, metrics: Sequence[Any] = (), params: Mapping[str, str] | None = None) -> None: ...

    def finish(self, run_id: str, status: str = "FINISHED") -> Any: ...


class ModelRegistry(Protocol):
    def register(
        self,
        model: str,
        *,
        run_id: str = "",
        package: str = "",
        facts: Mapping[str, Any] | None = None,
        trained_on: Sequence[str] = (),
        actor: str = "local",
    ) -> ModelVersion: ...

    def versions(self, model: str) -> list[ModelVersion]: ...

    def move_alias(self, model: str, alias: str, to: int | None, *, actor: str, reason: str = "") -> AliasChange: ...


class Deployer(Protocol):
    def deploy(self, name: str, arms: Sequence[Arm], *, actor: str, reason: str, caused_by: str = "") -> Deployment: ...

    def deployment(self, name: str) -> Deployment | None: ...

    def last_primary_before(self, name: str) -> int: ...


class Performance(Protocol):
    def metric_over(
        self, model: str, task: str, *, start: datetime, end: datetime, version: int | None = None
    ) -> tuple[dict[str, float], int]: ...

    def outcomes(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        known_by: datetime | None = None,
    ) -> pa.Table: ...
