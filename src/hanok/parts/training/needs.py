"""What training wants from the other parts; the engine hands it over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.frames import Columns, Frame
from hanok.compute.leaks import Leak
from hanok.compute.metrics import Floats
from hanok.compute.runtimes import Package
from hanok.core.declare import AutoML, Model, OwnCode
from hanok.core.json import JsonObject
from hanok.core.registry import AliasChange, ModelVersion
from hanok.core.serving import Arm, Deployment, Prediction, Signature
from hanok.core.tracking import Metric, Run
from hanok.core.training import Line, MadeSet, Plan
from hanok.stores.ports import Repositories


class Outcome(Protocol):
    """The outcome of a model search."""

    @property
    def package(self) -> Package: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def metric(self) -> str: ...
    @property
    def lines(self) -> Sequence[Line]: ...


class Fitter(Protocol):
    """Fits models: long work, and a user's own code."""

    def search(self, frame: Frame, settings: AutoML) -> Outcome: ...

    def run_plan(self, frame: Frame, plan: Plan) -> Outcome: ...

    def own(self, frame: Frame, own: OwnCode) -> Package:
        """What the user's function returns for these rows."""
        ...


class Executor(Protocol):
    """Where models are fitted: in this process, or in one that may die."""

    def fitting(self, of: str, go_on: Callable[[], None]) -> AbstractContextManager[Fitter]:
        """For one training. `go_on` is asked from time to time during a fit, and raises when it has to end."""
        ...

    def close(self) -> None:
        """End what runs; its trainings go on another time."""
        ...

    def says(self, of: str) -> str:
        """The last line that the process of a training wrote; "" where there is none."""
        ...


class SetMade(Protocol):
    """A training set: its rows, and what they were read from."""

    @property
    def rows(self) -> pa.Table: ...
    @property
    def snapshots(self) -> Mapping[str, int]: ...
    @property
    def start(self) -> datetime | None: ...
    @property
    def end(self) -> datetime: ...
    @property
    def as_of(self) -> datetime: ...
    @property
    def leaks(self) -> Sequence[Leak]: ...


class TrainingSets(Protocol):
    def training_set(self, model: Model, *, end: datetime | None = None, start: datetime | None = None) -> SetMade: ...

    def record_training_set(self, model: Model, made: SetMade, package: str, *, node_id: str = "") -> str:
        """The id of its node; recorded once when the same `node_id` comes again."""
        ...

    def same_rows(self, declared: Model, made: MadeSet, rows: pa.Table, positions: NDArray[np.int64]) -> pa.Table:
        """The labelled rows at these positions of a training set, with the features of another declaration over the
        same spine. Raises HanokError where they cannot be had."""
        ...


class ScoredModel(Protocol):
    @property
    def signature(self) -> Signature: ...

    def score(self, columns: Columns) -> Floats: ...

    def score_table(self, rows: pa.Table) -> Floats: ...


class PackageStore(Protocol):
    def save(self, package: Package) -> str: ...

    def load(self, digest: str) -> ScoredModel: ...


class Runs(Protocol):
    def create(
        self,
        experiment_id: str,
        *,
        name: str = "",
        tags: Mapping[str, str] | None = None,
        read: Sequence[str] = (),
        run_id: str = "",
    ) -> Run:
        """The run of this id, made if there is none yet."""
        ...

    def log(self, run_id: str, *, metrics: Sequence[Metric] = (), params: Mapping[str, str] | None = None) -> None: ...

    def finish(self, run_id: str, status: str = "FINISHED") -> Run: ...


class ModelRegistry(Protocol):
    def register(
        self,
        model: str,
        *,
        run_id: str = "",
        package: str = "",
        facts: JsonObject | None = None,
        trained_on: Sequence[str] = (),
        actor: str = "local",
        node_id: str = "",
    ) -> ModelVersion:
        """The version of this node, made if there is none yet."""
        ...

    def versions(self, model: str) -> list[ModelVersion]: ...

    def move_alias(self, model: str, alias: str, to: int | None, *, actor: str, reason: str = "") -> AliasChange: ...


class Deployer(Protocol):
    def deploy(
        self,
        name: str,
        arms: Sequence[Arm],
        *,
        actor: str,
        reason: str,
        expected: int | None = None,
        along: Callable[[Repositories], None] = ...,
    ) -> Deployment:
        """`expected` is the generation on which this was decided: raises StaleGeneration when another one stands by
        now. What `along` writes is in the same commit."""
        ...

    def deployment(self, name: str) -> Deployment | None: ...

    def history(self, name: str) -> list[Deployment]:
        """Newest first."""
        ...


class Answered(Protocol):
    """What the prediction log holds, what lies in its open segments included."""

    def since(self, model: str, since: datetime) -> pa.Table:
        """version, arm, error and the microseconds of one row, of what was logged since an instant."""
        ...

    def mark(self, model: str) -> tuple[int, ...]:
        """Changes whenever an answer or the label of one comes; cheap."""
        ...

    def of_version(self, model: str, version: int, *, limit: int) -> Sequence[Prediction]:
        """The newest answers of a version."""
        ...


class Performance(Protocol):
    def outcomes(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        known_by: datetime | None = None,
    ) -> pa.Table: ...

    def next_known(self, model: str, after: datetime) -> datetime | None:
        """When the next of the labels that are here already becomes known; None when there is none."""
        ...


class Alarms(Protocol):
    def raise_(self, subject: str, kind: str, fingerprint: str, summary: str, *, severity: str = "warning") -> str: ...

    def resolve(self, subject: str, fingerprint: str, reason: str) -> None: ...
