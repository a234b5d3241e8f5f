"""Jobs as people see them: durable work, and events that a reaction gave up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hanok.core.records import Kind


@dataclass(frozen=True, slots=True)
class Job:
    """`step` is the last one that is done, `says` the last line that its process wrote, `error` why it ended."""

    id: str
    kind: str
    model: str
    state: str
    began: datetime
    actor: str = ""
    reason: str = ""
    step: str = ""
    says: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """An event that a reaction failed on three times: its kind, what it was about, and the last error. The record's
    name is that of the reaction, its key the sequence of the event; an empty body is one that was replayed."""

    event: str
    subject: str
    error: str


SET_ASIDE = Kind("event-set-aside", SetAside, owner="home")


@dataclass(frozen=True, slots=True)
class Aside:
    """One that waits to be replayed."""

    reaction: str
    sequence: int
    at: datetime
    event: str
    subject: str
    error: str
