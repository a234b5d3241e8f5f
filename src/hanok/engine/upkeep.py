"""What the clock brings about: rollouts that move on, trainings that are due, messages to send, leftovers to remove."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from hanok.core.access import SYSTEM, acting
from hanok.engine.bus import Bus
from hanok.engine.predicting import Answers
from hanok.engine.watching import Watching
from hanok.parts.tracking.service import Tracking
from hanok.parts.training.service import Training


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
        answers: Answers,
    ) -> None:
        self.telling = threading.Lock()
        self._bus, self._registry_bus = bus, registry_bus
        self._watching, self._training, self._tracking, self._answers = watching, training, tracking, answers

    def tick(self) -> list[Mapping[str, Any]]:
        """Drain events, look after the feeds, move rollouts on, retrain what is due, drain again."""
        self._bus.drain()
        self._watching.check_feeds()
        done = self.advance()
        self._bus.drain()
        return done

    def advance(self) -> list[Mapping[str, Any]]:
        """Move rollouts on and retrain what is due; returns what was done."""
        with acting(SYSTEM):
            return self._training.tick(predictions=self._answers.predictions_since)

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
