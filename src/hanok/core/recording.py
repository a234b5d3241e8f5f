"""What a training process tells of its run, as numbered entries.

The process numbers its entries from 1 and names itself (`writer`); a store that has applied entry n of a writer skips
every entry up to n. So a retry, and a journal that is replayed again, have one effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hanok.core.tracking import DatasetInput, Metric

Kind = Literal["start", "log", "dataset", "model", "package", "end"]
KINDS: tuple[Kind, ...] = ("start", "log", "dataset", "model", "package", "end")
ENTRIES_MAX = 1000
WRITER_RECORD = "run-writer"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A logged model. `files` are inside its artifacts; with `runtime` they become a servable package, and with
    `register` a version of that registered model."""

    id: str
    name: str = ""
    model_type: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    runtime: str = ""
    signature: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    register: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. Which fields count follows from `kind`:

    start: experiment (a name), name, user, at_ms, tags. log: metrics, params, tags. dataset: dataset.
    model and package: model. end: status, at_ms.
    """

    number: int
    kind: Kind
    at_ms: int = 0
    experiment: str = ""
    name: str = ""
    user: str = ""
    status: str = ""
    metrics: tuple[Metric, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    dataset: DatasetInput | None = None
    model: ModelEntry | None = None
