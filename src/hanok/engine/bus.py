"""Reactions to events: each keeps a durable cursor, runs at least once, and is idempotent."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hanok.core.access import SYSTEM, acting
from hanok.core.lineage import Event
from hanok.stores.ports import Metadata

PAGE = 200
ATTEMPTS = 3
log = logging.getLogger("hanok.bus")


@dataclass(frozen=True, slots=True)
class Reaction:
    name: str
    kinds: frozenset[str]
    react: Callable[[Event], None]


class Bus:
    """Hands events of the outbox to reactions, in order, each at its own pace.

    A reaction that fails holds up nobody else. Its event is tried again at the next drain; after three attempts it is
    set aside with its error (record kind `event-set-aside`), and the reaction goes on with the next one.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._reactions: list[Reaction] = []
        self._failed: Counter[tuple[str, int]] = Counter()
        self._draining, self._drainer = threading.Lock(), 0

    def on(self, name: str, kinds: set[str], react: Callable[[Event], None]) -> None:
        self._reactions.append(Reaction(name, frozenset(kinds), react))

    def drain(self) -> int:
        """Until no reaction has anything left; returns the number of reactions run. Raises the first error met, after
        all others had their turn."""
        me = threading.get_ident()
        if self._drainer == me:
            return 0
        with self._draining:
            self._drainer = me
            try:
                return self._drained()
            finally:
                self._drainer = 0

    def _drained(self) -> int:
        count, errors = 0, dict[str, Exception]()
        with acting(SYSTEM):  # whoever caused an event, its reactions see everything
            while ran := sum(self._advance(r, errors) for r in self._reactions if r.name not in errors):
                count += ran
        for error in errors.values():
            raise error
        return count

    def _advance(self, reaction: Reaction, errors: dict[str, Exception]) -> int:
        cursor = self._metadata.read(lambda r: r.outbox.cursor(reaction.name))
        events = self._metadata.read(lambda r: r.outbox.after(cursor, limit=PAGE))
        ran, reached = 0, cursor
        for event in events:
            if event.kind in reaction.kinds:
                try:
                    reaction.react(event)
                except Exception as error:  # noqa: BLE001 (a job ends here: it is tried again, then set aside)
                    if not self._set_aside(reaction, event, error):
                        errors[reaction.name] = error
                        break
                ran += 1
            reached = event.sequence
        if reached != cursor:
            self._metadata.write(lambda r: r.outbox.advance(reaction.name, reached))
        return ran + (len(events) == PAGE and reached != cursor)

    def _set_aside(self, reaction: Reaction, event: Event, error: Exception) -> bool:
        """Count a failure; True when the event is given up, with its error kept."""
        place = reaction.name, event.sequence
        self._failed[place] += 1
        log.warning("reaction %s failed on %s %s: %s", reaction.name, event.kind, event.subject, error)
        if self._failed[place] < ATTEMPTS:
            return False
        del self._failed[place]
        body = {"event": event.kind, "subject": event.subject, "error": f"{type(error).__name__}: {error}"}
        self._metadata.write(
            lambda r: r.records.put("event-set-aside", reaction.name, str(event.sequence), body, event.at)
        )
        return True
