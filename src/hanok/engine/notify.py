"""Telling others: the one way out of the house, for alerts and for the registry's events."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import orjson

from hanok.core.alerts import Alert
from hanok.core.errors import Unsafe
from hanok.core.json import JsonObject
from hanok.core.version import VERSION
from hanok.core.webhooks import Reply

TIMEOUT_S = 5.0
REPLY_MAX_BYTES = 64 << 10
RETRY_AFTER_MAX_S = 3600.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Outbound:
    """Posts to addresses outside. Unless `allow_private`, only to public ones: the name is looked up once, what it
    stands for is checked, and the connection goes to that very address, so a name that changes in between is of no
    use. Redirects are not followed, proxies of the environment are not asked, and a URL with a login is refused.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self.allow_private = allow_private

    def check(self, url: str) -> None:
        """Raises Unsafe for an address that must not be reached. One that cannot be looked up now is not refused."""
        parts = _parts(url)
        try:
            self._address(parts)
        except OSError:
            return

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Post, and give what came of it; never raises: telling must not stop the work."""
        try:
            parts = _parts(url)
            return _posted(parts, self._address(parts), body, headers)
        except Unsafe as error:
            return Reply(0, error=error.message, refused=True)
        except (OSError, ValueError, http.client.HTTPException) as error:
            return Reply(0, error=str(error) or type(error).__name__)

    def _address(self, parts: SplitResult) -> str:
        """The address to connect to. Raises Unsafe, OSError."""
        found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        for address in () if self.allow_private else addresses:
            if not _is_public(address):
                raise Unsafe(
                    f"{parts.hostname} is at the private address {address}; to allow it set "
                    "webhooks_allow_private = true in hanok.toml"
                )
        return addresses[0]


def payload(alert: Alert) -> bytes:
    """One alert as Alertmanager's API takes it (a list of alerts)."""
    body: JsonObject = {
        "labels": {
            "alertname": f"hanok_{alert.kind}",
            "subject": alert.subject,
            "severity": alert.severity,
            "fingerprint": alert.fingerprint,
        },
        "annotations": {"summary": alert.summary, "id": alert.id},
        "startsAt": alert.raised.isoformat(),
        **({"endsAt": alert.resolved.isoformat()} if alert.resolved else {}),
    }
    return orjson.dumps([body])


def send(url: str, alert: Alert, *, outbound: Outbound) -> str:
    """Post an alert; returns what came of it in words."""
    reply = outbound.post(url, payload(alert), {"Content-Type": "application/json"})
    if reply.error:
        return f"not sent: {reply.error}"
    return f"sent, {reply.status}" if 200 <= reply.status < 300 else f"not sent: answered {reply.status}"


def _parts(url: str) -> SplitResult:
    """Raises Unsafe for anything but a plain http(s) address."""
    try:
        parts = urlsplit(url)
        _port(parts)
    except ValueError as error:
        raise Unsafe(f"{url[:80]!r} is not an http(s) address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unsafe(f"{url[:80]!r} is not an http(s) address")
    if parts.username is not None or parts.password is not None:
        raise Unsafe("the address holds a login, which would be shown and logged; use the webhook's secret instead")
    if not url.isprintable() or " " in url:
        raise Unsafe("the address holds characters that no address has")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_public(text: str) -> bool:
    """Also for the IPv4 addresses that IPv6 ones carry inside."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is None and address in _NAT64:
            inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            return _is_public(str(inside))
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def _posted(parts: SplitResult, address: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    assert parts.hostname is not None
    deadline = time.monotonic() + 2 * TIMEOUT_S
    sock = socket.create_connection((address, _port(parts)), TIMEOUT_S)
    connection = http.client.HTTPConnection(parts.hostname, _port(parts), timeout=TIMEOUT_S)
    try:
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
        connection.sock = sock
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc
        connection.request("POST", path, body, {"Host": host, "User-Agent": f"hanok/{VERSION}", **headers})
        reply = connection.getresponse()
        text = _bounded(reply, deadline).decode(errors="replace")
        return Reply(reply.status, text, _retry_after(reply.headers.get("Retry-After", "")))
    finally:
        connection.close()
        sock.close()


def _bounded(reply: http.client.HTTPResponse, deadline: float) -> bytes:
    """The beginning of the answer; a receiver that trickles is not waited for."""
    found = b""
    while len(found) < REPLY_MAX_BYTES and time.monotonic() < deadline:
        piece = reply.read1(REPLY_MAX_BYTES - len(found))
        if not piece:
            break
        found += piece
    return found


def _retry_after(text: str) -> float:
    """Seconds; dates are not read."""
    return min(float(text), RETRY_AFTER_MAX_S) if text.isdecimal() else 0.0
