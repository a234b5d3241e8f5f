"""Who is calling: a secret, a password, an API token or a browser's session, looked up once and then remembered."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.datastructures import Headers

from hanok.core.access import EVERY_PROJECT, LOCAL, TOKEN_PREFIX, Access, Actor
from hanok.core.clock import Clock, SystemClock, wall_seconds
from hanok.core.errors import Forbidden, Unauthenticated
from hanok.parts.access import AccessVerbs
from hanok.parts.access.passwords import matches
from hanok.parts.access.service import digest_of
from hanok.server.attempts import Attempts

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SECRET_MIN = 16
COOKIE = "hanok_session"
ADMIN = "admin"
REMEMBERED_MAX = 20_000
FOLLOW_S = 1.0
NOTE_USED_S = 10.0
Told = Mapping[bytes, bytes]
SAFE = ("GET", "HEAD", "OPTIONS")
_REFUSED = (
    "this server asks for a login: send 'Authorization: Bearer TOKEN', or Basic with user and password (or "
    "any user and a token); a browser logs in at /login"
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A caller who proved himself. Void when the epoch has moved, or after `expires`."""

    actor: Actor
    epoch: int
    expires: datetime | None


class Gatekeeper:
    """Without a login (loopback only) everybody is the local owner, but requests must be addressed to loopback, and
    those that a browser sends on behalf of another site are refused. `team`: everybody has to say who he is.

    `remembered` never blocks; `look_up` does. `shared`: other servers write to the same database.
    """

    def __init__(
        self,
        secret: str = "",
        *,
        access: AccessVerbs | None = None,
        team: bool | None = None,
        clock: Clock | None = None,
        shared: bool = False,
    ) -> None:
        self.secret, self._access = secret, access
        self.team = bool(secret) if team is None else team
        self._clock: Clock = clock or SystemClock()
        self._shared, self._followed = shared, 0.0
        self._known: dict[bytes, Remembered] = {}
        self.attempts = Attempts()
        self._used: set[str] = set()
        self._noted = 0.0

    def remembered(self, headers: Headers, method: str = "GET") -> Actor | None:
        """The caller; None when he has to be looked up. Raises Forbidden for a foreign Host or Origin."""
        told = told_by(headers)
        if not self.team:
            self._check_local(told)
            return LOCAL
        self._check_origin(told)
        presented, by_cookie = _presented(told)
        if not presented:
            raise Unauthenticated(_REFUSED)
        if by_cookie and method not in SAFE:
            _check_same_page(told)
        found = self._known.get(hashlib.sha256(presented.encode("latin-1", "replace")).digest())
        if found is None or found.epoch != self._epoch():
            return None
        if found.expires is not None and found.expires <= self._clock.now():
            return None
        if found.actor.token:
            self._used.add(found.actor.token)
        return found.actor

    def look_up(self, headers: Headers, address: str) -> Actor:
        """Raises Unauthenticated, or Throttled after too many failures."""
        presented, by_cookie = _presented(told_by(headers))
        epoch = self._epoch()
        if by_cookie:
            proven = self._by_token(presented.partition("=")[2])
        else:
            proven = self._proven(*_credentials(presented), address)
        if proven is None:
            raise Unauthenticated(_REFUSED)
        actor, expires = proven
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[hashlib.sha256(presented.encode("latin-1", "replace")).digest()] = Remembered(actor, epoch, expires)
        return actor

    def check_form(self, headers: Headers) -> None:
        """A login form is sent by a page of this server. Raises Forbidden."""
        self._check_origin(told_by(headers))

    def log_in(self, user: str, password: str, address: str) -> str:
        """The secret of a new session. Raises Unauthenticated or Throttled, the same for unknown and known users."""
        proven = self._proven(user, password, address)
        if proven is None or self._access is None:
            raise Unauthenticated("user and password do not match")
        if proven[0].token:
            raise Unauthenticated("a browser logs in with a password; a token is for programs")
        return self._access.open_session(proven[0].name)

    def log_out(self, headers: Headers) -> None:
        presented, by_cookie = _presented(told_by(headers))
        if by_cookie and self._access is not None:
            self._access.close_session(digest_of(presented.partition("=")[2]))

    def note_used(self) -> None:
        """Write down which tokens were presented, at most once in a while."""
        if self._access is None or not self._used or wall_seconds() - self._noted < NOTE_USED_S:
            return
        self._noted = wall_seconds()
        used, self._used = self._used, set()
        self._access.note_used(sorted(used))

    def _proven(self, user: str, password: str, address: str) -> tuple[Actor, datetime | None] | None:
        """Raises Throttled for passwords and secrets; nobody guesses 256 random bits, so tokens are not counted."""
        for text in (password, user):
            if text.startswith(TOKEN_PREFIX):
                return self._by_token(text)
        self.attempts.check(address, user)
        proven = self._by_password(user, password)
        self.attempts.tell(address, user, proven is not None)
        return proven

    def _by_password(self, user: str, password: str) -> tuple[Actor, datetime | None] | None:
        if self.secret and _same(password or user, self.secret):
            return Actor(ADMIN, Access.OWN), None
        if self._access is None or not password:
            return None
        derived = self._access.derived_password(user)
        with self.attempts.one_of_few():
            proven = matches(password, derived)
        known = self._access.known(user) if proven else None
        if known is None:
            return None
        return _actor(user, {role.project: role.access for role in known.roles}), None

    def _by_token(self, secret: str) -> tuple[Actor, datetime | None] | None:
        token = self._access.token_with(digest_of(secret)) if self._access is not None else None
        if token is None or self._access is None:
            return None
        name = token.id if token.kind == "api" else ""
        if token.user == ADMIN:
            held = {EVERY_PROJECT: Access.OWN} if self.secret else {}
        else:
            known = self._access.known(token.user)
            if known is None:
                return None
            held = {role.project: role.access for role in known.roles}
        if token.project:
            everywhere = held.get(EVERY_PROJECT, Access.PUBLIC)
            held = {token.project: max(held.get(token.project, Access.PUBLIC), everywhere)}
        return _actor(token.user, {p: min(level, token.access) for p, level in held.items()}, name), token.expires

    def _epoch(self) -> int:
        if self._access is None:
            return 0
        if self._shared and wall_seconds() - self._followed > FOLLOW_S:
            self._followed = wall_seconds()
            self._access.follow()
        return self._access.epoch

    def _check_local(self, headers: Told) -> None:
        host = _host_of(_said(headers, b"host") if b"host" in headers else "localhost")
        if host not in LOOPBACK:
            raise Forbidden(f"this server answers on loopback only, and the request is for {host[:80]!r}")
        self._check_origin(headers)

    @staticmethod
    def _check_origin(headers: Told) -> None:
        origin = _said(headers, b"origin")
        if origin and origin.partition("://")[2].lower() != _said(headers, b"host").lower():
            raise Forbidden(f"a page of {origin[:80]!r} sent this request; it is refused")
        if _said(headers, b"sec-fetch-site") == "cross-site" and _said(headers, b"sec-fetch-mode") != "navigate":
            raise Forbidden("a page of another site sent this request; it is refused")


def told_by(headers: Headers) -> Told:
    """All headers by lower-case name, the first of equal ones: several are looked at on every request."""
    return dict(reversed(headers.raw))


def _said(headers: Told, name: bytes) -> str:
    value = headers.get(name)
    return "" if value is None else value.decode("latin-1")


def authorise(actor: Actor, needed: Access, *, everywhere: bool = False) -> None:
    """Raises Forbidden. Without `everywhere` it is enough to hold the access in one project."""
    held = actor.access_everywhere if everywhere else actor.access
    if held >= needed:
        return
    if actor.access is Access.PUBLIC:
        raise Forbidden(f"{actor.name} has no role yet; an owner gives one: hanok role grant {actor.name} reader")
    where = "in all projects" if everywhere else "in any project"
    raise Forbidden(f"{actor.name} may not {needed.name.lower()} {where}, which this needs")


def _actor(name: str, grants: Mapping[str, Access], token: str = "") -> Actor:
    return Actor(name, max(grants.values(), default=Access.PUBLIC), dict(grants), token)


def _same(given: str, wanted: str) -> bool:
    first, second = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, wanted))
    return hmac.compare_digest(first, second)


def _check_same_page(headers: Told) -> None:
    """A cookie alone changes nothing: the browser has to say that a page of this server sent the request."""
    if not _said(headers, b"origin") and _said(headers, b"sec-fetch-site") != "same-origin":
        raise Forbidden("a request with a session cookie that changes something must carry an Origin header")


def _host_of(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].lower()


def _presented(headers: Told) -> tuple[str, bool]:
    """The Authorization header, or else the session cookie as "name=value" and True; "" for nothing."""
    authorization = _said(headers, b"authorization")
    if authorization:
        return authorization, False
    for part in _said(headers, b"cookie").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and value:
            return f"{COOKIE}={value}", True
    return "", False


def _credentials(authorization: str) -> tuple[str, str]:
    """User and password; a bearer's token is the password of nobody."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return "", value.strip()
    if kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    return "", ""
