"""Registered models, their versions and aliases. Aliases move; every move is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hanok.core.access import DEFAULT_PROJECT

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    name: str
    created: datetime
    updated: datetime
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    project: str = DEFAULT_PROJECT


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """`id` is the lineage node. `package` is the digest of the servable package's manifest, "" when there is none."""

    id: str
    model: str
    version: int
    created: datetime
    run_id: str = ""
    source: str = ""
    package: str = ""
    description: str = ""
    status: str = "READY"
    stage: str = "None"
    updated: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AliasChange:
    """Who moved an alias, when, why, from which version to which. None stands for unset."""

    id: str
    model: str
    alias: str
    before: int | None
    after: int | None
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class StageChange:
    """Who moved a version between stages, when and why."""

    id: str
    model: str
    version: int
    before: str
    after: str
    at: datetime
    actor: str
    reason: str
