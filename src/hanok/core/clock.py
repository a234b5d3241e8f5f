"""Time comes in by argument: the wall clock live, a hand-moved one in replays and tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from hanok.core.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where every instant that Hanok records comes from."""

    def now(self) -> datetime:
        """The current instant, UTC-aware."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class ReplayClock:
    """A clock that stands still until it is moved, and never moves back."""

    def __init__(self, start: datetime) -> None:
        self._now = utc(start)

    def now(self) -> datetime:
        return self._now

    def move_to(self, instant: datetime) -> None:
        """Move forward to `instant`; an earlier instant is ignored, so that a resumed replay may repeat itself."""
        self._now = max(self._now, utc(instant))


def utc(instant: datetime) -> datetime:
    """`instant` in UTC; a naive one is taken to be UTC already."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z, exactly."""
    return (utc(instant) - EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The inverse of `micros`."""
    return EPOCH + timedelta(microseconds=value)


@contextmanager
def within_calendar(what: str) -> Iterator[None]:
    """Raises Invalid where an instant that a caller gave leads, with what is computed from it, out of the calendar."""
    try:
        yield
    except OverflowError as error:
        if "date" not in str(error):
            raise
        raise Invalid(
            f"{what}: an instant or a length of time among its arguments leads before year 1 or after 9999"
        ) from error


def wall_seconds() -> float:
    """Monotonic seconds for measuring durations, never for recording instants."""
    return time.monotonic()
