"""Webhooks of the registry: who is told, when, how often, and how it is signed."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest

from hanok.core.clock import ReplayClock
from hanok.core.errors import Invalid, Unsafe, WebhookNotFound
from hanok.core.webhooks import Reply
from hanok.engine.bus import Bus
from hanok.parts.tracking import Tracking
from hanok.parts.tracking.webhooks import ATTEMPTS
from hanok.stores.memory import MemoryBlobs
from hanok.stores.sql import SqlMetadata
from hanok.wire.mlflow.webhooks import EXAMPLES, KINDS, message

URL = "https://hooks.example/registry"


class Receiver:
    """A way out whose answers are given, and that keeps what came."""

    allow_private = False

    def __init__(self):
        self.answers, self.got = [], []

    def check(self, url):
        if "private" in url:
            raise Unsafe("private")

    def post(self, url, body, headers):
        self.got.append((url, json.loads(body), body.decode(), headers))
        return self.answers.pop(0) if self.answers else Reply(200)


class Registry:
    """The room, its clock, its bus and its receiver."""

    def __init__(self, metadata):
        self.clock = ReplayClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.receiver = Receiver()
        self.tracking = Tracking(metadata, MemoryBlobs(), self.clock, sender=self.receiver)
        self.webhooks, self.models = self.tracking.webhooks, self.tracking.registry
        self.bus = Bus(metadata)
        self.bus.on("registry-webhooks", KINDS, self.webhooks.enqueue)

    def tell(self, *, after_s=0.0):
        self.clock.move_to(self.clock.now() + timedelta(seconds=after_s))
        self.bus.drain()
        return self.webhooks.send_due()

    def told(self):
        return [(f"{b['entity']}.{b['action']}", b["data"]) for _, b, _, _ in self.receiver.got]


@pytest.fixture
def registry():
    metadata = SqlMetadata("sqlite://")
    yield Registry(metadata)
    metadata.close()


def test_each_event_is_told_with_its_data_and_in_order(registry):
    registry.webhooks.create("all", URL, tuple(EXAMPLES))
    registry.models.create_model("m", description="d", tags={"a": "b"})
    registry.models.register("m", source="s3://b/x", run_id="r", tags={"t": "v"})
    registry.models.set_version_tag("m", 1, "k", "v")
    registry.models.delete_version_tag("m", 1, "k")
    registry.models.move_alias("m", "champion", 1, actor="ann")
    registry.models.move_alias("m", "champion", None, actor="ann")
    registry.models.set_model_tag("m", "k", "v")  # nobody is told of these
    registry.models.delete_model_tag("m", "k")
    assert registry.tell() == 6
    version = {"name": "m", "version": "1"}
    assert registry.told() == [
        ("registered_model.created", {"name": "m", "description": "d", "tags": {"a": "b"}}),
        (
            "model_version.created",
            version | {"source": "s3://b/x", "run_id": "r", "tags": {"t": "v"}, "description": None},
        ),
        ("model_version_tag.set", version | {"key": "k", "value": "v"}),
        ("model_version_tag.deleted", version | {"key": "k"}),
        ("model_version_alias.created", version | {"alias": "champion"}),
        ("model_version_alias.deleted", {"name": "m", "alias": "champion"}),
    ]


def test_prompts_have_events_of_their_own_without_their_marks(registry):
    registry.webhooks.create("all", URL, tuple(EXAMPLES))
    mark = {"mlflow.prompt.is_prompt": "true"}
    registry.models.create_model("p", tags={**mark, "own": "tag"})
    registry.models.register("p", source="x", tags={**mark, "mlflow.prompt.text": "Hi {{x}}"})
    registry.models.set_model_tag("p", "k", "v")
    registry.models.move_alias("p", "live", 1, actor="ann")
    registry.tell()
    assert registry.told() == [
        ("prompt.created", {"name": "p", "description": "", "tags": {"own": "tag"}}),
        (
            "prompt_version.created",
            {"name": "p", "version": "1", "template": "Hi {{x}}", "tags": {}, "description": None},
        ),
        ("prompt_tag.set", {"name": "p", "key": "k", "value": "v"}),
        ("prompt_alias.created", {"name": "p", "alias": "live", "version": "1"}),
    ]


def test_only_who_asked_is_told_and_not_of_what_was_before(registry):
    registry.models.create_model("before")
    registry.clock.move_to(registry.clock.now() + timedelta(seconds=1))
    registry.webhooks.create("versions", URL, ["model_version.created"])
    registry.webhooks.create("off", URL, ["registered_model.created"], active=False)
    registry.models.create_model("m")
    assert registry.tell() == 0
    registry.models.register("m", source="s3://x")
    assert registry.tell() == 1


def test_the_signature_is_the_hmac_of_id_time_and_body(registry):
    registry.webhooks.create("signed", URL, ["registered_model.created"], secret="s3cret")
    registry.models.create_model("m")
    registry.tell()
    _, _, body, headers = registry.receiver.got[0]
    signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.{body}".encode()
    expected = base64.b64encode(hmac.new(b"s3cret", signed, hashlib.sha256).digest()).decode()
    assert headers["X-MLflow-Signature"] == f"v1,{expected}"
    assert "s3cret" not in repr(registry.webhooks.all())


def test_what_fails_is_tried_again_later_and_later_with_the_same_id(registry):
    hook = registry.webhooks.create("h", URL, ["registered_model.created"])
    registry.receiver.answers = [Reply(500), Reply(0, error="refused"), Reply(429, retry_after_s=30)]
    registry.models.create_model("m")
    assert registry.tell() == 1
    assert registry.tell(after_s=0.9) == 0
    assert registry.tell(after_s=0.4) == 1
    assert registry.tell(after_s=1.9) == 0
    assert registry.tell(after_s=0.7) == 1
    assert registry.tell(after_s=29) == 0, "the receiver asked for 30 seconds"
    assert registry.tell(after_s=2) == 1
    assert registry.tell(after_s=9999) == 0
    assert len({headers["X-MLflow-Delivery-Id"] for *_, headers in registry.receiver.got}) == 1
    (delivery,) = registry.webhooks.deliveries(hook.id)
    assert (delivery.attempts, delivery.outcome, delivery.due) == (4, "answered 200", None)


def test_what_cannot_arrive_is_not_tried_again(registry):
    registry.webhooks.create("h", URL, ["registered_model.created"])
    for number, answer in enumerate([Reply(400), Reply(302), Reply(0, error="private address", refused=True)]):
        registry.receiver.answers = [answer]
        registry.models.create_model(f"m{number}")
        assert registry.tell() == 1
        assert registry.tell(after_s=4000) == 0


def test_in_the_end_it_is_given_up_and_kept_for_a_week(registry):
    hook = registry.webhooks.create("h", URL, ["registered_model.created"])
    registry.receiver.answers = [Reply(503)] * 100
    registry.models.create_model("m")
    assert sum(registry.tell(after_s=3601) for _ in range(ATTEMPTS + 3)) == ATTEMPTS
    assert registry.webhooks.deliveries(hook.id)[0].outcome == "answered 503"
    registry.clock.move_to(registry.clock.now() + timedelta(days=8))
    registry.webhooks.forget_old()
    assert registry.webhooks.deliveries(hook.id) == []


def test_a_server_that_dies_while_it_sends_loses_nothing_and_two_servers_send_once(registry):
    registry.webhooks.create("h", URL, ["registered_model.created"])
    registry.models.create_model("m")
    registry.bus.drain()
    metadata, now = registry.webhooks._metadata, registry.clock.now()
    (due,) = metadata.read(lambda r: r.webhook_deliveries.due(now, limit=9))
    assert metadata.write(lambda r: r.webhook_deliveries.claim(due, now + timedelta(minutes=1))), "and then it died"
    assert not metadata.write(lambda r: r.webhook_deliveries.claim(due, now + timedelta(minutes=1)))
    assert registry.tell() == 0
    assert registry.tell(after_s=61) == 1


def test_an_event_that_is_handled_again_is_told_once(registry):
    registry.webhooks.create("h", URL, ["registered_model.created"])
    registry.models.create_model("m")
    event = registry.webhooks._metadata.read(lambda r: r.outbox.after(0))[0]
    for _ in range(3):
        registry.webhooks.enqueue(event)
    assert registry.tell() == 1


def test_a_deleted_webhook_is_told_nothing_more(registry):
    hook = registry.webhooks.create("h", URL, ["registered_model.created"])
    registry.models.create_model("m")
    registry.bus.drain()
    registry.webhooks.delete(hook.id)
    assert registry.tell() == 0
    with pytest.raises(WebhookNotFound):
        registry.webhooks.get(hook.id)


@pytest.mark.parametrize("url", ["  ", "ftp://x.example", "http://x.example", "https:///x", "https://[x"])
def test_what_is_no_address_is_refused(registry, url):
    with pytest.raises(Invalid):
        registry.webhooks.create("h", url, ["registered_model.created"])


def test_an_address_inside_is_refused_when_made_and_when_changed(registry):
    with pytest.raises(Unsafe):
        registry.webhooks.create("h", "https://private.example", ["registered_model.created"])
    hook = registry.webhooks.create("h", URL, ["registered_model.created"])
    with pytest.raises(Unsafe):
        registry.webhooks.update(hook.id, url="https://private.example")
    assert registry.webhooks.get(hook.id).url == URL


@pytest.mark.parametrize("name", ["", "-a", "a" * 64, "a b", "a/b"])
def test_a_name_is_a_name(registry, name):
    with pytest.raises(Invalid):
        registry.webhooks.create(name, URL, ["registered_model.created"])


def test_every_example_is_a_message(registry):
    for event, data in EXAMPLES.items():
        assert json.loads(message(event, registry.clock.now(), data))["data"] == data
