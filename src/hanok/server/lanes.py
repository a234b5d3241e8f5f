"""Threads for work that blocks: a few for each kind of work, with a bound on what waits and on how long.

Nobody's SQL holds up a login, a prediction or a label: those have threads of their own.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from hanok.core.access import LOCAL, SYSTEM, caller, current_call
from hanok.core.errors import Throttled, Unavailable
from hanok.core.work import Work

T = TypeVar("T")
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """`threads` at work, `waiting` in line behind them, each for `wait_s` at most. `each`: one user has so many of both
    at most, fewer than there are threads, so that another finds one free (0: any number)."""

    threads: int
    waiting: int
    wait_s: float = 20.0
    each: int = 0


BOUNDS: Mapping[Work, Bounds] = {
    "login": Bounds(2, 64),
    "urgent": Bounds(4, 64),
    "read": Bounds(6, 256),
    "heavy": Bounds(4, 16, 10.0, each=3),
    "upload": Bounds(16, 64),
    "long": Bounds(4, 16),
    "away": Bounds(8, 16, 10.0),
    "away_bulk": Bounds(2, 16),
}


class Lane:
    """The threads of one kind of work, on behalf of whoever asks."""

    def __init__(self, kind: Work, bounds: Bounds) -> None:
        self._kind, self._bounds = kind, bounds
        self._threads = ThreadPoolExecutor(bounds.threads, thread_name_prefix=f"hanok-{kind}")
        self._inside, self._of = 0, Counter[str]()
        self._lock = threading.Lock()

    async def run(self, function: Callable[[], T]) -> T:
        """Raises Unavailable when too many wait or it waited too long, Throttled for a user who has too many here."""
        who = self._enter()
        try:
            future = self._threads.submit(contextvars.copy_context().run, function)
        except BaseException:
            self._leave(who)
            raise
        future.add_done_callback(lambda _: self._leave(who))
        return await self._finished(future)

    async def _finished(self, future: Future[T]) -> T:
        waiter = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([waiter], timeout=self._bounds.wait_s)
        if not done and future.cancel():
            raise self._full(f"this waited {self._bounds.wait_s:g} s for its turn")
        return await waiter

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _enter(self) -> str:
        actor, bounds = caller(), self._bounds
        who = "" if actor is LOCAL or actor is SYSTEM else actor.name
        with self._lock:
            if bounds.each and who and self._of[who] >= bounds.each:
                raise Throttled(
                    f"{who} has {bounds.each} requests of this kind ({self._kind}) under way, the most at once; "
                    "wait for one of them",
                    retry_after_s=RETRY_AFTER_S,
                )
            if self._inside >= bounds.threads + bounds.waiting:
                raise self._full(f"{self._inside} requests of this kind ({self._kind}) are under way")
            self._inside += 1
            self._of[who] += 1
        return who

    def _leave(self, who: str) -> None:
        with self._lock:
            self._inside -= 1
            self._of[who] -= 1
            if not self._of[who]:
                del self._of[who]

    def _full(self, why: str) -> Unavailable:
        return Unavailable(f"the server is busy: {why}; try again in a moment", retry_after_s=RETRY_AFTER_S)


class Lanes:
    """One for each kind of work."""

    def __init__(self, bounds: Mapping[Work, Bounds] = BOUNDS) -> None:
        self._lanes = {kind: Lane(kind, bound) for kind, bound in bounds.items()}

    async def run(self, kind: Work, function: Callable[[], T]) -> T:
        return await self._lanes[kind].run(function)

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()


_LANES: ContextVar[Lanes | None] = ContextVar("hanok-lanes", default=None)


def use(lanes: Lanes) -> None:
    """Of the server that answers the present request."""
    _LANES.set(lanes)


async def in_lane(kind: Work, function: Callable[[], T]) -> T:
    """Run a blocking function beside the event loop, in the lane of its kind of work."""
    lanes = _LANES.get()
    if lanes is None:  # a handler that is called without its server
        return await asyncio.to_thread(function)
    return await lanes.run(kind, function)


async def while_asked(kind: Work, function: Callable[[], T], receive: Receive) -> T:
    """The same for work that ends when its caller hangs up: `Call.gone` says so to whoever looks. The body has been
    read by now, so whatever `receive` brings is the end of the connection."""
    call = current_call()

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if call is not None:
            call.gone = True

    watch = asyncio.ensure_future(gone())
    try:
        return await in_lane(kind, function)
    finally:
        watch.cancel()
