"""Failed logins slow down whoever makes them: by user and address, and by address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hanok.core.clock import wall_seconds
from hanok.core.errors import Throttled

FREE_OF_USER, FREE_OF_ADDRESS = 5, 30
WAIT_MAX_S = 300.0
FORGET_S = 900.0
KEYS_MAX = 50_000
CHECKS_AT_ONCE = 4


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


class Attempts:
    """After the free ones each further failure doubles the wait. Whether a user exists makes no difference."""

    def __init__(self, seconds: Callable[[], float] = wall_seconds) -> None:
        self._seconds = seconds
        self._failed: dict[tuple[str, str], _Failures] = {}
        self._lock = threading.Lock()
        self._few = threading.BoundedSemaphore(CHECKS_AT_ONCE)

    def check(self, address: str, user: str) -> None:
        """Raises Throttled while the wait lasts."""
        now = self._seconds()
        for key, free in _keys(address, user):
            failed = self._failed.get(key)
            if failed is None or failed.count < free:
                continue
            wait = min(WAIT_MAX_S, 2.0 ** (failed.count - free)) - (now - failed.last)
            if wait > 0:
                raise Throttled(f"too many failed logins; try again in {wait:.0f} s", retry_after_s=max(1, round(wait)))

    def tell(self, address: str, user: str, proven: bool) -> None:
        """What came of an attempt. Success forgets the failures of this user from this address only."""
        now = self._seconds()
        with self._lock:
            if len(self._failed) > KEYS_MAX:
                self._failed = {k: f for k, f in self._failed.items() if now - f.last < FORGET_S / 10}
            for key, _ in _keys(address, user):
                failed = self._failed.get(key)
                if proven:
                    if key[1]:
                        self._failed.pop(key, None)
                elif failed is None or now - failed.last > FORGET_S:
                    self._failed[key] = _Failures(1, now)
                else:
                    failed.count, failed.last = failed.count + 1, now

    @contextmanager
    def one_of_few(self) -> Iterator[None]:
        """Slow hashes are made few at a time. Raises Throttled when too many wait already."""
        if not self._few.acquire(timeout=2.0):
            raise Throttled("too many logins at once; try again", retry_after_s=2)
        try:
            yield
        finally:
            self._few.release()


def _keys(address: str, user: str) -> list[tuple[tuple[str, str], int]]:
    keys = [((address, ""), FREE_OF_ADDRESS)]
    return [((address, f"user {user[:200].lower()}"), FREE_OF_USER), *keys] if user else keys
