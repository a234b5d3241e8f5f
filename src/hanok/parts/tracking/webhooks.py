"""Webhooks of the registry: who is told, and the durable, signed, repeated telling."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import TypedDict, Unpack

from hanok.core.clock import Clock
from hanok.core.errors import Unavailable
from hanok.core.lineage import Event
from hanok.core.webhooks import Delivery, Reply, Webhook
from hanok.parts.tracking.needs import Sender
from hanok.stores.ports import Metadata, Repositories
from hanok.wire.mlflow import webhooks as wire

ATTEMPTS = 12
LONGEST_WAIT = timedelta(hours=1)
LEASE = timedelta(seconds=30)  # a server that dies while it sends is waited for so long, then another one sends
KEPT = timedelta(days=7)
AT_ONCE = 8
BATCH = 64


class WebhookChange(TypedDict, total=False):
    name: str
    url: str
    events: tuple[str, ...]
    description: str
    secret: str
    active: bool


class WebhookVerbs:
    def __init__(self, metadata: Metadata, clock: Clock, sender: Sender | None) -> None:
        self._metadata, self._clock, self._sender = metadata, clock, sender

    def create(
        self,
        name: str,
        url: str,
        events: Sequence[str],
        *,
        description: str = "",
        secret: str = "",
        active: bool = True,
    ) -> Webhook:
        """Raises Invalid, and Unsafe for an address that must not be reached."""
        wire.check_name(name)
        self._check_url(url)
        now = self._clock.now()
        made = Webhook(str(uuid.uuid4()), name, url, tuple(events), now, now, description, active, secret)
        self._metadata.write(lambda r: r.webhooks.put(made))
        return made

    def get(self, webhook_id: str) -> Webhook:
        """Raises WebhookNotFound."""
        return self._metadata.read(lambda r: r.webhooks.get(webhook_id))

    def all(self) -> list[Webhook]:
        """Oldest first."""
        return self._metadata.read(lambda r: r.webhooks.all())

    def update(self, webhook_id: str, **changes: Unpack[WebhookChange]) -> Webhook:
        """Change name, url, events, description, secret or active; what is not given stays. Raises WebhookNotFound."""
        if "name" in changes:
            wire.check_name(changes["name"])
        if "url" in changes:
            self._check_url(changes["url"])

        def work(r: Repositories) -> Webhook:
            found = r.webhooks.get(webhook_id)
            later = found.updated + timedelta(milliseconds=1)  # clients compare in milliseconds
            changed = replace(found, **changes, updated=max(self._clock.now(), later))
            r.webhooks.put(changed)
            return changed

        return self._metadata.write(work)

    def delete(self, webhook_id: str) -> None:
        """Messages still on their way are dropped. Raises WebhookNotFound."""

        def work(r: Repositories) -> None:
            r.webhooks.get(webhook_id)
            r.webhooks.remove(webhook_id)

        self._metadata.write(work)

    def test(self, webhook_id: str, event: str | None = None) -> Reply:
        """Send an example of the event (the webhook's first by default) once. Raises WebhookNotFound."""
        found = self.get(webhook_id)
        name, now = event or found.events[0], self._clock.now()
        body = wire.message(name, now, wire.EXAMPLES[name])
        return _post(self._way_out(), found, str(uuid.uuid4()), now, body)

    def deliveries(self, webhook_id: str, *, limit: int = 100) -> list[Delivery]:
        """What was sent or waits to be, newest first. Raises WebhookNotFound."""
        self.get(webhook_id)
        return self._metadata.read(lambda r: r.webhook_deliveries.of_webhook(webhook_id, limit=limit))

    # -- telling ---------------------------------------------------------------------------------------------

    def enqueue(self, event: Event) -> None:
        """Note a message for each webhook that asked for the event. Again, it has no effect."""
        found = wire.told(event)
        if found is None:
            return
        name, data = found
        told = [h for h in self.all() if h.active and name in h.events and h.created <= event.at]
        if not told:
            return
        body, due = wire.message(name, event.at, data), self._clock.now()
        messages = [Delivery(_id(h, event), h.id, event.sequence, name, body, event.at, due) for h in told]
        self._metadata.write(lambda r: r.webhook_deliveries.add(messages))

    def send_due(self) -> int:
        """Send what is due, to several webhooks at once and to each in order; returns the number of attempts."""
        now = self._clock.now()
        due = self._metadata.read(lambda r: r.webhook_deliveries.due(now, limit=BATCH))
        if not due:
            return 0
        by_webhook = [list(group) for _, group in groupby(sorted(due, key=lambda d: d.webhook), lambda d: d.webhook)]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hanok-webhook") as pool:
            contexts = [copy_context() for _ in by_webhook]  # on whose behalf this runs, for each thread
            return sum(pool.map(lambda context, group: context.run(self._send_all, group), contexts, by_webhook))

    def forget_old(self) -> None:
        """Messages of over a week ago that arrived or were given up."""
        before = self._clock.now() - KEPT
        self._metadata.write(lambda r: r.webhook_deliveries.prune(before))

    def _send_all(self, deliveries: Sequence[Delivery]) -> int:
        return sum(self._send(delivery) for delivery in deliveries)

    def _send(self, delivery: Delivery) -> int:
        now = self._clock.now()
        if not self._metadata.write(lambda r: r.webhook_deliveries.claim(delivery, now + LEASE)):
            return 0
        found = next((h for h in self.all() if h.id == delivery.webhook and h.active), None)
        if found is None:
            reply = Reply(0, error="the webhook was deleted or disabled", refused=True)
        else:
            reply = _post(self._way_out(), found, delivery.id, now, delivery.body)
        attempts = delivery.attempts + 1
        again = reply.temporary and attempts < ATTEMPTS
        settled = replace(
            delivery,
            attempts=attempts,
            outcome=reply.error or f"answered {reply.status}",
            due=self._clock.now() + _wait(delivery.id, attempts, reply) if again else None,
        )
        self._metadata.write(lambda r: r.webhook_deliveries.settle(settled))
        return 1

    def _check_url(self, url: str) -> None:
        sender = self._sender
        wire.check_url(url, schemes=("https", "http") if sender and sender.allow_private else ("https",))
        if sender is not None:
            sender.check(url)

    def _way_out(self) -> Sender:
        if self._sender is None:
            raise Unavailable("this store is open without a way to send; webhooks are sent by 'hanok up'")
        return self._sender


def _post(sender: Sender, webhook: Webhook, delivery: str, at: datetime, body: str) -> Reply:
    return sender.post(webhook.url, body.encode(), wire.headers(webhook.secret, delivery, at, body))


def _id(webhook: Webhook, event: Event) -> str:
    """The same for the same event, so that an event that is handled twice is told once."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{webhook.id}/{event.sequence}".encode()).digest()[:16], version=4))


def _wait(delivery: str, attempts: int, reply: Reply) -> timedelta:
    """1, 2, 4 ... seconds and up to a quarter more, differently for each message; longer if the receiver says so."""
    spread = 1 + int(delivery[:4], 16) / 0xFFFF / 4
    seconds = max(2 ** (attempts - 1) * spread, reply.retry_after_s)
    return min(timedelta(seconds=seconds), LONGEST_WAIT)
