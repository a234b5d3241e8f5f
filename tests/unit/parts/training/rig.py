"""A small house for the services of training: real stores, real serving, models of a few numbers, no training."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

import hanok as hk
from hanok.compute.runtimes import Package
from hanok.core.clock import ReplayClock
from hanok.core.serving import Arm, Column, Prediction, Signature
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.serving.log import PredictionLog, prediction_of
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving
from hanok.parts.tracking.artifacts import Places
from hanok.parts.tracking.service import Tracking
from hanok.parts.training import pipeline
from hanok.parts.training.durable import Durable
from hanok.parts.training.service import Training
from hanok.stores.blobs import LocalBlobs
from hanok.stores.memory.tables import MemoryTables
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Killed(BaseException):
    """The process dies here."""


class Mortal:
    """A metadata store whose process dies after so many writes."""

    def __init__(self, inner: SqlMetadata) -> None:
        self.inner, self.left = inner, -1
        self.read = inner.read

    def write(self, work):
        if self.left == 0:
            raise Killed
        self.left -= 1
        return self.inner.write(work)

    def submit(self, work):
        return self.inner.submit(work)


@dataclass
class Rig:
    """One process over a home. `again()` is the next one, after a restart."""

    root: Path
    store: SqlMetadata
    clock: ReplayClock
    tables: MemoryTables
    labelled: list[tuple[str, int, str, float, float, datetime]] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)
    due: list[datetime] = field(default_factory=list)
    reads: int = 0

    def __post_init__(self) -> None:
        self.metadata = Mortal(self.store)
        blobs = LocalBlobs(self.root / "blobs")
        self.packages = Packages(blobs)
        self.tracking = Tracking(self.metadata, blobs, self.clock, Places(base=self.root))
        self.log = PredictionLog(self.root / "log" / uuid.uuid4().hex, self.tables, started=self.clock.now())
        self.serving = Serving(metadata=self.metadata, packages=self.packages, log=self.log, clock=self.clock)
        self.alerts = Alerts(metadata=self.metadata, clock=self.clock)
        self.durable = Durable(metadata=self.metadata, clock=self.clock, exclusive=True)
        self.training = Training(
            tools=pipeline.Tools(
                self.metadata, blobs, self.clock, None, None, self.packages, self.tracking.runs, self.tracking.registry
            ),
            durable=self.durable,
            deployer=self.serving,
            performance=self,
            answered=self,
            alarms=self.alerts,
            experiment_of=lambda name: self.tracking.experiments.ensure(name).id,
            label_rows=lambda table: 0,
        )

    @classmethod
    def at(cls, root: Path) -> Rig:
        return cls(root, SqlMetadata.at(root / "home.db"), ReplayClock(START), MemoryTables())

    def again(self) -> Rig:
        models, after = self.training.models(), replace(self)
        for model in models:
            after.training._models[model.name] = model
        after.training.resume()
        return after

    # -- what people do --------------------------------------------------------------------------------------

    def declare(self, name: str, **rollout) -> hk.Model:
        settings = {"shadow": "1d", "canary": [50], "hold": "1d", "bake": "1d", "rollback_if": ["error_rate > 0.1"]}
        model = hk.Model(
            name,
            task="binary",
            spine=hk.Spine("s", predict_at="at"),
            label=hk.Label("l", column="y", known_at="known"),
            features=["a"],
            rollout=hk.Rollout(**{**settings, **rollout}),
        )
        self.training.apply(model)
        self.tracking.registry.ensure_model(name)
        return model

    def register(self, name: str, *, inputs=("a",), task="binary", classes=("0", "1"), **facts) -> int:
        signature = Signature(tuple(Column(n, "FP64") for n in inputs), task, tuple(classes))
        address = self.packages.save(linear(signature, seed=len(self.tracking.registry.versions(name))))
        return self.tracking.registry.register(name, package=address, facts=facts).version

    def answer(self, name: str, **columns) -> None:
        self.serving.predict(name, {k: [v] for k, v in columns.items()})

    # -- what training needs ---------------------------------------------------------------------------------

    def since(self, model: str, since: datetime) -> pa.Table:
        self.reads += 1
        if model in self.faults:
            raise self.faults[model]
        return self.serving.answers_since(model, since)

    def mark(self, model: str) -> tuple[int, ...]:
        labels = sum(row[0] == model for row in self.labelled)
        return labels, self.tables.size("predictions--" + model), self.serving.unmoved_bytes(model)

    def next_known(self, model: str, after: datetime) -> datetime | None:
        return min((at for at in self.due if at > after), default=None)

    def of_version(self, model: str, version: int, *, limit: int) -> list[Prediction]:
        from hanok.compute.duck import read

        self.serving.compact(everything=True)
        if not self.tables.size("predictions--" + model):
            return []
        rows = read(self.tables.scan("predictions--" + model)).to_pylist()
        found = [prediction_of(model, row) for row in rows if row["version"] == version]
        return [p for p in found if p.score is not None and not p.error][-limit:]

    def outcomes(self, model: str, *, start=None, end=None, known_by=None) -> pa.Table:
        rows = [r for r in self.labelled if r[0] == model and (start is None or r[5] >= start)]
        return outcomes([r[1:] for r in rows])


def outcomes(rows) -> pa.Table:
    """Of (version, row, score, label, at)."""
    version, row, score, label, at = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return pa.table(
        {
            "prediction_id": [f"{v}/{r}" for v, r in zip(version, row, strict=True)],
            "row_id": pa.array(row, pa.string()),
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "version": pa.array(version, pa.int64()),
            "arm": pa.array(["primary"] * len(row), pa.string()),
            "score": pa.array(score, pa.float64()),
            "scores": pa.array([[]] * len(row), pa.list_(pa.float64())),
            "label": pa.array(label, pa.float64()),
        }
    )


def linear(signature: Signature, *, seed: int) -> Package:
    random = np.random.default_rng(seed)
    outputs = len(signature.classes) if signature.task == "multiclass" else 1
    width = signature.width
    content = orjson.dumps(
        {
            "shape": {"numeric": [[i, 0.0, 1.0] for i in range(width)], "categorical": []},
            "coefficients": random.normal(size=(outputs, 2 * width)).tolist(),
            "intercepts": random.normal(size=outputs).tolist(),
            "link": {"binary": "logistic", "multiclass": "softmax"}.get(signature.task, "identity"),
        }
    )
    return Package("linear", signature, {"linear.json": content})


def alone(version: int) -> list[Arm]:
    return [Arm(version, "primary", 100)]
