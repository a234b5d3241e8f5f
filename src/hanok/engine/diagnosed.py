"""What `why` answers: ranked causes, each with its proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypeAlias

from hanok.core.json import JsonObject

Value: TypeAlias = str | int | float | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Suspect:
    """A named cause. `explains` is the share of the window's change that goes away when it is restored."""

    name: str
    kind: str
    reason: str
    explains: float
    since: str
    columns: tuple[str, ...]
    proof: Mapping[str, float | None]
    next: str


@dataclass(frozen=True, slots=True)
class InputEffect:
    """What a prediction's own value does to its score, beside the one that is typical of training. `flag` says what is
    odd about it."""

    feature: str
    value: Value
    typical: Value
    moves_score_by: float
    flag: str


@dataclass(frozen=True, slots=True)
class Symptom:
    """What was answered, beside what is usual; None where nothing could be measured. `failed` answers have no score."""

    rows: int = 0
    labelled: int = 0
    mean_score: float | None = None
    usual_mean_score: float | None = None
    loss: float | None = None
    usual_loss: float | None = None
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`sentence` says it all; suspects are ranked, the likeliest first; empty when no cause was found."""

    model: str
    start: str
    end: str
    sentence: str
    symptom: Symptom
    suspects: tuple[Suspect, ...] = ()
    features: tuple[InputEffect, ...] = ()

    def as_dict(self) -> JsonObject:
        return asdict(self)
