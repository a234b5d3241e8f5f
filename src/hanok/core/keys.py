"""The one codec of entity keys: each value of a key has one spelling.

A key has a type, which the schema of the spine's table declares. What comes from elsewhere (a view's source, a label
table, a request, the log) is read as that type and spelled in one way, so that equal keys are equal texts:

| type | spelling | also read |
|---|---|---|
| text | as it is: "007", " a" and "A" are keys of their own | integers; numbers without a fraction |
| integer | `7`, `-7`, `12345678901234567890` | `7.0`, "7", "7.0", "7e0", " 7 " |
| number (floats, decimals) | like an integer where there is no fraction, else `0.1` | "0.10", "1e-1" |
| boolean | `true`, `false` | "True", "FALSE" |
| date | `2013-01-31` | an instant at midnight UTC |
| instant | `2013-01-31T05:00:00+00:00`, a fraction where there is one | any ISO 8601 spelling; no zone is UTC; dates |

What does not name exactly one value is refused, never rounded: "007" for an integer (leading zeros say that it is
text), 1.5, a float of 2**53 or more (its neighbours look the same), "yes", a fraction of a microsecond. Text is neither
trimmed nor normalised; for the other types blanks around a text mean nothing. Null and NaN are no key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum

from hanok.core.errors import BadKey

KeyValue = str | int | float | bool | Decimal | date | datetime

_SCALARS: tuple[type, ...] = (str, int, float, Decimal, date)  # what a request holds may be none of these
EXACT_FLOATS = 2**53
DIGITS_MAX = 400
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d(:?\d\d(:?\d\d([.,](\d+))?)?)? ?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)


class KeyType(StrEnum):
    """What a key column holds."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"


_READ_AS = {
    KeyType.TEXT: {KeyType.INTEGER, KeyType.NUMBER},
    KeyType.INTEGER: {KeyType.TEXT, KeyType.NUMBER},
    KeyType.NUMBER: {KeyType.TEXT, KeyType.INTEGER},
    KeyType.BOOLEAN: {KeyType.TEXT},
    KeyType.DATE: {KeyType.TEXT, KeyType.INSTANT},
    KeyType.INSTANT: {KeyType.TEXT, KeyType.DATE},
}


def fits(declared: KeyType, found: KeyType) -> bool:
    """Whether values of a column of type `found` may be keys of type `declared`. Each value still has to convert."""
    return found == declared or found in _READ_AS[declared]


def canonical(kind: KeyType, value: KeyValue | None, *, name: str = "key") -> str:
    """The one spelling of a key's value. Raises BadKey for what is no value of the type, null included."""
    return spelled(_read(kind, value, name))


def parse(kind: KeyType, text: str, *, name: str = "key") -> KeyValue:
    """The value that a text names: str, int, int or Decimal (number), bool, date or a datetime in UTC.

    Any spelling that the type allows is read. Raises BadKey.
    """
    return _read(kind, text, name)


def spelled(value: KeyValue) -> str:
    """The spelling of a value that `parse` gave."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def _read(kind: KeyType, value: KeyValue | None, name: str) -> KeyValue:
    if value is None or (isinstance(value, float | Decimal) and math.isnan(value)):
        raise BadKey(f"{name} is null: a null is no key", key=name, type=kind.value)
    if not isinstance(value, _SCALARS):
        raise BadKey(f"{name} is {_shown(value)}: a key is one value", key=name, type=kind.value, value=_shown(value))
    try:
        return _READERS[kind](value)
    except ValueError as error:
        shown = _shown(value)
        raise BadKey(f"{name}={shown} is no {kind} key: {error}", key=name, type=kind.value, value=shown) from None


def _shown(value: KeyValue) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _text(value: KeyValue) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("it holds half of a surrogate pair") from None
        if "\0" in value:
            raise ValueError("it holds a null character")
        return value
    if isinstance(value, bool | date):
        raise ValueError("send it as text")
    return str(_integer(value))


def _integer(value: KeyValue) -> int:
    found = _number(value)
    if not isinstance(found, int):
        raise ValueError("it has a fraction")
    if isinstance(value, float) and abs(value) >= EXACT_FLOATS:
        raise ValueError("a float of this size names no single integer; send its digits")
    return found


def _number(value: KeyValue) -> int | Decimal:
    """An int where there is no fraction."""
    if isinstance(value, bool | date):
        raise ValueError("it is no number")
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if value.is_integer():
            return int(value)
        value = repr(value)
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            zeros = text.lstrip("+-").startswith("0") and text.lstrip("+-").isdigit()
            raise ValueError("leading zeros say that it is text, not a number" if zeros else "it is no number")
        value = Decimal(text)
    if not value.is_finite():
        raise ValueError("it is not finite")
    if value == 0:
        return 0
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if abs(exponent) > DIGITS_MAX or value.adjusted() > DIGITS_MAX:
        raise ValueError(f"it has over {DIGITS_MAX} digits")
    if value == value.to_integral_value():
        return int(value)
    return _without_end_zeros(value)


def _without_end_zeros(value: Decimal) -> Decimal:
    """Decimal.normalize rounds to its context's precision; this never rounds."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    end = len(digits)
    while end > 1 and digits[end - 1] == 0:
        end, exponent = end - 1, exponent + 1
    return Decimal((sign, digits[:end], exponent))


def _boolean(value: KeyValue) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (word := value.strip().lower()) in ("true", "false"):
        return word == "true"
    raise ValueError("it is true or false")


def _date(value: KeyValue) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    instant = _instant(value)
    if instant.time() != time():
        raise ValueError("it is not at midnight UTC, so it is no whole day")
    return instant.date()


def _instant(value: KeyValue) -> datetime:
    if isinstance(value, str):
        text = value.strip().upper()
        found = _ISO.fullmatch(text)
        if not found:
            raise ValueError("write it as ISO 8601 has it, like 2013-01-31T05:00:00Z")
        if (found[5] or "")[6:].strip("0"):
            raise ValueError("instants end at microseconds")
        value = datetime.fromisoformat(text.replace(",", "."))
    if not isinstance(value, date):
        raise ValueError("write it as ISO 8601 has it, like 2013-01-31T05:00:00Z")
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC it lies outside the years 1 to 9999") from None


_READERS: dict[KeyType, Callable[[KeyValue], KeyValue]] = {
    KeyType.TEXT: _text,
    KeyType.INTEGER: _integer,
    KeyType.NUMBER: _number,
    KeyType.BOOLEAN: _boolean,
    KeyType.DATE: _date,
    KeyType.INSTANT: _instant,
}
