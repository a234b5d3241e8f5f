"""Webhooks of the registry and the messages to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.core.errors import WebhookNotFound
from hanok.core.webhooks import Delivery, Webhook
from hanok.stores.sql.rows import at, from_json, instant, moment, to_json

_COLUMNS = "id, name, url, events, created, updated, description, active, secret"
_DELIVERY = "id, webhook, sequence, event, body, created, due, attempts, outcome"


class SqlWebhooks:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, webhook: Webhook) -> None:
        self._c.execute(
            text(
                f"INSERT INTO webhook ({_COLUMNS}) VALUES "
                "(:id, :name, :url, :events, :created, :updated, :description, :active, :secret) "
                "ON CONFLICT (id) DO UPDATE SET name = excluded.name, url = excluded.url, events = excluded.events, "
                "updated = excluded.updated, description = excluded.description, active = excluded.active, "
                "secret = excluded.secret"
            ),
            {
                "id": webhook.id,
                "name": webhook.name,
                "url": webhook.url,
                "events": to_json(webhook.events),
                "created": micros(webhook.created),
                "updated": micros(webhook.updated),
                "description": webhook.description,
                "active": int(webhook.active),
                "secret": webhook.secret,
            },
        )

    def get(self, webhook_id: str) -> Webhook:
        row = self._c.execute(text(f"SELECT {_COLUMNS} FROM webhook WHERE id = :id"), {"id": webhook_id}).first()
        if row is None:
            raise WebhookNotFound(f"no webhook has the id {webhook_id[:80]!r}", webhook=webhook_id[:80])
        return _webhook(row)

    def all(self) -> list[Webhook]:
        rows = self._c.execute(text(f"SELECT {_COLUMNS} FROM webhook ORDER BY created, id"))
        return [_webhook(row) for row in rows]

    def remove(self, webhook_id: str) -> None:
        for statement in ("DELETE FROM webhook_delivery WHERE webhook = :id", "DELETE FROM webhook WHERE id = :id"):
            self._c.execute(text(statement), {"id": webhook_id})


class SqlWebhookDeliveries:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, deliveries: Sequence[Delivery]) -> None:
        self._c.execute(
            text(
                f"INSERT INTO webhook_delivery ({_DELIVERY}) VALUES "
                "(:id, :webhook, :sequence, :event, :body, :created, :due, :attempts, :outcome) "
                "ON CONFLICT (id) DO NOTHING"
            ),
            [_values(delivery) for delivery in deliveries],
        )

    def due(self, now: datetime, *, limit: int) -> list[Delivery]:
        # index: webhook_delivery_due
        rows = self._c.execute(
            text(f"SELECT {_DELIVERY} FROM webhook_delivery WHERE due <= :now ORDER BY due, sequence LIMIT :limit"),
            {"now": micros(now), "limit": limit},
        )
        return [_delivery(row) for row in rows]

    def claim(self, delivery: Delivery, until: datetime) -> bool:
        claimed = self._c.execute(
            text("UPDATE webhook_delivery SET due = :until WHERE id = :id AND due = :due"),
            {"id": delivery.id, "due": instant(delivery.due), "until": micros(until)},
        )
        return claimed.rowcount == 1

    def settle(self, delivery: Delivery) -> None:
        self._c.execute(
            text("UPDATE webhook_delivery SET due = :due, attempts = :attempts, outcome = :outcome WHERE id = :id"),
            {k: v for k, v in _values(delivery).items() if k in ("id", "due", "attempts", "outcome")},
        )

    def of_webhook(self, webhook_id: str, *, limit: int) -> list[Delivery]:
        # index: webhook_delivery_webhook
        rows = self._c.execute(
            text(
                f"SELECT {_DELIVERY} FROM webhook_delivery WHERE webhook = :webhook ORDER BY sequence DESC LIMIT :limit"
            ),
            {"webhook": webhook_id, "limit": limit},
        )
        return [_delivery(row) for row in rows]

    def prune(self, before: datetime) -> None:
        self._c.execute(
            text("DELETE FROM webhook_delivery WHERE due IS NULL AND created < :before"), {"before": micros(before)}
        )


def _webhook(row: Any) -> Webhook:
    return Webhook(
        row[0], row[1], row[2], tuple(from_json(row[3])), at(row[4]), at(row[5]), row[6], bool(row[7]), row[8]
    )


def _values(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "webhook": delivery.webhook,
        "sequence": delivery.sequence,
        "event": delivery.event,
        "body": delivery.body,
        "created": micros(delivery.created),
        "due": instant(delivery.due),
        "attempts": delivery.attempts,
        "outcome": delivery.outcome,
    }


def _delivery(row: Any) -> Delivery:
    return Delivery(row[0], row[1], row[2], row[3], row[4], at(row[5]), moment(row[6]), row[7], row[8])
