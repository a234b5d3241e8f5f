"""A place to serve in: real stores in a temporary folder, and small linear models that are sound, broken or slow."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hanok.compute.runtimes import Encoded, Package
from hanok.core.clock import ReplayClock
from hanok.core.ids import new_id
from hanok.core.lineage import Node, NodeKind
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.serving import Arm, Column, Signature
from hanok.parts.serving.deployments import Snapshot
from hanok.parts.serving.log import PredictionLog
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving
from hanok.stores.delta import DeltaTables
from hanok.stores.memory import MemoryBlobs
from hanok.stores.sql import SqlMetadata

START = datetime(2026, 1, 1, tzinfo=UTC)


def linear(names, *, task="regression", classes=(), columns=None, reads=None, refuses_nulls=False):
    """The sum of its inputs. `reads` may name a column that the matrix does not have: such a model raises."""
    inputs = columns or tuple(Column(n, "FP64") for n in names)
    signature = Signature(inputs, task, classes)
    numeric = [(i, 0.0, 1.0) for i in (reads or range(signature.width))]
    outputs = len(classes) if task == "multiclass" else 1
    body = {
        "shape": {"numeric": numeric, "categorical": []},
        "coefficients": [
            [float(k + 1) if i % 2 == 0 else 0.0 for i in range(2 * len(numeric))] for k in range(outputs)
        ],
        "intercepts": [0.0] * outputs,
        "link": {"regression": "identity", "binary": "logistic", "multiclass": "softmax"}[task],
    }
    notes = {"refuses_nulls": True} if refuses_nulls else {}
    return Package("linear", signature, {"linear.json": json.dumps(body).encode()}, notes)


class Place:
    """Serving over stores in `root`; opened again it stands where it stood."""

    def __init__(self, root):
        self.root, self.clock = root, ReplayClock(START)
        self.metadata = SqlMetadata.at(root / "hanok.db")
        self.blobs = MemoryBlobs()
        self.packages = Packages(self.blobs)
        self.open()

    def open(self):
        self.tables = DeltaTables(self.root / "tables")
        self.log = PredictionLog(self.root / "log", self.tables, started=datetime.now(UTC))
        self.serving = Serving(metadata=self.metadata, packages=self.packages, log=self.log, clock=self.clock)

    def version(self, package, model="m"):
        """Register a package; its version number."""
        now, node = self.clock.now(), new_id(self.clock.now())
        digest = self.packages.save(package)

        def work(r):
            if not r.registry.models(model):
                r.registry.put_model(RegisteredModel(model, now, now))
            r.lineage.add([Node(node, NodeKind.MODEL_VERSION, model, now)])
            return r.registry.add_version(ModelVersion(node, model, 0, now, package=digest)).version

        return self.metadata.write(work)

    def deploy(self, primary, *, canary=None, shadow=None, share=50, model="m"):
        arms = [Arm(primary, "primary", 100 - (share if canary else 0))]
        arms += [Arm(canary, "canary", share)] if canary else []
        arms += [Arm(shadow, "shadow")] if shadow else []
        return self.serving.deploy(model, arms, actor="me", reason="test")

    def swap_model(self, version, model, name="m"):
        """Give a deployed version another matrix model, such as one that is slow."""
        live = self.serving._versions._live
        snapshot = live[name]
        loaded = snapshot.models[version]
        changed = replace(loaded, runtime=Encoded(model, loaded.signature))
        live[name] = Snapshot(snapshot.deployment, {**snapshot.models, version: changed}, snapshot.broken)
        self.packages._loaded[loaded.digest] = changed  # where shadows look

    def logged(self, model="m"):
        """All rows of the log's table, after everything moved there."""
        from hanok.compute.duck import read

        self.serving.compact(everything=True)
        return read(self.tables.scan(f"predictions--{model}")).to_pylist()

    def close(self):
        self.serving.close()
        self.tables.close()
        self.metadata.close()


class Waiting:
    """A model that answers once it is let go."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def score(self, matrix):
        self.begun.set()
        assert self.go.wait(20)
        return matrix.sum(axis=1)


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    yield made
    made.close()
