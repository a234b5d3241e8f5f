"""Scorers: judges of traces that a client serialized, in versions, and which part of the traces each is for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScorerVersion:
    """`body` is the client's own text, which is kept and never run. `endpoint` names the gateway endpoint that it asks,
    if any. Versions of one name in one experiment share `scorer_id`."""

    scorer_id: str
    experiment_id: str
    name: str
    version: int
    body: str
    created: datetime
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class OnlineScoring:
    """Which part of the traces a scorer is meant for: `sample_rate` of those that `filter` finds."""

    id: str
    scorer_id: str
    experiment_id: str
    sample_rate: float
    filter: str | None = None
