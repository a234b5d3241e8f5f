"""Alerts: raised once, kept open until resolved, each a node that leads to its cause."""

from __future__ import annotations

from dataclasses import replace

from hanok.core.alerts import ALERT, OPEN, OPEN_ALERT, RESOLVED, Alert, OpenAlert
from hanok.core.clock import Clock
from hanok.core.errors import NotFound
from hanok.core.ids import new_id
from hanok.core.json import JsonObject
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.stores.ports import Metadata, Repositories

EVERYTHING = 1_000_000


class Alerts:
    """`subject` is a model or a table; `fingerprint` says what the alert is about, so that it is raised once."""

    def __init__(self, *, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def raise_(
        self,
        subject: str,
        kind: str,
        fingerprint: str,
        summary: str,
        *,
        severity: str = "warning",
        facts: JsonObject | None = None,
        caused_by: str = "",
    ) -> str:
        """The id of the open alert with this fingerprint: a new one, or the one that is open already."""
        now = self._clock.now()
        evidence = dict(facts or {})

        def work(repositories: Repositories) -> str:
            known = _open_alert(repositories, subject, fingerprint)
            if known is not None:
                _keep(repositories, replace(known, last_seen=now, times=known.times + 1))
                return known.id
            alert = Alert(
                new_id(now), subject, kind, fingerprint, summary, severity, OPEN, now, last_seen=now, facts=evidence
            )
            node = Node(alert.id, NodeKind.ALERT, summary, now, {"kind": kind, "subject": subject, **evidence})
            edges = [Edge(alert.id, EdgeKind.CAUSED_BY, caused_by)] if caused_by else []
            repositories.lineage.add([node], edges)
            _keep(repositories, alert)
            repositories.records.put(OPEN_ALERT.name, subject, fingerprint, OPEN_ALERT.body(OpenAlert(alert.id)), now)
            repositories.outbox.append(Event("alert_raised", alert.id, now, ALERT.body(alert)))
            return alert.id

        return self._metadata.write(work)

    def resolve(self, subject: str, fingerprint: str, reason: str) -> None:
        """Close the alert with this fingerprint if one is open."""
        now = self._clock.now()

        def work(repositories: Repositories) -> None:
            known = _open_alert(repositories, subject, fingerprint)
            if known is None:
                return
            alert = replace(known, state=RESOLVED, resolved=now, resolution=reason)
            _keep(repositories, alert)
            repositories.records.put(OPEN_ALERT.name, subject, fingerprint, OPEN_ALERT.body(OpenAlert()), now)
            repositories.outbox.append(Event("alert_resolved", alert.id, now, ALERT.body(alert)))

        if self._metadata.read(lambda r: _open_alert(r, subject, fingerprint)) is not None:
            self._metadata.write(work)

    def list(self, subject: str | None = None, *, state: str | None = None, limit: int = 200) -> list[Alert]:
        """The newest `limit` of the alerts in a state (in any by default), newest first."""
        if state == OPEN:
            found = self._metadata.read(lambda r: _all_open(r, subject))
        else:
            most = limit if state is None else EVERYTHING
            found = ALERT.all(self._metadata.read(lambda r: r.records.list(ALERT.name, subject, limit=most)))
        ordered = sorted(found, key=lambda a: (a.raised, a.id), reverse=True)
        return [a for a in ordered if state is None or a.state == state][:limit]

    def get(self, alert_id: str) -> Alert:
        """By id or the beginning of one. Raises NotFound."""
        for alert in self.list(limit=100_000):
            if alert.id.startswith(alert_id):
                return alert
        raise NotFound(f"there is no alert {alert_id!r}; 'hanok alert list' shows all")


def _all_open(repositories: Repositories, subject: str | None) -> list[Alert]:
    """By the marks of what is open, so that no number of closed alerts hides one."""
    marks = repositories.records.list(OPEN_ALERT.name, subject, limit=EVERYTHING)
    found = (_open_alert(repositories, str(mark["_name"]), str(mark["_key"])) for mark in marks if mark.get("id"))
    return [alert for alert in found if alert is not None]


def _open_alert(repositories: Repositories, subject: str, fingerprint: str) -> Alert | None:
    known = OPEN_ALERT.open(repositories.records.get(OPEN_ALERT.name, subject, fingerprint))
    return ALERT.open(repositories.records.get(ALERT.name, subject, known.id)) if known and known.id else None


def _keep(repositories: Repositories, alert: Alert) -> None:
    repositories.records.put(ALERT.name, alert.subject, alert.id, ALERT.body(alert), alert.resolved or alert.last_seen)
