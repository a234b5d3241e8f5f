"""Evaluation datasets: inputs with what is expected of a model on them, kept for experiments to be judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hanok.core.tracking import EVERYTHING, Filter, Order


@dataclass(frozen=True, slots=True)
class EvaluationDataset:
    """`id` is "d-" and 32 hex digits. `schema` holds the kind of each field; the digest changes with the records."""

    id: str
    name: str
    digest: str
    created: datetime
    updated: datetime
    created_by: str = ""
    updated_by: str = ""
    schema: Mapping[str, Any] | None = None
    records: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    experiment_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One example; equal `inputs` are one record. Values are any JSON."""

    id: str
    inputs: Mapping[str, Any]
    inputs_digest: str
    created: datetime
    updated: datetime
    outputs: Any = None
    expectations: Mapping[str, Any] | None = None
    tags: Mapping[str, Any] | None = None
    source: Mapping[str, Any] | None = None
    created_by: str = ""
    updated_by: str = ""


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """Which datasets, in which order; of any experiment when none is named. The newest comes first."""

    experiment_ids: Sequence[str] = ()
    filter: Filter = EVERYTHING
    order: Sequence[Order] = ()
    limit: int = 1000
    offset: int = 0
