"""Reactions to events: each keeps a durable cursor, runs at least once, and is idempotent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hanok.core.lineage import Event
from hanok.stores.ports import Metadata

PAGE = 200


@dataclass(frozen=True, slots=True)
class Reaction:
    name: str
    kinds: frozenset[str]
    react: Callable[[Event], None]


class Bus:
    """Hands events of the outbox to reactions, in order, each at its own pace."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._reactions: list[Reaction] = []

    def on(self, name: str, kinds: set[str], react: Callable[[Event], None]) -> None:
        self._reactions.append(Reaction(name, frozenset(kinds), react))

    def drain(self) -> int:
        """Until no reaction has anything left; returns the number of reactions run."""
        count = 0
        while ran := sum(self._advance(reaction) for reaction in self._reactions):
            count += ran
        return count

    def _advance(self, reaction: Reaction) -> int:
        cursor = self._metadata.read(lambda r: r.outbox.cursor(reaction.name))
        events = self._metadata.read(lambda r: r.outbox.after(cursor, limit=PAGE))
        ran = 0
        for event in events:
            if event.kind in reaction.kinds:
                reaction.react(event)
                ran += 1
        if events:
            self._metadata.write(lambda r: r.outbox.advance(reaction.name, events[-1].sequence))
        return ran + (len(events) == PAGE)
