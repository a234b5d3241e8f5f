"""Who is told of what happens in the registry, and each message on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Webhook:
    """`events` are names such as "model_version.created". The secret signs what is sent and never leaves the store."""

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    created: datetime
    updated: datetime
    description: str = ""
    active: bool = True
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook, about the event of that `sequence`.

    `due` is the next attempt; None when it arrived or was given up.
    """

    id: str
    webhook: str
    sequence: int
    event: str
    body: str
    created: datetime
    due: datetime | None
    attempts: int = 0
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered. `status` is 0 when there was no answer, and `error` says why.

    `refused` means that trying again is of no use: the address is one that must not be reached.
    """

    status: int
    body: str = ""
    retry_after_s: float = 0
    error: str = ""
    refused: bool = False

    @property
    def arrived(self) -> bool:
        return 200 <= self.status < 400 and not self.error

    @property
    def temporary(self) -> bool:
        return not self.refused and (self.status in (0, 408, 429) or self.status >= 500)
