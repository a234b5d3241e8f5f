"""Alerts, as monitoring keeps them and as notes, pages and diagnosis read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hanok.core.json import JsonObject
from hanok.core.records import IF_SET, Kind

OPEN, RESOLVED = "open", "resolved"
INFO = "info"  # shown, not sent


@dataclass(frozen=True, slots=True)
class Alert:
    """`subject` is a model or a table; `fingerprint` says what the alert is about, so that it is raised once: it was
    raised again `times` - 1 times while it was open. `facts` are its evidence, by kind."""

    id: str
    subject: str
    kind: str
    fingerprint: str
    summary: str
    severity: str
    state: str
    raised: datetime
    last_seen: datetime
    times: int = 1
    facts: JsonObject = field(default_factory=dict)
    resolved: datetime | None = field(default=None, metadata=IF_SET)
    resolution: str = field(default="", metadata=IF_SET)


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """Which alert is open for a subject and a fingerprint: "" for none."""

    id: str = field(default="", metadata=IF_SET)


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending an alert to a webhook, in words."""

    alert: str
    url: str
    outcome: str
    event: str


ALERT = Kind("alert", Alert, owner="subject")
OPEN_ALERT = Kind("alert-open", OpenAlert, owner="subject")
SENT = Kind("webhook", Sent, owner="model")
