"""Alerts: raised once, kept open until resolved, each a node that leads to its cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanok.core.clock import Clock
from hanok.core.errors import NotFound
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind
from hanok.stores.ports import Metadata, Repositories

OPEN, RESOLVED = "open", "resolved"
INFO = "info"  # shown, not sent


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
        facts: Mapping[str, Any] | None = None,
        caused_by: str = "",
    ) -> str:
        """The id of the open alert with this fingerprint: a new one, or the one that is open already."""
        now = self._clock.now()

        def work(repositories: Repositories) -> str:
            known = repositories.records.get("alert-open", subject, fingerprint)
            if known:
                body = dict(repositories.records.get("alert", subject, known["id"]) or {})
                body |= {"last_seen": now.isoformat(), "times": body.get("times", 1) + 1}
                repositories.records.put("alert", subject, known["id"], body, now)
                return str(known["id"])
            alert_id = new_id(now)
            body = {
                "id": alert_id,
                "subject": subject,
                "kind": kind,
                "fingerprint": fingerprint,
                "summary": summary,
                "severity": severity,
                "state": OPEN,
                "raised": now.isoformat(),
                "last_seen": now.isoformat(),
                "times": 1,
                "facts": dict(facts or {}),
            }
            node = Node(alert_id, NodeKind.ALERT, summary, now, {"kind": kind, "subject": subject, **(facts or {})})
            edges = [Edge(alert_id, EdgeKind.CAUSED_BY, caused_by)] if caused_by else []
            repositories.lineage.add([node], edges)
            repositories.records.put("alert", subject, alert_id, body, now)
            repositories.records.put("alert-open", subject, fingerprint, {"id": alert_id}, now)
            repositories.outbox.append(Event("alert_raised", alert_id, now, body))
            return alert_id

        return self._metadata.write(work)

    def resolve(self, subject: str, fingerprint: str, reason: str) -> None:
        """Close the alert with this fingerprint if one is open."""
        now = self._clock.now()

        def work(repositories: Repositories) -> None:
            known = repositories.records.get("alert-open", subject, fingerprint)
            if known is None or not known.get("id"):
                return
            body = dict(repositories.records.get("alert", subject, known["id"]) or {})
            body |= {"state": RESOLVED, "resolved": now.isoformat(), "resolution": reason}
            repositories.records.put("alert", subject, known["id"], body, now)
            repositories.records.put("alert-open", subject, fingerprint, {}, now)
            repositories.outbox.append(Event("alert_resolved", known["id"], now, body))

        if self._open(subject, fingerprint):
            self._metadata.write(work)

    def list(
        self, subject: str | None = None, *, state: str | None = None, limit: int = 200
    ) -> list[Mapping[str, Any]]:
        """Newest first."""
        found = self._metadata.read(lambda r: r.records.list("alert", subject, limit=limit))
        ordered = sorted(found, key=lambda a: (a["raised"], a["id"]), reverse=True)
        return [a for a in ordered if state is None or a["state"] == state]

    def get(self, alert_id: str) -> Mapping[str, Any]:
        """Raises NotFound."""
        for alert in self.list(limit=100_000):
            if alert["id"] == alert_id or alert["id"].startswith(alert_id):
                return alert
        raise NotFound(f"there is no alert {alert_id!r}; 'hanok alert list' shows all")

    def _open(self, subject: str, fingerprint: str) -> bool:
        known = self._metadata.read(lambda r: r.records.get("alert-open", subject, fingerprint))
        return bool(known and known.get("id"))
