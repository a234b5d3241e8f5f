"""What the clock brings about: rollouts that move on, trainings that are due, messages to send, leftovers to remove."""

from __future__ import annotations

import threading

from hanok.core.access import SYSTEM, acting
from hanok.core.clock import wall_seconds
from hanok.core.training import TickOutcome
from hanok.engine.bus import Bus
from hanok.engine.watching import Watching
from hanok.parts.tracking.service import Tracking
from hanok.parts.training.service import Training

GUARD_REST, GUARD_MAX_S = 20, 7.0  # a look rests this many times as long as it took, and this long at most


class Upkeep:
    """`telling` is held while messages are sent, and by a test that empties the store. `registry_bus` is a bus by
    itself: its reaction is quick, and is waited for; None where another server sends."""

    def __init__(
        self,
        *,
        bus: Bus,
        registry_bus: Bus | None,
        watching: Watching,
        training: Training,
        tracking: Tracking,
    ) -> None:
        self.telling = threading.Lock()
        self._bus, self._registry_bus = bus, registry_bus
        self._watching, self._training, self._tracking = watching, training, tracking
        self._guarded, self._guard_took = 0.0, 0.0

    def tick(self) -> list[TickOutcome]:
        """Drain events, look after the feeds, move rollouts on, retrain what is due, drain again."""
        self._bus.drain()
        self._watching.check_feeds()
        done = self.advance()
        self._bus.drain()
        return done

    def advance(self) -> list[TickOutcome]:
        """Move rollouts on and retrain what is due; returns what was done."""
        with acting(SYSTEM):
            return self._training.tick()

    def guard(self) -> list[TickOutcome]:
        """Look at the rollouts under way, with the labels that have come by now: every few seconds, and never behind a
        training."""
        began = wall_seconds()
        if began - self._guarded < min(GUARD_MAX_S, GUARD_REST * self._guard_took):
            return []
        with acting(SYSTEM):
            if not self._training.rollouts():
                return []
            self._bus.drain()
            done = self._training.guard()
        self._guarded = wall_seconds()
        self._guard_took = self._guarded - began
        return done

    def retrain(self) -> list[TickOutcome]:
        """Retrain what is due."""
        with acting(SYSTEM):
            return self._training.retrain()

    def tell_registry_webhooks(self) -> int:
        """Note what happened in the registry for those who asked, and send what is due; returns the attempts."""
        if self._registry_bus is None:
            return 0
        with self.telling:
            self._registry_bus.drain()
            return self._tracking.webhooks.send_due()

    def forget_old(self) -> None:
        """Remove uploads that nobody completed, and messages to webhooks that are over."""
        self._tracking.webhooks.forget_old()
        if self._tracking.uploads is not None:
            self._tracking.uploads.expire()
