"""How numbers, instants and ids are written on a page."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

NONE = "–"
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,30}(e-?[0-9]{1,3})?")
_STEPS = (
    (60, 1, "s"),
    (3600, 60, "min"),
    (86_400, 3600, "h"),
    (86_400 * 45, 86_400, "d"),
    (86_400 * 730, 86_400 * 30, "mo"),
)


def number(value: Any, digits: int = 4) -> str:
    """Grouped by thousands; four significant digits unless whole. What is no number is written as it is."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        if value == int(value) and abs(value) < 1e15:
            return number(int(value))
        if abs(value) >= 1e6 or abs(value) < 1e-4:
            return f"{value:.{digits - 1}g}"
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:,.{decimals}f}".replace(",", "\u202f")
    return str(value)


def plain(value: Any, digits: int = 5) -> str:
    """As `number`, without trailing zeros: for single values that no column aligns."""
    text = number(value, digits)
    return text.rstrip("0").rstrip(".") if isinstance(value, float) and "." in text and "e" not in text else text


def param(value: str, length: int = 80) -> Markup:
    """A param's text; a number written with more digits than one reads is rounded, with the whole of it as title."""
    if len(value) > 9 and _DECIMAL.fullmatch(value):
        return Markup('<span title="{}">{}</span>').format(value, plain(float(value)))
    return cut(value, length)


def percent(value: float | None, decimals: int = 1) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value * 100:.{decimals}f}\u202f%"


def signed(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:+.4f}".replace("-", "−")


def instant(value: datetime | str | None) -> datetime | None:
    """An instant from what records keep; None for what is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def ago(value: datetime, now: datetime) -> str:
    """The distance to now in one unit."""
    seconds = (now - value).total_seconds()
    text = _distance(abs(seconds))
    return "now" if abs(seconds) < 1 else f"in {text}" if seconds < 0 else f"{text} ago"


def _distance(seconds: float) -> str:
    for limit, unit, name in _STEPS:
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / (86_400 * 365.25):.0f} y"


def when(value: datetime | str | None, now: datetime) -> Markup:
    """Exact UTC with the distance to now beside it."""
    at = instant(value)
    if at is None:
        return Markup(NONE)
    exact = f"{at:%Y-%m-%d %H:%M}" if at.second == 0 else f"{at:%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}" title="{} UTC">{} <small>{}</small></time>').format(
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}", exact, ago(at, now)
    )


def since(value: datetime, now: datetime) -> Markup:
    """The distance to now, with exact UTC as title: for columns of many rows."""
    return Markup('<time title="{} UTC">{}</time>').format(f"{value:%Y-%m-%d %H:%M:%S}", ago(value, now))


def span(seconds: float | None) -> str:
    """A duration in one unit."""
    if seconds is None:
        return NONE
    return f"{seconds:.1f} s" if seconds < 10 else _distance(seconds)


def short(value: str) -> Markup:
    """An id by its ends; the whole of it as the title."""
    if len(value) <= 16:
        return Markup("<code>{}</code>").format(value)
    return Markup('<code title="{}">{}…{}</code>').format(value, value[:8], value[-4:])


def size(value: int) -> str:
    """Bytes in one unit."""
    amount, unit = float(value), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"


def url_path(value: Any) -> str:
    """A path of several segments inside a URL's path."""
    return quote(str(value), safe="~@/")


def segment(value: Any) -> str:
    """A value as one segment of a URL's path, or as a value of its query."""
    return quote(str(value), safe="~@")


def cut(value: Any, length: int = 80) -> Markup:
    """Long text by its beginning; the whole of it as the title."""
    text = "" if value is None else str(value)
    if len(text) <= length:
        return escape(text)
    return Markup('<span title="{}">{}…</span>').format(text[:1000], text[: length - 1])
