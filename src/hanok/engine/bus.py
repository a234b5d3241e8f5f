"""Reactions to events: each keeps a durable cursor, runs at least once, and is idempotent."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hanok.core.access import SYSTEM, acting
from hanok.core.errors import NotFound, words
from hanok.core.jobs import SET_ASIDE, Aside, SetAside
from hanok.core.lineage import Event
from hanok.stores.ports import Metadata

PAGE = 200
ATTEMPTS = 3
ASIDE_MAX = 1000
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
        count, errors = self._drained()
        for error in errors:
            raise error
        return count

    def settle(self) -> None:
        """`drain` after what is done and stays done, whatever comes of its reactions: a failure of these is logged, and
        tried again by the next drain."""
        self._drained()

    def _drained(self) -> tuple[int, list[Exception]]:
        me = threading.get_ident()
        if self._drainer == me:
            return 0, []
        count, errors = 0, dict[str, Exception]()
        with self._draining:
            self._drainer = me
            try:
                with acting(SYSTEM):  # whoever caused an event, its reactions see everything
                    while ran := sum(self._advance(r, errors) for r in self._reactions if r.name not in errors):
                        count += ran
            finally:
                self._drainer = 0
        return count, list(errors.values())

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
        self._keep(reaction.name, event, error)
        return True

    def _keep(self, reaction: str, event: Event, error: Exception) -> None:
        body = SET_ASIDE.body(SetAside(event.kind, event.subject, words(error)))
        self._metadata.write(lambda r: r.records.put(SET_ASIDE.name, reaction, str(event.sequence), body, event.at))

    # -- what was given up -----------------------------------------------------------------------------------

    def reacts(self, name: str) -> bool:
        return any(reaction.name == name for reaction in self._reactions)

    def set_aside(self) -> list[Aside]:
        """Events that were given up by reactions of this bus, the newest first."""
        found = self._metadata.read(lambda r: r.records.list(SET_ASIDE.name, limit=ASIDE_MAX))
        return [
            Aside(b["_name"], int(b["_key"]), b["_at"], kept.event, kept.subject, kept.error)
            for b in found
            if self.reacts(b["_name"]) and (kept := SET_ASIDE.open(b if "event" in b else None)) is not None
        ]

    def replay(self, aside: Aside) -> None:
        """Hand an event that was given up to its reaction again; when that fails once more it raises, and the event
        stays set aside with the new error. Raises NotFound when the event is gone."""
        reaction = next(r for r in self._reactions if r.name == aside.reaction)
        events = self._metadata.read(lambda r: r.outbox.after(aside.sequence - 1, limit=1))
        if not events or events[0].sequence != aside.sequence:
            raise NotFound(f"event {aside.sequence} of {aside.reaction} is not in the outbox any more")
        with self._draining, acting(SYSTEM):
            try:
                reaction.react(events[0])
            except Exception as error:
                self._keep(reaction.name, events[0], error)
                raise
            self._metadata.write(
                lambda r: r.records.put(SET_ASIDE.name, reaction.name, str(aside.sequence), {}, aside.at)
            )
