"""Telling others: alerts as Alertmanager-shaped JSON to a model's webhook."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from hanok.core.errors import Unsafe

TIMEOUT_S = 5.0


def payload(alert: Mapping[str, Any]) -> bytes:
    """One alert as Alertmanager's API takes it (a list of alerts)."""
    body: dict[str, Any] = {
        "labels": {
            "alertname": f"hanok_{alert['kind']}",
            "subject": alert["subject"],
            "severity": alert["severity"],
            "fingerprint": alert["fingerprint"],
        },
        "annotations": {"summary": alert["summary"], "id": alert["id"]},
        "startsAt": alert["raised"],
    }
    if alert.get("resolved"):
        body["endsAt"] = alert["resolved"]
    return orjson.dumps([body])


def send(url: str, alert: Mapping[str, Any], *, allow_private: bool) -> str:
    """Post an alert; returns what came of it in words. Never raises: telling must not stop the work.

    The address must be public unless `allow_private`, and redirects are not followed, so that a webhook is no way into
    the network. (The name is looked up again for the request: a name that changes in between is not caught.)
    """
    try:
        _check(url, allow_private)
        request = urllib.request.Request(url, payload(alert), {"Content-Type": "application/json"})
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S) as reply:
            return f"sent, {reply.status}"
    except Unsafe as error:
        return f"not sent: {error.message}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"not sent: {error}"


def _check(url: str, allow_private: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unsafe(f"{url[:80]!r} is not an http(s) address")
    if allow_private:
        return
    found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    for *_, address in found:
        if not ipaddress.ip_address(address[0]).is_global:
            raise Unsafe(
                f"{parts.hostname} is at the private address {address[0]}; to allow it set "
                "webhooks_allow_private = true in hanok.toml"
            )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
