"""webhooks/*: only owners see and change them, because a webhook carries what happens here to somewhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from hanok.core.access import Access
from hanok.server.mlflow.endpoint import Call, Endpoint, Json
from hanok.wire.mlflow import webhooks as wire
from hanok.wire.mlflow.tokens import offset_of, offset_token

R = TypeVar("R", bound=msgspec.Struct)


def create(call: Call, asked: wire.CreateWebhook) -> Json:
    made = call.tracking.webhooks.create(
        asked.name,
        asked.url,
        wire.event_names(asked.events),
        description=asked.description,
        secret=asked.secret,
        active=asked.status == "ACTIVE",
    )
    return {"webhook": wire.webhook(made)}


def get(call: Call, asked: wire.WebhookId) -> Json:
    return {"webhook": wire.webhook(call.tracking.webhooks.get(asked.webhook_id))}


def list_all(call: Call, asked: wire.ListWebhooks) -> Json:
    first = offset_of(asked.page_token)
    found, end = call.tracking.webhooks.all(), first + asked.max_results
    token = offset_token(end if end < len(found) else None)
    page = [wire.webhook(webhook) for webhook in found[first:end]]
    return {"webhooks": page} | ({"next_page_token": token} if token else {})


def update(call: Call, asked: wire.UpdateWebhook) -> Json:
    changes: dict[str, Any] = {
        name: value for name in ("name", "url", "description", "secret") if (value := getattr(asked, name))
    }
    if asked.events:
        changes["events"] = wire.event_names(asked.events)
    if asked.status is not None:
        changes["active"] = asked.status == "ACTIVE"
    return {"webhook": wire.webhook(call.tracking.webhooks.update(asked.webhook_id, **changes))}


def delete(call: Call, asked: wire.WebhookId) -> Json:
    call.tracking.webhooks.delete(asked.webhook_id)
    return {}


def test(call: Call, asked: wire.TestWebhook) -> Json:
    event = wire.event_names([asked.event])[0] if asked.event else None
    return {"result": wire.tested(call.tracking.webhooks.test(asked.webhook_id, event))}


def _own(method: str, path: str, asks: type[R], answer: Callable[[Call, R], Json]) -> Endpoint:
    return Endpoint(method, path, asks, answer, Access.OWN)


ENDPOINTS = (
    _own("POST", "/webhooks", wire.CreateWebhook, create),
    _own("GET", "/webhooks", wire.ListWebhooks, list_all),
    _own("GET", "/webhooks/{webhook_id}", wire.WebhookId, get),
    _own("PATCH", "/webhooks/{webhook_id}", wire.UpdateWebhook, update),
    _own("DELETE", "/webhooks/{webhook_id}", wire.WebhookId, delete),
    _own("POST", "/webhooks/{webhook_id}/test", wire.TestWebhook, test),
)
