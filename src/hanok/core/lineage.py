"""The floor all parts open onto: nodes (everything with an identity), edges (what was read to make it), events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any


class NodeKind(StrEnum):
    SOURCE_SNAPSHOT = "source_snapshot"
    FEATURE_VIEW = "feature_view"
    FEATURE_SERVICE = "feature_service"
    TRAINING_SET = "training_set"
    CODE = "code"
    ENVIRONMENT = "environment"
    DATASET = "dataset"
    RUN = "run"
    STUDY = "study"
    LOGGED_MODEL = "logged_model"
    TRACE = "trace"
    MODEL = "model"
    MODEL_VERSION = "model_version"
    CHECK_RESULT = "check_result"
    DEPLOYMENT = "deployment"
    ALIAS_CHANGE = "alias_change"
    PREDICTION_BATCH = "prediction_batch"
    LABEL_BATCH = "label_batch"
    DRIFT_REPORT = "drift_report"
    ALERT = "alert"
    DECISION = "decision"


class EdgeKind(StrEnum):
    """`source --kind--> target`: a run `read` a training set, a deployment is `caused_by` a decision."""

    READ = "read"
    WROTE = "wrote"
    TRAINED_ON = "trained_on"
    EVALUATED_ON = "evaluated_on"
    DEPLOYED_AS = "deployed_as"
    SERVED_BY = "served_by"
    LABELLED_BY = "labelled_by"
    TRIGGERED_BY = "triggered_by"
    SUPERSEDED = "superseded"
    CAUSED_BY = "caused_by"


@dataclass(frozen=True, slots=True)
class Node:
    """Something with an identity. `facts` are what was true when it was made; they never change."""

    id: str
    kind: NodeKind
    name: str
    created: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)
    deleted: datetime | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    source: str
    kind: EdgeKind
    target: str


@dataclass(frozen=True, slots=True)
class Event:
    """An outbox row, written in the commit of what it tells of. `sequence` is given by the store."""

    kind: str
    subject: str
    at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Graph:
    """A part of the lineage graph, as a walk from one node found it."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def snapshot_id(table: str, rows: int) -> str:
    """A snapshot of an append-only table is named by the table and its number of rows."""
    return sha256(f"snapshot:{table}:{rows}".encode()).hexdigest()[:32]
