"""Answers that are looked for in the prediction log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from hanok.core.keys import KeyValue
from hanok.core.records import IF_SET

Outcome: TypeAlias = Literal["", "labelled", "unlabelled", "right", "wrong", "failed"]
OUTCOMES = ("labelled", "unlabelled", "right", "wrong", "failed")


@dataclass(frozen=True, slots=True)
class Looked:
    """Which answers are looked for. `keys` in any spelling; `batch` is the id of one, or the key it was logged under.
    Shadows answer nobody, and are left out unless they are asked for."""

    keys: Mapping[str, KeyValue] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    version: int = 0
    outcome: Outcome = ""
    batch: str = ""
    shadows: bool = False
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Found:
    """An answer. `label` is what really happened, `right` whether the answer said so (of classes alone). `scores` are
    those of each class, where there are more than two."""

    id: str
    at: datetime
    version: int
    arm: str
    score: float | None
    entity: Mapping[str, str]
    batch: str
    error: str
    label: float | None
    right: bool | None
    scores: tuple[float, ...] = field(default=(), metadata=IF_SET)
