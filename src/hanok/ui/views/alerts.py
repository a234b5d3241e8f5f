"""Alerts: all of them, and one with its facts and what caused it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hanok.core.errors import Invalid
from hanok.core.json import JsonObject
from hanok.ui.views.common import AlertLine, Ask, alert_line, red_first
from hanok.ui.views.neighbours import Neighbour, neighbours

if TYPE_CHECKING:
    from hanok.engine.app import App

SHOWN = 120


@dataclass(frozen=True, slots=True)
class Alerts:
    now: datetime
    state: str
    alerts: tuple[AlertLine, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class AlertPage:
    now: datetime
    alert: AlertLine
    resolved: str
    resolution: str
    facts: JsonObject
    neighbours: tuple[Neighbour, ...]
    subject_href: str


def alerts(app: App, ask: Ask) -> Alerts:
    """Open ones unless the URL says state=resolved or state=all."""
    state = ask.text("state", "open")
    if state not in ("open", "resolved", "all"):
        raise Invalid(f"state={state[:40]!r} is none of open, resolved, all")
    found = app.alerts.list(state=None if state == "all" else state, limit=5000)
    return Alerts(app.clock.now(), state, red_first(map(alert_line, found))[:SHOWN], len(found) > SHOWN)


def alert_page(app: App, ask: Ask) -> AlertPage:
    """Raises NotFound."""
    alert = app.alerts.get(ask.path["alert"])
    return AlertPage(
        app.clock.now(),
        alert_line(alert),
        alert.resolved.isoformat() if alert.resolved else "",
        alert.resolution,
        alert.facts,
        neighbours(app, alert.id),
        subject_href(app, alert.subject),
    )


def subject_href(app: App, subject: str) -> str:
    """The page of what an alert is about: a table, or a model."""
    from hanok.ui.text import segment

    return f"/data/{segment(subject)}" if app.tables.size(subject) else f"/models/{segment(subject)}"
