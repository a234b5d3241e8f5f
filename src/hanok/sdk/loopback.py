"""Who may speak with a small HTTP server of this machine, and how much: the one check of each request of ours."""

from __future__ import annotations

from email.message import Message
from typing import NamedTuple

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
JSON_KIND = "application/json"
_DIGITS_MAX = 15


class Refusal(NamedTuple):
    status: int
    why: str


def refusal(headers: Message, *, body_max_bytes: int) -> Refusal | None:
    """Why a request is not heard; None where it is.

    A web page in this machine's browser reaches loopback addresses too: under a name of its own that leads here (Host),
    or from its own site (Origin; a form or a script may then send a body, but no JSON).
    """
    host = (headers.get("host") or "").lower()
    if (host.rpartition(":")[0] or host) not in LOCAL_HOSTS:
        return Refusal(403, "this address is for programs of this machine")
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}":
        return Refusal(403, f"a page of {origin[:80]!r} sent this request; it is refused")
    size = body_size(headers)
    if size is None or size > body_max_bytes:
        return Refusal(413, f"a body has a content-length of {body_max_bytes} bytes at most")
    if size and headers.get_content_type() != JSON_KIND:
        return Refusal(415, f"a body is {JSON_KIND}; say so in content-type")
    return None


def body_size(headers: Message) -> int | None:
    """In bytes, 0 for no body; None for a length that is no number, and for a body that does not say its length."""
    size = headers.get("content-length") or "0"
    if headers.get("transfer-encoding") or not (size.isascii() and size.isdecimal() and len(size) <= _DIGITS_MAX):
        return None
    return int(size)
