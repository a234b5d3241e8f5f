"""Durable work: a workflow is a list of named steps whose results outlive the process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"


@dataclass(frozen=True, slots=True)
class Workflow:
    """`key` makes a start idempotent: a second start with the same key is the same workflow."""

    id: str
    kind: str
    key: str
    created: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)
    state: str = RUNNING
    fence: int = 0
    owner: str = ""
    lease_until: datetime | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step and what it returned (JSON)."""

    name: str
    result: Mapping[str, Any]
    at: datetime
