"""Who did what: gathered while requests are answered, written in groups.

Rows reach the store a moment after what they tell of, in a following commit: at most GROUP_S of them are lost when the
process or the power fails; a clean stop loses none. Equal requests in a row are one row with a count.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from hanok.core.access import Access, Actor, AuditEntry
from hanok.core.clock import Clock
from hanok.core.errors import HanokError
from hanok.parts.access import AccessVerbs

GROUP_S = 0.25
WAITING_MAX = 20_000
DENIED = (401, 403, 429)
RESOURCE_MAX = 300
Key = tuple[str, str, str, str, str, str, str, int]
log = logging.getLogger("hanok.audit")


class Trail:
    def __init__(self, access: AccessVerbs, clock: Clock) -> None:
        self._access, self._clock = access, clock
        self._waiting: dict[Key, list[Any]] = {}  # when first, and how often
        self._lock = threading.Lock()

    def note(
        self,
        actor: Actor | None,
        needed: Access,
        *,
        address: str,
        method: str,
        route: str,
        touched: Sequence[tuple[str, str]],
        status: int,
    ) -> None:
        """Keep it if it is a write, also of one's own affairs (a login, a token, a password), or a denial."""
        if needed < Access.EDIT and not touched and status not in DENIED:
            return
        project, resource = touched[-1] if touched else ("", "")
        who, token = (actor.name, actor.token) if actor is not None else ("", "")
        key = (who, token, address, method, route, project, resource[:RESOURCE_MAX], status)
        with self._lock:
            known = self._waiting.get(key)
            if known is not None:
                known[1] += 1
            elif len(self._waiting) < WAITING_MAX:
                self._waiting[key] = [self._clock.now(), 1]
            else:
                log.error("audit record is full and not written: %s %s by %s: %s", method, route, who, status)

    def flush(self) -> None:
        """Write what waits; what cannot be written is kept and tried again."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        try:
            self._access.record([AuditEntry(at, *key, times) for key, (at, times) in waiting.items()])
        except HanokError:
            with self._lock:
                self._waiting = {**waiting, **self._waiting}
            raise
