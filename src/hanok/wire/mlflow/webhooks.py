"""Registry webhooks as MLflow's clients speak them: requests, signed messages, and what each event tells."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import orjson

from hanok.core.errors import Invalid
from hanok.core.lineage import Event
from hanok.core.webhooks import Reply, Webhook
from hanok.wire.mlflow.entities import millis
from hanok.wire.mlflow.prompts import IS_PROMPT
from hanok.wire.mlflow.requests import Request, Required

PROMPT_TEXT = "mlflow.prompt.text"
_PROMPT_MARKS = (IS_PROMPT, "_mlflow_prompt_type")
_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
_MODEL = {"name": "example_model"}
_PROMPT = {"name": "example_prompt"}
_ABOUT = {"tags": {"example_key": "example_value"}}
_VERSION, _ALIAS = {"version": "1"}, {"alias": "example_alias"}
_KEY, _VALUE = {"key": "example_key"}, {"value": "example_value"}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "registered_model.created": _MODEL | _ABOUT | {"description": "An example registered model"},
    "model_version.created": _MODEL
    | _VERSION
    | {"source": "models:/123", "run_id": "abcd1234abcd5678"}
    | _ABOUT
    | {"description": "An example model version"},
    "model_version_tag.set": _MODEL | _VERSION | _KEY | _VALUE,
    "model_version_tag.deleted": _MODEL | _VERSION | _KEY,
    "model_version_alias.created": _MODEL | _ALIAS | _VERSION,
    "model_version_alias.deleted": _MODEL | _ALIAS,
    "prompt.created": _PROMPT | _ABOUT | {"description": "An example prompt"},
    "prompt_version.created": _PROMPT
    | _VERSION
    | {"template": "Hello {{name}}!"}
    | _ABOUT
    | {"description": "An example prompt version"},
    "prompt_tag.set": _PROMPT | _KEY | _VALUE,
    "prompt_tag.deleted": _PROMPT | _KEY,
    "prompt_version_tag.set": _PROMPT | _VERSION | _KEY | _VALUE,
    "prompt_version_tag.deleted": _PROMPT | _VERSION | _KEY,
    "prompt_alias.created": _PROMPT | _ALIAS | _VERSION,
    "prompt_alias.deleted": _PROMPT | _ALIAS,
}
"""Each event that a webhook may ask for, with the data that a test of it sends."""
KINDS = {
    "model_created",
    "model_version_registered",
    "model_tag_set",
    "model_tag_deleted",
    "model_version_tag_set",
    "model_version_tag_deleted",
    "alias_moved",
}
"""The events of the outbox that tell something here."""

Status = Literal["ACTIVE", "DISABLED"]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class WireEvent(Request, frozen=True, kw_only=True):
    entity: Required
    action: Required

    @property
    def name(self) -> str:
        return f"{self.entity.lower()}.{self.action.lower()}"


class CreateWebhook(Request, frozen=True, kw_only=True):
    name: Required
    url: Url
    events: Annotated[tuple[WireEvent, ...], msgspec.Meta(min_length=1, max_length=100)]
    description: str = ""
    secret: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    status: Status = "ACTIVE"


class WebhookId(Request, frozen=True, kw_only=True):
    webhook_id: Required


class UpdateWebhook(WebhookId, frozen=True, kw_only=True):
    name: str = ""
    url: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    events: Annotated[tuple[WireEvent, ...], msgspec.Meta(max_length=100)] = ()
    description: str = ""
    secret: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    status: Status | None = None


class ListWebhooks(Request, frozen=True, kw_only=True):
    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    page_token: str = ""


class TestWebhook(WebhookId, frozen=True, kw_only=True):
    event: WireEvent | None = None


def check_name(name: str) -> None:
    """Raises Invalid."""
    if _NAME.fullmatch(name) is None:
        raise Invalid(
            f"Webhook name {name[:100]!r} is invalid: 1 to 63 letters, digits, dots, underscores and hyphens, "
            "with a letter or digit at both ends"
        )


def check_url(url: str, *, schemes: Sequence[str]) -> None:
    """Raises Invalid for what is no address; whether it may be reached is not decided here."""
    if not url.strip():
        raise Invalid(f"Webhook URL cannot be empty or just whitespace: {url!r}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Invalid(f"Invalid webhook URL {url[:200]!r}: {error}") from None
    if parts.scheme not in schemes:
        hint = "" if parts.scheme != "http" else "; http is taken where webhooks_allow_private is set"
        raise Invalid(f"Invalid webhook URL scheme: {parts.scheme[:40]!r}. Allowed are: {', '.join(schemes)}{hint}")
    if not parts.hostname:
        raise Invalid(f"Webhook URL must include a hostname: {url[:200]!r}")


def event_names(events: Iterable[WireEvent]) -> tuple[str, ...]:
    """Each once, in their order. Raises Invalid for one that there is not."""
    names = dict.fromkeys(event.name for event in events)
    for name in names:
        if name not in EXAMPLES:
            raise Invalid(f"there is no webhook event {name[:100]!r}; there are {', '.join(EXAMPLES)}")
    return tuple(names)


def webhook(found: Webhook) -> dict[str, Any]:
    """Without the secret, always."""
    body: dict[str, Any] = {
        "webhook_id": found.id,
        "name": found.name,
        "url": found.url,
        "events": [dict(zip(("entity", "action"), name.upper().split("."), strict=True)) for name in found.events],
        "status": "ACTIVE" if found.active else "DISABLED",
        "creation_timestamp": millis(found.created),
        "last_updated_timestamp": millis(found.updated),
    }
    return body | ({"description": found.description} if found.description else {})


def tested(reply: Reply) -> dict[str, Any]:
    if reply.error:
        return {"success": False, "error_message": f"Failed to test webhook: {reply.error}"}
    return {"success": reply.arrived, "response_status": reply.status, "response_body": reply.body}


def message(event: str, at: datetime, data: Mapping[str, Any]) -> str:
    entity, action = event.split(".")
    return orjson.dumps({"entity": entity, "action": action, "timestamp": at.isoformat(), "data": data}).decode()


def headers(secret: str, delivery: str, at: datetime, body: str) -> dict[str, str]:
    """What a receiver checks: the id of the delivery (the same in each attempt), the time of this attempt, and the
    HMAC-SHA256 of "id.time.body" under the secret."""
    seconds = str(int(at.timestamp()))
    found = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": seconds,
    }
    if secret:
        signed = hmac.new(secret.encode(), f"{delivery}.{seconds}.{body}".encode(), hashlib.sha256).digest()
        found["X-MLflow-Signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return found


def told(event: Event) -> tuple[str, dict[str, Any]] | None:
    """The name and the data of what an event of the outbox tells; None when it is nothing for a webhook."""
    facts = event.facts
    prompt = bool(facts.get("prompt"))
    name = {"name": facts.get("model", event.subject)}
    version = {"version": str(facts.get("version", ""))}
    key = {"key": facts.get("key", "")}
    match event.kind:
        case "model_created":
            about = {"tags": _own_tags(facts, prompt), "description": facts.get("description", "")}
            return ("prompt.created" if prompt else "registered_model.created"), name | about
        case "model_version_registered":
            tags = _own_tags(facts, prompt)
            about = {"tags": tags, "description": facts.get("description") or None}
            if prompt:
                return "prompt_version.created", name | version | {"template": tags.pop(PROMPT_TEXT, None)} | about
            origin = {"source": facts.get("source", ""), "run_id": facts.get("run") or None}
            return "model_version.created", name | version | origin | about
        case "model_tag_set" | "model_tag_deleted" if prompt:
            value = {"value": facts["value"]} if event.kind == "model_tag_set" else {}
            return f"prompt_tag.{'set' if value else 'deleted'}", name | key | value
        case "model_version_tag_set" | "model_version_tag_deleted":
            value = {"value": facts["value"]} if event.kind == "model_version_tag_set" else {}
            kind = "prompt_version_tag" if prompt else "model_version_tag"
            return f"{kind}.{'set' if value else 'deleted'}", name | version | key | value
        case "alias_moved":
            kind = "prompt_alias" if prompt else "model_version_alias"
            alias = {"alias": facts["alias"]}
            if facts["after"] is None:
                return f"{kind}.deleted", name | alias
            return f"{kind}.created", name | alias | {"version": str(facts["after"])}
    return None


def _own_tags(facts: Mapping[str, Any], prompt: bool) -> dict[str, str]:
    tags = dict(facts.get("tags", {}))
    return {k: v for k, v in tags.items() if k not in _PROMPT_MARKS} if prompt else tags
