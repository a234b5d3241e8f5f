"""Who is calling, and may they: one place, default deny."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

from starlette.datastructures import Headers

from hanok.core.access import LOCAL, Access, Actor
from hanok.core.errors import Forbidden, Unauthenticated

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SECRET_MIN = 16


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """Without a secret (loopback only) everybody is the local owner, but requests must be addressed to loopback, and
    those that a browser sends on behalf of another site are refused. With a secret it has to be presented."""

    secret: str = ""

    def actor(self, headers: Headers) -> Actor:
        """Raises Unauthenticated, or Forbidden for a foreign Host or Origin."""
        if not self.secret:
            self._check_local(headers)
            return LOCAL
        presented, name = _presented(headers.get("authorization", ""))
        same = hmac.compare_digest(
            hashlib.sha256(presented.encode()).digest(), hashlib.sha256(self.secret.encode()).digest()
        )
        if not presented or not same:
            raise Unauthenticated(
                "this server asks for a secret: send 'Authorization: Bearer SECRET', or Basic with it as the password"
            )
        self._check_origin(headers)
        return Actor(name or "admin", Access.OWN)

    def _check_local(self, headers: Headers) -> None:
        host = _host_of(headers.get("host", "localhost"))
        if host not in LOOPBACK:
            raise Forbidden(f"this server answers on loopback only, and the request is for {host[:80]!r}")
        self._check_origin(headers)

    @staticmethod
    def _check_origin(headers: Headers) -> None:
        origin = headers.get("origin", "")
        if origin and origin.partition("://")[2].lower() != headers.get("host", "").lower():
            raise Forbidden(f"a page of {origin[:80]!r} sent this request; it is refused")
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            raise Forbidden("a page of another site sent this request; it is refused")


def authorise(actor: Actor, needed: Access) -> None:
    """Raises Forbidden."""
    if actor.access < needed:
        raise Forbidden(f"{actor.name} may {actor.access.name.lower()}; this needs {needed.name.lower()}")


def _host_of(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].lower()


def _presented(authorization: str) -> tuple[str, str]:
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip(), ""
    if kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return password or user, user if password else ""
    return "", ""
