"""Links to artifacts that work without a login, for a quarter of an hour."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta

from hanok.core.access import SYSTEM, acting
from hanok.core.clock import Clock, micros
from hanok.core.errors import Forbidden
from hanok.stores.ports import Metadata, Repositories

TTL = timedelta(minutes=15)
_PLACE = "signing-key", "artifact-links", "1"


class LinkVerbs:
    """Tokens are signed with a key of the metadata store, so that each server of it takes those of the others."""

    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock
        self._key = b""

    def token(self, path: str) -> str:
        until = micros(self._clock.now() + TTL)
        return f"{until}.{self._signature(path, until)}"

    def check(self, path: str, token: str) -> None:
        """Raises Forbidden for a token that was not given out for this path, or has expired."""
        until, _, signature = token.partition(".")
        known = until.isdecimal() and len(until) < 20
        if not known or not hmac.compare_digest(self._signature(path, int(until)).encode(), signature.encode()):
            raise Forbidden("this link to an artifact is not one that this server gave out; ask for another")
        if int(until) < micros(self._clock.now()):
            raise Forbidden("this link to an artifact has expired; ask for another")

    def _signature(self, path: str, until: int) -> str:
        if not self._key:
            with acting(SYSTEM):  # the key is the server's, whoever asks for a link
                self._key = self._stored_key()
        return hmac.new(self._key, f"{until}\0{path}".encode(), hashlib.sha256).hexdigest()

    def _stored_key(self) -> bytes:
        def work(r: Repositories) -> str:
            found = r.records.get(*_PLACE)
            if found is not None:
                return str(found["key"])
            made = secrets.token_hex(32)
            r.records.put(*_PLACE, {"key": made}, self._clock.now())
            return made

        with acting(SYSTEM):  # the key is the server's, whoever asks for a link
            found = self._metadata.read(lambda r: r.records.get(*_PLACE))
            return bytes.fromhex(str(found["key"]) if found else self._metadata.write(work))
