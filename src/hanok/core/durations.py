"""Durations as people write them ("3h", "28d", "90s") and times relative to a column ("scheduled - 2h")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from hanok.core.errors import DeclarationError

LONGEST = timedelta(days=365_000)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_RELATIVE = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:([+-])\s*(.+))?")
_OF_ANY_NAME = re.compile(r"\s*(\S.*?)\s*(?:([+-])\s*(\d+(?:\.\d+)?\s*(?:ms|s|m|h|d|w)))?\s*")


def duration(text: str | timedelta) -> timedelta:
    """Parse "3h" and the like (units ms, s, m, h, d, w), of at most 365,000 days. Raises DeclarationError."""
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text)
    if match is None:
        raise DeclarationError(f"{text!r} is not a duration; write a number and one of ms, s, m, h, d, w, like '28d'")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > LONGEST.total_seconds():
        raise DeclarationError(f"{text!r} is longer than {LONGEST.days} days; write a shorter duration, like '28d'")
    return timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class RelativeTime:
    """An instant given by a column and an offset."""

    column: str
    offset: timedelta


def relative_time(text: str) -> RelativeTime:
    """Parse "scheduled - 2h" or "scheduled". Raises DeclarationError."""
    match = _RELATIVE.fullmatch(text) or _OF_ANY_NAME.fullmatch(text)
    if match is None:
        raise DeclarationError(f"{text!r} is not a time; write a column and an offset, like 'scheduled - 2h'")
    offset = duration(match[3]) if match[3] else timedelta()
    return RelativeTime(match[1], -offset if match[2] == "-" else offset)


def shortest(value: timedelta) -> str:
    """The shortest exact text of a duration: '2h', '28d', '90s'."""
    seconds = value.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{seconds * 1000:g}ms"
