"""Durable work: a workflow is a list of named steps whose results outlive the process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"


@dataclass(frozen=True, slots=True)
class Workflow:
    """`key` makes a start idempotent: a second start with the same key is the same workflow. `fence` counts the workers
    that held it so far."""

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

    def made_id(self, what: str) -> str:
        """The id of what a step makes: the same one when the step runs again, so that it makes it once. It sorts by
        the start of the workflow."""
        tail = sha256(f"{self.id} {what}".encode()).hexdigest()
        return f"{self.id[:12]}7{tail[:3]}8{tail[3:18]}"


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step and what it returned (JSON)."""

    name: str
    result: Mapping[str, Any]
    at: datetime
